"""Which solver a Hamiltonian gets when the user names none."""

from __future__ import annotations

from qep_tn.hamiltonian import Hamiltonian
from qep_tn.solvers.exact import ExactDiagonalization
from qep_tn.solvers.protocol import Solver
from qep_tn.solvers.tenpy_dmrg import TenpyDMRG

_SMALL = 12  # sites of dimension 2 that exact diagonalization takes in milliseconds


def default_solver(H: Hamiltonian) -> Solver:
    """Exact diagonalization for the dimension of at most 12 qubits, TeNPy's DMRG beyond."""
    dimension = 1
    for site in H.sites:
        dimension *= site.dimension
    return ExactDiagonalization() if dimension <= 2**_SMALL else TenpyDMRG()
