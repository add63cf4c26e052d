"""Linear constraints between parameters from text: `g_x + g_zz + g_zxz = 4`, `0 <= g_x <= 4`, `2*g_x - g_zz <= 1`.

A side is read as an operator is, with a symbol for each parameter in place of one-site operators.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from qep_tn.expressions.operators_and_losses import read
from qep_tn.hamiltonians.operators import Operator, local

_COMPARISON = re.compile("([<>=!]+)")
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


def parse_constraint(text: str, names: Collection[str]) -> tuple[LinearConstraint, ...]:
    """The constraint that a text describes, or several if it compares several sides, as in `0 <= g_x <= 4`.

    names: the parameters that it may use. Raises ValueError with the text and the remedy.
    """
    try:
        return tuple(_constraints(text.strip(), tuple(names)))
    except ValueError as error:
        raise ValueError(f"constraints: {text[:80]!r}: {error}") from None


def _constraints(text: str, names: Sequence[str]) -> Iterator[LinearConstraint]:
    pieces = _COMPARISON.split(text)
    if len(pieces) == 1 or not all(map(str.strip, pieces)):
        raise ValueError(f"is not understood; {_FORM}")
    forms = [_linear(piece, names) for piece in pieces[::2]]
    for left, comparison, right in zip(forms, pieces[1::2], forms[1:], strict=False):
        if comparison not in ("=", "==", "<=", ">="):
            raise ValueError("a constraint compares by =, <= or >=; write one of them")
        terms = (right - left if comparison == "<=" else left - right).terms
        coefficients = {names[product[0][0]]: factor.real for product, factor in terms.items() if product}
        if not coefficients:
            raise ValueError(f"names no parameter; {_FORM}")
        bound = -terms.get((), 0.0).real
        if not all(map(math.isfinite, (*coefficients.values(), bound))):
            raise ValueError("has a number that is not finite; write a smaller one")
        yield LinearConstraint(text, coefficients, bound, comparison in ("=", "=="))


def _linear(text: str, names: Sequence[str]) -> Operator:
    """A side as a polynomial of first degree, its k-th symbol the k-th parameter."""
    value = read(text, {name: local("parameter", k) for k, name in enumerate(names)}, (), _FORM)
    form = Operator({}) + value if isinstance(value, Operator | int | float) else None
    if form is None or any(isinstance(factor, complex) for factor in form.terms.values()):
        raise ValueError(f"has abs(...) or complex numbers; {_FORM}")
    if any(sum(len(powers) for _, powers in product) > 1 for product in form.terms):
        raise ValueError("multiplies parameters, which is not linear; multiply by numbers only")
    return form
