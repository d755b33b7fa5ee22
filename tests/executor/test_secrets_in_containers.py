"""Secrets in real containers: in the environment or as a file, masked in the logs, and gone with the container."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from swath.domain.attempts import ImageSource
from swath.domain.secrets import MASK
from tests.executor.agent import CONTAINERS_ONLY, Agent, wait_until
from tests.executor.programs import docker
from tests.executor.test_secrets import SECRET, a_secret_run, find_in, give

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]
ENVIRON = CONTAINERS_ONLY
OTHER = "hollow-voice-says-plugh"


def test_a_container_gets_its_secrets(agent: Agent, image: ImageSource) -> None:
    """One in its environment, one as a file that only it sees and cannot write; logs hold neither, nor does anything else."""
    script = "echo $TOKEN; echo $KEY >&2; cat $KEY; echo no > $KEY || echo closed"
    spec = a_secret_run(agent, f"sh -c '{script}'", TOKEN=SECRET, KEY=OTHER)
    spec = replace(spec, image=image, swath_manifest={"secret_files": ["KEY"]})
    agent.launch(spec)
    give(agent, spec, {"TOKEN": SECRET, "KEY": OTHER})

    update = agent.wait(spec.attempt)

    assert update.state == "TASK_FINISHED", update.message
    assert agent.log(update) == f"{MASK.decode()}\n{MASK.decode()}closed\n"
    assert agent.log(update, "stderr").splitlines()[0] == "/swath/secrets/KEY"
    assert find_in(agent.directory, SECRET) == find_in(agent.directory, OTHER) == []
    wait_until(lambda: not list(Path("/dev/shm").glob(f"swath-*/{spec.attempt}")), "the file goes with its attempt")


def test_what_is_a_file_is_in_no_environment(agent: Agent, image: ImageSource) -> None:
    """Who inspects the engine sees the path; and the place from which it is mounted is closed to other users."""
    spec = replace(
        a_secret_run(agent, "sh -c 'sleep 60'", KEY=OTHER), image=image, swath_manifest={"secret_files": ["KEY"]}
    )
    agent.launch(spec)
    give(agent, spec, {"KEY": OTHER})
    agent.wait(spec.attempt, "TASK_RUNNING")

    seen = docker("inspect", f"swath-{spec.attempt}")

    assert OTHER not in seen
    assert "KEY=/swath/secrets/KEY" in json.loads(seen)[0]["Config"]["Env"]
    (mount,) = [mount for mount in json.loads(seen)[0]["Mounts"] if mount["Destination"] == "/swath/secrets/KEY"]
    assert mount["RW"] is False
    assert Path(mount["Source"]).parents[1].stat().st_mode & 0o777 == 0o700
    agent.kill(spec.attempt)
    agent.wait(spec.attempt)
