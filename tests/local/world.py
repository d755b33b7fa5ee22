"""A master and its agents without sockets, processes or a clock: for tests that decide what happens when."""

from __future__ import annotations

import base64
import json
from collections import deque
from typing import Any

from local.agent import Agent
from local.agent_checkpoint import replay
from local.agent_state import AgentSettings, AgentState
from local.master import Master
from local.messages import (
    AgentGone,
    Call,
    CloseStream,
    KillProcess,
    MasterChanged,
    OpenStream,
    OperatorCall,
    ProcessExited,
    ProcessStarted,
    Record,
    Respond,
    SendEvent,
    Started,
    StartProcess,
    StopAgent,
    StreamClosed,
    Timer,
    ToAgent,
    ToMaster,
)

from .cluster import RESOURCES, T0
from .scheduler_client import FRAMEWORK, make_executor, make_task

Json = dict[str, Any]


class World:
    """Time starts at 0 and moves by `at(seconds)`; ticks come every second. One framework, subscribed by `subscribe`."""

    def __init__(self, agents: int = 1, **settings: Any) -> None:
        self.now = T0
        self.count = 0
        self.events: dict[str, list[Json]] = {}
        self.closed: list[str] = []
        self.killed: list[str] = []
        self.started: list[StartProcess] = []
        self.answer: Respond | OpenStream | None = None
        self.journals: dict[str, list[Json]] = {}
        self.master = Master(master_id="M", port=5050, make_uuid=self.make_uuid, now=T0, **settings)
        self.agents: dict[str, Agent] = {}
        self.parted: set[str] = set()  # agents that hear nothing, and are not heard
        self.stopped: list[str] = []
        for index in range(agents):
            self._start_agent(f"M-S{index}", AgentState(agent_id=f"M-S{index}"))

    def _start_agent(self, agent_id: str, state: AgentState) -> None:
        settings = AgentSettings(
            info={"hostname": "127.0.0.1", "port": 5051, "resources": RESOURCES},
            port=5051,
            work_dir="/work-dir",
            make_uuid=self.make_uuid,
            make_update_uuid=lambda: base64.b64encode(self.make_uuid().encode().ljust(16)).decode(),
        )
        self.journals.setdefault(agent_id, [])
        self.agents[agent_id] = Agent(settings=settings, state=state)
        self.feed(self.agents[agent_id], Started(alive=frozenset(state.executors)))

    def make_uuid(self) -> str:
        self.count += 1
        return f"id-{self.count}"

    def feed(self, machine: Master | Agent, event: Any) -> None:
        queue: deque[tuple[Master | Agent, Any]] = deque([(machine, event)])
        while queue:
            at, what = queue.popleft()
            for effect in at.handle(what, self.now):
                match effect:
                    case SendEvent():
                        self.events.setdefault(effect.stream, []).append(effect.event)
                    case CloseStream():
                        self.closed.append(effect.stream)
                    case Respond() | OpenStream():
                        self.answer = effect
                    case ToAgent():
                        if effect.agent_id not in self.parted:
                            queue.append((self.agents[effect.agent_id], effect.message))
                    case ToMaster():
                        if at.state.agent_id not in self.parted:
                            queue.append((self.master, effect.message))
                    case StopAgent():
                        self.stopped.append(at.state.agent_id)
                    case Record():
                        self.journals[at.state.agent_id].append(json.loads(json.dumps(effect.record)))
                    case KillProcess():
                        self.killed.append(effect.container_id)
                    case StartProcess():
                        self.started.append(effect)
                        pid = 100 + len(self.started)
                        queue.append((at, ProcessStarted(container_id=effect.container_id, pid=pid, mark="m")))

    def at(self, seconds: float) -> World:
        """Let time pass, with all timers on the way."""
        while True:
            machines: list[Master | Agent] = [self.master, *self.agents.values()]
            due = [(at, m) for m in machines if (at := m.due_at()) is not None and at <= T0 + seconds]
            if not due:
                self.now = T0 + seconds
                return self
            earliest, machine = min(due, key=lambda pair: pair[0])
            self.now = max(self.now, earliest)
            self.feed(machine, Timer())

    def part(self, agent_id: str = "M-S0") -> None:
        """The network between the master and the agent breaks."""
        self.parted.add(agent_id)
        self.feed(self.master, AgentGone(agent_id=agent_id))

    def heal(self, agent_id: str = "M-S0") -> None:
        self.parted.discard(agent_id)
        self.feed(self.agents[agent_id], MasterChanged())

    def start_again(self, agent_id: str = "M-S0") -> None:
        """The agent's process starts, from its checkpoint alone; none of its executors lives."""
        state = replay(self.journals[agent_id])
        assert state is not None
        self._start_agent(agent_id, state)

    def fail_over(self, **settings: Any) -> World:
        """Another master leads, with the registry of the old one; agents and schedulers have to find it."""
        registry = json.loads(json.dumps(self.master.registry()))
        settings |= {"now": self.now, "registry": registry}
        self.master = Master(master_id="N", port=5050, make_uuid=self.make_uuid, **settings)
        return self

    def operate(self, kind: str, **body: Any) -> Respond:
        self.feed(self.master, OperatorCall(call={"type": kind, kind.lower(): body}))
        assert isinstance(self.answer, Respond)
        return self.answer

    # --- the scheduler ----------------------------------------------------------------------------------------------

    def subscribe(self, **info: Any) -> World:
        framework = FRAMEWORK | info
        call: Json = {"type": "SUBSCRIBE", "subscribe": {"framework_info": framework}}
        if "id" in framework:
            call["framework_id"] = framework["id"]
        self.feed(self.master, Call(call=call, stream=None))
        assert isinstance(self.answer, OpenStream)
        self.stream = self.answer.stream
        first = self.heard[0]
        if first["type"] == "SUBSCRIBED":
            self.framework_id = first["subscribed"]["framework_id"]["value"]
        return self

    def disconnect(self) -> None:
        self.feed(self.master, StreamClosed(stream=self.stream))

    def call(self, kind: str, **body: Any) -> Respond:
        call = {"type": kind, "framework_id": {"value": self.framework_id}, **body}
        self.feed(self.master, Call(call=call, stream=self.stream))
        assert isinstance(self.answer, Respond)
        return self.answer

    @property
    def heard(self) -> list[Json]:
        """All events of the current subscription."""
        return self.events.get(self.stream, [])

    @property
    def offers(self) -> list[Json]:
        return [offer for event in self.heard if event["type"] == "OFFERS" for offer in event["offers"]["offers"]]

    @property
    def statuses(self) -> list[Json]:
        return [event["update"]["status"] for event in self.heard if event["type"] == "UPDATE"]

    def told(self) -> list[str]:
        """What the scheduler heard, in short, offers and heartbeats left out."""
        words = []
        for event in self.heard:
            status = event.get("update", {}).get("status")
            if status is not None:
                words.append(f"{status['task_id']['value']} {status['state']}")
            elif event["type"] not in ("OFFERS", "HEARTBEAT"):
                words.append(event["type"])
        return words

    def launch(self, offer: Json, *tasks: Json, refuse_s: float = 0.0) -> Respond:
        operation = {"type": "LAUNCH", "launch": {"task_infos": list(tasks)}}
        accept = {"offer_ids": [offer["id"]], "operations": [operation], "filters": {"refuse_seconds": refuse_s}}
        return self.call("ACCEPT", accept=accept)

    def launch_tasks(self, *names: str, executor: Json | None = None) -> World:
        offer = self.offers[-1]
        info = executor or make_executor()
        self.launch(offer, *(make_task(name, offer["agent_id"]["value"], info) for name in names))
        return self

    def acknowledge(self, status: Json) -> None:
        body = {name: status[name] for name in ("agent_id", "task_id", "uuid")}
        self.call("ACKNOWLEDGE", acknowledge=body)

    # --- executors --------------------------------------------------------------------------------------------------

    def connect(self, executor_id: str = "ex", agent_id: str = "M-S0", **body: Any) -> str:
        """The executor subscribes; -> its stream."""
        self.executor_call(executor_id, agent_id, {"type": "SUBSCRIBE", "subscribe": body})
        assert isinstance(self.answer, OpenStream), self.answer
        return self.answer.stream

    def executor_call(self, executor_id: str, agent_id: str, call: Json) -> Any:
        head = {"framework_id": {"value": self.framework_id}, "executor_id": {"value": executor_id}}
        self.feed(self.agents[agent_id], Call(call=head | call, stream=None))
        return self.answer

    def update(self, task_id: str, state: str, executor_id: str = "ex", agent_id: str = "M-S0") -> None:
        status = {"task_id": {"value": task_id}, "state": state, "source": "SOURCE_EXECUTOR"}
        status["uuid"] = base64.b64encode(self.make_uuid().encode().ljust(16)).decode()
        self.executor_call(executor_id, agent_id, {"type": "UPDATE", "update": {"status": status}})

    def end(self, index: int = 0, status: int = 0, agent_id: str = "M-S0") -> None:
        """The index-th started executor exits."""
        event = ProcessExited(container_id=self.started[index].container_id, status=status)
        self.feed(self.agents[agent_id], event)

    def restart(self, agent_id: str = "M-S0") -> None:
        """`local` is killed and comes back: master and agent, from the checkpoint alone."""
        state = replay(self.journals[agent_id])
        assert state is not None
        known = [self.agents[agent_id].settings.info | {"id": {"value": agent_id}}]
        self.master = Master(master_id="N", port=5050, make_uuid=self.make_uuid, now=self.now, recovered_agents=known)
        self._start_agent(agent_id, state)
