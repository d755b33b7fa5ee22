"""Whose scene it is: atmcor knows it by metadata or name, says which table stands in for a sensor, and refuses the others."""

import json

import numpy as np
import pytest
from swath_eo.atmosphere.sixs import STAND_INS

from tests.images.l1c import WITH_ANGLES, read, write_image
from tests.images.safes import a_safe
from tests.images.scenes import Runner, random_numbers, write
from tests.images.test_dark_object import make_mtl


@pytest.fixture
def run(tmp_path, capsys):
    """Runs atmcor in this process: `run(scene=...)`."""
    return Runner(tmp_path, capsys, "atmcor")


def a_landsat(folder, bands=("B2", "B4"), mtl=None):
    folder.mkdir()
    stem = "LC08_L1TP_192028_20190703_20190718_01_T1"
    for number, band in enumerate(bands):
        write(folder / f"{stem}_{band}.TIF", random_numbers(number, low=8000, high=20000))
    (folder / f"{stem}_MTL.txt").write_text(make_mtl() if mtl is None else mtl)
    return folder


def test_a_landsat_directory_is_corrected_by_its_metadata(tmp_path, run):
    """Numbers become reflectance under the sun's height; the sensor's table and bands are Landsat's."""
    done = run(scene=a_landsat(tmp_path / "scene"), method="dos1", dark_pixels=1)
    assert done.exit_code == 0, done.errors
    numbers = random_numbers(0, low=8000, high=20000)
    expected = 2e-5 * (numbers.astype(float) - numbers.min()) / np.sin(np.radians(61.25)) + 0.01
    assert np.abs(read(done)[0] / 10000 - expected).max() < 1e-4
    done = run(scene=tmp_path / "scene", aerosol=0.1)
    assert done.exit_code == 0, done.errors
    assert list(done.summary["statistics"]) == ["blue", "red"]


def test_a_landsat_9_directory_is_known_and_told_to_be_corrected_as_landsat_8(tmp_path, run):
    """By its metadata: the same numbers, a warning with the size of the error, and both names in the item."""
    scene = a_landsat(tmp_path / "scene")
    as_8 = run(scene=scene, aerosol=0.1)
    mtl = next(scene.glob("*_MTL.txt"))
    mtl.write_text(make_mtl().replace("LANDSAT_8", "LANDSAT_9"))
    as_9 = run(scene=scene, aerosol=0.1)
    assert as_9.exit_code == 0, as_9.errors
    assert np.array_equal(read(as_8), read(as_9))
    assert not [line for line in as_8.summary["warnings"] if "stands in" in line]
    (told,) = [line for line in as_9.summary["warnings"] if "stands in" in line]
    assert "landsat-9" in told
    assert str(STAND_INS["landsat-9"].error) in told
    parameters = json.loads((as_9.output / "item.json").read_text())["properties"]["swath:parameters"]
    assert (parameters["sensor"], parameters["table"]) == ("landsat-9", "landsat-8")
    assert not [line for line in run(scene=scene, method="dos1", dark_pixels=1).summary["warnings"] if "stands" in line]


@pytest.mark.data
def test_a_sentinel_2c_product_is_known_by_its_metadata(data_folder, tmp_path, run):
    """And corrected by the table that stands in for it."""
    safe = a_safe(tmp_path, data_folder, WITH_ANGLES, shrink=180, write_image=write_image)
    metadata = next(safe.glob("MTD_MSIL1C.xml"))
    metadata.write_text(metadata.read_text().replace("Sentinel-2A", "Sentinel-2C").replace("S2A_", "S2C_"))
    done = run(scene=safe, aerosol=0.1, bands="B02,B04", clouds="none")
    assert done.exit_code == 0, done.errors
    parameters = json.loads((done.output / "item.json").read_text())["properties"]["swath:parameters"]
    assert (parameters["sensor"], parameters["table"]) == ("sentinel-2c", STAND_INS["sentinel-2c"].table)
    assert [line for line in done.summary["warnings"] if "sentinel-2c" in line and "stands in" in line]


@pytest.mark.parametrize(
    ("name", "band", "sensor"),
    [
        ("S2A_MSIL1C_20230815T095031_N0509_R079_T33TWM_20230815T155057", "B04", "sentinel-2a"),
        ("S2C_MSIL1C_20250815T095031_N0511_R079_T33TWM_20250815T155057", "B04", "sentinel-2c"),
        ("S2C_33TWM_20250815_0_L1C", "B04", "sentinel-2c"),
        ("LC08_L1TP_192028_20230703_20230718_02_T1", "B4", "landsat-8"),
        ("LC09_L1TP_192028_20230703_20230718_02_T1", "B4", "landsat-9"),
        ("S2D_MSIL1C_20290815T095031_N0511_R079_T33TWM_20290815T155057", "B04", None),
        ("LE07_L1TP_192028_20030703_20030718_02_T1", "B4", None),
    ],
)
def test_a_scene_without_metadata_is_known_by_its_name(tmp_path, run, name, band, sensor):
    """A directory with a file a band, as archives keep them; what has no table is refused."""
    scene = tmp_path / name
    scene.mkdir()
    write(scene / f"{name if sensor and 'landsat' in sensor else 'x'}_{band}.tif", random_numbers(1))
    done = run(scene=scene, aerosol=0.1, sun_zenith=40, scale=1e-4, offset="none")
    if sensor is None:
        assert done.exit_code in (29, 30)
        return
    assert done.exit_code == 0, done.errors
    parameters = json.loads((done.output / "item.json").read_text())["properties"]["swath:parameters"]
    assert parameters["sensor"] == sensor


def test_a_lone_file_needs_its_sensor_and_sun(tmp_path, run):
    """With both it is corrected; an all-zero one is refused."""
    numbers = random_numbers(1)
    scene = write(tmp_path / "toa.tif", [numbers, numbers], names=["B02", "B04"])
    assert run(scene=scene, aerosol=0.1).exit_code == 30
    assert run(scene=scene, aerosol=0.1, sensor="sentinel-2a").exit_code == 30
    assert run(scene=scene, aerosol=0.1, sensor="sentinel-2a", sun_zenith=40).exit_code == 0
    empty = write(tmp_path / "empty.tif", np.zeros((50, 50), np.uint16), names=["B02"])
    for method in ("physical", "dos1"):
        asked = {"method": method, "sensor": "sentinel-2a", "sun_zenith": 40, "aerosol": 0.1}
        assert run(scene=empty, **asked).exit_code == 17


@pytest.mark.parametrize(
    ("name", "item", "code"),
    [
        ("S2A_33TWM_20230815_0_L2A", {}, 29),
        ("S2A_MSIL2A_20230815T095031_N0509_R079_T33TWM", {}, 29),
        ("LC08_L2SP_193028_20200815_20200822_02_T1", {}, 29),
        ("scene", {"id": "S2A_33TWM_20230815_0_L2A"}, 29),
        ("scene", {"id": "x", "collection": "sentinel-2-l2a"}, 29),
        ("S2A_33TWM_20230815_0_L1C", {"id": "S2A_33TWM_20230815_0_L1C", "collection": "sentinel-2-l1c"}, 0),
    ],
)
def test_what_tells_that_it_is_the_surface_is_not_corrected_again(tmp_path, run, name, item, code):
    """By a directory's name or its STAC item, whatever sensor and sun are given."""
    scene = tmp_path / name
    scene.mkdir()
    write(scene / "B02.tif", random_numbers(1))
    if item:
        (scene / "item.json").write_text(json.dumps({"type": "Feature", "properties": {}, "assets": {}, **item}))
    done = run(scene=scene, aerosol=0.1, sensor="sentinel-2a", sun_zenith=40)
    assert done.exit_code == code, done.errors


@pytest.mark.parametrize(
    ("mtl", "code"),
    [
        ("", 20),
        ("SPACECRAFT_ID = LANDSAT_8", 20),
        (make_mtl().replace("61.25", "high"), 20),
        (make_mtl().replace("LANDSAT_8", "LANDSAT_5"), 29),
        (make_mtl().replace("61.25", "-3"), 30),
    ],
)
def test_landsat_metadata_that_do_not_do_are_refused(tmp_path, run, mtl, code):
    """Empty, incomplete, no number, another satellite, night."""
    assert run(scene=a_landsat(tmp_path / "scene", mtl=mtl), aerosol=0.1).exit_code == code
