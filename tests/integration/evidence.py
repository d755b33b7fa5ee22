"""What a cluster has done, from every side: what really ran, what the database says, what agents and executors still owe."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from executor.journal import NAME as EXECUTOR_JOURNAL
from executor.journal import read_journal
from local.agent_checkpoint import replay
from local.journal import Journal
from local.server import find_journals
from swath.store.database import Database


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line that a task has appended."""

    word: str  # "begin" or "end"
    index: int
    attempt: str
    at: float  # seconds since 1970, by the clock of the machine


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Two attempts of one index that were alive at once."""

    first: str
    second: str  # began before the first one's end
    since: float  # the second one's begin, in seconds since 1970
    seconds: float  # until the first one's end


class Diary:
    """A file to which every attempt appends a line as it begins and one as it ends; no database and no Mesos in between."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def script(self, seconds: float = 0, until: Path | None = None) -> str:
        """A shell script for a task with an INDEX, which takes `seconds`, and then as long as `until` is no file.

        `>>` opens for appending, so lines of many processes never mix.
        """
        sleep = f"sleep {seconds}" if seconds else ""
        wait = f"while [ ! -e {until} ]; do sleep 0.1; done" if until else ""
        return "\n".join([self.say("begin"), sleep, wait, self.say("end"), ""])

    def say(self, word: str) -> str:
        """The command that appends a line."""
        return f'date "+{word} $INDEX $SWATH_ATTEMPT %s.%N" >> {self.path}'

    def read(self) -> list[Line]:
        """The lines so far."""
        words = (line.split() for line in self.path.read_text().splitlines())
        return [Line(word=word, index=int(index), attempt=attempt, at=float(at)) for word, index, attempt, at in words]

    def count(self, word: str) -> Counter[int]:
        """How often each index has said `word`."""
        return Counter(line.index for line in self.read() if line.word == word)

    def find_overlaps(self) -> list[Overlap]:
        """Each attempt that ended, with every other of the same index that began between its begin and its end."""
        open_ones: dict[int, dict[str, list[Line]]] = {}  # index -> attempt that has begun -> begins after it
        found = []
        for line in self.read():
            running = open_ones.setdefault(line.index, {})
            if line.word == "end":
                found += [_to_overlap(begin, line) for begin in running.pop(line.attempt, ())]
            else:
                for followers in running.values():
                    followers.append(line)
                running[line.attempt] = []
        return found


def _to_overlap(begin: Line, end: Line) -> Overlap:
    return Overlap(first=end.attempt, second=begin.attempt, since=begin.at, seconds=end.at - begin.at)


def find_contradictions(database: Database) -> list[str]:
    """What must never be in a database whose jobs have ended, with the numbers; [] when all is well."""
    problems = []
    with database.read() as session:
        for what, query in _QUESTIONS.items():
            rows = session.execute(text(query)).all()
            if rows:
                problems.append(f"{what}: {[tuple(row) for row in rows[:5]]} and so on, {len(rows)} in all")
    return problems


_COUNTED = " + ".join(
    f"abs({column}_count - (SELECT count(*) FROM tasks WHERE tasks.job_id = jobs.id AND tasks.state = '{state}'))"
    for column, state in (("active", "ACTIVE"), ("succeeded", "SUCCEEDED"), ("failed", "FAILED"))
)
_QUESTIONS = {
    "attempts that are open": "SELECT id, state FROM attempts"
    " WHERE state IN ('LAUNCHING', 'STAGING', 'RUNNING', 'KILLING', 'UNREACHABLE')",
    "jobs that have not ended": "SELECT id, state FROM jobs WHERE state IN ('PENDING', 'RUNNING')",
    "tasks that have not ended": "SELECT job_id, \"index\", state FROM tasks WHERE state IN ('PENDING', 'ACTIVE')",
    "counters that are not the rows": f"SELECT id, active_count, succeeded_count, failed_count FROM jobs WHERE {_COUNTED} <> 0",
    "tasks that succeeded without a winner that succeeded": 'SELECT t.job_id, t."index", t.winner_attempt FROM tasks t'
    " WHERE t.state = 'SUCCEEDED' AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.id = t.winner_attempt"
    " AND a.job_id = t.job_id AND a.task_index = t.\"index\" AND a.state = 'SUCCEEDED')",
    "tasks that did not succeed and have a winner": 'SELECT job_id, "index", winner_attempt FROM tasks'
    " WHERE state <> 'SUCCEEDED' AND winner_attempt IS NOT NULL",
    "tasks with two attempts that succeeded": "SELECT job_id, task_index, count(*) FROM attempts"
    " WHERE state = 'SUCCEEDED' GROUP BY job_id, task_index HAVING count(*) > 1",
    "attempts that are accounted for never or twice": 'SELECT project, "user", image, outcome, sum(more) FROM'
    " (SELECT j.project, j.\"user\", i.name || ':' || i.version AS image, coalesce(a.cause, 'SUCCEEDED') AS outcome,"
    " 1 AS more FROM attempts a JOIN jobs j ON j.id = a.job_id JOIN image_versions i ON i.id = j.image_version_id"
    ' UNION ALL SELECT project, "user", image, outcome, -attempts FROM usage) AS counted'
    ' GROUP BY project, "user", image, outcome HAVING sum(more) <> 0',
}


def find_debts(work_dir: Path) -> list[str]:
    """What agents under `work_dir` have not been acknowledged, and what their executors have not ended."""
    debts = []
    for path in find_journals(work_dir):
        state = replay(Journal(path).read())
        for task in state.tasks.values() if state else ():
            waiting = [status["state"] for status in task.pending]
            debts.append(f"{path.parent.parent.name} keeps task {task.task_id} {task.state}, unacknowledged: {waiting}")
    for path in work_dir.rglob(EXECUTOR_JOURNAL):
        debts += [
            f"executor {path.parent.name} has begun and not ended {entry.attempt}" for entry in read_journal(path)
        ]
    return debts
