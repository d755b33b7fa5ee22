"""The best pixel is near the day that was asked for, far from clouds and seen from above."""

from datetime import date

import numpy as np
import pytest
from swath_eo.composites.scoring import Score, cloud_score, day_score, sum_scores, view_score
from swath_eo.errors import ParameterError


def test_a_day_scores_by_its_distance_to_the_target():
    """A Gaussian, across the turn of the year."""
    score = Score(target_day=5, day_sigma=10)
    assert day_score(score, date(2023, 1, 5)) == 1
    assert day_score(score, date(2023, 1, 15)) == pytest.approx(np.exp(-0.5))
    assert day_score(score, date(2023, 12, 31)) == pytest.approx(np.exp(-0.5 * 0.6**2), abs=1e-3)


def test_clouds_count_by_a_smooth_step():
    """Griffiths' curve: 0.0067 beside a cloud, a half in the middle, 0.9933 at the end of the reach and beyond."""
    scores = cloud_score(Score(cloud_reach=1500), np.array([0, 750, 1500, 9000], dtype=np.float32))
    np.testing.assert_allclose(scores, [0.0067, 0.5, 0.9933, 0.9933], atol=1e-4)


def test_a_view_scores_by_its_angle():
    """Evenly from nadir to the widest."""
    assert view_score(Score(widest_view=10), np.array([0, 5, 10, 20])).tolist() == [1, 0.5, 0, 0]


def test_scores_add_up_by_their_weights():
    """What is not known adds nothing."""
    score = Score(target_day=1, widest_view=10, day_weight=2, cloud_weight=3, view_weight=4)
    day = date(2023, 1, 1)
    assert sum_scores(score, day).item() == 2
    assert sum_scores(score, day, cloud_distance=750.0, view_zenith=5.0).item() == 2 + 1.5 + 2


@pytest.mark.parametrize("wrong", [{"target_day": 0}, {"day_sigma": 0}, {"cloud_weight": -1}, {"view_weight": np.nan}])
def test_a_score_that_makes_no_sense_is_refused(wrong):
    """By its name."""
    with pytest.raises(ParameterError):
        Score(**wrong)
