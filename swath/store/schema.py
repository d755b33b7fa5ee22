"""Which schema a database has, and whether this version of Swath knows it: read often, so without Alembic's 11 MB."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import inspect, text

from swath.domain.errors import InternalError, SchemaError
from swath.store.database import Database

SCRIPTS = Path(__file__).resolve().parents[2] / "migrations"  # of the checkout or of the application image
MIGRATE = "python -m swath.store.migrate"
TABLE = "alembic_version"
_REVISION = re.compile(r"^(down_revision|revision)\b[^=\n]*=\s*(?:[\"']([^\"']+)[\"']|None)", re.MULTILINE)


class Schema:
    """The history of migrations as this version of Swath has it, held against a database."""

    def __init__(self, database: Database, scripts: Path = SCRIPTS) -> None:
        """Raises InternalError where the migrations are missing."""
        self._database = database
        self._known, self.head = read_history(scripts)

    def check(self) -> None:
        """Return when the database is at the newest schema that this version knows.

        Raises SchemaError, which says what to do, when it is older, newer or empty, and StoreUnavailableError.
        """
        found = find_revision(self._database)
        if found == self.head:
            return
        if found is None:
            raise SchemaError(
                f"the database has no schema yet, this version of Swath needs {self.head}: run `{MIGRATE}`"
            )
        if found in self._known:
            raise SchemaError(
                f"the database's schema {found} is older than {self.head}, which this version of Swath needs:"
                f" stop all schedulers, then run `{MIGRATE}` of this version"
            )
        raise SchemaError(
            f"this version of Swath ends at schema {self.head} and does not know the database's, {found}, which a newer version"
            " has made: start that version's scheduler instead of this one"
        )


def find_revision(database: Database) -> str | None:
    """The revision that the database is at; None for an empty one. Raises StoreUnavailableError."""
    with database.read() as session:
        if not inspect(session.connection()).has_table(TABLE):
            return None
        found: str | None = session.scalar(text(f"SELECT version_num FROM {TABLE}"))  # noqa: S608 (a constant)
        return found


def read_history(scripts: Path) -> tuple[frozenset[str], str]:
    """(every revision, the newest) of a folder of migrations. Raises InternalError unless it is one line of descent."""
    written = [dict(_REVISION.findall(path.read_text())) for path in scripts.glob("versions/*.py")]
    revisions = {names["revision"] for names in written}
    heads = revisions - {names.get("down_revision") for names in written}
    if len(heads) != 1:
        raise InternalError(f"{scripts} holds no line of migrations: it ends in {sorted(heads) or 'nothing'}")
    return frozenset(revisions), heads.pop()
