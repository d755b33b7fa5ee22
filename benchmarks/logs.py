"""Does shipping a log slow the task that writes it? One that computes and writes 50 MB/s, with and without it, in turns."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from swath.domain.log_archive import log_directory
from tests.executor.agent import Agent
from tests.executor.scripts import a_run

ROUNDS = 5
MIB = 400  # of each log
GOAL_MB_S, GOAL_SLOWED = 50, 0.05
PATIENCE_S = 120.0
# Hashing stands for the work of which the log tells; how much of it makes the wanted rate is found first.
TASK = """
import hashlib, os, sys, time
chunk, repeats = (b"x" * 127 + b"\\n") * 8192, {repeats}
began, used = time.perf_counter(), time.process_time()
for _ in range({mib}):
    for _ in range(repeats): hashlib.sha256(chunk).digest()
    os.write(1, chunk)
print(time.perf_counter() - began, time.process_time() - used, file=sys.stderr)
"""


def run() -> dict[str, object]:
    """Seconds of the task either way, and how far behind the archive was at its end."""
    with tempfile.TemporaryDirectory(prefix="swath-logs-") as name:
        root = Path(name)
        limits = {"SWATH_LOG_LIMIT_MIB": str(2 * MIB), "SWATH_KEPT_LOGS_MIB": "1"}
        without = Agent(root / "without", **limits).start()
        shipping = Agent(root / "with", SWATH_LOGS_ROOT=str(root / "logs"), **limits).start()
        try:
            repeats = _find_repeats(without)
            _run(shipping, repeats, root / "logs", [])
            cpu = {agent: _cpu_s(agent) for agent in (without, shipping)}
            seconds: dict[str, list[float]] = {"without": [], "shipping": []}
            behind: list[float] = []
            for _ in range(ROUNDS):
                seconds["without"].append(_run(without, repeats))
                seconds["shipping"].append(_run(shipping, repeats, root / "logs", behind))
            idle, busy = (_cpu_s(agent) - before for agent, before in cpu.items())
        finally:
            without.stop()
            shipping.stop()
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    ratios = [b / a for a, b in zip(seconds["without"], seconds["shipping"], strict=True)]
    return {
        "rounds": ROUNDS,
        "mib_a_log": MIB,
        "mb_s_without": round(MIB * 1.048576 / medians["without"], 1),
        "mb_s_shipping": round(MIB * 1.048576 / medians["shipping"], 1),
        "goal_mb_s": GOAL_MB_S,
        "slowed_by": round(statistics.median(ratios) - 1, 4),
        "slowed_by_at_best": round(min(seconds["shipping"]) / min(seconds["without"]) - 1, 4),
        "goal_slowed_by": GOAL_SLOWED,
        # What another's load on the machine does not change: CPU of the executor, which the task could have had.
        "core_at_the_goal": round((busy - idle) / (ROUNDS * MIB * 1.048576) * GOAL_MB_S, 4),
        "whole_after_s": round(statistics.median(behind), 2),
    }


def _cpu_s(agent: Agent) -> float:
    """Seconds of CPU that the executor has used."""
    if agent.process is None:
        raise RuntimeError("the executor does not run")
    times = psutil.Process(agent.process.pid).cpu_times()
    return float(times.user + times.system)


def _find_repeats(agent: Agent) -> int:
    """How often a chunk has to be hashed so that the task writes a little more than the goal on a machine of its own."""
    once, idle = (_run(agent, repeats, cpu=True) / MIB for repeats in (1, 0))
    wanted = 1.048576 / (GOAL_MB_S * 1.1)  # seconds a MiB
    return max(1, round((wanted - idle) / max(once - idle, 1e-6)))


def _run(
    agent: Agent, repeats: int, logs: Path | None = None, behind: list[float] | None = None, *, cpu: bool = False
) -> float:
    """Seconds that one task took by its own clock, or that it used of a CPU; its logs are removed."""
    spec = a_run(agent, f"log-{repeats}", TASK.format(repeats=repeats, mib=MIB))
    update = agent.run(spec)
    if update.state != "TASK_FINISHED":
        raise RuntimeError(f"the task did not finish: {update.message}")
    ended = time.perf_counter()
    took, used = map(float, agent.log(update, "stderr").split())
    if logs is not None and behind is not None:
        complete = logs / log_directory(spec.job, spec.task, spec.attempt)
        while not complete.exists():
            if time.perf_counter() - ended > PATIENCE_S:
                raise RuntimeError("the log was never shipped whole")
            time.sleep(0.01)
        behind.append(time.perf_counter() - ended)
        if (complete / "stdout").stat().st_size != MIB * 2**20:
            raise RuntimeError("the shipped log is not whole")
        shutil.rmtree(complete)
    shutil.rmtree(agent.sandbox / "attempts" / spec.attempt)
    return used if cpu else took
