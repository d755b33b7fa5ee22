"""Two bands meet on their common ground, pixel on pixel, or are refused in clear words."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import Affine
from swath_eo.errors import CrsMismatchError, EmptyOverlapError, GridMismatchError, NotGeoreferencedError
from swath_eo.geometry.grid import Grid, check_georeferenced, common_ground, place

UTM33 = CRS.from_epsg(32633)


def a_grid(*, x=0.0, y=0.0, size=10.0, width=100, height=80, crs=UTM33, transform=None):
    return Grid(crs=crs, transform=transform or Affine(size, 0, x, 0, -size, y), width=width, height=height)


def overlap_of(first, second):
    """The common grid, and how each comes onto it."""
    common = common_ground([first, second])
    return SimpleNamespace(grid=common, first=place(first, common), second=place(second, common))


def test_equal_grids_need_no_work():
    """Even rotated ones."""
    rotated = Affine.translation(5, 7) @ Affine.rotation(30) @ Affine.scale(10, -10)
    for grid in (a_grid(), a_grid(transform=rotated)):
        overlap = overlap_of(grid, grid)
        assert overlap.grid == grid
        assert not overlap.first.resampled
        assert not overlap.second.resampled


def test_shifted_grids_meet_on_their_overlap():
    """By whole pixels, so nothing is resampled."""
    overlap = overlap_of(a_grid(), a_grid(x=300, y=-200))
    assert (overlap.grid.width, overlap.grid.height) == (70, 60)
    assert (overlap.first.column, overlap.first.row) == (30, 20)
    assert (overlap.second.column, overlap.second.row) == (0, 0)
    assert not overlap.second.resampled


def test_the_finer_grid_is_kept():
    """20 m comes to 10 m, whichever band it is."""
    fine, coarse = a_grid(), a_grid(size=20, width=50, height=40)
    for first, second in ((fine, coarse), (coarse, fine)):
        overlap = overlap_of(first, second)
        assert overlap.grid == fine
        assert (overlap.first.resampled, overlap.second.resampled) == (first is coarse, second is coarse)


def test_pixels_that_lie_between_are_resampled():
    """Half a pixel is not rounded away."""
    overlap = overlap_of(a_grid(), a_grid(x=5))
    assert overlap.second.resampled
    assert not overlap.first.resampled


def test_a_drift_over_the_scene_is_noticed():
    """Pixel sizes that differ by a thousandth end a tenth of a pixel apart."""
    assert overlap_of(a_grid(), a_grid(size=10.01)).second.resampled


def test_rows_that_run_east_are_resampled():
    """A square scene whose rows and columns are exchanged has the same first and last corner."""
    transposed = a_grid(width=100, height=100, transform=Affine(0, 10, 0, -10, 0, 0))
    assert place(transposed, a_grid(width=100, height=100)).resampled


def test_rounding_of_geotransforms_is_forgiven():
    """A millimetre is no shift."""
    assert not overlap_of(a_grid(), a_grid(x=0.001)).second.resampled


def test_bands_of_different_systems_are_refused():
    """Reprojection is a decision of its own."""
    with pytest.raises(CrsMismatchError, match=r"EPSG:32633.*EPSG:32632"):
        overlap_of(a_grid(), a_grid(crs=CRS.from_epsg(32632)))


@pytest.mark.parametrize("second", [a_grid(x=1000), a_grid(y=-800), a_grid(x=995, size=20)])
def test_bands_without_common_ground_are_refused(second):
    """Also where it is narrower than a pixel."""
    with pytest.raises(EmptyOverlapError):
        overlap_of(a_grid(), second)


def test_rotated_grids_that_differ_are_refused():
    """Nothing is guessed about them."""
    with pytest.raises(GridMismatchError, match="north up"):
        overlap_of(a_grid(), a_grid(transform=Affine.rotation(1) @ Affine.scale(10, -10)))


def test_a_band_that_is_far_coarser_is_refused():
    """A 600 m band resampled to 10 m would be invented."""
    with pytest.raises(GridMismatchError, match="10 and 600"):
        overlap_of(a_grid(width=1000, height=1000), a_grid(size=600))


@pytest.mark.parametrize("grid", [a_grid(crs=None), a_grid(transform=Affine.identity())])
def test_a_band_without_a_place_is_refused(grid):
    """No system, or no geotransform."""
    with pytest.raises(NotGeoreferencedError):
        check_georeferenced(grid, where="x.tif")


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 128))
def test_windows_cover_each_pixel_once(width, height, size):
    """And none is larger than asked for."""
    grid = a_grid(width=width, height=height)
    windows = list(grid.windows(size))
    assert len(windows) == grid.count_windows(size)
    assert sum(w.width * w.height for w in windows) == width * height
    assert len({(w.col_off, w.row_off) for w in windows}) == len(windows)
    assert all(w.width <= size and w.height <= size for w in windows)
    assert all(w.col_off + w.width <= width and w.row_off + w.height <= height for w in windows)


@given(st.integers(-90, 90), st.integers(-70, 70), st.sampled_from([10.0, 20.0, 30.0]))
def test_the_overlap_lies_in_both(columns, rows, size):
    """In whole pixels of the finer grid."""
    first, second = a_grid(), a_grid(x=columns * 10, y=rows * 10, size=size)
    try:
        common = overlap_of(first, second).grid
    except EmptyOverlapError:
        return
    left, bottom, right, top = common.bounds
    for grid in (first, second):
        own = grid.bounds
        assert own[0] <= left < right <= own[2]
        assert own[1] <= bottom < top <= own[3]
