"""`python -m benchmarks [NAME ...]`: run the named benchmarks, or all: one JSON document, and tables beside it.

The document goes to the standard output, the tables to the other one, each as soon as it is there. One that fails, or does
not end within a quarter of an hour, says so in its figures and leaves the others to be run; the exit code is 1 then.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from benchmarks.machine import describe, loop_ns
from benchmarks.table import render

ALL = (
    *("submit", "latency", "refill", "throughput", "slots", "idle", "updates", "launches", "failover", "wire", "flood"),
    *("containers", "logs", "matching", "firstfit", "packing", "fairness", "whole_agent", "preemption", "rivals"),
    *("bands", "composites", "mosaics", "subsets", "atmosphere", "decoding", "needs"),
)
LIMIT_S = 900.0  # for each


class OverdueError(BaseException):
    """A benchmark has had its time. None of `Exception`, which what runs may catch and go on."""


def main(names: list[str]) -> int:
    """Run and print; exit code 1 where one failed, 2 for an unknown name."""
    unknown = set(names) - set(ALL)
    if unknown:
        sys.stderr.write(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}\n")
        return 2
    machine = describe()
    figures = {name: _run(name) for name in names or ALL}
    print(json.dumps({"machine": machine, **figures}, indent=2))
    return int(any("failed" in found for found in figures.values()))


def _run(name: str) -> dict[str, object]:
    """The figures of one benchmark, how busy and how fast the machine was when it began, and how long it took."""
    before, began = {"load_before": round(os.getloadavg()[0], 2), "loop_ns_before": round(loop_ns())}, time.monotonic()
    figures = {**measure(name), **before, "took_s": round(time.monotonic() - began)}
    sys.stderr.write(render(name, figures) + "\n\n")
    return figures


def measure(name: str, limit_s: float = LIMIT_S) -> dict[str, object]:
    """The figures of one benchmark, or why there are none: hours of others are not to be lost for it."""
    try:
        with _limited(limit_s):
            figures: dict[str, object] = importlib.import_module(f"benchmarks.{name}").run()
    except (Exception, OverdueError) as error:
        sys.stderr.write(traceback.format_exc())
        return {"failed": f"{type(error).__name__}: {error}"[-500:]}
    return figures


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """OverdueError in the middle of what takes longer, so that it can still clean up."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise OverdueError(f"not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
