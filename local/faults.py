"""What becomes of events, calls and updates while a plan of faults runs. Pure: the caller says what time it is.

    faults = Faults(plan)
    for deed in faults.take_due(now_s):    # what the caller has to do itself: cut streams, restart an agent, ...
    faults.on_event(event, now_s)          # -> [(when, event)]: what to send on the scheduler's stream, and when
    faults.on_call(call, now_s)            # -> None to handle the call, else the answer to give instead
    faults.on_update(now_s)                # -> how often a status update arrives at the master
    for fault in faults.take_struck():     # what has hit one of them meanwhile

`now_s` counts seconds from the start of the plan.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

from local.fault_plan import Fault, Plan

Json = dict[str, Any]

REORDER_S = 2.0  # after which an event that was to be overtaken comes anyway
_ON_EVENTS = frozenset({"drop", "duplicate", "delay", "reorder"})
_ON_CALLS = frozenset({"refuse", "redirect_loop", "lose_call"})
_ON_UPDATES = frozenset({"lose_update", "repeat_update"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Instead:
    """The answer to a call that nobody handles."""

    status: int
    text: str = ""
    redirects: bool = False  # to the master itself


@dataclass(slots=True)
class _Armed:
    """A fault that waits for what it is to hit."""

    fault: Fault
    left: float  # hits; infinite for one that ends by time


class Faults:
    """A plan under way. Events, calls and updates are told to it in the order in which they happen."""

    def __init__(self, plan: Plan) -> None:
        self._coming = deque(plan)
        self._armed: list[_Armed] = []
        self._stalled_until = 0.0  # the stream says nothing before that
        self._held: tuple[float, Json] | None = None  # waits to be overtaken, at the longest until then
        self._struck: list[Fault] = []

    @property
    def next_at(self) -> float | None:
        """When `take_due` and `take_held` want to be called."""
        times = [self._coming[0].at_s] if self._coming else []
        times += [self._held[0]] if self._held else []
        return min(times, default=None)

    def take_due(self, now_s: float) -> list[Fault]:
        """Begin what is due. Returned is what the caller has to do; the rest lies in wait."""
        deeds = []
        while self._coming and self._coming[0].at_s <= now_s:
            fault = self._coming.popleft()
            if fault.kind in _ON_EVENTS | _ON_CALLS | _ON_UPDATES:
                self._armed.append(_Armed(fault, fault.arguments.get("count", math.inf)))
            else:
                deeds.append(fault)
        return deeds

    def on_event(self, event: Json, now_s: float) -> list[tuple[float, Json]]:
        """What to send, and when, instead of this event; times never run back."""
        armed = self._find(_ON_EVENTS, "event", event["type"], now_s)
        fault = self._strike(armed) if armed else None
        if fault is not None and fault.kind == "drop":
            return []
        if fault is not None and fault.kind == "delay":
            self._stalled_until = max(self._stalled_until, now_s + fault.arguments["for_s"])
        if fault is not None and fault.kind == "reorder" and self._held is None:
            self._held = (now_s + REORDER_S, event)
            return []
        events = [event, event] if fault is not None and fault.kind == "duplicate" else [event]
        at_s = max(now_s, self._stalled_until)
        return [(at_s, sent) for sent in (*events, *self._release())]

    def take_held(self, now_s: float) -> list[tuple[float, Json]]:
        """An event that nothing has overtaken in time."""
        if self._held is None or self._held[0] > now_s:
            return []
        return [(max(now_s, self._stalled_until), event) for event in self._release()]

    def _release(self) -> list[Json]:
        held, self._held = self._held, None
        return [] if held is None else [held[1]]

    def on_stream(self) -> None:
        """Another stream begins: nothing of the one before is owed to it."""
        self._stalled_until, self._held = 0.0, None

    def on_call(self, call: Json, now_s: float) -> Instead | None:
        """The answer to give instead of handling the call; None to handle it."""
        armed = self._find(_ON_CALLS, "call", call["type"], now_s)
        if armed is None:
            return None
        fault = self._strike(armed)
        if fault.kind == "refuse":
            return Instead(status=fault.arguments["status"], text="an injected fault")
        return Instead(status=307, redirects=True) if fault.kind == "redirect_loop" else Instead(status=202)

    def on_update(self, now_s: float) -> int:
        """How often the update that an agent sends now arrives at the master."""
        armed = self._find(_ON_UPDATES, "update", None, now_s)
        if armed is None:
            return 1
        return 0 if self._strike(armed).kind == "lose_update" else 2

    def take_struck(self) -> list[Fault]:
        """What lay in wait and has hit something since the last call; once for each hit."""
        struck, self._struck = self._struck, []
        return struck

    def _strike(self, armed: _Armed) -> Fault:
        armed.left -= 1
        self._struck.append(armed.fault)
        return armed.fault

    def _find(self, kinds: frozenset[str], name: str, what: Any, now_s: float) -> _Armed | None:
        """The first that lies in wait for it."""
        self._armed = [armed for armed in self._armed if armed.left > 0 and not _is_over(armed.fault, now_s)]
        for armed in self._armed:
            if armed.fault.kind in kinds and armed.fault.arguments.get(name) in (None, what):
                return armed
        return None


def _is_over(fault: Fault, now_s: float) -> bool:
    """True for what ends by time, once that has come."""
    for_s = fault.arguments["for_s"] if fault.kind == "redirect_loop" else fault.arguments["within_s"]
    return for_s is not None and now_s >= fault.at_s + for_s
