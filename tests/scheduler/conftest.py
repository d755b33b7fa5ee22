"""A cluster of real programs for the tests that ask for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scheduler.cluster import Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """`python -m local` and `python -m scheduler`, running."""
    made = Cluster(tmp_path)
    try:
        yield made.start_local().start_scheduler()
    finally:
        made.close()
