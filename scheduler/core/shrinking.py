"""Tasks that have grown beyond every agent that is left ask for as much as one has: in vain perhaps, but not for ever.

Agents come back, after a reboot or a partition: one that has gone counts as there for a while (`State.missed`).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from scheduler.core.largest import fitted
from scheduler.core.open_jobs import Job
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.changes import PutTask

SLICE = 1000  # tasks that shrink in one turn: a bound on the size of its transaction
_WHY = "no agent is left that has what it had grown to"


def refresh(turn: Turn) -> None:
    """Look at the tasks that could start: those of a queue ask for the same, and fit or do not fit together."""
    left = SLICE
    for job in turn.state.jobs.values():
        for queue in list(job.due.queues.values()):
            for index, since in list(islice(queue.items(), left)):
                before = job.tasks[index]
                if (task := fit(turn, job, before)) is before:
                    break
                job.due.discard(index)
                job.due.add(task, since)
                left -= 1
    if left < SLICE:
        turn.state.wants_offers = True
    if not left:
        turn.set_timer(Kind.MISSED, 0)


def fit(turn: Turn, job: Job, task: PutTask) -> PutTask:
    """The task as it is, or where no agent is left for it, asking for less from now on: never for less than all others do."""
    if not turn.state.all_missed:
        return task
    wanted, least = job.request_of(job.size_of((task.mem or 0, task.disk or 0))), job.request_of(job.fresh_size)
    found, base = fitted(turn.state, job, wanted, least), job.record.resources
    if found == wanted:
        return task
    mem, disk = (None if found.mem == base.mem else found.mem), (None if found.disk == base.disk else found.disk)
    task = job.tasks[task.index] = replace(task, mem=mem, disk=disk)
    turn.write(task)
    turn.touch(job)
    asks = {name: getattr(found, name) for name in ("mem", "disk") if getattr(found, name) != getattr(wanted, name)}
    turn.tell(job.id, "task.state", task=task.index, state=task.state, message=_WHY, asks=asks)
    return task
