"""The bands of a composite's file (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath_eo.composites.compositing import NO_DATE, Composite, Recipe
from swath_eo.composites.series import Series
from swath_eo.output.cog import OutputBand
from swath_eo.output.rounding import output_type, to_type
from swath_eo.scenes.calibration import Calibration

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Those of the scenes, the count, the date where one is chosen, and the spreads where they are wanted."""

    names: Sequence[str]  # of the scenes' bands
    calibrations: Sequence[Calibration]  # of each
    days: Sequence[date]  # on which the scenes were acquired; empty where that is not known
    recipe: Recipe
    dtype: np.dtype[Any]
    nodata: float

    @classmethod
    def of(cls, series: Series, recipe: Recipe) -> Layout:
        """Of what a recipe makes of a series."""
        dtype, nodata = output_type(series.dtype)
        names = [band.name for band in series.scenes[0].bands]
        return cls(
            names=names, calibrations=series.calibrations, days=series.days, recipe=recipe, dtype=dtype, nodata=nodata
        )

    @property
    def bands(self) -> list[OutputBand]:
        """What they say of themselves."""
        named = list(zip(self.names, self.calibrations, strict=True))
        described = [OutputBand(name=name, unit=c.unit, scale=c.scale, offset=c.offset) for name, c in named]
        described.append(OutputBand(name="count", unit="observations"))
        if self.recipe.chooses:
            described.append(OutputBand(name="date", unit="days since 1970-01-01"))
        if self.recipe.with_spread:
            offset = -self._lift
            described += [
                OutputBand(name=f"{name}_spread", unit=c.unit, scale=c.scale, offset=offset * c.scale)
                for name, c in named
            ]
        return described

    def pack(self, made: Composite) -> NDArray[Any]:
        """All of them, (bands, rows, columns)."""
        seen = made.count > 0
        layers = [to_type(made.values, seen, self.dtype, self.nodata), made.count[np.newaxis].astype(self.dtype)]
        if made.chosen is not None:
            days = np.array([(day - _EPOCH).days for day in self.days])
            layers.append(to_type(days[made.chosen][np.newaxis], made.chosen != NO_DATE, self.dtype, self.nodata))
        if made.spread is not None:
            lifted = np.rint(made.spread) + np.float32(self._lift) if self._lift else made.spread
            layers.append(to_type(lifted, seen, self.dtype, self.nodata))
        return np.concatenate(layers)

    @property
    def _lift(self) -> int:
        """What is added to a spread, which may well be 0, where 0 stands for no data."""
        return 1 if self.nodata == 0 else 0
