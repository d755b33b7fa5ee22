"""The program around the loop: what comes before a core's first turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler import program
from scheduler.core.reactor import Core
from scheduler.inbox import Inbox
from scheduler.metrics import Metrics
from scheduler.settings import Settings
from swath.store.rows import Snapshot
from swath.store.scheduling import SchedulerStore
from swath.wire.scheduler import SchedulerDriver


def test_m06_who_has_loaded_for_longer_than_a_lease_lasts_asks_for_it_before_subscribing(
    sqlite_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A driver is refused a SUBSCRIBE without the lead, and tries again only after a pause."""
    uptime = [0.0]
    led: list[bool] = []

    class SlowStore(SchedulerStore):
        def load(self) -> Snapshot:
            uptime[0] += 60
            return super().load()

    class Observed(program.Scheduler):
        def _make_driver(self, core: Core, inbox: Inbox) -> SchedulerDriver:
            led.append(self._lease.is_current)
            self.stop()
            return super()._make_driver(core, inbox)

    monkeypatch.setattr(program, "_read_uptime", lambda: uptime[0])
    monkeypatch.setattr(program, "SchedulerStore", SlowStore)
    settings = Settings(
        database_url=sqlite_database, outputs_root=tmp_path, executor_command="false", master="127.0.0.1:1"
    )
    assert Observed(settings, Metrics()).run() == 0
    assert led == [True]
