"""What the tests of the drivers share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from swath.wire.scheduler import SchedulerDriver
from tests.wire.driving import Drivers
from tests.wire.standin import Recorder, StandIn


@pytest.fixture
def drivers() -> Iterator[Drivers]:
    """Scheduler's drivers, ended with the test."""
    drivers = Drivers()
    yield drivers
    drivers.close()


@pytest.fixture
def cluster(drivers: Drivers) -> Callable[..., tuple[StandIn, SchedulerDriver, Recorder]]:
    """start(*behaviours, **options): a stand-in that behaves so, or the one that is given, and a driver of it."""

    def start(*behaviours, standin=None, **options: Any):
        standin = standin or StandIn(*behaviours)
        driver, recorder, _ = drivers.start(standin, **options)
        return standin, driver, recorder

    return start
