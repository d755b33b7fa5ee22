"""Logs in an object store, which can neither append nor rename (swath/domain/log_archive.py says what lies where).

While an attempt runs, what it has written since becomes an object of its own now and then. At its end the whole log is put as
one object, for whoever reads it reads a range of it; the pieces go.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

from executor.archives import Shipment
from executor.fetching.buckets import translated
from executor.fetching.errors import RefusedError
from executor.logs import STREAMS
from executor.sweeping import EVERY_S, LOCK, Kept
from swath.domain.log_archive import LAST, PARTIAL, piece_name, read_piece_name
from swath.s3 import Stores, split_href

if TYPE_CHECKING:
    from obstore.store import S3Store

_PIECE = 4 * 2**20  # bytes of one object, in memory
_SOON = 2**20  # so much is put at once ...
_REST_S = 10.0  # ... and less only after so long,
_REST_SHARE = 0.02  # or such a share of the attempt's time: a day's log is no thousand pieces
_DEPTH = 4  # job, thousand, attempt, log
_ORDER = sorted(STREAMS, key=lambda stream: stream == LAST)


class Bucket:
    """Below a prefix of a bucket."""

    at_once = 8  # a request is mostly a wait, and holds a piece in memory

    def __init__(self, root: str, stores: Stores) -> None:
        """`root` is "s3://bucket/prefix"."""
        self._bucket, self._prefix = split_href(root.rstrip("/"))
        self._stores = stores
        self._pieces: dict[str, list[str]] = {}  # their keys, by attempt and stream
        self._put_at_s: dict[str, float] = {}

    def add(self, shipment: Shipment, stream: str, source: int, start: int, end: int) -> int:
        """As a piece of its own, where it is worth one; once the attempt has ended, with the whole of it."""
        if shipment.ended_at_s is not None:
            return end
        name, now = f"{shipment.place}/{stream}", time.monotonic()
        if start < shipment.shipped[stream]:  # the command has cut it: the pieces are of something else
            self._drop_pieces(name)
            start = 0
        rest_s = max(_REST_S, (now - shipment.begun_at_s) * _REST_SHARE)
        if end - start < _SOON and now - self._put_at_s.get(name, shipment.begun_at_s - _REST_S) < rest_s:
            return start
        data = os.pread(source, min(end - start, _PIECE), start)
        if data:
            key = f"{self._prefix}/{shipment.place}{PARTIAL}/{piece_name(stream, start)}"
            self._put(key, data)
            self._pieces.setdefault(name, []).append(key)
            self._put_at_s[name] = now
        return start + len(data)

    def finish(self, shipment: Shipment) -> None:
        """All of both; the one that says that this is all comes last. Of silence there is nothing."""
        with ExitStack() as stack:
            logs = {stream: stack.enter_context(shipment.opened(stream, ended=True)) for stream in _ORDER}
            if any(logs[stream] is None and f"{shipment.place}/{stream}" in self._pieces for stream in STREAMS):
                self._forget(shipment)  # the command has removed what was shipped in part: that stays as it is
                return
            if any(log is not None and log[1] for log in logs.values()):
                for stream, log in logs.items():
                    source, size = log or (-1, 0)
                    if size or stream == LAST:
                        key = f"{self._prefix}/{shipment.place}/{stream}"
                        self._put(key, _read(source, size) if size > _PIECE else _read_whole(source, size))
        for stream in STREAMS:
            self._drop_pieces(f"{shipment.place}/{stream}")
        self._forget(shipment)

    def _forget(self, shipment: Shipment) -> None:
        for stream in STREAMS:
            self._pieces.pop(f"{shipment.place}/{stream}", None)
            self._put_at_s.pop(f"{shipment.place}/{stream}", None)

    def _drop_pieces(self, name: str) -> None:
        if keys := self._pieces.get(name):
            self.remove(keys)
            del self._pieces[name]

    @contextmanager
    def claimed(self, now: float) -> Iterator[bool]:
        """Whether it is time to look for old logs, and nobody else has begun; two that ask together may both do it."""
        key = f"{self._prefix}/{LOCK}"
        try:
            with translated():
                written = self._open().head(key)["last_modified"].timestamp()
        except RefusedError:  # there is none yet
            written = float("-inf")
        if due := now - written >= EVERY_S:
            self._put(key, b"swept\n")
        yield due

    def walk(self, now: float) -> Iterator[Kept]:
        """By attempt: a store lists in the order of keys."""
        for _, group in groupby(self._list(), key=lambda entry: entry["path"].rpartition("/")[0]):
            found = list(group)
            written = max(entry["last_modified"].timestamp() for entry in found)
            size = sum(entry["size"] for entry in found)
            yield Kept(names=[entry["path"] for entry in found], age_s=now - written, size=size)

    def remove(self, names: Sequence[str]) -> bool:
        """By their keys."""
        with translated():
            self._open().delete(names)
        return True

    def _list(self) -> Iterator[Mapping[str, Any]]:
        with translated():
            for batch in self._open().list(f"{self._prefix}/"):
                yield from (entry for entry in batch if _is_log(entry["path"].removeprefix(f"{self._prefix}/")))

    def _put(self, key: str, data: bytes | Iterator[bytes]) -> None:
        with translated():
            self._open().put(key, data, attributes={"Content-Type": "text/plain; charset=utf-8"}, max_concurrency=2)

    def _open(self) -> S3Store:
        return self._stores.open(self._bucket)


def _is_log(key: str) -> bool:
    """Whether it is of an archive: nothing else is swept, whatever shares the prefix."""
    parts = key.split("/")
    return len(parts) == _DEPTH and (parts[-1] in STREAMS or read_piece_name(parts[-1]) is not None)


def _read(source: int, size: int) -> Iterator[bytes]:
    start = 0
    while start < size and (data := os.pread(source, min(_SOON, size - start), start)):
        yield data
        start += len(data)


def _read_whole(source: int, size: int) -> bytes:
    return b"".join(_read(source, size))
