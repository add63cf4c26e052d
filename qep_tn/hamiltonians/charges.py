"""Conserved charges: numbers of particles and 2 S^z, found from the terms of a Hamiltonian; its MPO with them.

A product such as X X changes 2 S^z by 4, 0 and -4 in parts; only with Y Y, and equal coefficients, the parts that
change it cancel. So every factor is split into parts that change the charges by a definite amount, equal terms are
summed up, and what is left of those that change a charge says whether it is conserved.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from qep_tn.hamiltonians.mpo import ParametricMPO
from qep_tn.hamiltonians.operators import Operator, Product
from qep_tn.hamiltonians.sites import Site, Sites
from qep_tn.kernels import BlockMPO, ChargedMPO

KNOWN = ("Sz", "Number", "NumberUp", "NumberDown")  # operators whose sum over all sites may be conserved
_SHORT = {"N": "Number", "NUp": "NumberUp", "NDown": "NumberDown"}
_ROUNDING = 1e-14  # of the largest coefficient, in one that cancels
_SHORT_PRODUCT = 2  # factors
_MOST_PARTS = 2**10  # of one product: a string of ten X


@dataclass(frozen=True)
class Charges:
    """Some charges of a chain, together one integer: several are digits of it.

    names: of the operators, each summed over all sites. levels: the integer of each basis state, one array a site.
    strides: what a unit of each is worth. steps: the least that each can change by on a site, in units.
    """

    names: tuple[str, ...]
    levels: tuple[NDArray, ...]
    strides: tuple[int, ...]
    steps: tuple[int, ...]

    @classmethod
    def of_sites(cls, sites: Sites, names: Sequence[str]) -> Charges:
        """Those of these names; a site without the operator has none of it."""
        total, strides, stride = [np.zeros(site.dimension, int) for site in sites], [], 1
        steps = []
        for name in names:
            values = [charges_of(site, name) for site in sites]
            for sum_of_all, more in zip(total, values, strict=True):
                sum_of_all += stride * more
            strides.append(stride)
            steps.append(min((int(d) for v in values for d in np.diff(np.unique(v))), default=0))
            stride *= 2 * sum(int(abs(v).max()) for v in values) + 1
        return cls(tuple(names), tuple(total), tuple(strides), tuple(steps))

    @property
    def flat(self) -> NDArray:
        """The integers of all basis states, one site after another."""
        return np.concatenate(self.levels)

    def integer(self, sector: Mapping[str, float]) -> int:
        """A sector, by the names of the charges, as one integer."""
        return sum(round(sector[n] / unit_of(n)) * s for n, s in zip(self.names, self.strides, strict=True))

    def sector(self, integer: int) -> dict[str, float]:
        """The inverse of `integer`."""
        digits = self.digits(np.array([integer]))[0]
        return {name: float(digit * unit_of(name)) for name, digit in zip(self.names, digits, strict=True)}

    def digits(self, integers: NDArray) -> NDArray:
        """Each charge on its own, in units, of some integers: (number, charges)."""
        found: list[NDArray] = []
        for stride in reversed(self.strides):
            found.append(np.rint(integers / stride).astype(int))
            integers = integers - found[-1] * stride
        return np.stack(found[::-1], axis=1)


def unit_of(name: str) -> float:
    """What a charge comes in multiples of."""
    return 0.5 if name == "Sz" else 1


def charges_of(site: Site, name: str) -> NDArray:
    """The charge of each basis state of a site, in its unit; zeros if it has none.

    Raises ValueError if the operator is not diagonal, or has other values.
    """
    if name not in site.operators:
        return np.zeros(site.dimension, int)
    matrix = site.operators[name]
    values = np.diagonal(matrix).real / unit_of(name)
    if not np.array_equal(matrix, np.diag(np.diagonal(matrix))) or abs(values - np.rint(values)).max() > 1e-12:
        raise ValueError(f"{name} of a {site.name} is no charge: it must be diagonal, with values that count something")
    return np.rint(values).astype(int)


@dataclass(frozen=True)
class ChargedTerms:
    """Products of one-site operators, as terms that change charges by definite amounts.

    sites: with the parts of operators, by name. terms: products of these. matrix: coefficient of each term in each
    product, (terms, products). changes: of the charges, by each term.
    """

    charges: Charges
    sites: Sites
    terms: tuple[Product, ...]
    matrix: sparse.csr_array
    changes: NDArray

    @classmethod
    def of_products(cls, sites: Sites, products: Sequence[Product], charges: Charges) -> ChargedTerms:
        """Split products of operators on these sites."""
        named: dict[Site, dict[bytes, tuple[str, NDArray]]] = {site: {} for site in sites}
        numbers: dict[Product, int] = {}
        rows, columns, values, changes = [], [], [], []
        for column, product in enumerate(products):
            parts = []
            for site, names in product:
                known = named[sites[site]]
                split = _by_charge(sites[site].matrix(names), charges.levels[site])
                parts.append(
                    [
                        (change, scale, (site, (known.setdefault(m.tobytes(), (f"part{len(known)}", m))[0],)))
                        for change, scale, m in split
                    ]
                )
            for choice in itertools.product(*parts):
                term = tuple(factor for _, _, factor in choice)
                if term not in numbers:
                    numbers[term] = len(numbers)
                    changes.append(sum(change for change, _, _ in choice))
                rows.append(numbers[term])
                columns.append(column)
                values.append(np.prod([scale for _, scale, _ in choice]))
        entries = np.array(values, complex)
        entries = entries if entries.imag.any() else entries.real
        matrix = sparse.csr_array((entries, (rows, columns)), shape=(len(numbers), len(products)))
        with_parts = {
            site: Site(f"{site.name} in parts", {"Id": np.eye(site.dimension), **dict(parts.values())})
            for site, parts in named.items()
        }
        return cls(charges, tuple(with_parts[s] for s in sites), tuple(numbers), matrix, np.array(changes, int))

    def breaking(self, coefficients: NDArray) -> NDArray:
        """Numbers of the terms that change a charge, at these coefficients of the products."""
        strengths = np.abs(self.matrix @ coefficients)
        largest = strengths.max(initial=0.0)
        return np.flatnonzero((self.changes != 0) & (strengths > _ROUNDING * largest))

    def fill(self, coefficients: NDArray) -> BlockMPO:
        """The MPO of the terms that change no charge."""
        strengths = self.matrix @ coefficients
        return self._structure.fill_blocks(strengths[self.changes == 0])

    @cached_property
    def _structure(self) -> ParametricMPO:
        kept = np.flatnonzero(self.changes == 0)
        return ParametricMPO(self.sites, tuple(self.terms[n] for n in kept))


@lru_cache(maxsize=32)
def charged_terms(sites: Sites, products: tuple[Product, ...], names: tuple[str, ...]) -> ChargedTerms:
    """The terms of some products, split once."""
    return ChargedTerms.of_products(sites, products, Charges.of_sites(sites, names))


def conserved(sites: Sites, products: tuple[Product, ...], coefficients: NDArray) -> tuple[str, ...]:
    """Which of the known charges this sum of products conserves; of those that say the same, the first.

    A search asks this every time: what does not depend on the coefficients is worked out once.
    """
    candidates = ((name, _candidate(sites, products, name)) for name in KNOWN)
    return _independent(sites, tuple(n for n, c in candidates if c is not None and c.is_conserved(coefficients)))


@dataclass(frozen=True)
class _Candidate:
    """A charge that may be conserved. Short products first: what breaks a charge there no longer one mends.

    short: which products are; some: their terms; every: all terms; None where a string has too many parts to be split.
    """

    short: NDArray
    some: ChargedTerms
    every: Callable[[], ChargedTerms] | None

    def is_conserved(self, coefficients: NDArray) -> bool:
        """At these coefficients of all products."""
        if len(self.some.breaking(coefficients[self.short])) or self.every is None:
            return False
        return bool(self.short.all()) or not len(self.every().breaking(coefficients))


@lru_cache(maxsize=64)
def _candidate(sites: Sites, products: tuple[Product, ...], name: str) -> _Candidate | None:
    """None where no site has the operator, or one that counts nothing."""
    if not any(name in site.operators for site in sites):
        return None
    try:
        charges = Charges.of_sites(sites, (name,))
    except ValueError:
        return None
    short = np.array([len(product) <= _SHORT_PRODUCT for product in products], bool)
    some = tuple(product for product, kept in zip(products, short, strict=True) if kept)
    too_many = any(number_of_parts(sites, product, charges) > _MOST_PARTS for product in products)
    every = None if too_many else partial(charged_terms, sites, products, (name,))
    return _Candidate(short, ChargedTerms.of_products(sites, some, charges), every)


@lru_cache(maxsize=64)
def _independent(sites: Sites, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those charges that are no sums of the ones before, and constants."""
    kept: list[str] = []
    rows: list[NDArray] = []
    for name in names:
        row = np.concatenate([(q := charges_of(site, name)) - q[0] for site in sites]).astype(float)
        if np.linalg.matrix_rank(np.array([*rows, row])) > len(rows):
            kept.append(name)
            rows.append(row)
    return tuple(kept)


def number_of_parts(sites: Sites, product: Product, charges: Charges) -> int:
    """Into how many terms of definite charge a product splits."""
    return math.prod(len(_by_charge(sites[site].matrix(names), charges.levels[site])) for site, names in product)


def refuse_broken(terms: ChargedTerms, products: Sequence[Product], coefficients: NDArray) -> None:
    """Raise ValueError, with the product, if a charge is not conserved."""
    broken = terms.breaking(coefficients)
    if not len(broken):
        return
    largest = broken[np.argmax(np.abs((terms.matrix @ coefficients)[broken]))]
    row = terms.matrix[[largest]].toarray()[0] * coefficients
    text = Operator({products[int(np.argmax(np.abs(row)))]: 1.0})
    change = terms.charges.sector(int(terms.changes[largest]))
    names = " and ".join(terms.charges.names)
    raise ValueError(
        f"sector: H does not conserve {names}: {text} changes "
        f"{', '.join(f'{n} by {v:g}' for n, v in change.items() if v)}; leave the sector out, or the term"
    )


def with_state_charges(mpo: BlockMPO, levels: Sequence[NDArray]) -> ChargedMPO:
    """An MPO whose terms conserve the charges, with the charges of its states."""
    starts = np.cumsum(mpo.bonds) - mpo.bonds
    charges = np.zeros(int(mpo.bonds.sum()), int)
    for site, values in enumerate(levels):
        row, column, out, into = mpo.blocks[mpo.starts[site] : mpo.starts[site + 1]].T
        charges[starts[site + 1] + column] = charges[starts[site] + row] + values[out] - values[into]
    return ChargedMPO(*mpo, charges, starts)


def full_names(sector: Mapping[str, float]) -> dict[str, float]:
    """A sector by the names of operators, where it has "N" for "Number".

    Raises ValueError if a value is none that its charge can have.
    """
    if not isinstance(sector, Mapping) or not all(isinstance(v, int | float | np.number) for v in sector.values()):
        raise ValueError(f'sector = {sector!r}: give a number for each charge, such as {{"N": 4}}')
    result = {_SHORT.get(name, name): float(value) for name, value in sector.items()}
    if len(result) < len(sector):
        raise ValueError(f"sector: {', '.join(sector)} name a charge twice; leave one out")
    for name, value in result.items():
        steps = value / unit_of(name)
        if not math.isfinite(steps) or abs(steps - round(steps)) > 1e-9:
            raise ValueError(f"sector: {name} = {value:g}; it comes in multiples of {unit_of(name):g}")
    return result


def _by_charge(matrix: NDArray, charges: NDArray) -> list[tuple[int, complex, NDArray]]:
    """A matrix as (change of charge, scale, part); parts that are multiples of each other come out equal."""
    change = charges[:, None] - charges[None, :]
    result = []
    for q in np.unique(change[matrix != 0]):
        part = np.where(change == q, matrix, 0)
        scale = part.ravel()[np.flatnonzero(part)[0]]
        scaled = np.ascontiguousarray((part / scale).round(14) + 0.0)
        real = np.ascontiguousarray(scaled.real) if np.iscomplexobj(scaled) and not scaled.imag.any() else scaled
        result.append((int(q), complex(scale), real))
    return result


def of_operator(operator: Operator, sites: Sites, names: tuple[str, ...]) -> tuple[ChargedTerms, NDArray]:
    """An operator's terms, and the coefficients of its products."""
    return charged_terms(sites, tuple(operator.terms), names), np.array(list(operator.terms.values()))
