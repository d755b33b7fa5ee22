"""The framework's standing with the master: subscribed, disconnected, thrown out."""

from __future__ import annotations

from scheduler.core import agents, kills, offers, operators, outside, reconciliation
from scheduler.core.effects import Stop, StopKind
from scheduler.core.events import Disconnected, Heartbeat, MasterError, Subscribed
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.changes import PutSchedulerStatus, SetFrameworkId
from swath.matching.policies import differences

STATUS_S = 10.0  # the heartbeat is written at most so often

_MOST_TOLD = 1000  # agents in the scheduler's status


def on_subscribed(turn: Turn, event: Subscribed) -> None:
    """All offers of the stream before are void. Nothing is launched before the framework id is committed (M1)."""
    state = turn.state
    if state.framework_id != event.framework_id:
        state.framework_id = event.framework_id
        turn.write(SetFrameworkId(framework_id=event.framework_id))
    offers.forget_all(turn)
    state.connected, state.connected_at, state.master = True, turn.now, event.master
    # The master may or may not have taken the subscription as suppressed: the next settlement says what holds.
    state.suppressed, state.wants_offers = False, bool(state.waiting)
    state.minimums = ()  # a SUBSCRIBE names none
    reconciliation.start(turn)
    for live in state.attempts.values():
        if live.kills:
            kills.kill_soon(turn, live.attempt.id)
    agents.list_soon(turn)
    operators.on_subscribed(turn)
    outside.proceed(turn)
    _write_status(turn)
    turn.note("info", "subscribed", framework_id=event.framework_id, master=event.master)


def on_disconnected(turn: Turn, event: Disconnected) -> None:
    """No calls go out, and no offers are left; tasks run on."""
    offers.forget_all(turn)
    reconciliation.stop(turn)
    turn.state.timers.clear(Kind.AGENTS)
    turn.note("warning", "disconnected", reason=event.reason)
    if turn.state.connected:
        turn.state.connected = False
        _write_status(turn)
        turn.set_timer(Kind.WHY, 0)


def on_heartbeat(turn: Turn, event: Heartbeat) -> None:
    """The master lives: readers of the status see it."""
    at = turn.state.status_at
    if at is None or (turn.now - at).total_seconds() >= STATUS_S:
        _write_status(turn)


def tell_outside(turn: Turn) -> None:
    """A core that begins outside of Mesos has nothing but this to say of itself: once."""
    if turn.state.outside is not None and turn.state.status_at is None:
        _write_status(turn)


def on_error(turn: Turn, event: MasterError) -> None:
    """ "ERROR ends the subscription: classify it" (M5)."""
    turn.note("error", "mesos_error", message=event.message)
    text = event.message.lower()
    if "failed over" in text:
        turn.call(Stop(kind=StopKind.STEP_DOWN, message=event.message))
    elif "has been removed" in text:
        outside.on_removed(turn, event.message)


def _write_status(turn: Turn) -> None:
    state = turn.state
    state.status_at = turn.now
    turn.write(
        PutSchedulerStatus(
            connected=state.connected,
            master=state.master,
            heartbeat_at=turn.now if state.connected else None,
            data={
                "framework_id": state.framework_id,
                "outside": state.outside,
                # What no task can have of an agent: submissions are compared with the rest.
                "executor": state.settings.executor_resources.to_document(),
                # What explanations have to know besides the rows.
                "policy": differences(state.settings.policy),
                "resting": [name for name, agent in state.agents.items() if agent.rests_until is not None][:_MOST_TOLD],
                "sick": [name for name, agent in state.agents.items() if agent.engine_problem is not None][:_MOST_TOLD],
                "cooling": {str(image): sorted(agents)[:_MOST_TOLD] for image, agents in state.cooling.items()},
            },
        )
    )
