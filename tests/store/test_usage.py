"""The account of usage in the database: additive, once, and read in groups and pages."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from swath.domain.changes import AddAttempt, AddUsage, ChangeAttempt
from swath.domain.errors import LeadershipLostError
from swath.domain.states import AttemptState, TaskState
from swath.domain.usage import Amounts
from swath.store.rows import UsageFilters
from tests.store.build import NOW, a_task, an_attempt

TODAY = NOW.date()


def usage(project="land", user="ada", image="ndvi:1.0.0", outcome="SUCCEEDED", day=TODAY, **amounts) -> AddUsage:
    """Something to add; one attempt unless said otherwise."""
    said = {"attempts": 1, "held_s": 60.0, "cpu_s": 60.0} | amounts
    return AddUsage(day=day, project=project, user=user, image=image, outcome=outcome, amounts=Amounts(**said))


def read(scene, *by, after=None, limit=100, now=NOW, **more):
    """A page of sums."""
    filters = UsageFilters(by=by, **{"first": date(2020, 1, 1), "last": date(2030, 1, 1), **more})
    return scene.api.read_usage(filters, now=now, after=after, limit=limit)


def groups(page) -> list[tuple[str, ...]]:
    """Which groups a page has."""
    return [tuple(row.group.values()) for row in page.items]


def test_nothing_was_used_at_first(scene):
    """An empty page, whatever is asked."""
    assert read(scene).items == read(scene, "project", "day").items == []


def test_what_is_added_adds_up(scene):
    """In one transaction and in several: sums, not the last; every amount by its name."""
    every = Amounts(attempts=2, held_s=1.5, cpu_s=3, mem_mib_s=5, gpu_s=7, used_cpu_s=11, used_mem_mib_s=13)
    every += Amounts(measured_cpu_s=17, measured_mem_mib_s=19, used_mean_mem_mib_s=23, read_mib=29, written_mib=31)
    every += Amounts(received_mib=37, sent_mib=41)
    change = AddUsage(day=TODAY, project="p", user="u", image="i:1", outcome="OOM", amounts=every)
    scene.apply(change, change)
    scene.apply(change)

    (row,) = read(scene, "project", "user", "image", "day", "outcome").items
    assert row.group == {"project": "p", "user": "u", "image": "i:1", "day": "2026-01-01", "outcome": "OOM"}
    assert row.amounts == every + every + every
    assert row.outcomes == {"OOM": 6}


def test_what_another_leader_refuses_is_not_added(scene):
    """The sums are of the transaction: with an old epoch nothing of it is there."""
    with pytest.raises(LeadershipLostError):
        scene.scheduler.apply([usage()], epoch=scene.epoch + 1, now=NOW)

    assert read(scene).items == []


def test_an_end_and_its_account_stand_or_fall_together(scene):
    """An end that is refused, for the attempt has ended, adds nothing: an update told twice is accounted once."""
    job = scene.submit()
    attempt_id = scene.launch(job)
    end = ChangeAttempt(attempt_id=attempt_id, state=AttemptState.SUCCEEDED, ended_at=NOW)
    scene.apply(end, usage())

    with pytest.raises(Exception, match="ended"):
        scene.apply(end, usage())

    (row,) = read(scene).items
    assert row.outcomes == {"SUCCEEDED": 1}


def test_sums_are_by_what_is_asked_for(scene):
    """By project, by user and outcome, by day, and all together; outcomes are counted in each."""
    scene.apply(
        usage(),
        usage(outcome="OOM", cpu_s=5.0),
        usage(user="eve", project="sea"),
        usage(user="eve", day=TODAY - timedelta(days=1), attempts=0),
    )

    assert [(row.group, row.amounts.cpu_s, row.outcomes) for row in read(scene, "project").items] == [
        ({"project": "land"}, 125.0, {"OOM": 1, "SUCCEEDED": 1}),
        ({"project": "sea"}, 60.0, {"SUCCEEDED": 1}),
    ]
    assert groups(read(scene, "user", "outcome")) == [("ada", "OOM"), ("ada", "SUCCEEDED"), ("eve", "SUCCEEDED")]
    assert groups(read(scene, "day")) == [("2025-12-31",), ("2026-01-01",)]
    (everything,) = read(scene).items
    assert (everything.group, everything.amounts.attempts) == ({}, 3)


def test_only_the_days_project_and_user_that_are_asked_for_count(scene):
    """Both ends of the days are included."""
    scene.apply(*(usage(day=TODAY + timedelta(days=offset)) for offset in range(-2, 3)))
    scene.apply(usage(project="sea"), usage(user="eve"))

    days = read(scene, "day", first=TODAY - timedelta(days=1), last=TODAY + timedelta(days=1), project="land")
    assert [day for (day,) in groups(days)] == ["2025-12-31", "2026-01-01", "2026-01-02"]
    assert [row.amounts.attempts for row in days.items] == [1, 2, 1]
    assert groups(read(scene, "project", "user", user="eve")) == [("land", "eve")]


def test_pages_hold_every_group_once_in_one_order(scene):
    """Names of any letters, some with several outcomes, one at a time or many: the same list, in Python's order."""
    names = ["a", "B", "Z", "ä", "a-b", "a.b", "a b", "_", "10", "9", "é", "ab", "🌍", "￿"]
    scene.apply(*(usage(project=name, outcome=outcome) for name in names for outcome in ("SUCCEEDED", "OOM", "LOST")))
    for size in (1, 3, 100):
        found, after = [], None
        while True:
            page = read(scene, "project", "day", after=after, limit=size)
            assert len(page.items) <= size
            assert all(sum(row.outcomes.values()) == 3 for row in page.items)
            found += [project for project, _ in groups(page)]
            if (after := page.next) is None:
                break
        assert found == sorted(names)


def test_what_runs_is_accounted_up_to_now(scene):
    """An attempt that was launched two hours ago, over midnight: its seconds on both days, and RUNNING today."""
    job = scene.submit(project="land")
    before = NOW - timedelta(hours=14)
    scene.apply(usage(), a_task(job, 0, TaskState.ACTIVE), AddAttempt(attempt=an_attempt(job, launched_at=before)))

    first, second = read(scene, "day", "project").items

    assert (first.group["day"], first.amounts.held_s, first.outcomes) == ("2025-12-31", 7200.0, {})
    assert (second.amounts.held_s, second.outcomes) == (12 * 3600 + 60.0, {"RUNNING": 1, "SUCCEEDED": 1})
    assert second.amounts.mem_mib_s == 12 * 3600 * 2048
    (today,) = read(scene, first=TODAY, last=TODAY).items
    assert today.amounts.held_s == 12 * 3600 + 60.0
    assert groups(read(scene, "user", "image", "outcome")) == [
        ("ada", "ndvi:1.0.0", "RUNNING"),
        ("ada", "ndvi:1.0.0", "SUCCEEDED"),
    ]
    assert read(scene, "user", user="eve").items == []


def test_groups_of_running_attempts_come_in_their_place(scene):
    """Projects that only run are among those that have ended ones, page by page."""
    scene.apply(usage(project="b"), usage(project="d"))
    for name in ("a", "c", "d", "e"):
        scene.launch(scene.submit(project=name))
    found, after = [], None
    while True:
        page = read(scene, "project", after=after, limit=2, now=NOW + timedelta(seconds=9))
        found += [(row.group["project"], row.amounts.held_s, row.outcomes) for row in page.items]
        if (after := page.next) is None:
            break

    ended, runs = {"SUCCEEDED": 1}, {"RUNNING": 1}
    assert found == [("a", 9, runs), ("b", 60, ended), ("c", 9, runs), ("d", 69, ended | runs), ("e", 9, runs)]
