"""What an image version needs beyond what was asked for: tasks not launched yet ask for it, so that few find it out again.

Learned from attempts that ran out of memory or disk at the very size that all others ask for: from a few tasks, and only if
they are not the odd ones out of many. It stands with the image version and the request, for later jobs, too.
"""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.core.health import Lesson
from scheduler.core.largest import fitted, largest_for
from scheduler.core.open_jobs import Job, Size
from scheduler.core.state import LiveAttempt, State
from scheduler.core.turn import Turn
from swath.domain.changes import PutLearned
from swath.domain.resources import Resources
from swath.domain.retries import Cause, End, GiveUp, RetryPolicy, bounded

A_FEW = 3  # tasks
SHARE = 0.1  # of the tasks of this size that have ended; fewer are retried with more, and the others left alone


def load(state: State, stored: Iterable[PutLearned]) -> None:
    """Begin with what is known."""
    for entry in stored:
        state.lessons[entry.image_version_id, entry.asked] = Lesson(mem=entry.mem or 0, disk=entry.disk or 0)


def follow(state: State, job: Job) -> None:
    """Let the job ask for what is known already; quietly, for nothing has been launched of it."""
    job.asks = _find_size(state, job)


def refresh(turn: Turn) -> None:
    """Where other agents are there, what was learned may fit now, or not any more."""
    _refresh_all(turn, {image for (image, _), lesson in turn.state.lessons.items() if lesson.mem or lesson.disk})


def forget(state: State, job: Job) -> None:
    """The job has ended: what was only counted for it is let go of, for requests may be as many as jobs."""
    lesson = state.lessons.get(_key(job))
    if lesson is not None and not (lesson.mem or lesson.disk):
        del state.lessons[_key(job)]


def on_end(turn: Turn, live: LiveAttempt, job: Job, end: End | None) -> None:
    """An attempt has succeeded, or come to an end after which the next one of its task asks for more, or for no more."""
    asked = live.attempt.resources
    if not job.record.spec.retry.learn or (asked.mem, asked.disk) != job.fresh_size:
        return
    lesson = turn.state.lessons.setdefault(_key(job), Lesson())
    if end is None:
        lesson.sufficed += 1
        return
    grown = job.record.spec.retry.reaction(end).grown(asked)
    if grown != asked:
        lesson.ran_out += 1
        if lesson.ran_out >= max(A_FEW, SHARE * (lesson.ran_out + lesson.sufficed)):
            _learn(turn, job, lesson, asked, grown)


def _learn(turn: Turn, job: Job, lesson: Lesson, asked: Resources, grown: Resources) -> None:
    wanted = bounded(grown, asked, largest_for(turn.state, job))
    if isinstance(wanted, GiveUp):
        return
    lesson.mem = max(lesson.mem, wanted.mem if wanted.mem > asked.mem else 0)
    lesson.disk = max(lesson.disk, wanted.disk if wanted.disk > asked.disk else 0)
    lesson.ran_out = lesson.sufficed = 0
    image, key = _key(job)
    turn.write(PutLearned(image_version_id=image, asked=key, mem=lesson.mem or None, disk=lesson.disk or None))
    turn.note("info", "learned", job=job.id, image=f"{job.record.image.name}:{job.record.image.version}", asked=key)
    _refresh_all(turn, {image})


def _refresh_all(turn: Turn, images: set[int]) -> None:
    """Let the jobs of these image versions ask for what is known now."""
    for job in turn.state.jobs.values() if images else ():
        if job.record.image.id in images:
            _refresh(turn, job)


def _refresh(turn: Turn, job: Job) -> None:
    size, before = _find_size(turn.state, job), job.fresh_size
    if size != job.asks:
        job.asks = size
        turn.touch(job)
        base, now = job.record.resources, job.fresh_size
        if now[0] < before[0] or now[1] < before[1]:
            turn.state.wants_offers = True  # what was refused as too little may do now
        turn.tell(job.id, "job.asks", mem=now[0], disk=now[1], asked={"mem": base.mem, "disk": base.disk})


def _find_size(state: State, job: Job) -> Size | None:
    """What tasks of the job ask for that were never launched; None where that is what the user said."""
    lesson, base, policy = state.lessons.get(_key(job)), job.record.resources, job.record.spec.retry
    if lesson is None or not policy.learn:
        return None
    mem = max(base.mem, _limited(lesson.mem, policy, Cause.OOM))
    disk = max(base.disk, _limited(lesson.disk, policy, Cause.DISK))
    wanted = fitted(state, job, job.request_of((mem, disk)), base)
    return None if wanted == base else (wanted.mem, wanted.disk)


def _limited(learned: int, policy: RetryPolicy, cause: Cause) -> int:
    """No more than the job would let a task grow by itself."""
    reaction = policy.reaction(End(cause=cause))
    factor, cap = (reaction.grow_mem, reaction.cap) if cause is Cause.OOM else (reaction.grow_disk, reaction.cap_disk)
    if reaction.fail or factor <= 1:
        return 0
    return learned if cap is None else min(learned, cap)


def _key(job: Job) -> tuple[int, str]:
    """The image version, and what the job asks for as text: "cpus=1000 disk=4096 mem=2048"."""
    amounts = sorted(job.record.resources.amounts().items())
    return job.record.image.id, " ".join(f"{name}={value}" for name, value in amounts)
