"""A scene's bands are found in each of the forms that archives use."""

import shutil
from datetime import UTC, datetime

import numpy as np
import pytest
import rasterio
from swath_eo.errors import BandAmbiguousError, BandMissingError, UnreadableFileError
from swath_eo.scenes.product import open_product
from swath_eo.scenes.rasters import open_raster
from swath_eo.scenes.sample import write_spyndex_sample

from tests.images.scenes import BOLZANO, DATES, find_scene, random_numbers, write


def a_file(path, seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(path, random_numbers(seed), **options)


@pytest.mark.data
def test_names_in_description_tags_are_found(data_folder):
    """The Bolzano scene has them there alone."""
    scene = find_scene(data_folder / BOLZANO)
    assert (scene.red.index, scene.nir.index) == (1, 4)
    assert (scene.red.name, scene.nir.name) == ("B04", "B08")


def test_names_in_descriptions_are_found(tmp_path):
    """As most tools write them."""
    bands = [random_numbers(i) for i in range(3)]
    path = write(tmp_path / "stack.tif", bands, names=("nir", "green", "red"))
    scene = find_scene(path)
    assert (scene.red.index, scene.nir.index) == (3, 1)


@pytest.mark.data
def test_a_jpeg2000_that_is_called_tif_is_read(data_folder):
    """Trap 4: formats are told by content."""
    folder = data_folder / DATES / "S2A_33TWM_20230815_0_L2A"
    scene = find_scene(folder)
    assert scene.red.path == folder / "B04.tif"
    with open_raster(scene.red.path) as dataset:
        assert dataset.driver == "JP2OpenJPEG"


def test_a_geotiff_that_is_called_jp2_is_read(tmp_path):
    """Trap 4, the other way."""
    a_file(tmp_path / "B04.jp2")
    a_file(tmp_path / "B08.jp2")
    assert find_scene(tmp_path).nir.path.name == "B08.jp2"


def test_a_products_bands_are_found_at_their_finest(tmp_path):
    """B04 comes at 10, 20 and 60 m; masks of the same names are passed by."""
    images = tmp_path / "GRANULE" / "L2A_T33TWM" / "IMG_DATA"
    for size in (10, 20, 60):
        a_file(images / f"R{size}m" / f"T33TWM_B04_{size}m.jp2", size=size)
    a_file(images / "R10m" / "T33TWM_B08_10m.jp2")
    a_file(tmp_path / "GRANULE" / "L2A_T33TWM" / "QI_DATA" / "MSK_DETFOO_B04.jp2", size=5)
    scene = find_scene(tmp_path)
    assert scene.red.path.name == "T33TWM_B04_10m.jp2"
    assert scene.red.grid.transform.a == 10


def test_one_band_in_two_processings_is_no_guess(tmp_path):
    """Trap 6: the message names both."""
    a_file(tmp_path / "a_B04.tif")
    a_file(tmp_path / "b_B04.tif")
    a_file(tmp_path / "a_B08.tif")
    with pytest.raises(BandAmbiguousError, match=r"a_B04\.tif and b_B04\.tif"):
        find_scene(tmp_path)


def test_a_directory_around_one_file_of_many_bands_is_that_file(tmp_path):
    """As some archives deliver."""
    write(tmp_path / "stack.tif", [random_numbers(1), random_numbers(2)], names=("B04", "B08"))
    assert find_scene(tmp_path).nir.index == 2


def test_bands_are_named_by_hand(tmp_path):
    """B8A instead of B08, in a directory."""
    for name in ("B04.tif", "B08.tif", "B8A.tif"):
        a_file(tmp_path / name)
    assert find_scene(tmp_path, nir="B8A").nir.path.name == "B8A.tif"


def test_a_number_means_nothing_in_a_directory(tmp_path):
    """The message asks for a name."""
    a_file(tmp_path / "B04.tif")
    a_file(tmp_path / "B08.tif")
    with pytest.raises(BandMissingError, match="band's name"):
        find_scene(tmp_path, red="4")


def test_a_missing_band_tells_which_there_are(tmp_path):
    """In a directory as in a file."""
    a_file(tmp_path / "B02.tif")
    a_file(tmp_path / "B04.tif")
    with pytest.raises(BandMissingError, match="it has B02, B04"):
        find_scene(tmp_path)


def test_a_file_of_one_band_is_what_the_user_says(tmp_path):
    """Whatever it is called; but it claims to be none."""
    product = open_product(a_file(tmp_path / "a.tif", 1))
    assert product.find("red").path.name == product.find("nir").path.name == "a.tif"
    assert product.directory is None
    assert not product.has("red")


@pytest.mark.data
def test_a_product_knows_all_that_lies_in_its_directory(data_folder):
    """Bands, classes and cloud probability (which lies deeper), by one spelling of their names; and its time."""
    product = open_product(data_folder / DATES / "S2A_33TWM_20230815_0_L2A")
    assert set(product.bands) == {"B02", "B03", "B04", "B08", "scl", "cldprb"}
    assert product.find("SCL").path.name == "SCL.tif"
    assert product.has("cldprb")
    assert not product.has("B11")
    assert product.acquired == datetime(2023, 8, 15, 9, 57, 57, 246000, tzinfo=UTC)
    assert product.calibration(product.find("red")).offset == 0


@pytest.mark.parametrize("content", [b"", b"II", b"not an image at all", b"II*\0garbage garbage", b"<VRTDataset/>"])
def test_what_is_no_image_is_unreadable(tmp_path, content):
    """Formats that name other files inside are not read either."""
    (tmp_path / "x.tif").write_bytes(content)
    with pytest.raises(UnreadableFileError):
        find_scene(tmp_path / "x.tif")


def test_a_file_that_is_not_there_is_unreadable(tmp_path):
    """The message says so."""
    with pytest.raises(UnreadableFileError, match="does not exist"):
        find_scene(tmp_path / "x.tif")


def test_complex_numbers_are_unreadable(tmp_path):
    """A radar product has no red."""
    write(tmp_path / "x.tif", np.ones((4, 4), dtype=np.complex64), nodata=None)
    with pytest.raises(UnreadableFileError, match="real numbers"):
        find_scene(tmp_path / "x.tif")


def test_the_sample_of_spyndex_becomes_a_scene(tmp_path):
    """Four named bands on a nominal grid, marked as of unknown place."""
    path = write_spyndex_sample(tmp_path / "new" / "sample.tif")
    with rasterio.open(path) as dataset:
        assert dataset.descriptions == ("B02", "B03", "B04", "B08")
        assert (dataset.count, dataset.shape, dataset.crs.to_epsg()) == (4, (300, 300), 32632)
        assert dataset.tags()["LOCATION"] == "unknown"
        means = dataset.read().mean(axis=(1, 2))
    assert list(means.round(2)) == [496.15, 711.30, 849.73, 2269.97]
    assert find_scene(path).nir.index == 4


@pytest.mark.data
def test_links_in_a_directory_are_followed_to_files(data_folder, tmp_path):
    """Archives are often trees of links."""
    source = data_folder / DATES / "S2A_33TWM_20230815_0_L2A"
    for name in ("B04.tif", "B08.tif"):
        (tmp_path / name).symlink_to(source / name)
        shutil.copy(source / f"{name}.aux.xml", tmp_path)
    assert find_scene(tmp_path).red.grid.width == 915
