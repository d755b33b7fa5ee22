"""The program atmcor: scenes in, surface reflectance out, the same whatever the windows, and an error for what cannot be."""

import json
import subprocess

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window
from swath_eo.atmosphere.dark_object import SENTINEL_2, Conditions, count_numbers, find_dark_number, make_correction
from swath_eo.atmosphere.sixs import interpolate, load_table, weights
from swath_eo.atmosphere.toa import Asked, find_toa
from swath_eo.clouds.cloudless import BANDS, cloud_probability
from swath_eo.scenes.calibration import from_product_xml
from swath_eo.scenes.product import open_product
from swath_eo.scenes.safe import open_safe

from swath.domain.manifest import Manifest
from tests.images.safes import L1C, L2A, a_safe
from tests.images.scenes import ROOT, Runner, random_numbers, write
from tests.images.test_dark_object import make_mtl

WITH_ANGLES = "S2A_MSIL1C_20200717T221941_R029_T01LAC_20200717T234135.SAFE"
PLACE = {"origin": (99_960, 8_300_020), "crs": "EPSG:32701"}  # of its tile
NAMES = ["B02", "B03", "B04", "B08"]
GIVEN = {"bands": ",".join(NAMES), "clouds": "none"}


@pytest.fixture
def run(tmp_path, capsys):
    """Runs atmcor in this process: `run(scene=...)`."""
    return Runner(tmp_path, capsys, "atmcor")


@pytest.fixture(scope="module")
def product(data_folder, tmp_path_factory):
    """A Sentinel-2A L1C product with real angles, random numbers, and a corner without data."""

    def write_image(path, number, shape, size):
        values = random_numbers(number, shape, low=1500, high=6000)
        values[: shape[0] // 10, : shape[1] // 10] = 0
        write(path, values, **PLACE, size=size, nodata=None, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")

    return a_safe(tmp_path_factory.mktemp("l1c"), data_folder, WITH_ANGLES, write_image=write_image)


@pytest.fixture(scope="module")
def maps(product, tmp_path_factory):
    """Elevation (30 m pixels, in another system) and aerosol (thousandths) for it, each with a gap."""
    folder = tmp_path_factory.mktemp("maps")
    grid = open_safe(product).grid("B02")
    left, bottom, right, top = rasterio.warp.transform_bounds(grid.crs, "EPSG:3857", *grid.bounds)
    shape = (60, 60)
    step = 1.2 * max(right - left, top - bottom) / 60
    elevation = np.linspace(0, 3000, 3600, dtype=np.float32).reshape(shape)
    write(folder / "dem.tif", elevation, origin=(left - 3 * step, top + 3 * step), size=step, crs="EPSG:3857")
    aerosol = random_numbers(5, (122, 122), low=50, high=800)
    aerosol[-10:, -10:] = 0
    origin = (grid.transform.c, grid.transform.f)
    write(folder / "aot.tif", aerosol, origin=origin, crs=grid.crs)
    return {"elevation_map": folder / "dem.tif", "aerosol_map": folder / "aot.tif", "aerosol_scale": 0.001}


def read(result, name="surface.tif"):
    with rasterio.open(result.output / name) as dataset:
        return dataset.read()


def expected_at(product, row, column, *, aerosol, elevation, water, ozone, toa):
    """6S at one pixel, in double precision, with its own block's angles."""
    safe = open_safe(product)
    table = load_table("sentinel-2a").of(tuple(NAMES))
    grid = safe.grid("B02")
    centre = Window(column // 64 * 64 + 31, row // 64 * 64 + 31, 2, 2)
    sun = safe.sun_angles().at(grid, centre)[0].mean(dtype=np.float64)
    view = [safe.view_angles(name).at(grid, centre)[0].mean(dtype=np.float64) for name in NAMES]
    nodes = interpolate(table, sun=np.array([sun]), view=np.array([view]), water=water, ozone=ozone)
    here = np.outer(weights(table.aerosol, aerosol), weights(table.elevation, elevation / 1000))
    gain, bias, albedo = (np.einsum("bae,ae->b", q[0], here) for q in (nodes.gain, nodes.bias, nodes.albedo))
    y = gain * toa - bias
    return y / (1 + albedo * y)


@pytest.mark.data
def test_a_product_is_corrected_by_its_own_angles_and_maps(product, maps, run):
    """Each of some pixels is what 6S' formula gives there; no data stays none, in the scene and in both maps."""
    done = run(scene=product, water=2.5, ozone=0.31, **GIVEN, **maps)
    assert done.exit_code == 0, done.errors
    surface = read(done)
    numbers = {name: open_safe(product).find(name) for name in NAMES}
    toa = np.stack([rasterio.open(band.path).read(1) for band in numbers.values()]) / 10000
    grid = open_safe(product).grid("B02")
    warped = {"crs": grid.crs, "transform": grid.transform, "width": grid.width, "height": grid.height}
    with rasterio.open(maps["elevation_map"]) as dem, rasterio.open(maps["aerosol_map"]) as aot:
        with rasterio.vrt.WarpedVRT(dem, resampling=rasterio.enums.Resampling.bilinear, **warped) as vrt:
            elevation = vrt.read(1)
        aerosol = aot.read(1) / 1000
    for row, column in ((20, 20), (63, 64), (64, 63), (100, 30), (30, 121)):
        here = {"aerosol": aerosol[row, column], "elevation": float(elevation[row, column])}
        expected = expected_at(product, row, column, water=2.5, ozone=0.31, toa=toa[:, row, column], **here)
        assert np.abs(surface[:, row, column] / 10000 - expected).max() < 2e-4  # a height can differ by a metre or two
    assert (surface[:, :12, :12] == -32768).all()
    assert (surface[:, -10:, -10:] == -32768).all()
    assert (surface[:, 12:100, 12:100] != -32768).all()


@pytest.mark.data
@pytest.mark.parametrize("method", ["physical", "dos4"])
def test_the_result_does_not_depend_on_the_window(product, maps, run, method):
    """To the bit, also where windows cut blocks of one geometry."""
    asked = {"scene": product, "method": method, "dark_pixels": 3, **GIVEN, **(maps if method == "physical" else {})}
    whole, *cut = (run(window=size, **asked) for size in (1024, 50, 16))
    for other in cut:
        assert other.exit_code == whole.exit_code == 0, other.errors
        assert np.array_equal(read(other), read(whole))
        assert other.summary["statistics"] == whole.summary["statistics"]


@pytest.mark.data
def test_what_lies_above_the_tables_is_told(product, tmp_path, run):
    """A warning counts the pixels that are higher than the tables."""
    grid = open_safe(product).grid("B02")
    elevation = np.full((122, 122), 4000, np.float32)
    elevation[50] = 6000
    path = write(tmp_path / "dem.tif", elevation, origin=(grid.transform.c, grid.transform.f), crs=grid.crs)
    done = run(scene=product, aerosol=0.1, elevation_map=path, **GIVEN)
    assert [line for line in done.summary["warnings"] if line.startswith("122 pixels have more elevation")]


@pytest.mark.data
def test_a_zenith_that_is_given_stands_for_one_of_the_metadata_alone(product):
    """The other's angles stay the product's own."""
    window = Window(0, 0, 3, 2)
    grid, names = open_safe(product).grid("B02"), ["B02", "B04"]
    own, by_sun, by_view = (
        find_toa(open_product(product), Asked(bands=names, **given)).geometry
        for given in ({}, {"sun_zenith": 40.0}, {"view_zenith": 5.0})
    )
    assert (by_sun.sun(grid, window) == 40).all()
    assert by_sun.mean_sun == 40
    assert np.array_equal(by_sun.view(grid, window), own.view(grid, window))
    assert (by_view.view(grid, window) == 5).all()
    assert np.array_equal(by_view.sun(grid, window), own.sun(grid, window))
    assert by_view.mean_sun == own.mean_sun


@pytest.mark.data
def test_a_colour_is_a_name_too(product, run):
    """Sentinel-2's blue is B02, and asked for twice it is there once."""
    done = run(scene=product, aerosol=0.2, bands="blue,B02,nir", clouds="none")
    assert list(done.summary["statistics"]) == ["B02", "B08"]


def test_a_map_that_declares_no_nodata_has_none_where_it_says_what_cannot_be(tmp_path, run):
    """Elevation far below the sea and aerosol below zero are no data; optical depths in thousandths are refused."""
    scene = write(tmp_path / "toa.tif", random_numbers(1), names=["B02"])
    asked = {"scene": scene, "sensor": "sentinel-2a", "sun_zenith": 40}
    elevation, aerosol = np.full((2, 120, 160), 0.2, np.float32)
    elevation[:30], aerosol[:, 100:] = -32768, -9999
    dem = write(tmp_path / "dem.tif", elevation, nodata=None)
    aot = write(tmp_path / "aot.tif", aerosol, nodata=None)
    done = run(**asked, elevation_map=dem, aerosol_map=aot)
    assert done.exit_code == 0, done.errors
    assert np.array_equal(read(done)[0] != -32768, (elevation > 0) & (aerosol > 0))
    nowhere = write(tmp_path / "nowhere.tif", np.full((120, 160), -9999, np.float32), nodata=None)
    assert run(**asked, aerosol_map=nowhere).exit_code == 16
    thousandths = write(tmp_path / "thousandths.tif", np.full((120, 160), 150, np.uint16))
    done = run(**asked, aerosol_map=thousandths)
    assert done.exit_code == 30
    assert "AEROSOL_SCALE" in done.errors
    assert not (done.output / "surface.tif").exists()
    done = run(**asked, aerosol_map=thousandths, aerosol_scale=0.001, nodata=3, offset="none")
    assert done.exit_code == 0, done.errors
    told = json.loads((done.output / "item.json").read_text())["properties"]["swath:parameters"]
    assert told | {"sun_zenith": 40, "aerosol_scale": 0.001, "nodata": 3, "offset": "none"} == told


@pytest.mark.data
def test_dark_objects_are_subtracted_band_by_band(product, run):
    """With the sun of the metadata: the same as the core's, and the numbers found are told."""
    done = run(scene=product, method="dos3", dark_pixels=3, **GIVEN)
    assert done.exit_code == 0, done.errors
    item = json.loads((done.output / "item.json").read_text())
    for index, name in enumerate(NAMES):
        numbers = rasterio.open(open_safe(product).find(name).path).read(1)
        dark = find_dark_number(count_numbers(numbers, numbers > 0), least=3)
        assert item["properties"]["swath:parameters"]["dark_numbers"][name] == dark
        conditions = Conditions(sun_zenith=45.183085206095, wavelengths=SENTINEL_2[name])
        c = make_correction("dos3", dark / 10000, conditions)
        expected = np.where(numbers > 0, np.rint(10000 * (c.gain * numbers / 10000 + c.offset)), -32768)
        assert np.abs(read(done)[index] - expected).max() <= 1


@pytest.mark.data
def test_outputs_say_what_they_are(product, run):
    """Bands with names and a scale, overviews, statistics, a checksum, inputs and parameters."""
    done = run(scene=product, aerosol=0.2, elevation=300, **GIVEN)
    assert done.exit_code == 0, done.errors
    with rasterio.open(done.output / "surface.tif") as dataset:
        assert dataset.descriptions == tuple(NAMES)
        assert dataset.scales == (1e-4,) * 4
        assert (dataset.nodata, dataset.dtypes[0]) == (-32768, "int16")
    item = json.loads((done.output / "item.json").read_text())
    told = item["properties"]
    assert told["datetime"].startswith("2020-07-17T22:20:29")
    assert told["swath:inputs"] == [product.name]
    assert told["swath:parameters"]["aerosol"] == 0.2
    assert item["assets"]["surface"]["file:checksum"].startswith("1220")
    assert done.summary["statistics"]["B02"]["mean"] == pytest.approx(
        read(done)[0][read(done)[0] > -32768].mean() / 10000, abs=1e-4
    )


def a_landsat(folder, bands=("B2", "B4"), mtl=None):
    folder.mkdir()
    stem = "LC08_L1TP_192028_20190703_20190718_01_T1"
    for number, band in enumerate(bands):
        write(folder / f"{stem}_{band}.TIF", random_numbers(number, low=8000, high=20000))
    (folder / f"{stem}_MTL.txt").write_text(make_mtl() if mtl is None else mtl)
    return folder


def test_a_landsat_directory_is_corrected_by_its_metadata(tmp_path, run):
    """Numbers become reflectance under the sun's height; the sensor's table and bands are Landsat's."""
    done = run(scene=a_landsat(tmp_path / "scene"), method="dos1", dark_pixels=1)
    assert done.exit_code == 0, done.errors
    numbers = random_numbers(0, low=8000, high=20000)
    expected = 2e-5 * (numbers.astype(float) - numbers.min()) / np.sin(np.radians(61.25)) + 0.01
    assert np.abs(read(done)[0] / 10000 - expected).max() < 1e-4
    done = run(scene=tmp_path / "scene", aerosol=0.1)
    assert done.exit_code == 0, done.errors
    assert list(done.summary["statistics"]) == ["blue", "red"]


SAFES = {"l2a": L2A, "no-angles": L1C, "good": WITH_ANGLES}


@pytest.mark.data
@pytest.mark.parametrize(
    ("code", "scene", "change"),
    [
        (29, "l2a", {}),  # corrected already
        (20, "no-angles", {}),  # nothing tells where the sun stood
        (28, "good", {"sun_zenith": 80}),
        (28, "good", {"sun_zenith": 40, "view_zenith": 30}),
        (11, "good", {"bands": "B10"}),
        (30, "good", {"aerosol": 3}),
        (30, "good", {"aerosol": -1}),
        (30, "good", {"aerosol": "nan"}),
        (30, "good", {"water": 20}),
        (30, "good", {"elevation": 9000}),
        (30, "good", {"sensor": "landsat-5"}),
        (30, "good", {"method": "dos5"}),
        (30, "good", {"method": "dos1", "dark_pixels": 10**9}),
        (10, "good", {"elevation_map": "missing.tif"}),
        (16, "good", {"elevation_map": "elsewhere"}),
        (13, "good", {"elevation_map": "no-crs"}),
        (10, "missing", {}),
    ],
)
def test_bad_input_is_an_error_of_its_own(data_folder, product, tmp_path, run, code, scene, change):
    """And leaves no picture."""
    if change.get("elevation_map") == "elsewhere":
        change = {"elevation_map": write(tmp_path / "dem.tif", np.ones((50, 50), np.float32), nodata=None)}
    if change.get("elevation_map") == "no-crs":
        change = {"elevation_map": write(tmp_path / "dem.tif", np.ones((50, 50), np.float32), crs=None)}
    path = tmp_path / "nothing" if scene == "missing" else product
    if scene in ("l2a", "no-angles"):
        path = a_safe(tmp_path, data_folder, SAFES[scene], shrink=180)
    done = run(**{"scene": path, "aerosol": 0.2, **GIVEN, **change})
    assert done.exit_code == code, done.summary
    assert not (done.output / "surface.tif").exists()


def test_a_lone_file_needs_its_sensor_and_sun(tmp_path, run):
    """With both it is corrected; an all-zero one is refused."""
    numbers = random_numbers(1)
    scene = write(tmp_path / "toa.tif", [numbers, numbers], names=["B02", "B04"])
    assert run(scene=scene, aerosol=0.1).exit_code == 30
    assert run(scene=scene, aerosol=0.1, sensor="sentinel-2a").exit_code == 30
    assert run(scene=scene, aerosol=0.1, sensor="sentinel-2a", sun_zenith=40).exit_code == 0
    empty = write(tmp_path / "empty.tif", np.zeros((50, 50), np.uint16), names=["B02"])
    for method in ("physical", "dos1"):
        asked = {"method": method, "sensor": "sentinel-2a", "sun_zenith": 40, "aerosol": 0.1}
        assert run(scene=empty, **asked).exit_code == 17


@pytest.mark.parametrize("method", ["physical", "dos1"])
def test_zero_in_all_bands_is_no_data_though_nothing_says_so(tmp_path, run, method):
    """A scene of nothing else is refused."""
    asked = {"method": method, "sensor": "sentinel-2a", "sun_zenith": 40, "aerosol": 0.1, "dark_pixels": 1}
    red, blue = random_numbers(1), random_numbers(2)
    red[:40], blue[:30] = 0, 0
    scene = write(tmp_path / "toa.tif", [blue, red], names=["B02", "B04"], nodata=None)
    there = read(run(scene=scene, **asked))[0] != -32768
    assert not there[:30].any()
    assert there[30:].all()
    empty = write(tmp_path / "empty.tif", np.zeros((50, 50), np.uint16), names=["B02"], nodata=None)
    assert run(scene=empty, **asked).exit_code == 17


@pytest.mark.parametrize(
    ("name", "item", "code"),
    [
        ("S2A_33TWM_20230815_0_L2A", {}, 29),
        ("S2A_MSIL2A_20230815T095031_N0509_R079_T33TWM", {}, 29),
        ("LC08_L2SP_193028_20200815_20200822_02_T1", {}, 29),
        ("scene", {"id": "S2A_33TWM_20230815_0_L2A"}, 29),
        ("scene", {"id": "x", "collection": "sentinel-2-l2a"}, 29),
        ("S2A_33TWM_20230815_0_L1C", {"id": "S2A_33TWM_20230815_0_L1C", "collection": "sentinel-2-l1c"}, 0),
    ],
)
def test_what_tells_that_it_is_the_surface_is_not_corrected_again(tmp_path, run, name, item, code):
    """By a directory's name or its STAC item, whatever sensor and sun are given."""
    scene = tmp_path / name
    scene.mkdir()
    write(scene / "B02.tif", random_numbers(1))
    if item:
        (scene / "item.json").write_text(json.dumps({"type": "Feature", "properties": {}, "assets": {}, **item}))
    done = run(scene=scene, aerosol=0.1, sensor="sentinel-2a", sun_zenith=40)
    assert done.exit_code == code, done.errors


@pytest.mark.parametrize(
    ("mtl", "code"),
    [
        ("", 20),
        ("SPACECRAFT_ID = LANDSAT_8", 20),
        (make_mtl().replace("61.25", "high"), 20),
        (make_mtl().replace("LANDSAT_8", "LANDSAT_5"), 29),
        (make_mtl().replace("61.25", "-3"), 30),
    ],
)
def test_landsat_metadata_that_do_not_do_are_refused(tmp_path, run, mtl, code):
    """Empty, incomplete, no number, another satellite, night."""
    assert run(scene=a_landsat(tmp_path / "scene", mtl=mtl), aerosol=0.1).exit_code == code


@pytest.mark.data
def test_numbers_become_the_reflectance_that_others_find(data_folder):
    """ukis-pysat's answer for a product of baseline 02.09."""
    (metadata,) = data_folder.glob("atmosphere/dn-to-toa/*_MTD.xml")
    stem = metadata.name.removesuffix("_MTD.xml")
    with rasterio.open(metadata.with_name(f"{stem}.tif")) as dataset:
        numbers = dataset.read()
    with rasterio.open(metadata.with_name(f"{stem}_toa.tif")) as dataset:
        expected = dataset.read()
    found = from_product_xml(metadata.read_text(), band="B04")
    assert np.abs(numbers * found.scale + found.offset - expected).max() < 1e-6


@pytest.mark.data
def test_clouds_are_told_from_clear_sky(data_folder):
    """Of five real L1C scenes two are cloudy."""
    scenes = np.load(data_folder / "eo-learn" / "REFERENCE_SCENES.npy")
    names = [f"B{n:02d}" for n in range(1, 9)] + ["B8A", "B09", "B10", "B11", "B12"]
    toa = np.moveaxis(scenes[..., [names.index(name) for name in BANDS]], -1, 1).astype(np.float32)
    toa = toa / 10000 if toa.max() > 50 else toa
    cloudy = [float((cloud_probability(scene) > 0.4).mean()) for scene in toa]
    assert sum(share > 0.3 for share in cloudy) == 2, cloudy
    assert sum(share < 0.1 for share in cloudy) == 3, cloudy


@pytest.mark.docker
@pytest.mark.data
@pytest.mark.timeout(900)  # the first build on a machine runs debootstrap
def test_a_closed_container_corrects_a_product(product, maps, tmp_path, atmcor_image, run):
    """With what the manifest asks for and nothing else, and to the bit what the program makes outside."""
    memory = Manifest.from_json((ROOT / "images" / "atmcor" / "seed.manifest.json").read_text()).resources().mem
    output = tmp_path / "out"
    output.mkdir()
    output.chmod(0o777)
    closed = ["--network", "none", "--read-only", "--cap-drop", "ALL", "--memory", f"{memory}m", "--pids-limit", "64"]
    mounts = ["--volume", f"{product}:/in/{product.name}:ro", "--volume", f"{maps['aerosol_map']}:/maps/aot.tif:ro"]
    asked = ["--bands=B02,B04", "--aerosol-map=/maps/aot.tif", "--aerosol-scale=0.001", "--output", "/out"]
    program = ["python", "atmcor.py", "--scene", f"/in/{product.name}", *asked]
    command = ["docker", "run", "--rm", *closed, *mounts, "--volume", f"{output}:/out", atmcor_image, *program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in output.iterdir()} == {"surface.tif", "item.json", "seed.outputs.json"}
    outside = run(scene=product, bands="B02,B04", aerosol_map=maps["aerosol_map"], aerosol_scale=0.001, clouds="none")
    with rasterio.open(output / "surface.tif") as dataset:
        assert np.array_equal(dataset.read(), read(outside))
