"""Jobs after others through the real loop and a real database, with and without a new scheduler at every step."""

from __future__ import annotations

import pytest

from scheduler.core import events as ev
from scheduler.inbox import Signal
from swath.domain.attempts import AttemptReport
from swath.domain.states import JobState, Observation, TaskState
from swath.store.database import Database
from tests.scheduler.test_with_database import FAILED, Running, an_update
from tests.store.build import a_range


class Stage:
    """A scheduler that may be killed between any two steps."""

    def __init__(self, database: Database, *, killed: bool) -> None:
        self.running, self._killed = Running(database), killed
        self.scene, self.api = self.running.scene, self.running.api

    def hear(self) -> None:
        """Take in what the api has written."""
        if self._killed:
            self.running.begin_anew()
        self.running.go(Signal.DESIRED, ev.Subscribed(framework_id="f"))

    def launch(self) -> dict[tuple[str, int], str]:
        """What runs once a large agent has been offered: (job, task) -> attempt."""
        self.hear()
        self.running.offer()
        live = (live.attempt for live in self.running.core.state.attempts.values())
        return {(attempt.job_id, attempt.task_index): attempt.id for attempt in live}

    def end(self, attempt_id: str, observation: Observation = Observation.FINISHED) -> None:
        """An attempt ends."""
        self.hear()
        report = AttemptReport() if observation is Observation.FINISHED else FAILED
        self.running.go(an_update(attempt_id, observation, report))


@pytest.mark.parametrize("killed", [False, True])
def test_a_chain_that_breaks_is_taken_up_again_with_the_retry_of_its_head(database: Database, killed: bool) -> None:
    """Task by task, then as a whole: what cannot start ends with it, waits again with the retry, and all of it succeeds."""
    stage = Stage(database, killed=killed)
    submit, api = stage.scene.submit, stage.api
    first = submit(name="first", array=a_range(3), retry={"max_attempts": 1})
    second = submit(name="second", array=a_range(3), after=[{"job": first.id, "elementwise": True}])
    third = submit(name="third", after=[{"job": second.id}])

    runs = stage.launch()
    assert set(runs) == {(first.id, index) for index in range(3)}
    stage.end(runs[first.id, 1], Observation.FAILED)
    stage.end(runs[first.id, 0])
    runs = stage.launch()
    assert set(runs) == {(first.id, 2), (second.id, 0)}
    assert "2 of 3 tasks done, 1 of them in vain" in (api.get_job(second.id).wait_reason or "")
    stage.end(runs[second.id, 0])
    stage.end(runs[first.id, 2])
    runs = stage.launch()
    assert set(runs) == {(second.id, 2)}
    stage.end(runs[second.id, 2])
    assert [api.get_job(job.id).state for job in (first, second, third)] == [JobState.FAILED] * 3
    assert [task.state for task in api.list_tasks(second.id).items] == [
        *(TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SUCCEEDED)
    ]

    api.request_retry(first.id)
    for job, index in ((first, 1), (second, 1), (third, 0)):
        runs = stage.launch()
        assert set(runs) == {(job.id, index)}
        stage.end(runs[job.id, index])
    rows = [api.get_job(job.id) for job in (first, second, third)]
    assert [(row.state, row.message, row.wait_reason) for row in rows] == [(JobState.SUCCEEDED, None, None)] * 3
