"""How an executor asks for an attempt's secrets, and how they come: by Mesos' MESSAGE, sealed for that attempt alone.

Mesos keeps no message, and may lose one: the executor asks again until it is answered.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any, Self

from swath.domain.document import Document
from swath.domain.ids import is_ulid

WANTED, SEALED = "secrets-wanted", "secrets"  # the kinds
_KEY_BYTES = 32  # of X25519
_MOST_WORDS = 1000  # characters of a problem


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretsOrder(Document):
    """An executor wants the secrets of an attempt that it starts."""

    kind: str = WANTED
    version: int = 1
    attempt: str
    key: str  # base64 of the public key that they are to be sealed for

    @classmethod
    def make(cls, attempt: str, key: bytes) -> Self:
        """The message."""
        return cls(attempt=attempt, key=b64encode(key).decode())

    @property
    def key_bytes(self) -> bytes:
        """The key itself."""
        return b64decode(self.key)

    @classmethod
    def _typed(cls, document: dict[str, Any]) -> dict[str, Any]:
        if not (isinstance(document["attempt"], str) and is_ulid(document["attempt"])):
            raise ValueError("no attempt")
        if len(b64decode(document["key"], validate=True)) != _KEY_BYTES:
            raise ValueError("no key")
        return {**document, "kind": WANTED}


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretsAnswer(Document):
    """What an executor asked for, or why it cannot have it."""

    kind: str = SEALED
    version: int = 1
    attempt: str
    sealed: str | None = None  # base64
    problem: str | None = None

    @classmethod
    def make(cls, attempt: str, sealed: bytes) -> Self:
        """The message."""
        return cls(attempt=attempt, sealed=b64encode(sealed).decode())

    @property
    def sealed_bytes(self) -> bytes:
        """What only the one who asked can open."""
        return b64decode(self.sealed or "")

    @classmethod
    def _typed(cls, document: dict[str, Any]) -> dict[str, Any]:
        sealed, problem = document.get("sealed"), document.get("problem")
        if not (isinstance(document["attempt"], str) and is_ulid(document["attempt"])):
            raise ValueError("no attempt")
        if sealed is not None:
            b64decode(sealed, validate=True)
        if not (problem is None or (isinstance(problem, str) and len(problem) <= _MOST_WORDS)):
            raise ValueError("an impossible problem")
        return {**document, "kind": SEALED}
