"""An image that is pulled: from Debian's docker-registry on the loopback, where the engine wants no certificate."""

from __future__ import annotations

import pytest

from swath.domain.attempts import ImageSource
from swath.domain.retries import Cause
from tests.executor.agent import CONTAINERS_ONLY, Agent
from tests.executor.build import a_manifest, a_spec
from tests.executor.programs import PROGRAMS, docker, make_image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]
ENVIRON = CONTAINERS_ONLY


def push_new(name: str) -> str:
    """Put an image that the engine does not keep into the registry; its reference by digest."""
    image_id = make_image((*PROGRAMS, "date"))  # no other test's image: that one stays where it is
    docker("tag", image_id, f"{name}:1")
    docker("push", f"{name}:1")
    reference = docker("inspect", "--format", "{{index .RepoDigests 0}}", f"{name}:1")
    docker("rmi", "--force", image_id)
    return reference


def test_an_image_is_pulled_by_its_digest(registry: str, agent: Agent) -> None:
    """STARTING while it is pulled, then the attempt runs; the next one finds it and waits for nothing."""
    reference = push_new(f"{registry}/shell")
    source = ImageSource(name="shell", version="1.0.0", reference=reference)
    try:
        update = agent.run(a_spec(a_manifest("sh -c 'echo pulled'"), agent.outputs, image=source))
        assert (update.state, update.report.runtime) == ("TASK_FINISHED", "docker"), update.message
        assert agent.log(update) == "pulled\n"
        assert agent.states(update.task) == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]
        assert agent.wait(update.task, "TASK_STARTING").message == f"pulling {reference}"
        again = agent.run(a_spec(a_manifest("sh -c 'echo there'"), agent.outputs, image=source))
        assert agent.states(again.task) == ["TASK_RUNNING", "TASK_FINISHED"]
    finally:
        docker("rmi", "--force", reference)


def test_a_digest_that_the_registry_does_not_hold_is_told(registry: str, agent: Agent) -> None:
    """Cause IMAGE and the engine's words."""
    source = ImageSource(name="absent", version="1.0.0", reference=f"{registry}/absent@sha256:{'0' * 64}")
    update = agent.run(a_spec(a_manifest("true"), agent.outputs, image=source))
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.IMAGE)
    assert "cannot be pulled" in update.message
