"""Scenes of one place that are calibrated in different ways meet in one picture without a loss."""

import json

import numpy as np
import pytest
import rasterio
from swath_eo.scenes.adjustment import Adjustment
from swath_eo.scenes.calibration import Calibration

from tests.images.scenes import write

SINGLE = float(np.float32(1e-4)), -0.1  # as a writer of float32 tells Sentinel-2's
SENTINEL, LANDSAT, COARSE = (1e-4, -0.1), (2.75e-5, -0.2), (4e-3, 0.0)
NAMES = ("B04", "B08")


def a_scene(folder, day, reflectance, *calibrations, dtype=np.uint16):
    """A directory whose item tells scale and offset, of both bands or of each; a band has one reflectance all over."""
    told = dict(zip(NAMES, calibrations * len(NAMES), strict=False))
    scene = folder / f"S2A_33TWM_{day}_0_L2A"
    scene.mkdir()
    for (name, (scale, offset)), value in zip(told.items(), reflectance, strict=True):
        write(scene / f"{name}.tif", np.full((8, 8), round((value - offset) / scale), dtype=dtype))
    assets = {n: {"href": f"./{n}.tif", "raster:bands": [{"scale": s, "offset": o}]} for n, (s, o) in told.items()}
    properties = {"datetime": f"2023-06-{day[-2:]}T10:00:00Z"}
    (scene / "item.json").write_text(json.dumps({"type": "Feature", "properties": properties, "assets": assets}))
    return scene


def reflectance_of(result, name="composite.tif"):
    """The bands' reflectance by the file's own scale and offset, and the file's type."""
    assert result.exit_code == 0, result.errors
    with rasterio.open(result.output / name) as made:
        scales, offsets = (np.array(of[:2])[:, None, None] for of in (made.scales, made.offsets))
        return made.read((1, 2)) * scales + offsets, made.dtypes[0]


@pytest.mark.parametrize("calibrations", [(LANDSAT, SENTINEL), (SENTINEL, LANDSAT)])
@pytest.mark.parametrize("method", ["mean", "median", "geometric-median", "latest", "max-ndvi"])
def test_two_scales_meet_in_reflectance(tmp_path, run_composite, calibrations, method):
    """Whichever comes first: a bright one, beyond what the other's numbers hold, is not cut off."""
    first = a_scene(tmp_path, "20230601", (0.1, 0.3), calibrations[0])
    second = a_scene(tmp_path, "20230611", (0.2, 1.55), calibrations[1])
    values, dtype = reflectance_of(run_composite("--scenes", first, second, method=method))
    expected = (0.2, 1.55) if method in ("latest", "max-ndvi") else (0.15, 0.925)
    assert dtype == "float32"
    np.testing.assert_allclose(values[:, 4, 4], expected, atol=3e-5)


def test_what_the_first_scale_cannot_hold_is_kept(tmp_path, run_composite):
    """1.9 has no number in Landsat's 16 bits of 0.0000275, and was 1.602."""
    first = a_scene(tmp_path, "20230601", (0.1, 0.3), LANDSAT)
    second = a_scene(tmp_path, "20230611", (0.2, 1.9), SENTINEL)
    values, _ = reflectance_of(run_composite("--scenes", first, second, method="latest"))
    np.testing.assert_allclose(values[:, 0, 0], (0.2, 1.9), atol=1e-6)


def test_a_coarse_first_scale_does_not_round_the_others(tmp_path, run_composite):
    """8 bits of 0.004 before 16 of 0.0001: 0.0213 stays that."""
    first = a_scene(tmp_path, "20230601", (0.4, 0.4), COARSE, dtype=np.uint8)
    second = a_scene(tmp_path, "20230611", (0.0213, 0.3117), (1e-4, 0.0))
    values, _ = reflectance_of(run_composite("--scenes", first, second, method="latest"))
    np.testing.assert_allclose(values[:, 0, 0], (0.0213, 0.3117), atol=1e-7)


def test_scenes_of_one_scale_stay_whole_numbers(tmp_path, run_composite):
    """As they were, in the lowest offset."""
    first = a_scene(tmp_path, "20230601", (0.1, 0.3), (1e-4, 0.0))
    second = a_scene(tmp_path, "20230611", (0.2, 0.5), SENTINEL)
    values, dtype = reflectance_of(run_composite("--scenes", first, second, method="latest"))
    assert dtype == "uint16"
    np.testing.assert_allclose(values[:, 0, 0], (0.2, 0.5), atol=1e-9)


@pytest.mark.parametrize("calibrations", [(LANDSAT, SENTINEL), (COARSE, SENTINEL)])
@pytest.mark.parametrize(("method", "expected"), [("last", (0.2, 1.9)), ("max", (0.2, 1.9)), ("mean", (0.15, 1.1))])
def test_a_mosaic_is_of_reflectance_too(tmp_path, run_mosaic, calibrations, method, expected):
    """The first one's whole numbers neither cut off what is bright nor round what is fine."""
    first = a_scene(tmp_path, "20230601", (0.1, 0.3), calibrations[0])
    second = a_scene(tmp_path, "20230611", (0.2, 1.9), calibrations[1])
    values, dtype = reflectance_of(run_mosaic(first, second, method=method, feather=0), "mosaic.tif")
    assert dtype == "float32"
    np.testing.assert_allclose(values[:, 4, 4], expected, atol=3e-5)


def test_a_mosaic_of_one_scale_stays_of_whole_numbers(tmp_path, run_mosaic):
    """In the first one's offset."""
    first = a_scene(tmp_path, "20230601", (0.1, 0.3), (1e-4, 0.0))
    second = a_scene(tmp_path, "20230611", (0.2, 0.5), SENTINEL)
    values, dtype = reflectance_of(run_mosaic(first, second, method="last", feather=0), "mosaic.tif")
    assert dtype == "uint16"
    np.testing.assert_allclose(values[:, 4, 4], (0.2, 0.5), atol=1e-9)


@pytest.mark.parametrize("calibrations", [(SINGLE, SENTINEL), (SENTINEL, SINGLE)])
def test_a_scale_in_single_precision_is_the_same(tmp_path, run_composite, run_mosaic, calibrations):
    """Numbers stay whole and what they were, and there is nothing to warn of."""
    first = a_scene(tmp_path, "20230601", (0.1, 0.3), calibrations[0])
    second = a_scene(tmp_path, "20230611", (0.2, 6.4), calibrations[1])
    composite = run_composite("--scenes", first, second, method="latest", dilation=0)
    mosaic = run_mosaic(first, second, method="last", feather=0)
    for result, name in ((composite, "composite.tif"), (mosaic, "mosaic.tif")):
        with rasterio.open(result.output / name) as made:
            assert made.dtypes[0] == "uint16"
            assert made.read((1, 2))[:, 4, 4].tolist() == [3000, 65000]
        assert not any("scale" in warning for warning in result.summary["warnings"])


@pytest.mark.parametrize(("nir", "code"), [(SINGLE, 0), (COARSE, 18)])
def test_red_and_infrared_of_one_scale_have_an_index(tmp_path, run_composite, nir, code):
    """Single precision or not; of two scales their numbers cannot be compared."""
    scenes = [a_scene(tmp_path, day, (0.1, 0.3), SENTINEL, nir) for day in ("20230601", "20230611")]
    assert run_composite("--scenes", *scenes, method="max-ndvi").exit_code == code


def test_reflectance_instead_of_the_scenes_numbers_is_told(tmp_path, run_composite, run_mosaic):
    """As a warning in the summary and the log, with the scales."""
    scenes = a_scene(tmp_path, "20230601", (0.1, 0.3), LANDSAT), a_scene(tmp_path, "20230611", (0.2, 0.5), SENTINEL)
    for result in (run_composite("--scenes", *scenes), run_mosaic(*scenes, feather=0)):
        (told,) = [warning for warning in result.summary["warnings"] if "scales differ" in warning]
        assert "2.75e-05 to 0.0001" in told
        assert "reflectance" in told
        assert f"warning: {told}" in result.errors
        assert json.loads((result.output / "seed.outputs.json").read_text())["warnings"] == result.summary["warnings"]


def test_an_adjustment_of_nearly_the_same_scale_is_none():
    """So that scenes are read as they are."""
    own, wanted = ([Calibration(scale=scale)] for scale in (SINGLE[0], SENTINEL[0]))
    assert Adjustment.between(own, wanted).is_identity
