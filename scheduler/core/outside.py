"""Leaving Mesos and coming back: TEARDOWN, a framework that was removed, a new framework id (M4, M5).

While the framework is outside, `State.outside` says why; nothing subscribes, jobs are taken in and wait.
"""

from __future__ import annotations

from itertools import islice

from scheduler.core import attempts
from scheduler.core.effects import Stop, StopKind, Teardown
from scheduler.core.events import Update
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.changes import ObserveFrameworkWish, SetFrameworkId
from swath.domain.states import Observation, next_state
from swath.domain.wishes import FrameworkDesire, FrameworkWish

TORN_DOWN = "the framework has been torn down: `swath scheduler reset-framework` lets it begin anew"
SLICE = 2000  # attempts that one turn ends: a bound on the size of its transaction
REPEAT_S = 10.0  # a TEARDOWN that was not taken is sent again
REMOVED = "Mesos has removed the framework: `swath scheduler reset-framework` lets it begin anew"


def on_wish(turn: Turn, wish: FrameworkWish) -> None:
    """TEARDOWN and RESET both end what runs under the present framework id; RESET then begins under another."""
    state = turn.state
    if wish.rev <= max(wish.observed_rev, 0 if state.framework_wish is None else state.framework_wish.rev):
        return
    state.framework_wish = wish
    turn.note("warning", "framework_wish", desire=wish.desire, rev=wish.rev, attempts=len(state.attempts))
    proceed(turn)


def proceed(turn: Turn) -> None:
    """Carry the wish out as far as that can be done now: the master has to hear of it, or not to know us any more."""
    state = turn.state
    if state.gone:
        _leave(turn)
    elif not state.is_leaving:
        return
    elif state.outside is not None or state.framework_id is None:
        _begin_to_leave(turn)
    elif state.connected:
        turn.call(Teardown())
        turn.set_timer(Kind.LEAVE, REPEAT_S)


def on_torn_down(turn: Turn) -> None:
    """Mesos has taken our TEARDOWN. Whatever ran has been killed, and no update will tell of it."""
    if turn.state.is_leaving:
        _begin_to_leave(turn)


def on_removed(turn: Turn, message: str) -> None:
    """The master has killed everything of this framework. A new one only where somebody has said so (M5)."""
    state = turn.state
    if state.is_leaving or state.settings.register_anew:
        _begin_to_leave(turn)  # where it is a TEARDOWN of ours, its sender was killed before it could write that down
    else:
        turn.call(Stop(kind=StopKind.REMOVED, message=message, framework_id=state.framework_id))


def _begin_to_leave(turn: Turn) -> None:
    turn.state.gone = True
    turn.set_timer(Kind.LEAVE, 0)


def _leave(turn: Turn) -> None:
    """Nothing runs under the framework id any more: slice by slice the attempts are LOST, then the id is forgotten.

    A crash in between leaves the id: the master says once more that it has been removed.
    """
    state = turn.state
    for live in list(islice(state.attempts.values(), SLICE)):
        lost = Update(task_id=live.attempt.slot_id, observation=Observation.LOST, message="the framework was removed")
        attempts.end(turn, live, next_state(live.state, Observation.LOST), lost, None)
    if state.attempts:
        turn.set_timer(Kind.LEAVE, 0)
        return
    state.framework_id = None
    turn.write(SetFrameworkId(framework_id=None))
    message = "a new framework is registered"
    if (wish := state.framework_wish) is not None and state.is_leaving:
        state.framework_rev_done = wish.rev
        turn.write(ObserveFrameworkWish(rev=wish.rev, torn_down=wish.desire is FrameworkDesire.TEARDOWN))
        message = f"as an operator wants: {wish.desire}"
    turn.call(Stop(kind=StopKind.ANEW, message=message))
