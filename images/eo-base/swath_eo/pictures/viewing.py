"""Pictures for human eyes: which bands make one, and how their values become 8 bits (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath_eo.errors import NoValidPixelsError, ParameterError
from swath_eo.output.statistics import RunningPercentiles

# Red, green and blue of the picture, by the names of spectral.spellings_of.
VIEWS: Mapping[str, tuple[str, str, str]] = {
    "natural": ("R", "G", "B"),
    "infrared": ("N", "R", "G"),  # vegetation in red
    "agriculture": ("S1", "N", "B"),
    "swir": ("S2", "N2", "R"),  # burnt ground and water apart
    "urban": ("S2", "S1", "R"),
}
NODATA = 0
_LEVELS = 254  # above the lowest, 1
_BOUND = re.compile(r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(%?)\s*")


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Which values become black and white, and how those between are spread."""

    low: float
    high: float  # above low
    gamma: float = 1.0  # above 1 brightens what lies between

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Values of any shape as levels from 1 to 255; 0 for no data (NaN)."""
        levels = values - np.float32(self.low)
        levels /= np.float32(self.high - self.low)
        np.clip(levels, 0, 1, out=levels)
        if self.gamma != 1.0:
            np.power(levels, np.float32(1 / self.gamma), out=levels)
        levels *= _LEVELS
        levels += np.float32(1.5)  # rounded, for whole numbers are cut off
        result: NDArray[np.uint8] = np.nan_to_num(levels, copy=False, nan=NODATA).astype(np.uint8)
        return result


@dataclass(frozen=True, kw_only=True)
class Bound:
    """An end of a stretch, as it is asked for."""

    number: float
    is_percentile: bool  # of the channel's own values; else a value


def parse_stretch(text: str) -> tuple[Bound, Bound]:
    """`2%,98%` (percentiles) or `0,0.3` (values), or one of each. Raises ParameterError."""
    parts = [_BOUND.fullmatch(part) for part in text.split(",")]
    if len(parts) != 2 or any(part is None for part in parts):
        raise ParameterError(f"the stretch {text!r} is neither two percentiles (2%,98%) nor two values (0,0.3)")
    try:
        low, high = (Bound(number=float(part[1]), is_percentile=part[2] == "%") for part in parts if part)
    except ValueError as error:
        raise ParameterError(f"the stretch {text!r} holds what is no number") from error
    if low.is_percentile == high.is_percentile and not low.number < high.number:
        raise ParameterError(f"the stretch {text!r} ends where it begins, or before")
    if any(bound.is_percentile and not 0 <= bound.number <= 100 for bound in (low, high)):
        raise ParameterError(f"the stretch {text!r} holds a percentile that is not within 0..100")
    return low, high


def fit_stretch(
    bounds: tuple[Bound, Bound], values: RunningPercentiles, *, gamma: float = 1.0, channel: str = "the channel"
) -> Stretch:
    """The stretch of a channel that holds these values. Raises NoValidPixelsError, and ParameterError where the two ends
    are no different."""
    low, high = (_value_of(bound, values, channel) for bound in bounds)
    if not low < high:
        raise ParameterError(f"{channel} has next to one value, {low:g}: give two values to stretch between (0,0.3)")
    return Stretch(low=low, high=high, gamma=gamma)


def _value_of(bound: Bound, values: RunningPercentiles, channel: str) -> float:
    if not bound.is_percentile:
        return bound.number
    value = values.percentile(bound.number)
    if value is None:
        raise NoValidPixelsError(f"{channel} has no valid pixel")
    return value


def compose(channels: Sequence[NDArray[np.float32]], stretches: Sequence[Stretch]) -> NDArray[np.uint8]:
    """One picture of some channels of one shape, (channels, rows, columns): no data where a channel has none."""
    levels = np.stack([stretch.apply(values) for values, stretch in zip(channels, stretches, strict=True)])
    levels[:, (levels == NODATA).any(axis=0)] = NODATA
    return levels
