"""Which scenes a series is made of, in the order of time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path

from swath_eo.clouds.masking import Clearing
from swath_eo.clouds.reading import assign_masks, find_cloud_layers
from swath_eo.composites.series import Scene
from swath_eo.errors import BandMissingError, DateOrderError, ProductMetadataError
from swath_eo.geometry.grid import check_georeferenced
from swath_eo.scenes.bands import canonical_name, is_layer, is_wanted
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
    """Each product with its bands (all of the first one by default) and what tells of its clouds.

    Raises ParameterError, BandMissingError, BandAmbiguousError, NotGeoreferencedError, and what `Product.calibration` does.
    """
    names = bands or [name for name in products[0].bands if not is_layer(name)]
    if not names:
        raise BandMissingError(f"{products[0].name} has no bands")
    wanted = clearing or Clearing()
    scenes = []
    for product, mask in zip(products, assign_masks(products, masks), strict=True):
        found = tuple(product.find(name) for name in names)
        for band in found:
            check_georeferenced(band.grid, where=f"{product.name}: {band.path.name}")
        scene = Scene(
            product=product,
            bands=found,
            calibrations=tuple(product.calibration(band, offset=offset, scale=scale) for band in found),
            clouds=find_cloud_layers(product, wanted, mask),
            angles=find_angles(product, found[0]) if with_angles else None,
        )
        scenes.append(scene)
    return scenes


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
