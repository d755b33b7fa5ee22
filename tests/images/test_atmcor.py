"""The program atmcor: scenes in, surface reflectance out, the same whatever the windows, and an error for what cannot be."""

import json
import subprocess

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window
from swath_eo.atmosphere.dark_object import SENTINEL_2, Conditions, count_numbers, find_dark_number, make_correction
from swath_eo.atmosphere.sixs import interpolate, load_table, water_weights, weights
from swath_eo.atmosphere.toa import Asked, find_toa
from swath_eo.scenes.calibration import from_product_xml
from swath_eo.scenes.product import open_product
from swath_eo.scenes.safe import open_safe

from swath.domain.manifest import Manifest
from tests.images.l1c import WITH_ANGLES, read, write_image
from tests.images.safes import L1C, L2A, a_safe
from tests.images.scenes import ROOT, Runner, random_numbers, write

NAMES = ["B02", "B03", "B04", "B08"]
QUANTITIES = ("aerosol", "elevation", "water", "ozone")
GIVEN = {"bands": ",".join(NAMES), "clouds": "none"}


@pytest.fixture
def run(tmp_path, capsys):
    """Runs atmcor in this process: `run(scene=...)`."""
    return Runner(tmp_path, capsys, "atmcor")


@pytest.fixture(scope="module")
def product(data_folder, tmp_path_factory):
    """A Sentinel-2A L1C product with real angles, random numbers, and a corner without data."""

    return a_safe(tmp_path_factory.mktemp("l1c"), data_folder, WITH_ANGLES, write_image=write_image)


@pytest.fixture(scope="module")
def maps(product, tmp_path_factory):
    """Elevation (30 m pixels, in another system), aerosol and water vapour (thousandths) and ozone (Dobson units) for it,
    each with a gap."""
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
    water = random_numbers(6, (61, 61), low=500, high=5500)  # of twice the size
    water[:, :20] = 0
    write(folder / "wvp.tif", water, origin=origin, size=20, crs=grid.crs)
    ozone = np.linspace(200, 450, 122 * 122, dtype=np.float32).reshape(122, 122)
    ozone[60:64, 60:64] = -1
    write(folder / "ozone.tif", ozone, origin=origin, crs=grid.crs, nodata=-1)
    return {
        **{"elevation_map": folder / "dem.tif", "aerosol_map": folder / "aot.tif", "aerosol_scale": 0.001},
        **{"water_map": folder / "wvp.tif", "water_scale": 0.001, "ozone_map": folder / "ozone.tif"},
        "ozone_scale": 0.001,
    }


def expected_at(product, row, column, *, aerosol, elevation, water, ozone, toa):
    """6S at one pixel, in double precision, with its own block's angles."""
    safe = open_safe(product)
    table = load_table("sentinel-2a").of(tuple(NAMES))
    grid = safe.grid("B02")
    centre = Window(column // 64 * 64 + 31, row // 64 * 64 + 31, 2, 2)
    sun = safe.sun_angles().at(grid, centre)[0].mean(dtype=np.float64)
    view = [safe.view_angles(name).at(grid, centre)[0].mean(dtype=np.float64) for name in NAMES]
    nodes = interpolate(table, sun=np.array([sun]), view=np.array([view]))
    nodes = nodes.with_water(water_weights(table, water)).with_ozone(weights(table.ozone, ozone))
    here = np.outer(weights(table.aerosol, aerosol), weights(table.elevation, elevation / 1000))
    path = nodes.haze + nodes.molecules
    light, seen, albedo = (np.einsum("bae,ae->b", q[0], here) for q in (nodes.scattering, path, nodes.albedo))
    return (toa - seen) / (light + albedo * (toa - seen))


@pytest.mark.data
def test_a_product_is_corrected_by_its_own_angles_and_maps(product, maps, run):
    """Each of some pixels is what 6S' formula gives there; no data stays none, in the scene and in all four maps."""
    done = run(scene=product, **GIVEN, **maps)
    assert done.exit_code == 0, done.errors
    surface = read(done)
    numbers = {name: open_safe(product).find(name) for name in NAMES}
    toa = np.stack([rasterio.open(band.path).read(1) for band in numbers.values()]) / 10000
    warped = {name: warped_onto(maps[f"{name}_map"], open_safe(product).grid("B02")) for name in QUANTITIES}
    for row, column in ((20, 50), (63, 64), (64, 63), (100, 50), (30, 121)):
        here = {name: float(values[row, column]) for name, values in warped.items()}
        expected = expected_at(product, row, column, toa=toa[:, row, column], **here)
        assert np.abs(surface[:, row, column] / 10000 - expected).max() < 2e-4  # a height can differ by a metre or two
    for gap in (np.s_[:12, :12], np.s_[-10:, -10:], np.s_[:, :39], np.s_[61:63, 61:63]):  # scene, aerosol, water, ozone
        assert (surface[:, *gap] == -32768).all()
    assert (surface[:, 12:60, 45:100] != -32768).all()
    told = json.loads((done.output / "item.json").read_text())["properties"]
    assert told["swath:inputs"] == [product.name, "aot.tif", "dem.tif", "wvp.tif", "ozone.tif"]
    assert told["swath:parameters"] | {"water": "wvp.tif", "water_scale": 0.001} == told["swath:parameters"]


def warped_onto(path, grid):
    onto = {"crs": grid.crs, "transform": grid.transform, "width": grid.width, "height": grid.height}
    with (
        rasterio.open(path) as dataset,
        rasterio.vrt.WarpedVRT(dataset, resampling=rasterio.enums.Resampling.bilinear, dtype="float32", **onto) as vrt,
    ):
        return vrt.read(1) * (1 if path.name == "dem.tif" else 0.001)


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


def test_what_the_tables_hold_no_ozone_or_haze_for_is_told(tmp_path, run):
    """A warning counts the pixels under less ozone than they begin with, and those of more haze than a low sun allows for."""
    scene = write(tmp_path / "toa.tif", random_numbers(1), names=["B02"])
    ozone, aerosol = np.full((120, 160), 0.3, np.float32), np.full((120, 160), 0.2, np.float32)
    ozone[:10], aerosol[:, :5] = 0.1, 1.0
    maps = {"ozone_map": write(tmp_path / "o3.tif", ozone), "aerosol_map": write(tmp_path / "aot.tif", aerosol)}
    done = run(scene=scene, sensor="sentinel-2a", sun_zenith=74, **maps)
    assert done.exit_code == 0, done.errors
    less, hazy = done.summary["warnings"][-2:]
    assert less.startswith("1600 pixels have less ozone")
    assert hazy.startswith("600 pixels lie under more haze")
    done = run(scene=scene, sensor="sentinel-2a", sun_zenith=65, **maps, window=50)
    assert not [line for line in done.summary["warnings"] if "haze" in line]


@pytest.mark.parametrize(
    ("name", "unit", "scale"), [("water", 2100, 0.001), ("ozone", 310, 0.001), ("aerosol", 150, 0.001)]
)
def test_a_map_in_another_unit_is_refused_unless_its_scale_is_given(tmp_path, run, name, unit, scale):
    """Thousandths of water or aerosol, Dobson units of ozone."""
    scene = write(tmp_path / "toa.tif", random_numbers(1), names=["B02"])
    path = write(tmp_path / "map.tif", np.full((120, 160), unit, np.uint16))
    asked = {"scene": scene, "sensor": "sentinel-2a", "sun_zenith": 40, f"{name}_map": path}
    asked |= {} if name == "aerosol" else {"aerosol": 0.1}
    done = run(**asked)
    assert done.exit_code == 30
    assert f"{name.upper()}_SCALE" in done.errors
    found = read(run(**asked, **{f"{name}_scale": scale}))
    del asked[f"{name}_map"]
    alone = read(run(**asked | {name: unit * scale}))
    assert np.abs(found.astype(int) - alone).max() <= 1


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
        (30, "good", {"ozone": 0.6}),
        (30, "good", {"water_scale": -1}),
        (10, "good", {"water_map": "missing.tif"}),
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
