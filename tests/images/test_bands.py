"""Bands are found under all the names that archives give them."""

import pytest
from swath_eo.errors import BandAmbiguousError, BandMissingError
from swath_eo.scenes.bands import canonical_name, find_index, is_wanted, name_from_file


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("B04", "B04"),
        ("B4", "B04"),
        ("b08", "B08"),
        ("Band 8", "B08"),
        ("B8A", "B8A"),
        ("B08A", "B8A"),
        ("Red", "red"),
        ("NIR", "nir"),
        ("nir08", "nir08"),
        ("B4, central wavelength 665 nm", "B04"),
        ("NIR (842 nm)", "nir"),
        ("SCL", "scl"),
        (" B11 ", "B11"),
    ],
)
def test_a_name_has_one_spelling(text, name):
    """Descriptions and tags of many tools."""
    assert canonical_name(text) == name


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("B04.tif", "B04"),
        ("S2A_33TWM_20230815_0_L2A_B04_10m.jp2", "B04"),
        ("T34UCF_20230823T095559_B8A_20m.jp2", "B8A"),
        ("L2A_T32TPS_20200606T101559_B08_10m.jp2", "B08"),
        ("red.tif", "red"),
        ("scene-2023.08.15-nir.tif", "nir"),
        ("S2B_29RKH_20200219_0_L2A.json", None),
        ("SCL.tif", None),
        ("AOT.tif", None),
        ("MSK_DETFOO_B04.jp2", None),
        ("S2_L2A_sample.tif", None),
        ("LC08_L2SP_193028_20200606_20200825_02_T1_SR_B5.TIF", "nir"),
        ("LC09_L2SP_193028_20220606_20220825_02_T1_SR_B4.TIF", "red"),
        ("LT05_L2SP_193028_20100606_20200825_02_T1_SR_B3.TIF", "red"),
        ("LE07_L2SP_193028_20100606_20200825_02_T1_SR_B4.TIF", "nir"),
        ("LC08_L1TP_193028_20200606_20200825_02_T1_B8.TIF", "landsat b08"),
    ],
)
def test_a_file_name_tells_its_band(file_name, name):
    """Tile, date and resolution stand around it; masks and Landsat's panchromatic B8 are not taken for it."""
    assert name_from_file(file_name) == name


def test_a_number_and_its_colour_are_one_band():
    """Sentinel-2's B04 is red, and B8A is another band than B08."""
    assert is_wanted("B04", "red")
    assert is_wanted("nir", "B08")
    assert not is_wanted("B8A", "nir")


def test_a_band_is_found_by_any_of_its_names():
    """Descriptions and tags stand side by side."""
    names = [["B04"], ["B03"], [], ["Near infrared band", "B08"]]
    assert find_index("red", names, where="x") == 1
    assert find_index("nir", names, where="x") == 4
    assert find_index("B03", names, where="x") == 2


def test_the_narrow_infrared_serves_where_there_is_no_other():
    """B8A for B08, and never before it."""
    assert find_index("nir", [["B04"], ["B8A"]], where="x") == 2
    assert find_index("nir", [["B8A"], ["B08"]], where="x") == 2


def test_a_number_names_a_band_without_names():
    """From 1, as GDAL counts."""
    assert find_index("2", [[], []], where="x") == 2


@pytest.mark.parametrize("wanted", ["0", "3"])
def test_a_number_beyond_the_file_is_missing(wanted):
    """The message tells how many there are."""
    with pytest.raises(BandMissingError, match="bands 1 to 2"):
        find_index(wanted, [[], []], where="x")


def test_a_file_of_one_band_needs_no_name():
    """Whoever gives two files has said which is which."""
    assert find_index("red", [[]], where="x") == 1


def test_a_missing_band_tells_what_is_there():
    """So that the user can name one."""
    with pytest.raises(BandMissingError, match="1: B02, 2: unnamed"):
        find_index("red", [["B02"], []], where="x")


def test_two_bands_of_one_name_are_no_guess():
    """The message asks for a number."""
    with pytest.raises(BandAmbiguousError, match=r"\[1, 3\]"):
        find_index("red", [["B04"], ["B08"], ["red"]], where="x")
