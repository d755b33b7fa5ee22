"""What an executor has started, in a file of its sandbox, so that its successor can remove what a kill -9 leaves.

One line of JSON for each beginning and each end. Not synced: it has to outlive the process, not the machine, for with the
machine its processes are gone too.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

NAME = "swath-journal.jsonl"
_COMPACT_AFTER = 20_000  # lines


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An attempt that has begun and not ended."""

    attempt: str
    scratch: str | None = None  # its unpublished outputs
    pid: int | None = None  # its first process, the leader of its session
    started: int | None = None  # clock ticks after boot: with the pid, that process and no other
    seen: dict[str, int] = field(default_factory=dict)  # what was found below it: pid -> start


class Journal:
    """The file, open for writing; any thread may write."""

    def __init__(self, sandbox: Path) -> None:
        self._path = sandbox / NAME
        self._open_entries: dict[str, Entry] = {}
        self._lines = 0
        self._lock = threading.Lock()
        self._file = self._path.open("a", encoding="utf-8")

    def begin(self, entry: Entry) -> None:
        """Write an attempt down; again when more is known of it."""
        with self._lock:
            self._open_entries[entry.attempt] = entry
            self._write(asdict(entry))

    def end(self, attempt: str) -> None:
        """Strike an attempt out: nothing of it is left."""
        with self._lock:
            if self._open_entries.pop(attempt, None) is not None:
                self._write({"ended": attempt})

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, document: dict[str, Any]) -> None:
        self._file.write(json.dumps(document, separators=(",", ":")) + "\n")
        self._file.flush()
        self._lines += 1
        if self._lines > _COMPACT_AFTER + 2 * len(self._open_entries):
            self._compact()

    def _compact(self) -> None:
        new = self._path.with_suffix(".new")
        file = new.open("w", encoding="utf-8")
        for entry in self._open_entries.values():
            file.write(json.dumps(asdict(entry), separators=(",", ":")) + "\n")
        file.flush()
        new.replace(self._path)
        self._file.close()
        self._file, self._lines = file, len(self._open_entries)


def read_journal(path: Path) -> list[Entry]:
    """The attempts that a journal left open. A line that is damaged, or was cut off by a kill, says nothing and is skipped."""
    entries: dict[str, Entry] = {}
    damaged = 0
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        log.warning("what a former run left cannot be read: %s", error)
        return []
    for line in lines:
        try:
            document = to_object(json.loads(line))
            if "ended" in document:
                entries.pop(document["ended"], None)
            else:
                entry = to_entry(document)
                entries[entry.attempt] = entry
        except (ValueError, TypeError, KeyError, RecursionError):
            damaged += 1
    if damaged:
        log.warning("%s: %d lines are damaged", path, damaged)
    return list(entries.values())


def to_object(value: Any) -> dict[str, Any]:
    """The object that a value is; raises TypeError for another one."""
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.40} is no object")
    return value


def to_entry(document: dict[str, Any]) -> Entry:
    """The entry of a line; raises KeyError, TypeError or ValueError for what is none."""
    seen = {str(int(pid)): _to_number(started) for pid, started in to_object(document.get("seen", {})).items()}
    scratch, pid, started = document.get("scratch"), document.get("pid"), document.get("started")
    if not isinstance(document["attempt"], str) or not isinstance(scratch, str | None):
        raise TypeError("an id and a path are text")
    return Entry(
        attempt=document["attempt"],
        scratch=scratch,
        pid=None if pid is None else _to_number(pid),
        started=None if started is None else _to_number(started),
        seen=seen,
    )


def _to_number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{value!r} is no pid and no start time")
    return value


def find_former(sandbox: Path) -> list[Path]:
    """The journals of former runs of this executor: `.../executors/<id>/runs/<container>/`, ours is one of these."""
    own = os.path.realpath(sandbox)
    return [path for path in sandbox.parent.glob(f"*/{NAME}") if os.path.realpath(path.parent) != own]
