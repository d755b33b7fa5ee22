"""An attempt: its record, what its executor is told (`AttemptSpec`) and what the executor reports (`AttemptReport`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from swath.domain.document import Document, known
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
    ports: tuple[int, ...] = ()  # of the agent, as many as `resources` says
    executor_id: str
    state: AttemptState = AttemptState.LAUNCHING
    launched_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    sandbox: str | None = None  # the attempt's directory on its agent
    unreachable_at: datetime | None = None  # of UNREACHABLE: since when
    kill_cause: Cause | None = None  # why the scheduler has decided to end it; None where it has not


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSource:
    """Where an executor finds an image."""

    name: str
    version: str
    reference: str | None = None  # "registry/repository@sha256:..."
    image_id: str | None = None  # an image that exists on one engine only
    context: str | None = None  # absolute path of the build context, for the process runtime; or "builtin:true"


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptSpec(Document):
    """Everything that an executor has to know to run an attempt: the JSON in TaskInfo.data."""

    attempt: str
    job: str
    task: int
    number: int
    name: str  # of the job
    user: str | None = None  # who has submitted it
    image: ImageSource
    manifest: Mapping[str, Any]  # Seed manifest
    swath_manifest: Mapping[str, Any] | None = None
    files: Mapping[str, list[str]] = field(default_factory=dict)  # file input -> hrefs
    checksums: Mapping[str, str] = field(default_factory=dict)  # href -> what was declared of its bytes
    parameters: Mapping[str, Any] = field(default_factory=dict)  # JSON input -> value
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)  # setting -> name of its secret, whose value is asked for
    resources: Mapping[str, Any] = field(default_factory=dict)  # cpus, mem MiB, disk MiB, gpus, ports, custom scalars
    ports: list[int] = field(default_factory=list)  # of the agent, which are this attempt's alone
    timeout_s: float
    kill_grace_s: float = 10.0
    outputs_root: str  # absolute path on the shared file system

    @classmethod
    def _typed(cls, document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "image": ImageSource(**known(ImageSource, document["image"]))}


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputFile:
    """One published file."""

    name: str  # of the manifest's output
    path: str  # below the attempt's output directory
    size: int  # bytes
    media_type: str | None = None
    sha256: str | None = None  # hex; None from an executor that did not tell


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptReport(Document):
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
    usage: Mapping[str, float] = field(default_factory=dict)  # wall_s, cpu_s, max_mem MiB ...
    started_at: str | None = None  # RFC 3339
    ended_at: str | None = None  # RFC 3339

    @classmethod
    def _typed(cls, document: dict[str, Any]) -> dict[str, Any]:
        """Every field of its type and within the database's bounds: an executor repeats what a task wrote."""
        said = {name: value for name, value in document.items() if value is not None}
        wrong = [name for name, value in said.items() if not _CHECKS[name](value)]
        if wrong:
            raise ValueError(f"impossible values of {', '.join(wrong)}")
        said["outputs"] = [OutputFile(**known(OutputFile, entry)) for entry in said.get("outputs", ())]
        # A cause that only a newer executor knows, a clock gone mad: the attempt's state says how it ended all the same.
        said["cause"] = Cause.__members__.get(said.get("cause", ""))
        return {name: value for name, value in said.items() if name not in _TIMES or _is_time(value)}


_SHA256 = re.compile(r"[0-9a-f]{64}")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object, least: int, bits: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2 ** (bits - 1)


def _is_number(value: object) -> bool:
    return isinstance(value, float) or _is_whole(value, -(2**63), 64)


def _is_time(text: str) -> bool:
    """True for a moment with a zone that every clock can show."""
    try:
        at = datetime.fromisoformat(text)
        at.astimezone(UTC)
    except (ValueError, OverflowError):
        return False
    return at.tzinfo is not None


def _is_output(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    media_type, sha256 = value.get("media_type"), value.get("sha256")
    return (
        _is_text(value.get("name"))
        and _is_text(value.get("path"))
        and _is_whole(value.get("size"), 0, 64)
        and (media_type is None or _is_text(media_type))
        and (sha256 is None or (_is_text(sha256) and _SHA256.fullmatch(sha256) is not None))
    )


def _is_list_of(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(map(check, value))


_TIMES = ("started_at", "ended_at")
_CHECKS: Mapping[str, Callable[[object], bool]] = {
    **dict.fromkeys(("sandbox", "runtime", "cause", "error", "message", "output_dir", *_TIMES), _is_text),
    "warnings": _is_list_of(_is_text),
    "outputs": _is_list_of(_is_output),
    "exit_code": lambda value: _is_whole(value, -(2**31), 32),
    "json_outputs": lambda value: isinstance(value, dict),
    "usage": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
}
