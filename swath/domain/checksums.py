"""Checksums of files as STAC's file extension writes them: multihashes in hex."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The code and the length that a multihash begins with (https://github.com/multiformats/multicodec).
_ALGORITHMS = {"md5": "d50110", "sha1": "1114", "sha256": "1220", "sha512": "1340"}
_LENGTHS = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Checksum:
    """What the bytes of a file hash to."""

    algorithm: str  # as hashlib calls it
    digest: str  # lower case hex

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digest}"


def read_checksum(text: object) -> Checksum:
    """The checksum in a multihash ("1220...") or in words ("sha256:..."); raises ValueError for what is neither."""
    if not isinstance(text, str):
        raise ValueError("a checksum is text")
    for algorithm, prefix in _ALGORITHMS.items():
        for start in (prefix, f"{algorithm}:"):
            digest = text.lower().removeprefix(start)
            if len(digest) == 2 * _LENGTHS[algorithm] and len(text) > len(digest) and _HEX.fullmatch(digest):
                return Checksum(algorithm=algorithm, digest=digest)
    known = ", ".join(_ALGORITHMS)
    raise ValueError(f"is no checksum of the kinds {known}: a multihash in hex (1220...) or sha256:...")


def to_multihash(checksum: Checksum) -> str:
    """The checksum as `file:checksum` has it."""
    return _ALGORITHMS[checksum.algorithm] + checksum.digest
