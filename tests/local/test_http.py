"""`local` over real sockets: paths, headers, refusals, streams, sandboxes (transcripts 01, 12, 15, basics)."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import LocalProcess
from .scheduler_client import FRAMEWORK, SchedulerClient, make_executor, make_task, request

JSON = {"Content-Type": "application/json", "Accept": "application/json"}
SUBSCRIBE = {"type": "SUBSCRIBE", "subscribe": {"framework_info": FRAMEWORK | {"failover_timeout": 0.0}}}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProcess]:
    """One `local` for all tests of this file."""
    process = LocalProcess(tmp_path_factory.mktemp("http") / "work", "--cpus", "4", "--mem", "2048", "--disk", "4096")
    yield process
    process.stop()
    process.end_executors()


def read_chunks(port: int, body: dict[str, Any], wanted: int) -> tuple[bytes, list[bytes], socket.socket]:
    """Head and the first chunks of a SUBSCRIBE's answer, as they are on the wire; the socket stays open."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    data = json.dumps(body).encode()
    head = "POST /api/v1/scheduler HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(data)}"
    connection.sendall(head.encode() + b"\r\n\r\n" + data)
    file = connection.makefile("rb")
    lines = []
    while (line := file.readline()) != b"\r\n":
        lines.append(line)
    chunks = []
    for _ in range(wanted):
        size = int(file.readline(), 16)
        chunks.append(file.read(size))
        file.readline()
    return b"".join(lines), chunks, connection


def test_each_record_comes_in_one_chunk(shared: LocalProcess) -> None:
    """SUBSCRIBED and HEARTBEAT are RecordIO records, each a chunk of its own, under a stream id."""
    head, chunks, connection = read_chunks(shared.port, SUBSCRIBE, 2)
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"mesos-stream-id: " in head.lower()
    assert b"transfer-encoding: chunked" in head.lower()
    for chunk, kind in zip(chunks, ("SUBSCRIBED", "HEARTBEAT"), strict=True):
        size, record = chunk.split(b"\n", 1)
        assert int(size) == len(record)
        assert json.loads(record)["type"] == kind
    connection.close()


def test_half_closing_the_socket_ends_the_subscription(shared: LocalProcess) -> None:
    """The master closes the stream when the subscriber shuts its writing side (surprise 37)."""
    _, _, connection = read_chunks(shared.port, SUBSCRIBE, 2)
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65536):
        pass
    connection.close()


@pytest.mark.parametrize(
    ("headers", "status", "text"),
    [
        ({"Content-Type": "application/json; charset=utf-8"}, 415, "Expecting 'Content-Type' of"),
        ({"Content-Type": "Application/JSON"}, 415, "Expecting 'Content-Type' of"),
        ({"Content-Type": "text/plain"}, 415, "Expecting 'Content-Type' of"),
        ({}, 400, "Expecting 'Content-Type' to be present"),
        ({"Content-Type": "application/json", "Accept": "text/html"}, 406, "Expecting 'Accept' to allow"),
        ({"Content-Type": "application/json", "Accept": "application/recordio"}, 406, "Expecting 'Accept' to allow"),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 500, "failed to decode body"),
        ({"Content-Type": "application/json", "Mesos-Stream-Id": "x"}, 400, "Subscribe calls should not include"),
    ],
)
def test_headers_are_refused_as_mesos_refuses_them(
    shared: LocalProcess, headers: dict[str, str], status: int, text: str
) -> None:
    """The codes and texts of transcript 15."""
    got, got_headers, body = request(shared.port, "POST", "/api/v1/scheduler", SUBSCRIBE, headers)
    assert (got, got_headers["content-type"]) == (status, "text/plain; charset=utf-8")
    assert body.decode().startswith(text)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{not json", "Failed to parse body into JSON: syntax error at line 1 near: not json"),
        (b'{"type":', "Failed to parse body into JSON: syntax error at line 1 near: "),
        (b"{}", "Failed to validate scheduler::Call: Expecting 'type' to be present"),
        (b'{"type":"FOO"}', "Failed to validate scheduler::Call: Expecting 'type' to be present"),
        (b'{"type":"SUBSCRIBE"}', "Failed to validate scheduler::Call: Expecting 'subscribe' to be present"),
        (b'{"type":"REVIVE"}', "Failed to validate scheduler::Call: Expecting 'framework_id' to be present"),
        (b'{"type":"REVIVE","framework_id":{"value":"nope"}}', "Framework cannot be found"),
        (
            b'{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u"}}}',
            "Failed to convert JSON into Call protobuf: Missing required fields: subscribe.framework_info.name",
        ),
    ],
)
def test_bad_bodies_are_answered_with_mesos_texts(shared: LocalProcess, body: bytes, text: str) -> None:
    """400, and the text that a real master gives."""
    status, _, answer = request(shared.port, "POST", "/api/v1/scheduler", body, JSON)
    assert (status, answer.decode()) == (400, text)


@pytest.mark.parametrize("path", ["/api/v1/scheduler", "/master/api/v1/scheduler", "/api/v1", "/api/v1/nope"])
def test_only_post_is_allowed_on_the_v1_api(shared: LocalProcess, path: str) -> None:
    """405 with Allow: POST."""
    status, headers, body = request(shared.port, "GET", path)
    assert (status, headers["allow"]) == (405, "POST")
    assert body == b"405 Method Not Allowed. Expecting one of { 'POST' }, but received 'GET'."


def test_health_version_and_redirect(shared: LocalProcess) -> None:
    """The plain endpoints of master and agent."""
    for port in (shared.port, *shared.agent_ports):
        assert request(port, "GET", "/health")[0] == 200
        assert json.loads(request(port, "GET", "/version")[2])["version"] == "1.12.0"
        assert request(port, "GET", "/nope")[::2] == (404, b"404 Not Found.")
    status, headers, _ = request(shared.port, "GET", "/redirect")
    assert (status, headers["location"]) == (307, f"//127.0.0.1:{shared.port}")


def test_long_answers_are_compressed_if_asked_for(shared: LocalProcess) -> None:
    """gzip above 1 kB, identity below."""
    _, headers, body = request(shared.port, "GET", "/state", headers={"Accept-Encoding": "gzip"})
    assert headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(body))["hostname"] == "127.0.0.1"
    assert "content-encoding" not in request(shared.port, "GET", "/version", headers={"Accept-Encoding": "gzip"})[1]


@pytest.fixture(scope="module")
def sandbox(shared: LocalProcess) -> Iterator[tuple[int, str, str]]:
    """(agent's port, absolute sandbox, virtual sandbox) of a running executor."""
    scheduler = SchedulerClient(shared.port, failover_timeout=0.0)
    offer = scheduler.wait_for_offer()
    executor_info = make_executor("ex-1") | {"source": "test"}
    scheduler.launch(offer, make_task("f1", offer["agent_id"]["value"], executor_info))
    scheduler.wait_for_status("f1", "TASK_RUNNING")
    scheduler.call("REVIVE")
    scheduler.wait_for(lambda e: e["type"] == "OFFERS" and "executor_ids" in e["offers"]["offers"][0])
    state = json.loads(request(shared.agent_ports[0], "GET", "/slave(1)/state")[2])
    executor = state["frameworks"][0]["executors"][0]
    assert [task["id"] for task in executor["tasks"]] == ["f1"]
    virtual = f"/frameworks/{scheduler.framework_id}/executors/ex-1/runs/latest"
    yield shared.agent_ports[0], executor["directory"], virtual
    scheduler.close()


def get_file(port: int, verb: str, path: str, **query: Any) -> tuple[int, bytes]:
    more = "".join(f"&{name}={value}" for name, value in query.items())
    status, _, body = request(port, "GET", f"/files/{verb}?path={path}{more}")
    return status, body


def test_a_sandbox_is_listed_by_either_path(sandbox: tuple[int, str, str]) -> None:
    """Absolute, through runs/latest, and virtual; paths are shown as asked for."""
    port, absolute, virtual = sandbox
    for path in (absolute, absolute.rsplit("/", 1)[0] + "/latest", virtual):
        status, body = get_file(port, "browse", path)
        entries = json.loads(body)
        assert status == 200
        assert [entry["path"] for entry in entries] == [f"{path}/stderr", f"{path}/stdout"]
        assert set(entries[0]) == {"gid", "mode", "mtime", "nlink", "path", "size", "uid"}


def test_files_are_read_by_offset_and_length(sandbox: tuple[int, str, str]) -> None:
    """The answers of transcript 12, odd ones too."""
    port, _, virtual = sandbox
    stdout = f"{virtual}/stdout"
    content = get_file(port, "download", stdout)[1]
    assert content.startswith(b"executor started ex-1")
    text, size = content.decode(), len(content)

    def read(**query: Any) -> Any:
        status, body = get_file(port, "read", stdout, **query)
        return json.loads(body) if status == 200 else (status, body.decode())

    assert read() == read(offset=-1) == read(length=10) == {"data": "", "offset": size}
    assert read(offset=0) == read(offset=0, length=-1) == {"data": text, "offset": 0}
    assert read(offset=0, length=8) == {"data": text[:8], "offset": 0}
    assert read(offset=100000) == {"data": "", "offset": 100000}
    assert read(offset=-2) == (400, "Negative offset provided: -2.\n")
    assert read(offset="abc") == (400, "Failed to parse offset: Failed to convert 'abc' to number.\n")
    assert get_file(port, "read", virtual) == (400, b"Cannot read a directory.\n")
    assert get_file(port, "download", virtual) == (400, b"Cannot download a directory.\n")
    assert request(port, "GET", "/files/browse")[::2] == (400, b"Expecting 'path=value' in query.\n")


def test_nothing_outside_of_a_sandbox_is_served(sandbox: tuple[int, str, str], tmp_path: Path) -> None:
    """'..', absolute paths, links that lead out, and the agent's own checkpoint: 404, empty."""
    port, absolute, virtual = sandbox
    secret = tmp_path / "secret"
    secret.write_text("secret")
    Path(absolute, "link").symlink_to(secret)
    Path(absolute, "up").symlink_to("../../../../../../../..")
    journal = Path(absolute).parents[7] / "meta" / "journal.jsonl"
    assert journal.exists()
    for path in (
        f"{absolute}/../../../../../../../../meta/journal.jsonl",
        f"{virtual}/../../../../../../meta/journal.jsonl",
        f"{virtual}/%2e%2e/%2e%2e/latest/stdout",
        f"{absolute}/link",
        f"{virtual}/up/meta/journal.jsonl",
        f"{virtual}/stdout%00",
        str(journal),
        str(Path(absolute).parents[4]),
        "/etc/passwd",
        "/",
        "stdout",
        "/no/such",
    ):
        for verb in ("read", "download", "browse"):
            assert get_file(port, verb, path) == (404, b""), (verb, path)
    Path(absolute, "link").unlink()
    Path(absolute, "up").unlink()


def test_operators_see_the_fields_that_mesos_shows(
    shared: LocalProcess, sandbox: tuple[int, str, str], transcripts: Path
) -> None:
    """Each field recorded of GET_AGENTS, GET_TASKS ... and /state is there (transcript 12); build details are not."""
    absent = {
        "build_date",
        "build_time",
        "build_user",
        "flags",
        "weight",
        "resources",
        "start_time",
        "ranges",
        "domain",
    }
    lines = (transcripts / "12-files-api-operator-api" / "op-calls.jsonl").read_text().splitlines()
    compared = 0
    for row in map(json.loads, lines):
        label = row.get("label", "")
        port = shared.port if label.startswith("master") else sandbox[0]
        kind = (row.get("request") or {}).get("type", "") if isinstance(row.get("request"), dict) else ""
        plain = row["path"] in ("/state", "/slaves", "/frameworks", "/tasks") and row["method"] == "GET"
        if not row["status"].endswith("200 OK") or not (plain or kind.startswith("GET_")):
            continue
        if not label.startswith(("master", "agent")):
            continue
        status, _, body = request(port, row["method"], row["path"], row.get("request"), JSON)
        assert status == 200, (label, body)
        ours = json.loads(body)
        missing = sorted(find_missing(row["body"], ours, "") - absent)
        assert not missing, (label, missing)
        compared += 1
    assert compared > 10


def find_missing(recorded: Any, ours: Any, path: str) -> set[str]:
    """Names of recorded fields that ours lack; of lists, the first elements are compared."""
    if isinstance(recorded, dict) and isinstance(ours, dict):
        gone = {name for name in recorded if name not in ours}
        return gone.union(*(find_missing(v, ours[k], f"{path}/{k}") for k, v in recorded.items() if k in ours))
    if isinstance(recorded, list) and isinstance(ours, list) and recorded and ours:
        return find_missing(recorded[0], ours[0], path)
    return set()
