"""From an executor's engine to the scheduler and back, over a real master, agents, MESSAGEs, a registry and an engine."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from swath.domain.states import JobState
from swath.store.rows import AgentRow, ImageRow
from tests.executor.build import a_manifest
from tests.executor.programs import docker
from tests.executor.test_registry import push_new
from tests.scheduler.cluster import HERE, Cluster

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]

EXECUTOR = {
    **HERE,
    "SWATH_PROCESS_RUNTIME": "1",
    "SWATH_DOCKER": "auto",
    "SWATH_INPUT_ROOTS": "/",
    "SWATH_PREFETCH_FREE_MIB": "1",
}
INPUTS = {"files": [], "json": [{"name": "INDEX", "type": "integer", "required": False}]}


def a_pulled_image(cluster: Cluster, reference: str) -> ImageRow:
    """An image of a registry whose tasks take long."""
    manifest = a_manifest("sh -c 'sleep 600'")
    manifest["job"]["interface"]["inputs"] = INPUTS
    return cluster.store.register_image(
        name="naps",
        version="1.0.0",
        digest=reference.partition("@")[2],
        manifest=manifest,
        reference=reference,
        now=datetime.now(UTC),
    )


def find_agent(cluster: Cluster, job_id: str) -> AgentRow:
    """The one agent on which all running tasks of a job are."""
    tasks = cluster.store.list_tasks(job_id, limit=100).items
    (agent_id,) = {task.agent_id for task in tasks if task.agent_id is not None}
    return cluster.store.get_agent(agent_id)


def images_of(cluster: Cluster, agent: AgentRow) -> tuple[str, ...]:
    return cluster.store.get_agent(agent.id).images or ()


def test_an_image_is_pulled_ahead_where_the_next_tasks_will_start(tmp_path: Path, registry: str) -> None:
    """The job fills one agent; the other, full of something else, has the image by the time that its turn comes.

    Both agents share this machine's engine, so the second finds there what the first has pulled; but it looks only every five
    minutes, unless it is asked.
    """
    reference = push_new(f"{registry}/naps")
    cluster = Cluster(tmp_path, agents=2)
    try:
        cluster.start_local().start_scheduler(SWATH_EXECUTOR_ENV=json.dumps(EXECUTOR))
        (tmp_path / "context").mkdir()
        (tmp_path / "context" / "run.py").write_text("import time; time.sleep(600)")
        other = cluster.submit(cluster.register("other", "python run.py", str(tmp_path / "context")), cpus=3.5)
        cluster.wait_until(lambda: cluster.store.get_job(other).state is JobState.RUNNING, 30)
        second = find_agent(cluster, other)
        cluster.wait_until(lambda: cluster.store.get_agent(second.id).images is not None, 30)
        assert "naps:1.0.0" not in images_of(cluster, second)

        job_id = cluster.submit(a_pulled_image(cluster, reference), 6, cpus=1)
        first = next(agent for agent in cluster.store.list_agents() if agent.id != second.id)
        cluster.wait_until(lambda: "naps:1.0.0" in images_of(cluster, first), 60)
        cluster.wait_until(lambda: "naps:1.0.0" in images_of(cluster, second), 60)
        assert find_agent(cluster, job_id) == cluster.store.get_agent(first.id)

        cluster.store.request_cancel(other)
        cluster.wait_until(lambda: cluster.store.get_job(job_id).counts.active == 6, 60)
        cluster.store.request_cancel(job_id)
        assert cluster.wait(job_id, 60).state is JobState.CANCELLED
        assert "wire_error" not in cluster.logs()
        assert "event_not_understood" not in cluster.logs()
    finally:
        cluster.close()
        docker("rmi", "--force", reference)
