"""Usage over HTTP: sums as JSON and CSV, pages, days, and what is refused."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from swath.domain.changes import AddUsage
from swath.domain.usage import Amounts
from tests.api.serving import Api
from tests.store.build import Scene

TODAY = datetime.now(UTC).date()
USED = Amounts(
    attempts=2,
    held_s=100,
    cpu_s=200,
    mem_mib_s=1000,
    gpu_s=50,
    used_cpu_s=90,
    used_mem_mib_s=250,
    used_mean_mem_mib_s=200,
    **{"read_mib": 1, "written_mib": 2, "received_mib": 3, "sent_mib": 4},
    measured_cpu_s=180,
    measured_mem_mib_s=1000,
)


def usage(project: str = "land", days_ago: int = 0, amounts: Amounts = USED, **changed: Any) -> AddUsage:
    """Something that was accounted."""
    said = {"user": "ada", "image": "ndvi:1.0.0", "outcome": "SUCCEEDED", **changed}
    return AddUsage(day=TODAY - timedelta(days=days_ago), project=project, amounts=amounts, **said)


def read(api: Api, **parameters: Any) -> dict[str, Any]:
    """The answer."""
    response = api.get("/v1/usage", params=parameters)
    assert response.status_code == 200, response.text
    return dict(response.json())


def read_csv(api: Api, **parameters: Any) -> list[dict[str, str]]:
    """The lines of the sheet."""
    response = api.get("/v1/usage", params=parameters, headers={"Accept": "text/csv"})
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(response.text)))


def test_usage_is_by_project_over_the_last_month(both_api: Api, both_scene: Scene) -> None:
    """What was requested, used, and how well: used as a part of what those requested that were measured."""
    both_scene.apply(usage(), usage(days_ago=29), usage(days_ago=30, project="before"), usage(outcome="OOM"))
    answer = read(both_api)

    assert (answer["first"], answer["last"]) == ((TODAY - timedelta(days=29)).isoformat(), TODAY.isoformat())
    assert answer["items"] == [
        {
            "project": "land",
            "attempts": 6,
            "outcomes": {"OOM": 2, "SUCCEEDED": 4},
            "held_s": 300,
            "requested": {"cpu_s": 600, "mem_mib_s": 3000, "gpu_s": 150},
            "used": {
                **{"cpu_s": 270, "mem_mib_s": 750, "mean_mem_mib_s": 600},
                **{"read_mib": 3, "written_mib": 6, "received_mib": 9, "sent_mib": 12},
            },
            "efficiency": {"cpu": 0.5, "mem": 0.25},
        }
    ]


def test_what_was_not_measured_has_no_efficiency(api: Api, scene: Scene) -> None:
    """Null, not 0."""
    scene.apply(usage(amounts=Amounts(attempts=1, held_s=1, cpu_s=1)))

    assert read(api)["items"][0]["efficiency"] == {"cpu": None, "mem": None}


def test_a_running_attempt_is_accounted_up_to_now(both_api: Api, both_scene: Scene) -> None:
    """One that has just been launched shows as RUNNING in its group."""
    both_scene.launch(both_scene.submit(project="sea", user="eve"))
    (row,) = read(both_api, by="user,outcome", **{"from": "2020-01-01"})["items"]

    assert (row["user"], row["outcome"], row["outcomes"]) == ("eve", "RUNNING", {"RUNNING": 1})
    assert row["held_s"] > 0


def test_days_projects_and_users_can_be_chosen(api: Api, scene: Scene) -> None:
    """Both days are included."""
    scene.apply(*(usage(days_ago=days) for days in range(4)), usage(project="sea"), usage(user="eve"))
    days = {"from": (TODAY - timedelta(days=2)).isoformat(), "to": (TODAY - timedelta(days=1)).isoformat()}

    assert [row["day"] for row in read(api, by="day", **days)["items"]] == [days["from"], days["to"]]
    assert [row["project"] for row in read(api, by="project", user="eve")["items"]] == ["land"]
    assert read(api, by="", project="sea")["items"][0]["attempts"] == 2
    assert read(api, project="nowhere")["items"] == []


def test_pages_follow_each_other(api: Api, scene: Scene) -> None:
    """By three things, two groups a page; no group is missing, none comes twice."""
    names = [f"{'long-name-' * 12}{number}" for number in range(5)]
    scene.apply(*(usage(project=name, days_ago=days) for name in names for days in (0, 1)))
    found, cursor = [], {}
    while True:
        page = read(api, by="project,day,image", limit=2, **cursor)
        found += [(row["project"], row["day"]) for row in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}

    assert len(found) == 10
    assert found == sorted(set(found))


def test_the_sheet_has_all_pages(both_api: Api, both_scene: Scene) -> None:
    """More groups than a page holds, in one answer; figures are plain numbers, and what was not measured is empty."""
    unmeasured = Amounts(attempts=1, held_s=1.5, cpu_s=3)
    both_scene.apply(*(usage(project=f"p{number:04}", amounts=unmeasured) for number in range(1200)))
    lines = read_csv(both_api, by="project,day")

    assert [line["project"] for line in lines] == [f"p{number:04}" for number in range(1200)]
    assert list(lines[0].values()) == [
        "p0000",
        TODAY.isoformat(),
        "1",
        "1",
        "0",
        "1.5",
        "3.0",
        *["0.0"] * 4,
        "",
        "",
        *["0.0"] * 5,
    ]


def test_a_sheet_holds_no_formula(api: Api, scene: Scene) -> None:
    """A user whose name a spreadsheet would compute; commas and quotes are kept apart."""
    names = ['=HYPERLINK("http://evil","x")', "+1", "-1", "@SUM(A1)", "\tx", 'a,"b"']
    scene.apply(*(usage(user=name) for name in names))
    found = [line["user"] for line in read_csv(api, by="user")]

    assert sorted(found) == sorted([*(f"'{name}" for name in names[:5]), 'a,"b"'])
    assert read_csv(api, by="user", format="csv") == read_csv(api, by="user")


@pytest.mark.parametrize(
    ("parameters", "path"),
    [
        ({"by": "project,colour"}, "query:by"),
        ({"by": "day,day"}, "query:by"),
        ({"from": "yesterday"}, "query:from"),
        ({"to": "2026-13-01"}, "query:to"),
        ({"to": "0001-01-01"}, "query:to"),
        ({"from": "2026-06-02", "to": "2026-06-01"}, "query:from"),
        ({"cursor": "bm9uZQ"}, "query:cursor"),
        ({"cursor": "WyJ1c2FnZSIsICJbMV0iXQ"}, "query:cursor"),
        ({"by": "day", "cursor": "WyJ1c2FnZSIsICJbXCJ4XCJdIl0"}, "query:cursor"),
        ({"limit": 0}, "query:limit"),
        ({"format": "xml"}, "query:format"),
    ],
)
def test_what_makes_no_sense_is_refused(shared_api: Api, parameters: dict[str, Any], path: str) -> None:
    """With the parameter's name."""
    response = shared_api.get("/v1/usage", params=parameters)

    assert response.status_code == 422
    assert [entry["path"] for entry in response.json()["errors"]] == [path]
