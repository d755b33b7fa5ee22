"""What `python -m local` can be told, with defaults from the machine."""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from local.resources import Bundle, to_thousandths

Json = dict[str, Any]
_MIB = 1024 * 1024
_KEPT_MEM = 1024  # MiB that stay with the operating system, as Mesos leaves
PORTS = (31000, 32000)
LARGEST_PORT = 65535
_RANGES = re.compile(r"\[\d+-\d+(,\d+-\d+)*\]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Of one master with its agents. Memory and disk in MiB, durations in seconds."""

    port: int = 5050  # 0 = any free one, and the same again after a restart
    agents: int = 1
    agent_port: int = 5051  # of the first agent; the next ones follow; 0 = any free ones
    work_dir: Path = Path("var/local")
    cpus: float | None = None  # of each agent; None = of the machine
    mem: float | None = None
    disk: float | None = None
    credential_file: Path | None = None  # {"principal": .., "secret": ..}; without one, anybody is served
    attributes: str = ""  # "region:ispra;rack:3"
    allocation_interval_s: float = 1.0
    ping_timeout_s: float = 75.0  # until a broken connection makes an agent unreachable
    heartbeat_s: float = 15.0  # between two on a scheduler's stream
    faults_file: Path | None = None  # a plan of faults to inject
    fault_seed: int | None = None  # or the seed to draw one from
    offer_timeout_s: float | None = None  # None = offers stay until they are answered
    registration_timeout_s: float = 60.0
    reregistration_timeout_s: float = 10.0
    shutdown_grace_s: float = 5.0
    gc_delay_s: float = 7 * 86400.0  # ended executors' sandboxes are kept so long
    simulated_agents: int = 0  # beside the others
    task_s: float = 60.0  # how long each of their tasks runs


def make_agent_info(settings: Settings, port: int) -> Json:
    """AgentInfo without its id."""
    info: Json = {
        "hostname": "127.0.0.1",
        "port": port,
        "resources": _make_bundle(settings).to_wire(form="reservations"),
    }
    attributes = parse_attributes(settings.attributes)
    return info | {"attributes": attributes} if attributes else info


def _make_bundle(settings: Settings) -> Bundle:
    memory = psutil.virtual_memory().total / _MIB - _KEPT_MEM
    disk = shutil.disk_usage(settings.work_dir).free / _MIB
    amounts = {
        "cpus": settings.cpus if settings.cpus is not None else float(os.cpu_count() or 1),
        "mem": settings.mem if settings.mem is not None else float(max(int(memory), 64)),
        "disk": settings.disk if settings.disk is not None else float(int(disk)),
    }
    scalars = {name: to_thousandths(amount) for name, amount in amounts.items() if amount > 0}
    return Bundle(scalars, {"ports": (PORTS,)})


def parse_attributes(text: str) -> list[Json]:
    """`name:value` pairs, split by ';': numbers, `[1-5,9-10]`, or text, which loses its blanks (surprise 31)."""
    attributes: list[Json] = []
    for pair in filter(None, (part.strip() for part in text.split(";"))):
        name, colon, value = pair.partition(":")
        if not (name and colon and value):
            raise ValueError(f"attribute '{pair}' is not of the form name:value")
        attributes.append(_make_attribute(name.strip(), value.replace(" ", "")))
    return attributes


def _make_attribute(name: str, value: str) -> Json:
    if value.startswith("{"):
        raise ValueError(f"attribute '{name}' is a set, which Mesos has none of")
    if _RANGES.fullmatch(value):
        pairs = [part.split("-") for part in value[1:-1].split(",")]
        pieces = [{"begin": int(begin), "end": int(end)} for begin, end in pairs]
        return {"name": name, "type": "RANGES", "ranges": {"range": pieces}}
    try:
        return {"name": name, "type": "SCALAR", "scalar": {"value": float(value)}}
    except ValueError:
        return {"name": name, "type": "TEXT", "text": {"value": value}}


def check(settings: Settings) -> Sequence[str]:
    """What is wrong with the settings."""
    problems = []
    if min(settings.agents, settings.simulated_agents) < 0 or settings.agents + settings.simulated_agents < 1:
        problems.append("--agents, or --agents and --simulated-agents together, must be at least 1")
    if not 0 <= settings.task_s < math.inf:
        problems.append("--task-seconds must be a number, 0 or more")
    if settings.allocation_interval_s <= 0:
        problems.append("--allocation-interval must be positive")
    if settings.ping_timeout_s < 0:
        problems.append("--agent-ping-timeout must not be negative")
    if settings.heartbeat_s <= 0:
        problems.append("--heartbeat-interval must be positive")
    if settings.faults_file is not None and settings.fault_seed is not None:
        problems.append("--faults and --fault-seed exclude each other")
    if settings.offer_timeout_s is not None and settings.offer_timeout_s <= 0:
        problems.append("--offer-timeout must be positive")
    for name in ("cpus", "mem", "disk"):
        amount = getattr(settings, name)
        if amount is not None and not 0 <= amount < math.inf:
            problems.append(f"--{name} must be a number, 0 or more")
    last = settings.agent_port + max(0, settings.agents - 1)
    for name, ports in (("port", (settings.port,)), ("agent-port", (settings.agent_port, last))):
        if min(ports) < 0 or max(ports) > LARGEST_PORT:
            problems.append(f"--{name} must be between 0 and {LARGEST_PORT}, those of further agents included")
    return problems
