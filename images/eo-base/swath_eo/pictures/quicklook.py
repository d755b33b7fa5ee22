"""Pictures for human eyes: bounded in size, transparent where there is no data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import Resampling

from swath_eo.output.files import open_output
from swath_eo.pictures.viewing import NODATA, Stretch
from swath_eo.pictures.viewing import compose as view

MAX_PIXELS = 1024  # of the longer side

# Water and snow in blue to grey, bare soil in browns, vegetation from yellow to dark green: index -> (red, green,
# blue).
NDVI_RAMP: tuple[tuple[float, tuple[int, int, int]], ...] = (
    (-1.0, (10, 35, 90)),
    (-0.3, (66, 113, 173)),
    (-0.05, (176, 196, 214)),
    (0.05, (222, 212, 196)),
    (0.15, (201, 170, 124)),
    (0.25, (230, 213, 130)),
    (0.4, (183, 207, 94)),
    (0.55, (112, 172, 65)),
    (0.7, (48, 129, 46)),
    (0.85, (15, 84, 32)),
    (1.0, (2, 46, 20)),
)
_LEVELS = 255  # palette entries 1..255 are colours, entry 0 is transparent


def palette(ramp: tuple[tuple[float, tuple[int, int, int]], ...] = NDVI_RAMP) -> NDArray[np.uint8]:
    """The ramp as 256 colours, shape (256, 3): entry 0 for no data, 1..255 for -1..1."""
    values = np.linspace(-1, 1, _LEVELS)
    stops = [stop for stop, _ in ramp]
    channels = [np.interp(values, stops, [colour[i] for _, colour in ramp]) for i in range(3)]
    colours = np.rint(np.stack(channels, axis=1)).astype(np.uint8)
    return np.concatenate([np.zeros((1, 3), dtype=np.uint8), colours])


def to_levels(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """An index in -1..1, any shape, to palette entries; NaN to 0."""
    scaled = np.rint((np.clip(values, -1, 1) + 1) / 2 * (_LEVELS - 1)) + 1
    levels: NDArray[np.uint8] = np.nan_to_num(scaled, nan=0.0).astype(np.uint8)
    return levels


def write_quicklook(raster: Path, path: Path, *, max_pixels: int = MAX_PIXELS) -> None:
    """Writes a PNG of a one-band index raster, its longer side at most `max_pixels`. Reads overviews, so memory is
    bounded.

    Raises OutputError where it cannot be written.
    """
    with rasterio.open(raster) as dataset:
        values = dataset.read(1, out_shape=_shape_of(dataset, max_pixels), resampling=Resampling.average)
    picture = Image.fromarray(to_levels(values), mode="L")
    picture.putpalette(palette().tobytes())
    _save(picture, path, transparency=0)


def write_picture(
    raster: Path, path: Path, *, bands: Sequence[int], stretch: Stretch, max_pixels: int = MAX_PIXELS
) -> None:
    """Writes a PNG of three bands (red, green, blue) or one, in overviews' pixels, transparent where there is no data.

    `stretch`: from what the raster's scales and offsets make of its numbers. Raises OutputError.
    """
    with rasterio.open(raster) as dataset:
        shape = _shape_of(dataset, max_pixels)
        indexes = list(bands)
        numbers = dataset.read(indexes, out_shape=(len(indexes), *shape), masked=True).astype(np.float32)
        scales, offsets = (
            np.array(of, np.float32)[np.subtract(indexes, 1)] for of in (dataset.scales, dataset.offsets)
        )
    values = numbers.filled(np.nan) * scales[:, None, None] + offsets[:, None, None]
    levels = view([*values], [stretch] * len(values))
    alpha = np.where((levels == NODATA).any(axis=0), 0, 255).astype(np.uint8)
    channels = [*levels] if len(levels) == 3 else [levels[0]] * 3
    _save(Image.fromarray(np.stack([*channels, alpha], axis=-1), mode="RGBA"), path)


def stretch_of(raster: Path, bands: Sequence[int]) -> Stretch:
    """The stretch that shows most of what the bands hold: between the 2nd and the 98th percentile of all of them, which are
    read in overviews' pixels."""
    with rasterio.open(raster) as dataset:
        numbers = dataset.read(list(bands), out_shape=(len(bands), *_shape_of(dataset, MAX_PIXELS)), masked=True)
        scale, offset = dataset.scales[bands[0] - 1], dataset.offsets[bands[0] - 1]
    low, high = np.percentile(numbers.compressed(), (2, 98)) * scale + offset if numbers.count() else (0.0, 1.0)
    return Stretch(low=float(low), high=float(high) if high > low else float(low) + 1.0)


def _shape_of(dataset: Any, max_pixels: int) -> tuple[int, int]:
    shrink = max(dataset.width, dataset.height) / max_pixels
    if shrink <= 1:
        return dataset.height, dataset.width
    return max(round(dataset.height / shrink), 1), max(round(dataset.width / shrink), 1)


def _save(picture: Image.Image, path: Path, **options: Any) -> None:
    with open_output(path) as file:
        picture.save(file, format="PNG", optimize=True, **options)
