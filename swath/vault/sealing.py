"""Secrets on their way to one executor, for one attempt: HPKE (RFC 9180). Whoever carries or keeps them reads nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from swath.domain.errors import InvalidInputError

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def seal(secrets: Mapping[str, str], public_key: bytes, attempt: str) -> bytes:
    """The secrets for whoever holds the key's other half, and for this attempt; raises InvalidInputError for no key."""
    try:
        key = X25519PublicKey.from_public_bytes(public_key)
        return _SUITE.encrypt(json.dumps(dict(secrets)).encode(), key, info=attempt.encode())
    except ValueError as error:
        raise InvalidInputError.at("/key", f"is no key: {error}") from None


class Opener:
    """A key that lives as long as one attempt's start, in memory only."""

    def __init__(self, key: X25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def make(cls) -> Self:
        """A new one."""
        return cls(X25519PrivateKey.generate())

    @property
    def public_key(self) -> bytes:
        """What may be told to everybody."""
        return self._key.public_key().public_bytes_raw()

    def open(self, sealed: bytes, attempt: str) -> dict[str, str]:
        """The secrets; raises InvalidInputError for what was not sealed for this key and attempt."""
        try:
            return dict(json.loads(_SUITE.decrypt(sealed, self._key, info=attempt.encode())))
        except (InvalidTag, ValueError):
            raise InvalidInputError.at("/sealed", "was not sealed for this attempt") from None
