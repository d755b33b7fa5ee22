"""Whose a bearer token is: the one of the token file, who may do everything, or one of the database, with a scope."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime

import anyio.to_thread

from swath.domain.errors import UnauthorizedError
from swath.domain.ids import make_ulid
from swath.domain.rights import Caller, split_token
from swath.store.token_store import TokenStore

_SECRET_BYTES = 32


class Keys:
    """Finds the caller of a request."""

    def __init__(self, token: str, user: str, store: TokenStore, now: Callable[[], datetime]) -> None:
        self._token = token.encode()
        self._root = Caller(user=user)
        self._store = store
        self._now = now

    async def find(self, authorization: str) -> Caller:
        """The caller that an Authorization header names; raises UnauthorizedError."""
        scheme, _, given = authorization.partition(" ")
        given = given.strip()
        if scheme.lower() != "bearer":
            raise _unknown()
        # "constant time": the comparison tells nothing of how many characters were right
        if hmac.compare_digest(given.encode("utf-8", "replace"), self._token):
            return self._root
        parts = split_token(given)
        row = None if parts is None else await anyio.to_thread.run_sync(self._store.find, parts[0])
        if parts is None or row is None or not hmac.compare_digest(row.hash, to_hash(parts[1])):
            raise _unknown()
        if row.expires_at <= self._now():
            raise UnauthorizedError(
                f"the token {row.name!r} ran out at {row.expires_at:%Y-%m-%d %H:%M} UTC: make a new one"
            )
        return Caller(user=row.user, scope=row.scope, project=row.project, images=row.images)


def make_secret() -> str:
    """The secret part of a new token."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def make_id(now: datetime) -> str:
    """The public part."""
    return make_ulid(now, secrets.token_bytes(10))


def to_hash(secret: str) -> str:
    """What is stored of a secret. It is 256 random bits: a slow hash would protect nothing more."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _unknown() -> UnauthorizedError:
    return UnauthorizedError(
        "the bearer token is missing or wrong: send 'Authorization: Bearer TOKEN' with the text of the token file, "
        "or of a token that `swath tokens create` made"
    )
