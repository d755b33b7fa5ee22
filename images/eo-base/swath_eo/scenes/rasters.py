"""Opens rasters by what they hold and not by what they are called, and tells which bands are in them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import rasterio
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

from swath_eo.errors import UnreadableFileError
from swath_eo.geometry.grid import Grid
from swath_eo.scenes.archives import is_in_zip, read_start
from swath_eo.scenes.bands import canonical_name, find_index, layer_from_file, name_from_file

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
    unit: str | None  # what the file declares
    tags: Mapping[str, str]  # of the file


def open_raster(path: Path) -> rasterio.DatasetReader:
    """Opens GeoTIFF, COG or JPEG2000 by content. Raises UnreadableFileError, also where it is missing, empty or of
    another format."""
    if not is_in_zip(path) and not path.is_file():
        raise UnreadableFileError(f"{path} is no file" if path.exists() else f"{path} does not exist")
    driver = _driver_for(path)
    try:
        with warnings.catch_warnings():
            # A missing georeference is an error of its own later, with its own exit code.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path if is_in_zip(path) else path.resolve(), driver=driver)
    except RasterioIOError as error:
        raise UnreadableFileError(f"{path} is damaged: {error}") from error
    if dataset.count == 0 or any(dtype.startswith("complex") for dtype in dataset.dtypes):
        dataset.close()
        raise UnreadableFileError(f"{path} holds no bands of real numbers")
    return dataset


def is_raster(path: Path) -> bool:
    """Whether a file begins as GeoTIFF or JPEG2000 does. Raises UnreadableFileError."""
    return read_start(path, 8).startswith(tuple(_DRIVERS))


def _driver_for(path: Path) -> str:
    start = read_start(path, 8)
    for magic, driver in _DRIVERS.items():
        if start.startswith(magic):
            return driver
    raise UnreadableFileError(f"{path} is {'neither GeoTIFF nor JPEG2000' if start else 'empty'}")


def find_band(path: Path, wanted: str) -> BandFile:
    """The wanted band of one file, by description, DESCRIPTION tag or number; a file of one band is that band whatever
    its name.

    Raises UnreadableFileError, BandMissingError, BandAmbiguousError.
    """
    with open_raster(path) as dataset:
        names = [_names_of(dataset, index) for index in dataset.indexes]
        return _describe(dataset, path, find_index(wanted, names, where=path.name), wanted)


def list_bands(path: Path) -> list[BandFile]:
    """All bands of one file; those without a name have their number for one. Raises UnreadableFileError."""
    with open_raster(path) as dataset:
        return [_describe(dataset, path, index, str(index)) for index in dataset.indexes]


def _describe(dataset: rasterio.DatasetReader, path: Path, index: int, otherwise: str) -> BandFile:
    told = next(iter(_names_of(dataset, index)), None)
    if told is None and dataset.count == 1:
        told = name_from_file(path.name) or layer_from_file(path.name)
    return BandFile(
        path=path,
        index=index,
        grid=_grid_of(dataset),
        name=canonical_name(told or otherwise),
        nodata=dataset.nodatavals[index - 1],
        is_float=dataset.dtypes[index - 1].startswith("float"),
        scale=dataset.scales[index - 1],
        offset=dataset.offsets[index - 1],
        unit=dataset.units[index - 1],
        tags=dataset.tags(),
    )


def _names_of(dataset: rasterio.DatasetReader, index: int) -> list[str]:
    tags = dataset.tags(index)
    told = (dataset.descriptions[index - 1], tags.get("DESCRIPTION"), tags.get("BANDNAME"), tags.get("BAND_NAME"))
    return list(dict.fromkeys(name.strip() for name in told if name and name.strip()))


def _grid_of(dataset: rasterio.DatasetReader) -> Grid:
    crs: CRS | None = dataset.crs or None
    return Grid(crs=crs, transform=dataset.transform, width=dataset.width, height=dataset.height)
