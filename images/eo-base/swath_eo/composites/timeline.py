"""Which scenes a series is made of, in the order of time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path

from swath_eo.clouds.masking import Clearing
from swath_eo.clouds.sources import find_sources
from swath_eo.composites.series import Scene
from swath_eo.errors import DateOrderError, ProductMetadataError
from swath_eo.scenes.bands import canonical_name, is_wanted
from swath_eo.scenes.calibration import BAND_IDS
from swath_eo.scenes.granule import Angles, Granule, parse_granule
from swath_eo.scenes.product import Product
from swath_eo.scenes.rasters import BandFile

_MAX_DOCUMENT_BYTES = 16 * 2**20  # a granule's metadata take half a megabyte


def in_order(
    products: Sequence[Product], *, start: date | None = None, end: date | None = None, needs_dates: bool = True
) -> list[Product]:
    """The scenes from `start` to `end` (days in UTC, both included), the earliest first; by name where no date is needed
    and one is not known.

    Raises DateOrderError: for an end before the start, a date that is needed and not known, two scenes of one moment, which
    would count twice, and where no scene is left.
    """
    if start and end and end < start:
        raise DateOrderError(f"the series ends on {end}, before it starts on {start}")
    undated = next((product for product in products if product.acquired is None), None)
    if undated is not None:
        if needs_dates or start or end:
            raise DateOrderError(f"it is not known when {undated.name} was acquired")
        return sorted(products, key=lambda product: product.name)
    dated = sorted(products, key=_time)
    chosen = [product for product in dated if (start or date.min) <= _time(product).date() <= (end or date.max)]
    if not chosen:
        raise DateOrderError(f"no scene was acquired from {start or 'the beginning'} to {end or 'the end'}")
    for first, second in pairwise(chosen):
        if _time(first) == _time(second):
            raise DateOrderError(f"{first.name} and {second.name} were acquired at one moment: give one of them")
    return chosen


def _time(product: Product) -> datetime:
    assert product.acquired is not None  # noqa: S101  # told before
    return product.acquired


def find_scenes(
    products: Sequence[Product],
    *,
    bands: Sequence[str] = (),
    clearing: Clearing | None = None,
    masks: Sequence[Path] = (),
    offset: str = "auto",
    scale: float | None = None,
    with_angles: bool = False,
) -> list[Scene]:
    """Each product as `find_sources` finds it, and raises; with the angles of its first band where they are asked for."""
    sources = find_sources(products, bands=bands, clearing=clearing, masks=masks, offset=offset, scale=scale)
    return [
        Scene(**vars(source), angles=find_angles(source.product, source.bands[0]) if with_angles else None)
        for source in sources
    ]


def find_angles(product: Product, band: BandFile) -> Angles | None:
    """At which angles the instrument saw the pixels of a band, by the granule's metadata; None where nothing tells."""
    granule = product.safe.granule if product.safe else _read_granule(product)
    name = next((name for name in BAND_IDS if is_wanted(name, canonical_name(band.name))), None)
    if granule is None or name is None:
        return None
    try:
        return granule.view(name)
    except ProductMetadataError:  # archives thin them out
        return None


def _read_granule(product: Product) -> Granule | None:
    """Beside bands that an archive has taken out of their product."""
    if product.directory is None:
        return None
    for name in ("granule_metadata.xml", "MTD_TL.xml"):
        path = product.directory / name
        if path.is_file() and path.stat().st_size <= _MAX_DOCUMENT_BYTES:
            return parse_granule(path.read_text(encoding="utf-8", errors="replace"), where=f"{product.name}: {name}")
    return None
