"""Clouds beside the surface: what s2cloudless says of each pixel of an L1C product by itself."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window
from swath_eo.clouds.cloudless import BANDS, cloud_probability
from swath_eo.scenes.safe import open_safe
from swath_eo.scenes.stacks import open_bands

from tests.images.l1c import WITH_ANGLES, read, write_jp2
from tests.images.safes import a_safe
from tests.images.scenes import Runner, write

NAMES = [f"B{n:02d}" for n in range(1, 9)] + ["B8A", "B09", "B10", "B11", "B12"]  # of eo-learn's scenes


@pytest.fixture
def run(tmp_path, capsys):
    """Runs atmcor in this process: `run(scene=...)`."""
    return Runner(tmp_path, capsys, "atmcor")


def reference_scenes(data_folder):
    """Five real L1C scenes (5, rows, columns, bands), reflectance."""
    scenes = np.load(data_folder / "eo-learn" / "REFERENCE_SCENES.npy").astype(np.float32)
    return scenes / 10000 if scenes.max() > 50 else scenes


def a_product(folder, data_folder, scene):
    """An L1C product that shows a scene of eo-learn's, alike in each 60 m at every resolution, with a corner without data."""

    def write_image(path, _, shape, size):
        name = path.stem[-3:]
        band = scene[..., NAMES.index(name if name in NAMES else "B04")]
        rows, columns = (4 * np.minimum(np.arange(length) * size // 60, 19) for length in shape)
        values = np.clip(np.rint(band[np.ix_(rows, columns)] * 10000), 1, 65535).astype(np.uint16)
        values[: 120 // size, : 120 // size] = 0
        write_jp2(path, values, size)

    return a_safe(folder, data_folder, WITH_ANGLES, write_image=write_image)


def brightness(scene):
    return float(scene[..., NAMES.index("B02")].mean())


@pytest.fixture(scope="module")
def cloudy(data_folder, tmp_path_factory):
    """The cloudiest of the five."""
    return a_product(tmp_path_factory.mktemp("cloudy"), data_folder, max(reference_scenes(data_folder), key=brightness))


@pytest.mark.data
def test_a_cloudy_product_has_its_clouds_flagged(cloudy, run):
    """Percent at 60 m, in each pixel what s2cloudless says of its ten bands there; the share of clouds is told, and the item
    lists the file."""
    done = run(scene=cloudy, aerosol=0.1, bands="B02,B04")
    assert done.exit_code == 0, done.errors
    (found,) = read(done, "clouds.tif")
    with rasterio.open(done.output / "clouds.tif") as dataset:
        assert (dataset.nodata, dataset.dtypes[0], dataset.res) == (255, "uint8", (60, 60))
    product = open_safe(cloudy)
    with open_bands([product.find(name) for name in BANDS], product.grid("B01")) as reader:
        values, valid = reader.read(Window(0, 0, reader.grid.width, reader.grid.height))
    expected = np.rint(100 * cloud_probability(values.astype(np.float32) / 10000))
    assert np.array_equal(found, np.where(valid.all(axis=0), expected, 255))
    assert (found[:2, :2] == 255).all()
    known = found != 255
    assert done.summary["cloud_fraction"] == pytest.approx((found[known] >= 40).mean())
    assert done.summary["cloud_fraction"] > 0.3
    assert "clouds" in json.loads((done.output / "item.json").read_text())["assets"]


@pytest.mark.data
def test_clouds_do_not_depend_on_the_window(cloudy, run):
    """To the bit, with the same share of them."""
    whole, cut = (run(scene=cloudy, aerosol=0.1, bands="B04", window=size) for size in (1024, 16))
    assert np.array_equal(read(whole, "clouds.tif"), read(cut, "clouds.tif"))
    assert whole.summary["cloud_fraction"] == cut.summary["cloud_fraction"]


@pytest.mark.data
def test_a_clear_product_has_few_clouds(data_folder, tmp_path, run):
    """Of a clear scene a share of less than a tenth is told."""
    clear = a_product(tmp_path, data_folder, min(reference_scenes(data_folder), key=brightness))
    done = run(scene=clear, aerosol=0.1, bands="B04")
    assert done.exit_code == 0, done.errors
    assert done.summary["cloud_fraction"] < 0.1


@pytest.mark.data
def test_no_clouds_are_flagged_where_nothing_tells_them(cloudy, tmp_path, run):
    """Where they are not asked for, and in a file of one band: no clouds.tif and no share."""
    lone = write(tmp_path / "S2A_x.tif", np.full((100, 100), 2000, np.uint16), names=["B04"])
    for asked in ({"scene": cloudy, "clouds": "none"}, {"scene": lone, "sun_zenith": 40}):
        done = run(**asked, aerosol=0.1, bands="B04")
        assert done.exit_code == 0, done.errors
        assert not (done.output / "clouds.tif").exists()
        assert done.summary.get("cloud_fraction") is None
        assert "clouds" not in json.loads((done.output / "item.json").read_text())["assets"]


@pytest.mark.data
def test_clouds_are_told_from_clear_sky(data_folder):
    """Of five real L1C scenes two are cloudy."""
    toa = np.moveaxis(reference_scenes(data_folder)[..., [NAMES.index(name) for name in BANDS]], -1, 1)
    cloudy = [float((cloud_probability(scene) > 0.4).mean()) for scene in toa]
    assert sum(share > 0.3 for share in cloudy) == 2, cloudy
    assert sum(share < 0.1 for share in cloudy) == 3, cloudy
