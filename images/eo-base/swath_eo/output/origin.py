"""What a raster says of where its pixels come from (pure)."""

from __future__ import annotations

from collections.abc import Mapping

from swath_eo.scenes.rasters import BandFile

# An unknown place stays unknown, an attribution stays.
_KEPT = ("LOCATION", "TIFFTAG_COPYRIGHT")


def origin_tags(bands: Mapping[str, BandFile], *, software: str) -> dict[str, str]:
    """Tags of a file that `software` ("swath bands 1.0.0") makes of bands, which it calls by the names that are given."""
    first = next(iter(bands.values())).tags
    named = {f"BAND_{name}": f"{band.path.name}:{band.index}" for name, band in bands.items()}
    return {**named, "TIFFTAG_SOFTWARE": software} | {name: first[name] for name in _KEPT if name in first}
