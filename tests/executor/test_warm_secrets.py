"""Secrets in warm containers: each attempt's come with it and go with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from swath.domain.attempts import ImageSource
from swath.domain.secrets import MASK
from tests.executor.agent import Agent, wait_until
from tests.executor.build import an_id
from tests.executor.programs import PROGRAMS, docker, make_image
from tests.executor.test_secrets import SECRET, a_secret_run, find_in, give

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]
OTHER = "hollow-voice-says-plugh"


@pytest.fixture
def image() -> Iterator[ImageSource]:
    """An image with a shell and Python; removed in the end."""
    image_id = make_image(PROGRAMS, python=True)
    yield ImageSource(name="shell", version="1.0.0", image_id=image_id)
    docker("rmi", "--force", image_id)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """An executor that runs containers only."""
    agent = Agent(tmp_path, SWATH_DOCKER="auto", SWATH_PROCESS_RUNTIME="0").start()
    yield agent
    agent.stop()


def test_secrets_come_and_go_with_each_attempt(agent: Agent, image: ImageSource) -> None:
    """In the environment and as files, masked in the logs; where the container waits it holds none, nor does the engine.

    A container that ends while it waits is replaced, and nobody's fault.
    """
    script = (
        "head -n 1 /etc/hostname; echo $TOKEN; echo $KEY; cat $KEY; echo no > $KEY || echo closed; ls /swath/secrets"
    )
    first = a_secret_run(agent, f"sh -c '{script}'", TOKEN=SECRET, KEY=OTHER)
    first = replace(first, image=image, swath_manifest={"secret_files": ["KEY"], "reusable": True})
    second, third, slot = replace(first, attempt=an_id()), replace(first, attempt=an_id()), an_id()
    agent.open_slot(slot, first, second, third)
    logs = []
    for spec in (first, second, third):
        agent.wait_for_secrets_wanted(spec.attempt)
        if spec is not first:
            (container,) = docker("ps", "-aq", "--filter", f"label=swath.slot={slot}").split()
            assert SECRET not in (seen := docker("inspect", container))
            assert OTHER not in seen
            assert docker("exec", container, "ls", "/swath/secrets") == ""
            assert SECRET not in docker("exec", container, "cat", "/proc/1/environ")
        if spec is third:
            docker("kill", container)
        give(agent, spec, {"TOKEN": SECRET, "KEY": OTHER})
        update = agent.wait(spec.attempt)
        assert update.state == "TASK_FINISHED", update.message
        logs.append(agent.log(update).splitlines())

    masked = MASK.decode()
    assert [log[1:] for log in logs] == [[masked, "/swath/secrets/KEY", f"{masked}closed", "KEY"]] * 3
    assert logs[0][0] == logs[1][0] != logs[2][0]
    assert find_in(agent.directory, SECRET) == find_in(agent.directory, OTHER) == []
    wait_until(
        lambda: (
            not [path for root in Path("/dev/shm").glob("swath-*") for path in root.iterdir() if OTHER in _read(path)]
        ),
        "no file is left",
    )


def _read(directory: Path) -> str:
    return "".join(path.read_text() for path in directory.rglob("*") if path.is_file())
