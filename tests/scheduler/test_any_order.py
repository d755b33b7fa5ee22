"""Whatever happens in whatever order, in every state: the core raises nothing, forgets nothing, and miscounts nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core.held import Held
from scheduler.core.state import STARTING, State
from swath.domain.attempts import AttemptReport
from swath.domain.images import HeldImage
from swath.domain.jobs import JobSpec
from swath.domain.resources import Resources
from swath.domain.slots import TOLD, SlotReport, Told
from swath.domain.states import AttemptState, Desired, Observation, is_terminal
from swath.domain.wishes import AgentMode, AgentWish, FrameworkDesire, FrameworkWish, Wishes
from tests.scheduler.world import World, a_job

REASONS = ("", "REASON_RECONCILIATION", "REASON_AGENT_DRAINING", "REASON_INVALID_OFFERS", "REASON_TASK_INVALID")
SIMPLE = (
    *("restart", "cancel", "retry", "disconnect", "subscribe", "list", "list nobody", "fail", "rescind", "remove"),
    *("fail over", "throttle", "torn down", "filters refused", "nonsense"),
)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            *(st.just("say"), st.integers(0, 5), st.sampled_from(list(Observation)), st.booleans()),
            *(st.sampled_from(REASONS), st.sampled_from([None, b"\xff", AttemptReport(output_dir="/o")])),
        ),
        st.tuples(
            *(st.just("tell"), st.integers(0, 20)),
            st.lists(st.tuples(st.integers(0, 5), st.sampled_from(sorted(TOLD))), max_size=4),
            *(st.sampled_from(["RUNNING", "RUNNING", "FINISHED", "KILLED", "FAILED"]), st.booleans()),
        ),
        st.tuples(st.just("offer"), st.floats(0.1, 6), st.booleans(), st.sampled_from([None, -5.0, 100.0, 10_000.0])),
        st.tuples(st.just("inverse"), st.sampled_from([-5.0, 100.0, 10_000.0])),
        st.tuples(st.just("refuse"), st.integers(0, 5)),
        st.tuples(st.just("unstorable"), st.integers(0, 5), st.sampled_from(list(Observation))),
        st.tuples(st.just("hold"), st.booleans(), st.booleans()),
        st.tuples(st.just("advance"), st.sampled_from([0.1, 1, 15, 400, 1000])),
        st.tuples(st.just("want agent"), st.sampled_from(list(AgentMode))),
        st.tuples(st.just("operated"), st.integers(0, 3), st.booleans(), st.booleans()),
        st.tuples(st.just("want framework"), st.sampled_from(list(FrameworkDesire))),
        st.tuples(st.sampled_from(SIMPLE)),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=200)
@given(ACTIONS, st.booleans())
def test_m21_no_order_of_events_raises_regresses_an_ended_attempt_or_miscounts(actions: list[tuple], short: bool):
    """The store refuses nothing, ended stays ended, counts equal rows, and each task has one live attempt at most."""
    job = a_job(size=12, short=True) if short else a_job(size=4, max_running=3)
    retry = {"max_attempts": 2, "backoff_s": 1}
    job = replace(job, spec=JobSpec.from_document({**job.spec.to_document(), "retry": retry}))
    job = replace(job, image=replace(job.image, reference="i@sha256:1"))
    world = World().subscribe().submit(job).offer()  # few sequences would get as far as a launch by themselves
    ended: dict[str, AttemptState] = {}
    for action in actions:
        _act(world, action)
        _check(world, ended)
        _check_uses(world)
        _check_held(world)
        if any(isinstance(call, fx.Stop) for call in world.recent):
            world.restart(removed=world.lately(fx.Stop)[0].framework_id).happen()
            _check(world, ended)


def _check(world: World, ended: dict[str, AttemptState]) -> None:
    world.store.check_counts()
    world.store.check_usage()
    live: set[int] = set()
    for attempt in world.store.attempts.values():
        assert ended.get(attempt.id, attempt.state) is attempt.state
        if is_terminal(attempt.state):
            ended[attempt.id] = attempt.state
        else:
            assert attempt.task_index not in live
            live.add(attempt.task_index)
    assert world.job().counts.active <= (world.job().spec.max_running or 12)


def _check_held(world: World) -> None:
    """What users and projects hold is what a recount says: a slot holds as much as one attempt in it asks for."""
    state = world.core.state
    by_user: dict[tuple[str, str], Held] = {}
    by_project: dict[str, Held] = {}
    for live in {live.attempt.slot_id: live for live in state.attempts.values()}.values():
        for entry in (
            by_user.setdefault((live.owner.project, live.owner.user), Held()),
            by_project.setdefault(live.owner.project, Held()),
        ):
            entry.resources += live.attempt.resources
            entry.tasks += 1
    assert (state.held, state.tally.by_project) == (by_user, by_project)
    assert state.total == sum((agent.info.total for agent in state.agents.values()), Resources())


def _check_uses(world: World) -> None:
    """What an agent's slots take, and how many of them are starting, is what a recount says."""
    state = world.core.state
    slots = {live.attempt.slot_id: live.attempt for live in state.attempts.values()}
    assert set(state.uses) == {attempt.agent_id for attempt in slots.values()} | set(state.agents)
    assert set(state.slots) == set(slots)
    assert {name for of_job in state.shared.values() for name in of_job} == set(filter(_is_shared(state), slots))
    for agent_id, use in state.uses.items():
        here = [attempt for attempt in slots.values() if attempt.agent_id == agent_id]
        taken = sum((attempt.resources for attempt in here), Resources())
        starting = [attempt for attempt in here if state.slots[attempt.slot_id].starting]
        assert (use.resources, set(use.slots)) == (taken, {attempt.slot_id for attempt in here})
        assert use.starting == len(starting)
    for live in state.attempts.values():
        slot = state.slots[live.attempt.slot_id]
        assert slot.starting == (live.state in STARTING) or slot.shared
        assert not (slot.starting and live.state not in STARTING)


def _is_shared(state: State) -> Callable[[str], bool]:
    return lambda slot_id: state.slots[slot_id].shared


def _act(world: World, action: tuple) -> None:
    launched = world.launched()
    match action:
        case ("say", number, observation, with_uuid, reason, report) if launched:
            told: dict[str, Any] = {"reason": reason} | ({} if with_uuid else {"uuid": None})
            update = world.an_update(launched[number % len(launched)].slot_id, observation, **told)
            data = report.to_json().encode() if isinstance(report, AttemptReport) else report
            world.happen(replace(update, data=data))
        case ("unstorable", number, observation) if launched:
            update = world.an_update(launched[number % len(launched)].slot_id, observation)
            world.happen(ev.Unstorable(update=update, reason="no column"))
        case ("tell", number, states, end, spoilt) if launched:
            slot_id = launched[number % len(launched)].slot_id
            mine = [attempt.id for attempt in launched if attempt.slot_id == slot_id]
            report = AttemptReport(started_at="2026-06-01T12:00:00Z", usage={"wall_s": 0.1}).to_value()
            told = tuple(
                Told(attempt=mine[place % len(mine)], state=state, report={"usage": 3} if spoilt else report)
                for place, state in states
            )
            data = SlotReport(taken=tuple(mine[:number]), told=told).to_json().encode()
            update = replace(world.an_update(slot_id, end), data=data)
            if spoilt and number % 2:
                world.happen(ev.Unstorable(update=update, reason="no column"))
            else:
                world.happen(update)
        case ("offer", cpus, is_warm, begins_s) if world.core.state.connected:
            warm = frozenset({world.settings.executor_id} if is_warm else ())
            world.offer(cpus=cpus, executor_ids=warm, **_window(world, begins_s))
        case ("inverse", begins_s):
            offer = ev.InverseOffer(id="i", agent_id="a1", **_window(world, begins_s))
            world.happen(ev.InverseOffered(offers=(offer,)))
        case ("refuse", number) if launched:
            world.happen(ev.LaunchRefused(attempt_id=launched[number % len(launched)].id, message="no words"))
        case ("hold", is_there, engine):
            world.hold(*((HeldImage(names=("i@sha256:1",), size=1),) if is_there else ()), engine=engine)
        case ("advance", seconds):
            world.advance(seconds)
        case ("cancel",) if world.job().ended_at is None:
            world.desire("j1", desired=Desired.CANCELLED)
        case ("retry",) if world.job().desired is Desired.RUN and world.job().counts.failed:
            world.desire("j1", retry_rev=world.job().retry_rev + 1)
        case ("want agent", mode):
            known = world.store.agent_wishes.get("a1")
            wish = AgentWish(agent_id="a1", mode=mode, rev=known.rev + 1 if known else 1)
            world.store.agent_wishes["a1"] = wish
            world.happen(ev.WishesSeen(wishes=Wishes(agents=(wish,))))
        case ("operated", rev, failed, refused):
            problem = "no" if failed else None
            world.happen(ev.Operated(agent_id="a1", rev=rev, problem=problem, refused=refused))
        case ("want framework", desire):
            known = world.store.framework_wish
            wish = FrameworkWish(
                desire=desire,
                rev=known.rev + 1 if known else 1,
                observed_rev=known.observed_rev if known else 0,
                torn_down=known.torn_down if known else False,
            )
            world.store.framework_wish = wish
            world.happen(ev.WishesSeen(wishes=Wishes(framework=wish)))
        case (name,):
            _act_simply(world, name)


def _act_simply(world: World, name: str) -> None:
    event = {
        "disconnect": ev.Disconnected(reason="test"),
        "list nobody": ev.AgentsListed(agents=()),
        "fail": ev.Failure(agent_id="a1"),
        "rescind": ev.Rescinded(offer_id="o1"),
        "remove": ev.MasterError(message="Framework has been removed"),
        "fail over": ev.MasterError(message="Framework failed over"),
        "throttle": ev.MasterError(message="capacity(1) exceeded"),
        "torn down": ev.TornDown(),
        "filters refused": ev.FiltersRefused(),
        "nonsense": ev.Update(task_id="nobody's", observation=Observation.RUNNING, agent_id=None, uuid="u"),
    }.get(name)
    if event is not None:
        world.happen(event)
    elif name == "restart":
        world.restart().happen()
    elif name == "subscribe" and world.core.state.outside is None:
        world.subscribe()
    elif name == "list":
        world.list_agents()


def _window(world: World, begins_s: float | None) -> dict[str, Any]:
    if begins_s is None:
        return {}
    begins = world.now + timedelta(seconds=begins_s)
    return {"unavailable_from": begins, "unavailable_until": begins + timedelta(seconds=60)}


# How an attempt of a job with one task gets into each state.
WAYS: dict[AttemptState, tuple[str, ...]] = {
    AttemptState.LAUNCHING: (),
    AttemptState.STAGING: ("STAGING",),
    AttemptState.RUNNING: ("RUNNING",),
    AttemptState.KILLING: ("RUNNING", "KILLING"),
    AttemptState.UNREACHABLE: ("RUNNING", "UNREACHABLE"),
    AttemptState.SUCCEEDED: ("FINISHED",),
    AttemptState.FAILED: ("FAILED",),
    AttemptState.KILLED: ("KILLED",),
    AttemptState.LOST: ("GONE",),
}


@pytest.mark.parametrize("state", AttemptState)
@pytest.mark.parametrize("observation", Observation)
@pytest.mark.parametrize("reason", REASONS)
def test_m21_every_observation_may_come_in_every_state(state: AttemptState, observation: Observation, reason: str):
    """With and without a uuid: acknowledged where there is one, and no ended attempt changes."""
    for uuid in ("u", None):
        world = World().subscribe().submit(a_job()).offer()
        (attempt,) = world.launched()
        for said in WAYS[state]:
            world.say(attempt.id, said)
        assert world.attempt(attempt.id).state is state
        world.say(attempt.id, observation, uuid=uuid, reason=reason)
        assert len(world.lately(fx.Acknowledge)) == (1 if uuid else 0)
        assert not is_terminal(state) or world.attempt(attempt.id).state is state
        world.store.check_counts()
