"""What an atmospheric correction must know of a scene: its sensor, reflectance at the top of the atmosphere, and angles."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.transform import Affine
from rasterio.windows import Window

from swath_eo.atmosphere.correction import BLOCK
from swath_eo.atmosphere.sixs import SENSORS, Table, load_table
from swath_eo.errors import (
    BandMissingError,
    CalibrationUnknownError,
    ParameterError,
    ProductMetadataError,
    SensorError,
)
from swath_eo.geometry.grid import Grid
from swath_eo.scenes.bands import is_wanted, spellings
from swath_eo.scenes.calibration import Calibration
from swath_eo.scenes.describe import read_items
from swath_eo.scenes.granule import Angles
from swath_eo.scenes.landsat import LandsatMetadata, parse_mtl
from swath_eo.scenes.product import Product
from swath_eo.scenes.rasters import BandFile
from swath_eo.scenes.safe import SafeProduct

Float64 = NDArray[np.float64]

_SPACECRAFT = {
    **{"Sentinel-2A": "sentinel-2a", "Sentinel-2B": "sentinel-2b", "Sentinel-2C": "sentinel-2c"},
    **{"LANDSAT_8": "landsat-8", "LANDSAT_9": "landsat-9"},
}
# "S2C_MSIL1C_2025..." and "S2C_33TWM_2025...", "LC09_L1TP_..."
_IN_NAME = re.compile(r"^(?:S2(?P<sentinel>[A-Z])|LC0(?P<landsat>\d))_", re.IGNORECASE)
_SURFACE = re.compile(r"(?:^|[^a-z0-9])(?:MSI)?(L2(?:A|S[PR])?)(?:[^a-z0-9]|$)", re.IGNORECASE)  # in names of products
_MTL_BYTES = 1024 * 1024  # and more than any has


class Geometry(Protocol):
    """Where the sun and the sensor stand."""

    def sun(self, grid: Grid, window: Window) -> Float64:
        """Zenith (rows, columns) at the centres of a window's pixels, degrees."""

    def view(self, grid: Grid, window: Window) -> Float64:
        """Zenith (bands, rows, columns), degrees."""

    @property
    def mean_sun(self) -> float:
        """Zenith of the scene as a whole, degrees."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a user says of a scene, instead of what its metadata say."""

    sensor: str | None = None
    bands: Sequence[str] = ()  # all that are corrected, by default
    sun_zenith: float | None = None  # degrees
    view_zenith: float | None = None
    offset: str = "auto"
    scale: float | None = None


@dataclass(frozen=True, kw_only=True)
class TopOfAtmosphere:
    """A scene that can be corrected. The three sequences have a band each."""

    sensor: str
    names: tuple[str, ...]  # as the sensor's table has them
    bands: Sequence[BandFile]
    calibrations: Sequence[Calibration]  # to reflectance under the sun as it stood
    geometry: Geometry
    sun_distance: float  # astronomical units


def find_toa(product: Product, asked: Asked) -> TopOfAtmosphere:
    """Of a Sentinel-2 L1C product, a Landsat 8 or 9 Level-1 directory, or any file of reflectance whose sensor and sun are
    given. Raises SensorError, ParameterError, and what reading the product raises."""
    landsat = _read_landsat(product)
    zenith = asked.sun_zenith
    sensor = _sensor_of(product, landsat, asked)
    names = _names_of(product, sensor, asked.bands)
    bands = [product.find(name) for name in names]
    if landsat is not None:
        zenith = landsat.sun_zenith if zenith is None else zenith
        calibrations = [_under_the_sun(landsat.calibrations, name, zenith) for name in names]
    else:
        calibrations = [product.calibration(band, offset=asked.offset, scale=asked.scale) for band in bands]
    return TopOfAtmosphere(
        sensor=sensor,
        names=names,
        bands=bands,
        calibrations=calibrations,
        geometry=_geometry_of(product.safe, names, zenith, asked.view_zenith),
        sun_distance=landsat.sun_distance if landsat else 1.0,
    )


def _read_landsat(product: Product) -> LandsatMetadata | None:
    found = sorted(product.path.glob("*_MTL.txt")) if product.path.is_dir() and product.safe is None else []
    if not found:
        return None
    if len(found) > 1:
        raise ProductMetadataError(
            f"{product.name} has the metadata of two scenes: {found[0].name} and {found[1].name}"
        )
    return parse_mtl(_read_text(found[0]), where=found[0].name)


def _read_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_MTL_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise ProductMetadataError(f"{path.name} cannot be read: {error}") from error


def _sensor_of(product: Product, landsat: LandsatMetadata | None, asked: Asked) -> str:
    if level := _level_of_surface(product):
        raise SensorError(f"{product.name} is of {level}: it is the surface's reflectance already")
    if asked.sensor is not None:
        load_table(asked.sensor)
        return asked.sensor
    spacecraft = product.safe.spacecraft if product.safe else landsat.spacecraft if landsat else _named(product)
    if spacecraft is None:
        raise ParameterError(f"nothing tells which sensor {product.name} is of: give SENSOR ({', '.join(SENSORS)})")
    if spacecraft not in _SPACECRAFT:
        raise SensorError(f"there is no table for {spacecraft}: give SENSOR, the most like of {', '.join(SENSORS)}")
    return _SPACECRAFT[spacecraft]


def _named(product: Product) -> str | None:
    """The spacecraft by a product's name or its STAC item's."""
    for name in (product.name, *_names_in_items(product)):
        if found := _IN_NAME.match(str(name)):
            letter, number = found["sentinel"], found["landsat"]
            return f"Sentinel-2{letter.upper()}" if letter else f"LANDSAT_{number}"
    return None


def _level_of_surface(product: Product) -> str | None:
    """The level that a product tells by its metadata, its name or its STAC item, where it has been corrected already."""
    if product.safe is not None:
        return None if product.safe.level == "L1C" else product.safe.level
    told = (_SURFACE.search(str(name)) for name in (product.name, *_names_in_items(product)))
    return next((found[1].upper() for found in told if found), None)


def _names_in_items(product: Product) -> Iterator[object]:
    if product.directory is not None:
        with suppress(CalibrationUnknownError):  # has ended the run already, unless an offset is given
            for item in read_items(product.directory):
                yield from (item.get("id"), item.get("collection"))


def _names_of(product: Product, sensor: str, wanted: Sequence[str]) -> tuple[str, ...]:
    table = load_table(sensor)
    if wanted:
        return table.of(tuple(dict.fromkeys(_name_in(table, name) for name in wanted))).bands
    names = tuple(name for name in table.bands if product.has(name))
    if not names:
        raise BandMissingError(f"{product.name} has none of the bands {', '.join(table.bands)}")
    return names


def _name_in(table: Table, wanted: str) -> str:
    """What a table calls a band. A colour is one of Sentinel-2's numbers; Landsat's numbers have other colours."""
    by_colour = not table.sensor.startswith("landsat")
    found = (
        band
        for spelling in spellings(wanted)
        for band in table.bands
        if band == spelling or (by_colour and is_wanted(band, spelling))
    )
    return next(found, wanted)


def _under_the_sun(calibrations: Mapping[str, Calibration], name: str, zenith: float) -> Calibration:
    """Landsat's numbers give the reflectance under a sun in the zenith."""
    if name not in calibrations:
        raise ProductMetadataError(f"the scene's metadata have no reflectance of {name}")
    found, height = calibrations[name], math.cos(math.radians(zenith))
    if not height > 0:
        raise ParameterError(f"the sun's zenith is {zenith:g}: it does not shine")
    return replace(found, scale=found.scale / height, offset=found.offset / height)


def _geometry_of(safe: SafeProduct | None, names: tuple[str, ...], sun: float | None, view: float | None) -> Geometry:
    if safe is None and sun is None:
        raise ParameterError("nothing tells where the sun stood: give SUN_ZENITH")
    suns = safe.sun_angles() if safe is not None and sun is None else sun or 0.0
    if safe is not None and view is None:
        return _Angles(suns, [safe.view_angles(name) for name in names], _mean_of(suns, safe))
    return _Angles(suns, [view or 0.0] * len(names), _mean_of(suns, safe))


def _mean_of(sun: Angles | float, safe: SafeProduct | None) -> float:
    if not isinstance(sun, Angles):
        return sun
    return safe.granule.mean_sun[0] if safe and safe.granule.mean_sun else float(np.nanmean(sun.zenith))


class _Angles:
    """What is given holds everywhere; the rest is as the granule's metadata have it, on nodes 5 km apart, for each band
    its own."""

    def __init__(self, sun: Angles | float, views: Sequence[Angles | float], mean_sun: float) -> None:
        self.mean_sun = mean_sun
        self._sun = sun
        self._views = views

    def sun(self, grid: Grid, window: Window) -> Float64:
        return _zenith(self._sun, grid, window)

    def view(self, grid: Grid, window: Window) -> Float64:
        return np.stack([_zenith(view, grid, window) for view in self._views])


def _zenith(angles: Angles | float, grid: Grid, window: Window) -> Float64:
    if isinstance(angles, Angles):
        return angles.at(grid, window)[0].astype(np.float64)
    return np.full((window.height, window.width), angles)


def blocks_under(grid: Grid, window: Window) -> tuple[Grid, Window, tuple[int, int]]:
    """The grid of `atmosphere`'s blocks, those under a window of `grid`, and where in the first the window begins."""
    blocks = Grid(
        crs=grid.crs,
        transform=grid.transform @ Affine.scale(BLOCK),
        width=math.ceil(grid.width / BLOCK),
        height=math.ceil(grid.height / BLOCK),
    )
    column, row = window.col_off // BLOCK, window.row_off // BLOCK
    width = math.ceil((window.col_off + window.width) / BLOCK) - column
    height = math.ceil((window.row_off + window.height) / BLOCK) - row
    first = (window.row_off - row * BLOCK, window.col_off - column * BLOCK)
    return blocks, Window(column, row, width, height), first
