"""The program around the loop: wait for the leadership, lead, and begin anew from the database whenever something breaks."""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from scheduler.core.effects import StopKind
from scheduler.core.reactor import Core
from scheduler.lease import RENEWALS, Lease
from scheduler.listing import AgentLister
from scheduler.loop import Inbox, Loop, Signal, Watch
from scheduler.metrics import Metrics
from scheduler.settings import Settings
from scheduler.shell import Shell, StoppedError
from scheduler.to_mesos import Writer
from scheduler.wishes import WishReader
from swath.domain.backoff import back_off_s
from swath.domain.errors import LeadershipLostError, StoreUnavailableError
from swath.domain.ids import make_ulid
from swath.store.api_store import ApiStore
from swath.store.database import Channel, Database
from swath.store.leadership import Leadership
from swath.store.notification import Listener
from swath.store.scheduling import SchedulerStore
from swath.wire.endpoints import Credential, TlsOptions
from swath.wire.scheduler import SchedulerDriver

log = structlog.get_logger()

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
JOIN_S = 5.0  # for the driver's thread to end

EXIT_REMOVED = 3  # the master has removed the framework, and nobody has allowed to register anew


class Scheduler:
    """One process. `stop` may be called from any thread and from a signal's handler."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._database = Database(settings.database_url)
        self._stopped = threading.Event()
        self._inbox = Inbox()
        self._failures = 0
        self._standing_by = False
        self._lease = Lease(
            Leadership(self._database),
            lease_s=settings.lease_s,
            find_leader=lambda: ApiStore(self._database).cluster_status().leader,
            clock=_now,
        )

    def stop(self) -> None:
        """Disconnect and leave; tasks run on (M4)."""
        self._stopped.set()
        self._inbox.put(Signal.STOP)

    def run(self) -> int:
        """Lead whenever nobody else does, until `stop`; returns the exit code."""
        try:
            while not self._stopped.is_set():
                self._stopped.wait(self._serve())
        except StoppedError as error:
            log.error("framework_removed", message=str(error), help="SWATH_REGISTER_ANEW=1 takes a new framework id")
            return EXIT_REMOVED
        finally:
            with suppress(StoreUnavailableError):
                self._lease.release()
            self._database.close()
        return 0

    def _serve(self) -> float:
        """Lead if nobody else does, as long as it goes well; returns the seconds after which to try again.

        Crash-only: whatever breaks ends the core, and nothing is acknowledged that was not committed; the next core begins
        from the database. Raises StoppedError when only an operator can help.
        """
        begun = time.monotonic()
        try:
            if self._lease.acquire():
                self._standing_by = False
                self._lead()
            elif not self._standing_by:
                self._standing_by = True
                log.info("standing_by", holder=self._lease.holder)
        except StoppedError as error:
            if error.stop.kind is StopKind.REMOVED and not self._settings.register_anew:
                raise
            log.error("stepped_down", kind=error.stop.kind, message=str(error))
            return FIRST_BACKOFF_S if error.stop.kind is StopKind.REMOVED else self._settings.lease_s
        except LeadershipLostError as error:
            log.warning("leadership_lost", reason=str(error))
        except Exception as error:
            return self._back_off(error, time.monotonic() - begun)
        return self._settings.lease_s / RENEWALS

    def _lead(self) -> None:
        """One core's life."""
        inbox = self._inbox = Inbox()
        store = SchedulerStore(self._database)
        settings = self._settings.make_core_settings()

        def load() -> Core:
            return Core.load(store.load(), settings, make_id=_make_id, now=_now())

        core = load()
        driver = self._make_driver(core, inbox)
        lister = AgentLister(driver, inbox.put)
        watch = Watch(Listener(self._database, Channel.DESIRED), inbox)
        writer = Writer(
            role=self._settings.role,
            executor=self._settings.make_executor(),
            outputs_root=str(self._settings.outputs_root.absolute()),
            read_items=store.read_items,
        )
        shell = Shell(
            store=store,
            driver=driver,
            fence=self._lease,
            writer=writer,
            list_agents=lister.request,
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
        )
        self._metrics.restarts.inc()
        self._metrics.leading.set(1)
        log.info("leading", holder=self._lease.holder, epoch=self._lease.epoch, jobs=len(core.state.jobs))
        try:
            for part in (lister, watch, driver):
                part.start()
            if not self._stopped.is_set():
                loop.run()
        finally:
            self._metrics.leading.set(0)
            for part in (driver, lister, watch):
                part.stop()
            driver.join(JOIN_S)

    def _make_driver(self, core: Core, inbox: Inbox) -> SchedulerDriver:
        """The driver, subscribing under the framework id that the database has, and suppressed when nothing waits (M28)."""
        settings = self._settings
        credential = None
        if settings.principal and settings.secret:
            credential = Credential(principal=settings.principal, secret=settings.secret)
        driver = SchedulerDriver(
            on_event=inbox.put,
            framework_info=settings.make_framework(),
            masters=settings.master,
            credential=credential,
            tls=TlsOptions(ca_file=str(settings.ca_file)) if settings.ca_file else None,
            suppressed=() if core.state.waiting else (settings.role,),
        )
        driver.set_framework_id(core.state.framework_id)
        return driver

    def _back_off(self, error: Exception, lived_s: float) -> float:
        """Seconds to wait, longer each time unless the core had lived well."""
        self._failures = 1 if lived_s > LONGEST_BACKOFF_S else self._failures + 1
        if isinstance(error, StoreUnavailableError):
            log.error("database_unavailable", reason=str(error))
        else:
            log.error("core_failed", exc_info=error)
        return back_off_s(FIRST_BACKOFF_S, self._failures - 1, longest_s=LONGEST_BACKOFF_S)


def _now() -> datetime:
    return datetime.now(UTC)


def _make_id(at: datetime) -> str:
    return make_ulid(at, secrets.token_bytes(10))
