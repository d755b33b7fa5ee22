"""Why an attempt ended badly, and whether its task gets another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from swath.domain.backoff import back_off_s


class Cause(StrEnum):
    """Why an attempt did not succeed."""

    APP = "APP"  # the command ended with an exit code other than 0
    DATA = "DATA"  # the same, and the manifest puts that code into the category "data"
    OUTPUT = "OUTPUT"  # declared outputs are missing, too many, or not files
    OOM = "OOM"  # the engine says that memory ran out
    DISK = "DISK"  # more written than was asked for
    TIMEOUT = "TIMEOUT"
    INPUT = "INPUT"  # an input is missing on the agent, or lies outside of what may be read
    IMAGE = "IMAGE"  # the image cannot be had or started
    SPEC = "SPEC"  # Mesos or the executor refuses the task as it is
    KILLED = "KILLED"  # by request
    LOST = "LOST"  # the agent, or what ran on it, is gone
    AGENT = "AGENT"  # the executor or the engine of the agent failed
    DROPPED = "DROPPED"  # never started
    DRAINED = "DRAINED"  # ended because its agent was to be emptied
    PREEMPTED = "PREEMPTED"  # ended because something else needed its resources more


# "DROPPED and REASON_INVALID_OFFERS: never started, retry for free" (MESOS.md, M19); what the platform did to a task is not
# the task's failure either. A limit stands against a task that kills every executor which it meets.
FREE = frozenset({Cause.LOST, Cause.AGENT, Cause.DROPPED, Cause.DRAINED, Cause.PREEMPTED})
FREE_LIMIT = 10  # in a row
# What we have decided to do to a task says nothing of it: it may happen any number of times, and there is nothing to wait for.
OUR_DOING = frozenset({Cause.DRAINED, Cause.PREEMPTED})
FIRST_FREE_DELAY_S = 1.0
LONGEST_FREE_DELAY_S = 60.0

# Another run would end the same way.
_POINTLESS = frozenset({Cause.DATA, Cause.OUTPUT, Cause.INPUT, Cause.SPEC, Cause.KILLED})

LONGEST_BACKOFF_S = 3600.0
LARGEST_MEM = 2**40  # MiB; whatever factor a job names, the product stays a number


@dataclass(frozen=True, kw_only=True, slots=True)
class Reaction:
    """What a job's policy says about one cause."""

    fail: bool = False  # no further attempt
    grow_mem: float = 1.0  # factor on the memory of the next attempt
    cap: int | None = None  # MiB; the memory grows no further


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """How often and when a task is tried again."""

    max_attempts: int = 3  # attempts that count, the first included
    unreachable_s: float = 300.0  # an attempt on an agent that does not answer is replaced after so long
    backoff_s: float = 10.0  # before the second attempt; doubles for each further one
    on: Mapping[Cause, Reaction] = field(default_factory=lambda: MappingProxyType({}))

    def reaction(self, cause: Cause) -> Reaction:
        """What to do about `cause`: as the job says, else as is sensible."""
        return self.on.get(cause) or _default_reaction(cause)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """The next attempt of a task."""

    delay_s: float
    free: bool  # costs none of the policy's attempts
    free_retries: int = 0  # in a row, this one included, that are held against the task
    mem: int  # MiB


def _default_reaction(cause: Cause) -> Reaction:
    if cause is Cause.OOM:
        return Reaction(grow_mem=1.5)
    return Reaction(fail=cause in _POINTLESS)


def decide_retry(
    policy: RetryPolicy, cause: Cause, *, failures: int, free_retries: int, mem: int, largest_mem: int | None = None
) -> Retry | None:
    """The next attempt of a task whose attempt with `mem` MiB just ended by `cause`; None when it has failed for good.

    `failures` counts the attempts that cost something, this one included if it does; `free_retries` those in a row,
    just before this one, that did not. `largest_mem` MiB is what the best agent has: a task that needs more has failed.
    """
    reaction = policy.reaction(cause)
    if reaction.fail:
        return None
    if cause in OUR_DOING:
        return Retry(delay_s=0.0, free=True, free_retries=free_retries, mem=mem)
    if cause in FREE:
        if free_retries >= FREE_LIMIT:
            return None
        delay_s = back_off_s(FIRST_FREE_DELAY_S, free_retries, longest_s=LONGEST_FREE_DELAY_S)
        return Retry(delay_s=delay_s, free=True, free_retries=free_retries + 1, mem=mem)
    if failures >= policy.max_attempts:
        return None
    grown = max(mem, round(min(mem * reaction.grow_mem, reaction.cap or LARGEST_MEM, LARGEST_MEM)))
    if grown > mem and largest_mem is not None:
        if mem >= largest_mem:
            return None
        grown = min(grown, largest_mem)
    delay_s = back_off_s(policy.backoff_s, failures - 1, longest_s=LONGEST_BACKOFF_S)
    return Retry(delay_s=delay_s, free=False, mem=grown)
