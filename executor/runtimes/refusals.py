"""What the engine's words about a pull mean: whose trouble it is, and whether it passes. Pure.

The engine's API has no codes for this; the words are those of moby and of the registries' protocol.
"""

from __future__ import annotations

import re

from executor.staging import StartError
from swath.domain.retries import Cause


class PassingError(StartError):
    """An image cannot be had just now."""


class FullError(StartError):
    """There is no room on the engine's disk."""


# The first that is found in the engine's words counts.
_MEANINGS: tuple[tuple[str, type[StartError], Cause, str], ...] = (
    (
        "no space left on device|disk quota exceeded",
        *(FullError, Cause.AGENT),
        "the disk of this agent's Docker engine is full",
    ),
    (
        "no matching manifest|does not match the specified platform|cannot be used on this platform",
        *(StartError, Cause.IMAGE),
        "it is not made for this agent's platform",
    ),
    (
        r"toomanyrequests|too many requests|HTTP.*\b429\b",
        PassingError,
        Cause.IMAGE,
        "the registry asks for less requests",
    ),
    (r"HTTP.*\b5\d\d\b", PassingError, Cause.IMAGE, "the registry is in trouble"),
    (
        r"unauthorized|authentication required|no basic auth|\bdenied\b|HTTP.*\b40[13]\b|forbidden",
        *(StartError, Cause.IMAGE),
        "the registry wants other credentials than this agent has (SWATH_REGISTRY_CONFIG)",
    ),
    (
        r"manifest unknown|not found|name unknown|does not exist|HTTP.*\b404\b",
        *(StartError, Cause.IMAGE),
        "the registry does not have it",
    ),
    (  # the engine has tried that several times by itself
        "verification failed|invalid checksum|digest|unexpected EOF|unexpected end|byte range|invalid header|gzip",
        *(StartError, Cause.IMAGE),
        "what the registry sends is not what its digest says, or is cut off",
    ),
    (
        "time[d ]?out|connection|no such host|server misbehaving|EOF|TLS handshake|network|i/o|unavailable|reset by peer",
        *(PassingError, Cause.IMAGE),
        "the registry does not answer as it should",
    ),
)


def to_error(reference: str, said: str) -> StartError:
    """The error of a pull by what the engine has said of it: the image's own trouble is told from what another try may mend."""
    for words, kind, cause, meaning in _MEANINGS:
        if re.search(words, said, re.I):
            return kind(cause, f"{reference} cannot be pulled: {meaning} ({said})")
    return StartError(Cause.IMAGE, f"{reference} cannot be pulled: {said}")
