"""Reading recordings of a real Mesos."""

from __future__ import annotations

import json
import re
from collections.abc import Container
from pathlib import Path
from typing import Any

Json = dict[str, Any]
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_OFFER = re.compile(_UUID + r"-O\d+")
_NAMED = re.compile(rf"container '({_UUID}|made-\d+)'")
_TIMES = {"registered_time", "reregistered_time", "unreachable_time", "estimated_drain_start_time"}
_IGNORED = {"timestamp", "executor_pid", "start_time", "elected_time"} | _TIMES
_TRANSLATED = {"uuid"}


class Difference(AssertionError):
    """What was recorded and what came out are not the same."""


def load(folder: Path) -> list[tuple[float, str, Json]]:
    """(t, file, record) of all recorded files, in order of time."""
    rows = []
    for path in sorted(folder.glob("*.jsonl")):
        if path.stem == "op-stream":
            continue  # local serves no operator event stream
        rows += [(r.get("t", 0.0), path.stem, r) for r in map(json.loads, path.read_text().splitlines())]
    seen: dict[str | None, float] = {}
    for t, _, row in rows:
        if row.get("event", {}).get("type") == "UPDATE":
            seen.setdefault(row["event"]["update"]["status"].get("uuid"), t)

    def when(row: tuple[float, str, Json]) -> float:
        """An acknowledgement comes after its update, whichever was written down first."""
        request = row[2].get("request")
        uuid = request.get("acknowledge", {}).get("uuid") if isinstance(request, dict) else None
        return row[0] if uuid is None else max(row[0], min(seen.get(uuid, 0.0) + 1e-6, row[0] + 0.01))

    return sorted(rows, key=when)


def find_masters(rows: list[tuple[float, str, Json]]) -> list[Json]:
    """The MasterInfos of a recording, each once."""
    found = {}
    for _, file, row in rows:
        if file == "sched-stream" and row.get("event", {}).get("type") == "SUBSCRIBED":
            info = row["event"]["subscribed"]["master_info"]
            found.setdefault(info["id"], info)
    return list(found.values())


def find_refusals(rows: list[tuple[float, str, Json]]) -> dict[str, str]:
    """Executor id -> why its container was not started."""
    updates = [row["event"]["update"]["status"] for _, _, row in rows if row.get("event", {}).get("type") == "UPDATE"]
    failed = [status for status in updates if status.get("reason") == "REASON_CONTAINER_LAUNCH_FAILED"]
    return {s["executor_id"]["value"]: s["message"].removeprefix("Failed to launch container: ") for s in failed}


def is_starting(status: str) -> bool:
    """A real master or agent that has just begun: "has not finished recovery", or not even its paths are known."""
    return "503" in status or "404" in status


def agent_of(event: Json) -> str:
    body = event.get("update", {}).get("status", event)
    return str(body.get("agent_id", {}).get("value"))


def subject_of(event: Json) -> tuple[str, ...]:
    """What an event is about; order is compared among events of one subject."""
    kind = event.get("type", "OFFER")
    if kind == "OFFER":
        return (kind, event["agent_id"]["value"])
    body = event.get(kind.lower(), {})
    if kind == "LAUNCH":
        return ("TASK", body["task"]["task_id"]["value"])
    body = body["status"] if kind == "UPDATE" else body
    return ("TASK", body["task_id"]["value"]) if "task_id" in body else (kind,)


def to_sorted(document: Any, without: Container[tuple[str, str]] = ()) -> Any:
    """Lists of agents and tasks in the order of their ids, for Mesos keeps them in hash tables; without some subjects."""
    if isinstance(document, dict):
        return {name: to_sorted(value, without) for name, value in document.items()}
    if not isinstance(document, list) or any(_identify(entry) is None for entry in document):
        return document
    kept = [entry for entry in document if _identify(entry) not in without]
    return sorted((to_sorted(entry, without) for entry in kept), key=_identify)


def _identify(entry: Any) -> tuple[str, str] | None:
    """None for what is neither an agent nor a task."""
    if isinstance(entry, dict) and "task_id" in entry and "name" in entry:
        return ("TASK", entry["task_id"]["value"])
    info = entry.get("agent_info", entry) if isinstance(entry, dict) else {}
    if "hostname" in info and "id" in info:
        return ("AGENT", info["id"]["value"])
    return None


class Names:
    """Which of our ids stands for which recorded one; learnt while events are compared."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}  # recorded -> ours

    def translate(self, value: Any) -> Any:
        """All names at once, for our name of one may be the recorded name of another."""
        if not self.known:
            return value
        known = {json.dumps(recorded)[1:-1]: ours for recorded, ours in self.known.items()}
        pattern = "|".join(re.escape(recorded) for recorded in sorted(known, key=len, reverse=True))
        return json.loads(re.sub(pattern, lambda found: known[found.group()], json.dumps(value)))

    def match(self, recorded: Any, ours: Any, path: str) -> None:
        if isinstance(recorded, dict) and isinstance(ours, dict):
            if set(recorded) != set(ours):
                raise Difference(f"{path}: recorded fields {sorted(recorded)}, ours {sorted(ours)}")
            for name, value in recorded.items():
                if name in _TRANSLATED or (name == "container_id" and value != ours[name]):
                    old, new = (value, ours[name]) if isinstance(value, str) else (value["value"], ours[name]["value"])
                    self.bind(old, new, f"{path}/{name}")
                elif name not in _IGNORED:
                    self.match(value, ours[name], f"{path}/{name}")
        elif isinstance(recorded, list) and isinstance(ours, list):
            if path.endswith("executor_ids"):
                recorded, ours = sorted(recorded, key=str), sorted(ours, key=str)
            if len(recorded) != len(ours):
                raise Difference(f"{path}: recorded {recorded}, ours {ours}")
            for index, (a, b) in enumerate(zip(recorded, ours, strict=True)):
                self.match(a, b, f"{path}/{index}")
        elif isinstance(recorded, str) and isinstance(ours, str) and _OFFER.fullmatch(recorded):
            self.bind(recorded, ours, path)
        elif path.endswith("/message") and _NAMED.sub("#", recorded) == _NAMED.sub("#", ours):
            pass
        elif self.translate(recorded) != ours:
            raise Difference(f"{path}: recorded {recorded!r}, ours {ours!r}")

    def bind(self, recorded: str, ours: str, path: str) -> None:
        if self.known.setdefault(recorded, ours) != ours:
            raise Difference(f"{path}: {recorded} was {self.known[recorded]} before, and now is {ours}")
