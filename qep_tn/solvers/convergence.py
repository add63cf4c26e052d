"""When sweeps have converged, and to an eigenstate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qep_tn.states.ground_state import SolveStatus


def status_of(converged: bool, doubt: str) -> SolveStatus:
    """Of a search whose energy has come to rest or not, and why there may be a lower state yet."""
    if not converged:
        return SolveStatus.STILL_FALLING
    return SolveStatus.LOWER_MAY_EXIST if doubt else SolveStatus.CONVERGED


def left_to_fall(energies: list[float], fastest: float = 0.05) -> float:
    """How far a sequence of energies has still to fall, were it geometric; infinite for fewer than two.

    fastest: the smallest ratio of two changes that is believed.
    """
    if len(energies) < 2:
        return np.inf
    change = abs(energies[-1] - energies[-2])
    ratio = 0.5 if len(energies) < 3 else change / max(abs(energies[-2] - energies[-3]), 1e-300)
    ratio = float(np.clip(ratio, fastest, 0.75))
    return change * ratio / (1 - ratio)


def variance_is_small(coefficients: NDArray, variance: float, discarded: float, limit: float = 1e4) -> bool:
    """Whether truncation, by this discarded weight, explains the energy variance; if not, the sweeps came to rest
    before the minimum. coefficients: of all products in H.
    """
    return variance <= limit * max(discarded, 1e-16) * float((np.abs(coefficients) ** 2).sum())
