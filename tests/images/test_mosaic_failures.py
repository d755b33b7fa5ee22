"""The image mosaic ends with an error of its own for each thing that can be wrong, and leaves no picture."""

import json

import numpy as np
import pytest

from tests.images.mosaics import MOSAIC, NAMES, overlapping, with_holes
from tests.images.scenes import random_numbers, write

# Each way to fail: what is given to the program, by the name of its error in the manifest.


def unreadable_file(folder):
    (folder / "x.tif").write_bytes(b"no image")
    return [*overlapping(folder), folder / "x.tif"], {}


def band_missing(folder):
    return [*overlapping(folder), write(folder / "x.tif", with_holes(1), names=("B08", "B02"))], {}


def no_crs(folder):
    return [*overlapping(folder), write(folder / "x.tif", with_holes(1), names=NAMES, crs=None)], {}


def grid_mismatch(folder):
    return [*overlapping(folder), write(folder / "x.tif", with_holes(1), names=NAMES, size=200)], {}


def off_the_map(folder):
    north_of_the_pole = write(
        folder / "x.tif", with_holes(1), names=NAMES, origin=(15, 95), size=0.001, crs="EPSG:4326"
    )
    return [*overlapping(folder), north_of_the_pole], {}


def empty_overlap(folder):
    return overlapping(folder), {"bbox": "600000,5100000,601000,5101000"}


def no_valid_pixels(folder):
    return [write(folder / "x.tif", np.zeros((2, 50, 50), dtype=np.uint16)[0])], {}


def all_zero(folder):
    nothing = np.zeros((50, 50), dtype=np.uint16)
    return [write(folder / "x.tif", [nothing, nothing], names=NAMES, nodata=None), *overlapping(folder)], {}


def calibration_unknown(folder):
    for name in ("B04.tif", "B08.tif"):
        write(folder / name, random_numbers(1))
    (folder / "item.json").write_text("{")
    return [folder, folder], {}


def no_clear_observation(folder):
    for name in ("B04", "B03"):
        write(folder / f"{name}.tif", random_numbers(1))
    write(folder / "SCL.tif", np.full((120, 160), 9, dtype=np.uint8))
    return [folder, folder], {}


def cannot_harmonize(folder):
    apart = write(folder / "x.tif", with_holes(1), names=NAMES, origin=(520_000, 5_200_000))
    return [overlapping(folder)[0], apart], {"harmonize": "linear"}


def mosaic_too_large(folder):
    apart = write(folder / "x.tif", with_holes(1), names=NAMES, origin=(1_500_000, 1_000_000))
    return [overlapping(folder)[0], apart], {}


def bad_parameter(folder):
    return overlapping(folder), {"order": "newest"}


FAILURES = (
    *(unreadable_file, band_missing, no_crs, grid_mismatch, off_the_map, empty_overlap, no_valid_pixels, all_zero),
    *(calibration_unknown, no_clear_observation, cannot_harmonize, mosaic_too_large, bad_parameter),
)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
def test_each_failure_has_its_exit_code_and_leaves_nothing(tmp_path, run_mosaic, failure):
    """The code that the manifest names, the reason in the log, and no picture that could be taken for one."""
    others = {"all_zero": "no-valid-pixels", "off_the_map": "grid-mismatch"}
    name = others.get(failure.__name__, failure.__name__.replace("_", "-"))
    manifest = json.loads((MOSAIC / "seed.manifest.json").read_text())
    codes = {error["name"]: error["code"] for error in manifest["job"]["errors"]}
    folder = tmp_path / "input"
    folder.mkdir()
    scenes, options = failure(folder)
    result = run_mosaic(*scenes, **options)
    assert (result.exit_code, result.summary["error"]) == (codes[name], name)
    assert name in result.errors
    assert list(result.output.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        *({"feather": -1}, {"feather": "x"}, {"order": "best"}, {"order": "score"}, {"crs": "nonsense"}),
        *({"bbox": "1,2,3"}, {"bbox": "9,9,1,1"}, {"resolution": 0}, {"date": "yesterday"}, {"feather": 1e6}),
    ],
    ids=str,
)
def test_a_parameter_that_makes_no_sense_is_told(tmp_path, run_mosaic, options):
    """And never taken for a scene's fault."""
    assert run_mosaic(*overlapping(tmp_path), **options).exit_code == 30
