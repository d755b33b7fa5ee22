"""A scheduler for tests, over real sockets: one thread reads the stream, calls go out on their own connections."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Json = dict[str, Any]
FRAMEWORK: Json = {
    "user": "root",
    "name": "test",
    "roles": ["eo"],
    "checkpoint": True,
    "failover_timeout": 604800.0,
    "capabilities": [{"type": "PARTITION_AWARE"}, {"type": "TASK_KILLING_STATE"}, {"type": "MULTI_ROLE"}],
}
STUB = Path(__file__).with_name("stub_executor.py")


def request(
    port: int, method: str, path: str, body: Any = None, headers: Json | None = None
) -> tuple[int, dict[str, str], bytes]:
    """-> status, headers (names in lower case), body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        data = json.dumps(body) if isinstance(body, dict) else body
        connection.request(method, path, data, {"Content-Type": "application/json"} if headers is None else headers)
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def make_executor(executor_id: str = "ex", **environment: str) -> Json:
    variables = [{"name": name, "type": "VALUE", "value": value} for name, value in environment.items()]
    return {
        "type": "CUSTOM",
        "executor_id": {"value": executor_id},
        "command": {
            "shell": True,
            "value": f"exec {sys.executable} -u {STUB}",
            "environment": {"variables": variables},
        },
        "resources": make_resources(0.1, 64),
        "name": "stub",
    }


def make_resources(cpus: float, mem: float) -> list[Json]:
    return [
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": cpus}, "allocation_info": {"role": "eo"}},
        {"name": "mem", "type": "SCALAR", "scalar": {"value": mem}, "allocation_info": {"role": "eo"}},
    ]


def make_task(task_id: str, agent_id: str, executor: Json, cpus: float = 0.1, mem: float = 32, **plan: Any) -> Json:
    return {
        "name": f"task {task_id}",
        "task_id": {"value": task_id},
        "agent_id": {"value": agent_id},
        "resources": make_resources(cpus, mem),
        "executor": executor,
        "data": base64.b64encode(json.dumps(plan).encode()).decode(),
    }


class SchedulerClient:
    """Subscribes at once; `events` grows. Acknowledges by itself unless told otherwise."""

    def __init__(
        self,
        port: int,
        *,
        framework_id: str | None = None,
        acknowledge: bool = True,
        headers: dict[str, str] | None = None,  # beside Mesos' own
        **info: Any,
    ) -> None:
        self.port = port
        self._headers = headers or {}
        self.acknowledge = acknowledge
        self.framework_id: str | None = framework_id
        self.events: list[Json] = []
        self.ended = threading.Event()
        self._changed = threading.Condition()
        framework = FRAMEWORK | info
        body: Json = {"type": "SUBSCRIBE", "subscribe": {"framework_info": framework}}
        if framework_id is not None:
            body["framework_id"] = {"value": framework_id}
            framework["id"] = {"value": framework_id}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._connection.connect()
        self._socket = self._connection.sock
        accept = {"Content-Type": "application/json", "Accept": "application/json"}
        self._connection.request("POST", "/api/v1/scheduler", json.dumps(body), accept | self._headers)
        self._response = self._connection.getresponse()
        assert self._response.status == 200, self._response.read()
        self.stream_id = self._response.getheader("Mesos-Stream-Id")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.wait_for(lambda e: e["type"] in ("SUBSCRIBED", "ERROR"))

    def _read(self) -> None:
        try:
            while line := self._response.readline():
                record = json.loads(self._response.read(int(line)))
                if record["type"] == "SUBSCRIBED":
                    self.framework_id = record["subscribed"]["framework_id"]["value"]
                with self._changed:
                    self.events.append(record)
                    self._changed.notify_all()
                if self.acknowledge and record["type"] == "UPDATE":
                    self.send_acknowledgement(record["update"]["status"])
        except (OSError, ValueError, http.client.HTTPException, AttributeError):
            pass  # the socket was closed, by either side; http.client says so in all these ways
        finally:
            self.ended.set()

    def send_acknowledgement(self, status: Json) -> None:
        if "uuid" in status:
            body = {"agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"]}
            self.call("ACKNOWLEDGE", acknowledge=body)

    def call(self, kind: str, **body: Any) -> tuple[int, str]:
        own = {"Content-Type": "application/json", "Mesos-Stream-Id": self.stream_id}
        call = {"type": kind, "framework_id": {"value": self.framework_id}, **body}
        status, _, text = request(self.port, "POST", "/api/v1/scheduler", call, own | self._headers)
        return status, text.decode()

    def wait_for(self, matches: Callable[[Json], bool], timeout_s: float = 10.0, *, after: int = 0) -> Json:
        """The first event from index `after` on that matches."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for event in self.events[after:]:
                    if matches(event):
                        return event
                left = deadline - time.monotonic()
                assert left > 0, f"waited in vain; events: {[summarise(e) for e in self.events]}"
                self._changed.wait(left)

    def wait_for_status(self, task_id: str, state: str, *, after: int = 0) -> Json:
        def matches(event: Json) -> bool:
            status = event.get("update", {}).get("status", {})
            return status.get("task_id", {}).get("value") == task_id and status.get("state") == state

        return self.wait_for(matches, after=after)["update"]["status"]

    def wait_for_offer(self, *, after: int = 0) -> Json:
        return self.wait_for(lambda e: e["type"] == "OFFERS", after=after)["offers"]["offers"][0]

    def launch(self, offer: Json, *tasks: Json, refuse_s: float = 0.0) -> tuple[int, str]:
        operation = {"type": "LAUNCH", "launch": {"task_infos": list(tasks)}}
        accept = {"offer_ids": [offer["id"]], "operations": [operation], "filters": {"refuse_seconds": refuse_s}}
        return self.call("ACCEPT", accept=accept)

    def send_message(self, offer: Json, executor_id: str, **body: Any) -> None:
        data = base64.b64encode(json.dumps(body).encode()).decode()
        message = {"agent_id": offer["agent_id"], "executor_id": {"value": executor_id}, "data": data}
        self.call("MESSAGE", message=message)

    def states_of(self, task_id: str) -> list[str]:
        updates = [e["update"]["status"] for e in self.events if e["type"] == "UPDATE"]
        return [s["state"] for s in updates if s["task_id"]["value"] == task_id]

    def close(self) -> None:
        """Only the socket; the framework is disconnected, not torn down."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(2)
        self._thread.join(5)
        self._connection.close()
        self._response.close()


def summarise(event: Json) -> str:
    status = event.get("update", {}).get("status")
    return event["type"] if status is None else f"{status['task_id']['value']}:{status['state']}"
