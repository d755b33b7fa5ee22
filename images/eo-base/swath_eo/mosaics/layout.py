"""The bands of a mosaic's file: in the scenes' own type, with their scale and offset, or real numbers where scales differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from swath_eo.mosaics.arranging import common_calibrations, first_of
from swath_eo.mosaics.mosaicking import Mosaic, with_nodata
from swath_eo.mosaics.surveying import PlacedScene, Plan, type_of
from swath_eo.output.cog import OutputBand
from swath_eo.scenes.adjustment import differ_in_scale
from swath_eo.scenes.calibration import default_calibration


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a mosaic is written."""

    bands: Sequence[OutputBand]
    dtype: str
    nodata: float

    @classmethod
    def of(cls, scenes: Sequence[PlacedScene], plan: Plan) -> Layout:
        """Of the mosaic of some scenes."""
        if differ_in_scale(scene.calibrations for scene in scenes):
            return cls(bands=_describe(scenes), dtype="float32", nodata=math.nan)
        dtype, nodata = _type_of(scenes, plan)
        return cls(bands=_describe(scenes), dtype=dtype, nodata=nodata)

    def pack(self, window: Window, made: Mosaic | None) -> NDArray[Any]:
        """A window's numbers, (bands, rows, columns); no data where no scene lies."""
        if made is None:
            return np.full((len(self.bands), window.height, window.width), self.nodata, dtype=self.dtype)
        return with_nodata(made, self.nodata, np.dtype(self.dtype))


def _type_of(scenes: Sequence[PlacedScene], plan: Plan) -> tuple[str, float]:
    """The mosaic's type and what stands for no data in it: what is asked for, else the first scene's, else NaN or 0."""
    dtype = np.result_type(*(type_of(scene, plan) for scene in scenes))
    asked = scenes[0].bands[0].nodata if plan.nodata is None else plan.nodata
    if dtype.kind == "f":
        return str(dtype), math.nan if asked is None else asked
    limits = np.iinfo(dtype)
    fits = asked is not None and float(asked).is_integer() and limits.min <= asked <= limits.max
    return str(dtype), float(asked) if fits and asked is not None else 0.0


def _describe(scenes: Sequence[PlacedScene]) -> list[OutputBand]:
    """With scale and offset where something describes them."""
    pairs = list(zip(first_of(scenes).bands, common_calibrations(scenes), strict=True))
    unknown = [calibration == default_calibration(is_float=band.is_float) for band, calibration in pairs]
    return [
        OutputBand(name=band.name)
        if unsaid
        else OutputBand(name=band.name, unit=own.unit, scale=own.scale, offset=own.offset)
        for (band, own), unsaid in zip(pairs, unknown, strict=True)
    ]
