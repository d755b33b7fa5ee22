"""Scenes that differ by haze and season are brought to match where they overlap."""

import numpy as np
import pytest
from swath_eo.mosaics.harmonizing import cell_means, fit_line, harmonize

PLACES = 4000


def ground(seed=1):
    """Two bands of a landscape."""
    return np.random.default_rng(seed).gamma(4, 400, size=(2, PLACES))


def seen(truth, gain, offset, where, seed):
    """A scene of it: other radiometry, noise, clouds in a tenth, and NaN outside of `where`."""
    rng = np.random.default_rng(seed)
    values = truth * gain + offset + rng.normal(0, 15, truth.shape)
    values[:, rng.random(PLACES) < 0.1] += 6000
    return np.where(where, values, np.nan).astype(np.float32)


def test_a_chain_of_scenes_comes_back_to_the_first_one():
    """Four scenes of which only neighbours overlap: gains within 1 %, and one level along the whole chain."""
    truth, places = ground(), np.arange(PLACES)
    radiometry = ((1.0, 0.0), (1.25, 300.0), (0.8, -100.0), (1.1, 150.0))
    where = [(places > n * 700) & (places < n * 700 + 1400) for n in range(4)]
    samples = [seen(truth, *r, w, seed) for seed, (r, w) in enumerate(zip(radiometry, where, strict=True))]
    made = harmonize(samples)
    assert made.pairs == ((0, 1), (1, 2), (2, 3))
    assert (made.adjustments[0].gains, made.adjustments[0].offsets) == ((1.0, 1.0), (0.0, 0.0))
    for (gain, offset), adjustment in zip(radiometry, made.adjustments, strict=True):
        for own_gain, own_offset in zip(adjustment.gains, adjustment.offsets, strict=True):
            assert own_gain * gain == pytest.approx(1, abs=0.015)
            assert (1600 * gain + offset) * own_gain + own_offset == pytest.approx(1600, abs=10)


def test_a_ring_is_solved_at_once():
    """All pairs count: what is left between any two is the noise."""
    truth, everywhere = ground(2), np.ones(PLACES, dtype=bool)
    samples = [seen(truth, g, o, everywhere, s) for s, (g, o) in enumerate(((1, 0), (1.2, 100), (0.9, -50)))]
    made = harmonize(samples)
    assert len(made.pairs) == 3
    matched = [made.adjustments[i].apply(sample[:, :, np.newaxis])[:, :, 0] for i, sample in enumerate(samples)]
    for i, j in made.pairs:
        assert np.median(np.abs(matched[i] - matched[j])) < 25


def test_the_order_of_two_scenes_makes_no_difference():
    """The line from second to first is the inverse."""
    x, y = (
        seen(ground(), g, o, np.ones(PLACES, dtype=bool), s)[0].astype(float)
        for s, (g, o) in enumerate(((1, 0), (1.4, 50)))
    )
    there, back = fit_line(x, y), fit_line(y, x)
    assert there.gain * back.gain == pytest.approx(1, abs=1e-3)
    assert there.gain == pytest.approx(1.4, abs=0.01)


@pytest.mark.parametrize(
    "second",
    [
        lambda truth, rng: rng.gamma(4, 400, truth.shape),  # other ground
        lambda truth, rng: truth * 5,  # another unit
        lambda truth, rng: np.where(np.arange(PLACES) < 20, truth, np.nan),  # next to no overlap
        lambda truth, rng: np.full(truth.shape, 700.0),  # nothing on it
    ],
    ids=["unlike", "other-unit", "few", "constant"],
)
def test_scenes_that_cannot_be_compared_stay_as_they_are(second):
    """And it is said which."""
    truth = ground()
    made = harmonize([truth.astype(np.float32), second(truth, np.random.default_rng(9)).astype(np.float32)])
    assert made.unconnected == (0, 1)
    assert all(adjustment.is_identity for adjustment in made.adjustments)


def test_offsets_alone_can_be_asked_for():
    """Gains stay 1."""
    truth, everywhere = ground(), np.ones(PLACES, dtype=bool)
    made = harmonize([seen(truth, 1, 0, everywhere, 1), seen(truth, 1, 250, everywhere, 2)], kind="offset")
    assert made.adjustments[1].gains == (1.0, 1.0)
    assert made.adjustments[1].offsets == pytest.approx((-250, -250), abs=5)


def test_means_are_of_whole_cells():
    """One invalid pixel takes its cell out; the others' means are exact."""
    values = np.arange(2 * 8 * 12, dtype=np.uint16).reshape(2, 8, 12)
    valid = np.ones((8, 12), dtype=bool)
    valid[5, 9] = False
    means = cell_means(values, valid, 4)
    assert means.shape == (2, 2, 3)
    assert np.isnan(means[:, 1, 2]).all()
    assert means[1, 0, 1] == values[1, :4, 4:8].mean()
    assert np.isnan(means).sum() == 2
