"""Fire times: in time zones, where clocks change, and after nobody was there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.cron import MOST_CAUGHT_UP, BadCronError, BadZoneError, Cron, find_firing
from swath.domain.schedules import CatchUp, fill_in

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def at(text: str) -> datetime:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_time_of_the_day_is_one_of_its_zone() -> None:
    """6 in the morning in Rome is 4 in summer and 5 in winter."""
    rome = Cron("0 6 * * *", "Europe/Rome")
    assert rome.after(NOON, 1) == [at("2026-06-02T04:00")]
    assert rome.after(at("2026-12-01T12:00"), 1) == [at("2026-12-02T05:00")]
    assert Cron("0 6 * * *", "UTC").after(NOON, 1) == [at("2026-06-02T06:00")]


def test_an_hour_that_the_clocks_skip_loses_no_run() -> None:
    """On 29 March 2026 02:30 does not exist in Rome: that run comes at 03:00 there, once."""
    rome = Cron("30 2 * * *", "Europe/Rome")
    assert rome.after(at("2026-03-28T00:00"), 3) == [
        *(at("2026-03-28T01:30"), at("2026-03-29T01:00"), at("2026-03-30T00:30")),
    ]


def test_an_hour_that_comes_twice_runs_once() -> None:
    """On 25 October 2026 02:30 comes twice in Rome; what runs every half hour does so all the time."""
    rome = Cron("30 2 * * *", "Europe/Rome")
    days = rome.after(at("2026-10-24T12:00"), 2)
    assert [day.date().day for day in days] == [25, 26]
    assert days[0] in (at("2026-10-25T00:30"), at("2026-10-25T01:30"))
    steady = Cron("*/30 * * * *", "Europe/Rome").after(at("2026-10-24T23:45"), 6)
    assert {later - earlier for earlier, later in pairwise(steady)} == {timedelta(minutes=30)}


@pytest.mark.parametrize(
    "expression", ["", "* * * *", "* * * * * *", "60 * * * *", "a * * * *", "0 0 30 2 *", "@daily", "* * * * 8"]
)
def test_what_is_no_expression_is_refused(expression: str) -> None:
    """Seconds included, and days that never come."""
    with pytest.raises(BadCronError):
        Cron(expression, "UTC")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "rome"])
def test_what_is_no_zone_is_refused(zone: str) -> None:
    """Names of the IANA only."""
    with pytest.raises(BadZoneError):
        Cron("* * * * *", zone)


EXPRESSIONS = st.sampled_from(
    ["*/7 * * * *", "30 2 * * *", "0 */5 * * *", "15 1,2,3 * * *", "0 3 * * SUN", "0 0 1 * *", "59 23 L * *"]
)
ZONES = st.sampled_from(["UTC", "Europe/Rome", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
TIMES = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(lambda time: time.replace(tzinfo=UTC))


@settings(deadline=None, max_examples=200)
@given(EXPRESSIONS, ZONES, TIMES, st.integers(1, 5))
def test_looking_back_finds_what_looking_ahead_did(expression: str, zone: str, start: datetime, count: int) -> None:
    """In every zone, at any time of the year: neither loses a fire time, and none comes twice."""
    cron = Cron(expression, zone)
    ahead = cron.after(start, count)
    assert ahead == sorted(set(ahead))
    assert all(time > start for time in ahead)
    assert cron.until(ahead[-1], start + timedelta(microseconds=1), 10) == ahead


def due(catch_up: CatchUp, late: timedelta, expression: str = "0 * * * *"):
    """What is due of an hourly schedule whose last fire time was at 11, so late after noon."""
    cron = Cron(expression, "UTC")
    return find_firing(cron, next_at=NOON, catch_up=catch_up, now=NOON + late)


@pytest.mark.parametrize("catch_up", CatchUp)
def test_nothing_is_due_before_its_time_and_one_run_at_it(catch_up: CatchUp) -> None:
    """Whatever is to be done about missed ones; the next one comes an hour later."""
    assert due(catch_up, -timedelta(microseconds=1)) is None
    for late_s in (0, 1, 59):
        firing = due(catch_up, timedelta(seconds=late_s))
        assert (firing.at, firing.missed, firing.message) == (NOON, False, None)
        assert firing.next_at == NOON + timedelta(hours=1)


def test_of_missed_runs_the_last_is_caught_up() -> None:
    """And said so; the next one is in the future."""
    firing = due(CatchUp.LAST, timedelta(hours=5, minutes=3))
    assert (firing.at, firing.missed) == (NOON + timedelta(hours=5), False)
    assert firing.next_at == NOON + timedelta(hours=6)
    assert firing.message == "fire times from 2026-06-01T12:00:00Z on were missed"


def test_missed_runs_may_be_caught_up_one_after_the_other() -> None:
    """The oldest first, but for those beyond the bound; the next one is the one after it."""
    firing = due(CatchUp.ALL, timedelta(hours=5))
    assert (firing.at, firing.message, firing.next_at) == (NOON, None, NOON + timedelta(hours=1))
    firing = due(CatchUp.ALL, timedelta(hours=1000))
    assert firing.at == NOON + timedelta(hours=1000 - MOST_CAUGHT_UP + 1)
    assert firing.message


def test_missed_runs_may_be_left_out() -> None:
    """All of them, the last one included."""
    firing = due(CatchUp.NONE, timedelta(hours=5, minutes=3))
    assert (firing.at, firing.missed) == (NOON + timedelta(hours=5), True)
    assert firing.next_at == NOON + timedelta(hours=6)


def test_years_of_absence_cost_no_time() -> None:
    """A schedule of every minute, forgotten for ten years."""
    late = timedelta(days=3650)
    assert due(CatchUp.LAST, late, "* * * * *").at == NOON + late


def test_the_date_is_filled_in_where_texts_are_the_users() -> None:
    """In the schedule's zone; nothing else in braces means anything, and nothing else of the document is touched."""
    document = {
        "image": "{date}",
        "name": "ndvi-{date}",
        "parameters": {"DAY": "{date}", "LIST": ["{time}", 3, None], "BRACES": "{0} {date!r} {{date}}"},
        "inputs": {"SCENE": {"hrefs": ["file:///eos/{date}.tif", "file:///eos/%7Bdate%7D.tif"]}},
        "array": {"over": "A", "items": [{"href": "file:///{date}/a"}]},
        "labels": {"{date}": "{date}"},
    }
    local = Cron("0 0 * * *", "Asia/Kolkata").local(at("2026-06-01T18:30"))
    assert fill_in(document, at("2026-06-01T18:30"), local) == {
        "image": "{date}",
        "name": "ndvi-2026-06-02",
        "parameters": {
            "DAY": "2026-06-02",
            "LIST": ["2026-06-01T18:30:00Z", 3, None],
            "BRACES": "{0} {date!r} {2026-06-02}",
        },
        "inputs": {"SCENE": {"hrefs": ["file:///eos/2026-06-02.tif"] * 2}},
        "array": {"over": "A", "items": [{"href": "file:///2026-06-02/a"}]},
        "labels": {"{date}": "2026-06-02"},
    }
