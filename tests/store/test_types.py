"""Values come back as they were stored, and nothing that a container says can break a transaction."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select

from swath.domain.errors import InternalError
from swath.store.models import Leadership, SchedulerStatus
from swath.store.types import to_json


@pytest.mark.parametrize(
    ("said", "stored"),
    [("naïve ☃ 🛰", "naïve ☃ 🛰"), ("a\0b", "a\ufffdb"), ("half \ud83d", "half ?"), ("", "")],
)
def test_text_is_stored_whatever_it_holds(database, said, stored):
    """NULs and lone surrogates, which PostgreSQL refuses, are replaced; everything else is kept."""
    with database.write() as session:
        session.add(Leadership(name="x", holder=said, epoch=1, expires_at=datetime(2026, 1, 1, tzinfo=UTC)))

    with database.read() as session:
        assert session.scalar(select(Leadership.holder)) == stored


def test_times_are_utc(database):
    """A time with another zone comes back as the same moment in UTC, to the microsecond."""
    said = datetime(2026, 1, 1, 14, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with database.write() as session:
        session.add(Leadership(name="x", holder="h", epoch=1, expires_at=said))

    with database.read() as session:
        found = session.scalar(select(Leadership.expires_at))
    assert found == said
    assert found.tzinfo is UTC


def test_a_time_without_a_zone_is_refused(database):
    """A naive time could mean anything; it raises and nothing is written."""
    with pytest.raises(InternalError, match="time zone"), database.write() as session:
        session.add(Leadership(name="x", holder="h", epoch=1, expires_at=datetime(2026, 1, 1)))


def test_documents_keep_order_and_survive_nul(database):
    """A document comes back with its fields in order; a NUL inside becomes U+FFFD, a written backslash-u stays."""
    data = {"z": 1, "a": [1.5, None, True], "nul": "a\0b", "literal": "\\u0000", "snow": "☃"}
    with database.write() as session:
        session.add(SchedulerStatus(id=1, connected=True, master=None, heartbeat_at=None, data=data))

    with database.read() as session:
        found = session.scalar(select(SchedulerStatus.data))
    assert list(found) == list(data)
    assert found == {**data, "nul": "a\ufffdb"}


def test_documents_survive_what_json_cannot_say(database):
    """NaN and infinity come back as null and half a surrogate pair as "?": a report is stored whatever stands in it."""
    data = {"mean": float("nan"), "list": (float("inf"), 1.5), "nested": {"low": float("-inf")}, "text": "half \ud83d"}
    with database.write() as session:
        session.add(SchedulerStatus(id=1, connected=True, master=None, heartbeat_at=None, data=data))

    with database.read() as session:
        found = session.scalar(select(SchedulerStatus.data))
    assert found == {"mean": None, "list": [None, 1.5], "nested": {"low": None}, "text": "half ?"}


@pytest.mark.parametrize("text", ["\0", "\\\0", "\\\\\0", "\\u0000\0", "\0\0"])
def test_only_nuls_are_replaced(text):
    """Backslashes before a NUL are told apart from those that belong to it."""
    assert json.loads(to_json(text)) == text.replace("\0", "\ufffd")


def test_what_is_not_json_is_refused():
    """An object that JSON cannot say raises TypeError instead of being guessed at."""
    with pytest.raises(TypeError, match="object is not JSON"):
        to_json({"x": object()})
