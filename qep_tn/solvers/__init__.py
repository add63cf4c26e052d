"""Solvers: frozen settings with one verb, `ground_state`."""

from qep_tn.solvers.dmrg import DMRGSettings, LibraryDMRG
from qep_tn.solvers.exact import ExactDiagonalization, StateVector
from qep_tn.solvers.free_fermion import FreeFermion, MajoranaState
from qep_tn.solvers.numba_dmrg import NumbaDMRG
from qep_tn.solvers.protocol import GroundState, Solver
from qep_tn.solvers.quimb_dmrg import QuimbDMRG
from qep_tn.solvers.tenpy_dmrg import TenpyDMRG

__all__ = [
    "DMRGSettings", "ExactDiagonalization", "FreeFermion", "GroundState", "LibraryDMRG", "MajoranaState", "NumbaDMRG",
    "QuimbDMRG", "Solver", "StateVector", "TenpyDMRG",
]  # fmt: skip
