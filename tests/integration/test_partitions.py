"""An agent behind a cut network, with real processes: its attempt is replaced, and wins nothing when it returns (M23)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.domain.states import AttemptState, JobState
from swath.store.rows import AttemptRow
from tests.integration.evidence import find_contradictions, find_debts
from tests.scheduler.cluster import Cluster

CUT_AFTER_S = 12.0  # of `local`'s start: time for the scheduler and both executors to come up
CUT_S = 25.0
# The first attempt of each task waits for a word, whoever comes after it writes at once.
SCRIPT = """
if mkdir {scratch}/$INDEX 2>/dev/null
then while [ ! -e {scratch}/go ]; do sleep 0.1; done
fi
echo $SWATH_ATTEMPT > $OUTPUT_DIR/result.txt
"""


class Divided:
    """Two agents and two tasks, on the first one or on both; the first agent's link to the master is cut for a while."""

    def __init__(self, cluster: Cluster) -> None:
        directory = cluster.directory
        self.scratch = directory / "scratch"
        self.scratch.mkdir()
        plan = directory / "plan.json"
        cut = {"at_s": CUT_AFTER_S, "fault": "agent_unreachable", "agent": 0, "for_s": CUT_S}
        plan.write_text(json.dumps([cut]))
        self.cluster = cluster
        self.cluster.start_local("--faults", str(plan), "--agent-ping-timeout", "1").start_scheduler()
        context = directory / "context"
        context.mkdir()
        (context / "run.sh").write_text(SCRIPT.format(scratch=self.scratch))
        files = [{"name": "RESULT", "pattern": "result.txt", "mediaType": "text/plain"}]
        image = self.cluster.register("waits", "sh run.sh", str(context), outputs={"files": files})
        self.job_id = self.cluster.submit(image, 2, cpus=1, retry={"unreachable_s": 2})
        self.index = -1  # of the task whose agent is cut off

    def go(self) -> None:
        """Let the first attempts finish."""
        (self.scratch / "go").touch()

    def attempts(self, index: int) -> list[AttemptRow]:
        return self.cluster.store.list_attempts(self.job_id, index)

    def count_attempts(self) -> int:
        return sum(len(self.attempts(index)) for index in (0, 1))

    def find_cut_off(self) -> bool:
        for index in (0, 1):
            found = self.attempts(index)
            if found and found[0].state is AttemptState.UNREACHABLE:
                self.index = index
        return self.index >= 0

    def await_unreachable(self) -> AttemptRow:
        self.cluster.wait_until(self.find_cut_off, 60)
        (loser,) = self.attempts(self.index)
        assert loser.unreachable_at is not None
        return loser

    def await_winner(self) -> AttemptRow:
        def replaced() -> bool:
            found = self.attempts(self.index)
            return len(found) == 2 and found[1].state is AttemptState.SUCCEEDED

        self.cluster.wait_until(replaced, 60)
        return self.attempts(self.index)[1]

    def history(self) -> list[str]:
        """What was told of the task that was cut off: kinds of lines, or the states of attempts."""
        events = self.cluster.store.read_events(0, job_id=self.job_id, task=self.index)
        return [str(event.data["state"]) if event.kind == "attempt.state" else event.kind for event in events]

    def result(self) -> str:
        (output,) = self.cluster.store.list_outputs(self.job_id, index=self.index).items
        return Path(output.output_dir, output.path).read_text().strip()


@pytest.fixture
def divided(tmp_path: Path) -> Iterator[Divided]:
    cluster = Cluster(tmp_path, agents=2, cpus=2.4, interval_s=0.2)
    try:
        yield Divided(cluster)
    finally:
        cluster.close()


def test_m23_an_attempt_that_comes_back_after_it_was_replaced_is_killed(divided: Divided):
    """It runs through the whole partition, is seen again, is ended, and its history says so; the winner's result stays."""
    loser = divided.await_unreachable()
    winner = divided.await_winner()
    divided.cluster.wait_until(lambda: "attempt.ended_late" in divided.history(), 60)
    divided.go()
    assert divided.cluster.wait(divided.job_id, 60).state is JobState.SUCCEEDED
    assert find_contradictions(divided.cluster.database) == []
    assert divided.attempts(divided.index)[0].state is AttemptState.LOST
    told = [line for line in divided.history() if line in ("UNREACHABLE", "attempt.returned", "attempt.ended_late")]
    assert told == ["UNREACHABLE", "attempt.returned", "attempt.ended_late"]
    assert divided.result() == winner.id
    assert winner.agent_id != loser.agent_id


def test_m23_the_outputs_of_a_loser_that_finishes_behind_the_partition_never_become_the_tasks(divided: Divided):
    """Both publish, each into a directory of its own; what the loser says of it later changes nothing."""
    loser = divided.await_unreachable()
    divided.go()
    winner = divided.await_winner()
    published = divided.cluster.directory / "outputs"
    divided.cluster.wait_until(lambda: len(list(published.rglob("result.txt"))) == divided.count_attempts(), 60)
    assert {path.read_text().strip() for path in published.rglob("result.txt")} > {loser.id, winner.id}
    assert divided.cluster.wait(divided.job_id, 60).state is JobState.SUCCEEDED
    divided.cluster.wait_until(lambda: not find_debts(divided.cluster.directory / "local"), 60)
    assert divided.result() == winner.id
    assert divided.attempts(divided.index)[0].state is AttemptState.LOST
