"""The verification of all solvers beside exact diagonalization, and that it notices what is wrong."""

import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from qep_tn.gradients.losses import Expectation
from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import X, Y, Z
from qep_tn.hamiltonians.sites import qubits
from qep_tn.solvers.exact import ExactDiagonalization
from qep_tn.solvers.free_fermion import FreeFermion
from qep_tn.states.ground_state import GroundState
from qep_tn.tasks import verify as task
from qep_tn.tasks.report import verification_summary
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
    verification = verify(*CHAIN.first_sites(4, THETA), OBJECTIVE, seconds=math.inf)
    assert verification.passed, verification.table()
    compared = {(row.couplings, row.solver, row.quantity) for row in verification.rows}
    assert compared == {
        (couplings, solver, quantity)
        for couplings in ("given", "random")
        for solver in (
            "ExactDiagonalization",
            "FreeFermion",
            "FullDiagonalization",
            "NumbaDMRG",
            "TenpyDMRG",
            "QuimbDMRG",
        )
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
    with pytest.raises(ValueError, match="FreeFermion solves open cluster-Ising chains"):
        verify(H, {"g": np.ones(3)}, Expectation(X(0)), solvers=[FreeFermion()], strict=True)


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


def ladder(rungs):
    """Two legs in a field; sites 2 j and 2 j + 1 are a rung."""
    return Hamiltonian(
        qubits(2 * rungs),
        {
            "rung": [-Z(2 * j) * Z(2 * j + 1) for j in range(rungs)],
            "leg": [-Z(j) * Z(j + 2) for j in range(2 * rungs - 2)],
            "field": -sum(X(j) for j in range(2 * rungs)),
        },
    )


def test_of_a_system_that_is_too_large_the_first_sites_are_verified():
    H = ladder(10)
    theta = {"rung": np.linspace(0.3, 0.6, 10), "leg": np.full(18, 0.4), "field": 2.0}
    verification = verify(H, theta, Expectation(X(8) * X(12)), solvers=[ExactDiagonalization(seed=3)])
    assert verification.passed, verification.table()
    assert verification.notes == (
        "20 sites are too many for exact diagonalization: compared is the block of the first 10, 14 of 29 couplings",
        "the objective's sites lie beyond the block: the operator of leg[2] stands in",
    )
    assert verification.table().endswith("\n".join(verification.notes))
    assert not verify(ladder(3), {**theta, "rung": 0.3 * np.ones(3), "leg": np.ones(4)}, OBJECTIVE, solvers=[]).notes


@pytest.fixture
def slow(monkeypatch):
    """A solver by whose watch a ground state takes a second, and everything else no time."""
    watch = [0.0]
    monkeypatch.setattr(task, "time", SimpleNamespace(perf_counter=lambda: watch[0]))

    @dataclass(frozen=True)
    class Slow(Shifted):
        def ground_state(self, H, theta, start=None):
            watch[0] += 1
            return super().ground_state(H, theta, start)

    return Slow()


def notes_of(verification):
    return {(row.couplings, row.quantity): row.note for row in verification.rows if row.solver == "Slow"}


def test_reciprocity_is_checked_between_as_many_couplings_as_there_is_time_for(slow):
    # a ground state and a gradient of five more for each theta leave 38 of 50 seconds, at five seconds a row
    verification = verify(CHAIN, THETA, OBJECTIVE, solvers=[slow], seconds=50)
    assert verification.passed
    assert notes_of(verification)["given", "reciprocity"] == "between 3 of 6 couplings, for time"
    assert notes_of(verification)["random", "reciprocity"] == "between 4 of 6 couplings, for time"
    assert verification.left_out == ()


def test_what_does_not_fit_into_the_time_is_left_out_and_said_to_be(slow):
    verification = verify(CHAIN, THETA, OBJECTIVE, solvers=[slow], seconds=10)
    assert verification.passed
    notes = notes_of(verification)
    assert not any(notes["given", quantity] for quantity in ("energy", "expectation", "gradient"))
    assert notes["given", "reciprocity"].startswith("time, its gradients take 5.0 s each")
    assert notes["random", "energy"] == "time, it takes 6.0 s and 4.0 of 10 s are left"
    assert len(verification.left_out) == 5
    assert "left out: 5 comparisons, marked skipped" in verification.table()
    assert verification_summary(verification)["left_out"] == list(verification.left_out)


def test_where_nothing_was_compared_nothing_is_verified():
    verification = verify(CHAIN, THETA, OBJECTIVE, solvers=[], seconds=0)
    assert {row.verdict for row in verification.rows} == {"skipped"}
    assert not verification.passed
    itself = Row("given", "ExactDiagonalization", "energy", 0.0, 1e-8)
    assert not Verification((itself,)).passed
    assert Verification((itself, Row("given", "ExactDiagonalization", "gradient", 0.0, 1e-4))).passed


def test_a_degenerate_ground_state_gives_no_gradient_to_compare_with():
    H = Hamiltonian(qubits(3), {"J": -Z(0) * Z(1) - Z(1) * Z(2), "h": X(0) + 0 * X(1)})
    verification = verify(H, {"J": 1.0, "h": 0.0}, Expectation(Z(0)), solvers=[])
    skipped = [row for row in verification.rows if row.quantity == "gradient"]
    assert all(row.note.startswith("no reference") for row in skipped)
    assert not verification.passed
