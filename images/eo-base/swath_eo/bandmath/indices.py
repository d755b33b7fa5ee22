"""Spectral indices, pure numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath_eo.scenes.calibration import Calibration

Float32 = NDArray[np.float32]

_UNIT = Calibration()


def normalized_difference(
    a: NDArray[Any],
    b: NDArray[Any],
    *,
    a_calibration: Calibration = _UNIT,
    b_calibration: Calibration = _UNIT,
    valid: NDArray[np.bool_] | None = None,
) -> Float32:
    """(a - b) / (a + b) of two reflectances, float32, NaN where not defined.

    `a`, `b`: digital numbers of any real type, one shape. `valid`: the same shape, False where there is no data. The
    result is NaN there, where either is not finite, and where the sum of the reflectances is zero or negative. Where
    one reflectance is negative (noise over dark water, or an offset applied twice) the result lies outside -1..1.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # infinities in no-data pixels are masked below
        x, y = _to_common_unit(a, b, a_calibration, b_calibration)
        total = x + y
        difference = x - y
    defined = np.isfinite(total) & (total > 0)
    if valid is not None:
        defined &= valid
    result: Float32 = np.full(total.shape, np.nan, dtype=np.float32)
    np.divide(difference, total, out=result, where=defined)
    return result


def _to_common_unit(a: NDArray[Any], b: NDArray[Any], ca: Calibration, cb: Calibration) -> tuple[Float32, Float32]:
    # The ratio does not depend on a common scale: leaving it out keeps digital numbers whole, which float32 adds
    # without rounding.
    if ca.scale == cb.scale:
        return _shifted(a, 1.0, ca.offset / ca.scale), _shifted(b, 1.0, cb.offset / cb.scale)
    return _shifted(a, ca.scale, ca.offset), _shifted(b, cb.scale, cb.offset)


def _shifted(values: NDArray[Any], scale: float, offset: float) -> Float32:
    result = values.astype(np.float32)
    if scale != 1.0:
        result *= np.float32(scale)
    if offset != 0.0:
        result += np.float32(offset)
    return result


def ndvi(
    red: NDArray[Any],
    nir: NDArray[Any],
    *,
    red_calibration: Calibration = _UNIT,
    nir_calibration: Calibration = _UNIT,
    valid: NDArray[np.bool_] | None = None,
) -> Float32:
    """Normalised Difference Vegetation Index (Rouse et al. 1974): (nir - red) / (nir + red), float32 in -1..1, NaN
    where not defined.

    Shapes and masks as in `normalized_difference`. A negative reflectance counts as zero, which is the same as
    clipping to -1..1.
    """
    ratio = normalized_difference(nir, red, a_calibration=nir_calibration, b_calibration=red_calibration, valid=valid)
    return np.clip(ratio, -1, 1, out=ratio)
