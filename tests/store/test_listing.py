"""Lists of jobs, tasks, attempts and outputs, page by page."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from swath.domain.changes import ChangeAttempt
from swath.domain.errors import InvalidInputError, NotFoundError
from swath.domain.ranges import Ranges
from swath.domain.retries import Cause
from swath.domain.states import AttemptState, JobState, TaskState
from swath.store.api_store import ApiStore
from swath.store.database import Database
from swath.store.rows import JobFilters
from tests.store.build import NOW, a_range, a_task, an_agent, an_id, figures, scenes


def all_pages(ask, limit):
    """Every item, page by page, and the sizes of the pages."""
    found, sizes, after = [], [], None
    while True:
        page = ask(after=after, limit=limit)
        found += page.items
        sizes.append(len(page.items))
        if page.next is None:
            return found, sizes
        after = page.next


def ids(page):
    """The ids of a page of jobs."""
    return [job.id for job in page.items]


def test_jobs_come_newest_first_page_by_page(scene):
    """Seven jobs in pages of three come once each, the newest first, and the last page says that it is the last."""
    jobs = [scene.submit().id for _ in range(7)]

    found, sizes = all_pages(scene.api.list_jobs, limit=3)

    assert [job.id for job in found] == jobs[::-1]
    assert sizes == [3, 3, 1]


def test_a_full_last_page_has_no_next(scene):
    """Exactly as many jobs as a page holds are one page."""
    for _ in range(3):
        scene.submit()

    assert scene.api.list_jobs(limit=3).next is None


def test_a_job_that_comes_meanwhile_shifts_no_page(scene):
    """A submission between two pages repeats nothing and hides nothing."""
    old = [scene.submit().id for _ in range(4)]
    first = scene.api.list_jobs(limit=2)
    scene.submit()

    second = scene.api.list_jobs(after=first.next, limit=2)

    assert ids(first) + ids(second) == old[::-1]


@pytest.mark.parametrize(
    "filters",
    [
        JobFilters(project="forest"),
        JobFilters(user="grace"),
        JobFilters(name="september"),
        JobFilters(state=JobState.FAILED),
        JobFilters(image="evi"),
        JobFilters(image="evi:2.0.0"),
        JobFilters(labels={"campaign": "2024"}),
        JobFilters(labels={"campaign": "2024", 'odd "key".x': "it's"}),
        JobFilters(project="forest", user="grace", state=JobState.FAILED),
    ],
    ids=str,
)
def test_a_filter_keeps_what_matches(scene, filters):
    """Of two jobs that differ in everything, each filter keeps the one."""
    scene.submit(labels={"campaign": "2023"})
    scene.image = scene.register(name="evi", version="2.0.0")
    wanted = scene.submit(
        name="september", project="forest", user="grace", labels={"campaign": "2024", 'odd "key".x': "it's"}
    )
    scene.apply(figures(wanted, JobState.FAILED, Ranges(), failed=1))

    assert ids(scene.api.list_jobs(filters)) == [wanted.id]


def test_a_filter_that_nothing_matches_keeps_nothing(scene):
    """An image in another version, and a label with another value, match no job."""
    scene.submit(labels={"campaign": "2023"})

    assert ids(scene.api.list_jobs(JobFilters(image="ndvi:9"))) == []
    assert ids(scene.api.list_jobs(JobFilters(labels={"campaign": "2"}))) == []
    assert ids(scene.api.list_jobs(JobFilters(labels={"other": "2023"}))) == []


REST = Ranges(((4, 5), (6, 10)))  # of the job below, what was never launched


@pytest.fixture
def half_done(scene):
    """A job of ten: 0 and 1 have succeeded, 2 has failed, 3 waits for its next attempt, 5 runs; the rest was never launched."""
    job = scene.submit(array=scenes(10), deadline="2026-01-02T00:00:00Z")
    states = {
        0: TaskState.SUCCEEDED,
        1: TaskState.SUCCEEDED,
        2: TaskState.FAILED,
        3: TaskState.PENDING,
        5: TaskState.ACTIVE,
    }
    scene.apply(
        *(a_task(job, index, state) for index, state in states.items()),
        figures(job, JobState.RUNNING, REST, succeeded=2, failed=1, active=1),
    )
    return job


def test_every_task_is_listed_launched_or_not(scene, half_done):
    """All ten tasks come in order, in pages of four, each with its item."""
    found, sizes = all_pages(lambda **page: scene.api.list_tasks(half_done.id, **page), limit=4)

    assert [task.index for task in found] == list(range(10))
    assert [task.item["href"] for task in found] == [f"file:///eo/{index}" for index in range(10)]
    assert "".join(task.state[0] for task in found) == "SSFPPAPPPP"
    assert sizes == [4, 4, 2]


@pytest.mark.parametrize(
    ("state", "indices"),
    [
        (TaskState.PENDING, [3, 4, 6, 7, 8, 9]),
        (TaskState.ACTIVE, [5]),
        (TaskState.SUCCEEDED, [0, 1]),
        (TaskState.FAILED, [2]),
        (TaskState.CANCELLED, []),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_tasks_are_listed_by_state(scene, half_done, state, indices, limit):
    """Each state lists its tasks in order, page by page; those never launched are pending."""
    found, _ = all_pages(lambda **page: scene.api.list_tasks(half_done.id, state=state, **page), limit=limit)

    assert [task.index for task in found] == indices
    assert {task.state for task in found} <= {state}


@pytest.mark.parametrize("limit", [1, 2, 100])
@pytest.mark.parametrize("left", [REST, Ranges()], ids=["kept", "emptied"])
def test_tasks_never_launched_are_cancelled_with_their_job(scene, half_done, limit, left):
    """Once the scheduler has taken the wish in, tasks without a row are cancelled, whatever it keeps as pending."""
    wish = scene.api.request_cancel(half_done.id)
    pending = {task.index for task in scene.api.list_tasks(half_done.id, state=TaskState.PENDING).items}
    assert pending == {3, 4, 6, 7, 8, 9}  # nobody has taken the wish in yet

    scene.apply(a_task(half_done, 3, TaskState.CANCELLED), figures(wish, JobState.RUNNING, left, cancelled=6))

    found, _ = all_pages(lambda **page: scene.api.list_tasks(half_done.id, state=TaskState.CANCELLED, **page), limit)
    assert [task.index for task in found] == [3, 4, 6, 7, 8, 9]
    assert scene.api.list_tasks(half_done.id, state=TaskState.PENDING).items == []
    assert scene.api.get_task(half_done.id, 9).state is TaskState.CANCELLED


@pytest.mark.parametrize("limit", [1, 2, 100])
@pytest.mark.parametrize(("state", "failed"), [(TaskState.FAILED, 7), (TaskState.PENDING, 6)])
def test_tasks_that_the_deadline_ended_have_failed_while_the_job_is_open(scene, half_done, limit, state, failed):
    """What has no row is listed as the job counts it, though a task runs still, and one may wait for its next attempt."""
    scene.apply(
        a_task(half_done, 3, state),
        figures(half_done, JobState.RUNNING, REST, succeeded=2, failed=failed, active=1),
    )

    def listed(state):
        found, _ = all_pages(lambda **page: scene.api.list_tasks(half_done.id, state=state, **page), limit)
        return [task.index for task in found]

    waits = [3] if state is TaskState.PENDING else []
    assert listed(TaskState.FAILED) == sorted({2, 3, 4, 6, 7, 8, 9} - {*waits})
    assert listed(TaskState.PENDING) == waits
    assert "".join(task.state[0] for task in scene.api.list_tasks(half_done.id).items) == f"SSF{state[0]}FAFFFF"
    late = scene.api.get_task(half_done.id, 6)
    assert (late.state, late.cause) == (TaskState.FAILED, Cause.TIMEOUT)


def test_a_cancelled_job_that_never_ran_lists_its_tasks(scene):
    """A job without a single row lists all of its tasks as cancelled."""
    job = scene.submit(array=a_range(3))
    wish = scene.api.request_cancel(job.id)
    scene.apply(figures(wish, JobState.CANCELLED, Ranges(), cancelled=3))

    page = scene.api.list_tasks(job.id, state=TaskState.CANCELLED)

    assert [(task.index, task.state) for task in page.items] == [(index, TaskState.CANCELLED) for index in range(3)]


def test_the_last_page_of_a_million_tasks_is_found_at_once(scene):
    """A page from the middle of a huge array costs no more than the first."""
    job = scene.submit(array=a_range(1_000_000))

    page = scene.api.list_tasks(job.id, state=TaskState.PENDING, after=999_997, limit=5)

    assert [(task.index, task.item) for task in page.items] == [(999_998, 999_998), (999_999, 999_999)]
    assert page.next is None


def test_a_task_shows_what_its_row_says(scene):
    """Agent, cause, exit code and message of the last attempt stand in the task."""
    job = scene.submit()
    said = {"agent_id": "agent-1", "hostname": "host-1", "cause": Cause.DATA, "exit_code": 3, "message": "no CRS"}
    scene.apply(a_task(job, 0, TaskState.FAILED, attempts=2, failures=2, ended_at=NOW, **said))

    task = scene.api.get_task(job.id, 0)

    assert {name: getattr(task, name) for name in said} == said
    assert (task.attempts, task.failures, task.ended_at) == (2, 2, NOW)


@pytest.mark.parametrize("index", [-1, 3, 10**12])
def test_a_task_beyond_the_array_is_not_found(scene, index):
    """Only 0 to size - 1 are tasks."""
    job = scene.submit(array=a_range(3))

    for question in (scene.api.get_task, scene.api.get_item, scene.api.list_attempts):
        with pytest.raises(NotFoundError, match="has no task"):
            question(job.id, index)


def test_attempts_come_in_order_with_their_agents_url(scene):
    """A task's attempts come first to last; the URL that serves their logs is there where the agent is known."""
    scene.apply(an_agent("agent-1"))
    job = scene.submit()
    first = scene.launch(job, number=1)
    report = {"usage": {"wall_s": 1.5}}
    ended = ChangeAttempt(attempt_id=first, state=AttemptState.FAILED, cause=Cause.APP, exit_code=2, report=report)
    scene.apply(ended)
    second = scene.launch(job, number=2, agent_id="unknown")

    found = scene.api.list_attempts(job.id, 0)

    assert [(attempt.id, attempt.agent_url) for attempt in found] == [(first, "http://host-1:5051"), (second, None)]
    assert (found[0].state, found[0].cause, found[0].exit_code) == (AttemptState.FAILED, Cause.APP, 2)
    assert (found[0].report, found[1].report, found[1].outputs) == (report, {}, [])


def test_outputs_are_those_of_succeeded_tasks(scene):
    """Files come by task, page by page; what a failed or a running task has published is not official."""
    job = scene.submit(array=a_range(200))
    files = [{"name": name, "path": f"{name}.tif", "size": 10, "media_type": "image/tiff"} for name in ("ndvi", "mask")]
    winner = scene.succeed(job, 3, files)
    scene.succeed(job, 120, files[:1])
    loser = scene.launch(job, 4)
    scene.apply(ChangeAttempt(attempt_id=loser, state=AttemptState.FAILED, output_dir="/x", outputs=files))
    scene.apply(a_task(job, 4, TaskState.FAILED))
    running = scene.launch(job, 5)
    scene.apply(ChangeAttempt(attempt_id=running, state=AttemptState.RUNNING, outputs=files))

    found, sizes = all_pages(lambda **page: scene.api.list_outputs(job.id, **page), limit=2)

    assert [(output.task_index, output.path) for output in found] == [
        (3, "ndvi.tif"),
        (3, "mask.tif"),
        (120, "ndvi.tif"),
    ]
    assert sizes == [2, 1]
    assert (found[0].attempt_id, found[0].output_dir, found[0].size) == (winner, f"/outputs/{winner}", 10)


def test_outputs_of_many_tasks_are_paged_across_queries(scene):
    """A hundred and twenty tasks, and pages that end in the middle of a task, repeat and skip nothing."""
    job = scene.submit(array=a_range(120))
    for index in range(120):
        scene.succeed(job, index, [{"name": "x", "path": f"{index}-{part}", "size": 1} for part in range(index % 3)])

    found, _ = all_pages(lambda **page: scene.api.list_outputs(job.id, **page), limit=7)

    assert [output.path for output in found] == [f"{index}-{part}" for index in range(120) for part in range(index % 3)]


def test_outputs_of_one_task(scene):
    """Asked for one task, only its files come."""
    job = scene.submit(array=a_range(2))
    for index in range(2):
        scene.succeed(job, index, [{"name": "x", "path": f"{index}.tif", "size": 1}])

    assert [output.path for output in scene.api.list_outputs(job.id, index=1).items] == ["1.tif"]


@pytest.mark.parametrize(
    "cursor", ["x:y", "1", "1:", "9" * 30 + ":1", "1:" + "9" * 30, "9" * 5000 + ":1", "²:1", "-1:1"]
)
def test_a_cursor_that_is_none_is_refused(scene, cursor):
    """A cursor that no page ended with is the caller's mistake, however large its numbers are."""
    job = scene.submit()

    with pytest.raises(InvalidInputError, match="cursor"):
        scene.api.list_outputs(job.id, after=cursor)


def test_numbers_beyond_every_row_find_nothing(scene):
    """A position beyond 64 bits is one after the last row, and no fault of the database."""
    job, beyond = scene.submit(), 10**30

    assert scene.api.read_events(beyond) == []
    assert scene.api.list_tasks(job.id, after=beyond).items == []
    assert scene.api.list_images(after=beyond).items == []
    assert scene.api.list_outputs(job.id, index=beyond).items == []
    with pytest.raises(NotFoundError):
        scene.api.get_image(beyond)


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        (JobFilters(project="p"), "ix_jobs_project_id"),
        (JobFilters(name="n"), "ix_jobs_name_id"),
        (JobFilters(user="u"), "ix_jobs_user_id"),
        (JobFilters(state=JobState.FAILED), "ix_jobs_state_id"),
        (JobFilters(image="ndvi"), "ix_jobs_image_version_id_id"),
        (JobFilters(labels={"a": "b"}), "sqlite_autoindex_jobs_1"),
    ],
    ids=str,
)
def test_a_filter_searches_an_index(sqlite_database, filters, index):
    """Jobs are found in the order of an index; only labels are looked for row by row, from the page's cursor on."""
    database = Database(sqlite_database)
    asked: list[tuple] = []
    event.listen(database._reader, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
    ApiStore(database).list_jobs(filters, after=an_id())
    statement, values = asked[-1]

    with database.read() as session:
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()

    assert any(index in str(step) for step in plan)
    database.close()
