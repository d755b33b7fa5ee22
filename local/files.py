"""/files/*: sandboxes, and nothing else, to be listed, read and downloaded (transcript 12, surprise 47).

What lies there was made by tasks, so nothing is taken for granted: only regular files are opened, and never waited for. All of
it may take its time on a slow disk: call it on a thread.
"""

from __future__ import annotations

import base64
import grp
import os
import pwd
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from local.replies import FileReply, Header, Reply, make_json, make_text

Json = dict[str, Any]
_UNREADABLE = (OSError, ValueError)  # gone, or not for us to read; ValueError: a path that cannot be one
_CHUNK = 16 * 1024 * 1024  # the most that one read answers with
_DOWNLOAD: Header = (b"content-type", b"application/octet-stream")
_LARGEST_OFFSET = 2**63 - 1  # that a file can have


class FilesApi:
    """Serves what lies under `<work_dir>/slaves`, by absolute or by virtual path (/frameworks/...)."""

    def __init__(self, work_dir: str, agent_id: str) -> None:
        self._root = Path(work_dir, "slaves").resolve()
        self._agent_id = agent_id

    def answer(self, path: str, query: dict[str, list[str]]) -> Reply | FileReply:
        verbs: dict[str, Callable[[Path, dict[str, list[str]]], Reply | FileReply]]
        verbs = {"/files/browse": self._browse, "/files/read": self._read, "/files/download": self._download}
        verb = verbs.get(path)
        if verb is None:
            return make_text(404, "404 Not Found.")
        if not query.get("path"):
            return make_text(400, "Expecting 'path=value' in query.\n")
        try:
            found = self.resolve(query["path"][0])
            return make_text(404) if found is None else verb(found, query)
        except _UNREADABLE:
            return make_text(404)

    def resolve(self, given: str) -> Path | None:
        """The file meant, if it is within a sandbox of this agent: no '..', no link that leads out of it."""
        if "\0" in given or ".." in Path(given).parts:
            return None
        path = Path(given)
        if given.startswith("/frameworks/"):
            path = self._root / self._agent_id / given.removeprefix("/")
        real = path.resolve()
        relative = real.relative_to(self._root).parts if real.is_relative_to(self._root) else ()
        # slaves/<id>/frameworks/<id>/executors/<id>/runs/<container>: nothing above a run is served.
        return real if len(relative) >= 7 and real.exists() else None

    def _browse(self, path: Path, query: dict[str, list[str]]) -> Reply:
        # Mesos' ?jsonp= is not imitated: with it, any page in a browser could read the answer.
        return make_json(self.list_directory(path, query["path"][0]))

    def list_directory(self, path: Path, shown: str) -> list[Json]:
        """Entries with their paths as they were asked for; of a file, none."""
        if not path.is_dir():
            return []
        return [_describe(entry, f"{shown.rstrip('/')}/{entry.name}") for entry in sorted(path.iterdir())]

    def _read(self, path: Path, query: dict[str, list[str]]) -> Reply:
        """Without offset (or with -1) the size only."""
        try:
            offset, length = _number(query, "offset"), _number(query, "length")
        except ValueError as error:
            return make_text(400, f"{error}\n")
        if path.is_dir():
            return make_text(400, "Cannot read a directory.\n")
        if offset < -1:
            return make_text(400, f"Negative offset provided: {offset}.\n")
        if offset == -1:
            return make_json({"data": "", "offset": path.stat().st_size})
        return make_json({"data": read_part(path, offset, length).decode("utf-8", "replace"), "offset": offset})

    def _download(self, path: Path, query: dict[str, list[str]]) -> Reply | FileReply:
        """Whole; Range is ignored."""
        if path.is_dir():
            return make_text(400, "Cannot download a directory.\n")
        file = open_regular(path)
        name = re.sub(r"[^ !#-~]", "_", path.name)
        disposition = (b"content-disposition", f"attachment; filename={name}".encode())
        return FileReply(file, os.fstat(file.fileno()).st_size, (disposition, _DOWNLOAD))

    def read_file(self, call: Json) -> Json | None:
        """v1 READ_FILE; None where there is nothing to read."""
        try:
            path = self.resolve(str(call.get("path", "")))
            if path is None or path.is_dir():
                return None
            data = read_part(path, call.get("offset", 0), call.get("length", -1))
            return {"size": path.stat().st_size, "data": base64.b64encode(data).decode()}
        except _UNREADABLE:
            return None

    def list_files(self, call: Json) -> Json | None:
        """v1 LIST_FILES; None where there is nothing to list."""
        try:
            path = self.resolve(str(call.get("path", "")))
            return None if path is None else {"file_infos": self._list_infos(path, str(call["path"]))}
        except _UNREADABLE:
            return None

    def _list_infos(self, path: Path, shown: str) -> list[Json]:
        infos = self.list_directory(path, shown)
        for entry in infos:
            entry["mtime"] = {"nanoseconds": int(entry["mtime"]) * 1_000_000_000}
            entry["mode"] = (path / Path(entry["path"]).name).lstat().st_mode
        return infos


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file, waiting for nobody, through no link. Raises OSError for anything else.

    A FIFO without O_NONBLOCK would hold up whoever opens it until somebody writes.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no regular file")
    return os.fdopen(descriptor, "rb", buffering=0)


def read_part(path: Path, offset: int, length: int) -> bytes:
    """`length` bytes from `offset` (0 or more) on, all for a negative one; at most `_CHUNK`. Raises OSError."""
    with open_regular(path) as file:
        if offset > _LARGEST_OFFSET:
            return b""
        return os.pread(file.fileno(), _CHUNK if length < 0 else min(length, _CHUNK), offset)


def _number(query: dict[str, list[str]], name: str) -> int:
    text = query.get(name, ["-1"])[0]
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"Failed to parse {name}: Failed to convert '{text}' to number.") from None


def _describe(path: Path, shown: str) -> Json:
    status = path.lstat()
    return {
        "gid": _name(grp.getgrgid, status.st_gid),
        "mode": stat.filemode(status.st_mode),
        "mtime": float(int(status.st_mtime)),
        "nlink": status.st_nlink,
        "path": shown,
        "size": status.st_size,
        "uid": _name(pwd.getpwuid, status.st_uid),
    }


def _name(look_up: Callable[[int], Any], number: int) -> str:
    try:
        return str(look_up(number)[0])
    except KeyError:
        return str(number)
