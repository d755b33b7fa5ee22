"""What a Landsat product's metadata (..._MTL.txt) say (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from swath_eo.bands import name_from_file
from swath_eo.calibration import Calibration
from swath_eo.errors import ProductMetadataError

_LINE = re.compile(r'^\s*(\w+)\s*=\s*"?([^"\n]*?)"?\s*$', re.MULTILINE)
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
    values = dict(_LINE.findall(text))
    if "LANDSAT_PRODUCT_ID" in values and not re.search(r"_L1\w{2}_", values["LANDSAT_PRODUCT_ID"]):
        raise ProductMetadataError(f"{where} is of {values['LANDSAT_PRODUCT_ID']}, which is no Level-1 product")
    try:
        calibrations = {
            name: Calibration(
                scale=float(value),
                offset=float(values[f"REFLECTANCE_ADD_BAND_{number[1]}"]),
                reason="Landsat metadata",
            )
            for key, value in values.items()
            if (number := _CALIBRATION.match(key)) and (name := name_from_file(f"LC08_B{number[1]}.TIF"))
        }
        return LandsatMetadata(
            spacecraft=values["SPACECRAFT_ID"],
            acquired=_time(values["DATE_ACQUIRED"], values["SCENE_CENTER_TIME"]),
            sun_zenith=90 - float(values["SUN_ELEVATION"]),
            sun_distance=float(values["EARTH_SUN_DISTANCE"]),
            calibrations=calibrations,
        )
    except KeyError as error:
        raise ProductMetadataError(f"{where} lacks {error.args[0]}") from error
    except ValueError as error:
        raise ProductMetadataError(f"{where} cannot be read: {error}") from error


def _time(date: str, time: str) -> datetime:
    return datetime.fromisoformat(f"{date}T{time.rstrip('Z')[:15]}+00:00")
