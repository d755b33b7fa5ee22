"""The exact comparison at the end of a soak."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from swath.domain.retries import Cause, RetryPolicy
from swath.domain.states import AttemptState, TaskState
from swath.store.database import Database
from swath.store.models import Attempt
from swath.store.rows import TaskRow
from tests.integration.evidence import Overlap, find_contradictions, find_debts
from tests.soak.customer import Customer, Order, read_pages
from tests.soak.jobs import OUTPUT
from tests.soak.stage import Stage

SHOWN = 20  # problems of a sort
PATIENCE_S = 60.0
PATIENCE_WITH_ATTEMPTS_S = RetryPolicy().unreachable_s  # no job of the soak names another
GUARDIAN_S = 1.0  # for the guardian (ADR 9), beyond the second that a task waits before it is tried again
UNEXPECTED = ("core_failed", "batch_refused", "event_refused", "event_not_understood", "outside_of_mesos")


def judge(customer: Customer, database: Database) -> list[str]:
    """What is not as it has to be, of jobs, tasks, attempts, outputs and counters; [] when all is."""
    jobs = customer.read_jobs()
    problems = find_contradictions(database)
    for order in customer.orders:
        kind, job = order.part.kind, jobs[order.job_id]
        if job.state is not kind.job_state:
            problems.append(f"job {kind.name} from {order.part.first} is {job.state}: {job.counts}")
        problems += _judge_tasks(customer, order)
    return problems + _judge_runs(customer, database)


def _judge_tasks(customer: Customer, order: Order) -> list[str]:
    job_id, part = order.job_id, order.part
    tasks: list[TaskRow] = read_pages(lambda after: customer.store.list_tasks(job_id, after=after, limit=1000))
    found = {task.index: task for task in tasks}
    problems = (
        [f"{part.kind.name} {job_id} has tasks {sorted(found)}"] if sorted(found) != list(range(part.size)) else []
    )
    for task in tasks:
        complaint = _complain(order, task)
        if complaint:
            problems.append(f"{part.kind.name} {part.first + task.index} ({job_id}): {complaint}")
    return problems[:SHOWN] + _judge_outputs(customer, order)[:SHOWN]


def _complain(order: Order, task: TaskRow) -> str | None:
    kind = order.part.kind
    if (task.state, task.item) != (kind.state, order.part.first + task.index):
        return f"is {task.state} with item {task.item}, cause {task.cause}, exit code {task.exit_code}: {task.message}"
    if kind.is_cancelled:
        return None
    if (task.cause, task.exit_code if kind.exit_code is not None else None) != (kind.cause, kind.exit_code):
        return f"ended with cause {task.cause}, exit code {task.exit_code}: {task.message}"
    if task.failures not in kind.failures:
        return f"has {task.failures} failures"
    return None


def _judge_outputs(customer: Customer, order: Order) -> list[str]:
    """Every task that succeeded has one file with the right bytes, in its winner's directory; no other has any."""
    part, job_id = order.part, order.job_id
    rows = read_pages(lambda after: customer.store.list_outputs(job_id, after=after, limit=1000))
    problems = []
    for row in rows:
        path = Path(row.output_dir) / row.path
        content = path.read_bytes() if path.is_file() else None
        if content != part.kind.expect(part.first + row.task_index) or row.path != OUTPUT:
            problems.append(f"{path} of {part.kind.name} {part.first + row.task_index} holds {content!r}")
    expected = list(range(part.size)) if part.kind.state is TaskState.SUCCEEDED else []
    if sorted(row.task_index for row in rows) != expected:
        problems.append(f"{part.kind.name} {job_id} has outputs of {len(rows)} tasks, not of {len(expected)}")
    return problems


def _judge_runs(customer: Customer, database: Database) -> list[str]:
    """No attempt has run twice, whatever was sent twice, and what has succeeded has run."""
    began, ended = Counter[str](), Counter[str]()
    for diary in customer.diaries.values():
        for line in diary.read():
            (began if line.word == "begin" else ended)[line.attempt] += 1
    fates = _read_fates(database)
    problems = [f"attempt {attempt} has run {count} times" for attempt, count in began.items() if count > 1]
    problems += [f"attempt {attempt} has run and is not in the database" for attempt in began if attempt not in fates]
    won = [attempt for attempt, fate in fates.items() if fate.state is AttemptState.SUCCEEDED]
    problems += [f"attempt {attempt} has succeeded and never ended" for attempt in won if ended[attempt] != 1]
    for name, diary in customer.diaries.items():
        problems += [f"{name}: {words}" for words in judge_overlaps(diary.find_overlaps(), fates)]
    return problems[:SHOWN]


@dataclass(frozen=True, kw_only=True)
class Fate:
    """How an attempt ended, as the database has it."""

    state: AttemptState
    cause: Cause | None = None
    unreachable_at: datetime | None = None


def _read_fates(database: Database) -> dict[str, Fate]:
    columns = (Attempt.id, Attempt.state, Attempt.cause, Attempt.unreachable_at)
    with database.read() as session:
        rows = session.execute(select(*columns)).all()
    return {row.id: Fate(state=row.state, cause=row.cause, unreachable_at=row.unreachable_at) for row in rows}


def judge_overlaps(overlaps: Iterable[Overlap], fates: Mapping[str, Fate]) -> list[str]:
    """Which tasks ran twice at once without an excuse."""
    return [
        f"attempt {overlap.second} began {overlap.seconds:.2f} s before the end of {overlap.first}, which is written as"
        f" {fates.get(overlap.first)}"
        for overlap in overlaps
        if overlap.first not in fates or not _is_excused(overlap, fates[overlap.first])
    ]


def _is_excused(overlap: Overlap, first: Fate) -> bool:
    """Where nobody could do better. That an attempt was replaced is none: by us it may have been, and too early."""
    if first.cause is Cause.AGENT:  # its executor was killed: what that had begun is ended by the guardian
        return True
    if first.unreachable_at is not None:  # "UNREACHABLE waits by the job's policy" (M23)
        return overlap.since - first.unreachable_at.timestamp() >= PATIENCE_WITH_ATTEMPTS_S
    # An executor that had not come back to its agent was killed (TASK_GONE, which is LOST), and the guardian was at it.
    return first.cause is Cause.LOST and overlap.seconds < GUARDIAN_S


def judge_rest(stage: Stage) -> list[str]:
    """What has to be over soon after the last job: updates, journals, processes of tasks."""
    work_dir = stage.directory / "local"
    problems = _wait(lambda: find_debts(work_dir))
    return problems + _wait(lambda: [f"{process} of a task is left" for process in stage.find_task_processes()])


def judge_end(stage: Stage) -> list[str]:
    """After everything was ended: no executor, no guardian."""
    return _wait(lambda: [f"{process} is left" for process in stage.find_all()])


def judge_logs(directory: Path) -> list[str]:
    """What no fault excuses: exceptions that nobody foresaw."""
    problems = []
    for path in directory.glob("scheduler-*.log"):
        for line in path.read_text(errors="replace").splitlines():
            event = json.loads(line).get("event") if line.startswith("{") else None
            if event in UNEXPECTED or "Traceback" in line:
                problems.append(f"{path.name}: {line[:3000]}")
    for path in [directory / "local.log", *(directory / "local").rglob("stderr")]:
        written = path.read_text(errors="replace")
        if "Traceback" in written:
            problems.append(f"{path}: {written[written.index('Traceback') :][:3000]}")
    return problems[:SHOWN]


def _wait(find: Callable[[], list[str]]) -> list[str]:
    """What is still found after some patience."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := find()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found[:SHOWN]
