"""A cluster of real programs on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.availability import Availability


@pytest.fixture
def ha(tmp_path: Path, postgres_database: str) -> Iterator[Availability]:
    made = Availability(tmp_path, postgres_database)
    try:
        yield made
    finally:
        made.close()
