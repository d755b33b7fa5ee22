"""Files are COGs by GDAL's own rules, the same to the last byte whatever windows they were made from."""

import struct
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.windows import Window
from swath_eo.errors import ParameterError
from swath_eo.geometry.grid import Grid
from swath_eo.output import layout
from swath_eo.output.cog import OutputBand, write_cog
from swath_eo.output.pyramid import halve

NAN = float("nan")
KINDS = [
    ("float32", NAN, "average", 1),
    ("uint8", 0, "average", 3),
    ("int16", -32768, "average", 2),
    ("uint16", 0, "nearest", 4),
    ("uint8", None, "mode", 1),
    ("float64", -9999, "average", 1),
]


def some_values(shape, dtype, nodata):
    """Numbers with holes in them, and a corner that has no data at all."""
    draw = np.random.default_rng(1)
    values = draw.uniform(1, 200, size=shape).astype(dtype)
    if nodata is not None:
        values[draw.random(shape) < 0.05] = nodata
        values[:, : shape[1] // 2, : shape[2] // 2] = nodata
    return values


def write_values(path, values, *, nodata=NAN, window=1024, tags=None, dtype=None, **options):
    count, height, width = values.shape
    grid = Grid(crs=CRS.from_epsg(32633), transform=Affine(10, 0, 5e5, 0, -10, 5e6), width=width, height=height)
    blocks = ((w, values[(slice(None), *w.toslices())]) for w in grid.windows(window))
    bands = [OutputBand(name=f"B{number}") for number in range(count)]
    dtype = dtype or values.dtype.name
    write_cog(path, blocks, grid=grid, bands=bands, dtype=dtype, nodata=nodata, tags=tags or {}, **options)
    return path


def tiles_of(dataset, level=None):
    """Offset and size of each tile in the file, None for one that is left out."""
    options = {} if level is None else {"ovr": level}
    width, height = (-(-side >> (0 if level is None else level + 1)) for side in (dataset.width, dataset.height))
    for row in range(-(-height // dataset.block_shapes[0][0])):
        for column in range(-(-width // dataset.block_shapes[0][1])):
            told = (dataset.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", 1, **options) for what in WHAT)
            offset, size = (int(text) if text else None for text in told)
            yield (offset, size) if offset else None


WHAT = ("OFFSET", "SIZE")


@pytest.mark.parametrize(("dtype", "nodata", "overviews", "count"), KINDS)
def test_a_file_is_the_same_to_the_last_byte_whatever_the_windows(tmp_path, dtype, nodata, overviews, count):
    """Aligned with tiles or not, smaller or larger than they, and all pixels come back."""
    values = some_values((count, 1100, 2300), dtype, nodata)
    made = [
        write_values(tmp_path / f"{window}.tif", values, window=window, nodata=nodata, overviews=overviews)
        for window in (1024, 333, 256, 512, 4096)
    ]
    assert len({path.read_bytes() for path in made}) == 1
    with rasterio.open(made[0]) as dataset:
        assert np.array_equal(dataset.read(), values, equal_nan=dataset.dtypes[0].startswith("float"))
        assert dataset.overviews(1) == [2, 4, 8]
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in made}


@pytest.mark.parametrize("shape", [(300, 2000), (700, 1100), (513, 1537), (1100, 2300), (1, 3000)])
def test_no_byte_depends_on_how_edges_come(tmp_path, shape):
    """In parts from the first window on, or whole."""
    values = some_values((1, *shape), "float32", NAN)
    made = [write_values(tmp_path / f"{window}.tif", values, window=window) for window in (333, 700, 256, 496)]
    whole = write_values(tmp_path / "whole.tif", values, window=4096)
    assert {path.read_bytes() for path in made} == {whole.read_bytes()}
    with rasterio.open(whole) as dataset:
        assert dataset.shape == shape
        assert np.array_equal(dataset.read(), values, equal_nan=True)


def test_a_system_that_no_geotiff_can_hold_is_refused_before_the_work(tmp_path):
    """A rotated pole would stand in a file beside the raster, and whoever has that alone is none the wiser."""
    rotated = CRS.from_string("+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +datum=WGS84 +no_defs")
    grid = Grid(crs=rotated, transform=Affine(0.1, 0, 5, 0, -0.1, 5), width=4, height=4)
    with pytest.raises(ParameterError, match="coordinate reference system"):
        write_cog(tmp_path / "x.tif", iter(()), grid=grid, bands=[OutputBand(name="B")], tags={})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", -9999), ("int16", NAN), ("uint16", NAN), ("float16", None)])
def test_what_no_file_can_say_is_refused_before_the_work(tmp_path, dtype, nodata):
    """Not after hours of it."""
    begun = []

    def blocks():
        begun.append(True)
        yield Window(0, 0, 4, 4), np.ones((1, 4, 4), dtype=dtype)

    grid = Grid(crs=CRS.from_epsg(32633), transform=Affine(10, 0, 5e5, 0, -10, 5e6), width=4, height=4)
    with pytest.raises((ValueError, TypeError), match=r"nodata|float16"):
        write_cog(
            tmp_path / "x.tif", blocks(), grid=grid, bands=[OutputBand(name="B")], dtype=dtype, nodata=nodata, tags={}
        )
    assert begun == list(tmp_path.iterdir()) == []


def test_windows_of_more_digits_are_rounded_before_they_are_averaged(tmp_path):
    """Else an overview would be of other numbers where windows do not hold its tiles; of another kind none are taken."""
    values = np.random.default_rng(2).uniform(0, 1, (1, 700, 700))
    grid = Grid(crs=CRS.from_epsg(32633), transform=Affine(10, 0, 5e5, 0, -10, 5e6), width=700, height=700)

    def write(window, dtype):
        blocks = ((w, values[(slice(None), *w.toslices())]) for w in grid.windows(window))
        path = tmp_path / f"{window}.tif"
        write_cog(path, blocks, grid=grid, bands=[OutputBand(name="B")], dtype=dtype, nodata=None, tags={})
        return path.read_bytes()

    assert write(512, "float32") == write(300, "float32")
    with pytest.raises(TypeError, match="same_kind"):
        write(512, "uint16")


@pytest.mark.parametrize(("dtype", "nodata"), [("int16", 0), ("uint8", 128), ("float32", 0.0)])
def test_an_average_that_would_be_no_data_moves_by_one(dtype, nodata):
    """The mean of -1 and 1 is 0, and yet there was something to see."""
    around = np.array([[[-1, 1], [1, -1]]]) if nodata == 0 else np.array([[[127, 129], [129, 127]]])
    (((found,),),) = halve(around.astype(dtype), "average", nodata)
    assert found != nodata
    assert abs(float(found) - nodata) <= 1


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_whole_numbers_of_every_type_are_averaged_to_their_ends(dtype):
    """By Python's numbers, which have no end."""
    ends = np.iinfo(dtype)
    draw = np.random.default_rng(3)
    near = draw.integers(0, 9, size=(1, 8, 8)).tolist()
    values = [[[ends.max - n if draw.random() < 0.5 else ends.min + n for n in row] for row in band] for band in near]
    halved = halve(np.array(values, dtype=dtype), "average", None)
    (rows,) = values
    expected = [
        [(sum(rows[2 * y][2 * x : 2 * x + 2] + rows[2 * y + 1][2 * x : 2 * x + 2]) + 2) // 4 for x in range(4)]
        for y in range(4)
    ]
    assert halved.tolist() == [expected]


@pytest.mark.parametrize("limit", [layout._CLASSIC_LIMIT, 0])
def test_every_tile_stands_between_its_size_and_its_last_bytes(tmp_path, monkeypatch, limit):
    """As the header promises to readers that fetch a tile with one request, in TIFF and BigTIFF."""
    monkeypatch.setattr(layout, "_CLASSIC_LIMIT", limit)
    values = some_values((1, 1100, 2300), "float32", NAN)
    data = write_values(tmp_path / "x.tif", values).read_bytes()
    assert data[2] == (43 if limit == 0 else 42)
    with rasterio.open(tmp_path / "x.tif") as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert np.array_equal(dataset.read(), values, equal_nan=True)
        levels = [list(tiles_of(dataset, level)) for level in (2, 1, 0, None)]  # as they lie in the file
    tiles = [tile for level in levels for tile in level if tile]
    assert [tile for tile, following in pairwise(tiles) if sum(tile) + 8 != following[0]] == []
    for offset, size in tiles:
        assert struct.unpack("<I", data[offset - 4 : offset]) == (size,)
        assert data[offset + size : offset + size + 4] == data[offset + size - 4 : offset + size]
    assert sum(tiles[-1]) + 4 == len(data)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # as overviews are
def test_overviews_say_no_more_of_themselves_than_gdals(tmp_path):
    """Who made the raster, when and of what stands in the first directory alone."""
    tags = {f"TIFFTAG_{name}": "x" for name in ("DOCUMENTNAME", "IMAGEDESCRIPTION", "SOFTWARE", "ARTIST", "COPYRIGHT")}
    tags |= {"TIFFTAG_HOSTCOMPUTER": "x", "TIFFTAG_DATETIME": "2026:01:01 00:00:00", "TIFFTAG_RESOLUTIONUNIT": "2"}
    tags |= {f"TIFFTAG_{name}": "1" for name in ("XRESOLUTION", "YRESOLUTION", "MINSAMPLEVALUE", "MAXSAMPLEVALUE")}
    ours = write_values(tmp_path / "ours.tif", some_values((1, 300, 300), "uint8", 0), nodata=0, tags=tags)
    rasterio.shutil.copy(ours, tmp_path / "gdals.tif", driver="COG", blocksize=256, compress="zstd")
    for path in (ours, tmp_path / "gdals.tif"):
        with rasterio.open(path) as whole, rasterio.open(f"GTIFF_DIR:2:{path}") as half:
            assert whole.tags().keys() >= tags.keys()
            assert not half.tags().keys() & tags.keys()


@pytest.mark.parametrize(("dtype", "window"), [(">u2", 300), (">u2", 100), (">f4", 300)])
def test_the_order_of_bytes_is_the_files(tmp_path, dtype, window):
    """Whatever the type says of it."""
    values = some_values((1, 300, 300), dtype, 0)
    with rasterio.open(write_values(tmp_path / "x.tif", values, nodata=0, window=window, dtype=dtype)) as dataset:
        assert np.array_equal(dataset.read(), values)


def test_a_tile_without_data_takes_no_space(tmp_path):
    """Nor does a file that has none at all, and it is read as empty."""
    values = some_values((1, 1024, 2048), "float32", NAN)
    with rasterio.open(write_values(tmp_path / "x.tif", values)) as dataset:
        assert [tile is None for tile in tiles_of(dataset)] == [True, True, False, False, False, False, False, False]
    nothing = np.zeros((1, 3000, 3000), dtype=np.uint16)
    path = write_values(tmp_path / "nothing.tif", nothing, nodata=0)
    assert path.stat().st_size < 3000
    with rasterio.open(path) as dataset:
        assert not dataset.read().any()
        assert not dataset.read_masks().any()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_averages_are_those_that_gdal_makes(tmp_path, dtype):
    """Level by level; real numbers but for rounding."""
    nodata = NAN if dtype == "float32" else 0
    values = some_values((1, 2048, 2048), dtype, nodata)
    path = write_values(tmp_path / "ours.tif", values, nodata=nodata)
    with rasterio.open(path) as dataset:
        profile = {**dataset.profile, "driver": "GTiff"}
    with rasterio.open(tmp_path / "gdals.tif", "w", **profile) as dataset:
        dataset.write(values)
        dataset.build_overviews([2, 4], Resampling.average)
    for level in (0, 1):
        ours, gdals = (rasterio.open(tmp_path / f"{who}.tif", overview_level=level) for who in ("ours", "gdals"))
        with ours, gdals:
            np.testing.assert_allclose(ours.read(), gdals.read(), rtol=5e-7 if dtype == "float32" else 0)


def test_an_overview_of_classes_has_the_most_frequent(tmp_path):
    """Of the pixels with data; of several the first."""
    values = np.zeros((1, 2, 300), dtype=np.uint8)
    values[0, :, :8] = [[1, 2, 3, 3, 0, 0, 5, 6], [2, 2, 4, 4, 0, 7, 7, 8]]
    with rasterio.open(write_values(tmp_path / "x.tif", values, nodata=0, overviews="mode"), overview_level=0) as half:
        assert half.read(1)[0, :4].tolist() == [2, 3, 7, 5]


def write_blocks(path, blocks, *, count=1):
    """Of 300 x 200 pixels, whatever the blocks are."""
    grid = Grid(crs=CRS.from_epsg(32633), transform=Affine(10, 0, 5e5, 0, -10, 5e6), width=300, height=200)
    bands = [OutputBand(name=f"B{number}") for number in range(count)]
    write_cog(path, blocks, grid=grid, bands=bands, dtype="uint8", tags={}, nodata=0)


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [Window(0, 0, 300, 150)],
        [Window(0, 0, 300, 200)] * 2,
        [Window(0, 0, 300, 100)] * 2,  # as many pixels as there are
        [Window(0, 0, 300, 100), Window(0, 50, 300, 100)],
        [Window(0, 0, 256, 200), Window(0, 0, 44, 200)],
        [Window(0, 0, 256, 100), Window(256, 0, 44, 200), Window(256, 0, 44, 200), Window(0, 100, 168, 100)],
    ],
)
def test_pixels_that_nobody_gave_are_an_error(tmp_path, blocks):
    """And no file with holes in it, also where others come twice instead."""
    given = ((window, np.ones((1, window.height, window.width), dtype=np.uint8)) for window in blocks)
    with pytest.raises(ValueError, match="each pixel once"):
        write_blocks(tmp_path / "x.tif", given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("shape", "count", "window"),
    [
        ((1, 10, 10), 1, Window(0, 0, 300, 200)),
        ((1, 200, 300), 3, Window(0, 0, 300, 200)),
        ((3, 200, 300), 1, Window(0, 0, 300, 200)),
        ((1, 200, 300), 1, Window(-10, 0, 300, 200)),
        ((1, 200, 300), 1, Window(0, 10, 300, 200)),
    ],
)
def test_a_block_that_is_not_its_windows_pixels_is_an_error(tmp_path, shape, count, window):
    """It would be read as no data, as all bands, or as whatever memory held."""
    with pytest.raises(ValueError, match=r"is not|beyond the grid"):
        write_blocks(tmp_path / "x.tif", [(window, np.ones(shape, dtype=np.uint8))], count=count)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("side", "limit"), [(1200, 0), (1200, 2_000_000), (1200, 4_000_000), (30, 0), (30, 1000)])
def test_a_disk_that_is_full_leaves_no_file(tmp_path, side, limit):
    """Whenever that shows, with windows that leave tiles half done until the end."""
    code = f"""
import resource, sys
from pathlib import Path
from tests.images.test_cogs import some_values, write_values
from swath_eo.errors import OutputError, ParameterError
values = some_values((1, {side}, {side}), "float32", float("nan"))
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    write_values(Path(sys.argv[1]) / "x.tif", values, window=500)
except OutputError:
    sys.exit(31)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 31, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("window", [256, 1000])
def test_memory_does_not_depend_on_the_width(tmp_path, window):
    """Parts of tiles wait on the disk: 8 bands of 20,000 pixels a row are 328 MB for a row of tiles."""
    code = f"""
import re, sys
from pathlib import Path
import numpy as np
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.windows import Window
from swath_eo.geometry.grid import Grid
from swath_eo.output.cog import OutputBand, write_cog
grid = Grid(crs=CRS.from_epsg(32633), transform=Affine(10, 0, 5e5, 0, -10, 5e6), width=20_000, height=600)
part = np.ones((8, {window}, {window}), dtype=np.float32)
blocks = ((w, part[:, : w.height, : w.width]) for w in grid.windows({window}))
write_cog(Path(sys.argv[1]), blocks, grid=grid, bands=[OutputBand(name=str(n)) for n in range(8)], tags={{}})
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
    command = [sys.executable, "-c", code, str(tmp_path / "x.tif")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) // 1024 < 250  # not ru_maxrss, which remembers the process that this one was forked from
