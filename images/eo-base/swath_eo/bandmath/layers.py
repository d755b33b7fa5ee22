"""Expressions and indices over the bands of a scene: which bands they mean, and their values window by window."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from swath_eo.bandmath.expressions import Expression, parse_expression
from swath_eo.bandmath.spectral import get_index, parse_index, spellings_of, wavelengths
from swath_eo.errors import BandMissingError, CalibrationUnknownError, NoValidPixelsError, ParameterError
from swath_eo.geometry.grid import Grid
from swath_eo.pictures.viewing import VIEWS
from swath_eo.scenes.bands import canonical_name, is_layer, is_thermal
from swath_eo.scenes.calibration import KELVIN, Calibration
from swath_eo.scenes.product import Product
from swath_eo.scenes.rasters import BandFile
from swath_eo.scenes.stacks import BandsReader, open_bands

_NAMED = re.compile(r"\s*([A-Za-z]\w*)\s*=(?!=)(.*)", re.DOTALL)
_NUMBERED = re.compile(r"B\d\d|B8A")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Something to compute, and what it is called."""

    name: str
    title: str
    expression: Expression


def read_indices(text: str, constants: Mapping[str, float] = MappingProxyType({})) -> list[Layer]:
    """`NDVI,SAVI` as layers. Raises IndexUnknownError, and ParameterError for a constant that is missing."""
    indices = [get_index(name.strip()) for name in text.split(",")]
    return [Layer(name=i.name, title=i.title, expression=parse_index(i, constants)) for i in indices]


def read_expressions(text: str, constants: Mapping[str, float] = MappingProxyType({})) -> list[Layer]:
    """`ratio = nir / red; B08 - B04` as layers; one without a name is called by its place. Raises ExpressionError."""
    layers = []
    for number, part in enumerate(text.split(";"), 1):
        named = _NAMED.fullmatch(part)
        name, formula = (named[1], named[2]) if named else (f"expression{number}", part)
        expression = parse_expression(formula, constants=constants)
        layers.append(Layer(name=name, title=expression.text, expression=expression))
    return layers


def read_view(text: str, constants: Mapping[str, float] = MappingProxyType({})) -> list[Layer]:
    """One of VIEWS, or an expression for grey, or three for red, green and blue. Raises ExpressionError and
    ParameterError."""
    channels = read_expressions(";".join(VIEWS.get(text.strip(), (text,))), constants)
    if len(channels) not in (1, 3):
        told = ", ".join(VIEWS)
        raise ParameterError(f"a view is one of {told}, or one expression or three, not {len(channels)}")
    return channels


def names_in(layers: Iterable[Layer]) -> list[str]:
    """The names of bands that expressions use, each once."""
    return list(dict.fromkeys(name for layer in layers for name in layer.expression.bands))


def formula_tags(layers: Iterable[Layer]) -> dict[str, str]:
    """Tags that tell how each band of a file was computed."""
    return {f"FORMULA_{layer.name}": layer.expression.text for layer in layers}


def default_constants(product: Product) -> dict[str, float]:
    """The wavelengths of a scene whose bands have Sentinel-2's numbers; of others nothing is known."""
    return wavelengths() if any(_NUMBERED.fullmatch(name) for name in product.source.names()) else {}


def find_bands(
    product: Product, names: Iterable[str], assigned: Mapping[str, str] = MappingProxyType({})
) -> dict[str, BandFile]:
    """The scene's bands by the names that expressions use; `assigned` says what some are called there ("B8A", or "4").

    Raises BandMissingError, also where a file of one band would be two of them or says that it is another, and
    BandAmbiguousError.
    """
    found = {name: _find_band(product, name, assigned.get(name)) for name in names}
    guessed = [name for name in found if name not in assigned and not any(map(product.has, spellings_of(name)))]
    own = product.source.names()
    if guessed and (len(found) > 1 or not own[0].isdecimal()):
        told = ", ".join(own)
        raise BandMissingError(f"{product.name} has no band {guessed[0]} (it has {told}): give BANDS")
    return found


def _find_band(product: Product, name: str, assigned: str | None) -> BandFile:
    if assigned is not None:
        return product.find(assigned)
    candidates = spellings_of(name)
    return product.find(next(filter(product.has, candidates), candidates[0]))


class LayersReader:
    """The values of some layers on one grid."""

    def __init__(
        self,
        layers: Sequence[Layer],
        reader: BandsReader,
        rows: Mapping[str, int],
        calibrations: Mapping[str, Calibration],
        reflectances: Iterable[str],
    ) -> None:
        self._layers = layers
        self._reader = reader
        self._rows = rows  # a band's name -> its place in what the reader gives
        self._calibrations = calibrations
        self._zero = set(reflectances)  # bands that have been zero so far
        self.valid = dict.fromkeys(rows, 0)  # pixels with data
        self.negative = dict.fromkeys(rows, 0)  # of them, with a negative reflectance

    @property
    def grid(self) -> Grid:
        """The bands' common ground, in pixels of the finest."""
        return self._reader.grid

    @property
    def is_resampled(self) -> bool:
        """Whether a band lies on another grid."""
        return any(self._reader.resampled)

    def windows(self, size: int) -> Iterator[Window]:
        """As `Grid.windows`."""
        return self._reader.windows(size)

    def read(self, window: Window) -> NDArray[np.float32]:
        """The layers' values in a window, (layers, rows, columns). Raises UnreadableFileError."""
        numbers, valid = self._reader.read(window)
        bands = {name: numbers[row] for name, row in self._rows.items()}
        self._look_at(bands, valid)
        values = np.empty((len(self._layers), window.height, window.width), dtype=np.float32)
        for layer, result in zip(self._layers, values, strict=True):
            masks = (valid[self._rows[name]] for name in layer.expression.bands)
            mask = functools.reduce(np.logical_and, masks)
            layer.expression.evaluate(bands, calibrations=self._calibrations, valid=mask, out=result)
        return values

    def _look_at(self, bands: Mapping[str, NDArray[Any]], valid: NDArray[np.bool_]) -> None:
        self._zero -= {name for name in self._zero if bands[name].any()}
        for name, calibration in self._calibrations.items():
            if calibration.offset < 0:
                limit = -calibration.offset / calibration.scale
                here = valid[self._rows[name]]
                self.valid[name] += int(np.count_nonzero(here))
                self.negative[name] += int(np.count_nonzero((bands[name] < limit) & here))

    def check(self) -> None:
        """To be called when all has been read: raises NoValidPixelsError for a band that is zero everywhere, whatever its
        file says of zeros, for no ground reflects nothing."""
        if self._zero:
            raise NoValidPixelsError(f"band {min(self._zero)} is zero everywhere")


@contextmanager
def open_layers(
    layers: Sequence[Layer],
    bands: Mapping[str, BandFile],
    calibrations: Mapping[str, Calibration],
    *,
    nodata: float | None = None,
) -> Iterator[LayersReader]:
    """Opens the bands that some layers use, each once. Raises as `open_bands`."""
    names = names_in(layers)
    # A file's bands together: they are read with one call, and decoded once where they lie pixel by pixel.
    files = sorted({(bands[name].path, bands[name].index) for name in names})
    opened = {(bands[name].path, bands[name].index): bands[name] for name in names}
    rows = {name: files.index((bands[name].path, bands[name].index)) for name in names}
    with open_bands([opened[file] for file in files], nodata=nodata) as reader:
        reflectances = [name for name in names if not is_layer(canonical_name(bands[name].name))]
        yield LayersReader(layers, reader, rows, {name: calibrations[name] for name in names}, reflectances)


def calibrate(
    product: Product, bands: Mapping[str, BandFile], *, offset: str = "auto", scale: float | None = None
) -> dict[str, Calibration]:
    """How each band's numbers become reflectances; those of layers beside the bands (SCL, ...) stay what they are.

    Raises as `describe.choose_calibration`, and CalibrationUnknownError where the whole numbers of a thermal band tell no
    temperature.
    """
    return {name: _calibrate(product, band, offset, scale) for name, band in bands.items()}


def _calibrate(product: Product, band: BandFile, offset: str, scale: float | None) -> Calibration:
    if is_layer(canonical_name(band.name)):
        return Calibration(reason="no reflectance")
    found = product.calibration(band, offset=offset, scale=scale)
    if is_thermal(band.name) and found.unit != KELVIN and not band.is_float:
        raise CalibrationUnknownError(
            f"nothing tells which temperature the numbers of {band.path.name} are ({found.reason})"
        )
    return found
