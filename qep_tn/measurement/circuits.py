"""Which products are measured together: as few measurement settings as a search finds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from qep_tn.hamiltonians.operators import Operator
from qep_tn.hamiltonians.sites import Sites
from qep_tn.measurement.bases import LETTERS, Readings, measurables

_WORK = 2e6  # comparisons of a product with a circuit in all rounds: about a second
_PATIENCE = 20  # rounds before a random start
_CLIQUES = 30  # searches for products that all contradict one another

Setting = dict[int, str]


@dataclass(frozen=True, eq=False)
class Circuit:
    """One measurement setting, and what its outcomes tell of some operators.

    basis: a letter for every site; Z where nothing asks for another.
    products: those it measures. shares: (number of operators, number of products), of each operator what this circuit
        tells; a product that several circuits measure is their mean.
    centre, spread: of what it tells, mean and variance in the maximally mixed state, (number of operators,).
    """

    basis: str
    products: tuple[Readings, ...]
    shares: sparse.csr_array
    centre: NDArray
    spread: NDArray

    def told(self, levels: NDArray) -> NDArray:
        """What each shot tells of each operator, (shots, number of operators). levels: (shots, L)."""
        found = np.ones((len(levels), len(self.products)))
        for acting, places, table in self._factors:
            found[:, acting] *= table[np.arange(len(acting)), levels[:, places]]
        return found @ self.shares.T

    @cached_property
    def _factors(self) -> list[tuple[NDArray, NDArray, NDArray]]:
        """The first, second ... factors of all products: which have one, on which site, and its values by level."""
        factors = []
        for depth in range(max(map(len, self.products), default=0)):
            acting = [p for p, readings in enumerate(self.products) if len(readings) > depth]
            readings = [self.products[p][depth] for p in acting]
            table = np.zeros((len(acting), max(len(r.values) for r in readings)))
            for row, reading in zip(table, readings, strict=True):
                row[: len(reading.values)] = reading.values
            factors.append((np.array(acting), np.array([r.site for r in readings]), table))
        return factors


@dataclass(frozen=True, eq=False)
class Circuits:
    """Circuits that together measure some operators. constants: of each operator, what no circuit need tell."""

    circuits: tuple[Circuit, ...]
    constants: NDArray

    def __iter__(self) -> Iterator[Circuit]:
        return iter(self.circuits)

    def __len__(self) -> int:
        return len(self.circuits)

    def __str__(self) -> str:
        """A line for each circuit: the basis of each site, and how many products it measures."""
        return "\n".join(f"{circuit.basis}  {len(circuit.products)} products" for circuit in self)


@lru_cache(maxsize=16)
def circuits(sites: Sites, operators: tuple[Operator, ...]) -> Circuits:
    """As few circuits as a greedy colouring finds that measure these operators.

    Two products share a circuit if their bases agree on every site where both act (qubit-wise commuting).
    Raises ValueError for an operator that no product basis measures.
    """
    measured = measurables(sites, operators)
    settings = fewest_settings(measured.products)
    bases = ["".join(setting.get(site, LETTERS[0]) for site in range(len(sites))) for setting in settings]
    told = [
        [p for p, r in enumerate(measured.products) if all(basis[x.site] == x.letter for x in r)] for basis in bases
    ]
    times = np.bincount(np.array([p for inside in told for p in inside], int), minlength=len(measured.products))
    found = []
    for basis, inside in zip(bases, told, strict=True):
        shares = sparse.csr_array(measured.matrix[:, inside] / times[inside])
        means, spreads = measured.mixed[:, inside]
        products = tuple(measured.products[p] for p in inside)
        found.append(Circuit(basis, products, shares, shares @ means, shares.power(2) @ spreads))
    return Circuits(tuple(found), measured.constants)


def fewest_settings(products: Sequence[Readings]) -> list[Setting]:
    """Letters by site, of as few settings as iterated greedy colouring finds; deterministic.

    A greedy colouring gives each product, those of most factors first, to the first setting that it does not
    contradict. Done again with the products setting by setting, in any order of the settings, it never takes more, and
    often fewer (Culberson and Luo, DIMACS 26, 245, 1996); from time to time it starts at random. It ends where fewer
    cannot be, at the number of products found that all contradict one another, or after about a second.
    """
    order = sorted(range(len(products)), key=lambda p: (-len(products[p]), products[p][:1], p))
    least, rng, work = _contradicting(products), np.random.default_rng(0), 0
    groups, best = _greedily(products, order)
    settings, turn = best, 0
    while len(best) > least and work < _WORK:
        order = [p for g in _reordered(groups, turn, rng) for p in groups[g]]
        turn += 1
        if turn % _PATIENCE == 0:
            rng.shuffle(order)
        groups, settings = _greedily(products, order)
        best = min(best, settings, key=len)
        work += len(products) * len(settings)
    return best


def _contradicting(products: Sequence[Readings]) -> int:
    """A number of products that all contradict one another, the largest of a few greedy searches."""
    settings = [{r.site: r.letter for r in readings} for readings in products]
    most = min(len(products), 1)
    for first in range(0, len(products), max(1, len(products) // _CLIQUES)):
        clique = [first]
        for p, readings in enumerate(products):
            if not any(_fits(readings, settings[other]) for other in clique):
                clique.append(p)
        most = max(most, len(clique))
    return most


def _reordered(groups: list[list[int]], turn: int, rng: np.random.Generator) -> Iterator[int]:
    """Numbers of the groups: last ones first, largest first, at random, in turn."""
    numbers = range(len(groups))
    if turn % 3 == 0:
        return reversed(numbers)
    if turn % 3 == 1:
        return iter(sorted(numbers, key=lambda g: -len(groups[g])))
    return iter(rng.permutation(len(groups)).tolist())


def _greedily(products: Sequence[Readings], order: Sequence[int]) -> tuple[list[list[int]], list[Setting]]:
    """Each product in turn to the first setting that it does not contradict."""
    groups: list[list[int]] = []
    settings: list[Setting] = []
    for p in order:
        readings = products[p]
        chosen = next((n for n, setting in enumerate(settings) if _fits(readings, setting)), len(settings))
        if chosen == len(settings):
            groups.append([])
            settings.append({})
        groups[chosen].append(p)
        settings[chosen].update((r.site, r.letter) for r in readings)
    return groups, settings


def _fits(readings: Readings, setting: Setting) -> bool:
    return all(setting.get(r.site, r.letter) == r.letter for r in readings)
