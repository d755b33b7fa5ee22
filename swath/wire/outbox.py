"""What an executor still owes its agent: tasks and updates that are not acknowledged, and which of those to send now.

No I/O and no locks: the driver holds one around it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice

from swath.wire.calls import Message

_REMEMBERED = 10_000  # ended tasks whose second LAUNCH is still recognised
_SCANNED = 4  # updates looked at for each one in a batch: a short task's last follows its first at once


class Outbox:
    """Updates stay until they are ACKNOWLEDGED, which says that the agent has stored them (surprise 1)."""

    def __init__(self) -> None:
        self._silent: dict[str, Message] = {}  # task id -> TaskInfo: none of its updates is acknowledged yet
        self._known: OrderedDict[str, None] = OrderedDict()  # ids of all tasks launched, the oldest forgotten
        self._owed: dict[str, Message] = {}  # uuid -> TaskStatus, in order: not acknowledged
        self._due: dict[str, Message] = {}  # those of them that no call and no SUBSCRIBE has carried yet
        self._carried: list[str] = []  # uuids in the SUBSCRIBE that is under way

    @property
    def is_empty(self) -> bool:
        """True when the agent has acknowledged everything."""
        return not self._owed

    @property
    def is_due(self) -> bool:
        """True when something is to be sent."""
        return bool(self._due)

    def on_launch(self, task_info: Message) -> bool:
        """False for a task that is known already: a LAUNCH comes once, and again is a mistake to ignore."""
        task_id = task_info["task_id"]["value"]
        if task_id in self._known:
            return False
        self._known[task_id] = None
        self._silent[task_id] = task_info
        if len(self._known) > _REMEMBERED + len(self._silent) and next(iter(self._known)) not in self._silent:
            self._known.popitem(last=False)
        return True

    def add(self, status: Message) -> None:
        """A new update, behind all others."""
        self._owed[status["uuid"]] = status
        self._due[status["uuid"]] = status

    def on_acknowledged(self, task_id: str, uuid: str) -> None:
        """Forget an update; its task stays known."""
        self._silent.pop(task_id, None)
        self._due.pop(uuid, None)
        self._owed.pop(uuid, None)

    def start_subscribe(self) -> tuple[list[Message], list[Message]]:
        """The (TaskInfos, TaskStatuses) that a SUBSCRIBE carries."""
        self._carried = list(self._owed)
        return list(self._silent.values()), list(self._owed.values())

    def finish_subscribe(self) -> None:
        """That SUBSCRIBE was accepted: what it carried need not be sent once more."""
        for uuid in self._carried:
            self._due.pop(uuid, None)
        self._carried = []

    def find_batch(self, limit: int) -> list[Message]:
        """Up to `limit` updates that are due, one a task: the next of a task goes out when the one before has arrived."""
        batch: dict[str, Message] = {}
        for status in islice(self._due.values(), _SCANNED * limit):
            batch.setdefault(status["task_id"]["value"], status)
            if len(batch) == limit:
                break
        return list(batch.values())

    def settle(self, statuses: Sequence[Message]) -> None:
        """These have arrived, or were refused for good; they are still owed until acknowledged."""
        for status in statuses:
            self._due.pop(status["uuid"], None)
