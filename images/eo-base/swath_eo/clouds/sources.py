"""What is made of several scenes begins with: the bands of each one, what they mean, and what tells of its clouds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from swath_eo.clouds.masking import Clearing
from swath_eo.clouds.reading import CloudLayers, assign_masks, find_cloud_layers
from swath_eo.errors import BandMissingError
from swath_eo.geometry.grid import check_georeferenced
from swath_eo.scenes.bands import is_layer
from swath_eo.scenes.calibration import Calibration
from swath_eo.scenes.product import Product
from swath_eo.scenes.rasters import BandFile


@dataclass(frozen=True, kw_only=True)
class Source:
    """A scene, as it is read."""

    product: Product
    bands: tuple[BandFile, ...]
    calibrations: tuple[Calibration, ...]  # one a band
    clouds: CloudLayers = field(default_factory=CloudLayers)


def find_sources(
    products: Sequence[Product],
    *,
    bands: Sequence[str] | None = None,
    clearing: Clearing | None = None,
    masks: Sequence[Path] = (),
    needed: str | None = None,
    offset: str = "auto",
    scale: float | None = None,
) -> list[Source]:
    """The scenes and their bands: those that are named, or all of the first scene.

    `clearing`, `masks` and `needed` as in `clouds.reading`; `offset` and `scale` as in `Product.calibration`. Raises what
    `Product.find`, `Product.calibration`, `assign_masks` and `find_cloud_layers` do, and NotGeoreferencedError.
    """
    names = bands or [name for name in products[0].bands if not is_layer(name)]
    if not names:
        raise BandMissingError(f"{products[0].name} has no bands")
    wanted = clearing or Clearing()
    sources = []
    for product, mask in zip(products, assign_masks(products, masks), strict=True):
        found = tuple(product.find(name) for name in names)
        for band in found:
            check_georeferenced(band.grid, where=f"{product.name}: {band.path.name}")
        source = Source(
            product=product,
            bands=found,
            calibrations=tuple(product.calibration(band, offset=offset, scale=scale) for band in found),
            clouds=find_cloud_layers(product, wanted, mask, needed=needed),
        )
        sources.append(source)
    return sources
