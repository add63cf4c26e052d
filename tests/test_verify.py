"""The verification of all solvers beside exact diagonalization, and that it notices what is wrong."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from qep_tn.gradients.losses import Expectation
from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import X, Y, Z
from qep_tn.hamiltonians.sites import qubits
from qep_tn.solvers.exact import ExactDiagonalization
from qep_tn.solvers.free_fermion import FreeFermion
from qep_tn.states.ground_state import GroundState
from qep_tn.tasks.verify import Row, Verification, verify

L = 5
CHAIN = Hamiltonian(
    qubits(L),
    {"g_x": [-X(j) for j in range(L)], "g_zz": -sum(Z(j) * Z(j + 1) for j in range(L - 1))},
    fixed=-0.3 * sum(Z(j) * X(j + 1) * Z(j + 2) for j in range(L - 2)),
)
THETA = {"g_x": np.full(L, 1.3), "g_zz": 0.5}
OBJECTIVE = Expectation(X(1) * X(3))


@dataclass(frozen=True)
class Shifted(ExactDiagonalization):
    """A solver that is wrong by a little: of another Hamiltonian, or in its energy."""

    energy: float = 0.0
    field: float = 0.0

    def ground_state(self, H, theta, start=None):
        theta = {**theta, "g_x": theta["g_x"] + self.field * np.arange(L)}
        state = super().ground_state(H, theta, start)
        return replace(state, energy=state.energy + self.energy)


def test_every_solver_agrees_with_exact_diagonalization():
    verification = verify(CHAIN, THETA, OBJECTIVE)
    assert verification.passed, verification.table()
    compared = {(row.couplings, row.solver, row.quantity) for row in verification.rows}
    assert compared == {
        (couplings, solver, quantity)
        for couplings in ("given", "random")
        for solver in ("ExactDiagonalization", "FreeFermion", "NumbaDMRG", "TenpyDMRG", "QuimbDMRG")
        for quantity in ("energy", "expectation", "gradient", "reciprocity")
    }
    assert all(row.verdict == "ok" for row in verification.rows)


def test_solver_that_cannot_take_the_model_is_skipped_with_its_reason():
    H = Hamiltonian(qubits(3), {"g": [X(j) for j in range(3)]}, fixed=sum(Y(j) * Y(j + 1) for j in range(2)))
    verification = verify(H, {"g": np.ones(3)}, Expectation(X(0)), solvers=[FreeFermion()])
    skipped = [row for row in verification.rows if row.solver == "FreeFermion"]
    assert [row.verdict for row in skipped] == ["skipped", "skipped"]
    assert verification.passed
    assert "skipped: FreeFermion solves open cluster-Ising chains" in verification.table()


def test_wrong_energy_is_noticed():
    verification = verify(CHAIN, THETA, OBJECTIVE, solvers=[Shifted(energy=1e-6)])
    assert not verification.passed
    failed = {(row.solver, row.quantity) for row in verification.rows if row.verdict == "FAILED"}
    assert failed == {("Shifted", "energy")}


def test_state_of_another_hamiltonian_is_noticed():
    verification = verify(CHAIN, THETA, OBJECTIVE, solvers=[Shifted(field=1e-3)])
    failed = {row.quantity for row in verification.rows if row.verdict == "FAILED"}
    assert {"expectation", "gradient"} <= failed


def test_table_has_a_line_and_a_verdict_for_each_comparison():
    rows = (
        Row("given", "TenpyDMRG", "energy", 3e-12, 1e-8),
        Row("given", "TenpyDMRG", "gradient", 2e-3, 1e-4),
        Row("given", "FreeFermion", "all", np.nan, np.nan, "it cannot"),
    )
    lines = Verification(rows).table().splitlines()
    assert lines[0].split() == ["couplings", "solver", "quantity", "error", "tolerance", "verdict"]
    assert lines[2].split() == ["given", "TenpyDMRG", "energy", "3.0e-12", "1e-08", "ok"]
    assert lines[3].split()[-1] == "FAILED"
    assert lines[4].endswith("skipped: it cannot")


def test_error_that_is_not_a_number_fails():
    assert Row("given", "TenpyDMRG", "energy", np.nan, 1e-8).verdict == "FAILED"


@pytest.mark.parametrize("seed", [0, 1])
def test_random_couplings_follow_the_seed(seed):
    seen = []

    @dataclass(frozen=True)
    class Recording(ExactDiagonalization):
        def ground_state(self, H, theta, start=None) -> GroundState:
            seen.append(H.flatten(theta)[: L + 1])
            return super().ground_state(H, theta, start)

    for _ in range(2):
        verify(CHAIN, THETA, OBJECTIVE, solvers=[Recording()], seed=seed)
    half = len(seen) // 2
    np.testing.assert_array_equal(seen[:half], seen[half:])
    assert np.ptp(seen[half - 1]) > 0.01
