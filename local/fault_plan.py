"""What is to go wrong, and when: read from JSON, or drawn from a seed. Pure; `local.faults` carries it out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

Json = dict[str, Any]

EVENTS = ("SUBSCRIBED", "OFFERS", "INVERSE_OFFERS", "RESCIND", "UPDATE", "MESSAGE", "FAILURE", "ERROR", "HEARTBEAT")
CALLS = (
    *("SUBSCRIBE", "TEARDOWN", "ACCEPT", "DECLINE", "ACCEPT_INVERSE_OFFERS", "DECLINE_INVERSE_OFFERS", "REVIVE"),
    *("SUPPRESS", "KILL", "SHUTDOWN", "ACKNOWLEDGE", "RECONCILE", "MESSAGE", "REQUEST", "UPDATE_FRAMEWORK"),
)


class PlanError(ValueError):
    """The plan makes no sense; each line of the text is one reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    at_s: float  # seconds after the start
    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)  # complete: what was not given stands at its default

    def to_json(self) -> Json:
        """As it stands in a plan."""
        given = {name: value for name, value in self.arguments.items() if value is not None}
        return {"at_s": self.at_s, "fault": self.kind, **given}


Plan = tuple[Fault, ...]  # in the order of their times


@dataclass(frozen=True, slots=True)
class _Argument:
    """What may be given for a name, in words, how to tell, and what holds where it is not given."""

    words: str
    is_good: Callable[[Any], bool]
    default: Any = ...  # ... = it must be given


def _is_number(value: Any, least: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value < math.inf


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _seconds(default_s: Any = ...) -> _Argument:
    return _Argument("a number of seconds, 0 or more", lambda value: _is_number(value, 0.0), default_s)


def _one_of(names: Sequence[str], default: Any = None) -> _Argument:
    return _Argument(f"one of {', '.join(names)}", lambda value: value in names, default)


_WITHIN = _seconds(None)  # for so long it lies in wait for what it is to hit; None: for ever
_COUNT = _Argument("a whole number, 1 or more", lambda value: _is_count(value, 1), 1)
_EVENT = _one_of(EVENTS)  # None: any
_AGENT = _Argument("the number of an agent, the first is 0", lambda value: _is_count(value, 0), 0)
_TEXT = "a text that is not empty"
_STATUS = _Argument("a status between 400 and 599", lambda value: _is_count(value, 400) and value < 600)
_JUMP = _Argument("a number of seconds, back if negative", lambda value: _is_number(value, -math.inf) and value != 0)


def _text(default: str) -> _Argument:
    return _Argument(_TEXT, lambda value: isinstance(value, str) and value != "", default)


KINDS: Mapping[str, Mapping[str, _Argument]] = {
    # the scheduler's stream: the next `count` events of that type (of any, where there is none)
    "drop": {"event": _EVENT, "count": _COUNT, "within_s": _WITHIN},
    "duplicate": {"event": _EVENT, "count": _COUNT, "within_s": _WITHIN},
    "delay": {"event": _EVENT, "count": _COUNT, "within_s": _WITHIN, "for_s": _seconds(1.0)},  # and what is behind it
    "reorder": {"event": _EVENT, "count": _COUNT, "within_s": _WITHIN},  # the next event overtakes it
    "half_open": {"for_s": _seconds()},  # says nothing for so long, not even heartbeats; then it breaks off
    "garbage": {"text": _text("\x00 this is no RecordIO\n")},
    "error": {"message": _text("something is wrong with this framework")},  # and the stream ends
    "cut": {},  # the stream breaks off
    # calls, SUBSCRIBE among them
    "refuse": {"status": _STATUS, "call": _one_of(CALLS), "count": _COUNT, "within_s": _WITHIN},
    "redirect_loop": {"for_s": _seconds()},
    "lose_call": {
        "call": _one_of(CALLS, ...),
        "count": _COUNT,
        "within_s": _WITHIN,
    },  # answered with 202, and forgotten
    # master and agents
    "master_failover": {"agents_after_s": _seconds(0.5)},  # they register again after so long
    "agent_unreachable": {"agent": _AGENT, "for_s": _seconds()},  # its link to the master is broken for so long
    "agent_gone": {"agent": _AGENT},  # its machine is lost, with everything that runs there
    "agent_restart": {"agent": _AGENT, "down_s": _seconds(0.5)},
    "executor_crash": {"agent": _AGENT},  # kill -9 for each that runs there
    "lose_update": {"count": _COUNT, "within_s": _WITHIN},  # on their way from an agent to the master
    "repeat_update": {"count": _COUNT, "within_s": _WITHIN},
    "clock_jump": {"by_s": _JUMP},  # of the clock of master and agents
}


def parse_plan(document: Any, agents: int = 1) -> Plan:
    """The plan in a JSON document, for a cluster of so many agents; raises PlanError with all that is wrong."""
    if not isinstance(document, list):
        raise PlanError("a plan is a list of faults")
    problems = [problem for number, entry in enumerate(document) for problem in _find_problems(number, entry, agents)]
    if problems:
        raise PlanError("\n".join(problems))
    return tuple(sorted(map(_to_fault, document), key=lambda fault: fault.at_s))


def _find_problems(number: int, entry: Any, agents: int) -> Iterator[str]:
    where = f"fault {number}"
    if not isinstance(entry, dict):
        yield f"{where}: {entry!r} is no object"
        return
    if not _is_number(entry.get("at_s"), 0.0):
        yield f"{where}: 'at_s' must be a number of seconds, 0 or more"
    kind = entry.get("fault")
    if not isinstance(kind, str) or kind not in KINDS:
        yield f"{where}: there is no fault {kind!r}; there are {', '.join(KINDS)}"
        return
    known = KINDS[kind]
    yield from (
        f"{where}: {kind} has no '{name}'" for name in entry if name not in known and name not in ("at_s", "fault")
    )
    for name, argument in known.items():
        value = entry.get(name, argument.default)
        if value is ... or (value is not None and not argument.is_good(value)) or (value is None and name in entry):
            yield f"{where}: {kind} needs '{name}', {argument.words}"
        elif name == "agent" and value >= agents:
            yield f"{where}: there is no agent {value}; there are {agents}, the first is 0"


def _to_fault(entry: Json) -> Fault:
    known = KINDS[entry["fault"]]
    arguments = {name: entry.get(name, argument.default) for name, argument in known.items()}
    return Fault(at_s=float(entry["at_s"]), kind=entry["fault"], arguments=arguments)


class _Chance:
    """Draws from a seed: the n-th draw is the same everywhere and for ever."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._drawn = 0

    def number(self) -> float:
        """Between 0 and 1, without 1."""
        digest = sha256(f"{self._seed}:{self._drawn}".encode()).digest()
        self._drawn += 1
        return int.from_bytes(digest[:6]) / 2**48

    def between(self, least: float, most: float) -> float:
        """With two digits behind the point, for people to read."""
        return round(least + (most - least) * self.number(), 2)

    def choose(self, choices: Sequence[Any]) -> Any:
        return choices[int(self.number() * len(choices))]


# What a framework has to get over by itself. A plan by hand can do worse: lose offers for good, say, which no stream does.
_DRAWN: Mapping[str, Callable[[_Chance, int], Json]] = {
    "drop": lambda chance, agents: {"event": chance.choose(("UPDATE", "RESCIND", "FAILURE", "OFFERS", "HEARTBEAT"))},
    "duplicate": lambda chance, agents: {"event": chance.choose(("UPDATE", "RESCIND", "FAILURE")), "count": 3},
    "delay": lambda chance, agents: {"count": chance.choose((1, 3)), "for_s": chance.between(0.1, 3)},
    "reorder": lambda chance, agents: {"event": chance.choose(("UPDATE", "RESCIND", "OFFERS")), "count": 2},
    "half_open": lambda chance, agents: {"for_s": chance.between(1, 10)},
    "garbage": lambda chance, agents: {
        "text": chance.choose(("<html>", "\x00\n", "12345678901234567890", "7\n{]}[]{}"))
    },
    "error": lambda chance, agents: {"message": chance.choose(("Framework failed over", "something is wrong"))},
    "cut": lambda chance, agents: {},
    "refuse": lambda chance, agents: {
        "status": chance.choose((400, 403, 429, 500, 503)),
        "count": chance.choose((1, 5)),
    },
    "redirect_loop": lambda chance, agents: {"for_s": chance.between(0.2, 3)},
    "lose_call": lambda chance, agents: {"call": chance.choose(("KILL", "ACKNOWLEDGE", "RECONCILE", "REVIVE"))},
    "master_failover": lambda chance, agents: {"agents_after_s": chance.between(0, 5)},
    "agent_unreachable": lambda chance, agents: {
        "agent": int(chance.number() * agents),
        "for_s": chance.between(0.1, 10),
    },
    "agent_restart": lambda chance, agents: {"agent": int(chance.number() * agents), "down_s": chance.between(0.1, 3)},
    "executor_crash": lambda chance, agents: {"agent": int(chance.number() * agents)},
    "lose_update": lambda chance, agents: {"count": chance.choose((1, 3))},
    "repeat_update": lambda chance, agents: {"count": chance.choose((1, 3))},
    "clock_jump": lambda chance, agents: {"by_s": chance.between(-2, 60) or 1.0},
}
_LOSING = frozenset({"drop", "lose_call"})  # what TCP never does by itself: the stream breaks in the end
_LOSS_S = 2.0  # for how long


def draw_plan(seed: int, *, agents: int = 1, length_s: float = 60.0, faults: int = 12) -> Plan:
    """So many faults within `length_s` seconds: the same for the same seed, always."""
    chance = _Chance(seed)
    document: list[Json] = []
    kinds = tuple(kind for kind in _DRAWN if agents or "agent" not in KINDS[kind])
    for _ in range(faults):
        kind, at_s = chance.choose(kinds), chance.between(0.5, length_s)
        fault = {"at_s": at_s, "fault": kind, **_DRAWN[kind](chance, agents)}
        document.append(fault | ({"within_s": _LOSS_S} if kind in _LOSING else {}))
        if kind in _LOSING:
            document.append({"at_s": round(at_s + _LOSS_S + 0.1, 2), "fault": "cut"})
    return parse_plan(document, agents)
