"""Slots around the executor's core: a Mesos task that holds a queue of attempts, of which one runs at a time (ADR 23). Pure.

The core knows attempts only: each is given to it as if it were a Mesos task with the attempt's id, and what it would tell the
agent of it is gathered here and told of the slot. An attempt that has a Mesos task to itself passes through as it is.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from executor.core import REMEMBERED, Core
from executor.events import Effect, Event, Exit, Kill, Launch, Moment, Release, Send, Shutdown, Work
from swath.domain.errors import InvalidInputError
from swath.domain.slots import SlotReport, SlotSpec, Told
from swath.domain.states import Observation

MOST_TOLD = 64  # attempts in one report, or as many outputs
_ENDS = frozenset({Observation.FINISHED, Observation.FAILED, Observation.KILLED})
_SLOT = b'{"slot":'  # how a SlotSpec begins: an attempt's own LAUNCH is not read twice
_OUTPUTS_AS_ONE = 20  # outputs that take as much room in a report as an attempt


@dataclass(slots=True)
class _Slot:
    """A Mesos task that has not ended."""

    task_id: str
    shared: Mapping[str, Any]  # of all its attempts
    queue: deque[Mapping[str, Any]] = field(default_factory=deque)
    seen: set[str] = field(default_factory=set)  # attempts that were ever in the queue
    current: str | None = None
    end: str = "TASK_FINISHED"  # its state once it ends
    message: str = ""
    taken: dict[str, None] = field(default_factory=dict)  # that the scheduler was not told of
    told: dict[str, Told] = field(default_factory=dict)  # the last news of each attempt that the scheduler has not
    size: int = 0  # of the ends among them, about

    def take(self, work: Iterable[Mapping[str, Any]]) -> None:
        """Queue what is new, and say of all of it that it is here."""
        for one in work:
            attempt = one["attempt"]
            self.taken[attempt] = None
            if attempt not in self.seen:
                self.seen.add(attempt)
                self.queue.append(one)

    def report(self, state: str, message: str = "") -> Send:
        """The update with all that is new."""
        report = SlotReport(taken=tuple(self.taken), told=tuple(self.told.values()))
        self.taken, self.told, self.size = {}, {}, 0
        return Send(task_id=self.task_id, state=state, report=report, message=message)


class Slots:
    """The core's events and effects, as its agent sees them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._slots: dict[str, _Slot] = {}  # by Mesos task
        self._of: dict[str, _Slot] = {}  # by the attempt that runs
        self._ended: OrderedDict[str, None] = OrderedDict()  # Mesos tasks
        self._closing = ""

    @property
    def running(self) -> int:
        """Attempts that have not ended, those in queues aside."""
        return self._core.running

    def next_tick_s(self, now: Moment) -> float:
        """See Core."""
        return self._core.next_tick_s(now)

    def handle(self, event: Event, now: Moment) -> list[Effect]:
        """What to do about `event`."""
        match event:
            case Launch(data=bytes() as data) if (spec := _read_slot(data)) is not None:
                return self._on_launch(event.task_id, spec, now)
            case Work():
                if (slot := self._slots.get(event.order.slot)) is not None and slot.end == "TASK_FINISHED":
                    slot.take(event.order.work)
                return []
            case Kill() if (slot := self._slots.get(event.task_id)) is not None:
                return self._on_kill(slot, event, now)
            case Shutdown():
                return self._on_shutdown(event, now)
            case _:
                return self._pass_on(self._core.handle(event, now), now)

    def on_tick(self, now: Moment) -> list[Effect]:
        """What the core does, and the news since the last one."""
        effects = self._pass_on(self._core.on_tick(now), now)
        return effects + [slot.report("TASK_RUNNING") for slot in self._slots.values() if slot.told or slot.taken]

    def _on_launch(self, task_id: str, spec: SlotSpec, now: Moment) -> list[Effect]:
        """Open the slot; a repeated LAUNCH changes nothing."""
        if task_id in self._slots or task_id in self._ended:
            return []
        slot = self._slots[task_id] = _Slot(task_id=task_id, shared=spec.shared)
        slot.take(spec.work)
        if self._closing:
            slot.queue.clear()
            slot.end, slot.message = "TASK_FAILED", self._closing
            return self._go_on(slot, now)
        return [slot.report("TASK_RUNNING"), *self._pass_on(self._go_on(slot, now), now)]

    def _on_kill(self, slot: _Slot, event: Kill, now: Moment) -> list[Effect]:
        """The attempt that runs gets its grace; those behind it never begin."""
        slot.queue.clear()
        slot.end, slot.message = "TASK_KILLED", "killed by request"
        current = slot.current or ""
        return self._pass_on(self._core.handle(replace(event, task_id=current), now), now)

    def _on_shutdown(self, event: Shutdown, now: Moment) -> list[Effect]:
        self._closing = event.message
        for slot in self._slots.values():
            slot.queue.clear()
            slot.end, slot.message = "TASK_FAILED", event.message
        return self._pass_on(self._core.handle(event, now), now)

    def _go_on(self, slot: _Slot, now: Moment) -> list[Effect]:
        """The next attempt of the queue, or the slot's end."""
        while slot.queue:
            one = slot.queue.popleft()
            attempt: str = one["attempt"]
            slot.current, self._of[attempt] = attempt, slot
            launch = Launch(task_id=attempt, data={**slot.shared, **one}, slot=slot.task_id)
            if effects := self._core.handle(launch, now):
                return effects
            del self._of[attempt]  # it has run here, whoever gave it to us
        slot.current = None
        del self._slots[slot.task_id]
        self._remember(slot.task_id)
        return [slot.report(slot.end, slot.message), Release(slot=slot.task_id)]

    def _pass_on(self, effects: list[Effect], now: Moment) -> list[Effect]:
        """The core's effects; news of an attempt in a slot is kept, and its end makes room for the next one."""
        passed: list[Effect] = []
        left = deque(effects)
        while left:
            effect = left.popleft()
            slot = self._of.get(effect.task_id) if isinstance(effect, Send) else None
            if slot is None or not isinstance(effect, Send):
                passed.append(effect)
                continue
            if self._keep(slot, effect):
                left.extend(self._go_on(slot, now))  # behind the Clean of the one before
            if slot.size >= min(MOST_TOLD, len(slot.queue) + 1) and slot.current is not None:
                passed.append(slot.report("TASK_RUNNING"))  # in time for more work to come before the queue is empty
        passed.sort(key=lambda effect: isinstance(effect, Exit))  # last of all
        return passed

    def _keep(self, slot: _Slot, update: Send) -> bool:
        """Note the news; True for the end of the attempt."""
        state, report = Observation(update.state.removeprefix("TASK_")), update.report.to_value()
        slot.told.pop(update.task_id, None)  # that it runs is no news any more once it has ended
        slot.told[update.task_id] = Told(attempt=update.task_id, state=state, message=update.message, report=report)
        if state not in _ENDS:
            return False
        slot.size += 1 + len(report.get("outputs", ())) // _OUTPUTS_AS_ONE
        del self._of[update.task_id]
        slot.current = None
        return True

    def _remember(self, task_id: str) -> None:
        self._ended[task_id] = None
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)


def _read_slot(data: bytes) -> SlotSpec | None:
    """None for what is no slot: the core takes it for an attempt, and says what is wrong with it."""
    if not data.startswith(_SLOT):
        return None
    try:
        return SlotSpec.from_json(data)
    except InvalidInputError:
        return None
