"""Regular expressions whose cost does not explode: a user's pattern runs in the scheduler, and must not be able to stop it.

A pattern becomes a non-deterministic automaton (Thompson 1968), of which the deterministic one is made as far as values
need it: the cost of a value grows with its length, never with powers of it. Known are literals, `.`, `[a-z]`, `[^a-z]`,
`\\d`, `\\w`, `\\s` and their opposites, `( )`, `|`, `* + ? {m} {m,} {m,n}`; what needs backtracking is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

LONGEST = 128  # characters of a pattern
DEEPEST = 20  # groups within each other
LARGEST = 200  # steps of the automaton, repetitions written out
_MOST_STATES = 250  # that are remembered; beyond, they are made anew

Test = Callable[[str], bool]
Step = tuple[Test | None, tuple[int, ...]]  # a test of one character, or None; where it goes on, relative to itself
_COUNT = re.compile(r"\{(\d{1,4})(,(\d{0,4}))?\}")
_CLASSES: dict[str, Test] = {"d": str.isdecimal, "w": lambda c: c.isalnum() or c == "_", "s": str.isspace}


class PatternError(ValueError):
    """The text is no pattern, or one that is not known here."""


class Pattern:
    """A compiled pattern."""

    def __init__(self, text: str) -> None:
        """Raises PatternError with what is wrong and where."""
        if len(text) > LONGEST:
            raise PatternError(f"is too long: {len(text)} characters, at most {LONGEST} are taken")
        self._steps = _Reader(text).read()
        self._forget()

    def matches(self, value: str) -> bool:
        """True when all of `value` is what the pattern describes."""
        state = self._start
        for character in value:
            following = self._moves[state].get(character)
            state = self._move(state, character) if following is None else following
        return len(self._steps) in self._states[state]

    def _forget(self) -> None:
        self._states: list[frozenset[int]] = []
        self._moves: list[dict[str, int]] = []
        self._ids: dict[frozenset[int], int] = {}
        self._start = self._id_of(self._closed([0]))

    def _move(self, state: int, character: str) -> int:
        """The state after `character`."""
        steps = self._states[state]
        if len(self._states) > _MOST_STATES:
            self._forget()
            state = self._id_of(steps)
        following = [
            index + 1 for index in steps if index < len(self._steps) and _passes(self._steps[index], character)
        ]
        found = self._id_of(self._closed(following))
        self._moves[state][character] = found
        return found

    def _closed(self, indices: Iterable[int]) -> frozenset[int]:
        """All steps that are reached without a character."""
        found: set[int] = set()
        waiting = list(indices)
        while waiting:
            index = waiting.pop()
            if index not in found:
                found.add(index)
                if index < len(self._steps) and self._steps[index][0] is None:
                    waiting += [index + offset for offset in self._steps[index][1]]
        return frozenset(found)

    def _id_of(self, steps: frozenset[int]) -> int:
        if steps not in self._ids:
            self._ids[steps] = len(self._states)
            self._states.append(steps)
            self._moves.append({})
        return self._ids[steps]


@lru_cache(maxsize=128)
def compile_pattern(text: str) -> Pattern:
    """The pattern, kept for the next time; raises PatternError."""
    return Pattern(text)


def _passes(step: Step, character: str) -> bool:
    return step[0] is not None and step[0](character)


class _Reader:
    """From the text of a pattern to the steps of its automaton."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def read(self) -> list[Step]:
        """The steps; the one behind the last is the end."""
        steps = self._alternatives()
        if self._at < len(self._text):
            raise self._error("')' closes nothing")
        return steps

    def _error(self, what: str) -> PatternError:
        return PatternError(f"is no pattern: {what} at character {self._at + 1}")

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        character = self._peek()
        if not character:
            raise self._error("it ends too early")
        self._at += 1
        return character

    def _alternatives(self) -> list[Step]:
        steps = self._sequence()
        while self._peek() == "|":
            self._at += 1
            other = self._sequence()
            steps = self._bounded([_fork(1, len(steps) + 2), *steps, _fork(len(other) + 1), *other])
        return steps

    def _sequence(self) -> list[Step]:
        steps: list[Step] = []
        while self._peek() not in ("", "|", ")"):
            steps = self._bounded(steps + self._repeated(self._atom()))
        return steps

    def _bounded(self, steps: list[Step]) -> list[Step]:
        if len(steps) > LARGEST:
            raise PatternError(f"is too large: written out it has more than {LARGEST} parts")
        return steps

    def _atom(self) -> list[Step]:
        character = self._take()
        if character == "(":
            return self._group()
        if (character == "^" and self._at == 1) or (character == "$" and self._at == len(self._text)):
            return []  # a pattern describes the whole value in any case
        if character in "*+?{^$":
            self._at -= 1
            raise self._error(f"{character!r} makes no sense")
        if character == "[":
            return [(self._set(), ())]
        if character == ".":
            return [(lambda _: True, ())]
        return [(self._escaped() if character == "\\" else character.__eq__, ())]

    def _group(self) -> list[Step]:
        if self._text.startswith("?:", self._at):
            self._at += 2
        self._depth += 1
        if self._depth > DEEPEST:
            raise PatternError(f"is too deep: more than {DEEPEST} groups within each other")
        steps = self._alternatives()
        if self._peek() != ")":
            raise self._error("a group is not closed")
        self._at += 1
        self._depth -= 1
        return steps

    def _escaped(self) -> Test:
        character = self._take()
        if character.lower() in _CLASSES:
            known = _CLASSES[character.lower()]
            return known if character.islower() else lambda c: not known(c)
        if character.isalnum():
            self._at -= 1
            raise self._error(f"'\\{character}' is not known")
        return character.__eq__

    def _set(self) -> Test:
        """`[...]`: characters, ranges and classes; a `]` or `-` that comes first is itself."""
        negated = self._peek() == "^"
        self._at += negated
        tests: list[Test] = []
        while not tests or self._peek() != "]":
            tests.append(self._member())
        self._at += 1
        return lambda c: any(test(c) for test in tests) is not negated

    def _member(self) -> Test:
        first = self._take()
        if first == "\\":
            if self._peek().lower() in _CLASSES or self._peek().isalnum():
                return self._escaped()
            first = self._take()
        if self._peek() != "-" or self._text[self._at + 1 : self._at + 2] in ("]", ""):
            return first.__eq__
        self._at += 1
        last = self._take()
        if last == "\\":
            last = self._take()
        if last < first:
            raise self._error(f"the range {first}-{last} holds nothing")
        return lambda c: first <= c <= last

    def _repeated(self, steps: list[Step]) -> list[Step]:
        """The steps as often as what follows says; `?` behind that asks for the shortest, which is all one here."""
        sign = self._peek()
        if sign not in ("*", "+", "?", "{"):
            return steps
        least, most = (0 if sign in "*?" else 1, 1 if sign == "?" else None) if sign != "{" else self._counts()
        self._at += sign != "{"
        self._at += self._peek() == "?"
        if len(steps) * max(least, most or 1, 1) > LARGEST:
            raise PatternError(f"is too large: written out it has more than {LARGEST} parts")
        optional = [_fork(1, len(steps) + 1), *steps]
        if most is None:
            return steps * least + [_fork(1, len(steps) + 2), *steps, _fork(-len(steps) - 1)]
        return steps * least + optional * (most - least)

    def _counts(self) -> tuple[int, int | None]:
        found = _COUNT.match(self._text, self._at)
        if found is None:
            raise self._error("'{' begins no count such as {2,5}")
        self._at = found.end()
        least = int(found[1])
        most = least if found[2] is None else int(found[3]) if found[3] else None
        if most is not None and most < least:
            raise self._error("a count ends before it begins")
        return least, most


def _fork(*offsets: int) -> Step:
    return (None, offsets)
