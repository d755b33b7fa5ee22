"""What docs/api.md shows works, and it shows every route, setting and refusal."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from api.errors import ANSWERS
from api.schemas import JobDocument
from api.settings import Settings
from swath.domain.changes import SetFrameworkId
from swath.domain.ranges import Ranges
from swath.domain.states import JobState, TaskState
from tests.api.serving import Api, make_settings, serving
from tests.api.test_results import TIFF, publish
from tests.store.build import NOW, Scene, a_task, an_agent, figures

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text()
NDVI = json.loads((ROOT / "images" / "ndvi" / "seed.manifest.json").read_text())  # what users have, not a stand-in
COMMANDS = [
    command
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for command in re.split(r"\n(?=curl )", "\n" + block)
    if command.startswith("curl ")
]


def parse(command: str, variables: dict[str, str]) -> tuple[str, str, dict[str, str], str | None]:
    """(method, address, headers, body) of a curl command."""
    for name, value in variables.items():
        command = command.replace(f"${name}", value)
    method, address, headers, body = "GET", "", {}, None
    words = iter(shlex.split(command)[1:])
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            method, body = "POST", next(words)
        elif word == "-X":
            method = next(words)
        elif not word.startswith("-"):
            address = word
    return method, address, headers, body


def register_real_ndvi(scene: Scene) -> None:
    """The manifest of the image that `swath up` registers, as the newest ndvi:1.0.0."""
    scene.register(digest="sha256:3", manifest=NDVI, now=NOW.replace(year=2028))


@pytest.fixture
def variables(api: Api, scene: Scene, agent_url: str, tmp_path: Path) -> dict[str, str]:
    """A job that has ended well, one that has failed and one that waits."""
    for stream in ("stdout", "stderr"):
        (tmp_path / stream).write_text("a line\n")
    scene.apply(an_agent(url=agent_url))
    register_real_ndvi(scene)
    inputs = {"SCENE": {"href": (tmp_path / "stdout").as_uri()}}
    ended, failed, waiting = (scene.submit(inputs=inputs) for _ in range(3))
    publish(scene, ended, tmp_path, {"ndvi.tif": TIFF})
    scene.apply(
        figures(ended, JobState.SUCCEEDED, Ranges.of(0), succeeded=1, ended_at=NOW),
        a_task(failed, 0, TaskState.FAILED),
        figures(failed, JobState.FAILED, Ranges.of(0), failed=1, ended_at=NOW),
    )
    scene.apply(SetFrameworkId(framework_id="framework-1"))
    names = {"JOB": ended.id, "FAILED": failed.id, "WAITING": waiting.id, "SCENE": (tmp_path / "stdout").as_uri()}
    names |= {"AGENT": "agent-1", "FRAMEWORK": "framework-1"}
    return {**names, "SWATH_URL": api.url, "TOKEN": api.http.headers["authorization"].removeprefix("Bearer ")}


def test_every_command_of_the_page_works(api: Api, variables: dict[str, str]) -> None:
    """In its order, against a service that has such jobs."""
    assert len(COMMANDS) > 20
    for command in COMMANDS:
        method, address, headers, body = parse(command, variables)
        if body == "@image.json":
            body = json.dumps({"manifest": NDVI, "image_id": f"sha256:{'0' * 64}"})
        response = api.http.request(method, address, headers=headers, content=body)
        assert response.is_success, (command, response.text)


def test_the_job_that_openapi_shows_is_accepted(scene: Scene, sqlite_database: str, tmp_path: Path) -> None:
    """By the real image, but for the file, which lies elsewhere."""
    register_real_ndvi(scene)
    (example,) = JobDocument.model_json_schema()["examples"]
    with serving(make_settings(tmp_path, sqlite_database, check_inputs=False)) as api:
        assert api.submit(**example)["image"] == "ndvi:1.0.0"


def test_every_route_is_shown(api: Api, variables: dict[str, str]) -> None:
    """A route without an example is missing from the page."""
    operations = {
        (method.upper(), path)
        for path, methods in api.get("/openapi.json").json()["paths"].items()
        for method in methods
    }
    shown = {parse(command, variables)[:2] for command in COMMANDS} | {("GET", f"{api.url}/readyz")}
    for method, template in operations:
        pattern = (
            re.escape(api.url) + re.sub(r"\{path\}", ".+", re.sub(r"\{(?!path)\w+\}", "[^/]+", template)) + r"(\?.*)?"
        )
        assert any(known == method and re.fullmatch(pattern, address) for known, address in shown), (method, template)


def test_every_setting_and_refusal_is_in_its_table() -> None:
    """With the name that the program uses."""
    for name in Settings.model_fields:
        assert f"`SWATH_{name.upper()}`" in PAGE
    for answer in ANSWERS.values():
        if answer.kind != "refused":
            assert f"`{answer.kind}`" in PAGE
            assert f"| {answer.status} |" in PAGE
