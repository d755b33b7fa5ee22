"""What a STAC item says of a band's file (pure)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from swath_eo.scenes.bands import canonical_name, is_wanted

# Catalogues write "sentinel-2a", "Sentinel 2" and "Sentinel-2B".
_SENTINEL_2 = re.compile(r"sentinel[ -]?2", re.IGNORECASE)


def find_asset(item: Mapping[str, Any], file_name: str, band: str) -> Mapping[str, Any] | None:
    """The item's asset for the file `file_name` that holds `band` ("B04"), or None if it lists no such file."""
    assets = item.get("assets") or {}
    for asset in assets.values():
        if PurePosixPath(str(asset.get("href", ""))).name == file_name:
            return dict(asset)
    for key, asset in assets.items():  # the file was renamed on its way here; the item's band still tells
        if is_wanted(canonical_name(key), canonical_name(band)):
            return dict(asset)
    return None


def band_entry(asset: Mapping[str, Any], index: int) -> Mapping[str, Any]:
    """What an asset says of its band number `index` (from 1): `raster:bands` (STAC 1.0) or `bands` (1.1) over the
    asset's own fields."""
    for key in ("raster:bands", "bands"):
        listed = asset.get(key)
        if isinstance(listed, list) and len(listed) >= index and isinstance(listed[index - 1], dict):
            return {**asset, **listed[index - 1]}
    return asset


def is_sentinel_2(item: Mapping[str, Any]) -> bool:
    """By its platform, its constellation, or a property of the Sentinel-2 extension."""
    properties = item.get("properties") or {}
    told = (str(properties.get(name, "")) for name in ("platform", "constellation"))
    return any(map(_SENTINEL_2.match, told)) or any(str(name).startswith("s2:") for name in properties)


def nodata_from_item(
    item: Mapping[str, Any], *, file_name: str, band: str, index: int = 1, is_float: bool = False
) -> float | None:
    """The digital number that means no data in band number `index` of the file `file_name`, which holds `band`.

    What the item says of the band; else 0 for whole numbers of Sentinel-2, whose products keep 0 for it; else None.
    """
    asset = find_asset(item, file_name, band)
    if asset is None:
        return None
    described = band_entry(asset, index)
    value = described.get("nodata", described.get("raster:nodata"))
    if value == "nan":
        return math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return 0.0 if is_sentinel_2(item) and not is_float else None
