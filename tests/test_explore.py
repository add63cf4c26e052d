"""The walk through a phase diagram: against the published one, and that an interrupted one loses nothing."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from test_optimizers import textbook

from qep_tn import models
from qep_tn.descent import objective as taken
from qep_tn.descent.update_rules import OPTIMIZERS
from qep_tn.gradients.gradient import DegenerateGroundStateWarning
from qep_tn.gradients.losses import Expectation, FunctionLoss, Magnitude
from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import X, Z
from qep_tn.hamiltonians.sites import qubits
from qep_tn.runs.folder import RunFolder, load
from qep_tn.solvers.exact import ExactDiagonalization
from qep_tn.solvers.numba_dmrg import NumbaDMRG
from qep_tn.solvers.tenpy_dmrg import TenpyDMRG
from qep_tn.tasks.explore import explore_phases

PUBLISHED = Path(__file__).parents[2] / "shared" / "reference" / "phase_exploration_run1"
X_ALL = sum(X(j) for j in range(4))
needs_published = pytest.mark.skipif(not PUBLISHED.exists(), reason="shared/reference is not beside the repository")


def cluster_ising(L, first_cluster=0, local=False):
    fields = [-X(j) for j in range(L)]
    return Hamiltonian(
        qubits(L),
        {"g_x": fields if local else sum(fields), "g_zz": -sum(Z(j) * Z(j + 1) for j in range(L - 1))},
        fixed=-0.5 * sum(Z(j) * X(j + 1) * Z(j + 2) for j in range(first_cluster, L - 2)),
    )


def published_walk(solver, steps):
    """The published settings; their cluster term leaves out the triple at j = 0."""
    H = cluster_ising(10, first_cluster=1)
    theta = {"g_x": -0.1, "g_zz": 0.4}
    objective = Magnitude(X(0) * X(4))
    return explore_phases(
        H, theta, objective, steps=steps, solver=solver, rtol=1e-4, beta=0.1, scheme="one-sided", progress=False
    ).history


def walk(tmp_path, resume=False, steps=6, solver=None, local=False, **settings):
    H = cluster_ising(6, local=local)
    theta = {"g_x": np.full(6, 0.9) if local else 0.9, "g_zz": 0.7}
    run = RunFolder.create(tmp_path, "[explore]\nrate = 0.1\n", resume=resume)
    try:
        return explore_phases(
            H, theta, Expectation(X(1) * X(4)), steps=steps, solver=solver, run=run, progress=False, **settings
        )
    finally:
        run.close()


def assert_same_but_for_time(a, b):
    assert a.drop_vars("seconds").identical(b.drop_vars("seconds"))


@needs_published
@pytest.mark.filterwarnings("ignore::qep_tn.DegenerateGroundStateWarning")  # the nudge is larger than the edge's gap
def test_walk_follows_the_published_one():
    steps = 30
    history = published_walk(ExactDiagonalization(), steps)
    theta = np.loadtxt(PUBLISHED / "theta.csv", delimiter=",")[: steps + 1]
    cost = np.loadtxt(PUBLISHED / "cost.csv", delimiter=",")[: steps + 1]
    assert np.abs(history["g_x"] - theta[:, 0]).max() < 1e-6
    assert np.abs(history["g_zz"] - theta[:, 1]).max() < 1e-6
    assert np.abs(history["loss"] - cost).max() < 1e-6


@needs_published
@pytest.mark.parametrize("solver", [NumbaDMRG(), pytest.param(TenpyDMRG(), marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::qep_tn.DegenerateGroundStateWarning")  # the nudge is larger than the edge's gap
def test_walk_with_matrix_product_states_follows_the_published_one(solver):
    steps = 30
    history = published_walk(solver, steps)
    theta = np.loadtxt(PUBLISHED / "theta.csv", delimiter=",")[: steps + 1]
    assert np.abs(np.stack([history["g_x"], history["g_zz"]], axis=1) - theta).max() < 1e-3


def test_every_step_has_the_length_of_rate_over_all_trained_couplings():
    H = cluster_ising(6, local=True)
    theta = {"g_x": np.full(6, 0.9), "g_zz": 0.7}
    history = explore_phases(H, theta, Expectation(X(1) * X(4)), steps=3, rate=0.05, progress=False).history
    path = np.concatenate([history["g_x"].values, history["g_zz"].values[:, None]], axis=1)
    np.testing.assert_allclose(np.linalg.norm(np.diff(path, axis=0), axis=1), 0.05, rtol=1e-12)
    assert history.sizes == {"step": 4, "g_x_coupling": 6}


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_objective_moves_in_the_direction_asked_for(direction, sign):
    H, theta = cluster_ising(6), {"g_x": 0.9, "g_zz": 0.7}
    observable = X(1) * X(4)
    result = explore_phases(H, theta, Expectation(observable), direction=direction, steps=5, progress=False)
    loss = result.history["loss"].values
    assert (np.diff(loss) < 0).all()
    assert result.state.expectation(observable) == pytest.approx(-sign * loss[-1], abs=1e-12)


def test_only_trained_parameters_move():
    H, theta = cluster_ising(6), {"g_x": 0.9, "g_zz": 0.7}
    history = explore_phases(H, theta, Expectation(X(1) * X(4)), train=["g_zz"], steps=2, progress=False).history
    assert (history["g_x"] == 0.9).all()
    np.testing.assert_allclose(np.abs(np.diff(history["g_zz"])), 0.1)
    np.testing.assert_allclose(history["gradient_norm"], np.abs(history["gradient_g_zz"]))


def test_walk_stops_where_the_gradient_vanishes(tmp_path):
    H = Hamiltonian(qubits(4), {"g_x": -sum(X(j) for j in range(4))})
    result = explore_phases(H, {"g_x": 1.0}, Expectation(X(0)), steps=5, progress=False)
    assert not result.converged
    assert result.history.sizes["step"] == 1
    assert "cannot be told from zero" in result.message


def test_walk_stops_at_a_degenerate_ground_state_unless_the_nudge_is_given():
    H = cluster_ising(8)  # at zero field the cluster chain has free spins at its ends
    theta, objective = {"g_x": 0.0, "g_zz": 0.01}, Expectation(X(0) * X(4))
    with pytest.warns(DegenerateGroundStateWarning):
        stopped = explore_phases(H, theta, objective, steps=2, progress=False)
    with pytest.warns(DegenerateGroundStateWarning):
        walked = explore_phases(H, theta, objective, steps=2, beta=0.1, progress=False)
    assert stopped.history.sizes["step"] == 1
    assert "not trustworthy" in stopped.message
    assert walked.history.sizes["step"] == 3
    assert not walked.history["trustworthy"][0]
    assert "not trustworthy, the first at step 0" in walked.message
    assert not stopped.converged
    assert not walked.converged


def test_stopped_walk_stays_stopped_when_resumed(tmp_path):
    H = Hamiltonian(qubits(4), {"g_x": -sum(X(j) for j in range(4))})
    results = []
    for resume in (False, True):
        run = RunFolder.create(tmp_path / "run", resume=resume)
        results.append(explore_phases(H, {"g_x": 1.0}, Expectation(X(0)), steps=5, run=run, progress=False))
        run.close()
    assert results[0].message == results[1].message
    assert results[0].history.identical(results[1].history)


@pytest.mark.parametrize("steps_before_the_kill", [1, 5])
@pytest.mark.parametrize("local", [False, True])
def test_resumed_walk_ends_where_the_uninterrupted_one_does(tmp_path, monkeypatch, steps_before_the_kill, local):
    whole = walk(tmp_path / "whole", local=local)
    interrupt_after(monkeypatch, steps_before_the_kill)
    with pytest.raises(KeyboardInterrupt):
        walk(tmp_path / "cut", local=local)
    monkeypatch.undo()
    assert load(tmp_path / "cut").sizes["step"] == steps_before_the_kill
    resumed = walk(tmp_path / "cut", resume=True, local=local)
    assert_same_but_for_time(resumed.history, whole.history)
    assert (tmp_path / "cut" / "state.h5").read_bytes() == (tmp_path / "whole" / "state.h5").read_bytes()


def test_resumed_walk_of_matrix_product_states_ends_where_the_uninterrupted_one_does(tmp_path, monkeypatch):
    whole = walk(tmp_path / "whole", steps=2, solver=NumbaDMRG())
    interrupt_after(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        walk(tmp_path / "cut", steps=2, solver=NumbaDMRG())
    monkeypatch.undo()
    assert_same_but_for_time(walk(tmp_path / "cut", resume=True, steps=2, solver=NumbaDMRG()).history, whole.history)


@pytest.mark.parametrize("file", ["history.nc", "state.h5"])
def test_walk_killed_between_the_files_of_a_save_resumes_alike(tmp_path, monkeypatch, file):
    whole = walk(tmp_path / "whole")
    replace, seen = RunFolder.save.__globals__["_replace"], []

    def killed(target, write):
        seen.append(target.name)
        if seen.count(file) == 3:
            write(target.with_name(f".{target.name}.new"))  # the new file is written, and never put in its place
            raise KeyboardInterrupt
        replace(target, write)

    monkeypatch.setattr("qep_tn.runs.folder._replace", killed)
    monkeypatch.setattr("qep_tn.runs.loop._SAVING", 0)  # every step is saved, however short
    with pytest.raises(KeyboardInterrupt):
        walk(tmp_path / "cut")
    monkeypatch.undo()
    assert_same_but_for_time(walk(tmp_path / "cut", resume=True).history, whole.history)


def test_finished_walk_can_go_on_for_more_steps(tmp_path):
    whole = walk(tmp_path / "whole", steps=6)
    walk(tmp_path / "cut", steps=3)
    assert_same_but_for_time(walk(tmp_path / "cut", resume=True, steps=6).history, whole.history)


def test_walk_of_more_steps_than_are_asked_for_is_not_resumed(tmp_path):
    walk(tmp_path, steps=3)
    before = {name: (tmp_path / name).read_bytes() for name in ("history.nc", "summary.json", "config.toml")}
    with pytest.raises(ValueError, match=r"has 3 steps, which stay, and steps is 2; give 3 or more, or another folder"):
        walk(tmp_path, resume=True, steps=2)
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


def test_state_of_another_task_is_not_resumed(tmp_path):
    whole = walk(tmp_path, steps=1)
    run = RunFolder.create(tmp_path, "[explore]\nrate = 0.1\n", resume=True)
    run.save(whole.history, [whole.state], {"step": 1})
    run.close()
    with pytest.raises(ValueError, match="holds nothing of this task to resume"):
        walk(tmp_path, resume=True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train": ["g_y"]}, "train has 'g_y', but the parameters are g_x, g_zz"),
        ({"train": []}, "train is empty"),
        ({"direction": "up"}, "direction is 'up'"),
        ({"rate": 0.0}, "rate is 0.0"),
        ({"steps": -1}, "steps is -1"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd'; it must be one of normalized, plain, adam, adamax, l-bfgs-b"),
        ({"starts": 0}, "starts is 0"),
        ({"starts": 2, "spread": 0.0}, "spread is 0.0"),
        ({"bounds": {"g_x": (2.0, 3.0)}}, "theta violates g_x >= 2; it is 1 away"),
        ({"optimizer": "l-bfgs-b", "constraints": ["g_x + g_zz = 1.5"]}, "takes bounds but no linear constraints; use"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        explore_phases(cluster_ising(4), {"g_x": 1.0, "g_zz": 0.5}, Expectation(X(0)), **changed)


def exact_loss(H, vector, observable):
    theta = H.unflatten(np.asarray(vector))
    return -ExactDiagonalization().ground_state(H, theta).expectation(observable)


def exact_slope(H, vector, observable, step=1e-4):
    """By finite differences of fourth order: their error is about 1e-13 / step."""
    vector, slope = np.asarray(vector, float), []
    for unit in np.eye(len(vector)):
        shifted = {k: exact_loss(H, vector + k * step * unit, observable) for k in (-2, -1, 1, 2)}
        slope.append((8 * (shifted[1] - shifted[-1]) - (shifted[2] - shifted[-2])) / (12 * step))
    return slope


@pytest.mark.parametrize("optimizer", ["normalized", "plain", "adam", "adamax"])
def test_path_is_that_of_the_textbook_with_exact_derivatives(optimizer):
    H, theta, observable = cluster_ising(6), {"g_x": 0.9, "g_zz": 0.7}, X(1) * X(4)
    expected = textbook(optimizer, H.flatten(theta), lambda x: exact_slope(H, x, observable), rate=0.1, steps=4)
    history = explore_phases(
        H, theta, Expectation(observable), steps=4, optimizer=optimizer, rtol=1e-6, progress=False
    ).history
    path = np.stack([history["g_x"], history["g_zz"]], axis=1)
    np.testing.assert_allclose(path, expected, atol=1e-7)  # gradients are right to 1e-8


def variational_chain():
    """A chain and an objective that is largest, by Rayleigh and Ritz, in the ground state at (0.6, 0.4) alone."""
    H = cluster_ising(6)
    return H, Expectation(-1.0 * H.operator({"g_x": 0.6, "g_zz": 0.4}))


def test_l_bfgs_b_finds_the_variational_optimum_as_on_the_exact_function():
    H, objective = variational_chain()
    result = explore_phases(H, {"g_x": 0.9, "g_zz": 0.7}, objective, optimizer="l-bfgs-b", progress=False)
    assert result.converged, result.message
    assert "l-bfgs-b converged after" in result.message
    history = result.history
    found = history.isel(step=int(np.argmin(history["loss"].values)))
    assert [float(found[name]) for name in ("g_x", "g_zz")] == pytest.approx([0.6, 0.4], abs=1e-3)
    exact = minimize(lambda x: exact_loss(H, x, objective.operator), [0.9, 0.7], method="L-BFGS-B")
    assert float(found["loss"]) == pytest.approx(exact.fun, abs=1e-8)


def test_l_bfgs_b_evaluates_no_more_often_than_steps_and_stays_in_bounds():
    H, objective = variational_chain()
    bounds = {"g_x": (0.7, 1.0), "g_zz": (0.2, 1.0)}
    theta, settings = {"g_x": 0.9, "g_zz": 0.7}, {"optimizer": "l-bfgs-b", "bounds": bounds, "progress": False}
    short = explore_phases(H, theta, objective, steps=2, **settings)
    assert short.history.sizes["step"] == 3
    assert not short.converged
    assert short.message == "3 evaluations made, before l-bfgs-b converged"
    whole = explore_phases(H, theta, objective, **settings)
    assert whole.converged
    for name, (low, high) in bounds.items():
        assert whole.history[name].min() >= low
        assert whole.history[name].max() <= high
    exact = minimize(  # by another method: SciPy's L-BFGS-B alone ends 0.015 above
        lambda x: exact_loss(H, x, objective.operator), [0.9, 0.7], method="SLSQP", bounds=list(bounds.values()),
        options={"ftol": 1e-10},
    )  # fmt: skip
    assert float(whole.history["loss"].min()) == pytest.approx(exact.fun, abs=1e-7)


def cubic_well():
    """A transverse-field Ising chain, and a loss that as h grows falls, rises from M = 2 on, and from 3.7 on falls."""
    H = Hamiltonian(qubits(4), {"h": -X_ALL}, fixed=-1.0 * sum(Z(j) * Z(j + 1) for j in range(3)))
    return H, FunctionLoss(
        [X_ALL],
        lambda m: -50 * (m[0] ** 3 / 3 - 2.85 * m[0] ** 2 + 7.4 * m[0]),
        lambda m: -50 * (m - 2) * (m - 3.7),
    )


def walk_in_the_well(h=0.45, **settings):
    H, loss = cubic_well()
    settings = {"optimizer": "l-bfgs-b", "direction": "minimize", "bounds": {"h": (0.0, 3.0)}} | settings
    return explore_phases(H, {"h": h}, loss, progress=False, **settings)


def test_l_bfgs_b_does_not_take_a_rejected_point_for_an_optimum():
    result = walk_in_the_well()
    history = result.history
    loss = history["loss"].values
    assert float(history["h"][1]) == 3.0  # a trial at the bound, where the loss falls no further, above the start
    assert loss[1] > loss[0] + 10
    assert result.converged, result.message
    lowest = history.isel(step=int(loss.argmin()))
    well = minimize_scalar(
        lambda h: (ExactDiagonalization().ground_state(cubic_well()[0], {"h": h}).expectation(X_ALL) - 2) ** 2,
        bounds=(0.0, 1.5), method="bounded", options={"xatol": 1e-8},
    ).x  # fmt: skip
    assert float(lowest["h"]) == pytest.approx(well, abs=1e-4)
    assert result.state.expectation(X_ALL) == pytest.approx(2.0, abs=1e-3)


def test_l_bfgs_b_that_runs_out_of_evaluations_has_not_converged():
    result = walk_in_the_well(steps=1)
    assert not result.converged
    assert result.message == "2 evaluations made, before l-bfgs-b converged"
    start = ExactDiagonalization().ground_state(cubic_well()[0], {"h": 0.45})
    assert result.state.expectation(X_ALL) == pytest.approx(start.expectation(X_ALL), abs=1e-9)


def test_l_bfgs_b_that_begins_at_an_optimum_stays_there():
    fixed = walk_in_the_well(h=3.0)
    assert fixed.converged, fixed.message
    assert "the loss falls no further within h <= 3" in fixed.message
    flat = explore_phases(
        Hamiltonian(qubits(4), {"g_x": -X_ALL}), {"g_x": 1.0}, Expectation(X(0)), optimizer="l-bfgs-b", progress=False
    )
    assert flat.converged, flat.message


@pytest.mark.parametrize("optimizer", ["normalized", "plain", "adam", "adamax"])
def test_every_point_of_a_walk_meets_its_constraints(optimizer):
    H = models.cluster_ising(6)
    theta = {"g_x": 1.0, "g_zz": 2.0, "g_zxz": 1.0}
    objective = Magnitude(X(1) * X(4))
    triangle = ["g_x + g_zz + g_zxz = 4", "g_x >= 0", "g_zz >= 0", "g_zxz >= 0.9", "g_x <= 2 * g_zz"]
    history = explore_phases(
        H, theta, objective, steps=12, rate=0.3, optimizer=optimizer, constraints=triangle, progress=False
    ).history
    g_x, g_zz, g_zxz = (history[name].values for name in ("g_x", "g_zz", "g_zxz"))
    assert np.abs(g_x + g_zz + g_zxz - 4).max() < 1e-10
    assert min(g_x.min(), g_zz.min(), (g_zxz - 0.9).min(), (2 * g_zz - g_x).min()) > -1e-10
    assert np.ptp(g_x) > 0.1


def test_walk_ends_at_the_corner_that_its_constraints_leave_and_says_so():
    H, theta = cluster_ising(6), {"g_x": 0.9, "g_zz": 0.7}
    result = explore_phases(
        H,
        theta,
        Expectation(X(1) * X(4)),
        bounds={"g_zz": (0.25, 2.0)},
        constraints=["g_x + g_zz <= 2"],
        progress=False,
    )
    assert result.converged
    assert "the loss falls no further within g_x + g_zz <= 2, g_zz >= 0.25" in result.message
    assert [float(result.history[name][-1]) for name in ("g_x", "g_zz")] == pytest.approx([1.75, 0.25], abs=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resumed_walk_of_every_optimizer_writes_the_same_history(tmp_path, monkeypatch, optimizer):
    settings = {"optimizer": optimizer, "bounds": {"g_x": (0.0, 1.2)}, "steps": 3}
    whole = walk(tmp_path / "whole", **settings)
    interrupt_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        walk(tmp_path / "cut", **settings)
    monkeypatch.undo()
    resumed = walk(tmp_path / "cut", resume=True, **settings)
    assert resumed.message == whole.message
    for file in ("history.nc", "state.h5"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert walk(tmp_path / "cut", resume=True, **settings).message == whole.message


def test_several_starts_are_the_walks_from_them_and_the_best_is_shown(tmp_path):
    settings = {"steps": 3, "constraints": ["g_x >= 0.5", "g_x + g_zz <= 1.7"], "solver": ExactDiagonalization()}
    result = walk(tmp_path / "run", starts=3, spread=0.4, seed=5, processes=2, **settings)
    assert result.history.sizes == {"start": 3, "step": 4}
    assert float(result.history["g_x"][0, 0]) == 0.9
    H = cluster_ising(6)
    for start in range(3):
        walked = load(tmp_path / "run" / f"start-{start}")
        theta = {name: float(walked[name][0]) for name in ("g_x", "g_zz")}
        run = RunFolder.create(tmp_path / f"single-{start}")
        single = explore_phases(H, theta, Expectation(X(1) * X(4)), run=run, progress=False, **settings).history
        run.close()
        names = [tmp_path / folder / "history.nc" for folder in (f"single-{start}", f"run/start-{start}")]
        assert names[0].read_bytes() == names[1].read_bytes()
        together = load(tmp_path / "run").isel(start=start, step=slice(single.sizes["step"]))
        for name in single.data_vars.keys() - {"seconds"}:
            np.testing.assert_array_equal(together[name], single[name])
    lasts = [float(load(tmp_path / "run" / f"start-{n}")["loss"][-1]) for n in range(3)]
    assert result.best == np.argmin(lasts)
    assert result.state.sites == H.sites  # another gradient can begin from it
    assert load(tmp_path / "run").attrs["last_loss"] == min(lasts)


def test_walks_by_threads_have_run_logs_of_their_own(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        walk(tmp_path, starts=2, steps=4, executor=pool, solver=ExactDiagonalization())
    for start in range(2):
        losses = load(tmp_path / f"start-{start}")["loss"].values
        said = re.findall("step [0-9]+: loss ([^,]+),", (tmp_path / f"start-{start}/run.log").read_text())
        assert said == [f"{loss:.8g}" for loss in losses]
    assert "step" not in re.sub("[0-9]+ steps made", "", (tmp_path / "run.log").read_text())


def test_rows_past_the_end_of_a_walk_have_no_values():
    H = Hamiltonian(qubits(2), {"a": -(X(0) + X(1)), "b": -Z(0)})
    walks = explore_phases(
        H, {"a": 1.0, "b": 1.0}, Expectation(X(0)), bounds={"b": (0.5, 3.0)}, train=["b"], starts=2, steps=9,
        processes=1, progress=False,
    ).history  # fmt: skip
    rows = np.isfinite(walks["loss"].values)
    assert rows.sum(axis=1).max() > rows.sum(axis=1).min()
    assert walks["trustworthy"].dtype == np.int8
    np.testing.assert_array_equal(walks["trustworthy"], np.where(rows, 1, -1))
    np.testing.assert_array_equal(np.isfinite(walks["b"]), rows)


def test_losses_that_no_process_can_be_sent_are_refused():
    loss = FunctionLoss([X(0)], lambda x: x[0], lambda x: np.ones(1))
    with pytest.raises(ValueError, match=r"cannot be sent to one .*; define its functions at the top of a module"):
        explore_phases(cluster_ising(4), {"g_x": 1.0, "g_zz": 0.5}, loss, starts=2, progress=False)


def interrupt_after(monkeypatch, steps):
    """Raise KeyboardInterrupt, as Ctrl-C does, in the gradient after some steps."""
    gradient, calls = taken.gradient, []

    def interrupted(*args, **kwargs):
        if len(calls) == steps:
            raise KeyboardInterrupt
        calls.append(None)
        return gradient(*args, **kwargs)

    monkeypatch.setattr(taken, "gradient", interrupted)
