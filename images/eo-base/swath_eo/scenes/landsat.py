"""What a Landsat product's metadata (..._MTL.txt) say (pure)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from swath_eo.errors import CalibrationUnknownError, ProductMetadataError
from swath_eo.scenes.bands import is_thermal, is_wanted, name_from_file
from swath_eo.scenes.calibration import KELVIN, Calibration

_LINE = re.compile(r'^\s*(\w+)\s*=\s*"?([^"\n]*?)"?\s*$', re.MULTILINE)
_THERMAL = {"lwir": "6", "lwir11": "10", "lwir12": "11"}  # by canonical name: their numbers
_CALIBRATION = re.compile(r"^REFLECTANCE_MULT_BAND_(\d+)$")


@dataclass(frozen=True, kw_only=True)
class LandsatMetadata:
    """Of a Level-1 product."""

    spacecraft: str  # LANDSAT_8
    acquired: datetime
    sun_zenith: float  # degrees, at the scene's centre
    sun_distance: float  # astronomical units
    calibrations: Mapping[str, Calibration]  # by canonical band name, to reflectance under a sun in the zenith


def parse_mtl(text: str, *, where: str) -> LandsatMetadata:
    """Raises ProductMetadataError, which names `where`; also for a product of Level 2, whose reflectance is the
    surface's already."""
    values = _values_of(text)
    if "LANDSAT_PRODUCT_ID" in values and not re.search(r"_L1\w{2}_", values["LANDSAT_PRODUCT_ID"]):
        raise ProductMetadataError(f"{where} is of {values['LANDSAT_PRODUCT_ID']}, which is no Level-1 product")
    try:
        return LandsatMetadata(
            spacecraft=values["SPACECRAFT_ID"],
            acquired=_time(values["DATE_ACQUIRED"], values["SCENE_CENTER_TIME"]),
            sun_zenith=90 - float(values["SUN_ELEVATION"]),
            sun_distance=float(values["EARTH_SUN_DISTANCE"]),
            calibrations=_calibrations_of(values),
        )
    except KeyError as error:
        raise ProductMetadataError(f"{where} lacks {error.args[0]}") from error
    except ValueError as error:
        raise ProductMetadataError(f"{where} cannot be read: {error}") from error


def calibration_from_mtl(text: str, *, band: str) -> Calibration | None:
    """To the reflectance of a band of Level 1 or 2, under the sun as it stood; of a thermal one to temperature (Level 2) or
    radiance (Level 1). None for a band that has none of these.

    Raises CalibrationUnknownError where the metadata cannot be read.
    """
    values = _values_of(text)
    is_level_2 = "_L2" in values.get("LANDSAT_PRODUCT_ID", "")
    try:
        if is_thermal(band):
            return _thermal(values, band, is_level_2=is_level_2)
        named = _calibrations_of(values)
        found = next((own for name, own in named.items() if is_wanted(name, band)), None)
        if found is None or is_level_2:
            return found
        height = math.sin(math.radians(float(values["SUN_ELEVATION"])))
    except (KeyError, ValueError) as error:
        raise CalibrationUnknownError(f"the Landsat metadata cannot be read ({error}): give OFFSET") from error
    if not (height > 0 and 0 < found.scale < math.inf and math.isfinite(found.offset)):
        raise CalibrationUnknownError("the Landsat metadata tell of no sun, or of no reflectance: give OFFSET")
    return replace(found, scale=found.scale / height, offset=found.offset / height)


def _values_of(text: str) -> dict[str, str]:
    """The first of each name: a Level-2 product's own come before those of the Level-1 product that it is made of."""
    return dict(reversed(_LINE.findall(text)))


def _calibrations_of(values: Mapping[str, str]) -> dict[str, Calibration]:
    """By canonical band name, to reflectance under a sun in the zenith. Raises KeyError and ValueError."""
    platform = values["SPACECRAFT_ID"].removeprefix("LANDSAT_")
    return {
        name: Calibration(
            scale=float(value),
            offset=float(values[f"REFLECTANCE_ADD_BAND_{number[1]}"]),
            reason="Landsat metadata",
        )
        for key, value in values.items()
        if (number := _CALIBRATION.match(key)) and (name := name_from_file(f"LC0{platform}_B{number[1]}.TIF"))
    }


def _thermal(values: Mapping[str, str], band: str, *, is_level_2: bool) -> Calibration | None:
    """Raises KeyError and ValueError."""
    number = _THERMAL[band]
    kind, place = ("TEMPERATURE", f"ST_B{number}") if is_level_2 else ("RADIANCE", number)
    if (scale := values.get(f"{kind}_MULT_BAND_{place}")) is None:
        return None
    return Calibration(
        scale=float(scale),
        offset=float(values[f"{kind}_ADD_BAND_{place}"]),
        unit=KELVIN if is_level_2 else "W/(m2 sr um)",
        reason=f"Landsat metadata: {kind.lower()}",
    )


def _time(date: str, time: str) -> datetime:
    return datetime.fromisoformat(f"{date}T{time.rstrip('Z')[:15]}+00:00")
