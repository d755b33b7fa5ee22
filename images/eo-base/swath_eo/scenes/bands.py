"""Which band is meant: the many spellings of band names in descriptions, tags and file names (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from swath_eo.errors import BandAmbiguousError, BandMissingError

# "B4", "b04", "Band 4", "B8A"; also with what GDAL and archives put behind it ("B04, central wavelength 665 nm").
_NUMBERED = re.compile(r"^b(?:and)?[ _-]?0*(\d{1,2})(a)?$", re.IGNORECASE)
_LANDSAT = re.compile(r"^L[COTEM]0?([4-9])", re.IGNORECASE)
_SEPARATORS = re.compile(r"[_\-. ]+")

_COMMON_NAMES = {
    "red": "red",
    "nir": "nir",
    "nir1": "nir",
    "near infrared": "nir",
    "near-infrared": "nir",
    "nir08": "nir08",
    "nir narrow": "nir08",
    "narrow nir": "nir08",
    "blue": "blue",
    "green": "green",
    "coastal": "coastal",
    "rededge1": "rededge1",
    "rededge2": "rededge2",
    "rededge3": "rededge3",
    "nir09": "nir09",
    "cirrus": "cirrus",
    "swir16": "swir16",
    "swir22": "swir22",
    "lwir": "lwir",
    "lwir11": "lwir11",
    "lwir12": "lwir12",
    "st_b6": "lwir",
    "st_b10": "lwir11",
}
_SENTINEL2 = {
    "B01": "coastal",
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "rededge1",
    "B06": "rededge2",
    "B07": "rededge3",
    "B08": "nir",
    "B8A": "nir08",
    "B09": "nir09",
    "B10": "cirrus",
    "B11": "swir16",
    "B12": "swir22",
}
# Landsat's file names give a band's number, whose meaning changed with Landsat 8 (B8 is panchromatic there, not near
# infrared).
_LANDSAT_OLI = {
    "B01": "coastal",
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "nir",
    "B06": "swir16",
    "B07": "swir22",
    "B09": "cirrus",
    "B10": "lwir11",
    "B11": "lwir12",
}
_LANDSAT_TM = {
    "B01": "blue",
    "B02": "green",
    "B03": "red",
    "B04": "nir",
    "B05": "swir16",
    "B06": "lwir",
    "B07": "swir22",
}
_THERMAL = ("lwir", "lwir11", "lwir12")

# What lies beside a scene's bands and tells of its pixels, by the end of the file's name.
_CLASSES = ("scl", "qa_pixel", "qa_radsat")
_LAYERS = (*_CLASSES, "aot", "wvp", "cldprb", "snwprb")
_RESOLUTION = re.compile(r"_\d+m$")

# Where the first is not there the next will do: B8A sees the same vegetation as B08, at 20 m.
_FALLBACKS = {"nir": ("nir", "nir08")}


def canonical_name(text: str) -> str:
    """The one spelling of a band's name: "B04", "B8A", "red", "nir", ...; what is not known comes back in lower
    case."""
    text = text.strip()
    for candidate in (text, re.split(r"[,(]", text)[0].strip()):
        numbered = _NUMBERED.match(candidate)
        if numbered:
            return "B8A" if numbered[2] else f"B{int(numbered[1]):02d}"
        if candidate.lower() in _COMMON_NAMES:
            return _COMMON_NAMES[candidate.lower()]
    return text.lower()


def name_from_file(file_name: str) -> str | None:
    """The band that a file's name tells, as a canonical name, or None.

    Reads from the right, for archives put tile and date first: `S2A_T33TWM_20230815_B04_10m.jp2`, `B04.tif`,
    `scene-red.tif`, `LC08_..._SR_B5.TIF`. Masks (`MSK_DETFOO_B04.jp2`) tell of a band without being it.
    """
    stem = file_name.rpartition(".")[0] or file_name
    tokens = _SEPARATORS.split(stem)
    if tokens[0].upper() == "MSK":
        return None
    for token in reversed(tokens):
        name = canonical_name(token)
        if _NUMBERED.match(token):
            return _landsat_name(stem, name) or name
        if name in _COMMON_NAMES.values():
            return name
    return None


def layer_from_file(file_name: str) -> str | None:
    """The layer beside the bands that a file's name tells ("scl", "cldprb", "aot", "qa_pixel", ...), or None."""
    stem = _RESOLUTION.sub("", (file_name.rpartition(".")[0] or file_name).lower())
    return next((name for name in _LAYERS if stem == name or stem.endswith(f"_{name}")), None)


def is_layer(name: str) -> bool:
    """Whether a band of this canonical name holds something beside reflectance: classes, probabilities, ..."""
    return name in _LAYERS


def is_thermal(name: str) -> bool:
    """Whether a band of this canonical name sees what the ground gives off by its warmth, and no reflectance."""
    return name in _THERMAL


def is_classes(name: str) -> bool:
    """Whether a band of this canonical name holds classes or bits, between which there is nothing to interpolate."""
    return name in _CLASSES


def _landsat_name(stem: str, name: str) -> str | None:
    landsat = _LANDSAT.match(stem)
    if landsat is None:
        return None
    table = _LANDSAT_OLI if int(landsat[1]) >= 8 else _LANDSAT_TM
    return table.get(name, f"landsat {name.lower()}")


def is_wanted(name: str, wanted: str) -> bool:
    """Whether two canonical names mean the same band: "B04" is "red" (Sentinel-2's numbers; Landsat's are translated
    before)."""
    return _SENTINEL2.get(name, name) == _SENTINEL2.get(wanted, wanted)


def spellings(wanted: str) -> tuple[str, ...]:
    """The canonical names to look for, best first: the near infrared may be B8A where there is no B08."""
    canonical = canonical_name(wanted)
    return _FALLBACKS.get(canonical, (canonical,))


def find_index(wanted: str, names: Sequence[Iterable[str]], *, where: str) -> int:
    """The number (from 1) of the wanted band in a file whose band i+1 has the given `names[i]`.

    `wanted` is a name ("red", "B04") or a number ("4"). A file of one band needs no names: it is that band.
    Raises BandMissingError and BandAmbiguousError, which tell the names that there are.
    """
    if wanted.strip().isdecimal():
        index = int(wanted)
        if not 1 <= index <= len(names):
            raise BandMissingError(f"{where} has bands 1 to {len(names)}, no band {index}")
        return index
    for spelling in spellings(wanted):
        found = [i for i, own in enumerate(names, 1) if any(is_wanted(canonical_name(n), spelling) for n in own)]
        if len(found) == 1:
            return found[0]
        if found:
            raise BandAmbiguousError(f"{where} has several bands named {wanted} ({found}): give the band's number")
    if len(names) == 1:
        return 1
    told = ", ".join(f"{i}: {'/'.join(own) or 'unnamed'}" for i, own in enumerate(map(list, names), 1))
    raise BandMissingError(f"{where} has no band {wanted} (it has {told}): give the band's name or number")
