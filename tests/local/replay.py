"""Plays a recording against the pure machines: recorded calls go in, what comes out is compared with what was recorded.

Ids, uuids and streams of the recording are translated to ours as they first appear. Compared is what a scheduler or
executor sees: every event with all its fields, in order per task, executor and agent; status and text of every answer.
Allocation ticks are taken from the recording (a tick at each recorded OFFERS), for the real master's drift by some
milliseconds a tick.
"""

from __future__ import annotations

import base64
import json
import re
from collections import deque
from pathlib import Path
from typing import Any

from local.agent import Agent
from local.agent_checkpoint import replay
from local.agent_state import AgentSettings, AgentState
from local.calls import CallError, read_executor_call, read_scheduler_call
from local.master import Master
from local.messages import (
    AgentGone,
    Call,
    CloseStream,
    MasterChanged,
    OpenStream,
    ProcessExited,
    ProcessStarted,
    Record,
    Respond,
    SendEvent,
    Started,
    StartProcess,
    StreamClosed,
    Timer,
    ToAgent,
    ToMaster,
)

from .recording import Difference, Names, agent_of, find_masters, is_starting, load, subject_of

Json = dict[str, Any]
T0 = 1_795_000_000.0
NEVER = float("inf")
RESOURCES = [
    {"name": "cpus", "type": "SCALAR", "scalar": {"value": 4.0}},
    {"name": "mem", "type": "SCALAR", "scalar": {"value": 2048.0}},
    {"name": "disk", "type": "SCALAR", "scalar": {"value": 4096.0}},
    {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31000, "end": 31099}]}},
]


class Replay:
    """One folder against one master and as many agents as appear in it."""

    def __init__(
        self,
        folder: Path,
        *,
        flags: Json | None = None,
        attributes: list[Json] | None = None,
        racy: tuple[str, ...] = (),
    ) -> None:
        self.rows = load(folder)
        self.flags = flags or {}
        self.attributes = attributes or []
        self.racy = {("TASK", task_id) for task_id in racy}  # of which the recording shows one outcome of two
        self.now = T0
        self.names = Names()
        self.streams: dict[str, deque[Json]] = {}  # our stream -> events not compared yet
        self.told: dict[str, list[Json]] = {}  # our stream -> all its events
        self.ended: set[str] = set()
        self.cut: set[str] = set()
        self.shared: dict[tuple[str, int], list[str]] = {}  # executors of several agents wrote to one file
        self.current: dict[tuple[str, int], str] = {}  # (file, stream number) -> our stream
        self.journals: dict[str, list[Json]] = {}
        self.agents: dict[str, Agent] = {}
        self.ports: dict[int, str] = {}
        self.count = 0
        self.pids: dict[str, int] = {}
        self.answer: Any = None
        self.compared = 0
        self.down: list[str] = []  # agents
        self.dead_executors = False
        self.master_is_down = False
        self.estranged: set[str] = set()  # agents that have not found the new master
        self.infos = iter(find_masters(self.rows))
        info = next(self.infos)
        interval = re.search(r"--allocation_interval=(\d+)ms", (folder / "timeline.txt").read_text())
        self.master = Master(
            master_id=info["id"],
            port=info["port"],
            make_uuid=self.make_uuid,
            now=T0,
            interval_s=int(interval[1]) / 1000 if interval else 1.0,
        )
        self.master.state.next_tick = NEVER

    def make_uuid(self) -> str:
        self.count += 1
        return f"made-{self.count}"

    def make_update_uuid(self) -> str:
        self.count += 1
        return base64.b64encode(self.count.to_bytes(16, "big")).decode()

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
            case StartProcess():
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
        info: Json = {"hostname": "127.0.0.1", "port": port, "resources": RESOURCES}
        if self.attributes:
            info["attributes"] = self.attributes
        settings = AgentSettings(
            info=info,
            port=port,
            work_dir="/work-dir",
            make_uuid=self.make_uuid,
            make_update_uuid=self.make_update_uuid,
            waits_for_timeout=True,
            **{"reregistration_timeout_s": 2.0, **self.flags},
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
            for agent_id in self.down:
                self.restart_agent(agent_id)
            self.down.clear()
        if text in ("master kill -9", "graceful: master SIGTERM"):
            self.master_is_down = True
        if text.startswith(("master starts with the same work_dir", "new master: EMPTY work_dir")):
            self.restart_master(keeps_registry="same work_dir" in text)

    def restart_agent(self, agent_id: str) -> None:
        """Only the checkpoint survives, and the executors do unless the recording says otherwise."""
        settings = self.agents[agent_id].settings
        state = replay(self.journals[agent_id])
        assert state is not None
        self.agents[agent_id] = Agent(settings=settings, state=state)
        alive = frozenset() if self.dead_executors else frozenset(state.executors)
        self.feed(self.agents[agent_id], Started(alive=alive))

    def restart_master(self, *, keeps_registry: bool) -> None:
        known = [agent.settings.info | {"id": {"value": i}} for i, agent in self.agents.items()]
        info = next(self.infos)
        old = self.master.state
        self.master = Master(
            master_id=info["id"],
            port=info["port"],
            make_uuid=self.make_uuid,
            now=self.now,
            interval_s=old.interval_s,
            recovered_agents=known if keeps_registry else (),
        )
        self.master.state.next_tick = NEVER
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

    # --- playing ----------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """-> how many events were compared. Raises Difference."""
        for t, file, row in self.rows:
            self.advance(t)
            if "request" in row and "sched-calls" in file:
                self.on_scheduler_call(row)
            elif "request" in row and "exec-calls" in file:
                self.on_executor_call(file, row)
            elif "event" in row:
                self.on_event(file, row)
            elif "close" in row:
                self.on_close(file, row)
            elif "comment" in row:
                self.on_comment(row["comment"])
        self.check_left_over()
        return self.compared

    def on_scheduler_call(self, row: Json) -> None:
        if row["method"] != "POST" or "status" not in row or not isinstance(row["request"], dict):
            return
        if is_starting(row["status"]):
            return
        if row["status"].startswith("HTTP/1.1 403"):
            # The socket was closed already; the recorder wrote that down a little later.
            for number in [n for file, n in self.current if file == "sched"]:
                self.feed(self.master, StreamClosed(stream=self.current[("sched", number)]))
        header = {k.lower(): v for k, v in row["request_headers"]}.get("mesos-stream-id")
        try:
            call = read_scheduler_call(json.dumps(self.names.translate(row["request"])).encode())
            stream = None if header is None else self.names.known.get(header, header)
            self.feed(self.master, Call(call=call, stream=stream))
        except CallError as error:
            self.answer = Respond(status=400, text=str(error))
        self.compare_answer(row)
        self.end_racy(row["request"])
        if isinstance(self.answer, OpenStream):
            number = int(re.search(r"stream (\d+)", row["body"])[1])  # type: ignore[index]
            self.current[("sched", number)] = self.answer.stream
            self.names.known[dict(row["headers"])["Mesos-Stream-Id"]] = self.answer.stream

    def end_racy(self, request: Json) -> None:
        """The recorded agent killed this task itself; with us its executor has it, and must end it."""
        task_id = request.get("kill", {}).get("task_id", {}).get("value")
        if ("TASK", task_id) not in self.racy:
            return
        head = {"framework_id": request["framework_id"], "executor_id": {"value": "ex"}}
        status = {
            "task_id": {"value": task_id},
            "state": "TASK_KILLED",
            "source": "SOURCE_EXECUTOR",
            "uuid": self.make_update_uuid(),
        }
        call = head | {"type": "UPDATE", "update": {"status": status}}
        for agent in self.agents.values():
            self.feed(agent, Call(call=call, stream=None))

    def on_executor_call(self, file: str, row: Json) -> None:
        if row["method"] != "POST" or "status" not in row or not isinstance(row["request"], dict):
            return
        if is_starting(row["status"]):
            return
        port = int(dict(row["request_headers"])["Host"].split(":")[1])
        agent_id = self.ports[port]
        if agent_id in self.down:
            self.down.remove(agent_id)
            self.restart_agent(agent_id)
        agent = self.agents[agent_id]
        try:
            call = read_executor_call(json.dumps(self.names.translate(row["request"])).encode())
            self.feed(agent, Call(call=call, stream=None))
        except CallError as error:
            self.answer = Respond(status=400, text=str(error))
        self.compare_answer(row)
        if isinstance(self.answer, OpenStream):
            number = int(re.search(r"stream (\d+)", row["label"])[1])  # type: ignore[index]
            key = (file.replace("exec-calls", "exec-stream"), number)
            self.current[key] = self.answer.stream
            self.shared.setdefault(key, []).append(self.answer.stream)

    def compare_answer(self, row: Json) -> None:
        status = int(row["status"].split()[1])
        if isinstance(self.answer, OpenStream):
            if status != 200:
                raise Difference(f"{row['label']}: recorded {status} {row['body']}, a stream was opened")
            return
        text = self.names.translate(row["body"]) if isinstance(row.get("body"), str) else ""
        if (self.answer.status, self.answer.text) != (status, text):
            raise Difference(f"{row['label']}: recorded {status} {text!r}, got {self.answer}")

    def on_close(self, file: str, row: Json) -> None:
        ours = self.current.get(("sched" if "sched" in file else file, row["stream"]))
        if ours is None:
            return
        if row["close"] == "terminating 0-chunk":
            if ours not in self.ended:
                raise Difference(f"at {row['t']} stream {row['stream']} of {file} ended, ours is open")
        elif "sched" in file:
            self.cut.add(ours)
            if not self.master_is_down:
                self.feed(self.master, StreamClosed(stream=ours))
        else:
            for agent_id, agent in self.agents.items():
                if any(executor.stream == ours for executor in agent.state.executors.values()):
                    self.down.append(agent_id)
                    self.feed(self.master, AgentGone(agent_id=agent_id))

    def on_event(self, file: str, row: Json) -> None:
        event = row["event"]
        key = ("sched" if "sched" in file else file, row["stream"])
        stream = self.current[key]
        for other in self.shared.get(key, ()):
            if any(subject_of(e) == subject_of(event) for e in self.streams.get(other, ())):
                stream = other
        if event["type"] == "HEARTBEAT":
            return
        if event["type"] == "OFFERS":
            for offer in event["offers"]["offers"]:
                self.start_agent(offer["agent_id"]["value"], offer["url"]["address"]["port"])
            self.flatten(stream)
            wanted = {offer["agent_id"]["value"] for offer in event["offers"]["offers"]}
            if not wanted <= {e["agent_id"]["value"] for e in self.streams.get(stream, ()) if "hostname" in e}:
                self.tick()
            self.flatten(stream)
            for offer in event["offers"]["offers"]:
                self.compare(stream, offer, row["t"])
            return
        if event["type"] == "FAILURE" and "executor_id" in event["failure"]:
            self.end_executor(event["failure"])
        self.compare(stream, event, row["t"])

    def flatten(self, stream: str) -> None:
        """OFFERS -> single offers, for agents may come together or one by one."""
        events = self.streams.setdefault(stream, deque())
        flat = [o for e in events for o in (e["offers"]["offers"] if e.get("type") == "OFFERS" else [e])]
        events.clear()
        events.extend(flat)

    def end_executor(self, failure: Json) -> None:
        agent = self.agents[failure["agent_id"]["value"]]
        for executor in list(agent.state.executors.values()):
            if executor.executor_id == failure["executor_id"]["value"]:
                event = ProcessExited(container_id=executor.container_id, status=failure["status"])
                self.feed(agent, event)

    def compare(self, stream: str, recorded: Json, t: float) -> None:
        """The first of ours about the same thing must be equal."""
        if subject_of(recorded) in self.racy:
            return
        events = self.streams.get(stream, deque())
        for index, ours in enumerate(events):
            if subject_of(ours) == subject_of(recorded):
                del events[index]
                self.names.match(recorded, ours, f"at {t}")
                self.compared += 1
                return
        if self.introduce(recorded):
            self.flatten(stream)
            self.compare(stream, recorded, t)
            return
        raise Difference(f"at {t} recorded {json.dumps(recorded)[:900]}, ours: {[subject_of(e) for e in events]}")

    def check_left_over(self) -> None:
        for stream, events in self.streams.items():
            if stream in self.cut or any(e.get("type") == "SHUTDOWN" for e in self.told.get(stream, ())):
                continue  # the recorder closed the socket, or the recorded executor reads no further
            left = [e for e in events if e.get("type") != "HEARTBEAT" and subject_of(e) not in self.racy]
            if left:
                raise Difference(f"never recorded, on stream {stream}: {[json.dumps(e)[:300] for e in left]}")
