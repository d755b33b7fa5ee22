"""The index is what its formula says, on every kind of pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from swath_eo.bandmath.indices import ndvi, normalized_difference
from swath_eo.scenes.calibration import Calibration


def numbers(*values):
    return np.array(values, dtype=np.uint16)


def test_ndvi_is_the_difference_over_the_sum():
    """Hand-computed values, as float32."""
    result = ndvi(numbers(1000, 3000, 500), numbers(3000, 1000, 500))
    assert result.dtype == np.float32
    assert result.tolist() == pytest.approx([0.5, -0.5, 0.0])


def test_a_common_scale_changes_nothing():
    """The ratio is free of scale: to the last bit, for it is not multiplied in."""
    red, nir = numbers(123, 4567, 89), numbers(4321, 765, 98)
    tenthousandth = Calibration(scale=1e-4)
    scaled = ndvi(red, nir, red_calibration=tenthousandth, nir_calibration=tenthousandth)
    assert np.array_equal(scaled, ndvi(red, nir))


def test_an_offset_changes_the_index():
    """With -0.1, DN 2000 and 4000 are the reflectances 0.1 and 0.3."""
    shifted = Calibration(scale=1e-4, offset=-0.1)
    assert ndvi(numbers(2000), numbers(4000), red_calibration=shifted, nir_calibration=shifted)[0] == np.float32(0.5)


def test_bands_of_different_scales_meet_as_reflectances():
    """A red band in 1/10000 and an infrared one in percent."""
    red, nir = Calibration(scale=1e-4), Calibration(scale=1e-2)
    assert ndvi(numbers(1000), numbers(30), red_calibration=red, nir_calibration=nir)[0] == pytest.approx(0.5)


@pytest.mark.parametrize(("red", "nir"), [(0, 0), (1000, 1000), (900, 800)])
def test_a_sum_of_zero_or_less_is_no_data(red, nir):
    """Reflectances that add up to nothing have no index."""
    shifted = Calibration(scale=1e-4, offset=-0.1)
    calibrations = {"red_calibration": shifted, "nir_calibration": shifted} if red else {}
    assert np.isnan(ndvi(numbers(red), numbers(nir), **calibrations)).all()


def test_a_negative_reflectance_counts_as_zero():
    """An index outside of -1..1 would be no vegetation index."""
    shifted = Calibration(scale=1e-4, offset=-0.1)
    pixels = {"red_calibration": shifted, "nir_calibration": shifted}
    assert ndvi(numbers(900, 3000), numbers(3000, 900), **pixels).tolist() == [1.0, -1.0]


def test_pixels_that_are_not_valid_are_no_data():
    """The mask wins over values that look good."""
    result = ndvi(numbers(1, 1), numbers(3, 3), valid=np.array([True, False]))
    assert np.isnan(result).tolist() == [False, True]


def test_float_bands_may_hold_nan_and_infinity():
    """They are no data, and no warning."""
    red = np.array([np.nan, np.inf, -np.inf, 1e39, 0.1])
    nir = np.array([0.3, 0.3, np.inf, 0.3, 0.3])
    assert np.isnan(ndvi(red, nir)).tolist() == [True, True, True, True, False]


@given(
    hnp.arrays(np.uint16, (7, 5)),
    hnp.arrays(np.uint16, (7, 5)),
    st.sampled_from([0.0, -0.1, 0.05]),
)
def test_ndvi_is_within_its_range_or_no_data(red, nir, offset):
    """Whatever the numbers, and NaN exactly where the sum is not positive."""
    shifted = Calibration(scale=1e-4, offset=offset)
    result = ndvi(red, nir, red_calibration=shifted, nir_calibration=shifted)
    total = red.astype(np.int64) + nir + 2 * round(offset / 1e-4)
    assert np.array_equal(np.isnan(result), total <= 0)
    assert np.all(np.abs(result[total > 0]) <= 1)


@given(hnp.arrays(np.uint16, 9), hnp.arrays(np.uint16, 9))
def test_the_difference_is_antisymmetric(a, b):
    """Exchanging the bands changes the sign alone."""
    forth, back = normalized_difference(a, b), normalized_difference(b, a)
    assert np.array_equal(forth, -back, equal_nan=True)
