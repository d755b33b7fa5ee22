"""Cordoned and drained agents (M32)."""

from __future__ import annotations

import queue
from dataclasses import replace
from typing import Any

import pytest

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.operating import NOT_LEADING, AgentOperator, to_answer, to_call
from swath.domain.attempts import AttemptReport
from swath.domain.changes import ObserveAgentWish
from swath.domain.retries import Cause
from swath.domain.states import AttemptState, Desired, JobState
from swath.domain.wishes import AgentMode, AgentWish, Wishes
from swath.wire.channel import CallResult, Outcome
from tests.scheduler.world import World, a_job


def want(world: World, mode: AgentMode, rev: int = 1, agent: str = "a1", **more: Any) -> AgentWish:
    """An operator wants something of an agent."""
    wish = AgentWish(agent_id=agent, mode=mode, rev=rev, **more)
    world.happen(ev.WishesSeen(wishes=Wishes(agents=(wish,))))
    return wish


def test_m32_nothing_is_launched_on_a_cordoned_agent_and_what_runs_runs_on():
    """The offer is declined in the turn in which the wish is heard, before Mesos has answered."""
    world = World()
    attempt_id = world.running(a_job(size=2, max_running=1))
    wish = want(world, AgentMode.CORDONED)
    assert world.lately(fx.Operate) == [fx.Operate(wish=wish)]
    world.say(attempt_id, "FINISHED").offer()
    assert len(world.launched()) == 1
    assert world.called(fx.Kill) == []
    world.offer(agent="a2")
    assert [attempt.agent_id for attempt in world.launched()] == ["a1", "a2"]


def test_m32_an_agent_that_is_active_again_is_asked_for_its_offers():
    """What it offered meanwhile was refused for long: a REVIVE drops that filter."""
    world = World().subscribe().submit(a_job()).list_agents()
    want(world, AgentMode.DRAINED)
    world.offer()
    assert world.launched() == []
    world.advance(1)
    want(world, AgentMode.ACTIVE, rev=2)
    assert len(world.lately(fx.Revive)) == 1
    world.offer()
    assert len(world.launched()) == 1


def test_m32_a_drained_task_is_tried_again_for_free_and_its_agent_is_not_blamed():
    """REASON_AGENT_DRAINING: cause DRAINED, no failure, and no rest for the agent however often it happens."""
    world = World()
    attempt_id = world.running(a_job(retry={"max_attempts": 1}))
    want(world, AgentMode.DRAINED)
    world.say(attempt_id, "KILLED", reason="REASON_AGENT_DRAINING").advance(2).offer(agent="a2")
    assert world.details(attempt_id)["cause"] is Cause.DRAINED
    assert world.task().failures == 0
    assert [attempt.agent_id for attempt in world.launched()] == ["a1", "a2"]
    assert world.core.state.agents["a1"].bad_ends == 0


def test_m32_a_task_that_a_user_cancelled_on_a_draining_agent_was_killed():
    """The user's kill counts: the task is cancelled, not tried again."""
    world = World()
    attempt_id = world.running()
    world.desire("j1", desired=Desired.CANCELLED)
    world.say(attempt_id, "KILLED", reason="REASON_AGENT_DRAINING")
    assert world.details(attempt_id)["cause"] is Cause.KILLED
    assert world.job().state is JobState.CANCELLED


def test_m32_marked_gone_the_tasks_of_a_drained_agent_are_lost_for_free():
    """Surprise 19: with mark_gone the executor's KILLING arrives as GONE_BY_OPERATOR."""
    world = World()
    attempt_id = world.running(a_job(retry={"max_attempts": 1}))
    want(world, AgentMode.DRAINED, mark_gone=True)
    world.say(attempt_id, "GONE_BY_OPERATOR", reason="REASON_AGENT_DRAINING").advance(2).offer(agent="a2")
    assert world.attempt(attempt_id).state is AttemptState.LOST
    assert len(world.launched()) == 2


def test_m32_where_mesos_refuses_to_drain_we_end_our_own_tasks():
    """Without the right to drain: nothing is launched, ours are killed for free, and the wish says what Mesos said."""
    world = World()
    attempt_id = world.running(a_job(retry={"max_attempts": 1}))
    want(world, AgentMode.DRAINED)
    world.happen(ev.Operated(agent_id="a1", rev=1, problem="Mesos answered 403: no", refused=True))
    assert world.lately(fx.Kill) == [fx.Kill(task_id=attempt_id, agent_id="a1")]
    said = ObserveAgentWish(agent_id="a1", rev=0, message="Mesos answered 403: no")
    assert world.written(ObserveAgentWish) == [said], "it is not done before our tasks have ended"
    world.say(attempt_id, "KILLED").advance(2).offer(agent="a2")
    assert world.details(attempt_id)["cause"] is Cause.DRAINED
    assert len(world.launched()) == 2
    world.happen(ev.Operated(agent_id="a1", rev=1, problem="Mesos answered 403: no", refused=True))
    assert world.written(ObserveAgentWish) == [replace(said, rev=1)]


def test_m32_a_drain_that_mesos_refused_goes_on_with_the_next_scheduler():
    """Killed before our tasks have ended: the wish is not carried out, so Mesos is asked, refuses, and we end them."""
    world = World()
    attempt_id = world.running()
    wish = want(world, AgentMode.DRAINED)
    world.store.agent_wishes["a1"] = wish
    refusal = ev.Operated(agent_id="a1", rev=1, problem="Mesos answered 403: no", refused=True)
    world.happen(refusal).restart().subscribe()
    (known,) = world.store.load().agent_wishes
    world.happen(ev.WishesSeen(wishes=Wishes(agents=(known,)))).happen(refusal)
    world.advance(1)
    assert world.called(fx.Kill)[-1] == fx.Kill(task_id=attempt_id, agent_id="a1")
    world.say(attempt_id, "KILLED")
    assert world.details(attempt_id)["cause"] is Cause.DRAINED


def test_m32_a_task_that_fails_by_itself_while_its_agent_is_drained_has_failed():
    """Its exit code counts, and costs an attempt."""
    world = World()
    attempt_id = world.running(a_job(retry={"max_attempts": 1}))
    want(world, AgentMode.DRAINED)
    world.happen(ev.Operated(agent_id="a1", rev=1, problem="Mesos answered 403: no", refused=True))
    world.say(attempt_id, "FAILED", AttemptReport(cause=Cause.APP, exit_code=3))
    assert world.details(attempt_id)["cause"] is Cause.APP
    assert world.job().state is JobState.FAILED


def test_m32_a_wish_that_did_not_arrive_is_told_again_later_and_later_and_after_each_subscription():
    """No answer, a 503: nothing is observed until Mesos has done it."""
    world = World().subscribe().list_agents()
    want(world, AgentMode.CORDONED)
    for wait_s in (1, 2, 4):
        world.happen(ev.Operated(agent_id="a1", rev=1, problem="time-out"))
        assert world.written(ObserveAgentWish) == []
        world.advance(wait_s - 0.1)
        asked = len(world.called(fx.Operate))
        world.advance(0.2)
        assert len(world.called(fx.Operate)) == asked + 1
    world.happen(ev.Disconnected(reason="cut")).subscribe()
    assert len(world.lately(fx.Operate)) == 1
    world.happen(ev.Operated(agent_id="a1", rev=1))
    assert world.written(ObserveAgentWish) == [ObserveAgentWish(agent_id="a1", rev=1)]


def test_m32_an_answer_to_an_earlier_wish_changes_nothing():
    """Drain, and undrain before Mesos has answered: the first answer settles nothing."""
    world = World().subscribe().list_agents()
    want(world, AgentMode.DRAINED)
    want(world, AgentMode.ACTIVE, rev=2)
    world.happen(ev.Operated(agent_id="a1", rev=1))
    assert world.written(ObserveAgentWish) == []
    world.happen(ev.Operated(agent_id="a1", rev=2))
    assert world.written(ObserveAgentWish) == [ObserveAgentWish(agent_id="a1", rev=2)]


def test_m32_a_cordon_outlives_the_scheduler():
    """The next one knows before it is offered anything, and asks Mesos where the one before had no answer."""
    world = World()
    world.running(a_job(size=2, max_running=2))
    wish = want(world, AgentMode.CORDONED)
    world.store.agent_wishes["a1"] = wish
    world.restart().subscribe().offer()
    assert len(world.launched()) == 2, "both were launched before the cordon"
    world.happen(ev.WishesSeen(wishes=Wishes(agents=(wish,))))
    assert world.lately(fx.Operate) == [fx.Operate(wish=wish)]


def test_m32_an_agent_that_another_operator_deactivated_stays_known():
    """`active: false, deactivated: true` in the master's list (transcript 09d): it is there, and takes nothing."""
    world = World().subscribe().submit(a_job()).list_agents()
    (info,) = world.store.agents.values()
    world.list_agents_as(info, deactivated=True, drain="DRAINING")
    assert world.store.agents["a1"].drain == "DRAINING"
    world.advance(3)
    assert "an operator has cordoned or drained it" in str(world.job().wait_reason)


def test_m32_an_agent_that_offers_again_is_used_before_the_list_of_agents_is_heard():
    """After REACTIVATE_AGENT the offer may come first: refused for ten minutes, it would help nobody."""
    world = World().subscribe().submit(a_job()).list_agents()
    (info,) = world.store.agents.values()
    world.list_agents_as(info, deactivated=True, drain="DRAINED")
    world.offer()
    assert len(world.launched()) == 1
    assert (world.store.agents["a1"].deactivated, world.store.agents["a1"].drain) == (False, None)


def test_m32_while_an_agent_drains_its_end_is_looked_for_every_second():
    """Somebody may wait for DRAINED; after that the list is as old again as it may be."""
    world = World().subscribe().list_agents()
    (info,) = world.store.agents.values()
    before = len(world.called(fx.ListAgents))
    world.list_agents_as(info, deactivated=True, drain="DRAINING").advance(3.5)
    assert len(world.called(fx.ListAgents)) == before + 3
    world.list_agents_as(info, deactivated=True, drain="DRAINED").advance(100)
    assert len(world.called(fx.ListAgents)) == before + 3


def test_m32_a_drain_that_a_new_master_tells_nothing_of_yet_is_looked_for_every_second():
    """It was told before the agent had registered again; what is only cordoned, or back, is no hurry."""
    world = World().subscribe().list_agents()
    for mode, asked in ((AgentMode.CORDONED, 0), (AgentMode.DRAINED, 1)):
        want(world, mode, rev=asked + 1)
        world.happen(ev.Operated(agent_id="a1", rev=asked + 1)).advance(1)
        world.happen(ev.AgentsListed(agents=(), recovered=frozenset({"a1"})))
        before = len(world.called(fx.ListAgents))
        world.advance(1.5)
        assert len(world.called(fx.ListAgents)) == before + asked


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        (AgentMode.DRAINED, "DRAIN_AGENT"),
        (AgentMode.CORDONED, "DEACTIVATE_AGENT"),
        (AgentMode.ACTIVE, "REACTIVATE_AGENT"),
    ],
)
def test_m32_each_mode_has_its_operator_call(mode: AgentMode, kind: str):
    """Surprise 20: a grace period is {"seconds": whole}."""
    call = to_call(AgentWish(agent_id="a1", mode=mode, rev=1, max_grace_s=90.0, mark_gone=True))
    assert call["type"] == kind
    if mode is AgentMode.DRAINED:
        body = {"agent_id": {"value": "a1"}, "mark_gone": True, "max_grace_period": {"seconds": 90}}
        assert call["drain_agent"] == body


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        (CallResult(outcome=Outcome.SENT, status=200), (None, False)),
        (CallResult(outcome=Outcome.FAILED, status=400, message="Agent is not deactivated"), (None, True)),
        (CallResult(outcome=Outcome.FAILED, status=403, message="no"), ("Mesos answered 403: no", True)),
        (CallResult(outcome=Outcome.FAILED, status=503, message="wait"), ("Mesos answered 503: wait", False)),
        (CallResult(outcome=Outcome.FAILED, message="TimeoutError"), ("TimeoutError", False)),
    ],
)
def test_m32_an_answer_is_done_refused_or_worth_another_try(result: CallResult, answer: tuple):
    """An agent that is active already is as it should be."""
    told = to_answer(AgentWish(agent_id="a1", mode=AgentMode.ACTIVE, rev=3), result)
    assert (told.problem, told.refused, told.rev) == (*answer, 3)


def test_m32_the_thread_of_operator_calls_outlives_what_a_call_raises():
    """The wish is answered with what went wrong, and the next one is served."""
    answers: queue.SimpleQueue[ev.Operated] = queue.SimpleQueue()

    class Broken:
        calls = 0

        def query(self, message: dict) -> tuple[CallResult, dict]:
            self.calls += 1
            if self.calls == 1:
                raise RuntimeError("broken")
            return CallResult(outcome=Outcome.SENT, status=200), {}

    operator = AgentOperator(Broken(), answers.put)
    operator.start()
    for rev in (1, 2):
        operator.operate(AgentWish(agent_id="a1", mode=AgentMode.CORDONED, rev=rev))
    heard = [answers.get(timeout=5) for _ in range(2)]
    operator.stop()
    assert [(answer.rev, answer.problem) for answer in heard] == [(1, "broken"), (2, None)]


def test_m06_a_former_leader_has_nothing_done_by_the_operator_api():
    """No stream id would refuse it there: the wish is answered as not carried out, and Mesos hears nothing."""
    answers: queue.SimpleQueue[ev.Operated] = queue.SimpleQueue()
    heard: list[dict] = []

    class Master:
        def query(self, message: dict) -> tuple[CallResult, dict]:
            heard.append(message)
            return CallResult(outcome=Outcome.SENT, status=200), {}

    may = iter([False, True])
    operator = AgentOperator(Master(), answers.put, may_act=lambda: next(may))
    operator.start()
    for rev in (1, 2):
        operator.operate(AgentWish(agent_id="a1", mode=AgentMode.CORDONED, rev=rev))
    first, second = (answers.get(timeout=5) for _ in range(2))
    operator.stop()
    assert (first.problem, first.refused, second.problem) == (NOT_LEADING, False, None)
    assert len(heard) == 1
