"""What the jobs before allow, on values alone; and orders, cycles and sentences."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.domain.dependencies import (
    Condition,
    CyclicError,
    Dependency,
    Upstream,
    in_order,
    make_upstream,
    split,
    why_dropped,
    why_waiting,
)
from swath.domain.jobs import JobSpec
from swath.domain.ranges import Ranges
from swath.domain.states import JobCounts, TaskState

SIZE = 12
STATES = st.lists(st.sampled_from(list(TaskState)), min_size=SIZE, max_size=SIZE)
CONDITIONS = st.sampled_from(list(Condition))


def ranges(indices) -> Ranges:
    """A set of indices."""
    return Ranges().add(indices)


def an_upstream(states: list[TaskState], name: str = "first", *, by_index: bool = True) -> Upstream:
    """A job with tasks in these states."""
    counts = JobCounts(total=len(states), **{state.value.lower(): states.count(state) for state in TaskState})
    if not by_index:
        return Upstream(id=name, name=name, counts=counts)
    rows = {state: ranges(at for at, found in enumerate(states) if found is state) for state in TaskState}
    return make_upstream(id=name, name=name, counts=counts, pending=Ranges(), dropped=Ranges(), rows=rows)


def allowed(states: list[TaskState], condition: Condition, index: int) -> str:
    """What the plain reading of the rules says of one task after its counterpart."""
    ended = all(state not in (TaskState.PENDING, TaskState.ACTIVE) for state in states)
    if states[index] is TaskState.SUCCEEDED:
        return "ready"
    if states[index] in (TaskState.PENDING, TaskState.ACTIVE):
        return "blocked"
    if condition is Condition.ENDED:
        return "ready"
    return "dropped" if ended else "blocked"


@given(STATES, CONDITIONS, st.sets(st.integers(0, SIZE - 1)))
def test_task_by_task_each_follows_its_counterpart(states, condition, never_ran):
    """Ranges give what the rule says index by index, and divide the tasks without a remainder."""
    entry = Dependency(job="first", condition=condition, elementwise=True)
    parts = split([entry], {"first": an_upstream(states)}, ranges(never_ran), started=False)
    for index in never_ran:
        assert index in getattr(parts, allowed(states, condition, index))
    assert parts.ready.count + parts.blocked.count + parts.dropped.count == len(never_ran)


@given(STATES, CONDITIONS, st.booleans())
def test_as_a_whole_all_tasks_wait_start_or_fail(states, condition, started):
    """Together; a job that has started is past it."""
    parts = split(
        [Dependency(job="first", condition=condition)],
        {"first": an_upstream(states, by_index=False)},
        Ranges.of(5),
        started=started,
    )
    ended = all(state not in (TaskState.PENDING, TaskState.ACTIVE) for state in states)
    good = ended and (condition is Condition.ENDED or set(states) == {TaskState.SUCCEEDED})
    expected = "ready" if started or good else "dropped" if ended else "blocked"
    assert getattr(parts, expected) == Ranges.of(5)


@given(STATES, STATES, CONDITIONS, CONDITIONS)
def test_the_strictest_of_several_jobs_counts(left, right, one, other):
    """Dropped by one is dropped, whatever the other does; ready takes both."""
    upstream = {"left": an_upstream(left, "left"), "right": an_upstream(right, "right")}
    after = [
        Dependency(job="left", condition=one, elementwise=True),
        Dependency(job="right", condition=other, elementwise=True),
    ]
    parts = split(after, upstream, Ranges.of(SIZE), started=False)
    for index in range(SIZE):
        found = {allowed(left, one, index), allowed(right, other, index)}
        expected = "dropped" if "dropped" in found else "blocked" if "blocked" in found else "ready"
        assert index in getattr(parts, expected)


@given(STATES)
def test_a_stored_job_is_read_without_what_has_succeeded(states):
    """Those are the others: with rows for all the rest, and ranges for those without a row."""
    assert an_upstream(states).succeeded == ranges(
        at for at, state in enumerate(states) if state is TaskState.SUCCEEDED
    )
    bad = (TaskState.FAILED, TaskState.CANCELLED)
    assert an_upstream(states).unsuccessful == ranges(at for at, state in enumerate(states) if state in bad)


@pytest.mark.parametrize(("waiting", "unsuccessful"), [(True, ((2, 4),)), (False, ((2, 10),))])
def test_tasks_without_a_row_wait_together_or_have_ended_together(waiting, unsuccessful):
    """But for those that were dropped alone."""
    left = 6 if waiting else 0
    counts = JobCounts(total=10, pending=left, succeeded=2, failed=8 - left)
    known = make_upstream(
        id="x", name="x", counts=counts, pending=Ranges(((2, 10),)), dropped=Ranges(((2, 4),)), rows={}
    )
    assert (known.succeeded.spans, known.unsuccessful.spans) == (((0, 2),), unsuccessful)


def cycle_of(after) -> list[str] | None:
    """The cycle that is named."""
    try:
        in_order(after)
    except CyclicError as error:
        return error.cycle
    return None


GRAPHS = st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdefx"), max_size=3))


@given(GRAPHS)
def test_jobs_come_behind_those_that_they_wait_for_or_a_cycle_is_named(after):
    """Each arrow of the cycle is one of the graph; what is no key is there already."""
    cycle = cycle_of(after)
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert len(cycle) > 1
        assert all(later in after[job] for job, later in pairwise(cycle))
        return
    order = in_order(after)
    assert sorted(order) == sorted(after)
    place = {job: at for at, job in enumerate(order)}
    assert all(place[other] < place[job] for job, others in after.items() for other in others if other in after)


def test_a_sentence_says_what_is_waited_for():
    """One task, several jobs, tasks in vain; none once everything holds."""
    one = {"first": an_upstream([TaskState.ACTIVE], by_index=False)}
    assert why_waiting([Dependency(job="first")], one, started=False) == "waits for job first (first): 0 of 1 task done"
    assert why_waiting([Dependency(job="first")], one, started=True) is None
    done = {"first": an_upstream([TaskState.SUCCEEDED], by_index=False)}
    assert why_waiting([Dependency(job="first")], done, started=False) is None
    states = [TaskState.FAILED, TaskState.PENDING, TaskState.SUCCEEDED]
    both = {name: an_upstream(states, name) for name in ("first", "other")}
    after = [Dependency(job="first", elementwise=True), Dependency(job="other")]
    assert why_waiting(after, both, started=False) == (
        "each task waits for its counterpart in job first (first): 2 of 3 tasks done, 1 of them in vain,"
        " and for 1 more job"
    )


def test_a_sentence_says_which_job_did_not_succeed():
    """The first that ended otherwise."""
    upstream = {
        "good": an_upstream([TaskState.SUCCEEDED], "good"),
        "bad": an_upstream([TaskState.CANCELLED, TaskState.SUCCEEDED], "bad"),
    }
    after = [Dependency(job="good"), Dependency(job="bad")]
    assert why_dropped(after, upstream) == (
        "job bad (bad), which had to succeed before, was cancelled: 1 of 2 tasks succeeded"
    )


def test_a_document_says_what_is_waited_for():
    """All of a job's success, unless it says otherwise."""
    spec = JobSpec.from_document(
        {"image": "a", "after": [{"job": "x"}, {"job": "y", "condition": "ended", "elementwise": True}]}
    )
    assert spec.after == (Dependency(job="x"), Dependency(job="y", condition=Condition.ENDED, elementwise=True))
