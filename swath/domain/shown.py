"""Characters that a terminal obeys instead of showing them, or that have a line shown in another order than it is read."""

from __future__ import annotations

import re

_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def find_hidden(text: str) -> re.Match[str] | None:
    """The first such character, line ends and tabs included."""
    return _HIDDEN.search(text)


def to_visible(text: str) -> str:
    r"""The text with each such character as Python and JSON write it, such as \u202e; line ends and tabs stay."""
    return _HIDDEN.sub(lambda found: found[0] if found[0] in "\n\t" else f"\\u{ord(found[0]):04x}", text)
