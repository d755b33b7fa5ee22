"""A quantity over a scene, such as elevation: one number, or a file that has one for each pixel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from swath_eo.errors import EmptyOverlapError
from swath_eo.geometry.grid import Grid
from swath_eo.scenes.rasters import find_band
from swath_eo.scenes.stacks import BandsReader, open_bands


class Quantity:
    """One number everywhere."""

    def __init__(self, number: float) -> None:
        self._number = number

    def read(self, window: Window) -> NDArray[np.float32] | float:
        """In a window's pixels (rows, columns), NaN where it is not known; or the number."""
        return self._number

    def check(self) -> None:
        """When all has been read: raises EmptyOverlapError where it was known nowhere."""


class _Mapped(Quantity):
    """What a file says, brought onto the scene's grid (bilinear)."""

    def __init__(self, reader: BandsReader, name: str, scale: float, offset: float, lowest: float) -> None:
        super().__init__(np.nan)
        self._reader = reader
        self._name = name
        self._scale, self._offset, self._lowest = (np.float32(number) for number in (scale, offset, lowest))
        self._is_known = False

    def read(self, window: Window) -> NDArray[np.float32]:
        (values,), (valid,) = self._reader.read(window)
        found: NDArray[np.float32] = values.astype(np.float32)
        found *= self._scale
        found += self._offset
        valid &= found >= self._lowest
        self._is_known |= bool(valid.any())
        found[~valid] = np.nan
        return found

    def check(self) -> None:
        if not self._is_known:
            raise EmptyOverlapError(f"{self._name} has no number for any of the scene's ground")


@contextmanager
def open_quantity(
    source: Path | float, grid: Grid, *, scale: float | None = None, lowest: float = -math.inf
) -> Iterator[Quantity]:
    """Of a number, or of a file's first band; `scale` instead of the file's own scale and offset. What a file has below
    `lowest` stands for no data that it does not declare.

    Raises UnreadableFileError and NotGeoreferencedError.
    """
    if not isinstance(source, Path):
        yield Quantity(source)
        return
    band = find_band(source, "1")
    with open_bands([band], grid) as reader:
        factor, offset = (band.scale, band.offset) if scale is None else (scale, 0.0)
        yield _Mapped(reader, source.name, factor, offset, lowest)
