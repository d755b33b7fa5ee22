"""Arithmetic over whole arrays, piece by piece so that all in between stays in the processor's cache (pure).

A program is a list of steps over a few registers. numexpr works alike, but takes half as long again for an index
(`python -m benchmarks bands`), and is given text to evaluate; here nothing is evaluated but the operations below.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath_eo.scenes.calibration import Calibration

PIECE = 16_384  # values: eight registers of them fit a cache of 1 MiB
# A denominator below this share of its terms is zero but for rounding: 0.03 + 0.04 - 0.07 is 1e-17 in a computer.
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What a step does, element by element."""

    function: Callable[..., Any]  # takes arrays or numbers, and `out`
    takes: str  # a letter for each argument: n(umber) or t(ruth)
    gives: str = "n"


def _choose(condition: Any, chosen: Any, other: Any, *, out: NDArray[Any]) -> None:
    np.copyto(out, other)
    np.copyto(out, chosen, where=condition)


OPERATIONS: Mapping[str, Operation] = {
    "add": Operation(function=np.add, takes="nn"),
    "subtract": Operation(function=np.subtract, takes="nn"),
    "multiply": Operation(function=np.multiply, takes="nn"),
    "divide": Operation(function=np.divide, takes="nn"),
    "power": Operation(function=np.power, takes="nn"),
    "square": Operation(function=np.square, takes="n"),
    "negative": Operation(function=np.negative, takes="n"),
    "abs": Operation(function=np.abs, takes="n"),
    "sqrt": Operation(function=np.sqrt, takes="n"),
    "exp": Operation(function=np.exp, takes="n"),
    "log": Operation(function=np.log, takes="n"),
    "log10": Operation(function=np.log10, takes="n"),
    "sin": Operation(function=np.sin, takes="n"),
    "cos": Operation(function=np.cos, takes="n"),
    "tan": Operation(function=np.tan, takes="n"),
    "arctan": Operation(function=np.arctan, takes="n"),
    "arctan2": Operation(function=np.arctan2, takes="nn"),
    "floor": Operation(function=np.floor, takes="n"),
    "ceil": Operation(function=np.ceil, takes="n"),
    "min": Operation(function=np.minimum, takes="nn"),
    "max": Operation(function=np.maximum, takes="nn"),
    "less": Operation(function=np.less, takes="nn", gives="t"),
    "less_equal": Operation(function=np.less_equal, takes="nn", gives="t"),
    "greater": Operation(function=np.greater, takes="nn", gives="t"),
    "greater_equal": Operation(function=np.greater_equal, takes="nn", gives="t"),
    "equal": Operation(function=np.equal, takes="nn", gives="t"),
    "not_equal": Operation(function=np.not_equal, takes="nn", gives="t"),
    "and": Operation(function=np.logical_and, takes="tt", gives="t"),
    "or": Operation(function=np.logical_or, takes="tt", gives="t"),
    "not": Operation(function=np.logical_not, takes="t", gives="t"),
    "number": Operation(function=lambda truth, *, out: np.copyto(out, truth), takes="t"),
    "where": Operation(function=_choose, takes="tnn"),
}


@dataclass(frozen=True, kw_only=True)
class Value:
    """A number, a band, or what an operation makes of values; equal ones are computed once."""

    operation: str  # of OPERATIONS, or "constant", or "band"
    arguments: tuple[int, ...] = ()  # the values' numbers
    constant: float = 0.0
    band: str = ""

    @property
    def is_truth(self) -> bool:
        """True or false, and no number."""
        return self.operation in OPERATIONS and OPERATIONS[self.operation].gives == "t"


class Builder:
    """Collects values, each known by its number from then on; what it is given must fit (`OPERATIONS[...].takes`).

    `signed`: whether bands may be negative; if not, many sums cannot cancel out.
    """

    def __init__(self, *, signed: bool = True) -> None:
        self._signed = signed
        self.values: list[Value] = []
        self._numbers: dict[Value, int] = {}

    def _add(self, value: Value) -> int:
        if value not in self._numbers:
            self._numbers[value] = len(self.values)
            self.values.append(value)
        return self._numbers[value]

    def constant(self, number: float) -> int:
        """A number."""
        return self._add(Value(operation="constant", constant=number))

    def band(self, name: str) -> int:
        """A band's reflectance."""
        return self._add(Value(operation="band", band=name))

    def apply(self, operation: str, *arguments: int) -> int:
        """An operation's result; that of numbers alone is a number, computed now."""
        given = [self.values[argument] for argument in arguments]
        if all(value.operation == "constant" for value in given) and OPERATIONS[operation].gives == "n":
            return self.constant(_compute(operation, [value.constant for value in given]))
        if operation == "divide":
            arguments = (arguments[0], self._denominator(arguments[1]))
        elif operation == "power" and given[1].operation == "constant" and given[1].constant in (0.5, 2.0):
            # As numpy's own operator ** does: many times faster, and the same to the last bit.
            return self.apply("sqrt" if given[1].constant == 0.5 else "square", arguments[0])
        return self._add(Value(operation=operation, arguments=arguments))

    def _denominator(self, number: int) -> int:
        """The value; NaN where it is zero, or would be but for rounding."""
        if self._has_sum(number):
            limit = self.apply("multiply", self._magnitude(number), self.constant(_ROUNDING))
            is_zero = self.apply("less_equal", self.apply("abs", number), limit)
        else:
            is_zero = self.apply("equal", number, self.constant(0.0))
        return self.apply("where", is_zero, self.constant(math.nan), number)

    def _has_sum(self, number: int) -> bool:
        """Whether terms can cancel out in it."""
        value = self.values[number]
        if self._is_positive(number):
            return False
        if value.operation in ("add", "subtract"):
            return True
        if value.operation == "divide":
            return self._has_sum(value.arguments[0])
        return value.operation in ("multiply", "negative", "square") and any(map(self._has_sum, value.arguments))

    def _is_positive(self, number: int) -> bool:
        """Whether a value is known never to be negative."""
        value = self.values[number]
        match value.operation:
            case "band":
                return not self._signed
            case "constant":
                return value.constant >= 0
            case "add" | "multiply":
                return all(map(self._is_positive, value.arguments))
        return False

    def _magnitude(self, number: int) -> int:
        """How large the terms are that a value is the sum of."""
        value = self.values[number]
        match value.operation:
            case "add" | "subtract":
                return self.apply("add", *map(self._magnitude, value.arguments))
            case "multiply" | "square":
                return self.apply(value.operation, *map(self._magnitude, value.arguments))
            case "divide":
                return self.apply("divide", self._magnitude(value.arguments[0]), self.apply("abs", value.arguments[1]))
            case "negative":
                return self._magnitude(value.arguments[0])
        return self.apply("abs", number)


def _compute(operation: str, arguments: Sequence[float]) -> float:
    result = np.empty(1)
    with np.errstate(all="ignore"):
        OPERATIONS[operation].function(*arguments, out=result)
    return float(result[0])


@dataclass(frozen=True, kw_only=True)
class Step:
    """One operation of a program."""

    operation: Operation | None  # None: load a band
    operands: tuple[int | float, ...]  # registers (int) and constants (float); for a band, its place in `bands`
    target: int  # register


@dataclass(frozen=True, kw_only=True)
class Program:
    """Steps that compute one number a pixel from some bands."""

    bands: tuple[str, ...]
    steps: tuple[Step, ...]
    registers: tuple[str, ...]  # what each holds: n(umber) or t(ruth)
    result: int  # register

    def run(
        self,
        bands: Sequence[NDArray[Any]],
        calibrations: Sequence[Calibration],
        valid: NDArray[np.bool_] | None,
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """The results, in the shape of the bands; NaN where not valid, where a band is not finite, or the result is
        not."""
        flat = [np.ascontiguousarray(band).reshape(-1) for band in bands]
        mask = None if valid is None else np.ascontiguousarray(valid).reshape(-1)
        whole = np.empty(bands[0].shape, dtype=np.float32) if out is None else out
        results = whole.reshape(-1)
        registers = [_register(kind) for kind in self.registers]
        with np.errstate(all="ignore"):
            for start in range(0, results.size, PIECE):
                piece = slice(start, min(start + PIECE, results.size))
                pieces = [band[piece] for band in flat]
                self._run_piece([r[: piece.stop - start] for r in registers], pieces, calibrations, results[piece])
                _mask(results[piece], pieces, None if mask is None else mask[piece])
        return whole

    def _run_piece(
        self,
        registers: list[NDArray[Any]],
        bands: Sequence[NDArray[Any]],
        calibrations: Sequence[Calibration],
        result: NDArray[np.float32],
    ) -> None:
        for step in self.steps:
            target = registers[step.target]
            if step.operation is None:
                number = int(step.operands[0])
                _load(bands[number], calibrations[number], target)
            else:
                operands = [registers[o] if isinstance(o, int) else o for o in step.operands]
                step.operation.function(*operands, out=target)
        result[:] = registers[self.result]


def _register(kind: str) -> NDArray[Any]:
    return np.empty(PIECE, dtype=np.float64 if kind == "n" else np.bool_)


def _load(band: NDArray[Any], calibration: Calibration, target: NDArray[np.float64]) -> None:
    if calibration.scale == 1.0:
        np.copyto(target, band)
    else:
        np.multiply(band, calibration.scale, out=target, dtype=np.float64)
    if calibration.offset != 0.0:
        target += calibration.offset


def _mask(result: NDArray[np.float32], bands: Sequence[NDArray[Any]], valid: NDArray[np.bool_] | None) -> None:
    defined = np.isfinite(result)
    for band in bands:
        if band.dtype.kind == "f":  # where(NaN > 0, ...) would be a number
            defined &= np.isfinite(band)
    if valid is not None:
        defined &= valid
    np.copyto(result, np.nan, where=~defined)


def assemble(values: Sequence[Value], root: int) -> Program:
    """The program that computes a value, a number, with as few registers as its order allows."""
    needed = _needed(values, root)
    last_use = {argument: number for number in needed for argument in values[number].arguments}
    bands = tuple(values[number].band for number in needed if values[number].operation == "band")
    kinds: list[str] = []
    free: dict[str, list[int]] = {"n": [], "t": []}
    at: dict[int, int] = {}  # value -> register
    steps: list[Step] = []
    for number in needed:
        value = values[number]
        if value.operation == "constant":
            continue
        operation = OPERATIONS.get(value.operation)
        operands = _operands(values, value, bands, at)
        done = {a for a in value.arguments if last_use[a] == number and a in at}
        if value.operation != "where":  # which writes its result before it has read all
            _release(done, values, at, free)
        kind = operation.gives if operation else "n"
        at[number] = free[kind].pop() if free[kind] else len(kinds)
        if at[number] == len(kinds):
            kinds.append(kind)
        if value.operation == "where":
            _release(done, values, at, free)
        steps.append(Step(operation=operation, operands=operands, target=at[number]))
    return Program(bands=bands, steps=tuple(steps), registers=tuple(kinds), result=at[root])


def _needed(values: Sequence[Value], root: int) -> list[int]:
    """What a value is made of, arguments first."""
    seen = {root}
    for number in range(root, -1, -1):  # arguments have lower numbers
        if number in seen:
            seen.update(values[number].arguments)
    return sorted(seen)


def _operands(
    values: Sequence[Value], value: Value, bands: tuple[str, ...], at: Mapping[int, int]
) -> tuple[int | float, ...]:
    if value.operation == "band":
        return (bands.index(value.band),)
    return tuple(_operand(values, argument, at) for argument in value.arguments)


def _operand(values: Sequence[Value], argument: int, at: Mapping[int, int]) -> int | float:
    value = values[argument]
    return value.constant if value.operation == "constant" else at[argument]


def _release(done: set[int], values: Sequence[Value], at: Mapping[int, int], free: dict[str, list[int]]) -> None:
    for argument in done:
        free["t" if values[argument].is_truth else "n"].append(at[argument])
