"""What a scheduler that starts reads: all that is open, as it was written, and nothing else."""

from __future__ import annotations

from sqlalchemy import event, text

from swath.domain.changes import (
    AddAttempt,
    ChangeAttempt,
    DeactivateAgent,
    PutLearned,
    SetFrameworkId,
)
from swath.domain.ranges import Ranges
from swath.domain.resources import Resources
from swath.domain.retries import Cause
from swath.domain.states import ENDED_TASK, TERMINAL, AttemptState, Desired, JobState, TaskState
from swath.store.models import ATTEMPT_IS_OPEN, JOB_IS_CHANGED, JOB_IS_OPEN, TASK_IS_OPEN
from tests.store.build import NOW, ONE_CPU, a_range, a_spec, a_task, an_agent, an_attempt, an_id, figures, scenes


def test_an_empty_database_loads_nothing(scene):
    """A scheduler that starts for the first time finds no framework id, no job and no agent."""
    loaded = scene.scheduler.load()

    assert loaded.framework_id is None
    assert [loaded.jobs, loaded.tasks, loaded.attempts, loaded.agents] == [[], [], [], []]


def test_what_is_open_is_loaded_as_it_was_written(scene):
    """Job, task, attempt, agent and framework id come back equal to what was put."""
    job = scene.submit(array=scenes(5), priority=70, retry={"max_attempts": 2})
    attempt = an_attempt(job, 0)
    task = a_task(job, 0, TaskState.ACTIVE, mem=4096, retry_at=NOW, cause=Cause.OOM, agent_id="agent-1")
    changed = figures(
        job, JobState.RUNNING, Ranges(((1, 5),)), active=1, wait_reason="2 wait for memory", started_at=NOW
    )
    scene.apply(
        SetFrameworkId(framework_id="f-1"),
        an_agent(attributes={"rack": "a"}),
        task,
        AddAttempt(attempt=attempt),
        changed,
    )

    loaded = scene.scheduler.load()

    assert (loaded.framework_id, loaded.tasks, loaded.attempts) == ("f-1", [task], [attempt])
    assert loaded.agents == [an_agent(attributes={"rack": "a"})]
    (found,) = loaded.jobs
    assert (found.id, found.size, found.priority, found.image) == (job.id, 5, 70, scene.image)
    assert (found.spec.retry.max_attempts, found.spec.array.over, found.spec.array.items) == (2, "SCENE", ())
    assert (found.resources, found.pending, found.counts) == (ONE_CPU, changed.pending, changed.counts)
    assert (found.state, found.started_at, found.wait_reason) == (JobState.RUNNING, NOW, "2 wait for memory")
    assert (found.desired_rev, found.observed_rev) == (1, 1)


def test_ports_and_custom_scalars_are_loaded_as_they_were_written(scene):
    """Of a job, an attempt (with the ports that it has) and an agent; one without any stays without."""
    amount = Resources(cpus_m=500, mem=64, ports=2, custom=(("licences", 1500), ("tape", 1000)))
    job = scene.api.submit(
        a_spec(), scene.image, resources=amount, job_id=an_id(), now=NOW, user="ada", idempotency=None
    )
    plain = scene.submit()
    attempts = [an_attempt(job, resources=amount, ports=(31000, 31007)), an_attempt(plain)]
    agents = [an_agent("agent-1", total=amount.scaled(8)), an_agent("agent-2")]
    tasks = [a_task(entry, 0, TaskState.ACTIVE) for entry in (job, plain)]
    scene.apply(*agents, *tasks, *(AddAttempt(attempt=attempt) for attempt in attempts))

    loaded = scene.scheduler.load()

    assert (loaded.attempts, loaded.agents) == (attempts, agents)
    assert [entry.resources for entry in loaded.jobs] == [amount, ONE_CPU]
    assert scene.api.get_job(job.id).resources == amount
    shown = [scene.api.list_attempts(entry.id, 0)[0] for entry in (job, plain)]
    assert [(row.resources, row.ports) for row in shown] == [(amount, [31000, 31007]), (ONE_CPU, [])]


def test_why_an_attempt_is_to_end_is_loaded_with_it(scene):
    """A scheduler that takes over between the decision and the end of the attempt knows what the end means."""
    attempt_id = scene.launch(scene.submit())
    scene.apply(ChangeAttempt(attempt_id=attempt_id, state=AttemptState.RUNNING, kill_cause=Cause.PREEMPTED))
    scene.apply(ChangeAttempt(attempt_id=attempt_id, state=AttemptState.KILLING))

    (loaded,) = scene.scheduler.load().attempts

    assert (loaded.state, loaded.kill_cause) == (AttemptState.KILLING, Cause.PREEMPTED)


def test_what_image_versions_need_is_loaded_as_it_was_learned_last(scene):
    """One row an image version and request, the last word of each; a job shows what its tasks ask for now."""
    job, first, second = scene.submit(), "cpus=1000 mem=2048", "cpus=2000 mem=2048"
    learned = [
        PutLearned(image_version_id=scene.image.id, asked=first, mem=3072, disk=None),
        PutLearned(image_version_id=scene.image.id, asked=first, mem=4608, disk=6144),
        PutLearned(image_version_id=scene.image.id, asked=second, mem=None, disk=8000),
    ]
    scene.apply(learned[0])
    scene.apply(
        learned[1], learned[2], figures(job, JobState.PENDING, Ranges.of(job.size), asks_mem=4608, asks_disk=6144)
    )

    loaded = {change.asked: change for change in scene.scheduler.load().learned}

    assert loaded == {first: learned[1], second: learned[2]}
    shown = scene.api.get_job(job.id)
    assert (shown.asks_mem, shown.asks_disk, shown.resources) == (4608, 6144, job.resources)


def test_where_open_tasks_have_failed_is_loaded_with_them(scene):
    """Of those that wait or run again: not where they run now, not where they were preempted, and nothing of what has ended."""
    job = scene.submit(array=scenes(4))

    def fail(index, number, agent_id, cause, state=TaskState.PENDING):
        attempt_id = scene.launch(job, index, number, agent_id=agent_id)
        ended = ChangeAttempt(attempt_id=attempt_id, state=AttemptState.FAILED, cause=cause, ended_at=NOW)
        scene.apply(ended, a_task(job, index, state, attempts=number))

    fail(0, 1, "agent-1", Cause.APP)
    fail(0, 2, "agent-2", Cause.LOST)
    fail(1, 1, "agent-2", Cause.OOM)
    scene.launch(job, 1, 2, agent_id="agent-3")
    fail(2, 1, "agent-1", Cause.PREEMPTED)
    fail(3, 1, "agent-1", Cause.APP, TaskState.FAILED)

    assert scene.scheduler.load().failed_on == [
        (job.id, 0, "agent-1"),
        (job.id, 0, "agent-2"),
        (job.id, 1, "agent-2"),
    ]


def test_what_has_ended_is_not_loaded(scene):
    """Ended jobs, tasks and attempts, and agents that are gone, stay in the database."""
    job = scene.submit()
    scene.succeed(job, 0, [])
    scene.apply(
        figures(job, JobState.SUCCEEDED, Ranges(), succeeded=1), an_agent(), DeactivateAgent(agent_id="agent-1")
    )

    loaded = scene.scheduler.load()

    assert [loaded.jobs, loaded.tasks, loaded.attempts, loaded.agents] == [[], [], [], []]


def test_open_means_what_the_table_of_states_says():
    """The conditions of the partial indexes name exactly the states that have not ended."""
    assert {state for state in AttemptState if f"'{state}'" in ATTEMPT_IS_OPEN} == set(AttemptState) - TERMINAL
    assert {state for state in TaskState if f"'{state}'" in TASK_IS_OPEN} == set(TaskState) - ENDED_TASK
    assert {state for state in JobState if f"'{state}'" in JOB_IS_OPEN} == {JobState.PENDING, JobState.RUNNING}


def test_where_tasks_have_failed_is_found_by_open_tasks(scene, database):
    """From the index of open tasks to the attempts of each: the cost is that of what is open, not of a year of attempts."""
    asked: list[tuple[str, object]] = []
    event.listen(database._reader, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
    scene.scheduler.load()
    statement, values = next(entry for entry in asked if "attempts.cause" in entry[0])

    with database.read() as session:
        if database.is_postgres:
            session.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN" if database.is_postgres else "EXPLAIN QUERY PLAN"
        plan = str(session.connection().exec_driver_sql(f"{explain} {statement}", values).all())

    assert "ix_tasks_open" in plan
    assert "SCAN attempts" not in plan
    assert "Seq Scan" not in plan


def test_loading_never_reads_what_has_ended(scene, database):
    """Every table with a history is searched by an index for what is open."""
    asked: list[str] = []
    event.listen(database._reader, "before_cursor_execute", lambda *call: asked.append(call[2]))
    scene.scheduler.load()
    conditions = (JOB_IS_OPEN, JOB_IS_CHANGED, TASK_IS_OPEN, ATTEMPT_IS_OPEN)
    statements = [next(found for found in asked if condition in found) for condition in conditions]

    with database.read() as session:
        if database.is_postgres:  # which rightly reads an almost empty table as a whole
            session.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN" if database.is_postgres else "EXPLAIN QUERY PLAN"
        plans = [str(session.execute(text(f"{explain} {statement}")).all()) for statement in statements]

    for plan, index in zip(
        plans, ("ix_jobs_state_id", "ix_jobs_changed", "ix_tasks_open", "ix_attempts_open"), strict=True
    ):
        assert index in plan


def test_a_new_job_is_read_until_it_is_taken_in(scene):
    """A submitted job is a change until a ChangeJob with its revision is written; a wish to cancel is the next."""
    job = scene.submit()
    assert [found.id for found in scene.scheduler.read_changed_jobs()] == [job.id]

    scene.apply(figures(job, JobState.PENDING))
    assert scene.scheduler.read_changed_jobs() == []

    scene.api.request_cancel(job.id)
    (found,) = scene.scheduler.read_changed_jobs()
    assert (found.desired, found.desired_rev) == (Desired.CANCELLED, 2)


def test_a_wish_that_comes_meanwhile_is_not_lost(scene):
    """The scheduler takes in the revision that it has read; a newer one is a change still."""
    job = scene.submit()
    scene.api.request_cancel(job.id)

    scene.apply(figures(job, JobState.PENDING))

    (found,) = scene.scheduler.read_changed_jobs()
    assert (found.desired, found.observed_rev) == (Desired.CANCELLED, job.desired_rev)


def test_a_job_to_retry_is_loaded_though_it_has_ended(scene):
    """A wish to retry brings an ended job back."""
    job = scene.submit(array=a_range(3))
    failed = a_task(job, 1, TaskState.FAILED, failures=3)
    ended = figures(job, JobState.FAILED, Ranges(), succeeded=2, failed=1)
    scene.apply(a_task(job, 0, TaskState.SUCCEEDED), failed, a_task(job, 2, TaskState.SUCCEEDED), ended)
    scene.api.request_retry(job.id)

    (found,) = scene.scheduler.load().jobs

    assert (found.id, found.retry_rev, found.retry_rev_done) == (job.id, 1, 0)
