"""What `swath simulate` is told, read: traces, clusters, policies, times."""

from __future__ import annotations

import gzip
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from swath.cli.options import open_client, parse_duration, parse_pair
from swath.domain.errors import InvalidInputError, NotFoundError
from swath.domain.projects import Project
from swath.domain.resources import Resources
from swath.domain.strict_json import read_strictly
from swath.matching.model import Policy
from swath.matching.policies import parse_policy, read_policy
from swath.simulation import recorded, swf
from swath.simulation.clusters import from_agents, parse_agents
from swath.simulation.clusters import read_cluster as read_document
from swath.simulation.model import Cluster, Timing, Trace, choose_cycle_s
from swath.simulation.swf import PROJECTS
from swath.simulation.synthetic import Synthetic, make_trace

DEFAULT_AGENTS = "12x16cpus,64GiB"
DEFAULT_SYNTHETIC = Synthetic(interactive=0.1, large=0.08)
EXECUTOR = Resources(cpus_m=100, mem=128)  # what a scheduler that is not told otherwise gives each agent's executor
LARGEST_DOCUMENT = 10_000_000  # bytes
LONGEST_LINE = 1_000_001
_SHOWN = 10  # names
_PROJECT = ("parent", "weight", "quota", "max_running", "user_quota", "user_max_running")


@dataclass(frozen=True, kw_only=True)
class Swf:
    """How a log in the Standard Workload Format is to be taken."""

    project: str
    most_cpus: float | None  # of one task; None: an agent's
    memory: int


def read_cluster(description: str | None, agents: Sequence[str]) -> Cluster | None:
    """The cluster that was named; None where nothing was said of agents."""
    if description is not None and agents:
        raise InvalidInputError.at("--cluster", "is either this or --agents")
    if agents:
        return parse_agents(agents)
    if description == "current":
        return _read_current()
    if description is None:
        return None
    document = read_file(Path(description))
    cluster = read_document(document, Path(description).stem)
    return replace(cluster, projects=_read_projects(document.get("projects") or {}))


def _read_current() -> Cluster:
    """The agents that are there, and the projects as they were declared."""
    with open_client() as client:
        agents, projects = client.agents(), client.projects()
    cluster = from_agents(cast(Sequence[Mapping[str, Any]], agents), EXECUTOR)
    declared = {entry["name"]: {name: entry.get(name) for name in _PROJECT} for entry in projects if entry["declared"]}
    return replace(cluster, projects=_read_projects(declared))


def _read_projects(document: Any) -> dict[str, Project]:
    if not isinstance(document, Mapping) or not all(isinstance(entry, Mapping) for entry in document.values()):
        raise InvalidInputError.at("/projects", 'must be an object like {"forest": {"weight": 2}}')
    return {name: Project.from_document(name, entry) for name, entry in document.items()}


def weigh(cluster: Cluster, weights: Sequence[str], trace: Trace) -> Cluster:
    """The cluster with other weights of projects; raises InvalidInputError for one that no job of the trace is of."""
    changed = dict(cluster.projects)
    known = {*changed, *(job.project for job in trace.jobs)}
    for text in weights:
        name, value = parse_pair(text, "--weight")
        try:
            weight = float(value)
        except ValueError:
            raise InvalidInputError.at("--weight", f"must look like PROJECT=2, is {text!r}") from None
        if name not in known:
            raise InvalidInputError.at("--weight", f"there is no project {name!r} here; there are {_some(known)}")
        changed[name] = replace(
            changed.get(name, Project(name=name)), weight=Project.from_document(name, {"weight": weight}).weight
        )
    return replace(cluster, projects=changed)


def _some(names: Iterable[str]) -> str:
    first, *others = sorted(names)
    return ", ".join([first, *others[: _SHOWN - 1]]) + (" ..." if len(others) >= _SHOWN else "")


def read_file(path: Path) -> Any:
    """The document of a JSON or TOML file; raises InvalidInputError for one that is neither, NotFoundError."""
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    if path.stat().st_size > LARGEST_DOCUMENT:
        raise InvalidInputError.at(str(path), f"is larger than {LARGEST_DOCUMENT:,} bytes")
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text) if path.suffix == ".toml" else read_strictly(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError.at(
            str(path), f"is no {'TOML' if path.suffix == '.toml' else 'JSON'}: {error}"
        ) from None


def read_workload(
    path: Path | None,
    synthetic: str | None,
    *,
    seed: int,
    swf: Swf,
    cluster: Cluster | None,
    most_jobs: int | None,
) -> tuple[Trace, Cluster]:
    """The workload, and the cluster: the one given, that of the log's header, or the default."""
    if path is not None and synthetic is not None:
        raise InvalidInputError.at("--synthetic", "is either this or a trace")
    if swf.project not in PROJECTS:
        raise InvalidInputError.at("--swf-project", f"must be one of {', '.join(PROJECTS)}")
    if path is None:
        trace, header = make_trace(_parse_synthetic(synthetic), seed), None
    else:
        trace, header = _read_trace(path, swf, cluster)
    agents = cluster or header or parse_agents([DEFAULT_AGENTS])
    if most_jobs is not None:
        trace = replace(trace, jobs=trace.jobs[:most_jobs])
    if not trace.jobs:
        raise InvalidInputError.at(str(path or "--synthetic"), "has no job that can be simulated")
    return trace, agents


def _parse_synthetic(text: str | None) -> Synthetic:
    if text is None:
        return DEFAULT_SYNTHETIC
    return Synthetic.from_words(dict(parse_pair(word, "--synthetic") for word in text.split(",") if word))


def _read_trace(path: Path, options: Swf, cluster: Cluster | None) -> tuple[Trace, Cluster | None]:
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    with _open(path) as file:
        if _is_recorded(file):
            return recorded.read_recorded(_lines(file), path.name), None
        return _read_swf(file, path.name, options, cluster)


def _read_swf(file: BinaryIO, name: str, options: Swf, cluster: Cluster | None) -> tuple[Trace, Cluster | None]:
    """A task has as many cpus as an agent at most, so the header's cluster has to be known before the first job."""
    header = swf.read_header(_lines(file))
    file.seek(0)
    agents = cluster or header or parse_agents([DEFAULT_AGENTS])
    most = max((agent.total - agents.reserved).cpus for agent in agents.agents)
    wanted = swf.SwfOptions(project=options.project, most_cpus=options.most_cpus or most, memory=options.memory)
    return swf.read_swf(_lines(file), wanted, name), header


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked where it is packed; raises InvalidInputError for a broken archive."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            yield cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file
        except (gzip.BadGzipFile, EOFError) as error:
            raise InvalidInputError.at(str(path), f"is a broken gzip file: {error}") from None


def _is_recorded(file: BinaryIO) -> bool:
    """True for JSON: the other format begins with a comment or a number."""
    first = file.read(1000).lstrip()
    file.seek(0)
    return first.startswith(b"{")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines, of none more than what tells that it is too long."""
    while line := file.readline(LONGEST_LINE):
        yield line


def read_policies(texts: Sequence[str], changes: Sequence[str]) -> dict[str, Policy]:
    """By the name under which each is shown, in the order given."""
    overrides = dict(parse_pair(text, "--set") for text in changes)
    found: dict[str, Policy] = {}
    for text in texts:
        path = Path(text)
        if path.suffix in (".json", ".toml"):
            found[path.stem] = read_policy(read_file(path), overrides)
        else:
            found[text] = parse_policy(text, overrides)
    return found


def make_timing(trace: Trace, *, cycle: str | None, launch: str, pull: str, grace: str, until: str | None) -> Timing:
    """Of durations in words; raises InvalidInputError for an end before the first job is there."""
    until_s = None if until is None else parse_duration(until, "--until")
    if until_s is not None and until_s <= trace.jobs[0].submitted_s:
        first_s = trace.jobs[0].submitted_s
        raise InvalidInputError.at(
            "--until", f"must be more than {first_s:g} s, when the first job comes, is {until!r}"
        )
    return Timing(
        cycle_s=choose_cycle_s(trace) if cycle is None else parse_duration(cycle, "--cycle"),
        launch_s=parse_duration(launch, "--launch"),
        pull_s=parse_duration(pull, "--pull"),
        grace_s=parse_duration(grace, "--grace"),
        until_s=until_s,
    )
