"""What operators ask for over HTTP: modes of agents, the end of the framework, a new beginning."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from swath.domain.changes import (
    AddEvent,
    ChangeAttempt,
    ObserveAgentWish,
    ObserveFrameworkWish,
    PutImages,
    PutSchedulerStatus,
    SetFrameworkId,
)
from swath.domain.states import AttemptState, TaskState
from swath.domain.wishes import AgentMode, FrameworkDesire
from swath.store.database import Database
from swath.store.leadership import Leadership
from tests.api.serving import Api
from tests.store.build import NOW, Scene, a_range, a_task, an_agent


def set_mode(api: Api, agent: str = "agent-1", **document: Any) -> Any:
    return api.http.put(f"/v1/agents/{agent}/mode", json=document)


def ask(api: Api, what: str, framework_id: Any = "f-1") -> Any:
    return api.post(f"/v1/scheduler/{what}", json={"framework_id": framework_id})


@pytest.fixture
def cluster(both_scene: Scene) -> Scene:
    """Two agents, three attempts of two jobs on one of them, and a framework."""
    both_scene.apply(an_agent(), an_agent("agent-2", hostname="host-2"), SetFrameworkId(framework_id="f-1"))
    first, second = both_scene.submit(array=a_range(2)), both_scene.submit()
    for job, index in ((first, 0), (first, 1), (second, 0)):
        both_scene.launch(job, index)
    return both_scene


def test_an_agent_shows_what_is_wanted_of_it_and_what_is_there(both_api: Api, cluster: Scene) -> None:
    """Wanted at once and pending; carried out once the scheduler and the master say so."""
    answer = set_mode(both_api, mode="DRAINED", max_grace_s=300, mark_gone=True)
    assert answer.status_code == 202
    agent = answer.json()
    assert (agent["mode"], agent["mode_pending"], agent["max_grace_s"], agent["mark_gone"]) == (
        "DRAINED",
        True,
        300,
        True,
    )
    assert (agent["attempts"], agent["drain"], agent["deactivated"], agent["images"]) == (3, None, False, None)
    (wish,) = cluster.scheduler.read_wishes().agents
    assert (wish.mode, wish.max_grace_s, wish.mark_gone) == (AgentMode.DRAINED, 300.0, True)

    hour = timedelta(hours=1)
    cluster.apply(
        ObserveAgentWish(agent_id="agent-1", rev=1, message="so it is"),
        PutImages(agent_id="agent-1", report={"images": [{"names": ["sha256:1"]}]}),
        an_agent(deactivated=True, drain="DRAINING", unavailable_from=NOW, unavailable_until=NOW + hour),
    )
    shown = both_api.get("/v1/agents/agent-1").json()
    assert (shown["mode_pending"], shown["mode_message"], shown["drain"]) == (False, "so it is", "DRAINING")
    assert shown["images"] == ["sha256:1"]
    assert (shown["unavailable_from"], shown["unavailable_until"]) == (
        "2026-01-01T12:00:00.000Z",
        "2026-01-01T13:00:00.000Z",
    )
    assert both_api.get("/v1/agents").json()["items"][0] == shown


def test_an_agent_may_be_named_by_its_host(both_api: Api, cluster: Scene) -> None:
    """Where no other agent has that host name; else it is a conflict that names the ids, and nothing is written."""
    assert both_api.get("/v1/agents/host-2").json()["id"] == "agent-2"
    cluster.apply(an_agent("agent-3", hostname="host-2"))

    refused = set_mode(both_api, "host-2", mode="CORDONED")

    assert refused.status_code == 409
    assert "agent-2, agent-3" in refused.json()["detail"]
    assert cluster.scheduler.read_wishes().agents == ()


def test_an_unknown_agent_is_not_found(both_api: Api, cluster: Scene) -> None:
    """404 for any question about it, and nothing is written."""
    assert both_api.get("/v1/agents/nobody").status_code == 404
    assert set_mode(both_api, "nobody", mode="DRAINED").status_code == 404
    assert cluster.scheduler.read_wishes().agents == ()


def test_draining_twice_and_activating_what_is_active_change_nothing(both_api: Api, cluster: Scene) -> None:
    """202 as the first time; one wish, and none."""
    for _ in range(2):
        assert set_mode(both_api, mode="DRAINED").status_code == 202
        assert set_mode(both_api, "agent-2", mode="ACTIVE").status_code == 202

    (wish,) = cluster.scheduler.read_wishes().agents
    assert (wish.agent_id, wish.rev) == ("agent-1", 1)


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({}, "/mode"),
        ({"mode": "GONE"}, "/mode"),
        ({"mode": "active"}, "/mode"),
        ({"mode": 1}, "/mode"),
        ({"mode": "DRAINED", "max_grace_s": -1}, "/max_grace_s"),
        ({"mode": "DRAINED", "max_grace_s": 1e9}, "/max_grace_s"),
        ({"mode": "DRAINED", "max_grace_s": "5m"}, "/max_grace_s"),
        ({"mode": "CORDONED", "max_grace_s": 1}, "/max_grace_s"),
        ({"mode": "ACTIVE", "mark_gone": True}, "/mark_gone"),
        ({"mode": "DRAINED", "mark_gone": "yes"}, "/mark_gone"),
        ({"mode": "DRAINED", "force": True}, "/force"),
        ([], ""),
    ],
)
def test_a_mode_that_makes_no_sense_is_refused(shared_api: Api, document: Any, path: str) -> None:
    """422 with the place, before anybody looks for the agent."""
    refused = shared_api.http.put("/v1/agents/nobody/mode", json=document)
    assert refused.status_code == 422
    assert path in {entry["path"] for entry in refused.json()["errors"]}


@pytest.mark.parametrize("what", ["teardown", "reset-framework"])
@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        ("{}", 422, "/framework_id"),
        ('{"framework_id": 7}', 422, "/framework_id"),
        ('{"framework_id": ""}', 422, "/framework_id"),
        ('{"framework_id": "f", "yes": true}', 422, "/yes"),
        ("", 400, ""),
    ],
)
def test_a_framework_that_is_not_named_is_not_ended(
    shared_api: Api, what: str, body: str, status: int, path: str
) -> None:
    """The place of what is wrong is told."""
    refused = shared_api.post(f"/v1/scheduler/{what}", content=body)
    assert refused.status_code == status
    assert refused.json()["errors"][0]["path"] == path


def test_the_scheduler_shows_what_its_end_would_kill(both_api: Api, cluster: Scene) -> None:
    """Lead, connection, framework and figures; three attempts of two jobs on one agent."""
    cluster.apply(
        PutSchedulerStatus(connected=True, master="10.0.0.1:5050", heartbeat_at=datetime.now(UTC), data={"wire": {}})
    )
    shown = both_api.get("/v1/scheduler").json()

    assert (shown["health"], shown["connected"], shown["master"]) == ("ok", True, "10.0.0.1:5050")
    assert (shown["leader"], shown["epoch"], shown["lease_expires_at"]) == ("first", 1, "2035-12-30T12:00:00.000Z")
    assert (shown["framework_id"], shown["torn_down"], shown["wish"]) == ("f-1", False, None)
    assert (shown["running"], shown["open_jobs"]) == ({"attempts": 3, "jobs": 2, "agents": 1}, 2)
    assert shown["figures"] == {"wire": {}}


def test_a_scheduler_that_is_silent_is_said_to_be(both_api: Api, cluster: Scene, database: Database) -> None:
    """Never heard of, silent for long, away from its master or for good, or not even running."""
    health = lambda: both_api.get("/v1/scheduler").json()["health"]  # noqa: E731
    assert health() == "has never said anything"
    cluster.apply(PutSchedulerStatus(connected=True, heartbeat_at=NOW))
    assert "silent" in health()
    cluster.apply(PutSchedulerStatus(connected=False))
    assert health() == "is not connected to a master"
    assert both_api.get("/readyz").status_code == 503
    cluster.apply(PutSchedulerStatus(connected=False, data={"outside": "Mesos has removed the framework"}))
    assert health() == "is outside of Mesos: Mesos has removed the framework"
    assert both_api.get("/readyz").status_code == 200  # it serves whoever resets the framework
    leadership = Leadership(database)
    epoch = leadership.acquire("first", NOW, lease_s=60) or 0
    assert health() == "does not run: first led until 2026-01-01T12:01:00.000Z"
    leadership.release(epoch, NOW)
    assert health() == "does not run"


def test_m04_a_teardown_takes_an_operators_word_and_the_frameworks_name(both_api: Api, cluster: Scene) -> None:
    """202 with what it will kill; the wish waits for the scheduler, and asking again is asking once."""
    for _ in range(2):
        answer = ask(both_api, "teardown")
        assert answer.status_code == 202
        said = answer.json()
        assert said["running"] == {"attempts": 3, "jobs": 2, "agents": 1}
        assert (said["framework_id"], said["wish"]["desire"], said["wish"]["pending"]) == ("f-1", "TEARDOWN", True)

    framework = cluster.scheduler.read_wishes().framework
    assert framework is not None
    assert (framework.desire, framework.rev) == (FrameworkDesire.TEARDOWN, 1)


def test_m04_another_framework_than_the_one_looked_at_is_not_torn_down(both_api: Api, cluster: Scene) -> None:
    """409, with the name of the one that is there, and nothing is written."""
    for what in ("teardown", "reset-framework"):
        refused = ask(both_api, what, "f-0")
        assert refused.status_code == 409
        assert "f-1" in refused.json()["detail"]
    assert cluster.scheduler.read_wishes().framework is None


def test_what_was_torn_down_can_only_be_reset(both_api: Api, cluster: Scene) -> None:
    """A second teardown is a conflict; a reset is taken down, and done when the scheduler says so."""
    ask(both_api, "teardown")
    cluster.apply(ObserveFrameworkWish(rev=1, torn_down=True))
    shown = both_api.get("/v1/scheduler").json()
    assert (shown["torn_down"], "reset-framework" in shown["health"]) == (True, True)
    assert both_api.get("/readyz").status_code == 200  # whoever waits for it may have to reset the framework
    assert ask(both_api, "teardown").status_code == 409

    assert ask(both_api, "reset-framework").json()["wish"]["desire"] == "RESET"
    cluster.apply(ObserveFrameworkWish(rev=2, torn_down=False), SetFrameworkId(framework_id="f-2"))
    shown = both_api.get("/v1/scheduler").json()
    assert (shown["torn_down"], shown["framework_id"], shown["wish"]["pending"]) == (False, "f-2", False)


def test_m23_an_attempt_shows_since_when_it_is_unreachable(both_api: Api, cluster: Scene) -> None:
    """And when it is heard of again, since when it was."""
    job = cluster.submit()
    attempt_id = cluster.launch(job)
    cluster.apply(ChangeAttempt(attempt_id=attempt_id, state=AttemptState.UNREACHABLE, unreachable_at=NOW))
    cluster.apply(ChangeAttempt(attempt_id=attempt_id, state=AttemptState.RUNNING))

    (attempt,) = both_api.get(f"/v1/jobs/{job.id}/tasks/0/attempts").json()["items"]
    assert (attempt["state"], attempt["unreachable_at"]) == ("RUNNING", "2026-01-01T12:00:00.000Z")


def test_m23_a_task_says_why_nobody_knows_whether_it_runs(both_api: Api, cluster: Scene) -> None:
    """Who is silent, since when, and when another attempt begins, by the job's policy; the other tasks wait for nothing."""
    job = cluster.submit(array=a_range(2), retry={"unreachable_s": 90})
    silent, _ = cluster.launch(job, 0), cluster.launch(job, 1)
    cluster.apply(
        a_task(job, 0, TaskState.ACTIVE, hostname="host-1"),
        ChangeAttempt(attempt_id=silent, state=AttemptState.UNREACHABLE, unreachable_at=NOW),
    )
    first, second = both_api.get(f"/v1/jobs/{job.id}/tasks").json()["items"]
    assert first["why"] == (
        "attempt 1 may be running: its agent host-1 does not answer since 2026-01-01T12:00:00.000Z;"
        " unless it does, the attempt is replaced at 2026-01-01T12:01:30.000Z"
    )
    assert second["why"] is None
    assert both_api.get(f"/v1/jobs/{job.id}/tasks/0").json()["why"] == first["why"]

    cluster.apply(ChangeAttempt(attempt_id=silent, state=AttemptState.RUNNING))
    assert both_api.get(f"/v1/jobs/{job.id}/tasks/0").json()["why"] is None


@pytest.mark.parametrize("follow", ["true", "false"])
def test_m23_a_tasks_history_leaves_out_the_others(both_api: Api, both_scene: Scene, follow: str) -> None:
    """Of a job's events only those of the task, whether they are followed or read."""
    job = both_scene.submit(array=a_range(3))
    told = [{"task": 0, "n": 1}, {"task": 1, "n": 2}, {"n": 3}, {"task": 1, "n": 4}]
    both_scene.apply(*(AddEvent(job_id=job.id, kind="attempt.state", data=data) for data in told))
    path = f"/v1/jobs/{job.id}/events?task=1&follow={follow}"
    with both_api.http.stream("GET", path, timeout=10) as response:
        lines = (line for line in response.iter_lines() if line.startswith("data"))
        assert ['"n":2' in next(lines), '"n":4' in next(lines)] == [True, True]
        if follow == "false":
            assert list(lines) == []
    assert both_api.get(f"/v1/jobs/{job.id}/events?task=-1").status_code == 422
