"""Reads what tells of a scene's clouds, window by window on one grid: classes, bits, probabilities and masks alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rasterio.enums import Resampling
from rasterio.windows import Window

from swath_eo.clouds.masking import (
    Clearing,
    Mask,
    clouds_by_qa,
    clouds_by_scl,
    known_by_qa,
    known_by_scl,
)
from swath_eo.errors import CrsMismatchError, GridMismatchError, ParameterError
from swath_eo.geometry.grid import Grid, check_georeferenced
from swath_eo.scenes.listing import find_products
from swath_eo.scenes.product import Product
from swath_eo.scenes.rasters import BandFile
from swath_eo.scenes.stacks import BandsReader, open_bands

_NO_PERCENT = 255.0  # no layer of percent holds it


@dataclass(frozen=True, kw_only=True)
class CloudLayers:
    """What tells of a scene's clouds; false where nothing does."""

    classes: BandFile | None = None  # Sentinel-2's scene classification
    quality: BandFile | None = None  # the bits of Landsat's QA_PIXEL
    probability: BandFile | None = None  # of cloud, in percent
    mask: BandFile | None = None  # 0 where it is clear

    def __bool__(self) -> bool:
        return bool(self.found)

    @property
    def found(self) -> dict[str, BandFile]:
        """Those that there are, by name."""
        return {name: layer for name, layer in vars(self).items() if layer is not None}


def find_cloud_layers(
    product: Product, clearing: Clearing, mask: Path | None = None, *, needed: str | None = None
) -> CloudLayers:
    """What a product has of all that is asked for; `needed`: the layer ("scl" or "qa_pixel") that it must have.

    Raises BandMissingError, also without a probability that is asked for, UnreadableFileError and NotGeoreferencedError.
    """

    def own(name: str) -> BandFile | None:
        return product.find(name) if name == needed or product.has(name) else None

    layers = CloudLayers(
        classes=own("scl") if clearing.classes else None,
        quality=own("qa_pixel") if clearing.bits else None,
        probability=product.find("cldprb") if clearing.most_probability < 100 else None,
        mask=None if mask is None else find_products([mask])[0].find("1"),
    )
    for layer in layers.found.values():
        check_georeferenced(layer.grid, where=f"{product.name}: {layer.path.name}")
    return layers


def assign_masks(products: Sequence[Product], masks: Sequence[Path]) -> list[Path | None]:
    """Each scene's mask: the file that is named after it, or the only one. Raises ParameterError."""
    if not masks:
        return [None] * len(products)
    names = {product.name for product in products}
    named_after = {mask: _find_named(mask, names) for mask in masks}
    named = [[mask for mask in masks if named_after[mask] == product.name] for product in products]
    if len(masks) == 1 and not any(named):
        return [masks[0]] * len(products)
    for product, found in zip(products, named, strict=True):
        if len(found) != 1:
            raise ParameterError(f"{len(found)} masks are named after {product.name}, not one")
    return [found[0] for found in named]


def _find_named(mask: Path, names: Iterable[str]) -> str | None:
    """The scene's name that the mask's begins with, and that does not go on: of a_1 and a_10, a_10 for a_10_mask.tif; of
    several the longest."""
    fitting = [name for name in names if mask.name.startswith(name) and not mask.name[len(name) :][:1].isalnum()]
    return max(fitting, key=len, default=None)


def check_mask(mask: BandFile, grid: Grid) -> None:
    """Raises CrsMismatchError and GridMismatchError for a mask that does not cover the scenes: what it does not know is not
    clear."""
    if mask.grid.crs != grid.crs:
        raise CrsMismatchError(f"the mask {mask.path.name} is in another coordinate reference system than the scenes")
    own, wanted = mask.grid.bounds, grid.bounds
    pixel = max(abs(mask.grid.transform.a), abs(mask.grid.transform.e))
    if (
        own[0] > wanted[0] + pixel
        or own[1] > wanted[1] + pixel
        or own[2] < wanted[2] - pixel
        or own[3] < wanted[3] - pixel
    ):
        raise GridMismatchError(f"the mask {mask.path.name} does not cover the scenes")


@dataclass(frozen=True, kw_only=True)
class CloudsReader:
    """A scene's layers while they are open."""

    clearing: Clearing
    classes: BandsReader | None
    quality: BandsReader | None
    probability: BandsReader | None
    mask: BandsReader | None

    def read(self, window: Window) -> tuple[Mask, Mask]:
        """Where clouds are, not widened, and where that is known, both (rows, columns). Raises UnreadableFileError."""
        clouds = np.zeros((window.height, window.width), dtype=np.bool_)
        known = np.ones_like(clouds)
        if self.classes:
            (classes,), (told,) = self.classes.read(window)
            clouds |= clouds_by_scl(classes, self.clearing.classes) & told
            known &= known_by_scl(classes) & told
        if self.quality:
            (bits,), (told,) = self.quality.read(window)
            clouds |= clouds_by_qa(bits, self.clearing.bits) & told
            known &= known_by_qa(bits) & told
        if self.probability:
            (percent,), (told,) = self.probability.read(window)
            clouds |= (percent > self.clearing.most_probability) & told
            known &= told
        if self.mask:
            (mask,), (told,) = self.mask.read(window)
            clouds |= (mask != 0) & told
            known &= told
        return clouds, known


@contextmanager
def open_clouds(layers: CloudLayers, grid: Grid, clearing: Clearing) -> Iterator[CloudsReader]:
    """Opens the layers on `grid`, each by its nearest pixels. Raises as `stacks.open_bands`."""

    def layer(band: BandFile | None, nodata: float | None = None) -> BandsReader | None:
        opened = None if band is None else open_bands([band], grid, resampling=Resampling.nearest, nodata=nodata)
        return None if opened is None else stack.enter_context(opened)

    with ExitStack() as stack:
        yield CloudsReader(
            clearing=clearing,
            classes=layer(layers.classes),
            quality=layer(layers.quality),
            probability=layer(layers.probability, _NO_PERCENT),
            mask=layer(layers.mask and replace(layers.mask, nodata=None)),  # zero is clear, whatever the file says
        )
