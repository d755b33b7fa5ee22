"""Areas of interest: boxes and GeoJSON, in any coordinate reference system and across the antimeridian (pure)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform

from swath_eo.errors import ParameterError
from swath_eo.geometry.footprints import Point, Ring, unwrap

LONG_LAT = CRS.from_epsg(4326)
_MAX_POINTS = 1_000_000
_STEPS = 21  # points on an edge that is carried to another system: a straight edge on one map is a bow on another

Bounds = tuple[float, float, float, float]  # left, bottom, right, top


@dataclass(frozen=True, kw_only=True)
class Area:
    """Polygons, each of an outer ring and its holes. In degrees longitudes go on beyond 180 where it crosses the
    antimeridian."""

    crs: CRS
    polygons: tuple[tuple[Ring, ...], ...]
    is_box: bool = False  # all of its bounds in its own system

    @property
    def bounds(self) -> Bounds:
        """Left, bottom, right, top."""
        points = [point for polygon in self.polygons for point in polygon[0]]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        return min(xs), min(ys), max(xs), max(ys)

    def to(self, crs: CRS) -> Area:
        """The area in another system, its edges followed. Raises ParameterError where it has no place there."""
        if crs == self.crs:
            return self
        polygons = tuple(tuple(_carry(ring, self.crs, crs) for ring in polygon) for polygon in self.polygons)
        return Area(crs=crs, polygons=_joined(polygons) if crs.is_geographic else polygons)

    def to_geojson(self) -> list[dict[str, Any]]:
        """Polygons as rasterio takes them, in the area's own system."""
        return [{"type": "Polygon", "coordinates": [[*ring, ring[0]] for ring in polygon]} for polygon in self.polygons]


def to_crs(text: str, what: str) -> CRS:
    """ "EPSG:32632", WKT, a URN, ... Raises ParameterError."""
    try:
        return CRS.from_user_input(text)
    except (CRSError, ValueError) as error:
        raise ParameterError(f"{what} is {text[:80]!r}, which names no coordinate reference system") from error


def parse_bbox(text: str, crs: CRS = LONG_LAT) -> Area:
    """ "left,bottom,right,top" in `crs`; in degrees left may be above right, across the antimeridian. Raises
    ParameterError."""
    try:
        left, bottom, right, top = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ParameterError(f"the box {text[:80]!r} is not of four numbers: left,bottom,right,top") from error
    if not all(map(math.isfinite, (left, bottom, right, top))):
        raise ParameterError(f"the box {text[:80]!r} holds what is no finite number")
    if crs.is_geographic and left > right:
        right += 360
    if not (left < right and bottom < top):
        raise ParameterError(f"the box {text[:80]!r} is empty: it wants left,bottom,right,top")
    if crs.is_geographic and (bottom < -90 or top > 90 or left < -180 or right > 540 or right - left > 360):
        raise ParameterError(f"the box {text[:80]!r} leaves the globe")
    return Area(crs=crs, polygons=(([(left, top), (left, bottom), (right, bottom), (right, top)],),), is_box=True)


def parse_geojson(text: str, crs: CRS | None = None) -> Area:
    """All polygons of a GeoJSON document: in `crs`, else in what its member "crs" names, else in degrees. Raises
    ParameterError."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ParameterError(f"the area is no JSON: {error}") from error
    named = document.get("crs") if isinstance(document, dict) else None
    if crs is None and isinstance(named, dict):
        crs = to_crs(str((named.get("properties") or {}).get("name")), "the area's crs")
    found = crs or LONG_LAT
    try:
        polygons = tuple(tuple(_to_ring(ring) for ring in polygon) for polygon in _polygons_of(document))
    except (TypeError, ValueError, AttributeError, KeyError, RecursionError) as error:
        raise ParameterError(f"the area is no GeoJSON of polygons: {error}") from error
    if not polygons or not all(polygons):
        raise ParameterError("the area holds no polygon")
    if sum(len(ring) for polygon in polygons for ring in polygon) > _MAX_POINTS:
        raise ParameterError(f"the area has more than {_MAX_POINTS} points")
    if not found.is_geographic:
        return Area(crs=found, polygons=polygons)
    if not all(-180 <= x <= 360 and -90 <= y <= 90 for polygon in polygons for ring in polygon for x, y in ring):
        raise ParameterError(f"the area leaves the globe: name its coordinate reference system if it is not {found}")
    return Area(crs=found, polygons=_joined(polygons))


def _polygons_of(document: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
    kind = document["type"]
    if kind == "FeatureCollection":
        for feature in document["features"]:
            yield from _polygons_of(feature)
    elif kind == "Feature":
        yield from _polygons_of(document["geometry"])
    elif kind == "GeometryCollection":
        for geometry in document["geometries"]:
            yield from _polygons_of(geometry)
    elif kind == "Polygon":
        yield document["coordinates"]
    elif kind == "MultiPolygon":
        yield from document["coordinates"]
    else:
        raise ValueError(f"{kind!r} covers no area")


def _to_ring(points: Sequence[Sequence[float]]) -> Ring:
    ring = [(float(point[0]), float(point[1])) for point in points]
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in ring):
        raise ValueError("a coordinate is no finite number")
    if len(ring) > 1 and ring[0] == ring[-1]:
        ring.pop()
    if len(ring) < 3:
        raise ValueError("a ring has less than three corners")
    return ring


def _joined(polygons: tuple[tuple[Ring, ...], ...]) -> tuple[tuple[Ring, ...], ...]:
    """Degrees, as one area: rings go on beyond 180, and so do polygons where that makes the whole narrower (GeoJSON cuts
    at the antimeridian)."""
    whole = tuple(tuple(unwrap(ring) for ring in polygon) for polygon in polygons)
    turned = tuple(
        tuple([(x + 360, y) for x, y in ring] for ring in polygon) if _middle(polygon[0]) < 0 else polygon
        for polygon in whole
    )
    return turned if _width(turned) < _width(whole) else whole


def _middle(ring: Ring) -> float:
    return (min(x for x, _ in ring) + max(x for x, _ in ring)) / 2


def _width(polygons: tuple[tuple[Ring, ...], ...]) -> float:
    xs = [x for polygon in polygons for x, _ in polygon[0]]
    return max(xs) - min(xs)


def _carry(ring: Ring, source: CRS, target: CRS) -> Ring:
    points = list(_along(ring))
    try:
        xs, ys = transform(source, target, [x for x, _ in points], [y for _, y in points])
    except Exception:  # rasterio lets GDAL's own classes out here, which have no public base
        xs, ys = [math.nan], [math.nan]
    if not all(map(math.isfinite, (*xs, *ys))):
        raise ParameterError(f"the area lies where {target.to_string()[:40]} has no place for it")
    return list(zip(xs, ys, strict=True))


def _along(ring: Sequence[Point]) -> Iterator[Point]:
    for number, (x, y) in enumerate(ring):
        before_x, before_y = ring[number - 1]
        for step in range(_STEPS):
            share = step / _STEPS
            yield before_x + share * (x - before_x), before_y + share * (y - before_y)
