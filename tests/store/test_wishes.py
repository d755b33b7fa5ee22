"""Operators' wishes: what the api writes, what the scheduler reads of it, and what it says to have done."""

from __future__ import annotations

from datetime import timedelta
from threading import Thread

import pytest
from sqlalchemy import event, text

from swath.domain.changes import (
    AddAttempt,
    AddEvent,
    ChangeAttempt,
    CordonAgent,
    ObserveAgentWish,
    ObserveFrameworkWish,
    SetFrameworkId,
    TellOfEnded,
)
from swath.domain.errors import ConflictError, NotFoundError
from swath.domain.states import AttemptState, TaskState
from swath.domain.wishes import AgentMode, AgentWish, FrameworkDesire, FrameworkWish, Wishes
from swath.store.api_store import ApiStore
from swath.store.database import Channel, Database
from swath.store.leadership import Leadership
from swath.store.notification import Listener
from swath.store.rows import Running
from swath.store.scheduling import SchedulerStore
from tests.store.build import NOW, Scene, a_range, a_task, an_agent, an_attempt

DRAINED = AgentWish(agent_id="agent-1", mode=AgentMode.DRAINED, rev=1, max_grace_s=30.0, mark_gone=True)


def want(scene, mode, agent_id="agent-1", **said):
    """An operator's wish for an agent."""
    return scene.api.want_agent(agent_id, mode, user="ada", now=NOW, **said)


def desire(scene, what, framework_id="f-1"):
    """An operator's wish for the framework."""
    return scene.api.want_framework(what, framework_id=framework_id, user="ada", now=NOW)


@pytest.fixture
def seen(scene):
    """A scene with an agent and a framework id."""
    scene.apply(an_agent(), SetFrameworkId(framework_id="f-1"))
    return scene


def test_nobody_wants_anything_at_first(seen):
    """No wish is pending, and a scheduler that starts finds none."""
    loaded = seen.scheduler.load()

    assert seen.scheduler.read_wishes() == Wishes()
    assert (loaded.agent_wishes, loaded.framework_wish) == ([], None)


def test_a_wish_is_read_until_it_is_carried_out(seen):
    """A drain is pending, and shown so, until the scheduler observes its revision; then it stands for the next start."""
    assert want(seen, AgentMode.DRAINED, max_grace_s=30.0, mark_gone=True) == DRAINED
    assert seen.scheduler.read_wishes() == Wishes(agents=(DRAINED,))
    pending = seen.api.get_agent("agent-1")
    assert (pending.mode, pending.mode_pending, pending.mode_user, pending.mode_at) == ("DRAINED", True, "ada", NOW)
    assert (pending.max_grace_s, pending.mark_gone, pending.mode_message) == (30.0, True, None)

    seen.apply(ObserveAgentWish(agent_id="agent-1", rev=1, message="403 Forbidden"))

    assert seen.scheduler.read_wishes() == Wishes()
    (standing,) = seen.scheduler.load().agent_wishes
    assert (standing.mode, standing.rev, standing.observed_rev) == (AgentMode.DRAINED, 1, 1)
    done = seen.api.get_agent("agent-1")
    assert (done.mode_pending, done.mode_message) == (False, "403 Forbidden")


def test_an_undrained_agent_leaves_no_standing_wish(seen):
    """ACTIVE is pending like any other wish; once carried out it is what every agent is."""
    want(seen, AgentMode.CORDONED)
    seen.apply(ObserveAgentWish(agent_id="agent-1", rev=1))

    assert want(seen, AgentMode.ACTIVE).rev == 2
    assert [wish.rev for wish in seen.scheduler.load().agent_wishes] == [2]

    seen.apply(ObserveAgentWish(agent_id="agent-1", rev=2))
    assert seen.scheduler.load().agent_wishes == []


def test_asking_twice_is_asking_once(seen):
    """The same wish raises no revision, under way or carried out; another grace is another wish."""
    want(seen, AgentMode.DRAINED)
    assert want(seen, AgentMode.DRAINED).rev == 1
    seen.apply(ObserveAgentWish(agent_id="agent-1", rev=1), an_agent(deactivated=True, drain="DRAINING"))

    assert want(seen, AgentMode.DRAINED).rev == 1
    assert want(seen, AgentMode.DRAINED, max_grace_s=5.0).rev == 2


def test_asking_again_after_a_refusal_is_asking_anew(seen):
    """What Mesos refused is tried again on request, and its words are forgotten."""
    want(seen, AgentMode.CORDONED)
    seen.apply(ObserveAgentWish(agent_id="agent-1", rev=1, message="no operator API"))

    assert want(seen, AgentMode.CORDONED).rev == 2
    assert seen.api.get_agent("agent-1").mode_message is None


def test_activating_an_active_agent_changes_nothing(seen):
    """No row is written for it, unless somebody else has deactivated it in Mesos: then there is something to do."""
    assert want(seen, AgentMode.ACTIVE) == AgentWish(agent_id="agent-1", mode=AgentMode.ACTIVE, rev=0)
    assert seen.scheduler.read_wishes() == Wishes()

    seen.apply(an_agent(deactivated=True))
    assert want(seen, AgentMode.ACTIVE).rev == 1


def test_a_drain_that_somebody_else_has_undone_is_asked_anew(seen):
    """The wish stands as carried out, and the agent does not drain: it is a new wish."""
    want(seen, AgentMode.DRAINED)
    seen.apply(ObserveAgentWish(agent_id="agent-1", rev=1))

    assert want(seen, AgentMode.DRAINED).rev == 2


def test_an_agent_that_swath_cordons_stands_cordoned_with_the_reason(seen):
    """Nothing is left to be carried out; whoever starts next knows it as Swath's own wish, and so does everybody who looks."""
    seen.apply(CordonAgent(agent_id="agent-1", message="it fails everything"))

    assert seen.scheduler.read_wishes() == Wishes()
    (standing,) = seen.scheduler.load().agent_wishes
    assert (standing.mode, standing.rev, standing.observed_rev, standing.is_our_own) == (AgentMode.CORDONED, 1, 1, True)
    shown = seen.api.get_agent("agent-1")
    assert (shown.mode, shown.mode_pending, shown.mode_user) == ("CORDONED", False, "swath")
    assert (shown.mode_message, shown.mode_at) == ("it fails everything", NOW)


def test_an_operator_lifts_what_swath_has_cordoned(seen):
    """A wish like any other, with a newer revision; nobody calls it Swath's own any more."""
    seen.apply(CordonAgent(agent_id="agent-1", message="it fails everything"))

    assert want(seen, AgentMode.ACTIVE).rev == 2
    (pending,) = seen.scheduler.read_wishes().agents
    assert (pending.mode, pending.rev, pending.is_our_own) == (AgentMode.ACTIVE, 2, False)
    seen.apply(ObserveAgentWish(agent_id="agent-1", rev=2))
    assert seen.scheduler.load().agent_wishes == []
    seen.apply(CordonAgent(agent_id="agent-1", message="again"))
    assert [(wish.rev, wish.is_our_own) for wish in seen.scheduler.load().agent_wishes] == [(3, True)]


@pytest.mark.parametrize("mode", [AgentMode.DRAINED, AgentMode.CORDONED, AgentMode.ACTIVE])
def test_what_an_operator_wants_goes_before_what_swath_does(seen, mode):
    """Standing or under way: the scheduler's wish is not even written."""
    want(seen, AgentMode.CORDONED if mode is AgentMode.ACTIVE else mode)
    wish = want(seen, mode)
    seen.apply(CordonAgent(agent_id="agent-1", message="it fails everything"))

    (pending,) = seen.scheduler.read_wishes().agents
    assert (pending.mode, pending.rev, pending.is_our_own) == (mode, wish.rev, False)


def test_a_wish_for_an_unknown_agent_is_refused(seen):
    """NotFoundError, and nothing is written."""
    with pytest.raises(NotFoundError, match="nobody"):
        want(seen, AgentMode.DRAINED, agent_id="nobody")

    assert seen.scheduler.read_wishes() == Wishes()


def test_a_wish_that_comes_meanwhile_is_not_lost(seen):
    """The scheduler observes the revision that it has read: a newer one stays pending, and an older one lowers nothing."""
    want(seen, AgentMode.DRAINED)
    want(seen, AgentMode.ACTIVE)
    seen.apply(ObserveAgentWish(agent_id="agent-1", rev=1))

    (pending,) = seen.scheduler.read_wishes().agents
    assert (pending.mode, pending.rev, pending.observed_rev) == (AgentMode.ACTIVE, 2, 1)

    seen.apply(ObserveAgentWish(agent_id="agent-1", rev=2))
    seen.apply(ObserveAgentWish(agent_id="agent-1", rev=1, message="late"))
    assert seen.scheduler.read_wishes() == Wishes()
    assert seen.api.get_agent("agent-1").mode_message is None


@pytest.mark.postgres
def test_what_the_scheduler_observes_beside_a_wish_is_not_written_over(postgres_database):
    """The api has read the wish before it was carried out, and writes the next one after that."""
    database = Database(postgres_database)
    epoch = Leadership(database).acquire("first", NOW, lease_s=60) or 0
    scene = Scene(api=ApiStore(database), scheduler=SchedulerStore(database), epoch=epoch)
    scene.apply(an_agent())
    want(scene, AgentMode.DRAINED)
    interrupted = []

    def carry_out(*call):
        if "INSERT INTO agent_wishes" in call[2] and not interrupted:
            interrupted.append(True)
            scene.apply(ObserveAgentWish(agent_id="agent-1", rev=1))

    event.listen(database._writer, "before_cursor_execute", carry_out)
    want(scene, AgentMode.ACTIVE)

    (pending,) = scene.scheduler.read_wishes().agents
    assert (interrupted, pending.rev, pending.observed_rev) == ([True], 2, 1)
    database.close()


def test_a_wish_that_has_gone_is_no_error(seen):
    """Observing what is not there writes nothing and refuses nothing of its batch."""
    seen.apply(
        ObserveAgentWish(agent_id="nobody", rev=3),
        ObserveFrameworkWish(rev=1, torn_down=True),
        SetFrameworkId(framework_id="f-2"),
    )

    loaded = seen.scheduler.load()
    assert (loaded.agent_wishes, loaded.framework_wish, loaded.framework_id) == ([], None, "f-2")


def test_wishes_from_several_threads_are_counted_one_by_one(seen):
    """Twenty operators who disagree raise the revision twenty times."""
    graces = [Thread(target=want, args=(seen, AgentMode.DRAINED), kwargs={"max_grace_s": float(n)}) for n in range(20)]
    for thread in graces:
        thread.start()
    for thread in graces:
        thread.join()

    assert seen.scheduler.read_wishes().agents[0].rev == 20


def test_a_teardown_is_pending_until_it_is_carried_out(seen):
    """The wish is read, then observed with what has become of it, and stands for the next start."""
    wish = desire(seen, FrameworkDesire.TEARDOWN)
    assert wish == FrameworkWish(desire=FrameworkDesire.TEARDOWN, rev=1)
    assert desire(seen, FrameworkDesire.TEARDOWN) == wish
    assert seen.scheduler.read_wishes() == Wishes(framework=wish)
    status = seen.api.cluster_status()
    assert (status.framework_wish, status.framework_wish_user, status.framework_wish_at) == (wish, "ada", NOW)

    seen.apply(ObserveFrameworkWish(rev=1, torn_down=True))

    done = FrameworkWish(desire=FrameworkDesire.TEARDOWN, rev=1, observed_rev=1, torn_down=True)
    assert seen.scheduler.read_wishes() == Wishes()
    assert seen.scheduler.load().framework_wish == seen.api.cluster_status().framework_wish == done


def test_a_reset_may_follow_a_teardown_and_another_reset(seen):
    """Each that was carried out may be followed by another; `torn_down` is the scheduler's to say."""
    desire(seen, FrameworkDesire.TEARDOWN)
    seen.apply(ObserveFrameworkWish(rev=1, torn_down=True))

    assert desire(seen, FrameworkDesire.RESET) == FrameworkWish(
        desire=FrameworkDesire.RESET, rev=2, observed_rev=1, torn_down=True
    )
    seen.apply(ObserveFrameworkWish(rev=2, torn_down=False), SetFrameworkId(framework_id="f-2"))

    assert desire(seen, FrameworkDesire.RESET, "f-2").rev == 3


def test_what_was_not_looked_at_is_not_ended(seen):
    """Another framework id than the present one, and a second teardown, are refused, and nothing is written."""
    with pytest.raises(ConflictError, match="is f-1 now, not f-0"):
        desire(seen, FrameworkDesire.TEARDOWN, "f-0")
    with pytest.raises(ConflictError, match="is f-1 now"):
        desire(seen, FrameworkDesire.RESET, None)
    assert seen.api.cluster_status().framework_wish is None

    desire(seen, FrameworkDesire.TEARDOWN)
    seen.apply(ObserveFrameworkWish(rev=1, torn_down=True))
    with pytest.raises(ConflictError, match="has left Mesos already"):
        desire(seen, FrameworkDesire.TEARDOWN)
    assert seen.scheduler.read_wishes() == Wishes()


@pytest.mark.parametrize("what", [FrameworkDesire.TEARDOWN, FrameworkDesire.RESET])
def test_what_was_never_registered_is_not_ended(scene, what):
    """Before the first subscription there is nothing to end, whichever id is named."""
    for named in (None, "f-1"):
        with pytest.raises(ConflictError, match="no framework is registered"):
            desire(scene, what, named)


def test_a_framework_that_left_without_an_id_can_be_reset(seen):
    """Where the teardown forgot the id, there is none to name."""
    desire(seen, FrameworkDesire.TEARDOWN)
    seen.apply(ObserveFrameworkWish(rev=1, torn_down=True), SetFrameworkId(framework_id=None))

    assert desire(seen, FrameworkDesire.RESET, None).rev == 2


def test_a_wish_wakes_the_scheduler(seen, database):
    """Whoever waits for what is desired hears of either kind."""
    listener = Listener(database, Channel.DESIRED)
    try:
        listener.wait(0)
        want(seen, AgentMode.CORDONED)
        assert listener.wait(10)
        desire(seen, FrameworkDesire.TEARDOWN)
        assert listener.wait(10)
    finally:
        listener.close()


def test_an_agent_shows_its_windows_its_drain_and_its_attempts(scene):
    """What the master says of it, and how much of ours is on it that has not ended."""
    job = scene.submit(array=a_range(3))
    scene.apply(
        an_agent(deactivated=True, drain="DRAINING", unavailable_from=NOW, unavailable_until=NOW + timedelta(hours=1)),
        an_agent("agent-2", hostname="host-2"),
    )
    ended = scene.launch(job, 0)
    scene.launch(job, 1)
    scene.launch(job, 2)
    scene.apply(ChangeAttempt(attempt_id=ended, state=AttemptState.LOST))

    first, second = scene.api.list_agents()

    assert (first.deactivated, first.drain, first.attempts) == (True, "DRAINING", 2)
    assert (first.unavailable_from, first.unavailable_until) == (NOW, NOW + timedelta(hours=1))
    assert (second.deactivated, second.drain, second.attempts, second.mode) == (False, None, 0, AgentMode.ACTIVE)
    assert scene.api.get_agent("agent-1") == first
    assert scene.api.count_running() == Running(attempts=2, jobs=1, agents=1)


def test_agents_are_found_by_id_or_by_host_name(scene):
    """An id is one agent; a host name may be several, of which those that are there come first."""
    scene.apply(an_agent("a-1"), an_agent("a-2"), an_agent("a-3", hostname="host-3", active=False))

    def found(name):
        return [agent.id for agent in scene.api.find_agents(name)]

    assert (found("a-1"), found("host-1"), found("host-3"), found("nobody")) == (["a-1"], ["a-1", "a-2"], ["a-3"], [])
    scene.apply(an_agent("a-1", active=False))
    assert found("host-1") == ["a-2"]


def test_m23_what_returns_after_its_end_is_told_in_its_jobs_history(scene):
    """The line names job, task and attempt by the Mesos task; nothing is written for one that nobody knows."""
    job = scene.submit(array=a_range(2))
    attempt = an_attempt(job, 1, slot_id="slot-7")
    scene.apply(a_task(job, 1, TaskState.ACTIVE), AddAttempt(attempt=attempt))
    scene.apply(ChangeAttempt(attempt_id=attempt.id, state=AttemptState.LOST))

    scene.apply(
        AddEvent(job_id=job.id, kind="job.state", data={"n": 1}),
        TellOfEnded(slot_id="slot-7", kind="attempt.returned", data={"state": "TASK_RUNNING"}),
        TellOfEnded(slot_id="unknown", kind="attempt.returned", data={}),
        AddEvent(job_id=job.id, kind="job.state", data={"n": 2}),
    )

    first, told, second = scene.api.read_events(0)
    assert (first.data, second.data) == ({"n": 1}, {"n": 2})
    assert (told.kind, told.job_id, told.at) == ("attempt.returned", job.id, NOW)
    assert told.data == {"state": "TASK_RUNNING", "task": 1, "attempt": attempt.id}


def test_wishes_and_slots_are_found_by_their_indexes(seen, database):
    """What is read at every notification, or for every update of something unknown, is never searched row by row."""
    asked = []
    event.listen(database._reader, "before_cursor_execute", lambda *call: asked.append(call[2]))
    event.listen(database._writer, "before_cursor_execute", lambda *call: asked.append(call[2]))
    seen.scheduler.read_wishes()
    seen.apply(TellOfEnded(slot_id="s", kind="attempt.returned", data={}))
    pending = next(said for said in asked if "agent_wishes.rev <> agent_wishes.observed_rev" in said)

    with database.read() as session:
        if database.is_postgres:  # which rightly reads an almost empty table as a whole
            session.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN" if database.is_postgres else "EXPLAIN QUERY PLAN"
        plans = [
            str(session.execute(text(f"{explain} {said}")).all())
            for said in (pending, "SELECT id FROM attempts WHERE slot_id IN ('s')")
        ]

    assert "ix_agent_wishes_changed" in plans[0]
    assert "ix_attempts_slot_id" in plans[1]
