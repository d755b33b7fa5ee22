"""What a user submits: a job, its array and how an element of the array becomes the inputs of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from swath.domain.checksums import read_checksum
from swath.domain.constraints import Constraint as Constraint
from swath.domain.constraints import Preference, to_constraints, to_preferences
from swath.domain.dependencies import Dependency
from swath.domain.errors import InvalidInputError, Problem
from swath.domain.resources import Resources
from swath.domain.retries import Reaction, RetryPolicy, find_complaint

DEFAULT_PRIORITY = 50
LARGEST_ARRAY = 10_000_000
BATCH, INTERACTIVE = "batch", "interactive"
CHECKSUM = "file:checksum"  # as STAC's file extension calls it


@dataclass(frozen=True, kw_only=True, slots=True)
class ArraySpec:
    """What a job fans out over: the items of a list, or the numbers of a range."""

    over: str  # name of the input or parameter that each element sets
    items: tuple[Any, ...] | None = None  # for files {"href": "file:///..."}; for parameters any JSON value
    first: int = 0  # of the range
    end: int = 0  # of the range, not included

    @property
    def size(self) -> int:
        """The number of tasks."""
        return self.end - self.first if self.items is None else len(self.items)

    def number_at(self, index: int) -> int:
        """The number of a range that task `index` gets."""
        return self.first + index


@dataclass(frozen=True, kw_only=True, slots=True)
class JobSpec:
    """A job as it was submitted. `to_document` gives the document back; only what was said is in it."""

    image: str  # "name" or "name:version"
    name: str
    project: str = "default"
    array: ArraySpec | None = None
    inputs: Mapping[str, Any] = field(
        default_factory=dict
    )  # file input -> {"href": ...}, {"hrefs": [...]} or {"item": true}
    parameters: Mapping[str, Any] = field(default_factory=dict)  # JSON input -> value
    settings: Mapping[str, Any] = field(default_factory=dict)  # text, or {"secret": NAME}: see swath.domain.secrets
    resources: Mapping[str, Any] = field(default_factory=dict)  # what the job asks for beyond the manifest
    constraints: tuple[Constraint, ...] = ()
    prefer: tuple[Preference, ...] = ()  # where a task would rather run, such as beside its data
    job_class: str = BATCH  # or INTERACTIVE: somebody waits for it
    preemptible: bool = True  # its tasks may be ended for others' sake, and are tried again for free
    expected_s: float | None = None  # how long a task is expected to run, before there is experience
    short: bool | None = None  # its tasks take seconds: several in a row in one Mesos task (ADR 23); None: once seen to
    priority: int = DEFAULT_PRIORITY  # 0 to 100, larger first
    max_running: int | None = None  # at most so many tasks at a time
    not_before: datetime | None = None
    deadline: datetime | None = None
    timeout_s: int | None = None  # of one attempt; the manifest's where None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    after: tuple[Dependency, ...] = ()  # jobs that have to succeed, or to end, before this one starts
    labels: Mapping[str, str] = field(default_factory=dict)
    may_wait: bool = False  # accept the job although no agent seen lately is large enough
    trial: bool = False  # runs its image's smoke test; the service alone says so
    document: Mapping[str, Any] = field(default_factory=dict)  # as submitted

    @property
    def size(self) -> int:
        """The number of tasks."""
        return self.array.size if self.array else 1

    def to_document(self) -> dict[str, Any]:
        """The document as it was submitted."""
        return dict(self.document)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> JobSpec:
        """The job of a document whose fields have the right types (the api's schema sees to that)."""
        job_class = document.get("class") or BATCH
        known: dict[str, Any] = {"preemptible": job_class == BATCH}
        known |= {name: document[name] for name in _PLAIN if document.get(name) is not None}
        return cls(
            **known,
            name=document.get("name") or document["image"].split(":")[0],
            array=_to_array(document["array"]) if document.get("array") else None,
            job_class=job_class,
            constraints=to_constraints(document.get("constraints") or ()),
            prefer=to_preferences(document.get("prefer") or ()),
            not_before=_to_time(document.get("not_before")),
            deadline=_to_time(document.get("deadline")),
            retry=_to_policy(document.get("retry") or {}),
            after=tuple(map(Dependency.from_document, document.get("after") or ())),
            document=document,
        )


_PLAIN = (
    *("image", "project", "inputs", "parameters", "settings", "resources", "priority"),
    *("max_running", "timeout_s", "labels", "may_wait", "preemptible", "expected_s", "short", "trial"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Binding:
    """What one task gets: its files and its parameters."""

    files: Mapping[str, tuple[str, ...]]  # file input -> hrefs
    checksums: Mapping[str, str]  # href -> what is declared of its bytes
    parameters: Mapping[str, Any]  # JSON input -> value


def bind_item(spec: JobSpec, file_inputs: frozenset[str], item: Any) -> Binding:
    """The inputs of the task whose element of the array is `item` (None for a job without an array).

    `file_inputs` are the names that the manifest declares as files. An item for files is {"href": ...}, {"hrefs": [...]}, or
    {INPUT: {"href": ...}, ...} for several inputs at once; an input {"item": true} takes it, and so does the input that the
    array is over. Wherever a href stands, its "file:checksum" may stand beside it. Raises InvalidInputError for an item of
    another form.
    """
    sums: dict[str, str] = {}
    given = spec.inputs.items()
    files = {name: _to_hrefs(value, f"/inputs/{name}", sums) for name, value in given if not _takes_item(value)}
    parameters = dict(spec.parameters)
    if spec.array is None:
        return Binding(files=files, checksums=sums, parameters=parameters)
    if spec.array.over not in file_inputs:
        parameters[spec.array.over] = item
    takers = {name for name, value in spec.inputs.items() if _takes_item(value)} | ({spec.array.over} & file_inputs)
    for name in sorted(takers):
        if isinstance(item, Mapping) and name in item:
            files[name] = _to_hrefs(item[name], f"/array/items/{name}", sums)
        elif name == spec.array.over or not isinstance(item, Mapping) or "href" in item or "hrefs" in item:
            files[name] = _to_hrefs(item, "/array/items", sums)
    if isinstance(item, Mapping):
        others = [name for name in item if name in file_inputs and name not in takers]
        files |= {name: _to_hrefs(item[name], f"/array/items/{name}", sums) for name in others}
    return Binding(files=files, checksums=sums, parameters=parameters)


def item_at(spec: JobSpec, index: int, item: Any = None) -> Any:
    """The array's element for task `index`: the number of a range, else `item` as it was read from the store."""
    if spec.array is not None and spec.array.items is None:
        return spec.array.number_at(index)
    return item


def _takes_item(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value.get("item"))


def _to_hrefs(value: Any, path: str, sums: dict[str, str]) -> tuple[str, ...]:
    """The hrefs of an input; checksums that stand beside them are added to `sums`."""
    if isinstance(value, Mapping):
        found = value.get("hrefs") or ([value] if value.get("href") else None)
        files = [entry if isinstance(entry, Mapping) else {"href": entry} for entry in _to_list(found)]
        if files and all(isinstance(file.get("href"), str) for file in files):
            told = (file for file in files if file.get(CHECKSUM) is not None)
            sums |= {file["href"]: _to_checksum(file[CHECKSUM], f"{path}/{CHECKSUM}") for file in told}
            return tuple(file["href"] for file in files)
    raise InvalidInputError.at(path, 'must be {"href": "file:///..."} or {"hrefs": ["file:///...", ...]}')


def _to_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _to_checksum(said: Any, path: str) -> str:
    try:
        return str(read_checksum(said))
    except ValueError as error:
        raise InvalidInputError.at(path, str(error)) from error


def _to_array(document: Mapping[str, Any]) -> ArraySpec:
    given = [name for name in ("items", "range") if document.get(name) is not None]
    if len(given) != 1:
        raise InvalidInputError.at("/array", 'needs either "items" or "range"')
    if given == ["items"]:
        array = ArraySpec(over=document["over"], items=tuple(document["items"]))
    else:
        first, end = document["range"]
        array = ArraySpec(over=document["over"], first=first, end=end)
    if not 0 < array.size <= LARGEST_ARRAY:
        raise InvalidInputError.at(
            f"/array/{given[0]}", f"must have 1 to {LARGEST_ARRAY:,} elements, has {array.size:,}"
        )
    return array


def _to_time(value: str | datetime | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


_POLICY = ("max_attempts", "backoff_s", "max_backoff_s", "unreachable_s", "learn")


def _to_policy(document: Mapping[str, Any]) -> RetryPolicy:
    plain = {name: document[name] for name in _POLICY if document.get(name) is not None}
    said = document.get("on") or {}
    complaints = {name: find_complaint(name) for name in said}
    if problems := [Problem(f"/retry/on/{name}", words) for name, words in complaints.items() if words]:
        raise InvalidInputError(problems)
    on = {name: Reaction.from_document(name, reaction) for name, reaction in said.items()}
    return RetryPolicy(**plain, on=MappingProxyType(on))


def total_request(manifest_resources: Resources, asked: Mapping[str, Any]) -> Resources:
    """What a task asks for: the job's own figure where it gives one, the manifest's elsewhere."""
    declared = manifest_resources.to_document()
    custom = {**declared.get("custom", {}), **(asked.get("custom") or {})}
    return Resources.from_document({**declared, **asked, "custom": custom})
