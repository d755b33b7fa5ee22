"""SAFE products: real metadata of six baselines say what independent readers say, and images are held against them."""

import json
import shutil
import struct
import zipfile

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import transform
from rasterio.windows import Window
from swath_eo.errors import (
    ArchiveRefusedError,
    BandMissingError,
    ProductIncompleteError,
    ProductMetadataError,
    UnreadableFileError,
)
from swath_eo.geometry.footprints import to_geometry
from swath_eo.geometry.grid import Grid
from swath_eo.scenes.product import open_product
from swath_eo.scenes.safe import open_safe
from swath_eo.scenes.stacks import open_bands

from tests.images.safes import L1C, L2A, a_safe, real_products, without, write_jp2, zipped
from tests.images.scenes import write

pytestmark = pytest.mark.data

METADATA = (
    "S2A_MSIL1C_20200717T221941_R029_T01LAC_20200717T234135.SAFE",
    "S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857.SAFE",
    "S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022157.SAFE",
    "S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126.SAFE",
    "esa_S2B_MSIL2A_20210122T133229_N0214_R081_T22HBD_20210122T155500.SAFE",
)
FOLDED = "S2A_MSIL1C_20171207T002051_N0206_R116_T55JEJ_20171207T032513.zip"


@pytest.fixture(scope="module")
def l2a(data_folder, tmp_path_factory):
    """A complete small product; whoever breaks it copies it."""
    return a_safe(tmp_path_factory.mktemp("safe"), data_folder)


@pytest.fixture
def own(l2a, tmp_path):
    """A copy to break."""
    return shutil.copytree(l2a, tmp_path / l2a.name)


@pytest.mark.parametrize("name", METADATA)
def test_metadata_say_what_stactools_reads_in_them(data_folder, name):
    """Baseline, orbit, place, grids of all bands, offsets and the sun, of baselines 02.09 to 05.09."""
    folder = real_products(data_folder)[name]
    item = json.loads((folder / "expected_output.json").read_text())
    told, product = item["properties"], open_safe(folder)
    assert product.baseline == told["s2:processing_baseline"]
    assert product.orbit == told["sat:relative_orbit"]
    assert product.spacecraft.lower() == told["platform"]
    assert product.sun_distance == told["s2:reflectance_conversion_factor"]
    assert product.granule.grids[10].crs.to_string() == told["proj:code"]
    zenith, azimuth = product.granule.mean_sun
    assert (90 - zenith, azimuth) == (
        pytest.approx(told["view:sun_elevation"]),
        pytest.approx(told["view:sun_azimuth"]),
    )
    assert outline(product.footprint) == outline(item["geometry"])
    for key in ("red", "swir16"):
        asset, grid = item["assets"][key], product.grid(key)
        assert list(grid.transform)[:6] == asset["proj:transform"]
        assert [grid.height, grid.width] == asset["proj:shape"]


def outline(geometry):
    """The corners, to a kilometre."""
    parts = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    return {tuple(round(float(c), 2) for c in point) for part in parts for point in part[0]}


@pytest.mark.parametrize(
    ("name", "offset"),
    [(L2A, -0.1), (L1C, -0.1), (METADATA[0], 0.0), (METADATA[1], 0.0), (METADATA[3], -0.1)],
)
def test_the_offset_is_the_metadatas(data_folder, l2a, name, offset):
    """Trap 3: BOA_ADD_OFFSET and RADIO_ADD_OFFSET since baseline 04.00, none before."""
    product = open_safe(real_products(data_folder)[name])
    if name in METADATA:
        assert ("ADD_OFFSET" in product.text) == (offset != 0)
    else:
        assert product.calibration("red").offset == product.calibration("B12").offset == offset
        assert product.calibration("red").scale == 1e-4


def test_an_item_beside_a_product_tells_that_its_offset_is_applied(own):
    """Trap 3, the other half: applied twice, reflectance would turn negative."""
    item = {"type": "Feature", "properties": {"earthsearch:boa_offset_applied": True}, "assets": {}}
    file = next(own.rglob("*_B04_10m.jp2")).name
    item["assets"]["red"] = {"href": f"./{file}", "raster:bands": [{"offset": -0.1, "scale": 0.0001}]}
    (own / "item.json").write_text(json.dumps(item))
    product = open_product(own)
    assert product.calibration(product.find("red")).offset == 0


def test_layers_have_scales_of_their_own(l2a):
    """Aerosol is in thousandths, classes are themselves; neither has the reflectance's offset."""
    product = open_product(l2a)
    told = {name: product.calibration(product.find(name)) for name in ("aot", "wvp", "scl")}
    assert {name: (c.scale, c.offset) for name, c in told.items()} == {
        "aot": (0.001, 0.0), "wvp": (0.001, 0.0), "scl": (1.0, 0.0),
    }  # fmt: skip


@pytest.mark.parametrize("name", METADATA)
def test_a_product_without_images_is_refused(data_folder, name):
    """Trap 1: GDAL's own driver opens it and returns zeros; the message names the first file that is missing."""
    with pytest.raises(ProductIncompleteError, match=r"IMG_DATA.*\.jp2 is missing"):
        open_product(real_products(data_folder)[name])


def test_a_product_of_shrunken_images_is_refused(data_folder):
    """Trap 2: GDAL's own driver puts them into the corner of 10980 pixels; the real zip, whose metadata are read all the
    same."""
    path = data_folder / "safe" / FOLDED
    with pytest.raises(ProductIncompleteError, match=r"B01\.jp2 has 29 x 29 pixels.*1830 x 1830"):
        open_product(path)
    product = open_safe(path)
    assert (product.level, product.baseline, product.granule.grids[10].crs.to_epsg()) == ("L1C", "02.06", 32755)


def test_one_image_too_few_or_too_small_is_enough(own):
    """The others are whole."""
    image = next(own.rglob("*_B11_20m.jp2"))
    write_jp2(image, np.ones((60, 60), dtype=np.uint16), 20)
    with pytest.raises(ProductIncompleteError, match=r"B11_20m\.jp2 has 60 x 60 pixels.*61 x 61"):
        open_product(own)
    image.unlink()
    with pytest.raises(ProductIncompleteError, match=r"B11_20m\.jp2 is missing"):
        open_product(own)


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_an_image_that_is_none_is_unreadable(own, content):
    """Empty, or a page of an archive that says no."""
    next(own.rglob("*_B11_20m.jp2")).write_bytes(content)
    with pytest.raises(UnreadableFileError, match="B11_20m"):
        open_product(own)


def test_an_image_of_another_tile_is_refused(own):
    """It has the right size, and lies elsewhere."""
    image = next(own.rglob("*_B04_10m.jp2"))
    write(image, np.ones((122, 122), dtype=np.uint16), driver="JP2OpenJPEG", nodata=None, crs="EPSG:32634")
    with pytest.raises(ProductMetadataError, match="lies elsewhere"):
        open_product(own)


def test_formats_are_told_by_content(own):
    """Trap 4: a GeoTIFF under the name .jp2."""
    image = next(own.rglob("*_B04_10m.jp2"))
    write(image, np.full((122, 122), 7, dtype=np.uint16), origin=(300_000, 6_100_020), crs="EPSG:32634", nodata=None)
    product = open_product(own)
    with open_bands([product.find("red")]) as bands:
        assert (bands.read(Window(0, 0, 122, 122))[0] == 7).all()


def test_names_are_spelled_in_several_ways(own):
    """Trap 6: MTD_MSIL2a.xml, images called .JP2, and an archive's directory around the product's."""
    (own / "MTD_MSIL2A.xml").rename(own / "MTD_MSIL2a.xml")
    for image in own.rglob("*.jp2"):
        image.rename(image.with_suffix(".JP2"))
    product = open_product(own.parent)
    assert product.name == L2A.removesuffix(".SAFE")
    assert product.calibration(product.find("red")).offset == -0.1


@pytest.mark.parametrize(
    ("pattern", "told"),
    [("MTD_TL.xml", "granule's metadata"), ("Sun_Angles", "sun angles"), ("Viewing", "view angles")],
)
def test_metadata_that_are_missing_are_named(own, pattern, told):
    """Trap 6: a file, or a part of one, which is missed when it is asked for and not before."""
    if pattern == "MTD_TL.xml":
        without(own, pattern)
    else:
        path = next(own.rglob("MTD_TL.xml"))
        path.write_text(path.read_text().replace(pattern, "Other"))
    ask = {"sun angles": lambda p: p.sun_angles(), "view angles": lambda p: p.view_angles("B04")}.get(told, id)
    with pytest.raises(ProductMetadataError, match=told):
        ask(open_safe(own))


def test_two_processings_of_one_scene_are_no_guess(own):
    """Trap 6: two granules in one product."""
    granule = next((own / "GRANULE").iterdir())
    shutil.copytree(granule, granule.with_name("L2A_T34UCF_A033753_20240101T000000"))
    with pytest.raises(ProductMetadataError, match="twice"):
        open_product(own)


def test_damaged_metadata_are_refused(own):
    """Cut off in the middle, or with entities that grow."""
    path = own / "MTD_MSIL2A.xml"
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(ProductMetadataError, match="no XML"):
        open_product(own)
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    path.write_text(f'<!DOCTYPE x [<!ENTITY e0 "lol">{entities}]><x>&e11;</x>')
    with pytest.raises(ProductMetadataError, match="no XML"):
        open_product(own)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_read_as_its_directory_is(l2a, tmp_path, compression):
    """Every pixel of all bands at once, brought to 10 m, and the calibration."""
    whole, folded = open_product(l2a), open_product(zipped(l2a, tmp_path / "x.zip", compression=compression))
    read = []
    for product in (whole, folded):
        names = [name for name in product.source.names() if name != "scl"]
        with open_bands([product.find(name) for name in names]) as bands:
            read.append(bands.read(Window(0, 0, bands.grid.width, bands.grid.height)))
    assert np.array_equal(read[0][0], read[1][0])
    assert folded.calibration(folded.find("red")) == whole.calibration(whole.find("red"))
    assert (folded.name, folded.acquired) == (whole.name, whole.acquired)


def test_zero_is_no_data_and_resolutions_can_be_chosen(l2a):
    """As the metadata say, which JPEG2000 cannot."""
    product = open_safe(l2a)
    assert (product.find("red").nodata, product.find("red").grid.width) == (0, 122)
    assert product.find("red", 20).grid.width == 61
    with pytest.raises(BandMissingError, match="at 10 m"):
        product.find("B11", 10)


def a_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a\\b", "a}/b", "x\ny", "a/" * 12 + "b", "n" * 2000], ids=range(7)
)
def test_a_zip_with_a_wild_name_is_refused(tmp_path, name):
    """Nothing is unpacked, but a name becomes a path for GDAL."""
    with pytest.raises(ArchiveRefusedError):
        open_product(a_zip(tmp_path / "x.zip", [("MTD_MSIL2A.xml", "<x/>"), (name, "x")]))


def test_a_zip_that_claims_to_be_huge_or_holds_too_much_is_refused(tmp_path):
    """By its own directory, before anything is read; too many files; encrypted; two of one name."""
    with pytest.raises(ArchiveRefusedError, match="files"):
        open_product(a_zip(tmp_path / "many.zip", [(f"{i}", b"") for i in range(10_001)]))
    with pytest.warns(UserWarning, match="Duplicate"), pytest.raises(ArchiveRefusedError, match="one name"):
        open_product(a_zip(tmp_path / "twice.zip", [("a", b""), ("a", b"")]))
    for offset, value, told in ((24, 0xFFFFFFF0, "2 GiB"), (8, 1, "encrypted")):
        path = a_zip(tmp_path / "x.zip", [("a.jp2", b"x" * 100)])
        data = bytearray(path.read_bytes())
        struct.pack_into("<I" if offset == 24 else "<H", data, data.index(b"PK\1\2") + offset, value)
        path.write_bytes(data)
        with pytest.raises(ArchiveRefusedError, match=told):
            open_product(path)


def test_a_zip_that_is_no_product_or_damaged_says_so(tmp_path, l2a):
    """No metadata; metadata without end; cut off; a member whose checksum is wrong."""
    with pytest.raises(ProductMetadataError, match="no file with a product's metadata"):
        open_product(a_zip(tmp_path / "x.zip", [("a", b"b")]))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MTD_MSIL2A.xml", bytes(65 * 2**20))
    with pytest.raises(ProductMetadataError, match="larger than 64 MiB"):
        open_product(tmp_path / "bomb.zip")
    path = zipped(l2a, tmp_path / "y.zip")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnreadableFileError):
        open_product(path)
    path = zipped(l2a, tmp_path / "z.zip", compression=zipfile.ZIP_STORED)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"<PROCESSING_BASELINE>05.09", b"<PROCESSING_BASELINE>05.10"))
    with pytest.raises(ProductMetadataError, match="cannot be read"):
        open_product(path)


@pytest.mark.parametrize("name", METADATA)
def test_angles_are_those_of_the_nodes_and_between_them(data_folder, name):
    """The sun at a node is the node's; over the tile its mean is the metadata's own."""
    product = open_safe(real_products(data_folder)[name])
    sun, grid = product.sun_angles(), product.granule.grids[60]
    zenith, azimuth = sun.at(grid, Window(0, 0, grid.width, grid.height))
    assert zenith.shape == azimuth.shape == (1830, 1830)
    # A node is at a pixel's corner: 5000 m are 83 1/3 pixels of 60 m, so pixel 249.5 is half a pixel off the third.
    assert zenith[249:251, 249:251].mean() == pytest.approx(sun.zenith[3, 3], abs=2e-3)
    assert zenith.mean() == pytest.approx(product.granule.mean_sun[0], abs=0.05)
    assert azimuth.mean() == pytest.approx(product.granule.mean_sun[1], abs=0.1)


def test_view_angles_come_by_band_and_detector(data_folder):
    """Detectors see the ground from two sides; their mean is near the metadata's, and no pixel is without."""
    product = open_safe(real_products(data_folder)[METADATA[2]])
    grid = product.granule.grids[60]
    zenith, _ = product.view_angles("red").at(grid, Window(0, 0, grid.width, grid.height))
    assert np.isfinite(zenith).all()
    assert zenith.mean() == pytest.approx(product.granule.mean_views["B04"][0], abs=0.5)
    detectors = [detector for band, detector in product.granule.views if band == "B04"]
    lone = product.view_angles("B04", detectors[0])
    assert np.isnan(lone.zenith).any()
    with pytest.raises(ProductMetadataError, match="detector 99"):
        product.view_angles("B04", 99)


def test_azimuths_meet_at_north(data_folder):
    """Half way between 359 and 1 degree is 0, and not 180."""
    sun = open_safe(real_products(data_folder)[METADATA[2]]).sun_angles()
    west = np.arange(23) % 2 == 0
    turned = type(sun)(**{**vars(sun), "azimuth": np.where(west, 359.0, 1.0) + 0 * sun.azimuth})
    grid = open_safe(real_products(data_folder)[METADATA[2]]).granule.grids[10]
    _, azimuth = turned.at(grid, Window(249, 0, 2, 1))
    assert np.all(np.minimum(azimuth, 360 - azimuth) < 0.01)


def test_angles_are_found_on_grids_of_other_systems(data_folder):
    """The same ground has the same sun: the tile's middle, on a grid of Europe's equal-area projection."""
    product = open_safe(real_products(data_folder)[L2A])
    own = product.granule.grids[60]
    (x,), (y,) = transform(own.crs, "EPSG:3035", *([c] for c in own.transform @ (915, 915)))
    other = Grid(crs=CRS.from_epsg(3035), transform=Affine(60, 0, x, 0, -60, y), width=1, height=1)
    one, two = (
        product.sun_angles().at(*where) for where in ((own, Window(915, 915, 1, 1)), (other, Window(0, 0, 1, 1)))
    )
    assert np.allclose(one, two, atol=1e-3)


def test_an_outline_over_the_antimeridian_is_in_two_parts():
    """Each on its own side, and one alone where it does not cross."""
    crossing = to_geometry([(179, 10), (-179, 10), (-179, 12), (179, 12)])
    assert crossing["type"] == "MultiPolygon"
    lons = [{x for x, _ in part[0]} for part in crossing["coordinates"]]
    assert lons == [{179, 180}, {-180, -179}]
    assert to_geometry([(0, 0), (1, 0), (1, 1)])["type"] == "Polygon"
