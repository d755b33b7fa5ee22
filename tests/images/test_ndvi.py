"""The image ndvi: the right numbers from real scenes, and an exit code of its own for each thing that can be wrong."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from tests.images.safes import a_safe, zipped
from tests.images.scenes import BOLZANO, DATES, NDVI, ROOT, measured, random_numbers, write

TILE_DATES = (
    "S2B_33TWM_20230810",
    "S2B_33TWM_20230813",
    "S2A_33TWM_20230815",
    "S2A_33TWM_20230818",
    "S2B_33TWM_20230820",
)


def ndvi_in_double(red, nir, offset=0.0):
    """The formula, in double precision, over whole arrays; NaN where a band is zero."""
    red, nir = (np.where(band == 0, np.nan, band / 1e4 + offset) for band in (red, nir))
    return (nir - red) / (nir + red)


def a_stack(path, **options):
    return write(path, [random_numbers(1), random_numbers(2)], names=("B04", "B08"), **options)


@pytest.mark.data
def test_the_bolzano_scene_is_what_numpy_computes(data_folder, run_ndvi):
    """Mean to 1e-6, every pixel to 1e-6, and its 22 zero pixels without data."""
    with rasterio.open(data_folder / BOLZANO) as dataset:
        direct = ndvi_in_double(dataset.read(1), dataset.read(4))
    result = run_ndvi(scene=data_folder / BOLZANO)
    assert result.exit_code == 0
    assert result.summary["mean"] == pytest.approx(np.nanmean(direct), abs=1e-6)
    assert result.summary["std"] == pytest.approx(np.nanstd(direct), abs=1e-6)
    assert result.summary["valid_pixels"] == np.isfinite(direct).sum()
    np.testing.assert_allclose(result.values, direct, atol=1e-6, equal_nan=True)
    outputs = json.loads((result.output / "seed.outputs.json").read_text())
    assert outputs["mean"] == result.summary["mean"] == result.statistics["mean"]


@pytest.mark.data
@pytest.mark.parametrize("date", TILE_DATES)
def test_every_date_of_the_tile_works(data_folder, run_ndvi, date):
    """JPEG2000 under the name .tif, in a directory, with an item that carries an offset that is applied already."""
    folder = data_folder / DATES / f"{date}_0_L2A"
    with rasterio.open(folder / "B04.tif") as red, rasterio.open(folder / "B08.tif") as nir:
        direct = ndvi_in_double(red.read(1), nir.read(1))
    result = run_ndvi(scene=folder)
    assert result.exit_code == 0
    assert result.summary["mean"] == pytest.approx(np.nanmean(direct), abs=1e-6)
    assert result.summary["warnings"] == []
    assert result.statistics["bands"]["red"]["offset"] == 0.0


@pytest.mark.data
def test_a_file_of_one_band_is_not_both_bands(data_folder, run_ndvi):
    """SCENE given a single band's file is an error, where it would silently give NDVI 0 everywhere."""
    result = run_ndvi(scene=data_folder / DATES / "S2A_33TWM_20230815_0_L2A" / "B02.tif")
    assert result.exit_code == 11
    assert "one band for both" in result.errors


@pytest.mark.data
def test_an_offset_applied_twice_is_noticed(data_folder, run_ndvi):
    """Reflectance turns negative, and the run says so."""
    result = run_ndvi(scene=data_folder / DATES / "S2A_33TWM_20230815_0_L2A", offset=-0.1)
    assert result.exit_code == 0
    assert "negative reflectance" in result.errors
    assert "negative reflectance" in result.summary["warnings"][0]
    assert result.statistics["clipped"] > 0


@pytest.mark.data
def test_a_product_is_read_in_its_zip(data_folder, tmp_path, run_ndvi):
    """SAFE, with the offset that its metadata name: the same as of its directory."""
    product = a_safe(tmp_path, data_folder)
    whole, folded = run_ndvi(scene=product), run_ndvi(scene=zipped(product, tmp_path / "product.zip"))
    assert np.array_equal(whole.values, folded.values, equal_nan=True)
    assert folded.statistics["bands"]["red"]["offset"] == -0.1


def test_an_offset_that_is_left_is_applied(tmp_path, run_ndvi):
    """The other half of trap 3: an item with an offset that nobody applied."""
    folder = tmp_path / "scene"
    folder.mkdir()
    red, nir = random_numbers(1, low=1200), random_numbers(2, low=1200)
    write(folder / "B04.tif", red)
    write(folder / "B08.tif", nir)
    bands = {
        name: {"href": f"./{name}.tif", "raster:bands": [{"scale": 1e-4, "offset": -0.1}]} for name in ("B04", "B08")
    }
    (folder / "item.json").write_text(json.dumps({"type": "Feature", "properties": {}, "assets": bands}))
    result = run_ndvi(scene=folder)
    np.testing.assert_allclose(result.values, ndvi_in_double(red, nir, -0.1), atol=1e-6)
    np.testing.assert_allclose(run_ndvi(scene=folder, offset="none").values, ndvi_in_double(red, nir), atol=1e-6)


@pytest.mark.data
def test_window_size_does_not_show(data_folder, run_ndvi):
    """The raster, the statistics and the file itself are the same to the last bit."""
    first, *others = (run_ndvi(scene=data_folder / BOLZANO, window=window) for window in (1024, 100, 257))
    for other in others:
        assert other.statistics == first.statistics
        assert np.array_equal(other.values, first.values, equal_nan=True)


def test_window_size_does_not_show_where_bands_are_resampled(tmp_path, run_ndvi):
    """20 m to 10 m, across the windows' seams."""
    red = write(tmp_path / "red.tif", random_numbers(1))
    nir = write(tmp_path / "nir.tif", random_numbers(2, shape=(60, 80)), size=20)
    first, second = (run_ndvi(red=red, nir=nir, window=window) for window in (512, 37))
    assert first.exit_code == 0
    assert np.array_equal(first.values, second.values, equal_nan=True)
    assert "resampled" in "\n".join(first.lines)


def test_a_coarser_band_is_interpolated(tmp_path, run_ndvi):
    """A constant stays constant, and the result is on the finer grid."""
    red = write(tmp_path / "red.tif", np.full((40, 40), 1000, dtype=np.uint16))
    nir = write(tmp_path / "nir.tif", np.full((20, 20), 3000, dtype=np.uint16), size=20)
    values = run_ndvi(red=red, nir=nir).values
    assert values.shape == (40, 40)
    assert np.all(values == 0.5)


def test_bands_that_are_shifted_meet_pixel_on_pixel(tmp_path, run_ndvi):
    """The common ground alone, nothing resampled."""
    red, nir = random_numbers(1), random_numbers(2)
    result = run_ndvi(
        red=write(tmp_path / "a.tif", red), nir=write(tmp_path / "b.tif", nir, origin=(500_300, 5_199_800))
    )
    np.testing.assert_allclose(result.values, ndvi_in_double(red[20:, 30:], nir[:-20, :-30]), atol=1e-6)
    with rasterio.open(result.output / "ndvi.tif") as dataset:
        assert (dataset.transform.c, dataset.transform.f) == (500_300, 5_199_800)


def test_a_nodata_value_can_be_given(tmp_path, run_ndvi):
    """For files that declare none, or a wrong one."""
    red, nir = random_numbers(1), random_numbers(2)
    red[:10] = 65535
    path = write(tmp_path / "x.tif", [red, nir], names=("red", "nir"), nodata=None)
    result = run_ndvi(scene=path, nodata=65535)
    assert np.isnan(result.values[:10]).all()
    assert np.isfinite(result.values[10:]).all()


def test_a_mask_inside_of_the_file_counts(tmp_path, run_ndvi):
    """Archives that mask without a nodata value."""
    path = a_stack(tmp_path / "x.tif", nodata=None)
    mask = np.full((120, 160), 255, dtype=np.uint8)
    mask[:7] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(mask)
    assert np.isnan(run_ndvi(scene=path).values).sum() == 7 * 160


def test_numbers_name_bands_that_have_no_names(tmp_path, run_ndvi):
    """RED_BAND and NIR_BAND."""
    path = write(tmp_path / "x.tif", [random_numbers(1), random_numbers(2)])
    assert run_ndvi(scene=path, red_band=2, nir_band=1).statistics["bands"]["red"]["band"] == 2


def test_the_summary_is_the_last_line_and_progress_comes_before(tmp_path, run_ndvi):
    """For a log that a person follows and a program reads."""
    result = run_ndvi(scene=a_stack(tmp_path / "x.tif"), window=64)
    assert result.summary["status"] == "done"
    assert result.lines[-2] == "progress 100 % (6 of 6 windows)"


def test_an_unknown_place_stays_unknown(tmp_path, run_ndvi):
    """The sample's mark is carried into the outputs."""
    from swath_eo.scenes.sample import write_spyndex_sample

    result = run_ndvi(scene=write_spyndex_sample(tmp_path / "sample.tif"))
    assert result.statistics["location"] == "unknown"
    with rasterio.open(result.output / "ndvi.tif") as dataset:
        assert dataset.tags()["LOCATION"] == "unknown"


# Each way to fail: what is given to the program, by the name of its error in the manifest.


def unreadable_file(folder):
    (folder / "x.tif").write_bytes(b"no image")
    return {"scene": folder / "x.tif"}


def band_missing(folder):
    return {"scene": write(folder / "x.tif", [random_numbers(1), random_numbers(2)])}


def band_ambiguous(folder):
    return {"scene": write(folder / "x.tif", [random_numbers(1), random_numbers(2)], names=("B04", "red"))}


def no_crs(folder):
    return {"scene": a_stack(folder / "x.tif", crs=None)}


def crs_mismatch(folder):
    red = write(folder / "a.tif", random_numbers(1))
    return {"red": red, "nir": write(folder / "b.tif", random_numbers(2), crs="EPSG:32632")}


def grid_mismatch(folder):
    red = write(folder / "a.tif", random_numbers(1))
    turned = Affine.translation(500_000, 5_200_000) @ Affine.rotation(10) @ Affine.scale(10, -10)
    return {"red": red, "nir": write(folder / "b.tif", random_numbers(2), transform=turned)}


def empty_overlap(folder):
    red = write(folder / "a.tif", random_numbers(1))
    return {"red": red, "nir": write(folder / "b.tif", random_numbers(2), origin=(600_000, 5_200_000))}


def no_valid_pixels(folder):
    return {
        "scene": write(folder / "x.tif", list(np.zeros((2, 50, 50), dtype=np.uint16))),
        "red_band": 1,
        "nir_band": 2,
    }


def calibration_unknown(folder):
    for name in ("B04.tif", "B08.tif"):
        write(folder / name, random_numbers(1))
    (folder / "item.json").write_text("{")
    return {"scene": folder}


def bad_parameter(folder):
    return {"scene": a_stack(folder / "x.tif"), "window": 3}


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
    bad_parameter,
)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
def test_each_failure_has_its_exit_code_and_leaves_nothing(tmp_path, run_ndvi, failure):
    """The code that the manifest names, the reason in the log, and no output that could be taken for one."""
    name = failure.__name__.replace("_", "-")
    manifest = json.loads((NDVI / "seed.manifest.json").read_text())
    codes = {error["name"]: error["code"] for error in manifest["job"]["errors"]}
    folder = tmp_path / "input"
    folder.mkdir()
    result = run_ndvi(**failure(folder))
    assert (result.exit_code, result.summary["error"]) == (codes[name], name)
    assert result.errors.startswith(f"{name}: ")
    assert list(result.output.iterdir()) == []


def test_every_failure_is_tested():
    """All but the disk that is full, which comes below."""
    declared = {error["name"] for error in json.loads((NDVI / "seed.manifest.json").read_text())["job"]["errors"]}
    of_safe = {"product-incomplete", "product-metadata", "archive-refused"}  # tests/images/test_safe.py
    assert {f.__name__.replace("_", "-") for f in FAILURES} == declared - of_safe - {"output-not-written"}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--red", "a.tif"],
        ["--scene", "a", "--red", "b", "--nir", "c"],
        ["--scene", "a", "--scale", "x"],
        ["--nonsense"],
    ],
)
def test_a_command_line_that_makes_no_sense_is_a_bad_parameter(run_ndvi, arguments):
    """And never taken for the scene's fault."""
    assert run_ndvi(*arguments).exit_code == 30


def run_limited(limit, *arguments):
    """Runs ndvi in a process whose files may not grow beyond `limit` bytes, as on a full disk."""
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
    code += "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", code, str(NDVI / "ndvi.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.data
@pytest.mark.parametrize("limit", [0, 100_000, 2_400_000, 2_662_000])
def test_a_disk_that_is_full_is_an_error_of_its_own(data_folder, tmp_path, limit):
    """At the start, midway, and when the file is all but complete; nothing half-written is left."""
    done = run_limited(limit, "--scene", data_folder / BOLZANO, "--output", tmp_path)
    assert done.returncode == 31, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.data
@pytest.mark.parametrize("cut", [50, 1000, 300_000, -1])
def test_a_jpeg2000_that_is_cut_off_is_unreadable(data_folder, tmp_path, run_ndvi, cut):
    """With several threads GDAL reads one that lacks its last byte, and returns something else."""
    folder = tmp_path / "scene"
    shutil.copytree(data_folder / DATES / "S2A_33TWM_20230815_0_L2A", folder)
    (folder / "B04.tif").write_bytes((folder / "B04.tif").read_bytes()[:cut])
    result = run_ndvi(scene=folder)
    assert (result.exit_code, list(result.output.iterdir())) == (10, [])


@pytest.mark.data
@pytest.mark.parametrize("cut", [50, 20_000, 1_000_000])
def test_a_geotiff_that_is_cut_off_is_unreadable(data_folder, tmp_path, run_ndvi, cut):
    """In the header or in the pixels."""
    path = tmp_path / "x.tif"
    path.write_bytes((data_folder / BOLZANO).read_bytes()[:cut])
    result = run_ndvi(scene=path)
    assert (result.exit_code, list(result.output.iterdir())) == (10, [])


def test_memory_does_not_grow_with_the_scene(tmp_path):
    """400 million pixels a band (1.6 GB as float32) in less than 350 MiB."""
    path = tmp_path / "large.tif"
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 2, "width": 20_000, "height": 20_000, "nodata": 0}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True, "compress": "deflate"}
    with rasterio.open(
        path, "w", crs="EPSG:32633", transform=Affine(10, 0, 500_000, 0, -10, 5_200_000), **profile
    ) as dataset:
        dataset.descriptions = ("red", "nir")
        for offset in range(0, 20_000, 4000):  # islands of data in a sea without
            window = rasterio.windows.Window(offset, offset, 700, 700)
            for band in (1, 2):
                dataset.write(random_numbers(band, shape=(700, 700)), band, window=window)
    summary, peak_mb = measured("ndvi", "--scene", path, "--output", tmp_path)
    assert summary["valid_pixels"] == 5 * 700 * 700
    assert peak_mb < 350 * 1.048576


def test_it_runs_from_its_folder_as_the_process_runtime_does(tmp_path):
    """The manifest's command, split and substituted, with the environment's own Python."""
    from swath.domain.manifest import Manifest
    from swath.domain.run import command, environment

    manifest = Manifest.from_json((NDVI / "seed.manifest.json").read_text())
    (tmp_path / "out").mkdir()
    variables = environment(
        manifest,
        files={"SCENE": str(a_stack(tmp_path / "a scene.tif"))},
        parameters={"OFFSET": "-0.01", "SCALE": 1e-4, "WINDOW": 64, "RED_BAND": "B04"},
        settings={},
        resources=manifest.resources(1),
        output_dir=str(tmp_path / "out"),
    )
    argv = [sys.executable, *command(manifest, variables)[1:]]
    done = subprocess.run(argv, cwd=NDVI, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "ndvi.tif",
        "item.json",
        "statistics.json",
        "quicklook.png",
        "seed.outputs.json",
    }
    assert not (ROOT / "images" / "ndvi" / "out").exists()
