"""Jobs after others: no first attempt before its time, by what is written in the same commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from swath.domain.attempts import Attempt
from swath.domain.changes import AddAttempt, Change
from swath.domain.dependencies import Split, split
from swath.domain.ranges import Ranges
from swath.store.rows import JobRecord

if TYPE_CHECKING:
    from tests.simulation.database import SimDatabase


def divide(database: SimDatabase, job: JobRecord, never_ran: Ranges, *, started: bool) -> Split:
    """What the jobs before `job` allow, by the rows."""
    upstream = {known.id: known for known in database.complete(job).upstream}
    return split(job.spec.after, upstream, never_ran, started=started)


class JobOrder:
    """Knows which jobs have started."""

    def __init__(self, database: SimDatabase) -> None:
        self._database = database
        self._started: set[str] = set()

    def on_commit(self, changes: Sequence[Change]) -> Iterator[str]:
        """What is wrong with the launches among the changes, which are written."""
        launched = [change.attempt for change in changes if isinstance(change, AddAttempt)]
        for attempt in launched:
            if attempt.number == 1 and not self._is_ready(attempt):
                yield f"{attempt.id} of {attempt.job_id} [{attempt.task_index}] starts before what it waits for"
        self._started |= {attempt.job_id for attempt in launched}

    def _is_ready(self, attempt: Attempt) -> bool:
        job = self._database.jobs[attempt.job_id]
        if not job.spec.after:
            return True
        index = attempt.task_index
        mine = Ranges(((index, index + 1),))
        return divide(self._database, job, mine, started=job.id in self._started).ready == mine
