"""Lowest levels of large symmetric matrices by Lanczos iteration without reorthogonalisation.

It needs a matrix-vector product a step and little beside. Orthogonality is lost only towards eigenvectors that have
converged (C. C. Paige, Linear Algebra Appl. 34, 235 (1980)): the lowest Ritz value, and its vector until then, are
right without. What a start lacks is never found, so who needs certainty starts from a random vector.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dstemr

from qep_tn.hamiltonians.action import Action
from qep_tn.kernels import next_lanczos_vector

_EPS = float(np.finfo(float).eps)
_BY_NUMBER = 2  # LAPACK's range "I": eigenvalues from one number to another
_BETWEEN_CHECKS = 4  # steps; the lowest eigenvalue of the tridiagonal matrix costs about as much as one
_ROUNDING = 4 * _EPS  # of the matrix's norm: residual that the iteration reaches
_SETTLED = 1e-13  # of the matrix's norm: change of a level between checks that ends the search for its energy
GAP_KNOWN_TO = 0.1  # of itself, what a proof allows for a gap that was not searched to the end
_NEAR = 0.01  # of a gap: residual that ends its search; at a tenth the vector may still rest on a band above the level
_EIGENVECTOR = 1e-6  # of the matrix's norm: residual of a level that has settled


class Eigenpair(NamedTuple):
    """A normalised vector, its energy, and the norm of its residual, (H - energy) |vector>.

    norm: about that of H; zero where none was needed. converged: whether nothing but rounding is left of the residual.
    """

    energy: float
    vector: NDArray
    residual: float
    norm: float = 0.0
    converged: bool = False


def lowest_eigenpair(action: Action, start: NDArray, steps: int, room: NDArray, tolerance: float = 0.0) -> Eigenpair:
    """The lowest eigenpair in reach of a start, converged or as good as some steps make it.

    room: for Lanczos vectors, (number, size), two or more; when it is full, the iteration begins again from the best
        vector. tolerance: residual that is small enough; what rounding leaves is in any case.
    """
    pair, enough = _eigenpair(action, start), tolerance
    while steps > 0 and pair.residual > 0:
        basis = room[: steps + 1]
        run = _Run(action, pair.vector, pair.vector, basis)
        residual, weights = np.inf, np.ones(1)
        while run.steps < len(basis) - 1 and residual > enough:
            run.advance(min(_BETWEEN_CHECKS, len(basis) - 1 - run.steps))
            _, weights, residual = run.lowest()
            enough = max(tolerance, _EPS * run.norm)
        steps -= run.steps
        previous, pair = pair, _eigenpair(action, weights @ basis[: len(weights)], run.norm)
        if residual <= enough and pair.residual <= max(2 * tolerance, _ROUNDING * run.norm):
            return pair._replace(converged=True)
        if residual <= enough and pair.residual > 0.5 * previous.residual:  # rounding is reached
            return min(pair, previous, key=lambda p: p.residual)._replace(converged=True)
    return pair._replace(converged=pair.residual == 0)


def lowest_level(
    action: Action, start: NDArray, away: NDArray, steps: int, ground: float = -np.inf
) -> tuple[float, bool]:
    """The lowest eigenvalue on the complement of an eigenvector, and whether it has settled.

    ground: that of the eigenvector, where the distance to it is needed to a tenth only.
    """
    run, energy = _Run(action, start, away, np.empty((3, start.size))), np.inf
    while run.steps < steps:
        run.advance(_BETWEEN_CHECKS)
        previous, (energy, _, residual) = energy, run.lowest()
        settled = residual <= _EIGENVECTOR * run.norm and previous - energy <= _SETTLED * run.norm
        near = np.isfinite(ground) and residual <= _NEAR * (energy - ground)
        if settled or near or run.exhausted:
            return energy, True
    return energy, False


def _eigenpair(action: Action, vector: NDArray, norm: float = 0.0) -> Eigenpair:
    vector = vector / np.linalg.norm(vector)
    residual = action.apply(vector)
    energy = 0.0
    for _ in range(2):  # once more for what rounding left, in a sum of so many terms
        remainder = float(vector @ residual)
        residual -= remainder * vector
        energy += remainder
    return Eigenpair(energy, vector, float(np.linalg.norm(residual)), norm)


class _Run:
    """The Lanczos vectors from a start, and the tridiagonal matrix that they make of H.

    away: normalised vector that all stay orthogonal to; if it is the start itself, all but that. Without, a start that
        is nearly an eigenvector comes back within a few steps, out of rounding errors.
    basis: room for them; if it is full, the last ones take the place of the first.
    norm: of the tridiagonal matrix, about that of H. exhausted: whether no further vector exists.
    """

    def __init__(self, action: Action, start: NDArray, away: NDArray, basis: NDArray) -> None:
        self.action, self.away, self.basis = action, action.directions(away), basis
        self.diagonal: list[float] = []
        self.below: list[float] = []
        self.norm, self.exhausted = 0.0, False
        basis[0] = start if away is start else start - (self.away @ start) @ self.away
        basis[0] /= np.linalg.norm(basis[0])

    @property
    def steps(self) -> int:
        return len(self.diagonal)

    def advance(self, steps: int) -> None:
        """Take some steps, fewer if there is no further vector."""
        room = len(self.basis)
        for k in range(self.steps, self.steps + steps):
            if self.exhausted:
                return
            before, last, out = self.basis[k % room - 1], self.basis[k % room], self.basis[(k + 1) % room]
            below = self.below[-1] if k else 0.0
            mean, length = next_lanczos_vector(self.action.apply(last), last, before, below, self.away, out)
            self.norm = max(self.norm, below + abs(mean) + length)
            self.exhausted = length <= _EPS * self.norm
            self.diagonal.append(mean)
            self.below.append(length)

    def lowest(self) -> tuple[float, NDArray, float]:
        """The lowest Ritz value, its vector's coefficients in the basis, and the norm of its residual."""
        arrays = np.array(self.diagonal), np.array(self.below)  # which LAPACK overwrites
        _, energies, vectors, _ = dstemr(*arrays, _BY_NUMBER, 0.0, 0.0, 1, 1)
        return float(energies[0]), vectors[:, 0], self.below[-1] * float(abs(vectors[-1, 0]))
