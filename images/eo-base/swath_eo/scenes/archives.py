"""A product's files, in a directory or in a zip: which there are, their text, and where GDAL finds them."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

from swath_eo.errors import ArchiveRefusedError, ProductMetadataError, UnreadableFileError

MAX_FILES = 10_000  # a product has some hundreds
_MAX_DEPTH = 8
_MAX_TEXT_BYTES = 64 * 2**20  # the largest metadata of a granule take 1 MiB, of a datastrip 13
_MAX_FILE_BYTES = 2 * 2**30  # an image of 10980 x 10980 takes 0.25
_MAX_TOTAL_BYTES = 64 * 2**30
_ZIP = re.compile(r"^/vsizip/\{(?P<archive>[^{}]+)\}/(?P<member>.+)$")
_MAGIC = b"PK\3\4"


class Files(Protocol):
    """The files of one product, by their names from its root ("GRANULE/.../B04.jp2")."""

    @property
    def where(self) -> Path:
        """The directory or the zip."""

    @property
    def names(self) -> Sequence[str]:
        """All of them, sorted."""

    def read_text(self, name: str) -> str:
        """Raises ProductMetadataError."""

    def path(self, name: str) -> Path:
        """What `scene.open_raster` opens."""


def open_files(path: Path) -> Files:
    """Raises UnreadableFileError for what is neither, and ArchiveRefusedError for a zip that no product comes in."""
    return _Directory(path) if path.is_dir() else _Zip(path)


def is_zip(path: Path) -> bool:
    """By its first bytes."""
    try:
        with path.open("rb") as file:
            return file.read(4) == _MAGIC
    except OSError:
        return False


def read_start(path: Path, count: int) -> bytes:
    """The first bytes of a file or of a member of a zip. Raises UnreadableFileError."""
    member = _ZIP.match(str(path))
    try:
        if member is None:
            with path.open("rb") as file:
                return file.read(count)
        with zipfile.ZipFile(member["archive"]) as archive, archive.open(member["member"]) as file:
            return file.read(count)
    except (OSError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise UnreadableFileError(f"{path} cannot be read: {error}") from error


def is_in_zip(path: Path) -> bool:
    """Whether a path names a member of a zip, as `Files.path` gives it."""
    return _ZIP.match(str(path)) is not None


class _Directory:
    def __init__(self, where: Path) -> None:
        self.where = where
        found: list[str] = []
        for root, directories, names in os.walk(where):  # does not follow links to directories: they can run in circles
            depth = len(Path(root).relative_to(where).parts)
            directories[:] = sorted(directories) if depth < _MAX_DEPTH else []
            found += [Path(root, name).relative_to(where).as_posix() for name in sorted(names)]
            if len(found) > MAX_FILES:
                raise UnreadableFileError(f"{where.name} holds more than {MAX_FILES} files: that is no product")
        self.names: Sequence[str] = found

    def read_text(self, name: str) -> str:
        path = self.where / name
        try:
            if path.stat().st_size > _MAX_TEXT_BYTES:
                raise ProductMetadataError(f"{path} is larger than 64 MiB, so it is no metadata")
            return path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise ProductMetadataError(f"{path} cannot be read: {error}") from error

    def path(self, name: str) -> Path:
        return self.where / name


class _Zip:
    def __init__(self, where: Path) -> None:
        self.where = where
        try:
            with zipfile.ZipFile(where) as archive:
                members = archive.infolist()
        except FileNotFoundError as error:
            raise UnreadableFileError(f"{where} does not exist") from error
        except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
            raise UnreadableFileError(f"{where} is damaged: {error}") from error
        self._check(members)
        self.names: Sequence[str] = sorted(member.filename for member in members if not member.is_dir())

    def _check(self, members: Sequence[zipfile.ZipInfo]) -> None:
        """Nothing is extracted, but names become paths for GDAL, and sizes memory."""
        name = self.where.name
        if "{" in str(self.where.resolve()) or "}" in str(self.where.resolve()):
            raise ArchiveRefusedError(f"{name}: GDAL reads no archive with braces in its path")
        if len(members) > MAX_FILES:
            raise ArchiveRefusedError(f"{name} holds {len(members)} files: that is no product")
        if len({member.filename for member in members}) < len(members):
            raise ArchiveRefusedError(f"{name} holds two files of one name")
        if sum(member.file_size for member in members) > _MAX_TOTAL_BYTES:
            raise ArchiveRefusedError(f"{name} would unpack to more than {_MAX_TOTAL_BYTES >> 30} GiB")
        for member in members:
            if not _is_tame(member.filename):
                raise ArchiveRefusedError(f"{name} holds a file of the name {member.filename[:80]!r}")
            if member.file_size > _MAX_FILE_BYTES:
                raise ArchiveRefusedError(f"{name} holds {member.filename}, which would unpack to more than 2 GiB")
            if member.flag_bits & 1:
                raise ArchiveRefusedError(f"{name} is encrypted")

    def read_text(self, name: str) -> str:
        try:
            with zipfile.ZipFile(self.where) as archive, archive.open(name) as member:
                data = member.read(_MAX_TEXT_BYTES + 1)
        except (OSError, KeyError, RuntimeError, NotImplementedError, EOFError, zipfile.BadZipFile) as error:
            raise ProductMetadataError(f"{name} in {self.where.name} cannot be read: {error}") from error
        if len(data) > _MAX_TEXT_BYTES:
            raise ProductMetadataError(f"{name} in {self.where.name} is larger than 64 MiB, so it is no metadata")
        return data.decode("utf-8", errors="replace")

    def path(self, name: str) -> Path:
        return Path(f"/vsizip/{{{self.where.resolve()}}}/{name}")


def _is_tame(name: str) -> bool:
    path = PurePosixPath(name)
    return (
        name.isprintable()
        and not path.is_absolute()
        and ".." not in path.parts
        and len(path.parts) <= _MAX_DEPTH + 1
        and len(name) < 1000
        and not set(name) & set("\\{}")
    )
