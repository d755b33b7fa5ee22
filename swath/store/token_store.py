"""Tokens with a scope: made, found, listed, revoked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, or_, select

from swath.domain.errors import ConflictError, NotFoundError
from swath.domain.rights import TokenScope
from swath.store.database import Database
from swath.store.token_models import Token


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenRow:
    """A token, without its secret."""

    id: str
    name: str
    hash: str
    scope: TokenScope
    user: str
    project: str | None
    images: tuple[str, ...]
    created_by: str
    created_at: datetime
    expires_at: datetime


_FIELDS = tuple(TokenRow.__slots__)


class TokenStore:
    """The tokens of a database. Any method may raise StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: TokenRow) -> TokenRow:
        """Write the token; raises ConflictError where its name is taken."""
        with self._database.write() as session:
            if session.scalar(select(Token.id).where(Token.name == row.name)) is not None:
                raise ConflictError(
                    f"there is a token {row.name!r} already: revoke it first, or name this one otherwise"
                )
            values = {name: getattr(row, name) for name in _FIELDS}
            session.execute(insert(Token).values({**values, "images": list(row.images)}))
            return row

    def find(self, token_id: str) -> TokenRow | None:
        """The token with this id."""
        with self._database.read() as session:
            row = session.get(Token, token_id)
            return None if row is None else _to_row(row)

    def list_all(self) -> list[TokenRow]:
        """All tokens by name, those that have run out too."""
        with self._database.read() as session:
            return [_to_row(row) for row in session.scalars(select(Token).order_by(Token.name))]

    def remove(self, name: str) -> None:
        """Revoke the token of this name or id, from the next request on; raises NotFoundError."""
        with self._database.write() as session:
            gone = session.execute(delete(Token).where(or_(Token.name == name, Token.id == name)).returning(Token.id))
            if gone.first() is None:
                raise NotFoundError(f"there is no token {name!r}")


def _to_row(row: Token) -> TokenRow:
    return TokenRow(**{**{name: getattr(row, name) for name in _FIELDS}, "images": tuple(row.images)})
