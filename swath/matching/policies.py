"""Policies as people name them: a preset, and what is to be different from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from swath.domain.errors import InvalidInputError, Problem
from swath.matching.model import Policy

PRESETS: Mapping[str, Policy] = {
    "fair": Policy(),  # what the scheduler does unless it is told otherwise
    "fifo": Policy(fair=False, preempt=False, preempt_for_share=False, most_kept=0),  # priority, then age: no more
}
_DEFAULTS = asdict(Policy())


def parse_policy(text: str, overrides: Mapping[str, str]) -> Policy:
    """The policy of "fair", "fifo" or "fair,past_weight=0,preempt=no", with `overrides` on top; raises InvalidInputError."""
    name, *words = text.split(",")
    if name not in PRESETS:
        known = ", ".join(PRESETS)
        raise InvalidInputError.at("/policy", f"{name[:80]!r} is none; known are {known}, and files of JSON or TOML")
    own: dict[str, Any] = dict(word.partition("=")[::2] for word in words)
    return change(PRESETS[name], {**own, **overrides})


def read_policy(document: Any, overrides: Mapping[str, str]) -> Policy:
    """The policy of {"preset": "fair", "past_weight": 0, ...}, with `overrides` on top; raises InvalidInputError."""
    if not isinstance(document, Mapping) or str(document.get("preset", "fair")) not in PRESETS:
        raise InvalidInputError.at("/preset", f"must be an object whose preset is one of {', '.join(PRESETS)}")
    own = {str(name): value for name, value in document.items() if name != "preset"}
    return change(PRESETS[document.get("preset", "fair")], {**own, **overrides})


def change(policy: Policy, values: Mapping[str, Any]) -> Policy:
    """The policy with other values; raises InvalidInputError that names every one that is unknown or out of range."""
    problems = [
        Problem(f"/{name}", f"is not known; known are {', '.join(_DEFAULTS)}")
        for name in values
        if name not in _DEFAULTS
    ]
    known = {name: _convert(name, value, problems) for name, value in values.items() if name in _DEFAULTS}
    if problems:
        raise InvalidInputError(problems)
    return replace(policy, **known)


def differences(policy: Policy) -> dict[str, Any]:
    """What is not as the scheduler has it by default."""
    own = asdict(policy)
    return {entry.name: own[entry.name] for entry in fields(policy) if own[entry.name] != _DEFAULTS[entry.name]}


_WORDS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


def _convert(name: str, value: Any, problems: list[Problem]) -> Any:
    default = _DEFAULTS[name]
    word = str(value).strip().lower()
    if isinstance(default, bool):
        if word in _WORDS:
            return _WORDS[word]
        problems.append(Problem(f"/{name}", f"must be yes or no, is {word[:40]!r}"))
    elif name == "most_starting" and word in ("none", ""):
        return None
    else:
        return _to_number(name, word, problems, whole=isinstance(default, int))
    return default


def _to_number(name: str, word: str, problems: list[Problem], *, whole: bool) -> Any:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1e9 or (whole and number != int(number)):
        kind = "a whole number" if whole else "a number"
        problems.append(Problem(f"/{name}", f"must be {kind} from 0 to 1e9, is {word[:40]!r}"))
        return number
    return int(number) if whole else number
