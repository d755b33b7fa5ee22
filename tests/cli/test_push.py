"""`swath images push` with the real engine and a real registry, against a stand-in for the API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from swath.cli import push
from swath.cli.images import tell_profile
from swath.cli.pipeline import Pipeline, find_pipeline
from swath.domain.references import Reference
from swath.registry.client import RegistryClient
from swath.registry.settings import RegistrySettings
from tests.cli.conftest import StandIn
from tests.executor.build import a_manifest
from tests.executor.programs import docker

Swath = Callable[..., Result]
DIGEST = "sha256:" + "1" * 64
VERIFICATION = "/v1/images/trial/1.0.0/verification"


def a_verification(state: str, **changes: Any) -> dict[str, Any]:
    """How a trial stands, as the API shows it."""
    document = {"name": "trial", "version": "1.0.0", "digest": DIGEST, "state": state, "why": None, "verdict": None}
    return {**document, "job": None, "profile": None, "log": None, **changes}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two looks; no pipeline runs this."""
    monkeypatch.setattr(push, "_POLL_S", 0.0)
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "SWATH_REGISTRY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def registering(api: StandIn) -> StandIn:
    """A catalogue that takes everything, and verifies it in three looks."""
    made = {"name": "trial", "version": "1.0.0", "digest": DIGEST, "state": "REGISTERED"}
    api.answer("POST", "/v1/images", made, 201)
    api.answer_in_turn(
        "GET",
        VERIFICATION,
        a_verification("REGISTERED"),
        a_verification("VERIFYING", why="needs 1 cpu; the largest agent is busy"),
        a_verification("VERIFYING", why="needs 1 cpu; the largest agent is busy"),
        a_verification("ACTIVE", why="its smoke test passed: job 01JD", verdict="passed"),
    )
    return api


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A directory as a developer has it."""
    folder = tmp_path / "trial"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY seed.manifest.json /\nUSER 10001\n")
    (folder / "seed.manifest.json").write_text(json.dumps(a_manifest("run"), indent=2))
    (folder / "swath.manifest.json").write_text('{"smoke_test": ["run", "--help"]}')
    return folder


@pytest.fixture
def name(registry: str) -> Iterator[str]:
    """A repository in the registry; what the engine keeps of it is removed."""
    repository = f"{registry}/push/trial"
    yield repository
    for image in docker("images", "--quiet", "--no-trunc", repository).split():
        docker("rmi", "--force", image)


@pytest.mark.docker
def test_a_directory_is_built_pushed_registered_and_verified(
    swath: Swath, registering: StandIn, context: Path, name: str
) -> None:
    """Its manifests become labels, the catalogue hears tag and digest, what happens is told once, and the exit code is 0."""
    result = swath("images", "push", str(context), "--to", f"{name}:1.0.0", "--json")
    assert result.exit_code == 0, result.stderr
    found = RegistryClient({name.partition("/")[0]: RegistrySettings()}).inspect(Reference.parse(f"{name}:1.0.0"))
    assert json.loads(found.labels["com.ngageoint.seed.manifest"]) == a_manifest("run")
    assert json.loads(found.labels["swath.manifest"]) == {"smoke_test": ["run", "--help"]}
    (sent,) = (document for method, _, document in registering.asked if method == "POST")
    assert sent == {"reference": f"{name}:1.0.0@{found.digest}", "provenance": {}}
    assert json.loads(result.stdout)["state"] == "ACTIVE"
    assert result.stderr.count("the largest agent is busy") == 1
    asked = [path for method, path, _ in registering.asked if method == "GET"]
    assert set(asked) == {f"{VERIFICATION}?digest={DIGEST.replace(':', '%3A')}"}


@pytest.mark.docker
def test_the_registry_of_the_site_names_what_is_built(
    swath: Swath, registering: StandIn, context: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$SWATH_REGISTRY/NAME:VERSION; and what is built already is pushed by its name."""
    monkeypatch.setenv("SWATH_REGISTRY", name.removesuffix("/trial"))
    assert swath("images", "push", str(context), "--no-wait").exit_code == 0
    assert swath("images", "push", f"{name}:1.0.0", "--no-wait").exit_code == 0
    references = [document["reference"] for method, _, document in registering.asked if method == "POST"]
    assert len(references) == 2
    assert references[0] == references[1]
    assert references[0].startswith(f"{name}:1.0.0@sha256:")


@pytest.mark.docker
def test_a_build_that_fails_ends_with_its_own_code(swath: Swath, api: StandIn, context: Path, name: str) -> None:
    """11, and nothing is pushed or registered; a push to nobody ends so too."""
    (context / "Dockerfile").write_text("FROM scratch\nCOPY absent /\n")
    result = swath("images", "push", str(context), "--to", f"{name}:1.0.0")
    assert result.exit_code == 11
    assert "docker build" in result.stderr
    (context / "Dockerfile").write_text("FROM scratch\nCOPY seed.manifest.json /\n")
    nobody = "127.0.0.1:1/push/trial:1.0.0"
    try:
        result = swath("images", "push", str(context), "--to", nobody)
    finally:
        docker("rmi", "--force", nobody)
    assert (result.exit_code, api.asked) == (11, [])
    assert "docker login 127.0.0.1:1" in result.stderr


@pytest.mark.docker
def test_an_image_that_nobody_built_is_told(swath: Swath, api: StandIn) -> None:
    """3, before anything is sent anywhere."""
    result = swath("images", "push", "registry.example/nobody/built:1")
    assert (result.exit_code, api.asked) == (3, [])
    assert "does not hold registry.example/nobody/built:1" in result.stderr


def test_a_version_that_is_rejected_ends_with_its_own_code(swath: Swath, registering: StandIn) -> None:
    """10, with the reason and the end of its logs."""
    why = "its smoke test failed: APP (exit code 3): no module numpy; job 01JD"
    log = {"stdout": "begun\n", "stderr": "ModuleNotFoundError: numpy\n"}
    registering.answer("GET", VERIFICATION, a_verification("REJECTED", why=why, verdict="failed", log=log))
    result = swath("images", "push", f"registry.example/eo/trial:1@{DIGEST}", "--no-push")
    assert result.exit_code == 10
    assert "exit code 3" in result.stderr
    assert "ModuleNotFoundError: numpy" in result.stderr


def test_a_version_that_waits_for_an_approver_is_no_failure(swath: Swath, registering: StandIn) -> None:
    """It has passed: 0, and the message says for whom it waits."""
    why = "its smoke test passed: job 01JD; it waits for an approver"
    registering.answer("GET", VERIFICATION, a_verification("REGISTERED", why=why, verdict="passed"))
    result = swath("images", "push", f"registry.example/eo/trial:1@{DIGEST}", "--no-push")
    assert result.exit_code == 0
    assert "waits for an approver" in result.stderr


def test_waiting_ends_at_the_time_out(swath: Swath, registering: StandIn) -> None:
    """9; the verification goes on."""
    registering.answer("GET", VERIFICATION, a_verification("VERIFYING", why="waits for an agent"))
    result = swath("images", "push", f"registry.example/eo/trial:1@{DIGEST}", "--no-push", "--timeout", "0")
    assert result.exit_code == 9
    assert "has no verdict after 0 s" in result.stderr


def test_what_the_catalogue_refuses_is_told(swath: Swath, api: StandIn) -> None:
    """4, with the rule that it broke."""
    errors = [{"path": "/reference", "message": "registry.example is none of the registries that are allowed"}]
    api.refuse("POST", "/v1/images", 422, "invalid-input", "refused", errors)
    result = swath("images", "push", f"registry.example/eo/trial:1@{DIGEST}", "--no-push")
    assert result.exit_code == 4
    assert "none of the registries" in result.stderr


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda folder: (folder / "Dockerfile").unlink(), "has no Dockerfile"),
        (lambda folder: (folder / "seed.manifest.json").write_text("{}"), "seedVersion"),
        (lambda folder: (folder / "swath.manifest.json").write_text('{"smoke_test": []}'), "smoke_test"),
        (lambda folder: (folder / "seed.manifest.json").unlink(), "--to"),
    ],
)
def test_a_directory_that_cannot_become_an_image_is_told_before_it_is_built(
    swath: Swath, api: StandIn, context: Path, change: Callable[[Path], Any], complaint: str
) -> None:
    """With what is wrong in it."""
    change(context)
    result = swath("images", "push", str(context))
    assert result.exit_code in (2, 4)
    assert complaint in result.stderr
    assert api.asked == []


def test_a_pipeline_says_where_an_image_comes_from() -> None:
    """GitHub's and GitLab's variables; on a laptop nothing is known."""
    github = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_SHA": "abc",
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_REPOSITORY": "eo/ndvi",
        "GITHUB_RUN_ID": "7",
    }
    gitlab = {
        "GITLAB_CI": "true",
        "CI_COMMIT_SHA": "abc",
        "CI_PROJECT_URL": "https://gitlab.example/eo/ndvi",
        "CI_PIPELINE_URL": "https://gitlab.example/eo/ndvi/-/pipelines/7",
    }
    assert find_pipeline(github).to_document() == {
        "revision": "abc",
        "source": "https://github.example/eo/ndvi",
        "pipeline": "https://github.example/eo/ndvi/actions/runs/7",
    }
    assert find_pipeline(gitlab) == Pipeline(
        revision="abc", source=gitlab["CI_PROJECT_URL"], pipeline=gitlab["CI_PIPELINE_URL"]
    )
    assert find_pipeline({}).to_document() == {}


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ({}, None),
        ({"verdict": "untried"}, "untried"),
        (
            {"verdict": "passed", "run_s": 2.51, "cpu_s": 2.0, "max_mem": 300.4, "asked": {"mem": 512.0}},
            "passed: 2.5 s, 2.0 s of CPU, 300 of 512 MiB",
        ),
        ({"verdict": "failed", "run_s": None, "cpu_s": None, "max_mem": None, "asked": {}}, "failed"),
    ],
)
def test_what_a_verification_measured_is_shown_beside_what_was_asked_for(
    profile: dict[str, Any], said: str | None
) -> None:
    """In `swath images show`; nothing where nothing was tried."""
    assert tell_profile(profile) == said


def test_what_a_registry_has_is_registered_by_its_name_alone(swath: Swath, registering: StandIn) -> None:
    """No manifest is sent: the image's labels hold it."""
    assert swath("images", "register", "--reference", "registry.example/eo/trial:1.0.0").exit_code == 0
    (sent,) = (document for method, _, document in registering.asked if method == "POST")
    assert sent == {"reference": "registry.example/eo/trial:1.0.0", "image_id": None, "context": None}
