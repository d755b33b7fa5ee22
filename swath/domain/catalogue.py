"""The one table of an image version's states: which may follow which, and who may say so.

A version is registered, verified, and active until a better one makes it deprecated; a retired one never runs again. Only what
is active or deprecated is run, the latter with a warning. Jobs that were accepted go on whatever becomes of their image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from swath.domain.errors import ConflictError, ForbiddenError
from swath.domain.retries import OUR_DOING, Cause
from swath.domain.usage import RUNNING, SUCCEEDED


class ImageState(StrEnum):
    """The state of one version of an image."""

    REGISTERED = "REGISTERED"  # known, and nothing has been tried yet
    VERIFYING = "VERIFYING"  # its smoke test runs on the cluster
    ACTIVE = "ACTIVE"
    REJECTED = "REJECTED"  # did not pass, or somebody said no
    DEPRECATED = "DEPRECATED"  # runs, with a warning; serves a name only where nothing active does
    RETIRED = "RETIRED"  # never runs again


class Mover(StrEnum):
    """Who wants a version to be in another state."""

    SERVICE = "SERVICE"  # Swath itself: verification, and the promotion policy
    OWNER = "OWNER"  # of the image
    APPROVER = "APPROVER"


RUNNABLE = frozenset({ImageState.ACTIVE, ImageState.DEPRECATED})

_S, _M = ImageState, Mover
_OURS = frozenset({_M.SERVICE, _M.APPROVER})
_THEIRS = frozenset({_M.OWNER, _M.APPROVER})
_ANYBODY = frozenset(Mover)

TRANSITIONS: Mapping[tuple[ImageState, ImageState], frozenset[Mover]] = MappingProxyType(
    {
        (_S.REGISTERED, _S.VERIFYING): _ANYBODY,
        (_S.REGISTERED, _S.ACTIVE): _OURS,
        (_S.REGISTERED, _S.REJECTED): _OURS,
        (_S.REGISTERED, _S.RETIRED): _THEIRS,
        (_S.VERIFYING, _S.REGISTERED): _OURS,  # the cluster could not say: the version is as unknown as before
        (_S.VERIFYING, _S.ACTIVE): _OURS,
        (_S.VERIFYING, _S.REJECTED): _OURS,
        (_S.REJECTED, _S.VERIFYING): _ANYBODY,  # what failed by accident is tried again
        (_S.REJECTED, _S.ACTIVE): frozenset({_M.APPROVER}),
        (_S.REJECTED, _S.RETIRED): _THEIRS,
        (_S.ACTIVE, _S.DEPRECATED): _THEIRS,
        (_S.ACTIVE, _S.RETIRED): _THEIRS,  # a hole in it does not wait
        (_S.DEPRECATED, _S.ACTIVE): _THEIRS,
        (_S.DEPRECATED, _S.RETIRED): _THEIRS,
    }
)


def check_move(before: ImageState, after: ImageState, mover: Mover, what: str) -> None:
    """Return where the version `what` may go on to `after`; raise ConflictError that says what could follow, or
    ForbiddenError that says who might.
    """
    allowed = TRANSITIONS.get((before, after))
    if allowed is None:
        ways = ", ".join(state for first, state in TRANSITIONS if first is before)
        raise ConflictError(
            f"{what} is {before} and cannot become {after}; "
            + (f"it may become {ways}" if ways else "that is for good")
        )
    if mover not in allowed:
        who = " or ".join(sorted(entry.lower() for entry in allowed))
        raise ForbiddenError(f"{what} is {before}; only the {who} makes it {after}")


def why_not_runnable(state: ImageState, what: str) -> str | None:
    """Why a job of the version `what` is refused; None where it may run."""
    match state:
        case ImageState.REGISTERED | ImageState.VERIFYING:
            return f"{what} is {state}: it runs once it has been verified and promoted"
        case ImageState.REJECTED | ImageState.RETIRED:
            return f"{what} is {state} and does not run; `swath images history` says why"
        case _:
            return None


# How an attempt may end badly without a word about its image.
_NOT_ITS_FAULT = OUR_DOING | {Cause.KILLED, Cause.LOST, Cause.AGENT, Cause.DROPPED, Cause.DEPENDENCY, Cause.INPUT}


def failure_rate(outcomes: Mapping[str, int]) -> float | None:
    """Of the attempts that say something about the image the part that failed, from attempts by outcome; None without any."""
    failed = sum(count for outcome, count in outcomes.items() if _counts_against(outcome))
    total = failed + outcomes.get(SUCCEEDED, 0)
    return failed / total if total else None


def _counts_against(outcome: str) -> bool:
    return outcome not in (SUCCEEDED, RUNNING) and outcome not in _NOT_ITS_FAULT


def mermaid(transitions: Iterable[tuple[ImageState, ImageState]] = TRANSITIONS) -> str:
    """The state diagram in Mermaid's notation; beside each arrow stands who may go it."""
    lines = ["stateDiagram-v2", "    [*] --> REGISTERED"]
    for before, after in transitions:
        who = ", ".join(sorted(entry.lower() for entry in TRANSITIONS[before, after]))
        lines.append(f"    {before} --> {after}: {who}")
    return "\n".join([*lines, "    RETIRED --> [*]"]) + "\n"
