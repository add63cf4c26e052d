"""Excited and thermal states of small systems, from all levels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator, Product, expand
from qep_tn.solvers.protocol import Nudging, Solver
from qep_tn.solvers.sectors import basis_in, refuse_leaving
from qep_tn.states.ground_state import GroundState
from qep_tn.states.mixture import Mixture, traces

LARGEST_DIMENSION = 2**12  # all eigenvectors then take 134 MB, 268 MB if complex
_SAME_LEVEL = 1e-10  # of the distance from the lowest level to the highest


@dataclass(frozen=True)
class FullDiagonalization(Solver):
    """Any level of up to 12 qubits (dimension 2^12), or their Gibbs state, with the exact derivative of expectations.

    level: which eigenstate, by energy from 0, the ground state; counted anew for every theta.
    temperature: of a Gibbs state, in the Hamiltonian's own unit of energy (k_B = 1); 0 for a single level. A chemical
        potential is a term of the Hamiltonian.
    sector: conserved charges to keep to, as of `ExactDiagonalization`: levels count within it, and a Gibbs state is the
        canonical one, as {"N": 4}; None for the whole space.
    seed: of the rounding-sized changes of the couplings that tell the errors of gradients.

    A gradient is the limit of nudges -> 0 (Massar and Mognetti, arXiv:2405.08467, for thermal states): linear response
    of the eigenstate, or Kubo's of the Gibbs state. Wherever a ground state is asked for, the chosen state is given;
    its `energy` is <H>, its `energy_variance` in a Gibbs state the temperature squared times the heat capacity.
    """

    level: int = 0
    temperature: float = 0.0
    seed: int = 0
    sector: Mapping[str, float] | None = field(default=None, hash=False)
    nudging: ClassVar[Nudging] = Nudging.ANALYTIC
    linear_response: ClassVar[bool] = True
    has_overlaps: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if isinstance(self.level, bool) or not isinstance(self.level, int | np.integer) or self.level < 0:
            raise ValueError(f"level = {self.level!r}: a whole number, 0 for the ground state")
        if (
            isinstance(self.temperature, bool)
            or not isinstance(self.temperature, int | float | np.number)
            or not (math.isfinite(self.temperature) and self.temperature >= 0)
        ):
            raise ValueError(f"temperature = {self.temperature!r}: a number, 0 or positive")
        if self.level and self.temperature:
            raise ValueError(f"level = {self.level} at temperature {self.temperature}: choose a level or a temperature")

    def ground_state(self, H: Hamiltonian, theta: Theta, start: GroundState | None = None) -> GroundState:
        """The chosen level, or the Gibbs state; `start` is not needed.

        Raises ValueError if the Hilbert space is too large, or the level is degenerate, or not there.
        """
        dimension = math.prod(site.dimension for site in H.sites)
        if dimension > LARGEST_DIMENSION:
            raise ValueError(
                f"FullDiagonalization takes dimensions up to {LARGEST_DIMENSION} (12 qubits), these {len(H.sites)} "
                f"sites have 10^{math.log10(dimension):.0f}; take fewer sites, or the ground state by another solver"
            )
        energies, vectors, sector = self._levels(H, theta)
        weights = self._boltzmann(energies) if self.temperature else self._single(energies)
        beta = 1 / self.temperature if self.temperature else 0.0
        mean = float(weights @ energies)
        return GroundState(
            mean,
            Mixture(H.sites, energies, vectors, weights, beta),
            H.sites,
            energy_variance=float(weights @ (energies - mean) ** 2),
            sector=sector,
        )

    def gradient_of_expectations(
        self, H: Hamiltonian, free: GroundState, products: tuple[Product, ...], weights: NDArray
    ) -> NDArray:
        """d(sum_p weights[p] <products[p]>)/d theta_k for all couplings, analytic.

        Raises ValueError for products that leave the sector.
        """
        assert isinstance(free.state, Mixture)
        if self.sector is not None:
            refuse_leaving(H.sites, products, weights, self.sector)
        response = free.state.response(Operator(dict(zip(products, weights, strict=True))))
        responding, matrix = expand(H.couplings)
        return np.asarray((matrix @ traces(H.sites, response, responding)).real)

    def _levels(self, H: Hamiltonian, theta: Theta) -> tuple[NDArray, NDArray, Mapping[str, float] | None]:
        """Energies, eigenvectors on the whole space, (D, levels), and the sector by the names of operators."""
        matrix = H.to_sparse(theta)
        if self.sector is None:
            return *np.linalg.eigh(matrix.toarray()), None
        basis = basis_in(H, H.coefficients(theta), self.sector)
        energies, within = np.linalg.eigh(matrix[basis.places][:, basis.places].toarray())
        vectors = np.zeros((matrix.shape[0], len(energies)), within.dtype)
        vectors[basis.places] = within
        return energies, vectors, basis.sector

    def _boltzmann(self, energies: NDArray) -> NDArray:
        weights = np.exp(-(energies - energies[0]) / self.temperature)
        return weights / weights.sum()

    def _single(self, energies: NDArray) -> NDArray:
        if self.level >= len(energies):
            where = "these sites have" if self.sector is None else "the sector has"
            raise ValueError(f"level = {self.level}: {where} levels 0..{len(energies) - 1}")
        near = np.abs(np.delete(energies, self.level) - energies[self.level]).min(initial=np.inf)
        if near <= _SAME_LEVEL * (energies[-1] - energies[0]):
            raise ValueError(
                f"level {self.level} is degenerate, at energy {energies[self.level]:.6g}: it is not one state, and has "
                "no gradient; break the degeneracy, choose another level, or a temperature"
            )
        weights = np.zeros(len(energies))
        weights[self.level] = 1.0
        return weights
