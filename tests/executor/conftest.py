"""The executor under a stand-in of an agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.executor.agent import Agent
from tests.executor.web_server import LETTERS, Site, serving


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """One executor for a module's tests: it runs many attempts side by side anyway."""
    agent = Agent(tmp_path_factory.mktemp("agent")).start()
    yield agent
    agent.stop()


@pytest.fixture
def own_agent(tmp_path: Path) -> Iterator[Agent]:
    """An executor of a test's own, to be hurt."""
    agent = Agent(tmp_path).start()
    yield agent
    agent.stop()


@pytest.fixture
def site() -> Iterator[Site]:
    """A server that has one file."""
    with serving() as site:
        site.files["/a/scene.tif"] = LETTERS
        yield site
