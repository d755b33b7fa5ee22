"""Bands come onto one grid: shifted, resampled or reprojected, with what is no data left out, whatever the windows."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.transform import Affine
from rasterio.warp import transform
from swath_eo.clouds.masking import known_by_scl
from swath_eo.errors import CrsMismatchError
from swath_eo.geometry.grid import Grid
from swath_eo.output.cog import OutputBand, write_cog
from swath_eo.scenes.product import open_product
from swath_eo.scenes.rasters import list_bands
from swath_eo.scenes.stacks import open_bands

from tests.images.scenes import BOLZANO, DATES, random_numbers, write

ELSEWHERE = Grid(crs=CRS.from_epsg(3035), transform=Affine(12, 0, 4_420_000, 0, -12, 2_602_500), width=700, height=600)


def read_all(bands, size, grid=None, **options):
    """Values and validity of the whole grid, put together from windows."""
    with open_bands(bands, grid, **options) as reader:
        shape = (len(bands), reader.grid.height, reader.grid.width)
        values, valid = np.zeros(shape, dtype=reader.dtype), np.zeros(shape, dtype=bool)
        for window in reader.windows(size):
            here = (slice(None), *window.toslices())
            values[here], valid[here] = reader.read(window)
    return values, valid


@pytest.mark.data
@pytest.mark.parametrize("size", [97, 512, 650])
def test_windows_leave_no_trace(data_folder, size):
    """A real scene warped to another projection is the same to the bit, validity too."""
    bands = list_bands(data_folder / BOLZANO)
    for one, other in zip(read_all(bands, 8192, ELSEWHERE), read_all(bands, size, ELSEWHERE), strict=True):
        assert np.array_equal(one, other)
        assert one.any()


def test_a_grid_that_reaches_beyond_the_file_has_no_data_there(tmp_path):
    """By whole pixels, without a nodata value in the file, and where the grids do not touch at all."""
    (band,) = list_bands(write(tmp_path / "x.tif", random_numbers(1, (50, 60)), nodata=None))
    moved = replace(band.grid, transform=band.grid.transform @ Affine.translation(-5, 10))
    values, valid = read_all([band], 16, moved)
    assert valid[0, :40, 5:].all()
    assert valid.sum() == 40 * 55
    assert np.array_equal(values[0, :40, 5:], random_numbers(1, (50, 60))[10:, :55])
    away = replace(band.grid, transform=band.grid.transform @ Affine.translation(100.5, 0))
    assert not read_all([band], 16, away)[1].any()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_resampled_bands_have_no_data_beyond_their_file(tmp_path, count, dtype):
    """Though nothing in the file says what no data is, of whatever type and however many they are."""
    numbers = [random_numbers(seed, (50, 60), high=250).astype(dtype) for seed in range(count)]
    bands = list_bands(write(tmp_path / "x.tif", numbers, nodata=None))
    band = bands[0]
    finer = Grid(
        crs=band.grid.crs,
        transform=band.grid.transform @ Affine.translation(-5, -5) @ Affine.scale(0.5),
        width=140,
        height=120,
    )
    _, valid = read_all(bands, 64, finer)
    assert valid[:, 10:110, 10:130].all()
    assert valid.sum() == count * 100 * 120


@pytest.mark.parametrize("step", [0.0, 0.5])
def test_an_alpha_band_tells_what_is_data(tmp_path, step):
    """Of any type, beside any number of bands, whether they are resampled or not."""
    alpha = np.full((50, 60), 255, np.float32)
    alpha[:20] = 0
    numbers = [random_numbers(seed, (50, 60)).astype(np.float32) for seed in range(4)]
    path = write(tmp_path / "x.tif", [*numbers, alpha], nodata=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [*dataset.colorinterp[:4], ColorInterp.alpha]
    *bands, _ = list_bands(path)
    moved = replace(bands[0].grid, transform=bands[0].grid.transform @ Affine.translation(step, step))
    _, valid = read_all(bands, 64, moved)
    assert not valid[:, :18].any()
    assert valid[:, 20:48, :58].all()


def test_a_missing_pixel_of_one_band_takes_no_other_bands(tmp_path):
    """Bands of one file are warped together, and each keeps its own holes."""
    red, nir = random_numbers(1), random_numbers(2)
    red[30:60, 40:80] = 0
    bands = list_bands(write(tmp_path / "x.tif", [red, nir]))
    grid = replace(
        bands[0].grid, transform=bands[0].grid.transform @ Affine.translation(0.5, 0.5), width=150, height=100
    )
    _, valid = read_all(bands, 64, grid)
    assert not valid[0, 32:58, 42:78].any()
    assert valid[1].all()


def test_bands_of_different_systems_meet_on_a_grid_that_is_given(tmp_path):
    """And only there."""
    bands = [
        *list_bands(write(tmp_path / "a.tif", random_numbers(1), crs="EPSG:32633")),
        *list_bands(write(tmp_path / "b.tif", random_numbers(1), crs="EPSG:32632", origin=(957_000, 5_216_000))),
    ]
    with pytest.raises(CrsMismatchError):
        read_all(bands, 64)
    _, valid = read_all(bands, 64, bands[0].grid)
    assert valid[0].all()


def test_types_meet_in_one_that_holds_them_all(tmp_path):
    """Classes of one byte beside float reflectance; classes are never interpolated."""
    classes = np.repeat(np.repeat(np.array([[4, 8], [9, 11]], dtype=np.uint8), 10, axis=0), 10, axis=1)
    bands = [
        *list_bands(write(tmp_path / "B04.tif", random_numbers(1, (40, 40)).astype(np.float32))),
        *list_bands(write(tmp_path / "SCL.tif", classes, size=20)),
    ]
    values, _ = read_all(bands, 16)
    assert values.dtype == np.float32
    assert set(np.unique(values[1])) == {4, 8, 9, 11}


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_several_bands_of_any_type_are_written(tmp_path, dtype):
    """Names, units, scales, the nodata value and every pixel come back."""
    grid = Grid(crs=CRS.from_epsg(32633), transform=Affine(10, 0, 5e5, 0, -10, 5e6), width=300, height=280)
    values = np.random.default_rng(1).integers(1, 100, size=(3, 280, 300)).astype(dtype)
    bands = [OutputBand(name=f"B{i}", unit="m", scale=0.1 * i, offset=-i) for i in (1, 2, 3)]
    blocks = ((window, values[(slice(None), *window.toslices())]) for window in grid.windows(128))
    write_cog(tmp_path / "x.tif", blocks, grid=grid, bands=bands, dtype=dtype, nodata=0, tags={}, overviews="mode")
    found = list_bands(tmp_path / "x.tif")
    assert [(b.name, b.nodata) for b in found] == [("B01", 0), ("B02", 0), ("B03", 0)]
    assert [(b.scale, b.offset) for b in found] == [(pytest.approx(0.1 * i), -i) for i in (1, 2, 3)]
    assert np.array_equal(read_all(found, 100)[0], values)


def test_systems_that_are_turned_against_each_other_blur_nothing(tmp_path):
    """A chessboard of a zone's edge in the next zone, four degrees turned: every pixel is what interpolation gives."""
    board = (np.indices((600, 600)).sum(axis=0) % 2 * 2000 + 1000).astype(np.uint16)
    path = write(tmp_path / "x.tif", board, origin=(680_000, 5_170_000), crs="EPSG:32632")
    grid = Grid(crs=CRS.from_epsg(32633), transform=Affine(10, 0, 220_500, 0, -10, 5_175_500), width=600, height=600)
    (values,), (valid,) = read_all(list_bands(path), 600, grid)
    columns, rows = np.meshgrid(np.arange(600) + 0.5, np.arange(600) + 0.5)
    xs, ys = transform(grid.crs, "EPSG:32632", *(axis.ravel() for axis in grid.transform @ (columns, rows)))
    across, down = (
        np.reshape(axis, board.shape) - 0.5
        for axis in ~Affine(10, 0, 680_000, 0, -10, 5_170_000) @ (np.array(xs), np.array(ys))
    )
    wave = [1 - 2 * np.abs(axis % 2 - 1) for axis in (across, down)]
    inner = valid & (across > 1) & (across < 598) & (down > 1) & (down < 598)
    assert inner.sum() > 200_000
    assert np.abs(values - (2000 - 1000 * wave[0] * wave[1]))[inner].max() < 2


@pytest.mark.data
def test_classes_that_do_not_exist_stay_what_they_are(data_folder):
    """Trap 5: a lossy archive's SCL holds 12 and more, which masks do not know; no class is made up in between, and the
    seam between data and none is what it was."""
    product = open_product(data_folder / DATES / "S2A_33TWM_20230818_0_L2A")
    classes, red = product.find("SCL"), product.find("red")
    between = replace(red.grid, transform=red.grid.transform @ Affine.translation(0.5, 0.5))
    (there, _), (moved, _) = (read_all([classes, red], 512, grid) for grid in (red.grid, between))
    assert there[0].max() > 11
    assert not known_by_scl(there[0][there[0] > 11]).any()
    assert set(np.unique(moved[0])) <= set(np.unique(there[0]))
    assert 1 in there[1]
