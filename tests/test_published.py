"""The published trainings of ten qubits."""

import numpy as np
import pytest

import qep_tn as qt
from benchmarks.published import exploration, published_paths, sensitivity

# The runs pass through near-degenerate ferromagnets, where a published nudge of 0.1 exchanges two ground states.
pytestmark = pytest.mark.filterwarnings("ignore::qep_tn.DegenerateGroundStateWarning")


def test_exact_diagonalization_repeats_the_first_thirty_steps(reference):
    explored, sensed = published_paths()
    solver = qt.ExactDiagonalization()
    np.testing.assert_allclose(exploration(solver, 30), explored[:31], atol=1e-6)
    np.testing.assert_allclose(sensitivity(solver, 30), sensed[:31], atol=1e-6)


@pytest.mark.parametrize(
    ("solver", "steps"),
    [
        (qt.TenpyDMRG(), 2),
        (qt.QuimbDMRG(), 4),
        pytest.param(qt.TenpyDMRG(), 30, marks=pytest.mark.slow),
        pytest.param(qt.QuimbDMRG(), 30, marks=pytest.mark.slow),
    ],
)
def test_dmrg_follows_the_published_runs(solver, steps, reference):
    explored, sensed = published_paths()
    np.testing.assert_allclose(exploration(solver, steps), explored[: steps + 1], atol=1e-3)
    np.testing.assert_allclose(sensitivity(solver, steps), sensed[: steps + 1], atol=1e-3)


def test_the_compiled_engine_follows_forty_steps_of_exploration_and_a_hundred_of_sensitivity(reference):
    explored, sensed = published_paths()
    solver = qt.NumbaDMRG()  # the nudge steers the published exploration into chaos after about fifty steps
    np.testing.assert_allclose(exploration(solver, 40), explored[:41], atol=1e-5)
    np.testing.assert_allclose(sensitivity(solver, 100), sensed, atol=1e-5)
