"""The executor put together: driver, core, shell and loop, from the first SUBSCRIBE to the last acknowledgement."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from executor.archives import find_archive
from executor.core import TICK_S, Core, Limits
from executor.driver import Driver
from executor.events import Effect, Exit, Shutdown
from executor.guardian import Guard
from executor.journal import Journal
from executor.loop import Inbox, Waiter, Work, read_clocks
from executor.messages import to_event
from executor.orphans import remove_former
from executor.processes import adopt_orphans
from executor.runtimes.choice import EngineRuntime, Runtimes
from executor.runtimes.docker import DockerRuntime
from executor.runtimes.process import ProcessRuntime
from executor.secrets import Secrets
from executor.settings import Settings
from executor.shell import Shell
from executor.slots import Slots
from executor.sweeping import start_sweeper
from swath.domain.secret_messages import SecretsAnswer

log = logging.getLogger(__name__)

MakeDriver = Callable[[Callable[[Mapping[str, Any]], None]], Driver]

_FLUSH_SHARE = 0.3  # of the shutdown's grace, for the agent to acknowledge the last updates

_FAIR = 10  # events in a row; then those that have ended are looked for, however many wait to start


def run(settings: Settings, make_driver: MakeDriver, guard: Guard) -> int:
    """Run the executor until it is told to end or has been idle for long; its exit code."""
    adopt_orphans()
    inbox = Inbox()
    remove_former(settings.label, settings.run, settings.sandbox)
    journal = Journal(settings.sandbox)
    docker = _make_docker(settings, journal, inbox, guard)
    process = _make_process(settings, journal, inbox)
    driver = make_driver(lambda message: _receive(inbox, shell.secrets, message))
    runtimes = Runtimes(process=process, docker=docker)
    archive = find_archive(settings.logs_root, settings.fetching.stores) if settings.logs_root else None
    shell = Shell(settings=settings, driver=driver, inbox=inbox, journal=journal, runtimes=runtimes, archive=archive)
    waiter = Waiter(inbox)
    if process is not None:
        waiter.add(process.fileno(), process.poll)
    _end_on_signals(inbox)
    if archive is not None:
        start_sweeper(archive, settings.keeping)
    core = Slots(Core(limits=_make_limits(settings), now=read_clocks()))
    driver.start()
    _loop(core, shell, inbox, waiter)
    if not driver.flush(settings.shutdown_grace_s * _FLUSH_SHARE):  # first of all: what follows may hang
        log.warning("the agent has not acknowledged every update")
    shell.close()
    runtimes.close()
    shell.forget_secrets()
    driver.stop()
    journal.close()
    guard.close()
    return 0


def _make_limits(settings: Settings) -> Limits:
    return Limits(
        idle_s=settings.idle_s,
        shutdown_grace_s=settings.shutdown_grace_s,
        staging_s=settings.staging_s,
        publishing_s=settings.publishing_s,
        force_s=settings.force_s,
        engine=settings.docker != "off",
    )


def _loop(core: Slots, shell: Shell, inbox: Inbox, waiter: Waiter) -> None:
    """Handle what comes until the core says Exit."""
    tick_at_s = 0.0
    while True:
        now = read_clocks()
        waiter.wait(max(tick_at_s - now.clock_s, core.next_tick_s(now) - TICK_S, 0.0))
        for work in inbox.take(_FAIR):
            if _perform(shell, _decide(core, work)):
                return
        now = read_clocks()
        if now.clock_s >= tick_at_s:
            tick_at_s = now.clock_s + TICK_S
            shell.relieve()
            if _perform(shell, core.on_tick(now)):
                return


def _decide(core: Slots, work: Work) -> list[Effect]:
    if callable(work):
        work()
        return []
    return core.handle(work, read_clocks())


def _perform(shell: Shell, effects: list[Effect]) -> bool:
    """Perform in order; True when the executor is to end."""
    for effect in effects:
        shell.perform(effect)
    return any(isinstance(effect, Exit) for effect in effects)


def _receive(inbox: Inbox, secrets: Secrets, message: Mapping[str, Any]) -> None:
    """On the driver's thread."""
    event = to_event(message)
    if isinstance(event, SecretsAnswer):
        secrets.deliver(event)
    elif event is not None:
        inbox.post(event)
    elif message.get("type") in ("ERROR", "DISCONNECTED"):
        log.warning("from the agent: %s", dict(message))


def _end_on_signals(inbox: Inbox) -> None:
    """SIGTERM is a SHUTDOWN; the loop's eventfd wakes it."""

    def end(number: int, _frame: FrameType | None) -> None:
        inbox.post(Shutdown(message=f"the executor was ended by {signal.Signals(number).name}"))

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)


def _make_process(settings: Settings, journal: Journal, inbox: Inbox) -> ProcessRuntime | None:
    if not settings.process_runtime:
        return None
    return ProcessRuntime(
        label=settings.label,
        run=settings.run,
        journal=journal,
        host_sandbox=settings.host_sandbox,
        python_path=settings.python_path,
        post=inbox.post,
    )


def _make_docker(settings: Settings, journal: Journal, inbox: Inbox, guard: Guard) -> EngineRuntime | None:
    """The runtime, which imports the SDK when it is first asked for something: now only where an engine may be."""
    if settings.docker == "off":
        return None
    docker = DockerRuntime(settings=settings, journal=journal, post=inbox.post, on_container=guard.note_containers)
    if docker.is_likely:
        # What a former run left is removed when the engine first answers: now, or whenever it appears.
        threading.Thread(target=docker.answers, name="engine", daemon=True).start()
    return docker
