"""What one site is measured in, and operators as sums of what product bases measure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from qep_tn.hamiltonians.operators import Operator, shortened
from qep_tn.hamiltonians.sites import Site, Sites

LETTERS = "ZXY"  # a site's own basis first
_ROUNDING = 1e-12


@dataclass(frozen=True, order=True)
class Reading:
    """What one site's outcome counts in a product: `values[level]`, when it is measured in the basis `letter`."""

    site: int
    letter: str
    values: tuple[float, ...]


_Read = tuple[str, tuple[float, ...]]  # the letter and values of a reading, on whichever site
# A product of what several sites read, sites ascending; their bases together measure it in every shot.
Readings = tuple[Reading, ...]


@cache
def basis_of(site: Site, letter: str) -> NDArray | None:
    """The bras <level| of a measurement of one site, (level, physical), eigenvalues falling; None for its own basis.

    letter: "X" or "Y" for the eigenbasis of that Pauli or spin operator; "Z" or "N" for the basis in which the site is
        given: a qubit's 0 and 1, a spin's m from S down, a mode's particle number.
    Raises ValueError if the site has no such basis.
    """
    if letter in ("Z", "N"):
        return None
    operator = site.operators.get(letter, site.operators.get(f"S{letter.lower()}"))
    if letter not in LETTERS or operator is None:
        raise ValueError(f"a {site.name} is not measured in the basis {letter!r}; it has {', '.join(letters_of(site))}")
    _, vectors = np.linalg.eigh(-operator)
    return np.ascontiguousarray(vectors.conj().T)


def letters_of(site: Site) -> list[str]:
    """The bases in which a site can be measured."""
    return ["Z", *(a for a in "XY" if a in site.operators or f"S{a.lower()}" in site.operators)]


class NotMeasurableError(ValueError):
    """An operator that no product basis measures."""


@dataclass(frozen=True, eq=False)
class Measurables:
    """Operators as sums of products of readings: operator k is constants[k] + sum_p matrix[k, p] products[p].

    matrix: (number of operators, number of products). constants: (number of operators,).
    mixed: mean and variance of each product in the maximally mixed state, (2, number of products).
    """

    products: tuple[Readings, ...]
    matrix: sparse.csr_array
    constants: NDArray
    mixed: NDArray


@lru_cache(maxsize=16)
def measurables(sites: Sites, operators: tuple[Operator, ...]) -> Measurables:
    """Hermitian operators as sums of what product bases measure.

    Raises NotMeasurableError, a ValueError, for one that has a product which no product basis measures.
    """
    index: dict[Readings, int] = {}
    constants = np.zeros(len(operators))
    entries: dict[tuple[int, int], complex] = {}
    for k, operator in enumerate(operators):
        for product, coefficient in operator.terms.items():
            try:
                factors = [
                    [(c, Reading(j, *r) if r else None) for c, r in _read(sites[j], names)] for j, names in product
                ]
            except NotMeasurableError as error:
                raise NotMeasurableError(
                    f"{shortened(operator)} cannot be measured, for {error}; choose couplings and observables that "
                    'product bases measure, or Shots(count, kind="gaussian")'
                ) from None
            for choice in itertools.product(*factors):
                weight = coefficient * math.prod(c for c, _ in choice)
                readings = tuple(reading for _, reading in choice if reading)
                if readings:
                    place = k, index.setdefault(readings, len(index))
                    entries[place] = entries.get(place, 0) + weight
                else:
                    constants[k] += complex(weight).real
    scale = max((abs(c) for c in entries.values()), default=0.0)
    kept = {place: c.real for place, c in entries.items() if abs(c.real) > _ROUNDING * scale}
    columns = {p: column for column, p in enumerate(sorted({p for _, p in kept}))}
    places = [k for k, _ in kept], [columns[p] for _, p in kept]
    matrix = sparse.csr_array((list(kept.values()), places), shape=(len(operators), len(columns)), dtype=float)
    everything = tuple(index)
    products = tuple(everything[p] for p in columns)
    return Measurables(products, matrix, constants, _mixed_moments(products))


def _mixed_moments(products: Sequence[Readings]) -> NDArray:
    """Mean and variance of each product in the maximally mixed state, (2, number of products)."""
    means = np.array([math.prod(np.mean(r.values) for r in readings) for readings in products])
    squares = np.array([math.prod(np.mean(np.square(r.values)) for r in readings) for readings in products])
    return np.array([means, squares - means**2]).reshape(2, -1)


@cache
def _read(site: Site, names: tuple[str, ...]) -> list[tuple[complex, _Read | None]]:
    """A one-site operator as a sum of coefficient * (values of each level in the basis of a letter), None for 1.

    What is diagonal in one basis is read there. All else must be a combination of the site's X, Y and Z, or spin
    components: S^+ = S^x + i S^y takes two bases.
    """
    matrix = site.matrix(names).astype(complex)
    letters = letters_of(site)
    for letter in letters:
        diagonal = _diagonal(site, letter, matrix)
        if diagonal is not None:
            return [
                (c, (letter, tuple(part.tolist())))
                for c, part in ((1.0, diagonal.real), (1j, diagonal.imag))
                if np.abs(part).max() > _ROUNDING
            ]
    parts: list[tuple[complex, _Read | None]] = []
    rest = matrix
    mean = complex(np.trace(matrix)) / site.dimension
    if abs(mean) > _ROUNDING:
        parts.append((mean, None))
        rest = rest - mean * np.eye(site.dimension)
    for letter in letters if len(letters) == 3 else []:
        component = site.operators.get(letter, site.operators.get(f"S{letter.lower()}"))
        if component is None:
            continue
        share = complex(np.vdot(component, rest) / np.vdot(component, component))
        if abs(share) > _ROUNDING:
            values = _diagonal(site, letter, component)
            assert values is not None
            parts.append((share, (letter, tuple(values.real.tolist()))))
            rest = rest - share * component
    if np.abs(rest).max() > 1e-10 * np.abs(matrix).max():
        raise NotMeasurableError(f"no basis of a {site.name} measures {' * '.join(names)}")
    return parts


def _diagonal(site: Site, letter: str, matrix: NDArray) -> NDArray | None:
    """The eigenvalues of a matrix by level, if it is diagonal in the basis of a letter."""
    basis = basis_of(site, letter)
    turned = matrix if basis is None else basis @ matrix @ basis.conj().T
    diagonal = np.diag(turned)
    off = np.abs(turned - np.diag(diagonal)).max()
    if off > 1e-10 * max(np.abs(matrix).max(), 1e-300):
        return None
    return np.round(diagonal, 12) + 0.0
