"""A small executor over http.client: what a task does stands in its data, as JSON.

Keys: "run" (seconds until the end), "until" (a file whose appearance is the end; without both, for ever),
"final" (state at the end, TASK_FINISHED by default), "silent".
MESSAGE bodies: {"cmd": "exit", "status": n}, {"cmd": "echo", "x": ..}, {"cmd": "states", "task": id, "states": [..]}.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import sys
import threading
import time
import uuid
from pathlib import Path

HOST, _, PORT = os.environ["MESOS_AGENT_ENDPOINT"].partition(":")
HEAD = {
    "framework_id": {"value": os.environ["MESOS_FRAMEWORK_ID"]},
    "executor_id": {"value": os.environ["MESOS_EXECUTOR_ID"]},
}
HEADERS = {"Content-Type": "application/json"}
if token := os.environ.get("MESOS_EXECUTOR_AUTHENTICATION_TOKEN"):
    HEADERS["Authorization"] = f"Bearer {token}"
lock = threading.RLock()
unacknowledged: dict[str, dict] = {}  # uuid -> status
unacknowledged_tasks: dict[str, dict] = {}


def post(body: dict) -> int:
    connection = http.client.HTTPConnection(HOST, int(PORT), timeout=10)
    try:
        connection.request("POST", "/api/v1/executor", json.dumps(HEAD | body), HEADERS)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def send_update(task_id: str, state: str, **more: object) -> None:
    status = {
        "task_id": {"value": task_id},
        "executor_id": HEAD["executor_id"],
        "source": "SOURCE_EXECUTOR",
        "state": state,
        "timestamp": time.time(),
        "uuid": base64.b64encode(uuid.uuid4().bytes).decode(),
        **more,
    }
    with lock:
        unacknowledged[status["uuid"]] = status
        post({"type": "UPDATE", "update": {"status": status}})


def on_launch(task: dict) -> None:
    task_id = task["task_id"]["value"]
    unacknowledged_tasks[task_id] = task
    plan = json.loads(base64.b64decode(task.get("data", "e30=")))
    print("launched", task_id, flush=True)
    if plan.get("silent"):
        return
    send_update(task_id, "TASK_RUNNING")
    if "run" in plan or "until" in plan:
        threading.Thread(target=end_in_time, args=(task_id, plan)).start()


def end_in_time(task_id: str, plan: dict) -> None:
    time.sleep(plan.get("run", 0))
    while "until" in plan and not Path(plan["until"]).exists():
        time.sleep(0.02)
    print("ended", task_id, flush=True)
    send_update(task_id, plan.get("final", "TASK_FINISHED"))


def on_message(body: dict) -> None:
    if body["cmd"] == "exit":
        os._exit(body.get("status", 0))
    if body["cmd"] == "echo":
        data = base64.b64encode(json.dumps({"echo": body.get("x")}).encode()).decode()
        post({"type": "MESSAGE", "message": {"data": data}})
    for state in body.get("states", ()):
        send_update(body["task"], state)


def on_event(event: dict) -> None:
    kind = event["type"]
    if kind == "LAUNCH":
        on_launch(event["launch"]["task"])
    elif kind == "ACKNOWLEDGED":
        with lock:
            unacknowledged.pop(event["acknowledged"]["uuid"], None)
            unacknowledged_tasks.pop(event["acknowledged"]["task_id"]["value"], None)
    elif kind == "KILL":
        send_update(event["kill"]["task_id"]["value"], "TASK_KILLED")
    elif kind == "MESSAGE":
        on_message(json.loads(base64.b64decode(event["message"]["data"])))
    elif kind == "SHUTDOWN" and not os.environ.get("STUB_DEAF"):
        os._exit(0)


def subscribe() -> None:
    connection = http.client.HTTPConnection(HOST, int(PORT), timeout=60)
    with lock:
        body = {
            "unacknowledged_tasks": list(unacknowledged_tasks.values()),
            "unacknowledged_updates": [{"status": status} for status in unacknowledged.values()],
        }
        call = json.dumps(HEAD | {"type": "SUBSCRIBE", "subscribe": body})
        connection.request("POST", "/api/v1/executor", call, HEADERS)
    response = connection.getresponse()
    while response.status == 200:
        line = response.readline()
        if not line:
            return
        record = response.read(int(line))
        if len(record) < int(line):
            return
        threading.Thread(target=on_event, args=(json.loads(record),)).start() if b'"KILL"' in record else on_event(
            json.loads(record)
        )


def main() -> None:
    print("executor started", HEAD["executor_id"]["value"], "pid", os.getpid(), flush=True)
    print("started", file=sys.stderr, flush=True)
    if os.environ.get("STUB_DELAY"):
        time.sleep(float(os.environ["STUB_DELAY"]))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            subscribe()
            deadline = time.monotonic() + 30
        except (OSError, http.client.HTTPException, ValueError):
            pass
        time.sleep(0.05)


main()
