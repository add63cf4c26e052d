"""What certifies a gradient: the residual of the response over the whole chain.

The response d|psi>/d beta to a nudge by O solves (H - E)|dpsi> + (O - <O>)|psi> = 0. What two matrix product states
give for it leaves a residual, and unlike the error bars, which compare manifolds that are built alike, the residual is
not confined to any manifold. It is computed as exactly as an energy variance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qep_tn.gradients.nudge import Nudge
from qep_tn.gradients.operator_bases import operator_structure
from qep_tn.gradients.trust import LARGEST_RESIDUAL
from qep_tn.hamiltonians.mpo import energy_and_variance, of_one_type
from qep_tn.hamiltonians.operators import Operator
from qep_tn.kernels import residual_overlap
from qep_tn.states.ground_state import GroundState
from qep_tn.states.mps import MPS

_LEAST_SPREAD = 1e-4  # of O, whose strength is one: a gradient that is smaller than natural by as much counts as zero

# Of a variance, in units of the coefficients squared: at most 3e-16 on product states of 8 to 512 sites
_ROUNDING = 5e-16


def response_residual(nudge: Nudge, states: Sequence[GroundState], strengths: Sequence[float]) -> float:
    """Norm of (H - E)|dpsi> + (O - <O>)|psi>, over the norm of (O - <O>)|psi>; not less than rounding lets one tell.

    states: two ground states of H + strength * O, with their energies and energy variances.
    strengths: of their nudges; |dpsi> is the states' difference over that of the strengths.

    Each state's residual is r = (H + strength * O - E)|psi>, and that of the response is the difference of both: what
    truncation leaves of the free state stands in both, and drops out.
    """
    first, second = (state.mps for state in states)
    filled = [nudge.mpo(strength) for strength in strengths]
    mpo, *packed = of_one_type(filled[0], first.packed, second.packed)
    other, *_ = of_one_type(filled[1], packed[0])
    cross = residual_overlap(mpo, packed[0], states[0].energy, other, packed[1], states[1].energy)
    overlap = first.overlap(second)  # <second|first>, which a turn of the second state makes real
    turn = overlap / abs(overlap) if overlap else 1.0
    rounding = _rounding(nudge)
    squared = states[0].energy_variance + states[1].energy_variance - 2 * (cross * turn).real
    spread = _spread(nudge.perturbation, first)
    told = max(squared, rounding) if spread > _LEAST_SPREAD else max(squared - rounding, 0.0)
    return float(np.sqrt(told) / (abs(strengths[0] - strengths[1]) * max(spread, _LEAST_SPREAD)))


def faintest_told(nudge: Nudge, state: MPS) -> float:
    """The nudge below which rounding by itself may leave a residual of half of what is trusted; zero where the nudge
    does nothing to the state. What bonds hold of a response does not depend on its nudge, so a fainter one's is told
    by this one's.
    """
    spread = _spread(nudge.perturbation, state)
    return float(np.sqrt(_rounding(nudge)) / (0.5 * LARGEST_RESIDUAL * spread)) if spread > _LEAST_SPREAD else 0.0


def _rounding(nudge: Nudge) -> float:
    """Of a residual's square."""
    return _ROUNDING * float((np.abs(nudge.free.coefficients(nudge.theta)) ** 2).sum())


def _spread(operator: Operator, state: MPS) -> float:
    """Standard deviation of an operator."""
    structure = operator_structure(state.sites, tuple(operator.terms))
    _, variance = energy_and_variance(structure.fill_blocks(np.array(list(operator.terms.values()))), state.packed)
    return float(np.sqrt(max(variance, 0.0)))
