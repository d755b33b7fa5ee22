"""Projects over HTTP: the tree, what is refused, and what each branch holds."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import pytest

from swath.domain.changes import ObserveProjects, PutPast
from swath.domain.resources import Resources
from swath.domain.shares import Past
from swath.domain.states import JobState
from tests.api.serving import Api
from tests.store.build import NOW, Scene, an_agent, figures


def put(api: Api, name: str, **document: Any) -> Any:
    """Declare a project."""
    return api.http.put(f"/v1/projects/{name}", json=document)


def refusals(response: Any) -> dict[str, str]:
    """What is wrong, by path."""
    assert response.status_code == 422, response.text
    return {entry["path"]: entry["message"] for entry in response.json()["errors"]}


def items(api: Api) -> dict[str, dict[str, Any]]:
    """The list, by name."""
    return {entry["name"]: entry for entry in api.get("/v1/projects").json()["items"]}


def test_a_project_is_declared_shown_and_removed(both_api: Api, both_scene: Scene) -> None:
    """As it was written, pending until the scheduler has taken it in; gone once it is removed."""
    said = {"weight": 2.5, "quota": {"cpus": 1.5, "custom": {"licences": 2}}, "max_running": 7}
    answer = put(both_api, "land", **said, user_quota={"gpus": 0})
    assert answer.status_code == 200
    shown = answer.json()
    assert {name: shown[name] for name in said} == said
    assert (shown["user_quota"], shown["parent"], shown["declared"], shown["pending"]) == (
        {"gpus": 0},
        None,
        True,
        True,
    )
    assert (shown["changed_by"], shown["users"]) == (getpass.getuser(), [])

    both_scene.apply(ObserveProjects(rev=1))
    assert both_api.get("/v1/projects/land").json() == shown | {"pending": False}
    assert both_api.http.delete("/v1/projects/land").status_code == 204
    assert both_api.get("/v1/projects/land").status_code == 404
    assert both_api.get("/v1/projects").json() == {"items": [], "total": {"cpus": 0, "mem": 0, "disk": 0, "gpus": 0}}


def test_the_first_job_of_a_misspelt_project_is_warned_of(api: Api, scene: Scene) -> None:
    """With the project that is most likely meant; once, and never where no declared one is of nearly that name."""
    assert put(api, "forest").status_code == 200
    document = {"inputs": {"SCENE": {"href": Path(__file__).as_uri()}}}
    (warning,) = api.submit(project="forset", **document)["warnings"]
    assert warning.endswith("which nobody has declared; did you mean forest?")
    for project in ("forset", "forest", "sea", "default"):
        assert api.submit(project=project, **document)["warnings"] == []


def test_putting_replaces_all_that_was_declared(api: Api) -> None:
    """What is left out has its default again."""
    put(api, "land", weight=3, max_running=5)

    shown = put(api, "land", quota={"mem": 1024, "cpus": None}).json()
    assert (shown["weight"], shown["max_running"], shown["quota"]) == (1, None, {"mem": 1024})


def test_every_mistake_is_told_by_its_place(api: Api) -> None:
    """A quota below 0, a weight of nothing, half a GPU; an unknown field and resource; a name that is none."""
    found = refusals(put(api, "land", weight=0, quota={"cpus": -1, "gpus": 0.5}, max_running=-1))
    assert found["/quota/cpus"] == "must not be below 0"
    assert found["/quota/gpus"] == "must be whole"
    assert found["/weight"].startswith("must be more than 0")
    assert "/max_running" in found

    assert set(refusals(put(api, "land", quota={"memory": 1}, wieght=2))) == {"/quota/memory", "/wieght"}
    assert set(refusals(put(api, "a%20b"))) == {"path:name"}
    assert set(refusals(put(api, "land", user_quota={"custom": {"cpus": 1}}))) == {"/user_quota/custom/cpus"}
    assert items(api) == {}


def test_what_is_no_tree_is_refused_in_words(api: Api) -> None:
    """An unknown parent; a cycle, spelled out; a tree too deep."""
    assert refusals(put(api, "forest", parent="land")) == {
        "/parent": "there is no project land, which forest is to be below: declare it first"
    }
    put(api, "land")
    put(api, "forest", parent="land")
    assert refusals(put(api, "land", parent="forest")) == {
        "/parent": "a project would be below itself: forest -> land -> forest"
    }
    for level in range(2, 8):
        assert put(api, f"p{level}", parent="forest" if level == 2 else f"p{level - 1}").status_code == 200
    assert refusals(put(api, "p8", parent="p7")) == {"/parent": "p8 would be 9 levels deep, at most 8 are taken"}


def test_a_project_that_is_used_is_not_removed(api: Api, scene: Scene) -> None:
    """A conflict that names the children, or the open jobs; what was never declared is not found."""
    put(api, "land")
    put(api, "forest", parent="land")
    job = scene.submit(project="forest")

    below = api.http.delete("/v1/projects/land")
    used = api.http.delete("/v1/projects/forest")
    assert (below.status_code, used.status_code) == (409, 409)
    assert below.json()["detail"] == "project land has others below it: forest"
    assert used.json()["detail"] == f"project forest has jobs that have not ended: {job.id}"
    assert api.http.delete("/v1/projects/sea").status_code == 404

    scene.apply(figures(job, JobState.CANCELLED, cancelled=1))
    assert api.http.delete("/v1/projects/forest").status_code == 204


@pytest.fixture
def busy(both_api: Api, both_scene: Scene) -> Scene:
    """8 CPUs; forest below land holds two of them and ada three of sea, which nobody has declared."""
    put(both_api, "land", weight=3, quota={"cpus": 4}, max_running=20)
    put(both_api, "forest", parent="land")
    put(both_api, "idle", weight=4)
    both_scene.apply(an_agent(total=Resources(cpus_m=8000, mem=16_384, disk=50_000, custom=(("licences", 9000),))))
    forest = both_scene.submit(project="forest", user="eve", array={"over": "INDEX", "range": [0, 9]})
    sea = both_scene.submit(project="sea", array={"over": "INDEX", "range": [0, 9]})
    for index in range(2):
        both_scene.launch(forest, index)
    for index in range(3):
        both_scene.launch(sea, index)
    return both_scene


def test_a_branch_holds_what_all_below_it_hold(both_api: Api, busy: Scene) -> None:
    """In the order of the tree; shares of the dominant resource, and how much of the tightest limit is in use."""
    shown = both_api.get("/v1/projects").json()["items"]

    assert [(entry["name"], entry["depth"], entry["declared"]) for entry in shown] == [
        ("idle", 0, True),
        ("land", 0, True),
        ("forest", 1, True),
        ("sea", 0, False),
    ]
    found = items(both_api)
    assert (found["land"]["tasks"], found["land"]["held"]["cpus"], found["land"]["share"]) == (2, 2, 0.25)
    assert (found["land"]["open_jobs"], found["land"]["quota_use"], found["forest"]["quota_use"]) == (1, 0.5, None)
    assert (found["sea"]["share"], found["idle"]["share"]) == (0.375, 0)


def test_fair_shares_are_by_weight_among_those_that_have_work(both_api: Api, busy: Scene) -> None:
    """Land and sea 3 : 1; forest all of land's; idle what it would have if it came."""
    found = {name: entry["fair_share"] for name, entry in items(both_api).items()}

    assert found == {"land": 0.75, "forest": 0.75, "sea": 0.25, "idle": 0.5}


def test_what_a_project_runs_itself_is_like_a_child_of_weight_1(both_api: Api, busy: Scene) -> None:
    """Once land has a job of its own, forest has half of what land is due."""
    busy.submit(project="land")

    found = {name: entry["fair_share"] for name, entry in items(both_api).items()}
    assert (found["land"], found["forest"]) == (0.75, 0.375)


def test_past_shares_are_those_of_the_present(both_api: Api, busy: Scene) -> None:
    """What the scheduler wrote years ago has faded to the share held since; a branch sums what is below it."""
    busy.apply(
        PutPast(project="forest", past=Past(value=0.9, share=0.25, at=NOW.replace(year=2020))),
        PutPast(project="land", past=Past(value=0.9, share=0.0, at=NOW.replace(year=2020))),
        PutPast(project="gone", past=Past(value=0.9, share=0.0, at=NOW.replace(year=2020))),
    )
    found = {name: entry["past_share"] for name, entry in items(both_api).items()}

    assert found == {"land": 0.25, "forest": 0.25, "sea": 0, "idle": 0}


def test_one_project_shows_what_its_users_hold(both_api: Api, busy: Scene) -> None:
    """Declared or not, by user; custom resources that the job's tasks hold, too."""
    assert both_api.get("/v1/projects/sea").json()["users"] == [
        {"user": "ada", "tasks": 3, "held": {"cpus": 3, "mem": 6144, "disk": 12_288, "gpus": 0}, "share": 0.375}
    ]
    assert [user["user"] for user in both_api.get("/v1/projects/forest").json()["users"]] == ["eve"]
    assert both_api.get("/v1/projects/land").json()["users"] == []
    assert both_api.get("/v1/projects/nowhere").status_code == 404


def test_a_job_whose_tasks_a_quota_can_never_hold_is_refused(api: Api) -> None:
    """By the limits of its project and of those above it, in numbers; one that may wait for another quota is accepted."""
    put(api, "land", quota={"cpus": 2, "custom": {"licences": 1}})
    put(api, "forest", parent="land", user_quota={"mem": 1024}, user_max_running=0)
    scene = {"inputs": {"SCENE": {"href": "file:///etc/hostname"}}, "project": "forest"}
    job = {"image": "ndvi", "resources": {"cpus": 2.5, "mem": 2048, "custom": {"licences": 1.5}}, **scene}

    response = api.post("/v1/jobs", json=job)
    told = sorted((entry["path"], entry["message"]) for entry in response.json()["errors"])
    assert (response.status_code, response.json()["type"]) == (422, "urn:swath:problem:cannot-run")
    anyway = "may_wait accepts the job anyway"
    assert told == [
        ("/project", f"a user of project forest may run no task at all now; {anyway}"),
        ("/resources", f"need 1.5 licences, and project land may hold 1 at a time; {anyway}"),
        ("/resources", f"need 2.5 cpus, and project land may hold 2 at a time; {anyway}"),
        ("/resources", f"need 2048 MiB memory, and a user of project forest may hold 1024 at a time; {anyway}"),
    ]
    assert api.post("/v1/jobs", json={**job, "may_wait": True}).status_code == 201
    assert api.post("/v1/jobs", json={**job, "resources": {"cpus": 2}, "project": "land"}).status_code == 201


def test_a_limit_on_what_nobody_has_is_warned_of(api: Api, scene: Scene) -> None:
    """With the nearest name that there is; it is kept all the same, for agents may come that have it."""
    quota = {"cpu": 4, "licenses": 3, "licences": 3, "tape": 1}
    assert put(api, "land", quota={"custom": quota}).json()["warnings"] == []  # there are no agents yet

    scene.apply(an_agent("a", total=Resources(cpus_m=8000, custom=(("licences", 4000),))))
    answer = put(api, "land", quota={"custom": quota}, user_quota={"custom": {"gpu": 1}}).json()
    assert answer["quota"]["custom"] == quota
    assert [warning.rpartition("; ")[2] for warning in answer["warnings"]] == [
        "did you mean cpus?",
        "did you mean licences?",
        "agents have cpus, mem, disk, gpus, ports, licences",
        "did you mean gpus?",
    ]
    assert answer["warnings"][3].startswith("user_quota: no agent has gpu and no image asks for it")
    assert api.get("/v1/projects/land").json()["warnings"] == answer["warnings"]
