"""What is cloud and what is clear: by scene classification, by bits, and how far clouds reach (pure numpy)."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath_eo.errors import ParameterError
from swath_eo.geometry.grid import Grid

Mask = NDArray[np.bool_]

# Sentinel-2's scene classification: 0 no data, 1 saturated, 2 dark, 3 cloud shadow, 4 vegetation, 5 bare, 6 water,
# 7 unclassified, 8 cloud (medium probability), 9 cloud (high), 10 cirrus, 11 snow.
_CLASSES = frozenset(range(12))
_KNOWN = frozenset(range(2, 12))
SCL_CLOUDS = frozenset({3, 8, 9, 10})  # with their shadows
# Landsat's QA_PIXEL (Collection 2): bit 0 fill, 1 dilated cloud, 2 cirrus, 3 cloud, 4 cloud shadow, 5 snow, 6 clear,
# 7 water, from 8 on how sure that is. Bit 6 is none of 1 and 3, and tells nothing of shadows.
_FILL = 0
_FLAGS = frozenset(range(1, 8))
QA_CLOUDS = frozenset({1, 2, 3, 4})  # with their shadows
_WIDEST = 10_000.0  # metres
_METRES_PER_DEGREE = 111_320.0
_SQUARES_IN_UINT16 = 180  # pixels: the squares of two such distances add up to no more than 65535


@dataclass(frozen=True, kw_only=True)
class Clearing:
    """What counts as cloud; a scene that has no such layer is not asked for it. Raises ParameterError."""

    classes: frozenset[int] = SCL_CLOUDS  # of Sentinel-2's scene classification
    bits: frozenset[int] = QA_CLOUDS  # of Landsat's QA_PIXEL
    most_probability: float = 100.0  # percent; what is above is cloud
    dilation: float = 0.0  # metres by which clouds grow

    def __post_init__(self) -> None:
        if not 0 <= self.most_probability <= 100:
            raise ParameterError(f"the probability {self.most_probability:g} is not within 0..100 percent")
        if not 0 <= self.dilation <= _WIDEST:
            raise ParameterError(f"the dilation {self.dilation:g} is not within 0..{_WIDEST:g} metres")


@dataclass(frozen=True, kw_only=True)
class PixelSize:
    """What a pixel measures on the ground, in metres."""

    width: float
    height: float

    @classmethod
    def of(cls, grid: Grid) -> PixelSize:
        """In the middle of the grid, where it counts in degrees."""
        t = grid.transform
        width, height = math.hypot(t.a, t.d), math.hypot(t.b, t.e)
        if grid.crs is None or grid.crs.is_projected:
            metres = 1.0 if grid.crs is None else float(grid.crs.linear_units_factor[1])
            return cls(width=width * metres, height=height * metres)
        _, latitude = t @ (grid.width / 2, grid.height / 2)
        along = _METRES_PER_DEGREE * max(math.cos(math.radians(latitude)), 0.01)
        return cls(width=width * along, height=height * _METRES_PER_DEGREE)

    def halo(self, reach: float) -> int:
        """Pixels that must be known around a window for a distance of `reach` metres."""
        return math.ceil(reach / min(self.width, self.height))


def parse_classes(text: str) -> frozenset[int]:
    """Classes of the scene classification, with commas between, or none. Raises ParameterError."""
    classes = _parse(text, "classes")
    if not classes <= _CLASSES:
        raise ParameterError(f"the scene classification has the classes 0 to 11, and not all of {text}")
    return classes


def parse_bits(text: str) -> frozenset[int]:
    """Bits of QA_PIXEL, with commas between, or none. Raises ParameterError."""
    bits = _parse(text, "bits")
    if not bits <= _FLAGS:
        raise ParameterError(f"QA_PIXEL tells what a pixel is by its bits 1 to 7, and not all of {text}")
    return bits


def _parse(text: str, what: str) -> frozenset[int]:
    if text.strip() == "none":
        return frozenset()
    try:
        return frozenset(map(int, text.split(",")))
    except ValueError as error:
        raise ParameterError(f"{text!r} is neither {what} with commas between nor none") from error


def clouds_by_qa(qa: NDArray[Any], bits: Collection[int] = QA_CLOUDS) -> Mask:
    """True where one of the bits of QA_PIXEL is set: clouds, what lies close to them, and their shadows. `qa`: any shape."""
    return _is_set(qa, bits)


def known_by_qa(qa: NDArray[Any]) -> Mask:
    """False where QA_PIXEL says nothing: fill."""
    known: Mask = ~_is_set(qa, {_FILL})
    return known


def _is_set(qa: NDArray[Any], bits: Collection[int]) -> Mask:
    numbers = qa if qa.dtype.kind in "iu" else np.nan_to_num(qa, nan=1 << _FILL).astype(np.int64)
    result: Mask = (numbers & sum(1 << bit for bit in bits)) != 0
    return result


def clouds_by_scl(scl: NDArray[Any], classes: Collection[int] = SCL_CLOUDS) -> Mask:
    """True where a pixel is of one of the classes: clouds and their shadows. `scl`: any shape."""
    return _look_up(classes, scl)


def known_by_scl(scl: NDArray[Any]) -> Mask:
    """False where the classification says nothing: no data, saturated or defective, or no class at all."""
    return _look_up(_KNOWN, scl)


def _look_up(classes: Collection[int], scl: NDArray[Any]) -> Mask:
    table = np.zeros(256, dtype=np.bool_)
    table[list(classes)] = True
    result: Mask = table[np.clip(scl, 0, 255).astype(np.uint8)]
    return result


def distance_to(mask: Mask, *, reach: float, pixel: PixelSize) -> NDArray[np.float32]:
    """Metres from the middle of each pixel to that of the nearest True one, exact (Euclidean), `reach` where that is
    farther away. `mask`: (rows, columns).

    Squares of distances along columns first, then along rows (Saito and Toriwaki 1994, with the search bounded). The
    result at a pixel depends on nothing beyond `pixel.halo(reach)` pixels.
    """
    if not mask.any():
        return np.full(mask.shape, reach, dtype=np.float32)
    squares = _squared_distance(mask, reach, pixel)
    distance: NDArray[np.float32] = np.sqrt(squares, dtype=np.float32)
    distance *= np.float32(_unit(pixel))
    np.minimum(distance, np.float32(reach), out=distance)
    return distance


def dilate(mask: Mask, radius: float, *, pixel: PixelSize) -> Mask:
    """True where a True pixel's middle lies within `radius` metres. `mask`: (rows, columns)."""
    if radius <= 0 or not mask.any() or mask.all():
        return mask
    squares = _squared_distance(mask, radius, pixel)
    result: Mask = squares <= (radius / _unit(pixel)) ** 2 * (1 + 1e-6)
    return result


def _unit(pixel: PixelSize) -> float:
    """Metres in which distances are counted: whole pixels where pixels are square, so that squares are whole."""
    return pixel.width if pixel.width == pixel.height else 1.0


def _squared_distance(mask: Mask, reach: float, pixel: PixelSize) -> NDArray[Any]:
    """Squares of the distances in units of `_unit`, exact up to `reach`, at least its square beyond."""
    unit = _unit(pixel)
    far = math.ceil(reach / unit) + 1  # no pixel so far away matters
    whole = unit == pixel.width == pixel.height and far <= _SQUARES_IN_UINT16
    dtype = np.dtype(np.uint16) if whole else np.dtype(np.float32)
    down, across = math.ceil(reach / pixel.height), math.ceil(reach / pixel.width)
    steps = _steps_along_columns(mask, down)
    heights = np.minimum((np.arange(down + 2) * (pixel.height / unit)) ** 2, far**2)
    heights[-1] = far**2  # that many steps stand for "none within reach"
    vertical: NDArray[Any] = heights.astype(dtype)[steps]
    result = vertical.copy()
    moved = np.empty_like(vertical)
    # A pixel that many columns away is nearer by no row, so each column's best row serves all columns around it.
    for columns in range(1, min(across, mask.shape[1] - 1) + 1):
        np.add(vertical, dtype.type((columns * (pixel.width / unit)) ** 2), out=moved)
        np.minimum(result[:, columns:], moved[:, :-columns], out=result[:, columns:])
        np.minimum(result[:, :-columns], moved[:, columns:], out=result[:, :-columns])
    return result


def _steps_along_columns(mask: Mask, most: int) -> NDArray[np.uint16]:
    """Rows to the nearest True pixel of the same column, `most` + 1 where there is none within `most`."""
    steps = np.where(mask, 0, most + 1).astype(np.uint16)
    for row in range(1, len(steps)):
        np.minimum(steps[row], steps[row - 1] + np.uint16(1), out=steps[row])
    for row in range(len(steps) - 2, -1, -1):
        np.minimum(steps[row], steps[row + 1] + np.uint16(1), out=steps[row])
    return steps
