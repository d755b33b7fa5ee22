"""10,000 trivial tasks beside the rivals: tasks a second of the whole system, and how long a slot is idle between two.

Every system has the same number of slots on this machine, and runs one task a slot: a slot a core, where the way from a
task's end to the next one's start counts, and many more, where all that counts is what a task costs. `true` is run for the
rate; a script that writes down when it began and ended is run for the idle time, which therefore holds the start of its shell
in every system. `xargs` shows what the machine itself allows.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.spans import describe_gaps, find_gaps, read_spans
from benchmarks.systems import bare, hyperqueue, slurm, swath
from benchmarks.systems.port import AbsentError, Ran, Running, Start

TASKS = 10_000
STAMPED = 1_000
BUDGET_S = 20.0  # for either; who is not ready by then is judged by what has ended
SLOTS, MANY_SLOTS = 2, 64
STAMP = Path(__file__).parent / "stamp" / "stamp"

SYSTEMS: dict[str, Start] = {
    "bare_xargs": bare.start,
    "swath_sqlite": swath.start_on_sqlite,
    "swath_postgresql": swath.start_on_postgres,
    "hyperqueue": hyperqueue.start,
    "slurm": slurm.start,
}


def run() -> dict[str, object]:
    """One system after the other."""
    few = {f"{name}_{SLOTS}_slots": measure(start, SLOTS) for name, start in SYSTEMS.items()}
    many = {f"{name}_{MANY_SLOTS}_slots": measure(start, MANY_SLOTS) for name, start in SYSTEMS.items()}
    return {**few, **many}


def measure(
    start: Start, slots: int, tasks: int = TASKS, stamped: int = STAMPED, budget_s: float = BUDGET_S
) -> dict[str, object]:
    """The figures of one system, or why there are none; the idle time only where each slot has a core."""
    load = round(os.getloadavg()[0], 2)
    try:
        # What was cancelled may still write a stamp: the directory goes when the system has gone.
        with _scratch() as stamps, start(slots) as running:
            ran = running.run(["true"], tasks, budget_s)
            idle = _measure_idle(running, stamps, stamped, budget_s, slots) if slots <= SLOTS else {}
    except AbsentError as error:
        return {"skipped": str(error)}
    except Exception as error:  # the others' figures are not to be lost for it
        return {"failed": f"{type(error).__name__}: {error}"[-500:]}
    return {**describe_run(ran), **idle, "load_before": load}


def describe_run(ran: Ran) -> dict[str, object]:
    """The rate; and where not all have ended, how long all would have taken at that rate."""
    figures: dict[str, object] = {"tasks": ran.tasks, "ended": ran.ended, "seconds": round(ran.seconds, 2)}
    figures["tasks_per_s"] = round(ran.per_s, 1)
    if 0 < ran.ended < ran.tasks:
        figures["seconds_extrapolated"] = round(ran.tasks / ran.per_s)
    return figures


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="swath-stamps-", ignore_cleanup_errors=True) as directory:
        yield Path(directory) / "stamps"


def _measure_idle(running: Running, stamps: Path, tasks: int, budget_s: float, slots: int) -> dict[str, float]:
    running.run([str(STAMP), str(stamps)], tasks, budget_s)
    return describe_gaps(find_gaps(read_spans(stamps), slots))
