"""Real numbers as whole ones, as files hold them (pure)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def output_type(dtype: np.dtype[Any]) -> tuple[np.dtype[Any], float]:
    """The type of all output bands, and what stands for no data: numbers of 16 bits stay what they are."""
    if dtype.kind == "u" and dtype.itemsize <= 2:
        return np.dtype(np.uint16), 0.0
    if dtype.kind == "i" and dtype.itemsize <= 2:
        return np.dtype(np.int16), float(np.iinfo(np.int16).min)
    return np.dtype(np.float32), math.nan


def to_type(values: NDArray[Any], seen: NDArray[np.bool_], dtype: np.dtype[Any], nodata: float) -> NDArray[Any]:
    """Rounded, and never what stands for no data where there is some."""
    if dtype.kind == "f":
        return np.where(seen, values, np.float32(nodata)).astype(dtype)
    limits = np.iinfo(dtype)
    lowest = limits.min + 1 if nodata == limits.min else limits.min
    numbers: NDArray[Any] = np.clip(np.rint(np.where(seen, values, lowest)), lowest, limits.max).astype(dtype)
    numbers[:, ~seen] = nodata
    return numbers


def back_to(dtype: np.dtype[Any], values: NDArray[Any]) -> NDArray[Any]:
    """Numbers that have been computed with in their own type again, those beyond its ends at them."""
    if values.dtype == dtype or dtype.kind == "f":
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    result: NDArray[Any] = np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
    return result


def beside(value: Any) -> Any:
    """The number next to a numpy scalar, in its own type: for what would be taken for no data."""
    if isinstance(value, np.floating):
        return np.nextafter(value, value + 1)
    return value + 1 if value < np.iinfo(value.dtype).max else value - 1
