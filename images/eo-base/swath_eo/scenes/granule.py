"""What a Sentinel-2 granule's metadata (MTD_TL.xml) say: its grids, and where the sun and the instrument stood (pure)."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import Affine
from rasterio.warp import transform
from rasterio.windows import Window

from swath_eo.errors import ProductMetadataError
from swath_eo.geometry.grid import Grid
from swath_eo.scenes.calibration import BAND_IDS

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Angles:
    """Zenith and azimuth, degrees, on nodes from the granule's upper left corner on; NaN where not known."""

    crs: CRS
    left: float  # x of the first node
    top: float  # y of the first node
    step: float  # metres between nodes
    zenith: Float64  # (rows, columns)
    azimuth: Float64  # clockwise from north

    def at(self, grid: Grid, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Zenith and azimuth (0..360) at the centres of a window's pixels, bilinear between the nodes.

        Beyond the nodes that are known the nearest counts. Raises ProductMetadataError where none is known.
        """
        x, y = _centres(grid, window, self.crs)
        column, row = (x - self.left) / self.step, (self.top - y) / self.step
        zenith, east, north = (_interpolate(layer, row, column) for layer in self._filled)
        return zenith.astype(np.float32), (np.degrees(np.arctan2(east, north)) % 360).astype(np.float32)

    def zenith_at(self, grid: Grid, window: Window) -> NDArray[np.float32]:
        """The zenith alone, as `at` has it."""
        x, y = _centres(grid, window, self.crs)
        zenith = _interpolate(self._filled[0], (self.top - y) / self.step, (x - self.left) / self.step)
        return zenith.astype(np.float32)

    @cached_property
    def _filled(self) -> tuple[Float64, Float64, Float64]:
        azimuth = np.radians(self.azimuth)  # 359 and 1 degree have 0 between them, so their directions are averaged
        return _fill(self.zenith), _fill(np.sin(azimuth)), _fill(np.cos(azimuth))


@dataclass(frozen=True, kw_only=True)
class Granule:
    """A granule's metadata."""

    acquired: datetime
    grids: Mapping[int, Grid]  # by resolution in metres
    sun: Angles | None  # None where the metadata lack them, as in products that some archives have thinned out
    views: Mapping[tuple[str, int], Angles]  # by band ("B04") and detector
    mean_sun: tuple[float, float] | None  # zenith and azimuth, degrees
    mean_views: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def view(self, band: str) -> Angles:
        """Of all detectors of a band, their mean where two overlap. Raises ProductMetadataError where there is none."""
        found = [angles for (name, _), angles in sorted(self.views.items()) if name == band]
        if not found:
            raise ProductMetadataError(f"the granule's metadata have no view angles of {band}")
        first = found[0]
        zenith, azimuth = _mean(found)
        return Angles(crs=first.crs, left=first.left, top=first.top, step=first.step, zenith=zenith, azimuth=azimuth)


def parse_granule(text: str, *, where: str) -> Granule:
    """Raises ProductMetadataError, which names `where`."""
    try:
        # expat resolves no external entity and bounds the growth of internal ones
        root = ElementTree.fromstring(text)  # noqa: S314
        return _parse(root)
    except (ElementTree.ParseError, ValueError, KeyError, IndexError, CRSError) as error:
        raise ProductMetadataError(f"{where} cannot be read: {error}") from error


def _parse(root: ElementTree.Element) -> Granule:
    crs = CRS.from_user_input(_text(root, ".//HORIZONTAL_CS_CODE"))
    grids = {
        int(size.attrib["resolution"]): _to_grid(crs, size, _find(root, _geoposition(size)))
        for size in root.iterfind(".//Tile_Geocoding/Size")
    }
    if not grids or 10 not in grids:
        raise ValueError("it names no grid of 10 m")
    corner = grids[10].transform
    sun = root.find(".//Sun_Angles_Grid")
    return Granule(
        acquired=to_time(_text(root, ".//SENSING_TIME")),
        grids=grids,
        sun=None if sun is None else _to_angles(sun, crs, corner),
        views={
            (BAND_IDS[int(view.attrib["bandId"])], int(view.attrib["detectorId"])): _to_angles(view, crs, corner)
            for view in root.iterfind(".//Viewing_Incidence_Angles_Grids")
        },
        mean_sun=_to_mean(root.find(".//Mean_Sun_Angle")),
        mean_views={
            BAND_IDS[int(mean.attrib["bandId"])]: told
            for mean in root.iterfind(".//Mean_Viewing_Incidence_Angle")
            if (told := _to_mean(mean)) is not None
        },
    )


def _geoposition(size: ElementTree.Element) -> str:
    return f".//Tile_Geocoding/Geoposition[@resolution='{int(size.attrib['resolution'])}']"


def to_time(text: str) -> datetime:
    """ISO 8601, in UTC where it names no zone. Raises ValueError."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _find(element: ElementTree.Element, path: str) -> ElementTree.Element:
    found = element.find(path)
    if found is None:
        raise ValueError(f"it has no {path.removeprefix('.//')}")
    return found


def _text(element: ElementTree.Element, path: str) -> str:
    return (_find(element, path).text or "").strip()


def _to_grid(crs: CRS, size: ElementTree.Element, place: ElementTree.Element) -> Grid:
    x, y = float(_text(place, "XDIM")), float(_text(place, "YDIM"))
    left, top = float(_text(place, "ULX")), float(_text(place, "ULY"))
    width, height = int(_text(size, "NCOLS")), int(_text(size, "NROWS"))
    if not (0 < width < 100_000 and 0 < height < 100_000 and x > 0 > y):
        raise ValueError(f"a grid of {width} x {height} pixels of {x:g} x {y:g} m is none")
    return Grid(crs=crs, transform=Affine(x, 0, left, 0, y, top), width=width, height=height)


def _to_angles(element: ElementTree.Element, crs: CRS, corner: Affine) -> Angles:
    zenith, azimuth = _to_values(_find(element, "Zenith")), _to_values(_find(element, "Azimuth"))
    step = float(_text(element, "Zenith/COL_STEP"))
    if zenith.shape != azimuth.shape or min(zenith.shape) < 2 or not step > 0:
        raise ValueError(f"angles on {zenith.shape} and {azimuth.shape} nodes, {step:g} m apart, are none")
    return Angles(crs=crs, left=corner.c, top=corner.f, step=step, zenith=zenith, azimuth=azimuth)


def _to_values(element: ElementTree.Element) -> Float64:
    rows = [(row.text or "").split() for row in element.iterfind("Values_List/VALUES")]
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1)


def _to_mean(element: ElementTree.Element | None) -> tuple[float, float] | None:
    if element is None:
        return None
    return float(_text(element, "ZENITH_ANGLE")), float(_text(element, "AZIMUTH_ANGLE"))


def _mean(angles: Sequence[Angles]) -> tuple[Float64, Float64]:
    zenith = np.stack([one.zenith for one in angles])
    azimuth = np.radians(np.stack([one.azimuth for one in angles]))
    known = np.isfinite(zenith) & np.isfinite(azimuth)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean = np.where(known, zenith, 0).sum(axis=0) / count
    east, north = (np.where(known, of(azimuth), 0).sum(axis=0) for of in (np.sin, np.cos))
    return mean, np.where(count > 0, np.degrees(np.arctan2(east, north)) % 360, np.nan)


def _fill(values: Float64) -> Float64:
    """Unknown nodes take the value of the nearest that is known."""
    known = np.argwhere(np.isfinite(values))
    if not known.size:
        raise ProductMetadataError("the granule's metadata have no angle that is a number")
    filled = values.copy()
    for row, column in np.argwhere(~np.isfinite(values)):
        nearest = known[np.argmin(((known - (row, column)) ** 2).sum(axis=1))]
        filled[row, column] = values[nearest[0], nearest[1]]
    return filled


def _interpolate(nodes: Float64, row: Float64, column: Float64) -> Float64:
    rows, columns = nodes.shape
    row, column = np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)
    top, left = np.minimum(row.astype(np.intp), rows - 2), np.minimum(column.astype(np.intp), columns - 2)
    down, right = row - top, column - left
    if row.shape[1] == column.shape[0] == 1:  # rows and columns run as the nodes' do: a row of nodes serves many pixels
        along = nodes[:, left[0]] * (1 - right) + nodes[:, left[0] + 1] * right
        upper, lower = along[top[:, 0]], along[top[:, 0] + 1]
    else:
        upper = nodes[top, left] * (1 - right) + nodes[top, left + 1] * right
        lower = nodes[top + 1, left] * (1 - right) + nodes[top + 1, left + 1] * right
    result: Float64 = upper * (1 - down) + lower * down
    return result


def _centres(grid: Grid, window: Window, crs: CRS) -> tuple[Float64, Float64]:
    """x and y of the centres of a window's pixels in `crs`, which broadcast to (rows, columns)."""
    columns = np.arange(window.col_off, window.col_off + window.width)[None, :] + 0.5
    rows = np.arange(window.row_off, window.row_off + window.height)[:, None] + 0.5
    t = grid.transform
    if grid.crs == crs and t.b == t.d == 0:
        return t.c + t.a * columns, t.f + t.e * rows
    x, y = t.c + t.a * columns + t.b * rows, t.f + t.d * columns + t.e * rows
    if grid.crs != crs:
        there = transform(grid.crs, crs, x.ravel(), y.ravel())
        x, y = (np.asarray(part, dtype=np.float64).reshape(x.shape) for part in there)
    return x, y
