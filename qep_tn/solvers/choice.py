"""Which solver a Hamiltonian gets when the user names none."""

from __future__ import annotations

from qep_tn.hamiltonian import Hamiltonian
from qep_tn.solvers.exact import ExactDiagonalization
from qep_tn.solvers.numba_dmrg import NumbaDMRG
from qep_tn.solvers.protocol import Solver

_SMALL = 12  # sites of dimension 2 that exact diagonalization takes in milliseconds


def default_solver(H: Hamiltonian) -> Solver:
    """Exact diagonalization for the dimension of at most 12 qubits, `NumbaDMRG` beyond."""
    dimension = 1
    for site in H.sites:
        dimension *= site.dimension
    return ExactDiagonalization() if dimension <= 2**_SMALL else NumbaDMRG()
