"""Leaving Mesos and coming back: TEARDOWN, a framework that was removed, a new framework id (M4, M5).

While the framework is outside, `State.outside` says why; nothing subscribes, jobs are taken in and wait.
"""

from __future__ import annotations

from scheduler.core import attempts
from scheduler.core.effects import Stop, StopKind, Teardown
from scheduler.core.events import Update
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.changes import ObserveFrameworkWish, SetFrameworkId
from swath.domain.states import Observation, next_state
from swath.domain.wishes import FrameworkDesire, FrameworkWish

TORN_DOWN = "the framework has been torn down: `swath scheduler reset-framework` lets it begin anew"
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
    state, wish = turn.state, turn.state.framework_wish
    if wish is None or wish.rev <= state.framework_rev_done:
        return
    if wish.desire is FrameworkDesire.RUN:
        state.framework_rev_done = wish.rev
        turn.write(ObserveFrameworkWish(rev=wish.rev, torn_down=state.outside == TORN_DOWN))
    elif state.outside is not None or state.framework_id is None:
        _leave(turn, wish)
    elif state.connected:
        turn.call(Teardown())
        turn.set_timer(Kind.LEAVE, REPEAT_S)


def on_torn_down(turn: Turn) -> None:
    """Mesos has taken our TEARDOWN. Whatever ran has been killed, and no update will tell of it."""
    wish = turn.state.framework_wish
    if wish is not None and turn.state.is_leaving:
        _leave(turn, wish)


def on_removed(turn: Turn, message: str) -> None:
    """The master has killed everything of this framework. A new one only where somebody has said so (M5)."""
    state, wish = turn.state, turn.state.framework_wish
    if state.is_leaving and wish is not None:
        _leave(turn, wish)  # our TEARDOWN arrived, and we were killed before we could write that down
    elif state.settings.register_anew:
        _forget(turn)
        turn.call(Stop(kind=StopKind.ANEW, message=message))
    else:
        turn.call(Stop(kind=StopKind.REMOVED, message=message, framework_id=state.framework_id))


def _leave(turn: Turn, wish: FrameworkWish) -> None:
    _forget(turn)
    turn.state.framework_rev_done = wish.rev
    torn_down = wish.desire is FrameworkDesire.TEARDOWN
    turn.write(ObserveFrameworkWish(rev=wish.rev, torn_down=torn_down))
    turn.call(Stop(kind=StopKind.ANEW, message=f"as an operator wants: {wish.desire}"))


def _forget(turn: Turn) -> None:
    """Nothing runs under the framework id any more: the attempts are LOST, which costs their tasks nothing."""
    state = turn.state
    state.framework_id = None
    turn.write(SetFrameworkId(framework_id=None))
    for live in list(state.attempts.values()):
        lost = Update(task_id=live.attempt.slot_id, observation=Observation.LOST, message="the framework was removed")
        attempts.end(turn, live, next_state(live.state, Observation.LOST), lost, None)
