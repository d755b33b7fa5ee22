"""No system at all: `xargs` starts the next process where one has ended, which is what this machine can do at best."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.systems.port import Ran

CHUNK = 500  # tasks between two looks at the clock


@dataclass(frozen=True)
class Xargs:
    """So many processes at a time."""

    slots: int

    def run(self, command: Sequence[str], tasks: int, budget_s: float) -> Ran:
        """Chunk by chunk until all are done or the time is over."""
        began, ended = time.perf_counter(), 0
        while ended < tasks and time.perf_counter() - began < budget_s:
            chunk = min(CHUNK, tasks - ended)
            self._run_chunk(command, chunk)
            ended += chunk
        return Ran(tasks=tasks, ended=ended, seconds=time.perf_counter() - began)

    def _run_chunk(self, command: Sequence[str], tasks: int) -> None:
        """`-I` takes a line a process, and puts it nowhere: the command has no place for it."""
        lines = "\n".join(map(str, range(tasks)))
        subprocess.run(["xargs", f"-P{self.slots}", "-I{}", *command], input=lines, text=True, check=True)


@contextmanager
def start(slots: int) -> Iterator[Xargs]:
    """There is nothing to start."""
    yield Xargs(slots)
