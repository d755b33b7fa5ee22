"""Who may ask `local`: no web page, and with a credential nobody who does not have it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.__main__ import main
from local.access import Access, Credential, read_credential
from local.tokens import make_claims, make_token, read_token

from .conftest import LocalProcess
from .scheduler_client import FRAMEWORK, SchedulerClient, make_executor, make_task, request

SUBSCRIBE = {"type": "SUBSCRIBE", "subscribe": {"framework_info": FRAMEWORK}}
JSON = {"Content-Type": "application/json"}
PATHS = ("/state", "/api/v1", "/api/v1/scheduler", "/files/browse?path=/", "/health")


def basic(principal: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{principal}:{secret}".encode()).decode()}


@pytest.fixture(scope="module")
def credential_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `swath up` makes it."""
    path = tmp_path_factory.mktemp("access") / "credential"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"principal": "swath", "secret": "s:3cret"}))
    return path


@pytest.fixture(scope="module")
def closed(credential_file: Path) -> Iterator[LocalProcess]:
    """A `local` that asks for a credential."""
    options = ("--cpus", "4", "--mem", "2048", "--disk", "4096", "--allocation-interval", "0.2")
    work_dir = credential_file.parent / "work"
    process = LocalProcess(work_dir, *options, "--credential-file", str(credential_file))
    yield process
    process.stop()
    process.end_executors()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:5050"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "evil.example@127.0.0.1"},
        {"Host": "[::1"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_web_pages_are_refused_by_every_server(local: LocalProcess, headers: dict[str, str]) -> None:
    """403 from the master and from the agent, for calls and for pages, before anything is done."""
    for port in (local.port, *local.agent_ports):
        for path in PATHS:
            assert request(port, "GET", path, headers=headers)[0] == 403, path
        for path in ("/api/v1", "/api/v1/scheduler", "/api/v1/executor"):
            assert request(port, "POST", path, SUBSCRIBE, JSON | headers)[0] == 403, path
    assert json.loads(request(local.port, "GET", "/frameworks")[2])["frameworks"] == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:5050", "LOCALHOST", "[::1]:5050"])
def test_names_of_the_loopback_are_served(local: LocalProcess, host: str) -> None:
    """Whatever port stands behind them; and a page of our own, too."""
    assert request(local.port, "GET", "/state", headers={"Host": host})[0] == 200
    own = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert request(local.port, "GET", "/state", headers=own)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("swath", "wrong"),
        basic("other", "s:3cret"),
        {"Authorization": "Basic ???"},
        {"Authorization": "Basic"},
        {"Authorization": basic("swath", "s:3cret")["Authorization"].replace("Basic", "Bearer")},
    ],
)
def test_without_the_credential_nobody_is_served(closed: LocalProcess, headers: dict[str, str]) -> None:
    """401 with a challenge, from each interface of master and agent; only /health and /version are open."""
    for port in (closed.port, *closed.agent_ports):
        for path in ("/state", "/slave(1)/state", "/master/state", "/metrics/snapshot", "/files/browse?path=/x"):
            status, answered, _ = request(port, "GET", path, headers=headers)
            assert (status, answered["www-authenticate"]) == (401, 'Basic realm="mesos"'), path
        for path in ("/api/v1", "/api/v1/scheduler", "/master/api/v1/scheduler", "/api/v1/executor"):
            assert request(port, "POST", path, SUBSCRIBE, JSON | headers)[0] == 401, path
        assert request(port, "GET", "/health", headers=headers)[0] == 200
        assert request(port, "GET", "/version", headers=headers)[0] == 200


def test_with_the_credential_tasks_run_and_executors_need_their_own_token(closed: LocalProcess) -> None:
    """The executor's token opens its agent's executor API for itself alone; the scheduler's credential does not."""
    known = basic("swath", "s:3cret")
    scheduler = SchedulerClient(closed.port, headers=known)
    offer = scheduler.wait_for_offer()
    agent_id = offer["agent_id"]["value"]
    scheduler.launch(offer, *(make_task(n, agent_id, make_executor(f"ex-{n}")) for n in ("a", "b")))
    for name in ("a", "b"):
        scheduler.wait_for_status(name, "TASK_RUNNING")
    tokens = {name: token_of(closed, f"ex-{name}") for name in ("a", "b")}
    message = {"type": "MESSAGE", "framework_id": {"value": scheduler.framework_id}, "message": {"data": "eA=="}}
    message["executor_id"] = {"value": "ex-a"}

    def say(headers: dict[str, str]) -> int:
        return request(closed.agent_ports[0], "POST", "/api/v1/executor", message, JSON | headers)[0]

    assert say({"Authorization": f"Bearer {tokens['a']}"}) == 202
    assert say({"Authorization": f"Bearer {tokens['b']}"}) == 403
    assert say({"Authorization": f"Bearer {tokens['a'][:-2]}"}) == 401
    assert say(known) == 401
    for path in ("/state", "/containers"):
        shown = request(closed.agent_ports[0], "GET", path, headers=known)[2]
        assert tokens["a"].encode() not in shown
    scheduler.call("TEARDOWN")
    scheduler.close()


def token_of(closed: LocalProcess, executor_id: str) -> str:
    """Out of the environment of the process that runs in the executor's sandbox."""
    sandbox = next(closed.work_dir.glob(f"agent-0/slaves/*/frameworks/*/executors/{executor_id}/runs/latest")).resolve()
    for entry in Path("/proc").iterdir():
        try:
            variables = (entry / "environ").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if f"MESOS_SANDBOX={sandbox}".encode() in variables:
            name = b"MESOS_EXECUTOR_AUTHENTICATION_TOKEN="
            return next(v for v in variables if v.startswith(name)).removeprefix(name).decode()
    raise AssertionError(f"nothing runs in {sandbox}")


def test_a_token_is_good_for_its_claims_and_its_key_only() -> None:
    """Changed, cut and foreign ones give nothing."""
    claims = make_claims("F", "E", "C")
    token = make_token(b"key", claims)
    assert token == make_token(b"key", claims)
    assert read_token(b"key", token.encode()) == claims
    head, body, signature = token.split(".")
    other = make_token(b"key", make_claims("F", "E", "D")).split(".")[1]
    for wrong in (f"{head}.{other}.{signature}", f"{head}.{body}.", f"{head}.{body}", "", ".", "a.b.c", "\xff"):
        assert read_token(b"key", wrong.encode()) is None
    assert read_token(b"other", token.encode()) is None


@pytest.mark.parametrize(
    ("content", "mode", "text"),
    [
        ('{"principal": "p", "secret": "s"}', 0o644, "open to others"),
        ('{"principal": "p"}', 0o600, "cannot be read"),
        ("p s", 0o600, "cannot be read"),
        ('{"principal": "a:b", "secret": "s"}', 0o600, "holds no principal"),
        ('{"principal": "p", "secret": ""}', 0o600, "holds no principal"),
    ],
)
def test_a_bad_credential_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, mode: int, text: str
) -> None:
    """`local` does not start, and says why, but never what is in it."""
    path = tmp_path / "credential"
    path.write_text(content)
    path.chmod(mode)
    assert main(["--port", "0", "--agent-port", "0", "--work-dir", str(tmp_path), "--credential-file", str(path)]) == 1
    said = capsys.readouterr().err
    assert text in said
    assert '"s"' not in said


def test_a_secret_is_not_shown(credential_file: Path) -> None:
    """Not even in a traceback."""
    assert "3cret" not in repr(read_credential(credential_file))


@pytest.mark.parametrize("hosts", [[], [b"127.0.0.1", b"evil.example"], [b"evil.example", b"127.0.0.1"]])
def test_a_request_has_one_host(hosts: list[bytes]) -> None:
    """None and two are refused."""
    headers: list[Any] = [(b"host", host) for host in hosts]
    refusal = Access(Credential(principal="p", secret="s")).find_refusal("/health", headers)
    assert refusal is not None
    assert refusal.status == 403
