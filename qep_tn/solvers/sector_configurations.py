"""Configurations of a sector, one level a site: evenly filled ones, and those of lowest energy on short ranges.

Both carry partial configurations from site to site, by the charge so far.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.charges import Charges
from qep_tn.hamiltonians.hamiltonian import Hamiltonian

_KEPT = 500  # partial configurations at a time, of those nearest to an even filling


def even_configuration(charges: Charges, total: int) -> list[int] | None:
    """Levels of all sites in a sector, filled as evenly as may be: up and down take turns, particles keep apart.

    None if there are none. Of all charges so far the nearest ones to an even filling are kept.
    """
    rest, wanted = _Rest.of(charges), charges.digits(np.array([total]))[0]
    places, costs = np.zeros(1, int), np.zeros(1)
    choices: list[tuple[NDArray, NDArray]] = []  # of each site: which partial configuration goes on, with which level
    for site, own in enumerate(charges.levels):
        before, level = (index.ravel() for index in np.indices((len(places), len(own))))
        reach = places[before] + own[level]
        reached = charges.digits(reach)
        off = reached - wanted * (site + 1) / len(charges.levels)
        fits = rest.can_bring(wanted - reached, site + 1)
        cost = np.where(fits, costs[before] + (off**2).sum(axis=1), np.inf)
        order = np.argsort(cost, kind="stable")
        order = order[np.sort(np.unique(reach[order], return_index=True)[1])][:_KEPT]  # the best of each charge
        order = order[np.isfinite(cost[order])]
        places, costs = reach[order], cost[order]
        choices.append((before[order], level[order]))
    if not (places == total).any():
        return None
    at, found = int(np.flatnonzero(places == total)[0]), []
    for before, level in reversed(choices):
        found.append(int(level[at]))
        at = int(before[at])
    return found[::-1]


def lowest_configurations(
    H: Hamiltonian, coefficients: NDArray, charges: Charges, total: int, number: int
) -> list[list[int]] | None:
    """So many configurations of lowest diagonal energy in a sector, the lowest first.

    None where a diagonal product spans more than two neighbours. Of each charge so far and each level of the last
    site so many of lowest energy are carried on, which loses none.
    """
    tables = _diagonal_energies(H, coefficients)
    if tables is None:
        return None
    single, pairs = tables
    rest, wanted = _Rest.of(charges), charges.digits(np.array([total]))[0]
    places, costs = np.zeros(1, int), np.zeros((1, 1, 1))  # charges; (charges, levels of the last site, number)
    steps: list[tuple[NDArray, NDArray, int]] = []
    for site, own in enumerate(charges.levels):
        reached = np.unique(places[:, None] + own)
        reached = reached[rest.can_bring(wanted - charges.digits(reached), site + 1)]
        shape = len(reached), len(own), min(number, costs.shape[1] * costs.shape[2])
        longer, origin = np.full(shape, np.inf), np.zeros(shape, np.int32)
        for level, charge in enumerate(own):
            _, here, there = np.intersect1d(places + charge, reached, assume_unique=True, return_indices=True)
            energies = (costs[here] + pairs[site][:, level, None]).reshape(len(here), costs.shape[1] * costs.shape[2])
            lowest = np.argsort(energies, axis=1, kind="stable")[:, : shape[2]]
            longer[there, level] = np.take_along_axis(energies, lowest, axis=1) + single[site][level]
            origin[there, level] = lowest
        steps.append((reached, origin, costs.shape[2]))
        places, costs = reached, longer
    ends = costs.reshape(-1)  # of the one charge that is left, if any
    order = np.argsort(ends, kind="stable")[:number]
    return [_traced(charges, total, steps, *divmod(int(n), costs.shape[2])) for n in order[np.isfinite(ends[order])]]


def _traced(
    charges: Charges, total: int, steps: list[tuple[NDArray, NDArray, int]], level: int, kept: int
) -> list[int]:
    """The configuration that ends with a level of the last site, by its number among those that do.

    steps: of each site, the charges up to it; level and number before it that went on, as one integer; how many
    numbers there were.
    """
    found = []
    for own, (reached, origin, numbers) in zip(reversed(charges.levels), reversed(steps), strict=True):
        found.append(level)
        before = int(origin[np.searchsorted(reached, total), level, kept])
        total -= int(own[level])
        level, kept = divmod(before, numbers)
    return found[::-1]


def _diagonal_energies(H: Hamiltonian, coefficients: NDArray) -> tuple[list[NDArray], list[NDArray]] | None:
    """What levels of single sites cost, and those of a site and the one before it; None beyond neighbours."""
    dimensions = [site.dimension for site in H.sites]
    single = [np.zeros(d) for d in dimensions]
    pairs = [np.zeros((before, d)) for before, d in zip([1, *dimensions], dimensions, strict=False)]
    for product, coefficient, diagonal in zip(H.products, coefficients, H.diagonal_products[0], strict=True):
        if not product or coefficient == 0 or not diagonal:
            continue
        if product[-1][0] > product[0][0] + 1:
            return None
        own = [np.diagonal(H.sites[site].matrix(names)) for site, names in product]
        if len(own) == 1:
            single[product[0][0]] += (coefficient * own[0]).real
        else:
            pairs[product[1][0]] += (coefficient * np.multiply.outer(*own)).real
    return single, pairs


@dataclass(frozen=True)
class _Rest:
    """The least and the most that the sites from each one on can bring of every charge, (L + 1, charges)."""

    least: NDArray
    most: NDArray

    @classmethod
    def of(cls, charges: Charges) -> _Rest:
        own = [charges.digits(levels) for levels in charges.levels]
        none = np.zeros((1, len(charges.names)), int)
        return cls(*(
            np.concatenate([np.cumsum([f(q, axis=0) for q in own][::-1], axis=0)[::-1], none]) for f in (np.min, np.max)
        ))  # fmt: skip

    def can_bring(self, left: NDArray, site: int) -> NDArray:
        """Whether the sites from this one on may bring what is left, (number, charges)."""
        return np.asarray(((left >= self.least[site]) & (left <= self.most[site])).all(axis=1))
