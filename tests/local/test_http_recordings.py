"""`local` over real sockets against recorded requests: each is sent as it was, and answered as it was.

What our master refuses by design is listed here with its reason, and its refusal is asserted.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import LocalProcess
from .test_http import find_missing
from .wire_client import Headers, Response, begin, read_record, read_response, send

JSON = "application/json"
NOT_SERVED = {
    "protobuf": ("sched-pb-SUBSCRIBE", "Accept application/x-protobuf"),
    "operator event stream": ("op-master-SUBSCRIBE", "SUBSCRIBE at /api/v1 (operator)"),
    "flags": ("master-GET-flags", "agent-GET-flags", "op-master-GET_FLAGS", "op-agent-GET_FLAGS"),
    "logging": ("master-GET-logging_toggle", "op-master-GET_LOGGING_LEVEL"),
    "quota and weights": ("master-GET-quota", "master-GET-weights", "op-master-GET_QUOTA", "op-master-GET_WEIGHTS"),
    "the system's load": ("master-GET-system_stats.json", "agent-GET-system_stats.json"),
    "summaries of the state": ("master-GET-state-summary",),
    "the list of served files": ("agent-GET-files_debug",),
    "operations and resource providers": ("op-agent-GET_OPERATIONS", "op-agent-GET_RESOURCE_PROVIDERS"),
    # Mesos' answer is 400 for want of a part that it has a default for elsewhere; ours gives the metrics.
    "metrics without a time-out": ("op-master-GET_METRICS", "op-agent-GET_METRICS"),
}
REFUSED = {name for names in NOT_SERVED.values() for name in names}


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProcess]:
    process = LocalProcess(tmp_path_factory.mktemp("recordings") / "work", "--cpus", "4", "--mem", "2048")
    yield process
    process.stop()
    process.end_executors()


def read_variants(folder: Path) -> list[dict[str, Any]]:
    rows = map(json.loads, (folder / "sched-calls.jsonl").read_text().splitlines())
    return [row for row in rows if "request_bytes" in row or "body_start" in row]


def test_15_http_variants_are_answered_as_recorded(master: LocalProcess, transcripts: Path) -> None:
    """Each of the 32 odd requests: status, media type, encoding, chunking, stream id, text, first event."""
    compared = []
    for row in read_variants(transcripts / "15-http-variants"):
        headers = dict(row["request_headers"])
        body = row.get("request_bytes") or json.dumps(row["request"] or "")
        version = "1.0" if row["label"] == "HTTP/1.0" else "1.1"
        sent = body.encode() if row["method"] == "POST" else b""
        ours = send(master.port, row["method"], row["path"], list(headers.items()), sent, version)
        if row["label"] in REFUSED:
            assert ours.status in ("HTTP/1.1 406 Not Acceptable", "HTTP/1.1 400 Bad Request"), row["label"]
            continue
        recorded = Response(
            status=row["status"],
            headers={name.lower(): value for name, value in row["headers"]},
            body=row["body"].encode() if isinstance(row.get("body"), str) else b"",
        )
        assert to_comparable(ours, row) == to_comparable(recorded, row), row["label"]
        if ours.is_stream:
            assert read_record(ours.body)["type"] == "SUBSCRIBED"
        compared.append(row["label"])
    assert len(compared) >= 30


def to_comparable(response: Response, row: dict[str, Any]) -> dict[str, Any]:
    """/state of a master with many frameworks is over 1 kB and compressed; ours may be too short for that."""
    shape = response.shape()
    if row["path"] != "/api/v1/scheduler" and "body_start" in row:
        shape.pop("content-encoding", None)
    return shape


class Session:
    """What stands in the recorded requests, and what stands for it here: framework and stream id."""

    def __init__(self, port: int, folder: Path) -> None:
        subscribed = read_response(io.BytesIO((folder / "sched-SUBSCRIBE.http").read_bytes()))
        self._recorded_stream = subscribed.headers["mesos-stream-id"]
        self._recorded_framework = read_record(subscribed.body)["subscribed"]["framework_id"]["value"]
        method, target, headers, body = read_request(folder / "sched-SUBSCRIBE.req")
        self._connection, response = begin(port, method, target, headers, body)
        self._stream = response.headers["mesos-stream-id"]
        self.subscribed = read_record(response.body)
        self._framework = str(self.subscribed["subscribed"]["framework_id"]["value"])

    def close(self) -> None:
        self._connection.close()

    def translate(self, headers: Headers, body: bytes) -> tuple[Headers, bytes]:
        headers = [(name, value.replace(self._recorded_stream, self._stream)) for name, value in headers]
        return headers, body.replace(self._recorded_framework.encode(), self._framework.encode())


def read_request(path: Path) -> tuple[str, str, Headers, bytes]:
    """Method, path, headers, body of a .req file."""
    head, _, body = path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *lines = head.decode().splitlines()
    method, target = first.split(" ")
    if not target.startswith("/"):
        target = "/" + target.partition("/")[2]
    headers = [tuple(line.split(": ", 1)) for line in lines if not line.startswith("(")]
    return method, target, headers, body.rstrip(b"\n")  # type: ignore[return-value]


@pytest.fixture(scope="module")
def session(master: LocalProcess, transcripts: Path) -> Iterator[Session]:
    session = Session(master.port, transcripts / "basics")
    yield session
    session.close()


def test_basics_error_replies_are_those_recorded(master: LocalProcess, session: Session, transcripts: Path) -> None:
    """Each sched-err-*: the whole reply apart from Date."""
    recorded = sorted((transcripts / "basics").glob("sched-err-*.req"))
    assert len(recorded) == 12
    for path in recorded:
        method, target, headers, body = read_request(path)
        headers, body = session.translate(headers, body)
        ours = send(master.port, method, target, headers, body)
        expected = read_response(io.BytesIO(path.with_suffix(".http").read_bytes()))
        theirs = expected.shape()
        theirs["text"] = session.translate([], theirs["text"].encode())[1].decode()
        assert ours.shape() == theirs, path.name


def test_basics_calls_are_accepted_as_recorded(master: LocalProcess, session: Session, transcripts: Path) -> None:
    """ACCEPT, ACKNOWLEDGE, DECLINE, KILL, RECONCILE ...: 202 and nothing else, also for tasks that are refused later.

    The tasks themselves use the command executor, Docker and the default executor, which are not part of `local`.
    """
    calls = [p for p in (transcripts / "basics").glob("sched-*.req") if p.name.split("-")[1] not in ("err", "pb")]
    calls = [path for path in calls if path.stem not in ("sched-SUBSCRIBE", "sched-TEARDOWN")]
    assert len(calls) > 15
    for path in sorted(calls):
        method, target, headers, body = read_request(path)
        headers, body = session.translate(headers, body)
        ours = send(master.port, method, target, headers, body)
        expected = read_response(io.BytesIO(path.with_suffix(".http").read_bytes()))
        assert (ours.shape(), ours.body) == (expected.shape(), expected.body), path.name


def test_basics_operator_answers_have_the_recorded_fields(
    master: LocalProcess, session: Session, transcripts: Path
) -> None:
    """Status, media type and the names of all fields; what is not served is refused with 400 or 404."""
    absent = {"build_date", "build_time", "build_user", "flags", "weight", "resources", "start_time"}
    compared = 0
    for path in sorted((transcripts / "basics").glob("*-*.req")):
        if path.name.startswith("sched") or not path.with_suffix(".http").exists():
            continue
        method, target, headers, body = read_request(path)
        port = master.agent_ports[0] if "agent" in path.name else master.port
        ours = send(port, method, target, headers, body)
        if path.stem in REFUSED:
            assert ours.status.split()[1] in ("400", "404") or "METRICS" in path.stem, path.name
            continue
        expected = read_response(io.BytesIO(path.with_suffix(".http").read_bytes()))
        assert ours.shape() == expected.shape(), path.name
        if "metrics" in path.name:
            assert to_dict(ours.body).keys() <= to_dict(expected.body).keys()  # counters of messages are not kept
        elif ours.headers.get("content-type") == JSON:
            recorded = {k: v for k, v in to_dict(expected.body).items() if k != "flags"}  # only a few of the many
            missing = find_missing(recorded, to_dict(ours.body), "") - absent
            assert not missing, (path.name, missing)
        compared += 1
    assert compared > 30


def to_dict(body: bytes) -> dict[str, Any]:
    """/containers and /monitor/statistics are lists."""
    document = json.loads(body)
    return document if isinstance(document, dict) else {"entries": document}


def test_basics_subscribed_has_the_recorded_fields(session: Session, transcripts: Path) -> None:
    """Framework id, heartbeat interval and every field of MasterInfo; the same names, and the same kinds of values."""
    recorded = read_record(read_response(io.BytesIO((transcripts / "basics/sched-SUBSCRIBE.http").read_bytes())).body)
    assert to_kinds(session.subscribed) == to_kinds(recorded)


def to_kinds(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: to_kinds(inner) for name, inner in value.items()}
    return [to_kinds(inner) for inner in value] if isinstance(value, list) else type(value).__name__
