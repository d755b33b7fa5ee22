"""Clusters as people describe them: in a few words, in a document, or as the API lists its agents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from swath.domain.errors import InvalidInputError, Problem
from swath.domain.resources import Resources
from swath.simulation.model import MOST_AGENTS, Cluster, TraceAgent

_GROUP = re.compile(r"(\d{1,6})x(.+)", re.ASCII)
_CPUS = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)cpus?", re.ASCII)
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(MiB|GiB|TiB|M|G|T)", re.ASCII)
_MIB = {"M": 1, "MiB": 1, "G": 1024, "GiB": 1024, "T": 1024**2, "TiB": 1024**2}
EXAMPLE = "50x16cpus,64GiB,gpus=1,zone=b"


def parse_agents(texts: Sequence[str], reserved: Resources | None = None) -> Cluster:
    """The cluster of groups like "50x16cpus,64GiB[,disk=200GiB][,gpus=1][,zone=b]"; raises InvalidInputError."""
    groups = [_parse_group(text, f"/agents/{index}") for index, text in enumerate(texts)]
    return _make_cluster(" + ".join(texts), groups, reserved)


def read_cluster(document: Any, name: str) -> Cluster:
    """The cluster of {"agents": [{"count": 50, "resources": {"cpus": 16, ...}, "attributes": {...}}], "reserved": {...}}."""
    if not isinstance(document, Mapping) or not isinstance(document.get("agents"), list):
        raise InvalidInputError.at("", 'must be an object with a list "agents"')
    unknown = [key for key in document if key not in ("agents", "reserved", "projects")]
    if unknown:
        raise InvalidInputError(
            Problem(f"/{key}", "is not known; known are agents, reserved, projects") for key in unknown
        )
    groups = [_read_group(entry, f"/agents/{index}") for index, entry in enumerate(document["agents"])]
    return _make_cluster(name, groups, _to_resources(document.get("reserved") or {}, "/reserved"))


def from_agents(agents: Iterable[Mapping[str, Any]], reserved: Resources) -> Cluster:
    """The cluster that the API lists: its active agents, with their attributes, regions and zones."""
    found = tuple(
        TraceAgent(id=agent["id"], total=_to_resources(agent["resources"], "/resources"), attributes=_attributes(agent))
        for agent in agents
        if agent["active"]
    )
    if not found:
        raise InvalidInputError.at("", "the cluster has no active agent")
    return Cluster(name=f"the present cluster, {len(found)} agents", agents=found, reserved=reserved)


def _attributes(agent: Mapping[str, Any]) -> dict[str, str]:
    own = {name: agent[name] for name in ("hostname", "region", "zone") if agent.get(name)}
    return {**own, **agent["attributes"]}


Group = tuple[int, Resources, dict[str, str]]


def _make_cluster(name: str, groups: Sequence[Group], reserved: Resources | None) -> Cluster:
    count = sum(group[0] for group in groups)
    if not 0 < count <= MOST_AGENTS:
        raise InvalidInputError.at("/agents", f"must be 1 to {MOST_AGENTS:,} agents, are {count:,}")
    agents: list[TraceAgent] = []
    for number, total, attributes in groups:
        first = len(agents)
        agents += [
            TraceAgent(id=f"agent-{index:05d}", total=total, attributes=attributes)
            for index in range(first, first + number)
        ]
    return Cluster(name=name, agents=tuple(agents), reserved=reserved or Resources())


def _parse_group(text: str, path: str) -> Group:
    found = _GROUP.fullmatch(text.replace(" ", ""))
    if found is None:
        raise InvalidInputError.at(path, f"must look like {EXAMPLE}, is {text[:80]!r}")
    amounts: dict[str, float] = {}
    attributes: dict[str, str] = {}
    for word in found[2].split(","):
        _take_word(word, amounts, attributes, path)
    if not amounts.get("cpus"):
        raise InvalidInputError.at(path, f"must look like {EXAMPLE}; {text[:80]!r} has no cpus")
    return int(found[1]), _to_resources(amounts, path), attributes


def _take_word(word: str, amounts: dict[str, float], attributes: dict[str, str], path: str) -> None:
    name, sign, value = word.partition("=")
    if cpus := _CPUS.fullmatch(word):
        amounts["cpus"] = float(cpus[1])
    elif not sign and (size := _SIZE.fullmatch(word)):
        amounts["mem"] = _to_mib(size)
    elif name in ("mem", "disk") and (size := _SIZE.fullmatch(value)):
        amounts[name] = _to_mib(size)
    elif name in ("cpus", "gpus", "ports") and re.fullmatch(r"\d{1,6}(\.\d{1,3})?", value, re.ASCII):
        amounts[name] = float(value)
    elif sign and name and value and name not in ("cpus", "mem", "disk", "gpus", "ports"):
        attributes[name] = value
    else:
        raise InvalidInputError.at(path, f"must look like {EXAMPLE}; {word[:80]!r} is not understood")


def _to_mib(size: re.Match[str]) -> float:
    return float(size[1]) * _MIB[size[2]]


def _read_group(entry: Any, path: str) -> Group:
    if not isinstance(entry, Mapping):
        raise InvalidInputError.at(
            path, 'must be an object like {"count": 50, "resources": {"cpus": 16, "mem": 65536}}'
        )
    count, attributes = entry.get("count", 1), entry.get("attributes") or {}
    problems = [
        Problem(f"{path}/{key}", "is not known; known are count, resources, attributes")
        for key in entry
        if key not in ("count", "resources", "attributes")
    ]
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_AGENTS:
        problems.append(Problem(f"{path}/count", f"must be a whole number from 1 to {MOST_AGENTS:,}"))
    if not isinstance(attributes, Mapping) or not all(isinstance(value, str) for value in attributes.values()):
        problems.append(Problem(f"{path}/attributes", "must be an object of texts"))
    if problems:
        raise InvalidInputError(problems)
    return count, _to_resources(entry.get("resources"), f"{path}/resources"), dict(attributes)


def _to_resources(amounts: Any, path: str) -> Resources:
    if not isinstance(amounts, Mapping):
        raise InvalidInputError.at(path, 'must be an object like {"cpus": 16, "mem": 65536}')
    return Resources.from_document(amounts, path)
