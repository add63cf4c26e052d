"""Exact diagonalization of small systems, by sparse Lanczos."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import ArpackError, LinearOperator, cg, eigsh

from qep_tn.hamiltonians.action import Action, SectorAction
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator, Product
from qep_tn.solvers.lanczos import GAP_KNOWN_TO, Eigenpair, lowest_eigenpair, lowest_level
from qep_tn.solvers.protocol import Solver
from qep_tn.solvers.sectors import basis_in, refuse_leaving
from qep_tn.states.ground_state import GroundState, State
from qep_tn.states.state_vector import StateVector

LARGEST_DIMENSION = 2**20  # a Lanczos basis of 32 complex vectors then takes 512 MB
_DENSE_DIMENSION = 64  # below it the full spectrum is faster
_DENSE_AT_NEED = 4096  # up to which the full spectrum takes less than a minute
_ROOM = 2**25, 32  # most numbers in a Lanczos basis, 256 MB, but as many vectors in any case
_STEPS = 600  # of a search; chains of 10 to 18 qubits take 80 to 200, down to gaps of 1e-7 of the norm
_TOLERANCE_OVER_RTOL = 0.01  # components of a gradient add up, and the response may be weak for its gap
_RESIDUAL_OVER_NORM = 5e-4  # of the tolerance, in any state: 5e-4 of rtol over a gap of 1/100 of the norm
_SAME_LEVEL = 1e-10  # of the norm: energies that differ by less are one level


@dataclass(frozen=True)
class ExactDiagonalization(Solver):
    """Exact ground states of up to 20 qubits (dimension 2^20), by Lanczos iteration.

    seed: of the random start vectors.
    tolerance: what residuals may leave undetermined of the response to a nudge, relative; 0 is what rounding leaves.
        With one the gap is known to a tenth.
    sector: conserved charges to keep to, by the names of operators whose sum over all sites they are, such as
        {"Sz": 0} or {"N": 4}; None for the whole space.
    """

    seed: int = 0
    tolerance: float = 0.0
    sector: Mapping[str, float] | None = field(default=None, hash=False)
    linear_response: ClassVar[bool] = True
    has_excited_states: ClassVar[bool] = True

    def ground_state(self, H: Hamiltonian, theta: Theta, start: GroundState | None = None) -> GroundState:
        """The ground state and the gap above it; `start` only speeds the search up.

        The gap is the lowest level orthogonal to the ground state, searched from a random vector: so a level that a
        start misses, because it lies in another invariant subspace, is found there. Where the gap is so small that
        this takes too long, both come from implicitly restarted Lanczos.
        Raises ValueError if the Hilbert space is too large.
        """
        dimension = math.prod(site.dimension for site in H.sites)
        if dimension > LARGEST_DIMENSION:
            raise ValueError(
                f"ExactDiagonalization takes dimensions up to {LARGEST_DIMENSION} (20 qubits), these {len(H.sites)} "
                f"sites have 10^{math.log10(dimension):.0f}; use NumbaDMRG"
            )
        action = self._action(H, theta)
        dimension = action.dimension
        if dimension <= _DENSE_DIMENSION:
            return _solved_in_full(H, action)
        rng = np.random.default_rng(self.seed)
        size = 2 * dimension if action.is_complex else dimension
        starts = [rng.standard_normal(size)]
        if start is not None and isinstance(start.state, StateVector):
            starts.insert(0, action.floats(start.state.vector))
        room = _room(size)
        for vector in starts:
            pair = lowest_eigenpair(action, vector, _STEPS, room, self._residual(action))
            if not pair.converged:
                break
            ground = pair.energy if self.tolerance > 0 else -np.inf
            above, settled = lowest_level(action, rng.standard_normal(size), pair.vector, _STEPS, ground)
            if not settled:
                break
            if above >= pair.energy - _SAME_LEVEL * pair.norm:
                return _state(H, action, pair, max(0.0, above - pair.energy))
        return _nearly_degenerate(H, action, starts[-1])

    def for_one_level(self, rtol: float) -> Self:
        """With states whose error is beside the response to the nudge what rtol allows."""
        return self if self.tolerance else replace(self, tolerance=_TOLERANCE_OVER_RTOL * rtol)

    def nudged_states(
        self, H: Hamiltonian, at: Callable[[float], Theta], strengths: Sequence[float], free: GroundState
    ) -> list[GroundState]:
        """As `ground_state` for each, but without their gaps where the free one's is large enough.

        A nudge moves no level down by more than its own lowest eigenvalue (Weyl), so a nudged level that lies below
        what this leaves of the free gap is the lowest. Each search begins from the polynomial in the strength that goes
        through all states at hand.
        """
        states, known, room = [], {0.0: free.state}, _room(2 * self._action(H, at(0.0)).dimension)
        second = free.energy + (1 - (GAP_KNOWN_TO if self.tolerance else 0)) * (free.gap or 0.0)
        nudge = (H.coefficients(at(strengths[0])) - H.coefficients(at(0.0))) / strengths[0]
        if self.sector is not None:
            refuse_leaving(H.sites, H.products, nudge, self.sector)
        lowest, highest = _spectrum_between(H, nudge)
        for strength in strengths:
            theta = at(strength)
            action = self._action(H, theta)
            residual = min(self._residual(action), self.tolerance * abs(strength) * (free.gap or 0.0))
            state = _followed(H, action, strength, known, room, residual)
            if state is None or state.energy >= second + min(strength * lowest, strength * highest):
                state = self.ground_state(H, theta, start=state or free)
            known[strength] = state.state
            states.append(state)
        return states

    def _action(self, H: Hamiltonian, theta: Theta) -> Action:
        """Of H(theta), in the sector. Raises ValueError if there is none such, or H leaves it."""
        return H.action(theta, None if self.sector is None else basis_in(H, H.coefficients(theta), self.sector))

    def _residual(self, action: Action) -> float:
        return _RESIDUAL_OVER_NORM * self.tolerance * action.norm

    def excited_state(
        self, H: Hamiltonian, theta: Theta, below: Sequence[GroundState], start: GroundState | None = None
    ) -> GroundState:
        """The lowest eigenvector of H with the states `below` lifted above the spectrum; `start` only speeds it up.

        Raises ValueError if these are as many as there are.
        """
        dimension = math.prod(site.dimension for site in H.sites)
        if len(below) >= dimension:
            raise ValueError(f"no state is above {len(below)} others: these sites have {dimension}")
        action = self._action(H, theta)
        if isinstance(action, SectorAction) and len(below) >= action.dimension:
            raise ValueError(f"no state is above {len(below)} others: the sector has {action.dimension}")
        matrix = H.to_sparse(theta)
        if isinstance(action, SectorAction):  # what is outside goes above all that is inside
            outside = np.ones(dimension)
            outside[action.basis.places] = 0
            matrix = matrix + sparse.diags_array(4 * (action.norm + 1.0) * outside)
        lifted = np.array([state.state.vector for state in below if isinstance(state.state, StateVector)])
        height = 2 * action.norm + 1.0

        def apply(x: NDArray) -> NDArray:
            return matrix @ x + height * (lifted.T @ (lifted.conj() @ x))

        if dimension <= _DENSE_DIMENSION:
            vector = np.linalg.eigh(apply(np.eye(dimension)))[1][:, 0]
        else:
            operator = LinearOperator(matrix.shape, matvec=apply, dtype=np.result_type(matrix.dtype, lifted))
            guess = np.random.default_rng(self.seed).standard_normal(dimension)
            if start is not None and isinstance(start.state, StateVector):
                guess = start.state.vector + 1e-3 * guess / np.linalg.norm(guess)
            vector = eigsh(operator, k=1, which="SA", v0=guess)[1][:, 0]
        energy = float(np.vdot(vector, matrix @ vector).real)
        residual = matrix @ vector - energy * vector
        return GroundState(
            energy, StateVector(H.sites, vector), H.sites, energy_variance=float(np.vdot(residual, residual).real),
            sector=below[0].sector if below else None,
        )  # fmt: skip

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
        action, applied = self._action(H, theta), state.applied(perturbation)
        if self.sector is not None:
            refuse_leaving(H.sites, tuple(perturbation.terms), np.array([*perturbation.terms.values()]), self.sector)
        if action.dimension == 1:  # a sector with one state
            return np.zeros(len(products)), 0.0
        right = np.vdot(psi, applied) * psi - applied
        dtype = np.result_type(complex if action.is_complex else float, psi, applied)

        def shifted(x: NDArray) -> NDArray:
            return action(x) - (free.energy - action.constant) * x + np.vdot(psi, x) * psi

        operator = LinearOperator((psi.size, psi.size), matvec=shifted, dtype=dtype)
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


def _room(size: int) -> NDArray:
    """For Lanczos vectors of some entries; takes memory only as it is filled."""
    entries, vectors = _ROOM
    return np.empty((min(_STEPS + 1, max(vectors, entries // size)), size))


def _state(H: Hamiltonian, action: Action, pair: Eigenpair, gap: float | None) -> GroundState:
    vector = StateVector(H.sites, action.amplitudes(pair.vector))
    sector = action.basis.sector if isinstance(action, SectorAction) else None
    return GroundState(
        pair.energy + action.constant, vector, H.sites, energy_variance=pair.residual**2, gap=gap, sector=sector
    )


def _followed(
    H: Hamiltonian, action: Action, strength: float, known: dict[float, State], room: NDArray, residual: float
) -> GroundState | None:
    """The lowest eigenstate in reach of the polynomial through known states, if it converges."""
    vectors = {x: state.vector for x, state in known.items() if isinstance(state, StateVector)}
    if 0.0 not in vectors or action.dimension <= _DENSE_DIMENSION:
        return None
    overlaps = {x: complex(np.vdot(vector, vectors[0.0])) for x, vector in vectors.items()}
    near = {x: c / abs(c) for x, c in overlaps.items() if abs(c) > 0.5}  # on the branch, and the phases that agree
    start = np.zeros_like(vectors[0.0])
    for x, phase in near.items():
        weight = math.prod((strength - y) / (x - y) for y in near if y != x)
        start = start + weight * phase * vectors[x]
    vector = action.floats(start)
    pair = lowest_eigenpair(action, vector, _STEPS, room.reshape(-1, vector.size), residual)
    return _state(H, action, pair, None) if pair.converged else None


def _spectrum_between(H: Hamiltonian, coefficients: NDArray) -> tuple[float, float]:
    """Bounds of the spectrum of these combined products of H: its ends where they act on a few sites, else the norm."""
    terms = [(dict(product), c) for product, c in zip(H.products, coefficients, strict=True) if c != 0]
    support = sorted({j for factors, _ in terms for j in factors})
    if math.prod(H.sites[j].dimension for j in support) > _DENSE_DIMENSION:
        norm = float(np.abs(coefficients) @ H.product_norms)
        return -norm, norm
    matrix: NDArray = np.zeros((1, 1))
    for factors, c in terms:
        term: NDArray = np.array([[c]])
        for j in support:
            term = np.kron(term, H.sites[j].matrix(factors.get(j, ())))
        matrix = matrix + term
    energies = np.linalg.eigvalsh(matrix)
    return float(energies[0]), float(energies[-1])


def _nearly_degenerate(H: Hamiltonian, action: Action, start: NDArray) -> GroundState:
    """The two lowest levels together. Raises LinAlgError if there are too many beside them."""
    operator = LinearOperator(
        (action.dimension,) * 2, matvec=lambda x: _within(action, x), dtype=complex if action.is_complex else float
    )
    try:
        energies, vectors = eigsh(operator, k=2, which="SA", v0=start.view(complex) if action.is_complex else start)
    except ArpackError as error:  # where many levels are degenerate
        if action.dimension > _DENSE_AT_NEED:
            raise np.linalg.LinAlgError(f"the Lanczos search for two ground states failed: {error}") from None
        return _solved_in_full(H, action)
    return _lowest_of(H, action, energies, vectors)


def _within(action: Action, vector: NDArray) -> NDArray:
    """H - constant applied to a vector of the action's own dimension."""
    image = action(vector)
    return image[action.basis.places] if isinstance(action, SectorAction) else image


def _solved_in_full(H: Hamiltonian, action: Action) -> GroundState:
    """From the full spectrum."""
    matrix = np.array([_within(action, unit) for unit in np.eye(action.dimension)]).T
    return _lowest_of(H, action, *np.linalg.eigh(matrix))


def _lowest_of(H: Hamiltonian, action: Action, energies: NDArray, vectors: NDArray) -> GroundState:
    order = np.argsort(energies)
    energy, vector = float(energies[order[0]]), np.ascontiguousarray(vectors[:, order[0]])
    pair = Eigenpair(energy, action.floats(vector), float(np.linalg.norm(_within(action, vector) - energy * vector)))
    return _state(H, action, pair, float(energies[order[1]] - energy) if len(energies) > 1 else None)
