"""A new solver is one file and one line: one of a few lines works in every task, with nothing else changed."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import X
from qep_tn.cli import main
from qep_tn.runs.folder import RunFolder
from qep_tn.solvers.registry import SOLVERS
from qep_tn.states.state_vector import StateVector
from qep_tn.tasks.verify import verify


@dataclass(frozen=True)
class Dense(qt.Solver):
    """The lowest eigenvector of the whole matrix."""

    def ground_state(self, H, theta, start=None):
        energies, vectors = np.linalg.eigh(H.to_sparse(theta).toarray())
        state = StateVector(H.sites, np.ascontiguousarray(vectors[:, 0]))
        return qt.GroundState(float(energies[0]), state, H.sites, energy_variance=0.0)


TOY, EXACT = Dense(), qt.ExactDiagonalization()
L = 6
MODEL = qt.models.cluster_ising
THETA = {"g_x": 1.2, "g_zz": 0.6, "g_zxz": 0.3}
CORRELATION = X(2) * X(4)
PLANE, WINDOW = ("g_x", "g_zz"), {"g_x": (0.2, 2.5), "g_zz": (0.3, 1.2)}
ISING = {**THETA, "g_zxz": 0.0}

# both solve to rounding, and a nudge divides that by 3e-5 of the energy scale: 1e-14 becomes 1e-9
NOISE = 1e-8
# a step of a walk adds such a gradient, and several add up
WALKED = 1e-6


def compared(by_toy, by_exact, names, tolerance=WALKED):
    for name in names:
        np.testing.assert_allclose(by_toy[name], by_exact[name], atol=tolerance, err_msg=name)


@pytest.mark.parametrize("scheme", ["symmetric", "one-sided"])
def test_gradient(scheme):
    toy, exact = (
        qt.gradient(MODEL(L), THETA, qt.Expectation(CORRELATION), solver=s, scheme=scheme) for s in (TOY, EXACT)
    )
    assert toy.trustworthy
    assert toy.converged
    compared(toy.gradient, exact.gradient, THETA, NOISE)


def test_linear_response_is_refused_where_a_solver_does_not_say_that_it_has_it():
    with pytest.raises(ValueError, match="not Dense"):
        qt.gradient(MODEL(L), THETA, qt.Expectation(CORRELATION), solver=TOY, scheme="linear-response")


def test_response_matrix():
    toy, exact = (qt.response_matrix(MODEL(L), THETA, solver=s) for s in (TOY, EXACT))
    np.testing.assert_allclose(toy, exact, atol=1e-7)  # operators of norm L
    np.testing.assert_allclose(toy, toy.T, atol=1e-7)


@pytest.mark.parametrize("optimizer", ["normalized", "l-bfgs-b"])
def test_explore(optimizer):
    toy, exact = (
        qt.explore_phases(
            MODEL(L), THETA, qt.Expectation(CORRELATION), steps=3, optimizer=optimizer, solver=s, progress=False
        )
        for s in (TOY, EXACT)
    )
    assert toy.message == exact.message
    compared(toy.history, exact.history, ("loss", *THETA))


def test_a_run_resumes(tmp_path):
    def explored(path, steps, resume=False):
        return qt.explore_phases(
            MODEL(L), THETA, qt.Expectation(CORRELATION), steps=steps, solver=TOY, progress=False,
            run=RunFolder.create(tmp_path / path, resume=resume),
        )  # fmt: skip

    whole = explored("whole", 1)
    explored("again", 1)
    again = explored("again", 1, resume=True)
    np.testing.assert_array_equal(whole.history["loss"], again.history["loss"])


def test_sensitivity():
    toy, exact = (
        qt.optimize_sensitivity(
            MODEL(L), THETA, CORRELATION, scan="g_x", points=(0.5, 1.5), train=[], steps=4, solver=s, progress=False,
        )
        for s in (TOY, EXACT)
    )  # fmt: skip
    assert toy.message == exact.message
    compared(toy.history, exact.history, ("g_x_1", "g_x_2", "sensitivity"))


@pytest.mark.parametrize("observable", [None, CORRELATION], ids=["energy", "correlation"])
def test_boundary(observable):
    toy, exact = (
        qt.trace_boundary(
            MODEL(L), ISING, PLANE, WINDOW, observable=observable, start={"g_x": 0.8, "g_zz": 0.8}, points=4, solver=s,
            progress=False,
        )
        for s in (TOY, EXACT)
    )  # fmt: skip
    assert toy.message == exact.message
    assert toy.history.sizes["point"] >= 3
    compared(toy.history, exact.history, PLANE)


def test_finite_size_scaling():
    toy, exact = (
        qt.finite_size_scaling(
            MODEL, [5, 7], ISING, PLANE, WINDOW, start={"g_x": 0.8, "g_zz": 0.8}, points=3, solver=s, progress=False,
        )
        for s in (TOY, EXACT)
    )  # fmt: skip
    assert toy.message == exact.message
    compared(toy.history, exact.history, PLANE)


def test_phase_diagram():
    toy, exact = (
        qt.phase_diagram(
            MODEL(L), THETA, PLANE, WINDOW, shape=(3, 2), observables={"xx": CORRELATION}, solver=s, progress=False,
        )
        for s in (TOY, EXACT)
    )  # fmt: skip
    assert (toy["converged"] != 0).all()
    # the root of -ln of a fidelity that is 1 to rounding
    compared(toy, exact, ("energy", "entropy", "fidelity_susceptibility", "xx"), 1e-8)


def test_verify():
    verification = verify(MODEL(L), THETA, qt.Expectation(CORRELATION), solvers=[TOY])
    assert verification.passed, verification.table()
    assert {row.quantity for row in verification.rows if row.solver == "Dense"} == {
        "energy", "expectation", "gradient", "reciprocity",
    }  # fmt: skip


CONFIGURATION = f"""
[model]
name = "cluster_ising"
L = {L}
[parameters]
g_x = 0.8
g_zz = 0.8
g_zxz = 0.0
[solver]
name = "dense"
[gradient]
objective = "X(2) * X(4)"
[explore]
objective = "X(2) * X(4)"
steps = 2
[sensitivity]
observable = "X(2) * X(4)"
scan = "g_x"
points = [0.5, 1.5]
train = []
steps = 30
[boundary]
plane = ["g_x", "g_zz"]
window = {{ g_x = [0.2, 2.5], g_zz = [0.3, 1.2] }}
start = [{{ g_x = 0.8, g_zz = 0.8 }}]
points = 4
scan = [3, 2]
[verify]
objective = "X(2) * X(4)"
"""


@pytest.mark.parametrize("verb", ["gradient", "explore", "sensitivity", "boundary", "verify"])
def test_every_verb_takes_it_by_name(verb, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(SOLVERS, "dense", Dense)
    file = tmp_path / "toy.toml"
    file.write_text(CONFIGURATION)
    status = main([verb, str(file), "--out", str(tmp_path / "run")])
    assert status == 0, capsys.readouterr().err
    if verb != "verify":
        assert json.loads((tmp_path / "run" / "summary.json").read_text())["solver"]["name"] == "Dense"
    else:
        assert "Dense" in capsys.readouterr().out
