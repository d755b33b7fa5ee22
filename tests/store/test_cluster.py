"""Agents and the scheduler's own state, as the api tells them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from swath.domain.changes import AddAttempt, DeactivateAgent, PutImages, PutSchedulerStatus, SetFrameworkId
from swath.domain.errors import NotFoundError
from swath.domain.images import HeldImage, ImagesReport
from swath.domain.resources import Resources
from swath.domain.states import TaskState
from tests.store.build import NOW, a_task, an_agent, an_attempt


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


def test_an_agent_may_be_larger_than_31_bits_count(scene):
    """A shared file system of 3 PB, and what is launched beside it, are stored as they are."""
    huge = Resources(cpus_m=2**40, mem=2**40, disk=3_000_000_000, gpus=2**40)
    job = scene.submit()
    scene.apply(
        an_agent(total=huge),
        a_task(job, 0, TaskState.ACTIVE, mem=2**40),
        AddAttempt(attempt=an_attempt(job, resources=huge)),
    )

    assert scene.api.get_agent("agent-1").total == scene.api.cluster_status().total == huge
    assert scene.api.list_attempts(job.id, 0)[0].resources == huge
    assert scene.api.get_task(job.id, 0).mem == 2**40


def test_the_cluster_has_what_its_agents_have_together(scene):
    """Ports and custom scalars too, whether agents have the same or not; those that are gone do not count."""
    some = Resources(cpus_m=1000, ports=100, custom=(("licences", 500),))
    other = Resources(cpus_m=1000, custom=(("tape", 1000),))
    scene.apply(*(an_agent(f"a{number}", total=some) for number in range(3)))
    scene.apply(an_agent("b", total=other), an_agent("c", total=Resources(cpus_m=1000)), an_agent("gone", total=some))
    scene.apply(DeactivateAgent(agent_id="gone"))

    total = scene.api.cluster_status().total

    assert total == Resources(cpus_m=5000, ports=300, custom=(("licences", 1500), ("tape", 1000)))
    assert scene.api.get_agent("b").total == other


def test_an_unknown_agent_is_not_found(scene):
    """Asking for an agent that was never seen raises NotFoundError."""
    with pytest.raises(NotFoundError):
        scene.api.get_agent("nobody")


def test_what_an_agents_engine_holds_is_told_by_the_catalogues_names(scene):
    """By id or by reference, each image once; what the catalogue does not know by the engine's name; None before a word."""
    scene.register(image_id="sha256:7", reference="registry/ndvi@sha256:8")
    names = (("sha256:7",), ("sha256:9", "registry/ndvi@sha256:8"), ("sha256:1",))
    held = tuple(HeldImage(names=each, size=1) for each in names)
    report = ImagesReport(engine=True, processes=False, images=held)
    scene.apply(an_agent("agent-1"), an_agent("agent-2"), PutImages(agent_id="agent-1", report=report.to_value()))

    assert scene.api.get_agent("agent-1").images == ("ndvi:1.0.0", "sha256:1")
    assert [row.images for row in scene.api.list_agents()] == [("ndvi:1.0.0", "sha256:1"), None]


def test_what_was_said_of_an_engine_stays_until_something_else_is_said(scene):
    """The next leader reads it as it was written; a new description of the agent, or a word about nobody, changes nothing."""
    report = ImagesReport(engine=True, processes=False, images=(HeldImage(names=("a",), size=1, layers={"0" * 16: 1}),))
    scene.apply(an_agent(), PutImages(agent_id="agent-1", report=report.to_value()))
    scene.apply(an_agent(hostname="renamed"), PutImages(agent_id="nobody", report={}))

    loaded = scene.scheduler.load().images
    assert {agent: ImagesReport.from_value(value) for agent, value in loaded.items()} == {"agent-1": report}

    scene.apply(DeactivateAgent(agent_id="agent-1"))
    assert scene.scheduler.load().images == {}
