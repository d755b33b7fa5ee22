"""The same job in containers of a real Docker engine."""

import json
from pathlib import Path

import docker
import pytest

from tests.e2e.jobs import (
    all_scenes,
    assert_undisturbed,
    bolzano,
    direct_mean_ndvi,
    direct_means,
    ended,
    killed_once,
    submitted,
)
from tests.fixtures.laptop import eventually, running

pytestmark = [pytest.mark.docker, pytest.mark.data, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def docker_laptop(ndvi_image, tmp_path_factory):
    """A cluster that finds the engine, and the image `ndvi` on it."""
    yield from running(tmp_path_factory.mktemp("docker") / "var")


@pytest.fixture
def containers():
    """A function: the containers of a job that are left on the engine."""
    client = docker.from_env()
    # Sparse: the engine is not asked about each of them afterwards, when it may have gone.
    yield lambda job_id: client.containers.list(all=True, sparse=True, filters={"label": f"swath.job={job_id}"})
    client.close()


def test_the_job_runs_in_containers_and_leaves_none(docker_laptop, data_folder, containers):
    """Docker's runtime, the right mean, and no container behind it."""
    job = ended(docker_laptop, submitted(docker_laptop, [bolzano(data_folder)]))
    assert job["state"] == "SUCCEEDED", job
    (attempt,) = docker_laptop.client.attempts(job["id"], 0)
    assert attempt["runtime"] == "docker"
    (statistics,) = (entry for entry in docker_laptop.client.outputs(job["id"]) if entry["path"] == "statistics.json")
    mean = json.loads(Path(statistics["file"]).read_text())["mean"]
    assert mean == pytest.approx(direct_mean_ndvi(bolzano(data_folder)), abs=1e-6)
    assert eventually(lambda: not containers(job["id"]))


def test_the_agent_shows_the_image_that_it_holds(docker_laptop, data_folder):
    """By its name in the catalogue, once a job has brought an executor there; the command line shows the same."""
    ended(docker_laptop, submitted(docker_laptop, [bolzano(data_folder)]))
    (agent,) = docker_laptop.client.agents()
    assert eventually(lambda: "ndvi:1.0.0" in (docker_laptop.client.agent(agent["id"])["images"] or []))
    assert "ndvi:1.0.0" in docker_laptop.swath("agents", "show", agent["id"]).stdout


def test_cancelling_ends_the_containers(docker_laptop, data_folder, containers):
    """A cancelled job's containers are gone, and its state says so."""
    job_id = submitted(docker_laptop, all_scenes(data_folder))
    eventually(lambda: containers(job_id))
    docker_laptop.client.cancel(job_id)
    assert ended(docker_laptop, job_id)["state"] == "CANCELLED"
    assert eventually(lambda: not containers(job_id))


@pytest.mark.parametrize(
    ("victim", "moment"),
    [("api", "running"), ("scheduler", "succeeded"), ("local", "running"), ("executor", "running")],
)
def test_kill_minus_9_leaves_no_orphans_and_loses_no_task(docker_laptop, data_folder, containers, victim, moment):
    """Whoever dies: every scene succeeds with the direct computation's mean, and no container is left."""
    job_id = submitted(docker_laptop, all_scenes(data_folder), max_running=2)
    _, job = killed_once(docker_laptop, job_id, victim, moment)
    assert_undisturbed(docker_laptop, job, direct_means(data_folder))
    assert {
        attempt["runtime"] for index in range(6) for attempt in docker_laptop.client.attempts(job_id, index)[-1:]
    } == {"docker"}
    assert eventually(lambda: not containers(job_id))
