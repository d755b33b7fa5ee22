"""`swath images` beyond list and show, `swath rerun` and `swath secrets`, against a stand-in for the API."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import Result

from tests.cli.conftest import IMAGE, JOB_ID, StandIn, a_job

Swath = Callable[..., Result]
SECRET = "xyzzy-plugh-plover"
USAGE = {"attempts": 12, "held_s": 60.0, "failure_rate": 0.25, "outcomes": {"OOM": 3, "SUCCEEDED": 9}}


@pytest.mark.parametrize(
    ("command", "state"),
    [("promote", "ACTIVE"), ("reject", "REJECTED"), ("deprecate", "DEPRECATED"), ("retire", "RETIRED")],
)
def test_a_version_is_brought_into_a_state_with_a_reason(api: StandIn, swath: Swath, command: str, state: str) -> None:
    """Of the digest that is named; what the service answers is told."""
    api.answer("POST", "/v1/images/ndvi/1.0.0/state", {**IMAGE, "state": state})
    digest = f"sha256:{'a' * 64}"

    done = swath("images", command, f"ndvi:1.0.0@{digest}", "--why", "wrong over water")

    assert (done.exit_code, f"ndvi:1.0.0 is {state}" in done.stderr) == (0, True)
    method, path, document = api.asked[-1]
    assert (method, document) == ("POST", {"state": state, "why": "wrong over water"})
    assert parse_qs(urlsplit(path).query) == {"digest": [digest]}


def test_a_reason_is_asked_for(api: StandIn, swath: Swath) -> None:
    """Without one nothing is asked of the service."""
    assert swath("images", "retire", "ndvi:1.0.0").exit_code == 2
    assert api.asked == []


def test_a_refused_change_says_why(api: StandIn, swath: Swath) -> None:
    """The service's words, and the exit code of a conflict."""
    api.refuse("POST", "/v1/images/ndvi/1.0.0/state", 409, "conflict", "ndvi:1.0.0 is RETIRED; that is for good")
    done = swath("images", "promote", "ndvi:1.0.0", "-m", "again")
    assert (done.exit_code, "that is for good" in done.stderr) == (4, True)


def test_history_is_shown_line_by_line(api: StandIn, swath: Swath) -> None:
    """When, from what to what, by whom and why."""
    line = {"before": "ACTIVE", "after": "DEPRECATED", "user": "ada", "why": "wrong", "at": "2026-01-01T00:00:00Z"}
    api.answer("GET", "/v1/images/ndvi/1.0.0/transitions", {"items": [line]})
    assert swath("images", "history", "ndvi:1.0.0").stdout.splitlines()[1].split() == [
        "2026-01-01T00:00:00Z",
        *("ACTIVE", "DEPRECATED", "ada", "wrong"),
    ]


def test_versions_are_searched(api: StandIn, swath: Swath) -> None:
    """Each option is passed on; the list has states."""
    api.answer("GET", "/v1/images", {"items": [IMAGE], "next": None})
    options = ("--state", "active", "--owner", "ada", "--project", "forest", "--label", "a=b", "--label", "c=d")
    assert "ACTIVE" in swath("images", "list", "vegetation", *options).stdout
    assert parse_qs(urlsplit(api.asked[-1][1]).query) == {
        "text": ["vegetation"],
        "state": ["ACTIVE"],
        "owner": ["ada"],
        "project": ["forest"],
        "label": ["a=b", "c=d"],
        "limit": ["1000"],
    }


def test_an_image_is_shown_with_where_it_comes_from(api: StandIn, swath: Swath) -> None:
    """Owner, tag that has moved, size, provenance, and how often it failed with what."""
    told = {"tag": "registry/ndvi:1", "tag_digest": "sha256:2", "size": 2**30, "layers": [{}, {}]}
    told |= {"provenance": {"revision": "abc"}, "pushed_by": "ci", "projects": ["forest"]}
    api.answer("GET", "/v1/images/ndvi", {**IMAGE, **told})
    api.answer("GET", "/v1/images/ndvi/1.0.0/usage", USAGE)

    shown = swath("images", "show", "ndvi").stdout

    for text in ("registry/ndvi:1 has moved to sha256:2", "1.0 GiB", "abc", "ci", "forest", "ada"):
        assert text in shown
    assert "12 attempts, 60 s, 25.0% failed (OOM 3)" in shown


def test_two_versions_are_compared(api: StandIn, swath: Swath) -> None:
    """A bare version is one of the same image; each kind of difference has its table."""
    found: dict[str, Any] = {"before": "ndvi:1.0.0@a", "after": "ndvi:1.1.0@b", "size": {"before": 1024, "after": 2048}}
    found["manifest"] = [{"path": "/job/timeout", "before": 60, "after": 120}]
    found["layers"] = {"shared": 3, "shared_bytes": 512, "removed": 0, "added": 1, "added_bytes": 1024}
    found["packages"] = {"added": {"a": "1"}, "removed": {"b": "2"}, "changed": {"c": ["3", "4"]}}
    api.answer("GET", "/v1/images/ndvi/1.0.0/compare", found)

    lines = [" ".join(line.split()) for line in swath("images", "compare", "ndvi:1.0.0", "1.1.0").stdout.splitlines()]

    assert parse_qs(urlsplit(api.asked[-1][1]).query) == {"with": ["ndvi:1.1.0"]}
    for line in ("layers 3 shared (512 B), 1 new (1.0 KiB)", "/job/timeout 60 120", "a - 1", "b 2 -", "c 3 4"):
        assert line in lines


def test_ownership_keeps_what_is_not_said(api: StandIn, swath: Swath) -> None:
    """Projects alone leave the owner; everybody and some projects contradict each other."""
    api.answer("GET", "/v1/images/ndvi", IMAGE)
    api.answer("PUT", "/v1/images/ndvi", {**IMAGE, "projects": ["forest"]})
    assert "ndvi is ada's, for forest" in swath("images", "own", "ndvi", "--project", "forest").stderr
    assert api.asked[-1][2] == {"owner": "ada", "projects": ["forest"]}
    assert swath("images", "own", "ndvi", "--everybody", "--project", "forest").exit_code == 2


def test_a_job_is_run_again(api: StandIn, swath: Swath) -> None:
    """The new job's id on stdout, warnings on stderr."""
    api.answer("POST", f"/v1/jobs/{JOB_ID}/rerun", a_job("PENDING", warnings=["the tag has moved"]), 201)
    done = swath("rerun", JOB_ID)
    assert (done.stdout.strip(), "warning: the tag has moved" in done.stderr) == (JOB_ID, True)


def test_a_secret_is_read_from_stdin(api: StandIn, swath: Swath) -> None:
    """Without its line end; nothing that is printed holds it."""
    kept = {"project": "forest", "name": "TOKEN", "changed_by": "ada", "changed_at": "2026-01-01T00:00:00Z"}
    api.answer("PUT", "/v1/secrets/TOKEN", kept)
    done = swath("secrets", "set", "TOKEN", "--project", "forest", input=f"{SECRET}\n")
    assert (done.exit_code, api.asked[-1][2]) == (0, {"value": SECRET})
    assert SECRET not in done.stdout + done.stderr
    assert parse_qs(urlsplit(api.asked[-1][1]).query) == {"project": ["forest"]}


@pytest.mark.parametrize("words", [("TOKEN", SECRET), ("TOKEN", "--value", SECRET)])
def test_a_secret_on_the_command_line_is_refused(api: StandIn, swath: Swath, words: tuple[str, ...]) -> None:
    """Everybody on the machine reads a command line; nothing is sent."""
    assert swath("secrets", "set", *words, input="").exit_code == 2
    assert api.asked == []


def test_an_empty_secret_is_refused(api: StandIn, swath: Swath) -> None:
    """Before anything is sent."""
    assert swath("secrets", "set", "TOKEN", input="\n").exit_code == 2
    assert api.asked == []


def test_secrets_are_listed_removed_and_rotated(api: StandIn, swath: Swath) -> None:
    """By name; none is shown, for the service tells none."""
    kept = {"project": "forest", "name": "TOKEN", "changed_by": "ada", "changed_at": "2026-01-01T00:00:00Z"}
    api.answer("GET", "/v1/secrets", {"items": [kept]})
    api.answer("DELETE", "/v1/secrets/TOKEN", "", 204)
    api.answer("POST", "/v1/secrets:rotate", {"sealed": 3})
    assert swath("secrets").stdout.splitlines()[1].split()[:3] == ["forest", "TOKEN", "ada"]
    assert json.loads(swath("secrets", "list", "--json").stdout) == [kept]
    assert swath("secrets", "remove", "TOKEN", "--project", "forest").exit_code == 0
    assert "3 secrets" in swath("secrets", "rotate").stderr


def test_a_new_key_comes_before_the_others(swath: Swath, tmp_path: Path) -> None:
    """In a file that nobody else reads."""
    file = tmp_path / "keys"
    assert swath("secrets", "new-key", str(file)).exit_code == 0
    first = file.read_text()
    assert swath("secrets", "new-key", str(file)).exit_code == 0
    assert file.read_text().endswith(first)
    assert (len(file.read_text().split()), file.stat().st_mode & 0o777) == (2, 0o600)
