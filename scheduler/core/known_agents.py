"""The agents as the core keeps them: what they offer, what of them we use, and how they have done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from scheduler.core.events import Offer
from scheduler.core.health import Record, Trouble
from swath.domain.changes import PutAgent
from swath.domain.constraints import with_own
from swath.domain.ranges import Ranges
from swath.domain.resources import Resources
from swath.matching.model import AgentView


@dataclass(slots=True)
class Use:
    """What our live attempts take of an agent, whether it is known or not."""

    resources: Resources = field(default_factory=Resources)  # executors aside
    slots: dict[str, None] = field(default_factory=dict)  # the ids of their Mesos tasks
    ports: set[int] = field(default_factory=set)  # that they have
    last_port: int = 0  # that was given out
    freed_at: datetime | None = None  # when one of them ended last
    starting: int = 0  # slots among them in which nothing has come to run: images and inputs are on the way


@dataclass(slots=True)
class Agent:
    """An agent, its offers and what of it we use."""

    info: PutAgent
    use: Use
    offers: dict[str, Offer] = field(default_factory=dict)
    offered_at: datetime | None = None  # when it offered something last
    due_at: datetime | None = None  # from when on what is free there should be offered
    elsewhere: Resources = field(default_factory=Resources)  # what other frameworks held of it when it was listed last
    written_at: datetime | None = None
    bad_ends: int = 0  # of attempts in a row, by no fault of theirs
    failed_at: datetime | None = None  # when a bad end was counted last
    rests: int = 0  # in a row, without a success in between
    rests_until: datetime | None = None  # no launches before
    trouble: Trouble | None = None  # since its last success
    engine_problem: str | None = None  # why it rests, where its Docker engine is sick
    records: dict[int, Record] = field(default_factory=dict)  # by image: the last ones that ran here
    listed: bool = False  # `info.total` is what the master says, not our guess
    images: frozenset[str] = frozenset()  # what its engine holds, by `images_held.key_of`; a hint
    layers: frozenset[str] = frozenset()  # of these images
    has_engine: bool = False  # images can be pulled there
    told_by: str | None = None  # the executor that has said so
    told_at: datetime | None = None  # when it said so last
    view: tuple[object, AgentView] | None = None  # as the matcher sees it, beside what that was made of
    _attributes: tuple[PutAgent, Mapping[str, str]] | None = None  # as constraints see them, of the `info` beside

    @property
    def attributes(self) -> Mapping[str, str]:
        """What constraints look at; made once for every `info`, for it is asked for in every turn."""
        if self._attributes is None or self._attributes[0] is not self.info:
            info = self.info
            own = with_own(info.attributes, hostname=info.hostname, region=info.region, zone=info.zone)
            self._attributes = (info, own)
        return self._attributes[1]

    @property
    def offered(self) -> Resources:
        """The sum of its offers."""
        total = Resources()
        for offer in self.offers.values():
            total += offer.resources
        if total.ports and (self.use.ports or len(self.offers) > 1):
            return replace(total, ports=self.free_ports.count)
        return total

    @property
    def free_ports(self) -> Ranges:
        """Those that it offers and no live attempt of ours has: an offer may come before the update that tells why."""
        offered = Ranges.over(span for offer in self.offers.values() for span in offer.ports.spans)
        return offered.remove(self.use.ports) if self.use.ports else offered
