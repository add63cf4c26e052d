"""Operators and losses from text mean what Python would mean, and no text can do harm."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import qep_tn
from qep_tn.expressions.operators_and_losses import OPERATORS, parse_loss, parse_operator
from qep_tn.gradients.losses import Expectation, Magnitude
from qep_tn.hamiltonians.operators import Operator, X, Z

PYTHON = {name: getattr(qep_tn, name) for name in OPERATORS} | {"L": 6, "sum": sum, "range": range}

operators = st.builds("{}({})".format, st.sampled_from(OPERATORS), st.integers(0, 9))
numbers = ["2", "0.5", "1j", "(1 + 2j)", "(L - 2)", "1 / 4"]
factors = st.one_of(operators, st.sampled_from([*numbers, "X(L // 2)", "Z(7 % L)"]))
texts = st.recursive(
    factors,
    lambda inner: st.one_of(
        st.builds("({} + {})".format, inner, inner),
        st.builds("({} - {})".format, inner, inner),
        st.builds("{} * {}".format, operators, inner),
        st.builds("-{}".format, inner),
        st.builds("({}) / 2".format, inner),
        st.builds("sum({} * X(j + 1) for j in range(1, L, 2))".format, inner),
        st.builds("sum(({}) * Z(i) * Y(j) for i in range(3) for j in range(i))".format, inner),
    ),
    max_leaves=5,
)


def python(text):
    """What Python makes of a text that this test wrote itself."""
    value = eval(text, PYTHON)  # the independent answer; hypothesis draws from the grammar above
    return value if isinstance(value, Operator) else Operator({(): value})


@given(texts)
def test_a_text_means_what_python_means_by_it(text):
    difference = parse_operator(text, L=6) - python(text)
    assert max(map(abs, difference.terms.values()), default=0) < 1e-9  # summation order may differ


def lines_said(parse, text):
    try:
        parse(text, L=6)
    except ValueError as error:
        return len(str(error).splitlines())
    return 1


@given(st.text(max_size=60))
def test_any_text_gives_an_operator_or_one_line(text):
    assert lines_said(parse_operator, text) == 1


@given(st.text(alphabet="XYZL0123(){}[].,:=+-*/%'\"\\ jfor in range sum abs _#\n", max_size=60))
def test_any_text_of_this_alphabet_gives_a_loss_or_one_line(text):
    assert lines_said(parse_loss, text) == 1


def test_plain_operators_are_expectations_and_outermost_abs_is_a_magnitude():
    assert parse_loss("X(L // 2 - 2) * X(L // 2 + 2)", L=128) == Expectation(X(62) * X(66))
    assert parse_loss("abs(X(62) * X(66))") == Magnitude(X(62) * X(66))
    assert parse_loss("-abs(Z(0))") == -1 * Magnitude(Z(0))
    assert parse_loss("2 * abs(Z(0)) / 4") == 0.5 * Magnitude(Z(0))
    assert parse_loss("-X(0)") == Expectation(-X(0))


def test_text_may_run_over_lines():
    assert parse_operator("\n  X(0)\n  + X(1)\n") == X(0) + X(1)


def test_long_sums_may_be_written_out():
    assert parse_operator(" + ".join(f"X({j})" for j in range(1500))) == sum(X(j) for j in range(1500))


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("X(1) ** 2", 1, "not understood"),
        ("1 + X", 5, "X needs its site"),
        ("Z(0) * Q(3)", 8, "not understood"),
        ("X(M)", 3, "nothing is called 'M'"),
        ("X(0", 2, "never closed"),
        ("X(L / 2)", 3, "whole number, not 3.0; //"),
        ("X(True)", 3, "not understood"),
        ("X(0) / X(1)", 1, "only a number can divide"),
        ("Z(1) + abs(X(0))", 1, "stands alone, outermost"),
        ("abs(X(0)) * X(1)", 1, "multiplied by a real number only"),
        ("2j * abs(X(0))", 1, "multiplied by a real number only"),
        ("X(0) + 1 / 0", 8, "division by zero"),
        ("1e308 * 10 * X(0)", 1, "must be finite"),
        ("1e999 * X(0)", 1, "must be finite"),
        ("nan * X(0)", 1, "nothing is called 'nan'"),
        ("sum(X(j) for j in range(3) if j)", 14, "no condition"),
        ("sum(X(j) for j in (1, 2))", 19, "runs over range"),
        ("sum(X(j) for j in range(0, 3, 0))", 19, "must not be zero"),
        ("sum([X(0)])", 1, "not understood"),
        ("X(0)  # field", 7, "no comments"),
        ("é + X", 1, "nothing is called 'é'"),
    ],
)
def test_mistakes_are_named_with_their_position(text, position, problem):
    with pytest.raises(ValueError, match=r"^'") as caught:
        parse_loss(text, L=6)
    message = str(caught.value)
    assert f", position {position}: " in message
    assert problem in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", " ", "3", "X(0) * X(0)", "X(0) - X(0)", "abs(2)"])
def test_an_objective_that_measures_nothing_is_refused(text):
    with pytest.raises(ValueError, match=r"name an operator|is wanted here"):
        parse_loss(text)


def test_an_operator_is_not_a_magnitude():
    with pytest.raises(ValueError, match="not abs"):
        parse_operator("abs(X(0))")


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "X.__class__.__mro__",
        "(lambda: X(0))()",
        "open('/etc/passwd')",
        "[X(0) for j in range(3)][0]",
        "f'{X(0)}'",
        "X(0) if 1 else X(1)",
        "(j := 3)",
        "range(3)",
        "exec('1')",
    ],
)
def test_nothing_but_operators_is_understood(text):
    with pytest.raises(ValueError, match=r"not understood|invalid syntax"):
        parse_loss(text)


@pytest.mark.parametrize(
    "text",
    [
        "sum(X(j) for j in range(1000000000))",
        "sum(X(i) * X(j) * X(k) for i in range(1000) for j in range(1000) for k in range(1000))",
        "sum(X(0) for i in range(999999999) for j in range(0))",
        "sum(sum(sum(X(i) for i in range(999)) for j in range(999)) for k in range(999))",
        " * ".join(f"(1 + {' + '.join(f'X({10 * k + j})' for j in range(10))})" for k in range(30)),
        "(" * 5000 + "X(0)" + ")" * 5000,
        "-" * 15000 + "X(0)",
        "*".join(["X(0)"] * 3000),
        "X(" + "9" * 10000 + ")",
        "sum(" + "*".join(["j"] * 300) + " for j in range(900000))",
        "X(0)" * 10000,
    ],
    ids=lambda text: text[:20],
)
def test_work_is_bounded_whatever_a_text_asks_for(text):
    began = time.perf_counter()
    with pytest.raises(ValueError, match=r"^'") as caught:
        parse_loss(text)
    assert time.perf_counter() - began < 5  # about 1 s on an idle machine
    assert len(str(caught.value)) < 400
