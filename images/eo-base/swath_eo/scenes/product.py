"""One way to a scene in whatever form it comes: a file of many bands, a directory with a file a band, or a SAFE product
(a directory or a zip)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol

from swath_eo.errors import BandAmbiguousError, BandMissingError, UnreadableFileError
from swath_eo.scenes.bands import canonical_name, is_wanted, layer_from_file, name_from_file, spellings
from swath_eo.scenes.calibration import Calibration
from swath_eo.scenes.describe import choose_calibration, find_acquired, with_nodata
from swath_eo.scenes.rasters import BandFile, find_band, list_bands
from swath_eo.scenes.safe import SafeProduct, is_safe, open_safe

_NEVER_RASTERS = {
    ".xml",
    ".json",
    ".geojson",
    ".txt",
    ".html",
    ".md",
    ".ovr",
    ".aux",
    ".msk",
    ".csv",
    ".zip",
    ".safe",
    ".png",
    ".gml",
}
_SKIPPED_DIRECTORIES = {"AUX_DATA", "DATASTRIP", "rep_info", "HTML"}  # of SAFE: reports
_BAND_DIRECTORIES = ("GRANULE", "IMG_DATA", "R10m")  # of SAFE, or of a part of it: what lies in them is one scene's
_MAX_FILES = 10_000  # a directory with more is no scene
_MAX_DEPTH = 5  # SAFE: GRANULE/L2A_.../IMG_DATA/R10m/file


class _Bands(Protocol):
    """Where a product's bands are."""

    def find(self, wanted: str) -> BandFile:
        """Raises BandMissingError and BandAmbiguousError."""

    def names(self) -> tuple[str, ...]:
        """The canonical names of all bands and layers, in the files' order."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """A scene: its bands by canonical name ("B04", "red", "scl", ...), and what describes them."""

    name: str
    path: Path
    directory: Path | None  # in which the description lies; beside a lone file may lie anything
    acquired: datetime | None
    source: _Bands
    safe: SafeProduct | None = None  # the same as `source` where it is one, with angles, footprint and grids

    def find(self, wanted: str) -> BandFile:
        """The band of a name ("red", "B04", "SCL") or, in a file of many, of a number ("4"); in several resolutions,
        the finest.

        A file of one band is whatever is wanted of it; `has` is strict. Raises UnreadableFileError, BandMissingError
        and BandAmbiguousError.
        """
        return with_nodata(self.directory, self.source.find(wanted))

    def has(self, wanted: str) -> bool:
        """Whether a band or layer says of itself that it is the wanted one."""
        return any(is_wanted(name, spelling) for spelling in spellings(wanted) for name in self.source.names())

    @cached_property
    def bands(self) -> Mapping[str, BandFile]:
        """All bands and layers, by canonical name."""
        return {name: self.find(name) for name in self.source.names()}

    def calibration(self, band: BandFile, *, offset: str = "auto", scale: float | None = None) -> Calibration:
        """As `describe.choose_calibration`."""
        text = self.safe.text if self.safe else None
        return choose_calibration(self.directory, band, offset=offset, scale=scale, product_xml=text)


def is_scene(directory: Path) -> bool:
    """Whether a directory is itself a scene, and not one that scenes lie in: by SAFE's directories, or by files that are named
    after two bands or more, of which none holds several (places are called red and green too).

    Raises UnreadableFileError.
    """
    if is_safe(directory):
        return True
    if any((directory / name).is_dir() and not (directory / name).is_symlink() for name in _BAND_DIRECTORIES):
        return True
    files = [path for path in directory.iterdir() if _may_be_raster(path)]
    named = {path: name for path in files if (name := layer_from_file(path.name) or name_from_file(path.name))}
    return len({*named.values()}) > 1 and not any(map(_holds_many, named))


def _holds_many(path: Path) -> bool:
    try:
        return len(list_bands(path)) > 1
    except UnreadableFileError:  # whose name tells what it should have been
        return False


def open_product(path: Path) -> Product:
    """A GeoTIFF, COG or JPEG2000 of many bands, a directory with a file a band (a Landsat product, or with a STAC item), or
    a SAFE product as a directory or zip, all of whose images are there.

    Raises UnreadableFileError, and what `safe.open_safe` and `SafeProduct.check` raise.
    """
    if path.exists() and is_safe(path):
        return _of_safe(path)
    if not path.is_dir():
        return _of_file(path, directory=None)
    files = _find_files(path)
    if not files:
        rasters = [file for file in _walk(path) if layer_from_file(file.name) is None]
        if len(rasters) == 1:  # a directory around one file of many bands
            return _of_file(rasters[0], directory=path)
    acquired = _to_time(find_acquired(path, path.name))
    return Product(name=path.name, path=path, directory=path, acquired=acquired, source=_Files(path, files))


def _of_safe(path: Path) -> Product:
    safe = open_safe(path)
    safe.check()
    directory = path if path.is_dir() else None
    return Product(name=safe.name, path=path, directory=directory, acquired=safe.acquired, source=safe, safe=safe)


def _of_file(path: Path, *, directory: Path | None) -> Product:
    where = directory or path
    return Product(
        name=directory.name if directory else path.stem,
        path=where,
        directory=directory,
        acquired=_to_time(find_acquired(directory, where.name)),
        source=_Stack(path),
    )


def _to_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


class _Stack:
    """One file of many bands."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bands = list_bands(path)

    def find(self, wanted: str) -> BandFile:
        return find_band(self._path, wanted)

    def names(self) -> tuple[str, ...]:
        told = [band.name for band in self._bands]
        return tuple(name if told.count(name) == 1 else str(index) for index, name in enumerate(told, 1))


class _Files:
    """A directory with a file a band, some in several resolutions."""

    def __init__(self, directory: Path, files: Mapping[str, list[Path]]) -> None:
        self._directory = directory
        self._files = files

    def names(self) -> tuple[str, ...]:
        return tuple(self._files)

    def find(self, wanted: str) -> BandFile:
        if wanted.strip().isdecimal():
            raise BandMissingError(
                f"{self._directory.name} is a directory with a file a band: give the band's name, not {wanted}"
            )
        for spelling in spellings(wanted):
            found = [path for name, paths in self._files.items() if is_wanted(name, spelling) for path in paths]
            if found:
                return self._finest(found, wanted)
        told = ", ".join(sorted(self._files)) or "no file that is named after a band"
        raise BandMissingError(f"{self._directory.name} has no band {wanted} (it has {told})")

    def _finest(self, paths: list[Path], wanted: str) -> BandFile:
        # SAFE holds B04 at 10, 20 and 60 m; but two files of one resolution are two processings, and no guess is right.
        bands = sorted((find_band(path, wanted) for path in paths), key=_pixel_size)
        if len(bands) > 1 and _pixel_size(bands[0]) == _pixel_size(bands[1]):
            told = " and ".join(str(band.path.relative_to(self._directory)) for band in bands[:2])
            raise BandAmbiguousError(f"{self._directory.name} has two files for {canonical_name(wanted)}: {told}")
        return bands[0]


def _pixel_size(band: BandFile) -> float:
    return abs(float(band.grid.transform.a))


def _find_files(directory: Path) -> dict[str, list[Path]]:
    """The files of each band and layer; where those directly in the directory name two bands, these are the bands."""
    files = list(_walk(directory))
    direct = [path for path in files if path.parent == directory]
    if len({name_from_file(path.name) for path in direct} - {None}) < 2:
        direct = files
    layers = _by_name(files, layer_from_file)
    # Of a layer the files that are least deep: a product keeps copies among its quality reports.
    shallow = {name: min(len(path.parts) for path in paths) for name, paths in layers.items()}
    return _by_name(direct, name_from_file) | {
        name: [path for path in paths if len(path.parts) == shallow[name]] for name, paths in layers.items()
    }


def _by_name(paths: Iterable[Path], name_of: Callable[[str], str | None]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in paths:
        if name := name_of(path.name):
            found.setdefault(name, []).append(path)
    return found


def _may_be_raster(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.suffix.lower() not in _NEVER_RASTERS


def _walk(directory: Path) -> Iterator[Path]:
    """The files that may hold bands."""
    count = 0
    for root, directories, names in os.walk(directory):  # does not follow links to directories: they can run in circles
        depth = len(Path(root).relative_to(directory).parts)
        directories[:] = sorted(d for d in directories if d not in _SKIPPED_DIRECTORIES and depth < _MAX_DEPTH)
        for path in (Path(root, name) for name in sorted(names)):
            if _may_be_raster(path):
                count += 1
                yield path
        if count > _MAX_FILES:
            raise UnreadableFileError(
                f"{directory.name} holds more than {_MAX_FILES} files: that is an archive, no scene"
            )
