"""The master: the pure machine of `local`, its streams to schedulers, and its death."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from local import state_json
from local.calls import CallError, read_operator_call, read_scheduler_call
from local.master import Master
from local.master_operator import CALLS
from local.messages import (
    AgentGone,
    Call,
    CloseStream,
    MasterEvent,
    OpenStream,
    OperatorCall,
    Respond,
    SendEvent,
    StreamClosed,
    Timer,
    ToAgent,
)
from swath.wire.channel import CallResult, Outcome
from tests.simulation.messages import to_text
from tests.simulation.timeline import Planned

if TYPE_CHECKING:
    from tests.simulation.agents import AgentHost
    from tests.simulation.driver import Connection
    from tests.simulation.world import World

Json = dict[str, Any]
ALLOCATION_S = 2.0  # twice the default: half the ticks


class MasterHost:
    """Where the leading master runs; without one while it fails over."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.count = 0
        self.machine: Master | None = None
        self.connections: dict[str, Connection] = {}
        self._registry: Json | None = None  # what the last master left
        self._answer: Respond | OpenStream | None = None
        self._caller: Connection | None = None
        self._timer: tuple[float, Planned] | None = None
        self.start(keeps_registry=True)

    # Life

    def start(self, *, keeps_registry: bool) -> None:
        """A master begins to lead; with an empty registry it knows no agent."""
        self.count += 1
        self.machine = Master(
            master_id=f"M{self.count}",
            port=5050,
            make_uuid=self.world.make_name,
            now=self.world.timeline.unix,
            interval_s=ALLOCATION_S,
            offer_timeout_s=self.world.offer_timeout_s,
            registry=self._registry if keeps_registry else None,
        )
        self._set_timer()

    def kill(self) -> None:
        """The master dies; agents and schedulers find out in their own time."""
        if self.machine is not None:
            self._registry = json.loads(to_text(self.machine.registry()))
            self.machine = None
        connections, self.connections = self.connections, {}
        for connection in connections.values():
            connection.close("the stream broke off")

    # Agents

    def lose_agent(self, host: AgentHost) -> None:
        """The agent's connection breaks."""
        self.feed(AgentGone(agent_id=host.agent_id))

    # Schedulers

    def call(self, body: bytes, connection: Connection) -> Respond | OpenStream | None:
        """A call of the scheduler API; None when no master is there."""
        if self.machine is None:
            return None
        try:
            call = read_scheduler_call(body)
        except CallError as error:
            return Respond(status=400, text=str(error))
        self._answer, self._caller = None, connection
        stream = None if call["type"] == "SUBSCRIBE" else connection.stream
        self.feed(Call(call=call, stream=stream))
        self._caller = None
        return self._answer

    def remove_framework(self, framework_id: str) -> bool:
        """Remove it behind its scheduler's back, as an operator's /teardown or its failover time-out does."""
        if self.machine is None or (framework := self.machine.state.frameworks.get(framework_id)) is None:
            return False
        framework.remove_at = self.world.timeline.unix
        if framework.stream is not None:
            self.feed(Call(call={"type": "TEARDOWN", "framework_id": {"value": framework_id}}, stream=framework.stream))
        self._set_timer()
        self.world.judge.on_removed()
        return True

    def hang_up(self, stream: str) -> None:
        """A scheduler's connection ends."""
        if self.connections.pop(stream, None) is not None:
            self.feed(StreamClosed(stream=stream))

    def operate(self, body: bytes) -> CallResult:
        """A call of the operator API that changes something."""
        if self.machine is None:
            return CallResult(outcome=Outcome.FAILED, message="ConnectionRefusedError")
        self._answer = None
        self.feed(OperatorCall(call=read_operator_call(body, "master", frozenset(CALLS))))
        if not isinstance(self._answer, Respond):
            return CallResult(outcome=Outcome.FAILED, message="RemoteDisconnected")
        status, text = self._answer.status, self._answer.text
        return CallResult(outcome=Outcome.SENT if status < 300 else Outcome.FAILED, status=status, message=text)

    def list_agents(self) -> Json | None:
        """The answer to GET_AGENTS."""
        if self.machine is None:
            return None
        answer = {"type": "GET_AGENTS", "get_agents": state_json.get_agents(self.machine.state)}
        return dict(json.loads(to_text(answer)))

    # The machine

    def feed(self, event: MasterEvent) -> None:
        """Let the master handle an event, and do what it wants."""
        if self.machine is None:
            return
        effects = self.machine.handle(event, self.world.timeline.unix)
        for effect in effects:
            self._perform(effect)
        if effects:
            self.world.judge.on_master(self.machine)
        self._set_timer()

    def _perform(self, effect: Any) -> None:
        match effect:
            case SendEvent():
                if (connection := self.connections.get(effect.stream)) is not None:
                    connection.send(effect.event)
            case ToAgent():
                self.world.agents[effect.agent_id].receive(effect.message)
            case OpenStream():
                self._answer = effect
                if self._caller is not None:
                    self._caller.stream = effect.stream
                    self.connections[effect.stream] = self._caller
            case Respond():
                self._answer = effect
            case CloseStream():
                if (connection := self.connections.pop(effect.stream, None)) is not None:
                    connection.finish()

    def _set_timer(self) -> None:
        if self.machine is None:
            return
        due_at = self.machine.due_at()
        if self._timer is not None:
            if self._timer[0] == due_at and self._timer[1].act is not None:
                return
            self._timer[1].cancel()
        delay_s = max(0.0, due_at - self.world.timeline.unix)
        self._timer = (due_at, self.world.timeline.after(delay_s, "master timer", lambda: self.feed(Timer())))
