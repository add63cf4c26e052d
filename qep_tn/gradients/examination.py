"""A full certificate: what is computed besides a gradient where it matters more to be sure than to be fast."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qep_tn.gradients.nudge import SAME_ENERGY
from qep_tn.gradients.trust import Certificate
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.solvers.protocol import Solver
from qep_tn.states.ground_state import GroundState

_EXACT_DIMENSION = 2**12  # up to which exact diagonalization takes no longer than a gradient by DMRG
_OTHER_SEED = 7919  # beyond those that a search takes, its own and the next few hundred
NOTHING = 1e-9  # of a gradient's natural size


def small_enough(H: Hamiltonian) -> bool:
    """Whether exact diagonalization is no effort."""
    return math.prod(site.dimension for site in H.sites) <= _EXACT_DIMENSION


def against_exact(
    certificate: Certificate, known: Certificate, difference: NDArray, claimed: float, above: float
) -> Certificate:
    """The certificate with what exact diagonalization has to say: the lowest energy, the gap, and its gradient.

    known: the exact gradient's certificate. difference: of both gradients. claimed: norm of their errors, and of what
    counts as nothing. above: how far the free state's energy lies above the exact one.
    """
    return replace(
        certificate, full=True, gap=known.gap, lower=max(above, 0.0),
        degenerate=known.degenerate,
        exact_distance=float(np.linalg.norm(difference)) / claimed,
    )  # fmt: skip


def by_other_states(
    certificate: Certificate, H: Hamiltonian, theta: Theta, solver: Solver, free: GroundState
) -> Certificate:
    """The certificate with the gap to the first excited state, and the energy of a start independent of the others.

    Both energies are variational: one that did not converge still bounds the gap, or the ground energy, from above, but
    there may be a closer level, or a lower one.
    """
    scale = float(np.abs(H.coefficients(theta)).sum()) or 1.0
    other = solver.with_seed(_OTHER_SEED).ground_state(H, theta)
    gap, certain = solver.gap_above(H, theta, free)
    below = free.energy - other.energy if np.isnan(gap) else max(free.energy - other.energy, -gap)
    resolved = max(solver.energy_error, SAME_ENERGY) * scale
    doubts = [
        certificate.unconverged,
        "" if other.converged else f"an independent start: {other.message}",
        "" if certain or np.isnan(gap) else "the state above the ground state, so that the gap may be smaller",
    ]
    return replace(
        certificate, full=True, lower=below if below > resolved else 0.0, gap=None if np.isnan(gap) else gap,
        unconverged=next(filter(None, doubts), ""),
    )  # fmt: skip
