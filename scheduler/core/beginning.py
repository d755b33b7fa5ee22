"""Which tasks of a job are launched next, and their attempts written down: an ACCEPT or a message leaves after the commit."""

from __future__ import annotations

from heapq import merge
from itertools import islice
from operator import itemgetter

from scheduler.core import cooling, jobs, ports
from scheduler.core.effects import Launch
from scheduler.core.known_agents import Agent
from scheduler.core.open_jobs import Job
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.attempts import Attempt
from swath.domain.changes import AddAttempt, PutTask
from swath.domain.resources import Resources
from swath.domain.slots import is_shared
from swath.domain.states import TaskState

SPARED_S = 60.0  # for so long a task that may start is spared the agents where it has failed, while others want them
RESEND_S = 5.0  # for the executor of a slot to say that it has an attempt


def take(turn: Turn, job: Job, resources: Resources, count: int, agent_id: str) -> list[int]:
    """At most `count` indices whose next attempt asks for `resources`: those that were tried before, others, failed here.

    Whoever has failed here and waits for long already counts no more as such: the same agent may be chosen again and again.
    Of very many that have failed here not all are looked at: what comes behind them gets its turn elsewhere.
    """
    size = (resources.mem, resources.disk)
    again: list[int] = []
    last: list[int] = []
    queues = [queue.items() for queue in job.find_due().get(size, ())]
    for index, since in islice(merge(*queues, key=itemgetter(1)), count + cooling.SAMPLE):
        if len(again) == count:
            break
        spared = cooling.has_failed_on(job, index, agent_id) and (turn.now - since).total_seconds() < SPARED_S
        (last if spared else again).append(index)
    fresh: list[int] = []
    if size == job.fresh_size and job.fresh:
        fresh, job.pending = job.pending.take(count - len(again))
    last = last[: count - len(again) - len(fresh)]
    for index in (*again, *last):
        job.due.discard(index)
    return again + fresh + last


def launch(turn: Turn, agent: Agent, job: Job, index: int, resources: Resources, slot_id: str | None = None) -> Launch:
    """Record one attempt, of a slot that is there or about to be, or with a Mesos task to itself."""
    state, now = turn.state, turn.now
    before = job.tasks.get(index)
    number = 1 if before is None else before.attempts + 1
    attempt_id = state.make_id(now)
    attempt = Attempt(
        id=attempt_id,
        job_id=job.id,
        task_index=index,
        number=number,
        slot_id=slot_id or attempt_id,
        agent_id=agent.info.agent_id,
        hostname=agent.info.hostname,
        resources=resources,
        ports=ports.choose(agent, resources.ports),
        executor_id=state.settings.executor_id,
        launched_at=now,
    )
    state.add_attempt(attempt)
    job.running[index] = attempt_id
    job.started_at = job.started_at or now
    job.served_at = now
    task = PutTask(
        job_id=job.id,
        index=index,
        state=TaskState.ACTIVE,
        attempts=number,
        failures=before.failures if before else 0,
        free_retries=before.free_retries if before else 0,
        mem=before.mem if before else None,
        disk=before.disk if before else None,
        agent_id=attempt.agent_id,
        hostname=attempt.hostname,
        started_at=before.started_at if before else None,
    )
    turn.write(AddAttempt(attempt=attempt))
    jobs.put_task(turn, job, task, TaskState.PENDING)
    await_news(turn, attempt)
    turn.tell(job.id, "task.state", task=index, state=task.state, attempt=attempt_id, agent=attempt.hostname)
    return Launch(attempt=attempt, job=job.record)


def await_news(turn: Turn, attempt: Attempt) -> None:
    """Look again where nothing is heard of a launch: it may have been lost."""
    if not is_shared(attempt):
        turn.set_timer(Kind.LAUNCH, turn.state.settings.launch_timeout_s, (attempt.id, 0))
    elif turn.state.timers.find(Kind.WORK, (attempt.slot_id, 0)) is None:
        turn.set_timer(Kind.WORK, RESEND_S, (attempt.slot_id, 0))
