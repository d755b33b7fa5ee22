"""A digital number that means no data is never taken for a reflectance."""

import json
import shutil

import numpy as np
import pytest
import rasterio
from swath_eo.scenes.items import is_sentinel_2, nodata_from_item
from swath_eo.scenes.rasters import find_band

from tests.images.scenes import DATES, find_scene, random_numbers, write

SENTINEL_2 = {"platform": "sentinel-2b"}
PRODUCT = "S2A_MSIL2A_20230815T095031_N0509_R079_T33TWM_20230815T155057.SAFE"


def an_item(properties=None, **band):
    assets = {name: {"href": f"./{name}.tif", "raster:bands": [band]} for name in ("B04", "B08")}
    return {"type": "Feature", "properties": properties or {}, "assets": assets}


def a_scene(folder, item=None, *, dtype="uint16", nodata=None):
    """Two bands; red alone is zero in its first ten rows."""
    folder.mkdir(exist_ok=True)
    red, nir = random_numbers(1), random_numbers(2)
    red[:10] = 0
    for name, values in (("B04", red), ("B08", nir)):
        write(folder / f"{name}.tif", values.astype(dtype), nodata=nodata)
    if item is not None:
        (folder / "item.json").write_text(item if isinstance(item, str) else json.dumps(item))
    return folder


def rows_without_data(result):
    return int(np.isnan(result.values).all(axis=1).sum())


@pytest.mark.parametrize("item", [an_item(SENTINEL_2), an_item({"constellation": "Sentinel 2"}), an_item(nodata=0)])
def test_zero_is_no_data_where_a_stac_item_says_so(tmp_path, run_ndvi, item):
    """By naming Sentinel-2, or zero itself; else red's zeros would be an index of exactly 1."""
    result = run_ndvi(scene=a_scene(tmp_path / "scene", item))
    assert rows_without_data(result) == 10
    assert result.summary["max"] < 1
    assert result.statistics["bands"]["red"]["nodata"] == 0
    assert any("0 is no data" in line for line in result.lines)


def test_zero_is_no_data_in_a_product(tmp_path, run_ndvi):
    """By its name, where the metadata were left behind."""
    assert rows_without_data(run_ndvi(scene=a_scene(tmp_path / PRODUCT))) == 10


@pytest.mark.data
@pytest.mark.parametrize("name", ["MTD_MSIL2A.xml", "MTD_MSIL2a.xml"])
def test_zero_is_no_data_where_safe_metadata_lie_beside_the_bands(data_folder, tmp_path, run_ndvi, name):
    """Real metadata, in either spelling."""
    folder = a_scene(tmp_path / "scene")
    shutil.copy(next(data_folder.glob("safe-metadata/S2A_MSIL2A_20230625*/MTD_MSIL2A.xml")), folder / name)
    assert rows_without_data(run_ndvi(scene=folder)) == 10


@pytest.mark.data
def test_a_jpeg2000_of_a_described_scene_needs_no_declaration(data_folder, tmp_path):
    """The tile's real files, without the side-cars that declare it; georeferenced by the sources' own grid."""
    source = data_folder / DATES / "S2A_33TWM_20230815_0_L2A"
    for path in (source / "B04.tif", source / "B08.tif", *source.glob("*.json")):
        shutil.copy(path, tmp_path)
    assert find_band(tmp_path / "B04.tif", "red").nodata is None
    scene = find_scene(tmp_path)
    assert (scene.red.nodata, scene.nir.nodata) == (0, 0)


@pytest.mark.parametrize("item", [None, an_item({"platform": "landsat-8"}), {"type": "FeatureCollection"}])
def test_a_scene_that_nothing_describes_keeps_its_zeros(tmp_path, run_ndvi, item):
    """Zero is a number like others elsewhere; NODATA says otherwise."""
    folder = a_scene(tmp_path / "scene", item)
    assert rows_without_data(run_ndvi(scene=folder)) == 0
    assert rows_without_data(run_ndvi(scene=folder, nodata=0)) == 10


def test_floating_point_keeps_its_zeros(tmp_path, run_ndvi):
    """Reflectance, made by somebody who has masked already; unless the item names a value."""
    folder = a_scene(tmp_path / "scene", an_item(SENTINEL_2), dtype="float32")
    assert rows_without_data(run_ndvi(scene=folder)) == 0
    (folder / "item.json").write_text(json.dumps(an_item(SENTINEL_2, nodata=0)))
    assert rows_without_data(run_ndvi(scene=folder)) == 10


def test_what_a_file_declares_goes_before_its_description(tmp_path, run_ndvi):
    """And what the user gives before both."""
    folder = a_scene(tmp_path / "scene", an_item(SENTINEL_2), nodata=65535)
    result = run_ndvi(scene=folder)
    assert (rows_without_data(result), result.statistics["bands"]["nir"]["nodata"]) == (0, 65535)
    assert rows_without_data(run_ndvi(scene=folder, nodata=0)) == 10


def test_an_item_that_cannot_be_read_names_nothing(tmp_path, run_ndvi):
    """Where an offset is given, so that it does not end the run."""
    assert rows_without_data(run_ndvi(scene=a_scene(tmp_path / "scene", "{"), offset="none")) == 0


def test_a_nodata_of_nan_is_written_as_json_can_say_it(tmp_path, run_ndvi):
    """JSON has no NaN."""
    red, nir = (random_numbers(seed).astype(np.float32) for seed in (1, 2))
    red[:10] = np.nan
    result = run_ndvi(scene=write(tmp_path / "x.tif", [red, nir], names=("red", "nir"), nodata=np.nan))
    assert (result.exit_code, rows_without_data(result)) == (0, 10)
    assert result.statistics["bands"]["red"]["nodata"] == "nan"


def test_items_of_both_versions_name_a_value():
    """`raster:bands` of STAC 1.0, `bands` of 1.1, the asset's own; a string stands for NaN alone."""
    new = {"assets": {"B04": {"href": "B04.tif", "bands": [{"nodata": 7}]}}}
    own = {"assets": {"B04": {"href": "B04.tif", "nodata": 8}}}
    asked = {"file_name": "B04.tif", "band": "B04"}
    assert nodata_from_item(an_item(nodata=6), **asked) == 6
    assert (nodata_from_item(new, **asked), nodata_from_item(own, **asked)) == (7, 8)
    assert np.isnan(nodata_from_item(an_item(nodata="nan"), **asked))
    assert nodata_from_item(an_item(nodata="none"), **asked) is None
    assert nodata_from_item(an_item(SENTINEL_2), file_name="AOT.tif", band="aot") is None


@pytest.mark.data
def test_catalogues_items_of_sentinel_2_are_known(data_folder):
    """However they spell it."""
    paths = [*data_folder.glob("stac-items/S2*.json"), *data_folder.glob(f"{DATES}/*/*_L2A.json")]
    assert len(paths) >= 8
    assert all(is_sentinel_2(json.loads(path.read_text())) for path in paths)


@pytest.mark.data
def test_the_seam_of_a_lossy_image_is_a_small_share(data_folder):
    """Trap 5, left as it is: 1 is also a dark water's number. Of the tile's pixels with data at most 0.6 % are below 8."""
    for folder in sorted((data_folder / DATES).glob("S2*")):
        with rasterio.open(folder / "B04.tif") as red, rasterio.open(folder / "B08.tif") as nir:
            pair = np.stack([red.read(1), nir.read(1)])
        valid = (pair > 0).all(axis=0)
        seam = valid & (pair < 8).any(axis=0)
        assert 0 < seam.sum() < 0.006 * valid.sum()
