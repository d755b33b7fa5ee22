"""A product of the top of the atmosphere that has real angles, and what atmcor makes of one."""

import rasterio

from tests.images.scenes import random_numbers, write

WITH_ANGLES = "S2A_MSIL1C_20200717T221941_R029_T01LAC_20200717T234135.SAFE"
PLACE = {"origin": (99_960, 8_300_020), "crs": "EPSG:32701"}  # of its tile


def write_image(path, number, shape, size):
    """Random numbers, and a corner without data."""
    values = random_numbers(number, shape, low=1500, high=6000)
    values[: shape[0] // 10, : shape[1] // 10] = 0
    write_jp2(path, values, size)


def write_jp2(path, values, size):
    """Lossless, on the tile's grid."""
    write(path, values, **PLACE, size=size, nodata=None, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")


def read(result, name="surface.tif"):
    """An output's numbers (bands, rows, columns)."""
    with rasterio.open(result.output / name) as dataset:
        return dataset.read()
