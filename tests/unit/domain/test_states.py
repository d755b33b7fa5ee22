"""The transition table: complete, monotonic, and the same as its picture in the docs."""

from itertools import product
from pathlib import Path

import pytest

from swath.domain.errors import IllegalTransitionError
from swath.domain.states import (
    PAGE,
    TERMINAL,
    TRANSITIONS,
    AttemptState,
    JobCounts,
    JobState,
    Observation,
    TaskState,
    is_terminal,
    job_state,
    mermaid,
    next_state,
)

LIVE = [state for state in AttemptState if state not in TERMINAL]


@pytest.mark.parametrize(("state", "seen"), list(product(LIVE, Observation)))
def test_every_live_state_knows_what_every_observation_means(state, seen):
    """Whatever Mesos says of a live attempt, the table has an answer."""
    assert isinstance(next_state(state, seen), AttemptState)


@pytest.mark.parametrize(("state", "seen"), list(product(sorted(TERMINAL), Observation)))
def test_an_ended_attempt_refuses_every_observation(state, seen):
    """A terminal attempt never changes, and asking for it raises."""
    with pytest.raises(IllegalTransitionError, match=state):
        next_state(state, seen)


def test_a_late_update_never_takes_an_attempt_back():
    """RUNNING stays RUNNING when STAGING arrives late; KILLING stays KILLING when RUNNING does."""
    assert next_state(AttemptState.RUNNING, Observation.STAGING) is AttemptState.RUNNING
    assert next_state(AttemptState.KILLING, Observation.RUNNING) is AttemptState.KILLING


def test_an_unreachable_attempt_is_found_again_in_its_state():
    """UNREACHABLE is the one state that goes back: to whatever the agent says on its return."""
    assert next_state(AttemptState.UNREACHABLE, Observation.RUNNING) is AttemptState.RUNNING
    assert next_state(AttemptState.UNREACHABLE, Observation.FINISHED) is AttemptState.SUCCEEDED


def test_the_table_ends_only_in_terminal_states_by_terminal_observations():
    """Nothing but an ending ends an attempt."""
    endings = {seen for (_, seen), after in TRANSITIONS.items() if is_terminal(after)}
    assert endings == {
        Observation(name)
        for name in ["FINISHED", "FAILED", "KILLED", "ERROR", "DROPPED", "LOST", "GONE", "GONE_BY_OPERATOR"]
    }


@pytest.mark.parametrize(
    ("counts", "started", "state"),
    [
        (JobCounts(total=2, pending=2), False, JobState.PENDING),
        (JobCounts(total=2, pending=2), True, JobState.RUNNING),
        (JobCounts(total=2, pending=1, succeeded=1), False, JobState.RUNNING),
        (JobCounts(total=2, succeeded=2), True, JobState.SUCCEEDED),
        (JobCounts(total=2, succeeded=1, failed=1), True, JobState.FAILED),
        (JobCounts(total=2, failed=1, cancelled=1), True, JobState.CANCELLED),
    ],
)
def test_a_jobs_state_follows_from_its_counts(counts, started, state):
    """Pending until something starts, then running until all have ended; the worst ending names the job's."""
    assert job_state(counts, started=started) is state


def test_moving_tasks_keeps_the_total():
    """Counts move between states and never appear or vanish."""
    counts = JobCounts(total=5, pending=5).moved(TaskState.PENDING, TaskState.ACTIVE, 2)
    assert (counts.pending, counts.active, counts.total) == (3, 2, 5)


def test_the_diagram_in_the_docs_is_the_tables():
    """`docs/states.md` holds exactly what the table generates."""
    page = (Path(__file__).parents[3] / "docs" / "states.md").read_text()
    assert page == PAGE.format(diagram=mermaid())
