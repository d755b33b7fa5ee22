"""`swath projects` and `swath usage` against a stand-in for the API: what they ask, say and end with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import Result

from swath.cli.projects import make_bar
from tests.cli.conftest import StandIn, a_scheduler

Swath = Callable[..., Result]


def a_project(name: str = "land", **changes: Any) -> dict[str, Any]:
    """A project as the API shows it."""
    document = {
        "name": name,
        "parent": None,
        "depth": 0,
        "declared": True,
        "weight": 2.0,
        "quota": {"cpus": 100},
        "max_running": None,
        "user_quota": {},
        "user_max_running": None,
        "changed_by": "ada",
        "changed_at": "2026-01-01T00:00:00Z",
        "pending": False,
        "open_jobs": 3,
        "tasks": 40,
        "held": {"cpus": 40, "mem": 81920, "disk": 0, "gpus": 0},
        "share": 0.4,
        "fair_share": 0.5,
        "past_share": 0.123,
        "quota_use": 0.4,
        "users": None,
    }
    return document | changes


def a_sum(**changes: Any) -> dict[str, Any]:
    """Usage as the API shows it."""
    document = {
        "attempts": 12,
        "outcomes": {"OOM": 1, "RUNNING": 2, "SUCCEEDED": 9},
        "held_s": 3600.0,
        "requested": {"cpu_s": 7200.0, "mem_mib_s": 1024 * 5400.0, "gpu_s": 0.0},
        "used": {"cpu_s": 1800.0, "mem_mib_s": 0.0},
        "efficiency": {"cpu": 0.25, "mem": None},
    }
    return document | changes


def asked(api: StandIn) -> list[dict[str, list[str]]]:
    """The queries of the requests so far."""
    return [parse_qs(urlsplit(path).query, keep_blank_values=True) for _, path, _ in api.asked]


def sent(api: StandIn) -> tuple[str, str, Any]:
    """What was asked for that is more than a question."""
    (change,) = [entry for entry in api.asked if entry[0] != "GET"]
    return change


@pytest.mark.parametrize("words", [("projects",), ("projects", "list")])
def test_projects_are_listed_as_a_tree_with_bars(api: StandIn, swath: Swath, words: tuple[str, ...]) -> None:
    """Each below its parent; the share that is held as a bar with the fair share's mark, and both in figures."""
    forest = a_project("forest", parent="land", depth=1, quota_use=None, weight=1)
    api.answer("GET", "/v1/projects", {"items": [a_project(), forest, a_project("sea", declared=False)]})
    lines = swath(*words).stdout.splitlines()

    assert lines[1].split() == [
        "land",
        "2",
        "3",
        "40",
        "████████··|·········",
        *["40.0", "%", "50.0", "%", "12.3", "%", "40.0", "%"],
    ]
    assert lines[2].startswith("  forest ")
    assert lines[2].split()[-1] == "-"
    assert lines[3].startswith("sea (not declared)")


def test_a_limit_that_is_most_likely_misspelt_is_told(api: StandIn, swath: Swath) -> None:
    """Where it is set, and where it is shown."""
    warning = "quota: no agent has licenses; did you mean licences?"
    api.answer("GET", "/v1/projects/land", a_project(warnings=[warning]))
    api.answer("PUT", "/v1/projects/land", a_project(warnings=[warning]))
    api.answer("GET", "/v1/scheduler", {"health": "ok"})
    for words in (("show", "land"), ("set", "land", "--quota", "licenses=3")):
        assert f"warning: {warning}" in swath("projects", *words).stderr


def test_a_list_of_none_says_so(api: StandIn, swath: Swath) -> None:
    """On stderr; with --json an empty list."""
    api.answer("GET", "/v1/projects", {"items": []})

    assert "no projects" in swath("projects").stderr
    assert json.loads(swath("projects", "list", "--json").stdout) == []


@pytest.mark.parametrize(
    ("share", "fair", "bar"),
    [(0, 0, "|·········"), (1, 1, "█████████|"), (0.5, 0.5, "█████|····"), (0.8, 0.25, "██|█████··")],
)
def test_a_bar_shows_both_shares(share: float, fair: float, bar: str) -> None:
    """Whatever they are, it is as wide as ever."""
    assert make_bar(share, fair, width=10) == bar


def test_a_project_is_shown_with_its_limits_and_users(api: StandIn, swath: Swath) -> None:
    """Custom resources as well; a change that the scheduler has not heard of is said."""
    users = [{"user": "eve", "tasks": 4, "held": {"cpus": 4}, "share": 0.04}]
    quota = {"cpus": 1.5, "custom": {"licences": 2}}
    api.answer("GET", "/v1/projects/land", a_project(users=users, quota=quota, max_running=7, pending=True))
    shown = swath("projects", "show", "land").stdout

    expected = (
        "cpus 1.5, licences 2, 7 tasks",
        "not taken the last change",
        "by ada",
        "50.0 %",
        "eve",
        "4 cpus",
        "4.0 %",
    )
    for words in expected:
        assert words in shown


def test_a_new_project_is_declared_by_its_options(api: StandIn, swath: Swath) -> None:
    """Sizes with units; a slash in a name stays one."""
    api.answer("PUT", "/v1/projects/land/forest", a_project("land/forest"))
    words = [
        *("--parent", "land", "--weight", "2", "--quota", "cpus=100"),
        *("--quota", "mem=4G", "--quota", "licences=2", "--user-max-running", "5"),
    ]
    result = swath("projects", "set", "land/forest", *words)

    assert result.exit_code == 0
    quota = {"cpus": 100, "mem": 4096, "custom": {"licences": 2}}
    said = {"parent": "land", "weight": 2, "quota": quota, "user_quota": {}, "user_max_running": 5}
    assert sent(api) == ("PUT", "/v1/projects/land/forest", said)
    assert "weight 2 below the root, cpus 100" in result.stderr


def test_what_no_option_names_stays(api: StandIn, swath: Swath) -> None:
    """One limit is changed, another lifted, a third added; the rest is sent as it was declared."""
    known = a_project(quota={"cpus": 100, "mem": 10, "custom": {"a": 1, "b": 2}}, max_running=7, parent="earth")
    api.answer("GET", "/v1/projects/land", known)
    api.answer("PUT", "/v1/projects/land", known)
    words = [
        *("--quota", "cpus=50", "--quota", "mem=none", "--quota", "a=none"),
        *("--quota", "gpus=0", "--max-running", "none", "--parent", "none"),
    ]
    swath("projects", "set", "land", *words)

    assert sent(api)[2] == {
        "parent": None,
        "weight": 2.0,
        "quota": {"cpus": 50, "gpus": 0, "custom": {"b": 2}},
        "max_running": None,
        "user_quota": {},
        "user_max_running": None,
    }


def test_a_change_that_nobody_takes_in_now_is_said(api: StandIn, swath: Swath) -> None:
    """Where the scheduler is away, the command says so and succeeds: it is written down."""
    api.answer("GET", "/v1/scheduler", a_scheduler(health="has not been heard of for 40 s"))
    api.answer("PUT", "/v1/projects/land", a_project(pending=True))
    result = swath("projects", "set", "land", "--weight", "2")

    assert result.exit_code == 0
    assert "has not been heard of" in result.stderr


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("--quota", "cpus=many"), "--quota: cpus must be a number"),
        (("--quota", "cpus=nan"), "--quota: cpus must be a number"),
        (("--quota", "cpus"), "--quota: must look like NAME=VALUE"),
        (("--max-running", "few"), "--max-running: must be a whole number"),
        (("--weight", "nan"), "--weight: must be a number"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(
    api: StandIn, swath: Swath, words: tuple[str, ...], place: str
) -> None:
    """Exit code 2, and nothing is sent."""
    result = swath("projects", "set", "land", *words)

    assert (result.exit_code, place in result.stderr) == (2, True)
    assert all(method == "GET" for method, _, _ in api.asked)


def test_what_the_api_refuses_is_said_with_its_place(api: StandIn, swath: Swath) -> None:
    """A quota below 0 is the API's to refuse; a removal that is a conflict ends with the same code."""
    errors = [{"path": "/quota/cpus", "message": "must not be below 0"}]
    api.refuse("PUT", "/v1/projects/land", 422, "invalid-input", "no", errors)
    api.refuse("DELETE", "/v1/projects/land", 409, "conflict", "project land has others below it: forest")
    below = swath("projects", "set", "land", "--quota", "cpus=-1")
    used = swath("projects", "remove", "land")

    assert (below.exit_code, used.exit_code) == (4, 4)
    assert "/quota/cpus: must not be below 0" in below.stderr
    assert "has others below it: forest" in used.stderr
    assert swath("projects", "remove", "sea").exit_code == 3


def test_a_project_is_removed(api: StandIn, swath: Swath) -> None:
    """Nothing is killed by it, so nothing is asked."""
    api.answer("DELETE", "/v1/projects/land", "", 204)

    assert swath("projects", "remove", "land").exit_code == 0
    assert sent(api)[:2] == ("DELETE", "/v1/projects/land")


def test_usage_is_a_table_with_a_sum(api: StandIn, swath: Swath) -> None:
    """Hours that were requested, the part of them that was used, and all of it in the last line."""
    api.answer_in_turn(
        "GET",
        "/v1/usage",
        {"items": [a_sum(project="land", user="ada"), a_sum(project="sea", user="eve")], "next": None},
        {"items": [a_sum(attempts=24)], "next": None},
    )
    lines = swath("usage", "--by", "project,user", "--from", "2026-06-01", "--project", "land").stdout.splitlines()

    figures = ["9", "2", "2", "1.5", "0", "25.0", "%", "-"]
    assert [line.split() for line in lines[1:]] == [
        ["land", "ada", "12", *figures],
        ["sea", "eve", "12", *figures],
        ["all", "24", *figures],
    ]
    first, total = asked(api)
    assert (first["by"], first["from"], first["project"]) == (["project,user"], ["2026-06-01"], ["land"])
    assert (total["by"], total["from"], total["project"]) == ([""], ["2026-06-01"], ["land"])


@pytest.mark.parametrize(
    ("cpu_s", "hours"), [(0.5, "0.000139"), (3600 * 12.345, "12.3"), (3600 * 1234567.8, "1,234,568")]
)
def test_hours_are_shown_in_digits_that_matter(api: StandIn, swath: Swath, cpu_s: float, hours: str) -> None:
    """A laptop's seconds as well as a cluster's years."""
    requested = {"cpu_s": cpu_s, "mem_mib_s": 0.0, "gpu_s": 0.0}
    api.answer("GET", "/v1/usage", {"items": [a_sum(requested=requested)], "next": None})

    assert swath("usage", "--by", "").stdout.splitlines()[1].split()[3] == hours


def test_usage_says_what_it_leaves_out(api: StandIn, swath: Swath) -> None:
    """More groups than the limit are told of; JSON has the limit, too."""
    api.answer("GET", "/v1/usage", {"items": [a_sum(project=name) for name in "abc"], "next": None})
    result = swath("usage", "--limit", "2", "--json")

    assert [row["project"] for row in json.loads(result.stdout)] == ["a", "b"]
    assert "only the first 2" in result.stderr


def test_usage_of_nobody_says_so(api: StandIn, swath: Swath) -> None:
    """Without a line of sums."""
    api.answer("GET", "/v1/usage", {"items": [], "next": None})
    result = swath("usage")

    assert (result.stdout, "nothing was used" in result.stderr) == ("", True)


def test_usage_is_written_as_csv(api: StandIn, swath: Swath, tmp_path: Path) -> None:
    """As the API made it, into a file or on stdout; a refused one leaves no file."""
    sheet = "day,attempts\r\n2026-06-01,3\r\n"
    api.answer("GET", "/v1/usage", sheet)
    target = tmp_path / "june.csv"
    swath("usage", "--by", "day", "--to", "2026-06-30", "--csv", str(target))

    assert target.read_bytes().decode() == sheet
    assert asked(api)[-1] == {"by": ["day"], "to": ["2026-06-30"], "format": ["csv"]}
    assert swath("usage", "--csv", "-").stdout.splitlines() == sheet.splitlines()

    api.refuse("GET", "/v1/usage", 422, "invalid-input", "no", [{"path": "query:by", "message": "'x' is none of day"}])
    refused = swath("usage", "--by", "x", "--csv", str(tmp_path / "other.csv"))
    assert (refused.exit_code, [path.name for path in tmp_path.iterdir()]) == (4, ["june.csv"])
