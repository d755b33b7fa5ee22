"""The STAC item of a raster that an image has made (STAC 1.1): where it lies, how it is gridded, what its bands hold.

What only the executor knows (the image's digest, where inputs come from, the job) it adds when it publishes the item.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rasterio
from rasterio.crs import CRS
from rasterio.enums import WktVersion
from rasterio.transform import Affine
from rasterio.warp import transform

from swath_eo.geometry.footprints import to_geometry, unwrap

VERSION = "1.1.0"
FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
_SHA256 = "1220"  # multihash: the function, and the length of what follows
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_LONG_LAT = CRS.from_epsg(4326)
_STEPS = 8  # points on each edge of a raster: a straight edge on one map is a bow on another
_AROUND = 1e-6  # degrees that an outline around the globe may lack
_DIGITS = 7  # of a degree: a centimetre


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file beside the item."""

    file: str  # its name
    media_type: str
    role: str  # data, metadata, overview
    title: str
    band_statistics: Sequence[Mapping[str, float]] = ()  # of each of its bands, as STAC names them


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """How it was made."""

    software: str  # "subset"
    version: str
    inputs: Sequence[str]  # names of scenes
    parameters: Mapping[str, Any]  # as a user gave them


def make_item(
    identity: str,
    raster: Path,
    *,
    assets: Mapping[str, Asset],
    acquired: str | None,
    created: str,
    located: bool,
    lineage: Lineage | None = None,
) -> dict[str, Any]:
    """The item of a raster and the files beside it, which lie there already and are summed.

    `acquired` and `created` are RFC 3339 in UTC; without the former the latter stands in, and the item says so. `located`:
    whether the raster's grid is on the ground and not a nominal one; else the item has no geometry.
    """
    with rasterio.open(raster) as dataset:
        grid = _describe_grid(dataset)
        geometry = make_geometry(dataset.crs, dataset.transform, dataset.width, dataset.height) if located else None
    properties = {"datetime": acquired or created, "created": created, **(grid if located else {})}
    if acquired is None:
        properties["description"] = "It is not known when the scene was acquired: datetime is when it was processed."
    if lineage is not None:
        properties["processing:software"] = {lineage.software: lineage.version}
        properties["swath:inputs"] = list(lineage.inputs)
        properties["swath:parameters"] = {name: _to_json(value) for name, value in lineage.parameters.items()}
    item = {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": [*([PROJECTION] if located else []), FILE, *([PROCESSING] if lineage else [])],
        "id": identity,
        "geometry": geometry,
        "properties": properties,
        "links": [],
        "assets": {key: _describe_asset(asset, raster.parent) for key, asset in assets.items()},
    }
    return item if geometry is None else {**item, "bbox": find_bbox(geometry)}


def _to_json(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _describe_grid(dataset: Any) -> dict[str, Any]:
    epsg = dataset.crs.to_epsg() if dataset.crs else None
    code = (
        {"proj:code": f"EPSG:{epsg}"}
        if epsg
        else {"proj:code": None, "proj:wkt2": dataset.crs.to_wkt(version=WktVersion.WKT2_2019)}
    )
    return {
        **code,
        "proj:bbox": list(dataset.bounds),
        "proj:shape": [dataset.height, dataset.width],
        "proj:transform": list(dataset.transform)[:6],
    }


def _describe_asset(asset: Asset, folder: Path) -> dict[str, Any]:
    path = folder / asset.file
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    said: dict[str, Any] = {
        "href": f"./{asset.file}",
        "type": asset.media_type,
        "title": asset.title,
        "roles": [asset.role],
        "file:size": path.stat().st_size,
        "file:checksum": f"{_SHA256}{digest}",
    }
    if asset.media_type == COG:
        said["bands"] = _describe_bands(path, asset.band_statistics)
    return said


def _describe_bands(path: Path, statistics: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    with rasterio.open(path) as dataset:
        bands = [_describe_band(dataset, index) for index in range(dataset.count)]
    for band, known in zip(bands, statistics, strict=False):
        band["statistics"] = dict(known)
    return bands


def _describe_band(dataset: Any, index: int) -> dict[str, Any]:
    nodata = dataset.nodata
    has_scale = (dataset.scales[index], dataset.offsets[index]) != (1.0, 0.0)
    said = {
        "name": (dataset.descriptions[index] or f"band {index + 1}").lower(),
        "description": dataset.descriptions[index],
        "unit": dataset.units[index],
        "data_type": dataset.dtypes[index],
        "nodata": "nan" if nodata is not None and math.isnan(nodata) else nodata,
        "raster:scale": dataset.scales[index] if has_scale else None,
        "raster:offset": dataset.offsets[index] if has_scale else None,
    }
    return {name: value for name, value in said.items() if value is not None}


def make_geometry(crs: CRS, placed: Affine, width: int, height: int) -> dict[str, Any]:
    """The outline of a raster in degrees, counter-clockwise; in two parts where it crosses the antimeridian, and a belt where
    it goes around the globe, up to the pole if that lies inside."""
    corners = [placed @ (width * x, height * y) for x, y in _outline()]
    longs, lats = transform(crs, _LONG_LAT, [x for x, _ in corners], [y for _, y in corners])
    ring = unwrap(list(zip(longs, lats, strict=True)))
    west, east = min(x for x, _ in ring), max(x for x, _ in ring)
    if east - west > 360 - _AROUND:
        pole = [math.copysign(90, sum(lats))] if abs(ring[-1][0] - ring[0][0]) > _AROUND else []
        return {"type": "Polygon", "coordinates": [_box(-180, min(*lats, *pole), 180, max(*lats, *pole))]}
    turns = math.floor((west + 180) / 360)  # rasters in degrees may begin beyond the antimeridian
    geometry = to_geometry([(x - 360 * turns, y) for x, y in ring[:-1]])
    return {**geometry, "coordinates": _rounded(geometry["coordinates"])}


def _rounded(coordinates: Any) -> Any:
    return [_rounded(c) for c in coordinates] if isinstance(coordinates, list) else round(coordinates, _DIGITS)


def _outline() -> Iterator[tuple[float, float]]:
    """Points around the unit square, the first one once more at the end."""
    steps = [step / _STEPS for step in range(_STEPS)]
    yield from ((step, 0.0) for step in steps)
    yield from ((1.0, step) for step in steps)
    yield from ((1.0 - step, 1.0) for step in steps)
    yield from ((0.0, 1.0 - step) for step in steps)
    yield 0.0, 0.0


def _box(west: float, south: float, east: float, north: float) -> list[list[float]]:
    w, s, e, n = (round(edge, _DIGITS) for edge in (west, south, east, north))
    return [[w, s], [e, s], [e, n], [w, n], [w, s]]


def find_bbox(geometry: Mapping[str, Any]) -> list[float]:
    """west, south, east, north; west is east of east where the geometry crosses the antimeridian (RFC 7946, 5.2)."""
    crosses = geometry["type"] == "MultiPolygon"
    rings = [part[0] for part in geometry["coordinates"]] if crosses else [geometry["coordinates"][0]]
    lats = [y for ring in rings for _, y in ring]
    west = min(x for x, _ in rings[0])
    east = max(x for x, _ in rings[-1])
    return [west, min(lats), east, max(lats)]
