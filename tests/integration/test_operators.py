"""What operators do to a cluster of real programs: two agents, a scheduler, the api and the command line."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.domain.retries import Cause
from swath.domain.states import AttemptState, JobState
from swath.domain.wishes import Wishes
from swath.store.rows import AgentRow
from tests.integration.evidence import find_contradictions
from tests.integration.operated import Operated

LISTED_S = 150  # within so long the scheduler has asked again for the list of agents


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A cluster for all tests of this module that leave it as they have found it."""
    with Operated(tmp_path_factory.mktemp("operated")) as made:
        yield made


@pytest.fixture
def cluster(shared: Operated) -> Iterator[Operated]:
    """The same with both agents active, nothing running, and the gate closed; it has to be so again in the end."""
    shared.gate.unlink(missing_ok=True)
    yield shared
    shared.open_gate()
    for agent in shared.active_agents():
        shared.swath("agents", "undrain", agent.id)
    shared.wait(
        lambda: not shared.store.count_running().attempts and all(map(is_free, shared.active_agents())), LISTED_S
    )
    assert find_contradictions(shared.cluster.database) == []


def is_free(agent: AgentRow) -> bool:
    return not (agent.deactivated or agent.drain or agent.mode_pending)


def busy_and_other(cluster: Operated) -> tuple[AgentRow, AgentRow]:
    """The agent on which something runs (the first of them), and the other one."""
    first, second = cluster.active_agents()
    return (first, second) if first.attempts else (second, first)


def test_m32_a_drain_moves_what_runs_to_the_other_agent_for_free(cluster: Operated) -> None:
    """The attempts there end with the cause DRAINED, their tasks run on the other agent, and nothing has cost them anything."""
    job_id = cluster.start(3)
    busy, other = busy_and_other(cluster)
    moved = [row for row in cluster.running(job_id) if row.agent_id == busy.id]

    (drained,) = cluster.shown("agents", "drain", busy.id, "--max-grace", "1", "--wait", "--yes")

    assert (drained["mode"], drained["drain"], drained["attempts"]) == ("DRAINED", "DRAINED", 0)
    cluster.wait(lambda: len(cluster.running(job_id)) == 3)
    assert {row.agent_id for row in cluster.running(job_id)} == {other.id}
    ended = {row.id: row for row in cluster.attempts(job_id)}
    assert {(ended[row.id].state, ended[row.id].cause) for row in moved} == {(AttemptState.KILLED, Cause.DRAINED)}
    history = cluster.swath("history", job_id, str(moved[0].task_index)).stdout
    assert "DRAINED" in history
    cluster.open_gate()
    job = cluster.cluster.wait(job_id)
    assert (job.state, job.counts.succeeded, cluster.failures(job_id)) == (JobState.SUCCEEDED, 3, 0)


def test_m32_nothing_is_launched_on_a_drained_agent_until_it_is_undrained(cluster: Operated) -> None:
    """With the other agent cordoned a job waits, and says for what; it runs where the drain was taken back."""
    first, second = cluster.active_agents()
    cluster.swath("agents", "drain", first.id, "--yes", "--wait")
    cluster.swath("agents", "cordon", second.id)
    cluster.wait(lambda: cluster.store.get_agent(second.id).deactivated)
    job_id = cluster.submit(2)
    cluster.wait(lambda: cluster.store.get_job(job_id).wait_reason)
    assert cluster.attempts(job_id) == []
    assert "agents" in cluster.swath("why", job_id).stdout

    cluster.swath("agents", "undrain", first.id)

    cluster.wait(lambda: len(cluster.running(job_id)) == 2)
    assert {row.agent_id for row in cluster.running(job_id)} == {first.id}


def test_a_cordon_keeps_what_runs(cluster: Operated) -> None:
    """It runs to its end in its first attempt; what comes after goes elsewhere, until the cordon is taken back."""
    job_id = cluster.start(2)
    busy, other = busy_and_other(cluster)
    before = {row.id for row in cluster.running(job_id)}
    cluster.swath("agents", "cordon", busy.id)
    cluster.wait(lambda: not cluster.store.get_agent(busy.id).mode_pending)

    later = cluster.start(2)

    assert {row.agent_id for row in cluster.running(later)} == {other.id}
    assert {row.id for row in cluster.running(job_id)} == before
    cluster.open_gate()
    for ended in (job_id, later):
        assert cluster.cluster.wait(ended).state is JobState.SUCCEEDED
    assert {row.id for row in cluster.attempts(job_id)} == before


def test_bad_commands_are_answered_and_change_nothing(cluster: Operated) -> None:
    """Unknown and ambiguous names, an undrain of what is active, ends without --yes: nothing is wished for."""
    first, second = cluster.active_agents()
    job_id = cluster.start(2)
    before = (cluster.attempts(job_id), cluster.store.cluster_status().framework_wish)

    assert "nobody" in cluster.swath("agents", "drain", "nobody", "--yes", code=3).stderr
    ambiguous = cluster.swath("agents", "cordon", "127.0.0.1", code=4).stderr
    assert first.id in ambiguous
    assert second.id in ambiguous
    cluster.swath("agents", "drain", first.id, second.id, "nobody", "--yes", code=3)
    cluster.swath("agents", "drain", first.id, code=2)
    cluster.swath("agents", "undrain", first.id)
    assert "2 running attempts of 1 job on" in cluster.swath("scheduler", "teardown", code=2).stderr
    cluster.swath("scheduler", "reset-framework", code=2)

    assert cluster.cluster_wishes() == Wishes()
    assert (cluster.attempts(job_id), cluster.store.cluster_status().framework_wish) == before
    assert [agent.mode for agent in cluster.active_agents()] == ["ACTIVE", "ACTIVE"]


def test_draining_twice_is_draining_once(cluster: Operated) -> None:
    """The second command is answered as the first, and the scheduler is asked for nothing more."""
    first, _ = cluster.active_agents()
    cluster.swath("agents", "drain", first.id, "--yes", "--wait")
    asked_at = cluster.store.get_agent(first.id).mode_at

    cluster.swath("agents", "drain", first.id, "--yes", "--wait")

    assert cluster.cluster_wishes() == Wishes()
    assert cluster.store.get_agent(first.id).mode_at == asked_at


def test_a_drain_that_is_asked_for_while_the_master_is_away_is_done_when_it_is_back(cluster: Operated) -> None:
    """The command says that it waits; what runs goes on until then."""
    job_id = cluster.start(2)
    busy, _ = busy_and_other(cluster)
    cluster.cluster.stop("local", signal.SIGKILL)
    cluster.wait(lambda: cluster.health() == "is not connected to a master")

    said = cluster.swath("agents", "drain", busy.id, "--yes").stderr

    assert "is not connected to a master" in said
    assert cluster.store.get_agent(busy.id).mode_pending
    assert len(cluster.running(job_id)) == 2
    cluster.start_local()
    cluster.wait(lambda: cluster.store.get_agent(busy.id).drain == "DRAINED", 60)
    cluster.open_gate()
    assert cluster.cluster.wait(job_id, 60).state is JobState.SUCCEEDED
    assert cluster.failures(job_id) == 0


def test_m04_a_teardown_kills_everything_and_nothing_is_launched_until_a_reset(cluster: Operated) -> None:
    """Not by another job, nor by a scheduler that starts anew; after the reset every task is tried again for free."""
    job_id = cluster.start(3)
    framework_id = cluster.store.cluster_status().framework_id

    said = cluster.swath("scheduler", "teardown", "--yes").stderr

    assert "3 running attempts of 1 job on" in said
    cluster.wait(lambda: cluster.status()["torn_down"])
    cluster.wait(lambda: cluster.processes(job_id) == [])
    assert {row.state for row in cluster.attempts(job_id)} == {AttemptState.LOST}
    another = cluster.submit(2)
    cluster.cluster.stop("scheduler", signal.SIGKILL)
    cluster.cluster.start_scheduler()
    cluster.wait(lambda: "reset-framework" in (cluster.store.get_job(another).wait_reason or ""))
    assert "has left Mesos already" in cluster.swath("scheduler", "teardown", "--yes", code=4).stderr
    assert "reset-framework" in cluster.swath("why", job_id).stdout
    assert cluster.attempts(another) == cluster.running(job_id) == []

    cluster.swath("scheduler", "reset-framework", "--yes")

    cluster.wait(lambda: len(cluster.running(job_id)) == 3)
    assert cluster.health() == "ok"
    assert cluster.store.cluster_status().framework_id not in (None, framework_id)
    cluster.open_gate()
    assert cluster.cluster.wait(job_id).state is cluster.cluster.wait(another).state is JobState.SUCCEEDED
    assert cluster.failures(job_id) == 0


def test_a_reset_while_everything_runs_tries_it_again_under_another_framework(cluster: Operated) -> None:
    """What ran is killed, LOST, and costs nothing; the command says beforehand that nobody needs it."""
    job_id = cluster.start(2)
    framework_id = cluster.store.cluster_status().framework_id
    before = {row.id for row in cluster.running(job_id)}

    said = cluster.swath("scheduler", "reset-framework", "--yes").stderr

    assert "the master serves the present framework" in said
    cluster.wait(lambda: len(cluster.running(job_id)) == 2 and not before & {row.id for row in cluster.running(job_id)})
    assert cluster.store.cluster_status().framework_id not in (None, framework_id)
    assert {row.id for row in cluster.attempts(job_id, AttemptState.LOST)} == before
    cluster.open_gate()
    assert cluster.cluster.wait(job_id).state is JobState.SUCCEEDED
    assert cluster.failures(job_id) == 0


def test_m05_a_framework_that_somebody_else_removed_waits_for_a_reset(cluster: Operated) -> None:
    """The scheduler does not register anew by itself; jobs say what they wait for, and all is tried again after the reset."""
    job_id = cluster.start(2)
    cluster.cluster.stop("scheduler")
    cluster.leave_behind_its_back()
    cluster.cluster.start_scheduler()
    cluster.wait(lambda: "Mesos has removed the framework" in cluster.health())
    cluster.wait(lambda: cluster.processes(job_id) == [])
    another = cluster.submit(2)
    cluster.wait(lambda: "has removed the framework" in (cluster.store.get_job(another).wait_reason or ""))
    assert (cluster.status()["torn_down"], cluster.health() == "ok", cluster.attempts(another)) == (False, False, [])

    cluster.swath("scheduler", "reset-framework", "--yes")

    cluster.open_gate()
    for ended in (job_id, another):
        assert cluster.cluster.wait(ended).state is JobState.SUCCEEDED
    assert cluster.failures(job_id) == 0


def test_m04_a_teardown_while_the_master_is_away_is_done_when_it_is_back(tmp_path: Path) -> None:
    """However the scheduler is killed meanwhile; until then what runs goes on."""
    with Operated(tmp_path) as cluster:
        job_id = cluster.start(2)
        cluster.cluster.stop("local", signal.SIGKILL)
        cluster.wait(lambda: cluster.health() == "is not connected to a master")
        assert "is not connected" in cluster.swath("scheduler", "teardown", "--yes").stderr
        cluster.cluster.stop("scheduler", signal.SIGKILL)
        assert cluster.status()["wish"]["pending"]
        assert cluster.processes(job_id) != []

        cluster.start_local()
        cluster.cluster.start_scheduler()

        cluster.wait(lambda: cluster.status()["torn_down"], 60)
        cluster.wait(lambda: cluster.processes(job_id) == [])
        assert cluster.running(job_id) == []
