"""Verify solvers against exact diagonalization: one short chain through every solver that can take it.

Compared are the ground energy, the expectation values of all coupling operators, the gradient of an objective,
and reciprocity: the response matrix chi_jk = d<A_j>/d theta_k must be symmetric (Onsager).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qep_tn.descent.table import flattened
from qep_tn.gradients.gradient import gradient, response_matrix
from qep_tn.gradients.losses import Loss
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.solvers.exact import ExactDiagonalization
from qep_tn.solvers.free_fermion import FreeFermion
from qep_tn.solvers.numba_dmrg import NumbaDMRG
from qep_tn.solvers.protocol import Solver
from qep_tn.solvers.quimb_dmrg import QuimbDMRG
from qep_tn.solvers.tenpy_dmrg import TenpyDMRG

ENERGY_TOLERANCE = 1e-8  # in the Hamiltonian's unit
EXPECTATION_TOLERANCE = 1e-6  # an energy error dE leaves one of about sqrt(dE) in a state
GRADIENT_TOLERANCE = 1e-4  # relative; the default accuracy of `qep_tn.gradient`
RECIPROCITY_TOLERANCE = 1e-4  # relative, as each row of the response matrix is such a gradient
DISORDER = 0.2  # relative spread of the random couplings


@dataclass(frozen=True)
class Row:
    """One comparison.

    couplings: which theta; solver: whose result; quantity: what is compared.
    error: against exact diagonalization, absolute for energy and expectation values, relative for the others; NaN
        where nothing could be compared, and `note` says why.
    """

    couplings: str
    solver: str
    quantity: str
    error: float
    tolerance: float
    note: str = ""

    @property
    def verdict(self) -> str:
        """ok, FAILED or skipped."""
        if np.isnan(self.error) and self.note:
            return "skipped"
        return "ok" if self.error <= self.tolerance else "FAILED"


@dataclass(frozen=True)
class Verification:
    """All comparisons of a model's solvers with exact diagonalization."""

    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed. What was skipped does not count."""
        return all(row.verdict != "FAILED" for row in self.rows)

    def table(self) -> str:
        """One line for each comparison."""
        lines = [("couplings", "solver", "quantity", "error", "tolerance", "verdict")]
        for row in self.rows:
            numbers = ("", "") if row.verdict == "skipped" else (f"{row.error:.1e}", f"{row.tolerance:.0e}")
            verdict = f"{row.verdict}: {row.note}" if row.note else row.verdict
            lines.append((row.couplings, row.solver, row.quantity, *numbers, verdict))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        return "\n".join([text[0], "-" * len(text[0]), *text[1:]])


def verify(
    H: Hamiltonian, theta: Theta, objective: Loss, *, solvers: Sequence[Solver] | None = None, seed: int = 0
) -> Verification:
    """Compare solvers with exact diagonalization, at theta and at random couplings around it.

    H: on a chain short enough for exact diagonalization.
    solvers: FreeFermion, NumbaDMRG, TenpyDMRG and QuimbDMRG if None; exact diagonalization's own nudges are always
        checked.
    seed: of the solvers and of the random couplings; each of an array parameter's couplings is drawn on its own.
    """
    given = H.flatten(theta)
    random = given * (1 + DISORDER * np.random.default_rng(seed).uniform(-1, 1, given.size))
    if solvers is None:
        solvers = (FreeFermion(), NumbaDMRG(seed=seed), TenpyDMRG(seed=seed), QuimbDMRG(seed=seed))
    rows: list[Row] = []
    for couplings, vector in (("given", given), ("random", random)):
        rows += _compare(H, H.unflatten(vector), objective, (ExactDiagonalization(seed=seed), *solvers), couplings)
    return Verification(tuple(rows))


def _compare(H: Hamiltonian, theta: Theta, objective: Loss, solvers: Sequence[Solver], couplings: str) -> Iterator[Row]:
    exact = solvers[0]
    reference = exact.ground_state(H, theta)
    response = gradient(H, theta, objective, solver=exact, scheme="linear-response", start=reference)
    expected = flattened(H, response.gradient)
    for solver in solvers:
        name = type(solver).__name__
        try:
            state = solver.ground_state(H, theta)
        except ValueError as error:
            yield Row(couplings, name, "all", np.nan, np.nan, str(error))
            continue
        yield Row(couplings, name, "energy", abs(state.energy - reference.energy), ENERGY_TOLERANCE)
        values = (s.expectation(H.couplings) for s in (state, reference))
        yield Row(couplings, name, "expectation", _largest(np.subtract(*values)), EXPECTATION_TOLERANCE)
        if not response.trustworthy:
            yield Row(couplings, name, "gradient", np.nan, np.nan, f"no reference, {response.message}")
            continue
        g = gradient(H, theta, objective, solver=solver, start=state)
        difference = np.linalg.norm(flattened(H, g.gradient) - expected) / (np.linalg.norm(expected) or 1.0)
        yield Row(couplings, name, "gradient", float(difference), GRADIENT_TOLERANCE)
        chi = response_matrix(H, theta, solver=solver)
        yield Row(couplings, name, "reciprocity", _largest(chi - chi.T) / (_largest(chi) or 1.0), RECIPROCITY_TOLERANCE)


def _largest(values: NDArray) -> float:
    return float(np.abs(values).max())
