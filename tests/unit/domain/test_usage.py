"""What an attempt is accounted for: requested, used, and by day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.domain.resources import Resources
from swath.domain.usage import AMOUNTS, MOVED, Amounts, account, split_days
from tests.fixtures import properties  # noqa: F401 (sets the profile)

EVENING = datetime(2026, 6, 1, 23, tzinfo=UTC)
ASKED = Resources(cpus_m=1500, mem=1000, gpus=2)


def hours(number: float) -> datetime:
    """So long after eleven in the evening."""
    return EVENING + timedelta(hours=number)


def total(entries: list[tuple[date, Amounts]]) -> Amounts:
    """All days together."""
    return sum((amounts for _, amounts in entries), Amounts())


def test_what_was_requested_is_held_from_the_launch_to_the_end():
    """Half an hour of 1.5 CPUs, 1000 MiB and 2 GPUs; nothing is known to have been used."""
    ((day, amounts),) = account(ASKED, hours(0), hours(0.5))

    assert day == date(2026, 6, 1)
    assert amounts == Amounts(attempts=1, held_s=1800, cpu_s=2700, mem_mib_s=1_800_000, gpu_s=3600)


def test_an_attempt_over_midnight_is_divided_there():
    """One hour of the first day, all of the second, two of the third, which counts it; what it used is spread evenly."""
    used = {"wall_s": 27 * 3600.0, "cpu_s": 2700.0, "max_mem": 500.0}
    entries = account(ASKED, hours(0), hours(27), used)

    assert [(day.day, amounts.held_s, amounts.attempts) for day, amounts in entries] == [
        (1, 3600, 0),
        (2, 24 * 3600, 0),
        (3, 2 * 3600, 1),
    ]
    assert [amounts.used_cpu_s for _, amounts in entries] == pytest.approx([100, 2400, 200])
    assert total(entries).used_mem_mib_s == pytest.approx(500 * 27 * 3600)


def test_a_day_is_one_of_utc():
    """One in the morning in Rome in summer is eleven in the evening of the day before."""
    rome = timezone(timedelta(hours=2))

    assert list(split_days(hours(0).astimezone(rome), hours(0.5).astimezone(rome))) == [(date(2026, 6, 1), 1800.0)]


def test_an_attempt_that_ends_at_midnight_is_counted_on_the_day_that_begins():
    """All of its seconds are of the day before."""
    entries = account(ASKED, hours(0), hours(1))

    assert [(day.day, amounts.held_s, amounts.attempts) for day, amounts in entries] == [(1, 3600, 0), (2, 0, 1)]


def test_an_attempt_that_held_nothing_is_counted():
    """Its agent's clock may say that it ended before it was launched."""
    assert account(ASKED, hours(0), hours(-30), {"cpu_s": 1.0}) == [
        (date(2026, 5, 31), Amounts(attempts=1, used_cpu_s=1.0))
    ]


def test_memory_used_is_the_largest_over_the_run():
    """Staging is held and not used: an hour held, half of it run."""
    amounts = total(account(ASKED, hours(0), hours(1), {"wall_s": 1800.0, "max_mem": 250.0}))

    assert (amounts.mem_mib_s, amounts.measured_mem_mib_s, amounts.used_mem_mib_s) == (3_600_000, 3_600_000, 450_000)
    assert (amounts.used_cpu_s, amounts.measured_cpu_s) == (0, 0)


def test_the_mean_and_what_was_moved_stand_beside_it():
    """Divided by days as the rest is; the mean over the run, the bytes as they were."""
    moved = {"read_mib": 100.0, "written_mib": 10.0, "received_mib": 4.0, "sent_mib": 2.0}
    used = {"wall_s": 2 * 3600.0, "max_mem": 500.0, "mean_mem": 200.0, **moved, "unknown": 7.0}
    entries = account(ASKED, hours(0), hours(2), used)

    assert total(entries).used_mean_mem_mib_s == pytest.approx(200 * 2 * 3600)
    assert [amounts.read_mib for _, amounts in entries] == pytest.approx([50, 50])
    assert {name: getattr(total(entries), name) for name in MOVED} == pytest.approx(moved)


@pytest.mark.parametrize(
    "used",
    [
        {"cpu_s": -1.0, "max_mem": -1.0, "mean_mem": -1.0, "read_mib": -1.0},
        {"mean_mem": float("nan"), "read_mib": float("inf"), "sent_mib": 1e30},
        {"cpu_s": float("nan"), "max_mem": float("inf")},
        {"cpu_s": 1e30, "max_mem": 1e30},
        {"wall_s": float("nan"), "max_mem": 10.0},
        {"wall_s": 10.0},
        {},
    ],
)
def test_what_makes_no_sense_is_no_measurement(used):
    """Nothing of it gets into the sums, and what was requested is not counted as measured."""
    amounts = total(account(ASKED, hours(0), hours(1), used))

    assert (amounts.used_cpu_s, amounts.used_mem_mib_s, amounts.used_mean_mem_mib_s) == (0, 0, 0)
    assert all(getattr(amounts, name) == 0 for name in MOVED)
    assert (amounts.measured_cpu_s, amounts.measured_mem_mib_s) == (0, 0)
    assert amounts.cpu_s == 5400


@given(
    st.floats(0, 400_000),
    st.floats(0, 400_000),
    st.fixed_dictionaries({}, optional={"cpu_s": st.floats(0, 1000), "max_mem": st.floats(0, 1000)}),
)
def test_the_days_add_up_to_the_whole(start_s, length_s, used):
    """However many midnights lie between: one attempt, all of its seconds, and all that it used."""
    begin = EVENING + timedelta(seconds=start_s)
    end = begin + timedelta(seconds=length_s)
    held_s = (end - begin).total_seconds()
    entries = account(ASKED, begin, end, used)
    summed = total(entries)

    assert (summed.attempts, summed.used_cpu_s) == (1, pytest.approx(used.get("cpu_s", 0)))
    assert (summed.held_s, summed.cpu_s) == (pytest.approx(held_s), pytest.approx(1.5 * held_s))
    assert [day for day, _ in entries] == sorted({day for day, _ in entries})
    assert all(getattr(amounts, name) >= 0 for _, amounts in entries for name in AMOUNTS)
    assert all(amounts.held_s <= 86_400 for _, amounts in entries)
