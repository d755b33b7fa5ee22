"""The WWW-Authenticate header (RFC 9110, 11.6.1): how a registry wants to be asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

_LONGEST = 8 * 1024
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PIECE = re.compile(
    rf"""[\s,]*(?:
        (?P<key>{_WORD})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>{_WORD}))
        | (?P<scheme>{_WORD})(?=\s|,|$)
    )""",
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Challenge:
    """One way to be let in."""

    scheme: str  # in lower case
    parameters: Mapping[str, str] = field(default_factory=dict)  # names in lower case


def read_challenges(headers: Iterable[str]) -> list[Challenge]:
    """The challenges of all such headers, in order; of one that cannot be read, what came before."""
    return [challenge for header in headers for challenge in _read(header[:_LONGEST])]


def _read(header: str) -> Iterator[Challenge]:
    scheme: str | None = None
    parameters: dict[str, str] = {}
    at = 0
    while piece := _PIECE.match(header, at):
        at = piece.end()
        if piece["scheme"]:
            if scheme:
                yield Challenge(scheme=scheme, parameters=parameters)
            scheme, parameters = piece["scheme"].lower(), {}
        else:
            value = piece["plain"] if piece["quoted"] is None else re.sub(r"\\(.)", r"\1", piece["quoted"])
            parameters[piece["key"].lower()] = value
    if scheme:
        yield Challenge(scheme=scheme, parameters=parameters)
