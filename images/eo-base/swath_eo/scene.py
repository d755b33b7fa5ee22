"""Finds two bands of a scene in whatever form it comes: a file of many bands, a directory with a file a band, or two
files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import rasterio
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

from swath_eo.bands import find_index, is_wanted, name_from_file, spellings
from swath_eo.errors import BandAmbiguousError, BandMissingError, UnreadableFileError
from swath_eo.grid import Grid

# Formats are told by content, for extensions lie (`.tif` that are JPEG2000, `.jp2` that are GeoTIFF). Formats that
# name other files or remote addresses inside (VRT; SENTINEL2, which returns zeros for images that are missing) are
# not on the list.
_DRIVERS = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",  # BigTIFF
    b"MM\0+": "GTiff",
    b"\0\0\0\x0cjP  ": "JP2OpenJPEG",
    b"\xffO\xffQ": "JP2OpenJPEG",  # the bare codestream
}
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
}
_SKIPPED_DIRECTORIES = {
    "QI_DATA",
    "AUX_DATA",
    "DATASTRIP",
    "rep_info",
    "HTML",
}  # of SAFE: masks and reports, with band names
_MAX_FILES = 10_000  # a directory with more is no scene
_MAX_DEPTH = 5  # SAFE: GRANULE/L2A_.../IMG_DATA/R10m/file


@dataclass(frozen=True, kw_only=True)
class BandFile:
    """One band and where it is."""

    path: Path
    index: int  # from 1
    grid: Grid
    name: str  # canonical, as far as the scene tells it, else what was asked for
    nodata: float | None  # what the file declares; `describe.with_nodata` fills in what it leaves out
    is_float: bool
    scale: float  # the file's own, 1 where it has none
    offset: float  # the file's own, 0 where it has none
    tags: Mapping[str, str]  # of the file


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The two bands of an index, and the directory that describes them, if there is one."""

    red: BandFile
    nir: BandFile
    directory: Path | None


def open_raster(path: Path) -> rasterio.DatasetReader:
    """Opens GeoTIFF, COG or JPEG2000 by content. Raises UnreadableFileError, also where it is missing, empty or of
    another format."""
    if not path.is_file():
        raise UnreadableFileError(f"{path} is no file" if path.exists() else f"{path} does not exist")
    driver = _driver_for(path)
    try:
        with warnings.catch_warnings():
            # A missing georeference is an error of its own later, with its own exit code.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path.resolve(), driver=driver)
    except RasterioIOError as error:
        raise UnreadableFileError(f"{path} is damaged: {error}") from error
    if dataset.count == 0 or any(dtype.startswith("complex") for dtype in dataset.dtypes):
        dataset.close()
        raise UnreadableFileError(f"{path} holds no bands of real numbers")
    return dataset


def _driver_for(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error}") from error
    for magic, driver in _DRIVERS.items():
        if start.startswith(magic):
            return driver
    raise UnreadableFileError(f"{path} is {'neither GeoTIFF nor JPEG2000' if start else 'empty'}")


def find_scene(source: Path, *, red: str = "red", nir: str = "nir") -> Scene:
    """The red and nir bands of a file of many bands or of a scene directory; `red`, `nir` are band names or (in a
    file) numbers.

    Raises UnreadableFileError, BandMissingError, BandAmbiguousError.
    """
    if not source.is_dir():
        return _scene_in(source, red, nir, directory=None)
    files = list(_raster_files(source))
    named = [path for path in files if name_from_file(path.name)]
    if not named and len(files) == 1:  # a directory around one file of many bands
        return _scene_in(files[0], red, nir, directory=source)
    return Scene(red=_find_file(source, named, red), nir=_find_file(source, named, nir), directory=source)


def _scene_in(path: Path, red: str, nir: str, *, directory: Path | None) -> Scene:
    """Both bands out of one file, which a file of one band cannot give, whatever it is taken for."""
    scene = Scene(red=find_band(path, red), nir=find_band(path, nir), directory=directory)
    if scene.red.index == scene.nir.index:
        raise BandMissingError(
            f"{path.name} has one band for both {red} and {nir}: give a file with both, or RED and NIR"
        )
    return scene


def find_pair(red_file: Path, nir_file: Path, *, red: str = "red", nir: str = "nir") -> Scene:
    """Two files given by hand; a file of one band is that band whatever its name. Raises as `find_scene`."""
    return Scene(red=find_band(red_file, red), nir=find_band(nir_file, nir), directory=None)


def find_band(path: Path, wanted: str) -> BandFile:
    """The wanted band of one file, by description, DESCRIPTION tag or number. Raises as `find_scene`."""
    with open_raster(path) as dataset:
        names = [_names_of(dataset, index) for index in dataset.indexes]
        index = find_index(wanted, names, where=path.name)
        name = next(iter(names[index - 1]), None) or name_from_file(path.name) or wanted
        return BandFile(
            path=path,
            index=index,
            grid=_grid_of(dataset),
            name=name,
            nodata=dataset.nodatavals[index - 1],
            is_float=dataset.dtypes[index - 1].startswith("float"),
            scale=dataset.scales[index - 1],
            offset=dataset.offsets[index - 1],
            tags=dataset.tags(),
        )


def _names_of(dataset: rasterio.DatasetReader, index: int) -> list[str]:
    tags = dataset.tags(index)
    told = (dataset.descriptions[index - 1], tags.get("DESCRIPTION"), tags.get("BANDNAME"), tags.get("BAND_NAME"))
    return list(dict.fromkeys(name.strip() for name in told if name and name.strip()))


def _grid_of(dataset: rasterio.DatasetReader) -> Grid:
    crs: CRS | None = dataset.crs or None
    return Grid(crs=crs, transform=dataset.transform, width=dataset.width, height=dataset.height)


def _find_file(directory: Path, files: list[Path], wanted: str) -> BandFile:
    if wanted.strip().isdecimal():
        raise BandMissingError(
            f"{directory.name} is a directory with a file a band: give the band's name, not {wanted}"
        )
    for spelling in spellings(wanted):
        found = [path for path in files if is_wanted(name_from_file(path.name) or "", spelling)]
        if found:
            return _finest(directory, found, wanted)
    told = (
        ", ".join(sorted({name_from_file(path.name) or "" for path in files})) or "no file that is named after a band"
    )
    raise BandMissingError(f"{directory.name} has no band {wanted} (it has {told})")


def _finest(directory: Path, paths: list[Path], wanted: str) -> BandFile:
    # SAFE holds B04 at 10, 20 and 60 m; but two files of one resolution are two processings, and no guess is right.
    bands = sorted((find_band(path, wanted) for path in paths), key=_pixel_size)
    if len(bands) > 1 and _pixel_size(bands[0]) == _pixel_size(bands[1]):
        told = " and ".join(str(band.path.relative_to(directory)) for band in bands[:2])
        raise BandAmbiguousError(f"{directory.name} has two files for {wanted}: {told}")
    return bands[0]


def _pixel_size(band: BandFile) -> float:
    return abs(float(band.grid.transform.a))


def _raster_files(directory: Path) -> Iterator[Path]:
    """The files that may hold bands, those directly in the directory alone where they are enough to name two bands."""
    direct = [path for path in sorted(directory.iterdir()) if _may_be_raster(path)]
    if len({name_from_file(path.name) for path in direct} - {None}) >= 2:
        return iter(direct)
    return iter(_walk(directory))


def _walk(directory: Path) -> list[Path]:
    found: list[Path] = []
    for root, directories, names in os.walk(directory):  # does not follow links to directories: they can run in circles
        depth = len(Path(root).relative_to(directory).parts)
        directories[:] = sorted(d for d in directories if d not in _SKIPPED_DIRECTORIES and depth < _MAX_DEPTH)
        found += [path for name in sorted(names) if _may_be_raster(path := Path(root, name))]
        if len(found) > _MAX_FILES:
            raise UnreadableFileError(
                f"{directory.name} holds more than {_MAX_FILES} files: that is an archive, no scene"
            )
    return found


def _may_be_raster(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.suffix.lower() not in _NEVER_RASTERS
