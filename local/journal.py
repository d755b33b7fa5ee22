"""The agent's checkpoint on disk: JSON lines, appended; rewritten by an atomic rename when it has grown.

No fsync: what a process has written survives its kill -9, for the kernel holds it; only a crash of the machine can lose
the last lines, and then the executors are dead as well.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Json = dict[str, Any]
logger = logging.getLogger("local")
GROWTH_BYTES = 8 * 1024 * 1024


class Journal:
    """One file of records, open for appending."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = 0
        self._file = -1

    def read(self) -> list[Json]:
        """The records so far.

        A last line that was cut by a kill is dropped: nobody was told of it. Any other line that is no record is skipped with
        a warning, and the file is copied aside: an agent that starts with less is better than one that never starts.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        whole, _, _ = data.rpartition(b"\n")
        found = [_decode(line) for line in whole.split(b"\n") if line]
        records = [record for record in found if record is not None]
        if damaged := len(found) - len(records):
            aside = self._path.with_suffix(".damaged")
            aside.write_bytes(data)
            lines = "line" if damaged == 1 else "lines"
            logger.warning(
                "%d %s of %s cannot be read and count for nothing; see %s", damaged, lines, self._path, aside
            )
        return records

    def rewrite(self, records: Iterable[Json]) -> None:
        """Replace the file by these records, and append to the new one from now on."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(b"".join(_encode(record) for record in records))
        fresh.replace(self._path)
        self.close()
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._written = 0

    def append(self, record: Json) -> None:
        line = _encode(record)
        self._written += os.write(self._file, line)

    def has_grown(self) -> bool:
        return self._written > GROWTH_BYTES

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _decode(line: bytes) -> Json | None:
    """None for what is no record."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("k"), str) else None


def _encode(record: Json) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"
