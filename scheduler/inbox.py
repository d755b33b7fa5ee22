"""The queue of everything that happens. Its offers take one place in it, and no more than so much memory."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

from scheduler.core import events as ev
from swath.wire.calls import Message

BATCH = 2000  # events handled in one turn at most: a bound on the size of a transaction
MOST_OFFERS = 20_000  # that wait for the loop; of others the ids are kept, to decline them
MOST_MESSAGES = 2000  # of executors that wait for the loop; those beyond are lost, as any of them may be


class Signal(Enum):
    """What may stand in the queue beside events."""

    DESIRED = "jobs have changed"
    STOP = "stop"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unread:
    """Offers beyond those that may wait: to be declined, for whoever has so many has more than can be used."""

    offer_ids: tuple[str, ...]


Item = (
    Message | ev.Event | Signal | Unread | Exception
)  # an exception is what a thread died of: the loop dies of it, too


class _Offers:
    """All offers that have come since the loop last took some."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []  # of each OFFERS its offers by id, less those that were rescinded
        self._places: dict[str, dict[str, Any]] = {}  # id -> where it is in there
        self._unread: dict[str, None] = {}

    def add(self, offers: dict[str, Any], most: int) -> None:
        """Keep them, or as many as fit. One that is told again is the same offer: its RESCIND comes once."""
        new = [item for item in offers.items() if item[0] not in self._places and item[0] not in self._unread]
        room = max(0, most - len(self._places))
        kept = dict(new[:room])
        self._events.append(kept)
        self._places.update(dict.fromkeys(kept, kept))
        self._unread.update((offer_id, None) for offer_id, _ in new[room:])

    def remove(self, offer_id: str) -> bool:
        """False for one that is not here (any more)."""
        if offer_id in self._unread:
            del self._unread[offer_id]
            return True
        place = self._places.pop(offer_id, None)
        return place is not None and place.pop(offer_id, None) is not None

    def clear(self) -> None:
        """All of them are void."""
        self._events.clear()
        self._places.clear()
        self._unread.clear()

    def to_items(self) -> Iterator[Item]:
        """The events as they came, less what is void, and what nobody will look at."""
        for offers in filter(None, self._events):
            yield {"type": "OFFERS", "offers": {"offers": list(offers.values())}}
        if self._unread:
            yield Unread(offer_ids=tuple(self._unread))


class Inbox:
    """Any thread puts, the loop takes all there is: what gathers while a commit runs is the next batch.

    What waits is bounded by what Mesos has to say of tasks and agents, however slow the loop is: updates come again only when
    they are acknowledged or 10 s have passed, heartbeats every 15 s. Offers may come and be rescinded by the thousand: those
    that wait take one place together, one that is rescinded leaves it, and with the subscription all do.
    """

    def __init__(self, most_offers: int = MOST_OFFERS) -> None:
        self._queue: queue.SimpleQueue[Item | _Offers] = queue.SimpleQueue()
        self._most_offers = most_offers
        self._lock = threading.Lock()  # around offers; never for a Signal, which a signal's handler may put
        self._offers: _Offers | None = None  # in the queue, and not taken yet
        self._messages = 0  # of executors, in the queue

    def put(self, item: Item) -> None:
        """Never blocks for long, so that the stream is read promptly (MESOS.md, M14)."""
        if not (isinstance(item, dict) and self._is_settled(item)):
            self._queue.put(item)

    def take(self, timeout_s: float) -> list[Item]:
        """Wait for the first item, without any delay once there is one; [] when the time is up."""
        items: list[Item] = []
        with suppress(queue.Empty):
            items += self._open(self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait())
            while len(items) < BATCH:
                items += self._open(self._queue.get_nowait())
        return items

    def _open(self, item: Item | _Offers) -> list[Item]:
        if not isinstance(item, _Offers):
            if isinstance(item, dict) and item.get("type") == "MESSAGE":
                with self._lock:
                    self._messages -= 1
            return [item]
        with self._lock:
            if self._offers is item:
                self._offers = None
            return list(item.to_items())

    def _is_settled(self, message: Message) -> bool:
        """True for what needs no place of its own in the queue."""
        match message.get("type"):
            case "OFFERS":
                return self._put_offers(message)
            case "RESCIND":
                with self._lock:
                    return self._offers is not None and self._offers.remove(
                        _find_id(message.get("rescind"), "offer_id")
                    )
            case "MESSAGE":  # whoever reaches an agent's port may send as many as he likes
                with self._lock:
                    is_lost = self._messages >= MOST_MESSAGES
                    self._messages += not is_lost
                return is_lost
            case "SUBSCRIBED" | "DISCONNECTED":  # "RESCIND and disconnect drop it" (M17)
                with self._lock:
                    if self._offers is not None:
                        self._offers.clear()
                    self._offers = None
        return False

    def _put_offers(self, message: Message) -> bool:
        offers = find_offers(message)
        if offers is None:
            return False
        with self._lock:
            if self._offers is None:
                self._offers = _Offers()
                self._queue.put(self._offers)
            self._offers.add(offers, self._most_offers)
        return True


def find_offers(message: Message) -> dict[str, Any] | None:
    """The offers of an OFFERS event by their ids; None where it is not made like one: whoever converts it will say so."""
    body = message.get("offers")
    entries = body.get("offers") if isinstance(body, dict) else None
    if not isinstance(entries, list):
        return None
    offers = {_find_id(entry, "id"): entry for entry in entries}
    return None if "" in offers else offers


def _find_id(entry: Any, name: str) -> str:
    """The id in there; "" where there is none."""
    found = entry.get(name) if isinstance(entry, dict) else None
    value = found.get("value") if isinstance(found, dict) else None
    return value if isinstance(value, str) else ""
