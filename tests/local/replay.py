"""Plays a recording against the pure machines: recorded calls go in, what comes out is compared with what was recorded.

Ids, uuids and streams of the recording are translated to ours as they first appear. Compared is what a scheduler or
executor sees: every event with all its fields, in order per task, executor and agent; status and text of every answer.
Allocation ticks are taken from the recording (a tick at each recorded OFFERS), for the real master's drift by some
milliseconds a tick.
"""

from __future__ import annotations

import json
import re
from collections import deque
from pathlib import Path
from typing import Any

from local.agent_state import Executor, Phase
from local.calls import CallError, read_executor_call, read_operator_call, read_scheduler_call
from local.master_operator import CALLS
from local.messages import (
    Call,
    LaunchFailed,
    OpenStream,
    OperatorCall,
    ProcessExited,
    Respond,
    StreamClosed,
)
from local.operator_api import answer_master
from local.replies import Reply

from .cluster import Cluster
from .recording import Difference, Names, find_refusals, is_starting, subject_of, to_sorted

Json = dict[str, Any]
COMPARED_DOCUMENTS = {
    f"GET_{name}" for name in ("AGENTS", "MASTER", "MAINTENANCE_SCHEDULE", "MAINTENANCE_STATUS", "TASKS")
}
EARLY_S = 0.01  # an offer was made a little before the recorder wrote it down, and so its time-out seems to come early


class Replay(Cluster):
    """One folder against one master and as many agents as appear in it."""

    def __init__(self, folder: Path, *, racy: tuple[str, ...] = (), unlike: dict[float, str] | None = None) -> None:
        super().__init__(folder)
        self.unlike = unlike or {}  # times of documents that are not compared, and why
        self.racy = {("TASK", task_id) for task_id in racy}  # of which the recording shows one outcome of two
        self.names = Names()
        self.cut: set[str] = set()
        self.shared: dict[tuple[str, int], list[str]] = {}  # executors of several agents wrote to one file
        self.current: dict[tuple[str, int], str] = {}  # (file, stream number) -> our stream
        self.refusals = find_refusals(self.rows)
        self.compared = 0

    def run(self) -> int:
        """-> how many events were compared. Raises Difference."""
        for t, file, row in self.rows:
            self.advance(t)
            if "request" in row and "sched-calls" in file:
                self.on_scheduler_call(row)
            elif "request" in row and "exec-calls" in file:
                self.on_executor_call(file, row)
            elif "request" in row and file == "op-calls":
                self.on_operator_call(row)
            elif "event" in row:
                self.on_event(file, row)
            elif "close" in row:
                self.on_close(file, row)
            elif "comment" in row:
                self.on_comment(row["comment"])
                if row["comment"] == "executor exits 0 after SHUTDOWN":
                    self.end_executors_of(file)
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

    def on_operator_call(self, row: Json) -> None:
        """Calls that change something, and what the master then tells of its agents, tasks and maintenance."""
        kind = row["request"].get("type") if isinstance(row["request"], dict) else None
        if kind in COMPARED_DOCUMENTS and f":{self.master.state.port}" in dict(row["request_headers"])["Host"]:
            self.compare_document(row)
        if kind not in CALLS:
            return
        try:
            body = json.dumps(self.names.translate(row["request"])).encode()
            self.feed(self.master, OperatorCall(call=read_operator_call(body, "master", frozenset(CALLS))))
        except CallError as error:
            self.answer = Respond(status=400, text=str(error))
        self.compare_answer(row)

    def compare_document(self, row: Json) -> None:
        reply = answer_master(self.master, "POST", row["path"], {}, json.dumps(row["request"]).encode(), self.now)
        assert isinstance(reply, Reply)
        if row["t"] not in self.unlike:
            recorded, ours = (to_sorted(document, self.racy) for document in (row["body"], json.loads(reply.body)))
            self.names.match(recorded, ours, f"at {row['t']} {row['label']}")
            self.compared += 1

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
                if agent_id not in self.down and any(
                    executor.stream == ours for executor in agent.state.executors.values()
                ):
                    self.lose_agent(agent_id)

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
                if offer["agent_id"]["value"] in self.down:
                    self.restart_agent(offer["agent_id"]["value"])
            self.flatten(stream)
            wanted = {offer["agent_id"]["value"] for offer in event["offers"]["offers"]}
            if not wanted <= {e["agent_id"]["value"] for e in self.streams.get(stream, ()) if "hostname" in e}:
                self.tick()
            self.flatten(stream)
            for offer in event["offers"]["offers"]:
                self.compare(stream, offer, row["t"])
            return
        if event["type"] == "INVERSE_OFFERS" and all("inverse_offers" not in e for e in self.streams.get(stream, ())):
            self.tick()
        if event["type"] == "RESCIND":
            self.advance(row["t"] + EARLY_S)
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
                self.feed(agent, self.make_end(executor, failure["status"]))

    def make_end(self, executor: Executor, status: int) -> ProcessExited | LaunchFailed:
        """How it ended is what the recording says: also in which words Docker refused to start it."""
        problem = self.refusals.get(executor.executor_id) if executor.in_docker else None
        if problem is not None:
            return LaunchFailed(container_id=executor.container_id, problem=problem)
        return ProcessExited(container_id=executor.container_id, status=status)

    def end_executors_of(self, file: str) -> None:
        """Those that wrote to this file and were told to shut down."""
        streams = {stream for (name, _), stream in self.current.items() if name == file}
        for agent in self.agents.values():
            for executor in list(agent.state.executors.values()):
                if executor.stream in streams and executor.phase is Phase.TERMINATING:
                    self.feed(agent, self.make_end(executor, -1 if executor.in_docker else 0))

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
