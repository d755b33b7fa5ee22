"""Outlines on the globe, in degrees: how they cross the antimeridian, and in which parts GeoJSON wants them (pure)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Point = tuple[float, float]  # longitude, latitude
Ring = list[Point]  # the first point is not repeated at the end


def make_footprint(positions: str) -> dict[str, Any]:
    """GeoJSON of "latitude longitude latitude longitude ...", as SAFE has it. Raises ValueError."""
    numbers = [float(number) for number in positions.split()]
    if len(numbers) < 8 or len(numbers) % 2:
        raise ValueError(f"an outline of {len(numbers)} numbers is none")
    ring = list(zip(numbers[1::2], numbers[0::2], strict=True))
    if not all(-180 <= x <= 180 and -90 <= y <= 90 for x, y in ring):
        raise ValueError("an outline leaves the globe")
    return to_geometry(ring[:-1] if ring[0] == ring[-1] else ring)


def unwrap(ring: Sequence[Point]) -> Ring:
    """The ring with longitudes that go on beyond 180 where it crosses the antimeridian, which is where two neighbours are
    more than half the globe apart."""
    result: Ring = []
    turns = 0
    for number, (x, y) in enumerate(ring):
        if number:
            step = x - ring[number - 1][0]
            turns += (step < -180) - (step > 180)
        result.append((x + 360 * turns, y))
    west = min(x for x, _ in result)
    return [(x + 360, y) for x, y in result] if west < -180 else result


def to_geometry(ring: Sequence[Point]) -> dict[str, Any]:
    """A Polygon, counter-clockwise; a MultiPolygon of what lies west and east of the antimeridian where it crosses that
    (RFC 7946, 3.1.9)."""
    whole = unwrap(ring)
    if max(x for x, _ in whole) <= 180:
        return {"type": "Polygon", "coordinates": [_closed(whole)]}
    west = clip(whole, lambda x: x <= 180, 180.0)
    east = [(x - 360, y) for x, y in clip(whole, lambda x: x >= 180, 180.0)]
    return {"type": "MultiPolygon", "coordinates": [[_closed(west)], [_closed(east)]]}


def clip(ring: Sequence[Point], inside: Callable[[float], bool], meridian: float) -> Ring:
    """The part of a ring on one side of a meridian (Sutherland and Hodgman 1974)."""
    result: Ring = []
    for number, (x, y) in enumerate(ring):
        before_x, before_y = ring[number - 1]
        if inside(x) != inside(before_x):
            share = (meridian - before_x) / (x - before_x)
            result.append((meridian, before_y + share * (y - before_y)))
        if inside(x):
            result.append((x, y))
    return result


def _closed(ring: Ring) -> list[list[float]]:
    area = sum(ring[i - 1][0] * y - x * ring[i - 1][1] for i, (x, y) in enumerate(ring))
    points = ring if area > 0 else ring[::-1]
    return [[x, y] for x, y in [*points, points[0]]]
