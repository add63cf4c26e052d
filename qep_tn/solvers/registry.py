"""The solvers by name, and which one a Hamiltonian gets when the user names none."""

from __future__ import annotations

import dataclasses
from typing import Any

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.solvers.exact import ExactDiagonalization
from qep_tn.solvers.free_fermion import FreeFermion
from qep_tn.solvers.numba_dmrg import NumbaDMRG
from qep_tn.solvers.protocol import Solver
from qep_tn.solvers.quimb_dmrg import QuimbDMRG
from qep_tn.solvers.tenpy_dmrg import TenpyDMRG

# a new solver is one file and one line here
SOLVERS: dict[str, type[Solver]] = {
    "exact": ExactDiagonalization,
    "free_fermion": FreeFermion,
    "numba": NumbaDMRG,
    "tenpy": TenpyDMRG,
    "quimb": QuimbDMRG,
}

_SMALL = 12  # sites of dimension 2 that exact diagonalization takes in milliseconds


def default_solver(H: Hamiltonian) -> Solver:
    """Exact diagonalization for the dimension of at most 12 qubits, `NumbaDMRG` beyond."""
    dimension = 1
    for site in H.sites:
        dimension *= site.dimension
    return ExactDiagonalization() if dimension <= 2**_SMALL else NumbaDMRG()


def solver_called(name: str, H: Hamiltonian, settings: dict[str, Any]) -> Solver:
    """The solver of this name, "auto" for the default one, with those of the settings that it has.

    Raises ValueError for a sector that it cannot keep to: what it would answer is another question.
    """
    chosen = type(default_solver(H)) if name == "auto" else SOLVERS[name]
    made_of: Any = chosen
    known = {field.name for field in dataclasses.fields(made_of)} if dataclasses.is_dataclass(chosen) else ()
    if "sector" in settings and "sector" not in known:
        able = ", ".join(n for n, kind in SOLVERS.items() if "sector" in getattr(kind, "__dataclass_fields__", {}))
        raise ValueError(f"solver {name!r} cannot keep to a sector; choose of {able}, or leave sector out")
    return chosen(**{key: value for key, value in settings.items() if key in known})
