"""Operators and losses from text, written as in Python: `abs(X(6) * X(9))`, `sum(X(j) for j in range(L))`.

The text is parsed into a syntax tree, and the tree is walked here; nothing is executed. The work that a text can
ask for is bounded, so a file from elsewhere can neither run code nor keep the program busy.
"""

from __future__ import annotations

import ast
import cmath
import difflib
import operator as python_operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from qep_tn.gradients.losses import Expectation, Loss, Magnitude
from qep_tn.hamiltonians import operators
from qep_tn.hamiltonians.operators import Operator, Product
from qep_tn.hamiltonians.words import FERMIONIC

OPERATORS = (
    "X", "Y", "Z", "Number", "Sx", "Sy", "Sz", "Sp", "Sm", "Create", "Destroy", "C", "Cdag", "CUp", "CdagUp", "CDown",
    "CdagDown", "NumberUp", "NumberDown", "F",
)  # fmt: skip
ALLOWED = f"allowed are numbers, + - * / // %, sum(... for j in range(...)), abs(...) and {', '.join(OPERATORS)}"

MAX_LENGTH = 20_000  # characters: a term on each of 500 sites, written out
MAX_WORK = 1_000_000  # nodes visited and one-site factors multiplied or added: all pairs of 300 sites, a few seconds
MAX_INTEGER = 10**9

_NUMERIC = {
    ast.Add: python_operator.add, ast.Sub: python_operator.sub, ast.Mult: python_operator.mul,
    ast.Div: python_operator.truediv, ast.FloorDiv: python_operator.floordiv, ast.Mod: python_operator.mod,
}  # fmt: skip


@dataclass(frozen=True)
class _Magnitude:
    """factor * abs(operator)."""

    factor: float
    operator: Operator


_Number = int | float | complex
Value = _Number | Operator | _Magnitude
_V = TypeVar("_V", bound=Value)


def parse_operator(text: str, **numbers: int) -> Operator:
    """The operator that a text describes. `numbers` are names that it may use, such as L.

    Raises ValueError with the text, the position (in characters, from 1) and the remedy.
    """
    value = read(text, numbers)
    if isinstance(value, _Magnitude):
        raise ValueError(f"{_shown(text)}: an operator is wanted here, not abs(...)")
    return value if isinstance(value, Operator) else Operator({(): value})


def parse_loss(text: str, **numbers: int) -> Loss:
    """The loss that a text describes: the expectation of an operator, or with abs(...) outermost its magnitude.

    `-abs(...)`, `2 * abs(...)` and `abs(...) / 2` scale the magnitude. Raises ValueError as `parse_operator` does.
    """
    value = read(text, numbers)
    measured = value.operator if isinstance(value, _Magnitude) else value
    if not isinstance(measured, Operator) or not measured.support:
        raise ValueError(
            f"{_shown(text)}: measures nothing, it has the same value in every state; name an operator, such as X(0)"
        )
    if isinstance(value, _Magnitude):
        return Magnitude(measured) if value.factor == 1 else value.factor * Magnitude(measured)
    return Expectation(measured)


def read(
    text: str, names: Mapping[str, int | Operator], operators: Sequence[str] = OPERATORS, allowed: str = ALLOWED
) -> Value:
    """What a text describes.

    names: what it may name beside `operators` of sites. allowed: what it may hold, as the remedy if it does not.
    Raises ValueError as `parse_operator` does.
    """
    return _Reader(text, dict(names), operators, allowed).read()


class _Reader:
    """Walks the syntax tree of one text, with what it may name and what is left of the work it may ask for."""

    def __init__(self, text: str, names: dict[str, int | Operator], operators: Sequence[str], allowed: str) -> None:
        self.text = text.strip().translate({10: " ", 13: " "})  # one line, so that a position counts characters
        self.names, self.operators, self.allowed = names, operators, allowed
        self.work = MAX_WORK

    def read(self) -> Value:
        if len(self.text) > MAX_LENGTH:
            raise ValueError(
                f"{_shown(self.text)}: has {len(self.text)} characters, {MAX_LENGTH} are allowed; use sum(...)"
            )
        if not self.text:
            raise ValueError("'': an operator is wanted here, such as X(0) * X(4)")
        if "#" in self.text:
            raise ValueError(
                f"{_shown(self.text)}, position {self.text.index('#') + 1}: no comments here; leave it out"
            )
        try:
            return self.value(self.parsed())
        except (RecursionError, MemoryError):
            raise ValueError(f"{_shown(self.text)}: is nested too deeply; use sum(...) or fewer brackets") from None

    def parsed(self) -> ast.expr:
        try:
            return ast.parse(self.text, mode="eval").body
        except SyntaxError as error:
            place = f"{_shown(self.text)}, position {error.offset or 1}"
            raise ValueError(f"{place}: {error.msg.split(';')[0]}; {self.allowed}") from None
        except ValueError:
            raise ValueError(f"{_shown(self.text)}: has characters that no text can have; {self.allowed}") from None

    def value(self, node: ast.expr) -> Value:
        self.spend(node, 1)
        match node:
            case ast.Constant(value=int() | float() | complex() as number) if not isinstance(number, bool):
                return self.checked(node, number)
            case ast.Name(id=name):
                return self.called(node, name)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                return self.product(node, -1 if isinstance(sign, ast.USub) else 1, self.value(operand))
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                return self.chain(node)
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return self.product(node, self.value(left), self.value(right))
            case ast.BinOp(left=left, op=ast.Div() | ast.FloorDiv() | ast.Mod() as op, right=right):
                return self.quotient(node, self.value(left), type(op), self.value(right))
            case ast.Call(func=ast.Name(id="sum"), args=[ast.GeneratorExp(elt=term, generators=loops)], keywords=[]):
                return self.total(node, (self.value(term) for _ in self.iterate(loops)))
            case ast.Call(func=ast.Name(id="abs"), args=[inner], keywords=[]):
                return self.magnitude(node, self.value(inner))
            case ast.Call(func=ast.Name(id=name), args=[site], keywords=[]) if name in self.operators:
                return self.local(node, name, self.integer(site, f"the site of {name}(...)"))
        self.fail(node, f"{_shown(ast.unparse(node))} is not understood; {self.allowed}")

    def local(self, node: ast.expr, name: str, site: int) -> Operator:
        self.spend(node, site if name in FERMIONIC else 0)  # the length of its string
        return getattr(operators, name)(site)

    def called(self, node: ast.expr, name: str) -> int | Operator:
        if name in self.names:
            return self.names[name]
        if name in self.operators:
            self.fail(node, f"{name} needs its site, as in {name}(0)")
        known = [*self.names, *self.operators, "sum", "abs"]
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
        self.fail(node, f"nothing is called {name!r} here; {hint}")

    def chain(self, node: ast.expr) -> Value:
        """A row of additions and subtractions, without recursion: people write out long sums."""
        summands: list[tuple[ast.expr, int]] = []
        first: ast.expr = node
        while isinstance(first, ast.BinOp) and isinstance(first.op, ast.Add | ast.Sub):
            summands.append((first.right, 1 if isinstance(first.op, ast.Add) else -1))
            first = first.left
        summands.append((first, 1))
        return self.total(node, (self.product(n, sign, self.value(n)) for n, sign in reversed(summands)))

    def total(self, node: ast.expr, values: Iterator[Value]) -> Value:
        number: _Number = 0
        terms: dict[Product, complex] = {}
        operator = False
        for value in values:
            if isinstance(value, _Magnitude):
                self.fail(node, "abs(...) cannot be added to anything; it stands alone, outermost")
            if isinstance(value, Operator):
                operator = True
                self.spend(node, _factors(value))
                for product, coefficient in value.terms.items():
                    terms[product] = terms.get(product, 0) + coefficient
            else:
                number = self.checked(node, number + value)
        return self.checked(node, Operator(terms) + number if operator else number)

    def product(self, node: ast.expr, left: Value, right: Value) -> Value:
        match left, right:
            case (Operator(), Operator()):
                # every term of one meets every term of the other, and copies their factors
                self.spend(node, _factors(left) * len(right.terms) + _factors(right) * len(left.terms))
                return self.checked(node, left * right)
            case (Operator() as operator, number) | (number, Operator() as operator) if not isinstance(
                number, _Magnitude
            ):
                self.spend(node, _factors(operator))
                return self.checked(node, operator * number)
            case (_Magnitude(factor, operator), int() | float() as number) | (
                int() | float() as number,
                _Magnitude(factor, operator),
            ):
                return _Magnitude(float(self.checked(node, factor * number)), operator)
            case (int() | float() | complex(), int() | float() | complex()):
                return self.arithmetic(node, left, ast.Mult, right)
        self.fail(node, "abs(...) can be multiplied by a real number only")

    def quotient(self, node: ast.expr, left: Value, op: type[ast.operator], right: Value) -> Value:
        if isinstance(right, Operator | _Magnitude):
            self.fail(node, "only a number can divide")
        if not isinstance(left, Operator | _Magnitude):
            return self.arithmetic(node, left, op, right)
        if op is not ast.Div:
            self.fail(node, "// and % are for integers; use / for operators")
        return self.product(node, left, self.arithmetic(node, 1, ast.Div, right))

    def arithmetic(self, node: ast.expr, left: _Number, op: type[ast.operator], right: _Number) -> _Number:
        try:
            return self.checked(node, _NUMERIC[op](left, right))
        except ZeroDivisionError:
            self.fail(node, "division by zero")
        except TypeError:
            self.fail(node, "// and % are for real numbers")

    def magnitude(self, node: ast.expr, value: Value) -> Value:
        if isinstance(value, Operator):
            return _Magnitude(1.0, value)
        if isinstance(value, _Magnitude):
            return _Magnitude(abs(value.factor), value.operator)
        return abs(value)

    def iterate(self, loops: list[ast.comprehension]) -> Iterator[None]:
        """Sets the loop variables to each combination of values in turn, the leftmost slowest."""
        if not loops:
            yield
            return
        loop, *inner = loops
        if loop.ifs or loop.is_async or not isinstance(loop.target, ast.Name):
            self.fail(
                loop.target, "a loop in sum(...) is written `for j in range(...)`, with one variable and no condition"
            )
        match loop.iter:
            case ast.Call(func=ast.Name(id="range"), args=[_] | [_, _] | [_, _, _] as bounds, keywords=[]):
                numbers = [self.integer(bound, "a bound of range(...)") for bound in bounds]
            case _:
                self.fail(
                    loop.iter,
                    "a loop in sum(...) runs over range(stop), range(start, stop) or range(start, stop, step)",
                )
        if len(numbers) == 3 and numbers[2] == 0:
            self.fail(loop.iter, "the step of range(...) must not be zero")
        if len(range(*numbers)) > self.work:
            self.fail(loop.iter, f"the range is too long; at most {MAX_WORK} terms are read")
        name, outer = loop.target.id, self.names
        for number in range(*numbers):
            self.spend(loop.iter, 1)
            self.names = {**outer, name: number}
            yield from self.iterate(inner)
        self.names = outer

    def integer(self, node: ast.expr, what: str) -> int:
        value = self.value(node)
        if not isinstance(value, int):
            shown = f"{value}; // divides whole numbers" if isinstance(value, float | complex) else "an operator"
            self.fail(node, f"{what} must be a whole number, not {shown}")
        return value

    def checked(self, node: ast.expr, value: _V) -> _V:
        """The value, if it is finite and its integers are of a sane size."""
        numbers = (
            value.terms.values() if isinstance(value, Operator) else [] if isinstance(value, _Magnitude) else [value]
        )
        for number in numbers:
            if isinstance(number, int) and abs(number) > MAX_INTEGER:
                self.fail(node, f"an integer is larger than {MAX_INTEGER}")
            if not cmath.isfinite(number):
                self.fail(node, f"a number is {number}; numbers must be finite")
        return value

    def spend(self, node: ast.expr, work: int) -> None:
        self.work -= work
        if self.work < 0:
            self.fail(
                node, f"too many terms: more than {MAX_WORK} one-site factors to multiply or add; shorten the ranges"
            )

    def fail(self, node: ast.expr, problem: str) -> NoReturn:
        position = len(self.text.encode()[: node.col_offset].decode()) + 1
        raise ValueError(f"{_shown(self.text)}, position {position}: {problem}")


def _shown(text: str, width: int = 60) -> str:
    """The text in quotes on one line, cut to fit a message."""
    return repr(text if len(text) <= width else text[: width - 4] + " ...")


def _factors(operator: Operator) -> int:
    """Number of one-site factors in all terms, and one for each term."""
    return sum(1 + sum(len(names) for _, names in product) for product in operator.terms)
