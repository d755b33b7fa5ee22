"""pymesos' methods of a scheduler driver, built by `swath.wire.calls` and each returning what became of the call.

pymesos' own return None when they are sent, and None when there is no connection (MESOS.md part 2, items 3 and 9). Ids are
Mesos' messages here (`{"value": ...}`), as in pymesos' interface.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from swath.wire import calls
from swath.wire.calls import Message
from swath.wire.channel import CallResult

Id = Mapping[str, str]


class PymesosCalls(ABC):
    """The interface of `pymesos.SchedulerDriver` over one method, `call`."""

    @abstractmethod
    def call(self, message: Message) -> CallResult:
        """Send one call."""

    def acceptOffers(
        self, offer_ids: Id | Sequence[Id], operations: Sequence[Message], filters: Message | None = None
    ) -> CallResult:
        """ACCEPT with any operations; without one, DECLINE."""
        if not operations:
            return self.declineOffer(offer_ids, filters)
        body = {"offer_ids": _to_list(offer_ids), "operations": list(operations)}
        return self._call_with("ACCEPT", body, filters)

    def launchTasks(
        self, offer_ids: Id | Sequence[Id], tasks: Sequence[Message], filters: Message | None = None
    ) -> CallResult:
        """ACCEPT that launches tasks; without one, DECLINE."""
        operations = [{"type": "LAUNCH", "launch": {"task_infos": list(tasks)}}] if tasks else []
        return self.acceptOffers(offer_ids, operations, filters)

    def declineOffer(self, offer_ids: Id | Sequence[Id], filters: Message | None = None) -> CallResult:
        """DECLINE."""
        return self._call_with("DECLINE", {"offer_ids": _to_list(offer_ids)}, filters)

    def acceptInverseOffers(self, offer_ids: Id | Sequence[Id], filters: Message | None = None) -> CallResult:
        """ACCEPT_INVERSE_OFFERS."""
        return self._call_with("ACCEPT_INVERSE_OFFERS", {"inverse_offer_ids": _to_list(offer_ids)}, filters)

    def declineInverseOffer(self, offer_ids: Id | Sequence[Id], filters: Message | None = None) -> CallResult:
        """DECLINE_INVERSE_OFFERS."""
        return self._call_with("DECLINE_INVERSE_OFFERS", {"inverse_offer_ids": _to_list(offer_ids)}, filters)

    def reviveOffers(self, roles: Sequence[str] = ()) -> CallResult:
        """REVIVE."""
        return self.call(calls.make_revive(roles))

    def suppressOffers(self, roles: Sequence[str] = ()) -> CallResult:
        """SUPPRESS."""
        return self.call(calls.make_suppress(roles))

    def killTask(self, task_id: Id, agent_id: Id | None = None) -> CallResult:
        """KILL; pymesos has no agent id (MESOS.md part 2, item 9)."""
        return self.call(calls.make_kill(task_id["value"], agent_id["value"] if agent_id else None))

    def acknowledgeStatusUpdate(self, status: Message) -> CallResult:
        """ACKNOWLEDGE an update that has a uuid; raises KeyError for one that has none (M20)."""
        return self.call(
            calls.make_acknowledge(status["agent_id"]["value"], status["task_id"]["value"], status["uuid"])
        )

    def acknowledgeOperationStatusUpdate(self, status: Message) -> CallResult:
        """ACKNOWLEDGE_OPERATION_STATUS (M38)."""
        return self._call_with("ACKNOWLEDGE_OPERATION_STATUS", status)

    def reconcileTasks(self, tasks: Sequence[Message]) -> CallResult:
        """RECONCILE, with the agent ids (MESOS.md part 2, item 9)."""
        pairs = [(task["task_id"]["value"], task.get("agent_id", {}).get("value")) for task in tasks]
        return self.call(calls.make_reconcile(pairs))

    def reconcileOperations(self, operations_: Sequence[Message]) -> CallResult:
        """RECONCILE_OPERATIONS (M38)."""
        return self._call_with("RECONCILE_OPERATIONS", {"operations": list(operations_)})

    def sendFrameworkMessage(self, executor_id: Id, agent_id: Id, data: str) -> CallResult:
        """MESSAGE; `data` in base64."""
        return self._call_with("MESSAGE", {"agent_id": agent_id, "executor_id": executor_id, "data": data})

    def requestResources(self, requests: Sequence[Message]) -> CallResult:
        """REQUEST, which Mesos' own allocator ignores."""
        return self._call_with("REQUEST", {"requests": list(requests)})

    def _call_with(self, kind: str, body: Message, filters: Message | None = None) -> CallResult:
        return self.call({"type": kind, kind.lower(): body if filters is None else {**body, "filters": filters}})

    def _send(self, body: Any, path: str = "", method: str = "", headers: Any = None) -> Any:
        """pymesos' own way out, for what it builds itself; its arguments beside the body are ours to choose."""
        return self.call(body)


def _to_list(ids: Id | Sequence[Id]) -> list[Id]:
    return [ids] if isinstance(ids, Mapping) else list(ids)
