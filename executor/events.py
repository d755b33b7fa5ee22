"""What happens to the executor (events) and what its core wants done about it (effects). Values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from swath.domain.attempts import AttemptReport, AttemptSpec, OutputFile
from swath.domain.images import EngineReport, ImagesReport
from swath.domain.manifest import Manifest, SwathManifest
from swath.domain.retries import Cause
from swath.domain.slots import SlotReport, WorkOrder


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """A point in time, on the two clocks that an attempt needs."""

    clock_s: float  # monotonic seconds: what durations and time-outs are measured with
    at: datetime  # UTC: what people are told


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What a LAUNCH asks for, decoded and checked."""

    task_id: str  # the Mesos task
    spec: AttemptSpec
    manifest: Manifest
    swath_manifest: SwathManifest
    slot: str | None = None  # whose attempts run one after another

    @property
    def is_guest(self) -> bool:
        """True for an attempt that may share its container with those before and behind it in its slot."""
        alone = self.swath_manifest.health or self.spec.ports or self.spec.resources.get("gpus")
        return self.slot is not None and self.swath_manifest.reusable and not alone

    @property
    def has_outputs(self) -> bool:
        """True when the manifest promises anything."""
        outputs = self.manifest.job.interface.outputs
        return bool(outputs.files or outputs.json_)

    @property
    def needs_engine(self) -> bool:
        """True for an attempt whose image is one of the engine's."""
        return bool(self.spec.image.reference or self.spec.image.image_id)

    @property
    def has_remote_outputs(self) -> bool:
        """True where outputs belong into an object store."""
        return self.spec.outputs_root.startswith("s3://")

    @property
    def is_light(self) -> bool:
        """True for an attempt that needs no file of another machine and no engine: there is nothing to wait for."""
        return not (self.spec.files or self.has_outputs or self.needs_engine or self.spec.secrets)


# Events: from the agent


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """The agent hands over a task."""

    task_id: str
    data: bytes | Mapping[str, Any]  # AttemptSpec, as JSON or as what has been read of it
    slot: str | None = None  # that it is an attempt of


@dataclass(frozen=True, kw_only=True, slots=True)
class Kill:
    """The agent wants a task to end."""

    task_id: str
    grace_s: float | None = None  # of the kill policy; None: as the attempt's spec says


@dataclass(frozen=True, kw_only=True, slots=True)
class Shutdown:
    """The executor has to end, and everything that it runs."""

    message: str  # who wants it, for the reports


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscribed:
    """The agent has taken our subscription, for the first time or again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prefetch:
    """The scheduler expects an image to be wanted here."""

    reference: str  # "registry/repository@sha256:..."


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """The scheduler hands over attempts to a slot that it believes to be open."""

    order: WorkOrder


# Events: from what performs the effects


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """An attempt cannot start yet: its image is on its way, or its inputs are."""

    attempt: str
    message: str
    fault: Cause = Cause.AGENT  # whose it is where it does not come in time


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """An attempt's command runs."""

    attempt: str
    sandbox: str  # its directory on the agent; holds stdout and stderr
    runtime: str  # "docker" or "process"
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class NotStarted:
    """An attempt's command could not be started."""

    attempt: str
    cause: Cause
    message: str
    sandbox: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Exited:
    """An attempt's command has ended, and nothing that it started lives on."""

    attempt: str
    exit_code: int  # 128 + n for signal n
    oom: bool = False  # the engine says that memory ran out
    usage: Mapping[str, float] = field(default_factory=dict)  # as a report has it, as far as it is known


@dataclass(frozen=True, kw_only=True, slots=True)
class Vanished:
    """The runtime cannot say how an attempt ended: its engine is sick."""

    attempt: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Unhealthy:
    """An attempt's command runs, and fails the health check that its image has declared."""

    attempt: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What an attempt uses at the moment."""

    attempt: str
    disk: float  # MiB in its sandbox and its output directory
    took_s: float = 0.0  # how long measuring took
    usage: Mapping[str, float] = field(default_factory=dict)  # so far, as a report has it


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """An attempt's outputs are where the scheduler may find them."""

    attempt: str
    output_dir: str | None = None
    outputs: tuple[OutputFile, ...] = ()
    json_outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class NotPublished:
    """An attempt's outputs are not what the manifest promises, or could not be stored."""

    attempt: str
    cause: Cause
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagesSeen:
    """What the engine holds; None where that could not be found out."""

    report: ImagesReport | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulled:
    """An image that was to be pulled ahead is here, unless one of these says otherwise."""

    reference: str
    postponed: bool = False  # a launch waits for another one
    problem: str | None = None


OfImages = Subscribed | Prefetch | ImagesSeen | Pulled


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSeen:
    """How the engine is."""

    problem: str | None  # None where it is well, or there is none on this agent


OfAttempt = Waiting | Started | NotStarted | Exited | Vanished | Unhealthy | Measured | Published | NotPublished
Event = Launch | Kill | Shutdown | Work | OfAttempt | OfImages | EngineSeen


# Effects


@dataclass(frozen=True, kw_only=True, slots=True)
class Begin:
    """Stage an attempt's inputs and start its command; answered by Started or NotStarted."""

    order: Order


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """Ask an attempt to end (SIGTERM), or end it and all that it started (SIGKILL); answered by Exited or NotStarted."""

    attempt: str
    force: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """Look at what an attempt uses; answered by Measured, or by nothing where that failed."""

    attempt: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Publish:
    """Check an attempt's outputs and put them in their place; answered by Published or NotPublished."""

    attempt: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Send:
    """Tell the agent the state of a task."""

    task_id: str
    state: str  # TASK_...
    report: AttemptReport | SlotReport
    message: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clean:
    """Remove what an ended attempt leaves, except its logs and the outputs of one that has succeeded.

    An attempt that was given up may still be starting or publishing: nothing of that comes to anything.
    """

    attempt: str
    succeeded: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """Let go of what the attempts of a slot have shared: it has ended."""

    slot: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Exit:
    """End the executor: nothing runs."""

    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """Look at what the engine holds; answered by ImagesSeen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tell:
    """Tell the scheduler of the images here or of the engine, best effort."""

    report: ImagesReport | EngineReport


@dataclass(frozen=True, kw_only=True, slots=True)
class Pull:
    """Pull an image before it is needed; answered by Pulled."""

    reference: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """Find out how the engine is, and remove what is left on it; answered by EngineSeen."""


Effect = Begin | Signal | Measure | Publish | Send | Clean | Release | Exit | Look | Tell | Pull | Probe
