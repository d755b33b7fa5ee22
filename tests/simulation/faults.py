"""Everything that goes wrong in an hour, drawn from the seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from swath.domain.wishes import AgentMode, FrameworkDesire
from tests.simulation.messages import to_text

if TYPE_CHECKING:
    from tests.simulation.agents import AgentHost
    from tests.simulation.process import SchedulerProcess
    from tests.simulation.world import World

FIRST_S, LAST_S = 60.0, 2900.0
FEWEST, MOST = 30, 45
PLACES = ("before commit", "after commit", "before calls", "between calls", "after calls")
HIT_S = 30.0  # for a process to reach the place where it is to die

# Windows in which messages meet with mishaps: how likely each is hit, and how long the window stays open at most.
_MISHAPS = {
    "event lost": (0.3, 60.0),
    "event repeated": (0.5, 120.0),
    "event late": (0.4, 120.0),
    "call lost": (0.3, 30.0),
    "call late": (0.3, 30.0),
    "answer lost": (0.3, 30.0),
    "refused 503": (0.5, 60.0),
    "refused 4xx": (0.3, 30.0),
    "kill lost": (0.8, 300.0),
    "work lost": (0.6, 300.0),
    "work late": (0.5, 300.0),
    "work repeated": (0.5, 300.0),
    "status lost": (0.5, 120.0),
    "status repeated": (0.5, 120.0),
    "acknowledgement lost": (0.5, 120.0),
    "notification lost": (0.9, 600.0),
    "list lost": (0.8, 300.0),
    "operator lost": (0.8, 300.0),
}


class Faults:
    """Draws them all at the beginning; each ends by itself, and all have ended when the hour is over."""

    def __init__(self, world: World, more: Sequence[Callable[[Faults], None]] = ()) -> None:
        """`more` happens beside what is drawn, each at a time of its own."""
        self._world = world
        self._random: Random = world.random("faults")
        self.done = 0
        drawn = [self._random.choice(_KINDS) for _ in range(self._random.randint(FEWEST, MOST))]
        for kind in (*drawn, *more):
            at_s = self._random.uniform(FIRST_S, LAST_S)
            world.timeline.after(at_s, f"fault: {kind.__name__.strip('_')}", lambda kind=kind: self._do(kind))

    def _do(self, kind: Callable[[Faults], None]) -> None:
        self.done += 1
        kind(self)

    def _later(self, seconds: float, label: str, act: Callable[[], None]) -> None:
        self._world.timeline.after(seconds, f"fault ends: {label}", act)

    def _agent(self) -> AgentHost:
        there = [host for host in self._world.agents.values() if not host.gone]
        return self._random.choice(there) if there else self._world.add_agent()

    def _scheduler(self, *, leading: bool = False) -> SchedulerProcess | None:
        alive = [process for process in self._world.schedulers.values() if not process.ended]
        if leading:
            alive = [process for process in alive if process.epoch is not None] or alive
        return self._random.choice(alive) if alive else None

    def framework_wish(self) -> None:
        """`swath scheduler reset-framework`, perhaps some time after a `teardown`."""
        if self._random.random() < 0.5:
            self._want_framework(FrameworkDesire.RESET)
            return
        self._want_framework(FrameworkDesire.TEARDOWN)
        seconds = self._random.uniform(1.0, 200.0)
        self._later(seconds, "torn down", lambda: self._want_framework(FrameworkDesire.RESET))

    def framework_removed(self) -> None:
        """Somebody else tears it down, or its failover time-out has run out; some time later an operator has it begin anew."""
        world = self._world
        if world.database.framework_id is not None and world.master.remove_framework(world.database.framework_id):
            world.note("the framework is removed behind its schedulers' backs")
            seconds = self._random.choice((5.0, 60.0, 400.0)) * self._random.uniform(0.5, 1.0)
            self._later(seconds, "removed", lambda: self._want_framework(FrameworkDesire.RESET))

    def _want_framework(self, desire: FrameworkDesire) -> None:
        if self._world.database.want_framework(desire):
            self._world.note(f"an operator wants the framework to {desire}")
            self._world.notify()

    # Messages

    def messages(self) -> None:
        """Some kind of mishap for a while."""
        name = self._random.choice(list(_MISHAPS))
        probability, longest_s = _MISHAPS[name]
        seconds = self._random.uniform(1.0, longest_s)
        self._world.note(f"{name} for {seconds:.0f} s")
        self._world.mishaps.open(name, seconds, probability)
        if name in ("event lost", "event late"):  # what TCP never does by itself; the stream breaks in the end
            self._later(seconds, name, self._break_streams)

    def _break_streams(self) -> None:
        for process in self._world.schedulers.values():
            if process.driver is not None and process.driver.connection is not None:
                process.driver.connection.close("the stream broke off")

    # Streams and links

    def stream_breaks(self) -> None:
        """Connection reset."""
        self._break_streams()

    def stream_half_open(self) -> None:
        """Events get lost, and nobody notices; calls go on."""
        for process in self._world.schedulers.values():
            if process.driver is not None and process.driver.connection is not None:
                process.driver.connection.wire.silent = True

    def stream_error(self) -> None:
        """The master says ERROR and ends the stream."""
        for process in self._world.schedulers.values():
            if process.driver is not None and process.driver.connection is not None:
                process.driver.connection.send({"type": "ERROR", "error": {"message": "something is wrong"}})
                process.driver.connection.finish()

    def scheduler_cut(self) -> None:
        """One scheduler's machine does not reach the master; the database it does."""
        name = self._random.choice(list(self._world.links))
        link, process = self._world.links[name], self._world.schedulers[name]
        link.cut, link.silent = True, self._random.random() < 0.5
        if process.driver is not None and process.driver.connection is not None:
            if link.silent:
                process.driver.connection.wire.silent = True
            else:
                self._world.master.hang_up(process.driver.connection.stream)
                process.driver.connection.close("connection reset by peer")

        def heal() -> None:
            link.cut = link.silent = False
            link.healed_us = self._world.timeline.now_us

        self._later(self._random.uniform(1.0, 200.0), f"cut of {name}", heal)

    # Schedulers

    def scheduler_killed(self) -> None:
        """kill -9, anywhere or at a boundary between two effects."""
        process = self._scheduler(leading=True)
        if process is None:
            return
        if self._random.random() < 0.25:
            process.kill()
            self._revive(process)
            return
        process.doom = (self._random.choice(PLACES), 0.0)

        def make_sure() -> None:
            process.kill()
            self._revive(process)

        self._later(self._random.uniform(1.0, HIT_S), f"{process} is dead", make_sure)

    def _revive(self, process: SchedulerProcess) -> None:
        name = process.name.partition(".")[0]
        if self._world.schedulers[name] is process:
            self._later(self._random.uniform(0.5, 60.0), f"{name} starts", lambda: self._restart(name, process))

    def _restart(self, name: str, process: SchedulerProcess) -> None:
        if self._world.schedulers[name] is process and process.ended:
            self._world.start_scheduler(name)

    def scheduler_stopped(self) -> None:
        """SIGSTOP, mostly for longer than its lease."""
        process = self._scheduler(leading=True)
        if process is None:
            return
        seconds = self._random.choice((2.0, 16.0, 20.0, 60.0, 120.0)) * self._random.uniform(0.8, 1.5)
        if self._random.random() < 0.4:
            self._world.note(f"{process} stops for {seconds:.1f} s")
            process.pause(seconds)
        else:
            process.doom = (self._random.choice(PLACES), seconds)

    def rolling_restart(self) -> None:
        """SIGTERM to each in turn, and a new one in its place."""
        for delay_s, name in zip((0.0, self._random.uniform(5.0, 60.0)), list(self._world.schedulers), strict=True):
            self._later(delay_s, f"restart of {name}", lambda name=name: self._replace(name))

    def _replace(self, name: str) -> None:
        process = self._world.schedulers[name]
        if process.ended:
            self._restart(name, process)
            return
        process.stop()

        def make_sure() -> None:
            process.kill()
            self._restart(name, process)

        self._later(self._random.uniform(3.0, 20.0), f"{process} has stopped", make_sure)

    def clock_jumps(self) -> None:
        """One scheduler's clock is set, by a few seconds or by minutes."""
        if (process := self._scheduler()) is not None:
            jump_s = self._random.choice((1.0, 10.0, 60.0, 600.0)) * self._random.uniform(-1.0, 1.0)
            self._world.judge.jumped_s += abs(jump_s)
            self._world.note(f"the clock of {process} jumps by {jump_s:.1f} s")
            process.offset_us += int(jump_s * 1e6)

    def black_out(self) -> None:
        """Everything dies at once, and comes back piece by piece; executors run on."""
        random = self._random
        self.master_fails_over()
        for host in self._world.agents.values():
            if host.machine is not None:
                host.kill()
                self._later(random.uniform(1.0, 300.0), f"{host.agent_id} is down", host.restart)
        for process in list(self._world.schedulers.values()):
            process.kill()
            name = process.name.partition(".")[0]
            self._later(random.uniform(1.0, 600.0), f"{name} starts", partial(self._restart, name, process))

    def database_cut(self) -> None:
        """One scheduler's machine does not reach the database; the master it does."""
        name = self._random.choice(list(self._world.links))
        link = self._world.links[name]
        link.database_cut = True

        def heal() -> None:
            link.database_cut, link.healed_us = False, self._world.timeline.now_us

        self._later(self._random.choice((3.0, 30.0, 120.0)) * self._random.uniform(0.5, 1.5), f"cut of {name}", heal)

    # The master

    def master_fails_over(self) -> None:
        """Another master leads; it knows the agents' names, or not even those, and nothing of tasks."""
        world, random = self._world, self._random
        if world.master.machine is None:
            return
        world.master.kill()
        for host in world.agents.values():
            host.lose_master()
        keeps = random.random() < 0.8
        down_s = random.uniform(0.1, 20.0)
        self._later(down_s, "a master leads", lambda: world.master.start(keeps_registry=keeps))
        for host in world.agents.values():
            self._later(down_s + random.uniform(0.1, 80.0), f"{host.agent_id} finds the master", host.heal)

    # Agents and executors

    def agent_killed(self) -> None:
        """kill -9; it comes back soon, or so late that it is unreachable meanwhile."""
        host = self._agent()
        if host.machine is not None:
            host.kill()
            seconds = self._random.choice((1.0, 10.0, 60.0, 200.0)) * self._random.uniform(0.5, 1.5)
            self._later(seconds, f"{host.agent_id} is down", host.restart)

    def agent_cut(self) -> None:
        """The master and the agent do not reach each other; noticed at once, or by nobody."""
        host = self._agent()
        host.cut(noticed=self._random.random() < 0.6)
        seconds = self._random.choice((1.0, 30.0, 90.0, 400.0)) * self._random.uniform(0.5, 1.5)
        self._later(seconds, f"cut of {host.agent_id}", host.heal)

    def agent_gone(self) -> None:
        """The machine burns; another one of its kind is bought."""
        host = self._agent()
        host.power_off()
        self._replace_agent(host)

    def _replace_agent(self, host: AgentHost) -> None:
        """What fits on the old one, after having run out of memory perhaps, has to find room again."""
        seconds = self._random.uniform(0.0, 120.0)
        self._later(seconds, "a new machine", lambda: self._world.add_agent(host.total))

    def _operate(self, kind: str, **body: Any) -> bool:
        """A call of the operator API, by hand."""
        return self._world.master.operate(to_text({"type": kind, kind.lower(): body}).encode()).is_sent

    def agent_marked_gone(self) -> None:
        """An operator tells the master that an agent never comes back, whether it is there or not."""
        host = self._agent()
        host.part()
        if self._operate("MARK_AGENT_GONE", agent_id={"value": host.agent_id}):
            self._later(400.0, f"{host.agent_id} is scrapped", host.power_off)
            self._replace_agent(host)

    def agent_maintained(self) -> None:
        """A window is planned; when it begins the machine is taken down, and comes back without its tasks."""
        host, random = self._agent(), self._random
        machine = {"hostname": host.settings.info["hostname"], "ip": "127.0.0.1"}
        start_s, seconds = random.uniform(30.0, 200.0), random.uniform(10.0, 200.0)
        begins = int((self._world.timeline.unix + start_s) * 1e9)
        lasts = {"start": {"nanoseconds": begins}, "duration": {"nanoseconds": int(seconds * 1e9)}}
        window = {"machine_ids": [machine], "unavailability": lasts}
        self._operate("UPDATE_MAINTENANCE_SCHEDULE", schedule={"windows": [window]})

        def take_down() -> None:
            host.part()
            self._operate("START_MAINTENANCE", machines=[machine])
            self._later(seconds, f"{host.agent_id} is up again", bring_up)

        def bring_up() -> None:
            if self._world.master.machine is None:
                self._later(5.0, f"{host.agent_id} is up again", bring_up)
            else:
                self._operate("STOP_MAINTENANCE", machines=[machine])
                host.restart()

        self._later(start_s, f"{host.agent_id} goes down", take_down)

    def operator_wishes(self) -> None:
        """`swath agents cordon` or `drain`, and in the end `undrain`."""
        host, random = self._agent(), self._random
        mode = random.choice((AgentMode.CORDONED, AgentMode.DRAINED))
        gone = mode is AgentMode.DRAINED and random.random() < 0.2
        self._want(host, mode, mark_gone=gone)
        if gone:
            host.part()
            self._later(400.0, f"{host.agent_id} is scrapped", host.power_off)
            self._replace_agent(host)
        else:
            seconds = random.uniform(5.0, 400.0)
            self._later(seconds, f"{mode} of {host.agent_id}", lambda: self._want(host, AgentMode.ACTIVE))

    def drain_refused(self) -> None:
        """`swath agents drain` where Mesos allows it to nobody of ours: the scheduler has to see to it by itself."""
        host, seconds = self._agent(), self._random.uniform(60.0, 900.0)
        self._world.mishaps.open("drain refused", seconds, 1.0)
        self._want(host, AgentMode.DRAINED)
        self._later(seconds, f"drain of {host.agent_id}", lambda: self._want(host, AgentMode.ACTIVE))

    def _want(self, host: AgentHost, mode: AgentMode, *, mark_gone: bool = False) -> None:
        if self._world.database.want_agent(host.agent_id, mode, mark_gone=mark_gone):
            self._world.note(f"an operator wants {host.agent_id} {mode}")
            self._world.notify()

    def executor_crashes(self) -> None:
        """kill -9 of an executor with all that it runs."""
        host = self._agent()
        if host.executors:
            self._random.choice(list(host.executors.values())).exit(9)

    # The database

    def database_down(self) -> None:
        """Nobody gets through."""
        seconds = self._random.choice((1.0, 5.0, 30.0)) * self._random.uniform(0.5, 1.5)
        self._world.trouble.down_until_us = self._world.timeline.now_us + int(seconds * 1e6)

    def database_slow(self) -> None:
        """Every visit takes seconds."""
        self._world.trouble.slow_until_us = self._world.timeline.now_us + int(self._random.uniform(5.0, 60.0) * 1e6)

    def commits_fail(self) -> None:
        """The next ones are undone."""
        self._world.trouble.failing_commits += self._random.randint(1, 3)

    def answers_lost(self) -> None:
        """The next commits succeed, and whoever made them never learns it."""
        self._world.trouble.lost_answers += self._random.randint(1, 2)


_KINDS: tuple[Callable[[Faults], None], ...] = (
    *(Faults.messages,) * 5,
    Faults.stream_breaks,
    Faults.stream_half_open,
    Faults.stream_error,
    Faults.scheduler_cut,
    *(Faults.scheduler_killed,) * 3,
    *(Faults.scheduler_stopped,) * 2,
    Faults.rolling_restart,
    Faults.clock_jumps,
    Faults.black_out,
    Faults.database_cut,
    *(Faults.master_fails_over,) * 2,
    *(Faults.agent_killed,) * 2,
    *(Faults.agent_cut,) * 2,
    Faults.agent_gone,
    Faults.agent_marked_gone,
    Faults.agent_maintained,
    Faults.operator_wishes,
    Faults.drain_refused,
    Faults.framework_wish,
    Faults.framework_removed,
    Faults.executor_crashes,
    Faults.database_down,
    Faults.database_slow,
    Faults.commits_fail,
    Faults.answers_lost,
)
