"""Agents whose Docker engine is sick get no tasks for as long as somebody says so; and what attempts tell as they go on."""

from __future__ import annotations

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core.engines import SICK_S
from scheduler.core.from_mesos import to_event
from scheduler.core.specs import make_spec
from swath.domain.attempts import AttemptReport
from swath.domain.changes import ChangeAttempt
from swath.domain.images import EngineReport
from tests.scheduler.test_images_held import a_message
from tests.scheduler.world import World, a_job


def sick(problem: str | None = "no answer", agent: str = "a1") -> ev.EngineSaid:
    """What its executor says."""
    return ev.EngineSaid(agent_id=agent, executor_id="e1", problem=problem)


def a_world() -> World:
    """Two agents, and a job with more tasks than they hold."""
    return World().subscribe().list_agents("a1", "a2")


def test_an_executors_word_is_understood():
    """A problem, and its end."""
    for problem in ("no answer", None):
        message = a_message(EngineReport(problem=problem).to_json().encode())
        assert to_event(message) == sick(problem)


def test_an_agent_with_a_sick_engine_gets_no_tasks_until_it_is_well():
    """Others do; waiting jobs say why; what runs there is not touched."""
    world = World().subscribe().list_agents("a1")
    attempt_id = world.submit(a_job("first")).offer().launched()[0].id
    world.say(attempt_id, "RUNNING", AttemptReport()).happen(sick())
    world.submit(a_job(size=20)).offer().advance(3)
    assert len(world.launched()) == 1
    reason = world.job().wait_reason
    assert reason is not None
    assert "not used for now because its Docker engine is sick" in reason
    world.list_agents("a1", "a2").offer("a2").advance(3)
    assert {attempt.agent_id for attempt in world.launched()[1:]} == {"a2"}
    launches = len(world.launched())
    world.happen(sick(None)).advance(3).offer().advance(3)
    assert {attempt.agent_id for attempt in world.launched()[launches:]} == {"a1"}
    assert world.attempt(attempt_id).ended_at is None


def test_a_sick_engine_that_nobody_speaks_of_any_more_is_tried_again():
    """The word that it is well may have been lost, and the executor may be gone; each word holds for as long."""
    world = a_world().happen(sick()).submit(a_job(size=20))
    world.advance(SICK_S - 1).happen(sick()).offer().advance(SICK_S - 1)
    assert world.launched() == []
    world.advance(2).offer().advance(3)
    assert world.launched()


def test_nobody_speaks_of_an_agent_that_is_not_known():
    """And an engine that was well all the time is no news."""
    world = a_world()
    assert not world.happen(sick(agent="a9"), sick(None)).changes
    assert world.core.state.agents["a1"].rests_until is None


def test_how_far_an_image_is_is_shown_until_the_command_runs():
    """Each word replaces the one before; nothing of it is left once the command runs."""
    world = World().subscribe().submit(a_job()).offer()
    attempt_id = world.launched()[0].id
    for message in ("pulling ndvi", "pulling ndvi: 1 of 3 layers", "pulling ndvi: 2 of 3 layers"):
        world.say(attempt_id, "STARTING", AttemptReport(), message=message)
        assert world.details(attempt_id)["message"] == message
    world.say(attempt_id, "RUNNING", AttemptReport(sandbox="/s"))
    assert world.details(attempt_id)["message"] == ""


def test_what_an_attempt_uses_is_shown_while_it_runs():
    """Each word replaces the one before, and keeps the warnings."""
    world = World()
    attempt_id = world.running()
    for cpu_s in (10.0, 20.0):
        world.say(attempt_id, "RUNNING", AttemptReport(warnings=["w"], usage={"cpu_s": cpu_s}))
        (change,) = world.written(ChangeAttempt)
        assert change.report == {"usage": {"cpu_s": cpu_s}, "json_outputs": {}, "warnings": ["w"]}


def test_an_executor_is_told_who_has_submitted():
    """So that the container can run as that account."""
    world = World()
    world.running(a_job())
    launch = world.called(fx.Accept)[0].launches[0]
    assert make_spec(launch, None, frozenset(), "/out").user == "me"
