"""The program around the loop: wait for the leadership, lead, and begin anew from the database whenever something breaks."""

from __future__ import annotations

import math
import queue
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from scheduler.core.reactor import Core
from scheduler.inbox import Inbox, Signal
from scheduler.lease import RENEWALS, Lease
from scheduler.listing import AgentLister
from scheduler.loop import CutOffError, Loop, Watch
from scheduler.losers import LoserSweeper
from scheduler.metrics import Metrics
from scheduler.operating import AgentOperator
from scheduler.pauses import STANDBY_S, Pauses
from scheduler.settings import Settings
from scheduler.shell import Shell, StoppedError
from scheduler.strongroom import Strongroom
from scheduler.to_mesos import Writer
from scheduler.wishes import WishReader
from swath.domain.errors import LeadershipLostError, SchemaError, StoreUnavailableError
from swath.domain.ids import make_ulid
from swath.store.api_store import ApiStore
from swath.store.database import Channel, Database
from swath.store.leadership import Leadership
from swath.store.notification import Listener
from swath.store.scheduling import SchedulerStore
from swath.store.schema import Schema
from swath.store.secret_store import SecretStore
from swath.wire.calls import Message
from swath.wire.scheduler import SchedulerDriver

log = structlog.get_logger()

JOIN_S = 5.0  # for the driver's thread to end


class _Part(Protocol):
    """What works on a thread of its own while this process leads."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Scheduler:
    """One process. `stop` may be called from any thread and from a signal's handler."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._database = Database(settings.database_url)
        self._schema = Schema(self._database)
        self._stopped = False
        self._wakeups: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._inbox = Inbox()
        self._pauses = Pauses(settings.cut_off_s)
        self._said = ""  # why this process does not lead, as it was last logged
        self._lease = Lease(Leadership(self._database), lease_s=settings.lease_s, clock=_now, uptime=_read_uptime)

    def stop(self) -> None:
        """Disconnect and leave; tasks run on (M4).

        A signal's handler runs between any two steps of this thread: a SimpleQueue may be entered anew in the middle of its
        own methods, an Event, whose lock the interrupted step may hold, may not.
        """
        self._stopped = True
        self._wakeups.put(None)
        self._inbox.put(Signal.STOP)

    def run(self) -> int:
        """Lead whenever nobody else does, until `stop`; returns the exit code."""
        try:
            while not self._stopped:
                wait_s = self._serve()
                with suppress(queue.Empty):
                    self._wakeups.get(timeout=wait_s)
        finally:
            self._release()
            self._database.close()
        return 0

    def _release(self) -> None:
        with suppress(StoreUnavailableError):
            self._lease.release()

    def _serve(self) -> float:
        """Lead if nobody else does, as long as it goes well; returns the seconds after which to try again.

        Crash-only: whatever breaks ends the core, and nothing is acknowledged that was not committed; the next core begins
        from the database.
        """
        begun = time.monotonic()
        try:
            self._lead_or_stand_by()
        except StoppedError as error:
            log.error("core_stopped", kind=error.stop.kind, message=str(error))
            return self._pauses.on_stopped(error.stop, time.monotonic() - begun)
        except LeadershipLostError as error:
            log.warning("leadership_lost", reason=str(error))
        except CutOffError as error:
            log.error("cut_off", reason=str(error))
            self._release()
            return self._pauses.on_cut_off(time.monotonic() - begun)
        except Exception as error:
            self._tell_failure(error)
            return self._pauses.on_failed(time.monotonic() - begun)
        return min(STANDBY_S, self._settings.lease_s / RENEWALS)

    def _lead_or_stand_by(self) -> None:
        """Act only on a schema that this version knows; looked at again once nobody can migrate without deposing us."""
        try:
            self._schema.check()
            if not self._lease.acquire():
                self._metrics.readiness.on_standby()
                self._say("standing_by", holder=self._lease.holder)
                return
            self._schema.check()
        except SchemaError as error:
            self._release()
            self._metrics.readiness.on_failed(str(error))
            self._say("schema_unknown", reason=str(error))
            return
        self._said = ""
        self._lead()

    def _say(self, event: str, **data: str) -> None:
        """Once, not at every look."""
        if self._said != (said := f"{event} {data}"):
            self._said = said
            (log.info if event == "standing_by" else log.error)(event, **data)

    def _lead(self) -> None:
        """One core's life."""
        inbox = self._inbox = Inbox()
        store = SchedulerStore(self._database)
        settings = self._settings.make_core_settings()
        self._pauses.on_leading(self._lease.epoch)

        def load() -> Core:
            return Core.load(store.load(), settings, make_id=_make_id, now=_now(), removed=self._pauses.removed)

        core = load()
        self._lease.check()  # loading may have taken longer than the lease lasts: nobody else leads, or we do not subscribe
        driver = self._make_driver(core, inbox)
        lister = AgentLister(driver, inbox.put)
        operator = AgentOperator(driver, inbox.put, may_act=lambda: self._lease.is_current)
        watch = Watch(Listener(self._database, Channel.DESIRED), inbox)
        parts: tuple[_Part, ...] = (lister, operator, watch, *self._make_sweeper(store))
        writer = Writer(
            role=self._settings.role,
            framework=self._settings.make_framework(),
            executor=self._settings.make_executor(),
            outputs_root=self._settings.outputs_root,
            read_items=store.read_items,
            answer_secrets=Strongroom(
                store=SecretStore(self._database), key_file=self._settings.secrets_key_file
            ).answer,
        )
        shell = Shell(
            store=store,
            driver=driver,
            fence=self._lease,
            writer=writer,
            list_agents=lister.request,
            operate=operator.operate,
            metrics=self._metrics,
        )
        loop = Loop(
            core=core,
            load=load,
            shell=shell,
            jobs=WishReader(store, ApiStore(self._database)),
            inbox=inbox,
            lease=self._lease,
            metrics=self._metrics,
            prune=store.prune,
            cut_off_s=math.inf if core.state.outside else self._pauses.cut_off_s,
        )
        self._metrics.on_leading(driver, core.state.outside)
        log.info("leading", holder=self._lease.holder, epoch=self._lease.epoch, jobs=len(core.state.jobs))
        try:
            for part in parts:
                part.start()
            if core.state.outside is None:
                driver.start()
            else:
                log.warning("outside_of_mesos", reason=core.state.outside)
            if not self._stopped:
                loop.run()
        finally:
            self._metrics.on_led()
            for part in (driver, *parts):
                part.stop()
            if self._stopped:  # nothing goes out any more: the next one need not wait for a thread's end
                self._release()
            driver.join(JOIN_S)

    def _make_sweeper(self, store: SchedulerStore) -> Iterator[LoserSweeper]:
        """One where outputs lie in an object store of which this scheduler is told."""
        settings = self._settings
        if settings.s3_file is not None and settings.outputs_root.startswith("s3://"):
            keep = timedelta(days=settings.losers_days)
            yield LoserSweeper(store=store, root=settings.outputs_root, stores=settings.s3_file, keep=keep)

    def _make_driver(self, core: Core, inbox: Inbox) -> SchedulerDriver:
        """The driver, subscribing under the framework id that the database has, and suppressed when nothing waits (M28)."""
        settings = self._settings

        def receive(message: Message) -> None:
            self._metrics.pending.on_event(message)
            inbox.put(message)

        driver = SchedulerDriver(
            on_event=receive,
            observer=self._metrics,
            framework_info=settings.make_framework(),
            masters=settings.master,
            credential=settings.make_credential(),
            tls=settings.make_tls(),
            suppressed=() if core.state.waiting else (settings.role,),
            may_subscribe=lambda: self._lease.is_current,
        )
        driver.set_framework_id(core.state.framework_id)
        return driver

    def _tell_failure(self, error: Exception) -> None:
        self._metrics.readiness.on_failed(f"{type(error).__name__}: {error}")
        if isinstance(error, StoreUnavailableError):
            log.error("database_unavailable", reason=str(error))
        else:
            log.error("core_failed", exc_info=error)


def _now() -> datetime:
    return datetime.now(UTC)


def _read_uptime() -> float:
    """Seconds that go on while the machine sleeps, and that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _make_id(at: datetime) -> str:
    return make_ulid(at, secrets.token_bytes(10))
