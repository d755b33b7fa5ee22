"""The image subset: the same pixels as gdalwarp's, whatever the windows, and an error of its own for what cannot be cut."""

import json
import shutil

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine

from tests.fixtures.stac import check_item
from tests.images.safes import a_safe
from tests.images.scenes import BOLZANO, DATES, measured, random_numbers, write
from tests.images.subsets import BOX, gdalwarp, read


@pytest.mark.data
def test_what_lies_outside_of_a_polygon_is_gone_as_with_a_cutline(data_folder, tmp_path, run_subset):
    """A polygon with a hole in the scene's own system."""
    source = data_folder / BOLZANO
    outer = [
        [676_003, 5_148_001],
        [683_007, 5_149_502],
        [682_004, 5_153_003],
        [677_001, 5_154_008],
        [676_003, 5_148_001],
    ]
    hole = [[679_001, 5_150_002], [680_003, 5_150_001], [680_002, 5_151_504], [679_001, 5_150_002]]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    area = tmp_path / "area.geojson"
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [outer, hole], "crs": crs}))
    result = run_subset(scene=source, bands="B04", area=area)
    ours = read(result)
    theirs = gdalwarp(source, result.output / "subset.tif", tmp_path / "g.tif", "nearest", "-cutline", str(area))[:1]
    assert np.array_equal(ours, theirs)
    assert 0.5 < result.summary["valid_fraction"] < 0.9


@pytest.mark.data
def test_in_its_own_system_pixels_stay_as_they_are(data_folder, run_subset):
    """Whole pixels that cover the box, the numbers, names, nodata value and scales."""
    result = run_subset(scene=data_folder / BOLZANO, bbox=BOX)
    with rasterio.open(data_folder / BOLZANO) as source, rasterio.open(result.output / "subset.tif") as cut:
        window = source.window(*cut.bounds)
        assert np.array_equal(cut.read(), source.read(window=window))
        assert cut.descriptions == ("B04", "B03", "B02", "B08", "scl")
        assert (cut.scales, cut.offsets) == ((1e-4,) * 4 + (1.0,), (0.0,) * 5)
        assert (cut.nodata, cut.tags()["BAND_B04"]) == (source.nodata, "S2_L2A_sample.tif:1")
        left, bottom, right, top = rasterio.warp.transform_bounds("EPSG:4326", cut.crs, *map(float, BOX.split(",")))
        assert 0 <= left - cut.bounds.left < 10
        assert 0 <= cut.bounds.right - right < 10
        assert 0 <= bottom - cut.bounds.bottom < 10
        assert 0 <= cut.bounds.top - top < 10
    item = json.loads((result.output / "item.json").read_text())
    check_item(item)
    assert item["properties"]["processing:software"] == {"swath subset": "1.0.0"}
    assert item["properties"]["swath:parameters"]["bbox"] == BOX
    assert [band["name"] for band in item["assets"]["subset"]["bands"]] == ["b04", "b03", "b02", "b08", "scl"]


@pytest.mark.data
def test_scenes_come_onto_one_grid(data_folder, run_subset):
    """Five dates on one grid whose corners are multiples of the resolution; and onto that of another raster."""
    cuts = [
        run_subset(scene=folder, bands="B04,SCL", bbox="15.1,46.3,15.4,46.5", crs="EPSG:32633", resolution=100)
        for folder in sorted((data_folder / DATES).glob("S2*"))[:2]
    ]
    bounds = [cut.summary["bounds"] for cut in cuts]
    assert bounds[0] == bounds[1]
    assert all(edge % 100 == 0 for edge in bounds[0])
    like = run_subset(scene=data_folder / BOLZANO, bands="B04", like=cuts[0].output / "subset.tif")
    assert like.exit_code == 17  # Bolzano is elsewhere
    again = run_subset(scene=cuts[0].output / "subset.tif", like=cuts[1].output / "subset.tif")
    assert np.array_equal(read(again), read(cuts[0]))


@pytest.mark.data
def test_a_product_is_cut_in_its_archive(data_folder, tmp_path, run_subset):
    """Bands of 10 and 20 m out of a SAFE directory, with the offset that the metadata name."""
    product = a_safe(tmp_path, data_folder)
    result = run_subset(scene=product, bands="B04,B11,SCL")
    assert result.exit_code == 0
    assert (result.summary["width"], result.summary["height"]) == (122, 122)
    with rasterio.open(result.output / "subset.tif") as cut:
        assert (cut.scales, cut.offsets) == ((1e-4, 1e-4, 1), (-0.1, -0.1, 0))
        values = cut.read()
    with rasterio.open(next(product.rglob("*_B11_20m.jp2"))) as coarse:
        assert np.array_equal(values[1], np.repeat(np.repeat(coarse.read(1), 2, axis=0), 2, axis=1))


@pytest.mark.parametrize("crs", ["EPSG:32660", "EPSG:4326", "EPSG:3832"])
def test_an_area_crosses_the_antimeridian(tmp_path, run_subset, crs):
    """In the zone's own system, in degrees and in a Pacific one: all of it, seen from both sides."""
    scene = write(
        tmp_path / "a.tif", random_numbers(1, (400, 2000)), origin=(700_000, 2_000_000), size=100, crs="EPSG:32660"
    )
    box = run_subset(scene=scene, bbox="179.8,17.8,-179.8,18", crs=crs)
    assert box.exit_code == 0
    assert box.summary["valid_fraction"] == 1
    parts = [
        [[[179.8, 17.8], [180, 17.8], [180, 18], [179.8, 18]]],
        [[[-180, 17.8], [-179.8, 17.8], [-179.8, 18], [-180, 18]]],
    ]
    area = tmp_path / "area.geojson"
    area.write_text(json.dumps({"type": "MultiPolygon", "coordinates": parts}))
    cut = run_subset(scene=scene, area=area, crs=crs)
    assert cut.exit_code == 0
    assert cut.summary["width"] == pytest.approx(box.summary["width"], abs=2)
    assert cut.summary["valid_fraction"] > 0.93


def test_a_scene_in_degrees_beyond_the_antimeridian_is_found(tmp_path, run_subset):
    """The box crosses, and the scene lies west of 180 or east of it."""
    for left in (179.0, -180.0):
        scene = write(tmp_path / "a.tif", random_numbers(1, (100, 100)), origin=(left, 10), size=0.01, crs="EPSG:4326")
        result = run_subset(scene=scene, bbox="179.5,9.2,-179.5,9.8")
        assert result.exit_code == 0
        assert result.summary["valid_fraction"] == pytest.approx(0.5, abs=0.02)


def test_a_rotated_scene_is_turned_upright(tmp_path, run_subset):
    """As gdalwarp does it."""
    turned = Affine.translation(500_000, 5_000_000) @ Affine.rotation(20) @ Affine.scale(10, -10)
    scene = write(tmp_path / "a.tif", random_numbers(1), transform=turned)
    result = run_subset(scene=scene)
    assert np.array_equal(read(result), gdalwarp(scene, result.output / "subset.tif", tmp_path / "g.tif", "nearest"))
    assert run_subset(scene=scene, align="source").exit_code == 30


def test_where_nothing_says_what_no_data_is(tmp_path, run_subset):
    """Zero stands beyond the scene, and a warning counts the pixels that hold it; nowhere else is anything changed."""
    values = random_numbers(1, (50, 60))
    values[:5] = 0
    scene = write(tmp_path / "a.tif", values, nodata=None)
    inside = run_subset(scene=scene)
    assert np.array_equal(read(inside)[0], values)
    assert inside.summary["warnings"] == []
    beyond = run_subset(scene=scene, bbox="500000,5199000,501000,5200000", area_crs="EPSG:32633")
    assert "300 pixels with data hold 0" in beyond.summary["warnings"][0]
    given = run_subset(scene=scene, bbox="500000,5199000,501000,5200000", area_crs="EPSG:32633", nodata=65535)
    assert given.summary["warnings"] == []
    assert (read(given)[0] == 65535).sum() == 100 * 100 - 50 * 60


@pytest.mark.parametrize("options", [{}, {"resolution": 25}, {"window": 16}, {"crs": "EPSG:3035"}], ids=str)
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_zeros_that_nothing_declares_are_no_picture(tmp_path, run_subset, options, dtype):
    """As GDAL gives them for images that are missing: error 17, whether they are resampled or not, and no file."""
    scene = write(tmp_path / "a.tif", [np.zeros((50, 60), dtype)] * 2, nodata=None)
    result = run_subset(scene=scene, **options)
    assert (result.exit_code, result.summary["error"]) == (17, "no-valid-pixels")
    assert "ALLOW_BLANK" in result.errors
    assert not list(result.output.iterdir())


def test_zeros_are_data_for_whoever_says_so(tmp_path, run_subset):
    """By ALLOW_BLANK, by another NODATA, and in a mask, which may well be clear; one number beside them is a picture."""
    zeros = np.zeros((50, 60), np.uint16)
    scene = write(tmp_path / "a.tif", zeros, nodata=None)
    allowed = run_subset(scene=scene, allow_blank="true")
    item = json.loads((allowed.output / "item.json").read_text())
    assert item["properties"]["swath:parameters"]["allow_blank"] is True
    mask = write(tmp_path / "x_QA_PIXEL.tif", zeros, nodata=None)
    for made in (allowed, run_subset(scene=scene, nodata=65535), run_subset(scene=mask)):
        assert made.exit_code == 0, made.errors
        assert not read(made).any()
        assert made.summary["valid_fraction"] == 1
    zeros[49, 59] = 1
    scene = write(tmp_path / "b.tif", zeros, nodata=None)
    assert run_subset(scene=scene).exit_code == 0
    assert run_subset(scene=scene, bbox="500000,5199600,500400,5200000", area_crs="EPSG:32633").exit_code == 17


def test_floating_point_has_nan_for_no_data(tmp_path, run_subset):
    """In the source as in the result."""
    values = random_numbers(1, (50, 60)).astype(np.float32)
    values[10:20] = np.nan
    result = run_subset(
        scene=write(tmp_path / "a.tif", values, nodata=float("nan")), resolution=5, resampling="bilinear"
    )
    assert np.isnan(read(result)).sum() == 10 * 60 * 4


def a_scene(folder):
    return write(folder / "a.tif", random_numbers(1), names=("B04",))


def truncated(folder):
    path = a_scene(folder)
    path.write_bytes(path.read_bytes()[:20_000])
    return path


HERE = {"bbox": "500000,5199000,501000,5200000", "area_crs": "EPSG:32633"}
BAD = {
    "missing": (10, lambda f: f / "nothing.tif", {}),
    "truncated": (10, truncated, {}),
    "all zero": (17, lambda f: write(f / "a.tif", np.zeros((50, 60), dtype=np.uint16)), {}),
    "all nan": (17, lambda f: write(f / "a.tif", np.full((5, 6), np.nan, dtype=np.float32), nodata=float("nan")), {}),
    "no crs": (13, lambda f: write(f / "a.tif", random_numbers(1), crs=None), {}),
    "unknown band": (11, a_scene, {"bands": "B04,9"}),
    "outside": (16, a_scene, {"bbox": "0,0,1,1"}),
    "empty box": (30, a_scene, {"bbox": "12,40,12,41"}),
    "box of words": (30, a_scene, {"bbox": "here"}),
    "box of nan": (30, a_scene, {"bbox": "nan,0,1,1"}),
    "off the globe": (30, a_scene, {"bbox": "500000,5199000,501000,5200000"}),
    "unknown crs": (30, a_scene, {"crs": "EPSG:999999"}),
    "no resolution": (30, a_scene, {"resolution": "-10"}),
    "resolution in the wrong unit": (30, a_scene, {"resolution": "0.0001"}),
    "unknown kernel": (30, a_scene, {"resampling": "best"}),
    "unknown alignment": (30, a_scene, {"align": "left"}),
    "like and crs": (30, a_scene, {"like": "a.tif", "crs": "EPSG:3035"}),
    "like nothing": (10, a_scene, {"like": "nothing.tif"}),
    "no area": (30, a_scene, {"area": "nothing.geojson"}),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_cut_has_an_error_of_its_own(tmp_path, run_subset, case):
    """And leaves no file."""
    code, make, options = BAD[case]
    result = run_subset(scene=make(tmp_path), **options)
    assert result.exit_code == code, result.errors
    assert list(result.output.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"type": "Point", "coordinates": [1, 2]}',
        '{"type": "Polygon", "coordinates": []}',
        '{"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]}',
        '{"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [1e999, 5]]]}',
        '{"type": "Polygon", "coordinates": [[["a", 2], [3, 4], [5, 5]]]}',
        '{"type": "Polygon", "coordinates": [[[1000, 2], [3, 4], [5, 5]]]}',
        '{"type": "FeatureCollection", "features": []}',
        '{"type": "Feature", "geometry": null}',
        '{"type": "GeometryCollection", "geometries": ' * 2000,
    ],
    ids=range(12),
)
def test_an_area_that_is_none_is_a_bad_parameter(tmp_path, run_subset, text):
    """Whatever the document holds instead."""
    (tmp_path / "area.geojson").write_text(text)
    assert run_subset(scene=a_scene(tmp_path), area=tmp_path / "area.geojson").exit_code == 30


def test_one_pixel_is_a_scene(tmp_path, run_subset):
    """Cut out of itself, and out of a larger one."""
    assert run_subset(scene=write(tmp_path / "a.tif", random_numbers(1, (1, 1)))).summary["width"] == 1
    scene = write(tmp_path / "b.tif", random_numbers(1))
    point = run_subset(scene=scene, bbox="500101,5199899,500102,5199899.5", area_crs="EPSG:32633")
    assert (point.summary["width"], point.summary["height"]) == (1, 1)
    assert read(point)[0, 0, 0] == random_numbers(1)[10, 10]


def test_bands_of_two_systems_meet_on_the_finest(tmp_path, run_subset):
    """Mixed coordinate reference systems in one directory are warped, and told."""
    folder = tmp_path / "scene"
    folder.mkdir()
    write(folder / "B04.tif", random_numbers(1), crs="EPSG:32633")
    write(folder / "B11.tif", random_numbers(2, (100, 100)), crs="EPSG:32632", origin=(957_000, 5_216_000), size=20)
    result = run_subset(scene=folder)
    assert result.exit_code == 0
    assert any("B11" in line and "resampled" in line for line in result.lines)
    with rasterio.open(result.output / "subset.tif") as cut:
        assert cut.crs == CRS.from_epsg(32633)


def test_nan_is_one_value_for_no_data_and_can_be_given(tmp_path, run_subset):
    """In several bands, and as NODATA, which the item tells as text."""
    number = np.full((4, 4), 0.25, np.float32)
    scene = write(tmp_path / "a.tif", [number, number], nodata=np.nan, names=("B04", "B08"))
    assert run_subset(scene=scene).exit_code == 0
    result = run_subset(scene=scene, nodata="nan")
    assert result.exit_code == 0, result.errors
    item = json.loads((result.output / "item.json").read_text())
    assert item["properties"]["swath:parameters"]["nodata"] == "nan"


def test_an_item_tells_also_of_no_data_that_is_zero(tmp_path, run_subset):
    """It was asked for, and is no switch that is off."""
    result = run_subset(scene=write(tmp_path / "a.tif", random_numbers(1), nodata=None), nodata=0)
    told = json.loads((result.output / "item.json").read_text())["properties"]["swath:parameters"]
    assert told["nodata"] == 0
    assert "allow_blank" not in told


@pytest.mark.parametrize("options", [{}, {"resolution": 20}], ids=str)
@pytest.mark.parametrize("nodata", ["-9999", "nan"])
def test_no_data_that_the_bands_cannot_hold_is_a_bad_parameter(tmp_path, run_subset, nodata, options):
    """Whether they are resampled or not."""
    assert run_subset(scene=write(tmp_path / "a.tif", random_numbers(1)), nodata=nodata, **options).exit_code == 30


def test_an_area_as_large_as_half_the_globe_is_a_bad_parameter(tmp_path, run_subset):
    """It has no place in the scene's zone."""
    scene = write(tmp_path / "a.tif", random_numbers(1))
    area = tmp_path / "area.geojson"
    ring = [[-100, -60], [100, -60], [100, 80], [-100, 80], [-100, -60]]
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    assert run_subset(scene=scene, bbox="-100,-60,100,80").exit_code == 30
    assert run_subset(scene=scene, area=area).exit_code == 30


def test_bands_with_different_values_for_no_data_want_one(tmp_path, run_subset):
    """None is picked for the user."""
    folder = tmp_path / "scene"
    folder.mkdir()
    write(folder / "B04.tif", random_numbers(1), nodata=0)
    write(folder / "B08.tif", random_numbers(2), nodata=65535)
    refused = run_subset(scene=folder)
    assert refused.exit_code == 30
    assert "give NODATA" in refused.errors
    assert run_subset(scene=folder, nodata=0).exit_code == 0


def test_a_damaged_copy_of_a_product_is_refused(data_folder, tmp_path, run_subset):
    """One of its images is gone: exit code 19, and the file's name."""
    product = a_safe(tmp_path, data_folder)
    next(product.rglob("*_B04_10m.jp2")).unlink()
    result = run_subset(scene=product, bands="B08")
    assert result.exit_code == 19
    assert "B04_10m.jp2 is missing" in result.errors
    shutil.rmtree(product / "GRANULE")
    (product / "GRANULE").mkdir()
    assert run_subset(scene=product).exit_code == 20


def test_memory_does_not_grow_with_the_scene(tmp_path):
    """Two bands of 6,000 x 6,000 pixels, warped, in less than 600 MB."""
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_200_000)}
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 2, "width": 6000, "height": 6000, "nodata": 0, **place}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1}
    with rasterio.open(tmp_path / "large.tif", "w", **profile) as dataset:
        rows = np.arange(6000 * 6000, dtype=np.uint32).reshape(6000, 6000) // 16 % 3000 + 1
        for band in (1, 2):
            dataset.write(rows.astype(np.uint16), band)
    options = ["--crs", "EPSG:32632", "--resolution", "10", "--bbox", "15.1,46.6,15.5,46.8"]
    summary, peak_mb = measured("subset", "--scene", tmp_path / "large.tif", *options, "--output", tmp_path)
    assert summary["valid_fraction"] > 0.5
    assert peak_mb < 600
