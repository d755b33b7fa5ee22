"""What the tests of the drivers share."""

from collections.abc import Iterator

import pytest

from tests.wire.driving import Drivers


@pytest.fixture
def drivers() -> Iterator[Drivers]:
    """Scheduler's drivers, ended with the test."""
    drivers = Drivers()
    yield drivers
    drivers.close()
