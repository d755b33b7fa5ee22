"""The image composite: scenes of many dates in, one clear picture out; what is wrong with them has its own exit code."""

import json
import os
import subprocess
import sys
from datetime import date
from itertools import pairwise

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.windows import Window
from swath_eo.composites.timeline import find_angles
from swath_eo.scenes.product import open_product

from swath.domain.manifest import Manifest
from swath.domain.run import command, environment
from tests.images.scenes import BOLZANO, DATES, ROOT, random_numbers, write

COMPOSITE = ROOT / "images" / "composite"
CLEAR, CLOUD, DARK = 4, 9, 2
DAYS = ("20230601", "20230611", "20230621")


def a_scene(folder, day, seed, *, classes=CLEAR, offset=None, size=60, **options):
    """A directory with bands B03, B04, B08 and classes, named by its day, and described where it has an offset."""
    scene = folder / f"S2A_33TWM_{day}_0_L2A"
    scene.mkdir(parents=True)
    for number, name in enumerate(("B03", "B04", "B08")):
        write(scene / f"{name}.tif", random_numbers(10 * seed + number, (size, size)), **options)
    numbers = np.broadcast_to(classes, (size // 2, size // 2)).astype(np.uint8)
    write(scene / "SCL.tif", numbers, **{"size": 20.0, **options})
    if offset is not None:
        bands = [{"scale": 1e-4, "offset": offset}]
        assets = {name: {"href": f"./{name}.tif", "raster:bands": bands} for name in ("B03", "B04", "B08")}
        properties = {"datetime": f"{day[:4]}-{day[4:6]}-{day[6:]}T10:00:00Z"}
        item = {"type": "Feature", "properties": properties, "assets": assets}
        (scene / "item.json").write_text(json.dumps(item))
    return scene


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def bands_of(result):
    """The output's bands by name."""
    with rasterio.open(result.output / "composite.tif") as dataset:
        return dict(zip(dataset.descriptions, dataset.read(), strict=True))


def stacked(scenes, name="B04"):
    return np.concatenate([read(scene / f"{name}.tif") for scene in scenes])


def cloudy(row, column, size=30):
    """Classes with one cloud."""
    classes = np.full((size, size), CLEAR)
    classes[row, column] = CLOUD
    return classes


@pytest.fixture
def scenes(tmp_path):
    """Three dates; the second has a cloud of one pixel of classes, 20 m."""
    classes = (CLEAR, cloudy(10, 20), DARK)
    return [
        a_scene(tmp_path / "scenes", day, n, classes=c) for n, (day, c) in enumerate(zip(DAYS, classes, strict=True))
    ]


def test_the_median_counts_clear_dates(scenes, run_composite):
    """Numbers, counts, names and the range of time are right; half numbers are rounded to even ones."""
    result = run_composite("--scenes", *scenes[::-1])
    assert result.exit_code == 0, result.errors
    made = bands_of(result)
    assert list(made) == ["B03", "B04", "B08", "count"]
    expected = np.median(stacked(scenes), axis=0)
    expected[20:22, 40:42] = np.rint(stacked(scenes[::2])[:, 20:22, 40:42].mean(axis=0))
    assert np.array_equal(made["B04"], expected)
    assert (made["count"][20:22, 40:42] == 2).all()
    assert (made["count"] == 3).sum() == 3600 - 4
    assert result.summary["mean_count"] == pytest.approx(3 - 4 / 3600)
    item = json.loads((result.output / "item.json").read_text())
    assert item["properties"]["start_datetime"] == "2023-06-01T00:00:00Z"
    assert item["properties"]["end_datetime"] == item["properties"]["datetime"] == "2023-06-21T00:00:00Z"
    assert item["properties"]["swath:inputs"] == [scene.name for scene in scenes]
    assert [band["name"] for band in item["assets"]["composite"]["bands"]] == ["b03", "b04", "b08", "count"]


def test_a_directory_holds_every_scene(scenes, run_composite):
    """As the platform links them, by names of its own choice."""
    folder = scenes[0].parent
    for name in ("LICENSE", "README.md", "list.csv"):  # which are no scenes
        (folder / name).write_text("CC0")
    assert np.array_equal(
        bands_of(run_composite(scenes=folder))["B08"], bands_of(run_composite("--scenes", *scenes))["B08"]
    )


def test_a_directory_that_is_a_scene_is_one(scenes, run_composite):
    """Its bands are no scenes: what is clear of it is the composite, and the date is that of its name."""
    result = run_composite(scenes=scenes[1], method="latest")
    assert (result.exit_code, result.summary["scenes"]) == (0, 1), result.errors
    made = bands_of(result)
    assert np.array_equal(made["B04"][made["count"] > 0], read(scenes[1] / "B04.tif")[0][made["count"] > 0])
    assert (made["count"] == 0).sum() == 4
    assert json.loads((result.output / "item.json").read_text())["properties"]["datetime"] == "2023-06-11T00:00:00Z"


def test_a_part_of_a_product_is_one_scene(scenes, tmp_path, run_composite):
    """SAFE's directories without its metadata are not a scene each, and a damaged band is told by its name."""
    images = tmp_path / "S2A_MSIL2A_20230611T100601.SAFE" / "GRANULE" / "L2A_T33TWM_A1_20230611T100601" / "IMG_DATA"
    images.parent.mkdir(parents=True)
    scenes[1].rename(images)
    (images / "R20m").mkdir()
    (images / "SCL.tif").rename(images / "R20m" / "T33TWM_SCL_20m.tif")
    for part in (images, images.parent, images.parents[2]):
        assert run_composite(scenes=part).summary["scenes"] == 1
    (images / "B04.tif").write_bytes(b"no image")
    result = run_composite(scenes=images)
    assert (result.exit_code, "B04.tif" in result.errors) == (10, True)


def test_scenes_that_are_named_after_colours_are_scenes(tmp_path, run_composite):
    """Files of many bands, though their names tell of two."""
    numbers = [random_numbers(seed, (40, 40)) for seed in range(2)]
    (tmp_path / "places").mkdir()
    for name in ("red_lake_20230601", "green_bay_20230611"):
        write(tmp_path / "places" / f"{name}.tif", numbers, names=("B04", "B08"))
    assert run_composite(scenes=tmp_path / "places").summary["scenes"] == 2


def test_the_chosen_date_is_a_band(scenes, run_composite):
    """In days since 1970; the spread is the distance of the quartiles."""
    result = run_composite("--scenes", *scenes, method="latest", bands="red", spread="true")
    made = bands_of(result)
    assert list(made) == ["B04", "count", "date", "B04_spread"]
    assert (made["date"] == (date(2023, 6, 21) - date(1970, 1, 1)).days).all()
    assert np.array_equal(made["B04"], stacked(scenes)[2])
    lower, upper = np.percentile(stacked(scenes)[:, 0, 0], (25, 75))
    with rasterio.open(result.output / "composite.tif") as dataset:
        spread = made["B04_spread"] * dataset.scales[3] + dataset.offsets[3]
    assert spread[0, 0] == pytest.approx(np.rint(upper - lower) * 1e-4, abs=1e-9)


def test_no_spread_is_a_spread_of_zero(tmp_path, run_composite):
    """Dates of the same numbers have it where they are clear; elsewhere there is no data."""
    scenes = [a_scene(tmp_path / "same", day, 7, classes=cloudy(3, 4)) for day in DAYS]
    result = run_composite("--scenes", *scenes, method="median", bands="red", spread="true")
    with rasterio.open(result.output / "composite.tif") as dataset:
        spread = dataset.read(3, masked=True)
        assert np.array_equal(spread.mask, dataset.read(2) == 0)
        assert (spread.compressed() * dataset.scales[2] + dataset.offsets[2] == 0).all()
        assert spread.mask.sum() == 4


@pytest.mark.parametrize("method", ["median", "geometric-median", "best-pixel", "medoid"])
def test_no_result_depends_on_the_window(scenes, run_composite, method):
    """Clouds reach across windows: dilation and scores look beyond them."""
    asked = {"method": method, "dilation": 45, "cloud_reach": 250, "target_day": 160}
    whole = bands_of(run_composite("--scenes", *scenes, **asked))
    parts = bands_of(run_composite("--scenes", *scenes, window=16, **asked))
    assert (whole["count"] == 2).sum() > 40
    for name, band in whole.items():
        assert np.array_equal(band, parts[name]), name


def test_the_best_pixel_keeps_away_from_clouds(scenes, run_composite):
    """Near the cloud the first date is better than the second, which is nearer to the target day."""
    result = run_composite("--scenes", *scenes, method="best-pixel", target_day=162, cloud_reach=100, day_sigma=60)
    chosen = bands_of(result)["date"] - (date(2023, 6, 1) - date(1970, 1, 1)).days
    assert chosen[0, 0] == 10
    assert chosen[20, 38] != 10


def test_masks_and_probabilities_hide(scenes, tmp_path, run_composite):
    """One mask for all, one for each scene, or a layer of percent."""
    square = np.zeros((60, 60), dtype=np.uint8)
    square[:10, :10] = 1
    single = write(tmp_path / "water.tif", square, nodata=None)
    result = run_composite("--scenes", *scenes, masks=single, classes="none")
    assert (bands_of(result)["count"] == 0).sum() == 100
    item = json.loads((result.output / "item.json").read_text())
    assert item["properties"]["swath:parameters"]["masks"] == ["water.tif"]
    for number, scene in enumerate(scenes):
        (tmp_path / "masks").mkdir(exist_ok=True)
        write(tmp_path / "masks" / f"{scene.name}_mask.tif", square * np.uint8(number == 1), nodata=None)
        write(scene / "MSK_CLDPRB_20m.tif", np.full((30, 30), 40 * number, dtype=np.uint8), size=20.0)
    made = bands_of(run_composite("--scenes", *scenes, masks=tmp_path / "masks", classes="none"))
    assert (made["count"] == 2).sum() == 100
    made = bands_of(run_composite("--scenes", *scenes, probability=50, classes="none"))
    assert (made["count"] == 2).all()


def test_where_a_mask_ends_nothing_is_clear(scenes, tmp_path, run_composite):
    """A column that it lacks is not known; zero is clear, though the file calls it no data."""
    short = write(tmp_path / "short.tif", np.zeros((60, 59), dtype=np.uint8), nodata=0)
    count = bands_of(run_composite("--scenes", *scenes, masks=short, classes="none"))["count"]
    assert (count[:, :59] == len(scenes)).all()
    assert (count[:, 59] == 0).all()


def test_scenes_of_different_offsets_meet(tmp_path, run_composite):
    """A scene of before January 2022 beside two of later: 1000 apart, the same reflectance."""
    later = [a_scene(tmp_path / "a", day, 7, offset=-0.1) for day in DAYS[1:]]
    before = a_scene(tmp_path / "a", DAYS[0], 7, offset=0.0)
    result = run_composite("--scenes", before, *later, method="median", bands="B08")
    assert np.array_equal(bands_of(result)["B08"], stacked(later, "B08")[0])
    result = run_composite("--scenes", before, later[0], method="mean", bands="B08")
    assert np.array_equal(bands_of(result)["B08"], stacked(later, "B08")[0] + 500)
    with rasterio.open(result.output / "composite.tif") as dataset:
        assert dataset.offsets[0] == -0.1


def test_days_bound_the_series(scenes, run_composite):
    """Both included."""
    assert run_composite("--scenes", *scenes, start="2023-06-11", end="2023-06-21").summary["scenes"] == 2


def test_floats_stay_floats(tmp_path, run_composite):
    """With NaN for what was never clear."""
    files = []
    for seed, day in enumerate(DAYS):
        numbers = (random_numbers(seed, (40, 40)) / 1e4).astype(np.float32)
        numbers[0, 0] = np.nan
        files.append(write(tmp_path / f"x_{day}_.tif", numbers, nodata=np.nan, names=("B04",)))
    made = bands_of(run_composite("--scenes", *files, method="mean"))["B04"]
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, np.mean([read(f)[0] for f in files], axis=0), rtol=1e-6)
    assert np.isnan(made[0, 0])


def test_whole_numbers_after_reflectances_keep_their_digits(tmp_path, run_composite):
    """The first date's scale is the composite's, and a later date's 0.3 is not rounded to 0 in it."""
    first = write(tmp_path / f"x_{DAYS[0]}_.tif", np.full((8, 8), 0.1, np.float32), nodata=np.nan, names=("B04",))
    later = write(tmp_path / f"x_{DAYS[1]}_.tif", np.full((8, 8), 3000, np.uint16), names=("B04",))
    made = bands_of(run_composite("--scenes", first, later, method="latest"))["B04"]
    np.testing.assert_allclose(made, 0.3, rtol=1e-6)


@pytest.mark.parametrize("missing", [np.float32(np.nan), np.float32(np.inf), np.uint16(0)], ids=str)
def test_what_is_no_number_is_no_data_though_nothing_says_so(tmp_path, run_composite, missing):
    """NaN, infinity, and zero in all bands: a date that is missing there leaves the others' median."""
    numbers = [random_numbers(seed, (40, 40)).astype(missing.dtype) for seed in range(3)]
    numbers[1][:5] = missing
    pairs = zip(DAYS, numbers, strict=True)
    files = [write(tmp_path / f"x_{day}_.tif", date, nodata=None, names=("B04",)) for day, date in pairs]
    made = bands_of(run_composite("--scenes", *files))
    assert (made["count"][:5] == 2).all()
    middle = np.mean([numbers[0][:5], numbers[2][:5]], axis=0)
    assert np.array_equal(made["B04"][:5], np.rint(middle) if missing == 0 else middle)
    assert np.array_equal(made["B04"][5:], np.median(numbers, axis=0)[5:])


def test_many_dates_take_smaller_windows(scenes, run_composite):
    """And say so; the result is the same."""
    small = run_composite("--scenes", *scenes, environ={"ALLOCATED_MEM": "250.05"})
    assert "for 3 dates of 3 bands" in small.lines[3]
    assert np.array_equal(bands_of(small)["B04"], bands_of(run_composite("--scenes", *scenes))["B04"])


def _no_clear_observation(tmp_path):
    return [a_scene(tmp_path, day, 1, classes=CLOUD) for day in DAYS]


def _no_valid_pixels(tmp_path):
    tmp_path.mkdir()
    return [write(tmp_path / f"x_{day}_.tif", np.zeros((40, 40), dtype=np.uint16)) for day in DAYS]


def _unknown_date(tmp_path):
    tmp_path.mkdir()
    return [write(tmp_path / f"{name}.tif", random_numbers(1)) for name in "ab"]


def _one_moment(tmp_path):
    return [a_scene(tmp_path / name, DAYS[0], 1) for name in "ab"]


def _another_system(tmp_path):
    return [a_scene(tmp_path, DAYS[0], 1), a_scene(tmp_path, DAYS[1], 1, crs="EPSG:32632")]


def _elsewhere(tmp_path):
    return [a_scene(tmp_path, DAYS[0], 1), a_scene(tmp_path, DAYS[1], 1, origin=(600_000, 5_200_000))]


def _nowhere(tmp_path):
    return [a_scene(tmp_path, DAYS[0], 1, crs=None)]


def _rotated(tmp_path):
    turned = (
        rasterio.Affine.translation(500_000, 5_200_000) @ rasterio.Affine.rotation(20) @ rasterio.Affine.scale(10, -10)
    )
    return [a_scene(tmp_path, DAYS[0], 1), a_scene(tmp_path, DAYS[1], 1, transform=turned)]


def _damaged(tmp_path):
    scenes = [a_scene(tmp_path, day, 1) for day in DAYS]
    (scenes[1] / "B04.tif").write_bytes(b"no image")
    return scenes


def _incomplete(tmp_path):
    scenes = [a_scene(tmp_path, day, 1) for day in DAYS]
    (scenes[1] / "B04.tif").unlink()
    return scenes


BAD = [
    (_no_clear_observation, {}, 25),
    (_no_valid_pixels, {}, 17),
    (_unknown_date, {"method": "latest"}, 24),
    (_one_moment, {}, 24),
    (_another_system, {}, 14),
    (_elsewhere, {}, 16),
    (_nowhere, {}, 13),
    (_rotated, {}, 15),
    (_damaged, {}, 10),
    (_incomplete, {}, 11),
    (_no_clear_observation, {"start": "2023-07-01", "end": "2023-06-01"}, 24),
    (_no_clear_observation, {"start": "2024-07-01"}, 24),
    (_no_clear_observation, {"probability": 50}, 11),
    (_no_clear_observation, {"bands": "B11"}, 11),
    (_no_clear_observation, {"method": "max-ndvi", "bands": "B03,B04"}, 11),
]


@pytest.mark.parametrize(("make", "options", "code"), BAD, ids=lambda value: getattr(value, "__name__", str(value)))
def test_what_is_wrong_with_scenes_has_its_own_exit_code(tmp_path, run_composite, make, options, code):
    """And leaves nothing behind."""
    result = run_composite("--scenes", *make(tmp_path / "scenes"), **options)
    assert (result.exit_code, list(result.output.iterdir())) == (code, []), result.errors


@pytest.mark.parametrize(
    "options",
    [
        {"method": "best"},
        {"percentile": 101},
        {"classes": "cloud"},
        {"classes": "12"},
        {"probability": -1},
        {"dilation": -1},
        {"start": "June"},
        {"day_sigma": 0},
        {"window": 3},
        {"spread": "maybe"},
    ],
    ids=str,
)
def test_parameters_that_make_no_sense_are_refused(tmp_path, run_composite, options):
    """And never taken for the scenes' fault."""
    assert run_composite(scenes=a_scene(tmp_path / "scenes", DAYS[0], 1).parent, **options).exit_code == 30


def test_a_mask_that_does_not_cover_the_scenes_is_refused(scenes, tmp_path, run_composite):
    """What it does not know is not clear."""
    small = write(tmp_path / "mask.tif", np.zeros((20, 20), dtype=np.uint8), nodata=None)
    assert run_composite("--scenes", *scenes, masks=small).exit_code == 15


def test_it_runs_from_its_folder_as_the_process_runtime_does(scenes, tmp_path):
    """The manifest's command, with one directory of all scenes."""
    manifest = Manifest.from_json((COMPOSITE / "seed.manifest.json").read_text())
    (tmp_path / "out").mkdir()
    variables = environment(
        manifest,
        files={"SCENES": str(scenes[0].parent)},
        parameters={"METHOD": "max-ndvi", "SPREAD": True, "DILATION": 10, "WINDOW": 64},
        settings={},
        resources=manifest.resources(1),
        output_dir=str(tmp_path / "out"),
    )
    argv = [sys.executable, *command(manifest, variables)[1:]]
    done = subprocess.run(
        argv, cwd=COMPOSITE, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "seed.outputs.json").read_text())["scenes"] == 3


@pytest.mark.data
def test_five_cloudy_dates_make_one_clear_picture(data_folder, run_composite):
    """33TWM: nearly all is clear on some date, and the composite is darker than any cloud."""
    scenes = sorted((data_folder / DATES).glob("S2*"))
    result = run_composite("--scenes", *scenes, method="medoid", bands="B04,B03,B02")
    assert result.exit_code == 0, result.errors
    assert result.summary["clear_fraction"] > 0.99
    made = bands_of(result)
    assert np.percentile(made["B04"][made["count"] > 0], 99) < 2500
    days = np.unique(made["date"][made["count"] > 0])
    assert len(days) == 5
    assert all(a < b for a, b in pairwise(days))
    with Image.open(result.output / "quicklook.png") as picture:
        assert picture.size == (915, 915)


@pytest.mark.data
def test_a_product_whose_images_are_not_whole_is_refused(data_folder, run_composite):
    """A zip whose images are smaller than its metadata say."""
    product = next((data_folder / "safe").glob("*.zip"))
    assert run_composite("--scenes", product, bands="B04").exit_code == 19


@pytest.mark.data
def test_a_scene_tells_at_which_angles_it_was_seen(data_folder):
    """By the granule's metadata beside its bands, bit for bit whatever the window; one without them tells nothing."""
    product = open_product(data_folder / DATES / "S2A_33TWM_20230815_0_L2A")
    band = product.find("red")
    angles = find_angles(product, band)
    whole, part = Window(0, 0, 915, 915), Window(300, 200, 50, 40)
    zenith = angles.zenith_at(band.grid, whole)
    assert zenith.mean() == pytest.approx(8.03, abs=0.6)  # as the metadata say of what the swath covers
    assert zenith.tobytes() == angles.at(band.grid, whole)[0].tobytes()
    assert np.array_equal(angles.zenith_at(band.grid, part), zenith[200:240, 300:350])
    assert find_angles(open_product(data_folder / BOLZANO), band) is None


@pytest.mark.docker
@pytest.mark.data
@pytest.mark.timeout(900)  # the first build on a machine runs debootstrap
def test_a_closed_container_makes_a_composite(data_folder, tmp_path, composite_image):
    """By score, of a part of the real dates, with what the manifest asks for and nothing else."""
    memory = Manifest.from_json((COMPOSITE / "seed.manifest.json").read_text()).resources().mem
    output = tmp_path / "out"
    output.mkdir()
    output.chmod(0o777)
    scenes = [f"/in/{path.name}" for path in sorted((data_folder / DATES).glob("S2*"))][:2]
    closed = ["--network", "none", "--read-only", "--cap-drop", "ALL", "--memory", f"{memory}m", "--pids-limit", "64"]
    mounts = ["--volume", f"{data_folder / DATES}:/in:ro", "--volume", f"{output}:/out"]
    asked = ["python", "composite.py", "--scenes", *scenes, "--bands=B04", "--method=best-pixel", "--output", "/out"]
    command = ["docker", "run", "--rm", *closed, *mounts, composite_image, *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["scenes"] == 2
    names = {"composite.tif", "item.json", "quicklook.png", "seed.outputs.json"}
    assert {path.name for path in output.iterdir()} == names
