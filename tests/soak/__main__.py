"""`python -m tests.soak --minutes 10 --tasks 5000 --seed 1`: exit code 0 when everything has ended exactly as it has to."""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import text

from swath.store.migrate import upgrade
from tests.fixtures.postgres import ABSENT, Server, find_programs
from tests.soak.customer import Customer
from tests.soak.jobs import share_out
from tests.soak.plan import MEAN_GAP_S, Fault, make_plan
from tests.soak.stage import Stage
from tests.soak.verdict import judge, judge_end, judge_logs, judge_rest

TICK_S = 0.05
ROUND_S = 20.0  # between two lots of jobs
STUCK_S = 180.0  # without a task that ends, once all faults are over

console = Console(stderr=True)


def main() -> int:
    given = _parse()
    for number in (signal.SIGTERM, signal.SIGINT):  # what was started is ended all the same
        signal.signal(number, signal.default_int_handler)
    programs = find_programs()
    if programs is None:
        console.print(ABSENT)
        return 2
    directory = Path(tempfile.mkdtemp(prefix="swath-soak-", dir=given.directory))
    with tempfile.TemporaryDirectory(
        prefix="swath-soak-postgres-"
    ) as data:  # PostgreSQL's user may not enter every other
        server = Server(programs, Path(data), fsync=False)
        server.start()
        try:
            report = Soak(directory, server, given).run()
            if report["problems"]:
                _dump(programs, server, directory / "database.sql")
        finally:
            server.stop("immediate")
            shutil.copy(Path(data) / "log", directory / "postgres.log")
    return _tell(report, directory, given)


def _dump(programs: Path, server: Server, path: Path) -> None:
    url = server.url.replace("+psycopg", "")
    subprocess.run([programs / "pg_dump", "--inserts", "--file", path, url], check=False)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long faults come (default %(default)s)")
    parser.add_argument("--tasks", type=int, default=5000, help="in all (default %(default)s)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="of the plan of faults")
    parser.add_argument("--gap", type=float, default=MEAN_GAP_S, help="seconds between faults (default %(default)s)")
    parser.add_argument("--directory", type=Path, help="where the run's directory is made (default: the system's)")
    parser.add_argument("--keep", action="store_true", help="keep it after a success, too")
    return parser.parse_args()


class Soak:
    """One run."""

    def __init__(self, directory: Path, server: Server, given: argparse.Namespace) -> None:
        self.seed, self.tasks, self.duration_s = given.seed, given.tasks, given.minutes * 60
        rounds = max(1, round(self.duration_s / ROUND_S))
        upgrade(server.url)
        self.customer = Customer(server.url, directory, share_out(self.tasks, rounds, self.duration_s / rounds))
        self.stage = Stage(directory, server, find_leader=lambda: self.customer.leader)
        self.plan = make_plan(self.seed, self.duration_s, given.gap)
        self.directory = directory

    def run(self) -> dict[str, Any]:
        """The report."""
        begun = time.monotonic()
        self.stage.start()
        self.customer.start()
        problems: list[str] = []
        try:
            with self._make_progress() as progress:
                self._torment(progress)
                self.stage.restore()
                calm_at = time.monotonic()
                problems += self._await_end(progress)
            over_at = time.monotonic()
            if not problems:
                problems += judge(self.customer, self.stage.cluster.database) + judge_rest(self.stage)
            facts = self._count()
        finally:
            self.stage.restore()
            self.customer.stop()
            self.stage.end()
        problems += judge_end(self.stage) + judge_logs(self.directory) + self.stage.problems
        return {
            "seed": self.seed,
            "tasks": self.tasks,
            "minutes": round((calm_at - begun) / 60, 2),
            "drained_s": round(over_at - calm_at, 1),
            "faults": dict(sorted(self.stage.done.items())),
            **facts,
            "problems": problems,
        }

    def _make_progress(self) -> Progress:
        columns = (TextColumn("{task.description:<36}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        return Progress(*columns, console=console)

    def _torment(self, progress: Progress) -> None:
        bar = progress.add_task(f"seed {self.seed}", total=self.tasks)
        faults, begun = deque(self.plan), time.monotonic()
        with (self.directory / "faults.jsonl").open("w") as log:
            while (passed_s := time.monotonic() - begun) < self.duration_s:
                self.stage.tick()
                while faults and faults[0].at_s <= passed_s:
                    words = self._inject(faults.popleft())
                    print(
                        json.dumps({"t": round(passed_s, 2), "at": time.time(), "fault": words}), file=log, flush=True
                    )
                    progress.update(bar, description=words)
                progress.update(bar, completed=self.customer.ended)
                self._look_after_customer()
                time.sleep(TICK_S)

    def _inject(self, fault: Fault) -> str:
        return self.stage.inject(fault)

    def _await_end(self, progress: Progress) -> list[str]:
        (bar,) = progress.task_ids
        progress.update(bar, description="calm")
        seen, since = -1, time.monotonic()
        while not self.customer.is_done:
            self.stage.tick()
            self._look_after_customer()
            progress.update(bar, completed=self.customer.ended)
            if self.customer.ended != seen:
                seen, since = self.customer.ended, time.monotonic()
            if time.monotonic() - since > STUCK_S:
                return [f"nothing has ended for {STUCK_S:.0f} s: {seen} of {self.tasks} tasks have"]
            time.sleep(TICK_S)
        progress.update(bar, completed=self.customer.ended, description="compared")
        return []

    def _look_after_customer(self) -> None:
        if self.customer.failure is not None:
            raise RuntimeError("the customer has failed") from self.customer.failure

    def _count(self) -> dict[str, Any]:
        with self.stage.cluster.database.read() as session:
            tables = {
                table: {
                    row.state: row.count
                    for row in session.execute(text(f"SELECT state, count(*) AS count FROM {table} GROUP BY state"))
                }
                for table in ("tasks", "attempts")
            }
        return {
            "jobs": len(self.customer.orders),
            "task_states": tables["tasks"],
            "attempts": tables["attempts"],
            "leaders": self.customer.epoch,
        }


def _repeat(given: argparse.Namespace) -> str:
    if given.gap != MEAN_GAP_S:
        options = f"--minutes {given.minutes:g} --tasks {given.tasks} --seed {given.seed} --gap {given.gap:g}"
        return f"python -m tests.soak {options}"
    return f"make soak MINUTES={given.minutes:g} TASKS={given.tasks} SEED={given.seed}"


def _tell(report: dict[str, Any], directory: Path, given: argparse.Namespace) -> int:
    table = Table(title=f"soak, seed {report['seed']}", show_header=False)
    for key, value in report.items():
        shown = ", ".join(f"{name} {count}" for name, count in value.items()) if isinstance(value, dict) else value
        table.add_row(key, str(len(value) if key == "problems" else shown))
    console.print(table)
    failed = bool(report["problems"])
    for problem in report["problems"]:
        console.print(problem, style="red", markup=False, highlight=False)
    print(json.dumps(report))
    if failed:
        console.print(f"FAILED. The same plan again: {_repeat(given)}")
    if failed or given.keep:
        (directory / "report.json").write_text(json.dumps(report))
        console.print(f"logs, outputs, sandboxes and database: {directory}")
    else:
        shutil.rmtree(directory, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
