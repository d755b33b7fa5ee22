"""Listening sockets, the HTTP server, and the life of the process."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from local.access import Access, Credential, read_credential
from local.agent import Agent
from local.agent_checkpoint import replay
from local.agent_state import AgentSettings, AgentState
from local.fault_plan import Plan, draw_plan, parse_plan
from local.http import Application
from local.injector import Injector
from local.journal import Journal
from local.master import Master
from local.runtime import Clock, Machine, Runtime
from local.sandboxes import remove_old_runs
from local.settings import Settings, make_agent_info
from local.simulated import NoJournal, SimulatedAgent
from local.tokens import make_token

Json = dict[str, Any]
HOST = "127.0.0.1"
_DATE_S = 1.0  # how often the Date header is renewed
_COLLECT_S = 3600.0
_KEEP_ALIVE_S = 86400  # Mesos does not close idle connections (transcript 15)


class WorkDirBusyError(RuntimeError):
    """Another `local` runs on this work directory."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handling, and with one wake-up a second in place of ten."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        self.ended = asyncio.Event()
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), _DATE_S)

    def end(self) -> None:
        """Streams break off, as they do when Mesos dies."""
        logging.getLogger("uvicorn.error").disabled = True  # it would report each stream that breaks off
        self.should_exit = self.force_exit = True
        self.ended.set()


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Executors run on. Raises WorkDirBusyError, OSError (port in use), ValueError."""
    credential = None if settings.credential_file is None else read_credential(settings.credential_file)
    plan = find_plan(settings)
    with hold(settings.work_dir):
        ports = _read_ports(settings.work_dir)
        sockets = [_listen(settings.port, ports[:1])]
        for index in range(settings.agents):
            wanted = settings.agent_port and settings.agent_port + index
            sockets.append(_listen(wanted, ports[index + 1 : index + 2]))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, credential, sockets, plan))


def find_plan(settings: Settings) -> Plan | None:
    """The faults to inject; None for none. Raises OSError, ValueError (PlanError is one)."""
    if settings.faults_file is not None:
        return parse_plan(json.loads(settings.faults_file.read_text()), settings.agents)
    return None if settings.fault_seed is None else draw_plan(settings.fault_seed, agents=settings.agents)


@contextlib.contextmanager
def hold(work_dir: Path) -> Iterator[None]:
    work_dir.mkdir(parents=True, exist_ok=True)
    with (work_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkDirBusyError(f"another local runs on {work_dir}") from None
        yield


def _read_ports(work_dir: Path) -> list[int]:
    """The ports of the last time: executors that still run know no others."""
    try:
        document = json.loads((work_dir / "ports.json").read_text())
        return [document["master"], *document["agents"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []


def _listen(port: int, last: list[int]) -> socket.socket:
    for candidate in [port] if port else [*last, 0]:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, candidate))
        except OSError:
            listener.close()
            if candidate == port or candidate == 0:
                raise
            continue
        listener.set_inheritable(False)
        return listener
    raise OSError("no free port")


async def _serve(
    settings: Settings, credential: Credential | None, sockets: list[socket.socket], plan: Plan | None
) -> None:
    ports = [listener.getsockname()[1] for listener in sockets]
    clock = Clock()
    runtime = _make_runtime(settings, credential, ports, clock)
    # Simulated agents come last, and have no port.
    machines: dict[int, Machine] = dict(zip(ports, [runtime.master, *runtime.hosts.values()], strict=False))
    config = uvicorn.Config(
        Application(runtime, machines, Access(credential)),
        http="httptools",
        ws="none",
        lifespan="off",
        proxy_headers=False,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        backlog=1024,
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.end)
    runtime.start()
    serving = asyncio.ensure_future(server.serve(sockets))
    while not (server.started or serving.done()):
        await asyncio.sleep(0.005)
    if plan is not None:
        _inject(plan, settings, runtime, clock)
    _write_ports(settings.work_dir, ports)
    collecting = asyncio.ensure_future(_remove_sandboxes(runtime, settings.gc_delay_s))
    try:
        await serving
    finally:
        collecting.cancel()
        runtime.close()


def _inject(plan: Plan, settings: Settings, runtime: Runtime, clock: Clock) -> None:
    """The plan's time begins; it is written down, for a seed's to be replayed and changed."""
    document = [fault.to_json() for fault in plan]
    (settings.work_dir / "faults.json").write_text(json.dumps(document, indent=1) + "\n")
    logging.getLogger("uvicorn.error").addFilter(_is_no_broken_stream)
    port = runtime.master.state.port
    injector = Injector(
        plan=plan,
        runtime=runtime,
        clock=clock,
        make_master=lambda registry: _make_master(settings, str(uuid.uuid4()), port, clock(), registry),
    )
    runtime.mishaps = injector
    injector.start()


def _is_no_broken_stream(record: logging.LogRecord) -> bool:
    """uvicorn complains of each stream that is broken off on purpose."""
    return "without completing response" not in record.getMessage()


async def _remove_sandboxes(runtime: Runtime, delay_s: float) -> None:
    """Now and then, on a thread: a sandbox may hold a million files."""
    while True:
        for host in runtime.hosts.values():
            work_dir, executors = Path(host.agent.settings.work_dir), host.agent.state.executors
            await asyncio.to_thread(remove_old_runs, work_dir, executors.__contains__, time.time() - delay_s)
        await asyncio.sleep(_COLLECT_S)


def _write_ports(work_dir: Path, ports: list[int]) -> None:
    fresh = work_dir / "ports.json.new"
    fresh.write_text(json.dumps({"master": ports[0], "agents": ports[1:], "pid": os.getpid()}) + "\n")
    fresh.replace(work_dir / "ports.json")


def find_journals(work_dir: Path) -> list[Path]:
    """The checkpoints of all agents that ever ran on this work directory."""
    return sorted(work_dir.glob("agent-*/meta/journal.jsonl"))


def _make_runtime(settings: Settings, credential: Credential | None, ports: list[int], clock: Clock) -> Runtime:
    master_id = str(uuid.uuid4())
    agents: list[tuple[Agent, Journal]] = []
    known: list[Json] = []
    for index, port in enumerate(ports[1:]):
        work_dir = settings.work_dir.resolve() / f"agent-{index}"
        work_dir.mkdir(parents=True, exist_ok=True)
        journal = Journal(work_dir / "meta" / "journal.jsonl")
        agent_settings = _make_agent_settings(settings, credential, port, work_dir, (index, settings.agents))
        state = replay(journal.read())
        if state is None:
            state = AgentState(agent_id=f"{master_id}-S{index}")
        else:
            known.append(agent_settings.info | {"id": {"value": state.agent_id}})
        agents.append((Agent(settings=agent_settings, state=state), journal))
    master = _make_master(settings, master_id, ports[0], clock(), known)
    runtime = Runtime(master=master, clock=clock)
    for agent, journal in agents:
        runtime.add_agent(agent, journal)
    for index in range(settings.simulated_agents):
        runtime.add_agent(_make_simulated_agent(settings, master_id, index, ports[0]), NoJournal(settings.work_dir))
    return runtime


def _make_master(settings: Settings, master_id: str, port: int, now: float, registry: Iterable[Json]) -> Master:
    """A master that waits for the agents of its registry."""
    return Master(
        master_id=master_id,
        port=port,
        make_uuid=_make_uuid,
        now=now,
        interval_s=settings.allocation_interval_s,
        agent_ping_timeout_s=settings.ping_timeout_s,
        offer_timeout_s=settings.offer_timeout_s,
        heartbeat_s=settings.heartbeat_s,
        recovered_agents=registry,
    )


def _make_simulated_agent(settings: Settings, master_id: str, index: int, port: int) -> SimulatedAgent:
    """It names the master's port as its own: whoever looks for files of its tasks is told that there are none."""
    work_dir = settings.work_dir.resolve() / f"simulated-{index}"
    agent_settings = _make_agent_settings(settings, None, port, work_dir)
    info = agent_settings.info | {"hostname": f"simulated-{index}"}
    return SimulatedAgent(
        settings=replace(agent_settings, info=info),
        state=AgentState(agent_id=f"{master_id}-S{settings.agents + index}"),
        task_s=settings.task_s,
    )


def _make_agent_settings(
    settings: Settings, credential: Credential | None, port: int, work_dir: Path, share: tuple[int, int] = (0, 1)
) -> AgentSettings:
    return AgentSettings(
        info=make_agent_info(settings, port, share),
        port=port,
        work_dir=str(work_dir),
        make_uuid=_make_uuid,
        make_update_uuid=lambda: base64.b64encode(uuid.uuid4().bytes).decode(),
        registration_timeout_s=settings.registration_timeout_s,
        reregistration_timeout_s=settings.reregistration_timeout_s,
        shutdown_grace_s=settings.shutdown_grace_s,
        make_token=None if credential is None else partial(make_token, credential.token_key),
    )


def _make_uuid() -> str:
    return str(uuid.uuid4())
