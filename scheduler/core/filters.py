"""What the master need not offer: less than any waiting task needs ("kept current by UPDATE_FRAMEWORK", M30)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from scheduler.core import demands
from scheduler.core.effects import UpdateFramework
from scheduler.core.events import FiltersRefused
from scheduler.core.timers import Kind
from scheduler.core.turn import Turn
from swath.domain.resources import Resources

GROW_S = 10.0  # what is offered in vain for so long costs little; what is missed would cost a task its start
MOST = 8  # amounts that one call names


def settle(turn: Turn) -> None:
    """A task that needs less than the master offers is told of at once; that all need more, after a while."""
    state = turn.state
    if not state.connected or state.filters_refused:
        return
    if state.minimums and any(_is_missed(turn, job_id) for job_id in turn.touched):
        refresh(turn)
    elif state.waiting and state.timers.find(Kind.FILTERS) is None:
        turn.set_timer(Kind.FILTERS, GROW_S)


def refresh(turn: Turn) -> None:
    """Bring the master's filter up to date, if it differs."""
    state = turn.state
    state.timers.clear(Kind.FILTERS)
    if not state.connected or not state.waiting or state.filters_refused:
        return
    needs = {demand.resources for demand in demands.make_demands(state, turn.now)}
    minimums = find_minimums(needs)
    if needs and minimums != state.minimums:
        state.minimums = minimums
        turn.call(UpdateFramework(minimums=minimums, suppressed=state.suppressed))


def on_refused(turn: Turn, event: FiltersRefused) -> None:
    """An older master: nothing is lost but the work of declining. What it took before goes with the subscription."""
    turn.state.minimums, turn.state.filters_refused = (), True
    turn.note("warning", "offer_filters_refused")


def find_minimums(needs: Iterable[Resources]) -> tuple[Resources, ...]:
    """The smallest of `needs`, of which each of the others holds one; all in one where they are many.

    Ports are left out: which of them are free is for the offers to say.
    """
    least: list[Resources] = []
    for need in sorted((replace(need, ports=0) for need in needs), key=_order):
        if not any(known.fits_in(need) for known in least):
            least.append(need)
    if len(least) <= MOST:
        return tuple(least)
    columns = zip(*(need.as_tuple() for need in least), strict=True)
    cpus_m, mem, disk, gpus = map(min, columns)
    return (Resources(cpus_m=cpus_m, mem=mem, disk=disk, gpus=gpus),)


def _order(need: Resources) -> tuple[object, ...]:
    return (*need.as_tuple(), len(need.custom), need.custom)


def _is_missed(turn: Turn, job_id: str) -> bool:
    """True when the master would not offer what some task of the job could use."""
    state = turn.state
    job = state.jobs.get(job_id)
    # Tasks grow and never shrink: where the job's own figure is covered, all of its tasks are.
    if job is None or _covers(state.minimums, job.record.resources):
        return False
    return not all(_covers(state.minimums, demand.resources) for demand in demands.demands_of(state, job, turn.now))


def _covers(minimums: Iterable[Resources], need: Resources) -> bool:
    return any(known.fits_in(need) for known in minimums)
