"""The core as its shell sees it: load it, give it events, carry out its effects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from scheduler.core import (
    agents,
    beginning,
    cooling,
    dependencies,
    engines,
    filters,
    images_held,
    jobs,
    kills,
    launching,
    learned,
    maintenance,
    offers,
    operators,
    outside,
    overdue,
    partitions,
    prefetch,
    reconciliation,
    resting,
    secrets,
    shrinking,
    slot_news,
    slots,
    subscription,
    tenants,
    updates,
    usage,
    why,
)
from scheduler.core import events as ev
from scheduler.core.effects import Effects
from scheduler.core.limit import Limit
from scheduler.core.state import CoreSettings, State
from scheduler.core.timers import Key, Kind
from scheduler.core.turn import Turn
from swath.domain.states import AttemptState, Desired, TaskState
from swath.domain.wishes import AgentMode
from swath.store.rows import Snapshot

DUE = 2000  # timers handled in one turn at most: a cut network makes those of all attempts due in the same moment


class Core:
    """The scheduler's mind. Not thread-safe; when anything raises it is thrown away and loaded again (crash-only)."""

    def __init__(self, state: State) -> None:
        self.state = state

    @classmethod
    def load(
        cls,
        snapshot: Snapshot,
        settings: CoreSettings,
        *,
        make_id: Callable[[datetime], str],
        now: datetime,
        removed: str | None = None,
    ) -> Core:
        """The core as the database remembers it, disconnected, with every timer set anew.

        `removed`: the framework id that the master has said to be gone; if it is still ours, nobody has decided what then.
        """
        revives = Limit(per_s=settings.revives_per_s)
        state = State(settings=settings, make_id=make_id, revives=revives, framework_id=snapshot.framework_id)
        turn = Turn(state, now)
        for info in snapshot.agents:
            state.add_agent(info)
        images_held.load(state, snapshot.images)
        for record in snapshot.jobs:
            state.jobs[record.id] = jobs.make_job(record)
            jobs.set_timers(turn, state.jobs[record.id])
        state.projects = dict(snapshot.projects)
        _load_wishes(state, snapshot, removed)
        _load_tasks(turn, snapshot)
        dependencies.load(state)
        learned.load(state, snapshot.learned)
        for job in state.jobs.values():
            learned.follow(state, job)
            maintenance.follow(state, job)
        _load_attempts(turn, snapshot)
        slots.close_all(state)  # since they were opened, quotas may have been changed
        usage.load(state, snapshot.pasts, now)
        agents.load(turn)
        for job in state.jobs.values():
            job.seen_waiting = job.waiting
            if job.waiting:
                state.waiting[job.id] = None
        return cls(state)

    def handle(self, events: Iterable[ev.Event], now: datetime) -> Effects:
        """Everything that a batch of events and the time lead to. The effects are to be carried out before the next batch."""
        turn, events = Turn(self.state, now), list(events)
        for event in events:
            if isinstance(event, ev.JobSeen):
                dependencies.meet(self.state, event.record)
        for event in events:
            _REACTIONS[type(event)](turn, event)
        for kind, key in self.state.timers.take_due(now, DUE):
            _DUE[kind](turn, key)
        dependencies.settle(turn)
        _settle_sizes(turn)
        _index_waiting(turn)
        slots.refill(turn)
        _index_waiting(turn)
        launching.place(turn)
        _index_waiting(turn)
        launching.look_again(turn)
        for job in list(turn.touched.values()):
            jobs.settle(turn, job)
        usage.settle(turn)
        filters.settle(turn)
        offers.settle(turn)
        why.schedule(turn)
        prefetch.schedule(turn)
        subscription.tell_outside(turn)
        return turn.make_effects()


def _settle_sizes(turn: Turn) -> None:
    """With other agents than before, tasks may have to ask for other amounts."""
    if turn.state.agents_changed:
        turn.state.agents_changed = False
        learned.refresh(turn)
        shrinking.refresh(turn)


def _load_wishes(state: State, snapshot: Snapshot, removed: str | None) -> None:
    """What holds already. What nobody has carried out yet comes as WishesSeen."""
    state.agent_wishes = {wish.agent_id: wish for wish in snapshot.agent_wishes if wish.mode is not AgentMode.ACTIVE}
    if snapshot.framework_wish is not None:
        state.framework_rev_done = snapshot.framework_wish.observed_rev
        state.outside = outside.TORN_DOWN if snapshot.framework_wish.torn_down else None
    if removed is not None and removed == snapshot.framework_id:
        state.outside = state.outside or outside.REMOVED


def _on_wishes(turn: Turn, event: ev.WishesSeen) -> None:
    for wish in event.wishes.agents:
        operators.on_wish(turn, wish)
    if event.wishes.framework is not None:
        outside.on_wish(turn, event.wishes.framework)


def _on_projects(turn: Turn, event: ev.ProjectsSeen) -> None:
    tenants.on_projects(turn, event)
    slots.close_all(turn.state)


def _on_failure(turn: Turn, event: ev.Failure) -> None:
    agents.on_failure(turn, event)
    images_held.on_failure(turn, event)


def _load_tasks(turn: Turn, snapshot: Snapshot) -> None:
    for task in snapshot.tasks:
        job = turn.state.jobs.get(task.job_id)
        if job is None:
            continue
        job.tasks[task.index] = task
        if task.state is TaskState.PENDING:
            if task.retry_at is None or task.retry_at <= turn.now:
                job.due.add(task, task.retry_at or turn.now)
            else:
                turn.state.timers.set(Kind.RETRY, task.retry_at, (job.id, task.index))
                job.rest(task.retry_at, turn.now)
    for job_id, index, agent_id in snapshot.failed_on:
        if (job := turn.state.jobs.get(job_id)) is not None and index in job.tasks:
            cooling.note_failure(job, index, agent_id)


def _load_attempts(turn: Turn, snapshot: Snapshot) -> None:
    for attempt in snapshot.attempts:
        live = turn.state.add_attempt(attempt, snapshot.owners.get(attempt.job_id))
        key = (attempt.id, 0)
        if attempt.state is AttemptState.LAUNCHING:
            beginning.await_news(turn, attempt)
        partitions.on_loaded(turn, live)
        job = turn.state.jobs.get(attempt.job_id)
        if job is not None:
            job.running[attempt.task_index] = attempt.id
        overdue.watch(turn, live)
        if job is None or job.desired is Desired.CANCELLED or live.kill_cause is not None:
            turn.set_timer(Kind.KILL, 0, key)


def _index_waiting(turn: Turn) -> None:
    """Keep the list of jobs with work that could start; more work than before is a reason to ask for offers."""
    state = turn.state
    for job in turn.touched.values():
        waiting = job.waiting
        if waiting:
            state.waiting[job.id] = None
            more = waiting > job.seen_waiting
            state.wants_offers = state.wants_offers or more
            state.look = state.look or (more and job.is_interactive)
        else:
            state.waiting.pop(job.id, None)
        job.seen_waiting = waiting


_REACTIONS: Mapping[type, Callable[[Turn, Any], None]] = {
    ev.Subscribed: subscription.on_subscribed,
    ev.Disconnected: subscription.on_disconnected,
    ev.Heartbeat: subscription.on_heartbeat,
    ev.MasterError: subscription.on_error,
    ev.Offered: offers.on_offered,
    ev.InverseOffered: maintenance.on_inverse_offered,
    ev.Rescinded: offers.on_rescinded,
    ev.Update: slot_news.on_update,
    ev.Unstorable: slot_news.on_unstorable,
    ev.Failure: _on_failure,
    ev.ImagesHeld: images_held.on_images_held,
    ev.EngineSaid: engines.on_engine_said,
    ev.SecretsWanted: secrets.on_wanted,
    ev.JobSeen: jobs.on_job_seen,
    ev.AgentsListed: agents.on_listed,
    ev.LaunchRefused: updates.on_launch_refused,
    ev.WishesSeen: _on_wishes,
    ev.ProjectsSeen: _on_projects,
    ev.Operated: operators.on_operated,
    ev.FiltersRefused: filters.on_refused,
    ev.TornDown: lambda turn, event: outside.on_torn_down(turn),
}

_DUE: Mapping[Kind, Callable[[Turn, Key], None]] = {
    Kind.LAUNCH: lambda turn, key: reconciliation.on_launch_overdue(turn, key[0]),
    Kind.WORK: lambda turn, key: slots.on_untaken(turn, key[0]),
    Kind.DOUBT: lambda turn, key: partitions.on_doubt_over(turn, key[0]),
    Kind.OVERDUE: lambda turn, key: overdue.on_overdue(turn, key[0]),
    Kind.KILL: lambda turn, key: kills.repeat_kill(turn, key[0]),
    Kind.RETURNED: lambda turn, key: partitions.kill_returned(turn, key[0]),
    Kind.REST: lambda turn, key: resting.on_rested(turn, key[0]),
    Kind.COOL: lambda turn, key: cooling.on_cooled(turn, *key),
    Kind.RETRY: lambda turn, key: jobs.on_retry_due(turn, *key),
    Kind.NOT_BEFORE: lambda turn, key: jobs.on_not_before(turn, key[0]),
    Kind.DEADLINE: lambda turn, key: jobs.on_deadline(turn, key[0]),
    Kind.EXPLICIT: lambda turn, key: reconciliation.step(turn),
    Kind.PERIODIC: lambda turn, key: reconciliation.on_period(turn),
    Kind.PLACE: lambda turn, key: None,  # every turn places
    Kind.LOOK: lambda turn, key: launching.look(turn),
    Kind.REVIVE: lambda turn, key: None,  # the settlement at the end of the turn asks
    Kind.WHY: lambda turn, key: why.refresh(turn),
    Kind.AGENTS: lambda turn, key: agents.list_now(turn),
    Kind.MISSED: lambda turn, key: agents.on_missed(turn, key[0]),
    Kind.OPERATE: lambda turn, key: operators.ask(turn, key[0]),
    Kind.LEAVE: lambda turn, key: outside.proceed(turn),
    Kind.PREFETCH: lambda turn, key: prefetch.look(turn),
    Kind.FILTERS: lambda turn, key: filters.refresh(turn),
}
