"""Exact diagonalization of small systems, by sparse Lanczos."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, LinearOperator, cg, eigsh

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta, sparse_matrix
from qep_tn.hamiltonians.operators import Operator, Product
from qep_tn.solvers.protocol import Solver
from qep_tn.states.ground_state import GroundState
from qep_tn.states.state_vector import StateVector

LARGEST_DIMENSION = 2**20  # a Lanczos basis of twenty vectors then takes 160 MB
_DENSE_DIMENSION = 256  # below it the full spectrum is faster
_DENSE_AT_NEED = 4096  # up to which the full spectrum takes less than a minute


@dataclass(frozen=True)
class ExactDiagonalization(Solver):
    """Exact ground states of up to 20 qubits (dimension 2^20), by implicitly restarted Lanczos.

    seed: of the random start vector.
    """

    seed: int = 0
    linear_response: ClassVar[bool] = True

    def ground_state(self, H: Hamiltonian, theta: Theta, start: GroundState | None = None) -> GroundState:
        """The ground state and the gap above it; `start` only speeds the search up.

        Raises ValueError if the Hilbert space is too large.
        """
        dimension = math.prod(site.dimension for site in H.sites)
        if dimension > LARGEST_DIMENSION:
            raise ValueError(
                f"ExactDiagonalization takes dimensions up to {LARGEST_DIMENSION} (20 qubits), these {len(H.sites)} "
                f"sites have 10^{math.log10(dimension):.0f}; use NumbaDMRG"
            )
        matrix = H.to_sparse(theta)
        if dimension <= _DENSE_DIMENSION:
            energies, vectors = np.linalg.eigh(matrix.toarray())
        else:
            try:
                energies, vectors = eigsh(matrix, k=2, which="SA", v0=self._start_vector(dimension, start))
            except ArpackError as error:  # where many levels are degenerate
                if dimension > _DENSE_AT_NEED:
                    raise np.linalg.LinAlgError(f"the Lanczos search for two ground states failed: {error}") from None
                energies, vectors = np.linalg.eigh(matrix.toarray())
            order = np.argsort(energies)
            energies, vectors = energies[order], vectors[:, order]
        vector, energy = np.ascontiguousarray(vectors[:, 0]), float(energies[0])
        residual = matrix @ vector - energy * vector
        return GroundState(
            energy,
            StateVector(H.sites, vector),
            H.sites,
            energy_variance=float(np.vdot(residual, residual).real),
            gap=float(energies[1] - energies[0]) if dimension > 1 else None,
        )

    def _start_vector(self, dimension: int, start: GroundState | None) -> NDArray:
        """Random, or near `start`: never in an invariant subspace that might miss the ground state."""
        vector = np.random.default_rng(self.seed).standard_normal(dimension)
        vector /= np.linalg.norm(vector)
        if start is not None and isinstance(start.state, StateVector):
            vector = start.state.vector + 1e-3 * vector
        return vector

    def perturbed_expectations(
        self, H: Hamiltonian, theta: Theta, free: GroundState, perturbation: Operator, products: tuple[Product, ...]
    ) -> tuple[NDArray, float]:
        """d<product>/d beta at beta = 0 in the ground state of H(theta) + beta * perturbation.

        First-order perturbation theory: (E_0 - H)|dpsi> = (O - <O>)|psi> on the complement of |psi>, solved by
        conjugate gradients. Returns the derivatives and a bound on the error of |dpsi>, from its residual and the
        gap. Raises LinAlgError if the iteration does not converge, as for a degenerate ground state.
        """
        state = free.state
        assert isinstance(state, StateVector)
        psi = state.vector
        matrix, nudge = H.to_sparse(theta), sparse_matrix(perturbation, H.sites)
        applied = nudge @ psi
        right = np.vdot(psi, applied) * psi - applied
        dtype = np.result_type(matrix.dtype, psi, applied)

        def shifted(x: NDArray) -> NDArray:
            return matrix @ x - free.energy * x + np.vdot(psi, x) * psi

        operator = LinearOperator(matrix.shape, matvec=shifted, dtype=dtype)
        response, failed = cg(operator, right.astype(dtype), rtol=1e-13, maxiter=20_000)
        gap = free.gap or 0.0
        if failed or gap <= 0:
            raise np.linalg.LinAlgError("linear response did not converge: the ground state is degenerate or nearly so")
        response = response - np.vdot(psi, response) * psi
        residual = np.linalg.norm(shifted(response) - right)
        error = (residual + 2 * np.sqrt(free.energy_variance) * np.linalg.norm(response)) / gap
        forward = state.matrix_elements(response, products)
        backward = StateVector(H.sites, response).matrix_elements(psi, products)
        return forward + backward, float(error)
