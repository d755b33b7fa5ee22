"""One pool: batch fills what interactive users leave free, yields within seconds, and no large task starves."""

from __future__ import annotations

from dataclasses import replace

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core.demands import WITHHELD_S
from scheduler.core.launching import KEPT_REFUSE_S, LOOK_S, SHARES_S
from swath.domain.attempts import AttemptReport
from swath.domain.changes import PutAgent
from swath.domain.projects import Project
from swath.domain.resources import Resources
from swath.domain.retries import Cause
from swath.domain.states import JobState, TaskState
from swath.domain.wishes import ProjectTree
from tests.scheduler.world import SETTINGS, World, a_job

HERE = frozenset({SETTINGS.executor_id})


def listed(*names: str) -> ev.AgentsListed:
    """Agents of four cpus beside their executors."""
    total = Resources(cpus_m=4100, mem=8320, disk=10_000)
    agents = (PutAgent(agent_id=n, hostname=n, url=f"http://{n}:5051", total=total) for n in names)
    return ev.AgentsListed(agents=tuple(agents))


def a_full_world(batch: int = 8, **spec: object) -> World:
    """A batch job fills the only agent, four tasks of one cpu at a time."""
    world = World().subscribe().happen(listed("a1")).submit(a_job("batch", batch, **spec)).offer(cpus=4.1, mem=8320)
    for attempt in world.launched():
        world.say(attempt.id, "RUNNING", AttemptReport(sandbox="/s", runtime="process"))
    assert len(world.launched()) == 4
    return world


def a_notebook(cpus: float = 1) -> object:
    """Somebody waits for it."""
    return a_job("notebook", cpus=cpus, **{"class": "interactive"})


def kills(world: World) -> list[str]:
    return [call.task_id for call in world.called(fx.Kill)]


def test_an_interactive_job_takes_back_what_batch_holds_though_nothing_is_offered():
    """On a full cluster no offer would ever come: the youngest attempt is ended in the turn after its submission."""
    world = a_full_world()
    world.submit(a_notebook()).happen()
    (victim,) = kills(world)
    world.say(victim, "KILLED")
    assert world.details(victim)["cause"] is Cause.PREEMPTED
    assert world.task(world.attempt(victim).task_index, "batch").failures == 0
    world.offer(cpus=1, mem=100, executor_ids=HERE)
    assert world.launched()[-1].job_id == "notebook"


def test_what_is_about_to_be_free_is_not_taken_back_a_second_time():
    """However often it is looked at within the victims' grace."""
    world = a_full_world()
    world.submit(a_notebook(2))
    world.advance(5 * LOOK_S)
    assert len(set(kills(world))) == 2


def test_what_the_victims_leave_is_kept_for_whom_they_were_ended_for():
    """The first freed cpu is not enough: nobody else gets it, and it is refused for a moment only."""
    world = a_full_world()
    world.submit(a_notebook(2)).happen()
    first, second = sorted(set(kills(world)))
    world.say(first, "KILLED").offer(cpus=1, mem=100, executor_ids=HERE)
    assert len(world.launched()) == 4
    assert [decline.refuse_s for decline in world.lately(fx.Decline)] == [KEPT_REFUSE_S]
    world.say(second, "KILLED").offer(cpus=2, mem=200, executor_ids=HERE)
    assert [attempt.job_id for attempt in world.launched()[4:]] == ["notebook"]


def test_a_job_that_may_not_be_preempted_is_left_alone():
    """Its user has said so."""
    world = a_full_world(preemptible=False)
    world.submit(a_notebook()).advance(10)
    assert kills(world) == []
    assert "not" in (world.job("notebook").wait_reason or "") or world.job("notebook").wait_reason


def test_two_interactive_jobs_do_not_end_each_other():
    """The second waits for the first."""
    world = World().subscribe().happen(listed("a1")).submit(a_notebook(4)).offer(cpus=4.1, mem=8320)
    world.submit(replace(a_notebook(4), id="second", name="second")).advance(10)
    assert kills(world) == []


def test_an_idle_agent_that_is_not_offered_yet_spares_the_victims():
    """It will be offered."""
    world = a_full_world().happen(listed("a1", "a2"))
    world.submit(a_notebook()).happen()
    assert kills(world) == []
    world.offer("a2", cpus=4.1, mem=8320)
    assert [attempt.job_id for attempt in world.launched()[4:]].count("notebook") == 1


def test_the_preempted_task_says_so_in_its_history():
    """With the job that it made room for."""
    world = a_full_world()
    world.submit(a_notebook()).happen()
    told = [event for event in world.store.events if event.kind == "attempt.preempted"]
    assert [event.data["for"] for event in told] == ["notebook"]


def test_a_killed_scheduler_does_not_forget_why_the_victims_end():
    """The next leader counts the end as one that costs nothing, and ends nobody else in its stead."""
    world = a_full_world()
    world.submit(a_notebook()).happen()
    (victim,) = kills(world)
    world.restart().subscribe().advance(3 * LOOK_S)
    assert set(kills(world)) == {victim}
    world.say(victim, "KILLED")
    assert world.task(world.attempt(victim).task_index, "batch").failures == 0
    assert world.task(world.attempt(victim).task_index, "batch").state is TaskState.PENDING


def test_a_large_task_gets_its_agent_under_a_stream_of_small_ones():
    """Every freed cpu is offered at once, and the small tasks of a younger job never take it."""
    world = a_full_world(4, expected_s=100)
    world.submit(a_job("large", cpus=4))
    world.submit(a_job("stream", 100, cpus=0.5, expected_s=10_000))
    free = 0.0
    for attempt in world.launched()[:4]:
        world.advance(10).say(attempt.id, "FINISHED")
        free += 1
        world.offer(cpus=free, mem=int(100 * free), executor_ids=HERE)
    assert world.job("batch").state is JobState.SUCCEEDED
    assert [attempt.job_id for attempt in world.launched()[4:]] == ["large"]


def test_a_whole_agents_task_is_not_starved_by_tasks_of_a_quarter():
    """On a laptop every task is large: a stream of one cpu each, of an older job, leaves the agent to the one of four."""
    world = a_full_world(400, expected_s=10)
    world.submit(a_job("whole", cpus=4))
    for _ in range(12):
        live = sorted(world.core.state.attempts)[0]
        world.advance(2).say(live, "FINISHED")
        free = 4 - sum(one.attempt.resources.cpus for one in world.core.state.attempts.values())
        world.offer(cpus=free, mem=8320, executor_ids=HERE)
        if any(attempt.job_id == "whole" for attempt in world.launched()):
            break
    assert [attempt.job_id for attempt in world.launched()][4:][-1] == "whole"
    assert len(world.launched()) <= 8


def test_a_starved_project_gets_its_share_back_a_little_at_a_time():
    """Two of the four cpus, within its patience and no faster than the limit of the rate."""
    world = a_full_world(100)
    world.submit(replace(a_job("poor", 100), project="poor"))
    world.advance(30)
    assert kills(world) == []
    world.advance(60 + SHARES_S)
    assert len(set(kills(world))) == 2
    for victim in set(kills(world)):
        world.say(victim, "KILLED")
    world.offer(cpus=2, mem=200, executor_ids=HERE)
    assert [attempt.job_id for attempt in world.launched()[4:]] == ["poor", "poor"]
    world.advance(600)
    assert len(set(kills(world))) == 2


def test_a_quota_holds_tasks_back_and_says_so():
    """Two cpus for the project, whatever is free."""
    world = World().subscribe()
    tree = ProjectTree(projects={"default": Project(name="default", quota={"cpus": 2000})}, rev=1)
    world.happen(ev.ProjectsSeen(tree=tree)).submit(a_job(size=10)).offer(cpus=8)
    assert len(world.launched()) == 2
    world.advance(5)
    assert world.job().wait_reason == "project default is at 100 % of its quota of 2 cpus"


def test_nothing_is_taken_back_while_nothing_can_be_offered():
    """The master is away, or the subscription new: the idle agent will be offered, however long the notebook has waited."""
    world = a_full_world().happen(listed("a1", "a2"))
    world.happen(ev.Disconnected(reason="cut"))
    world.submit(a_notebook()).advance(60)
    assert kills(world) == []
    world.subscribe().happen()
    world.offer("a2", cpus=4.1, mem=8320)
    assert [attempt.job_id for attempt in world.launched()[4:]].count("notebook") == 1
    assert kills(world) == []


def test_nobody_else_is_ended_between_the_victims_end_and_the_offer_of_what_it_held():
    """A look falls into the master's allocation tick."""
    world = a_full_world(16).happen(listed("a1", "a2")).offer("a2", cpus=4.1, mem=8320)
    assert len(world.launched()) == 8
    world.submit(a_notebook()).advance(10)
    (victim,) = set(kills(world))
    world.say(victim, "KILLED").advance(2 * LOOK_S)
    assert set(kills(world)) == {victim}


def test_an_agent_is_kept_where_a_task_is_about_to_end_rather_than_where_one_should_have_long_ago():
    """Nine minutes too late, it is expected to take as many more; the other one has two to go."""
    world = World().subscribe().happen(listed("a1", "a2"))
    for job, agent, expected_s in (("over", "a1", 60), ("timely", "a2", 720)):
        world.submit(a_job(job, expected_s=expected_s, timeout_s=3600)).offer(agent, cpus=4.1, mem=8320)
        world.say(world.launched()[-1].id, "RUNNING", AttemptReport(sandbox="/s", runtime="process"), agent_id=agent)
    world.advance(600).submit(a_job("large", cpus=4)).offer("a1", cpus=3, executor_ids=HERE)
    assert [(claim.job, claim.agent) for claim in world.core.state.claims] == [("large", "a2")]


def a_world_shared_with_others() -> World:
    """Nothing of ours runs on a1, where others hold three cpus; on a2 a task of ours has two minutes to go."""
    world = World().subscribe().happen(replace(listed("a1", "a2"), allocated={"a1": Resources(cpus_m=3000, mem=500)}))
    world.submit(a_job("ours", expected_s=120)).offer("a2", cpus=4.1, mem=8320)
    world.say(world.launched()[-1].id, "RUNNING", AttemptReport(sandbox="/s", runtime="process"), agent_id="a2")
    return world.submit(a_job("large", cpus=4)).offer("a2", cpus=3, executor_ids=HERE)


def test_no_agent_is_kept_for_room_that_other_frameworks_hold():
    """Of a1 nothing would ever be offered: what is kept is a2, where an end is in sight."""
    world = a_world_shared_with_others()
    assert [claim.agent for claim in world.core.state.claims] == ["a2"]


def test_what_other_frameworks_give_back_counts_with_the_next_list():
    """Both of the agents have room then, and the idle one has it first."""
    world = a_world_shared_with_others()
    world.core.state.claims = ()
    world.happen(listed("a1", "a2")).offer("a2", cpus=3, executor_ids=HERE)
    assert [claim.agent for claim in world.core.state.claims] == ["a1"]


def test_an_agent_that_seems_free_and_is_never_offered_is_kept_no_longer():
    """An offer of it was lost, say, or another framework sits on it: after a minute another agent is kept, until it comes."""
    world = a_world_shared_with_others()
    world.core.state.claims = ()
    world.happen(listed("a1", "a2"))
    for waited_s, kept in ((0, "a1"), (WITHHELD_S - 1, "a1"), (2, "a2"), (600, "a2")):
        world.advance(waited_s).offer("a2", cpus=3, executor_ids=HERE)
        assert [claim.agent for claim in world.core.state.claims] == [kept]
    world.offer("a1", cpus=4.1, mem=8320)
    assert [attempt.agent_id for attempt in world.launched()] == ["a2", "a1"]


def test_what_has_ended_since_the_list_was_asked_for_is_not_taken_for_somebody_elses():
    """The master may have answered before it heard of the end."""
    world = a_world_shared_with_others()
    asked_at, ours = world.now, Resources(cpus_m=1100, mem=300)
    world.advance(1).say(world.launched()[0].id, "FINISHED", agent_id="a2")
    world.happen(replace(listed("a1", "a2"), asked_at=asked_at, allocated={"a2": ours}))
    assert world.core.state.agents["a2"].elsewhere == Resources()
    world.advance(1).happen(replace(listed("a1", "a2"), asked_at=world.now, allocated={"a2": ours}))
    assert world.core.state.agents["a2"].elsewhere == Resources(cpus_m=1000, mem=172)
