"""Which charges a Hamiltonian conserves, which sector is meant, and where a search in it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.action import SectorBasis
from qep_tn.hamiltonians.charges import (
    ChargedTerms,
    Charges,
    charged_terms,
    conserved,
    full_names,
    refuse_broken,
    with_state_charges,
)
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator, Product
from qep_tn.hamiltonians.sites import Sites
from qep_tn.kernels import ChargedMPO
from qep_tn.solvers.product_starts import KEPT, nearly_diagonal, product_starts, rests_in_product_states
from qep_tn.solvers.sector_configurations import even_configuration, lowest_configurations
from qep_tn.states.charges import charged_form
from qep_tn.states.mps import MPS, BondCharges


@dataclass(frozen=True)
class Conserved:
    """The charges that H(theta) conserves, and the sector, if one was chosen, as an integer."""

    terms: ChargedTerms
    coefficients: NDArray
    total: int | None

    @cached_property
    def mpo(self) -> ChargedMPO:
        """Of H(theta), with the charges of its states; made where blocks are used."""
        return with_state_charges(self.terms.fill(self.coefficients), self.charges.levels)

    @property
    def charges(self) -> Charges:
        """Names, and the charge of each basis state."""
        return self.terms.charges

    def fit(self, charges: BondCharges) -> bool:
        """Whether a state has the same charges."""
        return np.array_equal(charges.levels, self.charges.flat)


def conserved_by(H: Hamiltonian, coefficients: NDArray, sector: Mapping[str, float] | None) -> Conserved | None:
    """What H conserves of the sector's charges, or of all known ones; None if that is nothing.

    Raises ValueError for a sector that H does not conserve, or that no state has.
    """
    total = None
    if sector is None:
        names = conserved(H.sites, H.products, coefficients)
        if not names:
            return None
        terms = charged_terms(H.sites, H.products, names)
    else:
        terms, wanted = checked_terms(H, coefficients, sector)
        total = terms.charges.integer(wanted)
    return Conserved(terms, coefficients, total)


def checked_terms(
    H: Hamiltonian, coefficients: NDArray, sector: Mapping[str, float]
) -> tuple[ChargedTerms, dict[str, float]]:
    """H in terms of definite charge, and the sector by the names of operators.

    Raises ValueError for a sector that H does not conserve, or that no state has.
    """
    wanted = checked_sector(H.sites, sector)
    terms = charged_terms(H.sites, H.products, tuple(wanted))
    refuse_broken(terms, H.products, coefficients)
    return terms, wanted


def refuse_leaving(sites: Sites, products: tuple[Product, ...], weights: NDArray, sector: Mapping[str, float]) -> None:
    """Raise ValueError for the weighted products of a loss, where they change the charges of a sector."""
    if len(charged_terms(sites, products, tuple(checked_sector(sites, sector))).breaking(weights)):
        raise ValueError("sector: the loss has an operator that leaves it; leave the sector out, or the operator")


def basis_in(H: Hamiltonian, coefficients: NDArray, sector: Mapping[str, float]) -> SectorBasis:
    """The basis states of a sector. Raises ValueError for one that H does not conserve, or that no state has."""
    _, wanted = checked_terms(H, coefficients, sector)
    return _basis(H.sites, tuple(wanted.items()))


@lru_cache(maxsize=32)
def _basis(sites: Sites, sector: tuple[tuple[str, float], ...]) -> SectorBasis:
    charges = Charges.of_sites(sites, tuple(name for name, _ in sector))
    sums = np.zeros(1, int)
    for levels in charges.levels:
        sums = (sums[:, None] + levels).ravel()
    return SectorBasis(dict(sector), np.flatnonzero(sums == charges.integer(dict(sector))))


def checked_sector(sites: Sites, sector: Mapping[str, float]) -> dict[str, float]:
    """A sector by the names of operators. Raises ValueError if these sites have no state in it."""
    return dict(_checked(sites, tuple(full_names(sector).items())))


@lru_cache(maxsize=32)
def _checked(sites: Sites, sector: tuple[tuple[str, float], ...]) -> tuple[tuple[str, float], ...]:
    """Every search asks; a sector is looked at once."""
    known = sorted({name for site in sites for name in site.operators})
    for name, value in sector:
        if name not in known:
            raise ValueError(f"sector: no site has an operator {name!r}; there are {', '.join(known)}")
        own = Charges.of_sites(sites, (name,))
        least, most = (own.sector(sum(int(f(q)) for q in own.levels))[name] for f in (np.min, np.max))
        if not least <= value <= most:
            raise ValueError(f"sector: {name} = {value:g} is impossible; {len(sites)} sites have {least:g} to {most:g}")
    charges = Charges.of_sites(sites, tuple(name for name, _ in sector))
    if even_configuration(charges, charges.integer(dict(sector))) is None:
        names = ", ".join(f"{name} = {value:g}" for name, value in sector)
        raise ValueError(f"sector: no state of these {len(sites)} sites has {names}; choose another")
    return sector


def starts_in_sector(
    H: Hamiltonian, theta: Theta, coefficients: NDArray, conserved: Conserved, seed: int
) -> tuple[list[list[int]], str]:
    """Configurations of the sector to begin with, as levels of all sites; and why there may be a lower one yet.

    Those of lowest diagonal energy, where that has neighbours at most: sweeps do not carry particles to distant wells.
    The even one; the same levels in clusters at an end, in the middle or at both ends, where a magnet or an attractive
    gas has them; and at random. Where sweeps rest in product states and that is not enough, those of lowest energy that
    are in the sector, found with a penalty on leaving it.
    """
    assert conserved.total is not None
    charges = conserved.charges
    wanted = charges.sector(conserved.total)
    even = even_configuration(charges, conserved.total)
    assert even is not None
    rng = np.random.default_rng(seed)
    places = np.arange(len(even))
    outwards = np.abs(places - (len(even) - 1) / 2)
    clusters = [_rearranged(charges, even, by) for by in (places, -places, outwards, -outwards)]
    lowest = lowest_configurations(H, coefficients, charges, conserved.total, KEPT)
    random = (_rearranged(charges, even, rng.random(len(even))) for _ in range(2))
    found = [list(levels) for levels in dict.fromkeys(map(tuple, [*(lowest or ()), even, *clusters, *random]))]
    if not rests_in_product_states(H, coefficients) or (lowest and nearly_diagonal(H, coefficients)[0]):
        return found, ""
    height = 2 * float(np.abs(coefficients).sum()) / len(H.sites)
    squares = Operator({(): 0.0})
    for name, value in wanted.items():
        total = Operator({((j, (name,)),): 1.0 for j, site in enumerate(H.sites) if name in site.operators})
        squares = squares + total * total - 2 * value * total
    held = Hamiltonian(H.sites, {**H.parameters, "sector": squares}, H.fixed)
    products = product_starts(held, held.coefficients({**theta, "sector": height}), seed)
    for vectors in products.vectors:
        levels = [int(np.argmax(np.abs(v[: site.dimension]))) for v, site in zip(vectors, H.sites, strict=True)]
        if sum(int(own[level]) for own, level in zip(charges.levels, levels, strict=True)) == conserved.total:
            found.insert(0, levels)
    return found, products.doubt


def _rearranged(charges: Charges, levels: list[int], by: NDArray) -> list[int]:
    """The levels of a configuration, ascending with a number that each site has, among sites with the same charges."""
    result, kinds = np.array(levels), [own.tobytes() for own in charges.levels]
    for kind in set(kinds):
        mine = np.flatnonzero([k == kind for k in kinds])
        result[mine[np.argsort(by[mine], kind="stable")]] = np.sort(result[mine])
    return list(map(int, result))


def configuration(sites: Sites, levels: Sequence[int], dtype: type) -> MPS:
    """The product state with these levels."""
    vectors = [np.eye(site.dimension, dtype=dtype)[level] for site, level in zip(sites, levels, strict=True)]
    return MPS.product(sites, vectors)


def next_sectors(conserved: Conserved, total: int) -> list[list[int]]:
    """Even configurations of the sectors one step of one charge away from this one."""
    charges = conserved.charges
    steps = [s * n for s, n in zip(charges.strides, charges.steps, strict=True) if n]
    found = (even_configuration(charges, total + sign * step) for step in steps for sign in (-1, 1))
    return [levels for levels in found if levels is not None]


def in_sector(state: MPS, conserved: Conserved) -> MPS:
    """A state in blocks of the charges. Raises ValueError if it is of another sector, or of none."""
    charged = charged_form(state, conserved.charges.levels)
    if charged is None or charged.charges is None or charged.charges.total != conserved.total:
        names = " and ".join(conserved.charges.names)
        raise ValueError(f"sector: a state given is of another sector of {names}, or of none; search it in this one")
    return charged
