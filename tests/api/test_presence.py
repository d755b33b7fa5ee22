"""A submission looks into the registry: what is gone, what has moved, and what nobody can tell."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swath.store.rows import DetailsRow, ImageRow
from tests.api.serving import MANIFEST, Api, declare, make_settings, serving
from tests.fixtures.registry import serve_registry
from tests.registry.pushing import Pusher, an_image
from tests.store.build import NOW, Scene

FILE = {"href": Path(__file__).as_uri()}
JOB = {"image": "ndvi:2.0.0", "inputs": {"SCENE": FILE}}
NOWHERE = f"127.0.0.1:1/eo/ndvi@sha256:{'a' * 64}"  # nobody listens at port 1


@pytest.fixture
def api(scene: Scene, sqlite_database: str, tmp_path: Path, registry: str) -> Iterator[Api]:
    """The service, which knows the registry."""
    with serving(make_settings(tmp_path, sqlite_database, registries=declare(tmp_path, registry))) as running:
        yield running


def register(scene: Scene, reference: str, tag: str | None = None) -> ImageRow:
    """ndvi:2.0.0, found there."""
    digest = reference.partition("@")[2]
    said = {"digest": digest, "reference": reference, "manifest": MANIFEST, "now": NOW.replace(year=2028)}
    return scene.register(version="2.0.0", details=DetailsRow(tag=tag), **said)


def push(address: str, repository: str, layer: bytes, *tags: str) -> str:
    """The reference of an image that was just pushed."""
    return f"{address}/{repository}@{Pusher(f'http://{address}').push(repository, an_image(layers=(layer,)), *tags)}"


def submit(api: Api) -> dict[str, Any]:
    """An accepted job of ndvi:2.0.0."""
    return api.submit(**JOB)


def test_a_digest_that_is_there_is_run_without_a_word(api: Api, scene: Scene, registry: str) -> None:
    """No warning, and the job has its digest."""
    reference = push(registry, "eo/there", b"one", "1.0.0")
    register(scene, reference, f"{registry}/eo/there:1.0.0")

    job = submit(api)

    assert (job["warnings"], job["image_digest"]) == ([], reference.partition("@")[2])


def test_a_deleted_digest_is_noticed_before_the_job_is_accepted(api: Api, scene: Scene, registry: str) -> None:
    """422 at the image with the registry's word, also for a job that is run again; nothing is stored."""
    reference = push(registry, "eo/gone", b"two")
    register(scene, reference)
    Pusher(f"http://{registry}").delete("eo/gone", reference.partition("@")[2])

    assert "cannot be had any more" in api.refusal(JOB)["/image"]
    assert api.get("/v1/jobs").json()["items"] == []


def test_a_moved_tag_is_told_and_shown_and_the_job_runs_what_was_registered(
    api: Api, scene: Scene, registry: str
) -> None:
    """The warning names the new digest, and the catalogue shows it from then on."""
    old = push(registry, "eo/moved", b"three", "1.0.0")
    register(scene, old, f"{registry}/eo/moved:1.0.0")
    new = push(registry, "eo/moved", b"four", "1.0.0").partition("@")[2]

    job = submit(api)

    assert f"has moved to {new}" in job["warnings"][0]
    assert job["image_digest"] == old.partition("@")[2]
    shown = api.get("/v1/images/ndvi/2.0.0").json()
    assert (shown["tag_digest"], shown["digest"]) == (new, job["image_digest"])


def test_a_registry_that_is_down_warns_or_refuses_as_the_site_says(
    sqlite_database: str, scene: Scene, tmp_path: Path
) -> None:
    """Accepted with a warning by default; refused, with the rule's name, where the site wants that."""
    register(scene, NOWHERE)
    known = declare(tmp_path, NOWHERE.partition("/")[0])
    with serving(make_settings(tmp_path, sqlite_database, registries=known)) as api:
        assert "takes no connection" in submit(api)["warnings"][0]
    with serving(make_settings(tmp_path, sqlite_database, registries=known, image_registry_down="refuse")) as api:
        assert api.refusal(JOB)["/image"].startswith("policy registry_down: ")


def test_a_registry_that_hangs_holds_no_submission_for_long(
    sqlite_database: str, scene: Scene, tmp_path: Path, silent: str
) -> None:
    """The first job waits for the deadline, and those after it not at all."""
    register(scene, f"{silent}/eo/ndvi@sha256:{'a' * 64}")
    said = {"image_registry_deadline_s": 0.5, "registries": declare(tmp_path, silent)}
    with serving(make_settings(tmp_path, sqlite_database, **said)) as api:
        begun = time.monotonic()
        assert "nobody can tell" in submit(api)["warnings"][0]
        first_s = time.monotonic() - begun
        assert "nobody can tell" in submit(api)["warnings"][0]
    assert 0.4 < first_s < 5.0


def test_an_image_that_an_engine_has_too_needs_no_registry(sqlite_database: str, scene: Scene, tmp_path: Path) -> None:
    """A job of it is accepted, whatever the registry does."""
    image_id = f"sha256:{'b' * 64}"
    scene.register(version="2.0.0", digest=image_id, image_id=image_id, reference=NOWHERE, manifest=MANIFEST)
    with serving(make_settings(tmp_path, sqlite_database, image_registry_down="refuse")) as api:
        assert submit(api)["warnings"] == []


def test_a_registry_that_comes_back_is_asked_again(sqlite_database: str, scene: Scene, tmp_path: Path) -> None:
    """What was gone is looked for at each submission: it may have been pushed again."""
    with serve_registry(tmp_path / "registry") as address:
        reference = push(address, "eo/again", b"five")
        register(scene, reference)
        Pusher(f"http://{address}").delete("eo/again", reference.partition("@")[2])
        with serving(make_settings(tmp_path, sqlite_database, registries=declare(tmp_path, address))) as api:
            assert "/image" in api.refusal(JOB)
            assert push(address, "eo/again", b"five") == reference
            assert submit(api)["warnings"] == []


@pytest.fixture
def silent() -> Iterator[str]:
    """A registry that takes connections and never says a word; "host:port"."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
