"""Agents and the scheduler's own state, as the api tells them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from swath.domain.changes import DeactivateAgent, PutSchedulerStatus, SetFrameworkId
from swath.domain.errors import NotFoundError
from swath.domain.resources import Resources
from tests.store.build import NOW, an_agent


def test_the_cluster_shows_what_the_scheduler_says(scene):
    """Status, leader, agents' total and what is open come in one answer; the last status counts."""
    job = scene.submit()
    scene.launch(job)
    scene.apply(
        PutSchedulerStatus(connected=False),
        PutSchedulerStatus(connected=True, master="10.0.0.1:5050", heartbeat_at=NOW, data={"offers": 3}),
        an_agent("agent-1"),
        an_agent("agent-2"),
        SetFrameworkId(framework_id="f"),
    )

    found = scene.api.cluster_status()

    assert (found.connected, found.master, found.heartbeat_at) == (True, "10.0.0.1:5050", NOW)
    assert (found.data, found.framework_id, found.leader, found.epoch) == ({"offers": 3}, "f", "first", scene.epoch)
    assert (found.agents, found.total.cpus_m, found.open_attempts, found.open_jobs) == (2, 16_000, 1, 1)


def test_a_new_cluster_is_not_connected(scene):
    """Before the scheduler has said anything, nothing is claimed."""
    found = scene.api.cluster_status()

    assert (found.connected, found.master, found.agents, found.total) == (False, None, 0, Resources())


def test_an_agent_is_remembered_after_it_is_gone(scene):
    """First and last sight are kept; an agent that comes back is the same one."""
    hour = timedelta(hours=1)
    scene.apply(an_agent())
    scene.apply(DeactivateAgent(agent_id="agent-1"), at=NOW + hour)

    gone = scene.api.get_agent("agent-1")
    assert (gone.active, gone.first_seen, gone.last_seen) == (False, NOW, NOW + hour)

    scene.apply(an_agent(hostname="renamed"), at=NOW + 2 * hour)
    back = scene.api.get_agent("agent-1")
    assert (back.active, back.hostname, back.first_seen, back.last_seen) == (True, "renamed", NOW, NOW + 2 * hour)


def test_the_largest_agents_are_those_that_no_other_covers(scene):
    """Of four agents the one with most memory and the one with most CPUs remain, as long as they were seen lately."""
    scene.apply(
        an_agent("small", total=Resources(cpus_m=1000, mem=1000)),
        an_agent("cpus", total=Resources(cpus_m=8000, mem=2000)),
        an_agent("mem", total=Resources(cpus_m=2000, mem=64000)),
        an_agent("gone", total=Resources(cpus_m=64000, mem=640000)),
    )
    scene.apply(DeactivateAgent(agent_id="gone"))

    assert [agent.id for agent in scene.api.list_agents(active=False)] == ["gone"]
    assert scene.api.largest_agents_since(NOW) == [Resources(cpus_m=64000, mem=640000)]
    later = scene.api.largest_agents_since(NOW + timedelta(hours=24))
    assert later == [Resources(cpus_m=8000, mem=2000), Resources(cpus_m=2000, mem=64000)]


def test_an_unknown_agent_is_not_found(scene):
    """Asking for an agent that was never seen raises NotFoundError."""
    with pytest.raises(NotFoundError):
        scene.api.get_agent("nobody")
