"""Which products are measured together: as few measurement settings as a search finds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from qep_tn.hamiltonians.operators import Operator
from qep_tn.hamiltonians.sites import Sites
from qep_tn.measurement.bases import LETTERS, Measurables, Readings, measurables

_WORK = 2e6  # comparisons of a product with a circuit in all rounds: about a second
_PATIENCE = 20  # rounds before a random start
_CLIQUES = 30  # searches for products that all contradict one another

Setting = dict[int, str]


@dataclass(frozen=True, eq=False)
class Circuits:
    """Measurement settings that together measure some operators.

    bases: of each circuit, a letter for every site; Z where nothing asks for another.
    weights: (number of circuits, number of products), each product the mean over all circuits that measure it: a
        column adds up to one.
    """

    measured: Measurables
    bases: tuple[str, ...]
    weights: sparse.csr_array

    def __str__(self) -> str:
        """A line for each circuit: the basis of each site, and how many products it measures."""
        counts = np.diff(self.weights.indptr)
        return "\n".join(f"{basis}  {count} products" for basis, count in zip(self.bases, counts, strict=True))

    def __len__(self) -> int:
        return len(self.bases)


@lru_cache(maxsize=16)
def circuits(sites: Sites, operators: tuple[Operator, ...]) -> Circuits:
    """As few circuits as a greedy colouring finds that measure these operators.

    Two products share a circuit if their bases agree on every site where both act (qubit-wise commuting).
    Raises ValueError for an operator that no product basis measures.
    """
    measured = measurables(sites, operators)
    settings = fewest_settings(measured.products)
    bases = tuple("".join(setting.get(site, LETTERS[0]) for site in range(len(sites))) for setting in settings)
    measuring = np.array(
        [[all(basis[r.site] == r.letter for r in readings) for readings in measured.products] for basis in bases], float
    )
    weights = measuring / measuring.sum(axis=0) if bases else np.zeros((0, 0))
    return Circuits(measured, bases, sparse.csr_array(weights))


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


def product_values(products: Sequence[Readings], levels: NDArray) -> NDArray:
    """What each product counts in every shot, (shots, number of products). levels: (shots, L)."""
    found = np.ones((len(levels), len(products)))
    for depth in range(max(map(len, products), default=0)):
        acting = [p for p, readings in enumerate(products) if len(readings) > depth]
        factors = [products[p][depth] for p in acting]
        table = np.zeros((len(factors), max(len(r.values) for r in factors)))
        for row, factor in zip(table, factors, strict=True):
            row[: len(factor.values)] = factor.values
        found[:, acting] *= table[np.arange(len(factors)), levels[:, [r.site for r in factors]]]
    return found
