"""Secrets in the database: kept sealed, replaced, found by project, sealed anew all or none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from swath.domain.errors import NotFoundError
from swath.store.database import Database
from swath.store.secret_store import SecretRow, SecretStore
from tests.store.build import NOW

ROW = SecretRow(project="forest", name="TOKEN", user="ada", at=NOW)


@pytest.fixture
def secrets(database: Database) -> SecretStore:
    """The secrets of an empty database."""
    return SecretStore(database)


def test_a_secret_is_found_by_its_project_and_name(secrets: SecretStore) -> None:
    """Another project's of the same name is another one; names without a secret are left out."""
    secrets.put(ROW, "sealed-1")
    secrets.put(replace(ROW, project="sea"), "sealed-2")

    assert secrets.find("forest", ["TOKEN", "OTHER"]) == {"TOKEN": "sealed-1"}
    assert secrets.find("land", ["TOKEN"]) == {}
    assert secrets.list() == [ROW, replace(ROW, project="sea")]
    assert secrets.list("forest") == [ROW]


def test_a_secret_is_replaced_and_forgotten(secrets: SecretStore) -> None:
    """The last one counts; one that is not there is not found."""
    secrets.put(ROW, "old")
    secrets.put(replace(ROW, user="bob"), "new")
    assert (secrets.find("forest", ["TOKEN"]), secrets.list()[0].user) == ({"TOKEN": "new"}, "bob")

    secrets.remove("forest", "TOKEN")

    assert secrets.list() == []
    with pytest.raises(NotFoundError, match="forest has no secret TOKEN"):
        secrets.remove("forest", "TOKEN")


def test_all_are_sealed_anew_or_none(secrets: SecretStore, database: Database) -> None:
    """What goes wrong with the second leaves the first as it was."""
    for number in range(3):
        secrets.put(replace(ROW, name=f"S{number}"), f"old-{number}")

    def fail_at_the_second(sealed: str) -> str:
        if sealed == "old-1":
            raise ValueError
        return "new"

    with pytest.raises(ValueError):
        secrets.reseal(fail_at_the_second)
    assert secrets.find("forest", ["S0"]) == {"S0": "old-0"}

    assert secrets.reseal(lambda sealed: sealed.replace("old", "new")) == 3
    with database.read() as session:
        assert [row[0] for row in session.execute(text("SELECT sealed FROM secrets ORDER BY name"))] == [
            f"new-{number}" for number in range(3)
        ]
