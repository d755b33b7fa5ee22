"""/files/*: sandboxes, and nothing else, to be listed, read and downloaded (transcript 12, surprise 47)."""

from __future__ import annotations

import base64
import grp
import pwd
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.replies import Header, Reply, make_json, make_text

Json = dict[str, Any]
_CHUNK = 16 * 1024 * 1024  # the most that one read answers with
_DOWNLOAD: Header = (b"content-type", b"application/octet-stream")
_SCRIPT: Header = (b"content-type", b"text/javascript")


class FilesApi:
    """Serves what lies under `<work_dir>/slaves`, by absolute or by virtual path (/frameworks/...)."""

    def __init__(self, work_dir: str, agent_id: str) -> None:
        self._root = Path(work_dir, "slaves").resolve()
        self._agent_id = agent_id

    def answer(self, path: str, query: dict[str, list[str]]) -> Reply:
        verb = {"/files/browse": self._browse, "/files/read": self._read, "/files/download": self._download}.get(path)
        if verb is None:
            return make_text(404, "404 Not Found.")
        if not query.get("path"):
            return make_text(400, "Expecting 'path=value' in query.\n")
        try:
            found = self.resolve(query["path"][0])
            return make_text(404) if found is None else verb(found, query)
        except OSError:  # gone, or not for us to read
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
        reply = make_json(self.list_directory(path, query["path"][0]))
        if "jsonp" in query:
            return Reply(200, query["jsonp"][0].encode() + b"(" + reply.body + b")", (_SCRIPT,))
        return reply

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

    def _download(self, path: Path, query: dict[str, list[str]]) -> Reply:
        """Whole; Range is ignored."""
        if path.is_dir():
            return make_text(400, "Cannot download a directory.\n")
        disposition = (b"content-disposition", f"attachment; filename={path.name}".encode())
        return Reply(200, path.read_bytes(), (disposition, _DOWNLOAD))

    def read_file(self, call: Json) -> Json | None:
        """v1 READ_FILE."""
        path = self.resolve(str(call.get("path", "")))
        if path is None or path.is_dir():
            return None
        data = read_part(path, int(call.get("offset", 0)), int(call.get("length", -1)))
        return {"size": path.stat().st_size, "data": base64.b64encode(data).decode()}

    def list_files(self, call: Json) -> Json | None:
        """v1 LIST_FILES."""
        path = self.resolve(str(call.get("path", "")))
        if path is None:
            return None
        infos = []
        for entry in self.list_directory(path, str(call["path"])):
            entry["mtime"] = {"nanoseconds": int(entry["mtime"]) * 1_000_000_000}
            entry["mode"] = (path / Path(entry["path"]).name).lstat().st_mode
            infos.append(entry)
        return {"file_infos": infos}


def read_part(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(_CHUNK if length < 0 else min(length, _CHUNK))


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
