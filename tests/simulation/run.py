"""Runs seeds, and says of each that fails how to see it again."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import secrets
import subprocess
import time
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from random import Random

import structlog

from tests.simulation.sabotage import SABOTAGES
from tests.simulation.world import World

PROCESSES = 2
LARGEST = 2**53
SEEDS_A_SWEEP = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What became of a seed."""

    seed: int
    digest: str  # of everything that happened
    virtual_s: float
    tasks: int
    faults: int
    cpu_s: float
    error: str | None = None  # what was violated, or what raised, with the way there
    story: str = ""  # the last things that happened

    @property
    def replay(self) -> str:
        """The command that does the same again."""
        return f"make simulate SEEDS=s:{self.seed}"

    def __str__(self) -> str:
        if self.error is None:
            return f"seed {self.seed}: {self.tasks} tasks, {self.faults} faults, {self.virtual_s:.0f} s in {self.cpu_s:.1f} s"
        return f"seed {self.seed} FAILED: {self.error}\n{self.story}\nreplay it with: {self.replay}"


def parse_seeds(text: str) -> list[int]:
    """The seeds of "100" (so many fresh ones), "0-999" (a range, its end included), "s:12345" (that one) or "commit" (those
    that this commit's tests run).
    """
    if text == "commit":
        return draw_seeds_of_commit(100)
    if text.startswith("s:"):
        return [int(text[2:])]
    first, dash, last = text.partition("-")
    return list(range(int(first), int(last) + 1)) if dash else draw_seeds(int(text))


def draw_seeds(count: int) -> list[int]:
    """Seeds that nobody has seen, from the operating system."""
    return [secrets.randbelow(LARGEST) for _ in range(count)]


def draw_seeds_of_commit(count: int) -> list[int]:
    """Seeds that are new with each commit, and the same for all who test it: its tests pass or fail, whoever runs them.

    Where something is changed, or there is no commit, they come from the operating system.
    """
    commit = find_commit()
    return draw_seeds(count) if commit is None else [Random(f"{commit}/{n}").randrange(LARGEST) for n in range(count)]


def find_commit() -> str | None:
    """The commit that is checked out; None where any of its files is changed."""
    root = Path(__file__).parent
    try:
        if subprocess.check_output(["git", "status", "--porcelain", "--untracked-files=no"], cwd=root):
            return None
        return subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=root, text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def run_seed(seed: int, sabotage: str = "", trace: Path | None = None) -> Result:
    """One hour of that seed, in this process."""
    begun, logs, collects = time.process_time(), structlog.get_config(), gc.isenabled()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    gc.disable()  # what is left over goes at the end, at once
    try:
        with trace.open("w") if trace else _nowhere() as out:
            return _run(SABOTAGES[sabotage](seed, out), begun)
    finally:
        structlog.configure(**logs)
        if collects:
            gc.enable()
            gc.collect()


class _nowhere:
    """A file that is none."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        return None


def _run(world: World, begun: float) -> Result:
    error, story = None, ""
    try:
        world.run()
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}\n{''.join(traceback.format_tb(problem.__traceback__)[-3:])}"
        story = "\n".join(world.trace.last)
    return Result(
        seed=world.seed,
        digest=world.trace.digest,
        virtual_s=world.timeline.now,
        tasks=world.users.accepted,
        faults=world.faults.done,
        cpu_s=time.process_time() - begun,
        error=error,
        story=story,
    )


def _prepare() -> None:
    """A process that only runs seeds: of the modules' objects, a hundred thousand, nothing is ever left over."""
    gc.disable()
    gc.freeze()


def _run_and_sweep(number: int, seed: int, sabotage: str) -> Result:
    """What seeds leave over goes after a few of them."""
    result = run_seed(seed, sabotage)
    if number % SEEDS_A_SWEEP == 0:
        gc.collect()
    return result


def run_seeds(seeds: Iterable[int], sabotage: str = "", processes: int = PROCESSES) -> Iterator[Result]:
    """All of them side by side, each as it ends."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_prepare) as pool:
        futures = [pool.submit(_run_and_sweep, number, seed, sabotage) for number, seed in enumerate(seeds)]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)
