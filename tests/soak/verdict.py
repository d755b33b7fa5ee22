"""The exact comparison at the end of a soak."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import text

from swath.domain.retries import FREE
from swath.domain.states import TaskState
from swath.store.database import Database
from swath.store.rows import TaskRow
from tests.integration.evidence import find_contradictions, find_debts
from tests.soak.customer import Customer, Order, read_pages
from tests.soak.jobs import OUTPUT
from tests.soak.stage import Stage

SHOWN = 20  # problems of a sort
PATIENCE_S = 60.0
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
    with database.read() as session:
        rows = session.execute(text("SELECT id, state, cause FROM attempts")).all()
    states = {row.id: row.state for row in rows}
    excused = {
        row.id for row in rows if row.cause in FREE
    }  # its executor was dead: what it had begun ends a moment later
    problems = [f"attempt {attempt} has run {count} times" for attempt, count in began.items() if count > 1]
    problems += [f"attempt {attempt} has run and is not in the database" for attempt in began if attempt not in states]
    won = [attempt for attempt, state in states.items() if state == "SUCCEEDED"]
    problems += [f"attempt {attempt} has succeeded and never ended" for attempt in won if ended[attempt] != 1]
    for diary in customer.diaries.values():
        for first, second in diary.find_overlaps():
            if first not in excused:
                problems.append(f"attempt {second} of {diary.path.stem} began while {first} ({states.get(first)}) ran")
    return problems[:SHOWN]


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
