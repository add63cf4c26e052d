"""The lowest of all product states of a basis, one vector a site out of a few, by dynamic programming.

A table holds the energy of every choice on the last few sites, those that a product may still reach, with the best
choice on all sites before. So chains of short range are solved at any length, and short ones at any range.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import Product

_LARGEST_TABLE = 2**14  # entries: all states of 14 qubits, a hundredth of a second
# Of the sum of all coefficients: the products of long range that a table may leave out. It misses the lowest energy
# by twice as much at most; the chain of Rydberg atoms, 1 / r^6, then spans 14 sites.
_FAINT = 1e-6


def fits_in_a_table(H: Hamiltonian, coefficients: NDArray) -> bool:
    """Whether the choices on as many sites as products span are few enough."""
    sites = np.array([site.dimension for site in H.sites], float)
    window = _window(H, coefficients)
    return bool(max(sites[j : j + window].prod() for j in range(len(sites) - window + 1)) <= _LARGEST_TABLE)


def _window(H: Hamiltonian, coefficients: NDArray) -> int:
    """How many sites products span, but for a faint tail; the identity spans none."""
    spans = np.where(H.factor_counts > 0, H.product_extents[:, 1] - H.product_extents[:, 0], 0)
    weights = np.bincount(spans, np.abs(coefficients), len(H.sites))
    beyond = weights.sum() - np.cumsum(weights)  # of the products that span more bonds
    return 1 + int(np.argmax(beyond <= _FAINT * weights.sum()))


def basis_of(H: Hamiltonian, coefficients: NDArray, vectors: NDArray) -> list[NDArray]:
    """Each site's levels in the mean field of a product state, in the columns of one matrix a site."""
    expectations = {
        (site, names): np.vdot(v := vectors[site, : H.sites[site].dimension], H.sites[site].matrix(names) @ v)
        for product in H.products
        for site, names in product
    }
    fields = [np.zeros((site.dimension,) * 2, complex) for site in H.sites]
    for product, coefficient in zip(H.products, coefficients, strict=True):
        for k, (site, names) in enumerate(product):
            weight = coefficient * np.prod([expectations[f] for f in (*product[:k], *product[k + 1 :])])
            fields[site] += weight * H.sites[site].matrix(names)
    return [np.linalg.eigh((m + m.conj().T) / 2)[1] for m in fields]


def lowest_configurations(H: Hamiltonian, coefficients: NDArray, basis: list[NDArray], count: int) -> list[NDArray]:
    """The product states of lowest energy that take one of each site's basis vectors: the lowest of all, and those
    next to it that differ from it on the last sites, as many as the longest product spans.

    Returns arrays (L, largest dimension), one vector a site.
    """
    window = _window(H, coefficients)
    ending: list[list[tuple[Product, complex]]] = [[] for _ in H.sites]
    for product, coefficient in zip(H.products, coefficients, strict=True):
        if product and product[-1][0] - product[0][0] < window:
            ending[product[-1][0]].append((product, coefficient))
    table, choices = np.zeros(()), []
    for site, products in enumerate(ending):
        table = np.repeat(table[..., None], basis[site].shape[1], axis=-1)
        for product, coefficient in products:
            table = table + _energies(H, product, coefficient, basis, table.ndim).real
        if table.ndim == window and site < len(ending) - 1:
            choices.append(np.argmin(table, axis=0))
            table = table.min(axis=0)
    found = []
    for flat in np.argsort(table, axis=None, kind="stable")[:count]:
        chosen = [int(n) for n in np.unravel_index(flat, table.shape)]
        for best in reversed(choices):
            chosen.insert(0, int(best[tuple(chosen[: best.ndim])]))
        found.append(_vectors(basis, chosen))
    return found


def _energies(H: Hamiltonian, product: Product, coefficient: complex, basis: list[NDArray], axes: int) -> NDArray:
    """A product's energy for every choice, its last site on the last of the axes."""
    energy = np.full((1,) * axes, coefficient)
    for site, names in product:
        levels = basis[site]
        values = np.einsum("sk,st,tk->k", levels.conj(), H.sites[site].matrix(names), levels)
        shape = [1] * axes
        shape[axes - 1 - (product[-1][0] - site)] = len(values)
        energy = energy * values.reshape(shape)
    return energy


def _vectors(basis: list[NDArray], chosen: list[int]) -> NDArray:
    vectors = np.zeros((len(basis), max(len(levels) for levels in basis)), complex)
    for site, (levels, k) in enumerate(zip(basis, chosen, strict=True)):
        vectors[site, : len(levels)] = levels[:, k]
    return vectors
