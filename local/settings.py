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

from local.resources import EMPTY, Bundle, Interval, count_of, merge, to_thousandths

Json = dict[str, Any]
_MIB = 1024 * 1024
_KEPT_MEM = 1024  # MiB that stay with the operating system, as Mesos leaves
PORTS = (31000, 32000)
LARGEST_PORT = 65535
_RESOURCE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(\([A-Za-z0-9_./-]+\))?")
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
    resources: str = ""  # further ones, or others, of each agent: "ports:[31000-31999];licences:4"
    credential_file: Path | None = None  # {"principal": .., "secret": ..}; without one, anybody is served
    hostnames: Sequence[str] = ()  # of one agent after the other; what is not named is 127.0.0.1
    attributes: Sequence[str] = ()  # "region:ispra;rack:3" of one agent after the other; a single one is of all
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


def make_agent_info(settings: Settings, port: int, share: tuple[int, int] = (0, 1)) -> Json:
    """AgentInfo without its id. The agent's `share` is (which one, of how many): of the machine's ports it has as many."""
    which, _ = share
    info: Json = {
        "hostname": settings.hostnames[which] if which < len(settings.hostnames) else "127.0.0.1",
        "port": port,
        "resources": divide_ports(_make_bundle(settings), *share).to_wire(form="reservations"),
    }
    said = settings.attributes
    place = 0 if len(said) == 1 else which
    attributes = parse_attributes(said[place]) if place < len(said) else []
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
    named = parse_resources(settings.resources)
    return Bundle({**scalars, **named.scalars}, {"ports": (PORTS,), **named.ranges})


def divide_ports(bundle: Bundle, which: int, count: int) -> Bundle:
    """One of `count` equal parts of the ports: agents of one machine must not give the same port to two tasks."""
    return Bundle(bundle.scalars, {name: _cut(pieces, which, count) for name, pieces in bundle.ranges.items()})


def _cut(pieces: Sequence[Interval], which: int, count: int) -> tuple[Interval, ...]:
    total = count_of(pieces)
    first, behind = which * total // count, (which + 1) * total // count
    found: list[Interval] = []
    for begin, end in pieces:
        low, high = max(begin, begin + first), min(end, begin + behind - 1)
        if low <= high:
            found.append((low, high))
        first, behind = first - count_of([(begin, end)]), behind - count_of([(begin, end)])
    return tuple(found)


def parse_resources(text: str) -> Bundle:
    """Mesos' own --resources: `name:4` or `name:[1-5,9-10]`, split by ';'; `name(role):4` is kept for a role.

    Raises ValueError; entries of the same name are added up.
    """
    total = EMPTY
    for pair in filter(None, (part.strip() for part in text.split(";"))):
        name, colon, value = pair.partition(":")
        if not (_RESOURCE.fullmatch(name) and colon):
            raise ValueError(f"--resources: '{pair}' is not of the form name:value")
        total = total + _parse_amount(name, value.replace(" ", ""))
    return total


def _parse_amount(name: str, value: str) -> Bundle:
    if _RANGES.fullmatch(value):
        pieces = [(int(begin), int(end)) for begin, _, end in (part.partition("-") for part in value[1:-1].split(","))]
        if any(begin > end or (name.startswith("ports") and end > LARGEST_PORT) for begin, end in pieces):
            raise ValueError(f"--resources: {name} has a range that is none, in {value}")
        return Bundle({}, {name: merge(pieces)})
    try:
        amount = float(value)
    except ValueError:
        raise ValueError(f"--resources: {name} is neither a number nor ranges such as [31000-31999]: {value}") from None
    if not 0 <= amount < math.inf:
        raise ValueError(f"--resources: {name} must be a number, 0 or more")
    return Bundle({name: to_thousandths(amount)} if to_thousandths(amount) else {}, {})


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
    try:
        parse_resources(settings.resources)
    except ValueError as error:
        problems.append(str(error))
    last = settings.agent_port + max(0, settings.agents - 1)
    for name, ports in (("port", (settings.port,)), ("agent-port", (settings.agent_port, last))):
        if min(ports) < 0 or max(ports) > LARGEST_PORT:
            problems.append(f"--{name} must be between 0 and {LARGEST_PORT}, those of further agents included")
    return problems
