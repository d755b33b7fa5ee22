"""The master: events in, effects out. No clock, no sockets, no random numbers of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from local.allocator import allocate, clear_filters, find_next_expiry, rescind_expired
from local.master_agents import on_registered
from local.master_drain import settle_drains
from local.master_launch import on_accept, on_decline
from local.master_losses import find_next_loss, lose_overdue, on_gone, on_unregistered
from local.master_maintenance import on_inverse_answer
from local.master_operator import on_operator_call
from local.master_state import HEARTBEAT_S, Framework, MasterState
from local.master_subscribe import (
    HEARTBEAT,
    on_disconnect,
    on_subscribe,
    on_teardown,
    on_update_framework,
    remove_framework,
)
from local.master_tasks import (
    on_acknowledge,
    on_executor_exited,
    on_executor_gone,
    on_executor_message,
    on_kill,
    on_message,
    on_reconcile,
    on_shutdown,
    on_status,
)
from local.messages import (
    AgentGone,
    AgentRegistered,
    AgentUnregistered,
    Call,
    ExecutorExited,
    ExecutorGone,
    MasterEffect,
    MasterEvent,
    MessageToScheduler,
    OperatorCall,
    Respond,
    SendEvent,
    StatusUpdated,
    StreamClosed,
    Timer,
)
from local.registry import restore_registry, take_registry

Json = dict[str, Any]


class Master:
    """The master's state machine.

    `make_uuid` gives ids; times are seconds since the epoch. `agent_ping_timeout_s` is how long an agent's connection
    may be broken before its tasks are unreachable (Mesos: 5 pings of 15 s). After each `handle`, `due_at()` says when
    the next `Timer` event is wanted. A master that takes over is made with the `registry()` of the last one, or with the
    AgentInfos of those that were registered; agents that are not back after `agent_reregister_timeout_s` are unreachable.
    """

    def __init__(
        self,
        *,
        master_id: str,
        port: int,
        make_uuid: Callable[[], str],
        now: float,
        interval_s: float = 1.0,
        agent_ping_timeout_s: float = 75.0,
        offer_timeout_s: float | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        domain: Json | None = None,
        agent_reregister_timeout_s: float = 600.0,
        recovered_agents: Iterable[Json] = (),
        registry: Json | None = None,
        hostname: str = "127.0.0.1",
    ) -> None:
        self.state = MasterState(
            master_id=master_id,
            hostname=hostname,
            port=port,
            make_uuid=make_uuid,
            started_at=now,
            interval_s=interval_s,
            domain=domain,
            next_tick=now + interval_s,
            recovered_until=now + agent_reregister_timeout_s,
            ping_timeout_s=agent_ping_timeout_s,
            offer_timeout_s=offer_timeout_s,
            heartbeat_s=heartbeat_s,
            recovered_agents={info["id"]["value"]: info | {"checkpoint": True} for info in recovered_agents},
        )

        if registry is not None:
            restore_registry(self.state, registry)

    def registry(self) -> Json:
        """What the next master is to be made with."""
        return take_registry(self.state)

    def handle(self, event: MasterEvent, now: float) -> list[MasterEffect]:
        effects = self._handle(event, now)
        return effects + settle_drains(self.state, now) if self.state.drains else effects

    def _handle(self, event: MasterEvent, now: float) -> list[MasterEffect]:
        match event:
            case StatusUpdated():
                return on_status(self.state, event, now)
            case Call():
                return self._on_call(event, now)
            case Timer():
                return self._on_timer(now)
            case StreamClosed():
                return on_disconnect(self.state, event.stream, now)
            case ExecutorExited():
                return on_executor_exited(self.state, event, now)
            case ExecutorGone():
                return on_executor_gone(self.state, event, now)
            case MessageToScheduler():
                return on_executor_message(self.state, event, now)
            case AgentRegistered():
                return on_registered(self.state, event, now)
            case AgentGone():
                return on_gone(self.state, event, now)
            case AgentUnregistered():
                return on_unregistered(self.state, event, now)
            case OperatorCall():
                return on_operator_call(self.state, event.call, now)

    def due_at(self) -> float:
        due = [self.state.next_tick]
        for framework in self.state.frameworks.values():
            if framework.stream is not None:
                due.append(framework.heartbeat_at)
            elif framework.remove_at is not None:
                due.append(framework.remove_at)
        due += [at for at in (find_next_loss(self.state), find_next_expiry(self.state)) if at is not None]
        return min(due)

    def _on_call(self, event: Call, now: float) -> list[MasterEffect]:
        """The checks in Mesos' order (transcripts 06, 10, basics)."""
        call = event.call
        if call["type"] == "SUBSCRIBE":
            if event.stream is not None:
                text = "Subscribe calls should not include the 'Mesos-Stream-Id' header"
                return [Respond(status=400, text=text)]
            return on_subscribe(self.state, call, now)
        framework = self.state.frameworks.get(call["framework_id"]["value"])
        if framework is None:
            return [Respond(status=400, text="Framework cannot be found")]
        if framework.stream is None:
            return [Respond(status=403, text="Framework is not subscribed")]
        if event.stream is None:
            text = "All non-subscribe calls should include the 'Mesos-Stream-Id' header"
            return [Respond(status=400, text=text)]
        if event.stream != framework.stream:
            claim = f"The stream ID '{event.stream}' included in this request didn't match the stream ID"
            text = f"{claim} currently associated with framework ID {framework.framework_id}"
            return [Respond(status=400, text=text)]
        return _CALLS.get(call["type"], _ignore)(self.state, framework, call, now)

    def _on_timer(self, now: float) -> list[MasterEffect]:
        effects: list[MasterEffect] = []
        for framework in list(self.state.frameworks.values()):
            if framework.stream is not None and framework.heartbeat_at <= now:
                framework.heartbeat_at = now + self.state.heartbeat_s
                effects.append(SendEvent(stream=framework.stream, event=HEARTBEAT))
            elif framework.stream is None and framework.remove_at is not None and framework.remove_at <= now:
                effects += remove_framework(self.state, framework, now)
        effects += lose_overdue(self.state, now) + rescind_expired(self.state, now)
        if self.state.next_tick <= now:
            self.state.next_tick = now + self.state.interval_s
            effects += allocate(self.state, now)
        return effects


def _on_revive(state: MasterState, framework: Framework, call: Json, now: float) -> list[MasterEffect]:
    """Filters and suppression of the roles end, and offers come at once, not at the tick (M28, transcript 09a)."""
    roles = call.get("revive", {}).get("roles") or framework.roles
    if not set(roles) <= set(framework.roles):
        return [Respond(status=202)]
    framework.suppressed -= set(roles)
    clear_filters(state, framework.framework_id, roles)
    return [Respond(status=202), *allocate(state, now)]


def _on_suppress(state: MasterState, framework: Framework, call: Json, now: float) -> list[MasterEffect]:
    roles = call.get("suppress", {}).get("roles") or framework.roles
    framework.suppressed |= set(roles) & set(framework.roles)
    return [Respond(status=202)]


def _ignore(state: MasterState, framework: Framework, call: Json, now: float) -> list[MasterEffect]:
    """REQUEST, and the calls about operations, of which there are none here."""
    return [Respond(status=202)]


_CALLS: dict[str, Callable[[MasterState, Framework, Json, float], list[MasterEffect]]] = {
    "TEARDOWN": on_teardown,
    "ACCEPT": on_accept,
    "DECLINE": on_decline,
    "REVIVE": _on_revive,
    "SUPPRESS": _on_suppress,
    "KILL": on_kill,
    "SHUTDOWN": on_shutdown,
    "ACKNOWLEDGE": on_acknowledge,
    "RECONCILE": on_reconcile,
    "MESSAGE": on_message,
    "UPDATE_FRAMEWORK": on_update_framework,
    "ACCEPT_INVERSE_OFFERS": on_inverse_answer,
    "DECLINE_INVERSE_OFFERS": on_inverse_answer,
}
