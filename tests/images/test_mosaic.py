"""The image mosaic: the pixels of rasterio.merge and gdalwarp, and no trace of windows."""

import json
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from rasterio.merge import merge
from rasterio.transform import Affine
from rasterio.windows import Window
from swath_eo.mosaics.mosaicking import Layer, mosaic, with_nodata

from swath.domain.manifest import Manifest
from tests.images.mosaics import MOSAIC, NAMES, overlapping
from tests.images.scenes import BOLZANO, DATES, random_numbers, write

# Of rasterio.merge itself.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")


def pixels(result, name="mosaic.tif"):
    with rasterio.open(result.output / name) as dataset:
        return dataset.read()


def report(result):
    return json.loads((result.output / "report.json").read_text())


def gdalwarp(target, *arguments):
    subprocess.run(["gdalwarp", "-q", "-et", "0", *map(str, arguments), str(target)], check=True)
    with rasterio.open(target) as dataset:
        return dataset.read()


@pytest.mark.parametrize("method", ["first", "last", "min", "max"])
def test_scenes_on_one_grid_are_merged_as_rasterio_does(tmp_path, run_mosaic, method):
    """Every pixel and the grid itself, with hard edges."""
    scenes = overlapping(tmp_path)
    result = run_mosaic(*scenes, method=method, feather=0, window=64)
    expected, placed = merge(scenes, method=method)
    np.testing.assert_array_equal(pixels(result), expected)
    with rasterio.open(result.output / "mosaic.tif") as dataset:
        assert dataset.transform == placed
        assert (dataset.nodata, dataset.descriptions) == (0, NAMES)


@pytest.mark.parametrize("method", ["first", "mean"])
def test_the_core_makes_the_same_of_whole_arrays(tmp_path, run_mosaic, method):
    """As in a notebook: feathered, to the bit."""
    scenes = overlapping(tmp_path)
    result = run_mosaic(*scenes, method=method, feather=250, window=100)
    with rasterio.open(result.output / "mosaic.tif") as made:
        grid, shape = made.transform, made.shape
    layers = []
    for path in scenes:
        with rasterio.open(path) as dataset:
            column, row = (round(place) for place in ~grid @ (dataset.transform.c, dataset.transform.f))
            values = np.zeros((2, *shape), dtype=np.uint16)
            values[:, row : row + dataset.height, column : column + dataset.width] = dataset.read()
        layers.append(Layer(values=values, valid=(values > 0).all(axis=0)))
    expected = mosaic(layers, method=method, feather=25)
    np.testing.assert_array_equal(pixels(result), with_nodata(expected, 0, np.dtype(np.uint16)))
    np.testing.assert_array_equal(pixels(result, "sources.tif")[0], expected.source)


def test_a_directory_holds_the_scenes_and_the_report_says_what_became_of_them(tmp_path, run_mosaic):
    """By name, as the platform gives them; pixels add up, and sources.tif tells whose each is."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    overlapping(folder)
    (folder / "scene1.tif.aux.xml").write_text("<PAMDataset/>")
    result = run_mosaic(folder, feather=0)
    sources, scenes = pixels(result, "sources.tif")[0], report(result)["scenes"]
    assert [scene["name"] for scene in scenes] == ["scene1", "scene2", "scene3"]
    assert [scene["pixels"] for scene in scenes] == [int((sources == n).sum()) for n in (1, 2, 3)]
    assert result.summary["valid_pixels"] == int((sources > 0).sum())
    item = json.loads((result.output / "item.json").read_text())
    assert item["properties"]["swath:inputs"] == ["scene1", "scene2", "scene3"]
    assert item["properties"]["swath:parameters"]["feather"] == 0
    assert set(item["assets"]) == {"mosaic", "sources", "report", "quicklook"}


def test_a_scene_that_is_shifted_by_half_a_pixel_is_resampled_there(tmp_path, run_mosaic):
    """As gdalwarp does it; the first scene's own pixels are not touched."""
    left = write(tmp_path / "a.tif", [random_numbers(1), random_numbers(2)], names=NAMES)
    right = write(tmp_path / "b.tif", [random_numbers(3), random_numbers(4)], names=NAMES, origin=(501_605, 5_200_005))
    values = pixels(run_mosaic(left, right, feather=0))
    np.testing.assert_array_equal(values[:, 1:121, :160], np.stack([random_numbers(1), random_numbers(2)]))
    edges = ("-te", 501_600, 5_198_800, 503_210, 5_200_010, "-tr", 10, 10, "-r", "bilinear")
    warped = gdalwarp(tmp_path / "warped.tif", *edges, right)
    assert np.abs(values[:, :, 160:].astype(int) - warped).max() <= 1


@pytest.mark.data
@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3035"])
def test_another_zone_is_warped_as_gdalwarp_does(data_folder, tmp_path, run_mosaic, crs):
    """A real scene in the next zone, which lies turned by four degrees, and in another projection: nothing is blurred."""
    scene = data_folder / BOLZANO
    result = run_mosaic(scene, crs=crs, resolution=10, mask="none", feather=0)
    with rasterio.open(result.output / "mosaic.tif") as dataset:
        ours, bounds = dataset.read(), dataset.bounds
    options = ("-t_srs", crs, "-te", *bounds, "-tr", 10, 10, "-r", "bilinear", "-srcnodata", 0, "-dstnodata", 0)
    theirs = gdalwarp(tmp_path / "warped.tif", *options, scene)[:4]
    both = (ours > 0).all(axis=0) & (theirs > 0).all(axis=0)
    assert both.mean() > 0.7
    assert (np.abs(ours.astype(int) - theirs)[:, both] <= 1).mean() > 0.9999
    assert ((ours > 0).all(axis=0) != (theirs > 0).all(axis=0)).mean() < 0.001


def test_scenes_of_two_zones_meet(tmp_path, run_mosaic):
    """One ground seen in both systems is seen once: where both lie they agree, and nothing is between them."""
    rows, columns = np.mgrid[:400, :400]
    ramp = (1000 + columns + 2 * rows).astype(np.uint16)
    west = write(tmp_path / "west.tif", [ramp, ramp], names=NAMES, origin=(764_000, 5_200_000), crs="EPSG:32632")
    options = ("-t_srs", "EPSG:32633", "-tr", 10, 10, "-r", "bilinear", "-dstnodata", 0)
    gdalwarp(tmp_path / "east.tif", *options, west)
    result = run_mosaic(west, tmp_path / "east.tif", crs="EPSG:32633", bands="1,2", feather=100)
    values = pixels(result)
    with rasterio.open(result.output / "mosaic.tif") as dataset, rasterio.open(tmp_path / "east.tif") as east:
        window = dataset.window(*east.bounds).round_offsets().round_lengths()
        warped = east.read()
    ours = values[(slice(None), *window.toslices())]
    assert np.abs(ours.astype(int) - warped)[:, warped[0] > 0].max() <= 1


def test_a_rotated_scene_is_turned(tmp_path, run_mosaic):
    """As gdalwarp does it."""
    turned = Affine.translation(500_000, 5_200_000) @ Affine.rotation(30) @ Affine.scale(10, -10)
    scene = write(tmp_path / "a.tif", [random_numbers(1)], names=("B04",), transform=turned)
    result = run_mosaic(scene, resolution=10, feather=0, resampling="nearest")
    with rasterio.open(result.output / "mosaic.tif") as dataset:
        ours, bounds = dataset.read(), dataset.bounds
    theirs = gdalwarp(tmp_path / "warped.tif", "-te", *bounds, "-tr", 10, 10, "-r", "near", "-dstnodata", 0, scene)
    assert (ours == theirs).mean() > 0.999
    assert (ours > 0).sum() > 15_000


@pytest.mark.data
def test_window_size_does_not_show(data_folder, run_mosaic):
    """Warped, feathered and harmonised: the file is the same to the last bit."""
    scenes = sorted((data_folder / "mosaic-landsat8").glob("*.tif"))
    options = {"feather": 9000, "harmonize": "linear", "crs": "EPSG:32619", "order": "given"}
    one, other = (run_mosaic(*scenes, window=window, **options) for window in (1024, 333))
    for name in ("mosaic.tif", "sources.tif"):
        assert (one.output / name).read_bytes() == (other.output / name).read_bytes()
    assert report(one) == report(other)


@pytest.mark.data
def test_two_seasons_are_matched_where_they_overlap(data_folder, run_mosaic):
    """Landsat in spring and in summer: less than half of the step between them is left."""
    scenes = sorted((data_folder / "mosaic-landsat8").glob("*.tif"))

    def differences(**options):
        first, last = (run_mosaic(*scenes, method=method, feather=0, **options) for method in ("first", "last"))
        a, b = pixels(first).astype(float), pixels(last).astype(float)
        both = pixels(first, "sources.tif")[0] != pixels(last, "sources.tif")[0]
        return np.abs(np.median((a - b)[:, both], axis=1)).sum()

    assert differences(harmonize="linear") < 0.5 * differences()


@pytest.mark.data
def test_five_dates_make_a_cloud_free_tile(data_folder, run_mosaic):
    """By score the clearest is on top; no pixel is one that its scene's classification calls cloud or shadow."""
    folders = sorted((data_folder / DATES).glob("S2*"))
    result = run_mosaic(*folders, bands="B04,B03", order="score", feather=0, window=500)
    values, sources = pixels(result), pixels(result, "sources.tif")[0]
    assert [scene["name"][:12] for scene in report(result)["scenes"]][-1] == "S2B_33TWM_20"
    scores = [scene["score"] for scene in report(result)["scenes"]]
    assert scores == sorted(scores, reverse=True)
    assert result.summary["valid_fraction"] > 0.98
    for number, folder in enumerate(folders, 1):
        with rasterio.open(folder / "SCL.tif") as dataset, rasterio.open(folder / "B04.tif") as red:
            own = sources == number
            assert not np.isin(dataset.read(1)[own], (0, 1, 3, 8, 9, 10)).any()
            np.testing.assert_array_equal(values[0][own], red.read(1)[own])


def test_clouds_are_widened_by_metres(tmp_path, run_mosaic):
    """One cloudy pixel, 30 m: the pixels whose middle is that near are the other scene's."""
    for name, level in (("a", 1000), ("b", 2000)):
        (tmp_path / name).mkdir()
        scl = np.full((60, 60), 4, dtype=np.uint8)
        if name == "a":
            scl[30, 30] = 9
        write(tmp_path / name / "B04.tif", np.full((60, 60), level, dtype=np.uint16))
        write(tmp_path / name / "B03.tif", np.full((60, 60), level, dtype=np.uint16))
        write(tmp_path / name / "SCL.tif", scl)
    values = pixels(run_mosaic(tmp_path / "a", tmp_path / "b", dilation=30, feather=0))[0]
    rows, columns = np.mgrid[:60, :60]
    np.testing.assert_array_equal(values == 2000, np.hypot(rows - 30, columns - 30) <= 3)


def described(folder, number, *, scale=1e-4, offset=0.0, **options):
    """A scene of one number, and what it means."""
    folder.mkdir()
    for band in NAMES:
        write(folder / f"{band}.tif", np.full((50, 50), number, dtype=np.uint16), **options)
    assets = {b: {"href": f"./{b}.tif", "raster:bands": [{"scale": scale, "offset": offset}]} for b in NAMES}
    (folder / "item.json").write_text(json.dumps({"type": "Feature", "properties": {}, "assets": assets}))
    return folder


def test_scenes_beyond_the_box_have_no_say(tmp_path, run_mosaic):
    """Of another scale and offset, too coarse, without a mask that covers it, and first: the mosaic is the one without them,
    and nothing is to be matched with them."""
    inside = described(tmp_path / "a", 2000)
    far = described(tmp_path / "far", 2000, scale=2e-5, offset=-0.1, origin=(510_000, 5_200_000))
    coarse = described(tmp_path / "coarse", 2000, size=200, origin=(520_000, 5_200_000))
    clear = write(tmp_path / "clear.tif", np.zeros((50, 50), dtype=np.uint8), nodata=None)
    asked = {"bbox": "500000,5199500,500500,5200000", "harmonize": "linear", "masks": clear}
    alone, beside = run_mosaic(inside, **asked), run_mosaic(far, coarse, inside, **asked)
    assert beside.exit_code == 0, beside.errors
    assert (beside.summary["scenes_used"], beside.summary["warnings"]) == (1, [])
    assert np.array_equal(pixels(beside), pixels(alone))
    assert np.unique(pixels(beside, "sources.tif")).tolist() == [3]
    with (
        rasterio.open(alone.output / "mosaic.tif") as expected,
        rasterio.open(beside.output / "mosaic.tif") as made,
    ):
        assert (made.dtypes, made.scales, made.offsets) == (expected.dtypes, expected.scales, expected.offsets)


def test_scenes_of_unlike_calibration_are_brought_to_the_first_ones(tmp_path, run_mosaic):
    """An offset of -0.1 that is left in one, as since baseline 04.00: the same ground has the same number."""
    for name, offset in (("a", 0.0), ("b", -0.1)):
        described(tmp_path / name, 2000 - int(offset * 1e4), offset=offset)
    for method in ("first", "last"):
        result = run_mosaic(tmp_path / "a", tmp_path / "b", method=method)
        assert np.unique(pixels(result)).tolist() == [2000]
    result = run_mosaic(tmp_path / "b", tmp_path / "a", method="last")
    assert np.unique(pixels(result)).tolist() == [3000]
    with rasterio.open(result.output / "mosaic.tif") as dataset:
        assert (dataset.scales[0], dataset.offsets[0]) == (1e-4, -0.1)


@pytest.mark.parametrize("nodata", [None, -9999])
def test_what_is_no_number_is_no_data(tmp_path, run_mosaic, nodata):
    """NaN and infinity, whatever the file declares: the scene below is seen there, or no data."""
    holes = np.full((40, 40), 0.25, dtype=np.float32)
    holes[:9], holes[9:12, :20] = np.nan, np.inf
    below = np.full((40, 40), 0.5, dtype=np.float32)
    below[:3] = np.nan
    paths = [write(tmp_path / f"{n}.tif", values, nodata=nodata) for n, values in enumerate((holes, below))]
    (values,) = pixels(run_mosaic(*paths, feather=50))
    missing = np.isnan(values) if nodata is None else values == nodata
    np.testing.assert_array_equal(missing, np.arange(40)[:, np.newaxis] * np.ones(40) < 3)
    assert values[~missing].min() >= 0.25
    assert values[~missing].max() == 0.5


def test_newest_and_oldest_go_by_the_date_in_the_name(tmp_path, run_mosaic):
    """The one on top is the one that is asked for."""
    paths = [
        write(tmp_path / f"S2A_33TWM_{day}_0_L2A.tif", [np.full((40, 40), level, dtype=np.uint16)], names=("B04",))
        for day, level in (("20230810", 10), ("20230820", 20), ("20230815", 15))
    ]
    tops = {order: pixels(run_mosaic(*paths, order=order)).max() for order in ("given", "newest", "oldest")}
    assert tops == {"given": 10, "newest": 20, "oldest": 10}


def test_scenes_of_one_pixel_and_scenes_side_by_side_are_put_together(tmp_path, run_mosaic):
    """Nothing is too small, and nothing needs an overlap."""
    paths = [
        write(tmp_path / f"{n}.tif", np.full((1, 1), n, dtype=np.uint8), origin=(500_000 + 10 * n, 5_200_000))
        for n in (1, 2, 4)
    ]
    assert pixels(run_mosaic(*paths)).tolist() == [[[1, 2, 0, 4]]]


def test_memory_grows_neither_with_the_mosaic_nor_with_its_scenes(tmp_path):
    """Two overlapping scenes of four bands, 380 MB of pixels, feathered and harmonised in less than 450 MB."""
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 4, "width": 5000, "height": 5000, "nodata": 0}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True, "compress": "zstd"}
    paths = [tmp_path / f"{n}.tif" for n in range(2)]
    for n, path in enumerate(paths):
        left, top = 4500 * n, 0
        placed = Affine(10, 0, 500_000 + 10 * left, 0, -10, 5_200_000 - 10 * top)
        with rasterio.open(path, "w", crs="EPSG:32633", transform=placed, **profile) as dataset:
            for row, column in ((0, 0), (0, 3976), (3976, 0), (3976, 3976)):  # corners that lie on others
                ground = np.add.outer(np.arange(1024) + row + top, np.arange(1024) + column + left) % 3000 + 200
                dataset.write(np.stack([ground] * 4).astype(np.uint16), window=Window(column, row, 1024, 1024))
    code = "import re, runpy, sys; sys.argv = sys.argv[1:]\n"
    code += "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
    code += "finally: print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    arguments = ["--scenes", *map(str, paths), "--harmonize=linear", "--output", str(tmp_path)]
    command = [sys.executable, "-c", code, str(MOSAIC / "mosaic.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *_, summary, peak_kib = done.stdout.splitlines()
    assert json.loads(summary)["status"] == "done"
    assert int(peak_kib) * 1024 < 450e6


@pytest.mark.docker
@pytest.mark.data
@pytest.mark.timeout(900)  # the first build on a machine runs debootstrap
def test_a_closed_container_makes_a_mosaic(data_folder, tmp_path, mosaic_image):
    """Of the real pair, with what the manifest asks for and nothing else: the pixels that the same run here has."""
    memory = Manifest.from_json((MOSAIC / "seed.manifest.json").read_text()).resources().mem
    output = tmp_path / "out"
    output.mkdir()
    output.chmod(0o777)
    closed = ["--network", "none", "--read-only", "--cap-drop", "ALL", "--memory", f"{memory}m", "--pids-limit", "64"]
    mounts = ["--volume", f"{data_folder / 'mosaic-landsat8'}:/in:ro", "--volume", f"{output}:/out"]
    asked = ["python", "mosaic.py", "--scenes", "/in", "--harmonize=linear", "--output", "/out"]
    command = ["docker", "run", "--rm", *closed, *mounts, mosaic_image, *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["valid_pixels"] == 696_000
    names = {"mosaic.tif", "sources.tif", "report.json", "item.json", "quicklook.png", "seed.outputs.json"}
    assert {path.name for path in output.iterdir()} == names
