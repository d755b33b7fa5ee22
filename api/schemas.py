"""What may be sent to the REST API: documents that are closed and bounded. What it answers stands in `api.answers`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from swath.domain.constraints import LARGEST_WEIGHT, OPERATORS
from swath.domain.dependencies import MOST_DEPENDENCIES
from swath.domain.jobs import DEFAULT_PRIORITY, LARGEST_ARRAY
from swath.domain.resources import MOST, MOST_CUSTOM, find_complaint
from swath.domain.shown import find_hidden
from swath.domain.wishes import AgentMode

LONGEST_TIMEOUT_S = 30 * 24 * 3600
LONGEST_GRACE_S = 7 * 24 * 3600
MOST_TOGETHER = 200  # jobs of a batch
MOST_ENTRIES = 200  # inputs, parameters, labels, constraints of a job


def _to_shown(text: str) -> str:
    if (found := find_hidden(text)) is not None:
        raise ValueError(f"has U+{ord(found[0]):04X}, a control character, at place {found.start()}")
    return text


Shown = AfterValidator(_to_shown)
Line = Annotated[str, StringConstraints(min_length=1, max_length=255), Shown]
Key = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_./-]+$")]
Selector = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[A-Za-z0-9_:-]+$")]
Label = Annotated[str, StringConstraints(max_length=255), Shown]
Href = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Checksum = Annotated[str, StringConstraints(min_length=1, max_length=200)]
ImageReference = Annotated[
    str, StringConstraints(max_length=300, pattern=r"^[a-zA-Z0-9-]+(:[0-9A-Za-z.+-]+)?(@sha256:[0-9a-f]{64})?$")
]
AbsolutePath = Annotated[str, StringConstraints(max_length=4096, pattern=r"^(/[^\x00]*|builtin:[a-z]+)$")]


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside of the calendar") from None


Time = Annotated[AwareDatetime, AfterValidator(_to_utc)]


def _amount_of(resource: str) -> AfterValidator:
    """What the domain takes for an amount, in its words."""

    def check(value: float) -> float:
        if complaint := find_complaint(resource, value):
            raise ValueError(complaint)
        return value

    return AfterValidator(check)


class Sent(BaseModel):
    """What a client sends: nothing that is not known, and no guessing at types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ArrayDocument(Sent):
    """What the job fans out over: the `items` of a list, or a `range` of integers [first, end)."""

    over: Key = Field(description="the input or parameter that each element sets")
    items: list[Any] | None = Field(
        default=None,
        min_length=1,
        max_length=LARGEST_ARRAY,
        description='for files {"href": "file:///..."}; for parameters any JSON value',
    )
    range: tuple[int, int] | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> ArrayDocument:
        if (self.items is None) == (self.range is None):
            raise ValueError('needs either "items" or "range"')
        if self.range is not None and not 0 < self.range[1] - self.range[0] <= LARGEST_ARRAY:
            raise ValueError(f"range must hold 1 to {LARGEST_ARRAY:,} integers, from the first to before the second")
        if self.range is not None and max(map(abs, self.range)) >= 2**53:
            raise ValueError("range must lie within what JSON can count, 2^53")
        return self


class FileDocument(Sent):
    """A file, and what its bytes hash to."""

    href: Href
    checksum: Checksum | None = Field(default=None, alias="file:checksum")


class InputDocument(Sent):
    """One file input: a file, several files, or the array's item."""

    href: Href | None = None
    checksum: Checksum | None = Field(
        default=None, alias="file:checksum", description="of the href: a multihash, or sha256:..."
    )
    hrefs: list[Href | FileDocument] | None = Field(default=None, min_length=1, max_length=10_000)
    item: Literal[True] | None = None

    @model_validator(mode="after")
    def _is_one_of_three(self) -> InputDocument:
        if sum(value is not None for value in (self.href, self.hrefs, self.item)) != 1:
            raise ValueError('needs exactly one of "href", "hrefs" and "item": true')
        if self.checksum is not None and self.href is None:
            raise ValueError('has a "file:checksum" and no "href" that it could be of')
        return self


class ResourcesDocument(Sent):
    """What one task needs; memory and disk in MiB. What is not given, the image's manifest says."""

    cpus: Annotated[float, _amount_of("cpus")] | None = None
    mem: Annotated[float, _amount_of("mem")] | None = None
    disk: Annotated[float, _amount_of("disk")] | None = None
    gpus: Annotated[int, _amount_of("gpus")] | None = None
    ports: int | None = Field(
        default=None, ge=0, le=1000, description="of the agent; which ones is told in SWATH_PORTS"
    )
    custom: dict[Key, Annotated[float, _amount_of("custom")]] | None = Field(
        default=None, max_length=MOST_CUSTOM, description='other scalars that agents were given, like {"licences": 1}'
    )


class ConstraintDocument(Sent):
    """A condition on an attribute of the agent; "hostname", "region" and "zone" name its own where it has no such attribute."""

    attribute: Key
    operator: Line = Field(description=", ".join(OPERATORS))
    value: Label | list[Label] | int | None = Field(
        default=None,
        description="of equals a text, of in texts, of like a regular expression that describes the whole value; "
        "of max_per so many tasks on agents with the same value; of group_by how many values are expected; unique has none",
    )
    hard: bool = Field(default=True, description="false: rather so than otherwise")


class PreferenceDocument(Sent):
    """Agents that the tasks would rather run on, such as those beside their data."""

    attribute: Key
    value: Label
    weight: float = Field(default=1.0, gt=0, le=LARGEST_WEIGHT, allow_inf_nan=False)


class ReactionDocument(Sent):
    """What the next attempt asks for; what is not said grows by one half after OOM and DISK, and after nothing else."""

    grow_mem: float | None = Field(default=None, ge=1, le=16, allow_inf_nan=False, description="factor")
    cap: int | None = Field(default=None, ge=1, le=MOST["mem"], description="MiB; the memory grows no further")
    grow_disk: float | None = Field(default=None, ge=1, le=16, allow_inf_nan=False, description="factor")
    cap_disk: int | None = Field(default=None, ge=1, le=MOST["disk"], description="MiB; the disk grows no further")


class RetryDocument(Sent):
    """How often and when a task is tried again."""

    max_attempts: int = Field(default=3, ge=1, le=100)
    backoff_s: float = Field(
        default=10.0, ge=0, le=3600, allow_inf_nan=False, description="before the second attempt, then twice as long"
    )
    max_backoff_s: float = Field(default=3600.0, ge=0, le=86_400, allow_inf_nan=False, description="at most so long")
    unreachable_s: float = Field(
        default=300.0,
        ge=0,
        le=604_800,
        allow_inf_nan=False,
        description="seconds after which an attempt on an agent that does not answer is replaced",
    )
    learn: bool = Field(
        default=True,
        description="tasks not launched yet ask for the memory and disk that others of the same image version needed",
    )
    on: dict[Selector, Literal["fail", "retry"] | ReactionDocument] = Field(
        default={},
        max_length=50,
        description="by CAUSE, CAUSE:EXIT_CODE or ERROR:NAME of the image; the narrowest counts",
    )


class SecretReference(Sent):
    """A setting whose value is a secret of the job's project."""

    secret: Key


class DependencyDocument(Sent):
    """A job that has to succeed, or to end, before this one starts."""

    job: Line = Field(description="its id; in a batch also the name of a job there")
    condition: Literal["succeeded", "ended"] = "succeeded"
    elementwise: bool = Field(
        default=False, description="task by task, between arrays of equal length: task 3 after task 3"
    )


class JobDocument(Sent):
    """A job to submit."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "ndvi-august",
                    "image": "ndvi:1.0.0",
                    "array": {"over": "SCENE", "items": [{"href": "file:///eos/S2A_33TWM_20230815"}]},
                    "parameters": {"WINDOW": 1024},
                    "resources": {"cpus": 1, "mem": 2048, "disk": 4096},
                    "labels": {"campaign": "2023"},
                }
            ]
        }
    )

    image: ImageReference = Field(description="NAME for the newest version, or NAME:VERSION")
    name: Line | None = Field(default=None, description="the image's name where it is not given")
    project: Key = "default"
    array: ArrayDocument | None = Field(default=None, description="without it the job has one task")
    inputs: dict[Key, InputDocument] = Field(default={}, max_length=MOST_ENTRIES)
    parameters: dict[Key, Any] = Field(default={}, max_length=MOST_ENTRIES)
    settings: dict[Key, Annotated[str, StringConstraints(max_length=4096)] | SecretReference] = Field(
        default={}, max_length=MOST_ENTRIES, description='text, or {"secret": NAME} of a secret of the project'
    )
    resources: ResourcesDocument = ResourcesDocument()
    constraints: list[ConstraintDocument] = Field(default=[], max_length=MOST_ENTRIES)
    prefer: list[PreferenceDocument] = Field(default=[], max_length=MOST_ENTRIES)
    class_: Literal["batch", "interactive"] = Field(
        default="batch", alias="class", description="interactive: somebody waits for it"
    )
    preemptible: bool | None = Field(
        default=None, description="whether its tasks may be ended for others' sake; batch yes, interactive no"
    )
    expected_s: float | None = Field(
        default=None,
        gt=0,
        le=LONGEST_TIMEOUT_S,
        allow_inf_nan=False,
        description="how long a task may run, by experience",
    )
    short: bool | None = Field(
        default=None,
        description="its tasks take seconds at most: several run in a row in one task of Mesos'; null: once they were seen to",
    )
    priority: int = Field(default=DEFAULT_PRIORITY, ge=0, le=100, description="larger goes first")
    max_running: int | None = Field(default=None, ge=1, le=LARGEST_ARRAY)
    not_before: Time | None = None
    deadline: Time | None = None
    timeout_s: int | None = Field(default=None, ge=1, le=LONGEST_TIMEOUT_S, description="of one attempt")
    retry: RetryDocument = RetryDocument()
    after: list[DependencyDocument] = Field(default=[], max_length=MOST_DEPENDENCIES)
    labels: dict[Key, Label] = Field(default={}, max_length=MOST_ENTRIES)
    may_wait: bool = Field(
        default=False, description="accept the job although no agent seen in 24 hours is large enough"
    )


class BatchDocument(Sent):
    """Jobs to submit together: all of them, or none."""

    jobs: list[JobDocument] = Field(
        min_length=1, max_length=MOST_TOGETHER, description="each with a name of its own, by which the others know it"
    )


Overlap = Literal["skip", "queue", "cancel"]
CatchUp = Literal["last", "all", "none"]
Cron = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[0-9A-Za-z*/,#\- ]+$")]
_OVERLAP = (
    "while the run before has not ended: skip this one, queue it until that one has ended, or cancel that one as well"
)
_CATCH_UP = "of the fire times at which no service was there: run the last, all (at most 100) or none"


class ScheduleDocument(Sent):
    """A job that recurs."""

    name: Line = Field(description="of the schedule; each has one of its own")
    cron: Cron = Field(description="minute, hour, day of the month, month, day of the week: 0 6 * * MON-FRI")
    timezone: Line = Field(default="UTC", description="IANA: Europe/Rome")
    overlap: Overlap = Field(default="skip", description=_OVERLAP)
    catch_up: CatchUp = Field(default="last", description=_CATCH_UP)
    paused: bool = False
    job: JobDocument = Field(
        description="{date} and {time} in the texts of its name, inputs, parameters, labels and items are the run's"
    )


class ScheduleChange(Sent):
    """What is to change about a job that recurs; what is not given stays."""

    cron: Cron = "* * * * *"
    timezone: Line = "UTC"
    overlap: Overlap = Field(default="skip", description=_OVERLAP)
    catch_up: CatchUp = Field(default="last", description=_CATCH_UP)
    paused: bool = False
    job: JobDocument | None = None


class ModeDocument(Sent):
    """What an agent is to do."""

    mode: AgentMode = Field(
        description="ACTIVE: take tasks. CORDONED: take no new ones. DRAINED: take no new ones, and end what runs there"
    )
    max_grace_s: float | None = Field(
        default=None,
        ge=0,
        le=LONGEST_GRACE_S,
        allow_inf_nan=False,
        description="with DRAINED: seconds that tasks have to end at most; null for the grace of each",
    )
    mark_gone: bool = Field(default=False, description="with DRAINED: the agent is not to come back")

    @field_validator("max_grace_s", "mark_gone")
    @classmethod
    def _is_of_a_drain(cls, value: Any, info: ValidationInfo) -> Any:
        if value not in (None, False) and info.data.get("mode") is not AgentMode.DRAINED:
            raise ValueError("goes with the mode DRAINED alone")
        return value


class QuotaDocument(Sent):
    """Amounts by resource; what is not named is not limited."""

    cpus: float | None = None
    mem: float | None = Field(default=None, description="MiB")
    disk: float | None = Field(default=None, description="MiB")
    gpus: float | None = None
    ports: float | None = None
    custom: dict[Key, float] = Field(default={}, max_length=MOST_CUSTOM, description="of other scalars")


class ProjectDocument(Sent):
    """A project: what it leaves out has its default. What amounts may be, `swath.domain.projects` says."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"parent": "land", "weight": 2, "quota": {"cpus": 100}, "max_running": 500}]}
    )

    parent: Key | None = Field(default=None, description="the project that it is below; null for the root")
    weight: float = Field(default=1.0, description="its part among its siblings, more than 0")
    quota: QuotaDocument = Field(default=QuotaDocument(), description="what it and all below it may hold at a time")
    max_running: int | None = Field(default=None, description="tasks of it and all below it at a time")
    user_quota: QuotaDocument = Field(default=QuotaDocument(), description="what each of its users may hold in it")
    user_max_running: int | None = Field(default=None, description="tasks of each of its users in it at a time")


class FrameworkDocument(Sent):
    """Which framework is meant: whoever ends one has looked at it before."""

    framework_id: Line | None = Field(description="the present one, as GET /v1/scheduler tells it")
