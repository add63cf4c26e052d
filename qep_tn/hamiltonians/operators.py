"""Operators: sums of coefficient x product of named one-site operators.

`-0.5 * Z(0) * X(1) * Z(2) + X(3)` is written as it stands in a paper. Factors on one site multiply in the
order written; X, Y and Z are the Pauli matrices wherever they appear, so X(0) * Y(0) is 1j * Z(0) at once, and
fermionic operators anticommute, see `qep_tn.hamiltonians.words`. All other names get their meaning from the sites, when
a Hamiltonian brings both together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from numbers import Number as Scalar
from typing import Any

import numpy as np
from scipy import sparse

from qep_tn.hamiltonians.sites import Site, Sites
from qep_tn.hamiltonians.words import Product, Word, as_written, is_odd, multiply, with_string


class Operator:
    """An immutable sum of products of named one-site operators.

    terms: product -> coefficient; products that coincide are merged and zero coefficients dropped.
    """

    __slots__ = ("_hash", "terms")
    __array_ufunc__ = None  # so that np.float64(2) * X(0) is an Operator, not an object array

    def __init__(self, terms: Mapping[Product, complex]) -> None:
        self.terms: dict[Product, complex] = {product: _plain(c) for product, c in terms.items() if c != 0}
        self._hash: int | None = None

    def __add__(self, other: Operator | complex) -> Operator:
        addend = _as_operator(other)
        if addend is NotImplemented:
            return NotImplemented
        terms = dict(self.terms)
        for product, coefficient in addend.terms.items():
            terms[product] = terms.get(product, 0) + coefficient
        return Operator(terms)

    def __mul__(self, other: Operator | complex) -> Operator:
        factor = _as_operator(other)
        if factor is NotImplemented:
            return NotImplemented
        terms: dict[Product, complex] = {}
        for (left, a), (right, b) in itertools.product(self.terms.items(), factor.terms.items()):
            phase, product = multiply(left, right)
            terms[product] = terms.get(product, 0) + a * b * phase
        return Operator(terms)

    def __rmul__(self, other: complex) -> Operator:
        return self * other

    def __truediv__(self, other: complex) -> Operator:
        return self * (1 / other)

    def __neg__(self) -> Operator:
        return self * -1

    def __sub__(self, other: Operator | complex) -> Operator:
        return self + (-other)

    def __rsub__(self, other: complex) -> Operator:
        return -self + other

    __radd__ = __add__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Operator) and self.terms == other.terms

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self.terms.items()))
        return self._hash

    def __reduce__(self) -> tuple[type[Operator], tuple[dict[Product, complex]]]:
        return Operator, (self.terms,)  # without the hash: another process hashes strings differently

    def __repr__(self) -> str:
        return " ".join(_term_text(p, c, first=i == 0) for i, (p, c) in enumerate(self.terms.items())) or "0"

    @property
    def support(self) -> tuple[int, ...]:
        """The sites on which the operator acts, ascending."""
        return tuple(sorted({site for product in self.terms for site, _ in product}))

    def check(self, sites: Sites, where: str) -> None:
        """Raise ValueError unless all factors exist on their sites, the operator is Hermitian, and no fermion alone."""
        for product in self.terms:
            if is_odd(product):
                raise ValueError(
                    f"{where}: {shortened(self)} creates or destroys single fermions; pair each with another, "
                    "as in Cdag(0) * C(1)"
                )
            for site, names in product:
                if not 0 <= site < len(sites):
                    raise ValueError(f"{where}: site {site} is out of range, the chain has sites 0..{len(sites) - 1}")
                try:
                    sites[site].matrix(names)
                except ValueError as error:
                    raise ValueError(f"{where}, site {site}: {error}") from None
        for coefficient in self.terms.values():
            if not np.isfinite(coefficient):
                raise ValueError(f"{where}: a coefficient is {coefficient}; coefficients must be finite")
        if not is_hermitian(self, sites):
            raise ValueError(f"{where}: {shortened(self)} is not Hermitian; add its adjoint, or mend a coefficient")


def local(name: str, site: int) -> Operator:
    """The one-site operator called `name`, on a site; a fermionic one acts on the sites before too, by its string."""
    if isinstance(site, bool) or not isinstance(site, int | np.integer):
        raise ValueError(f"{name}({site!r}): a site is a whole number")
    return Operator({with_string(name, int(site)): 1.0})


def X(site: int) -> Operator:  # noqa: N802
    """Pauli X."""
    return local("X", site)


def Y(site: int) -> Operator:  # noqa: N802
    """Pauli Y."""
    return local("Y", site)


def Z(site: int) -> Operator:  # noqa: N802
    """Pauli Z."""
    return local("Z", site)


def Number(site: int) -> Operator:  # noqa: N802
    """Particle number: n of a mode, n_up + n_down of a site of electrons, |1><1| of a qubit (the Rydberg density)."""
    return local("Number", site)


def NumberUp(site: int) -> Operator:  # noqa: N802
    """Number of electrons with spin up."""
    return local("NumberUp", site)


def NumberDown(site: int) -> Operator:  # noqa: N802
    """Number of electrons with spin down."""
    return local("NumberDown", site)


def Sx(site: int) -> Operator:  # noqa: N802
    """Spin component S^x, in units of hbar."""
    return local("Sx", site)


def Sy(site: int) -> Operator:  # noqa: N802
    """Spin component S^y, in units of hbar."""
    return local("Sy", site)


def Sz(site: int) -> Operator:  # noqa: N802
    """Spin component S^z, in units of hbar."""
    return local("Sz", site)


def Sp(site: int) -> Operator:  # noqa: N802
    """Raising operator S^+ = S^x + i S^y."""
    return local("Sp", site)


def Sm(site: int) -> Operator:  # noqa: N802
    """Lowering operator S^- = S^x - i S^y."""
    return local("Sm", site)


def Create(site: int) -> Operator:  # noqa: N802
    """Bosonic creation operator."""
    return local("Create", site)


def Destroy(site: int) -> Operator:  # noqa: N802
    """Bosonic annihilation operator."""
    return local("Destroy", site)


def Cdag(site: int) -> Operator:  # noqa: N802
    """Creation operator of a spinless fermion."""
    return local("Cdag", site)


def C(site: int) -> Operator:  # noqa: N802
    """Annihilation operator of a spinless fermion."""
    return local("C", site)


def CdagUp(site: int) -> Operator:  # noqa: N802
    """Creation operator of an electron with spin up."""
    return local("CdagUp", site)


def CUp(site: int) -> Operator:  # noqa: N802
    """Annihilation operator of an electron with spin up."""
    return local("CUp", site)


def CdagDown(site: int) -> Operator:  # noqa: N802
    """Creation operator of an electron with spin down."""
    return local("CdagDown", site)


def CDown(site: int) -> Operator:  # noqa: N802
    """Annihilation operator of an electron with spin down."""
    return local("CDown", site)


def F(site: int) -> Operator:  # noqa: N802
    """Fermion parity (-1)^n of a site; 1 where there are no fermions."""
    return local("F", site)


@lru_cache(maxsize=256)  # of a loss's observables every gradient asks
def is_hermitian(operator: Operator, sites: Sites, tolerance: float = 1e-12) -> bool:
    """Whether the operator equals its adjoint.

    Products that meet their own adjoint, factor by factor, are settled at once. What is left is expanded in an
    orthogonal basis of Hermitian one-site matrices, and is Hermitian if and only if all coefficients are real.
    Raises ValueError if that takes more than 2^20 coefficients.
    """
    scale = max((abs(c) for c in operator.terms.values()), default=0.0)
    rest = _without_adjoint_pairs(operator, sites, tolerance * scale)
    expansions = [
        [[((j, a), c) for a, c in _hermitian_components(sites[j], names)] for j, names in product] for product in rest
    ]
    if sum(math.prod(map(len, expansion)) for expansion in expansions) > 2**20:
        raise ValueError(f"{shortened(operator)} is too long to tell whether it is Hermitian; pair terms with adjoints")
    coefficients: dict[tuple[tuple[int, int], ...], complex] = {}
    for coefficient, expansion in zip(rest.values(), expansions, strict=True):
        for choice in itertools.product(*expansion):
            # identity components (a == 0) drop out of the key, so that 2 * Number(0) and 1 - Z(0) meet
            key = tuple(label for label, _ in choice if label[1] != 0)
            coefficients[key] = coefficients.get(key, 0) + coefficient * complex(np.prod([c for _, c in choice]))
    return all(abs(complex(c).imag) <= tolerance * scale for c in coefficients.values())


def _without_adjoint_pairs(operator: Operator, sites: Sites, tolerance: float) -> dict[Product, complex]:
    """The terms that are not the adjoint of another term, or of themselves; terms of equal matrices taken together."""

    def taken_apart(product: Product, adjoint: bool = False) -> tuple[complex, tuple[tuple[int, bytes], ...]]:
        parts = [(j, *_entries_of(sites[j], names, adjoint)) for j, names in product]
        return math.prod(phase for _, phase, _ in parts), tuple((j, entries) for j, _, entries in parts)

    total: dict[tuple[tuple[int, bytes], ...], complex] = {}
    for product, c in operator.terms.items():
        phase, key = taken_apart(product)
        total[key] = total.get(key, 0) + c * phase
    unpaired = {}
    for product in operator.terms:
        (phase, key), (of_adjoint, partner) = taken_apart(product), taken_apart(product, adjoint=True)
        expected = complex(total[key]).conjugate() * phase * of_adjoint  # phases are 1, -1, i or -i
        if abs(total.get(partner, np.inf) - expected) > tolerance:
            unpaired[key] = product, total[key] * complex(phase).conjugate()
    return dict(unpaired.values())


@cache
def _entries_of(site: Site, names: Word, adjoint: bool) -> tuple[complex, bytes]:
    """A one-site matrix, or its adjoint, as a phase, 1, -1, i or -i, and what is left as something to compare."""
    matrix = site.matrix(names).astype(complex)
    matrix = matrix.conj().T if adjoint else matrix
    first = complex(next(iter(matrix[matrix != 0]), 1.0))
    if abs(first.real) >= abs(first.imag):
        phase = complex(1 if first.real > 0 else -1)
    else:
        phase = 1j if first.imag > 0 else -1j
    return phase, (matrix * phase.conjugate() + 0.0).tobytes()


def expand(operators: Sequence[Operator]) -> tuple[tuple[Product, ...], sparse.csr_array]:
    """The distinct products in some operators, and the matrix that combines them.

    Returns (products, matrix), matrix of shape (number of operators, number of products):
    operators[k] = sum_p matrix[k, p] products[p].
    """
    index: dict[Product, int] = {}
    rows, columns, values = [], [], []
    for row, operator in enumerate(operators):
        for product, coefficient in operator.terms.items():
            rows.append(row)
            columns.append(index.setdefault(product, len(index)))
            values.append(coefficient)
    dtype = complex if any(isinstance(v, complex) for v in values) else float
    matrix = sparse.csr_array((np.array(values, dtype), (rows, columns)), shape=(len(operators), len(index)))
    return tuple(index), matrix


def local_strength(operator: Operator, sites: Sites) -> float:
    """The largest strength on one site: sum of |coefficient| x factor norms over all terms that act there."""
    strengths = np.zeros(len(sites))
    for product, c in operator.terms.items():
        strengths[[j for j, _ in product]] += abs(c) * product_norm(product, sites)
    return float(strengths.max())


def product_norm(product: Product, sites: Sites) -> float:
    """The norm of a product of one-site operators, that of its matrix as a map of states."""
    return math.prod(_factor_norm(sites[j], names) for j, names in product)


@cache
def _factor_norm(site: Site, names: tuple[str, ...]) -> float:
    return float(np.linalg.norm(site.matrix(names), 2))


def shortened(operator: Operator, width: int = 70) -> str:
    """The operator's text, cut to fit a message."""
    text = repr(operator)
    return text if len(text) <= width else text[: width - 4] + " ..."


def _as_operator(value: Any) -> Any:
    if isinstance(value, Operator):
        return value
    return Operator({(): _plain(value)}) if isinstance(value, Scalar | np.number) else NotImplemented


def _plain(value: Any) -> complex:
    """Python float where the imaginary part is zero, else Python complex."""
    value = complex(value)
    return value.real if value.imag == 0 else value


def _hermitian_components(site: Site, names: tuple[str, ...]) -> list[tuple[int, complex]]:
    """Non-zero components of a one-site matrix in an orthogonal Hermitian basis, the identity first."""
    matrix, d = site.matrix(names), site.dimension
    components = [np.trace(matrix) / d]
    diagonal = np.diagonal(matrix)
    components += [(diagonal[: k + 1].sum() - (k + 1) * diagonal[k + 1]) / ((k + 1) * (k + 2)) for k in range(d - 1)]
    for a, b in itertools.combinations(range(d), 2):
        components += [(matrix[a, b] + matrix[b, a]) / 2, (matrix[a, b] - matrix[b, a]) * 0.5j]
    return [(a, c) for a, c in enumerate(components) if c != 0]


def _term_text(product: Product, coefficient: complex, first: bool) -> str:
    sign, written = as_written(product)
    coefficient, factors = coefficient * sign, " * ".join(f"{name}({site})" for name, site in written)
    negative = not isinstance(coefficient, complex) and coefficient < 0
    before = ("-" if first else "- ") if negative else ("" if first else "+ ")
    magnitude = -coefficient if negative else coefficient
    if not factors:
        return f"{before}{magnitude!r}"
    return before + (factors if magnitude == 1 else f"{magnitude!r} * {factors}")
