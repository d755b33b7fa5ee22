"""The real Sentinel-2 sample that the PyPI package `spyndex` carries, as a GeoTIFF: for machines that have no other
scene."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine

from swath_eo.errors import UnreadableFileError

_FILE = "data/S2_10m.json"
_BANDS = ("B02", "B03", "B04", "B08")  # the order that spyndex documents
_SHAPE = (len(_BANDS), 300, 300)


def write_spyndex_sample(path: Path) -> Path:
    """Writes spyndex's Sentinel-2 sample (4 bands x 300 x 300 pixels of 10 m, reflectance x 10000) to `path` and
    returns it.

    The sample says nothing of its place, so it lies on a nominal grid in EPSG:32632 and is marked LOCATION=unknown.
    Raises UnreadableFileError where spyndex is not installed or holds another sample.
    """
    values = _read_sample()
    profile = {
        "driver": "GTiff",
        "dtype": "uint16",
        "count": len(_BANDS),
        "width": _SHAPE[2],
        "height": _SHAPE[1],
        "crs": CRS.from_epsg(32632),
        "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000),
        "nodata": 0,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(values)
        dataset.descriptions = _BANDS
        dataset.update_tags(
            LOCATION="unknown",
            TIFFTAG_IMAGEDESCRIPTION="Sentinel-2 L2A sample of spyndex; location unknown, the grid is nominal",
            TIFFTAG_COPYRIGHT="Contains modified Copernicus Sentinel data",
        )
    return path


def _read_sample() -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    # Found without importing it: the package imports much that is not needed to read one file of it.
    spec = find_spec("spyndex")
    if spec is None or not spec.submodule_search_locations:
        raise UnreadableFileError("the package spyndex, which carries the sample scene, is not installed")
    file = Path(spec.submodule_search_locations[0]) / _FILE
    try:
        values = np.array(json.loads(file.read_text(encoding="utf-8")), dtype=np.uint16)
    except (OSError, ValueError) as error:
        raise UnreadableFileError(f"spyndex carries no readable sample scene: {error}") from error
    if values.shape != _SHAPE:
        raise UnreadableFileError(f"spyndex's sample scene has the shape {values.shape}, not {_SHAPE}")
    return values
