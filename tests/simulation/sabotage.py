"""Faults planted in our own code, each as small as a slip would be: what the judge has to catch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from datetime import datetime
from random import Random
from typing import Any, TextIO

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core.reactor import Core
from scheduler.shell import Shell
from scheduler.to_mesos import Items, Writer
from swath.domain.changes import Change, ChangeAttempt
from swath.domain.errors import StoreUnavailableError
from swath.domain.ranges import Ranges
from swath.domain.states import AttemptState, Observation
from swath.store.rows import Snapshot
from swath.wire.calls import Message
from tests.simulation.database import SimDatabase
from tests.simulation.executor import Fate
from tests.simulation.faults import Faults
from tests.simulation.world import World


class _EarlyShell(Shell):
    """Speaks of some things before they are written."""

    kind: type = fx.Acknowledge

    def perform(self, effects: fx.Effects, now: datetime) -> list[ev.Event]:
        early = [call for call in effects.calls if isinstance(call, self.kind)]
        self._send(self._writer.write_all(early))
        late = tuple(call for call in effects.calls if not isinstance(call, self.kind))
        return super().perform(replace(effects, calls=late), now)


class AcknowledgesFirst(World):
    """Acknowledges an update, then commits it."""

    def make_shell(self, **parts: Any) -> Shell:
        return _EarlyShell(**parts)


class _LaunchingShell(_EarlyShell):
    kind = fx.Accept


class LaunchesFirst(World):
    """Launches an attempt, then writes it down."""

    def make_shell(self, **parts: Any) -> Shell:
        return _LaunchingShell(**parts)


class _HandingShell(_EarlyShell):
    kind = fx.HandOver


class HandsOverFirst(World):
    """Gives a slot work, then writes it down."""

    def make_shell(self, **parts: Any) -> Shell:
        return _HandingShell(**parts)


class _HastyCore(Core):
    """Takes what a report of a slot does not tell of for what never began."""

    def handle(self, events: Iterable[ev.Event], now: datetime) -> fx.Effects:
        return super().handle(map(self._see, events), now)

    def _see(self, event: ev.Event) -> ev.Event:
        slot = self.state.slots.get(event.task_id) if isinstance(event, ev.Update) else None
        hasty = slot is not None and slot.shared and slot.ended > 2
        if isinstance(event, ev.Update) and event.source == "SOURCE_EXECUTOR" and hasty:
            return replace(event, observation=Observation.FINISHED)
        return event


class EndsSlotsTooEarly(World):
    """Takes news of a slot for its end."""

    def load_core(self, snapshot: Snapshot, **more: Any) -> Core:
        return _HastyCore(super().load_core(snapshot, **more).state)


class _BraveShell(Shell):
    def _commit(self, changes: Sequence[Change], now: datetime) -> None:
        with suppress(StoreUnavailableError):
            super()._commit(changes, now)


class GoesOnWithoutItsDatabase(World):
    """Takes a commit that failed for one that did not."""

    def make_shell(self, **parts: Any) -> Shell:
        return _BraveShell(**parts)


class _OpenDatabase(SimDatabase):
    def check_epoch(self, epoch: int) -> None:
        """Whoever comes may write."""


class ChecksNoEpoch(World):
    """Lets a scheduler write that leads no more."""

    def make_database(self) -> SimDatabase:
        return _OpenDatabase()


class _Meddler(Core):
    """A core whose events or calls pass through somebody's hands."""

    def __init__(
        self, core: Core, events: Callable[[ev.Event], ev.Event], keeps: Callable[[Core, fx.Call], bool]
    ) -> None:
        super().__init__(core.state)
        self._events, self._keeps = events, keeps

    def handle(self, events: Iterable[ev.Event], now: datetime) -> fx.Effects:
        effects = super().handle([self._events(event) for event in events], now)
        return replace(effects, calls=tuple(call for call in effects.calls if self._keeps(self, call)))


class _Meddled(World):
    def load_core(self, snapshot: Snapshot, **more: Any) -> Core:
        return _Meddler(super().load_core(snapshot, **more), self.see, self.keeps)

    def see(self, event: ev.Event) -> ev.Event:
        """What the core hears instead."""
        return event

    def keeps(self, core: Core, call: fx.Call) -> bool:
        """False for a call that is not made."""
        return True


class TakesUnreachableForLost(_Meddled):
    """Begins a new attempt at once when an agent does not answer."""

    def see(self, event: ev.Event) -> ev.Event:
        unreachable = isinstance(event, ev.Update) and event.observation is Observation.UNREACHABLE
        return replace(event, observation=Observation.LOST) if unreachable else event


class SparesReturnedLosers(_Meddled):
    """Lets an attempt that was replaced run on when it comes back."""

    def keeps(self, core: Core, call: fx.Call) -> bool:
        return not isinstance(call, fx.Kill) or call.task_id in core.state.slots


class NeverReconciles(_Meddled):
    """Believes that whatever it hears nothing of is well."""

    def keeps(self, core: Core, call: fx.Call) -> bool:
        return not isinstance(call, fx.Reconcile)


class OwesAcknowledgements(_Meddled):
    """Does not acknowledge updates of attempts that have ended by then."""

    def keeps(self, core: Core, call: fx.Call) -> bool:
        return not isinstance(call, fx.Acknowledge) or call.task_id in core.state.slots


class _ForgetfulShell(Shell):
    def _commit(self, changes: Sequence[Change], now: datetime) -> None:
        unknown = (AttemptState.LOST, AttemptState.KILLED)
        kept = [c for c in changes if not (isinstance(c, ChangeAttempt) and c.state in unknown)]
        super()._commit(kept, now)


class LosesEnds(World):
    """Does not write down how some attempts ended."""

    def make_shell(self, **parts: Any) -> Shell:
        return _ForgetfulShell(**parts)


class KeepsItsFirstMinimum(_Meddled):
    """Leaves the master in the belief that its tasks need five cpus at least."""

    def __init__(self, seed: int, out: TextIO | None = None) -> None:
        super().__init__(seed, out)
        least = {"quantities": {"cpus": {"value": 5.0}}}
        self.framework["offer_filters"] = {self.role: {"min_allocatable_resources": {"quantities": [least]}}}

    def keeps(self, core: Core, call: fx.Call) -> bool:
        return not isinstance(call, fx.UpdateFramework)


class TakesRefusalsForDrains(_Meddled):
    """Believes that an agent is being drained where Mesos has refused that."""

    def see(self, event: ev.Event) -> ev.Event:
        return replace(event, problem=None) if isinstance(event, ev.Operated) and event.refused else event

    def make_faults(self) -> Faults:
        return Faults(self, (Faults.drain_refused,) * 20)

    def draw_fate(self, random: Random) -> Fate:
        """So long that only a drain ends it."""
        return Fate(staging_s=1.0, running_s=random.uniform(300.0, 900.0))


class _SilentWriter(Writer):
    def write(self, call: fx.Call, items: Mapping[tuple[str, int], Any] | None = None) -> Message | None:
        message = super().write(call, items)
        if message is not None and message["type"] == "ACCEPT":
            for task in message["accept"]["operations"][0]["launch"]["task_infos"]:
                task["resources"] = [entry for entry in task["resources"] if entry["name"] != "ports"]
        return message


class KeepsPortsToItself(World):
    """Tells tasks which ports they have, and Mesos nothing of it."""

    def make_writer(self, read_items: Items) -> Writer:
        writer = super().make_writer(read_items)
        return _SilentWriter(**{entry.name: getattr(writer, entry.name) for entry in fields(writer)})


class StaysOutside(_Meddled):
    """Hears nothing of an operator's wish to begin anew after Mesos has removed the framework."""

    def see(self, event: ev.Event) -> ev.Event:
        return (
            replace(event, wishes=replace(event.wishes, framework=None)) if isinstance(event, ev.WishesSeen) else event
        )

    def make_faults(self) -> Faults:
        return Faults(self, (Faults.framework_removed,) * 3)


class ForgetsWhatIsWaitedFor(World):
    """After a failover, lets jobs start that wait for others."""

    def load_core(self, snapshot: Snapshot, **more: Any) -> Core:
        core = super().load_core(snapshot, **more)
        for job in core.state.jobs.values():
            job.pending, job.blocked = job.pending.union(job.blocked), Ranges()
        core.state.unsettled.clear()
        return core


SABOTAGES: dict[str, type[World]] = {
    "": World,
    **{
        world.__name__: world
        for world in (
            AcknowledgesFirst,
            LaunchesFirst,
            HandsOverFirst,
            EndsSlotsTooEarly,
            GoesOnWithoutItsDatabase,
            ChecksNoEpoch,
            TakesUnreachableForLost,
            SparesReturnedLosers,
            NeverReconciles,
            OwesAcknowledgements,
            LosesEnds,
            KeepsItsFirstMinimum,
            TakesRefusalsForDrains,
            StaysOutside,
            KeepsPortsToItself,
            ForgetsWhatIsWaitedFor,
        )
    },
}
