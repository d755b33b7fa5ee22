"""An attempt: its record, what its executor is told (`AttemptSpec`) and what the executor reports (`AttemptReport`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from typing import Any, Self

from swath.domain.errors import InvalidInputError
from swath.domain.resources import Resources
from swath.domain.retries import Cause
from swath.domain.states import AttemptState


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One run of a task on an agent, as the scheduler records it before Mesos hears of it."""

    id: str  # ULID, never used again
    job_id: str
    task_index: int
    number: int  # 1 for the task's first attempt; for people, never parsed out of anything
    slot_id: str  # the Mesos task that holds the resources
    agent_id: str
    hostname: str
    resources: Resources
    executor_id: str
    state: AttemptState = AttemptState.LAUNCHING
    launched_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    sandbox: str | None = None  # the attempt's directory on its agent


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSource:
    """Where an executor finds an image."""

    name: str
    version: str
    reference: str | None = None  # "registry/repository@sha256:..."
    image_id: str | None = None  # an image that exists on one engine only
    context: str | None = None  # absolute path of the build context, for the process runtime; or "builtin:true"


class _Document:
    """JSON in, JSON out; unknown fields are ignored, so that versions can run side by side."""

    __slots__ = ()

    def to_json(self) -> str:
        """The document as one line of JSON."""
        return json.dumps(_fields(self), separators=(",", ":"), default=_plain)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The value of a document; raises InvalidInputError when it is none."""
        try:
            document = json.loads(text)
            known = {entry.name for entry in fields(cls)}  # type: ignore[arg-type]
            return cls(**cls._typed({name: value for name, value in document.items() if name in known}))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidInputError.at("", f"is no {cls.__name__}: {error}") from error

    @classmethod
    def _typed(cls, document: dict[str, Any]) -> dict[str, Any]:
        return document


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptSpec(_Document):
    """Everything that an executor has to know to run an attempt: the JSON in TaskInfo.data."""

    attempt: str
    job: str
    task: int
    number: int
    name: str  # of the job
    image: ImageSource
    manifest: Mapping[str, Any]  # Seed manifest
    swath_manifest: Mapping[str, Any] | None = None
    files: Mapping[str, list[str]] = field(default_factory=dict)  # file input -> hrefs
    parameters: Mapping[str, Any] = field(default_factory=dict)  # JSON input -> value
    settings: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)  # cpus, mem MiB, disk MiB, gpus
    timeout_s: float
    kill_grace_s: float = 10.0
    outputs_root: str  # absolute path on the shared file system

    @classmethod
    def _typed(cls, document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "image": ImageSource(**document["image"])}


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputFile:
    """One published file."""

    name: str  # of the manifest's output
    path: str  # below the attempt's output directory
    size: int  # bytes
    media_type: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptReport(_Document):
    """What an executor says of an attempt: the JSON in TaskStatus.data."""

    sandbox: str | None = None  # directory on the agent that holds stdout and stderr
    runtime: str | None = None  # "docker" or "process"
    warnings: list[str] = field(default_factory=list)
    cause: Cause | None = None
    exit_code: int | None = None
    error: str | None = None  # name of the manifest's error with this exit code
    message: str = ""
    output_dir: str | None = None
    outputs: list[OutputFile] = field(default_factory=list)
    json_outputs: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, float] = field(default_factory=dict)  # wall_s, cpu_s, max_mem MiB
    started_at: str | None = None  # RFC 3339
    ended_at: str | None = None  # RFC 3339

    @classmethod
    def _typed(cls, document: dict[str, Any]) -> dict[str, Any]:
        typed = dict(document)
        if typed.get("cause") is not None:
            typed["cause"] = Cause(typed["cause"])
        typed["outputs"] = [OutputFile(**entry) for entry in typed.get("outputs") or ()]
        return typed


def _fields(value: Any) -> dict[str, Any]:
    """One level of `dataclasses.asdict`, which would copy every manifest to its leaves."""
    return {entry.name: getattr(value, entry.name) for entry in fields(value)}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value):
        return _fields(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
