"""Why an attempt ended badly, and whether its task gets another one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol

from swath.domain.backoff import back_off_s
from swath.domain.resources import LARGEST, Resources


class Cause(StrEnum):
    """Why an attempt did not succeed."""

    APP = "APP"  # the command ended with an exit code other than 0
    DATA = "DATA"  # the same, and the manifest puts that code into the category "data"
    OUTPUT = "OUTPUT"  # declared outputs are missing, too many, or not files
    OOM = "OOM"  # the engine says that memory ran out
    DISK = "DISK"  # more written than was asked for
    TIMEOUT = "TIMEOUT"
    INPUT = "INPUT"  # an input is missing, is not what was declared, or lies outside of what may be read
    TRANSFER = "TRANSFER"  # where an input comes from, or what lies between, does not work for now
    IMAGE = "IMAGE"  # the image cannot be had or started
    SPEC = "SPEC"  # Mesos or the executor refuses the task as it is
    KILLED = "KILLED"  # by request
    LOST = "LOST"  # the agent, or what ran on it, is gone
    AGENT = "AGENT"  # the executor or the engine of the agent failed
    DROPPED = "DROPPED"  # never started
    DRAINED = "DRAINED"  # ended because its agent was to be emptied
    PREEMPTED = "PREEMPTED"  # ended because something else needed its resources more
    UNBEGUN = "UNBEGUN"  # handed over to a slot ahead of its turn, which never came
    DEPENDENCY = "DEPENDENCY"  # never ran: a job that had to succeed before did not


# "DROPPED and REASON_INVALID_OFFERS: never started, retry for free" (MESOS.md, M19); what the platform did to a task is not
# the task's failure either. A limit stands against a task that kills every executor which it meets.
FREE = frozenset(
    {Cause.LOST, Cause.AGENT, Cause.TRANSFER, Cause.DROPPED, Cause.DRAINED, Cause.PREEMPTED, Cause.UNBEGUN}
)
FREE_LIMIT = 10  # in a row
# What we have decided to do to a task says nothing of it: it may happen any number of times, and there is nothing to wait for.
OUR_DOING = frozenset({Cause.DRAINED, Cause.PREEMPTED, Cause.UNBEGUN})
FIRST_FREE_DELAY_S = 1.0
LONGEST_FREE_DELAY_S = 60.0

# How an attempt may end without a word about the agent that it ran on.
SAYS_NOTHING_OF_AGENT = OUR_DOING | {Cause.KILLED, Cause.SPEC, Cause.TRANSFER}

# Another run would end the same way.
_POINTLESS = frozenset({Cause.DATA, Cause.OUTPUT, Cause.INPUT, Cause.SPEC, Cause.KILLED})

LONGEST_BACKOFF_S = 3600.0
JITTER = 0.25  # a wait is longer by at most this share, so that what failed together does not come back together
DEFAULT_GROWTH = 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How an attempt ended that did not succeed."""

    cause: Cause
    exit_code: int | None = None
    error: str | None = None  # name of the image's own error with this exit code

    @property
    def selectors(self) -> tuple[str, ...]:
        """What a policy may call it, the most telling first."""
        named = () if self.error is None else (f"{ERROR}:{self.error}",)
        numbered = () if self.exit_code is None else (f"{self.cause}:{self.exit_code}",)
        return (*named, *numbered, self.cause)


ERROR = "ERROR"  # before the name of one of the image's errors
EXIT_CODES = range(1, 256)


def find_complaint(selector: str) -> str | None:
    """Why a policy cannot mean any end by `selector`; None for CAUSE, CAUSE:EXIT_CODE and ERROR:NAME."""
    head, colon, rest = selector.partition(":")
    if head == ERROR:
        return None if rest else "needs the name of one of the image's errors: ERROR:NAME"
    if head not in Cause.__members__:
        return f"is no cause; causes are {', '.join(Cause)}, or say CAUSE:EXIT_CODE or ERROR:NAME"
    if colon and rest not in map(str, EXIT_CODES):
        return f"needs an exit code from {EXIT_CODES[0]} to {EXIT_CODES[-1]} behind {head}:"
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reaction:
    """What a job's policy says about one kind of end."""

    fail: bool = False  # no further attempt
    grow_mem: float = 1.0  # factor on the memory of the next attempt
    cap: int | None = None  # MiB; the memory grows no further
    grow_disk: float = 1.0
    cap_disk: int | None = None  # MiB

    @classmethod
    def from_document(cls, selector: str, document: str | Mapping[str, Any]) -> Reaction:
        """`"fail"`, `"retry"` (as it was), or what is to grow; what is not said grows as it does by itself."""
        if isinstance(document, str):
            return cls(fail=document == "fail")
        said = {name: document[name] for name in _GROWTH if document.get(name) is not None}
        return replace(_DEFAULTS.get(selector, cls()), fail=False, **said)

    def grown(self, asked: Resources) -> Resources:
        """What the next attempt asks for, never less than `asked`."""
        mem = _grown(asked.mem, self.grow_mem, self.cap)
        disk = _grown(asked.disk, self.grow_disk, self.cap_disk)
        return asked if (mem, disk) == (asked.mem, asked.disk) else replace(asked, mem=mem, disk=disk)


_GROWTH = ("grow_mem", "cap", "grow_disk", "cap_disk")


def _grown(asked: int, factor: float, cap: int | None) -> int:
    return max(asked, round(min(asked * factor, cap or LARGEST, LARGEST)))


# What a task that ran out of something needs is more of it; everything else is tried again as it was, or not at all.
_DEFAULTS: Mapping[str, Reaction] = {
    **{cause: Reaction(fail=cause in _POINTLESS) for cause in Cause},
    Cause.OOM: Reaction(grow_mem=DEFAULT_GROWTH),
    Cause.DISK: Reaction(grow_disk=DEFAULT_GROWTH),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """How often and when a task is tried again."""

    max_attempts: int = 3  # attempts that count, the first included
    unreachable_s: float = 300.0  # an attempt on an agent that does not answer is replaced after so long
    backoff_s: float = 10.0  # before the second attempt; doubles for each further one
    max_backoff_s: float = LONGEST_BACKOFF_S  # and never grows beyond this
    learn: bool = True  # ask for what others of the same image version turned out to need
    on: Mapping[str, Reaction] = field(default_factory=lambda: MappingProxyType({}))  # by selector, as `End` lists them

    def reaction(self, end: End) -> Reaction:
        """What to do about `end`: as the job says, else as is sensible."""
        said = next((self.on[name] for name in end.selectors if name in self.on), None)
        return _DEFAULTS[end.cause] if said is None else said


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """The next attempt of a task."""

    delay_s: float
    free: bool  # costs none of the policy's attempts
    free_retries: int = 0  # in a row, this one included, that are held against the task
    resources: Resources


@dataclass(frozen=True, kw_only=True, slots=True)
class GiveUp:
    """No further attempt."""

    why: str  # in one sentence
    lacking: bool = False  # no agent has what it needs


class Largest(Protocol):
    """MiB of "mem" or "disk" that the best agent has for a task that asks for `asked` of everything else; None if unknown."""

    def __call__(self, resource: str, asked: Resources, /) -> int | None: ...


def decide_retry(
    policy: RetryPolicy,
    end: End,
    *,
    failures: int,
    free_retries: int,
    asked: Resources,
    largest: Largest,
    jitter: float = 0.0,
) -> Retry | GiveUp:
    """The next attempt of a task whose attempt with `asked` just came to `end`, or why there is none.

    `failures` counts the attempts that cost something, this one included if it does; `free_retries` those in a row,
    just before this one, that did not. A task that needs more than the largest agent has failed. `jitter` is 0 to 1.
    """
    reaction = policy.reaction(end)
    if reaction.fail:
        return GiveUp(why=_why_pointless(policy, end))
    if end.cause in OUR_DOING:
        return Retry(delay_s=0.0, free=True, free_retries=free_retries, resources=asked)
    if end.cause in FREE:
        if free_retries >= FREE_LIMIT:
            return GiveUp(why=f"{free_retries} attempts in a row have ended by no fault of its own: no more are given")
        delay_s = _wait_s(FIRST_FREE_DELAY_S, free_retries, LONGEST_FREE_DELAY_S, jitter)
        return Retry(delay_s=delay_s, free=True, free_retries=free_retries + 1, resources=asked)
    if failures >= policy.max_attempts:
        return GiveUp(why=f"it has had {policy.max_attempts} of {policy.max_attempts} attempts")
    resources = bounded(reaction.grown(asked), asked, largest)
    if isinstance(resources, GiveUp):
        return resources
    delay_s = _wait_s(policy.backoff_s, failures - 1, policy.max_backoff_s, jitter)
    return Retry(delay_s=delay_s, free=False, resources=resources)


def bounded(wanted: Resources, asked: Resources, largest: Largest) -> Resources | GiveUp:
    """`wanted`, which is at least `asked`, as far as an agent has it; GiveUp where none has more than `asked`."""
    for resource, words in (("mem", "memory"), ("disk", "disk")):
        had, more = getattr(asked, resource), getattr(wanted, resource)
        most = largest(resource, wanted) if more > had else None
        if most is not None and most <= had:
            return GiveUp(why=f"no agent has more {words} for a task than {had} MiB", lacking=True)
        wanted = wanted if most is None else replace(wanted, **{resource: min(more, most)})
    return wanted


def jitter_of(job_id: str, index: int, number: int) -> float:
    """A share from 0 to 1 that is the task's own in each of its attempts, and the same whoever works it out."""
    digest = hashlib.blake2b(f"{job_id}/{index}/{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32


def _wait_s(first_s: float, repeats: int, longest_s: float, jitter: float) -> float:
    return min(longest_s, back_off_s(first_s, repeats, longest_s=longest_s) * (1 + JITTER * jitter))


def _why_pointless(policy: RetryPolicy, end: End) -> str:
    said = next((name for name in end.selectors if name in policy.on), None)
    return f"{end.cause} would come again" if said is None else f"its retry policy says so of {said}"
