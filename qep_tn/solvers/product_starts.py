"""Product states of low energy, from which to start where Hamiltonians are all-to-all or nearly diagonal.

There, every product state of the right basis is nearly an eigenstate: sweeps rest in whichever they are, and its energy
variance says nothing. So the lowest ones are looked for among product states alone, where a search costs little: by
annealing, repeated until its best has come up often enough to believe that none is lower; and where a table holds
them, among all states of the basis that the best one suggests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.sites import Sites
from qep_tn.kernels import MeanField, anneal
from qep_tn.solvers.configurations import basis_of, fits_in_a_table, lowest_configurations
from qep_tn.states.mps import MPS

# Bonds that products span, on average by weight, from where on a chain is no chain. A closed chain of range r has
# r + 1, all pairs of equal weight have (L + 1) / 3.
_LONG, _LONG_SHARE = 4, 1 / 4
# Of the diagonal coefficients squared: an off-diagonal part beneath it leaves local minima to sweeps. Random J1-J2
# Ising chains of 14 and 100 sites ended too high in a field of 0.01 of the bonds, and no more in one of 0.05.
_NEARLY_DIAGONAL = 1e-2
# An anneal ends in a state of low energy at least as often as in one of higher energy, roughly: one still lower than
# a best that came up n times has then been missed with a probability of exp(-n).
_ENOUGH = 10
_ANNEALS, _SWEEPS, _BATCHES = 16, 60, 6  # of the first batch; each has twice as many anneals as the one before,
_LONGEST = 240  # and twice as many sweeps, up to this many: glasses profit no more from longer ones
_HOTTEST, _COLDEST = 1.5, 0.03  # in units of the root-mean-square field: above it spins are free, below they hold
_SAME = 1e-9  # of the sum of all coefficients: energies of one state, or of its images under symmetries
# Of the first product state's correlation energy: how much more the others' may be. Glasses of 13 spins at fields up to
# 2, Heisenberg glasses and Rydberg atoms came out right with it.
_REACH = 2
KEPT = 8  # product states of different energy; coarse sweeps from each cost little beside the fine ones from one


@dataclass(frozen=True)
class ProductStarts:
    """The product states of lowest energy.

    energies: ascending; of states equal in energy, by a symmetry mostly, one is kept.
    vectors: (number of states, L, largest dimension) complex; one vector a site.
    doubt: why there may be a lower one; empty if that is unlikely.
    """

    energies: NDArray
    vectors: NDArray
    doubt: str

    def states(self, sites: Sites, dtype: type) -> list[MPS]:
        """As MPS, real ones if the dtype is."""
        return [product_mps(sites, vectors, dtype) for vectors in self.vectors]


def rests_in_product_states(H: Hamiltonian, coefficients: NDArray) -> bool:
    """Whether sweeps rest in false minima: H couples distant sites, or is nearly diagonal along one of three axes."""
    weights = np.abs(coefficients)
    spans = H.product_extents[:, 1] - H.product_extents[:, 0]
    several = H.factor_counts > 1
    if spans @ (weights * several) > min(_LONG, _LONG_SHARE * len(H.sites)) * (weights @ several):
        return True
    return bool(nearly_diagonal(H, coefficients).any())


def nearly_diagonal(H: Hamiltonian, coefficients: NDArray) -> NDArray:
    """Along which of the axes of `H.diagonal_products`, (3,)."""
    many = np.abs(coefficients)[H.factor_counts > 0] ** 2
    diagonal = H.diagonal_products[:, H.factor_counts > 0] @ many
    return np.asarray(many.sum() - diagonal < _NEARLY_DIAGONAL * diagonal)


def product_starts(H: Hamiltonian, coefficients: NDArray, seed: int) -> ProductStarts:
    """The product states of lowest energy, by annealing and, where a table holds them, among all of a basis."""
    field, values = H.mean_field, coefficients.astype(complex)
    rng = np.random.default_rng(seed)
    same = _SAME * float(np.abs(coefficients).sum())
    exhaustive = fits_in_a_table(H, coefficients)
    energies: list[float] = []
    states: list[NDArray] = []
    hits, number, sweeps = 0, _ANNEALS, _SWEEPS
    for _ in range(1 if exhaustive else _BATCHES):
        temperatures = temperature_scale(field, values) * np.geomspace(_HOTTEST, _COLDEST, sweeps)
        for _ in range(number):
            states.append(random_vectors(field, rng))
            energies.append(anneal(field, values, temperatures, rng.random((sweeps, len(H.sites))), states[-1]))
        hits = int((np.array(energies) < min(energies) + same).sum())
        if hits >= _ENOUGH:
            break
        number, sweeps = 2 * number, min(2 * sweeps, _LONGEST)
    doubt = "" if hits >= _ENOUGH or exhaustive else (
        f"independent starts disagree: the best product state was found by {hits} of {len(energies)} anneals, and a "
        "lower one may exist; try other seeds, and keep the lowest energy"
    )  # fmt: skip
    if exhaustive:
        best = states[int(np.argmin(energies))]
        for vectors in lowest_configurations(H, values, basis_of(H, values, best), 4 * KEPT):
            states.append(vectors)
            energies.append(anneal(field, values, np.empty(0), np.empty((0, 0)), vectors))
    chosen: list[int] = []
    for n in np.argsort(energies, kind="stable"):
        if len(chosen) < KEPT and (not chosen or energies[n] > energies[chosen[-1]] + same):
            chosen.append(int(n))
    return ProductStarts(np.array(energies)[chosen], np.array(states)[chosen], doubt)


def reach_of_correlations(energies: NDArray, correlated: float, resolution: float) -> int:
    """How many of the lowest product states may be lowest once sites are correlated.

    energies: of the product states, ascending. correlated: the first one's, after sweeps. In the others correlations
    are taken to lower the energy by at most _REACH times as much more.
    """
    return int((energies <= energies[0] + _REACH * max(energies[0] - correlated, 0.0) + resolution).sum())


def local_field_vectors(H: Hamiltonian, theta: Theta, dtype: type) -> list[NDArray]:
    """The ground state of each site's one-site terms alone."""
    local = [np.zeros((site.dimension,) * 2, complex) for site in H.sites]
    for product, coefficient in zip(H.products, H.coefficients(theta), strict=True):
        if len(product) == 1:
            ((site, names),) = product
            local[site] += coefficient * H.sites[site].matrix(names)
    return [np.linalg.eigh(m if dtype is complex else m.real)[1][:, 0] for m in local]


def product_mps(sites: Sites, vectors: NDArray, dtype: type) -> MPS:
    """A product state as an MPS; of complex vectors, if it must be real, the real part, with bonds of dimension 2."""
    parts = [v[: site.dimension] for v, site in zip(vectors, sites, strict=True)]
    parts = [v * np.conj(v[k := int(np.argmax(np.abs(v)))]) / abs(v[k]) for v in parts]
    if dtype is complex:
        return MPS.product(sites, parts)
    if not any(v.imag.any() for v in parts):
        return MPS.product(sites, [v.real for v in parts])
    tensors = [np.array([[v.real, -v.imag], [v.imag, v.real]]).transpose(0, 2, 1) for v in parts]
    tensors[0], tensors[-1] = tensors[0][:1], tensors[-1][:, :, :1]
    return MPS.from_tensors(sites, tensors)


def random_vectors(field: MeanField, rng: np.random.Generator) -> NDArray:
    """A random product state, (L, largest dimension) complex, the unused entries of small sites zero."""
    shape = (field.dims.size, field.dims.max())
    vectors = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    vectors[np.arange(shape[1]) >= field.dims[:, None]] = 0
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def temperature_scale(field: MeanField, coefficients: NDArray) -> float:
    """The largest root-mean-square field that products of random sign exert on a site."""
    site_of = np.repeat(np.arange(field.dims.size), np.diff(field.site_factors))[field.factors]
    weights = np.repeat(np.abs(coefficients) ** 2, np.diff(field.product_starts))
    return float(np.sqrt(np.bincount(site_of, weights, 1).max())) or 1.0
