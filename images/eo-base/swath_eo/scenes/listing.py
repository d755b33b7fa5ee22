"""Which scenes are meant: those that are given, or all in one directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from swath_eo.errors import ParameterError
from swath_eo.scenes.archives import is_zip
from swath_eo.scenes.product import Product, is_scene, open_product
from swath_eo.scenes.rasters import is_raster

_NAMED = {".tif", ".tiff", ".jp2", ".j2k", ".zip"}


def find_products(given: Sequence[Path]) -> list[Product]:
    """The scenes that are given, or all in the one directory that is none itself. Raises ParameterError and what
    `open_product` does."""
    alone = len(given) == 1 and given[0].is_dir() and is_scene(given[0])
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
