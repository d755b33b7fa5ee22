"""The executor under a stand-in of an agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.domain.attempts import ImageSource
from tests.executor.agent import Agent
from tests.executor.programs import PROGRAMS, docker, make_image
from tests.executor.web_server import LETTERS, Site, serving


@pytest.fixture(scope="module")
def agent(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """One executor for a module's tests, with what the module's ENVIRON says: it runs many attempts side by side anyway."""
    agent = Agent(tmp_path_factory.mktemp("agent"), **getattr(request.module, "ENVIRON", {})).start()
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def image() -> Iterator[ImageSource]:
    """An image with a shell and little else; removed in the end."""
    image_id = make_image(PROGRAMS)
    yield ImageSource(name="shell", version="1.0.0", image_id=image_id)
    docker("rmi", "--force", image_id)


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
