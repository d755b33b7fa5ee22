"""The image catalogue over REST: states, owners, policy, search, comparison, and what all that means for jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swath.client import Client
from swath.domain.changes import AddUsage
from swath.domain.errors import ConflictError, ForbiddenError, NotFoundError
from swath.domain.usage import Amounts
from tests.api.serving import MANIFEST, TOKEN, Api, make_settings, serving
from tests.store.build import NOW, Scene

DIGEST = f"sha256:{'a' * 64}"
SBOM = {"spdxVersion": "SPDX-2.3", "packages": [{"name": "numpy", "versionInfo": "2.0"}]}
FILE = {"href": Path(__file__).as_uri()}
INPUTS = {"inputs": {"SCENE": FILE}}
SCENES = {"over": "SCENE", "items": [FILE, {"hrefs": [FILE["href"]] * 2}]}


def a_document(version: str = "1.1.0", **changed: Any) -> dict[str, Any]:
    """The registration of another version of ndvi."""
    job = {**MANIFEST["job"], "jobVersion": version}
    return {"manifest": {**MANIFEST, "job": job}, "reference": f"127.0.0.1:1/eo/ndvi@{DIGEST}", **changed}


def move(api: Api, state: str, version: str = "1.0.0", why: str = "because") -> dict[str, Any]:
    """Bring a version into another state."""
    response = api.post(f"/v1/images/ndvi/{version}/state", json={"state": state, "why": why})
    assert response.status_code == 200, response.text
    return dict(response.json())


@pytest.fixture
def client(api: Api) -> Iterator[Client]:
    """The Python client of the service."""
    with Client(api.url, TOKEN) as client:
        yield client


def test_a_version_is_registered_with_where_it_comes_from(both_api: Api) -> None:
    """Provenance and the packages of its bill of materials are shown; its history begins."""
    said = {"revision": "abc", "pipeline": "https://ci.example/7", "sbom": "https://ci.example/7/sbom"}
    image = both_api.post("/v1/images", json=a_document(provenance=said, sbom=SBOM)).json()

    assert (image["state"], image["provenance"], image["packages"]) == ("ACTIVE", said, {"numpy": "2.0"})
    (listed,) = both_api.get("/v1/images", params={"text": "1.1.0"}).json()["items"]
    assert listed == image | {"packages": None}
    (line,) = both_api.get("/v1/images/ndvi/1.1.0/transitions").json()["items"]
    assert (line["before"], line["after"], line["why"]) == (None, "ACTIVE", "registered by hand")


def test_a_deprecated_version_runs_with_a_warning_and_serves_no_name(both_api: Api) -> None:
    """The job is accepted and says so; the bare name means the version before."""
    both_api.post("/v1/images", json=a_document())
    assert move(both_api, "DEPRECATED", "1.1.0")["state"] == "DEPRECATED"

    job = both_api.submit(image="ndvi:1.1.0", **INPUTS)

    assert "ndvi:1.1.0 is DEPRECATED" in job["warnings"][0]
    assert both_api.get(f"/v1/jobs/{job['id']}").json()["warnings"] == []
    assert both_api.submit(image="ndvi", **INPUTS)["image"] == "ndvi:1.0.0"


def test_each_job_of_a_batch_has_its_own_warnings(api: Api) -> None:
    """The one of the deprecated version says so, the other nothing; a repeated request says nothing new."""
    api.post("/v1/images", json=a_document(reference=None, context="builtin:true"))
    move(api, "DEPRECATED", "1.1.0")
    jobs = [{"name": version, "image": f"ndvi:{version}", **INPUTS} for version in ("1.0.0", "1.1.0")]
    request = {"json": {"jobs": jobs}, "headers": {"Idempotency-Key": "once"}}

    items = api.post("/v1/jobs:batch", **request).json()["items"]

    assert items[0]["warnings"] == []
    assert "ndvi:1.1.0 is DEPRECATED" in items[1]["warnings"][0]
    assert [job["id"] for job in api.post("/v1/jobs:batch", **request).json()["items"]] == [job["id"] for job in items]


def test_a_retired_version_is_refused_and_its_jobs_go_on(api: Api, scene: Scene) -> None:
    """A new job is refused with the state's name; the one that was accepted is as it was."""
    api.post("/v1/images", json=a_document())
    job = api.submit(image="ndvi:1.1.0", **INPUTS)
    move(api, "RETIRED", "1.1.0")

    assert "ndvi:1.1.0 is RETIRED" in api.refusal({"image": "ndvi:1.1.0", **INPUTS})["/image"]
    assert api.get(f"/v1/jobs/{job['id']}").json() == job | {"warnings": []}
    assert job["id"] in [entry.id for entry in scene.scheduler.load().jobs]


def test_an_illegal_change_says_what_is_possible(api: Api) -> None:
    """409 with both states, and nothing has changed."""
    response = api.post("/v1/images/ndvi/1.0.0/state", json={"state": "VERIFYING", "why": "?"})
    assert response.status_code == 409
    assert "ACTIVE and cannot become VERIFYING; it may become DEPRECATED, RETIRED" in response.json()["detail"]
    assert len(api.get("/v1/images/ndvi/1.0.0/transitions").json()["items"]) == 1


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({}, "/state"),
        ({"state": "GONE", "why": "x"}, "/state"),
        ({"state": "RETIRED"}, "/why"),
        ({"state": "RETIRED", "why": ""}, "/why"),
        ({"state": "RETIRED", "why": "\x1b[2J"}, "/why"),
        ({"state": "RETIRED", "why": "x" * 1001}, "/why"),
        ({"state": "RETIRED", "why": "x", "who": "me"}, "/who"),
    ],
)
def test_a_bad_change_of_state_is_refused(shared_api: Api, document: dict[str, Any], path: str) -> None:
    """With the field's place."""
    assert path in shared_api.refusal(document, "/v1/images/ndvi/1.0.0/state")


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"provenance": {"who": "me"}}, "/provenance/who"),
        ({"provenance": {"pipeline": "two words"}}, "/provenance/pipeline"),
        ({"sbom": {}}, "/sbom"),
        ({"sbom": []}, "/sbom"),
        ({"manifest": None, "reference": None, "context": "builtin:true"}, "/manifest"),
        ({"reference": "registry/eo/ndvi:1.0.0"}, "/reference"),
    ],
)
def test_a_bad_registration_is_refused(shared_api: Api, changed: dict[str, Any], path: str) -> None:
    """With the field's place."""
    assert path in shared_api.refusal(a_document(**changed), "/v1/images")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/images/ndvi/1.0.0/state"),
        ("PUT", "/v1/images/ndvi"),
        ("GET", "/v1/images/ndvi/1.0.0/transitions"),
        ("GET", "/v1/images/ndvi/1.0.0/usage"),
        ("GET", "/v1/images/ndvi/1.0.0/compare?with=ndvi:1.0.0"),
        ("POST", "/v1/jobs/01JD0000000000000000000000/rerun"),
    ],
)
def test_nothing_is_done_without_the_token(shared_api: Api, method: str, path: str) -> None:
    """401, before anything is looked at."""
    assert shared_api.http.request(method, path, headers={"authorization": "Bearer no"}).status_code == 401


@pytest.mark.parametrize("path", ["transitions", "usage", "compare?with=ndvi:1.0.0", ""])
def test_an_unknown_version_is_not_found(shared_api: Api, path: str) -> None:
    """404 with the name that was asked for."""
    response = shared_api.get(f"/v1/images/ndvi/9.9.9/{path}".rstrip("/"))
    assert response.status_code == 404
    assert "ndvi:9.9.9" in response.json()["detail"]


@pytest.mark.parametrize("query", ["state=GONE", "label=x", "digest=x"])
def test_a_bad_query_is_refused(shared_api: Api, query: str) -> None:
    """422 with the parameter's name."""
    path = "/v1/images/ndvi/1.0.0" if "digest" in query else "/v1/images"
    response = shared_api.get(f"{path}?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == f"query:{query.partition('=')[0]}"


def test_only_its_projects_run_an_image(api: Api) -> None:
    """A job of another project is refused with the names; one of a project below is accepted."""
    api.http.put("/v1/projects/land", json={})
    api.http.put("/v1/projects/forest", json={"parent": "land"})
    owned = api.http.put("/v1/images/ndvi", json={"owner": "ada", "projects": ["land"]}).json()
    assert (owned["owner"], owned["projects"]) == ("ada", ["land"])

    assert "may be run by land, not by default" in api.refusal({"image": "ndvi", **INPUTS})["/image"]
    assert api.submit(project="forest", **INPUTS)["project"] == "forest"


def test_only_the_owner_or_an_approver_changes_an_image(sqlite_database: str, scene: Scene, tmp_path: Path) -> None:
    """Whoever is neither is refused, registrations of further versions included; an approver may all."""
    scene.register(version="1.1.0", digest=DIGEST)
    scene.api.put_image("ndvi", owner="bob", projects=None)
    settings = {"image_approvers": ("grace",), "token_user": "ada"}
    with serving(make_settings(tmp_path, sqlite_database, **settings)) as api, Client(api.url, TOKEN) as client:
        for attempt in (
            lambda: client.move_image("ndvi:1.1.0", "DEPRECATED", "mine"),
            lambda: client.own_image("ndvi", "ada", None),
            lambda: client.register_image(a_document()),
        ):
            with pytest.raises(ForbiddenError, match="bob's; approvers are grace"):
                attempt()
    with serving(make_settings(tmp_path, sqlite_database, **{**settings, "token_user": "bob"})) as api:
        assert move(api, "DEPRECATED", "1.1.0")["state"] == "DEPRECATED"
    with serving(make_settings(tmp_path, sqlite_database, **{**settings, "token_user": "grace"})) as api:
        assert move(api, "ACTIVE", "1.1.0")["state"] == "ACTIVE"


def test_an_approver_promotes_where_the_site_wants_one(sqlite_database: str, scene: Scene, tmp_path: Path) -> None:
    """What is registered waits, and its owner cannot promote it; the name means what ran before."""
    settings = {"image_promotion": "approver", "image_approvers": ("grace",), "token_user": "ada"}
    with serving(make_settings(tmp_path, sqlite_database, **settings)) as api:
        scene.api.put_image("ndvi", owner="ada", projects=None)
        assert api.post("/v1/images", json=a_document()).json()["state"] == "REGISTERED"
        assert "verified and promoted" in api.refusal({"image": "ndvi:1.1.0", **INPUTS})["/image"]
        assert api.submit(**INPUTS)["image"] == "ndvi:1.0.0"
        response = api.post("/v1/images/ndvi/1.1.0/state", json={"state": "ACTIVE", "why": "it is mine"})
        assert (response.status_code, "only the approver" in response.json()["detail"]) == (403, True)
    with serving(make_settings(tmp_path, sqlite_database, **{**settings, "token_user": "grace"})) as api:
        assert move(api, "ACTIVE", "1.1.0")["state"] == "ACTIVE"
        assert api.submit(**INPUTS)["image"] == "ndvi:1.1.0"


@pytest.mark.parametrize(
    ("settings", "document", "path", "rule"),
    [
        ({"image_registries": "registry/land,other"}, a_document(), "/reference", "registries"),
        ({"image_local": False}, a_document(reference=None, context="builtin:true"), "/context", "local"),
        ({"image_local": False}, a_document(reference=None, image_id=DIGEST), "/image_id", "local"),
        ({"image_max_size_mib": 1}, a_document(), "/reference", "max_size"),
        ({"image_root": False}, a_document(), "/reference", "root"),
        ({"image_labels": "team"}, a_document(), "/reference", "labels"),
    ],
)
def test_a_refusal_by_policy_names_its_rule(
    sqlite_database: str,
    scene: Scene,
    tmp_path: Path,
    settings: dict[str, Any],
    document: dict[str, Any],
    path: str,
    rule: str,
) -> None:
    """At the field that says where the image is."""
    with serving(make_settings(tmp_path, sqlite_database, **settings)) as api:
        assert api.refusal(document, "/v1/images")[path].startswith(f"policy {rule}: ")


def test_a_stricter_policy_counts_for_new_jobs_at_once(sqlite_database: str, scene: Scene, tmp_path: Path) -> None:
    """An image that was registered before it is refused when a job is submitted, with the rule."""
    with serving(make_settings(tmp_path, sqlite_database)) as api:
        api.post("/v1/images", json=a_document())
        api.submit(image="ndvi:1.1.0", **INPUTS)
    with serving(make_settings(tmp_path, sqlite_database, image_registries=("elsewhere",))) as api:
        assert api.refusal({"image": "ndvi:1.1.0", **INPUTS})["/image"].startswith("policy registries: ")


def test_two_versions_are_compared(client: Client) -> None:
    """What differs in their manifests and packages; what nobody knows of both is null."""
    changed = a_document(sbom=SBOM)
    changed["manifest"]["job"]["timeout"] = 60
    client.register_image(changed)
    client.register_image(a_document("1.2.0", sbom={"bomFormat": "CycloneDX", "components": []}))

    found = client.compare_images("ndvi:1.1.0", "ndvi:1.2.0")

    assert [entry["path"] for entry in found["manifest"]] == ["/job/jobVersion", "/job/timeout"]
    assert found["packages"] == {"added": {}, "removed": {"numpy": "2.0"}, "changed": {}}
    assert found["layers"] is None
    with pytest.raises(NotFoundError):
        client.compare_images("ndvi", "ndvi:3.0.0")


def test_usage_of_a_version_and_its_failure_rate(client: Client, scene: Scene) -> None:
    """By outcome; a lost agent says nothing about the image."""
    unused = client.image_usage("ndvi")
    assert (unused["attempts"], unused["failure_rate"]) == (0, None)
    said = {"day": NOW.date(), "project": "p", "user": "u", "image": "ndvi:1.0.0"}
    for outcome, attempts in (("SUCCEEDED", 3), ("OOM", 1), ("LOST", 5)):
        scene.apply(AddUsage(**said, outcome=outcome, amounts=Amounts(attempts=attempts, held_s=attempts)))

    usage = client.image_usage("ndvi")

    assert (usage["attempts"], usage["failure_rate"], usage["held_s"]) == (9, 0.25, 9.0)
    assert usage["outcomes"] == {"LOST": 5, "OOM": 1, "SUCCEEDED": 3}


def test_a_job_is_run_again_exactly_as_it_was(api: Api, client: Client, scene: Scene) -> None:
    """Its items, parameters and digest, though the name means another one by now; what is of its moment is left out."""
    first = api.submit(array=SCENES, parameters={"INDEX": "EVI"}, labels={"a": "b"}, deadline="2999-01-01T00:00:00Z")
    scene.register(digest="sha256:" + "b" * 64, manifest=MANIFEST, now=NOW.replace(year=2029))

    again = client.rerun(first["id"], idempotency_key="once")

    assert again["id"] != first["id"]
    assert again["image_digest"] == first["image_digest"]
    assert "deadline" not in again["spec"]
    assert scene.api.read_document(again["id"])["array"]["items"] == SCENES["items"]
    assert (again["labels"], again["name"]) == ({"a": "b"}, first["name"])
    assert client.rerun(first["id"], idempotency_key="once")["id"] == again["id"]
    assert api.submit(array=SCENES)["image_digest"] != first["image_digest"]


def test_a_job_whose_files_have_changed_is_not_run_again(api: Api, client: Client, tmp_path: Path) -> None:
    """A build context that holds other files is another image: refused, and nothing is submitted."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "program.py").write_text("print(1)")
    client.register_image(a_document(reference=None, context=str(context)))
    job = api.submit(image="ndvi:1.1.0", **INPUTS)
    assert client.rerun(job["id"])["image_digest"] == job["image_digest"]

    (context / "program.py").write_text("print(2)")

    response = api.post(f"/v1/jobs/{job['id']}/rerun")
    assert response.status_code == 422
    assert "others than the job ran with" in response.json()["detail"]
    assert len(api.get("/v1/jobs").json()["items"]) == 2


def test_a_trial_and_a_document_of_old_are_not_run_again(api: Api, scene: Scene) -> None:
    """A trial is the service's to repeat; what no schema knows any more is refused at its place."""
    trial, old = scene.submit(trial=True), scene.submit(fields_of_old=1)
    for job, status, word in ((trial, 409, "tried an image version"), (old, 422, "/fields_of_old")):
        response = api.post(f"/v1/jobs/{job.id}/rerun")
        assert (response.status_code, word in response.text) == (status, True), response.text


def test_a_rerun_of_no_job_is_not_found(client: Client) -> None:
    """With its id."""
    with pytest.raises(NotFoundError, match="01JD"):
        client.rerun("01JD0000000000000000000000")


def test_a_conflict_reaches_the_client_as_one(client: Client) -> None:
    """With the words of the service; a name alone is the version that serves it."""
    client.register_image(a_document())
    with pytest.raises(ConflictError, match="cannot become ACTIVE"):
        client.move_image("ndvi", "ACTIVE", "again")
    assert [line["after"] for line in client.image_transitions("ndvi")] == ["ACTIVE"]
