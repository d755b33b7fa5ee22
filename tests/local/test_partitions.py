"""Agents that the master cannot reach, that come back, that leave: as pure machines."""

from __future__ import annotations

import pytest

from local.messages import AgentGone, MasterChanged, Unregister

from .cluster import T0
from .world import World

NOT_AWARE = [{"type": "TASK_KILLING_STATE"}, {"type": "MULTI_ROLE"}]
ON_S0 = {"agent_id": {"value": "M-S0"}}


def a_world_with(*tasks: str, **info: object) -> World:
    world = World().subscribe(**info).launch_tasks(*tasks)
    world.connect()
    for task in tasks:
        world.update(task, "TASK_RUNNING")
        world.acknowledge(world.statuses[-1])
    return world


def reconcile(world: World, *tasks: str, **more: object) -> list[str]:
    before = len(world.statuses)
    world.call("RECONCILE", reconcile={"tasks": [{"task_id": {"value": name}, **more} for name in tasks]})
    return [status["state"] for status in world.statuses[before:]]


def test_m23_tasks_behind_a_broken_link_are_unreachable_after_the_ping_time_out() -> None:
    """75 s later, each task first and then FAILURE with the agent alone; nothing that is to be acknowledged."""
    world = a_world_with("a", "b")
    world.part()
    before = len(world.told())
    assert len(world.at(74.9).told()) == before
    assert world.at(75).told()[before:] == ["a TASK_UNREACHABLE", "b TASK_UNREACHABLE", "FAILURE"]
    assert world.heard[-1] == {"type": "FAILURE", "failure": ON_S0}
    status = world.statuses[-1]
    assert (status["reason"], status["message"]) == ("REASON_AGENT_REMOVED", "health check timed out")
    assert status["unreachable_time"] == {"nanoseconds": int((world.now) * 1e9)}
    assert "uuid" not in status


def test_m23_a_framework_without_partition_aware_hears_task_lost() -> None:
    """And TASK_RUNNING again when the agent is back (surprise 29)."""
    world = a_world_with("a", capabilities=NOT_AWARE)
    world.part()
    assert world.at(75).told()[-2:] == ["a TASK_LOST", "FAILURE"]
    world.heal()
    assert world.told()[-1] == "a TASK_RUNNING"


def test_m25_an_unreachable_task_is_told_only_to_those_who_name_its_agent() -> None:
    """Without agent_id: unknown; implicitly: silence; before the time-out: its last state (surprises 21, 23)."""
    world = a_world_with("a")
    world.part()
    assert reconcile(world, "a") == ["TASK_RUNNING"]
    world.at(75)
    assert reconcile(world, "a", **ON_S0) == ["TASK_UNREACHABLE"]
    assert reconcile(world, "never-heard", **ON_S0) == ["TASK_UNREACHABLE"]
    assert reconcile(world, "a") == ["TASK_UNKNOWN"]
    assert reconcile(world) == []


def test_m23_a_returning_agent_brings_its_tasks_back() -> None:
    """With their states, and its executors' resources are taken again; what happened meanwhile is resent."""
    world = a_world_with("a", "b")
    world.part()
    world.at(80)
    world.update("b", "TASK_FINISHED")
    before = len(world.told())
    world.heal()
    assert world.told()[before:] == ["a TASK_RUNNING", "b TASK_FINISHED", "b TASK_FINISHED"]
    returned = world.statuses[-3]
    assert returned["message"] == "Unreachable agent re-reregistered"
    assert [r["scalar"]["value"] for r in world.offers[-1]["resources"] if r["name"] == "cpus"] == [3.8]
    assert reconcile(world, "a") == ["TASK_RUNNING"]
    assert not world.master.state.frameworks["M-0000"].unreachable


def test_an_agent_that_leaves_does_not_register_with_another_master() -> None:
    """Its executors end, and it stops; a new master that it hears of does not keep it."""
    world = a_world_with("a")
    world.feed(world.agents["M-S0"], Unregister())
    world.fail_over().heal()
    assert not world.master.state.agents
    world.end()
    assert world.stopped == ["M-S0"]


def test_a_link_that_heals_in_time_tells_nobody() -> None:
    """The same registration, no update, no FAILURE; and the clock of the time-out is reset."""
    world = a_world_with("a")
    world.part()
    before = len(world.told())
    world.at(60).heal()
    assert len(world.at(500).told()) == before


def test_m36_a_kill_behind_a_broken_link_is_kept_until_the_agent_is_unreachable() -> None:
    """Delivered at a timely return; forgotten, and answered as a reconciliation, once unreachable (surprise 24)."""
    world = a_world_with("a")
    stream = next(name for name, events in world.events.items() if events[0].get("subscribed", {}).get("executor_info"))
    kill = {"task_id": {"value": "a"}, **ON_S0}
    world.part()
    world.call("KILL", kill=kill)
    world.at(30).heal()
    assert world.events[stream][-1]["type"] == "KILL"
    world.part()
    world.at(200)
    world.call("KILL", kill=kill)
    assert world.told()[-1] == "a TASK_UNREACHABLE"
    world.heal()
    assert [event["type"] for event in world.events[stream]].count("KILL") == 1


def test_m23_an_agent_that_was_marked_gone_is_refused() -> None:
    """TASK_GONE_BY_OPERATOR at once; a return shuts its executors down and changes nothing for the scheduler."""
    world = a_world_with("a")
    world.part()
    world.at(80)
    assert world.operate("MARK_AGENT_GONE", **ON_S0).status == 200
    assert world.told()[-1] == "a TASK_GONE_BY_OPERATOR"
    before = len(world.heard)
    world.heal()
    assert [e["type"] for events in world.events.values() for e in events if e["type"] == "SHUTDOWN"] == ["SHUTDOWN"]
    world.end()
    assert world.stopped == ["M-S0"]
    assert [e for e in world.at(90).heard[before:] if e["type"] != "HEARTBEAT"] == []
    assert reconcile(world, "a", **ON_S0) == ["TASK_GONE_BY_OPERATOR"]
    assert reconcile(world, "a") == ["TASK_UNKNOWN"]


def test_a_healthy_agent_can_be_marked_gone() -> None:
    """Its tasks, RESCIND, FAILURE, and SHUTDOWN for its executors; marked twice is no error, an unknown one is."""
    world = a_world_with("a")
    world.at(6)
    assert world.offers[-1]["agent_id"] == {"value": "M-S0"}
    world.operate("MARK_AGENT_GONE", **ON_S0)
    assert world.told()[-3:] == ["a TASK_GONE_BY_OPERATOR", "RESCIND", "FAILURE"]
    assert world.operate("MARK_AGENT_GONE", **ON_S0).status == 200
    assert world.operate("MARK_AGENT_GONE", agent_id={"value": "nonsense"}).status == 404


def test_m03_a_framework_without_checkpoint_loses_its_tasks_with_the_link() -> None:
    """At once, and TASK_LOST although PARTITION_AWARE (surprise 16)."""
    world = a_world_with("a", checkpoint=False)
    world.part()
    assert world.told()[-1] == "a TASK_LOST"
    assert world.statuses[-1]["reason"] == "REASON_AGENT_DISCONNECTED"


def test_an_agent_that_unregisters_loses_its_tasks() -> None:
    """TASK_LOST although PARTITION_AWARE, FAILURE; its executors end, and then it stops (surprise 16)."""
    world = a_world_with("a")
    world.feed(world.agents["M-S0"], Unregister())
    assert world.told()[-2:] == ["a TASK_LOST", "FAILURE"]
    assert world.stopped == []
    world.end()
    assert world.stopped == ["M-S0"]
    assert reconcile(world, "a", **ON_S0) == ["TASK_UNKNOWN"]


def test_m16_a_launch_that_was_lost_on_the_way_ends_when_the_agent_registers_again() -> None:
    """TASK_DROPPED by the agent, with a uuid, and its resources are free."""
    world = a_world_with("a")
    world.at(6)
    world.parted.add("M-S0")
    world.launch_tasks("lost")
    world.part()
    world.heal()
    assert world.told()[-1] == "lost TASK_DROPPED"
    status = world.statuses[-1]
    assert (status["source"], status["reason"]) == ("SOURCE_AGENT", "REASON_RECONCILIATION")
    world.acknowledge(status)
    assert reconcile(world, "a", "lost", **ON_S0) == ["TASK_RUNNING", "TASK_GONE"]


@pytest.mark.parametrize("gone_first", [True, False])
def test_a_framework_that_is_removed_during_a_partition_ends_on_the_agent_too(gone_first: bool) -> None:
    """SHUTDOWN at the agent's return; nothing of it is taken over."""
    world = a_world_with("a", failover_timeout=10.0)
    world.part()
    world.at(80 if gone_first else 1)
    world.disconnect()
    world.at(100)
    world.heal()
    assert [e["type"] for events in world.events.values() for e in events if e["type"] == "SHUTDOWN"] == ["SHUTDOWN"]
    assert not world.master.state.frameworks


def test_an_unanswered_offer_is_rescinded_after_its_time_out() -> None:
    """And the same resources come again at the next tick, for no filter is set (surprise 40)."""
    world = World(offer_timeout_s=2.5).subscribe()
    assert [len(world.at(t).offers) for t in (2.4, 2.6, 3)] == [1, 1, 2]
    assert world.told() == ["SUBSCRIBED", "RESCIND"]


def test_a_second_word_of_a_broken_link_changes_nothing() -> None:
    """The time-out runs from the first; unknown agents are nothing to anybody."""
    world = a_world_with("a")
    world.part()
    world.at(50).feed(world.master, AgentGone(agent_id="M-S0"))
    world.feed(world.master, AgentGone(agent_id="nobody"))
    assert world.at(75).told()[-1] == "FAILURE"


def test_agents_that_do_not_find_the_new_master_are_given_up() -> None:
    """Silence for agent_reregister_timeout, then FAILURE; named by agent_id their tasks are unreachable (M26)."""
    world = a_world_with("a").fail_over()
    world.subscribe(id={"value": "M-0000"})
    assert reconcile(world, "a", **ON_S0) == []
    assert world.at(599).told() == ["SUBSCRIBED"]
    assert world.at(600).told() == ["SUBSCRIBED", "FAILURE"]
    assert reconcile(world, "a", **ON_S0) == ["TASK_UNREACHABLE"]
    world.heal()
    assert world.statuses[-1]["message"] == "Unreachable agent re-reregistered"


def test_the_next_master_knows_what_operators_said() -> None:
    """Gone stays gone, a drain goes on where it was, and a window stays scheduled."""
    world = World(agents=2).subscribe().launch_tasks("a")
    drained, gone = {"agent_id": {"value": "M-S1"}}, ON_S0
    machine = {"hostname": "127.0.0.1", "ip": "127.0.0.1"}
    window = {"machine_ids": [machine], "unavailability": {"start": {"nanoseconds": 1}}}
    world.operate("DRAIN_AGENT", **drained)
    world.part("M-S0")
    world.operate("MARK_AGENT_GONE", **gone)
    world.operate("UPDATE_MAINTENANCE_SCHEDULE", schedule={"windows": [window]})
    world.fail_over().subscribe(id={"value": "M-0000"})
    for agent_id in ("M-S0", "M-S1"):
        world.heal(agent_id)
    assert list(world.master.state.agents) == ["M-S1"]
    assert world.master.state.maintenance.windows == [window]
    assert world.at(30).offers == []
    world.operate("REACTIVATE_AGENT", **drained)
    assert world.at(40).offers[-1]["unavailability"] == {"start": {"nanoseconds": 1}}


def test_an_agent_registers_until_the_master_answers() -> None:
    """After 1, 2, 4 ... seconds, at most a minute apart: what it says may be lost, and so may the answer."""
    world = a_world_with("a")
    world.part()
    world.at(100)
    world.feed(world.agents["M-S0"], MasterChanged())
    assert world.agents["M-S0"].due_at() == world.now + 1
    world.at(230)
    assert world.agents["M-S0"].due_at() == T0 + 100 + 1 + 2 + 4 + 8 + 16 + 32 + 60 + 60
    world.parted.clear()
    assert "a TASK_RUNNING" in world.at(290).told()[-2:]
    assert world.agents["M-S0"].state.registered


def test_a_second_registration_rescinds_what_is_on_offer() -> None:
    """The scheduler is told, and offered the agent anew."""
    world = World().subscribe()
    world.heal()
    assert [event["type"] for event in world.heard if event["type"] != "HEARTBEAT"] == [
        "SUBSCRIBED",
        "OFFERS",
        "RESCIND",
        "OFFERS",
    ]
