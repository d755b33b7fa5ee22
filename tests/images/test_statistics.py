"""Statistics are those of the whole raster, however it was cut."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from swath_eo.output.statistics import RunningPercentiles, RunningStatistics, RunningSummary

INDEX = hnp.arrays(np.float32, st.integers(1, 300), elements=st.floats(-1, 1, width=32) | st.just(float("nan")))


def statistics_of(*pieces):
    running = RunningStatistics()
    for piece in pieces:
        running.add(piece)
    return running


@given(INDEX, st.data())
def test_cutting_and_order_do_not_show(values, data):
    """Every number is the same to the last bit."""
    cut = data.draw(st.integers(0, len(values)))
    whole, cut_up = statistics_of(values), statistics_of(values[cut:], values[:cut])
    assert whole.to_document() == cut_up.to_document()


@given(INDEX)
def test_they_are_what_numpy_computes(values):
    """Mean and deviation to 1e-9, extremes exactly, percentiles to a bin."""
    document = statistics_of(values).to_document()
    valid = values[~np.isnan(values)].astype(np.float64)
    assert document["count"] == len(values)
    assert document["valid"] == len(valid)
    if not len(valid):
        return
    assert document["mean"] == pytest.approx(valid.mean(), abs=1e-9)
    assert document["std"] == pytest.approx(valid.std(), abs=2e-6)
    assert (document["min"], document["max"]) == (valid.min(), valid.max())
    assert sum(document["histogram"]["counts"]) == len(valid)


def test_percentiles_are_within_a_bin():
    """0.0001, on a large sample."""
    values = np.random.default_rng(1).uniform(-0.3, 0.9, 200_000).astype(np.float32)
    percentiles = statistics_of(values).to_document()["percentiles"]
    for name, value in percentiles.items():
        assert value == pytest.approx(np.percentile(values, int(name[1:])), abs=1.5e-4)


def test_without_a_valid_pixel_nothing_is_defined():
    """Null, and no NaN that JSON does not know."""
    document = statistics_of(np.full(5, np.nan, dtype=np.float32)).to_document()
    assert (document["mean"], document["std"], document["min"], document["max"]) == (None, None, None, None)
    assert (document["count"], document["nodata"], document["valid_fraction"]) == (5, 5, 0.0)


def test_a_value_that_is_no_index_is_refused():
    """It would count in the wrong bin."""
    with pytest.raises(ValueError, match="not within"):
        statistics_of(np.array([1.5], dtype=np.float32))


def test_the_deviation_of_one_value_is_zero():
    """Not the root of a rounding error."""
    assert statistics_of(np.full(1000, 0.1, dtype=np.float32)).std == pytest.approx(0, abs=2e-6)


VALUES = np.concatenate(
    [
        np.random.default_rng(1).normal(0, 1, 1000),
        np.random.default_rng(2).normal(0, 1e6, 1000),
        [1023.9999, 1024, -1024, 3e38, -3e38, 1e-30, np.nan],
    ]
).astype(np.float32)


def test_a_summary_is_exact_and_knows_no_order():
    """The mean of numbers of all sizes, in whatever pieces they come."""
    whole, pieces = RunningSummary(), RunningSummary()
    whole.add(VALUES)
    for piece in np.array_split(VALUES[::-1], 13):
        pieces.add(piece)
    assert whole.to_document() == pieces.to_document()
    told, finite = whole.to_document(), VALUES[np.isfinite(VALUES)]
    assert (told["valid"], told["min"], told["max"]) == (finite.size, finite.min(), finite.max())
    assert told["mean"] == pytest.approx(math.fsum(finite.tolist()) / finite.size, abs=1e-9)


def test_percentiles_of_any_values_are_numpys():
    """Within 0.05 % of the value, also below zero."""
    seen = RunningPercentiles()
    for piece in np.array_split(VALUES, 7):
        seen.add(piece)
    finite = VALUES[np.isfinite(VALUES)]
    for q in (0, 1, 10, 50, 77.7, 99, 100):
        expected = float(np.percentile(finite, q, method="inverted_cdf"))
        assert seen.percentile(q) == pytest.approx(expected, rel=5e-4)
