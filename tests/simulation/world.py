"""The whole of it: master, agents, executors, two schedulers, a database, users; one hour, and then until all is quiet."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from random import Random
from typing import Any, TextIO

from executor.events import Moment
from local.resources import Bundle, count_of
from scheduler.core.reactor import Core
from scheduler.core.state import CoreSettings
from scheduler.shell import Shell
from scheduler.to_mesos import Items, Writer
from swath.domain.changes import Change
from swath.domain.resources import Resources
from swath.store.rows import Snapshot
from swath.wire.calls import make_executor_info, make_framework_info
from tests.simulation.agents import AgentHost
from tests.simulation.database import SimDatabase, Trouble
from tests.simulation.executor import Fate, draw_fate
from tests.simulation.faults import Faults
from tests.simulation.fibers import Fibers
from tests.simulation.judge import Judge, Violation
from tests.simulation.master import MasterHost
from tests.simulation.network import Mishaps
from tests.simulation.process import Link, SchedulerProcess
from tests.simulation.timeline import MICRO, Timeline
from tests.simulation.trace import Trace
from tests.simulation.workload import Users

HOUR_S = 3600.0
PATIENCE_S = 4 * HOUR_S  # for the end of everything, once the faults are over
LOOK_S = 30.0
WHY_S = 8.0  # four times the default: hardly any look finds another reason than the one before
EXECUTOR = Resources(cpus_m=100, mem=128)


class World:
    """Everything comes from the seed. The parts that a sabotage replaces are methods."""

    role = "swath"

    def __init__(self, seed: int, out: TextIO | None = None) -> None:
        self.seed = seed
        self.timeline = Timeline()
        self.fibers = Fibers(self._step)
        self._until_us = 0
        self._moment: Moment | None = None
        self.trace = Trace(out=out)
        self._randoms: dict[str, Random] = {}
        self._names = 0
        self.mishaps = Mishaps(self.timeline, self.random("mishaps"))
        self.trouble = Trouble(self.timeline, self.random("database"))
        self.database = self.make_database()
        self.judge = Judge(self)
        self.framework = make_framework_info(user="swath", name="swath", role=self.role)
        self.executor = make_executor_info(
            "swath-0", command="executor", environment={}, resources=EXECUTOR, role=self.role, name="executor"
        )
        self.agents: dict[str, AgentHost] = {}
        random = self.random("cluster")
        self.offer_timeout_s = random.choice((None, None, 30.0))
        self.master = MasterHost(self)
        for _ in range(random.choice((3, 3, 4))):
            self.add_agent()
        self.links = {name: Link(self, name) for name in ("s1", "s2")}
        self._incarnations = dict.fromkeys(self.links, 0)
        self.schedulers: dict[str, SchedulerProcess] = {}
        for name in self.links:
            self.start_scheduler(name)
        self.users = Users(self)
        self.faults = self.make_faults()
        self._look_around()

    # What the parts need

    def random(self, name: str) -> Random:
        """A source of chance of its own: what one part draws changes nothing for the others."""
        if name not in self._randoms:
            self._randoms[name] = Random(f"{self.seed}/{name}")
        return self._randoms[name]

    def make_name(self) -> str:
        """An id that no other thing has."""
        self._names += 1
        return f"id-{self._names}"

    def make_update_uuid(self) -> str:
        """Sixteen bytes in base64."""
        return base64.b64encode(self.random("uuids").randbytes(16)).decode()

    def moment(self) -> Moment:
        """The time as executors have it."""
        if self._moment is None or self._moment.clock_s != self.timeline.now:
            self._moment = Moment(clock_s=self.timeline.now, at=self.timeline.moment())
        return self._moment

    def note(self, text: str) -> None:
        """A line of the trace."""
        self.trace.note(self.timeline.now_us, text)

    # What a sabotage replaces

    def make_database(self) -> SimDatabase:
        """The rows."""
        return SimDatabase()

    def make_faults(self) -> Faults:
        """What goes wrong."""
        return Faults(self)

    def make_shell(self, **parts: Any) -> Shell:
        """The real shell."""
        return Shell(**parts)

    def make_writer(self, read_items: Items) -> Writer:
        """The real writer."""
        return Writer(
            role=self.role,
            framework=self.framework,
            executor=self.executor,
            outputs_root="/outputs",
            read_items=read_items,
        )

    def make_settings(self) -> CoreSettings:
        """What the core is told."""
        return CoreSettings(executor_id="swath-0", executor_resources=EXECUTOR, why_s=WHY_S)

    def load_core(self, snapshot: Snapshot, **more: Any) -> Core:
        """The real core."""
        return Core.load(snapshot, self.make_settings(), **more)

    def draw_fate(self, random: Random) -> Fate:
        """How an attempt goes."""
        return draw_fate(random)

    # What happens

    def add_agent(self, like: Bundle | None = None) -> AgentHost:
        """Another machine joins."""
        agent_id = f"S{len(self.agents)}"
        random = self.random("cluster")
        more = self.random("ports and licences")
        cpus, mem = random.choice((4.0, 6.0, 8.0)), random.choice((6144.0, 8192.0))
        ports, licences = more.randint(2, 6), more.choice((1.0, 2.5))
        if like is not None:
            cpus, mem, licences = like.amount("cpus"), like.amount("mem"), like.amount("licences")
            ports = count_of(like.ranges["ports"])
        host = AgentHost(self, agent_id, cpus=cpus, mem=mem, ports=ports, licences=licences)
        self.agents[agent_id] = host
        host.start()
        return host

    def start_scheduler(self, name: str) -> SchedulerProcess:
        """A new process on one of the two machines."""
        self._incarnations[name] += 1
        process = SchedulerProcess(self, name, self._incarnations[name], self.links[name])
        self.schedulers[name] = process
        return process

    def notify(self) -> None:
        """The api has written: whoever listens is told, or not."""
        for process in self.schedulers.values():
            if not process.ended and not self.mishaps.strikes("notification lost"):
                self.timeline.after(0.002, f"notification of {process}", process.notify)

    def commit(self, process: SchedulerProcess, changes: Sequence[Change], epoch: int) -> None:
        """One transaction of a scheduler."""
        self.database.check_epoch(epoch)
        self.judge.before_commit(process, epoch)
        self.database.apply(changes)
        self.note(f"{process} commits {len(changes)}: {' '.join(map(_name, changes))}")
        self.judge.on_commit(changes)

    @property
    def is_led(self) -> bool:
        """True when a scheduler is subscribed."""
        return any(p.driver is not None and p.driver.connected for p in self.schedulers.values() if not p.ended)

    def _look_around(self) -> None:
        self.judge.look_around()
        self.timeline.after(LOOK_S, "a look around", self._look_around)

    # The run

    def run(self) -> None:
        """The hour, then on until all is quiet; raises Violation."""
        try:
            self._run_until(HOUR_S)
            while not self.judge.is_quiet:
                if self.timeline.now > HOUR_S + PATIENCE_S:
                    self.judge.at_the_end()
                    raise Violation("it is never quiet")
                self._run_until(self.timeline.now + LOOK_S)
            self.judge.at_the_end()
        finally:
            self.close()

    def _run_until(self, seconds: float) -> None:
        self._until_us = int(seconds * MICRO)
        self.fibers.run()

    def _step(self) -> bool:
        planned = self.timeline.step(self._until_us)
        if planned is not None:
            self.note(planned.label)
        return planned is not None

    def close(self) -> None:
        """End the schedulers' threads."""
        for process in self.schedulers.values():
            process.kill()
        self.fibers.end()


def _name(change: Change) -> str:
    """A change in a few words."""
    for key in ("attempt_id", "job_id", "agent_id"):
        if hasattr(change, key):
            index = getattr(change, "index", "")
            return (
                f"{type(change).__name__}({getattr(change, key)}{f'/{index}' if index != '' else ''}{_state(change)})"
            )
    return type(change).__name__


def _state(change: Change) -> str:
    state = getattr(change, "state", None)
    return "" if state is None else f" {state}"
