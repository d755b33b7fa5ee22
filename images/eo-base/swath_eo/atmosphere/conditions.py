"""What the air over a scene holds, and how high the ground lies: aerosol, elevation, water vapour and ozone, each one number
or a file that has one for each pixel."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from swath_eo.atmosphere.correction import BLOCK
from swath_eo.atmosphere.sixs import Table
from swath_eo.errors import ParameterError
from swath_eo.geometry.grid import Grid
from swath_eo.scenes.quantities import Quantity, open_quantity

Found = Mapping[str, NDArray[np.float32] | float]

_METRES = 1000.0  # in a km
# Below these a file's numbers stand for no data: no land lies so low, and no hole in the ozone is so deep.
_LOWEST = {"aerosol": 0.0, "elevation": -500.0, "water": 0.0, "ozone": 0.05}
SLANT_HAZE = 2.5  # optical depths of aerosol along the sun's way: i.atcorr's own steps come to more than 0.001 above


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a quantity comes from."""

    given: Path | float
    scale: float | None = None  # per number of the file, instead of its own scale and offset


class Conditions:
    """The four over a scene, and of how many pixels what is seen on the way."""

    def __init__(self, sources: Mapping[str, Source], table: Table, grid: Grid, stack: ExitStack) -> None:
        """Raises UnreadableFileError and NotGeoreferencedError. The files are open as long as the `stack` is."""
        self._ends = ends_of(table)
        self._quantities: dict[str, Quantity] = {
            name: stack.enter_context(open_quantity(source.given, grid, scale=source.scale, lowest=_LOWEST[name]))
            for name, source in sources.items()
        }
        self._above = dict.fromkeys(self._quantities, 0)
        self._thin_ozone = 0
        self._known = dict.fromkeys(self._quantities, 0)
        self._hazy = 0

    def read(self, window: Window, sun: NDArray[np.float64], first: tuple[int, int]) -> Found:
        """In a window's pixels, NaN where a file does not know. `sun`: zeniths of the blocks under it, whose first begins
        `first` rows and columns before it."""
        found = {name: quantity.read(window) for name, quantity in self._quantities.items()}
        for name, values in found.items():
            self._above[name] += int(np.count_nonzero(values > self._ends[name][1]))
            self._known[name] += int(np.count_nonzero(np.isfinite(values)))
        self._thin_ozone += int(np.count_nonzero(found["ozone"] < self._ends["ozone"][0]))
        self._hazy += _count_hazy(found["aerosol"], sun, (window.height, window.width), first)
        return found

    def check(self) -> None:
        """When all has been read: raises EmptyOverlapError where a file knew nothing, and ParameterError where it knew too
        much of all, as in another unit."""
        for name, quantity in self._quantities.items():
            quantity.check()
            if name != "elevation" and 2 * self._above[name] > self._known[name]:
                told = f"most of {name.upper()}_MAP is above {self._ends[name][1]:g}"
                raise ParameterError(f"{told}: is {name.upper()}_SCALE right?")

    def warnings(self) -> list[str]:
        """What a user should look at."""
        told = "pixels have {} {} than the tables hold, and were corrected as if theirs were the {} there"
        found = [f"{n} {told.format('more', name, 'most')}" for name, n in self._above.items() if n]
        if self._thin_ozone:
            found.append(f"{self._thin_ozone} {told.format('less', 'ozone', 'least')}")
        if self._hazy:
            found.append(
                f"{self._hazy} pixels lie under more haze than the sun's height allows for: they can be 0.002 off"
            )
        return found


def ends_of(table: Table) -> dict[str, tuple[float, float]]:
    """From where to where the tables hold a quantity, in the unit that it is given in."""
    axes = {
        "aerosol": table.aerosol,
        "elevation": _METRES * table.elevation,
        "water": table.water,
        "ozone": table.ozone,
    }
    return {name: (float(nodes[0]), float(nodes[-1])) for name, nodes in axes.items()}


def check_numbers(sources: Mapping[str, Source], table: Table) -> None:
    """Raises ParameterError for one number beyond the tables; below them land can lie."""
    ends = ends_of(table)
    for name, source in sources.items():
        first, last = _LOWEST[name] if name == "elevation" else ends[name][0], ends[name][1]
        if not isinstance(source.given, Path) and not first <= source.given <= last:
            raise ParameterError(f"{name.upper()} is {source.given:g}, not within {first:g}..{last:g}")


def _count_hazy(
    aerosol: NDArray[np.float32] | float, sun: NDArray[np.float64], shape: tuple[int, int], first: tuple[int, int]
) -> int:
    most = SLANT_HAZE * np.cos(np.radians(sun))
    if not np.any(aerosol > most.min()):
        return 0
    by_pixel = most.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    under = by_pixel[first[0] : first[0] + shape[0], first[1] : first[1] + shape[1]]
    return int(np.count_nonzero(aerosol > under))
