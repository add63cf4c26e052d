"""The first excited state of a chain, by TeNPy's DMRG in the space orthogonal to the ground state.

Stoudenmire and White, Annu. Rev. Condens. Matter Phys. 3, 111 (2012), section 3.2, with a projector for the penalty.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.solvers.dmrg import DMRGSettings, Sweeper, variance_is_small
from qep_tn.solvers.protocol import Solver
from qep_tn.solvers.tenpy_dmrg import TenpyDMRG
from qep_tn.states.ground_state import GroundState, SolveStatus
from qep_tn.states.mps import MPS


def first_excited(H: Hamiltonian, theta: Theta, ground: GroundState, settings: DMRGSettings) -> GroundState:
    """The lowest state orthogonal to a ground state that is an MPS; their energies differ by the gap.

    It starts from random states, as a cold ground-state search does. `converged` says whether the sweeps came to rest
    in an eigenstate of H (by the energy variance) that is orthogonal to `ground` and not below it, each as far as the
    discarded weight allows.
    Raises ValueError for a chain of fewer than three sites.
    """
    coefficients = H.coefficients(theta)
    scale = float(np.abs(coefficients).sum()) or 1.0
    search = _Excited(
        settings.max_bond, settings.cutoff, settings.energy_tolerance, settings.max_sweeps, settings.seed,
        ground.mps, ground.energy + scale,
    )  # fmt: skip
    found = search.ground_state(H, theta)
    discarded = max(found.truncation_error, ground.truncation_error, search.schmidt_cutoff**2)
    if not variance_is_small(coefficients, found.energy_variance, discarded):
        return _doubted(found, f"an energy variance of {found.energy_variance:.1e}")
    if (fidelity := found.fidelity(ground)) > _LEAK * discarded:
        return _doubted(found, f"a fidelity of {fidelity:.1e} with the ground state")
    if found.energy < ground.energy - _LEAK * discarded * scale:
        return _doubted(found, "an energy below that of the ground state")
    return found


_LEAK = 1e4  # discarded weights that add up along a chain and over the sweeps


def _doubted(found: GroundState, figure: str) -> GroundState:
    message = f"the first excited state has {figure}; raise max_bond, or try another seed"
    return replace(found, status=SolveStatus.NO_EIGENSTATE, message=message)


def gap_above(H: Hamiltonian, theta: Theta, ground: GroundState, solver: Solver) -> tuple[float, bool]:
    """The gap above a ground state, and whether it converged; NaN where neither the solver nor DMRG can tell."""
    if ground.gap is not None:
        return ground.gap, ground.converged
    if not isinstance(solver, DMRGSettings):
        return np.nan, False
    second = first_excited(H, theta, ground, solver)
    return second.energy - ground.energy, second.converged and ground.converged


@dataclass(frozen=True)
class _Excited(TenpyDMRG):
    """TeNPy's DMRG for H - shift, orthogonal to a state."""

    below: MPS | None = None
    shift: float = 0.0

    def _sweeper(self, engine: type, H: Hamiltonian, theta: Theta, start: MPS, options: dict) -> Sweeper:
        from qep_tn.solvers.tenpy_engine import TenpySweeper

        return TenpySweeper(engine, H, theta, start, options, self.below, self.shift)
