"""Carries a plan of faults out on a running cluster (`--faults`, `--fault-seed`)."""

from __future__ import annotations

import asyncio
import heapq
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

from local.agent import Agent
from local.agent_checkpoint import replay
from local.agent_state import AgentState
from local.fault_plan import Fault, Plan
from local.faults import Faults, Instead
from local.master import Master
from local.processes import kill_group_of
from local.runtime import AgentHost, Clock, Runtime
from local.streams import Stream

Json = dict[str, Any]
logger = logging.getLogger("local")


class Injector:
    """Stands where the runtime's mishaps are looked up, and does by itself what cannot be done to a single message."""

    def __init__(
        self, *, plan: Plan, runtime: Runtime, clock: Clock, make_master: Callable[[Iterable[Json]], Master]
    ) -> None:
        """`make_master` makes one that recovers these agents."""
        self._plan = plan
        self._faults = Faults(plan)
        self._runtime = runtime
        self._clock = clock
        self._make_master = make_master
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._late: list[tuple[float, int, Stream, Json]] = []  # heap of what is to be sent when
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._last_stream: Stream | None = None
        self._gone: set[AgentHost] = set()

    def start(self) -> None:
        """The plan's time begins."""
        self._begun = self._loop.time()
        for fault in self._plan:
            logger.warning("planned: %s", json.dumps(fault.to_json()))
        self._look()

    def _now(self) -> float:
        return self._loop.time() - self._begun

    # As the runtime's mishaps

    def on_stream(self) -> None:
        """Another stream owes nothing."""
        self._faults.on_stream()

    def send(self, stream: Stream, event: Json) -> None:
        """Now, later, twice, or never."""
        self._last_stream = stream
        self._send_at(self._faults.on_event(event, self._now()), stream)
        self._tell_struck()
        self._set_timer()

    def answer(self, call: Json) -> Instead | None:
        """An answer that the master knows nothing of."""
        instead = self._faults.on_call(call, self._now())
        self._tell_struck()
        return instead

    def count_update(self) -> int:
        """How often it arrives."""
        times = self._faults.on_update(self._now())
        self._tell_struck()
        return times

    def _tell_struck(self) -> None:
        for fault in self._faults.take_struck():
            _tell(fault, 1)

    def _send_at(self, deliveries: Iterable[tuple[float, Json]], stream: Stream) -> None:
        now = self._now()
        for at_s, event in deliveries:
            if at_s <= now and not any(entry[2] is stream for entry in self._late):
                stream.write(event)
            else:
                heapq.heappush(self._late, (at_s, next(self._numbers), stream, event))

    # Time

    def _set_timer(self) -> None:
        times = [at for at in (self._faults.next_at, self._late[0][0] if self._late else None) if at is not None]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if times:
            self._timer = self._loop.call_later(max(0.0, min(times) - self._now()), self._look)

    def _look(self) -> None:
        """Do what is due."""
        now = self._now()
        while self._late and self._late[0][0] <= now:
            _, _, stream, event = heapq.heappop(self._late)
            stream.write(event)
        if self._last_stream is not None:
            self._send_at(self._faults.take_held(now), self._last_stream)
        for fault in self._faults.take_due(now):
            logger.warning("injecting: %s", json.dumps(fault.to_json()))
            _tell(fault, _DEEDS[fault.kind](self, **fault.arguments))
        self._set_timer()

    # The deeds, by the names and arguments of the plan; each returns how much it has hit

    def half_open(self, for_s: float) -> int:
        """Streams of today say nothing more; the next ones do."""
        streams = self._runtime.streams_of(self._runtime.master)
        for stream in streams.values():
            stream.muted = True
        self._loop.call_later(for_s, self._break_off, streams)
        return len(streams)

    def cut(self) -> int:
        """The master's side notices as well."""
        return self._break_off(self._runtime.streams_of(self._runtime.master))

    def _break_off(self, streams: Mapping[str, Stream]) -> int:
        for stream_id, stream in streams.items():
            stream.break_off()
            self._runtime.drop_stream(self._runtime.master, stream_id)
        return len(streams)

    def garbage(self, text: str) -> int:
        """Bytes between two records."""
        streams = self._runtime.streams_of(self._runtime.master)
        for stream in streams.values():
            stream.write_bytes(text.encode())
        return len(streams)

    def error(self, message: str) -> int:
        """ERROR, and the orderly end of the stream."""
        streams = self._runtime.streams_of(self._runtime.master)
        for stream_id, stream in streams.items():
            stream.write({"type": "ERROR", "error": {"message": message}})
            stream.close()
            self._runtime.drop_stream(self._runtime.master, stream_id)
        return len(streams)

    def master_failover(self, agents_after_s: float) -> int:
        """Another master, which waits for the agents of its registry."""
        state = self._runtime.master.state
        registry = [*(agent.info for agent in state.agents.values()), *state.recovered_agents.values()]
        self._runtime.replace_master(self._make_master(registry))
        self._loop.call_later(agents_after_s, self._heal, list(self._runtime.hosts))
        return 1

    def _heal(self, agent_ids: Iterable[str]) -> None:
        for agent_id in agent_ids:
            self._runtime.heal_link(agent_id)

    def agent_unreachable(self, agent: int, for_s: float) -> int:
        """A partition, with its end."""
        agent_id = self._find(agent).agent_id
        self._runtime.cut_link(agent_id)
        self._loop.call_later(for_s, self._heal, [agent_id])
        return 1

    def agent_gone(self, agent: int) -> int:
        """The machine is lost."""
        host = self._find(agent)
        if host in self._gone:
            return 0
        self._gone.add(host)
        self._runtime.stop_agent(host.agent_id)
        for executor in host.agent.state.executors.values():
            if executor.pid is not None:
                kill_group_of(executor.pid, executor.mark)
        return 1

    def agent_restart(self, agent: int, down_s: float) -> int:
        """kill -9 of the agent, and its start; executors run on."""
        host = self._find(agent)
        if host.down:
            return 0
        self._runtime.stop_agent(host.agent_id)
        self._loop.call_later(down_s, self._start_agent, host)
        return 1

    def _start_agent(self, host: AgentHost) -> None:
        if host in self._gone:
            return
        state = replay(host.journal.read()) or AgentState(agent_id=host.agent_id)
        self._runtime.start_agent(host.agent_id, Agent(settings=host.agent.settings, state=state))

    def executor_crash(self, agent: int) -> int:
        """kill -9 of each executor there."""
        host = self._find(agent)
        containers = list(host.agent.state.executors)
        for container_id in containers:
            host.processes.kill(container_id)
        return len(containers)

    def clock_jump(self, by_s: float) -> int:
        """Master and agents live in another time; the plan's own runs on."""
        self._clock.jump(by_s)
        self._runtime.wake()
        return 1

    def _find(self, number: int) -> AgentHost:
        return list(self._runtime.hosts.values())[number]


def _tell(fault: Fault, hits: int) -> None:
    """Let the log say what a fault has hit: a plan may come when there is nothing to be hit."""
    logger.warning("struck %d: %s", hits, json.dumps(fault.to_json()))


_DEEDS: Mapping[str, Callable[..., int]] = {
    deed.__name__: deed
    for deed in (
        Injector.half_open,
        Injector.cut,
        Injector.garbage,
        Injector.error,
        Injector.master_failover,
        Injector.agent_unreachable,
        Injector.agent_gone,
        Injector.agent_restart,
        Injector.executor_crash,
        Injector.clock_jump,
    )
}
