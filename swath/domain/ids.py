"""Identifiers: ULIDs, so that ids sort by the time they were made in."""

from __future__ import annotations

import re
from datetime import datetime

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
ULID_LENGTH = 26
_ULID = re.compile(rf"[0-7][{ALPHABET}]{{{ULID_LENGTH - 1}}}")


def make_ulid(at: datetime, randomness: bytes) -> str:
    """A ULID (github.com/ulid/spec): 48 bits of milliseconds and the 80 bits of `randomness`, as 26 characters."""
    if len(randomness) != 10:
        raise ValueError("a ULID takes exactly 10 random bytes")
    number = (int(at.timestamp() * 1000) << 80) | int.from_bytes(randomness, "big")
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(5 * (ULID_LENGTH - 1), -1, -5))


def is_ulid(text: str) -> bool:
    """True for 26 characters that `make_ulid` could have made."""
    return _ULID.fullmatch(text) is not None
