"""STAC items of what images make, held against STAC's own schemas."""

import json

import pytest
import rasterio
from pystac.errors import STACValidationError
from rasterio.crs import CRS
from rasterio.transform import Affine
from swath_eo.output.stac import COG, FILE, PROJECTION, Asset, find_bbox, make_geometry, make_item
from swath_eo.scenes.describe import find_acquired

from tests.fixtures.stac import check_item
from tests.images.scenes import BOLZANO, DATES, random_numbers, write

CREATED = "2026-01-02T03:04:05Z"


def an_item(path, **options):
    asset = Asset(file=path.name, media_type=COG, role="data", title="x", band_statistics=[{"mean": 0.5}])
    given = {"acquired": None, "created": CREATED, "located": True}
    return make_item("x", path, assets={"data": asset}, **{**given, **options})


def test_a_raster_is_described(tmp_path):
    """Grid in its own system, outline in degrees, the band's kind and statistics; and the schema agrees."""
    path = write(tmp_path / "a.tif", random_numbers(1), nodata=0, names=("NDVI",))
    item = an_item(path, acquired="2023-08-15T09:50:31Z")
    check_item(item)
    assert item["stac_extensions"] == [PROJECTION, FILE]
    assert item["properties"]["datetime"] == "2023-08-15T09:50:31Z"
    assert item["properties"]["proj:code"] == "EPSG:32633"
    assert item["properties"]["proj:shape"] == [120, 160]
    assert item["properties"]["proj:transform"] == [10.0, 0.0, 500_000.0, 0.0, -10.0, 5_200_000.0]
    west, south, east, north = item["bbox"]
    assert (west, north) == (pytest.approx(15.0, abs=1e-6), pytest.approx(46.9533, abs=1e-3))
    assert (east - west, north - south) == (pytest.approx(0.021, abs=1e-3), pytest.approx(0.0108, abs=1e-4))
    (band,) = item["assets"]["data"]["bands"]
    assert (band["name"], band["data_type"], band["nodata"]) == ("ndvi", "uint16", 0)
    assert band["statistics"] == {"mean": 0.5}


def test_the_schema_can_refuse(tmp_path):
    """Or the other tests would prove nothing."""
    item = an_item(write(tmp_path / "a.tif", random_numbers(1)))
    del item["bbox"]
    with pytest.raises(STACValidationError):
        check_item(item)


def test_an_unknown_place_has_no_geometry(tmp_path):
    """The sample scene's grid is a nominal one: the item claims no place on the ground."""
    item = an_item(write(tmp_path / "a.tif", random_numbers(1)), located=False)
    check_item(item)
    assert item["geometry"] is None
    assert "bbox" not in item
    assert not any(name.startswith("proj:") for name in item["properties"])


def test_an_unknown_time_is_said_to_be_one(tmp_path):
    """STAC wants a time; where the scene has none it is that of the processing, and a sentence says so."""
    item = an_item(write(tmp_path / "a.tif", random_numbers(1)))
    check_item(item)
    assert item["properties"]["datetime"] == CREATED
    assert "not known when" in item["properties"]["description"]


def test_a_system_without_a_number_is_told_in_words(tmp_path):
    """proj:wkt2, and no code."""
    crs = CRS.from_proj4("+proj=laea +lat_0=47 +lon_0=11 +datum=WGS84 +units=m")
    item = an_item(write(tmp_path / "a.tif", random_numbers(1), crs=crs, origin=(0, 0)))
    check_item(item)
    assert item["properties"]["proj:code"] is None
    assert item["properties"]["proj:wkt2"].startswith("PROJCRS")


def test_a_raster_over_the_antimeridian_is_in_two_parts():
    """As GeoJSON wants it, and with a bounding box whose west is east of its east."""
    placed = Affine(1000, 0, 600_000, 0, -1000, 7_000_000)  # over the eastern edge of zone 60
    geometry = make_geometry(CRS.from_epsg(32660), placed, 200, 100)
    assert geometry["type"] == "MultiPolygon"
    west, _, east, _ = find_bbox(geometry)
    assert (178 < west < 180, -178 < east < -176) == (True, True)
    assert all(-180 <= x <= 180 for part in geometry["coordinates"] for x, _ in part[0])


@pytest.mark.parametrize(
    ("crs", "placed", "size", "bbox"),
    [
        (4326, Affine(0.01, 0, 179, 0, -0.01, 60), (200, 100), [179, 59, -179, 60]),
        (4326, Affine(0.01, 0, 190, 0, -0.01, 60), (200, 100), [-170, 59, -168, 60]),
        (4326, Affine(1, 0, -180, 0, -1, 50), (360, 90), [-180, -40, 180, 50]),
        (4326, Affine(1, 0, 0, 0, -1, 50), (360, 90), [-180, -40, 180, 50]),
        (4326, Affine(1, 0, -100, 0, -1, 50), (200, 90), [-100, -40, 100, 50]),
        (3413, Affine(1000, 0, -1e6, 0, -1000, 1e6), (2000, 2000), [-180, 77, 180, 90]),
    ],
    ids=["in degrees", "beyond", "the globe", "the globe from 0", "half the globe", "a pole"],
)
def test_an_outline_stays_on_the_globe(crs, placed, size, bbox):
    """Wherever the raster's own degrees begin, and around a pole."""
    geometry = make_geometry(CRS.from_epsg(crs), placed, *size)
    assert find_bbox(geometry) == pytest.approx(bbox, abs=0.1)
    rings = geometry["coordinates"] if geometry["type"] == "Polygon" else [part[0] for part in geometry["coordinates"]]
    assert all(-180 <= x <= 180 and ring[0] == ring[-1] for ring in rings for x, _ in ring)


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("S2A_MSIL2A_20230815T095031_N0509_R079_T33TWM_20230815T155057.SAFE", "2023-08-15T09:50:31Z"),
        ("S2A_33TWM_20230815_0_L2A", "2023-08-15T00:00:00Z"),
        ("scene_20230815", "2023-08-15T00:00:00Z"),
        ("sample.tif", None),
    ],
)
def test_a_scenes_time_is_in_its_name(name, time):
    """Of a product or of a date; elsewhere it is unknown."""
    assert find_acquired(None, name) == time


@pytest.mark.data
def test_what_ndvi_makes_is_described(data_folder, run_ndvi):
    """Real scenes: the item's place is the raster's, its time the scene's own item's, its assets are all there."""
    folder = data_folder / DATES / "S2A_33TWM_20230815_0_L2A"
    result = run_ndvi(scene=folder)
    item = json.loads((result.output / "item.json").read_text())
    check_item(item)
    scene = json.loads((folder / f"{folder.name}.json").read_text())
    assert item["id"] == "S2A_33TWM_20230815_0_L2A_ndvi"
    assert item["properties"]["datetime"] == scene["properties"]["datetime"]
    assert {asset["href"] for asset in item["assets"].values()} == {
        "./ndvi.tif",
        "./statistics.json",
        "./quicklook.png",
    }
    assert all((result.output / asset["href"]).is_file() for asset in item["assets"].values())
    (band,) = item["assets"]["ndvi"]["bands"]
    assert band["statistics"]["mean"] == result.summary["mean"]
    with rasterio.open(result.output / "ndvi.tif") as raster:
        assert item["properties"]["proj:shape"] == [raster.height, raster.width]
        assert item["properties"]["proj:bbox"] == list(raster.bounds)


@pytest.mark.data
def test_a_file_alone_is_described_too(data_folder, run_ndvi):
    """Bolzano's has no time."""
    result = run_ndvi(scene=data_folder / BOLZANO)
    item = json.loads((result.output / "item.json").read_text())
    check_item(item)
    assert (item["id"], item["properties"]["proj:code"]) == ("S2_L2A_sample_ndvi", "EPSG:32632")
    west, south, east, north = item["bbox"]
    assert 11 < west < east < 12
    assert 46 < south < north < 47
