"""deploy/ci/*: what CI copies is whole, names no secret, and asks for what the documentation says."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.deploy.pipelines import GITHUB, GITLAB, ROOT, commands, read_pipeline


@pytest.mark.parametrize("name", [GITHUB, GITLAB])
def test_the_commands_end_with_a_push_of_the_images_directory(name: str) -> None:
    """Logged in before, and with a time-out: nothing waits for ever."""
    login, push = commands(name)
    assert "docker login" in login
    assert "--password-stdin" in login
    assert shlex.split(push) == ["swath", "images", "push", "$IMAGE_DIR", "--timeout", "1800"]


@pytest.mark.parametrize("name", [GITHUB, GITLAB])
def test_every_variable_is_explained_and_no_secret_is_written_down(name: str) -> None:
    """In the file's own first lines."""
    text = (ROOT / "deploy/ci" / name).read_text()
    head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    for variable in ("SWATH_URL", "SWATH_REGISTRY", "SWATH_TOKEN", "REGISTRY_USER", "REGISTRY_PASSWORD"):
        assert variable in head
    assert "swath tokens create" in head
    assert not re.search(r"(?i)(token|password): *['\"]?[a-z0-9]", text)


def test_githubs_secrets_are_given_to_the_steps_that_need_them_only() -> None:
    """The token to the push, the password to the login; and the workflow may read, no more."""
    document = read_pipeline(GITHUB)
    job = document["jobs"]["push"]
    secrets = {
        step.get("name"): re.findall(r"secrets\.(\w+)", str(step)) for step in job["steps"] if "secrets." in str(step)
    }
    assert secrets == {"log in": ["REGISTRY_PASSWORD"], "push": ["SWATH_TOKEN"]}
    assert "secrets." not in str(job["env"])
    assert document["permissions"] == {"contents": "read"}
    assert set(document["on"]) == {"push", "workflow_dispatch"}
