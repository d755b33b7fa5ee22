"""Sealed secrets: what they are, only a `swath.vault.keyring.Keyring` can say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from swath.domain.errors import NotFoundError
from swath.store.database import Database
from swath.store.secret_models import Secret


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretRow:
    """That there is a secret."""

    project: str
    name: str
    user: str  # who changed it last
    at: datetime


class SecretStore:
    """One method a question, each in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, row: SecretRow, sealed: str) -> None:
        """Keep a secret, or replace the one of this project and name."""
        values = {"user": row.user, "at": row.at, "sealed": sealed}
        with self._database.write() as session:
            dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
            insert = dialect.insert(Secret).values(project=row.project, name=row.name, **values)
            session.execute(insert.on_conflict_do_update(index_elements=["project", "name"], set_=values))

    def list(self, project: str | None = None) -> list[SecretRow]:
        """The secrets that there are, by project and name."""
        query = select(Secret.project, Secret.name, Secret.user, Secret.at).order_by(Secret.project, Secret.name)
        if project is not None:
            query = query.where(Secret.project == project)
        with self._database.read() as session:
            return [SecretRow(project=row[0], name=row[1], user=row[2], at=row[3]) for row in session.execute(query)]

    def find(self, project: str, names: Iterable[str]) -> dict[str, str]:
        """What is sealed under these names; a name without a secret is left out."""
        wanted = select(Secret.name, Secret.sealed).where(Secret.project == project, Secret.name.in_(list(names)))
        with self._database.read() as session:
            return {row[0]: row[1] for row in session.execute(wanted)}

    def remove(self, project: str, name: str) -> None:
        """Forget a secret. Raises NotFoundError."""
        gone = delete(Secret).where(Secret.project == project, Secret.name == name).returning(Secret.name)
        with self._database.write() as session:
            if session.scalar(gone) is None:
                raise NotFoundError(f"the project {project} has no secret {name}")

    def reseal(self, reseal: Callable[[str], str]) -> int:
        """Put every secret through `reseal`, all or none; how many there are."""
        with self._database.write() as session:
            rows = session.scalars(select(Secret).order_by(Secret.project, Secret.name).with_for_update()).all()
            for row in rows:
                row.sealed = reseal(row.sealed)
            return len(rows)
