"""Dark objects are subtracted as GRASS `i.landsat.toar` does it, pixel by pixel."""

import numpy as np
import pytest
from swath_eo.atmosphere.dark_object import (
    LANDSAT_8,
    METHODS,
    Conditions,
    count_numbers,
    find_dark_number,
    make_correction,
)
from swath_eo.errors import ParameterError

from tests.images.grass import get_map, put_map, read_map, run_grass

SHAPE = (40, 50)
SUN_ELEVATION = 61.25
SUN_DISTANCE = 1.0166973
NUMBERS = {"blue": 2, "red": 4, "nir": 5, "swir22": 7}


def make_mtl():
    """Metadata of a Landsat 8 scene, as far as i.landsat.toar reads them."""
    lines = [
        "GROUP = L1_METADATA_FILE",
        'SPACECRAFT_ID = "LANDSAT_8"',
        'SENSOR_ID = "OLI_TIRS"',
        "DATE_ACQUIRED = 2019-07-03",
        "FILE_DATE = 2019-07-19T10:00:00Z",
        'SCENE_CENTER_TIME = "10:05:00.0000000Z"',
        "SUN_AZIMUTH = 140.5",
        f"SUN_ELEVATION = {SUN_ELEVATION}",
        f"EARTH_SUN_DISTANCE = {SUN_DISTANCE}",
    ]
    for number in range(1, 10):
        lines += [f"RADIANCE_MULT_BAND_{number} = 0.0{number}", f"RADIANCE_ADD_BAND_{number} = -{5 * number}0"]
        lines += [f"REFLECTANCE_MULT_BAND_{number} = 2.0E-05", f"REFLECTANCE_ADD_BAND_{number} = -0.1"]
    for number in (10, 11):
        lines += [f"RADIANCE_MULT_BAND_{number} = 3.342e-4", f"RADIANCE_ADD_BAND_{number} = 0.1"]
        lines += [f"K1_CONSTANT_BAND_{number} = 774.88", f"K2_CONSTANT_BAND_{number} = 1321.07"]
    return "\n".join([*lines, "END_GROUP = L1_METADATA_FILE", "END", ""])


@pytest.fixture(scope="module")
def toar(tmp_path_factory):
    """A scene of digital numbers, and what i.landsat.toar makes of each band by each method."""
    folder = tmp_path_factory.mktemp("toar")
    draw = np.random.default_rng(3)
    (folder / "MTL.txt").write_text(make_mtl())
    scene = draw.integers(7500, 30000, SHAPE).astype(np.uint16)
    scene.flat[draw.permutation(scene.size)[:500]] = draw.integers(8000, 8010, 500)  # the dark objects
    commands = [put_map(folder, f"L{number}", scene) for number in range(1, 12)]
    for method in METHODS:
        metadata = f"metfile={folder}/MTL.txt sensor=oli8 method={method} pixel=20"
        commands.append(f"i.landsat.toar input=L output={method}. {metadata} --quiet")
        commands += [get_map(folder, f"{method}.{number}") for number in NUMBERS.values()]
    run_grass(folder, commands)
    return scene, lambda method, number: read_map(folder, f"{method}.{number}", SHAPE[0])


@pytest.mark.parametrize("method", METHODS)
def test_each_method_is_that_of_landsat_toar(toar, method):
    """All pixels, to twelve digits; below zero, where i.landsat.toar has 0, ours stay."""
    scene, expected = toar
    dark = find_dark_number(count_numbers(scene, scene > 0), least=20)
    assert dark == 8000
    sun = np.sin(np.radians(SUN_ELEVATION))
    for band, number in NUMBERS.items():
        conditions = Conditions(sun_zenith=90 - SUN_ELEVATION, sun_distance=SUN_DISTANCE, wavelengths=LANDSAT_8[band])
        correction = make_correction(method, (2e-5 * dark - 0.1) / sun, conditions)
        found = correction.gain * (2e-5 * scene - 0.1) / sun + correction.offset
        assert np.abs(np.maximum(found, 0) - expected(method, number)).max() < 1e-12


def test_the_dark_number_is_held_by_enough_pixels():
    """The smallest with as many pixels as are asked for, without those that are no data."""
    values = np.array([[0, 0, 0, 7, 8, 8, 9, 9, 9, 65535, -5, 10**9]])
    counts = count_numbers(values, values > 0)
    assert find_dark_number(counts, least=1) == 7
    assert find_dark_number(counts, least=2) == 8
    assert find_dark_number(counts, least=3) == 9
    with pytest.raises(ParameterError):
        find_dark_number(counts, least=4)


@pytest.mark.parametrize(
    ("method", "dark", "sun_zenith"), [("dos5", 0.1, 30.0), ("dos1", 0.1, 95.0), ("dos4", 0.5, 30.0)]
)
def test_what_makes_no_sense_is_refused(method, dark, sun_zenith):
    """No such method, no sun, and a dark object that no atmosphere explains."""
    with pytest.raises(ParameterError):
        make_correction(method, dark, Conditions(sun_zenith=sun_zenith, wavelengths=(0.45, 0.52)))
