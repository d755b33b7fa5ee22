"""What an operator does to agents: drain, deactivate, maintenance windows. As pure machines."""

from __future__ import annotations

import pytest

from local.calls import CallError, read_operator_call
from local.master_operator import CALLS

from .cluster import T0
from .scheduler_client import make_executor, make_task
from .test_partitions import NOT_AWARE, ON_S0, a_world_with
from .world import Json, World

MACHINE = {"hostname": "127.0.0.1", "ip": "127.0.0.1"}
WINDOW: Json = {"start": {"nanoseconds": int((T0 + 100) * 1e9)}, "duration": {"nanoseconds": 60 * 10**9}}


def schedule(world: World, *windows: Json) -> int:
    return world.operate("UPDATE_MAINTENANCE_SCHEDULE", schedule={"windows": list(windows)}).status


def inverse_offers(world: World) -> list[Json]:
    return [o for e in world.heard if e["type"] == "INVERSE_OFFERS" for o in e["inverse_offers"]["inverse_offers"]]


def kills(world: World) -> list[Json]:
    return [e["kill"] for events in world.events.values() for e in events if e["type"] == "KILL"]


def test_m32_a_drain_kills_every_task_and_offers_nothing() -> None:
    """RESCIND at once, a KILL for each task; its KILLING and KILLED carry REASON_AGENT_DRAINING."""
    world = a_world_with("a", "b").at(6)
    world.operate("DRAIN_AGENT", **ON_S0)
    assert world.told()[-1] == "RESCIND"
    assert kills(world) == [{"task_id": {"value": name}} for name in "ab"]
    world.update("a", "TASK_KILLING")
    world.update("b", "TASK_FINISHED")
    assert [status.get("reason") for status in world.statuses[-2:]] == ["REASON_AGENT_DRAINING", None]
    count = len(world.offers)
    assert len(world.at(60).offers) == count


def test_a_drain_is_over_when_the_last_terminal_update_is_acknowledged() -> None:
    """DRAINING until then; the executor without tasks does not count; REACTIVATE_AGENT brings offers back."""
    world = a_world_with("a")
    world.operate("DRAIN_AGENT", **ON_S0)
    drain = world.master.state.drains["M-S0"]
    world.update("a", "TASK_KILLED")
    assert not drain.drained
    world.acknowledge(world.statuses[-1])
    assert drain.drained
    assert world.operate("REACTIVATE_AGENT", **ON_S0).status == 200
    count = len(world.offers)
    assert len(world.at(10).offers) == count + 1
    assert world.operate("REACTIVATE_AGENT", **ON_S0).text == "Agent is not deactivated"


@pytest.mark.parametrize(
    ("own", "longest", "sent"),
    [(None, 3, 3), (20, 3, 3), (2, 3, None), (20, None, None)],
)
def test_the_shorter_grace_counts(own: int | None, longest: int | None, sent: int | None) -> None:
    """The operator's replaces a longer one of the task; a shorter one of the task stays its own affair."""
    world = World().subscribe()
    policy = {} if own is None else {"kill_policy": {"grace_period": {"nanoseconds": own * 10**9}}}
    world.launch(world.offers[-1], make_task("a", "M-S0", make_executor()) | policy)
    world.connect()
    grace = {} if longest is None else {"max_grace_period": {"seconds": longest}}
    world.operate("DRAIN_AGENT", **ON_S0, **grace)
    expected = {} if sent is None else {"kill_policy": {"grace_period": {"nanoseconds": sent * 10**9}}}
    assert kills(world) == [{"task_id": {"value": "a"}, **expected}]


def test_m32_a_drain_to_be_gone_takes_killing_for_the_end() -> None:
    """TASK_KILLING becomes TASK_GONE_BY_OPERATOR; its acknowledgement makes the agent gone (surprise 19)."""
    world = a_world_with("a")
    world.operate("DRAIN_AGENT", **ON_S0, mark_gone=True)
    world.update("a", "TASK_KILLING")
    assert world.told()[-1] == "a TASK_GONE_BY_OPERATOR"
    assert "M-S0" in world.master.state.agents
    world.acknowledge(world.statuses[-1])
    assert world.told()[-1] == "FAILURE"
    assert "M-S0" in world.master.state.gone


def test_a_drain_outlives_a_restart_of_the_agent_and_a_partition() -> None:
    """The agent is told again when it registers again, and kills what it brought back."""
    world = a_world_with("a")
    world.part()
    world.operate("DRAIN_AGENT", **ON_S0)
    assert kills(world) == []
    world.at(100).heal()
    assert kills(world) == [{"task_id": {"value": "a"}}]
    world.update("a", "TASK_KILLED")
    assert world.statuses[-1]["reason"] == "REASON_AGENT_DRAINING"
    assert world.offers[-1]["id"]["value"] == "M-O0"


def test_a_deactivated_agent_runs_on() -> None:
    """No offers; its tasks run, and can be killed."""
    world = a_world_with("a").at(6)
    world.operate("DEACTIVATE_AGENT", **ON_S0)
    assert world.told()[-1] == "RESCIND"
    world.call("KILL", kill={"task_id": {"value": "a"}, **ON_S0})
    assert len(kills(world)) == 1
    world.update("a", "TASK_KILLED")
    assert "reason" not in world.statuses[-1]


@pytest.mark.parametrize("kind", ["DRAIN_AGENT", "DEACTIVATE_AGENT"])
def test_an_unknown_agent_cannot_be_drained_or_deactivated(kind: str) -> None:
    """400, and nothing is remembered of it."""
    world = World().subscribe()
    answer = world.operate(kind, agent_id={"value": "nope"})
    assert (answer.status, answer.text) == (400, "Unknown agent")
    assert not world.master.state.deactivated


def test_m32_a_window_stands_in_offers_and_is_asked_about() -> None:
    """RESCIND, the same offer with its unavailability, and an inverse offer, in the same moment."""
    world = a_world_with("a").at(6)
    before = len(world.heard)
    assert schedule(world, {"machine_ids": [MACHINE], "unavailability": WINDOW}) == 200
    assert [e["type"] for e in world.heard[before:]] == ["RESCIND", "OFFERS", "INVERSE_OFFERS"]
    assert world.offers[-1]["unavailability"] == WINDOW
    assert inverse_offers(world)[-1]["unavailability"] == WINDOW
    assert inverse_offers(world)[-1]["agent_id"] == ON_S0["agent_id"]


@pytest.mark.parametrize("answer", ["ACCEPT_INVERSE_OFFERS", "DECLINE_INVERSE_OFFERS"])
def test_m32_an_answered_inverse_offer_comes_again_after_its_filter(answer: str) -> None:
    """Accepted or declined; an unanswered one is not repeated (surprise 46)."""
    world = a_world_with("a").at(6)
    schedule(world, {"machine_ids": [MACHINE], "unavailability": WINDOW})
    assert len(inverse_offers(world.at(20))) == 1
    body: Json = {"inverse_offer_ids": [inverse_offers(world)[-1]["id"]], "filters": {"refuse_seconds": 2}}
    assert world.call(answer, **{answer.lower(): body}).status == 202
    assert world.master.state.maintenance.answers[("M-S0", "M-0000")]["status"] == answer.partition("_")[0]
    assert [len(inverse_offers(world.at(t))) for t in (21.9, 22)] == [1, 2]


def test_an_unanswered_inverse_offer_is_rescinded_after_the_offer_time_out() -> None:
    """As any offer, and it comes again at the next tick."""
    world = World(offer_timeout_s=2.5).subscribe()
    schedule(world, {"machine_ids": [MACHINE], "unavailability": WINDOW})
    assert [len(inverse_offers(world.at(t))) for t in (2.4, 2.6, 3)] == [1, 1, 2]
    assert "RESCIND_INVERSE_OFFER" in world.told()


def test_the_start_of_a_window_does_nothing_by_itself() -> None:
    """Tasks run, and offers come (surprise 46)."""
    world = a_world_with("a").at(6)
    schedule(world, {"machine_ids": [MACHINE], "unavailability": WINDOW})
    before = len(world.heard)
    assert {e["type"] for e in world.at(150).heard[before:]} == {"HEARTBEAT"}


def test_a_machine_that_goes_down_loses_its_agent_until_it_is_up_again() -> None:
    """TASK_LOST although PARTITION_AWARE; refused while down; afterwards the same agent, empty, without a window."""
    world = a_world_with("a").at(6)
    schedule(world, {"machine_ids": [MACHINE], "unavailability": WINDOW})
    world.operate("START_MAINTENANCE", machines=[MACHINE])
    assert world.told()[-4:] == ["a TASK_LOST", "RESCIND", "RESCIND_INVERSE_OFFER", "FAILURE"]
    assert world.statuses[-1]["message"] == "Agent 127.0.0.1 removed: Operator initiated 'Machine DOWN'"
    world.end()
    assert world.stopped == ["M-S0"]
    count = len(world.offers)
    world.start_again()
    assert world.stopped == ["M-S0", "M-S0"]
    assert len(world.at(30).offers) == count
    world.operate("STOP_MAINTENANCE", machines=[MACHINE])
    world.start_again()
    assert len(world.offers) == count + 1
    assert "unavailability" not in world.offers[-1]
    assert not world.master.state.maintenance.windows


def test_machines_go_down_only_as_scheduled() -> None:
    """400 with the reason, and nothing changes."""
    world = World().subscribe()
    assert world.operate("START_MAINTENANCE", machines=[MACHINE]).status == 400
    assert world.operate("STOP_MAINTENANCE", machines=[MACHINE]).status == 400
    assert schedule(world, *2 * [{"machine_ids": [MACHINE], "unavailability": WINDOW}]) == 400
    assert schedule(world, {"machine_ids": [], "unavailability": WINDOW}) == 400
    assert not world.master.state.maintenance.windows
    assert schedule(world, {"machine_ids": [MACHINE], "unavailability": WINDOW}) == 200
    world.operate("START_MAINTENANCE", machines=[MACHINE])
    assert world.operate("START_MAINTENANCE", machines=[MACHINE]).status == 400
    assert schedule(world) == 400


def test_m23_a_marked_agents_tasks_are_lost_to_those_who_are_not_aware() -> None:
    """TASK_LOST with the plain reason (transcript 05)."""
    world = a_world_with("a", capabilities=NOT_AWARE)
    world.operate("MARK_AGENT_GONE", **ON_S0)
    assert (world.statuses[-1]["state"], world.statuses[-1]["reason"]) == ("TASK_LOST", "REASON_AGENT_REMOVED")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"type": "DRAIN_AGENT"}', "Expecting 'drain_agent' to be present"),
        (b'{"type": "DRAIN_AGENT", "drain_agent": {}}', "Missing required fields: drain_agent.agent_id"),
        (b'{"type": "DRAIN_AGENT", "drain_agent": {"agent_id": {"value": 3}}}', "Not expecting a JSON number"),
        (b'{"type": "MARK_AGENT_GONE", "mark_agent_gone": []}', "Not expecting a JSON array"),
        (b'{"type": "SET_QUOTA"}', "Expecting 'type' to be present"),
    ],
)
def test_a_call_that_does_not_fit_is_refused(body: bytes, problem: str) -> None:
    """400 with Mesos' kind of text, before the master sees anything."""
    with pytest.raises(CallError, match=problem.replace("(", r"\(")):
        read_operator_call(body, "master", frozenset(CALLS))


def test_nanoseconds_are_no_grace() -> None:
    """max_grace_period is google's Duration, and {"nanoseconds": ..} in it silently 0 (surprise 20)."""
    grace = b'{"nanoseconds": 3000000000}'
    body = b'{"type": "DRAIN_AGENT", "drain_agent": {"agent_id": {"value": "M-S0"}, "max_grace_period": %b}}' % grace
    call = read_operator_call(body, "master", frozenset(CALLS))
    assert call["drain_agent"]["max_grace_period"] == {}
