"""Ground states by DMRG from TeNPy (Hauschild et al., SciPost Phys. Codebases 41 (2024))."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.solvers.dmrg import LibraryDMRG, Sweeper
from qep_tn.states.mps import MPS

# The environment changes with every two-site update, so few Lanczos steps are enough.
_TWO_SITE: dict[str, Any] = {"lanczos_params": {"N_max": 5, "P_tol": 1e-16, "reortho": True}}
# Without a mixer, two-site updates can stay in a product state for ever.
_MIXED: dict[str, Any] = {"mixer": True, "mixer_params": {"amplitude": 1e-4, "decay": 10.0, "disable_after": 2}}


@dataclass(frozen=True)
class TenpyDMRG(LibraryDMRG):
    """DMRG by TeNPy: two-site with a mixer from a cold start, one-site at fixed bond dimensions.

    Fields as in `DMRGSettings`.
    """

    def _two_site(
        self, H: Hamiltonian, theta: Theta, start: MPS, cutoff: float, max_bond: int, mixed: bool = False
    ) -> Sweeper:
        from qep_tn.solvers.tenpy_engine import TenpySweeper, TwoSiteDMRGEngine

        truncation = {"trunc_params": {"chi_max": max_bond, "svd_min": cutoff, "trunc_cut": None}}
        options = _TWO_SITE | truncation | (_MIXED if mixed else {})
        return TenpySweeper(TwoSiteDMRGEngine, H, theta, start, options)

    def _one_site(self, H: Hamiltonian, theta: Theta, start: MPS) -> Sweeper:
        from qep_tn.solvers.tenpy_engine import SingleSiteDMRGEngine, TenpySweeper

        options = {
            "trunc_params": {"chi_max": max(start.bond_dimensions), "svd_min": None, "trunc_cut": None},
            # P_tol bounds the squared amplitude
            "lanczos_params": {"N_max": 14, "P_tol": self.local_tolerance**2, "reortho": True},
        }
        return TenpySweeper(SingleSiteDMRGEngine, H, theta, start, options)
