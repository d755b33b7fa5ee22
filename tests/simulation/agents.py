"""Agents: the pure machine of `local`, its checkpoint, its executors, and the connection to the master."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from local.agent import Agent
from local.agent_checkpoint import replay
from local.agent_state import AgentSettings, AgentState
from local.calls import read_executor_call
from local.messages import (
    AgentAccepted,
    AgentEvent,
    Call,
    CloseStream,
    KillProcess,
    KillTask,
    MasterChanged,
    MessageToExecutor,
    OpenStream,
    ProcessExited,
    ProcessStarted,
    Record,
    Respond,
    RunTask,
    SendEvent,
    Started,
    StartProcess,
    StatusUpdated,
    StopAgent,
    Timer,
    ToMaster,
    UpdateAcknowledged,
)
from local.resources import from_wire
from tests.simulation.executor import LOCAL_S, SimExecutor
from tests.simulation.messages import to_text
from tests.simulation.network import Wire
from tests.simulation.timeline import Planned

if TYPE_CHECKING:
    from tests.simulation.world import World

Json = dict[str, Any]


class AgentHost:
    """A machine with an agent on it. The agent may be killed and come back; the machine may be gone for good."""

    def __init__(
        self, world: World, agent_id: str, *, cpus: float, mem: float, ports: int = 0, licences: float = 0
    ) -> None:
        self.world = world
        self.agent_id = agent_id
        self.executors: dict[str, SimExecutor] = {}  # processes, by container
        self.images: set[str] = set()  # on its engine
        self.streams: dict[str, SimExecutor] = {}
        self.gone = False
        self.parted_until = -1.0  # until when the master could not be sure of it; infinity while it cannot
        self.machine: Agent | None = None
        self._cut = False
        self._journal: list[str] = []
        self._answer: Respond | OpenStream | None = None
        self._timer: tuple[float, Planned] | None = None
        self._pids = 100
        random = world.random(f"wire {agent_id}")
        self.up, self.down = Wire(world.timeline, random), Wire(world.timeline, random)
        resources = [
            {"name": name, "type": "SCALAR", "scalar": {"value": value}, "role": "*"}
            for name, value in (("cpus", cpus), ("mem", mem), ("disk", 100_000.0), ("licences", licences))
        ]
        pieces = [{"begin": 31000, "end": 31000 + ports - 1}] if ports else []
        resources.append({"name": "ports", "type": "RANGES", "ranges": {"range": pieces}, "role": "*"})
        self.settings = AgentSettings(
            info={"hostname": f"host-{agent_id}", "port": 5051, "resources": resources},
            port=5051,
            work_dir="/work-dir",
            make_uuid=world.make_name,
            make_update_uuid=world.make_update_uuid,
            waits_for_timeout=random.random() < 0.5,
        )
        self.total = from_wire(resources)

    def start(self) -> None:
        """The agent's first start."""
        self._start(AgentState(agent_id=self.agent_id))

    @property
    def is_connected(self) -> bool:
        """True when messages between master and agent arrive."""
        return self.machine is not None and not self._cut and not self.up.silent

    @property
    def owed(self) -> list[str]:
        """Tasks of which an update waits for its acknowledgement."""
        if self.machine is None or self.machine.state.leaving:
            return []
        framework_id = self.world.database.framework_id
        tasks = [task for task in self.machine.state.tasks.values() if task.framework_id == framework_id]
        return [task.task_id for task in tasks if task.pending]

    def part(self) -> None:
        """Note that from here on nobody can be sure of what runs here."""
        self.parted_until = inf

    # Life

    def _start(self, state: AgentState) -> None:
        self.machine = Agent(settings=self.settings, state=state)
        if state.known_to_master:
            self._journal = [to_text(record) for record in self.machine.snapshot()]
        self.feed(Started(alive=frozenset(self.executors)))

    def kill(self) -> None:
        """kill -9 of the agent; executors run on."""
        self.part()
        self.machine = None
        self.streams.clear()
        self._break()
        self.world.master.lose_agent(self)
        for executor in list(self.executors.values()):
            executor.on_lost()

    def restart(self) -> None:
        """Begin again from the checkpoint."""
        if self.machine is None and not self.gone:
            self.part()
            state = replay(map(json.loads, self._journal))
            self._start(state or AgentState(agent_id=self.agent_id))

    def power_off(self) -> None:
        """The machine is gone, and whatever ran there."""
        self.part()
        self.gone = True
        self.kill()
        for executor in list(self.executors.values()):
            executor.die()

    # The connection

    def cut(self, *, noticed: bool) -> None:
        """Nothing passes any more; `noticed` by the master at once, or by nobody."""
        self.part()
        if noticed:
            self._cut = True
            self._break()
            self.world.master.lose_agent(self)
        else:
            self.up.silent = self.down.silent = True

    def lose_master(self) -> None:
        """The master died: the connection is broken until the agent finds the next one, by `heal`."""
        self.part()
        self._cut = True
        self._break()

    def heal(self) -> None:
        """A new connection: the agent registers again, unless it is about to do so anyway."""
        if self.gone:
            return
        self.part()
        if not self._cut:
            self._break()
            self.world.master.lose_agent(self)
        self._cut = self.up.silent = self.down.silent = False
        self.feed(MasterChanged())

    def _break(self) -> None:
        self.up.cut()
        self.down.cut()

    def receive(self, message: Any) -> None:
        """The master sends something."""
        mishaps, name = self.world.mishaps, type(message).__name__
        if self._cut or (isinstance(message, KillTask) and mishaps.strikes("kill lost")):
            self.world.note(f"lost {name} to {self.agent_id}")
            return
        if isinstance(message, MessageToExecutor):
            self._receive_work(message)
            return
        if isinstance(message, UpdateAcknowledged) and mishaps.strikes("acknowledgement lost"):
            return
        self.down.carry(f"{name} -> {self.agent_id}", lambda: self.feed(message))

    def _receive_work(self, message: MessageToExecutor) -> None:
        """What nobody sends again for us: it may come never, twice, or long after."""
        mishaps, random = self.world.mishaps, self.world.random("messages to executors")
        if mishaps.strikes("work lost"):
            self.world.note(f"lost a message to {self.agent_id}")
            return
        for _ in range(2 if mishaps.strikes("work repeated") else 1):
            late_s = random.uniform(0.0, 60.0) if mishaps.strikes("work late") else 0.0
            if late_s:
                label = f"late message -> {self.agent_id}"
                self.world.timeline.after(late_s, label, lambda: self.feed(message))
            else:
                self.down.carry(f"message -> {self.agent_id}", lambda: self.feed(message))

    def _send(self, message: Any) -> None:
        mishaps, name = self.world.mishaps, type(message).__name__
        is_status = isinstance(message, StatusUpdated)
        if self._cut or (is_status and mishaps.strikes("status lost")):
            return
        times = 2 if is_status and mishaps.strikes("status repeated") else 1
        for _ in range(times):
            self.up.carry(f"{name} <- {self.agent_id}", lambda: self.world.master.feed(message))

    # The machine

    def feed(self, event: AgentEvent) -> None:
        """Let the agent handle an event, and do what it wants."""
        if self.machine is None:
            return
        if isinstance(event, AgentAccepted):
            self.parted_until = self.world.timeline.now
        for effect in self.machine.handle(event, self.world.timeline.unix):
            self._perform(effect)
        self._set_timer()
        if isinstance(event, RunTask):
            self.world.judge.on_agent(self)

    def _perform(self, effect: Any) -> None:
        match effect:
            case SendEvent():
                self._to_executor(effect.stream, effect.event)
            case CloseStream():
                self.streams.pop(effect.stream, None)
            case Respond() | OpenStream():
                self._answer = effect
            case ToMaster():
                self._send(effect.message)
            case Record():
                self._journal.append(to_text(effect.record))
            case KillProcess():
                self._later("is killed", effect.container_id, lambda executor: executor.exit(9))
            case StartProcess():
                self._spawn(effect)
            case StopAgent():
                self._later_stop()

    def _to_executor(self, stream: str, event: Json) -> None:
        executor, text = self.streams.get(stream), to_text(event)
        if executor is not None:
            label = f"{event['type']} -> {executor}"
            self.world.timeline.after(LOCAL_S, label, lambda: executor.on_record(stream, text))

    def _spawn(self, start: StartProcess) -> None:
        self._pids += 1
        executor = SimExecutor(self, start.container_id, start.framework_id, start.executor_id)
        self.executors[start.container_id] = executor
        self.feed(ProcessStarted(container_id=start.container_id, pid=self._pids, mark="m"))

    def _later_stop(self) -> None:
        """The agent's process exits: the master wants it so."""

        def stop() -> None:
            self.machine = None
            self._break()
            self.world.master.lose_agent(self)

        self.world.timeline.after(0.001, f"{self.agent_id} stops", stop)

    def _later(self, label: str, container_id: str, act: Callable[[SimExecutor], None]) -> None:
        def do() -> None:
            if (executor := self.executors.get(container_id)) is not None:
                act(executor)

        self.world.timeline.after(0.001, f"{container_id} {label}", do)

    def on_exit(self, container_id: str, status: int) -> None:
        """An executor has ended."""
        self.streams = {name: executor for name, executor in self.streams.items() if executor.alive}
        self.feed(ProcessExited(container_id=container_id, status=status))

    def subscribe(self, executor: SimExecutor, body: bytes) -> str | None:
        """An executor subscribes; its stream, or None when that was refused."""
        if self.machine is None:
            return None
        event = Call(call=read_executor_call(body), stream=None)
        # The stream has to be known before anything is sent on it.
        effects = self.machine.handle(event, self.world.timeline.unix)
        opened = next((effect.stream for effect in effects if isinstance(effect, OpenStream)), None)
        if opened is not None:
            self.streams = {name: other for name, other in self.streams.items() if other is not executor}
            self.streams[opened] = executor
        for effect in effects:
            self._perform(effect)
        self._set_timer()
        return opened

    def call(self, body: bytes) -> int | None:
        """Any other call of an executor: the status of the answer, None when nobody is there."""
        if self.machine is None:
            return None
        self._answer = None
        self.feed(Call(call=read_executor_call(body), stream=None))
        return self._answer.status if isinstance(self._answer, Respond) else None

    def _set_timer(self) -> None:
        due_at = None if self.machine is None else self.machine.due_at()
        if self._timer is not None:
            if self._timer[0] == due_at and self._timer[1].act is not None:
                return
            self._timer[1].cancel()
            self._timer = None
        if due_at is not None:
            delay_s = max(0.0, due_at - self.world.timeline.unix)
            self._timer = (due_at, self.world.timeline.after(delay_s, f"{self.agent_id} timer", self._on_time))

    def _on_time(self) -> None:
        self.feed(Timer())
