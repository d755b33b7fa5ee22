"""Where an image keeps failing it is left alone for a while; where a task has failed is its last choice; others go on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.core import cooling
from scheduler.core import events as ev
from scheduler.core.beginning import SPARED_S
from swath.domain.attempts import AttemptReport
from swath.domain.retries import JITTER, Cause
from swath.domain.states import TaskState
from swath.store.rows import JobRecord
from tests.scheduler.world import IMAGE, World, a_job

PATIENT = {"max_attempts": 50, "backoff_s": 1, "max_backoff_s": 1}


def of_image(number: int, name: str, size: int = 1, **spec: object) -> JobRecord:
    """A job of another image."""
    return replace(a_job(name, size, **spec), image=replace(IMAGE, id=number, name=f"image{number}"))


def run(world: World, job: JobRecord, agent: str, cause: Cause | None, times: int = 1) -> World:
    """Attempts of the job run on the agent, one after the other, and end so; there is nothing else for them."""
    for _ in range(times):
        before = len(world.launched())
        world.advance(1 + JITTER).offer(agent, cpus=job.resources.cpus + 0.1)
        for attempt in world.launched()[before:]:
            report = None if cause is None else AttemptReport(cause=cause)
            world.say(attempt.id, "FINISHED" if cause is None else "FAILED", report, agent_id=agent)
    return world


def a_world(*jobs: JobRecord) -> World:
    """Two agents, and jobs for them."""
    world = World().subscribe().list_agents("a1", "a2")
    for job in jobs:
        world.submit(job)
    return world


def avoided(world: World, job_id: str = "j1") -> frozenset[str]:
    """The agents that the job must not use."""
    return cooling.avoided(world.core.state, world.core.state.jobs[job_id])


@pytest.mark.parametrize("cause", [Cause.IMAGE, Cause.AGENT, Cause.DROPPED])
def test_an_image_that_cannot_even_start_on_an_agent_cools_down_there(cause):
    """After three in a row, and not after two."""
    job = a_job(size=9, retry=PATIENT)
    world = run(a_world(job), job, "a1", cause, 2)
    assert avoided(world) == frozenset()
    assert avoided(run(world.advance(4000), job, "a1", cause)) == {"a1"}


def test_an_image_that_cools_down_gets_another_chance_and_then_rests_twice_as_long():
    """30 s, then 60 s; one success, and it begins anew."""
    job = a_job(size=9, retry=PATIENT)
    world = run(a_world(job), job, "a1", Cause.IMAGE, 3)
    assert avoided(world.advance(29)) == {"a1"}
    assert avoided(world.advance(1)) == frozenset()
    assert avoided(run(world, job, "a1", Cause.IMAGE).advance(59)) == {"a1"}
    assert avoided(world.advance(1)) == frozenset()
    run(world, job, "a1", None)
    assert avoided(run(world, job, "a1", Cause.IMAGE, 2)) == frozenset()


def test_other_images_go_on_using_the_agent():
    """Only the image that keeps failing is kept off it."""
    bad, good = a_job("j1", 9, retry=PATIENT), of_image(2, "j2", 9)
    world = run(a_world(bad), bad, "a1", Cause.IMAGE, 3).submit(good)
    assert (avoided(world), avoided(world, "j2")) == ({"a1"}, frozenset())
    before = len(world.launched())
    world.offer("a1")
    assert {attempt.job_id for attempt in world.launched()[before:]} == {"j2"}


def test_an_application_that_fails_here_and_succeeds_elsewhere_cools_down_here():
    """Fifty successes on another agent: three failures in a row are no chance."""
    job = a_job(size=90, retry=PATIENT)
    world = run(a_world(job), job, "a2", None, 50)
    assert avoided(run(world, job, "a1", Cause.APP, 2)) == frozenset()
    assert avoided(run(world, job, "a1", Cause.APP)) == {"a1"}


def test_an_application_that_fails_everywhere_cools_down_nowhere():
    """It is the application's own doing, on however many agents and however often."""
    job = a_job(size=90, retry=PATIENT)
    world = a_world(job)
    for _ in range(30):
        run(run(world, job, "a1", Cause.APP), job, "a2", Cause.APP)
    assert avoided(world) == frozenset()
    assert len(world.launched()) == 60


def test_an_application_that_fails_every_other_time_is_given_time():
    """With a coin's chance of failing elsewhere, eight heads in a row are nothing; twelve are."""
    job = a_job(size=90, retry=PATIENT)
    world = a_world(job)
    for _ in range(40):
        run(run(world, job, "a2", Cause.APP), job, "a2", None)
    assert avoided(run(world, job, "a1", Cause.APP, 8)) == frozenset()
    assert avoided(run(world, job, "a1", Cause.APP, 4)) == {"a1"}


def test_an_application_that_is_broken_fails_on_the_only_agent_without_a_rest():
    """There is nothing to compare it with."""
    job = a_job(size=90, retry=PATIENT)
    world = run(World().subscribe().list_agents("a1").submit(job), job, "a1", Cause.APP, 40)
    assert (len(world.launched()), avoided(world)) == (40, frozenset())


@pytest.mark.parametrize("cause", [Cause.OOM, Cause.DISK, Cause.DATA, Cause.OUTPUT])
def test_what_a_task_does_by_its_own_nature_is_held_against_no_agent(cause):
    """Scenes beside each other are large together, and bad together."""
    job = a_job(size=90, retry={**PATIENT, "on": {cause: "retry"}})
    world = run(a_world(job), job, "a2", None, 50)
    assert avoided(run(world, job, "a1", cause, 9)) == frozenset()


def test_attempts_that_fall_together_count_as_one():
    """Forty of them end with their executor: no reason to keep the image off the agent."""
    world = a_world(a_job(size=80, cpus=0.1, retry=PATIENT)).offer("a1").advance(9)
    told = {"source": "SOURCE_AGENT", "reason": "REASON_EXECUTOR_TERMINATED"}
    world.happen(*(world.an_update(attempt.id, "FAILED", **told) for attempt in world.launched()))
    assert len(world.launched()) == 39
    assert avoided(world) == frozenset()


@pytest.mark.parametrize("cause", [Cause.DRAINED, Cause.PREEMPTED, Cause.KILLED, Cause.SPEC])
def test_what_says_nothing_of_an_agent_counts_nowhere(cause):
    """However often."""
    world = a_world(a_job(size=90, cpus=3, retry={**PATIENT, "on": {cause: "retry"}}))
    for _ in range(5):
        world.advance(2).offer("a1")
        live = world.core.state.attempts[world.launched()[-1].id]
        live.kill_cause = cause  # as if the scheduler had decided it
        world.say(live.attempt.id, "KILLED", agent_id="a1")
        assert world.details(live.attempt.id)["cause"] is cause
    assert (avoided(world), world.core.state.agents["a1"].records) == (frozenset(), {})
    assert world.core.state.jobs["j1"].failed_on == {}


def test_an_agent_that_is_gone_is_forgotten():
    """It may come back as another machine."""
    job = a_job(size=9, retry=PATIENT)
    world = run(a_world(job), job, "a1", Cause.IMAGE, 3).advance(1).list_agents("a2")
    assert (avoided(world), world.core.state.cooling) == (frozenset(), {})


# Where a task has failed


def shunned(world: World, *indices: int, fresh: int = 0) -> frozenset[str]:
    """The agents that come last for these tasks."""
    return cooling.shunned(world.core.state.jobs["j1"], indices, len(indices), fresh)


def test_the_agents_where_a_task_has_failed_come_last_for_it():
    """The first one, then both; a restart forgets neither."""
    job = a_job(retry=PATIENT)
    world = run(a_world(job), job, "a1", Cause.APP)
    assert shunned(world, 0) == {"a1"}
    run(world, job, "a2", Cause.OOM)
    assert shunned(world, 0) == shunned(world.restart(), 0) == {"a1", "a2"}


def test_a_task_that_runs_again_is_remembered_with_where_it_failed():
    """The scheduler falls over while the second attempt runs; the third is to shun both agents."""
    job = a_job(retry=PATIENT)
    world = run(a_world(job), job, "a1", Cause.APP).advance(2).offer("a2")
    world.restart().subscribe().say(world.launched()[-1].id, "FAILED", AttemptReport(cause=Cause.APP), agent_id="a2")
    assert shunned(world, 0) == {"a1", "a2"}


def test_what_has_ended_is_not_remembered():
    """A task that succeeded, or failed for good, has no next attempt."""
    job = a_job(retry=PATIENT)
    world = run(run(a_world(job), job, "a1", Cause.APP), job, "a2", None)
    assert world.task().state is TaskState.SUCCEEDED
    assert world.store.load().failed_on == []


def test_an_agent_is_shunned_where_most_of_the_tasks_have_failed():
    """Of tasks that are alike the launch picks those that have not failed on the agent: only the others are to go elsewhere."""
    job = a_job(size=4, retry=PATIENT)
    world = run(a_world(job), job, "a1", Cause.APP, 2)
    first, second = (attempt.task_index for attempt in world.launched())
    assert shunned(world, first) == {"a1"}
    others = [index for index in range(4) if index not in (first, second)]
    assert shunned(world, first, others[0]) == frozenset()
    assert shunned(world, first, fresh=1) == frozenset()


def test_a_task_that_failed_here_lets_the_others_go_first():
    """One slot on the agent where it failed: a task that never ran takes it; on another agent its turn is first."""
    job = a_job(size=3, retry=PATIENT)
    world = run(a_world(job), job, "a1", Cause.APP).advance(2)
    world.offer("a1", cpus=1.1).offer("a2", cpus=1.1)
    assert [attempt.task_index for attempt in world.launched()] == [0, 1, 0]


def test_a_task_that_failed_here_is_not_passed_over_for_ever():
    """One agent alone is chosen again and again: the retry lets others go first for a minute, and then takes its turn."""
    job = a_job(size=200, retry=PATIENT)
    world = run(run(a_world(job), job, "a1", Cause.APP), job, "a1", None, int(SPARED_S / 2))
    assert [attempt.task_index for attempt in world.launched()].count(0) == 1
    run(world, job, "a1", None, int(SPARED_S / 2))
    assert [attempt.task_index for attempt in world.launched()].count(0) == 2
    assert world.task(0).state is TaskState.SUCCEEDED


def test_a_task_runs_where_it_failed_when_there_is_nothing_else():
    """The preference is soft."""
    job = a_job(retry=PATIENT)
    world = run(a_world(job), job, "a1", Cause.APP).advance(2).offer("a1")
    assert [attempt.agent_id for attempt in world.launched()] == ["a1", "a1"]


def test_two_tasks_that_failed_on_different_agents_change_places():
    """Each agent gets the task that failed on the other one."""
    world = a_world(a_job(size=2, retry=PATIENT)).advance(2)
    for _ in range(2):
        world.happen(ev.Offered(offers=(world.an_offer("a1", cpus=1.1), world.an_offer("a2", cpus=1.1))))
        for attempt in world.launched()[-2:]:
            world.say(attempt.id, "FAILED", AttemptReport(cause=Cause.APP), agent_id=attempt.agent_id)
        world.advance(2)
    first, second, third, fourth = ((attempt.agent_id, attempt.task_index) for attempt in world.launched())
    assert {first[0], second[0]} == {"a1", "a2"}
    assert {third, fourth} == {(first[0], second[1]), (second[0], first[1])}


def test_a_retry_goes_to_the_agent_where_its_task_has_not_failed():
    """Both offer at once, the one where it failed with more room: it takes the other."""
    world = run(a_world(a_job(retry=PATIENT)), a_job(retry=PATIENT), "a1", Cause.APP).advance(2)
    world.happen(ev.Offered(offers=(world.an_offer("a1", cpus=4), world.an_offer("a2", cpus=1.1))))
    assert [attempt.agent_id for attempt in world.launched()] == ["a1", "a2"]


def test_a_job_that_waits_for_an_agent_to_cool_down_says_so():
    """Its image keeps failing on the only agent that is left."""
    job = a_job(size=9, retry=PATIENT)
    world = run(a_world(job), job, "a1", Cause.IMAGE, 3).list_agents("a1").advance(20)
    assert "cooling down" in str(world.job().wait_reason)
