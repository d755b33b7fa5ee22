"""Expressions over bands: what they compute, what is no data in them, and what is refused."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from swath_eo.bandmath import arithmetic
from swath_eo.bandmath.expressions import parse_expression
from swath_eo.errors import ExpressionError
from swath_eo.scenes.calibration import Calibration

A = np.array([0.1, 0.2, 0.3, 0.4])
B = np.array([0.4, 0.3, 0.2, 0.1])


def value_of(text, **bands):
    return parse_expression(text).evaluate(bands or {"a": A, "b": B})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", A),
        ("(a - b) / (a + b)", (A - B) / (A + B)),
        ("-a + +b * 2", -A + B * 2),
        ("a ** 2 + a ** 0.5 + a ** 3 + 2 ** b", A**2 + A**0.5 + A**3 + 2**B),
        ("2 ** 0.5 * a", 2**0.5 * A),
        (
            "sqrt(a) + exp(b) + log(a) + log10(b) + abs(a - b)",
            np.sqrt(A) + np.exp(B) + np.log(A) + np.log10(B) + abs(A - B),
        ),
        ("min(a, b, 0.15) + max(a, b)", np.minimum(np.minimum(A, B), 0.15) + np.maximum(A, B)),
        ("where(a > b, a, 0)", np.where(A > B, A, 0)),
        ("a if a > 0.15 and not b < 0.2 or a == 0.4 else -1", np.where(((A > 0.15) & ~(B < 0.2)) | (A == 0.4), A, -1)),
        ("0.15 < a <= 0.3", ((A > 0.15) & (A <= 0.3)) * 1.0),
        ("(a > b) + (a != b)", (A > B) * 1.0 + (A != B) * 1.0),
        ("a if 1 < 2 else b", A),
        ("arctan2(a, b) + sin(a) + cos(a)", np.arctan2(A, B) + np.sin(A) + np.cos(A)),
        ("tan(a) + arctan(a)", np.tan(A) + np.arctan(A)),
        ("floor(10 * a) + ceil(10 * b)", np.floor(10 * A) + np.ceil(10 * B)),
        ("(" * 150 + "a" + ")" * 150, A),
    ],
    ids=lambda given: repr(given[:30]) if isinstance(given, str) else "",
)
def test_an_expression_is_what_numpy_computes(text, expected):
    """In double precision, rounded once at the end."""
    assert np.array_equal(value_of(text), expected.astype(np.float32))


def test_numbers_become_reflectances():
    """Whole numbers of any type, by each band's scale and offset."""
    bands = {"a": np.array([[1200, 3000]], dtype=np.uint16), "b": np.array([[0.5, 0.25]], dtype=np.float32)}
    values = parse_expression("a + b").evaluate(bands, calibrations={"a": Calibration(scale=1e-4, offset=-0.1)})
    np.testing.assert_allclose(values, [[0.52, 0.45]], rtol=1e-7)
    assert values.dtype == np.float32


@pytest.mark.parametrize(
    "text", ["1 / a", "b / a", "b / (b / a)", "b / (a * b)", "log(a)", "sqrt(a - 1)", "1e30 * 1e30 * (b + a)"]
)
def test_what_is_not_defined_is_no_data(text):
    """Division by zero, also where its infinity would come to nothing; logarithms and roots; what float32 cannot
    hold."""
    assert np.isnan(value_of(text, a=np.array([0.0]), b=np.array([0.5]))).all()


def test_a_denominator_that_is_zero_but_for_rounding_is_zero():
    """0.03 + 0.04 - 0.07 is 7e-18 in a computer, and the index of it would be 1e16."""
    a, b, c = (np.array([number, 500], dtype=np.uint16) for number in (300, 400, 700))
    same = dict.fromkeys("abc", Calibration(scale=1e-4))
    values = parse_expression("a / (a + b - c)").evaluate({"a": a, "b": b, "c": c}, calibrations=same)
    assert np.isnan(values[0])
    assert values[1] == 1


def test_no_data_stays_no_data():
    """By the mask, and where a band is NaN or infinite, though the other branch would be a number."""
    bands = {"a": np.array([0.1, np.nan, np.inf, 0.1]), "b": B}
    valid = np.array([True, True, True, False])
    values = parse_expression("b if a > 0.5 else 0").evaluate(bands, valid=valid)
    assert values[0] == 0
    assert np.isnan(values[1:]).all()


@given(st.integers(1, 200), st.integers(1, 50))
def test_pieces_do_not_show(size, piece):
    """The result is the same to the last bit, whatever is computed at a time."""
    a, b = np.random.default_rng(size).uniform(-1, 1, (2, size))
    expression = parse_expression("(a - b) / (a + b) if a > b * 0.3 else sqrt(abs(a))")
    whole = expression.evaluate({"a": a, "b": b})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arithmetic, "PIECE", piece)
        assert np.array_equal(expression.evaluate({"a": a, "b": b}), whole, equal_nan=True)


def test_arrays_need_not_lie_in_one_piece():
    """Views, transposed and strided, of one shape."""
    a, b = np.arange(24.0).reshape(4, 6), np.arange(24.0).reshape(6, 4).T
    assert np.array_equal(value_of("a - b", a=a[:, ::2], b=b[:, ::2]), (a - b)[:, ::2].astype(np.float32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a +",
        "1 + 2",
        "1 < 2",
        "a / 0 * (1 / 0)",
        "9 ** 9 ** 9 ** 9 * a",
        "1e999 * a",
        "9" * 400 + " * a",
        "1j * a",
        "'a'",
        "True * a",
        "None",
        "__import__('os').system('true')",
        "a.__class__",
        "a[0]",
        "[a for a in b]",
        "(lambda: a)()",
        "(a := b)",
        "f'{a}'",
        "open(a)",
        "eval(a)",
        "sqrt(*a)",
        "sqrt(a, out=b)",
        "sqrt(a, b)",
        "min(a)",
        "sqrt",
        "where(a, b, a)",
        "not a",
        "a and b",
        "a in b",
        "a is b",
        "a // b",
        "a % b",
        "a @ b",
        "~a",
        "a << 1",
        "a, b",
        "a; b",
        "a\nb",
        "a\0",
        "*a",
        "yield",
        "await a",
        "(" * 1000 + "a",
        "-" * 3900 + "a",
        "a" * 5000,
        "a+" * 1999 + "a*b*0.5",
        "sqrt(" * 700 + "a",
    ],
    ids=lambda text: repr(text[:30]),
)
def test_what_is_no_expression_over_bands_is_refused(text):
    """With an error of its own, whatever Python would have made of it."""
    with pytest.raises(ExpressionError):
        parse_expression(text)


@pytest.mark.parametrize("depth", range(100, 1000, 50))
def test_any_depth_is_read_or_refused(depth):
    """Wherever in Python it becomes too deep, never with another error."""
    with contextlib.suppress(ExpressionError):
        assert parse_expression("-" * depth + "a").bands == ("a",)


@given(st.text(alphabet="ab01.+-*/() <>=,'\"[]{}_:;\n\\x\tifelse", max_size=40))
def test_any_text_is_an_expression_or_refused(text):
    """Never another error."""
    try:
        names = parse_expression(text).bands
    except ExpressionError:
        return
    assert names


def test_a_refusal_names_the_part_that_is_meant():
    """For the person who wrote the expression."""
    with pytest.raises(ExpressionError, match=r"'b\[0\]' is not allowed in an expression"):
        parse_expression("a + b[0]")


def test_a_name_is_a_band_unless_it_is_a_constant():
    """Bands come in the order of the text, which loses what is none of it."""
    expression = parse_expression("g*(a-b)+b # \x01", constants={"g": 2.0})
    assert (expression.bands, expression.text) == (("a", "b"), "g * (a - b) + b")
    assert np.array_equal(expression.evaluate({"a": A, "b": B}), (2 * (A - B) + B).astype(np.float32))
