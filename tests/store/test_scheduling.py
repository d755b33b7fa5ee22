"""The scheduler's side: what it reads by index, and what it writes in one transaction."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta

import pytest
from sqlalchemy import event

from swath.domain.changes import (
    AddAttempt,
    AddEvent,
    ChangeAttempt,
    DeactivateAgent,
    SetFrameworkId,
)
from swath.domain.errors import IllegalTransitionError, InternalError, NotFoundError, RefusedByDatabaseError
from swath.domain.ranges import Ranges
from swath.domain.retries import Cause
from swath.domain.states import TERMINAL, AttemptState, JobCounts, JobState, TaskState
from tests.store.build import NOW, a_range, a_task, an_attempt, an_id, figures, scenes


def test_items_are_read_by_index(scene):
    """Items of two chunks, numbers of a range and the nothing of a single task are found by their index."""
    listed, ranged, single = (
        scene.submit(array=scenes(10_002)),
        scene.submit(array={"over": "INDEX", "range": [5, 8]}),
        scene.submit(),
    )
    read = scene.scheduler.read_items

    assert read(listed.id, [0, 10_001]) == {0: {"href": "file:///eo/0"}, 10_001: {"href": "file:///eo/10001"}}
    assert read(ranged.id, [0, 2]) == {0: 5, 2: 7}
    assert read(single.id, [0]) == {0: None}
    assert read(listed.id, []) == {}
    with pytest.raises(NotFoundError):
        read(an_id(), [0])


def test_unknown_fields_keep_what_is_stored(scene):
    """An update that says less never erases what an earlier one said (MESOS.md, M22)."""
    job = scene.submit()
    attempt_id = scene.launch(job)
    said = {"sandbox": "/sandbox", "runtime": "process", "message": "42 tiles", "report": {"warnings": ["no limit"]}}
    scene.apply(ChangeAttempt(attempt_id=attempt_id, state=AttemptState.RUNNING, started_at=NOW, **said))

    scene.apply(ChangeAttempt(attempt_id=attempt_id, state=AttemptState.UNREACHABLE))

    (found,) = scene.api.list_attempts(job.id, 0)
    assert found.state is AttemptState.UNREACHABLE
    assert {name: getattr(found, name) for name in said} == said
    assert found.started_at == NOW


def test_several_changes_of_one_thing_are_written_as_their_last(scene):
    """Launched, running and succeeded within one batch: everything that was said on the way is there."""
    job = scene.submit()
    attempt = an_attempt(job)
    scene.apply(
        AddAttempt(attempt=attempt),
        a_task(job, 0, TaskState.ACTIVE),
        ChangeAttempt(attempt_id=attempt.id, state=AttemptState.RUNNING, started_at=NOW, sandbox="/sandbox"),
        ChangeAttempt(attempt_id=attempt.id, state=AttemptState.SUCCEEDED, ended_at=NOW, exit_code=0, outputs=[]),
        a_task(job, 0, TaskState.SUCCEEDED, winner_attempt=attempt.id),
        figures(job, JobState.RUNNING, Ranges(), active=1),
        figures(job, JobState.SUCCEEDED, Ranges(), succeeded=1),
    )

    (found,) = scene.api.list_attempts(job.id, 0)
    assert (found.state, found.sandbox, found.exit_code) == (AttemptState.SUCCEEDED, "/sandbox", 0)
    assert scene.api.get_task(job.id, 0).state is TaskState.SUCCEEDED
    assert scene.api.get_job(job.id).counts == JobCounts(total=1, succeeded=1)


def test_a_task_that_is_put_again_is_replaced(scene):
    """A retry clears cause and message of the attempt before."""
    job = scene.submit()
    scene.apply(a_task(job, 0, TaskState.FAILED, cause=Cause.APP, message="exit 1", exit_code=1, ended_at=NOW))

    scene.apply(a_task(job, 0, TaskState.ACTIVE, attempts=2))

    task = scene.api.get_task(job.id, 0)
    assert (task.cause, task.message, task.exit_code, task.ended_at, task.attempts) == (None, None, None, None, 2)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_an_attempt_that_has_ended_never_changes(scene, state):
    """Whatever comes after the end raises IllegalTransitionError and writes nothing else of the batch."""
    job = scene.submit()
    attempt_id = scene.launch(job)
    scene.apply(ChangeAttempt(attempt_id=attempt_id, state=state, exit_code=7))

    with pytest.raises(IllegalTransitionError, match=attempt_id):
        scene.apply(
            SetFrameworkId(framework_id="not written"),
            ChangeAttempt(attempt_id=attempt_id, state=AttemptState.RUNNING, exit_code=0),
        )

    (found,) = scene.api.list_attempts(job.id, 0)
    assert (found.state, found.exit_code) == (state, 7)
    assert scene.scheduler.load().framework_id is None


def test_an_end_within_a_batch_is_an_end(scene):
    """A change after the end raises, even when both come together."""
    job = scene.submit()
    attempt_id = scene.launch(job)

    with pytest.raises(IllegalTransitionError):
        scene.apply(
            ChangeAttempt(attempt_id=attempt_id, state=AttemptState.FAILED),
            ChangeAttempt(attempt_id=attempt_id, state=AttemptState.RUNNING),
        )


def unknown_job(job):
    """Figures of a job that is not there."""
    return replace(figures(job, JobState.RUNNING), job_id=an_id())


@pytest.mark.parametrize(
    "make_change",
    [
        lambda job: ChangeAttempt(attempt_id=an_id(), state=AttemptState.RUNNING),
        unknown_job,
        lambda job: DeactivateAgent(agent_id="nobody"),
        lambda job: replace(a_task(job, 0, TaskState.ACTIVE), job_id=an_id()),
        lambda job: AddAttempt(attempt=replace(an_attempt(job), job_id=an_id())),
        lambda job: AddEvent(job_id=an_id(), kind="x", data={}),
    ],
    ids=["attempt", "job", "agent", "task of no job", "attempt of no job", "event of no job"],
)
def test_a_change_of_nothing_is_an_error(scene, make_change):
    """A change that meets no row raises, and nothing of its batch is written: nothing is lost in silence."""
    job = scene.submit()

    with pytest.raises(InternalError):
        scene.apply(SetFrameworkId(framework_id="not written"), make_change(job))

    assert scene.scheduler.load().framework_id is None


def test_a_value_that_does_not_fit_is_refused_with_its_batch(scene):
    """RefusedByDatabaseError, which is no outage: the scheduler can tell a poisoned batch from a database that is away."""
    job = scene.submit()
    attempt_id = scene.launch(job)

    with pytest.raises(RefusedByDatabaseError):
        scene.apply(
            SetFrameworkId(framework_id="not written"),
            ChangeAttempt(attempt_id=attempt_id, state=AttemptState.FAILED, exit_code=2**70),
        )

    assert scene.scheduler.load().framework_id is None


def test_an_id_is_never_used_again(scene):
    """The same attempt added twice raises, and the first stays."""
    job = scene.submit(array=a_range(2))
    attempt = an_attempt(job, 0)
    scene.apply(AddAttempt(attempt=attempt))

    with pytest.raises(InternalError):
        scene.apply(AddAttempt(attempt=replace(attempt, task_index=1)))

    assert scene.scheduler.load().attempts == [attempt]


def test_nothing_is_a_transaction_too(scene):
    """No change at all only checks who leads."""
    scene.apply()

    assert scene.scheduler.load().jobs == []


def test_thousands_of_changes_are_a_few_statements(scene, database):
    """2,000 launches with their tasks and events are fewer than ten statements, and all of them are there."""
    job = scene.submit(array=a_range(2_000))
    attempts = [an_attempt(job, index) for index in range(2_000)]
    asked: list[str] = []
    event.listen(database._writer, "before_cursor_execute", lambda *call: asked.append(call[2]))

    scene.apply(
        *(AddAttempt(attempt=attempt) for attempt in attempts),
        *(a_task(job, attempt.task_index, TaskState.ACTIVE) for attempt in attempts),
        *(AddEvent(job_id=job.id, kind="attempt.state", data={"attempt": attempt.id}) for attempt in attempts),
    )
    scene.apply(*(ChangeAttempt(attempt_id=attempt.id, state=AttemptState.RUNNING) for attempt in attempts))

    assert len(asked) < 10
    found = scene.scheduler.load()
    assert len(found.tasks) == len(found.attempts) == 2_000
    assert {attempt.state for attempt in found.attempts} == {AttemptState.RUNNING}


def test_events_are_read_in_order(scene):
    """Ids grow with the order of writing, across transactions; a follower continues after the last one that it has."""
    first, second = scene.submit(), scene.submit()
    scene.apply(*(AddEvent(job_id=first.id, kind="task.state", data={"n": number}) for number in range(3)))
    scene.apply(AddEvent(job_id=second.id, kind="job.state", data={"n": 3}), at=NOW + timedelta(seconds=1))

    events = scene.api.read_events(0)

    assert [found.data["n"] for found in events] == [0, 1, 2, 3]
    assert [found.id for found in events] == sorted({found.id for found in events})
    assert (events[3].kind, events[3].at) == ("job.state", NOW + timedelta(seconds=1))
    assert scene.api.read_events(events[1].id, limit=1) == [events[2]]
    assert scene.api.read_events(0, job_id=second.id) == [events[3]]
    assert scene.api.last_event_id() == events[3].id
    assert scene.api.read_events(events[3].id) == []


def test_the_framework_id_can_be_forgotten(scene):
    """None makes the next subscription register anew."""
    scene.apply(SetFrameworkId(framework_id="f"))
    scene.apply(SetFrameworkId(framework_id=None))

    assert scene.scheduler.load().framework_id is None


def test_every_field_of_a_change_has_a_column(scene):
    """What an attempt's change can say, its row can show: a new field is not forgotten on the way."""
    job = scene.submit()
    attempt_id = scene.launch(job)
    said = {
        "started_at": NOW,
        "ended_at": NOW,
        "sandbox": "/s",
        "runtime": "docker",
        "cause": Cause.APP,
        "exit_code": 3,
        "error": "NO_CRS",
        "message": "m",
        "output_dir": "/o",
        "outputs": [{"name": "x", "path": "x", "size": 1}],
        "report": {"usage": {}},
        "unreachable_at": NOW,
        "kill_cause": Cause.PREEMPTED,
    }
    assert {entry.name for entry in fields(ChangeAttempt)} == {"attempt_id", "state", *said}

    scene.apply(ChangeAttempt(attempt_id=attempt_id, state=AttemptState.FAILED, **said))

    (found,) = scene.api.list_attempts(job.id, 0)
    assert {name: getattr(found, name) for name in said} == said


def test_a_new_job_comes_with_the_longest_run_of_the_last_ones_like_it(scene):
    """Of its image version and project; of another version there is nothing."""
    for project, run_s in (("forest", 10.0), ("forest", 30.0), ("sea", 99.0)):
        scene.apply(figures(scene.submit(project=project), JobState.SUCCEEDED, Ranges(), longest_run_s=run_s))
    new = scene.submit(project="forest")
    later, scene.image = scene.image, scene.register(version="2.0.0")
    other = scene.submit(project="forest")

    records = {record.id: record.alike_s for record in scene.scheduler.load().jobs}

    assert records == {new.id: 30.0, other.id: None}
    assert scene.scheduler.find_alike_s(later.id, "sea") == 99.0
    assert scene.scheduler.find_alike_s(later.id, "land") is None
