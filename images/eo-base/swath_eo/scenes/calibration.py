"""From digital numbers to reflectance, or to temperature: which scale and offset hold for a band (pure).

Since processing baseline 04.00 Sentinel-2's reflectance is (DN - 1000) / 10000. Some archives have taken the 1000 off
already (`earthsearch:boa_offset_applied`), though their STAC items still carry the offset -0.1: applied twice,
reflectance turns negative.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swath_eo.errors import CalibrationUnknownError
from swath_eo.scenes.bands import canonical_name, is_thermal, is_wanted
from swath_eo.scenes.items import band_entry, find_asset

_S2_SCALE = 1e-4
_S2_OFFSET = -0.1
_OFFSET_SINCE = (4, 0)  # the processing baseline from which Sentinel-2 products carry the offset
_APPLIED_FLAGS = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_LANDSAT_NAME = re.compile(r"^L[COTEM]0[4-9]_L([12])[A-Z]{2}_\d{6}_\d{8}_\d{8}_02_")
# The order of band_id in the product's metadata.
BAND_IDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")


KELVIN = "K"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """reflectance (of a thermal band: temperature) = digital number x scale + offset."""

    scale: float = 1.0  # reflectance per digital number, above 0
    offset: float = 0.0  # reflectance
    unit: str = "1"  # of the result: "1" for reflectance, KELVIN for temperature
    reason: str = "given"  # where the two come from, for the log


_LANDSAT_LEVEL_2 = Calibration(scale=2.75e-5, offset=-0.2, reason="name: Landsat Collection 2 Level 2")

_LANDSAT_TEMPERATURE = Calibration(
    scale=0.00341802, offset=149.0, unit=KELVIN, reason="name: Landsat Collection 2 Level 2, surface temperature"
)


def from_item(item: Mapping[str, Any], *, file_name: str, band: str, index: int = 1) -> Calibration | None:
    """What a STAC item says of band number `index` of the file `file_name` that holds `band` ("B04"), or None if it
    lists no such file.

    Reads `raster:bands` (STAC 1.0) and `bands` (1.1), and trusts `earthsearch:boa_offset_applied` over both.
    Raises CalibrationUnknownError where scale or offset are no numbers.
    """
    asset = find_asset(item, file_name, band)
    if asset is None:
        return None
    properties = item.get("properties") or {}
    described = band_entry(asset, index)
    scale = _number(described.get("scale", described.get("raster:scale")), "scale", file_name)
    offset = _number(described.get("offset", described.get("raster:offset")), "offset", file_name)
    if is_thermal(canonical_name(band)):
        return _thermal(scale, offset, described.get("unit"))
    if any(properties.get(flag) is True for flag in _APPLIED_FLAGS):
        reason = "STAC item: boa_offset_applied, so no offset is left"
        return Calibration(scale=scale or _S2_SCALE, offset=0.0, reason=reason)
    if offset is not None:
        return Calibration(scale=scale or _S2_SCALE, offset=offset, reason="STAC item: raster:bands")
    baseline = properties.get("s2:processing_baseline")
    if baseline is not None:
        return from_baseline(str(baseline), reason="STAC item")
    return Calibration(scale=scale or _S2_SCALE, offset=0.0, reason="STAC item: names no offset")


def _thermal(scale: float | None, offset: float | None, unit: object) -> Calibration | None:
    if scale is None:
        return None
    return Calibration(scale=scale, offset=offset or 0.0, unit=to_unit(unit), reason="STAC item: raster:bands")


def to_unit(told: object) -> str:
    """Of a thermal band; "1" where it is not told."""
    return KELVIN if str(told).lower() in ("k", "kelvin") else "1"


def _number(value: object, what: str, file_name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CalibrationUnknownError(
            f"the STAC item gives {file_name} the {what} {value!r}, which is no number: give OFFSET"
        )
    return float(value)


def from_product_xml(text: str, *, band: str) -> Calibration | None:
    """What a SAFE product's `MTD_MSIL1C.xml` or `MTD_MSIL2A.xml` says of `band` ("B04"), or None if it names no
    quantification.

    Raises CalibrationUnknownError where it is no XML or its numbers are none.
    """
    try:
        # expat resolves no external entity and bounds the growth of internal ones
        root = ElementTree.fromstring(text)  # noqa: S314
        values = [e for e in root.iter() if e.text and e.tag in ("BOA_QUANTIFICATION_VALUE", "QUANTIFICATION_VALUE")]
        if not values:
            return None
        quantification = float(values[0].text or "")
        if not 0 < quantification < math.inf:
            raise ValueError(f"the quantification is {quantification:g}")
        offsets = {
            BAND_IDS[int(e.attrib["band_id"])]: float(e.text or "")
            for e in root.iter()
            if e.tag in ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
        }
    except (ElementTree.ParseError, ValueError, KeyError, IndexError) as error:
        raise CalibrationUnknownError(f"the product's metadata cannot be read ({error}): give OFFSET") from error
    offset = next((value for name, value in offsets.items() if is_wanted(name, canonical_name(band))), 0.0)
    return Calibration(scale=1 / quantification, offset=offset / quantification, reason="product metadata")


def from_baseline(baseline: str, *, reason: str) -> Calibration:
    """Sentinel-2's calibration by processing baseline ("05.09" or "0509")."""
    digits = re.fullmatch(r"(\d\d)\.?(\d\d)", baseline.strip())
    if digits is None:
        raise CalibrationUnknownError(f"the processing baseline {baseline!r} is no baseline: give OFFSET")
    has_offset = (int(digits[1]), int(digits[2])) >= _OFFSET_SINCE
    told = f"{reason}: processing baseline {digits[1]}.{digits[2]}"
    return Calibration(scale=_S2_SCALE, offset=_S2_OFFSET if has_offset else 0.0, reason=told)


def layer_calibration(text: str | None, *, layer: str, scale: float = 1.0, offset: float = 0.0) -> Calibration:
    """Of a layer: aerosol and water vapour by the product's metadata `text`, the others as they are."""
    tag = f"{layer.upper()}_QUANTIFICATION_VALUE"
    found = re.search(rf"<{tag}[^>]*>\s*([0-9.]+)\s*</{tag}>", text or "")
    if found and float(found[1]) > 0:
        return Calibration(scale=1 / float(found[1]), reason="product metadata")
    return Calibration(scale=scale, offset=offset, reason="a layer's own numbers")


def from_product_name(name: str, *, band: str = "") -> Calibration | None:
    """Of a band ("red"), by the baseline in a product's name (`S2A_MSIL2A_20230815T095031_N0509_...`), or by Landsat's
    level (Collection 2, `LC08_L2SP_...`), or None for another name."""
    if found := re.search(r"^S2[A-D]_MSIL[12][AC]_\d{8}T\d{6}_N(\d{4})_", name):
        return from_baseline(found[1], reason="product name")
    found = _LANDSAT_NAME.search(name)
    if not (found and found[1] == "2"):
        return None
    return _LANDSAT_TEMPERATURE if is_thermal(band) else _LANDSAT_LEVEL_2


def is_landsat_name(name: str) -> bool:
    """Whether a product or one of its files is called so by the Geological Survey."""
    return _LANDSAT_NAME.search(name) is not None


def from_landsat_name(file_name: str) -> Calibration | None:
    """By level and kind in the name of a band's file, whatever its directory is called; None for another name.

    Raises CalibrationUnknownError for Level 1, whose metadata alone tell.
    """
    found = _LANDSAT_NAME.search(file_name)
    if found and found[1] == "1":
        raise CalibrationUnknownError(
            f"{file_name} is of Landsat's Level 1, and no ..._MTL.txt tells of it: give OFFSET and SCALE"
        )
    if found and "_ST_B" in file_name:
        return _LANDSAT_TEMPERATURE
    return _LANDSAT_LEVEL_2 if found and "_SR_B" in file_name else None


def default_calibration(*, is_float: bool, scale: float = 1.0, offset: float = 0.0) -> Calibration:
    """For a file that nothing describes: its own scale and offset if it has them, else none and DN / 10000."""
    if scale != 1.0 or offset != 0.0:
        return Calibration(scale=scale, offset=offset, reason="the file's own scale and offset")
    return Calibration(
        scale=1.0 if is_float else _S2_SCALE, offset=0.0, reason="nothing names an offset, so none is applied"
    )
