"""Whether a submitted job can ever run here: everything that is wrong with it, in one answer, before it is stored."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from api.dependencies import check_after
from api.errors import MOST_ERRORS
from api.image_gate import ImageGate, tell_unknown
from api.inputs import FileCheck
from api.quotas import check_quotas
from api.schemas import JobDocument
from api.secrets import Secrets
from api.spelling import find_resource_hint, warn_of_project
from swath.domain.catalogue import RUNNABLE, ImageState
from swath.domain.constraints import Constraint, with_own
from swath.domain.dependencies import Upstream
from swath.domain.errors import CannotRunError, InvalidInputError, Problem
from swath.domain.jobs import JobSpec, bind_item, item_at, total_request
from swath.domain.manifest import Manifest
from swath.domain.resources import Resources, largest_of
from swath.domain.retries import ERROR, RetryPolicy
from swath.domain.secrets import split_settings
from swath.store.api_store import ApiStore
from swath.store.rows import AgentRow, ImageRow

SEEN_WITHIN = timedelta(hours=24)
MIB = 1024 * 1024
_SHOWN = 10  # values of an attribute


@dataclass(frozen=True, kw_only=True, slots=True)
class Admitted:
    """A job that may be stored."""

    spec: JobSpec
    image: ImageRow
    resources: Resources  # of one task
    warnings: tuple[str, ...] = ()  # what its user should know


def admit(
    document: JobDocument,
    store: ApiStore,
    files: FileCheck | None,
    now: datetime,
    *,
    gate: ImageGate,
    allowed: frozenset[ImageState] = RUNNABLE,
    siblings: Mapping[str, Upstream] = MappingProxyType({}),
) -> Admitted:
    """The job of a document, checked; `files` is None where the service does not see the agents' file system.
    `siblings` are the jobs that are to be stored with it. `gate` looks at its image, which has to be in one of the
    `allowed` states.

    Raises CannotRunError with everything that keeps it from ever running.
    """
    spec = to_spec(document)
    problems = _check_times(document, now) + check_after(spec, store, siblings)
    image = store.find_image(spec.image)
    if image is None:
        raise CannotRunError([Problem("/image", tell_unknown(spec.image, store)), *problems])
    found = gate.look_at(image, spec.project, allowed)
    problems += [Problem("/image", message) for message in found.problems]
    manifest = Manifest.from_json(image.manifest)
    problems += _check_settings(spec, image, manifest, gate.secrets)
    problems += itertools.islice(_check_tasks(spec, manifest, files), MOST_ERRORS)
    resources = Resources()
    try:
        resources = total_request(manifest.resources(_largest_input(spec, manifest, files)), spec.resources)
    except InvalidInputError as error:
        problems += error.problems
    problems += _check_errors(spec.retry, manifest)
    problems += _check_mounts(manifest)
    problems += _check_size(spec, resources, _seen_agents(store, now), executor_of(store))
    projects = store.read_projects().projects
    problems += check_quotas(spec, resources, projects)
    if problems:
        raise CannotRunError(problems)
    warnings = (*found.warnings, *warn_of_project(spec.project, projects.values(), store))
    return Admitted(spec=spec, image=image, resources=resources, warnings=warnings)


def to_spec(document: JobDocument) -> JobSpec:
    """The job as it was said; its items, of which there may be a hundred thousand, are not copied."""
    said = document.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"array": {"items"}})
    if document.array is not None and document.array.items is not None:
        said["array"]["items"] = document.array.items
    return JobSpec.from_document(said)


def _check_times(document: JobDocument, now: datetime) -> list[Problem]:
    """What lies in the past already."""
    problems = []
    if document.deadline is not None and document.deadline <= now:
        problems.append(Problem("/deadline", f"has passed; it is {now:%Y-%m-%dT%H:%M:%SZ}"))
    return problems


def _check_settings(spec: JobSpec, image: ImageRow, manifest: Manifest, secrets: Secrets | None) -> list[Problem]:
    """What is wrong with the settings, and with the secrets that some of them are."""
    plain, secret = split_settings(image.manifest, spec.settings)
    problems = manifest.check_settings(plain, secret)
    return problems + list(secrets.check(manifest, spec.project, plain, secret)) if secrets is not None else problems


def _check_errors(policy: RetryPolicy, manifest: Manifest) -> list[Problem]:
    """What the policy says about errors that the image does not know."""
    known = {f"{ERROR}:{error.name}" for error in manifest.job.errors}
    wrong = [name for name in policy.on if name.startswith(f"{ERROR}:") and name not in known]
    declared = ", ".join(sorted(known)) or "none"
    return [Problem(f"/retry/on/{name}", f"is no error of the image; it declares {declared}") for name in wrong]


def _check_mounts(manifest: Manifest) -> list[Problem]:
    """What no executor would start."""
    names = ", ".join(mount.name for mount in manifest.job.interface.mounts)
    message = f"declares mounts ({names}), which no site here offers: take such data as an input"
    return [Problem("/image", message)] if names else []


def _check_tasks(spec: JobSpec, manifest: Manifest, files: FileCheck | None) -> Iterator[Problem]:
    """What the image says against the inputs and parameters of the tasks, and which of their files are missing."""
    told: set[tuple[str, str]] = set()
    for index, item in _elements(spec):
        for problem in _check_task(spec, manifest, item, files):
            found = _relocate(problem, spec, index)
            if (found.path, found.message) not in told:
                told.add((found.path, found.message))
                yield found


def _elements(spec: JobSpec) -> Iterable[tuple[int, Any]]:
    """(index, element) of every task that can differ from the others: of a range the first stands for all."""
    if spec.array is None or spec.array.items is None:
        return [(0, item_at(spec, 0))]
    return enumerate(spec.array.items)


def _check_task(spec: JobSpec, manifest: Manifest, item: Any, files: FileCheck | None) -> Iterator[Problem]:
    try:
        binding = bind_item(spec, manifest.file_inputs, item)
    except InvalidInputError as error:
        yield from error.problems
        return
    yield from manifest.check_binding(binding.files, binding.parameters)
    if files is not None:
        for name, hrefs in binding.files.items():
            for href in hrefs:
                if complaint := files.find_complaint(href):
                    yield Problem(f"/inputs/{name}", f"{href}: {complaint}")


def _relocate(problem: Problem, spec: JobSpec, index: int) -> Problem:
    """The problem at its place in the submitted document: what a task gets from the array stands in the array."""
    if spec.array is None:
        return problem
    group, _, name = problem.path.removeprefix("/").partition("/")
    place = "/array/range" if spec.array.items is None else f"/array/items/{index}"
    if group == "array":
        return Problem(place + problem.path.removeprefix("/array/items"), problem.message)
    if name == spec.array.over:
        return Problem("/array/over" if problem.message.startswith("is unknown") else place, problem.message)
    given = spec.inputs.get(name) if group == "inputs" else spec.parameters.get(name)
    is_items = isinstance(given, Mapping) and bool(given.get("item")) and group == "inputs"
    return Problem(place, problem.message) if is_items else problem


def _largest_input(spec: JobSpec, manifest: Manifest, files: FileCheck | None) -> float:
    """MiB of the task with the largest input; 0 where the image does not ask for it or the files cannot be seen."""
    if files is None or not any(scalar.inputMultiplier for scalar in manifest.job.resources.scalar):
        return 0.0
    return max((_measure(spec, manifest, item, files) for _, item in _elements(spec)), default=0) / MIB


def _measure(spec: JobSpec, manifest: Manifest, item: Any, files: FileCheck) -> int:
    try:
        binding = bind_item(spec, manifest.file_inputs, item)
    except InvalidInputError:  # told already
        return 0
    return sum(files.measure(href) for hrefs in binding.files.values() for href in hrefs)


def _seen_agents(store: ApiStore, now: datetime) -> list[AgentRow]:
    return [agent for agent in store.list_agents() if agent.active or agent.last_seen >= now - SEEN_WITHIN]


def executor_of(store: ApiStore) -> Resources:
    """What the executor takes of every agent, as the scheduler says; nothing before it has said so."""
    try:
        return Resources.from_document(store.cluster_status().data.get("executor") or {})
    except InvalidInputError:  # a scheduler of another version
        return Resources()


def _check_size(spec: JobSpec, request: Resources, agents: Sequence[AgentRow], executor: Resources) -> list[Problem]:
    """Why none of `agents` could take a task beside the executor; nothing where one could, there is none, or it may wait."""
    if spec.may_wait or not agents:
        return []
    admitting = [agent for agent in agents if _admits(spec, agent)]
    if not admitting:
        return [Problem("/constraints", f"{_unmet(spec, agents)}; may_wait accepts the job anyway")]
    rooms = [(agent.total - executor).clipped() for agent in admitting]
    if any(request.fits_in(room) for room in rooms):
        return []
    reason = request.shortfall(largest_of(rooms)) or "no single one has all of it together"
    hint = find_resource_hint(request, rooms)
    told = f"exceed every agent seen in the last 24 hours: {reason}{hint}; may_wait accepts the job anyway"
    return [Problem("/resources", told)]


def _unmet(spec: JobSpec, agents: Sequence[AgentRow]) -> str:
    """Which constraints no agent meets, with the values that there are; or that none meets all of them together."""
    seen = list(map(_attributes_of, agents))
    unmet = [rule for rule in spec.constraints if not any(map(rule.admits, seen))]
    if not unmet:
        return "no agent seen in the last 24 hours meets all of them together"
    return "; ".join(f"no agent seen in the last 24 hours meets {rule}: {_tell_values(rule, seen)}" for rule in unmet)


def _tell_values(rule: Constraint, seen: Iterable[Mapping[str, str]]) -> str:
    """The values of the constraint's attribute that there are."""
    values = sorted({attributes[rule.attribute] for attributes in seen if rule.attribute in attributes})
    if not values:
        return f"none has an attribute {rule.attribute}"
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return f"of {rule.attribute} there is {', '.join(values[:_SHOWN])}{more}"


def _attributes_of(agent: AgentRow) -> Mapping[str, str]:
    return with_own(agent.attributes, hostname=agent.hostname, region=agent.region, zone=agent.zone)


def _admits(spec: JobSpec, agent: AgentRow) -> bool:
    """True when the agent meets the job's hard constraints."""
    attributes = _attributes_of(agent)
    return all(entry.admits(attributes) for entry in spec.constraints)
