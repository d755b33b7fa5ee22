"""Jobs whose results are known beforehand, the failures included."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from swath.domain.retries import Cause
from swath.domain.states import JobState, TaskState
from tests.integration.evidence import Diary

OUTPUT = "result.txt"
CANCEL_AFTER_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What the tasks of a job do, and how they have to end."""

    name: str
    share: float  # of all tasks
    body: str = ""  # before the output is written; {scratch} is a directory of the run
    writes: bool = True
    state: TaskState = TaskState.SUCCEEDED
    cause: Cause | None = None
    exit_code: int | None = None
    failures: frozenset[int] = frozenset({0})  # attempts that count, whatever was lost beside them
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the job

    @property
    def is_cancelled(self) -> bool:
        return self.state is TaskState.CANCELLED

    @property
    def job_state(self) -> JobState:
        return JobState(self.state.value)

    def script(self, diary: Diary, scratch: Path) -> str:
        """The shell script of a task with the number INDEX."""
        write = f'printf %s "{self.name}-$INDEX" | sha256sum | cut -c 1-64 > "$OUTPUT_DIR/{OUTPUT}"'
        lines = [diary.say("begin"), self.body.format(scratch=scratch), write if self.writes else "", diary.say("end")]
        return "\n".join([*lines, ""])

    def expect(self, number: int) -> bytes:
        """What the task with that number has to leave."""
        return hashlib.sha256(f"{self.name}-{number}".encode()).hexdigest().encode() + b"\n"


def _retry(most: int) -> Mapping[str, Any]:
    return {"retry": {"max_attempts": most, "backoff_s": 0.2}}


KINDS = (
    Kind(name="sums", share=0.48),
    Kind(name="naps", share=0.30, body="sleep 0.3"),
    Kind(name="sleeps", share=0.08, body="sleep 5"),  # long enough for a second attempt to be seen beside the first
    Kind(
        name="flaky",  # mkdir tells the first run from the others, whichever attempt it was
        share=0.05,
        body="mkdir {scratch}/$INDEX 2>/dev/null && exit 9",
        failures=frozenset({0, 1}),
        fields=_retry(3),
    ),
    Kind(
        name="fails",
        share=0.05,
        body="exit 7",
        state=TaskState.FAILED,
        cause=Cause.APP,
        exit_code=7,
        failures=frozenset({2}),
        fields=_retry(2),
    ),
    Kind(name="forgets", share=0.02, writes=False, state=TaskState.FAILED, cause=Cause.OUTPUT, failures=frozenset({1})),
    Kind(
        name="hangs",
        share=0.01,
        body="sleep 600",
        state=TaskState.FAILED,
        cause=Cause.TIMEOUT,
        failures=frozenset({1}),
        fields={"timeout_s": 3, **_retry(1)},
    ),
    Kind(name="unwanted", share=0.01, body="sleep 600", state=TaskState.CANCELLED),
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A job to submit."""

    at_s: float  # after the beginning
    kind: Kind
    first: int  # the number of its first task; no two tasks of a kind have the same
    size: int


def share_out(tasks: int, rounds: int, round_s: float) -> list[Part]:
    """All jobs of a run, in order: in each round one of every kind, `tasks` tasks in all."""
    parts = []
    for kind, size in zip(KINDS, _split(tasks, [kind.share for kind in KINDS]), strict=True):
        first = 0
        for number, count in enumerate(_split(size, [1 / rounds] * rounds)):
            if count:
                parts.append(Part(at_s=number * round_s, kind=kind, first=first, size=count))
            first += count
    return sorted(parts, key=lambda part: part.at_s)


def _split(total: int, shares: list[float]) -> list[int]:
    """Whole numbers in these proportions whose sum is `total`."""
    bounds, passed = [0], 0.0
    for share in shares:
        passed += share
        bounds.append(round(total * passed))
    return [after - before for before, after in pairwise(bounds)]
