"""Puts the compressed tiles of a raster's levels together as a Cloud-Optimised GeoTIFF.

What GDAL's driver for COGs writes, byte by byte: a header that says how tiles lie, the directories of all levels, then
tiles from the smallest level to the largest, each between its size and its last four bytes. That driver itself decodes
all pixels and encodes them again. TIFF 6.0, BigTIFF, and GDAL's "Cloud Optimized GeoTIFF: low level" say what is meant.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

_SUBFILE, _WIDTH, _LENGTH, _OFFSETS, _SIZES, _METADATA = 254, 256, 257, 324, 325, 42_112
_GEOREFERENCE = range(33_550, 34_738)
# Document, description, resolution, software, date, artist, computer, copyright: what GDAL says of the raster alone.
_DESCRIPTION = {269, 270, 280, 281, 282, 283, 296, 305, 306, 315, 316, 33_432}
_SIZES_OF_TYPES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_UNSIGNED = {3: "H", 4: "I", 16: "Q"}
_LONG, _LONG8 = 4, 16
_CLASSIC_LIMIT = 2**32 - 1  # bytes of a file whose offsets have 32 bits
_STRUCTURE = (
    b"LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
)


@dataclass(frozen=True, kw_only=True)
class Field:
    """An entry of a TIFF's directory."""

    tag: int
    kind: int
    count: int
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Level:
    """One level's compressed tiles."""

    size: tuple[int, int]  # width and height
    tiles: tuple[tuple[int, int], ...]  # offset and size in a file, row by row; 0 and 0 where there is no data


def read_fields(data: bytes) -> list[Field]:
    """What a little-endian BigTIFF says of itself in its only directory, but for its size and where its tiles are."""
    (first,) = struct.unpack_from("<Q", data, 8)
    (count,) = struct.unpack_from("<Q", data, first)
    fields = (_read_field(data, first + 8 + 20 * number) for number in range(count))
    return [field for field in fields if field.tag not in (_WIDTH, _LENGTH, _OFFSETS, _SIZES)]


def _read_field(data: bytes, at: int) -> Field:
    tag, kind, count, place = struct.unpack_from("<HHQQ", data, at)
    size = count * _SIZES_OF_TYPES[kind]
    start = at + 12 if size <= 8 else place
    return Field(tag=tag, kind=kind, count=count, data=data[start : start + size])


def write_layout(file: BinaryIO, fields: Sequence[Field], levels: Sequence[Level], tiles: BinaryIO) -> None:
    """Writes a COG: the full raster, then its overviews, all of which have `fields` in common. Raises OSError."""
    plan = _arrange(fields, levels, big=False)
    if plan.end > _CLASSIC_LIMIT:
        plan = _arrange(fields, levels, big=True)
    file.write(plan.header)
    at = len(plan.header)
    for number, (directory, placed) in enumerate(zip(plan.directories, plan.places, strict=True), 1):
        file.write(directory.to_bytes(at, placed, is_last=number == len(levels)))
        at += directory.size
    for level in reversed(levels):
        file.writelines(_tiles_of(level, tiles))


@dataclass(frozen=True, kw_only=True)
class _Arrangement:
    """Where everything stands in a file; its directories follow the header."""

    header: bytes
    directories: list[_Directory]
    places: list[list[int]]  # of each level's tiles, 0 for one that is left out
    end: int  # the file's size


def _arrange(fields: Sequence[Field], levels: Sequence[Level], *, big: bool) -> _Arrangement:
    structure = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(_STRUCTURE) + _STRUCTURE
    start = _even((16 if big else 8) + len(structure))
    magic = struct.pack("<2sHHHQ", b"II", 43, 8, 0, start) if big else struct.pack("<2sHI", b"II", 42, start)
    directories = [_Directory(fields, level, big=big, is_overview=number > 0) for number, level in enumerate(levels)]
    end = start + sum(directory.size for directory in directories)
    places: list[list[int]] = []
    for level in reversed(levels):
        placed, end = _place(level, end)
        places.insert(0, placed)
    return _Arrangement(header=(magic + structure).ljust(start, b"\0"), directories=directories, places=places, end=end)


def _place(level: Level, end: int) -> tuple[list[int], int]:
    """Where a level's tiles will stand in a file that has reached `end`, and where it ends then."""
    placed = []
    for _, size in level.tiles:
        placed.append(end + 4 if size else 0)
        end += size + 8 if size else 0
    return placed, end


def _tiles_of(level: Level, file: BinaryIO) -> Iterator[bytes]:
    for offset, size in level.tiles:
        if size:
            file.seek(offset)
            tile = file.read(size)
            yield struct.pack("<I", size)
            yield tile
            yield tile[-4:].rjust(4, b"\0")


class _Directory:
    """A level's directory in the COG."""

    def __init__(self, fields: Sequence[Field], level: Level, *, big: bool, is_overview: bool) -> None:
        self._big = big
        self._sizes = [size for _, size in level.tiles]
        dropped = {_SUBFILE, _METADATA, *_DESCRIPTION, *_GEOREFERENCE} if is_overview else {_SUBFILE}
        self._fields = [field for field in fields if field.tag not in dropped]
        width, height = level.size
        own = {_WIDTH: width, _LENGTH: height, **({_SUBFILE: 1} if is_overview else {})}
        for tag, number in own.items():
            self._fields.append(Field(tag=tag, kind=_LONG, count=1, data=struct.pack("<I", number)))
        self._entry, self._inline = (20, 8) if big else (12, 4)
        self.size = self._length(self._all([0] * len(level.tiles)))  # which offsets do not change

    def _all(self, placed: Sequence[int]) -> list[Field]:
        letter, kind = ("Q", _LONG8) if self._big else ("I", _LONG)
        count = len(placed)
        where = Field(tag=_OFFSETS, kind=kind, count=count, data=struct.pack(f"<{count}{letter}", *placed))
        sizes = Field(tag=_SIZES, kind=_LONG, count=count, data=struct.pack(f"<{count}I", *self._sizes))
        return sorted([*self._fields, where, sizes], key=lambda field: field.tag)

    def _length(self, fields: Sequence[Field]) -> int:
        values = sum(_even(len(field.data)) for field in fields if len(field.data) > self._inline)
        return (16 if self._big else 6) + self._entry * len(fields) + values

    def to_bytes(self, at: int, placed: Sequence[int], *, is_last: bool) -> bytes:
        """The directory with the values that its entries point to, to stand at `at` in the file."""
        fields = self._all(placed)
        entries, values = b"", b""
        beyond = at + (16 if self._big else 6) + self._entry * len(fields)
        for field in fields:
            value = field.data
            if len(value) > self._inline:
                value = struct.pack("<Q" if self._big else "<I", beyond + len(values))
                values += field.data.ljust(_even(len(field.data)), b"\0")
            head = struct.pack("<HHQ" if self._big else "<HHI", field.tag, field.kind, field.count)
            entries += head + value.ljust(self._inline, b"\0")
        following = 0 if is_last else at + self.size
        count, link = ("<Q", "<Q") if self._big else ("<H", "<I")
        return struct.pack(count, len(fields)) + entries + struct.pack(link, following) + values


def _even(size: int) -> int:
    return size + size % 2
