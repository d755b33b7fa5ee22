"""Dark object subtraction: what the darkest pixels show is the atmosphere, not the ground (pure).

The methods are those of GRASS `i.landsat.toar`, written for reflectance, so that they hold for Sentinel-2 as well. Source:
Song et al. (2001), Classification and change detection using Landsat TM data, Remote Sensing of Environment 75.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath_eo.errors import ParameterError

METHODS = ("dos1", "dos2", "dos2b", "dos3", "dos4")
NUMBERS = 65536  # digital numbers that are counted
LEAST = 1000  # pixels that make a number more than noise
DARKNESS = 0.01  # reflectance that a dark object has nonetheless
VIEW = 8.2  # zenith in degrees that i.landsat.toar takes for all of an image
_MOLECULAR = 1.0  # um; scattering by molecules ends there

# In um, as i.landsat.toar has them for Landsat 8; Sentinel-2's as in ESA's user guide.
LANDSAT_8 = {
    **{"coastal": (0.433, 0.453), "blue": (0.450, 0.515), "green": (0.525, 0.600), "red": (0.630, 0.680)},
    **{"nir": (0.845, 0.885), "swir16": (1.560, 1.660), "swir22": (2.100, 2.300)},
}
SENTINEL_2 = {
    **{"B01": (0.433, 0.453), "B02": (0.458, 0.523), "B03": (0.543, 0.578), "B04": (0.650, 0.680)},
    **{"B05": (0.698, 0.713), "B06": (0.733, 0.748), "B07": (0.773, 0.793), "B08": (0.785, 0.900)},
    **{"B8A": (0.855, 0.875), "B11": (1.565, 1.655), "B12": (2.100, 2.280)},
}


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a band's correction depends on beside its dark object."""

    sun_zenith: float  # degrees
    sun_distance: float = 1.0  # astronomical units; for dos4
    view_zenith: float = VIEW  # degrees
    wavelengths: tuple[float, float]  # um, from and to
    darkness: float = DARKNESS


@dataclass(frozen=True, kw_only=True)
class Correction:
    """surface reflectance = gain x reflectance at the top of the atmosphere + offset."""

    gain: float
    offset: float


def count_numbers(values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How often each digital number from 0 to 65535 occurs among the valid."""
    known = values[valid]
    counted = known[(known >= 0) & (known < NUMBERS)]
    return np.bincount(counted.astype(np.int64), minlength=NUMBERS)


def find_dark_number(counts: NDArray[np.int64], *, least: int = LEAST, first: int = 1) -> int:
    """The smallest digital number from `first` on that at least `least` pixels have. Raises ParameterError."""
    found = np.flatnonzero(counts[first:] >= least)
    if not found.size:
        raise ParameterError(f"no number is that of {least} pixels: give a smaller DARK_PIXELS")
    return first + int(found[0])


def make_correction(method: str, dark: float, conditions: Conditions) -> Correction:
    """For a band whose dark object has the reflectance `dark` at the top of the atmosphere. Raises ParameterError."""
    if method not in METHODS:
        raise ParameterError(f"METHOD is {method!r}, none of {', '.join(METHODS)}")
    if not 0 <= conditions.sun_zenith < 90:
        raise ParameterError(f"the sun's zenith is {conditions.sun_zenith:g}: it does not shine")
    down, up, sky = _transmittances(method, dark, conditions)
    gain = 1 / (up * (down + sky))
    return Correction(gain=gain, offset=conditions.darkness - gain * dark)


def _transmittances(method: str, dark: float, conditions: Conditions) -> tuple[float, float, float]:
    """From the sun down, up to the sensor, and what the sky adds to the sun's light, as a share of it above the air."""
    sun, view = (math.cos(math.radians(zenith)) for zenith in (conditions.sun_zenith, conditions.view_zenith))
    if method == "dos3":
        depth = _molecular_depth(sum(conditions.wavelengths) / 2)
        return math.exp(-depth / sun), math.exp(-depth / view), 0.0
    if method == "dos4":
        return _by_iteration(dark, sun, view, conditions)
    scatters = conditions.wavelengths[1] < _MOLECULAR
    down = sun if scatters and method in ("dos2", "dos2b") else 1.0
    up = view if scatters and method == "dos2b" else 1.0
    return down, up, 0.0


def _molecular_depth(wavelength: float) -> float:
    w2 = wavelength**-2
    return 0.008569 * w2**2 * (1 + 0.0113 * w2 + 0.000013 * w2**2)


def _by_iteration(dark: float, sun: float, view: float, conditions: Conditions) -> tuple[float, float, float]:
    """The haze makes the transmittances, and they the haze: repeated until nothing changes (a few times)."""
    down = up = 1.0
    haze = 0.0
    for _ in range(1000):
        haze = dark - conditions.darkness * up * (down + haze / conditions.sun_distance**2)
        new_down = 1 - 4 * haze
        if new_down <= 0:
            raise ParameterError(f"the dark object reflects {dark:.3f}: no atmosphere is that bright for dos4")
        new_up = math.exp(sun * math.log(new_down) / view)
        if (down, up) == (new_down, new_up):
            break
        down, up = new_down, new_up
    return min(down, 1.0), min(up, 1.0), max(haze, 0.0) / conditions.sun_distance**2
