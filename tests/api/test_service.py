"""The service as a whole: health, numbers, faults, what it says of itself, and its process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from api.errors import ANSWERS, PROBLEM_TYPE, to_answer
from swath import client
from swath.domain import errors
from swath.domain.changes import PutSchedulerStatus
from swath.store.database import Database
from swath.store.leadership import Leadership
from tests.api.serving import MANIFEST, TOKEN, Api, make_settings, serving
from tests.store.build import Scene, an_agent

ROOT = Path(__file__).parents[2]
MOST_MEMORY = 110 * 1024 * 1024  # bytes of resident memory


def test_readiness_names_what_is_missing(both_api: Api, both_scene: Scene) -> None:
    """503 until the scheduler has given a sign of life, and again when it falls silent."""
    now = datetime.now(UTC)
    assert "never" in both_api.get("/readyz").json()["checks"]["scheduler"]
    both_scene.apply(PutSchedulerStatus(connected=True, heartbeat_at=now))
    assert both_api.get("/readyz").json() == {
        "ready": True,
        "checks": {"database": "ok", "migrations": "ok", "scheduler": "ok"},
    }
    both_scene.apply(PutSchedulerStatus(connected=False, heartbeat_at=now))
    assert "not connected" in both_api.get("/readyz").json()["checks"]["scheduler"]
    both_scene.apply(PutSchedulerStatus(connected=True, heartbeat_at=now - timedelta(minutes=5)))
    response = both_api.get("/readyz")
    assert (response.status_code, response.json()["ready"]) == (503, False)
    assert "silent" in response.json()["checks"]["scheduler"]


def test_a_lease_that_has_run_out_is_said_first(both_api: Api, both_scene: Scene, database: Database) -> None:
    """A leader that was killed or hangs is still connected as far as its last words go, for half a minute."""
    now = datetime.now(UTC)
    both_scene.apply(PutSchedulerStatus(connected=True, heartbeat_at=now))
    assert both_api.get("/readyz").status_code == 200
    assert Leadership(database).renew(both_scene.epoch, now - timedelta(seconds=1))
    response = both_api.get("/readyz")
    assert response.status_code == 503
    assert "does not run: first led until" in response.json()["checks"]["scheduler"]
    assert "does not run" in both_api.get("/v1/scheduler").json()["health"]


def test_an_old_schema_is_not_ready(tmp_path: Path) -> None:
    """The service is alive and says which migration is missing."""
    with serving(make_settings(tmp_path, f"sqlite:///{tmp_path / 'empty.db'}")) as api:
        assert api.get("/healthz").status_code == 200
        checks = api.get("/readyz").json()["checks"]
        assert "run `python -m swath.store.migrate`" in checks["migrations"]


def test_a_database_that_does_not_answer_is_503(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a word of where it is."""
    with serving(make_settings(tmp_path, "postgresql+psycopg://nobody:secret@127.0.0.1:1/none")) as api:
        response = api.get("/v1/jobs")
        ready = api.get("/readyz")
    assert response.status_code == 503
    assert response.json()["type"] == "urn:swath:problem:store-unavailable"
    assert response.headers["x-request-id"] in response.json()["detail"]
    assert ready.json() == {"ready": False, "checks": {"database": "does not answer"}}
    for text in (response.text, ready.text):
        assert "secret" not in text
        assert "127.0.0.1:1" not in text


def test_a_fault_of_ours_says_nothing_of_its_inside(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 with a number for the log, and the service goes on."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret of the inside")

    monkeypatch.setattr("swath.store.api_store.jobs.list_jobs", fail)
    response = api.get("/v1/jobs")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "urn:swath:problem:internal"
    assert "secret" not in response.text
    assert response.headers["x-request-id"] in response.json()["detail"]
    assert api.get("/v1/cluster").status_code == 200


def test_every_error_of_the_domain_has_an_answer() -> None:
    """Each user's error a 4xx, each of ours a 5xx; the client raises the same class again."""
    for name in dir(errors):
        kind = getattr(errors, name)
        if not (isinstance(kind, type) and issubclass(kind, errors.SwathError)):
            continue
        answer = ANSWERS[next(base for base in kind.__mro__ if base in ANSWERS)]
        assert (answer.status < 500) == issubclass(kind, errors.UserError), name
        if issubclass(kind, errors.UserError) and kind is not errors.UserError:
            assert client.ERRORS[answer.kind] is kind
    assert client.PROBLEM_TYPE == PROBLEM_TYPE
    assert to_answer(KeyError()).status == 500


def test_numbers_are_counted_by_route(api: Api, scene: Scene) -> None:
    """Templates, not paths; and the cluster's own."""
    scene.submit()
    scene.apply(an_agent())
    for path in ("/v1/jobs/x", "/v1/jobs/y", "/v1/jobs", "/nowhere"):
        api.get(path)
    lines = api.get("/metrics").text.splitlines()
    assert 'swath_api_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"} 2.0' in lines
    assert 'swath_api_requests_total{method="GET",route="none",status="404"} 1.0' in lines
    assert {"swath_open_jobs 1.0", "swath_agents 1.0", "swath_scheduler_connected 0.0"} <= set(lines)


def test_the_cluster_is_shown(both_api: Api, both_scene: Scene) -> None:
    """Its agents with what they have, and the scheduler's word."""
    both_scene.apply(an_agent("a", attributes={"rack": "1"}), an_agent("b", hostname="host-2", active=False))
    both_scene.apply(PutSchedulerStatus(connected=True, master="127.0.0.1:5050", heartbeat_at=datetime.now(UTC)))
    cluster = both_api.get("/v1/cluster").json()
    assert (cluster["connected"], cluster["agents"], cluster["resources"]["cpus"]) == (True, 1, 8)
    agents = both_api.get("/v1/agents").json()["items"]
    assert [(agent["id"], agent["active"], agent["attributes"]) for agent in agents] == [
        ("a", True, {"rack": "1"}),
        ("b", False, {}),
    ]
    assert [agent["id"] for agent in both_api.get("/v1/agents", params={"active": True}).json()["items"]] == ["a"]


def test_images_are_registered_listed_and_shown(both_api: Api, tmp_path: Path) -> None:
    """By digest, and by what a build context holds; the newest version answers to the name."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch")

    def document(version: str, **where: Any) -> dict[str, Any]:
        return {"manifest": {**MANIFEST, "job": {**MANIFEST["job"], "jobVersion": version}}, **where}

    reference = f"registry:5000/ndvi@sha256:{'a' * 64}"
    response = both_api.post("/v1/images", json=document("1.10.0", reference=reference))
    assert response.status_code == 201
    assert response.json()["digest"] == f"sha256:{'a' * 64}"
    assert both_api.get(response.headers["location"]).json() == response.json()
    first = both_api.post("/v1/images", json=document("1.9.0", context=str(context))).json()
    again = both_api.post("/v1/images", json=document("1.9.0", context=str(context))).json()
    (context / "Dockerfile").write_text("FROM debian")
    changed = both_api.post("/v1/images", json=document("1.9.0", context=str(context))).json()
    assert first["digest"] == again["digest"] != changed["digest"]
    assert both_api.get("/v1/images/ndvi").json()["version"] == "1.10.0"
    assert both_api.get("/v1/images/ndvi/1.9.0").json()["digest"] == changed["digest"]
    assert len(both_api.get("/v1/images", params={"name": "ndvi"}).json()["items"]) == 5
    assert both_api.get("/v1/images/nothing").status_code == 404


def test_the_builtin_image_needs_no_directory(api: Api) -> None:
    """`true` serves benchmarks."""
    job = {**MANIFEST["job"], "name": "true", "interface": {"command": "true"}}
    response = api.post("/v1/images", json={"manifest": {**MANIFEST, "job": job}, "context": "builtin:true"})
    assert response.status_code == 201
    assert api.submit(image="true")["image"] == "true:1.0.0"


def test_openapi_knows_the_bodies_and_the_refusals(shared_api: Api) -> None:
    """Every route of /v1 tells of its problems; submit of its document."""
    document = shared_api.get("/openapi.json").json()
    submit = document["paths"]["/v1/jobs"]["post"]
    schema = submit["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/JobDocument"}
    assert "array" in document["components"]["schemas"]["JobDocument"]["properties"]
    assert document["components"]["schemas"]["JobDocument"]["examples"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["description"], path
            if path.startswith("/v1"):
                assert "application/problem+json" in operation["responses"]["422"]["content"]


@pytest.fixture
def process(sqlite_database: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`python -m api` in a process of its own, and its URL."""
    make_settings(tmp_path, sqlite_database)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    said = {"DATABASE_URL": sqlite_database, "TOKEN_FILE": str(tmp_path / "token"), "API_PORT": str(port)}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **{f"SWATH_{name}": value for name, value in said.items()}}
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen([sys.executable, "-m", "api"], cwd=tmp_path, env=environment, stderr=log) as running,
    ):
        url = f"http://127.0.0.1:{port}"
        while True:
            assert running.poll() is None, (tmp_path / "log").read_text()
            try:
                httpx.get(f"{url}/healthz", trust_env=False)
                break
            except httpx.ConnectError:
                time.sleep(0.05)
        yield running, url
        running.kill()


def test_the_process_is_small_and_quiet_and_ends_when_told(
    process: tuple[subprocess.Popen[bytes], str], tmp_path: Path
) -> None:
    """Below 110 MB after a large request; one line in its log; SIGTERM ends it at once though somebody follows."""
    running, url = process
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False, timeout=20) as http:
        items = ",".join(f'{{"href":"file:///eo/{index}.tif"}}' for index in range(10_000))
        body = f'{{"image":"none","array":{{"over":"SCENE","items":[{items}]}}}}'
        assert http.post("/v1/jobs", content=body).status_code == 422
        for _ in range(20):
            assert http.get("/v1/jobs").status_code == 200
        memory = psutil.Process(running.pid).memory_info().rss
        with http.stream("GET", "/v1/events") as response:
            began = time.monotonic()
            running.send_signal(signal.SIGTERM)
            assert not response.read().replace(b": alive", b"").strip()
        assert running.wait(5) in (0, -signal.SIGTERM)
        assert time.monotonic() - began < 2
    assert memory < MOST_MEMORY, f"{memory / 1e6:.0f} MB"
    assert len((tmp_path / "log").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"SWATH_TOKEN_FILE": "/no/such/file"}, "cannot be read"),
        ({"SWATH_API_PORT": "99999"}, "SWATH_API_PORT"),
        ({"SWATH_DATABASE_URL": "mysql://x/y"}, "not supported"),
        ({"SWATH_DATABASE_URL": None}, "SWATH_DATABASE_URL"),
    ],
)
def test_wrong_settings_are_told_in_one_line(tmp_path: Path, changed: dict[str, str | None], words: str) -> None:
    """Exit code 2 and no traceback."""
    make_settings(tmp_path, "sqlite:///x")
    said = {"SWATH_DATABASE_URL": "sqlite:///x.db", "SWATH_TOKEN_FILE": str(tmp_path / "token"), **changed}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **{name: value for name, value in said.items() if value}}
    done = subprocess.run(
        [sys.executable, "-m", "api"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
