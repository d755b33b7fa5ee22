"""kill -9 of the leading scheduler with 50,000 live attempts: when the standby launches, and when it knows of each of them.

The attempts were launched for real, on simulated agents. The leader counts as one of another machine, whose death nobody can
see: the standby has to wait until it has been silent for a lease's time.
"""

from __future__ import annotations

import time

from sqlalchemy import text

from benchmarks.machine import peak_resident_mb
from benchmarks.scale import ABSENT, Programs, scratch, submit, wait_until
from swath.domain.resources import Resources
from swath.store.database import Database

ATTEMPTS = 50_000
MORE = 200  # tasks that wait when the leader dies, and have room
AGENTS = 250
TASK = Resources(cpus_m=100, mem=64)
AGENT = ("--cpus", "21", "--mem", "65536", "--disk", "100000")
TASK_S = 3600.0


def run() -> dict[str, object]:
    """Seconds from the kill, beside the goals, and the largest memory of the scheduler that took over."""
    with scratch() as made:
        if made is None:
            return {"skipped": ABSENT}
        with Programs(*made) as programs:
            return _measure(programs, Database(made[0]))


def _measure(programs: Programs, database: Database) -> dict[str, object]:
    begun = time.perf_counter()
    master = programs.start_local("--simulated-agents", str(AGENTS), "--task-seconds", str(TASK_S), *AGENT)
    programs.start_scheduler("leader", master)
    submit(database, ATTEMPTS, TASK)
    wait_until(lambda: _running(database) == ATTEMPTS, 600, every_s=0.5, what=f"{ATTEMPTS:,} attempts that run")
    filled_s = time.perf_counter() - begun
    standby = programs.start_scheduler("standby", master)
    _hide_leader(database)
    wait_until(lambda: programs.read_metrics("standby"), 30, what="the standby")
    time.sleep(2)  # it has seen the leader alive
    submit(database, MORE, TASK)
    programs.kill("leader")
    killed, epoch = time.perf_counter(), _find_epoch(database)
    spans: dict[str, float] = {}

    def note(name: str, seen: bool) -> bool:
        if seen and name not in spans:
            spans[name] = round(time.perf_counter() - killed, 1)
        return seen

    def look() -> bool:
        note("took over", _find_epoch(database) != epoch)
        metrics = programs.read_metrics("standby")
        note("leads", metrics.get("leading", 0) == 1)
        launched = note("launches", metrics.get("launches_total", 0) > 0)
        asked = metrics.get("updates_total", 0) >= ATTEMPTS
        return launched and note("reconciled", asked and metrics["reconciliation_outstanding"] == 0)

    wait_until(look, 180, every_s=0.1, what="the standby to launch, and to know of all attempts")
    return {
        "live_attempts": ATTEMPTS,
        "filled_in_s": round(filled_s, 1),
        "standby_took_over_after_s": spans["took over"],  # a lease's time, as it cannot know
        "standby_had_loaded_after_s": spans["leads"],
        "first_launch_after_s": spans["launches"],
        "goal_first_launch_s": 15,
        "all_reconciled_after_s": spans["reconciled"],
        "goal_all_reconciled_s": 60,
        "peak_resident_mb": round(peak_resident_mb(standby)),
        "goal_resident_mb": 1000,
        "attempts_lost": _count(database, "state NOT IN ('RUNNING', 'LAUNCHING', 'STAGING')"),
    }


def _running(database: Database) -> int:
    return _count(database, "state = 'RUNNING'")


def _count(database: Database, condition: str) -> int:
    with database.read() as session:
        return int(session.scalar(text(f"SELECT count(*) FROM attempts WHERE {condition}")) or 0)


def _find_epoch(database: Database) -> int:
    with database.read() as session:
        return int(session.scalar(text("SELECT epoch FROM leadership")) or 0)


def _hide_leader(database: Database) -> None:
    """Give the leader another machine's name: it leads on by its epoch, and the standby cannot see it die."""
    with database.write() as session:
        session.execute(text("UPDATE leadership SET holder = 'elsewhere'"))
