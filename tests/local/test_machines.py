"""Master and agent as pure machines: what follows from what, and when."""

from __future__ import annotations

import pytest

from local.agent_checkpoint import replay, take_snapshot
from local.messages import OpenStream, Respond

from .scheduler_client import make_executor, make_task
from .world import World


def decline(world: World, refuse_s: float | None) -> None:
    filters = {} if refuse_s is None else {"filters": {"refuse_seconds": refuse_s}}
    world.call("DECLINE", decline={"offer_ids": [world.offers[-1]["id"]], **filters})


@pytest.mark.parametrize(
    ("refuse_s", "again_after"),
    [(None, 5), (0, 1), (0.5, 1), (2, 2), (5, 5), (10, 10), (-1, 5)],
)
def test_a_refused_offer_comes_again_at_the_first_tick_after_its_filter(
    refuse_s: float | None, again_after: int
) -> None:
    """max(refuse, interval), 0 = the next tick, negative = 5 s (transcript 09a); declined right at a tick."""
    world = World().at(1).subscribe()
    decline(world, refuse_s)
    count = len(world.offers)
    assert len(world.at(1 + again_after - 0.01).offers) == count
    assert len(world.at(1 + again_after).offers) == count + 1


def test_revive_answers_at_once_and_suppress_silences() -> None:
    """Filters end with REVIVE; nothing is offered while suppressed, and held offers stay valid."""
    world = World().subscribe()
    decline(world, 1e12)
    assert len(world.at(100).offers) == 1
    world.call("REVIVE")
    assert len(world.offers) == 2
    world.call("SUPPRESS")
    decline(world, 0)
    assert len(world.at(200).offers) == 2
    world.call("REVIVE", revive={"roles": ["other"]})
    assert len(world.offers) == 2
    world.call("REVIVE", revive={"roles": ["eo"]})
    assert len(world.offers) == 3


def test_a_filter_hides_only_what_is_not_more_than_was_refused() -> None:
    """A freed task makes the agent's rest larger than the refused one, and it is offered at the next tick."""
    world = World().subscribe()
    offer = world.offers[-1]
    world.launch(offer, make_task("t", "M-S0", make_executor()), refuse_s=1000)
    world.connect()
    assert len(world.at(10).offers) == 1
    world.update("t", "TASK_FINISHED")
    assert len(world.at(11).offers) == 2


def test_a_held_offer_does_not_grow() -> None:
    """Freed resources come as a second offer of the agent, and one ACCEPT may use both (transcript 16)."""
    world = World().subscribe()
    world.launch(world.offers[-1], make_task("t", "M-S0", make_executor(), cpus=2))
    world.connect()
    held = world.at(1).offers[-1]
    world.update("t", "TASK_FINISHED")
    freed = world.at(2).offers[-1]
    assert [r["scalar"]["value"] for r in freed["resources"]] == [2.0, 32.0]
    operation = {
        "type": "LAUNCH",
        "launch": {"task_infos": [make_task("both", "M-S0", make_executor(), cpus=3.5)]},
    }
    world.call("ACCEPT", accept={"offer_ids": [held["id"], freed["id"]], "operations": [operation]})
    assert world.told() == ["SUBSCRIBED", "t TASK_FINISHED"]
    world.update("both", "TASK_RUNNING")
    assert world.told()[-1] == "both TASK_RUNNING"


def test_one_bad_offer_id_drops_every_task() -> None:
    """TASK_DROPPED without uuid; the good offer is free again without a filter."""
    world = World().subscribe()
    good = world.offers[-1]
    operation = {"type": "LAUNCH", "launch": {"task_infos": [make_task("t", "M-S0", make_executor())]}}
    world.call("ACCEPT", accept={"offer_ids": [good["id"], {"value": "nope"}], "operations": [operation]})
    status = world.statuses[-1]
    assert (status["state"], status["reason"]) == ("TASK_DROPPED", "REASON_INVALID_OFFERS")
    assert "uuid" not in status
    assert len(world.at(1).offers) == 2


def test_updates_of_one_task_wait_for_each_other() -> None:
    """The second is sent after the first's acknowledgement; the executor's ACKNOWLEDGED does not wait (surprise 1)."""
    world = World().subscribe().launch_tasks("t")
    stream = world.connect()
    world.update("t", "TASK_RUNNING")
    world.update("t", "TASK_FINISHED")
    assert [e["type"] for e in world.events[stream]] == ["SUBSCRIBED", "LAUNCH", "ACKNOWLEDGED", "ACKNOWLEDGED"]
    assert world.told() == ["SUBSCRIBED", "t TASK_RUNNING"]
    world.acknowledge(world.statuses[-1])
    assert world.told() == ["SUBSCRIBED", "t TASK_RUNNING", "t TASK_FINISHED"]


def test_an_unacknowledged_update_is_repeated_after_10_s_then_20_s() -> None:
    """The same uuid, doubling (surprise 12); nothing after the acknowledgement."""
    world = World().subscribe().launch_tasks("t")
    world.connect()
    world.update("t", "TASK_RUNNING")
    counts = [len(world.at(t).statuses) for t in (9.9, 10, 29.9, 30, 69.9, 70)]
    assert counts == [1, 2, 2, 3, 3, 4]
    assert len({status["uuid"] for status in world.statuses}) == 1
    world.acknowledge(world.statuses[-1])
    assert len(world.at(1000).statuses) == 4


def test_an_executor_that_never_subscribes_is_killed() -> None:
    """After the registration time-out: SIGKILL, FAILURE 9, TASK_FAILED with its reason."""
    world = World().subscribe().launch_tasks("t")
    world.at(60)
    assert world.killed == [world.started[0].container_id]
    world.end(status=9)
    assert world.told() == ["SUBSCRIBED", "FAILURE", "t TASK_FAILED"]
    assert world.statuses[-1]["message"] == "Executor did not register within 1mins"


def test_a_task_killed_before_delivery_never_reaches_its_executor() -> None:
    """TASK_KILLED by the agent; an executor left without tasks is told SHUTDOWN first of all (surprises 5, 25)."""
    world = World().subscribe().launch_tasks("t")
    world.call("KILL", kill={"task_id": {"value": "t"}, "agent_id": {"value": "M-S0"}})
    assert world.statuses[-1]["reason"] == "REASON_TASK_KILLED_DURING_LAUNCH"
    stream = world.connect()
    assert [e["type"] for e in world.events[stream]] == ["SHUTDOWN"]


def test_executors_get_the_environment_that_mesos_gives() -> None:
    """Exactly these variables besides their own (transcript 01), without Mesos' libraries."""
    World_ = World().subscribe()
    executor = make_executor(TASK_ENV="hello") | {"shutdown_grace_period": {"nanoseconds": 3_000_000_000}}
    World_.launch_tasks("t", executor=executor)
    start = World_.started[0]
    directory = f"/work-dir/slaves/M-S0/frameworks/M-0000/executors/ex/runs/{start.container_id}"
    assert start.directory == directory
    assert start.arguments[:2] == ("sh", "-c")
    assert dict(start.environment) == {
        "LIBPROCESS_IP": "127.0.0.1",
        "LIBPROCESS_PORT": "0",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "MESOS_AGENT_ENDPOINT": "127.0.0.1:5051",
        "MESOS_CHECKPOINT": "1",
        "MESOS_DIRECTORY": directory,
        "MESOS_EXECUTOR_ID": "ex",
        "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "3secs",
        "MESOS_FRAMEWORK_ID": "M-0000",
        "MESOS_HTTP_COMMAND_EXECUTOR": "0",
        "MESOS_RECOVERY_TIMEOUT": "15mins",
        "MESOS_SANDBOX": directory,
        "MESOS_SLAVE_ID": "M-S0",
        "MESOS_SLAVE_PID": "slave(1)@127.0.0.1:5051",
        "MESOS_SUBSCRIPTION_BACKOFF_MAX": "2secs",
        "TASK_ENV": "hello",
    }


def test_a_disconnected_framework_is_removed_after_its_failover_timeout() -> None:
    """Back in time: its updates are repeated at once. Too late: an ERROR and the end of the stream."""
    world = World().subscribe(failover_timeout=5.0).launch_tasks("t")
    world.connect()
    world.update("t", "TASK_RUNNING")
    world.disconnect()
    world.at(3).subscribe(failover_timeout=5.0, id={"value": "M-0000"})
    assert world.told() == ["SUBSCRIBED", "t TASK_RUNNING"]
    world.disconnect()
    world.at(9).subscribe(failover_timeout=5.0, id={"value": "M-0000"})
    assert world.heard == [{"type": "ERROR", "error": {"message": "Framework has been removed"}}]
    assert world.stream in world.closed


def test_after_a_restart_nothing_is_forgotten() -> None:
    """From the records alone: tasks, states, executors, unacknowledged updates, and the framework's old id."""
    world = World().subscribe().launch_tasks("a", "b", "c")
    world.connect()
    world.update("a", "TASK_RUNNING")
    world.acknowledge(world.statuses[-1])
    world.update("b", "TASK_RUNNING")
    world.restart()
    assert isinstance(world.executor_call("ex", "M-S0", {"type": "HEARTBEAT"}), Respond)
    assert world.answer == Respond(status=503, text="Agent has not finished recovery")
    world.subscribe(id={"value": "M-0000"})
    tasks = [{"task_id": {"value": n}, "agent_id": {"value": "M-S0"}} for n in "abc"]
    world.call("RECONCILE", reconcile={"tasks": tasks})
    assert world.told() == ["SUBSCRIBED"]  # silence while the agent is not back (surprise 22)
    held = [make_task("c", "M-S0", make_executor())]
    world.connect(unacknowledged_tasks=held)
    assert set(world.told()[1:]) == {"b TASK_RUNNING"}
    world.call("RECONCILE", reconcile={"tasks": tasks})
    assert world.told()[-3:] == ["a TASK_RUNNING", "b TASK_RUNNING", "c TASK_STAGING"]


def test_executors_that_do_not_come_back_in_time_are_killed() -> None:
    """TASK_GONE, after FAILURE (surprise 17)."""
    world = World().subscribe().launch_tasks("t")
    world.connect()
    world.restart()
    world.subscribe(id={"value": "M-0000"})
    world.at(10)
    assert world.killed == [world.started[0].container_id]
    world.end(status=9)
    assert world.told() == ["SUBSCRIBED", "FAILURE", "t TASK_GONE"]


def test_a_snapshot_stands_for_the_records_it_replaces() -> None:
    """Replaying the snapshot gives the state that the records gave."""
    world = World().subscribe().launch_tasks("a", "b", "c")
    world.connect()
    for task in ("a", "b"):
        world.update(task, "TASK_RUNNING")
    world.acknowledge(world.statuses[0])
    world.update("a", "TASK_FINISHED")
    state = replay(world.journals["M-S0"])
    assert state is not None
    again = replay(take_snapshot(state))
    assert again is not None
    assert again.executors == state.executors
    assert again.frameworks == state.frameworks
    assert {k: (t.state, list(t.pending)) for k, t in again.tasks.items()} == {
        k: (t.state, list(t.pending)) for k, t in state.tasks.items()
    }


def test_the_newest_subscription_wins() -> None:
    """The old stream gets an ERROR and ends; its id is refused from then on."""
    world = World().subscribe()
    old = world.stream
    world.subscribe(id={"value": "M-0000"})
    assert world.events[old][-1] == {"type": "ERROR", "error": {"message": "Framework failed over"}}
    assert old in world.closed
    new, world.stream = world.stream, old
    assert world.call("REVIVE").status == 400
    world.stream = new
    assert world.call("REVIVE").status == 202
    assert isinstance(world.answer, Respond | OpenStream)
