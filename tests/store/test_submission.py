"""Submitting, cancelling and retrying: what the api writes."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import event, func, select

from swath.domain.errors import ConflictError, InternalError, NotFoundError
from swath.domain.ranges import Ranges
from swath.domain.states import Desired, JobState
from swath.store.models import Base, Job, JobInput
from tests.store.build import NOW, ONE_CPU, a_range, a_spec, an_id, figures, scenes


def count_rows(database) -> int:
    """All rows of all tables."""
    with database.read() as session:
        return sum(session.scalar(select(func.count()).select_from(table)) for table in Base.metadata.sorted_tables)


def test_a_submitted_job_is_read_back(scene):
    """Everything that was said stands in the job, and all of its tasks are pending."""
    job = scene.submit(project="forest", priority=70, labels={"campaign": "2023"}, array=a_range(12), user="ada")

    found = scene.api.get_job(job.id)
    assert found == job
    assert (found.name, found.project, found.user, found.priority) == ("august", "forest", "ada", 70)
    assert (found.image_name, found.image_version, found.image_version_id) == ("ndvi", "1.0.0", scene.image.id)
    assert (found.state, found.desired, found.labels) == (JobState.PENDING, Desired.RUN, {"campaign": "2023"})
    assert (found.size, found.counts.total, found.counts.pending) == (12, 12, 12)
    assert (found.resources, found.submitted_at, found.ended_at) == (ONE_CPU, NOW, None)
    assert found.spec["array"] == {"over": "INDEX", "range": [0, 12]}
    assert found.desired_rev > found.observed_rev


def test_a_job_without_an_array_has_one_task(scene):
    """A job that fans out over nothing is one task without an item."""
    job = scene.submit()

    assert job.counts.total == 1
    assert scene.api.get_item(job.id, 0) is None


def test_a_million_tasks_are_a_handful_of_rows(scene, database):
    """A range of 1,000,000 writes fewer than 20 rows, in a time that does not depend on its length."""
    scene.submit(array=a_range(10))
    before = count_rows(database)
    began = time.perf_counter()

    job = scene.submit(array=a_range(1_000_000), idempotency=("key", "hash"))

    assert time.perf_counter() - began < 1  # 5 ms on a laptop; a row for each task would take a minute
    assert count_rows(database) - before < 20
    assert job.counts.pending == 1_000_000
    assert scene.api.get_item(job.id, 999_999) == 999_999


def test_items_are_stored_in_chunks(scene, database):
    """25,000 items are three chunks; the document keeps their number, and each item is found by its index."""
    job = scene.submit(array=scenes(25_000))

    with database.read() as session:
        sizes = [len(items) for items in session.scalars(select(JobInput.items).order_by(JobInput.chunk))]
    assert sizes == [10_000, 10_000, 5_000]
    assert job.spec["array"] == {"over": "SCENE", "size": 25_000}
    for index in (0, 9_999, 10_000, 24_999):
        assert scene.api.get_item(job.id, index) == {"href": f"file:///eo/{index}"}


def test_a_range_that_begins_later_counts_from_there(scene):
    """Task 0 of the range 5 to 8 has the number 5."""
    job = scene.submit(array={"over": "INDEX", "range": [5, 8]})

    assert [scene.api.get_item(job.id, index) for index in range(3)] == [5, 6, 7]


def test_a_key_that_was_used_gives_the_first_job(scene, database):
    """The same request with the same key is one job, however often it is sent."""
    first = scene.submit(idempotency=("key", "hash"))
    again = scene.submit(idempotency=("key", "hash"))

    assert again == first
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 1


def test_a_key_for_another_request_is_a_conflict(scene):
    """A key that stands for one request cannot stand for another; nothing is written."""
    scene.submit(idempotency=("key", "hash"))

    with pytest.raises(ConflictError, match="Idempotency-Key 'key'"):
        scene.submit(idempotency=("key", "other"))

    assert len(scene.api.list_jobs().items) == 1


def test_a_key_sent_many_times_at_once_makes_one_job(scene):
    """Six threads with one key get the same job."""
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(scene.submit(idempotency=("key", "hash")).id)) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 6
    assert len(set(found)) == 1


def test_a_submission_that_fails_leaves_its_key_free(scene):
    """A key is taken only together with its job."""
    with pytest.raises(InternalError):
        scene.api.submit(
            a_spec(),
            scene.register(name="other"),
            resources=ONE_CPU,
            job_id=scene.submit().id,
            now=NOW,
            user="ada",
            idempotency=("key", "hash"),
        )

    assert scene.submit(idempotency=("key", "other")).user == "ada"


def test_a_chunk_that_cannot_be_written_takes_the_job_with_it(scene, database):
    """A submission that dies half way leaves no job with half of its inputs."""

    def die_at_inputs(_connection, _cursor, statement, *_rest):
        if "job_inputs" in statement:
            raise RuntimeError("the plug was pulled")

    event.listen(database._writer, "before_cursor_execute", die_at_inputs)
    before = count_rows(database)

    with suppress(RuntimeError):
        scene.submit(array=scenes(3))

    assert count_rows(database) == before


def test_cancelling_is_a_wish(scene):
    """The wish is stored and its revision raised; the state is the scheduler's and stays."""
    job = scene.submit()

    cancelled = scene.api.request_cancel(job.id)

    assert (cancelled.desired, cancelled.state) == (Desired.CANCELLED, JobState.PENDING)
    assert cancelled.desired_rev == job.desired_rev + 1


def test_cancelling_twice_is_cancelling_once(scene):
    """The second wish changes nothing."""
    job = scene.submit()
    once = scene.api.request_cancel(job.id)

    assert scene.api.request_cancel(job.id) == once


def test_a_job_that_has_ended_cannot_be_cancelled(scene):
    """A job that is over says so."""
    job = scene.submit()
    scene.apply(figures(job, JobState.SUCCEEDED, Ranges(), succeeded=1))

    with pytest.raises(ConflictError, match="has ended already"):
        scene.api.request_cancel(job.id)


def test_retrying_is_a_wish(scene):
    """A job with failed tasks gets a new revision of retries for the scheduler to take in."""
    job = scene.submit()
    scene.apply(figures(job, JobState.FAILED, Ranges(), failed=1))

    retried = scene.api.request_retry(job.id)

    assert retried.retry_rev == job.retry_rev + 1
    assert retried.desired_rev > retried.observed_rev


def test_after_its_deadline_a_job_is_not_retried(scene):
    """What would fail again at once is refused at once; until then a retry is a wish like any other."""
    job = scene.submit(deadline=(NOW + timedelta(hours=1)).isoformat())
    scene.apply(figures(job, JobState.FAILED, Ranges(), failed=1))

    assert scene.api.request_retry(job.id, now=NOW).retry_rev == 1
    with pytest.raises(ConflictError, match="deadline"):
        scene.api.request_retry(job.id, now=NOW + timedelta(hours=1))
    with pytest.raises(ConflictError, match="deadline"):
        scene.api.request_retry(job.id)  # at present, which is later than that


def test_a_retry_that_was_asked_for_can_still_be_cancelled(scene):
    """A job that has ended, but is to run again, takes the wish to end."""
    job = scene.submit()
    scene.apply(figures(job, JobState.FAILED, Ranges(), failed=1))
    scene.api.request_retry(job.id)

    assert scene.api.request_cancel(job.id).desired is Desired.CANCELLED


def test_without_a_failure_there_is_nothing_to_retry(scene):
    """A job whose tasks have not failed says so."""
    with pytest.raises(ConflictError, match="no task"):
        scene.api.request_retry(scene.submit().id)


def test_a_cancelled_job_is_not_retried(scene):
    """Who cancelled a job submits it anew."""
    job = scene.submit(array=a_range(2))
    scene.apply(figures(job, JobState.RUNNING, Ranges(), failed=1))
    scene.api.request_cancel(job.id)

    with pytest.raises(ConflictError, match="was cancelled"):
        scene.api.request_retry(job.id)


@pytest.mark.parametrize("question", ["get_job", "request_cancel", "request_retry", "list_tasks", "list_outputs"])
def test_an_unknown_job_is_not_found(scene, question):
    """Whatever is asked of a job that is not there raises NotFoundError with its id."""
    unknown = an_id()

    with pytest.raises(NotFoundError, match=unknown):
        getattr(scene.api, question)(unknown)
