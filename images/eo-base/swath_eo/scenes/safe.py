"""Sentinel-2 products in SAFE, as a directory or a zip: L1C and L2A in the compact naming (baselines 02.04 to 05.xx).

The metadata are the authority and the images are held against them: GDAL's own driver returns zeros, without an error,
for images that are missing, and puts smaller ones into the corner of a canvas of zeros.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from swath_eo.errors import BandMissingError, ProductIncompleteError, ProductMetadataError, UnreadableFileError
from swath_eo.geometry.footprints import make_footprint
from swath_eo.geometry.grid import Grid
from swath_eo.scenes.archives import Files, is_zip, open_files
from swath_eo.scenes.bands import canonical_name, is_wanted, layer_from_file, name_from_file, spellings
from swath_eo.scenes.calibration import BAND_IDS, Calibration
from swath_eo.scenes.describe import describe
from swath_eo.scenes.granule import Angles, Granule, parse_granule
from swath_eo.scenes.rasters import BandFile, find_band

NODATA = 0
SATURATED = 65535
# "MTD_MSIL2A.xml"; some archives spell it "MTD_MSIL2a.xml".
_PRODUCT_XML = re.compile(r"^MTD_MSIL(1C|2A)\.xml$", re.IGNORECASE)
_GRANULE_XML = re.compile(r"^MTD_TL\.xml$", re.IGNORECASE)
_RESOLUTION = re.compile(r"_(\d\d)m$")
_RESOLUTIONS_L1C = {
    **dict.fromkeys(("B02", "B03", "B04", "B08"), 10),
    **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12"), 20),
    **dict.fromkeys(("B01", "B09", "B10"), 60),
}
_LEVELS = {"Level-1C": "L1C", "Level-2A": "L2A", "Level-2Ap": "L2A"}
_PROBABILITIES = re.compile(r"(^|/)QI_DATA/MSK_(CLDPRB|SNWPRB)_(20|60)m\.\w+$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class SafeProduct:
    """A product's metadata, and which images it has (`images[name][resolution in metres]`, "B04", "scl", ...)."""

    files: Files
    name: str  # S2A_MSIL2A_20230815T095031_N0509_R079_T33TWM_20230815T155057
    level: str  # L1C or L2A
    baseline: str  # of the processing, "05.09"
    spacecraft: str  # Sentinel-2A
    orbit: int  # relative, 1..143
    acquired: datetime  # when the granule was sensed; the product's own time is that of the datatake's start
    footprint: Mapping[str, Any]  # GeoJSON, in two parts where it crosses the antimeridian
    granule: Granule
    images: Mapping[str, Mapping[int, str]]  # names of files, which the metadata list
    sun_distance: float | None  # U, the correction of the irradiance for the distance of the sun
    irradiance: Mapping[str, float]  # of the sun by band, W/m2/um
    text: str  # of the product's metadata

    def find(self, wanted: str, resolution: int | None = None) -> BandFile:
        """A band or layer at a resolution, by default the finest.

        Its grid and its nodata value are those of the metadata. Raises BandMissingError, and ProductIncompleteError for
        an image that is not there or has another size than the metadata say.
        """
        for spelling in spellings(wanted):
            for name, found in self.images.items():
                if is_wanted(name, spelling) and (resolution is None or resolution in found):
                    chosen = min(found) if resolution is None else resolution
                    return self._checked(name, found[chosen], self.granule.grids[chosen])
        told = ", ".join(sorted(self.images))
        at = "" if resolution is None else f" at {resolution} m"
        raise BandMissingError(f"{self.name} has no band {wanted}{at} (it has {told})")

    def check(self) -> None:
        """Holds all images against the metadata. Raises ProductIncompleteError with the name of the first that fails."""
        for name, found in self.images.items():
            for resolution, file in found.items():
                self._checked(name, file, self.granule.grids[resolution])

    def names(self) -> tuple[str, ...]:
        """The canonical names of all bands and layers."""
        return tuple(self.images)

    def grid(self, wanted: str) -> Grid:
        """The grid of a band at its finest, by the metadata alone. Raises BandMissingError."""
        for spelling in spellings(wanted):
            for name, found in self.images.items():
                if is_wanted(name, spelling):
                    return self.granule.grids[min(found)]
        raise BandMissingError(f"{self.name} has no band {wanted}")

    def calibration(self, wanted: str) -> Calibration:
        """From digital numbers to reflectance (or to what a layer holds), by the metadata: since baseline 04.00 with an
        offset. Raises CalibrationUnknownError."""
        return describe(None, self.find(wanted), product_xml=self.text)

    def sun_angles(self) -> Angles:
        """Raises ProductMetadataError where the metadata lack them."""
        if self.granule.sun is None:
            raise ProductMetadataError(f"the metadata of {self.name} have no sun angles")
        return self.granule.sun

    def view_angles(self, wanted: str, detector: int | None = None) -> Angles:
        """Of one detector, or of all together. Raises ProductMetadataError where the metadata lack them."""
        name = next((band for band in BAND_IDS if is_wanted(band, canonical_name(wanted))), wanted)
        if detector is None:
            return self.granule.view(name)
        try:
            return self.granule.views[name, detector]
        except KeyError:
            raise ProductMetadataError(
                f"the metadata of {self.name} have no view angles of {name} by detector {detector}"
            ) from None

    def _checked(self, name: str, file: str, grid: Grid) -> BandFile:
        if file not in self.files.names:
            raise ProductIncompleteError(f"{file} is missing, which the metadata of {self.name} list")
        band = find_band(self.files.path(file), "1")
        if (band.grid.width, band.grid.height) != (grid.width, grid.height):
            raise ProductIncompleteError(
                f"{file} has {band.grid.width} x {band.grid.height} pixels, where the metadata of {self.name} say "
                f"{grid.width} x {grid.height}"
            )
        if band.grid.crs is not None and not _lies_on(band.grid, grid):
            raise ProductMetadataError(f"{file} lies elsewhere than the metadata of {self.name} say")
        return replace(band, name=name, grid=grid, nodata=NODATA if band.nodata is None else band.nodata)


def _lies_on(grid: Grid, expected: Grid) -> bool:
    off = (a - b for a, b in zip(grid.transform, expected.transform, strict=True))
    return grid.crs == expected.crs and all(math.isclose(difference, 0, abs_tol=0.1) for difference in off)


def is_safe(path: Path) -> bool:
    """Whether a path is a zip, or a directory with a product's metadata beside its granules. Raises UnreadableFileError."""
    if not path.is_dir():
        return is_zip(path)
    try:
        return any(
            _PRODUCT_XML.match(file.name) and (file.parent / "GRANULE").is_dir()
            for folder in (path, *_only_child(path))
            for file in folder.iterdir()
        )
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error}") from error


def _only_child(path: Path) -> Iterable[Path]:
    """An archive's directory around the product's."""
    children = list(path.iterdir())
    return children if len(children) == 1 and children[0].is_dir() else ()


def open_safe(path: Path) -> SafeProduct:
    """Reads a product's metadata; images are held against them as they are asked for, all of them by `check`.

    Raises UnreadableFileError, ArchiveRefusedError, and ProductMetadataError for metadata that are missing, damaged, or of
    two products.
    """
    files = open_files(path)
    product_xml = _the_one(files, _PRODUCT_XML, "a product's metadata (MTD_MSIL1C.xml or MTD_MSIL2A.xml)")
    folder = PurePosixPath(product_xml).parent
    text = files.read_text(product_xml)
    root = _parse(text, product_xml)
    granule_xml = _the_one(files, _GRANULE_XML, "a granule's metadata (MTD_TL.xml)")
    granule = parse_granule(files.read_text(granule_xml), where=granule_xml)
    try:
        uri = _text(root, "PRODUCT_URI", str(folder if folder.name else path.name))
        return SafeProduct(
            files=files,
            name=PurePosixPath(uri).name.removesuffix(".SAFE").removesuffix(".zip"),
            level=_LEVELS[_text(root, "PROCESSING_LEVEL")],
            baseline=_text(root, "PROCESSING_BASELINE"),
            spacecraft=_text(root, "SPACECRAFT_NAME"),
            orbit=int(_text(root, "SENSING_ORBIT_NUMBER")),
            acquired=granule.acquired,
            footprint=make_footprint(_text(root, "EXT_POS_LIST")),
            granule=granule,
            images=_find_images(files, folder, root, granule),
            sun_distance=float(distance) if (distance := _text(root, "U", "")) else None,
            irradiance={
                BAND_IDS[int(entry.attrib["bandId"])]: float(entry.text or "")
                for entry in root.iter("SOLAR_IRRADIANCE")
            },
            text=text,
        )
    except (ValueError, KeyError, IndexError) as error:
        raise ProductMetadataError(f"{product_xml} cannot be read: {error}") from error


def _the_one(files: Files, pattern: re.Pattern[str], what: str) -> str:
    found = [name for name in files.names if pattern.match(PurePosixPath(name).name)]
    if not found:
        raise ProductMetadataError(f"{files.where.name} has no file with {what}")
    if len(found) > 1:
        raise ProductMetadataError(f"{files.where.name} has {what} twice: {found[0]} and {found[1]}")
    return found[0]


def _parse(text: str, where: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - expat resolves no external entity
    except ElementTree.ParseError as error:
        raise ProductMetadataError(f"{where} is no XML: {error}") from error


def _text(root: ElementTree.Element, tag: str, otherwise: str | None = None) -> str:
    found = next(
        (element.text.strip() for element in root.iter(tag) if element.text and element.text.strip()), otherwise
    )
    if found is None:
        raise ValueError(f"it has no {tag}")
    return found


def _find_images(
    files: Files, folder: PurePosixPath, root: ElementTree.Element, granule: Granule
) -> dict[str, dict[int, str]]:
    by_stem = {PurePosixPath(name).stem: name for name in files.names if "/IMG_DATA/" in f"/{name}"}
    found: dict[str, dict[int, str]] = {}
    for element in root.iter("IMAGE_FILE"):
        listed = PurePosixPath((element.text or "").strip())
        name = name_from_file(f"{_RESOLUTION.sub('', listed.name)}.jp2") or layer_from_file(f"{listed.name}.jp2")
        if name is None:  # pictures in colour
            continue
        resolution = _resolution_of(listed.name, name)
        if resolution not in granule.grids:
            raise ValueError(f"{listed.name} is of {resolution} m, of which the granule has no grid")
        found.setdefault(name, {})[resolution] = by_stem.get(listed.name, f"{folder / listed}.jp2")
    for file in files.names:
        if match := _PROBABILITIES.search(file):
            found.setdefault(match[2].lower(), {})[int(match[3])] = file
    if not found:
        raise ValueError("it lists no image")
    return found


def _resolution_of(stem: str, name: str) -> int:
    match = _RESOLUTION.search(stem)
    return int(match[1]) if match else _RESOLUTIONS_L1C[name]
