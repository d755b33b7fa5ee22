"""What the framework tells Mesos of itself, and what follows from it (M2, M3, M7, M18, M31 to M39)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core.from_mesos import to_event
from scheduler.settings import Settings
from swath.domain.states import AttemptState, Desired
from swath.wire.resources import to_resources
from tests.scheduler.test_messages import a_writer
from tests.scheduler.world import World, a_job


def framework(**more: Any) -> dict[str, Any]:
    """The FrameworkInfo of a scheduler with these settings."""
    given = {"database_url": "sqlite:///x", "outputs_root": "/out", "executor_command": "run", **more}
    return Settings(**given).make_framework()


def capabilities(info: dict[str, Any]) -> set[str]:
    """The names of what a framework declares."""
    return {entry["type"] for entry in info["capabilities"]}


def test_m02_a_week_passes_before_a_disconnected_frameworks_tasks_are_killed():
    """The default of 0 would kill everything at the first disconnect (surprise 36)."""
    assert framework()["failover_timeout"] >= 7 * 24 * 3600


def test_m03_the_agents_keep_a_checkpoint():
    """Without one an agent's broken connection loses its tasks at once (transcript 04i)."""
    assert framework()["checkpoint"] is True


def test_m07_the_framework_says_who_and_where_it_is():
    """Principal, role, user, host name, page, name and labels are in what operators see."""
    info = framework(principal="swath", secret="s", role="eo", user="eo", webui_url="http://dash/", name="swath-prod")
    assert info["principal"] == "swath"
    assert (info["roles"], info["user"], info["name"]) == (["eo"], "eo", "swath-prod")
    assert info["webui_url"] == "http://dash/"
    assert info["hostname"]
    assert {"key": "framework", "value": "swath"} in info["labels"]["labels"]


def test_m31_a_framework_has_one_role():
    """Roles are not mixed: quota and fair share between projects are ours."""
    assert len(framework()["roles"]) == 1


def test_m33_gpus_are_asked_for_only_where_they_are_wanted():
    """A framework that declares GPU_RESOURCES is offered agents that others are kept away from."""
    assert "GPU_RESOURCES" not in capabilities(framework())
    assert "GPU_RESOURCES" in capabilities(framework(gpus=True))


def test_m34_regions_and_revocable_resources_are_not_asked_for_without_logic_for_them():
    """And revocable resources that came all the same would not be used."""
    assert not capabilities(framework(gpus=True)) & {"REGION_AWARE", "REVOCABLE_RESOURCES"}
    cpus = {"name": "cpus", "type": "SCALAR", "scalar": {"value": 4.0}}
    assert to_resources([cpus | {"revocable": {}}]).cpus_m == 0
    assert to_resources([cpus]).cpus_m == 4000


def test_m35_a_kill_under_way_is_a_state_of_its_own():
    """TASK_KILLING is declared, understood and no end."""
    assert "TASK_KILLING_STATE" in capabilities(framework())
    world = World()
    attempt_id = world.running()
    world.say(attempt_id, "KILLING")
    assert world.attempt(attempt_id).state is AttemptState.KILLING


def test_m18_every_resource_of_a_launch_is_allocated_to_the_one_role():
    """The task's and its executor's; an ACCEPT never mixes roles, for there is one."""
    world = World().subscribe().submit(a_job(size=3)).offer()
    (accept,) = world.called(fx.Accept)
    message = a_writer().write(accept)
    assert message is not None
    tasks = message["accept"]["operations"][0]["launch"]["task_infos"]
    amounts = [entry for task in tasks for entry in (*task["resources"], *task["executor"].get("resources", ()))]
    assert len(tasks) == 3
    assert {entry["allocation_info"]["role"] for entry in amounts} == {"eo"}


def test_m36_a_kill_is_repeated_later_and_later_with_its_agent_until_the_attempt_ends():
    """KILL is at-most-once: after 5, 10, 20 ... seconds it is sent again, at most two minutes apart."""
    world = World()
    attempt_id = world.running()
    world.desire("j1", desired=Desired.CANCELLED)
    gaps, sent = [], 1
    for _ in range(7):
        waited = 0
        while len(world.called(fx.Kill)) == sent:
            world.advance(1)
            waited += 1
        gaps.append(waited)
        sent += 1
    assert gaps == [5, 10, 20, 40, 80, 120, 120]
    assert set(world.called(fx.Kill)) == {fx.Kill(task_id=attempt_id, agent_id="a1")}
    world.say(attempt_id, "KILLED").advance(3600)
    assert len(world.called(fx.Kill)) == 8


def test_m38_no_operation_is_ever_made_so_none_has_to_be_acknowledged_or_reconciled():
    """The only operation of an ACCEPT is LAUNCH; an update of somebody's operation means nothing to us."""
    world = World().subscribe().submit(a_job(size=3)).offer()
    message = a_writer().write(world.called(fx.Accept)[0])
    assert message is not None
    assert [operation["type"] for operation in message["accept"]["operations"]] == ["LAUNCH"]
    assert to_event({"type": "UPDATE_OPERATION_STATUS", "update_operation_status": {"status": {}}}) is None


def test_m39_many_calls_of_a_turn_are_few_messages():
    """3,000 attempts are launched by three ACCEPTs, and asked for in three RECONCILEs, a second apart."""
    world = World().subscribe().submit(a_job(size=3000, cpus=0.001, mem=1))
    for agent in ("a1", "a2", "a3"):
        world.offer(agent, cpus=8)
    assert [len(accept.launches) for accept in world.called(fx.Accept)] == [1000, 1000, 1000]
    world.happen(ev.Disconnected(reason="cut")).subscribe().advance(0.5)
    assert [len(call.tasks) for call in world.called(fx.Reconcile)] == [1000]
    world.advance(2)
    assert [len(call.tasks) for call in world.called(fx.Reconcile)] == [1000, 1000, 1000]


def test_m39_a_master_that_throttles_us_ends_no_core():
    """ "capacity exceeded" is an ERROR: it is said, and the next subscription is the driver's, after its longest wait."""
    world = World()
    attempt_id = world.running()
    world.happen(ev.MasterError(message="Message resource_offers dropped: capacity(10) exceeded"))
    assert world.lately(fx.Stop) == []
    world.happen(ev.Disconnected(reason="ended")).subscribe().say(attempt_id, "FINISHED")
    assert world.attempt(attempt_id).state is AttemptState.SUCCEEDED


@pytest.mark.parametrize("folder", ["11-attributes-domains-ports", "16-several-offers-of-one-agent"])
def test_m18_reserved_resources_are_kept_apart(transcripts_folder: Path, folder: str):
    """Of recorded offers only what is unreserved counts."""
    for line in (transcripts_folder / folder / "sched-stream.jsonl").read_text().splitlines():
        event = json.loads(line).get("event", {})
        if event.get("type") != "OFFERS":
            continue
        heard = to_event(event)
        assert isinstance(heard, ev.Offered)
        for offer, raw in zip(heard.offers, event["offers"]["offers"], strict=True):
            free = [
                entry["scalar"]["value"]
                for entry in raw["resources"]
                if entry["name"] == "cpus" and not entry.get("reservations") and entry.get("role", "*") == "*"
            ]
            assert offer.resources.cpus_m == round(1000 * sum(free))
