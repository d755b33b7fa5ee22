"""The shell commits before it speaks, and says nothing at all where it may not act."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from scheduler.core import effects as fx
from scheduler.metrics import Metrics
from scheduler.shell import StoppedError
from swath.domain.changes import CordonAgent, SetFrameworkId
from swath.domain.errors import LeadershipLostError, StoreUnavailableError
from swath.wire.channel import CallResult, Outcome
from tests.scheduler.stand_ins import SENT, WRITE, Diary, a_shell
from tests.scheduler.world import NOON, World, a_job

ACK = fx.Acknowledge(agent_id="a", task_id="t", uuid="u")


def test_m15_changes_are_committed_before_any_call():
    """DESIGN.md 1: commit, then speak."""
    diary = Diary()
    a_shell(diary).perform(fx.Effects(changes=(WRITE, WRITE), calls=(ACK, fx.ListAgents())), NOON)
    assert diary.lines == ["commit 2 in epoch 7", "ACKNOWLEDGE", "list"]


def test_a_revive_does_not_wait_for_the_commit():
    """It tells of nothing that is written, and offers come meanwhile."""
    diary = Diary()
    a_shell(diary).perform(fx.Effects(changes=(WRITE,), calls=(ACK, fx.Revive())), NOON)
    assert diary.lines == ["REVIVE", "commit 1 in epoch 7", "ACKNOWLEDGE"]


def test_m20_without_a_commit_nothing_is_acknowledged():
    """An outage of the database: the agent keeps the update and sends it again."""
    diary = Diary()
    diary.store_error = StoreUnavailableError("away")
    with pytest.raises(StoreUnavailableError):
        a_shell(diary).perform(fx.Effects(changes=(WRITE,), calls=(ACK,)), NOON)
    assert diary.lines == []


def test_m06_without_the_lease_nothing_is_written_or_said():
    """M6."""
    diary = Diary()
    diary.fence_error = LeadershipLostError("gone")
    with pytest.raises(LeadershipLostError):
        a_shell(diary).perform(fx.Effects(changes=(WRITE,), calls=(ACK, fx.Revive())), NOON)
    assert diary.lines == []


def test_m28_the_next_subscription_is_suppressed_when_this_one_is():
    """M28: subscribe suppressed when idle."""
    diary = Diary()
    shell = a_shell(diary)
    shell.perform(fx.Effects(calls=(fx.Suppress(),)), NOON)
    assert diary.suppressed == ("eo",)
    shell.perform(fx.Effects(calls=(fx.Revive(),)), NOON)
    assert diary.suppressed == ()


def test_a_refused_call_about_offers_begins_a_new_subscription_once():
    """What the master believes of our offers would stay wrong; but never a storm of subscriptions."""
    diary = Diary()
    diary.answer = CallResult(outcome=Outcome.FAILED, status=400, message="bad")
    shell = a_shell(diary)
    for _ in range(3):
        shell.perform(fx.Effects(calls=(fx.Decline(offer_ids=("o",), refuse_s=1),)), NOON)
    assert diary.lines.count("resubscribe") == 1


def test_a_call_about_offers_that_fails_soon_after_a_new_subscription_leads_to_another_one_later():
    """The REVIVE that the master never got is made good ten seconds after the subscription before."""
    seconds = [0.0]
    diary = Diary()
    shell = a_shell(diary, clock=lambda: seconds[0])
    diary.answer = CallResult(outcome=Outcome.FAILED, status=None, message="reset")
    for _ in range(2):
        shell.perform(fx.Effects(calls=(fx.Revive(),)), NOON)
    diary.answer = SENT
    shell.perform(fx.Effects(), NOON)
    assert diary.lines.count("resubscribe") == 1
    seconds[0] = 10.0
    for _ in range(2):
        shell.perform(fx.Effects(), NOON)
    assert diary.lines.count("resubscribe") == 2


def test_only_launches_that_were_sent_are_counted():
    """Not the one for which there were no words, and none of a call that failed."""
    world = World().subscribe().submit(a_job(size=3)).offer()
    (accept,) = world.called(fx.Accept)
    metrics, diary = Metrics(), Diary()
    shell = a_shell(diary, metrics=metrics, read_items=lambda job, indices: {index: index for index in (0, 1)})
    assert len(shell.perform(fx.Effects(calls=(accept,)), NOON)) == 1
    diary.answer = CallResult(outcome=Outcome.FAILED, status=400, message="bad")
    shell.perform(fx.Effects(calls=(accept,)), NOON)
    assert metrics.registry.get_sample_value("swath_scheduler_launches_total") == 2


def test_the_items_of_a_turn_are_read_once_a_job():
    """However many slots it hands work over to: their tasks lie in the same chunk."""
    asked: list[tuple[str, list[int]]] = []

    def read_items(job: str, indices: Iterable[int]) -> dict[int, None]:
        asked.append((job, sorted(indices)))
        return dict.fromkeys(asked[-1][1])

    world = World().subscribe().submit(a_job(size=4, cpus=0.5)).submit(a_job("j2", cpus=0.5)).offer()
    launches = [launch for call in world.called(fx.Accept) for launch in call.launches]
    mine, theirs = ([one for one in launches if one.job.id == job] for job in ("j1", "j2"))
    slots = {"s1": mine[::2], "s2": mine[1::2], "s3": theirs}
    calls = tuple(
        fx.HandOver(agent_id="a1", executor_id="e", slot_id=slot_id, launches=tuple(hand))
        for slot_id, hand in slots.items()
    )
    diary = Diary()
    a_shell(diary, read_items=read_items).perform(fx.Effects(calls=calls), NOON)
    assert (asked, diary.lines) == ([("j1", [0, 1, 2, 3]), ("j2", [0])], ["MESSAGE"] * 3)


def test_agents_that_are_cordoned_are_counted():
    """Once they are committed: an operator's alarm hangs on it."""
    metrics = Metrics()
    a_shell(Diary(), metrics=metrics).perform(fx.Effects(changes=(CordonAgent(agent_id="a1", message="bad"),)), NOON)
    assert metrics.registry.get_sample_value("swath_scheduler_agents_cordoned_total") == 1


def test_a_core_that_gives_up_is_heard_after_its_changes_are_committed():
    """The framework id is forgotten before the program ends."""
    diary = Diary()
    stop = fx.Stop(kind=fx.StopKind.REMOVED, message="removed")
    with pytest.raises(StoppedError):
        a_shell(diary).perform(fx.Effects(changes=(SetFrameworkId(framework_id=None),), calls=(stop,)), NOON)
    assert diary.lines == ["commit 1 in epoch 7"]
