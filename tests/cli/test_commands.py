"""The commands against a stand-in for the API: what they ask, print and end with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from swath.cli.supervisor import own_reference
from swath.cli.var import Var
from tests.cli.conftest import IMAGE, JOB_ID, StandIn, a_job, a_scheduler, a_task, an_agent, an_attempt

Swath = Callable[..., Result]


def test_jobs_are_listed_with_the_filters_that_were_asked_for(api: StandIn, swath: Swath) -> None:
    """The table shows the job, and the API was asked for the state in capitals."""
    api.has_job(a_job(why="needs 64 cpus, there is 2"))
    done = swath("jobs", "--state", "running", "--project", "forest")
    assert done.exit_code == 0
    assert JOB_ID in done.stdout
    assert "needs 64 cpus, there is 2" in done.stdout
    assert "state=RUNNING" in api.asked[0][1]
    assert "project=forest" in api.asked[0][1]


def test_json_may_be_asked_for_before_the_command_of_a_group(api: StandIn, swath: Swath) -> None:
    """It is not lost on the way to the command."""
    api.answer("GET", "/v1/agents", {"items": [an_agent()]})
    api.answer("GET", "/v1/agents/a1", an_agent())
    for words in (("agents", "--json", "list"), ("agents", "--json", "show", "a1")):
        assert json.loads(swath(*words).stdout)


@pytest.mark.parametrize(
    "words",
    [
        ("jobs",),
        ("show", "last"),
        ("tasks", JOB_ID),
        ("why", "last"),
        ("cancel", JOB_ID),
        ("retry", "last"),
        ("outputs", JOB_ID),
        ("images",),
        ("images", "list"),
        ("images", "show", "ndvi"),
        ("cluster",),
        ("agents",),
        ("agents", "list"),
        ("agents", "show", "a1"),
        ("agents", "drain", "a1", "--yes"),
        ("agents", "drain", "a1", "--yes", "--wait"),
        ("agents", "undrain", "a1"),
        ("agents", "cordon", "a1"),
        ("agents", "uncordon", "a1"),
        ("scheduler", "status"),
        ("scheduler", "teardown", "--yes"),
        ("scheduler", "reset-framework", "--yes"),
        ("show", JOB_ID, "0"),
        ("wait", JOB_ID),
        ("submit", "ndvi", "SCENE=/a.tif"),
        ("submit", "ndvi", "SCENE=/a.tif", "--wait"),
        ("logs", JOB_ID),
    ],
)
def test_json_on_stdout_is_json_and_nothing_else(api: StandIn, swath: Swath, words: tuple[str, ...]) -> None:
    """Every command that shows something can be read by a program."""
    api.has_job(a_job("SUCCEEDED"))
    path = f"/v1/jobs/{JOB_ID}"
    for name in ("cancel", "retry"):
        api.answer("POST", f"{path}/{name}", a_job())
    api.answer("GET", f"{path}/tasks", {"items": [a_task(0, "SUCCEEDED")], "next": None})
    api.answer("GET", f"{path}/outputs", {"items": [], "next": None})
    api.answer("GET", f"{path}/tasks/0/logs/stdout", "hello\n")
    api.answer("GET", "/v1/images", {"items": [IMAGE], "next": None})
    api.answer("GET", "/v1/images/ndvi", IMAGE)
    api.answer("GET", "/v1/images/ndvi/1.0.0/usage", {"attempts": 0})
    api.answer("GET", "/v1/cluster", {"resources": {"total": {"cpus": 2, "mem": 4}}, "scheduler": {"connected": True}})
    api.answer("GET", f"{path}/explain", {"job": JOB_ID, "state": "SUCCEEDED", "why": None, "waiting": 0})
    api.answer("GET", f"{path}/tasks/0", a_task(0, "SUCCEEDED"))
    api.answer("GET", f"{path}/tasks/0/attempts", {"items": [an_attempt(1, "SUCCEEDED")]})
    drained = an_agent(mode="DRAINED", drain="DRAINED", deactivated=True)
    api.answer("GET", "/v1/agents", {"items": [drained]})
    api.answer("GET", "/v1/agents/a1", drained)
    api.answer("PUT", "/v1/agents/a1/mode", drained, 202)
    api.answer("GET", "/v1/scheduler", a_scheduler())
    for name in ("teardown", "reset-framework"):
        api.answer("POST", f"/v1/scheduler/{name}", {"framework_id": "f-1"}, 202)
    api.answer("POST", "/v1/jobs", a_job(), 201)
    done = swath(*words, "--json")
    assert done.exit_code == 0, done.output
    json.loads(done.stdout)
    assert swath(*words).exit_code == 0


def test_submit_sends_what_the_words_say(api: StandIn, swath: Swath, tmp_path: Path) -> None:
    """Inputs, array, resources and rules stand in the document; the id stands alone on stdout."""
    (tmp_path / "a.tif").touch()
    api.answer("GET", "/v1/images/ndvi", IMAGE)
    api.answer("POST", "/v1/jobs", a_job("PENDING"), 201)
    options = ("--mem", "2G", "--cpus", "0.5", "--max-attempts", "2", "--label", "a=b", "--project", "forest")
    options += ("--unreachable-wait", "60", "--ports", "2", "--resource", "licences=0.5", "--resource", "tape=1")
    done = swath("submit", "ndvi", "--over", f"SCENE={tmp_path}/*.tif", *options)
    assert done.stdout == JOB_ID + "\n"
    assert api.asked[-1][2] == {
        "image": "ndvi",
        "array": {"over": "SCENE", "items": [{"href": (tmp_path / "a.tif").as_uri()}]},
        "inputs": {"SCENE": {"item": True}},
        "project": "forest",
        "labels": {"a": "b"},
        "resources": {"cpus": 0.5, "mem": 2048.0, "ports": 2, "custom": {"licences": 0.5, "tape": 1.0}},
        "retry": {"max_attempts": 2, "unreachable_s": 60.0},
    }


def test_submit_says_where_and_how_a_job_is_to_run(api: StandIn, swath: Swath) -> None:
    """Class, expected time, constraints hard and soft, preferences, one task a host."""
    api.answer("GET", "/v1/images/ndvi", IMAGE)
    api.answer("POST", "/v1/jobs", a_job("PENDING"), 201)
    options = ("--class", "interactive", "--preemptible", "--expected", "5m", "--prefer", "region=ispra 2")
    options += ("--constraint", "~zone in a,b", "--constraint", "rack max_per 2", "--spread-hosts")
    assert swath("submit", "ndvi", *options).exit_code == 0
    assert api.asked[-1][2] == {
        "image": "ndvi",
        "class": "interactive",
        "preemptible": True,
        "expected_s": 300.0,
        "prefer": [{"attribute": "region", "value": "ispra", "weight": 2.0}],
        "constraints": [
            {"attribute": "zone", "operator": "in", "value": ["a", "b"], "hard": False},
            {"attribute": "rack", "operator": "max_per", "value": 2},
            {"attribute": "hostname", "operator": "unique"},
        ],
    }


def test_a_job_is_shown_with_where_it_may_run(api: StandIn, swath: Swath) -> None:
    """In the words in which the command line takes it; what a later service says is shown as it is."""
    rules = [
        {"attribute": "rack", "operator": "max_per", "value": 2},
        {"attribute": "zone", "operator": "in", "value": ["a", "b"], "hard": False},
    ]
    wishes = {"prefer": [{"attribute": "region", "value": "eu", "weight": 2}], "class": "interactive", "expected_s": 90}
    api.has_job(a_job(spec={"image": "ndvi", "constraints": rules, **wishes}))
    shown = swath("show", JOB_ID).stdout
    for words in ("rack max_per 2, ~zone in a,b", "region=eu 2", "interactive", "2 min"):
        assert words in shown
    api.has_job(a_job(spec={"image": "ndvi", "constraints": [{"attribute": "rack", "operator": "newer"}]}))
    assert "newer" in swath("show", JOB_ID).stdout


def test_a_document_can_come_from_stdin(api: StandIn, swath: Swath) -> None:
    """Options beside it win."""
    api.answer("POST", "/v1/jobs", a_job(), 201)
    done = swath("submit", "--file", "-", "--priority", "90", input='{"image": "true", "priority": 10}')
    assert done.exit_code == 0, done.output
    assert api.asked[0][2] == {"image": "true", "priority": 90}


@pytest.mark.parametrize(("state", "code"), [("SUCCEEDED", 0), ("FAILED", 1), ("CANCELLED", 6)])
def test_waiting_ends_with_the_jobs_own_exit_code(api: StandIn, swath: Swath, state: str, code: int) -> None:
    """0, 1 and 6 tell how it ended."""
    api.has_job(a_job(state))
    failed = a_task(1, "FAILED", cause="DATA", exit_code=10, message="no red band")
    api.answer("GET", f"/v1/jobs/{JOB_ID}/tasks", {"items": [failed], "next": None})
    done = swath("wait", JOB_ID)
    assert done.exit_code == code
    if state == "FAILED":
        assert "task 1: DATA (exit code 10): no red band" in done.stderr
        assert f"swath logs {JOB_ID} 1 --stderr" in done.stderr


def test_waiting_no_longer_than_asked_ends_with_9(api: StandIn, swath: Swath) -> None:
    """The job runs on, and the message says how to follow it."""
    api.has_job(a_job("RUNNING"))
    done = swath("wait", JOB_ID, "--timeout", "0")
    assert done.exit_code == 9
    assert f"swath wait {JOB_ID}" in done.stderr


def test_ctrl_c_while_waiting_leaves_the_job_running(
    api: StandIn, swath: Swath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """130, no request to cancel, and a hint."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("swath.client.Client.wait", interrupt)
    done = swath("wait", JOB_ID)
    assert done.exit_code == 130
    assert f"swath cancel {JOB_ID}" in done.stderr
    assert not [entry for entry in api.asked if entry[0] == "POST"]


def test_a_refused_job_names_every_field(api: StandIn, swath: Swath) -> None:
    """4, with one line a problem."""
    problems = [{"path": "/resources/mem", "message": "needs 900000"}, {"path": "/name", "message": "is too long"}]
    api.refuse("POST", "/v1/jobs", 422, "cannot-run", "refused", problems)
    done = swath("submit", "-f", "-", input='{"image": "true"}')
    assert done.exit_code == 4
    assert "/resources/mem: needs 900000" in done.stderr
    assert "/name: is too long" in done.stderr


def test_a_time_out_is_said_like_every_other_duration(api: StandIn, swath: Swath) -> None:
    """In whole seconds to the service; what is none is refused by the option's name."""
    api.answer("GET", "/v1/images/ndvi", IMAGE)
    api.answer("POST", "/v1/jobs", a_job(), 201)
    for said, seconds in (("90", 90), ("5m", 300), ("0.5", 1)):
        assert swath("submit", "ndvi", "--task-timeout", said).exit_code == 0
        assert api.asked[-1][2]["timeout_s"] == seconds
    assert swath("submit", "ndvi", "--task-timeout", "long").exit_code == 2


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (404, "not-found", 3),
        (409, "conflict", 4),
        (401, "unauthorized", 4),
        (503, "store-unavailable", 5),
        (500, "x", 5),
    ],
)
def test_what_the_api_refuses_becomes_an_exit_code(
    api: StandIn, swath: Swath, status: int, kind: str, code: int
) -> None:
    """One message on stderr, no traceback."""
    api.refuse("GET", f"/v1/jobs/{JOB_ID}", status, kind, "so it is")
    done = swath("show", JOB_ID)
    assert done.exit_code == code
    assert "so it is" in done.stderr
    assert "Traceback" not in done.output
    assert done.stdout == ""


def test_without_a_cluster_the_exit_code_is_5_and_the_hint_is_up(
    swath: Swath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether there never was one, or it does not answer."""
    monkeypatch.delenv("SWATH_URL", raising=False)
    monkeypatch.setenv("SWATH_VAR", str(tmp_path))
    done = swath("jobs")
    assert done.exit_code == 5
    assert "swath up" in done.stderr
    (tmp_path / "token").write_text("t")
    cluster = {"api_url": "http://127.0.0.1:1", "token_file": str(tmp_path / "token")}
    (tmp_path / "cluster.json").write_text(json.dumps(cluster))
    assert swath("jobs").exit_code == 5


@pytest.mark.parametrize(
    "words",
    [
        ("submit",),
        ("nonsense",),
        ("logs",),
        ("up", "--agents", "0"),
        ("images", "register"),
        ("jobs", "--wat"),
        ("submit", "true", "--cpus", "nan"),
        ("up", "--resources", "licences"),
        ("up", "--attributes", "rack:"),
        ("submit", "true", "--unreachable-wait", "-1"),
        ("agents", "drain"),
        ("agents", "drain", "a1", "--max-grace", "soon", "--yes"),
        ("agents", "drain", "a1", "--max-grace", "-5m", "--yes"),
        ("agents", "nonsense"),
        ("scheduler", "nonsense"),
        ("submit", "true", "--idempotency-key", "é"),
    ],
)
def test_a_wrong_command_line_ends_with_2(swath: Swath, words: tuple[str, ...], api: StandIn) -> None:
    """As everywhere."""
    assert swath(*words).exit_code == 2


def test_the_version_is_told(swath: Swath) -> None:
    """The one that was installed."""
    assert swath("--version").stdout.split()[0] == "swath"
    assert swath("--version").stdout.split()[1][0].isdigit()


def test_outputs_are_downloaded_below_the_index_of_their_task(api: StandIn, swath: Swath, tmp_path: Path) -> None:
    """results/<task>/<path>."""
    href = f"/v1/jobs/{JOB_ID}/tasks/2/outputs/a/ndvi.tif"
    output = {
        "task": 2,
        "name": "ndvi",
        "path": "a/ndvi.tif",
        "size": 4,
        "media_type": None,
        "href": href,
        "file": "/x",
    }
    api.answer("GET", f"/v1/jobs/{JOB_ID}/outputs", {"items": [output], "next": None})
    api.answer("GET", href, "data")
    done = swath("outputs", JOB_ID, "--download", str(tmp_path / "results"))
    assert done.exit_code == 0, done.output
    assert (tmp_path / "results" / "2" / "a" / "ndvi.tif").read_text() == "data"


def test_an_output_that_would_leave_the_directory_is_not_written(api: StandIn, swath: Swath, tmp_path: Path) -> None:
    """A cluster is not trusted with the user's home."""
    output = {"task": 0, "name": "x", "path": "../../x", "size": 1, "media_type": None, "href": "/x", "file": "/x"}
    api.answer("GET", f"/v1/jobs/{JOB_ID}/outputs", {"items": [output], "next": None})
    done = swath("outputs", JOB_ID, "--download", str(tmp_path / "results"))
    assert done.exit_code == 5
    assert not (tmp_path.parent / "x").exists()


def test_registering_a_context_sends_its_manifests(api: StandIn, swath: Swath, tmp_path: Path) -> None:
    """Both of them, and the absolute path."""
    (tmp_path / "seed.manifest.json").write_text('{"job": {"name": "x"}}')
    (tmp_path / "swath.manifest.json").write_text('{"network": "none"}')
    api.answer("POST", "/v1/images", {"name": "x", "version": "1"}, 201)
    done = swath("images", "register", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert api.asked[0][2] == {
        "manifest": {"job": {"name": "x"}},
        "swath_manifest": {"network": "none"},
        "reference": None,
        "image_id": None,
        "context": str(tmp_path),
    }
    assert swath("images", "register", str(tmp_path / "nothing")).exit_code == 3


def test_completion_is_printed_for_every_shell(swath: Swath) -> None:
    """A script that names the command."""
    for shell in ("bash", "zsh", "fish"):
        done = swath("completion", shell)
        assert done.exit_code == 0
        assert "swath" in done.stdout


def test_a_fault_of_ours_is_one_line_and_8(api: StandIn, swath: Swath, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even then there is no traceback, unless SWATH_DEBUG asks for it."""
    api.answer("GET", f"/v1/jobs/{JOB_ID}", {"id": JOB_ID})
    done = swath("show", JOB_ID)
    assert done.exit_code == 8
    assert "SWATH_DEBUG=1" in done.stderr
    monkeypatch.setenv("SWATH_DEBUG", "1")
    assert isinstance(swath("show", JOB_ID).exception, KeyError)


@pytest.mark.parametrize("state", ["ready", "starting", "stopped"])
def test_the_token_is_sent_only_while_the_supervisor_lives(
    api: StandIn, swath: Swath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """Somebody else may have got the port: 5, nothing is sent, and the remedy is said."""
    var = Var(root=tmp_path / "var")
    var.make()
    document = {"api_url": os.environ["SWATH_URL"], "token_file": str(var.token_file), "state": state}
    var.write_cluster({**document, "supervisor": {"pid": os.getpid(), "started": "of another process"}})
    monkeypatch.delenv("SWATH_URL")
    monkeypatch.delenv("SWATH_TOKEN")
    monkeypatch.setenv("SWATH_VAR", str(var.root))
    refused = swath("jobs")
    assert refused.exit_code == 5
    assert "swath up" in refused.stderr
    assert api.asked == []
    var.write_cluster({**document, "supervisor": own_reference()})
    swath("jobs")
    assert api.asked
