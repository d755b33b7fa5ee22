"""Which attempts came to nothing."""

from __future__ import annotations

from swath.domain.changes import ChangeAttempt
from swath.domain.retries import Cause
from swath.domain.states import AttemptState
from tests.store.build import NOW, Scene, an_id


def end(scene: Scene, attempt_id: str, state: AttemptState, cause: Cause | None = None) -> str:
    """The attempt has ended."""
    scene.apply(ChangeAttempt(attempt_id=attempt_id, state=state, cause=cause, ended_at=NOW))
    return attempt_id


def test_losers_are_told_in_order_and_up_to_the_oldest_that_runs(scene: Scene) -> None:
    """No success, none that never began, none behind one of which nobody knows yet what it will be."""
    job = scene.submit(array={"over": "INDEX", "range": [0, 10]})
    lost = end(scene, scene.launch(job, 0), AttemptState.LOST)
    end(scene, scene.launch(job, 1), AttemptState.SUCCEEDED)
    end(scene, scene.launch(job, 2), AttemptState.LOST, Cause.UNBEGUN)
    failed = end(scene, scene.launch(job, 3), AttemptState.FAILED, Cause.APP)
    running = scene.launch(job, 4)
    killed = end(scene, scene.launch(job, 5), AttemptState.KILLED, Cause.KILLED)
    end_id = an_id()
    page = scene.scheduler.list_losers("", end_id, 1)
    assert ([(one.id, one.job_id, one.task_index) for one in page.items], page.more) == ([(lost, job.id, 0)], True)
    page = scene.scheduler.list_losers(page.next, end_id, 10)
    assert ([one.id for one in page.items], page.next, page.more) == ([failed], running, False)
    end(scene, running, AttemptState.SUCCEEDED)
    page = scene.scheduler.list_losers(page.next, end_id, 10)
    assert ([one.id for one in page.items], page.next) == ([killed], end_id)
    assert scene.scheduler.list_losers(page.next, lost, 10).next == end_id  # a clock that was set back
