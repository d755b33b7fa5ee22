"""Expressions over bands, as users write them: `(nir - red) / (nir + red)` (pure).

Python's parser reads them and nothing of Python evaluates them: a list of what is allowed (numbers, names, arithmetic,
comparisons, `a if b else c`, a few functions) becomes a program of array operations, all else is refused.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath_eo.bandmath.arithmetic import OPERATIONS, Builder, Program, assemble
from swath_eo.errors import ExpressionError
from swath_eo.scenes.calibration import Calibration

MAX_LENGTH = 4000  # characters
_MAX_STEPS = 2000
_UNIT = Calibration()
_BINARY: Mapping[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.Pow: "power",
}
_COMPARISONS: Mapping[type[ast.cmpop], str] = {
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
}
FUNCTIONS = (
    *("abs", "sqrt", "exp", "log", "log10", "sin", "cos", "tan", "arctan", "arctan2", "floor", "ceil"),
    *("min", "max", "where"),
)
_OF_MANY = ("min", "max")


@dataclass(frozen=True, kw_only=True)
class Expression:
    """An expression that has been read and found harmless."""

    text: str  # as it was understood: no comments, blanks where they help
    program: Program
    unsigned: Program  # the same where no band is negative, which is less to compute

    @property
    def bands(self) -> tuple[str, ...]:
        """The names that it uses, each once."""
        return self.program.bands

    def evaluate(
        self,
        bands: Mapping[str, NDArray[Any]],
        *,
        calibrations: Mapping[str, Calibration] = MappingProxyType({}),
        valid: NDArray[np.bool_] | None = None,
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """The expression's value at each pixel, computed in double precision; float32, NaN where there is none.

        `bands`: digital numbers by name, of any real type and one shape; `calibrations` make reflectances of them (by
        default they are some already). `valid`: the same shape, False where there is no data. There is none either
        where a band or the result is not finite, so division by zero is no data. `out`: where the values go, float32
        and in one piece. Raises KeyError for a band that is not given.
        """
        given = [bands[name] for name in self.bands]
        known = [calibrations.get(name, _UNIT) for name in self.bands]
        signed = any(band.dtype.kind not in "ub" or c.offset < 0 for band, c in zip(given, known, strict=True))
        program = self.program if signed else self.unsigned
        return program.run(given, known, valid, out)


def parse_expression(text: str, *, constants: Mapping[str, float] = MappingProxyType({})) -> Expression:
    """Reads an expression. Names are bands, but for those of `constants`.

    Raises ExpressionError, which tells what is not understood.
    """
    try:
        tree = _parse(text)
        program, unsigned = (_compile(tree, text, constants, signed=signed) for signed in (True, False))
        return Expression(text=ast.unparse(tree), program=program, unsigned=unsigned)
    except (RecursionError, MemoryError) as error:  # what Python's parser says to ((((((...
        raise ExpressionError(f"the expression {_told(text)} is nested too deeply") from error


def _compile(tree: ast.expr, text: str, constants: Mapping[str, float], *, signed: bool) -> Program:
    reader = _Reader(text, constants, Builder(signed=signed))
    root = reader.number(tree)
    if not any(value.operation == "band" for value in reader.builder.values):
        raise ExpressionError(f"the expression {_told(text)} names no band")
    return assemble(reader.builder.values, root)


def _told(text: str) -> str:
    short = text if len(text) <= 60 else f"{text[:57]}..."
    return repr(short)


def _parse(text: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"the expression has {len(text)} characters: {MAX_LENGTH} are allowed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is refused below
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise ExpressionError(f"{_told(text)} is no expression: {error}") from error


class _Reader:
    """Turns a syntax tree into values."""

    def __init__(self, text: str, constants: Mapping[str, float], builder: Builder) -> None:
        self.builder = builder
        self._text = text
        self._constants = constants

    def number(self, node: ast.expr) -> int:
        """A value that is a number; what is true or false becomes 1 or 0."""
        value = self._read(node)
        return self.builder.apply("number", value) if self.builder.values[value].is_truth else value

    def _truth(self, node: ast.expr) -> int:
        value = self._read(node)
        if not self.builder.values[value].is_truth:
            raise self._refusal(node, "is a number where a comparison is needed")
        return value

    def _read(self, node: ast.expr) -> int:
        if len(self.builder.values) > _MAX_STEPS:
            raise ExpressionError(f"the expression {_told(self._text)} has more than {_MAX_STEPS} steps")
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return self._constant(node, number)
            case ast.Name(id=name):
                return self._name(node, name)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _BINARY:
                return self._apply(node, _BINARY[type(operator)], self.number(left), self.number(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._apply(node, "negative", self.number(operand))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.number(operand)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self.builder.apply("not", self._truth(operand))
            case ast.BoolOp(op=joined, values=parts):
                return self._fold("and" if isinstance(joined, ast.And) else "or", [self._truth(p) for p in parts])
            case ast.Compare(left=first, ops=operators, comparators=others):
                return self._compare(node, [first, *others], operators)
            case ast.IfExp(test=test, body=body, orelse=other):
                return self.builder.apply("where", self._truth(test), self.number(body), self.number(other))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
                return self._call(node, name, arguments)
        raise self._refusal(node, "is not allowed in an expression")

    def _constant(self, node: ast.expr, number: float) -> int:
        try:
            value = float(number)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise self._refusal(node, "is not a finite number")
        return self.builder.constant(value)

    def _name(self, node: ast.expr, name: str) -> int:
        if name in self._constants:
            return self._constant(node, self._constants[name])
        if name in FUNCTIONS:
            raise self._refusal(node, "is a function and needs arguments")
        return self.builder.band(name)

    def _apply(self, node: ast.expr, operation: str, *arguments: int) -> int:
        value = self.builder.apply(operation, *arguments)
        made = self.builder.values[value]
        if made.operation == "constant" and not math.isfinite(made.constant):
            raise self._refusal(node, "is not a finite number")
        return value

    def _fold(self, operation: str, values: Sequence[int]) -> int:
        first, *others = values
        for other in others:
            first = self.builder.apply(operation, first, other)
        return first

    def _compare(self, node: ast.expr, parts: Sequence[ast.expr], operators: Sequence[ast.cmpop]) -> int:
        for operator in operators:
            if type(operator) not in _COMPARISONS:
                raise self._refusal(node, "is not allowed in an expression")
        values = [self.number(part) for part in parts]
        pairs = [
            self.builder.apply(_COMPARISONS[type(operator)], values[i], values[i + 1])
            for i, operator in enumerate(operators)
        ]
        return self._fold("and", pairs)

    def _call(self, node: ast.expr, name: str, arguments: Sequence[ast.expr]) -> int:
        takes = OPERATIONS[name].takes
        wrong = len(arguments) < 2 if name in _OF_MANY else len(arguments) != len(takes)
        if wrong:
            expected = "two or more arguments" if name in _OF_MANY else f"{len(takes)} argument(s)"
            raise self._refusal(node, f"needs {expected}")
        if name in _OF_MANY:
            return self._fold(name, [self.number(argument) for argument in arguments])
        values = [
            self._truth(argument) if kind == "t" else self.number(argument)
            for kind, argument in zip(takes, arguments, strict=True)
        ]
        return self._apply(node, name, *values)

    def _refusal(self, node: ast.expr, why: str) -> ExpressionError:
        return ExpressionError(f"{_told(ast.unparse(node))} {why}")
