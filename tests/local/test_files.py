"""Files of a sandbox that a task has made to hurt: `local` answers, and goes on answering everybody else."""

from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.files import FilesApi
from local.replies import FileReply, Reply

from .conftest import LocalProcess
from .scheduler_client import request

JSON = {"Content-Type": "application/json"}
RUN = "slaves/S0/frameworks/F/executors/E/runs/C"
HUGE = 100 * 2**30


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    """An empty sandbox."""
    path = tmp_path / RUN
    path.mkdir(parents=True)
    return path


@pytest.fixture
def files(tmp_path: Path, sandbox: Path) -> FilesApi:
    """The files of an agent whose work directory is `tmp_path`."""
    return FilesApi(str(tmp_path), "S0")


def ask(files: FilesApi, verb: str, path: Path, **query: Any) -> Reply | FileReply:
    return files.answer(f"/files/{verb}", {"path": [str(path)], **{name: [str(v)] for name, v in query.items()}})


@pytest.mark.parametrize("verb", ["read", "download"])
def test_a_fifo_is_refused_and_not_waited_for(files: FilesApi, sandbox: Path, verb: str) -> None:
    """404: nobody writes to it, and opening it would wait for ever."""
    os.mkfifo(sandbox / "stdout")
    assert ask(files, verb, sandbox / "stdout", offset=0).status == 404
    assert files.read_file({"path": str(sandbox / "stdout")}) is None


@pytest.mark.parametrize("verb", ["read", "download"])
def test_a_socket_is_refused(files: FilesApi, sandbox: Path, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """404, as all that is no regular file."""
    monkeypatch.chdir(sandbox)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("stdout")
        assert ask(files, verb, sandbox / "stdout", offset=0).status == 404


def test_a_huge_file_is_not_taken_into_memory(files: FilesApi, sandbox: Path) -> None:
    """A download is an open file with its size."""
    with (sandbox / "sparse").open("wb") as file:
        file.truncate(HUGE)
    reply = ask(files, "download", sandbox / "sparse")
    assert isinstance(reply, FileReply)
    assert reply.size == HUGE
    reply.file.close()


def test_names_do_not_write_headers(files: FilesApi, sandbox: Path) -> None:
    """A line feed or a quote in a file's name stays out of the answer's headers."""
    (sandbox / 'a"\r\nSet-Cookie: x').touch()
    reply = ask(files, "download", sandbox / 'a"\r\nSet-Cookie: x')
    assert isinstance(reply, FileReply)
    assert dict(reply.headers)[b"content-disposition"] == b"attachment; filename=a___Set-Cookie: x"
    reply.file.close()


@pytest.mark.parametrize("call", [{"offset": 2**70}, {"offset": HUGE}, {"offset": 0, "length": 2**70}])
def test_any_range_of_a_file_can_be_asked_for(files: FilesApi, sandbox: Path, call: dict[str, int]) -> None:
    """What lies behind the end is empty, and too much is what there is."""
    (sandbox / "stdout").write_text("hello")
    found = files.read_file({"path": str(sandbox / "stdout"), **call})
    assert found is not None
    assert base64.b64decode(found["data"]) == (b"" if call["offset"] else b"hello")
    assert found["size"] == 5


@pytest.mark.parametrize("path", ["x" * 5000, "a/" * 3000, "\ud800"])
def test_paths_that_no_file_can_have_are_not_found(files: FilesApi, sandbox: Path, path: str) -> None:
    """404 and nothing, whatever the system says of them."""
    assert ask(files, "read", sandbox / path, offset=0).status == 404
    assert files.read_file({"path": str(sandbox / path)}) is None
    assert files.list_files({"path": str(sandbox / path)}) is None


def test_no_script_is_made_of_a_listing(files: FilesApi, sandbox: Path) -> None:
    """`jsonp` would let any page read it."""
    reply = ask(files, "browse", sandbox, jsonp="alert")
    assert isinstance(reply, Reply)
    assert json.loads(reply.body) == []


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProcess]:
    """One `local` with a sandbox that nothing runs in."""
    process = LocalProcess(tmp_path_factory.mktemp("files") / "work", "--cpus", "4", "--mem", "2048", "--disk", "4096")
    yield process
    process.stop()


@pytest.fixture
def served(shared: LocalProcess) -> Path:
    """A sandbox that it serves."""
    path = shared.work_dir.resolve() / "agent-0" / RUN
    path.mkdir(parents=True, exist_ok=True)
    return path


def read_file(shared: LocalProcess, path: Path, **more: Any) -> int:
    call = {"type": "READ_FILE", "read_file": {"path": str(path), **more}}
    return request(shared.agent_ports[0], "POST", "/api/v1", call, JSON)[0]


def test_a_fifo_does_not_stop_the_agent(shared: LocalProcess, served: Path) -> None:
    """It is refused by each way to read it, and the next request is answered."""
    fifo = served / "fifo"
    os.mkfifo(fifo)
    port = shared.agent_ports[0]
    for verb in ("read", "download"):
        assert request(port, "GET", f"/files/{verb}?path={fifo}&offset=0")[0] == 404
    assert read_file(shared, fifo) == 404
    assert request(port, "GET", "/health")[0] == 200


def test_a_download_that_nobody_reads_holds_nobody_up(shared: LocalProcess, served: Path) -> None:
    """100 GiB are offered, a part is read, others are served meanwhile and afterwards."""
    with (served / "sparse").open("wb") as file:
        file.truncate(HUGE)
    port = shared.agent_ports[0]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(
            f"GET /files/download?path={served / 'sparse'} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        )
        head = connection.recv(100_000)
        assert f"content-length: {HUGE}".encode() in head.lower()
        assert request(port, "GET", "/health")[0] == 200
    assert request(port, "GET", "/health")[0] == 200


def test_a_download_is_the_file_byte_for_byte(shared: LocalProcess, served: Path) -> None:
    """Over several pieces."""
    (served / "data").write_bytes(os.urandom(3 * 2**20))
    status, _, body = request(shared.agent_ports[0], "GET", f"/files/download?path={served / 'data'}")
    assert (status, body) == (200, (served / "data").read_bytes())


@pytest.mark.parametrize("more", [{"offset": -1}, {"offset": "x"}, {"length": -5}, {"offset": True}, {"length": 1.5}])
def test_ranges_that_are_none_are_refused(shared: LocalProcess, served: Path, more: dict[str, Any]) -> None:
    """400: both are unsigned numbers."""
    (served / "stdout").write_text("hello")
    assert read_file(shared, served / "stdout", **more) == 400


def test_a_page_of_tasks_needs_numbers(shared: LocalProcess) -> None:
    """400 for words."""
    assert request(shared.port, "GET", "/tasks?limit=many")[0] == 400
