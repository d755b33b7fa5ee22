"""Trap 3 of the sample data: the reflectance offset is applied once, whoever applies it."""

import json
from dataclasses import replace

import pytest
from swath_eo.errors import CalibrationUnknownError, ParameterError, ProductMetadataError
from swath_eo.scenes.calibration import from_baseline, from_item, from_product_name, from_product_xml
from swath_eo.scenes.describe import choose_calibration
from swath_eo.scenes.landsat import parse_mtl

from tests.images.scenes import BOLZANO, DATES, find_scene, random_numbers, write

COGS = "s2-cog-29RKH/29/R/KH/2020/2/S2A_29RKH_20200219_0_L2A"


def an_item(*, properties=None, offset=-0.1, scale=0.0001):
    band = {key: value for key, value in (("offset", offset), ("scale", scale)) if value is not None}
    asset = {"href": "https://archive.example/scene/B04.tif", "raster:bands": [band]}
    return {"type": "Feature", "properties": properties or {}, "assets": {"red": asset}}


def a_scene(folder, item=None, **profile):
    folder.mkdir(exist_ok=True)
    for seed, name in enumerate(("B04.tif", "B08.tif")):
        write(folder / name, random_numbers(seed), **profile)
    if item is not None:
        (folder / "item.json").write_text(item if isinstance(item, str) else json.dumps(item))
    return find_scene(folder)


def test_an_item_that_says_the_offset_is_applied_is_believed():
    """Although it still carries -0.1."""
    item = an_item(properties={"earthsearch:boa_offset_applied": True, "s2:processing_baseline": "05.09"})
    found = from_item(item, file_name="B04.tif", band="B04")
    assert (found.scale, found.offset) == (0.0001, 0.0)


@pytest.mark.parametrize("properties", [{}, {"earthsearch:boa_offset_applied": False}])
def test_an_item_that_carries_an_offset_has_it_applied(properties):
    """Nobody has, so we do."""
    assert from_item(an_item(properties=properties), file_name="B04.tif", band="B04").offset == -0.1


@pytest.mark.parametrize(("baseline", "offset"), [("03.01", 0.0), ("04.00", -0.1), ("05.09", -0.1)])
def test_an_item_without_an_offset_tells_by_its_baseline(baseline, offset):
    """Since 04.00 there is one."""
    item = an_item(properties={"s2:processing_baseline": baseline}, offset=None, scale=None)
    found = from_item(item, file_name="B04.tif", band="B04")
    assert (found.scale, found.offset) == (0.0001, offset)


def test_an_item_of_stac_1_1_is_read():
    """Its bands stand in `bands`, its numbers under `raster:`."""
    asset = {"href": "B04.tif", "bands": [{"raster:scale": 0.0001, "raster:offset": -0.1}]}
    assert from_item({"assets": {"B04": asset}}, file_name="B04.tif", band="red").offset == -0.1


def test_a_renamed_file_is_found_by_its_band():
    """The item's asset has the band's name."""
    assert from_item(an_item(), file_name="T33TWM_B04_10m.jp2", band="B04").offset == -0.1


def test_an_item_that_does_not_list_the_file_says_nothing():
    """Another asset's offset is not taken for it."""
    assert from_item(an_item(), file_name="AOT.tif", band="aot") is None


def test_an_offset_that_is_no_number_is_not_guessed():
    """The user is asked for one."""
    with pytest.raises(CalibrationUnknownError, match="give OFFSET"):
        from_item(an_item(offset="-0.1"), file_name="B04.tif", band="B04")


@pytest.mark.data
@pytest.mark.parametrize(
    ("product", "offset"),
    [
        ("S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857.SAFE", 0.0),
        ("S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126.SAFE", -0.1),
        ("S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022157.SAFE", -0.1),
    ],
)
def test_a_products_metadata_name_its_offset(data_folder, product, offset):
    """Real metadata of baselines before, at and after the change; the product's name says the same."""
    text = (data_folder / "safe-metadata" / product / "MTD_MSIL2A.xml").read_text()
    for band in ("B04", "B08"):
        found = from_product_xml(text, band=band)
        assert found.offset == pytest.approx(offset)
        assert found.scale == 1e-4
    assert from_product_name(product).offset == offset


def test_metadata_that_are_no_xml_are_an_error():
    """A guess would be wrong by 0.1."""
    with pytest.raises(CalibrationUnknownError):
        from_product_xml("<a><b></a>", band="B04")


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
def test_a_quantification_that_divides_nothing_is_an_error(value):
    """Zero, below zero, and what is no finite number."""
    text = f"<x><QUANTIFICATION_VALUE>{value}</QUANTIFICATION_VALUE></x>"
    with pytest.raises(CalibrationUnknownError):
        from_product_xml(text, band="B04")


def test_a_baseline_that_is_none_is_an_error():
    """As in an item of another mission."""
    with pytest.raises(CalibrationUnknownError):
        from_baseline("latest", reason="x")


@pytest.mark.data
def test_every_date_of_the_tile_has_had_its_offset_applied(data_folder):
    """The items say so, and carry -0.1 all the same."""
    for folder in sorted((data_folder / DATES).glob("S2*")):
        scene = find_scene(folder)
        for band in (scene.red, scene.nir):
            chosen = choose_calibration(scene.directory, band)
            assert (chosen.scale, chosen.offset) == (0.0001, 0.0)
            assert "boa_offset_applied" in chosen.reason


@pytest.mark.data
def test_an_old_scenes_item_names_an_offset_of_zero(data_folder):
    """Baseline 02.14."""
    scene = find_scene(data_folder / COGS)
    assert choose_calibration(scene.directory, scene.red).offset == 0.0


@pytest.mark.data
def test_a_lone_file_has_no_offset(data_folder):
    """Nothing describes it."""
    scene = find_scene(data_folder / BOLZANO)
    chosen = choose_calibration(scene.directory, scene.red)
    assert (chosen.scale, chosen.offset) == (1e-4, 0.0)


def test_a_file_with_an_offset_of_its_own_has_it_applied(tmp_path):
    """GDAL's scale and offset of a band."""
    import rasterio

    write(tmp_path / "x.tif", [random_numbers(1), random_numbers(2)], names=("red", "nir"))
    with rasterio.open(tmp_path / "x.tif", "r+") as dataset:
        dataset.scales, dataset.offsets = (1e-4, 1e-4), (-0.1, -0.1)
    scene = find_scene(tmp_path / "x.tif")
    assert choose_calibration(scene.directory, scene.nir).offset == -0.1


def test_a_directory_named_as_a_product_tells_its_baseline(tmp_path):
    """Where the metadata were left behind."""
    scene = a_scene(tmp_path / "S2A_MSIL2A_20230815T095031_N0509_R079_T33TWM_20230815T155057.SAFE")
    assert choose_calibration(scene.directory, scene.red).offset == -0.1


def test_the_items_word_goes_before_the_products(tmp_path):
    """An archive that applied the offset leaves the product's metadata as they were."""
    item = an_item(properties={"earthsearch:boa_offset_applied": True})
    scene = a_scene(tmp_path / "S2A_MSIL2A_20230815T095031_N0509_R079_T33TWM_20230815T155057", item)
    assert choose_calibration(scene.directory, scene.red).offset == 0.0


def test_what_is_given_goes_before_all(tmp_path):
    """`none`, a number, and a scale of the user's."""
    scene = a_scene(tmp_path / "scene", an_item())
    assert choose_calibration(scene.directory, scene.red, offset="none").offset == 0.0
    assert choose_calibration(scene.directory, scene.red, offset="-0.05").offset == -0.05
    assert choose_calibration(scene.directory, scene.red, scale=0.001).scale == 0.001


def test_an_offset_that_is_given_leaves_the_scale(tmp_path):
    """Which the item knows; and a layer keeps its own numbers."""
    scene = a_scene(tmp_path, an_item(scale=0.0002))
    assert choose_calibration(scene.directory, scene.red, offset="none").scale == 0.0002
    layer = replace(scene.red, name="scl")
    assert choose_calibration(scene.directory, layer, offset="none", scale=0.5).scale == 1.0


LANDSAT = "{}_193028_20200606_20200825_02_T1"


def a_landsat(folder, level, mtl=""):
    """A directory of any name with a red and an infrared file, and metadata where there are some."""
    folder.mkdir()
    stem, kind = LANDSAT.format(f"LC08_{level}"), "SR_" if level == "L2SP" else ""
    for name in ("B4", "B5"):
        write(folder / f"{stem}_{kind}{name}.TIF", random_numbers(1), nodata=None)
    if mtl:
        (folder / f"{stem}_MTL.txt").write_text(mtl)
    return folder, find_scene(folder).red


def test_landsats_metadata_tell_scale_offset_and_fill(tmp_path):
    """Of Level 1 under the sun as it stood, of Level 2 its own and not those of the Level 1 that it is made of."""
    rest = 'SPACECRAFT_ID = "LANDSAT_8"\nSUN_ELEVATION = 30.0\n'
    numbers = "REFLECTANCE_MULT_BAND_4 = {}\nREFLECTANCE_ADD_BAND_4 = {}\n"
    first = f'LANDSAT_PRODUCT_ID = "{LANDSAT.format("LC08_L1TP")}"\n{rest}{numbers.format("2.0E-05", "-0.1")}'
    second = f'LANDSAT_PRODUCT_ID = "{LANDSAT.format("LC08_L2SP")}"\n{numbers.format("2.75E-05", "-0.2")}{first}'
    folder, red = a_landsat(tmp_path / "one", "L1TP", first)
    found = choose_calibration(folder, red)
    assert (found.scale, found.offset, red.nodata) == (pytest.approx(4e-5), pytest.approx(-0.2), 0)
    folder, red = a_landsat(tmp_path / "two", "L2SP", second)
    found = choose_calibration(folder, red)
    assert (found.scale, found.offset, red.nodata) == (2.75e-5, -0.2, 0)
    with pytest.raises(ProductMetadataError):
        parse_mtl(second, where="MTL")


def test_landsats_files_tell_their_level_whatever_their_directory(tmp_path):
    """Level 2 has one calibration, Level 1 none without its metadata."""
    folder, red = a_landsat(tmp_path / "two", "L2SP")
    found = choose_calibration(folder, red)
    assert (found.scale, found.offset, red.nodata) == (2.75e-5, -0.2, 0)
    folder, red = a_landsat(tmp_path / "one", "L1TP")
    with pytest.raises(CalibrationUnknownError):
        choose_calibration(folder, red)
    assert choose_calibration(folder, red, offset="none").offset == 0


def test_floating_point_is_taken_for_reflectance(tmp_path):
    """Scale 1, so a given offset is one of reflectance."""
    write(tmp_path / "x.tif", [random_numbers(1) / 1e4, random_numbers(2) / 1e4], names=("red", "nir"))
    scene = find_scene(tmp_path / "x.tif")
    assert choose_calibration(scene.directory, scene.red, offset="-0.1").scale == 1.0


@pytest.mark.parametrize("offset", ["maybe", "nan", "inf", ""])
def test_an_offset_that_is_none_is_a_bad_parameter(tmp_path, offset):
    """Not a fault of the scene."""
    scene = a_scene(tmp_path / "scene")
    with pytest.raises(ParameterError):
        choose_calibration(scene.directory, scene.red, offset=offset)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_a_bad_parameter(tmp_path, scale):
    """Zero would make every sum zero."""
    scene = a_scene(tmp_path / "scene")
    with pytest.raises(ParameterError):
        choose_calibration(scene.directory, scene.red, scale=scale)


def test_a_broken_item_is_an_error_unless_an_offset_is_given(tmp_path):
    """It may have been the one that says whether the offset is applied."""
    scene = a_scene(tmp_path / "scene", '{"type": "Feature", ')
    with pytest.raises(CalibrationUnknownError, match=r"item\.json"):
        choose_calibration(scene.directory, scene.red)
    assert choose_calibration(scene.directory, scene.red, offset="none").offset == 0.0


def test_items_that_disagree_are_an_error(tmp_path):
    """One scene in two processings."""
    scene = a_scene(tmp_path / "scene", an_item())
    (tmp_path / "scene" / "other.json").write_text(json.dumps(an_item(offset=0)))
    with pytest.raises(CalibrationUnknownError, match="disagree"):
        choose_calibration(scene.directory, scene.red)


def test_other_json_beside_a_scene_is_no_item(tmp_path):
    """A style or a report says nothing of reflectance."""
    scene = a_scene(tmp_path / "scene", {"type": "FeatureCollection", "features": []})
    assert choose_calibration(scene.directory, scene.red).offset == 0.0
