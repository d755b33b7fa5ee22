"""Performs what the machines want: carries messages between them, feeds streams, starts processes, keeps time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from local.agent import Agent
from local.faults import Instead
from local.journal import Journal
from local.master import Master
from local.messages import (
    AgentEvent,
    AgentGone,
    AgentMessage,
    Call,
    CloseStream,
    Effect,
    KillProcess,
    LaunchFailed,
    MasterChanged,
    MasterEvent,
    OpenStream,
    OperatorCall,
    ProcessExited,
    ProcessStarted,
    Record,
    Respond,
    SendEvent,
    Started,
    StartProcess,
    StatusUpdated,
    StreamClosed,
    Timer,
    ToAgent,
    ToMaster,
)
from local.processes import Processes, find_by_sandbox, is_alive
from local.streams import Stream

Json = dict[str, Any]


class Clock:
    """Seconds since the epoch, but never set back or forth while the program runs, unless by `jump`."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() + self._offset

    def jump(self, by_s: float) -> None:
        self._offset += by_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """To a call: a status with a text, or a stream to be sent."""

    status: int
    text: str = ""
    stream_id: str | None = None
    stream: Stream | None = None
    shows_stream_id: bool = False


class Mishaps(Protocol):
    """What may happen to what is carried: an injector of faults stands here."""

    def on_stream(self) -> None:
        """A scheduler's stream is opened."""

    def send(self, stream: Stream, event: Json) -> None:
        """Write an event of the master's on the stream of a scheduler."""

    def answer(self, call: Json) -> Instead | None:
        """What to answer a scheduler instead of handling its call."""

    def count_update(self) -> int:
        """How often the update that an agent sends now arrives."""


class NoMishaps:
    """Everything arrives, once and at once."""

    def on_stream(self) -> None:
        """Nothing."""

    def send(self, stream: Stream, event: Json) -> None:
        stream.write(event)

    def answer(self, call: Json) -> Instead | None:
        return None

    def count_update(self) -> int:
        return 1


class AgentHost:
    """An agent with its checkpoint and its processes."""

    def __init__(self, agent: Agent, journal: Journal, on_exit: Callable[[str, int], None]) -> None:
        self.agent = agent
        self.journal = journal
        self._on_exit = on_exit
        self.processes = Processes(on_exit)
        self.down = False  # the agent's process, that is: its executors run on

    def forget_processes(self) -> None:
        """As a process that ends does; the next one finds them again."""
        self.processes.close()
        self.processes = Processes(self._on_exit)

    @property
    def agent_id(self) -> str:
        return self.agent.state.agent_id


Machine = Master | AgentHost


class Runtime:
    """One master and its agents in one process. Everything happens on the event loop's thread, in order."""

    def __init__(self, *, master: Master, clock: Callable[[], float]) -> None:
        self.master = master
        self.hosts: dict[str, AgentHost] = {}
        self._clock = clock
        self._streams: dict[str, Stream] = {}
        self._owners: dict[str, Machine] = {}  # of those streams
        self._cuts: Counter[str] = Counter()  # agent id -> reasons for which no link connects it with the master
        self.mishaps: Mishaps = NoMishaps()
        self._queue: deque[tuple[Machine, MasterEvent | AgentEvent]] = deque()
        self._answer: Answer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due: dict[AgentHost, float] = {}  # when agents want to be told the time; there may be thousands
        self._due_at = float("inf")

    def add_agent(self, agent: Agent, journal: Journal) -> None:
        agent_id = agent.state.agent_id

        def on_exit(container_id: str, status: int) -> None:
            self.post(self.hosts[agent_id], ProcessExited(container_id=container_id, status=status))

        self.hosts[agent_id] = AgentHost(agent, journal, on_exit)

    def start(self) -> None:
        """Recover the agents; they register when their executors are back."""
        for host in self.hosts.values():
            self._queue.append(self._make_start(host))
        self._drain()

    def _make_start(self, host: AgentHost) -> tuple[AgentHost, Started]:
        host.journal.rewrite(host.agent.snapshot() if host.agent.state.known_to_master else ())
        return host, Started(alive=frozenset(self._find_alive(host)))

    def _find_alive(self, host: AgentHost) -> Iterable[str]:
        for executor in host.agent.state.executors.values():
            if executor.pid is None:
                found = find_by_sandbox(host.agent.directory_of(executor))
                if found is None:
                    continue
                executor.pid, executor.mark = found
            if is_alive(executor.pid, executor.mark):
                host.processes.watch(executor.container_id, executor.pid, executor.mark)
                yield executor.container_id

    def call(self, machine: Machine, call: Call | OperatorCall) -> Answer:
        """Handle a call and everything that follows from it within this process."""
        self.post(machine, call)
        return self._take_answer()

    def _take_answer(self) -> Answer:
        answer, self._answer = self._answer, None
        assert answer is not None  # noqa: S101 - the machines answer every call
        return answer

    def post(self, machine: Machine, event: MasterEvent | AgentEvent) -> None:
        self._queue.append((machine, event))
        self._drain()

    def drop_stream(self, machine: Machine, stream_id: str) -> None:
        """The subscriber's connection is gone (or its stream was closed, and this says nothing new)."""
        if self._streams.pop(stream_id, None) is not None:
            self._owners.pop(stream_id, None)
            self.post(machine, StreamClosed(stream=stream_id))

    # What injected faults do

    def streams_of(self, machine: Machine) -> dict[str, Stream]:
        """The open streams of a master or an agent, by their ids."""
        return {stream_id: self._streams[stream_id] for stream_id, owner in self._owners.items() if owner is machine}

    def _break_streams(self, machine: Machine) -> None:
        """As when its process has died: nobody tells the machine."""
        for stream_id, stream in self.streams_of(machine).items():
            stream.break_off()
            del self._streams[stream_id], self._owners[stream_id]

    def replace_master(self, master: Master) -> None:
        """Another one leads. It knows nothing of what the agents do until they register again: `heal_link` lets them."""
        self._break_streams(self.master)
        self._cuts.update(list(self.hosts))
        self.master = master
        self.wake()

    def cut_link(self, agent_id: str) -> None:
        """No message passes between this agent and the master any more, and the master notices at once."""
        self._cuts[agent_id] += 1
        if self._cuts[agent_id] == 1:
            self.post(self.master, AgentGone(agent_id=agent_id))

    def heal_link(self, agent_id: str) -> None:
        """One reason for the cut is gone; with the last, the agent finds its master again."""
        self._cuts[agent_id] -= 1
        if not self._cuts[agent_id]:
            self.post(self.hosts[agent_id], MasterChanged())

    def stop_agent(self, agent_id: str) -> None:
        """kill -9 of an agent's process."""
        host = self.hosts[agent_id]
        host.down = True
        self._due.pop(host, None)
        self._break_streams(host)
        host.forget_processes()
        self.cut_link(agent_id)

    def start_agent(self, agent_id: str, agent: Agent) -> None:
        """The process is there again, with what its checkpoint tells."""
        host = self.hosts[agent_id]
        host.agent, host.down = agent, False
        self._cuts[agent_id] -= 1
        self._queue.append(self._make_start(host))
        self._drain()

    def wake(self) -> None:
        """The clock has jumped, or another machine keeps it: look again at what is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._set_timer()

    # The carrying

    def now(self) -> float:
        return self._clock()

    def _drain(self) -> None:
        touched: set[AgentHost] = set()
        while self._queue:
            machine, event = self._queue.popleft()
            if isinstance(machine, Master):
                for master_effect in machine.handle(event, self._clock()):  # type: ignore[arg-type]
                    self._perform(machine, master_effect)
            elif not machine.down:
                touched.add(machine)
                for agent_effect in machine.agent.handle(event, self._clock()):  # type: ignore[arg-type]
                    self._perform(machine, agent_effect)
                if machine.journal.has_grown():
                    machine.journal.rewrite(machine.agent.snapshot())
        self._note_due(touched)
        self._set_timer()

    def _note_due(self, touched: Iterable[AgentHost]) -> None:
        for host in touched:
            due_at = host.agent.due_at()
            if due_at is not None:
                self._due[host] = due_at
            else:
                self._due.pop(host, None)

    def _perform(self, machine: Machine, effect: Effect) -> None:
        match effect:
            case SendEvent():
                stream = self._streams.get(effect.stream)
                if stream is not None and isinstance(machine, Master):
                    self.mishaps.send(stream, effect.event)
                elif stream is not None:
                    stream.write(effect.event)
            case ToMaster():
                if not (isinstance(machine, AgentHost) and self._cuts[machine.agent_id]):
                    self._queue += [(self.master, effect.message)] * self._count(effect.message)
            case ToAgent():
                if not self._cuts[effect.agent_id]:
                    self._queue.append((self.hosts[effect.agent_id], effect.message))
            case Respond():
                self._answer = Answer(status=effect.status, text=effect.text)
            case OpenStream():
                stream = self._streams[effect.stream] = Stream()
                self._owners[effect.stream] = machine
                if isinstance(machine, Master):
                    self.mishaps.on_stream()
                self._answer = Answer(status=200, stream_id=effect.stream, stream=stream, shows_stream_id=effect.header)
            case CloseStream():
                stream = self._streams.pop(effect.stream, None)
                self._owners.pop(effect.stream, None)
                if stream is not None:
                    stream.close()
            case Record() | StartProcess() | KillProcess():
                if isinstance(machine, AgentHost):
                    self._perform_at(machine, effect)

    def _count(self, message: AgentMessage) -> int:
        return self.mishaps.count_update() if isinstance(message, StatusUpdated) else 1

    def _perform_at(self, host: AgentHost, effect: Record | StartProcess | KillProcess) -> None:
        match effect:
            case Record():
                host.journal.append(effect.record)
            case KillProcess():
                host.processes.kill(effect.container_id)
            case StartProcess() if effect.container is not None:
                problem = "local runs executors as processes, and never in containers"
                self._queue.append((host, LaunchFailed(container_id=effect.container_id, problem=problem)))
            case StartProcess():
                started = host.processes.start(effect)
                if started is None:
                    self._queue.append((host, ProcessExited(container_id=effect.container_id, status=1 << 8)))
                    return
                pid, mark = started
                self._queue.append((host, ProcessStarted(container_id=effect.container_id, pid=pid, mark=mark)))
                host.processes.watch(effect.container_id, pid, mark)

    def _set_timer(self) -> None:
        earliest = min(self.master.due_at(), min(self._due.values(), default=float("inf")))
        if self._timer is not None:
            if self._due_at <= earliest:
                return
            self._timer.cancel()
        self._due_at = earliest
        delay = max(0.0, earliest - self._clock())
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        now = self._clock()
        if self.master.due_at() <= now:
            self._queue.append((self.master, Timer()))
        self._queue += [(host, Timer()) for host, due_at in self._due.items() if due_at <= now]
        self._drain()

    def close(self) -> None:
        """Executors run on; streams break off without the 0-chunk, as when Mesos dies."""
        if self._timer is not None:
            self._timer.cancel()
        for host in self.hosts.values():
            host.processes.close()
            host.journal.close()
