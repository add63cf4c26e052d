"""Ground states by DMRG from quimb (Gray, J. Open Source Softw. 3, 819 (2018))."""

from __future__ import annotations

from dataclasses import dataclass

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.solvers.dmrg import LibraryDMRG, Sweeper
from qep_tn.states.mps import MPS


@dataclass(frozen=True)
class QuimbDMRG(LibraryDMRG):
    """DMRG by quimb: DMRG2 to find the ground state, DMRG1 at fixed bond dimensions.

    Fields as in `DMRGSettings`.
    """

    def _two_site(
        self, H: Hamiltonian, theta: Theta, start: MPS, cutoff: float, max_bond: int, mixed: bool = False
    ) -> Sweeper:
        from qep_tn.solvers.quimb_engine import DMRG2, QuimbSweeper

        return QuimbSweeper(DMRG2, H, theta, start, max_bond, cutoff, tolerance=1e-8)

    def _one_site(self, H: Hamiltonian, theta: Theta, start: MPS) -> Sweeper:
        from qep_tn.solvers.quimb_engine import DMRG1, QuimbSweeper

        return QuimbSweeper(DMRG1, H, theta, start, max(start.bond_dimensions), 0.0, self.local_tolerance)
