"""One process of the scheduler: the real shell, loop and lease around the real core (scheduler/program.py)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from scheduler.core.from_mesos import to_agents
from scheduler.core.reactor import Core
from scheduler.inbox import Inbox, Item, Signal
from scheduler.lease import Lease
from scheduler.loop import POLL_S, CutOffError, Loop
from scheduler.metrics import Metrics
from scheduler.operating import to_answer, to_call
from scheduler.pauses import STANDBY_S, Pauses
from scheduler.shell import StoppedError
from swath.domain.errors import LeadershipLostError, StoreUnavailableError
from swath.domain.ids import make_ulid
from swath.domain.wishes import AgentMode, AgentWish
from swath.wire.channel import CallResult, Outcome
from tests.simulation.database import StorePort
from tests.simulation.driver import SimDriver
from tests.simulation.fibers import Fiber, Killed
from tests.simulation.network import LATENCY_S
from tests.simulation.timeline import Planned

if TYPE_CHECKING:
    from tests.simulation.world import World

LEASE_S, CUT_OFF_S = 15.0, 60.0
LAZINESS = 4  # standbys look for the lead so many times more rarely than the real ones: it costs less


class NotHere(Exception):
    """Only the process' own thread may do this."""


class Link:
    """The way from one scheduler's machine to the master, and to the database."""

    def __init__(self, world: World, name: str) -> None:
        self._random = world.random(f"link {name}")
        self.cut = False
        self.database_cut = False
        self.healed_us = 0  # when it last came out of a cut
        self.silent = False  # cut, and nobody is told: only time-outs show it

    def draw_latency_s(self) -> float:
        """One way."""
        return self._random.uniform(*LATENCY_S)


class SimInbox(Inbox):
    """The loop's queue, waiting on virtual time."""

    def __init__(self, process: SchedulerProcess) -> None:
        super().__init__()
        self._process = process

    def put(self, item: Item) -> None:
        """From the timeline."""
        super().put(item)
        self._process.wake()

    def take(self, timeout_s: float) -> list[Item]:
        """From the scheduler's own thread."""
        if self._queue.empty() and timeout_s > 0:
            self._process.sleep(timeout_s, f"{self._process} wakes", may_wake=True)
        return super().take(0.0)


class SchedulerProcess:
    """From its start to its end, by whichever means."""

    def __init__(self, world: World, name: str, number: int, link: Link) -> None:
        self.world = world
        self.name = f"{name}.{number}"
        self.link = link
        self.dead = False  # killed: whatever it still tries comes to nothing
        self.epoch: int | None = None
        self.offset_us = 0  # how fast its clock is
        self.paused_until_us = 0
        self.driver: SimDriver | None = None
        self.doom: tuple[str, float] | None = None  # a place in its code, and for how long it stops there (0: for ever)
        self._inbox = SimInbox(self)
        self._stopping = False
        self._waiting = False
        self._standing_by = False
        self._aside = False  # another thread looks at the lead for it
        self._pauses = Pauses(CUT_OFF_S)
        self._listing = False
        self._wake: Planned | None = None
        self._deferred: list[Callable[[], None]] = []
        self._store = StorePort(self)
        self._ids = world.random(f"ids {self.name}")
        self._metrics = Metrics()
        self._lease = Lease(
            self._store,
            lease_s=LEASE_S,
            clock=self.clock,
            uptime=lambda: world.timeline.now,
            holder=self.name,
        )
        self.fiber = Fiber(world.fibers, self._main, self.name)
        self._plan_wake(0.0, f"{self.name} starts")

    def __str__(self) -> str:
        return self.name

    def clock(self) -> datetime:
        """What its machine shows."""
        return self.world.timeline.moment(self.offset_us)

    @property
    def ended(self) -> bool:
        """True when there is no such process any more."""
        return self.dead or self.fiber.ended

    @property
    def is_well(self) -> bool:
        """False when it cannot be expected to react within seconds, or has only just come to its senses."""
        recently_us = self.world.timeline.now_us - 30_000_000
        trouble = self.world.trouble
        trouble_until_us = max(self.paused_until_us, trouble.slow_until_us, trouble.down_until_us, self.link.healed_us)
        cut = self.link.cut or self.link.database_cut
        return not self.ended and not cut and trouble_until_us < recently_us

    # Blocking, on its own thread

    def sleep(self, seconds: float, label: str, *, may_wake: bool = False) -> None:
        """Let virtual time pass."""
        if self.dead:
            raise Killed
        if not may_wake and self.paused_until_us <= self.world.timeline.now_us and self.world.timeline.skip(seconds):
            self.world.note(label)
            return
        self._waiting = may_wake
        self._plan_wake(seconds, label)
        self.fiber.block()
        self._waiting = False

    def reach(self, place: str) -> None:
        """A boundary between two effects: where faults may wait for it."""
        if self.dead:
            raise Killed
        if self.doom is None or self.doom[0] != place:
            return
        pause_s, self.doom = self.doom[1], None
        if not pause_s:
            self.world.note(f"{self} is killed {place}")
            self._die()
            raise Killed
        self.world.note(f"{self} stops {place} for {pause_s:.1f} s")
        self.pause(pause_s)
        self.sleep(0.0, f"{self} goes on")

    # From the timeline

    def wake(self) -> None:
        """Something is in its inbox."""
        if self._waiting and self._wake is not None:
            self._waiting = False
            self._wake.cancel()
            self._plan_wake(0.0, f"{self} is woken")

    def _plan_wake(self, seconds: float, label: str) -> None:
        self._wake = self.world.timeline.after(seconds, label, self._resume)

    def _resume(self) -> None:
        if self.dead:
            return
        left_us = self.paused_until_us - self.world.timeline.now_us
        if left_us > 0:
            self._plan_wake(left_us / 1e6, f"{self} goes on")
        elif self._standing_by and self._looks_in_vain():
            self._waiting = True
            self._plan_wake(STANDBY_S * LAZINESS, f"{self} tries again")
        else:
            self.fiber.resume()

    def _looks_in_vain(self) -> bool:
        """A standby's look at the lead, on whichever thread carries the time on: nearly all of them are in vain, and handing
        over to its own would cost more than all that it does there. False where that thread has to look: where it may block.
        """
        self._aside = True
        try:
            return not self._stopping and not self._lease.acquire()
        except (NotHere, StoreUnavailableError):
            return False
        finally:
            self._aside = False

    def come_home(self) -> None:
        """Before anything that takes time."""
        if self._aside:
            raise NotHere

    def defer(self, act: Callable[[], None]) -> None:
        """Its other threads' work: now, or once a stopped process runs again."""
        if self.dead:
            return
        left_us = self.paused_until_us - self.world.timeline.now_us
        if left_us <= 0 and not self._deferred:
            act()
            return
        self._deferred.append(act)
        if len(self._deferred) == 1:
            self.world.timeline.after(left_us / 1e6, f"{self} catches up", self._catch_up)

    def _catch_up(self) -> None:
        left_us = self.paused_until_us - self.world.timeline.now_us
        if left_us > 0:
            self.world.timeline.after(left_us / 1e6, f"{self} catches up", self._catch_up)
            return
        deferred, self._deferred = self._deferred, []
        for act in deferred:
            if not self.dead:
                act()

    def pause(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after `seconds`."""
        self.paused_until_us = max(self.paused_until_us, self.world.timeline.now_us + int(seconds * 1e6))

    def kill(self) -> None:
        """kill -9."""
        if not self.ended:
            self._die()
            self.fiber.resume(Killed())

    def _die(self) -> None:
        self.dead = True
        if self._wake is not None:
            self._wake.cancel()
        if self.driver is not None:
            self.driver.stop()

    def stop(self) -> None:
        """SIGTERM."""
        self._stopping = True
        self._inbox.put(Signal.STOP)

    # The program

    def _main(self) -> None:
        try:
            while not self._stopping:
                wait_s = self._serve()
                self._standing_by = True
                self.sleep(0.0 if self._stopping else wait_s, f"{self} tries again", may_wake=True)
                self._standing_by = False
        finally:
            if not self.dead:
                with suppress(StoreUnavailableError):
                    self._lease.release()

    def _serve(self) -> float:
        """scheduler.program.Scheduler._serve."""
        begun = self.world.timeline.now
        try:
            if self._lease.acquire():
                self._lead()
        except StoppedError as error:
            self.world.note(f"the core of {self} stops: {error.stop.kind}: {error}")
            return self._pauses.on_stopped(error.stop, self.world.timeline.now - begun)
        except LeadershipLostError as error:
            self.world.note(f"{self} has lost the leadership: {error}")
        except CutOffError as error:
            self.world.note(f"{self} is cut off: {error}")
            with suppress(StoreUnavailableError):
                self._lease.release()
            return self._pauses.on_cut_off(self.world.timeline.now - begun)
        except StoreUnavailableError as error:
            self.world.note(f"{self} begins anew: {error}")
            return self._pauses.on_failed(self.world.timeline.now - begun)
        return STANDBY_S * LAZINESS

    def _lead(self) -> None:
        """scheduler.program.Scheduler._lead."""
        self.epoch = self._lease.epoch
        self._pauses.on_leading(self.epoch)
        self._inbox = SimInbox(self)
        if self._stopping:
            return
        core = self._load()
        self._lease.check()
        world = self.world
        self.driver = SimDriver(
            self,
            on_event=self._inbox.put,
            framework=world.framework,
            framework_id=core.state.framework_id,
            suppressed=() if core.state.waiting else (world.role,),
            may_subscribe=lambda: self._lease.is_current,
        )
        shell = world.make_shell(
            store=self._store,
            driver=self.driver,
            fence=self._lease,
            writer=world.make_writer(self._store.read_items),
            list_agents=self._list_agents,
            operate=self._operate,
            metrics=self._metrics,
            clock=lambda: world.timeline.now,
        )
        loop = Loop(
            core=core,
            load=self._load,
            shell=shell,
            jobs=self._store,
            inbox=self._inbox,
            lease=self._lease,
            metrics=self._metrics,
            prune=lambda now: 0,
            cut_off_s=math.inf if core.state.outside else self._pauses.cut_off_s,
            clock=self.clock,
        )
        try:
            if core.state.outside is None:
                self.driver.start()
            self._poll(self._inbox)
            loop.run()
        finally:
            self.epoch = None
            self.driver.stop()

    def _load(self) -> Core:
        snapshot = self._store.load()
        return self.world.load_core(snapshot, make_id=self._make_id, now=self.clock(), removed=self._pauses.removed)

    def _make_id(self, at: datetime) -> str:
        return make_ulid(at, self._ids.randbytes(10))

    # What the other threads do

    def _poll(self, inbox: SimInbox) -> None:
        """scheduler.loop.Watch."""
        if inbox is self._inbox and not self.ended and self.epoch is not None:
            self.world.timeline.after(POLL_S, f"{self} polls", lambda: self._poll(inbox))
            self.defer(lambda: inbox.put(Signal.DESIRED))

    def notify(self) -> None:
        """The database has news."""
        self.defer(lambda: self._inbox.put(Signal.DESIRED))

    def _list_agents(self) -> None:
        """scheduler.listing.AgentLister."""
        if self._listing or self.driver is None or not self.driver.connected:
            return
        self._listing = True
        asked_at, inbox = self.clock(), self._inbox

        def answer() -> None:
            self._listing = False
            document = (
                None if self.link.cut or self.world.mishaps.strikes("list lost") else self.world.master.list_agents()
            )
            if document is not None:
                latency_s = self.link.draw_latency_s()
                listed = to_agents(document, asked_at)
                self.world.timeline.after(latency_s, f"agents of {self}", lambda: self.defer(lambda: inbox.put(listed)))

        self.world.timeline.after(self.link.draw_latency_s(), f"GET_AGENTS of {self}", answer)

    def _operate(self, wish: AgentWish) -> None:
        """scheduler.operating.AgentOperator."""
        inbox, driver = self._inbox, self.driver

        def ask() -> None:
            connected = driver is not None and driver.connected and not self.link.cut and self._lease.is_current
            result = CallResult(outcome=Outcome.NOT_CONNECTED, message="the framework is not subscribed")
            if connected and not self.world.mishaps.strikes("operator lost"):
                if wish.mode is AgentMode.DRAINED and self.world.mishaps.strikes("drain refused"):
                    result = CallResult(outcome=Outcome.FAILED, status=403, message="not authorized to drain agents")
                else:
                    result = self.world.master.operate(json.dumps(to_call(wish)).encode())
            answer = to_answer(wish, result)
            self.world.note(f"{wish.mode} of {wish.agent_id}: {answer.problem or 'done'}")
            latency_s = self.link.draw_latency_s()
            self.world.timeline.after(latency_s, f"answer to {self}", lambda: self.defer(lambda: inbox.put(answer)))

        self.world.timeline.after(self.link.draw_latency_s(), f"operator call of {self}", ask)
