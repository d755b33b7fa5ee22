"""The recordings of the real Mesos' speed, 13a to 13g.

They leave the records out, so no call can be replayed. What is compared is what must be so whatever the speed: as many
offers are needed for as many ACCEPTs, one in each allocation interval; every task ends; updates of a task come one by one.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .cluster import T0
from .replay import Replay
from .scheduler_client import make_executor, make_task
from .timeline import Timeline
from .world import Json, World

FOLDERS = [
    "13a-perf-1000-in-one-accept",
    "13b-perf-100-per-accept-100ms",
    "13c-perf-10-per-accept-100ms",
    "13d-perf-10-per-accept-1s",
    "13e-perf-1000-in-one-accept-2-updates",
    "13f-perf-1-per-accept-1s",
    "13g-perf-1-per-accept-50ms",
]


class Run:
    """One scheduler that launches as soon as it is offered something, and one executor that ends tasks at once."""

    def __init__(self, plan: Json, interval_s: float) -> None:
        self.plan = plan
        self.interval_s = interval_s
        self.world = World(interval_s=interval_s).at(interval_s).subscribe()
        self.accepts = 0
        self.launched = 0
        self.last_accept = 0.0

    def run(self) -> Run:
        self.accept()
        self.world.connect()
        self.end_tasks()
        while self.launched < self.plan["tasks"]:
            offers = len(self.world.offers)
            self.world.at(self.seconds + self.interval_s)
            assert len(self.world.offers) == offers + 1, "one offer in each interval"
            self.accept()
            self.end_tasks()
        return self

    @property
    def seconds(self) -> float:
        return self.world.now - T0

    def accept(self) -> None:
        names = [f"t{index}" for index in range(self.launched, self.launched + self.plan["per_accept"])]
        executor = make_executor()
        offer = self.world.offers[-1]
        self.world.launch(offer, *(make_task(name, "M-S0", executor, cpus=0.001, mem=1) for name in names))
        self.accepts += 1
        self.launched += len(names)
        self.last_accept = self.seconds

    def end_tasks(self) -> None:
        """What the recorded executor did: FINISHED, or RUNNING and FINISHED, in one go."""
        states = ["TASK_RUNNING", "TASK_FINISHED"][-self.plan["updates_per_task"] :]
        for index in range(self.launched - self.plan["per_accept"], self.launched):
            for state in states:
                self.world.update(f"t{index}", state)
        self.acknowledge_all()

    def acknowledge_all(self) -> None:
        """A task's second update comes only after the first's acknowledgement."""
        seen = len(self.world.statuses) - self.plan["per_accept"]
        for status in self.world.statuses[seen:]:
            before = len(self.world.statuses)
            self.world.acknowledge(status)
            more = self.world.statuses[before:]
            assert [s["task_id"] for s in more] == [status["task_id"]] * len(more)
            for later in more:
                self.world.acknowledge(later)


@pytest.mark.parametrize("folder", FOLDERS)
def test_as_many_tasks_need_as_many_offers_as_recorded(transcripts: Path, folder: str) -> None:
    """Counts of tasks, ACCEPTs and updates as recorded; the last ACCEPT after as many intervals, and not later than there."""
    plan = json.loads((transcripts / folder / "result.json").read_text())
    interval_s = Timeline.read(transcripts / folder).master_settings()["interval_s"]
    run = Run(plan, interval_s).run()
    ended = [status for status in run.world.statuses if status["state"] == "TASK_FINISHED"]
    assert len({status["task_id"]["value"] for status in ended}) == len(ended) == plan["done"]
    assert len(run.world.statuses) == plan["tasks"] * plan["updates_per_task"]
    assert run.accepts == plan["accepts"]
    assert run.last_accept == pytest.approx(plan["accepts"] * interval_s)
    assert run.last_accept <= plan["seconds_until_last_accept"] + interval_s


@pytest.mark.parametrize("folder", FOLDERS)
def test_their_subscriptions_are_answered_as_recorded(transcripts: Path, folder: str) -> None:
    """SUBSCRIBE is the one call that was kept; the executor's is left out, for its launch was not."""
    played = Replay(transcripts / folder)
    played.rows = [(t, file, row) for t, file, row in played.rows if file.startswith("sched")]
    assert played.run() == 1
