"""The one table of states: which state of an attempt may follow which, and what a task's and a job's state derive from.

Everything that affects the state machine stands in this file; whoever changes a state asks `next_state`. The diagram in
docs/states.md is generated from the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from swath.domain.errors import IllegalTransitionError


class AttemptState(StrEnum):
    """The state of one run of a task."""

    LAUNCHING = "LAUNCHING"  # recorded, and handed to Mesos or about to be
    STAGING = "STAGING"  # an agent has it; the executor, the image or the inputs are on their way
    RUNNING = "RUNNING"
    KILLING = "KILLING"  # asked to end, within its grace
    UNREACHABLE = "UNREACHABLE"  # its agent does not answer; it may be running still
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    KILLED = "KILLED"
    LOST = "LOST"  # Mesos knows for certain that it does not run, and nobody can say how it ended


class Observation(StrEnum):
    """What Mesos says of an attempt: a task state without its prefix."""

    STAGING = "STAGING"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    KILLING = "KILLING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"
    ERROR = "ERROR"
    DROPPED = "DROPPED"
    LOST = "LOST"
    GONE = "GONE"
    GONE_BY_OPERATOR = "GONE_BY_OPERATOR"
    UNREACHABLE = "UNREACHABLE"
    UNKNOWN = "UNKNOWN"


class TaskState(StrEnum):
    """The state of one element of a job's array, derived from its attempts and from what is desired."""

    PENDING = "PENDING"  # waits for its first attempt or for its next
    ACTIVE = "ACTIVE"  # has an attempt that has not ended
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class JobState(StrEnum):
    """The state of a job, derived from the counts of its tasks."""

    PENDING = "PENDING"  # no task has started
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Desired(StrEnum):
    """What the user wants of a job."""

    RUN = "RUN"
    CANCELLED = "CANCELLED"


TERMINAL = frozenset({AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.KILLED, AttemptState.LOST})
ENDED_TASK = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED})
ENDED_JOB = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})

# How an attempt ends is the same from every live state: updates may come late, twice and out of order.
_ENDINGS = {
    Observation.FINISHED: AttemptState.SUCCEEDED,
    Observation.FAILED: AttemptState.FAILED,
    Observation.KILLED: AttemptState.KILLED,
    Observation.ERROR: AttemptState.FAILED,
    Observation.DROPPED: AttemptState.LOST,
    Observation.LOST: AttemptState.LOST,
    Observation.GONE: AttemptState.LOST,
    # "GONE_BY_OPERATOR is terminal but may return" (MESOS.md, M23): whoever returns is killed, for its attempt has ended.
    Observation.GONE_BY_OPERATOR: AttemptState.LOST,
    Observation.UNREACHABLE: AttemptState.UNREACHABLE,
}

_A, _O = AttemptState, Observation

# What a live attempt becomes when it is seen alive. A later state never goes back to an earlier one, except out of
# UNREACHABLE, where the attempt is found again in whatever state it is in. UNKNOWN says nothing: it may still be running.
_PROGRESS: dict[tuple[AttemptState, Observation], AttemptState] = {
    (_A.LAUNCHING, _O.STAGING): _A.STAGING,
    (_A.LAUNCHING, _O.STARTING): _A.STAGING,
    (_A.LAUNCHING, _O.RUNNING): _A.RUNNING,
    (_A.LAUNCHING, _O.KILLING): _A.KILLING,
    (_A.LAUNCHING, _O.UNKNOWN): _A.LAUNCHING,
    (_A.STAGING, _O.STAGING): _A.STAGING,
    (_A.STAGING, _O.STARTING): _A.STAGING,
    (_A.STAGING, _O.RUNNING): _A.RUNNING,
    (_A.STAGING, _O.KILLING): _A.KILLING,
    (_A.STAGING, _O.UNKNOWN): _A.STAGING,
    (_A.RUNNING, _O.STAGING): _A.RUNNING,
    (_A.RUNNING, _O.STARTING): _A.RUNNING,
    (_A.RUNNING, _O.RUNNING): _A.RUNNING,
    (_A.RUNNING, _O.KILLING): _A.KILLING,
    (_A.RUNNING, _O.UNKNOWN): _A.RUNNING,
    (_A.KILLING, _O.STAGING): _A.KILLING,
    (_A.KILLING, _O.STARTING): _A.KILLING,
    (_A.KILLING, _O.RUNNING): _A.KILLING,
    (_A.KILLING, _O.KILLING): _A.KILLING,
    (_A.KILLING, _O.UNKNOWN): _A.KILLING,
    (_A.UNREACHABLE, _O.STAGING): _A.STAGING,
    (_A.UNREACHABLE, _O.STARTING): _A.STAGING,
    (_A.UNREACHABLE, _O.RUNNING): _A.RUNNING,
    (_A.UNREACHABLE, _O.KILLING): _A.KILLING,
    (_A.UNREACHABLE, _O.UNKNOWN): _A.UNREACHABLE,
}

TRANSITIONS = MappingProxyType(
    _PROGRESS
    | {(state, seen): after for state in AttemptState if state not in TERMINAL for seen, after in _ENDINGS.items()}
)


def is_terminal(state: AttemptState) -> bool:
    """True when the attempt has ended and never changes again."""
    return state in TERMINAL


def next_state(state: AttemptState, observation: Observation) -> AttemptState:
    """The state after Mesos said `observation` of an attempt in `state`.

    Raises IllegalTransitionError for an ended attempt: it never changes, and the caller decides what to do with news of it.
    """
    try:
        return TRANSITIONS[(state, observation)]
    except KeyError:
        raise IllegalTransitionError(f"an attempt that is {state} cannot become anything by {observation}") from None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobCounts:
    """How many tasks of a job are in which state; they add up to `total`."""

    total: int
    pending: int = 0
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0

    def moved(self, before: TaskState, after: TaskState, tasks: int = 1) -> JobCounts:
        """The counts once `tasks` tasks have gone from `before` to `after`."""
        if before == after:
            return self
        names = {name: getattr(self, name) for name in ("pending", "active", "succeeded", "failed", "cancelled")}
        names[before.value.lower()] -= tasks
        names[after.value.lower()] += tasks
        return JobCounts(total=self.total, **names)

    @property
    def ended(self) -> int:
        """Tasks that will not run again."""
        return self.succeeded + self.failed + self.cancelled

    @property
    def complete(self) -> bool:
        """True when every task has ended."""
        return self.ended == self.total


def job_state(counts: JobCounts, *, started: bool) -> JobState:
    """A job's state; `started` says whether any of its tasks has ever been launched."""
    if not counts.complete:
        return JobState.RUNNING if started or counts.active or counts.ended else JobState.PENDING
    if counts.cancelled:
        return JobState.CANCELLED
    return JobState.FAILED if counts.failed else JobState.SUCCEEDED


def mermaid() -> str:
    """The attempt's state diagram in Mermaid's notation, one arrow for each pair of different states."""
    arrows: dict[tuple[AttemptState, AttemptState], list[str]] = {}
    for (state, seen), after in TRANSITIONS.items():
        if state != after:
            arrows.setdefault((state, after), []).append(seen.value)
    lines = ["stateDiagram-v2", "    [*] --> LAUNCHING"]
    lines += [f"    {before} --> {after}: {', '.join(seen)}" for (before, after), seen in arrows.items()]
    lines += [f"    {state} --> [*]" for state in AttemptState if state in TERMINAL]
    return "\n".join(lines) + "\n"


PAGE = """# The states of an attempt

Generated by `python -m swath.domain.states` from the table in `swath/domain/states.py`, the only place that decides them; a
test compares this page with it. Beside each arrow stand the Mesos task states that cause it.

```mermaid
{diagram}```

A task's state derives from its attempts and from what is desired: `PENDING` (waits for its first attempt or the next), `ACTIVE`
(has an attempt that has not ended), `SUCCEEDED`, `FAILED`, `CANCELLED`. A job's state derives from the counts of its tasks.
"""

if __name__ == "__main__":
    print(PAGE.format(diagram=mermaid()), end="")  # noqa: T201 - a generator of a page
