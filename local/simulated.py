"""Agents whose tasks need no executor: each runs for some seconds and succeeds, all within this process.

They are for trying a scheduler with more agents and tasks than a machine has room for. The agent is the real one: offers, the
storing, sending and repeating of updates, acknowledgements, kills and reconciliation are as they always are. Only what it
would say to an executor's process is answered here, by the calls that an executor would make.
"""

from __future__ import annotations

import base64
import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local.agent import Agent
from local.agent_state import AgentSettings, AgentState
from local.journal import Journal
from local.messages import (
    AgentEffect,
    AgentEvent,
    Call,
    ProcessExited,
    SendEvent,
    StartProcess,
    Timer,
    ToMaster,
)
from swath.domain.attempts import AttemptReport

Json = dict[str, Any]
RUNTIME = "simulated"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Executor:
    """Who an executor is: what the head of its calls says."""

    framework_id: str
    executor_id: str
    container_id: str

    def make_call(self, kind: str, **body: Any) -> Call:
        head = {"framework_id": {"value": self.framework_id}, "executor_id": {"value": self.executor_id}}
        return Call(call={"type": kind, **head, **body}, stream=None)


class SimulatedAgent(Agent):
    """An agent that is its own executors. Nothing but messages to the master comes out of it; it has no checkpoint."""

    def __init__(self, *, settings: AgentSettings, state: AgentState, task_s: float) -> None:
        """Tasks run for `task_s` seconds."""
        super().__init__(settings=settings, state=state)
        self._task_s = task_s
        self._executors: dict[str, _Executor] = {}  # by stream
        self._begun: dict[tuple[str, str], float] = {}  # (stream, task id) -> when the task began to run
        self._ends: list[tuple[float, tuple[str, str]]] = []  # heap; tasks that were killed may still be in it

    def handle(self, event: AgentEvent, now: float) -> list[AgentEffect]:
        """The event and all that executors answer to what follows from it."""
        told: list[AgentEffect] = []
        events = deque([event])
        if isinstance(event, Timer):
            events.extend(self._end_tasks(now))
        while events:
            for effect in super().handle(events.popleft(), now):
                if isinstance(effect, ToMaster):
                    told.append(effect)
                else:
                    events.extend(self._react(effect, now))
        return told

    def due_at(self) -> float | None:
        while self._ends and self._ends[0][1] not in self._begun:
            heapq.heappop(self._ends)
        ends_at = self._ends[0][0] if self._ends else None
        return min((at for at in (super().due_at(), ends_at) if at is not None), default=None)

    def _react(self, effect: AgentEffect, now: float) -> Iterable[AgentEvent]:
        match effect:
            case StartProcess():
                executor = _Executor(
                    framework_id=effect.framework_id,
                    executor_id=effect.executor_id,
                    container_id=effect.container_id,
                )
                return [executor.make_call("SUBSCRIBE", subscribe={})]
            case SendEvent():
                return self._on_event(effect.stream, effect.event, now)
        return ()

    def _on_event(self, stream: str, event: Json, now: float) -> Iterable[AgentEvent]:
        """What an executor does with an event of its stream."""
        match event["type"]:
            case "SUBSCRIBED":
                self._executors[stream] = _to_executor(event["subscribed"])
            case "LAUNCH":
                task = (stream, event["launch"]["task"]["task_id"]["value"])
                self._begun[task] = now
                heapq.heappush(self._ends, (now + self._task_s, task))
                return [self._make_update(task, "TASK_RUNNING", AttemptReport(runtime=RUNTIME, started_at=_at(now)))]
            case "KILL":
                task = (stream, event["kill"]["task_id"]["value"])
                begun = self._begun.pop(task, None)
                return [] if begun is None else [self._make_update(task, "TASK_KILLED", _make_report(begun, now))]
            case "SHUTDOWN":
                return [self._exit(stream)]
        return ()

    def _end_tasks(self, now: float) -> Iterable[Call]:
        """The updates of the tasks that have run for long enough."""
        while self._ends and self._ends[0][0] <= now:
            _, task = heapq.heappop(self._ends)
            begun = self._begun.pop(task, None)
            if begun is not None:
                report = _make_report(begun, now, exit_code=0)
                yield self._make_update(task, "TASK_FINISHED", report)

    def _make_update(self, task: tuple[str, str], state: str, report: AttemptReport) -> Call:
        stream, task_id = task
        executor = self._executors[stream]
        status = {
            "task_id": {"value": task_id},
            "executor_id": {"value": executor.executor_id},
            "state": state,
            "source": "SOURCE_EXECUTOR",
            "uuid": self.settings.make_update_uuid(),
            "data": base64.b64encode(report.to_json().encode()).decode(),
        }
        return executor.make_call("UPDATE", update={"status": status})

    def _exit(self, stream: str) -> ProcessExited:
        """At once, so that it never has to be killed, and its tasks with it: the agent tells of them."""
        for task in [task for task in self._begun if task[0] == stream]:
            del self._begun[task]
        return ProcessExited(container_id=self._executors.pop(stream).container_id, status=0)


class NoJournal(Journal):
    """Nothing is kept: after a restart of `local` there are other agents, and the tasks of these are gone."""

    def read(self) -> list[Json]:
        return []

    def rewrite(self, records: Iterable[Json]) -> None:
        """There is no file."""

    def append(self, record: Json) -> None:
        """There is no file."""


def _to_executor(subscribed: Json) -> _Executor:
    return _Executor(
        framework_id=subscribed["framework_info"]["id"]["value"],
        executor_id=subscribed["executor_info"]["executor_id"]["value"],
        container_id=subscribed["container_id"]["value"],
    )


def _make_report(begun: float, now: float, exit_code: int | None = None) -> AttemptReport:
    return AttemptReport(
        runtime=RUNTIME,
        exit_code=exit_code,
        usage={"wall_s": round(now - begun, 3)},
        started_at=_at(begun),
        ended_at=_at(now),
    )


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
