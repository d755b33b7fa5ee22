"""How much of the cluster each project has held of late: swath.domain.shares has the formulas.

A project's share changes when an attempt of it comes or goes, or when the cluster grows or shrinks; the turn in which that
happens settles what has been until then: one step for each project that is concerned. The cluster is what the agents that are
known have in total, as the master listed them.

What is remembered is written with the turns that change it, but not at each of them: only once the share is WRITE_SHARE away
from what is written, or WRITE_S after that was. Whoever takes over after a kill -9 goes on with the written share until its
own first turn, which knows what is held; its past shares are wrong by less than WRITE_SHARE, however long nobody led.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from scheduler.core.held import Held
from scheduler.core.state import State
from scheduler.core.turn import Turn
from swath.domain.changes import PutPast
from swath.domain.shares import Past, dominant_share

WRITE_SHARE = 0.01
WRITE_S = 30.0
FORGOTTEN = 1e-6  # a past share below this is not remembered beyond a start


def past_share(state: State, project: str, now: datetime) -> float:
    """What the project's own attempts have held of late, as a part of the cluster, 0 to 1; those below it aside."""
    past = state.pasts.get(project)
    return 0.0 if past is None else past.value_at(now)


def past_shares(state: State, now: datetime) -> dict[str, float]:
    """`past_share` of every project that has one."""
    return {project: past.value_at(now) for project, past in state.pasts.items()}


def load(state: State, pasts: Mapping[str, Past], now: datetime) -> None:
    """Remember what was written; the first turn finds out what is held now. Attempts and agents are loaded before."""
    state.pasts = {name: past for name, past in pasts.items() if past.share or past.value_at(now) >= FORGOTTEN}
    state.pasts_written = dict(state.pasts)
    state.tally.changed |= dict.fromkeys((*state.pasts, *state.tally.by_project))
    state.total_settled = state.total


def settle(turn: Turn) -> None:
    """Bring the projects up to date whose share has changed in this turn."""
    state = turn.state
    if state.total != state.total_settled:  # each share is another one now
        state.tally.changed |= dict.fromkeys(state.tally.by_project)
        state.total_settled = state.total
    for project in state.tally.changed:
        _settle(turn, project)
    state.tally.changed.clear()


def _settle(turn: Turn, project: str) -> None:
    state, now = turn.state, turn.now
    held = state.tally.by_project.get(project, Held())
    share = dominant_share(held.resources, state.total)
    value = past_share(state, project, now)
    past = Past(value=value, share=share, at=now, half_life_s=state.settings.half_life_s)
    state.pasts[project] = past
    written = state.pasts_written.get(project)
    if written is None or _has_moved(written, past):
        state.pasts_written[project] = past
        turn.write(PutPast(project=project, past=past))


def _has_moved(written: Past, past: Past) -> bool:
    since_s = (past.at - written.at).total_seconds()
    return abs(past.share - written.share) >= WRITE_SHARE or not 0 <= since_s < WRITE_S
