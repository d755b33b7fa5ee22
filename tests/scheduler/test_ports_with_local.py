"""Ports and custom scalars from an agent's offer to the task that uses them, with real programs."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path

import pytest

from swath.domain.states import JobState
from swath.store.rows import AttemptRow
from tests.scheduler.cluster import Cluster

# Says what it was given, and holds its ports until the test has seen it: who else had one of them could not listen there.
SCRIPT = """
import json, os, pathlib, socket, time
names = ("PORT0", "PORT1", "PORTS", "SWATH_PORTS", "ALLOCATED_LICENCES")
print(json.dumps({name: os.environ[name] for name in names}), flush=True)
held = [socket.create_server(("127.0.0.1", int(os.environ[name]))) for name in ("PORT0", "PORT1")]
while not pathlib.Path(GO).exists():
    time.sleep(0.05)
"""


def find_range(count: int) -> int:
    """The first of so many ports that nobody listens on."""
    for first in range(23000, 30000, count):
        try:
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    pytest.fail("no range of ports is free")


def attempts_of(cluster: Cluster, job_id: str, size: int) -> list[AttemptRow]:
    return [row for index in range(size) for row in cluster.store.list_attempts(job_id, index)]


def said(attempt: AttemptRow) -> dict[str, str]:
    return dict(json.loads(Path(attempt.sandbox or "", "stdout").read_text()))


def beside(attempt: AttemptRow, attempts: list[AttemptRow]) -> list[AttemptRow]:
    """Those that were launched before it and had not ended then."""
    before = [other for other in attempts if other.id != attempt.id and other.launched_at <= attempt.launched_at]
    return [other for other in before if other.ended_at is None or other.ended_at > attempt.launched_at]


def test_tasks_with_ports_and_a_custom_scalar_share_an_agent_and_nothing_else(tmp_path: Path):
    """Five ports and two licences: two tasks with two and one run at a time, each on ports of its own, over a failover too."""
    first, go = find_range(5), tmp_path / "go"
    context = tmp_path / "context"
    context.mkdir()
    (context / "run.py").write_text(SCRIPT.replace("GO", repr(str(go))))
    cluster = Cluster(tmp_path)
    try:
        cluster.start_local("--resources", f"ports:[{first}-{first + 4}];licences:2").start_scheduler()
        image = cluster.register("listens", "python run.py", str(context))
        job_id = cluster.submit(image, 5, ports=2, custom=(("licences", 1000),))
        cluster.wait_until(lambda: sum(bool(a.started_at) for a in attempts_of(cluster, job_id, 5)) == 2, 30)
        (agent,) = cluster.store.list_agents()
        assert (agent.total.ports, agent.total.custom) == (5, (("licences", 2000),))

        cluster.stop("scheduler", signal.SIGKILL)
        cluster.start_scheduler()
        cluster.wait_until(lambda: "leading" in (tmp_path / "scheduler.log").read_text(), 30)
        go.touch()
        job = cluster.wait(job_id, 60)

        assert (job.state, job.counts.succeeded) == (JobState.SUCCEEDED, 5)
        attempts = attempts_of(cluster, job_id, 5)
        assert len(attempts) == 5, "nobody found its port taken"
        for attempt in attempts:
            seen, listed = said(attempt), ",".join(map(str, attempt.ports))
            assert len(set(attempt.ports)) == 2
            assert set(attempt.ports) <= set(range(first, first + 5))
            assert seen == {
                "PORT0": str(attempt.ports[0]),
                "PORT1": str(attempt.ports[1]),
                "PORTS": listed,
                "SWATH_PORTS": listed,
                "ALLOCATED_LICENCES": "1",
            }
            others = beside(attempt, attempts)
            assert len(others) <= 1, "there are two licences"
            assert not any(set(attempt.ports) & set(other.ports) for other in others)
        assert any(beside(attempt, attempts) for attempt in attempts), "two ran at a time"
    finally:
        cluster.close()
