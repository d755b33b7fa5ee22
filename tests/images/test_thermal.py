"""Landsat's surface temperature is kelvin by its own scale and offset, and never reflectance."""

import json

import numpy as np
import pytest
import rasterio
from swath_eo.errors import BandMissingError
from swath_eo.scenes.product import open_product

from tests.images.scenes import random_numbers, write

NAME = "{}_191028_{}_20230910_02_T1"
SCALE, OFFSET = 0.00341802, 149.0
WARM = 44178  # 300.0 K
LEVEL_2 = """
    LANDSAT_PRODUCT_ID = "LC08_L2SP_191028_20230601_20230910_02_T1"
    REFLECTANCE_MULT_BAND_4 = 2.75e-05
    REFLECTANCE_ADD_BAND_4 = -0.2
    TEMPERATURE_MULT_BAND_ST_B10 = 0.00341802
    TEMPERATURE_ADD_BAND_ST_B10 = 149.0
    LANDSAT_PRODUCT_ID = "LC08_L1TP_191028_20230601_20230910_02_T1"
    RADIANCE_MULT_BAND_10 = 3.3420E-04
    RADIANCE_ADD_BAND_10 = 0.10000
"""
LEVEL_1 = """
    LANDSAT_PRODUCT_ID = "LC08_L1TP_191028_20230601_20230910_02_T1"
    REFLECTANCE_MULT_BAND_4 = 2.0E-05
    REFLECTANCE_ADD_BAND_4 = -0.1
    REFLECTANCE_MULT_BAND_8 = 2.0E-05
    REFLECTANCE_ADD_BAND_8 = -0.1
    RADIANCE_MULT_BAND_10 = 3.3420E-04
    RADIANCE_ADD_BAND_10 = 0.10000
"""


def a_landsat(folder, level="L2SP", day="20230601", *, bands=("SR_B4", "ST_B10"), mtl=None, warm=WARM, sensor="LC08"):
    """A directory of some bands; the thermal one holds one number, and fill in its corner."""
    name = NAME.format(f"{sensor}_{level}", day)
    scene = folder / name
    scene.mkdir(parents=True)
    for band in bands:
        numbers = np.full((40, 40), warm, np.uint16) if band.endswith(("B10", "B6")) else random_numbers(4, (40, 40))
        numbers[0, 0] = 0
        write(scene / f"{name}_{band}.TIF", numbers, nodata=None)
    if mtl:
        rest = 'SPACECRAFT_ID = "LANDSAT_8"\nSUN_ELEVATION = 30.0\n'
        (scene / f"{name}_MTL.txt").write_text(rest + mtl)
    return scene


def described(path):
    """Each band's scale, offset and unit, by its name."""
    with rasterio.open(path) as made:
        told = zip(made.scales, made.offsets, made.units, strict=True)
        return dict(zip(made.descriptions, told, strict=True))


@pytest.mark.parametrize("mtl", [None, LEVEL_2], ids=["by name", "by metadata"])
@pytest.mark.parametrize("wanted", ["lwir11", "ST_B10"])
def test_surface_temperature_has_its_own_scale(tmp_path, mtl, wanted):
    """By the product's name or its metadata, beside reflectance that keeps its own; the level before it has no say."""
    product = open_product(a_landsat(tmp_path, mtl=mtl))
    found = product.calibration(product.find(wanted), offset="none", scale=1e-4)
    assert (found.scale, found.offset, found.unit) == (SCALE, OFFSET, "K")
    red = product.calibration(product.find("red"))
    assert (red.scale, red.offset, red.unit) == (2.75e-5, -0.2, "1")
    assert product.find(wanted).nodata == 0


def test_files_tell_it_in_a_directory_of_any_name(tmp_path):
    """Of Landsat 8 and of those before it, which have one thermal band."""
    for sensor, band, wanted in (("LC08", "ST_B10", "lwir11"), ("LT05", "ST_B6", "lwir")):
        product = open_product(
            a_landsat(tmp_path / sensor, bands=(band, "SR_B4"), sensor=sensor).rename(tmp_path / wanted)
        )
        assert product.calibration(product.find(wanted)).unit == "K"


def test_a_subset_tells_kelvin(tmp_path, run_subset, run_bands):
    """Of all bands, each with its own scale and unit; whatever is made of the subset still knows it."""
    result = run_subset(scene=a_landsat(tmp_path), offset="none")
    told = described(result.output / "subset.tif")
    assert told["lwir11"] == (SCALE, OFFSET, "K")
    assert told["red"] == (2.75e-5, 0.0, "1")
    again = run_bands(scene=result.output / "subset.tif", expression="lwir11")
    with rasterio.open(again.output / "bands.tif") as made:
        assert made.read(1)[20, 20] == pytest.approx(300, abs=2e-3)


def test_expressions_and_indices_see_kelvin(tmp_path, run_bands):
    """By Landsat's own name for the band or the list's, T1; fill is no data."""
    scene = a_landsat(tmp_path, mtl=LEVEL_2)
    result = run_bands(scene=scene, index="NBLIOLI", expression="celsius = lwir11 - 273.15; same = T1")
    assert result.exit_code == 0, result.errors
    with rasterio.open(result.output / "bands.tif") as made:
        index, celsius, same = made.read()
    red = random_numbers(4, (40, 40))[20, 20] * 2.75e-5 - 0.2
    assert celsius[20, 20] == pytest.approx(26.85, abs=2e-3)
    assert same[20, 20] == pytest.approx(300, abs=2e-3)
    assert index[20, 20] == pytest.approx((red - 300) / (red + 300), abs=1e-5)
    assert np.isnan(celsius[0, 0])


def test_composites_and_mosaics_stay_kelvin(tmp_path, run_composite, run_mosaic):
    """Numbers, scale and unit; a mean of 300 and 310 is 305."""
    scenes = [
        a_landsat(tmp_path, day=day, warm=round((kelvin - OFFSET) / SCALE))
        for day, kelvin in (("20230601", 300), ("20230617", 310))
    ]
    composite = run_composite("--scenes", *scenes, method="mean", bands="lwir11,red")
    mosaic = run_mosaic(*scenes, method="mean", bands="lwir11,red", feather=0)
    for made in (composite.output / "composite.tif", mosaic.output / "mosaic.tif"):
        scale, offset, unit = described(made)["lwir11"]
        with rasterio.open(made) as dataset:
            numbers = dataset.read(1, masked=True)
        assert (scale, offset, unit) == (SCALE, OFFSET, "K")
        assert numbers[20, 20] * scale + offset == pytest.approx(305, abs=5e-3)
        assert numbers.mask[0, 0]


def test_level_1_tells_radiance_and_is_no_temperature(tmp_path, run_subset, run_bands):
    """Cut with its scale, and refused where it would be computed with; the panchromatic band, which has no colour, is cut with
    its reflectance."""
    scene = a_landsat(tmp_path, "L1TP", bands=("B4", "B8", "B10"), mtl=LEVEL_1)
    made = run_subset(scene=scene)
    assert made.exit_code == 0, made.errors
    told = described(made.output / "subset.tif")
    assert told["lwir11"] == (3.342e-4, 0.1, "W/(m2 sr um)")
    assert told["landsat b08"][0] == pytest.approx(4e-5)
    refused = run_bands(scene=scene, expression="lwir11 - 273.15")
    assert (refused.exit_code, refused.summary["error"]) == (18, "calibration-unknown")
    assert run_bands(scene=scene, expression="red").exit_code == 0


def test_a_thermal_band_that_nothing_describes_is_no_reflectance(tmp_path, run_bands):
    """Whole numbers are refused, floating point is what it is; a band of another name stays missing."""
    whole = write(tmp_path / "whole.tif", np.full((8, 8), WARM, np.uint16), names=("lwir11",))
    assert run_bands(scene=whole, expression="lwir11").exit_code == 18
    real = write(tmp_path / "real.tif", np.full((8, 8), 300, np.float32), nodata=None, names=("lwir11",))
    with rasterio.open(run_bands(scene=real, expression="lwir11").output / "bands.tif") as made:
        assert made.read(1)[4, 4] == 300
    with pytest.raises(BandMissingError):
        open_product(a_landsat(tmp_path)).find("lwir12")


@pytest.mark.parametrize(("unit", "expected"), [("kelvin", "K"), ("K", "K"), (None, "1")])
def test_items_of_catalogues_tell_it_too(tmp_path, unit, expected):
    """As they have it of lwir11: scale, offset and unit."""
    scene = tmp_path / "scene"
    scene.mkdir()
    for band in ("lwir11", "red"):
        write(scene / f"{band}.tif", random_numbers(1))
    band = {"scale": SCALE, "offset": OFFSET} | ({"unit": unit} if unit else {})
    assets = {"lwir11": {"href": "./lwir11.tif", "raster:bands": [band]}, "red": {"href": "./red.tif"}}
    (scene / "item.json").write_text(json.dumps({"type": "Feature", "properties": {}, "assets": assets}))
    product = open_product(scene)
    found = product.calibration(product.find("lwir11"))
    assert (found.scale, found.offset, found.unit) == (SCALE, OFFSET, expected)
