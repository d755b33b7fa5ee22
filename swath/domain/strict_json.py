"""JSON from outside, read as the standard says: what comes out of here every database and every other reader can take."""

from __future__ import annotations

import json
import math
from typing import Any

DEEPEST = 100  # levels of arrays and objects; Python's own reader and writer give up at some nine hundred


def read_strictly(text: str | bytes) -> Any:
    """The value of a JSON text; raises ValueError for what is none, NaN, Infinity, 1e400 and absurd nesting included."""
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_to_finite)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if _may_be_deep(text) and _is_deeper(value, DEEPEST):
        raise ValueError(_TOO_DEEP)
    return value


_TOO_DEEP = f"more than {DEEPEST} levels of arrays and objects"


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def _to_finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:40]} is too large for a number")
    return number


def _may_be_deep(text: str | bytes) -> bool:
    """False for nearly every text, at a glance: each level opens with a bracket."""
    if isinstance(text, str):
        return text.count("[") + text.count("{") > DEEPEST
    return text.count(b"[") + text.count(b"{") > DEEPEST


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    parts = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(part, levels - 1) for part in parts)
