"""Composites for viewing: stretches by values and by percentiles, gamma, and no data."""

import numpy as np
import pytest
from swath_eo.errors import NoValidPixelsError, ParameterError
from swath_eo.output.statistics import RunningPercentiles
from swath_eo.pictures.viewing import Stretch, compose, fit_stretch, parse_stretch


def percentiles_of(values):
    seen = RunningPercentiles()
    seen.add(np.asarray(values, dtype=np.float32))
    return seen


def test_values_become_levels():
    """Black is 1, white 255, what lies beyond is one of them, and NaN is 0."""
    values = np.array([-1, 0, 0.15, 0.3, 9, np.nan], dtype=np.float32)
    assert Stretch(low=0, high=0.3).apply(values).tolist() == [1, 1, 128, 255, 255, 0]


def test_gamma_brightens_what_lies_between():
    """And leaves both ends alone."""
    values = np.array([0, 0.25, 1], dtype=np.float32)
    assert Stretch(low=0, high=1, gamma=2).apply(values).tolist() == [1, 128, 255]


def test_percentiles_of_the_channel_are_its_ends():
    """Within 0.05 % of numpy's."""
    values = np.random.default_rng(1).normal(0.1, 0.05, 10_000).astype(np.float32)
    stretch = fit_stretch(parse_stretch("2%, 98%"), percentiles_of(values))
    assert (stretch.low, stretch.high) == pytest.approx(np.percentile(values, [2, 98], method="inverted_cdf"), rel=5e-4)


def test_values_need_no_pixels():
    """Both given, or one given and one found."""
    assert fit_stretch(parse_stretch("-0.1,3e-1"), RunningPercentiles()) == Stretch(low=-0.1, high=0.3)
    assert fit_stretch(parse_stretch("0,100%"), percentiles_of([0.25, 0.5])).high == pytest.approx(0.5, rel=5e-4)


def test_a_channel_without_width_is_refused():
    """A constant band, or one pixel, would be black or white by chance."""
    with pytest.raises(ParameterError, match="next to one value"):
        fit_stretch(parse_stretch("2%,98%"), percentiles_of([0.5] * 10))
    with pytest.raises(NoValidPixelsError):
        fit_stretch(parse_stretch("2%,98%"), percentiles_of([np.nan]))


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "a,b", "98%,2%", "0.3,0.3", "-1%,98%", "2%,101%", "nan,1", "..,1"])
def test_a_stretch_that_makes_no_sense_is_refused(text):
    """As a bad parameter."""
    with pytest.raises(ParameterError):
        parse_stretch(text)


def test_a_pixel_without_data_in_one_channel_has_none():
    """Not a colour that was never there."""
    red, green = np.array([[0.1, np.nan]], dtype=np.float32), np.array([[0.2, 0.2]], dtype=np.float32)
    picture = compose([red, green], [Stretch(low=0, high=1)] * 2)
    assert picture.shape == (2, 1, 2)
    assert picture[:, 0, 1].tolist() == [0, 0]
    assert picture[:, 0, 0].all()
