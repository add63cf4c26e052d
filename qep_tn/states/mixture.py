"""A statistical mixture of the eigenstates of a small system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.hamiltonian import sparse_matrix
from qep_tn.hamiltonians.operators import Operator, Product
from qep_tn.hamiltonians.sites import Sites
from qep_tn.states.state_vector import StateVector

_NOTHING = 1e-18  # a weight that leaves no trace in an expectation value


@dataclass(frozen=True, eq=False)
class Mixture:
    """Eigenstates of H with their weights, and how these follow H.

    energies: (n,), ascending. vectors: (D, n), one eigenstate a column; n is D, or the size of a sector of H, to which
        responses then keep. weights: (n,), their sum is 1.
    beta: the inverse temperature of a Gibbs state; zero for a mixture whose weights are fixed, as a single eigenstate.
    """

    sites: Sites
    energies: NDArray
    vectors: NDArray
    weights: NDArray
    beta: float
    has_overlaps: ClassVar[bool] = False

    @cached_property
    def density_matrix(self) -> NDArray:
        """(D, D), site 0 the most significant."""
        kept = self.weights > _NOTHING
        return (self.vectors[:, kept] * self.weights[kept]) @ self.vectors[:, kept].conj().T

    def product_expectations(self, products: tuple[Product, ...]) -> NDArray:
        """Expectation of each product of one-site operators."""
        return traces(self.sites, self.density_matrix, products)

    def response(self, operator: Operator) -> NDArray:
        """The matrix R with d<operator> / d lambda = tr(R A) for any H + lambda A, (D, D).

        With weights p_n it is sum_nm (p_n - p_m) / (E_n - E_m) <n|O|m> |n><m|, first-order perturbation theory; for a
        Gibbs state the diagonal and levels that meet have -beta p_n, and O - <O> takes the place of O, by what the
        partition function changes (Kubo, J. Phys. Soc. Jpn. 12, 570 (1957)).
        """
        matrix = sparse_matrix(operator, self.sites)
        elements = self.vectors.conj().T @ (matrix @ self.vectors)
        own = np.diagonal(elements).real
        np.fill_diagonal(elements, own - own @ self.weights)
        return np.asarray(self.vectors @ (elements * self._kernel) @ self.vectors.conj().T)

    @property
    def _kernel(self) -> NDArray:
        """(p_n - p_m) / (E_n - E_m), (n, n)."""
        distances = self.energies[:, None] - self.energies[None, :]
        if self.beta > 0:
            x = self.beta * np.abs(distances)
            decay = np.divide(-np.expm1(-x), x, out=np.ones_like(x), where=x > 0)
            return -self.beta * np.maximum(self.weights[:, None], self.weights[None, :]) * decay
        differences = self.weights[:, None] - self.weights[None, :]
        return np.divide(differences, distances, out=np.zeros_like(distances), where=differences != 0)

    def sample(self, bases: Sequence[NDArray | None], shots: int, rng: np.random.Generator) -> NDArray:
        """Levels of every site in independent measurements, (shots, L).

        bases: one (level, physical) matrix a site, its rows the bras <level|; None for the site's own basis.
        """
        drawn = rng.multinomial(shots, self.weights / self.weights.sum())
        parts = [self._state(n).sample(bases, int(drawn[n]), rng) for n in np.flatnonzero(drawn).tolist()]
        return rng.permutation(np.concatenate(parts))

    def turned(self, turns: Sequence[NDArray | None]) -> Mixture:
        """Each site turned by a unitary (new, physical), None for those that stay."""
        states = [self._state(n).turned(turns).vector for n in range(len(self.energies))]
        return replace(self, vectors=np.stack(states, axis=1))

    def overlap(self, other: Mixture) -> complex:
        """Raises ValueError: mixtures have none."""
        raise ValueError("a mixture of states has no overlaps; take ExactDiagonalization or a DMRG solver")

    def middle_entropy(self) -> float:
        """Not a number: the entropy of a part of a mixture is not that of its entanglement."""
        return np.nan

    def arrays(self) -> dict[str, NDArray]:
        """Energies, vectors, weights and beta."""
        return {
            "energies": self.energies, "vectors": self.vectors, "weights": self.weights, "beta": np.array([self.beta])
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, sites: Sites, arrays: Mapping[str, NDArray]) -> Mixture:
        """The inverse of `arrays`. Raises ValueError if they do not fit the sites."""
        energies, vectors, weights, beta = (arrays[name] for name in ("energies", "vectors", "weights", "beta"))
        dimension = int(np.prod([site.dimension for site in sites]))
        shapes, n = (energies.shape, weights.shape, vectors.shape, beta.shape), len(energies)
        if shapes != ((n,), (n,), (dimension, n), (1,)):
            raise ValueError("its eigenstates are not those of these sites")
        return cls(tuple(sites), energies, vectors, weights, float(beta[0]))

    def _state(self, n: int) -> StateVector:
        return StateVector(self.sites, np.ascontiguousarray(self.vectors[:, n]))


def traces(sites: Sites, matrix: NDArray, products: tuple[Product, ...]) -> NDArray:
    """tr(matrix P) of each product P of one-site operators."""
    values = np.zeros(len(products), complex)
    for p, product in enumerate(products):
        entries = sparse_matrix(Operator({product: 1.0}), sites).tocoo()
        values[p] = entries.data @ matrix[entries.col, entries.row]
    return values if values.imag.any() else values.real.copy()
