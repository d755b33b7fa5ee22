"""With which flags the recorded master and agents were started: from a recording's timeline.txt."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.settings import parse_attributes

Json = dict[str, Any]
_LINE = re.compile(r"\[t=([\d.]+)\] (master|agent (\d+)) started: (?:flags )?(.*)")
_SECONDS = {"ms": 0.001, "secs": 1.0, "mins": 60.0}
_AGENT_DURATIONS = {
    "executor_registration_timeout": "registration_timeout_s",
    "executor_reregistration_timeout": "reregistration_timeout_s",
    "executor_shutdown_grace_period": "shutdown_grace_s",
}


def to_seconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr]
    return float(number) * _SECONDS[unit]


def _split(text: str) -> dict[str, str]:
    """`--name=value` pairs; a value may contain blanks."""
    return {name: value.strip() for name, value in re.findall(r"--(\w+)=(.*?)(?= --\w+=|$)", text)}


def _make_resource(name: str, value: str) -> Json:
    name, _, role = name.rstrip(")").partition("(")
    resource: Json = {"name": name}
    if value.startswith("["):
        pieces = [piece.split("-") for piece in value.strip("[]").split(",")]
        resource |= {"type": "RANGES", "ranges": {"range": [{"begin": int(a), "end": int(b)} for a, b in pieces]}}
    else:
        resource |= {"type": "SCALAR", "scalar": {"value": float(value)}}
    return resource | ({"reservations": [{"type": "STATIC", "role": role}]} if role else {})


@dataclass(kw_only=True)
class Timeline:
    """Flags of the master, and of each agent's starts: (number, seconds, flags)."""

    master: dict[str, str] = field(default_factory=dict)
    agents: list[tuple[int, float, dict[str, str]]] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Timeline:
        timeline = cls()
        for line in (folder / "timeline.txt").read_text().splitlines():
            found = _LINE.fullmatch(line)
            if found and found[2] == "master":
                timeline.master = timeline.master or _split(found[4])
            elif found:
                timeline.agents.append((int(found[3]), float(found[1]), _split(found[4])))
        return timeline

    def master_settings(self) -> Json:
        """Arguments of Master."""
        settings: Json = {"interval_s": to_seconds(self.master.get("allocation_interval", "1secs"))}
        timeout = to_seconds(self.master.get("agent_ping_timeout", "15secs"))
        settings["agent_ping_timeout_s"] = timeout * int(self.master.get("max_agent_ping_timeouts", 5))
        if "domain" in self.master:
            settings["domain"] = json.loads(self.master["domain"])
        if "offer_timeout" in self.master:
            settings["offer_timeout_s"] = to_seconds(self.master["offer_timeout"])
        return settings

    def agent_flags(self, number: int, t: float) -> dict[str, str]:
        """Of the newest start of an agent before `t`."""
        return [flags for n, at, flags in self.agents if n == number and at <= t + 0.1][-1]

    def agent_settings(self, number: int, t: float) -> Json:
        """Arguments of AgentSettings, apart from info."""
        flags = self.agent_flags(number, t)
        settings: Json = {ours: to_seconds(flags[name]) for name, ours in _AGENT_DURATIONS.items() if name in flags}
        settings["recovery_timeout"] = flags.get("recovery_timeout", "15mins")
        settings["subscription_backoff_max"] = flags.get("executor_reregistration_timeout", "2secs")
        return settings | {"cleans_up": flags.get("recover") == "cleanup"}

    def resources(self, number: int, t: float) -> list[Json]:
        """As AgentInfo has them."""
        parts = (part.rpartition(":")[::2] for part in self.agent_flags(number, t)["resources"].split(";"))
        return [_make_resource(name, value) for name, value in parts if value != "0"]

    def domain(self, number: int, t: float) -> Json:
        flags = self.agent_flags(number, t)
        return {"domain": json.loads(flags["domain"])} if "domain" in flags else {}

    def attributes(self, number: int, t: float) -> list[Json]:
        return parse_attributes(self.agent_flags(number, t).get("attributes", ""))
