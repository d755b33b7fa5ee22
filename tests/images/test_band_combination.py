"""The image bands: indices, expressions and pictures of real scenes, and an exit code for each thing that can be wrong."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import spyndex

from tests.images.safes import a_safe
from tests.images.scenes import BOLZANO, DATES, ROOT, random_numbers, write

BANDS = ROOT / "images" / "bands"
TILE = DATES / "S2A_33TWM_20230815_0_L2A"


def read(result, name="bands.tif"):
    with rasterio.open(result.output / name) as dataset:
        return dataset.read()


def bolzano(data_folder):
    """Reflectances by the list's names, NaN for no data."""
    with rasterio.open(data_folder / BOLZANO) as dataset:
        numbers = dataset.read([1, 2, 3, 4])
    return dict(zip("RGBN", np.where(numbers == 0, np.nan, numbers * 1e-4), strict=True))


def a_scene(path, names=("B02", "B03", "B04", "B08"), **options):
    return write(path, [random_numbers(seed, (60, 80)) for seed in range(len(names))], names=names, **options)


@pytest.mark.data
def test_indices_of_the_bolzano_scene_are_what_spyndex_computes(data_folder, run_bands):
    """A band each, with its name, in one file; constants as given, for all of them."""
    result = run_bands(scene=data_folder / BOLZANO, index="NDVI,EVI,savi", constants="L=0.5")
    assert result.exit_code == 0, result.errors
    reflectances = bolzano(data_folder)
    values = read(result)
    constants = {"L": 0.5, "g": 2.5, "C1": 6.0, "C2": 7.5}
    for name, ours in zip(("NDVI", "EVI", "SAVI"), values, strict=True):
        wanted = {k: v for k, v in (reflectances | constants).items() if k in spyndex.indices[name].bands}
        direct = spyndex.computeIndex(name, wanted).astype(np.float32)
        direct[np.abs(direct) > 1e12] = np.nan  # EVI's denominator is zero in one pixel, but for rounding
        assert np.array_equal(ours, direct, equal_nan=True), name
        assert result.summary["statistics"][name]["valid"] == np.isfinite(direct).sum()
        assert result.summary["statistics"][name]["mean"] == pytest.approx(np.nanmean(direct, dtype=float), abs=1e-7)
    with rasterio.open(result.output / "bands.tif") as dataset:
        assert dataset.descriptions == ("NDVI", "EVI", "SAVI")
        assert dataset.overviews(1)


@pytest.mark.data
def test_expressions_name_bands_as_scenes_and_the_list_do(data_folder, run_bands):
    """B08, nir and N are one band; classes are numbers and stay them; what is masked is no data or what is said."""
    text = "a = B08 - red; b = N - B04; vegetation = (nir - R) / (nir + R) if SCL == 4 else -1"
    result = run_bands(scene=data_folder / BOLZANO, expression=text)
    reflectances = bolzano(data_folder)
    with rasterio.open(data_folder / BOLZANO) as dataset:
        classes = dataset.read(5)
    a, b, vegetation = read(result)
    direct = (reflectances["N"] - reflectances["R"]).astype(np.float32)
    assert np.array_equal(a, direct, equal_nan=True)
    assert np.array_equal(b, direct, equal_nan=True)
    assert np.array_equal(vegetation == -1, (classes != 4) & np.isfinite(direct) & (classes != 0))


@pytest.mark.data
def test_window_size_does_not_show(data_folder, run_bands):
    """Not in a pixel, a statistic or a stretch, though classes of 20 m are brought to 10 m."""
    asked = {"index": "NDVI,EVI", "expression": "N if SCL == 4 else 0", "view": "infrared"}
    first, second = (run_bands(scene=data_folder / TILE, window=window, **asked) for window in (1024, 500))
    assert first.exit_code == 0, first.errors
    for name in ("bands.tif", "view.tif"):
        assert (first.output / name).read_bytes() == (second.output / name).read_bytes()
    assert {**first.summary, "seconds": 0} == {**second.summary, "seconds": 0}


@pytest.mark.data
def test_a_picture_has_the_colours_that_were_asked_for(data_folder, run_bands):
    """Near infrared in red, between the values that were given; no data is 0 in all of them."""
    result = run_bands(scene=data_folder / BOLZANO, view="infrared", stretch="0,0.5", gamma=1.5)
    red, green, blue = read(result, "view.tif")
    with rasterio.open(result.output / "view.tif") as dataset:
        assert dataset.dtypes == ("uint8",) * 3
        assert [colour.name for colour in dataset.colorinterp] == ["red", "green", "blue"]
        assert dataset.nodata == 0
    reflectances = bolzano(data_folder)
    nir, missing = reflectances["N"], np.isnan(reflectances["N"] + reflectances["R"] + reflectances["G"])
    expected = np.rint(np.clip(nir / 0.5, 0, 1) ** (1 / 1.5) * 254) + 1
    assert np.abs(red[~missing] - expected[~missing]).max() <= 1
    assert not red[missing].any()
    assert not green[missing].any()
    assert not blue[missing].any()


@pytest.mark.data
def test_percentiles_are_those_of_all_pixels(data_folder, run_bands):
    """Two percent black and two percent white, by default, in each channel."""
    result = run_bands(scene=data_folder / BOLZANO, view="natural")
    for channel in read(result, "view.tif"):
        assert np.mean(channel == 1) == pytest.approx(0.02, abs=0.005)
        assert np.mean(channel == 255) == pytest.approx(0.02, abs=0.005)


@pytest.mark.data
def test_a_safe_product_is_read_with_its_offset(data_folder, tmp_path, run_bands):
    """Baseline 05.09: 1000 is taken off; classes and short wave infrared of 20 m come to 10 m."""
    product = a_safe(tmp_path, data_folder)
    result = run_bands(scene=product, index="NDVI,NDMI", expression="N if SCL >= 0 else 0")
    assert result.exit_code == 0, result.errors
    (red,), (nir,) = product.glob("GRANULE/*/IMG_DATA/R10m/*_B04_*"), product.glob("GRANULE/*/IMG_DATA/R10m/*_B08_*")
    with rasterio.open(red) as dataset, rasterio.open(nir) as other:
        r, n = (band.read(1) * 1e-4 - 0.1 for band in (dataset, other))
    ndvi, ndmi, _ = read(result)
    defined = np.isfinite(ndvi)
    np.testing.assert_allclose(ndvi[defined], ((n - r) / (n + r))[defined], rtol=1e-5, atol=1e-6)
    assert defined.mean() > 0.99
    assert np.isfinite(ndmi).mean() > 0.99


def test_bands_without_names_are_given_by_number(tmp_path, run_bands):
    """BANDS says what they are."""
    numbers = [random_numbers(1), random_numbers(2)]
    scene = write(tmp_path / "x.tif", numbers)
    red, nir = (band * 1e-4 for band in numbers)
    values = read(run_bands(scene=scene, index="NDVI", bands="R=1, N=2"))
    assert np.array_equal(values[0], ((nir - red) / (nir + red)).astype(np.float32))


def test_wavelengths_are_known_of_sentinel_2_and_can_be_given(tmp_path, run_bands):
    """Other bands' are asked for."""
    names = ("B04", "B06", "B08", "B11")
    known = run_bands(scene=a_scene(tmp_path / "a.tif", names), index="FDI")
    assert known.exit_code == 0, known.errors
    other = a_scene(tmp_path / "b.tif", ("red", "nir", "x", "y"))
    assigned = "RE2=3,S1=4"
    assert "lambdaN" in run_bands(scene=other, index="FDI", bands=assigned).errors
    given = "lambdaN=832.8,lambdaR=664.6,lambdaS1=1613.7"
    assert run_bands(scene=other, index="FDI", bands=assigned, constants=given).exit_code == 0


def test_one_pixel_is_enough(tmp_path, run_bands):
    """For an index, and for a picture between given values; not for one between percentiles."""
    scene = write(tmp_path / "x.tif", [random_numbers(seed, (1, 1)) for seed in (1, 2, 3)], names=("B04", "B03", "B02"))
    result = run_bands(scene=scene, index="NGRDI", view="natural", stretch="0,0.5")
    assert (result.exit_code, read(result).shape, read(result, "view.tif").shape) == (0, (1, 1, 1), (3, 1, 1))
    assert "next to one value" in run_bands(scene=scene, view="natural").errors


def test_an_offset_applied_twice_is_noticed(tmp_path, run_bands):
    """Reflectance turns negative, and the run says so."""
    scene = a_scene(tmp_path / "x.tif")
    assert "negative reflectance" in run_bands(scene=scene, index="NDVI", offset=-0.1).summary["warnings"][0]
    assert run_bands(scene=scene, index="NDVI").summary["warnings"] == []


def test_the_item_says_how_it_was_made(tmp_path, run_bands):
    """Formulas, bands and constants; checksums of both files."""
    result = run_bands(
        scene=a_scene(tmp_path / "x.tif"), index="SAVI", view="natural", constants="L=0.5", nodata=7, gamma=2
    )
    item = json.loads((result.output / "item.json").read_text())
    made = item["properties"]["swath:parameters"]
    assert made["formulas"]["SAVI"].replace(" ", "") == spyndex.indices.SAVI.formula
    assert (made["bands"]["N"], made["constants"]) == ("x.tif:4", {"L": 0.5})
    assert (made["stretch"], made["gamma"], made["nodata"]) == ("2%,98%", 2, 7)
    assert set(item["assets"]) == {"bands", "view"}
    assert all(asset["file:checksum"].startswith("1220") for asset in item["assets"].values())


# Each way to fail: what is given to the program, by the name of its error in the manifest.


def unreadable_file(folder):
    (folder / "x.tif").write_bytes(b"no image")
    return {"index": "NDVI"}


def band_missing(folder):
    a_scene(folder / "x.tif")
    return {"index": "NDVI,NDMI"}


def band_ambiguous(folder):
    a_scene(folder / "x.tif", ("B04", "red", "B08"))
    return {"index": "NDVI"}


def no_crs(folder):
    a_scene(folder / "x.tif", crs=None)
    return {"index": "NDVI"}


def crs_mismatch(folder):
    write(folder / "B04.tif", random_numbers(1))
    write(folder / "B08.tif", random_numbers(2), crs="EPSG:32632")
    return {"index": "NDVI", "scene": folder}


def grid_mismatch(folder):
    write(folder / "B04.tif", random_numbers(1))
    write(folder / "B08.tif", random_numbers(2), size=100)
    return {"index": "NDVI", "scene": folder}


def empty_overlap(folder):
    write(folder / "B04.tif", random_numbers(1))
    write(folder / "B08.tif", random_numbers(2), origin=(600_000, 5_200_000))
    return {"index": "NDVI", "scene": folder}


def no_valid_pixels(folder):
    a_scene(folder / "x.tif")
    return {"expression": "log(0 - N)", "index": "NDVI", "view": "natural"}


def calibration_unknown(folder):
    for name in ("B04.tif", "B08.tif"):
        write(folder / name, random_numbers(1))
    (folder / "item.json").write_text("{")
    return {"index": "NDVI", "scene": folder}


def bad_expression(folder):
    a_scene(folder / "x.tif")
    return {"expression": "__import__('os').system('true')"}


def index_unknown(folder):
    a_scene(folder / "x.tif")
    return {"index": "NDVY"}


def bad_parameter(folder):
    a_scene(folder / "x.tif")
    return {"index": "NDVI", "constants": "L=many"}


FAILURES = (
    unreadable_file,
    band_missing,
    band_ambiguous,
    no_crs,
    crs_mismatch,
    grid_mismatch,
    empty_overlap,
    no_valid_pixels,
    calibration_unknown,
    bad_expression,
    index_unknown,
    bad_parameter,
)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
def test_each_failure_has_its_exit_code_and_leaves_nothing(tmp_path, run_bands, failure):
    """The code that the manifest names, the reason in the log, and no output that could be taken for one."""
    name = failure.__name__.replace("_", "-")
    manifest = json.loads((BANDS / "seed.manifest.json").read_text())
    codes = {error["name"]: error["code"] for error in manifest["job"]["errors"]}
    folder = tmp_path / "input"
    folder.mkdir()
    result = run_bands(**{"scene": folder / "x.tif", **failure(folder)})
    assert (result.exit_code, result.summary["error"]) == (codes[name], name)
    assert result.errors.startswith(f"{name}: ")
    assert list(result.output.iterdir()) == []


def test_every_failure_is_tested():
    """All that the manifest names but the disk that is full, and SAFE products, which are read as ndvi reads them."""
    elsewhere = {"output-not-written", "product-incomplete", "product-metadata", "archive-refused"}
    declared = {error["name"] for error in json.loads((BANDS / "seed.manifest.json").read_text())["job"]["errors"]}
    assert {f.__name__.replace("_", "-") for f in FAILURES} == declared - elsewhere


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ([np.zeros((50, 50), dtype=np.uint16)] * 2, 17),
        ([np.full((50, 50), np.nan, dtype=np.float32)] * 2, 17),
        ([np.full((50, 50), np.inf, dtype=np.float32)] * 2, 17),
        ([np.zeros((50, 50), dtype=np.uint16), random_numbers(1, (50, 50))], 17),
    ],
    ids=["all zero", "NaN", "infinite", "one zero"],
)
def test_a_scene_that_holds_nothing_makes_no_picture(tmp_path, run_bands, numbers, code):
    """Whether or not its file says that zero is no data."""
    scene = write(tmp_path / "x.tif", numbers, names=("B04", "B08"), nodata=None)
    for asked in ({"index": "NDVI"}, {"expression": "2 * B04 + B08"}, {"view": "B04", "stretch": "-1,1"}):
        assert run_bands(scene=scene, **asked).exit_code == code


@pytest.mark.data
@pytest.mark.parametrize("cut", [0, 50, 1000, 300_000, -1])
def test_a_band_that_is_cut_off_or_missing_is_an_error(data_folder, tmp_path, run_bands, cut):
    """Of a directory, with nothing left behind."""
    folder = tmp_path / "scene"
    shutil.copytree(data_folder / TILE, folder)
    (folder / "B08.tif").write_bytes((folder / "B08.tif").read_bytes()[:cut])
    cut_off = run_bands(scene=folder, index="NDVI")
    assert (cut_off.exit_code, list(cut_off.output.iterdir())) == (10, [])
    (folder / "B08.tif").unlink()
    assert run_bands(scene=folder, index="NDVI").exit_code == 11


def test_a_file_that_tells_its_band_is_no_other(tmp_path, run_bands):
    """Unless BANDS says so; one that tells nothing is what is asked for."""
    named, unnamed = (write(tmp_path / name, random_numbers(1)) for name in ("B08.tif", "x.tif"))
    assert run_bands(scene=named, expression="red * 1").exit_code == 11
    assert run_bands(scene=named, expression="foo * 1").exit_code == 11
    assert run_bands(scene=named, expression="red * 1", bands="red=1").exit_code == 0
    assert run_bands(scene=named, expression="nir * 1").exit_code == 0
    assert run_bands(scene=unnamed, expression="red * 1").exit_code == 0


def test_a_file_of_one_band_is_not_two(tmp_path, run_bands):
    """Unnamed, it is whatever one name wants, and no second."""
    scene = write(tmp_path / "x.tif", random_numbers(1))
    assert run_bands(scene=scene, index="NDVI").exit_code == 11
    assert run_bands(scene=scene, expression="2 * B04").exit_code == 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"index": "NDVI,NDVI"},
        {"index": "NIRvP"},
        {"index": "NDVI", "constants": "L"},
        {"index": "NDVI", "constants": "L=1,L=2"},
        {"index": "NDVI", "constants": "L=nan"},
        {"index": "NDVI", "bands": "N"},
        {"view": "B04;B03"},
        {"view": "natural", "stretch": "98%,2%"},
        {"view": "natural", "gamma": 0},
        {"index": "NDVI", "window": 3},
        {"index": "NDVI", "scale": 0},
    ],
    ids=str,
)
def test_parameters_that_make_no_sense_are_refused(tmp_path, run_bands, options):
    """And never taken for the scene's fault."""
    assert run_bands(scene=a_scene(tmp_path / "x.tif"), **options).exit_code == 30


def test_it_runs_from_its_folder_as_the_process_runtime_does(tmp_path):
    """The manifest's command: no expression can add an argument, for each is one."""
    from swath.domain.manifest import Manifest
    from swath.domain.run import command, environment

    manifest = Manifest.from_json((BANDS / "seed.manifest.json").read_text())
    (tmp_path / "out").mkdir()
    variables = environment(
        manifest,
        files={"SCENE": str(a_scene(tmp_path / "a scene.tif"))},
        parameters={"EXPRESSION": "x = where(N > 0.2, N, -1); y = 'no' --help", "GAMMA": 1.2, "WINDOW": 64},
        settings={},
        resources=manifest.resources(1),
        output_dir=str(tmp_path / "out"),
    )
    argv = [sys.executable, *command(manifest, variables)[1:]]
    done = subprocess.run(argv, cwd=BANDS, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    assert done.returncode == 22, done.stderr
    assert "is not allowed in an expression" in done.stderr


@pytest.mark.docker
@pytest.mark.data
@pytest.mark.timeout(900)  # the first build on a machine runs debootstrap
def test_a_closed_container_makes_the_same_files(data_folder, tmp_path, bands_image, run_bands):
    """As the program in this process, byte for byte, with what the manifest asks for and nothing else."""
    manifest = json.loads((BANDS / "seed.manifest.json").read_text())["job"]
    memory = next(r["value"] for r in manifest["resources"]["scalar"] if r["name"] == "mem")
    output = tmp_path / "out"
    output.mkdir()
    output.chmod(0o777)
    closed = ["--network=none", "--read-only", "--cap-drop=ALL", f"--memory={memory:.0f}m", "--pids-limit=64"]
    mounts = ["--volume", f"{data_folder / BOLZANO}:/in/scene.tif:ro", "--volume", f"{output}:/out"]
    asked = {"index": "NDVI,EVI", "expression": "N if SCL == 4 else 0", "view": "infrared"}
    options = [f"--{name}={value}" for name, value in asked.items()]
    command = ["python", "bands.py", "--scene", "/in/scene.tif", *options, "--output", "/out"]
    done = subprocess.run(
        ["docker", "run", "--rm", *closed, *mounts, bands_image, *command], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    shutil.copy(data_folder / BOLZANO, tmp_path / "scene.tif")
    here = run_bands(scene=tmp_path / "scene.tif", **asked)
    for name in ("bands.tif", "view.tif"):
        assert (output / name).read_bytes() == (here.output / name).read_bytes()
    smoke_test = json.loads((BANDS / "swath.manifest.json").read_text())["smoke_test"]
    told = subprocess.run(["docker", "run", "--rm", *closed, bands_image, *smoke_test], capture_output=True, text=True)
    assert "usage: bands" in told.stdout
