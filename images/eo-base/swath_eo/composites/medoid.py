"""How far each date's spectrum is from those of all other dates (pure numpy)."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PIXELS = 4096  # at a time, so that two dates and their difference stay in a processor's caches


def distances_to_others(values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Sums of the (Euclidean) distances to the other valid dates, (times, pixels): the medoid has the least.

    `values`: (times, bands, pixels) of any real type; `valid`: (times, pixels). What is not valid has a sum, too. After
    Flood, "Seasonal composite Landsat TM/ETM+ images using the medoid" (Remote Sensing 2013).
    """
    result = np.zeros(valid.shape, dtype=np.float32)
    for start in range(0, values.shape[2], _PIXELS):
        part = slice(start, start + _PIXELS)
        dates = np.flatnonzero(valid[:, part].any(axis=1))
        numbers = np.where(valid[dates, np.newaxis, part], values[dates, :, part], 0).astype(np.float32)
        result[dates, part] = _add_up(numbers, valid[dates, part].astype(np.float32))
    return result


def _add_up(values: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    sums = np.zeros_like(weights)
    apart = np.empty_like(values[0]) if len(values) else np.empty(0, dtype=np.float32)
    distance, share = np.empty(values.shape[2], np.float32), np.empty(values.shape[2], np.float32)
    for a, b in combinations(range(len(values)), 2):
        np.subtract(values[a], values[b], out=apart)
        np.multiply(apart, apart, out=apart)
        np.copyto(distance, apart[0])
        for band in apart[1:]:
            np.add(distance, band, out=distance)
        np.sqrt(distance, out=distance)
        sums[a] += np.multiply(distance, weights[b], out=share)
        sums[b] += np.multiply(distance, weights[a], out=share)
    return sums
