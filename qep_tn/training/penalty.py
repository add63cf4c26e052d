"""What is added to a loss so that couplings stay small."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.hamiltonian import Hamiltonian


@dataclass(frozen=True)
class SoftBound:
    """slope * sum_k max(|theta_k| - bound, 0) over the couplings of a parameter.

    Source: Wanjura and Marquardt, Nat. Commun. 16 (2025), arXiv:2406.06482.
    """

    parameter: str
    bound: float
    slope: float

    def __post_init__(self) -> None:
        if not (0 <= self.bound < np.inf and 0 < self.slope < np.inf):
            raise ValueError(
                f"SoftBound({self.parameter!r}, {self.bound}, {self.slope}): bound must not be negative, slope positive"
            )

    def value_and_slope(self, H: Hamiltonian, position: NDArray) -> tuple[float, NDArray]:
        """At a vector over all couplings, and the derivative by each."""
        beyond = np.where(H.belonging_to(self.parameter), np.abs(position) - self.bound, 0.0)
        value = self.slope * float(np.maximum(beyond, 0.0).sum())
        return value, np.where(beyond > 0, self.slope * np.sign(position), 0.0)
