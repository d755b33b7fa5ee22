"""Windows stay within the memory that a run has been given."""

import numpy as np
import pytest
from swath_eo.program import largest_window

from tests.images.scenes import load_ndvi, measured, random_numbers, write


def a_stack(path, shape=(300, 300)):
    return write(path, [random_numbers(seed, shape) for seed in (1, 2)], names=("red", "nir"), tiled=True)


@pytest.mark.parametrize(
    ("mib", "pixels"), [(0, 256), (300, 256), (400, 1536), (768, 3328), (2048, 6656), (4096, 9728)]
)
def test_a_window_fits_beside_the_program(mib, pixels):
    """40 bytes a pixel in what is left of the allocation, and never less than 256 pixels a side."""
    largest = largest_window(mib, bytes_per_pixel=load_ndvi().BYTES_PER_PIXEL)
    assert largest == pixels
    assert largest == 256 or 300 + largest**2 * 40 / 2**20 <= mib


def test_a_window_that_is_too_large_is_made_smaller(tmp_path, run_ndvi):
    """With a line that says so, and the same result."""
    scene = a_stack(tmp_path / "x.tif")
    small = run_ndvi(scene=scene, window=8192, environ={"ALLOCATED_MEM": "256"})
    assert "windows of 256 pixels a side instead of 8192: 256 MiB are allocated" in small.lines
    assert "progress 100 % (4 of 4 windows)" in small.lines
    assert np.array_equal(small.values, run_ndvi(scene=scene).values)


@pytest.mark.parametrize("environ", [{}, {"ALLOCATED_MEM": "768"}])
def test_a_window_that_fits_is_left_alone(tmp_path, run_ndvi, environ):
    """As is one on a machine that allocates nothing."""
    result = run_ndvi(scene=a_stack(tmp_path / "x.tif"), environ=environ)
    assert not any("instead of" in line for line in result.lines)


def test_an_allocation_that_is_no_number_is_a_bad_parameter(tmp_path, run_ndvi):
    """Nothing is guessed."""
    assert run_ndvi(scene=a_stack(tmp_path / "x.tif"), environ={"ALLOCATED_MEM": "much"}).exit_code == 30


def test_the_largest_window_stays_within_the_allocation(tmp_path):
    """WINDOW=8192 on 4,000 x 4,000 pixels in 512 MiB, where it would take 600."""
    block = random_numbers(1, (500, 500))
    scene = write(
        tmp_path / "x.tif", [np.tile(block, (8, 8)), np.tile(block[::-1], (8, 8))], names=("red", "nir"), tiled=True
    )
    options = ["--scene", scene, "--output", tmp_path, "--window", "8192"]
    _, peak_mb = measured("ndvi", *options, environ={"ALLOCATED_MEM": "512"})
    assert peak_mb < 512 * 1.048576
