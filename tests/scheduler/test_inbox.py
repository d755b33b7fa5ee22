"""The inbox keeps updates in order and all of them; of offers, no more than can be used, and none that is void (M14, M17)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import inbox as inbox_module
from scheduler.core import events as ev
from scheduler.inbox import Inbox, Signal, Unread

HEARTBEAT = {"type": "HEARTBEAT"}
SUBSCRIBED = {"type": "SUBSCRIBED"}
DISCONNECTED = {"type": "DISCONNECTED", "reason": "x"}


def offers(*ids: str) -> dict[str, Any]:
    return {"type": "OFFERS", "offers": {"offers": [{"id": {"value": name}, "hostname": "h"} for name in ids]}}


def rescind(name: str) -> dict[str, Any]:
    return {"type": "RESCIND", "rescind": {"offer_id": {"value": name}}}


def update(number: int) -> dict[str, Any]:
    return {"type": "UPDATE", "update": {"status": {"uuid": str(number)}}}


def taken(*items: Any, most: int = 100) -> list[Any]:
    inbox = Inbox(most)
    for item in items:
        inbox.put(item)
    return inbox.take(0)


def test_offers_that_come_while_the_loop_is_busy_take_one_place():
    """As they came, behind what was there before; what is behind them stays behind them."""
    assert taken(update(1), offers("a"), update(2), offers("b", "c")) == [
        update(1),
        offers("a"),
        offers("b", "c"),
        update(2),
    ]


def test_m17_a_rescinded_offer_that_nobody_has_seen_leaves_without_a_word():
    """Neither it nor its RESCIND is left; one that the loop has taken is rescinded there."""
    assert taken(offers("a", "b"), rescind("a")) == [offers("b")]
    assert taken(offers("a"), rescind("a"), rescind("z")) == [rescind("z")]
    inbox = Inbox()
    inbox.put(offers("a"))
    assert inbox.take(0) == [offers("a")]
    inbox.put(rescind("a"))
    assert inbox.take(0) == [rescind("a")]


def test_m17_an_offer_that_is_told_twice_is_one_offer():
    """Its one RESCIND takes it away, whether it would have been read or not."""
    assert taken(offers("a", "b"), offers("a", "c")) == [offers("a", "b"), offers("c")]
    assert taken(offers("a"), offers("a"), rescind("a")) == []
    assert taken(offers("a"), offers("b"), offers("b", "a"), rescind("b"), most=1) == [offers("a")]


@pytest.mark.parametrize("end", [SUBSCRIBED, DISCONNECTED])
def test_m17_offers_of_a_subscription_that_has_ended_are_gone(end: dict[str, Any]):
    """And those of the next one stand behind its beginning."""
    assert taken(offers("a"), end, offers("b")) == [end, offers("b")]


def test_offers_beyond_the_bound_are_to_be_declined_unread():
    """The first are kept; of the others the ids, unless they are rescinded."""
    kept = taken(offers("a", "b"), offers("c", "d"), offers("e", "f"), rescind("e"), most=3)
    assert kept == [offers("a", "b"), offers("c"), Unread(offer_ids=("d", "f"))]
    assert taken(offers("a", "b"), rescind("a"), offers("c", "d"), most=2) == [
        offers("b"),
        offers("c"),
        Unread(offer_ids=("d",)),
    ]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "OFFERS"},
        {"type": "OFFERS", "offers": []},
        {"type": "OFFERS", "offers": {"offers": [{}]}},
        {"type": "OFFERS", "offers": {"offers": [{"id": {"value": []}}]}},
        {"type": "RESCIND"},
        {"type": []},
    ],
)
def test_what_is_not_made_like_an_event_is_passed_on_to_whoever_says_so(event: dict[str, Any]):
    """The inbox judges nothing."""
    assert taken(event) == [event]


def test_signals_and_events_of_the_core_stay_in_their_order():
    """Group commit: what has gathered is one batch."""
    assert taken(ev.Heartbeat(), offers("a"), Signal.DESIRED, HEARTBEAT) == [
        ev.Heartbeat(),
        offers("a"),
        Signal.DESIRED,
        HEARTBEAT,
    ]


steps = st.lists(
    st.one_of(
        st.integers(0, 30).map(update),
        st.lists(st.integers(0, 99), min_size=1, max_size=6, unique=True),
        st.integers(0, 99).map(lambda number: rescind(str(number))),
        st.sampled_from([HEARTBEAT, SUBSCRIBED, DISCONNECTED, "take"]),
        st.just("repeat"),
    ),
    max_size=40,
)


@given(steps=steps, most=st.integers(0, 8))
def test_nothing_but_void_offers_is_ever_lost(steps: list[Any], most: int):
    """Updates and the rest arrive once and in order; each offer is read, declined unread, or void; what waits is bounded."""
    inbox, came, arrived = Inbox(most), [], []
    live: dict[str, bool] = {}  # offers of this subscription -> whether the loop has had them
    number = 0

    def take() -> None:
        for item in inbox.take(0):
            if isinstance(item, Unread):
                seen = list(item.offer_ids)
            elif item["type"] == "OFFERS":
                seen = [offer["id"]["value"] for offer in item["offers"]["offers"]]
                assert len(seen) <= most
            else:
                arrived.append(item)
                continue
            for name in seen:
                assert live[name] is False
                live[name] = True

    for step in steps:
        if step == "take":
            take()
            continue
        if step == "repeat":
            inbox.put(offers(*(name for name, had in live.items() if not had)))
            continue
        if isinstance(step, list):
            names = [f"{number}-{index}" for index in range(len(step))]
            number += 1
            live |= dict.fromkeys(names, False)
            step = offers(*names)
        elif step["type"] == "RESCIND":
            name = next(iter(live), "unknown")
            step = rescind(name)
            if live.pop(name, True):
                came.append(step)
        else:
            if step["type"] in ("SUBSCRIBED", "DISCONNECTED"):
                live.clear()
            came.append(step)
        inbox.put(step)
    take()
    assert arrived == came
    assert all(live.values())


def test_messages_of_executors_fill_no_memory(monkeypatch: pytest.MonkeyPatch):
    """Of a flood so many are kept, in order, and what else comes is kept with them; once they are taken there is room again."""
    monkeypatch.setattr(inbox_module, "MOST_MESSAGES", 3)
    inbox = Inbox()
    said = [{"type": "MESSAGE", "message": {"data": str(number)}} for number in range(10)]
    for round_ in range(3):
        for message in said:
            inbox.put(message)
        inbox.put(update(round_))
        assert inbox.take(0) == [*said[:3], update(round_)]
