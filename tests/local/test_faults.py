"""A plan of faults is read or drawn, and does with events, calls and updates what it says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.fault_plan import KINDS, Fault, PlanError, draw_plan, parse_plan
from local.faults import REORDER_S, Faults, Instead

HEARTBEAT = {"type": "HEARTBEAT"}
UPDATE = {"type": "UPDATE", "update": {}}
KILL = {"type": "KILL"}


def a_plan(*entries: dict[str, Any], agents: int = 2) -> Faults:
    """Faults of a plan, all of it due."""
    faults = Faults(parse_plan([{"at_s": 0, **entry} for entry in entries], agents))
    faults.take_due(0.0)
    return faults


def test_a_plan_is_read_with_its_defaults_and_in_the_order_of_time():
    """What is not given stands at its default."""
    plan = parse_plan([{"at_s": 5, "fault": "cut"}, {"at_s": 1.5, "fault": "drop", "event": "UPDATE"}])
    assert plan == (
        Fault(at_s=1.5, kind="drop", arguments={"event": "UPDATE", "count": 1, "within_s": None}),
        Fault(at_s=5.0, kind="cut"),
    )
    assert plan[0].to_json() == {"at_s": 1.5, "fault": "drop", "event": "UPDATE", "count": 1}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "a plan is a list of faults"),
        ([7], "fault 0: 7 is no object"),
        ([{"fault": "cut"}], "fault 0: 'at_s' must be a number of seconds"),
        ([{"at_s": True, "fault": "cut"}], "'at_s' must be"),
        ([{"at_s": float("nan"), "fault": "cut"}], "'at_s' must be"),
        ([{"at_s": 1, "fault": "drip"}], "there is no fault 'drip'; there are drop, duplicate"),
        ([{"at_s": 1, "fault": ["drop"]}], "there is no fault"),
        ([{"at_s": 1, "fault": "cut", "for_s": 1}], "cut has no 'for_s'"),
        ([{"at_s": 1, "fault": "half_open"}], "half_open needs 'for_s', a number of seconds"),
        ([{"at_s": 1, "fault": "drop", "event": "NEWS"}], "drop needs 'event', one of SUBSCRIBED"),
        ([{"at_s": 1, "fault": "drop", "count": 0}], "drop needs 'count', a whole number, 1 or more"),
        ([{"at_s": 1, "fault": "refuse", "status": 202}], "refuse needs 'status', a status between 400 and 599"),
        ([{"at_s": 1, "fault": "lose_call"}], "lose_call needs 'call', one of SUBSCRIBE"),
        ([{"at_s": 1, "fault": "agent_gone", "agent": 2}], "there is no agent 2; there are 2, the first is 0"),
        ([{"at_s": 1, "fault": "clock_jump", "by_s": 0}], "clock_jump needs 'by_s'"),
        (
            [{"at_s": 1, "fault": "cut"}, {"at_s": -1, "fault": "no"}],
            "fault 1: 'at_s'.*\nfault 1: there is no fault 'no'",
        ),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_with_all_its_reasons(document: Any, words: str):
    """Which fault, which argument, and what would be good."""
    with pytest.raises(PlanError, match=words):
        parse_plan(document, agents=2)


@given(seed=st.integers(), agents=st.integers(0, 5))
def test_a_seed_draws_one_plan_that_can_be_written_down_and_read_again(seed: int, agents: int):
    """A pure function, and only faults that a plan may have."""
    plan = draw_plan(seed, agents=agents)
    assert plan == draw_plan(seed, agents=agents)
    assert parse_plan(json.loads(json.dumps([fault.to_json() for fault in plan])), agents) == plan
    assert len(plan) >= 12


def test_seeds_differ_and_together_draw_every_fault_that_a_framework_gets_over():
    """All but the loss of a machine for good, which leaves a cluster of one agent with nothing to run on."""
    plans = [draw_plan(seed) for seed in range(60)]
    assert len(set(map(str, plans))) == 60
    assert {fault.kind for plan in plans for fault in plan} == set(KINDS) - {"agent_gone"}


def test_nothing_happens_before_its_time():
    """`next_at` says when; what the caller has to do is handed out once."""
    faults = Faults(parse_plan([{"at_s": 2, "fault": "cut"}, {"at_s": 1, "fault": "drop"}]))
    assert faults.next_at == 1.0
    assert faults.take_due(0.9) == []
    assert faults.on_event(HEARTBEAT, 0.9) == [(0.9, HEARTBEAT)]
    assert [fault.kind for fault in faults.take_due(2.0)] == ["cut"]
    assert faults.take_due(3.0) == []
    assert faults.on_event(HEARTBEAT, 3.0) == []
    assert faults.next_at is None


def test_so_many_events_of_a_type_are_dropped_and_no_others():
    """The next ones after that come as ever."""
    faults = a_plan({"fault": "drop", "event": "UPDATE", "count": 2})
    heard = [bool(faults.on_event(event, 1.0)) for event in (HEARTBEAT, UPDATE, UPDATE, UPDATE, HEARTBEAT)]
    assert heard == [True, False, False, True, True]


def test_what_has_not_hit_anything_in_time_is_over():
    """`within_s` bounds how long a fault lies in wait."""
    faults = a_plan({"fault": "drop", "within_s": 2}, {"fault": "lose_update", "within_s": 2})
    assert faults.on_event(UPDATE, 2.0) == [(2.0, UPDATE)]
    assert faults.on_update(2.0) == 1


def test_each_hit_of_what_lies_in_wait_is_told_once():
    """Also of the stream, of calls and of updates; nothing where nothing was hit."""
    faults = a_plan(
        {"fault": "drop", "event": "UPDATE", "count": 2},
        {"fault": "lose_call", "call": "KILL"},
        {"fault": "lose_update"},
        {"fault": "delay", "event": "ERROR"},
    )
    for event in (UPDATE, HEARTBEAT, UPDATE, UPDATE):
        faults.on_event(event, 1.0)
    faults.on_call(KILL, 1.0)
    faults.on_update(1.0)
    assert [fault.kind for fault in faults.take_struck()] == ["drop", "drop", "lose_call", "lose_update"]
    assert faults.take_struck() == []


def test_an_event_is_duplicated():
    """Twice at the same moment."""
    assert a_plan({"fault": "duplicate"}).on_event(UPDATE, 1.0) == [(1.0, UPDATE)] * 2


def test_a_delayed_event_holds_up_those_behind_it():
    """TCP keeps the order; a new stream owes nothing."""
    faults = a_plan({"fault": "delay", "event": "UPDATE", "for_s": 2})
    assert faults.on_event(HEARTBEAT, 1.0) == [(1.0, HEARTBEAT)]
    assert faults.on_event(UPDATE, 1.0) == [(3.0, UPDATE)]
    assert faults.on_event(HEARTBEAT, 1.5) == [(3.0, HEARTBEAT)]
    assert faults.on_event(HEARTBEAT, 4.0) == [(4.0, HEARTBEAT)]
    faults.on_stream()
    assert faults.on_event(HEARTBEAT, 2.0) == [(2.0, HEARTBEAT)]


def test_a_reordered_event_is_overtaken_by_the_next():
    """Or comes by itself when none does."""
    faults = a_plan({"fault": "reorder", "event": "UPDATE", "count": 2})
    assert faults.on_event(UPDATE, 1.0) == []
    assert faults.on_event(HEARTBEAT, 1.1) == [(1.1, HEARTBEAT), (1.1, UPDATE)]
    assert faults.on_event(UPDATE, 2.0) == []
    assert faults.next_at == 2.0 + REORDER_S
    assert faults.take_held(1.9 + REORDER_S) == []
    assert faults.take_held(2.0 + REORDER_S) == [(2.0 + REORDER_S, UPDATE)]


def test_calls_are_refused_lost_or_redirected():
    """By their type, so many times, or for so long."""
    faults = a_plan(
        {"fault": "lose_call", "call": "KILL"},
        {"fault": "refuse", "status": 503, "call": "SUBSCRIBE"},
        {"at_s": 10, "fault": "redirect_loop", "for_s": 2},
    )
    assert faults.on_call({"type": "REVIVE"}, 1.0) is None
    assert faults.on_call(KILL, 1.0) == Instead(status=202)
    assert faults.on_call(KILL, 1.0) is None
    assert faults.on_call({"type": "SUBSCRIBE"}, 1.0) == Instead(status=503, text="an injected fault")
    faults.take_due(10.0)
    assert faults.on_call(KILL, 11.9) == faults.on_call(KILL, 11.9) == Instead(status=307, redirects=True)
    assert faults.on_call(KILL, 12.0) is None


def test_updates_of_agents_are_lost_or_repeated():
    """One after the other, in the order of the plan."""
    faults = a_plan({"fault": "lose_update", "count": 2}, {"fault": "repeat_update"})
    assert [faults.on_update(1.0) for _ in range(4)] == [0, 0, 2, 1]


@given(seed=st.integers(), events=st.lists(st.sampled_from(["UPDATE", "OFFERS", "RESCIND", "HEARTBEAT"]), max_size=60))
def test_events_are_never_sent_before_their_time_and_never_back_in_time(seed: int, events: list[str]):
    """Whatever a seed draws."""
    faults, sent = Faults(draw_plan(seed)), []
    for number, kind in enumerate(events):
        now_s = float(number)
        faults.take_due(now_s)
        out = faults.take_held(now_s) + faults.on_event({"type": kind}, now_s)
        assert all(at_s >= now_s for at_s, _ in out)
        sent += [at_s for at_s, _ in out]
    assert sent == sorted(sent)
