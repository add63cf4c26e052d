"""Pairs of points between which an observable changes fastest."""

import json

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import X, Z
from qep_tn.runs.folder import RunFolder, load


def sensitivity_at(H, theta, points):
    values = [qt.ExactDiagonalization().ground_state(H, {**theta, "g_x": g}).expectation(X(2) * X(6)) for g in points]
    return abs(values[0] - values[1]) / abs(points[0] - points[1])


def test_each_step_raises_the_sensitivity_to_first_order():
    H, theta, points = qt.models.cluster_ising(9), {"g_x": 0.0, "g_zz": 0.7, "g_zxz": 0.4}, (0.4, 1.9)
    result = qt.optimize_sensitivity(
        H, theta, X(2) * X(6), scan="g_x", points=points, train=["g_zz"], steps=6, rate=0.02, progress=False
    )
    values = result.history["sensitivity"].values
    assert result.converged
    assert np.all(np.diff(values) > 0)
    assert values[0] == pytest.approx(sensitivity_at(H, theta, points), abs=1e-9)
    last = [float(result.history[name][-1]) for name in ("g_x_1", "g_x_2")]
    assert result.boundary == pytest.approx(np.mean(last))


@pytest.mark.filterwarnings("ignore::qep_tn.DegenerateGroundStateWarning")  # in the ferromagnet
def test_the_pair_encloses_the_transition_of_a_long_chain():
    length = 64
    H = qt.models.cluster_ising(length)
    middle = length // 2
    result = qt.optimize_sensitivity(
        H, {"g_zz": 1.0, "g_zxz": 0.0}, X(middle - 2) * X(middle + 2), scan="g_x", points=(0.6, 1.6), train=[],
        steps=12, rate=0.05, closest=0.1, progress=False,
    )  # fmt: skip
    fields = np.linspace(0.8, 1.2, 41)
    steepest = fields[np.argmax(steepness(H, 1.0, X(middle - 2) * X(middle + 2), fields))]
    assert steepest == pytest.approx(1.0, abs=2 / length)  # about 1/L below the boundary of the infinite chain
    assert abs(result.boundary - steepest) <= result.boundary_error
    # twelve steps bring the points from 1 to 0.15 apart: half of it, and the last 0.05 or so that the middle moved
    assert result.boundary_error < 0.2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scan": "h"}, "'h' is not a scalar parameter"),
        ({"points": (1.0, 1.0)}, "at least 0.001 apart"),
        ({"train": ["g_y"]}, "'g_y' is not a scalar parameter"),
        ({"rate": 0.0}, "length positive"),
        ({"closest": 0.0}, "positive and finite"),
        ({"closest": -1.0}, "positive and finite"),
        ({"closest": np.inf}, "positive and finite"),
        ({"closest": np.nan}, "positive and finite"),
        ({"observable": 0 * X(1) + 1}, "observable 1.0: measures nothing"),
        ({"observable": X(1) * X(1)}, "measures nothing"),
        ({"observable": X(1) - X(1)}, "measures nothing"),
    ],
)
def test_bad_input_is_refused(wrong, message):
    arguments = {"observable": X(3), "scan": "g_x", "points": (0.5, 1.5)} | wrong
    with pytest.raises(ValueError, match=message):
        qt.optimize_sensitivity(qt.models.cluster_ising(8), {"g_zz": 1.0, "g_zxz": 0.0}, progress=False, **arguments)


def test_gradient_of_the_loss_equals_finite_differences():
    H, observable, step = qt.models.cluster_ising(8), X(2) * X(6), 1e-5
    here = {"g_x_1": 1.6, "g_x_2": 0.7, "g_zz": 0.9}

    def loss(values):
        theta = {"g_zz": values["g_zz"], "g_zxz": 0.3}
        return -sensitivity_at(H, theta, (values["g_x_1"], values["g_x_2"]))

    result = qt.optimize_sensitivity(
        H, {"g_zz": 0.9, "g_zxz": 0.3}, observable, scan="g_x", points=(1.6, 0.7), train=["g_zz"], steps=0,
        rtol=1e-6, progress=False,
    )  # fmt: skip
    for name in here:
        change = loss({**here, name: here[name] + step}) - loss({**here, name: here[name] - step})
        slope, error = (float(result.history[f"gradient_{name}{suffix}"][0]) for suffix in ("", "_error"))
        assert slope == pytest.approx(change / (2 * step), abs=1e-7 + error)  # differences: 1e-10 from step squared
    assert result.history["loss"][0] == pytest.approx(loss(here), abs=1e-9)


@pytest.mark.parametrize("case", range(12))
def test_the_interval_contains_the_steepest_point_of_a_solvable_chain(case):
    rng = np.random.default_rng(case)
    length, span, g_zz = int(rng.choice([32, 48, 64])), int(rng.integers(1, 5)), rng.uniform(0.5, 2.0)
    points = g_zz * rng.choice([-1, 1]) * np.array([rng.uniform(0.2, 0.8), rng.uniform(1.3, 2.0)])
    if rng.random() < 0.5:
        points = points[::-1]
    H, observable = qt.models.cluster_ising(length), X(length // 2 - span) * X(length // 2 + span)
    result = qt.optimize_sensitivity(
        H, {"g_zz": g_zz, "g_zxz": 0.0}, observable, scan="g_x", points=(points[0], points[1]),
        train=[[], ["g_zz"]][case % 2], rate=rng.uniform(0.03, 0.2), solver=qt.FreeFermion(), progress=False,
    )  # fmt: skip
    history = result.history
    last = np.flatnonzero(history["encloses"])[-1] if result.message.startswith("the points") else -1
    shared = float(history["g_zz"][last])
    coarse = np.sign(points[0]) * np.linspace(0.05, 2.5, 200) * abs(shared)
    nearest = coarse[np.argmax(steepness(H, shared, observable, coarse))]
    fine = nearest + np.linspace(-0.02, 0.02, 161) * abs(shared)
    steepest = fine[np.argmax(steepness(H, shared, observable, fine))]
    assert abs(result.boundary - steepest) <= result.boundary_error + 3e-4 * abs(shared)  # the fine grid's spacing
    assert result.converged
    if not result.message.startswith("the points"):
        assert "still move" in result.message


def steepness(H, g_zz, observable, fields):
    solver = qt.FreeFermion()
    thetas = [{"g_x": g, "g_zz": g_zz, "g_zxz": 0.0} for g in fields]
    return [abs(qt.gradient(H, t, qt.Expectation(observable), solver=solver).gradient["g_x"]) for t in thetas]


def test_points_beside_every_steepest_point_are_not_taken_for_a_boundary():
    H = qt.models.cluster_ising(32)  # far in the paramagnet |d<X>/dg_x| only falls
    result = qt.optimize_sensitivity(
        H, {"g_zz": 0.5, "g_zxz": 0.0}, X(16), scan="g_x", points=(3.0, 3.005), train=[], steps=3, rate=0.001,
        solver=qt.FreeFermion(), progress=False,
    )  # fmt: skip
    assert not result.history["encloses"].any()
    assert result.boundary_error == np.inf
    assert not result.converged
    assert "still move" in result.message
    assert "no pair of points is known to enclose a steepest point" in result.message


@pytest.mark.parametrize("beta", ["auto", 0.01])
def test_observable_that_no_coupling_changes_has_no_steepest_point(beta):
    H = conserving_chain()
    result = qt.optimize_sensitivity(
        H, {"g": 1.0, "h": 1.0}, H.parameters["h"], scan="g", points=(0.5, 1.5), train=[], steps=3, beta=beta,
        solver=qt.ExactDiagonalization(), progress=False,
    )  # fmt: skip
    assert not result.converged
    assert "changes no more between the points than its error" in result.message


def conserving_chain():
    """Ising couplings along Z and a field along Z: all commute."""
    return qt.Hamiltonian(
        qt.qubits(5), {"g": sum(Z(j) * Z(j + 1) for j in range(4)), "h": sum(0.1 * (j + 3) * Z(j) for j in range(5))}
    )


def run_of(folder, steps, resume=False, solver=None, length=7, **changed):
    run = RunFolder.create(folder, "[sensitivity]\nrate = 0.2\n", resume=resume)
    H = qt.models.cluster_ising(length)
    settings = {"observable": X(1) * X(length - 2), "points": (0.6, 1.6), "train": ["g_zz"], "rate": 0.2} | changed
    theta = settings.pop("theta", {"g_zz": 1.0, "g_zxz": 0.2})
    try:
        return qt.optimize_sensitivity(
            H, theta, scan="g_x", steps=steps, solver=solver, run=run, progress=False, **settings
        )
    finally:
        run.close()


@pytest.mark.parametrize("solver", [qt.ExactDiagonalization(), qt.FreeFermion(), qt.NumbaDMRG(max_bond=8)])
def test_resumed_run_ends_where_the_uninterrupted_one_does(tmp_path, solver):
    run_of(tmp_path / "whole", 6, solver=solver)
    for number, steps in enumerate((0, 4, 6)):  # also across the step at which the points meet first
        resumed = run_of(tmp_path / "cut", steps, resume=number > 0, solver=solver)
    for name in ("history.nc", "state.h5"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    summary = json.loads((tmp_path / "cut" / "summary.json").read_text())
    assert summary["boundary"] == resumed.boundary
    assert summary["boundary_error"] == resumed.boundary_error
    assert summary["ground_states"] == int(resumed.history["ground_states"][-1])


def test_every_variable_says_what_it_is(tmp_path):
    run_of(tmp_path, 1)
    history = load(tmp_path)
    assert history.attrs["task"] == "sensitivity"
    for name in ("g_x_1", "g_x_2", "g_zz", "g_zxz", "loss", "gradient_g_x_1_error", "max_bond", "seconds"):
        assert history[name].dims == ("step",)
    for variable in history.variables.values():
        assert variable.attrs["long_name"]
        assert variable.attrs["units"]


def test_state_of_another_task_is_not_resumed(tmp_path):
    result = run_of(tmp_path, 1)
    run = RunFolder.create(tmp_path, "[sensitivity]\nrate = 0.2\n", resume=True)
    run.save(result.history, result.states, {"step": 1})
    run.close()
    with pytest.raises(ValueError, match="holds nothing of this task to resume"):
        run_of(tmp_path, 3, resume=True)
