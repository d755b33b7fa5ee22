"""What the scheduler shows of the wire: counters, ages, and whether it is ready."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from structlog.testing import capture_logs

from scheduler.core import effects as fx
from scheduler.http import make_app, serve
from scheduler.metrics import Metrics
from scheduler.pending import Pending
from scheduler.readiness import Readiness
from swath.wire.channel import CallResult, Outcome
from tests.scheduler.stand_ins import Diary, a_shell
from tests.scheduler.world import NOON, World


class Line:
    """A connection as the test says."""

    def __init__(self, *, connected: bool = True, last_heard_s: float | None = 1.0) -> None:
        self.connected = connected
        self.last_heard_s = last_heard_s
        self.heartbeat_interval_s = 15.0


def an_update(uuid: str | None) -> dict[str, Any]:
    return {"type": "UPDATE", "update": {"status": {"task_id": {"value": "t"}, "uuid": uuid}}}


def test_the_oldest_update_without_an_acknowledgement_has_an_age():
    """From its first arrival, repeats included, to its acknowledgement; what has no uuid is owed none."""
    now = [100.0]
    pending = Pending(clock=lambda: now[0])
    assert pending.oldest_s() == 0.0
    pending.on_event(an_update("a"))
    now[0] = 103.0
    for event in (
        an_update("a"),
        an_update("b"),
        an_update(None),
        {"type": "UPDATE"},
        {"type": "UPDATE", "update": []},
    ):
        pending.on_event(event)
    now[0] = 110.0
    assert pending.oldest_s() == 10.0
    pending.on_acknowledged("a")
    assert pending.oldest_s() == 7.0
    pending.on_acknowledged("unknown")
    pending.on_event({"type": "SUBSCRIBED"})
    assert pending.oldest_s() == 0.0


@pytest.mark.parametrize(
    ("line", "ready", "words"),
    [
        (Line(), True, "leading and subscribed"),
        (Line(last_heard_s=30.0), True, "leading and subscribed"),
        (Line(last_heard_s=31.0), False, "not been heard of for 31 s: its heartbeats come every 15 s"),
        (Line(connected=False), False, "not subscribed: refused"),
        (Line(last_heard_s=None), False, "not subscribed: refused"),
    ],
)
def test_a_leader_is_ready_while_its_master_is_heard_of(line: Line, ready: bool, words: str):
    """Subscribed, and at most two announced intervals of silence."""
    readiness = Readiness()
    readiness.on_leading(line)
    readiness.on_lost("refused")
    assert readiness.check()[0] is ready
    assert words in readiness.check()[1]


def test_a_standby_is_ready_to_take_over_and_says_that_it_stands_by():
    """Not so one that starts, or that cannot read the database."""
    readiness = Readiness()
    assert readiness.check() == (False, "starting")
    readiness.on_standby()
    assert readiness.check() == (True, "standing by")
    readiness.on_failed("the database is away")
    assert readiness.check() == (False, "the database is away")


@pytest.fixture
def port() -> Iterator[tuple[int, Metrics]]:
    """A served port, and the metrics behind it."""
    metrics = Metrics()
    server = serve(0, make_app(metrics.registry, metrics.readiness.check))
    yield server.server_port, metrics
    server.shutdown()
    server.server_close()


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_readiness_health_and_metrics_have_one_port(port: tuple[int, Metrics]):
    """503 with the reason until subscribed; 404 names what there is."""
    number, metrics = port
    assert get(number, "/healthz") == (200, "alive\n")
    assert get(number, "/readyz") == (503, "starting\n")
    metrics.on_leading(Line(), None)
    assert get(number, "/readyz") == (200, "leading and subscribed\n")
    assert "swath_scheduler_ready 1.0" in get(number, "/metrics")[1]
    metrics.on_led()
    assert get(number, "/readyz")[0] == 503
    metrics.on_leading(Line(), "an operator has torn the framework down")
    assert get(number, "/readyz") == (503, "leading, outside of Mesos: an operator has torn the framework down\n")
    assert get(number, "/nope")[0] == 404


def read(metrics: Metrics) -> dict[str, float]:
    """Every sample by its name and labels."""
    return {
        sample.name.removeprefix("swath_scheduler_") + json.dumps(sample.labels, sort_keys=True): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
    }


def test_calls_are_counted_by_kind_and_outcome_and_timed_where_they_were_sent():
    """A call that never left says nothing of the master's speed."""
    metrics = Metrics()
    for outcome, seconds in ((Outcome.SENT, 0.003), (Outcome.FAILED, 10.0), (Outcome.NOT_CONNECTED, 0.0)):
        metrics.on_call("ACCEPT", outcome, seconds)
    samples = read(metrics)
    for outcome in Outcome:
        assert samples[f'calls_total{{"call": "ACCEPT", "outcome": "{outcome}"}}'] == 1
    assert samples['call_seconds_count{"call": "ACCEPT"}'] == 2
    assert samples['call_seconds_bucket{"call": "ACCEPT", "le": "0.005"}'] == 1


def test_the_first_subscription_is_no_reconnect():
    """The second is one; every loss is counted."""
    metrics = Metrics()
    metrics.on_subscribed()
    metrics.on_lost("EOF")
    metrics.on_lost("refused")
    metrics.on_subscribed()
    samples = read(metrics)
    assert [samples[f"{name}_total{{}}"] for name in ("subscriptions", "reconnects", "losses")] == [2, 1, 2]


def test_m39_what_was_sent_is_counted_by_what_it_does():
    """Declined offers, kills, reconciliations, suppresses, revives; an acknowledgement ends the wait of its update."""
    metrics = Metrics()
    metrics.pending.on_event(an_update("u"))
    calls = (
        fx.Decline(offer_ids=("o1", "o2"), refuse_s=1),
        fx.Kill(task_id="t", agent_id="a"),
        fx.Reconcile(tasks=(("t", "a"),)),
        fx.Reconcile(),
        fx.Reconcile(),
        fx.Suppress(),
        fx.Revive(),
        fx.Acknowledge(agent_id="a", task_id="t", uuid="u"),
    )
    a_shell(Diary(), metrics=metrics).perform(fx.Effects(calls=calls), NOON)
    samples = read(metrics)
    names = ("declines", "kills", "suppresses", "revives", "acknowledgements")
    assert [samples[f"{name}_total{{}}"] for name in names] == [2, 1, 1, 1, 1]
    assert samples['reconciliations_total{"kind": "explicit"}'] == 1
    assert samples['reconciliations_total{"kind": "implicit"}'] == 2
    assert metrics.pending.oldest_s() == 0.0


def test_offers_that_nobody_has_read_are_declined_and_counted():
    """By the loop's own turn, with a filter of some seconds."""
    metrics, diary = Metrics(), Diary()
    a_shell(diary, metrics=metrics).decline(("o1", "o2"))
    assert diary.lines == ["DECLINE"]
    assert read(metrics)["offers_unread_total{}"] == 2


@pytest.mark.parametrize(
    ("said", "event"),
    [
        ({"observation": "FAILED"}, "attempt_ended"),
        ({"observation": "RUNNING", "data": b"no report"}, "report_unreadable"),
        ({"observation": "ERROR"}, "error_of_running_task_ignored"),
    ],
)
def test_a_line_about_an_attempt_says_where_to_look(said: dict[str, Any], event: str):
    """Job, task, attempt, agent, and the agent's host."""
    world = World()
    attempt_id = world.running()
    update = replace(world.an_update(attempt_id, said["observation"]), data=said.get("data"))
    (line,) = world.core.handle([update], world.now).notes
    assert line.event == event
    where = {"job": "j1", "task": 0, "attempt": attempt_id, "agent": "a1", "hostname": "a1"}
    assert where.items() <= line.data.items()


def test_a_call_that_has_failed_says_whom_it_concerns():
    """An agent, and the attempts that it was about."""
    diary = Diary()
    diary.answer = CallResult(outcome=Outcome.FAILED, status=503, message="not now")
    with capture_logs() as lines:
        a_shell(diary).perform(fx.Effects(calls=(fx.Kill(task_id="t", agent_id="a"),)), NOON)
    (line,) = lines
    assert line["event"] == "call_failed"
    assert {"call": "Kill", "outcome": "FAILED", "status": 503, "agent": "a", "attempt": "t"}.items() <= line.items()
