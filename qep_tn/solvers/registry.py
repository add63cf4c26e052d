"""The solvers by name, and which one a Hamiltonian gets when the user names none."""

from __future__ import annotations

import dataclasses
from typing import Any

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.solvers.exact import ExactDiagonalization
from qep_tn.solvers.free_fermion import FreeFermion
from qep_tn.solvers.full_diagonalization import FullDiagonalization
from qep_tn.solvers.numba_dmrg import NumbaDMRG
from qep_tn.solvers.protocol import Solver
from qep_tn.solvers.quimb_dmrg import QuimbDMRG
from qep_tn.solvers.tenpy_dmrg import TenpyDMRG

# a new solver is one file and one line here
SOLVERS: dict[str, type[Solver]] = {
    "exact": ExactDiagonalization,
    "free_fermion": FreeFermion,
    "full": FullDiagonalization,
    "numba": NumbaDMRG,
    "tenpy": TenpyDMRG,
    "quimb": QuimbDMRG,
}

_WHICH_STATE = "sector", "level", "temperature"  # settings that say which state is meant
_SMALL = 12  # sites of dimension 2 that exact diagonalization takes in milliseconds


def default_solver(H: Hamiltonian) -> Solver:
    """Exact diagonalization for the dimension of at most 12 qubits, `NumbaDMRG` beyond."""
    dimension = 1
    for site in H.sites:
        dimension *= site.dimension
    return ExactDiagonalization() if dimension <= 2**_SMALL else NumbaDMRG()


def solver_called(name: str, H: Hamiltonian, settings: dict[str, Any]) -> Solver:
    """The solver of this name, "auto" for the default one, with those of the settings that it has.

    Raises ValueError if it has none of those that say which state is meant: what it would answer is another question.
    """
    chosen = type(default_solver(H)) if name == "auto" else SOLVERS[name]
    known = _settings_of(chosen)
    if meant := next((key for key in _WHICH_STATE if key in settings and key not in known), None):
        able = ", ".join(n for n, kind in SOLVERS.items() if meant in _settings_of(kind))
        raise ValueError(f"solver {name!r} has no {meant}; choose of {able}, or leave {meant} out")
    return chosen(**{key: value for key, value in settings.items() if key in known})


def refuse_other_states(settings: Any, what: str) -> None:
    """Raise ValueError if a solver, or a section of settings, asks for another state than the ground state of all."""
    if key := next((key for key in _WHICH_STATE if getattr(settings, key, None)), None):
        raise ValueError(f"{what} ground states of the whole space; leave the solver's {key} out")


def _settings_of(solver: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(solver)} if dataclasses.is_dataclass(solver) else set()
