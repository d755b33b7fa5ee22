"""Projects and usage through the Python client, against the real service."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from swath.client import Client
from swath.domain import errors
from swath.domain.changes import AddUsage
from swath.domain.usage import Amounts
from tests.api.serving import TOKEN, Api
from tests.store.build import Scene


@pytest.fixture
def client(api: Api) -> Iterator[Client]:
    """A client of the service."""
    with Client(api.url, TOKEN) as connected:
        yield connected


def test_projects_are_set_found_and_removed(client: Client) -> None:
    """A name with a slash is one name; what is refused is raised as what the service raised."""
    client.set_project("land", {"weight": 2})
    forest = client.set_project("land/forest", {"parent": "land", "quota": {"cpus": 3}})

    assert [(project["name"], project["depth"]) for project in client.projects()] == [("land", 0), ("land/forest", 1)]
    assert client.project("land/forest") == forest
    with pytest.raises(errors.ConflictError, match="has others below it: land/forest"):
        client.remove_project("land")
    with pytest.raises(errors.InvalidInputError, match="must not be below 0"):
        client.set_project("land", {"quota": {"cpus": -1}})
    client.remove_project("land/forest")
    client.remove_project("land")
    assert client.projects() == []
    with pytest.raises(errors.NotFoundError):
        client.remove_project("land")


def test_usage_is_read_and_saved(client: Client, scene: Scene, tmp_path: Path) -> None:
    """More groups than a page of the service, by whatever is asked for, and the same as a sheet."""
    day = datetime.now(UTC).date()
    scene.apply(
        *(
            AddUsage(day=day, project=f"p{n:04}", user="ada", image="i:1", outcome="OOM", amounts=Amounts(attempts=1))
            for n in range(1001)
        )
    )

    rows = list(client.usage("project", "outcome", first=str(day), last=str(day), user="ada"))
    assert [row["project"] for row in rows] == [f"p{n:04}" for n in range(1001)]
    assert len(list(client.usage("project", limit=7))) == 7
    assert [row["attempts"] for row in client.usage(project="p0003")] == [1]
    saved = client.save_usage(tmp_path / "usage.csv", "project", first=str(day))
    assert len(saved.read_text().splitlines()) == 1002
    with pytest.raises(errors.InvalidInputError, match="is none of day"):
        client.save_usage(tmp_path / "no.csv", "colour")
    assert [path.name for path in tmp_path.glob("*.csv*")] == ["usage.csv"]
