"""What the database says of jobs that wait for others: to the scheduler, and to whoever looks."""

from __future__ import annotations

import pytest
from sqlalchemy import event, text

from swath.domain.dependencies import Condition, Upstream
from swath.domain.errors import ConflictError, InternalError
from swath.domain.ranges import Ranges
from swath.domain.retries import Cause
from swath.domain.states import JobCounts, JobState, TaskState
from swath.store.models import TASK_IS_UNSUCCESSFUL
from tests.store.build import NOW, Scene, a_range, a_task, an_id, figures


def on(job, condition="succeeded", *, elementwise=False):
    """An entry of a document's `after`."""
    return {"job": job.id, "condition": condition, "elementwise": elementwise}


def upstream_of(scene: Scene, job) -> tuple[Upstream, ...]:
    """What the scheduler is told of the jobs before `job`, by both ways."""
    (loaded,) = [record.upstream for record in scene.scheduler.load().jobs if record.id == job.id]
    changed = [record.upstream for record in scene.scheduler.read_changed_jobs() if record.id == job.id]
    assert changed in ([], [loaded])
    return loaded


def drop(scene: Scene, job) -> None:
    """The scheduler ends a job because one before it did not succeed."""
    everything = Ranges.of(job.size)
    said = {"failed": job.size, "dropped": everything, "message": "job x, ...", "ended_at": NOW}
    scene.apply(figures(job, JobState.FAILED, everything, **said))


def test_a_job_is_loaded_with_those_before_it_ended_or_not(scene):
    """Name and counts of each, in the order of the document; their single tasks only where somebody waits for those."""
    first, second = scene.submit(name="first"), scene.submit(name="second", array=a_range(3))
    scene.apply(a_task(first, 0, TaskState.SUCCEEDED), figures(first, JobState.SUCCEEDED, Ranges(), succeeded=1))
    job = scene.submit(after=[on(second, "ended"), on(first)])

    assert upstream_of(scene, job) == (
        Upstream(id=second.id, name="second", counts=JobCounts(total=3, pending=3)),
        Upstream(id=first.id, name="first", counts=JobCounts(total=1, succeeded=1)),
    )


def test_tasks_that_are_waited_for_one_by_one_come_as_ranges(scene):
    """Whatever state each is in, with a row and without."""
    first = scene.submit(name="first", array=a_range(1000))
    states = [TaskState.SUCCEEDED] * 5 + [TaskState.FAILED] * 2 + [TaskState.ACTIVE, TaskState.CANCELLED]
    rows = [*states, TaskState.SUCCEEDED, TaskState.PENDING]
    scene.apply(
        *(a_task(first, index, state) for index, state in enumerate(rows)),
        figures(first, JobState.RUNNING, Ranges(((11, 1000),)), active=1, succeeded=6, failed=2, cancelled=1),
    )
    job = scene.submit(array=a_range(1000), after=[on(first, elementwise=True)])

    (known,) = upstream_of(scene, job)

    assert (known.succeeded, known.unsuccessful) == (Ranges(((0, 5), (9, 10))), Ranges(((5, 7), (8, 9))))


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_tasks_that_ended_together_without_a_row_count_as_ended(scene, state):
    """At a deadline, or by a wish: none of them is taken for one that has succeeded, or for one that waits."""
    first = scene.submit(array=a_range(10))
    name = "failed" if state is JobState.FAILED else "cancelled"
    scene.apply(
        a_task(first, 0, TaskState.SUCCEEDED), figures(first, state, Ranges(((1, 10),)), succeeded=1, **{name: 9})
    )
    job = scene.submit(array=a_range(10), after=[on(first, elementwise=True)])

    (known,) = upstream_of(scene, job)

    assert (known.succeeded, known.unsuccessful) == (Ranges(((0, 1),)), Ranges(((1, 10),)))


def test_tasks_that_have_succeeded_are_not_read(scene, database):
    """An index finds the others: what a waiting job costs at a failover does not grow with what has succeeded."""
    first = scene.submit(array=a_range(10))
    scene.submit(array=a_range(10), after=[on(first, elementwise=True)])
    asked: list[str] = []
    event.listen(database._reader, "before_cursor_execute", lambda *call: asked.append(call[2]))
    scene.scheduler.load()
    statement = next(found for found in asked if TASK_IS_UNSUCCESSFUL in found)
    statement = statement.replace("%(job_id_1)s::VARCHAR", "'x'").replace("?", "'x'")

    with database.read() as session:
        if database.is_postgres:
            session.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN" if database.is_postgres else "EXPLAIN QUERY PLAN"
        plan = str(session.execute(text(f"{explain} {statement}")).all())

    assert "ix_tasks_job_id_state_index" in plan


def test_what_was_dropped_is_written_and_read_back(scene):
    """The ranges and the message, in the scheduler's record and in the user's."""
    first = scene.submit(array=a_range(4))
    job = scene.submit(array=a_range(4), after=[on(first, elementwise=True)])
    scene.apply(figures(job, JobState.RUNNING, failed=2, dropped=Ranges(((1, 3),)), message="because"))

    (record,) = [record for record in scene.scheduler.load().jobs if record.id == job.id]

    assert (record.dropped, record.message, record.pending) == (Ranges(((1, 3),)), "because", Ranges.of(4))
    assert scene.api.get_job(job.id).message == "because"


def test_dropped_tasks_say_why_they_failed(scene):
    """They have no row, and show a state, a cause and a message all the same; the others of the array wait."""
    first = scene.submit(array=a_range(4))
    job = scene.submit(array=a_range(4), after=[on(first, elementwise=True)])
    scene.apply(figures(job, JobState.RUNNING, failed=2, dropped=Ranges(((1, 3),)), message="because"))

    tasks = scene.api.list_tasks(job.id).items
    assert [task.state for task in tasks] == [
        *(TaskState.PENDING, TaskState.FAILED, TaskState.FAILED, TaskState.PENDING)
    ]
    assert (tasks[1].cause, tasks[1].message, tasks[0].cause) == (Cause.DEPENDENCY, "because", None)
    assert [task.index for task in scene.api.list_tasks(job.id, state=TaskState.FAILED).items] == [1, 2]
    assert [task.index for task in scene.api.list_tasks(job.id, state=TaskState.PENDING).items] == [0, 3]
    assert scene.api.get_task(job.id, 2).cause is Cause.DEPENDENCY


def test_a_retry_wakes_what_had_failed_because_of_the_job(scene):
    """Down the chain; not what was cancelled, what failed by itself, or what waits for another job."""
    first, other = scene.submit(), scene.submit()
    second, cancelled = scene.submit(after=[on(first)]), scene.submit(after=[on(first)])
    third, own_fault = scene.submit(after=[on(second), on(first)]), scene.submit(after=[on(first, "ended")])
    elsewhere = scene.submit(after=[on(other)])
    for job in (second, cancelled, third, elsewhere):
        drop(scene, job)
    for job in (first, own_fault):
        scene.apply(a_task(job, 0, TaskState.FAILED), figures(job, JobState.FAILED, Ranges(), failed=1, ended_at=NOW))
    scene.apply(figures(other, JobState.PENDING))
    with scene.scheduler._database.write() as session:
        session.execute(text("UPDATE jobs SET desired = 'CANCELLED' WHERE id = :id"), {"id": cancelled.id})

    scene.api.request_retry(first.id, now=NOW)

    changed = {record.id: record for record in scene.scheduler.read_changed_jobs()}
    assert set(changed) == {first.id, second.id, third.id}
    assert (changed[first.id].retry_rev, changed[second.id].retry_rev) == (1, 0)
    assert [row.id for row in changed[third.id].upstream] == [second.id, first.id]


def test_a_retry_that_could_only_fail_again_is_a_conflict(scene):
    """As long as the job before it has failed; with failures of its own, those are tried again."""
    first = scene.submit(name="first")
    scene.apply(a_task(first, 0, TaskState.FAILED), figures(first, JobState.FAILED, Ranges(), failed=1))
    second, own_fault = (scene.submit(array=a_range(2), after=[on(first)]) for _ in range(2))
    drop(scene, second)
    scene.apply(figures(own_fault, JobState.FAILED, failed=2, dropped=Ranges.of(1)))

    with pytest.raises(
        ConflictError, match=r"would fail again: job first \(.*\), which had to succeed .* retry that one"
    ):
        scene.api.request_retry(second.id, now=NOW)
    scene.api.request_retry(own_fault.id, now=NOW)
    scene.api.request_retry(first.id, now=NOW)
    scene.apply(figures(first, JobState.RUNNING, Ranges(), active=1, retry_rev_done=1, observed_rev=2))
    scene.api.request_retry(second.id, now=NOW)


def test_both_sides_of_a_job_are_shown(scene):
    """With how the others do, and what is waited for."""
    first, second = scene.submit(name="first"), scene.submit(name="second", array=a_range(1))
    job = scene.submit(name="job", after=[on(first, "ended"), on(second, elementwise=True)])
    last = scene.submit(name="last", after=[on(job)])

    links = scene.api.list_links(job.id)

    assert [(link.job_id, link.condition, link.elementwise) for link in links.after] == [
        (first.id, Condition.ENDED, False),
        (second.id, Condition.SUCCEEDED, True),
    ]
    assert [(link.job_id, link.name, link.state) for link in links.before] == [(last.id, "last", JobState.PENDING)]
    assert scene.api.find_linked([first.id, "nobody"]) == {
        first.id: Upstream(id=first.id, name="first", counts=JobCounts(total=1, pending=1))
    }


def test_a_job_after_one_that_is_not_there_is_not_written(scene):
    """Whatever the service has overlooked: no scheduler will ever meet such a job."""
    with pytest.raises(InternalError):
        scene.submit(after=[{"job": an_id()}])
    assert scene.scheduler.read_changed_jobs() == []
