"""Logs in an object store, as executors put them there (swath/domain/log_archive.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError

from api.archive import CHUNK, Archived
from swath.domain.errors import OutputsUnreachableError
from swath.domain.log_archive import LAST, PARTIAL, log_directory, read_piece_name
from swath.s3 import NoBucketError, Stores, split_href
from swath.store.rows import AttemptRow

if TYPE_CHECKING:
    from obstore.store import S3Store


class Bucket:
    """Below a prefix of a bucket."""

    def __init__(self, root: str, stores: Path | None) -> None:
        """`root` is "s3://bucket/prefix"."""
        self._bucket, self._prefix = split_href(root.rstrip("/"))
        self._stores = Stores(stores)

    def find(self, attempt: AttemptRow, stream: str, *, whole: bool) -> Archived | None:
        """As one object once all is there, else in the pieces that have come."""
        place = f"{self._prefix}/{log_directory(attempt.job_id, attempt.task_index, attempt.id)}"
        with _translated(self._bucket):
            store = self._stores.open(self._bucket)
            last = _find_size(store, f"{place}/{LAST}")
            if last is not None:
                key = f"{place}/{stream}"
                size = last if stream == LAST else _find_size(store, key) or 0
                return _Objects(
                    store=store, bucket=self._bucket, parts=(_Part(key=key, start=0, size=size),), complete=True
                )
            if whole:
                return None
            listed = [entry for batch in store.list(f"{place}{PARTIAL}/") for entry in batch]
        if not listed:
            return None
        pieces = ((read_piece_name(entry["path"].rpartition("/")[2]), entry) for entry in listed)
        found = [
            _Part(key=entry["path"], start=piece[1], size=entry["size"])
            for piece, entry in pieces
            if piece is not None and piece[0] == stream
        ]
        return _Objects(store=store, bucket=self._bucket, parts=_join(found), complete=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """An object, and where its bytes begin in the log."""

    key: str
    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True, kw_only=True, slots=True)
class _Objects:
    """A log that is one object, or several in a row."""

    store: S3Store
    bucket: str
    parts: Sequence[_Part]
    complete: bool

    def read(self, offset: int, length: int) -> tuple[bytes, int]:
        """See Archived; of one part at a time."""
        size = self.parts[-1].end if self.parts else 0
        part = next((part for part in self.parts if part.start <= offset < part.end), None)
        if part is None:
            return b"", size
        end = min(part.end, offset + min(length, CHUNK))
        with _translated(self.bucket):
            data = self.store.get_range(part.key, start=offset - part.start, end=end - part.start)
        return bytes(data), size


def _find_size(store: S3Store, key: str) -> int | None:
    try:
        return int(store.head(key)["size"])
    except FileNotFoundError:
        return None


def _join(parts: list[_Part]) -> list[_Part]:
    """Those that follow each other without a gap."""
    joined: list[_Part] = []
    for part in sorted(parts, key=lambda part: part.start):
        if part.start != (joined[-1].end if joined else 0):
            break
        joined.append(part)
    return joined


@contextmanager
def _translated(bucket: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, NoBucketError, BaseError) as error:
        reason = str(error).partition("\n")[0][:300]
        raise OutputsUnreachableError(f"logs cannot be read from s3://{bucket}: {reason}") from error
