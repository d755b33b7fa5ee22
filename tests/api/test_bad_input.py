"""What is refused: malformed, unknown, absurd, hostile. Each refusal is a problem document that names the place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.pages import to_cursor
from tests.api.serving import MANIFEST, Api
from tests.store.build import Scene

DEEP = "[" * 40 + "]" * 40


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{]",
        b"nonsense",
        b"\xff\xfe\x00",
        b'{"image": "ndvi"} {}',
        b'{"image": "ndvi", "resources": {"cpus": NaN}}',
        b"[" * 100_000,
        b'{"a":' * 5000,
        b'{"priority": ' + b"9" * 10_000 + b"}",
        b'{"name": "\\ud800"}',
    ],
    ids=range(11),
)
def test_what_is_no_json_is_malformed(shared_api: Api, body: bytes) -> None:
    """400, with the place where reading stopped."""
    response = shared_api.post("/v1/jobs", content=body)
    assert response.status_code == 400
    problem = response.json()
    assert problem["type"] == "urn:swath:problem:malformed"
    assert "not JSON" in problem["detail"]


@pytest.mark.parametrize(
    ("document", "path", "words"),
    [
        ('{"bogus": 1}', "/bogus", "known field"),
        ("{}", "/image", "required"),
        ("[]", "", "object"),
        ("null", "", "object"),
        ('{"image": 7}', "/image", "must be a text"),
        ('{"image": "../etc"}', "/image", "pattern"),
        ('{"image": "ndvi", "resources": {"cpus": -1}}', "/resources/cpus", "must not be negative"),
        ('{"image": "ndvi", "resources": {"cpus": 1e9}}', "/resources/cpus", "at most 1,000,000"),
        ('{"image": "ndvi", "resources": {"mem": 1e308}}', "/resources/mem", "at most 1,000,000,000 MiB"),
        ('{"image": "ndvi", "resources": {"mem": 1e999}}', "/resources/mem", "larger than any"),
        ('{"image": "ndvi", "resources": {"cpus": "1"}}', "/resources/cpus", "number"),
        ('{"image": "ndvi", "resources": {"cpus": true}}', "/resources/cpus", "number"),
        ('{"image": "ndvi", "resources": {"gpus": 0.5}}', "/resources/gpus", "whole number"),
        ('{"image": "ndvi", "resources": {"tpus": 1}}', "/resources/tpus", "known field"),
        ('{"image": "ndvi", "priority": 101}', "/priority", "at most 1"),
        ('{"image": "ndvi", "priority": 1' + "0" * 30 + "}", "/priority", "64 bits"),
        ('{"image": "ndvi", "max_running": 0}', "/max_running", "must be at least"),
        ('{"image": "ndvi", "timeout_s": 0}', "/timeout_s", "must be at least"),
        ('{"image": "ndvi", "name": "' + "n" * 256 + '"}', "/name", "at most"),
        ('{"image": "ndvi", "name": "a\\u0000b"}', "/name", "NUL"),
        ('{"image": "ndvi", "name": "a\\nb"}', "/name", "U+000A, a control character, at place 1"),
        ('{"image": "ndvi", "name": "a\\u009b31m"}', "/name", "U+009B"),
        ('{"image": "ndvi", "name": "\\u202egpj.sh"}', "/name", "U+202E"),
        ('{"image": "ndvi", "labels": {"a": "x\\u2066y"}}', "/labels/a", "U+2066"),
        ('{"image": "ndvi", "project": "../x y"}', "/project", "may hold letters, digits and any of _ . / - alone"),
        ('{"image": "ndvi", "parameters": {"A": ["x\\u0000"]}}', "/parameters/A/0", "NUL"),
        ('{"image": "ndvi", "parameters": {"A": ' + DEEP + "}}", "/parameters/A" + "/0" * 31, "deeper"),
        ('{"image": "ndvi", "parameters": {"A": 123456789012345678901234567890}}', "/parameters/A", "64 bits"),
        ('{"image": "ndvi", "deadline": "tomorrow"}', "/deadline", "must be a time with its zone"),
        ('{"image": "ndvi", "deadline": "2026-01-01T00:00:00"}', "/deadline", "must be a time with its zone"),
        ('{"image": "ndvi", "deadline": "9999-12-31T23:59:59-12:00"}', "/deadline", "calendar"),
        ('{"image": "ndvi", "array": {"over": "SCENE"}}', "/array", "either"),
        ('{"image": "ndvi", "array": {"over": "SCENE", "items": []}}', "/array/items", "at least 1"),
        ('{"image": "ndvi", "array": {"over": "STEP", "range": [5, 5]}}', "/array", "integers"),
        ('{"image": "ndvi", "array": {"over": "STEP", "range": [0, 10000001]}}', "/array", "integers"),
        ('{"image": "ndvi", "array": {"over": "STEP", "range": [0]}}', "/array/range/1", "required"),
        ('{"image": "ndvi", "inputs": {"SCENE": "file:///x"}}', "/inputs/SCENE", "object"),
        ('{"image": "ndvi", "inputs": {"SCENE": {}}}', "/inputs/SCENE", "exactly one"),
        ('{"image": "ndvi", "labels": {"a": 1}}', "/labels/a", "must be a text"),
        ('{"image": "ndvi", "retry": {"max_attempts": 0}}', "/retry/max_attempts", "must be at least"),
        (
            '{"image": "ndvi", "retry": {"on": {"OOM": {"grow_mem": 0.5}}}}',
            "/retry/on/OOM/grow_mem",
            "must be at least",
        ),
        ('{"image": "ndvi", "retry": {"on": {"OOM": "perhaps"}}}', "/retry/on/OOM", "'fail'"),
        ('{"image": "ndvi", "retry": {"on": {"GREMLINS": "fail"}}}', "/retry/on/GREMLINS", "causes are"),
        ('{"image": "ndvi", "retry": {"on": {"APP:256": "fail"}}}', "/retry/on/APP:256", "exit code from 1 to 255"),
        ('{"image": "ndvi", "retry": {"on": {"ERROR:": "fail"}}}', "/retry/on/ERROR:", "name of one of"),
        ('{"image": "ndvi", "retry": {"on": {"APP:1": {"grow": 2}}}}', "/retry/on/APP:1/grow", "known field"),
        ('{"image": "ndvi", "retry": {"on": {"DISK": {"grow_disk": 17}}}}', "/retry/on/DISK/grow_disk", "at most 1"),
        (
            '{"image": "ndvi", "retry": {"on": {"DISK": {"cap_disk": 0}}}}',
            "/retry/on/DISK/cap_disk",
            "must be at least",
        ),
        ('{"image": "ndvi", "retry": {"on": {"OOM": {"cap": 1.5}}}}', "/retry/on/OOM/cap", "whole number"),
        ('{"image": "ndvi", "retry": {"on": {"A B": "fail"}}}', "/retry/on/A B", "may hold letters"),
        ('{"image": "ndvi", "retry": {"on": ["OOM"]}}', "/retry/on", "object"),
        ('{"image": "ndvi", "retry": {"max_backoff_s": -1}}', "/retry/max_backoff_s", "must be at least"),
        ('{"image": "ndvi", "retry": {"learn": "no"}}', "/retry/learn", "must be true or false"),
        ('{"image": "ndvi", "retry": {"backoff": 3}}', "/retry/backoff", "known field"),
    ],
)
def test_each_wrong_field_is_named(shared_api: Api, document: str, path: str, words: str) -> None:
    """422 with the JSON pointer of the field and what would be right; nothing is stored."""
    response = shared_api.post("/v1/jobs", content=document)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    found = {entry["path"]: entry["message"] for entry in response.json()["errors"]}
    assert path in found
    assert words in found[path]
    assert shared_api.get("/v1/jobs").json()["items"] == []


def test_every_error_is_told_at_once(shared_api: Api) -> None:
    """Three wrong fields, three errors."""
    document = {"image": "ndvi", "bogus": 1, "priority": -1, "resources": {"cpus": -2}}
    assert set(shared_api.refusal(document)) == {"/bogus", "/priority", "/resources/cpus"}


def test_a_pointer_escapes_what_would_split_it(shared_api: Api) -> None:
    """RFC 6901: '/' is ~1 and '~' is ~0."""
    assert "/labels/a~1b" in shared_api.refusal({"image": "ndvi", "labels": {"a/b": 1}})


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/v1/jobs?limit=0", "query:limit"),
        ("/v1/jobs?limit=1001", "query:limit"),
        ("/v1/jobs?limit=" + "9" * 400, "query:limit"),
        ("/v1/jobs?limit=x", "query:limit"),
        ("/v1/jobs?state=DONE", "query:state"),
        ("/v1/jobs?label=novalue", "query:label"),
        ("/v1/jobs?name=%00", "query:name"),
        ("/v1/jobs?cursor=x", "query:cursor"),
        ("/v1/jobs?cursor=" + "A" * 300, "query:cursor"),
        ("/v1/jobs?cursor=%C3%A9", "query:cursor"),
        ("/v1/jobs?cursor=WyJqb2JzIiwiJyBPUiAxPTEiXQ", "query:cursor"),  # ["jobs","' OR 1=1"]
        ("/v1/jobs?cursor=WyJ0YXNrcyIsNV0", "query:cursor"),  # ["tasks",5]
        ("/v1/images?cursor=WyJpbWFnZXMiLC0xXQ", "query:cursor"),  # ["images",-1]
        ("/v1/images?cursor=WyJpbWFnZXMiLCJ4Il0", "query:cursor"),  # ["images","x"]
        ("/v1/events?after=-1", "query:after"),
        ("/v1/events?after=1e3", "query:after"),
        (f"/v1/jobs/{'0' * 26}/tasks/-1", "path:index"),
        (f"/v1/jobs/{'0' * 26}/tasks/{'9' * 30}", "path:index"),
        (f"/v1/jobs/{'0' * 26}/tasks/0/logs/secrets", "path:stream"),
        (f"/v1/jobs/{'0' * 26}/tasks/0/logs/stdout?attempt=0", "query:attempt"),
        ("/v1/images/..%00", "path:name"),
    ],
)
def test_each_wrong_parameter_is_named(shared_api: Api, path: str, place: str) -> None:
    """422 with where the parameter stands."""
    response = shared_api.get(path)
    assert response.status_code == 422
    assert [entry["path"] for entry in response.json()["errors"]] == [place]


def test_a_bad_last_event_id_is_named(shared_api: Api) -> None:
    """422 at the header."""
    response = shared_api.get("/v1/events", headers={"Last-Event-ID": "x"})
    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == "header:last-event-id"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"manifest": {}}, "/manifest/job"),
        ({"manifest": {**MANIFEST, "extra": 1}}, "/manifest/extra"),
        ({"swath_manifest": {"network": "everywhere"}}, "/swath_manifest/network"),
        ({"image_id": None}, ""),
        ({"image_id": "latest"}, "/image_id"),
        ({"image_id": None, "reference": "registry/ndvi:latest"}, "/reference"),
        ({"image_id": None, "context": "relative/path"}, "/context"),
        ({"image_id": None, "context": "/no/such/directory"}, "/context"),
        ({"context": "builtin:false"}, "/context"),
        ({"context": "/usr/../etc"}, "/context"),
    ],
)
def test_an_image_that_cannot_be_registered_is_refused(shared_api: Api, change: dict[str, Any], path: str) -> None:
    """422 with the place in the registration, the manifest's own places included."""
    assert path in shared_api.refusal({"manifest": MANIFEST, "image_id": f"sha256:{'0' * 64}", **change}, "/v1/images")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"interface": {"mounts": [{"name": "DEM", "path": "/dem"}]}}, "/interface/mounts"),
        (
            {"interface": {"outputs": {"files": [{"name": "a", "pattern": "*"}, {"name": "b", "pattern": "../../*"}]}}},
            "/interface/outputs/files/1/pattern",
        ),
        (
            {"interface": {"outputs": {"files": [{"name": "a", "pattern": "/etc/*"}]}}},
            "/interface/outputs/files/0/pattern",
        ),
        ({"interface": {"outputs": {"files": [{"name": "a", "pattern": ""}]}}}, "/interface/outputs/files/0/pattern"),
        ({"errors": [{"code": -1, "name": "a"}]}, "/errors/0/code"),
        ({"errors": [{"code": 256, "name": "a"}]}, "/errors/0/code"),
        ({"errors": [{"code": 3, "name": "a"}, {"code": 4, "name": "b"}, {"code": 3, "name": "c"}]}, "/errors/2/code"),
    ],
)
def test_a_manifest_that_nothing_here_could_run_is_refused(shared_api: Api, change: dict[str, Any], path: str) -> None:
    """Although Seed allows it: with the place in the manifest, and nothing else."""
    manifest = {**MANIFEST, "job": {**MANIFEST["job"], **change}}
    refused = shared_api.refusal({"manifest": manifest, "image_id": f"sha256:{'0' * 64}"}, "/v1/images")
    assert set(refused) == {f"/manifest/job{path}"}


def test_problems_follow_rfc_9457(shared_api: Api) -> None:
    """Type, title, status, detail and instance are there, for what the router refuses too."""
    for response in (
        shared_api.get("/v1/nothing"),
        shared_api.http.delete("/v1/jobs"),
        shared_api.post("/v1/jobs", content="{"),
    ):
        problem = response.json()
        assert response.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "detail", "instance"} <= set(problem)
        assert problem["status"] == response.status_code
        assert json.dumps(problem).isascii()


@pytest.mark.parametrize(
    "path",
    [
        f"/v1/jobs/JOB/outputs?cursor={to_cursor('outputs', '999999999:999999999')}",
        f"/v1/jobs/JOB/outputs?cursor={to_cursor('outputs', '9' * 30 + ':1')}",
        f"/v1/jobs/JOB/outputs?cursor={to_cursor('outputs', '1:' + '9' * 30)}",
        f"/v1/jobs/JOB/outputs?cursor={to_cursor('outputs', 2**62 - 1)}",
        f"/v1/jobs/JOB/tasks?cursor={to_cursor('tasks', 2**62 - 1)}",
        f"/v1/jobs/JOB/tasks?cursor={to_cursor('tasks', 2**63)}",
        f"/v1/images?cursor={to_cursor('images', 2**62 - 1)}",
        "/v1/jobs/JOB/tasks/9999999",
        "/v1/jobs/JOB/tasks/99999999999999999999",
        "/v1/jobs/JOB/tasks/0/attempts?x=1",
        f"/v1/jobs/JOB/tasks/0/logs/stdout?attempt={2**31 - 1}",
        f"/v1/jobs/JOB/tasks/0/logs/stdout?attempt={2**31}",
        f"/v1/jobs/JOB/tasks/0/logs/stdout?offset={2**62 - 1}&length={2**62 - 1}",
        f"/v1/jobs/JOB/tasks/0/logs/stdout?offset={-(2**63)}",
        f"/v1/jobs/JOB/events?follow=false&after={2**62 - 1}",
        f"/v1/jobs/JOB/events?follow=false&after={2**64}",
    ],
)
def test_no_integer_is_too_large_for_an_answer(both_api: Api, both_scene: Scene, path: str) -> None:
    """What a database cannot compare with is refused before, on each engine."""
    job = both_scene.submit()
    assert both_api.get(path.replace("JOB", job.id)).status_code in (200, 404, 422)
