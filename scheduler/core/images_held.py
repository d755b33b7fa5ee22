"""What agents' engines hold, as their executors say: who needs no pull for an image, and who a small one only.

All of it is a hint. A report may be lost, old, or a lie: a task that is placed by it pulls what is missing, and that is all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from scheduler.core.events import Failure, ImagesHeld
from swath.domain.changes import PutImages
from swath.domain.errors import InvalidInputError
from swath.domain.images import HeldImage, ImagesReport
from swath.store.rows import ImageRow

if TYPE_CHECKING:
    from scheduler.core.known_agents import Agent
    from scheduler.core.state import State
    from scheduler.core.turn import Turn

PROCESS = "process"  # the key of images that are a build context and nothing else: an agent that runs processes holds them all
_MOST_LEARNED = 5000  # names of images whose layers are known
_MOST_SETS = 5000  # of names that agents share in memory
_MOST_WANTED = 2000  # images whose shares are kept up to date; of more, those asked for last

Layers = Mapping[str, int]  # a layer's digest, in short -> its bytes


def key_of(image: ImageRow) -> str:
    """What an agent's `images` have in them where it needs no pull for the image."""
    return image.image_id or image.reference or PROCESS


@dataclass(slots=True)
class Holdings:
    """Who holds how much of which image."""

    learned: OrderedDict[str, Layers] = field(default_factory=OrderedDict)  # name of an image -> its layers
    shares: OrderedDict[str, dict[str, float]] = field(default_factory=OrderedDict)  # image -> agent -> share above 0
    sets: dict[frozenset[str], frozenset[str]] = field(
        default_factory=dict
    )  # one copy: thousands of agents hold the same


@dataclass(slots=True)
class Prefetched:
    """What was asked for, and when."""

    asked_at: dict[tuple[str, str], datetime] = field(default_factory=dict)  # (agent, image) -> when
    looked_at: dict[str, datetime] = field(default_factory=dict)  # image -> when its jobs were last looked at


def shares_of(state: State, image: ImageRow) -> Mapping[str, float]:
    """The agents that hold something of an image, and how much of its bytes: 1.0 is all of it, and nothing to pull.

    Costs next to nothing for an image that was asked for before: reports keep it up to date.
    """
    holdings, key = state.holdings, key_of(image)
    if (known := holdings.shares.get(key)) is None:
        known = holdings.shares[key] = _count_shares(state, key)
        if len(holdings.shares) > _MOST_WANTED:
            holdings.shares.popitem(last=False)
    holdings.shares.move_to_end(key)
    return MappingProxyType(known)


def on_images_held(turn: Turn, event: ImagesHeld) -> None:
    """An executor has said what its agent's engine holds; of an agent that nobody knows yet it will be said again."""
    agent = turn.state.agents.get(event.agent_id)
    if agent is None:
        return
    agent.told_by, agent.told_at = event.executor_id, turn.now
    if take_in(turn.state, agent, event.report):
        turn.write(PutImages(agent_id=event.agent_id, report=event.report.to_value()))


def on_failure(turn: Turn, event: Failure) -> None:
    """Nobody is there any more who could pull; what was pulled is there still."""
    agent = turn.state.agents.get(event.agent_id or "")
    if agent is not None and agent.told_by == event.executor_id:
        agent.told_by = agent.told_at = None


def load(state: State, said: Mapping[str, object]) -> None:
    """What executors had said to the schedulers before this one."""
    for agent_id, value in said.items():
        agent = state.agents.get(agent_id)
        if agent is None:
            continue
        try:
            take_in(state, agent, ImagesReport.from_value(value))
        except InvalidInputError:  # another version wrote it: its executor will say it again
            continue


def take_in(state: State, agent: Agent, report: ImagesReport) -> bool:
    """Keep what a report says; False where that was known."""
    _learn(state.holdings, report.images)
    images = _keep_once(state.holdings, report.names | ({PROCESS} if report.processes else set()))
    layers = _keep_once(state.holdings, frozenset().union(*(image.layers for image in report.images)))
    if (images, layers, report.engine) == (agent.images, agent.layers, agent.has_engine):
        return False
    agent.images, agent.layers, agent.has_engine = images, layers, report.engine
    for key, shares in state.holdings.shares.items():
        _note_share(state.holdings, shares, key, agent)
    return True


def forget(state: State, agent_id: str) -> None:
    """The agent is gone."""
    for shares in state.holdings.shares.values():
        shares.pop(agent_id, None)


def _count_shares(state: State, key: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for agent in state.agents.values():
        _note_share(state.holdings, shares, key, agent)
    return shares


def _note_share(holdings: Holdings, shares: dict[str, float], key: str, agent: Agent) -> None:
    share = 1.0 if key in agent.images else _share_of_layers(holdings.learned.get(key), agent.layers)
    if share:
        shares[agent.info.agent_id] = share
    else:
        shares.pop(agent.info.agent_id, None)


def _share_of_layers(wanted: Layers | None, there: frozenset[str]) -> float:
    """How many of the bytes are there already; 0 for an image that nobody has been seen to hold."""
    if not wanted or not (total := sum(wanted.values())):
        return 0.0
    return sum(size for layer, size in wanted.items() if layer in there) / total


def _learn(holdings: Holdings, images: Iterable[HeldImage]) -> None:
    """An image is the same everywhere: the first that holds it tells of which layers it is made.

    Shares that were counted before somebody knew are counted again when they are next asked for.
    """
    for image in images:
        if not image.layers or all(name in holdings.learned for name in image.names):
            continue
        for name in image.names:
            if name not in holdings.learned:
                holdings.learned[name] = image.layers
                holdings.shares.pop(name, None)
    while len(holdings.learned) > _MOST_LEARNED:
        holdings.learned.popitem(last=False)


def _keep_once(holdings: Holdings, found: frozenset[str]) -> frozenset[str]:
    if len(holdings.sets) >= _MOST_SETS:
        holdings.sets.clear()
    return holdings.sets.setdefault(found, found)
