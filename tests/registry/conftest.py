"""A hostile registry, and a client of it that waits for nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.registry.hostile import Asking, HostileServer


@pytest.fixture
def asking() -> Iterator[Asking]:
    """A registry that has nothing until a test says otherwise."""
    with HostileServer() as server:
        yield Asking(server, [])
