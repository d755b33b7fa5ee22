"""How good an observation is for a composite: by day of the year, distance to clouds and view angle (pure numpy).

After Griffiths et al., "A Pixel-Based Landsat Compositing Algorithm for Large Area Land Cover Mapping" (IEEE JSTARS
2013), and White et al. (Canadian Journal of Remote Sensing 2014): scores of 0..1, weighted and added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from datetime import date

import numpy as np
from numpy.typing import NDArray

from swath_eo.errors import ParameterError

_FARTHEST = 10_000.0  # metres
_STEEPNESS = (
    10.0  # of the rise over the whole distance to clouds, from 0.0067 to 0.9933 (Griffiths: 0.2 over 50 pixels)
)


@dataclass(frozen=True, kw_only=True)
class Score:
    """What counts how much. Raises ParameterError."""

    target_day: int = 196  # of the year, from 1: 15 July
    day_sigma: float = 30.0  # days from the target after which a day's score has fallen to 0.61
    cloud_reach: float = 1500.0  # metres from which on clouds do not matter
    widest_view: float = 15.0  # degrees from nadir at which a view is worth nothing
    day_weight: float = 1.0
    cloud_weight: float = 1.0
    view_weight: float = 1.0

    def __post_init__(self) -> None:
        numbers = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in numbers.items():
            if not math.isfinite(value) or value < 0 or (value == 0 and not name.endswith("_weight")):
                raise ParameterError(f"{name.replace('_', ' ')} {value:g} makes no sense")
        if self.cloud_reach > _FARTHEST:
            raise ParameterError(f"the cloud reach {self.cloud_reach:g} is not within 0..{_FARTHEST:g} metres")
        if not 1 <= self.target_day <= 366:
            raise ParameterError(f"the target day {self.target_day} is not within 1..366")


def sum_scores(
    score: Score,
    day: date,
    *,
    cloud_distance: NDArray[np.float32] | float | None = None,
    view_zenith: NDArray[np.float32] | float | None = None,
) -> NDArray[np.float32]:
    """The score of a date, (rows, columns) where something differs from pixel to pixel; what is not known adds nothing.

    `cloud_distance`: metres; `view_zenith`: degrees.
    """
    total = np.asarray(score.day_weight * day_score(score, day), dtype=np.float32)
    if cloud_distance is not None:
        total = total + np.float32(score.cloud_weight) * cloud_score(score, cloud_distance)
    if view_zenith is not None:
        total = total + np.float32(score.view_weight) * view_score(score, view_zenith)
    return total


def day_score(score: Score, day: date) -> float:
    """1 on the target day, less before and after it (a Gaussian), across the turn of the year."""
    apart = abs(day.timetuple().tm_yday - score.target_day)
    apart = min(apart, 366 - apart)
    return math.exp(-0.5 * (apart / score.day_sigma) ** 2)


def cloud_score(score: Score, distance: NDArray[np.float32] | float) -> NDArray[np.float32]:
    """Nearly 0 beside a cloud, one half in the middle of the reach, nearly 1 at its end. `distance`: metres."""
    share = np.minimum(np.asarray(distance, np.float32), np.float32(score.cloud_reach)) / np.float32(score.cloud_reach)
    result: NDArray[np.float32] = np.asarray(np.exp(np.float32(-_STEEPNESS) * (share - np.float32(0.5))))
    result += 1
    np.reciprocal(result, out=result)
    return result


def view_score(score: Score, zenith: NDArray[np.float32] | float) -> NDArray[np.float32]:
    """1 at nadir, falling evenly to 0 at the widest view. `zenith`: degrees."""
    result: NDArray[np.float32] = 1 - np.asarray(zenith, dtype=np.float32) / np.float32(score.widest_view)
    return np.maximum(result, np.float32(0))
