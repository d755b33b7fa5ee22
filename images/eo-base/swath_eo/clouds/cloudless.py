"""Clouds by the package s2cloudless, where it is installed: a probability for each pixel of a Sentinel-2 L1C scene."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath_eo.scenes.product import Product
from swath_eo.scenes.rasters import BandFile

BANDS = ("B01", "B02", "B04", "B05", "B08", "B8A", "B09", "B10", "B11", "B12")


def is_installed() -> bool:
    """Images that flag no clouds do without it: it brings half a gigabyte along."""
    return find_spec("s2cloudless") is not None


def cloud_bands(product: Product) -> list[BandFile]:
    """The bands that tell clouds; none where the product is no L1C."""
    if product.safe is None or product.safe.level != "L1C" or not all(product.has(name) for name in BANDS):
        return []
    return [product.find(name) for name in BANDS]


def cloud_probability(toa: NDArray[np.float32]) -> NDArray[np.float32]:
    """(rows, columns), 0 to 1, by the reflectance of BANDS at the top of the atmosphere (bands, rows, columns).

    Each pixel by itself: the averages and widened edges of s2cloudless would depend on where a window is cut.
    """
    image = np.moveaxis(toa, 0, -1)[np.newaxis]
    found: NDArray[np.float32] = _detector().get_cloud_probability_maps(image)[0].astype(np.float32)
    return found


@cache
def _detector() -> Any:
    detector: Any = import_module("s2cloudless").S2PixelCloudDetector
    return detector(average_over=None, dilation_size=None, all_bands=False)
