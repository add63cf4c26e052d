"""The walk through a phase diagram: against the published one, and that an interrupted one loses nothing."""

from pathlib import Path

import numpy as np
import pytest

from qep_tn.hamiltonian import Hamiltonian
from qep_tn.losses import Expectation, Magnitude
from qep_tn.operators import X, Z
from qep_tn.propagation import DegenerateGroundStateWarning
from qep_tn.results import RunFolder, load
from qep_tn.sites import qubits
from qep_tn.solvers.exact import ExactDiagonalization
from qep_tn.solvers.tenpy_dmrg import TenpyDMRG
from qep_tn.tasks import walk as walk_task
from qep_tn.tasks.explore import explore_phases

PUBLISHED = Path(__file__).parents[2] / "shared" / "reference" / "phase_exploration_run1"
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


def walk(tmp_path, resume=False, steps=6, solver=None, local=False):
    H = cluster_ising(6, local=local)
    theta = {"g_x": np.full(6, 0.9) if local else 0.9, "g_zz": 0.7}
    run = RunFolder.create(tmp_path, "[explore]\nrate = 0.1\n", resume=resume)
    try:
        return explore_phases(H, theta, Expectation(X(1) * X(4)), steps=steps, solver=solver, run=run, progress=False)
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
@pytest.mark.parametrize("steps", [1, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::qep_tn.DegenerateGroundStateWarning")  # the nudge is larger than the edge's gap
def test_walk_with_matrix_product_states_follows_the_published_one(steps):
    history = published_walk(TenpyDMRG(), steps)
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


@pytest.mark.parametrize("steps_before_the_kill", [1, 2, 5])
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
    whole = walk(tmp_path / "whole", steps=2, solver=TenpyDMRG())
    interrupt_after(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        walk(tmp_path / "cut", steps=2, solver=TenpyDMRG())
    monkeypatch.undo()
    assert_same_but_for_time(walk(tmp_path / "cut", resume=True, steps=2, solver=TenpyDMRG()).history, whole.history)


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

    monkeypatch.setattr("qep_tn.results._replace", killed)
    with pytest.raises(KeyboardInterrupt):
        walk(tmp_path / "cut")
    monkeypatch.undo()
    assert_same_but_for_time(walk(tmp_path / "cut", resume=True).history, whole.history)


def test_finished_walk_can_go_on_for_more_steps(tmp_path):
    whole = walk(tmp_path / "whole", steps=6)
    walk(tmp_path / "cut", steps=3)
    assert_same_but_for_time(walk(tmp_path / "cut", resume=True, steps=6).history, whole.history)


def test_run_of_another_task_is_not_resumed(tmp_path):
    whole = walk(tmp_path, steps=1)
    run = RunFolder.create(tmp_path, "[explore]\nrate = 0.1\n", resume=True)
    run.save(whole.history, [whole.state], {"step": 1})
    run.close()
    with pytest.raises(ValueError, match="holds no walk of this model to resume"):
        walk(tmp_path, resume=True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train": ["g_y"]}, "train has 'g_y', but the parameters are g_x, g_zz"),
        ({"train": []}, "train is empty"),
        ({"direction": "up"}, "direction is 'up'"),
        ({"rate": 0.0}, "rate is 0.0"),
        ({"steps": -1}, "steps is -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        explore_phases(cluster_ising(4), {"g_x": 1.0, "g_zz": 0.5}, Expectation(X(0)), **changed)


def interrupt_after(monkeypatch, steps):
    """Raise KeyboardInterrupt, as Ctrl-C does, in the gradient after some steps."""
    gradient, calls = walk_task.gradient, []

    def interrupted(*args, **kwargs):
        if len(calls) == steps:
            raise KeyboardInterrupt
        calls.append(None)
        return gradient(*args, **kwargs)

    monkeypatch.setattr(walk_task, "gradient", interrupted)
