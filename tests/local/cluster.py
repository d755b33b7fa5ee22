"""A master and agents as a recording shows them: started with its flags, lost and restarted when it says so."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections import deque
from pathlib import Path
from typing import Any

from local.agent import Agent
from local.agent_checkpoint import replay
from local.agent_state import AgentSettings, AgentState
from local.master import Master
from local.messages import (
    AgentGone,
    CloseStream,
    MasterChanged,
    OpenStream,
    ProcessStarted,
    Record,
    Respond,
    SendEvent,
    Started,
    StartProcess,
    StopAgent,
    Timer,
    ToAgent,
    ToMaster,
    Unregister,
)

from .recording import Json, agent_of, find_masters, load
from .timeline import Timeline

T0 = 1_795_000_000.0
NEVER = float("inf")
RESOURCES = [
    {"name": "cpus", "type": "SCALAR", "scalar": {"value": 4.0}},
    {"name": "mem", "type": "SCALAR", "scalar": {"value": 2048.0}},
    {"name": "disk", "type": "SCALAR", "scalar": {"value": 4096.0}},
    {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31000, "end": 31099}]}},
]


class Cluster:
    """The machines of one folder, and what carries messages between them. Ticks come only by `tick`."""

    def __init__(self, folder: Path) -> None:
        self.rows = load(folder)
        self.timeline = Timeline.read(folder)
        self.now = T0
        self.streams: dict[str, deque[Json]] = {}  # our stream -> events not compared yet
        self.told: dict[str, list[Json]] = {}  # our stream -> all its events
        self.ended: set[str] = set()
        self.journals: dict[str, list[Json]] = {}
        self.agents: dict[str, Agent] = {}
        self.ports: dict[int, str] = {}
        self.count = 0
        self.started: list[StartProcess] = []
        self.pids: dict[str, int] = {}
        self.answer: Any = None
        self.down: list[str] = []  # agents
        self.dead_executors = False
        self.master_is_down = False
        self.estranged: set[str] = set()  # agents that have not found the new master
        self.infos = iter(find_masters(self.rows))
        self.master = self.make_master(next(self.infos))

    def make_uuid(self) -> str:
        self.count += 1
        return f"made-{self.count}"

    def make_update_uuid(self) -> str:
        self.count += 1
        return base64.b64encode(self.count.to_bytes(16, "big")).decode()

    def make_master(self, info: Json, **more: Any) -> Master:
        master = Master(
            master_id=info["id"],
            port=info["port"],
            make_uuid=self.make_uuid,
            now=self.now,
            **self.timeline.master_settings(),
            **more,
        )
        master.state.next_tick = NEVER
        return master

    # --- carrying ---------------------------------------------------------------------------------------------------

    def feed(self, machine: Master | Agent, event: Any) -> None:
        queue: deque[tuple[Master | Agent, Any]] = deque([(machine, event)])
        while queue:
            at, what = queue.popleft()
            for effect in at.handle(what, self.now):
                queue.extend(self.perform(at, effect))

    def perform(self, at: Master | Agent, effect: Any) -> list[tuple[Master | Agent, Any]]:
        match effect:
            case SendEvent():
                self.streams.setdefault(effect.stream, deque()).append(effect.event)
                self.told.setdefault(effect.stream, []).append(effect.event)
            case CloseStream():
                self.ended.add(effect.stream)
            case Respond() | OpenStream():
                self.answer = effect
            case ToAgent():
                return [(self.agents[effect.agent_id], effect.message)]
            case ToMaster():
                return [(self.master, effect.message)]
            case Record():
                self.journals[at.state.agent_id].append(json.loads(json.dumps(effect.record)))
            case StopAgent():
                self.down.append(at.state.agent_id)
            case StartProcess():
                self.started.append(effect)
                self.pids[effect.container_id] = 1000 + len(self.pids)
                pid = self.pids[effect.container_id]
                return [(at, ProcessStarted(container_id=effect.container_id, pid=pid, mark="m"))]
        return []

    def advance(self, t: float) -> None:
        self.now = T0 + t
        if self.master.due_at() <= self.now:
            self.feed(self.master, Timer())
        for agent_id, agent in list(self.agents.items()):
            due_at = agent.due_at()
            if agent_id not in self.down and due_at is not None and due_at <= self.now:
                self.feed(agent, Timer())

    def tick(self) -> None:
        self.master.state.next_tick = self.now
        self.feed(self.master, Timer())
        self.master.state.next_tick = NEVER

    # --- agents -----------------------------------------------------------------------------------------------------

    def start_agent(self, agent_id: str, port: int) -> None:
        if agent_id in self.agents:
            return
        number, t = port - self.master.state.port, self.now - T0
        info: Json = {"hostname": "127.0.0.1", "port": port, "resources": self.timeline.resources(number, t)}
        info |= self.timeline.domain(number, t)
        attributes = self.timeline.attributes(number, t)
        if attributes:
            info["attributes"] = attributes
        settings = AgentSettings(
            info=info,
            port=port,
            work_dir="/work-dir",
            make_uuid=self.make_uuid,
            make_update_uuid=self.make_update_uuid,
            waits_for_timeout=True,
            **{"reregistration_timeout_s": 2.0, **self.timeline.agent_settings(number, t)},
        )
        self.journals[agent_id] = []
        self.agents[agent_id] = Agent(settings=settings, state=AgentState(agent_id=agent_id))
        self.ports[port] = agent_id
        self.feed(self.agents[agent_id], Started(alive=frozenset()))

    def on_comment(self, text: str) -> None:
        """What the recorder did to the machines."""
        if "executor kill -9 while the agent is down" in text or "no such process" in text:
            self.dead_executors = True
        if "before the agent starts again" in text or text == "agent 2 starts":
            for agent_id in list(self.down):
                self.restart_agent(agent_id)
        if text.startswith("agent gets SIGUSR1"):
            for agent in list(self.agents.values()):
                self.feed(agent, Unregister())
        stopped = re.fullmatch(r"agent (\d+) stopped: SIGKILL", text)
        if stopped:
            self.lose_agent(self.ports[self.master.state.port + int(stopped[1])])
        if text in ("master kill -9", "graceful: master SIGTERM"):
            self.master_is_down = True
        if text.startswith(("master starts with the same work_dir", "new master: EMPTY work_dir")):
            self.restart_master(keeps_registry="same work_dir" in text)

    def lose_agent(self, agent_id: str) -> None:
        self.down.append(agent_id)
        self.feed(self.master, AgentGone(agent_id=agent_id))

    def restart_agent(self, agent_id: str) -> None:
        """Only the checkpoint survives, and the executors do unless the recording says otherwise."""
        self.down.remove(agent_id)
        old = self.agents[agent_id].settings
        number = old.port - self.master.state.port
        settings = dataclasses.replace(old, **self.timeline.agent_settings(number, self.now - T0))
        state = replay(self.journals[agent_id])
        assert state is not None
        self.agents[agent_id] = Agent(settings=settings, state=state)
        alive = frozenset() if self.dead_executors else frozenset(state.executors)
        self.feed(self.agents[agent_id], Started(alive=alive))

    def restart_master(self, *, keeps_registry: bool) -> None:
        known = [agent.settings.info | {"id": {"value": i}} for i, agent in self.agents.items()]
        self.master = self.make_master(next(self.infos), recovered_agents=known if keeps_registry else ())
        self.master_is_down = False
        self.estranged = {agent_id for agent_id in self.agents if agent_id not in self.down}

    def introduce(self, event: Json) -> bool:
        """Let the agent that an event speaks of find the new master, if it has not yet."""
        agent_id = agent_of(event)
        if agent_id not in self.estranged:
            return False
        self.estranged.discard(agent_id)
        self.feed(self.agents[agent_id], MasterChanged())
        return True
