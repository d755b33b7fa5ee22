"""The demo as somebody runs it who has just installed Swath: from an empty directory to maps, in one command."""

import json
import time
from pathlib import Path

import pytest
import rasterio
from swath_eo.scenes.sample import write_spyndex_sample

from tests.e2e.jobs import direct_means
from tests.fixtures.laptop import Laptop, eventually

WITHIN_S = 60.0


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """Runs `swath demo --json` with options where nothing has run before: its results, what it said, and its directory."""
    laptop = Laptop(var=tmp_path / "var")

    def run(*options, data):
        monkeypatch.setenv("SWATH_TEST_DATA", str(data))
        began = time.monotonic()
        done = laptop.swath("demo", "--json", *options)  # fails the test unless it ends with 0
        assert time.monotonic() - began < WITHIN_S
        eventually(lambda: not processes_of(laptop.var), 10)  # the executor's guardian looks once more, then ends
        return json.loads(done.stdout)["results"], done.stderr, laptop.var / "demo"

    yield run
    if processes_of(laptop.var):
        laptop.swath("down", check=False)


def processes_of(var):
    """Whatever runs with the cluster's directory in its environment."""
    numbers = (entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in numbers if str(var).encode() in environment_of(pid)]


def environment_of(pid):
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def assert_is_map_with_picture(result):
    """A Cloud-Optimised GeoTIFF and a PNG."""
    with rasterio.open(result["map"]) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.overviews(1)
        assert (raster.dtypes, raster.descriptions) == (("float32",), ("NDVI",))
    assert Path(result["quicklook"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.data
def test_the_demo_makes_maps_of_six_real_scenes(demo, data_folder):
    """Agent, seconds and the direct computation's mean for each, maps, pictures and an overview; and no process is left."""
    results, said, folder = demo(data=data_folder)
    assert len(results) == 6
    assert [result["mean"] for result in results] == pytest.approx(direct_means(data_folder), abs=1e-6)
    for result in results:
        assert (result["problem"], bool(result["agent"])) == (None, True)
        assert 0 < result["seconds"] < WITHIN_S
        assert_is_map_with_picture(result)
    assert (folder / "overview.png").read_bytes().startswith(b"\x89PNG")
    assert "Contains modified Copernicus Sentinel data" in said


def mean_of_sample(path):
    """Straight from the package's numbers, none of which is zero: red is band 3, near infrared band 4."""
    with rasterio.open(write_spyndex_sample(path)) as sample:
        red, nir = sample.read([3, 4]).astype("float64")
    return float(((nir - red) / (nir + red)).mean())


def test_without_any_data_the_demo_maps_a_sample_of_unknown_place(demo, tmp_path):
    """The package's real scene, and its location stays marked as unknown in name, map and words."""
    (result,), said, folder = demo("--no-docker", data=tmp_path / "nothing")
    assert "location-unknown" in result["scene"]
    assert "location is unknown" in said
    assert result["mean"] == pytest.approx(mean_of_sample(tmp_path / "sample.tif"), abs=1e-6)
    assert_is_map_with_picture(result)
    with rasterio.open(result["map"]) as raster:
        assert raster.tags()["LOCATION"] == "unknown"
    assert (folder / "overview.png").exists()
