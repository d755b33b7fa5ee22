"""From the digital numbers of one calibration to those of another, or to those that match other scenes (pure numpy)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath_eo.scenes.calibration import Calibration

SAME = 1e-6  # of a scale: somebody's float32 of 0.0001 is 0.0001 still


def differ_in_scale(scenes: Iterable[Sequence[Calibration]]) -> bool:
    """Whether a band has another scale in one scene than in another; a calibration for each band of each scene."""
    return _find_differing(scenes) is not None


def scale_warnings(scenes: Iterable[Sequence[Calibration]]) -> list[str]:
    """What a user should know of a result that `without_scale` is for: one line, or none where scales do not differ."""
    found = _find_differing(scenes)
    if found is None:
        return []
    told = f"{found[0]:.8g} to {found[1]:.8g}"
    return [f"the scenes' scales differ ({told}): the result is reflectance (or temperature) itself, in real numbers"]


def _find_differing(scenes: Iterable[Sequence[Calibration]]) -> tuple[float, float] | None:
    """The lowest and the highest scale of the first band whose scale is not the same in all scenes."""
    for band in zip(*scenes, strict=True):
        lowest, highest = min(own.scale for own in band), max(own.scale for own in band)
        if not math.isclose(lowest, highest, rel_tol=SAME):
            return lowest, highest
    return None


def without_scale(calibrations: Sequence[Calibration]) -> tuple[Calibration, ...]:
    """What scenes that differ in scale are brought to: reflectance itself (or temperature), as real numbers. In the whole
    numbers of one scale another's would lose digits, or not fit."""
    return tuple(Calibration(unit=own.unit, reason="the scenes' scales differ") for own in calibrations)


@dataclass(frozen=True, kw_only=True)
class Adjustment:
    """value x gain + offset, a pair for each band: between calibrations, or to match other scenes."""

    gains: tuple[float, ...]
    offsets: tuple[float, ...]

    @classmethod
    def between(cls, own: Sequence[Calibration], wanted: Sequence[Calibration]) -> Adjustment:
        """From digital numbers of one calibration to those of another, a pair for each band."""
        pairs = list(zip(own, wanted, strict=True))
        return cls(
            gains=tuple(1.0 if math.isclose(a.scale, b.scale, rel_tol=SAME) else a.scale / b.scale for a, b in pairs),
            offsets=tuple(0.0 if a.offset == b.offset else (a.offset - b.offset) / b.scale for a, b in pairs),
        )

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return all(gain == 1 for gain in self.gains) and not any(self.offsets)

    def then(self, other: Adjustment) -> Adjustment:
        """Both in one, `other` second."""
        pairs = zip(self.offsets, other.gains, other.offsets, strict=True)
        return Adjustment(
            gains=tuple(a * b for a, b in zip(self.gains, other.gains, strict=True)),
            offsets=tuple(offset * gain + further for offset, gain, further in pairs),
        )

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        """`values` (bands, rows, columns), as real numbers unless nothing changes."""
        if self.is_identity:
            return values
        kind = np.result_type(values.dtype, np.float32).type
        adjusted = np.empty(values.shape, dtype=kind)
        for into, band, gain, offset in zip(adjusted, values, self.gains, self.offsets, strict=True):
            np.multiply(band, kind(gain), out=into)
            into += kind(offset)
        return adjusted
