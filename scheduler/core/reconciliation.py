"""Finding out what became of tasks: explicitly for each attempt, implicitly for what nobody remembers (M22 to M27)."""

from __future__ import annotations

from itertools import islice

from scheduler.core.effects import Reconcile
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.backoff import back_off_s
from swath.domain.states import AttemptState

BATCH = 1000  # "in batches of a thousand ids, the next when the last is answered or after a second" (M27)
BATCH_S = 1.0
LONGEST_ROUND_S = 60.0
ASK_AGAIN_S = 60.0  # of a launched attempt about which the answer said nothing new


def start(turn: Turn) -> None:
    """After each subscription: ask for every attempt, and for everything else after a while (M24)."""
    stop(turn)
    turn.state.reconciliation.queue = dict.fromkeys(turn.state.attempts)
    for live in turn.state.attempts.values():
        live.answered = False
    if turn.state.attempts:
        turn.set_timer(Kind.EXPLICIT, 0)
    turn.set_timer(Kind.PERIODIC, turn.state.settings.reconcile_s)


def stop(turn: Turn) -> None:
    """Nothing is asked while disconnected."""
    turn.state.reconciliation = type(turn.state.reconciliation)()
    for kind in (Kind.EXPLICIT, Kind.PERIODIC):
        turn.state.timers.clear(kind)


def step(turn: Turn) -> None:
    """Ask for the next batch; when all batches have gone out, for those without an answer again, later and later."""
    state, under_way = turn.state, turn.state.reconciliation
    under_way.unanswered |= under_way.asked & state.attempts.keys()
    under_way.asked = set()
    batch = list(islice(under_way.queue, BATCH))
    for attempt_id in batch:
        del under_way.queue[attempt_id]
    live = [state.attempts[attempt_id].attempt for attempt_id in batch if attempt_id in state.attempts]
    if live:
        under_way.asked = {attempt.id for attempt in live}
        # "Always with agent_id" (M25): without it a master that has just started keeps silent.
        turn.call(Reconcile(tasks=tuple(dict.fromkeys((attempt.slot_id, attempt.agent_id) for attempt in live))))
    if live or under_way.queue:
        turn.set_timer(Kind.EXPLICIT, BATCH_S)
    elif waiting := under_way.unanswered & state.attempts.keys():
        under_way.round += 1
        under_way.queue, under_way.unanswered = dict.fromkeys(sorted(waiting)), set()
        turn.set_timer(Kind.EXPLICIT, back_off_s(1.0, under_way.round, longest_s=LONGEST_ROUND_S))
    else:
        under_way.round = 0


def on_answer(turn: Turn, attempt_id: str) -> None:
    """Any update of an attempt answers for it."""
    under_way = turn.state.reconciliation
    under_way.unanswered.discard(attempt_id)
    if under_way.round:
        under_way.queue.pop(attempt_id, None)
    if attempt_id in under_way.asked:
        under_way.asked.discard(attempt_id)
        if not under_way.asked:
            turn.set_timer(Kind.EXPLICIT, 0)


def ask(turn: Turn, attempt_id: str) -> None:
    """Ask for one attempt with the next batch."""
    under_way = turn.state.reconciliation
    if turn.state.connected and attempt_id not in under_way.asked and attempt_id not in under_way.queue:
        under_way.queue[attempt_id] = None
        if turn.state.timers.find(Kind.EXPLICIT) is None or not under_way.asked:
            turn.set_timer(Kind.EXPLICIT, 0)


def on_launch_overdue(turn: Turn, attempt_id: str) -> None:
    """ "202 means queued, nothing more" (M16): ask, and launch anew only when the answer is terminal."""
    live = turn.state.attempts.get(attempt_id)
    if live is not None and live.state is AttemptState.LAUNCHING:
        ask(turn, attempt_id)
        turn.set_timer(Kind.LAUNCH, ASK_AGAIN_S, (attempt_id, 0))


def on_period(turn: Turn) -> None:
    """Ask for all that the master knows, which finds orphans, and for each attempt, which finds what it does not know."""
    if turn.state.connected:
        turn.call(Reconcile())
        under_way = turn.state.reconciliation
        under_way.queue |= dict.fromkeys(turn.state.attempts)
        turn.set_timer(Kind.EXPLICIT, BATCH_S)
        turn.set_timer(Kind.PERIODIC, turn.state.settings.reconcile_s)
