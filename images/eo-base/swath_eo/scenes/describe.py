"""Reads what lies beside a scene's bands (STAC item, product metadata); decides calibration and no-data value by it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from swath_eo.errors import CalibrationUnknownError, ParameterError
from swath_eo.scenes.bands import is_layer, is_thermal
from swath_eo.scenes.calibration import (
    Calibration,
    default_calibration,
    from_item,
    from_landsat_name,
    from_product_name,
    from_product_xml,
    is_landsat_name,
    layer_calibration,
    to_unit,
)
from swath_eo.scenes.items import nodata_from_item
from swath_eo.scenes.landsat import calibration_from_mtl
from swath_eo.scenes.rasters import BandFile

_FROM_NAME = re.compile(r"_(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2}))?_")
_MAX_DOCUMENT_BYTES = 16 * 1024 * 1024


def choose_calibration(
    directory: Path | None,
    band: BandFile,
    *,
    offset: str = "auto",
    scale: float | None = None,
    product_xml: str | None = None,
) -> Calibration:
    """The calibration of a band in a scene's directory, None where it is a lone file.

    `offset`: "auto" (by what describes the scene), "none", or the reflectance to add, as a number. `scale`:
    reflectance per digital number; by default what describes the scene says, else 0.0001 for whole numbers and 1 for
    floating point. Neither has a say in a layer or a thermal band, which hold no reflectance. `product_xml`: of a
    product that is no directory. Raises ParameterError and CalibrationUnknownError.
    """
    if scale is not None and not 0 < scale < float("inf"):
        raise ParameterError(f"the scale {scale} is not above zero")
    given = None if offset == "auto" else _parse_offset(offset)
    if is_layer(band.name) or is_thermal(band.name):
        return describe(directory, band, product_xml=product_xml)
    try:
        found = describe(directory, band, product_xml=product_xml)
    except CalibrationUnknownError:
        if given is None:
            raise
        found = default_calibration(is_float=band.is_float)
    return Calibration(
        scale=found.scale if scale is None else scale,
        offset=found.offset if given is None else given,
        reason=found.reason if given is None else "given",
    )


def _parse_offset(text: str) -> float:
    if text == "none":
        return 0.0
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not -1e6 < value < 1e6:
        raise ParameterError(f"the offset {text!r} is neither auto, none nor a number")
    return value


def describe(directory: Path | None, band: BandFile, *, product_xml: str | None = None) -> Calibration:
    """By the STAC item, else the product's metadata, else its name or its files', else the file's own scale and
    offset, else none.

    Only a scene directory is described: beside a lone file may lie anything, and a container sees the file alone. A
    layer (classes, aerosol, ...) holds no reflectance and follows the product's metadata alone.
    """
    if directory is not None and product_xml is None:
        path = _find_product_xml(directory)
        product_xml = _read_text(path) if path else None
    if is_layer(band.name):
        return layer_calibration(product_xml, layer=band.name, scale=band.scale, offset=band.offset)
    found = _by_item(directory, band) if directory is not None else None
    if found is None and product_xml is not None:
        found = from_product_xml(product_xml, band=band.name)
    if found is None and directory is not None and (mtl := _find_mtl(directory)):
        found = calibration_from_mtl(_read_text(mtl), band=band.name)
    if found is None and directory is not None:
        found = from_product_name(directory.name, band=band.name)
        if found is None and not band.is_float and (band.scale, band.offset) == (1.0, 0.0):
            found = from_landsat_name(band.path.name)
    if found is None and is_thermal(band.name):
        return Calibration(
            scale=band.scale, offset=band.offset, unit=to_unit(band.unit), reason="the file's own numbers"
        )
    return found or default_calibration(is_float=band.is_float, scale=band.scale, offset=band.offset)


def _by_item(directory: Path, band: BandFile) -> Calibration | None:
    told = [from_item(i, file_name=band.path.name, band=band.name, index=band.index) for i in read_items(directory)]
    found = [calibration for calibration in told if calibration is not None]
    if len({(c.scale, c.offset) for c in found}) > 1:
        raise CalibrationUnknownError(
            f"the STAC items in {directory.name} disagree about {band.path.name}: give OFFSET"
        )
    return found[0] if found else None


def read_items(directory: Path) -> Iterator[Mapping[str, Any]]:
    """The STAC items directly in a directory, by name. Raises CalibrationUnknownError for a `.json` that is not
    JSON."""
    for path in sorted(directory.glob("*.json")):
        try:
            document = json.loads(_read_text(path))
        except ValueError as error:
            raise CalibrationUnknownError(
                f"{path.name} is no JSON ({error}), and it may be the STAC item: give OFFSET"
            ) from error
        if (
            isinstance(document, dict)
            and document.get("type") == "Feature"
            and isinstance(document.get("assets"), dict)
        ):
            yield document


def _find_product_xml(directory: Path) -> Path | None:
    # Spelled MTD_MSIL2A.xml by ESA, MTD_MSIL2a.xml by others.
    for path in sorted(directory.glob("*.[xX][mM][lL]")):
        if path.name.lower() in ("mtd_msil1c.xml", "mtd_msil2a.xml"):
            return path
    return None


def _find_mtl(directory: Path) -> Path | None:
    return next(iter(sorted(directory.glob("*_MTL.txt"))), None)


def with_nodata(directory: Path | None, band: BandFile) -> BandFile:
    """The band, with the no-data value that its scene's description names where the file declares none.

    JPEG2000 cannot declare one, and a zero that counted as a reflectance would make an index of exactly 1 or -1. By
    the STAC item, else 0 for whole numbers in a product of Sentinel-2 or Landsat (by its metadata or its name: 0 is fill
    in all of them). Metadata that cannot be read name none. Only a scene directory is described.
    """
    if band.nodata is not None or directory is None:
        return band
    nodata = _nodata_by_item(directory, band)
    if nodata is None and not band.is_float and _is_product(directory, band.path.name):
        nodata = 0.0
    return replace(band, nodata=nodata)


def _nodata_by_item(directory: Path, band: BandFile) -> float | None:
    try:
        items = list(read_items(directory))
    except CalibrationUnknownError:  # has ended the run already, unless an offset is given
        return None
    file, name = band.path.name, band.name
    told = (nodata_from_item(i, file_name=file, band=name, index=band.index, is_float=band.is_float) for i in items)
    return next((value for value in told if value is not None), None)


def _is_product(directory: Path, file_name: str) -> bool:
    if _find_product_xml(directory) or _find_mtl(directory):
        return True
    return from_product_name(directory.name) is not None or is_landsat_name(file_name)


def _read_text(path: Path) -> str:
    if path.stat().st_size > _MAX_DOCUMENT_BYTES:
        raise CalibrationUnknownError(f"{path.name} is larger than 16 MiB, so it is no scene's metadata: give OFFSET")
    return path.read_text(encoding="utf-8", errors="replace")


def find_acquired(directory: Path | None, name: str) -> str | None:
    """When a scene was acquired: by the STAC item in its directory, else by its name (`S2A_MSIL2A_20230815T095031_...`)."""
    if directory is not None:
        try:
            told = [item.get("properties", {}).get("datetime") for item in read_items(directory)]
        except CalibrationUnknownError:  # some other JSON; the run has been told where its offset is
            told = []
        if found := next((time for time in told if isinstance(time, str)), None):
            return found
    match = _FROM_NAME.search(f"{name}_")
    if match is None:
        return None
    year, month, day, *clock = match.groups(default="00")
    return f"{year}-{month}-{day}T{':'.join(clock)}Z"
