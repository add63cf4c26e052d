"""The published trainings of ten qubits."""

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import X
from qep_tn.models.published import ten_qubits

# The runs pass through near-degenerate ferromagnets, where a published nudge of 0.1 exchanges two ground states.
pytestmark = pytest.mark.filterwarnings("ignore::qep_tn.DegenerateGroundStateWarning")

OBSERVABLE = X(0) * X(4)
NUDGED = {"beta": 0.1, "scheme": "one-sided", "rtol": 1e-4}


def exploration(solver, steps):
    """(g_x, g_zz) before each step and after the last, (steps + 1, 2)."""
    walk = qt.explore_phases(
        ten_qubits(), {"g_x": -0.1, "g_zz": 0.4}, qt.Magnitude(OBSERVABLE), steps=steps, rate=0.1, solver=solver,
        progress=False, **NUDGED,
    )  # fmt: skip
    return np.stack([walk.history[name] for name in ("g_x", "g_zz")], axis=1)


def sensitivity(solver, steps):
    """(g_x_1, g_x_2, g_zz) before each step and after the last, (steps + 1, 3)."""
    result = qt.optimize_sensitivity(
        ten_qubits(), {"g_zz": -1.5}, OBSERVABLE, scan="g_x", points=(-0.2, -1.5), steps=steps, solver=solver,
        closest=1e-6, progress=False, **NUDGED,
    )  # fmt: skip
    return np.stack([result.history[name] for name in ("g_x_1", "g_x_2", "g_zz")], axis=1)


@pytest.fixture
def paths(reference):
    """The published paths of both runs, (101, 2) and (101, 3)."""
    explored = np.loadtxt(reference / "phase_exploration_run1" / "theta.csv", delimiter=",")
    folder = reference / "sensitivity_run1"
    columns = [np.loadtxt(folder / f"{name}.csv", delimiter=",") for name in ("g_x_1", "g_x_2", "g_zz")]
    return explored, np.stack(columns, axis=1)


def test_exact_diagonalization_repeats_the_first_thirty_steps(paths):
    explored, sensed = paths
    solver = qt.ExactDiagonalization()
    np.testing.assert_allclose(exploration(solver, 30), explored[:31], atol=1e-6)
    np.testing.assert_allclose(sensitivity(solver, 30), sensed[:31], atol=1e-6)


@pytest.mark.parametrize(
    ("solver", "steps"),
    [
        (qt.QuimbDMRG(), 1),
        pytest.param(qt.TenpyDMRG(), 30, marks=pytest.mark.slow),
        pytest.param(qt.QuimbDMRG(), 30, marks=pytest.mark.slow),
    ],
)
def test_dmrg_follows_the_published_runs(solver, steps, paths):
    explored, sensed = paths
    np.testing.assert_allclose(exploration(solver, steps), explored[: steps + 1], atol=1e-3)
    np.testing.assert_allclose(sensitivity(solver, steps), sensed[: steps + 1], atol=1e-3)


def test_the_compiled_engine_follows_ten_steps_of_exploration_and_twenty_of_sensitivity(paths):
    explored, sensed = paths
    solver = qt.NumbaDMRG()  # the nudge steers the published exploration into chaos after about fifty steps
    np.testing.assert_allclose(exploration(solver, 10), explored[:11], atol=1e-5)
    np.testing.assert_allclose(sensitivity(solver, 20), sensed[:21], atol=1e-5)
