"""Which scenes a series is made of, in the order of time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path

from swath_eo.errors import CrsMismatchError, DateOrderError, GridMismatchError, ParameterError, ProductMetadataError
from swath_eo.geometry.grid import Grid
from swath_eo.scenes.archives import is_zip
from swath_eo.scenes.bands import canonical_name, is_wanted
from swath_eo.scenes.calibration import BAND_IDS
from swath_eo.scenes.granule import Angles, Granule, parse_granule
from swath_eo.scenes.product import Product, open_product
from swath_eo.scenes.rasters import BandFile, is_raster
from swath_eo.scenes.safe import is_safe

_NAMED = {".tif", ".tiff", ".jp2", ".j2k", ".zip"}
_MAX_DOCUMENT_BYTES = 16 * 2**20  # a granule's metadata take half a megabyte


def find_products(given: Sequence[Path]) -> list[Product]:
    """The scenes that are given, or all in the one directory that is none itself. Raises ParameterError and what
    `open_product` does."""
    alone = len(given) == 1 and is_safe(given[0])
    return [open_product(path) for path in (given if alone else list_paths(given, what="scene"))]


def list_paths(given: Sequence[Path], *, what: str) -> list[Path]:
    """The paths, or the rasters, zips and directories in the one directory that is given. Raises ParameterError where there
    are none."""
    if len(given) != 1 or not given[0].is_dir():
        return list(given)
    found = sorted(path for path in given[0].iterdir() if not path.name.startswith(".") and _may_hold_bands(path))
    if not found:
        raise ParameterError(f"there is no {what} in {given[0]}")
    return found


def _may_hold_bands(path: Path) -> bool:
    """By its name, which a damaged file keeps, or by what it holds; a licence or a list that lies beside scenes does not."""
    return path.is_dir() or path.suffix.lower() in _NAMED or is_zip(path) or is_raster(path)


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


def assign_masks(products: Sequence[Product], masks: Sequence[Path]) -> list[Path | None]:
    """Each scene's mask: the file that is named after it, or the only one. Raises ParameterError."""
    if not masks:
        return [None] * len(products)
    named = [[mask for mask in masks if mask.name.startswith(product.name)] for product in products]
    if len(masks) == 1 and not any(named):
        return [masks[0]] * len(products)
    for product, found in zip(products, named, strict=True):
        if len(found) != 1:
            raise ParameterError(f"{len(found)} masks are named after {product.name}, not one")
    return [found[0] for found in named]


def check_mask(mask: BandFile, grid: Grid) -> None:
    """Raises CrsMismatchError and GridMismatchError for a mask that does not cover the scenes: what it does not know is not
    clear."""
    if mask.grid.crs != grid.crs:
        raise CrsMismatchError(f"the mask {mask.path.name} is in another coordinate reference system than the scenes")
    own, wanted = mask.grid.bounds, grid.bounds
    pixel = max(abs(mask.grid.transform.a), abs(mask.grid.transform.e))
    if (
        own[0] > wanted[0] + pixel
        or own[1] > wanted[1] + pixel
        or own[2] < wanted[2] - pixel
        or own[3] < wanted[3] - pixel
    ):
        raise GridMismatchError(f"the mask {mask.path.name} does not cover the scenes")


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
