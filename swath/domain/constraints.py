"""Where a job's tasks may run, and where they would rather: conditions on the attributes of agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swath.domain.errors import InvalidInputError, Problem
from swath.domain.patterns import PatternError, compile_pattern

STATIC = ("equals", "in", "like")  # what an agent meets or not, whatever runs there
SPREADING = ("unique", "group_by", "max_per")  # what depends on where the job's other tasks run
OPERATORS = (*STATIC, *SPREADING)
LARGEST_COUNT = 1_000_000
LARGEST_WEIGHT = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Constraint:
    """A condition on an attribute of the agent.

    `equals`, `in` and `like` (a pattern that describes the whole value) look at the agent alone. `unique` allows at most
    one of the job's live tasks on agents with the same value, `max_per` at most `count`, and `group_by` spreads them
    evenly over the values, of which `count` are expected.
    """

    attribute: str
    operator: str  # one of OPERATORS
    value: str | tuple[str, ...] | int | None = None  # a number for group_by and max_per, none for unique
    hard: bool = True  # False: rather so than otherwise

    def admits(self, attributes: Mapping[str, str]) -> bool:
        """True when an agent with `attributes` may run the job: always, where the condition is a soft one."""
        return not self.hard or self.is_met(attributes)

    def is_met(self, attributes: Mapping[str, str]) -> bool:
        """True when an agent has what is asked for; for those that spread, when it has the attribute."""
        present = attributes.get(self.attribute)
        if present is None:
            return False
        if self.operator == "like":
            return isinstance(self.value, str) and compile_pattern(self.value).matches(present)
        if self.operator in SPREADING:
            return True
        return present == self.value if isinstance(self.value, str) else present in self._values

    @property
    def _values(self) -> tuple[str, ...]:
        return self.value if isinstance(self.value, tuple) else ()

    @property
    def count(self) -> int | None:
        """How many tasks `max_per` allows on one value, how many values `group_by` expects; 1 for `unique`."""
        if self.operator == "unique":
            return 1
        return self.value if isinstance(self.value, int) else None

    def __str__(self) -> str:
        """As the command line takes it: "rack in 1,2", "region=ispra", "~hostname unique"."""
        soft = "" if self.hard else "~"
        if self.operator == "equals":
            return f"{soft}{self.attribute}={self.value}"
        value = ",".join(self.value) if isinstance(self.value, tuple) else self.value
        return f"{soft}{self.attribute} {self.operator}" + ("" if value is None else f" {value}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Preference:
    """Agents that a job would rather run on, such as those beside its data."""

    attribute: str
    value: str
    weight: float = 1.0  # against other preferences

    def is_met(self, attributes: Mapping[str, str]) -> bool:
        """True for an agent with that value."""
        return attributes.get(self.attribute) == self.value


def with_own(
    attributes: Mapping[str, str], *, hostname: str, region: str | None, zone: str | None
) -> Mapping[str, str]:
    """What constraints look at: "hostname", "region" and "zone" name the agent's own where it has no attribute of that name."""
    own = {"hostname": hostname, "region": region, "zone": zone}
    return {name: value for name, value in own.items() if value is not None} | dict(attributes)


def to_constraints(documents: Sequence[Mapping[str, Any]]) -> tuple[Constraint, ...]:
    """The constraints of a job's document; raises InvalidInputError with all that is wrong with them."""
    problems = [
        Problem(f"/constraints/{index}/{field}", message)
        for index, document in enumerate(documents)
        for field, message in _complaints(document)
    ]
    if problems:
        raise InvalidInputError(problems)
    return tuple(map(_to_constraint, documents))


def to_preferences(documents: Sequence[Mapping[str, Any]]) -> tuple[Preference, ...]:
    """The preferences of a job's document; raises InvalidInputError."""
    problems = [
        Problem(f"/prefer/{index}/weight", f"must be above 0 and at most {LARGEST_WEIGHT}")
        for index, document in enumerate(documents)
        if not 0 < _weight(document) <= LARGEST_WEIGHT
    ]
    if problems:
        raise InvalidInputError(problems)
    return tuple(
        Preference(attribute=document["attribute"], value=document["value"], weight=_weight(document))
        for document in documents
    )


def _weight(document: Mapping[str, Any]) -> float:
    return 1.0 if document.get("weight") is None else float(document["weight"])


def _complaints(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(field, what is wrong with it)."""
    operator, value = document["operator"], document.get("value")
    if operator not in OPERATORS:
        return [("operator", f"{operator!r} is not supported; use {', '.join(OPERATORS[:-1])} or {OPERATORS[-1]}")]
    complaint = _complain_of_value(operator, value)
    return [("value", complaint)] if complaint else []


def _complain_of_value(operator: str, value: Any) -> str | None:
    """Why `value` is none for `operator`; None where it is one."""
    if operator == "unique":
        return None if value is None else "unique takes none"
    if operator in SPREADING:
        is_count = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_COUNT
        is_left_out = value is None and operator == "group_by"
        return None if is_count or is_left_out else f"{operator} takes a whole number from 1 to {LARGEST_COUNT:,}"
    if operator == "like":
        return _complain_of_pattern(value)
    if isinstance(value, list | tuple):
        return None if value and all(isinstance(entry, str) for entry in value) else "must name at least one text"
    return None if isinstance(value, str) else f"{operator} takes a text" + (" or several" * (operator == "in"))


def _complain_of_pattern(value: Any) -> str | None:
    if not isinstance(value, str):
        return "like takes a pattern, as a text"
    try:
        compile_pattern(value)
    except PatternError as error:
        return str(error)
    return None


def _to_constraint(document: Mapping[str, Any]) -> Constraint:
    """The operator and value must be right; `in` has several values, `equals` one."""
    operator, value = document["operator"], document.get("value")
    if operator in ("equals", "in"):
        operator, value = ("equals", value) if isinstance(value, str) else ("in", tuple(value or ()))
    return Constraint(
        attribute=document["attribute"], operator=operator, value=value, hard=document.get("hard") is not False
    )
