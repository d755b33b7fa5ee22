"""Everything that can happen to the core. The time of an event is that of the turn in which it is handled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from swath.domain.changes import PutAgent, PutTask
from swath.domain.images import ImagesReport
from swath.domain.ranges import Ranges
from swath.domain.resources import Resources
from swath.domain.states import Observation
from swath.domain.wishes import ProjectTree, Wishes
from swath.store.rows import JobRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscribed:
    """The master has taken the subscription; whatever was offered before is void."""

    framework_id: str
    master: str | None = None  # "host:port" of the leading master


@dataclass(frozen=True, kw_only=True, slots=True)
class Disconnected:
    """The stream broke."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat:
    """The master is alive."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MasterError:
    """An ERROR event: the subscription has ended."""

    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """What an agent has free for us."""

    id: str
    agent_id: str
    hostname: str
    url: str
    resources: Resources  # unreserved ones only
    ports: Ranges = field(default_factory=Ranges)  # those that `resources` counts
    executor_ids: frozenset[str] = frozenset()  # of ours that run on the agent
    attributes: Mapping[str, str] = field(default_factory=dict)
    region: str | None = None
    zone: str | None = None
    unavailable_from: datetime | None = None  # of the agent's maintenance window, where one is planned
    unavailable_until: datetime | None = None  # None for a window without an end


@dataclass(frozen=True, kw_only=True, slots=True)
class InverseOffer:
    """The question whether an agent may be taken away for a while."""

    id: str
    agent_id: str
    unavailable_from: datetime
    unavailable_until: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class InverseOffered:
    """New inverse offers; each comes again after its filter, whatever was answered (surprise 46)."""

    offers: tuple[InverseOffer, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Offered:
    """New offers."""

    offers: tuple[Offer, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rescinded:
    """An offer is void."""

    offer_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """News of a Mesos task."""

    task_id: str
    observation: Observation
    agent_id: str | None = None
    uuid: str | None = None  # to be acknowledged; None for what the master made (surprise 14)
    source: str = ""
    reason: str = ""
    message: str = ""
    data: bytes | None = None

    @property
    def is_reconciliation(self) -> bool:
        """True for an answer that carries a state and no more (M22)."""
        return self.uuid is None and self.reason == "REASON_RECONCILIATION"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unstorable:
    """An update of which the database refuses something: only its state counts."""

    update: Update
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """An executor ended, or (executor_id None) an agent is gone. The tasks' own updates follow (surprise 10)."""

    agent_id: str | None
    executor_id: str | None = None
    status: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagesHeld:
    """An executor's word on what its agent's engine holds; never more than a hint."""

    agent_id: str
    executor_id: str
    report: ImagesReport


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretsWanted:
    """An executor asks for the secrets of an attempt that it starts."""

    agent_id: str
    executor_id: str
    attempt: str
    key: bytes  # public, of the executor's making


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSaid:
    """An executor's word on how its agent's Docker engine is."""

    agent_id: str
    executor_id: str
    problem: str | None  # None: it is well


@dataclass(frozen=True, kw_only=True, slots=True)
class JobSeen:
    """A job's row as the api has changed it."""

    record: JobRecord
    failed: tuple[PutTask, ...] = ()  # where a retry is asked for: FAILED tasks as this turn begins
    more: bool = False  # further ones follow: the retry goes on


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentsListed:
    """All agents that the master knows (GET_AGENTS)."""

    agents: tuple[PutAgent, ...]
    asked_at: datetime | None = None  # it knows nothing of what came later; None for a list of this very moment
    allocated: Mapping[str, Resources] = field(
        default_factory=dict
    )  # agent -> what frameworks hold there, ours included
    recovered: frozenset[str] = frozenset()  # registered before the master's failover and not back yet


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchRefused:
    """A task that could not be described to Mesos: it was recorded and never sent."""

    attempt_id: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WishesSeen:
    """What operators want, as far as nobody has carried it out."""

    wishes: Wishes


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectsSeen:
    """The declared projects have changed: all of them, as they are now."""

    tree: ProjectTree


@dataclass(frozen=True, kw_only=True, slots=True)
class Operated:
    """What Mesos' operator API said to an Operate."""

    agent_id: str
    rev: int  # of the wish
    problem: str | None = None  # why not; None where it did it
    refused: bool = False  # asking again would change nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class TornDown:
    """Mesos has taken our TEARDOWN: nothing of this framework runs any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FiltersRefused:
    """The master takes no UPDATE_FRAMEWORK of ours: it offers whatever there is."""


Event = (
    Subscribed
    | Disconnected
    | Heartbeat
    | MasterError
    | Offered
    | InverseOffered
    | Rescinded
    | Update
    | Unstorable
    | Failure
    | ImagesHeld
    | EngineSaid
    | SecretsWanted
    | JobSeen
    | AgentsListed
    | LaunchRefused
    | WishesSeen
    | ProjectsSeen
    | Operated
    | TornDown
    | FiltersRefused
)
