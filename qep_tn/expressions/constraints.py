"""Linear constraints between parameters from text: `g_x + g_zz + g_zxz = 4`, `0 <= g_x <= 4`, `2*g_x - g_zz <= 1`.

The text is parsed into a syntax tree, and the tree is walked here; nothing is executed.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

_EQUALS = re.compile(r"(?<![<>=!])=(?!=)")
_MAX_LENGTH = 2000  # characters
_FORM = "write a linear equation or inequality of parameters, such as 'g_x + 2 * g_zz <= 4'"


@dataclass(frozen=True)
class LinearConstraint:
    """sum over names of coefficients[name] * theta[name] >= bound, or = bound if `equality`.

    text: as it was written, for messages.
    """

    text: str
    coefficients: Mapping[str, float]
    bound: float
    equality: bool


@dataclass(frozen=True)
class _Linear:
    """constant + sum over names of coefficients[name] * theta[name]."""

    coefficients: Mapping[str, float]
    constant: float

    def plus(self, other: _Linear, factor: float) -> _Linear:
        names = [*self.coefficients, *(name for name in other.coefficients if name not in self.coefficients)]
        sums = {n: self.coefficients.get(n, 0.0) + factor * other.coefficients.get(n, 0.0) for n in names}
        return _Linear(sums, self.constant + factor * other.constant)

    def times(self, factor: float) -> _Linear:
        return _Linear({name: factor * c for name, c in self.coefficients.items()}, factor * self.constant)


def parse_constraint(text: str, names: Collection[str]) -> tuple[LinearConstraint, ...]:
    """The constraint that a text describes, or several if it compares several sides, as in `0 <= g_x <= 4`.

    names: the parameters that it may use. Raises ValueError with the text and the remedy.
    """
    place = f"constraints: {text[:80]!r}"
    try:
        tree = ast.parse(_EQUALS.sub("==", text.strip()), mode="eval").body if len(text) <= _MAX_LENGTH else None
        if not isinstance(tree, ast.Compare):
            raise _MistakeError(f"is not understood; {_FORM}")
        sides = [_linear(side, names) for side in (tree.left, *tree.comparators)]
    except _MistakeError as mistake:
        raise ValueError(f"{place}: {mistake}") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"{place}: is not understood; {_FORM}") from None
    constraints = []
    for left, comparison, right in zip(sides, tree.ops, sides[1:], strict=False):
        if not isinstance(comparison, ast.Eq | ast.LtE | ast.GtE):
            raise ValueError(f"{place}: a constraint compares by =, <= or >=; write one of them")
        difference = right.plus(left, -1.0) if isinstance(comparison, ast.LtE) else left.plus(right, -1.0)
        coefficients = {name: c for name, c in difference.coefficients.items() if c}
        if not coefficients:
            raise ValueError(f"{place}: names no parameter; {_FORM}")
        if not all(map(math.isfinite, (*coefficients.values(), difference.constant))):
            raise ValueError(f"{place}: has a number that is not finite; write a smaller one")
        equality = isinstance(comparison, ast.Eq)
        constraints.append(LinearConstraint(text.strip(), coefficients, -difference.constant, equality))
    return tuple(constraints)


class _MistakeError(Exception):
    """What is wrong with a constraint, and the remedy."""


def _linear(node: ast.expr, names: Collection[str]) -> _Linear:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _Linear({}, _finite(number))
        case ast.Name(id=name) if name in names:
            return _Linear({name: 1.0}, 0.0)
        case ast.Name(id=name):
            raise _MistakeError(f"{name!r} is no parameter; the parameters are {', '.join(names)}")
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _linear(operand, names).times(-1.0)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _linear(operand, names)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            return _linear(left, names).plus(_linear(right, names), 1.0 if isinstance(op, ast.Add) else -1.0)
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right):
            return _scaled(_linear(left, names), op, _linear(right, names))
    raise _MistakeError(f"{ast.unparse(node)[:40]!r} is not understood; {_FORM}")


def _scaled(left: _Linear, op: ast.Mult | ast.Div, right: _Linear) -> _Linear:
    if isinstance(op, ast.Div):
        if right.coefficients or right.constant == 0:
            raise _MistakeError("divides by a parameter or by zero; divide by numbers only")
        return left.times(1 / right.constant)
    if left.coefficients and right.coefficients:
        raise _MistakeError("multiplies parameters, which is not linear; multiply by numbers only")
    return left.times(right.constant) if left.coefficients else right.times(left.constant)


def _finite(number: float) -> float:
    if not abs(number) <= 1e100:
        raise _MistakeError("has a number that is too large; write a smaller one")
    return float(number)
