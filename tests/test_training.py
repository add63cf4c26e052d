"""Supervised training: samples, gradients, warm starts; and that a training that is cut short loses nothing."""

import contextlib
import io
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import xarray as xr

import qep_tn as qt
from qep_tn import X, Y, Z
from qep_tn.cli import main
from qep_tn.models import phase_sensor, sensor_sites
from qep_tn.runs.executors import Shared
from qep_tn.runs.folder import RunFolder, load
from qep_tn.states.state_vector import StateVector
from qep_tn.training.images import half_turns
from qep_tn.training.problem import Problem, SampleWork, sample_gradient
from qep_tn.training.samples import Samples, Simplex
from qep_tn.training.scores import confusion
from qep_tn.training.warm_starts import WarmStarts

EXACT = qt.ExactDiagonalization()
NAMES = ("g_x", "g_zz", "g_zxz")


def published_label(g_x, g_zz, g_zxz):
    """Of the published task, with its g_zxz of the other sign."""
    return np.where(g_zz >= 2, 1, np.where(2 * g_x < 4 - g_zz, 0, 2))


TRIANGLE = Simplex(NAMES, 4.0, published_label, 3, (1.0, 1.0, -1.0))


def sensor(L=4, couplings="XYZ"):
    H = phase_sensor(qt.models.cluster_ising(L, periodic=True), couplings=couplings)
    A, B = sensor_sites(L)
    outputs = [0.25 * (1 + a * Z(A)) * (1 + b * Z(B)) for a, b in ((1, 1), (1, -1), (-1, -1))]
    return H, outputs


def start(H, rng):
    return {name: rng.normal(size=len(H.parameters[name])) for name in ("sensor", "coupling")}


def trained(run=None, H=None, samples=TRIANGLE, theta=None, **settings):
    made, outputs = sensor()
    H = made if H is None else H
    theta = start(H, np.random.default_rng(1)) if theta is None else theta
    defaults = {
        "outputs": outputs, "solver": EXACT, "steps": 3, "batch": 3, "test": TRIANGLE(np.random.default_rng(5), 4),
        "test_every": 2, "checked": 0.3, "kept": 5, "processes": 1, "progress": False,
    }  # fmt: skip
    return qt.train(H, theta, samples, run=run, **defaults | settings)


def alike(a, b):
    """Whether two histories are the same to the last bit, but for wall times."""
    return a.drop_vars("seconds").identical(b.drop_vars("seconds"))


# --- the sensor


def test_sensor_stands_beside_its_sites():
    assert sensor_sites(8) == (1, 2)
    assert sensor_sites(64, 2, (30, 31, 32, 33)) == (32, 33)
    assert sensor_sites(10, 2, ((0, 1), (8, 9))) == (1, 10)
    assert sensor_sites(10, 2, ((8, 9), (0, 1))) == (10, 1)
    assert sensor_sites(6, 3, (2,)) == (3, 4, 5)


def test_sensor_has_the_published_number_of_couplings():
    H = phase_sensor(qt.models.cluster_ising(8, periodic=True))
    assert [len(H.parameters[name]) for name in ("sensor", "coupling")] == [15, 36]
    assert len(phase_sensor(qt.models.cluster_ising(8), couplings="XZ").parameters["coupling"]) == 16
    assert len(phase_sensor(qt.models.cluster_ising(8), couplings="Z").parameters["coupling"]) == 4


def test_decoupled_sensor_leaves_the_system_as_it_is(rng):
    """Energy of system and sensor apart, and expectation values of the system at the places to which they moved."""
    system = qt.models.cluster_ising(5)
    theta = dict(zip(NAMES, rng.uniform(0.5, 1.5, 3), strict=True))
    alone = EXACT.ground_state(system, theta)
    H = phase_sensor(system, near=(1, 3))
    A, B = sensor_sites(5, 2, (1, 3))
    values = rng.normal(size=15)
    joint = EXACT.ground_state(H, {**theta, "sensor": values, "coupling": np.zeros(36)})
    apart = qt.Hamiltonian(qt.qubits(2), {"s": [*(P(s) for s in (0, 1) for P in (X, Y, Z)),
                                                *(P(0) * Q(1) for P in (X, Y, Z) for Q in (X, Y, Z))]})  # fmt: skip
    assert joint.energy == pytest.approx(alone.energy + EXACT.ground_state(apart, {"s": values}).energy, abs=1e-10)
    places = [j for j in range(7) if j not in (A, B)]
    assert joint.expectation([X(places[j]) for j in range(5)]) == pytest.approx(
        alone.expectation([X(j) for j in range(5)]), abs=1e-8
    )
    assert joint.expectation(Z(places[1]) * Z(places[2])) == pytest.approx(alone.expectation(Z(1) * Z(2)), abs=1e-8)


def test_couplings_are_the_published_matrix():
    """Rows are sites and letters, columns sensors and letters."""
    operators = np.array([str(a) for a in phase_sensor(qt.models.cluster_ising(4)).parameters["coupling"]], object)
    matrix = operators.reshape(6, 6)
    assert matrix[0, 0] == "X(0) * X(1)"
    assert matrix[1, 5] == "Y(0) * Z(2)"
    assert matrix[5, 0] == "X(1) * Z(3)"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sensors": 0}, "sensors is 0"),
        ({"near": (0, 9)}, "near has site 9; the system has sites 0..3"),
        ({"near": (1, 1)}, "each once"),
        ({"near": ((0,), (1,), (2,))}, "sites for 3 sensors, and there are 2"),
        ({"couplings": "XA"}, "couplings is 'XA'"),
    ],
)
def test_sensor_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        phase_sensor(qt.models.cluster_ising(4), **settings)


def test_sensor_beside_bosons_is_refused():
    chain = qt.Hamiltonian(qt.bosons(3, 2), {"U": [qt.Number(j) for j in range(3)]})
    with pytest.raises(ValueError, match="site 0, which is no qubit"):
        phase_sensor(chain)


def test_sensor_couples_to_operators_of_the_system_as_they_are():
    """Each times X, Y and Z of each sensor, between sites that the sensors have moved apart."""
    system = qt.models.cluster_ising(4)
    H = phase_sensor(system, near=(1,), couplings=[Z(0) * Z(1), X(1) * X(2) + Y(3)])
    A, B = sensor_sites(4, near=(1,))
    assert (A, B) == (2, 3)
    bonds = Z(0) * Z(1), X(1) * X(4) + Y(5)
    expected = [bond * pauli(site) for bond in bonds for site in (A, B) for pauli in (X, Y, Z)]
    assert [a.terms for a in H.parameters["coupling"]] == [a.terms for a in expected]
    with pytest.raises(ValueError, match=r"couplings\[1\]: site 4 is out of range"):
        phase_sensor(system, couplings=[Z(0), Z(4)])
    for wrong in (Z(0) * Z(1), ["Z"], [qt.Operator({(): 1.0})]):
        with pytest.raises(ValueError, match="letters, or a list of operators"):
            phase_sensor(system, couplings=wrong)


# --- samples


def test_simplex_is_uniform_and_labelled():
    drawn = TRIANGLE(np.random.default_rng(2), 4000)
    inputs = np.array([drawn.inputs[name] for name in NAMES])
    assert np.abs(inputs).sum(axis=0) == pytest.approx(np.full(4000, 4.0))
    assert (inputs[2] <= 0).all()
    # phase II is a quarter of the triangle, the others three eighths each
    assert drawn.targets.mean(axis=0) == pytest.approx([3 / 8, 1 / 4, 3 / 8], abs=4 * np.sqrt(0.25 / 4000))
    patches = Simplex(NAMES, 4.0, published_label, 3, (1.0, 1.0, -1.0), ((4.0, 0.0, 0.0),), 0.5)
    near = patches(np.random.default_rng(2), 50)
    assert (near.inputs["g_x"] >= 3.5).all()


def test_balanced_simplex_has_every_label_in_turn_and_is_uniform_within_it():
    drawn = replace(TRIANGLE, balanced=True)(np.random.default_rng(2), 3001)
    assert (drawn.targets.argmax(axis=1) == np.arange(3001) % 3).all()
    assert (drawn.targets.argmax(axis=1) == published_label(**drawn.inputs)).all()
    # phase II is the corner g_zz >= 2, whose centre of mass is at g_zz = 8 / 3
    corner = drawn.inputs["g_zz"][1::3]
    assert corner.mean() == pytest.approx(8 / 3, abs=4 * corner.std() / np.sqrt(len(corner)))
    nowhere = Simplex(NAMES, 4.0, lambda **inputs: np.zeros(len(inputs["g_x"]), int), 2, balanced=True)
    with pytest.raises(ValueError, match="hardly a point has one of the labels"):
        nowhere(np.random.default_rng(2), 2)


def test_exact_phases_are_the_published_labels():
    from qep_tn.configuration.data import PhaseLabels

    drawn = TRIANGLE(np.random.default_rng(3), 500)
    labels = PhaseLabels("cluster_ising", ("cluster phase", "ferromagnet", "paramagnet"), {})
    assert (labels(**drawn.inputs) == drawn.targets.argmax(axis=1)).all()


def test_samples_are_read_as_they_were_written(tmp_path):
    (tmp_path / "a.csv").write_text("g_x, g_zz,target_0,target_1\n1,0.5,1,0\n2,0.25,0,1\n")
    read = Samples.read(tmp_path / "a.csv")
    assert list(read.inputs) == ["g_x", "g_zz"]
    assert read.inputs["g_zz"].tolist() == [0.5, 0.25]
    assert read.targets.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("g_x,target_0\n1,1\nnan,0\n", "line 3: g_x is 'nan'"),
        ("g_x,target_0\n1,1\n2\n", "line 3: has 1 values for 2 columns"),
        ("g_x,target_0\n1,one\n", "line 2: target_0 is 'one'"),
        ("g_x,target_1\n1,1\n", "columns target_0, target_1"),
        ("g_x,g_x,target_0\n1,1,1\n", "occurs twice"),
        ("g_x,target_0\n", "has no samples"),
    ],
)
def test_table_that_is_wrong_is_refused_with_its_row(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        Samples.read(tmp_path / "a.csv")


def test_every_sample_comes_once_in_an_epoch():
    samples = Samples({"g_x": np.arange(7.0)}, np.ones((7, 1)))
    H = qt.models.transverse_field_ising(4)
    seen = []
    settings = {"outputs": [X(1)], "train": ["J"], "theta": {"J": 1.0}, "test": None, "batch": 3, "steps": 6}

    def spied(work, arguments):
        seen.extend(a.theta["h"] for a in arguments)
        return map(work, arguments)

    from qep_tn.tasks import train as task

    original = task.in_order
    task.in_order = lambda function, arguments, **_: spied(function, arguments)
    try:
        trained(H=H, samples=Samples({"h": samples.inputs["g_x"] + 1}, samples.targets), **settings)
    finally:
        task.in_order = original
    assert sorted(seen[:7]) == sorted(seen[7:14]) == [1, 2, 3, 4, 5, 6, 7]
    assert seen[:7] != seen[7:14]


# --- gradients


@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
def test_gradient_of_a_batch_is_the_mean_of_exact_differences(loss):
    """By central differences of the batch's loss, samples and penalty drawn as the training draws them."""
    H, outputs = sensor()
    theta, batch = start(H, np.random.default_rng(1)), 3
    penalty = qt.SoftBound("coupling", 0.1, 0.02)
    row = trained(steps=0, test=None, loss=loss, penalty=penalty, rtol=1e-6).history.isel(step=0)
    samples = TRIANGLE(np.random.default_rng([0, 0, 0]), batch)

    def value(couplings):
        total = 0.02 * np.maximum(np.abs(couplings["coupling"]) - 0.1, 0).sum()
        for n in range(batch):
            state = EXACT.ground_state(H, {**couplings, **samples.theta(n)})
            p, t = state.expectation(outputs), samples.targets[n]
            total += (((p - t) ** 2).sum() if loss == "squared" else -(t * np.log(p)).sum()) / batch
        return total

    assert float(row["loss"]) == pytest.approx(value(theta), rel=1e-7)
    step = 1e-4
    for name, entry in (("sensor", 1), ("sensor", 9), ("coupling", 0), ("coupling", 20)):
        moved = [{**theta, name: theta[name] + s * step * np.eye(len(theta[name]))[entry]} for s in (1, -1)]
        slope = (value(moved[0]) - value(moved[1])) / (2 * step)
        assert float(row[f"gradient_{name}"][entry]) == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_warm_gradients_of_a_chain_are_those_of_exact_diagonalization():
    """NumbaDMRG from a kept state beside exact diagonalization, at rtol."""
    H, outputs = sensor(8)
    rng = np.random.default_rng(4)
    theta = {"sensor": rng.normal(size=15), "coupling": 0.3 * rng.normal(size=36)}
    samples = TRIANGLE(rng, 4)
    settings = {"outputs": tuple(outputs), "loss": "squared", "rtol": 1e-2, "scheme": "symmetric"}
    trained_mask, free = H.belonging_to("sensor", "coupling"), None
    for n in range(4):
        found = []
        for solver in (qt.NumbaDMRG(), EXACT):
            problem = Problem(H, {**theta, **samples.theta(0)}, trained_mask, solver=solver, **settings)
            at = {**theta, **samples.theta(n)}
            warm = free if solver is not EXACT else None
            g = sample_gradient(SampleWork(Shared(problem), at, samples.targets[n], warm, True, "auto", (0,)))
            assert g.trustworthy, g.message
            found.append(g)
        free = found[0].free
        slope, exact = (np.where(trained_mask, g.slope, 0) for g in found)
        assert np.linalg.norm(slope - exact) <= 1e-2 * np.linalg.norm(exact)
        assert found[0].outputs == pytest.approx(found[1].outputs, abs=1e-2)


def test_warm_start_is_the_state_of_lowest_energy(rng):
    H = qt.models.cluster_ising(5)
    points = [{"g_x": a, "g_zz": b, "g_zxz": 0.3} for a, b in ((2.0, 0.2), (0.2, 2.0), (0.3, 0.4))]
    states = [EXACT.ground_state(H, theta) for theta in points]
    warm = WarmStarts(3)
    assert warm.nearest(H.coefficients(points[0])) is None
    warm.add(states, [s.state.product_expectations(H.products) for s in states])
    for theta in ({"g_x": 1.8, "g_zz": 0.3, "g_zxz": 0.2}, {"g_x": 0.3, "g_zz": 1.5, "g_zxz": 0.1}):
        energies = [float((s.expectation([H.operator(theta)]))[0]) for s in states]
        assert warm.nearest(H.coefficients(theta)) == int(np.argmin(energies))
    warm.add(states[:1], [warm.values[0]])
    assert len(warm.states) == 3
    warm.drop({0})
    assert [s.energy for s in warm.states] == [states[2].energy, states[0].energy]


def test_start_on_a_wrong_branch_is_found_out_and_dropped():
    """A start across a first-order transition: a product state whose field has turned; sweeps stay on its branch."""
    H = qt.Hamiltonian(
        qt.qubits(8), {"h": -sum(Z(j) for j in range(8)), "g": -sum(X(j) for j in range(8))},
        fixed=-2.0 * sum(Z(j) * Z(j + 1) for j in range(7)),
    )  # fmt: skip
    solver = qt.NumbaDMRG()
    wrong = solver.ground_state(H, {"h": 0.2, "g": 0.3})
    problem = Problem(
        H, {"h": 1.0, "g": 0.3}, H.belonging_to("g"), (Z(3),), "squared", solver, 1e-2, "symmetric"
    )  # fmt: skip
    work = SampleWork(Shared(problem), {"h": -0.2, "g": 0.3}, np.array([1.0]), wrong, True, "auto", (0,))
    found = sample_gradient(work)
    right = EXACT.ground_state(H, {"h": -0.2, "g": 0.3})
    assert found.lower
    assert found.free.energy == pytest.approx(right.energy, abs=1e-6)


def pinned_ferromagnet(L):
    """Inputs J and h, symmetric; a field on one site, which is trained, decides which way the magnet points."""
    bonds, fields = -sum(Z(j) * Z(j + 1) for j in range(L - 1)), -sum(X(j) for j in range(L))
    return qt.Hamiltonian(qt.qubits(L), {"J": bonds, "h": fields, "z": [-Z(3)]})


def test_magnet_that_points_the_wrong_way_is_turned_as_a_whole():
    H, outputs = pinned_ferromagnet(24), (Z(3), Z(12))
    theta = {"J": 1.0, "h": 0.3, "z": np.array([0.5])}
    problem = Problem(H, theta, H.belonging_to("z"), outputs, "squared", qt.NumbaDMRG(), 1e-2, "symmetric")
    up = problem.solver.ground_state(H, theta)
    assert up.expectation(Z(12)) > 0.9
    turned = {**theta, "z": np.array([-0.4])}
    work = SampleWork(Shared(problem), turned, np.array([0.0, 0.0]), up, False, "auto", (0,))
    found = sample_gradient(work)
    assert found.outputs[1] < -0.9
    assert found.free.energy == pytest.approx(problem.solver.ground_state(H, turned).energy, abs=1e-5)


def test_half_turns_are_symmetries_of_what_is_not_trained():
    H = phase_sensor(qt.models.cluster_ising(6))
    trained = H.belonging_to("sensor", "coupling")
    (turn,) = half_turns(H, trained)
    rng = np.random.default_rng(0)
    vector = rng.normal(size=2**8) + 1j * rng.normal(size=2**8)
    state = StateVector(H.sites, vector / np.linalg.norm(vector))
    before, after = (s.product_expectations(H.products) for s in (state, state.turned(turn.turns)))
    assert np.allclose(after, turn.signs * before)
    assert turn.is_broken_by(np.ones(len(H.products)))
    assert not turn.is_broken_by(np.where(turn.signs < 0, 0.01, 1.0))
    field = qt.Hamiltonian(qt.qubits(3), {"h": [-X(j) for j in range(3)], "g": [-Z(0)], "d": [-Z(2)]})
    assert not half_turns(field, np.zeros(5, bool))


# --- whole trainings


def test_training_learns_two_phases():
    """A sensor qubit beside a transverse-field Ising chain, trained until it tells paramagnet from ferromagnet."""
    H = phase_sensor(qt.models.transverse_field_ising(4, periodic=True), sensors=1, near=(0,))
    (A,) = sensor_sites(4, 1, (0,))
    rng = np.random.default_rng(0)

    def draw(rng, count):
        h = rng.uniform(0.1, 2.0, count)
        return Samples.labelled({"h": h, "J": np.ones(count)}, (h > 1).astype(int), 2)

    outputs = [0.5 * (1 + Z(A)), 0.5 * (1 - Z(A))]
    theta = {"sensor": np.array([0.3, 0.1, 0.2]), "coupling": 0.3 * rng.normal(size=9)}
    result = qt.train(
        H, theta, draw, outputs=outputs, solver=EXACT, steps=120, rate=0.1, batch=8, test=draw(rng, 40), test_every=60,
        processes=1, progress=False,
    )  # fmt: skip
    losses, accuracies = (result.history[n].values[[0, -1]] for n in ("test_loss", "accuracy"))
    assert losses[1] < 0.6 * losses[0]
    assert accuracies[1] >= 0.8
    answers = result.predict({"h": [0.3, 1.8], "J": [1.0, 1.0]}, processes=1)
    assert answers.argmax(axis=1).tolist() == [0, 1]


@pytest.mark.parametrize("solver", [EXACT, qt.NumbaDMRG()], ids=["exact", "numba"])
def test_training_cut_short_ends_where_the_whole_one_does(tmp_path, monkeypatch, solver):
    whole = trained(solver=solver, steps=4)
    monkeypatch.setattr("qep_tn.runs.loop._SAVING", 0)
    from qep_tn.training import loop

    original, calls = loop.Training.advance, []

    def cut(self):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(1)
        return original(self)

    monkeypatch.setattr(loop.Training, "advance", cut)
    run = RunFolder.create(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        trained(run, solver=solver, steps=4)
    run.close()
    monkeypatch.setattr(loop.Training, "advance", original)
    again = RunFolder.create(tmp_path / "run", resume=True)
    resumed = trained(again, solver=solver, steps=4)
    again.close()
    assert alike(resumed.history, whole.history)
    assert all(np.array_equal(resumed.theta[n], whole.theta[n]) for n in ("sensor", "coupling"))


def test_training_does_not_depend_on_workers():
    alone = trained()
    for processes in (2, 3):
        assert alike(trained(processes=processes).history, alone.history)


def test_several_seeds_are_trainings_of_their_own(tmp_path):
    run = RunFolder.create(tmp_path / "run")
    both = trained(run, seeds=2, spread=0.5, steps=1, theta={"sensor": np.zeros(15), "coupling": np.zeros(36)})
    run.close()
    assert dict(both.history.sizes)["seed"] == 2
    second = trained(seed=1, spread=0.5, steps=1, theta={"sensor": np.zeros(15), "coupling": np.zeros(36)})
    recorded = both.history.isel(seed=1)
    for name in ("sensor", "loss", "accuracy", "gradient_coupling"):
        assert np.array_equal(recorded[name].values, second.history[name].values, equal_nan=True)
    losses = both.history["test_loss"].values[:, -1]
    assert both.best == int(np.argmin(losses))


def test_patience_ends_a_training_that_gets_no_better():
    result = trained(rate=1e-12, steps=20, test_every=1, patience=2)
    assert result.ending.name == "NO_BETTER"
    assert result.history.sizes["step"] < 20
    assert result.converged


def test_hard_bounds_hold():
    theta = {"sensor": np.full(15, 0.3), "coupling": np.full(36, 0.2)}
    result = trained(theta=theta, rate=0.5, steps=3, bounds={"coupling": (-0.4, 0.4)})
    assert np.abs(result.history["coupling"].values).max() == pytest.approx(0.4)


def test_rate_follows_its_schedule():
    history = trained(rate=qt.Decay(0.1, 0.001, 2), steps=3, test=None).history
    assert history["rate"].values == pytest.approx([0.1, 0.01, 0.001, 0.001])


def test_measured_training_is_repeatable():
    settings = {"shots": qt.Shots(10, "gaussian"), "beta": 0.4, "steps": 2}
    first, second = trained(**settings), trained(processes=2, **settings)
    assert alike(first.history, second.history)
    assert not np.allclose(first.history["gradient_sensor"], trained(beta=0.4, steps=2).history["gradient_sensor"])


def test_finished_training_goes_on(tmp_path):
    run = RunFolder.create(tmp_path / "run")
    trained(run, steps=2)
    run.close()
    again = RunFolder.create(tmp_path / "run", resume=True)
    longer = trained(again, steps=4).history
    again.close()
    whole = trained(steps=4).history
    assert np.array_equal(longer["sensor"], whole["sensor"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": Samples({n: [1.0] for n in NAMES}, [[1.0, 0.0]])}, "2 targets for 3 outputs"),
        ({"samples": Samples({n: [1.0] for n in NAMES}, [[0.6, 0.0, 0.0]]), "loss": "cross-entropy"}, "sum to one"),
        ({"samples": Samples({"sensor": np.ones((1, 15))}, [[1.0, 0.0, 0.0]]), "train": ["sensor"]}, "is an input"),
        ({"samples": Samples({"nought": [1.0]}, [[1.0, 0.0, 0.0]])}, "input 'nought'"),
        ({"outputs": [1j * Z(0), Z(1), Z(2)]}, r"outputs\[0\]: .* is not Hermitian"),
        ({"outputs": [Z(0), 3, Z(2)]}, r"outputs\[1\] is 3"),
        ({"bounds": {"coupling": (5.0, 6.0)}}, "theta violates coupling"),
        ({"optimizer": "l-bfgs-b"}, "optimizer is 'l-bfgs-b'"),
        ({"penalty": qt.SoftBound("couplings", 0.1, 0.1)}, "penalty has 'couplings'"),
        ({"batch": 0}, "batch is 0"),
        ({"checked": 1.5}, "checked is 1.5"),
        ({"clip": 0.0}, "clip is 0.0"),
        ({"loss": "hinge"}, "loss is 'hinge'"),
        ({"train": ["sensors"]}, "train has 'sensors'"),
    ],
)
def test_input_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        trained(**settings)


def test_scores():
    outputs = np.array([[0.7, 0.3], [0.4, 0.6], [0.8, 0.2]])
    targets = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert confusion(outputs, targets).tolist() == [[1, 1], [1, 0]]


CONFIG = """
[model]
name = "cluster_ising"
L = 4
periodic = true
[sensor]
near = [0, 1]
[data]
draw = "simplex"
inputs = ["g_x", "g_zz", "g_zxz"]
total = 4.0
signs = [1.0, 1.0, -1.0]
classes = ["cluster phase", "ferromagnet", "paramagnet"]
test = 6
[train]
steps = 2
batch = 2
"""


class Said(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def command(tmp_path, *options, config=CONFIG):
    file = tmp_path / "sensor.toml"
    file.write_text(config)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["train", str(file), "--out", str(tmp_path / "run"), *options])
    return Said(status, out.getvalue(), err.getvalue())


def test_command_trains_plots_and_goes_on(tmp_path):
    done = command(tmp_path, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "2 steps made; test: loss" in done.stdout
    drawn = {file.name for file in (tmp_path / "run" / "figures").glob("*.png")}
    assert drawn == {"answers.png", "confusion.png", "couplings.png", "disturbance.png", "learning.png"}
    longer = command(tmp_path, "--resume", "--set", "train.steps=3", "--workers", "1")
    assert longer.returncode == 0, longer.stderr
    assert "3 steps made" in longer.stdout


def test_command_begins_with_what_a_shorter_chain_was_taught(tmp_path):
    """Of two seeds the better one; refused where the sensor is another."""
    two = command(tmp_path, "--set", "train.seeds=2", "--workers", "1")
    assert two.returncode == 0, two.stderr
    taught = load(tmp_path / "run")
    config = CONFIG.replace("L = 4", "L = 6").replace("[train]", f'[train]\nbegin_with = "{tmp_path / "run"}"')
    (tmp_path / "longer").mkdir()
    done = command(tmp_path / "longer", "--workers", "1", config=config)
    assert done.returncode == 0, done.stderr
    history = load(tmp_path / "longer" / "run")
    best = taught.isel(seed=int(taught.attrs["best_seed"]))
    for name in ("sensor", "coupling"):
        assert np.array_equal(history[name].values[0], best[name].values[-1])
    (tmp_path / "other").mkdir()
    failed = command(tmp_path / "other", config=config.replace("near = [0, 1]", "near = [0, 1]\ncouplings = 'Z'"))
    assert failed.returncode == 2
    assert "[train] begin_with: coupling of" in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1
    (tmp_path / "run" / "summary.json").unlink()
    (tmp_path / "early").mkdir()
    failed = command(tmp_path / "early", config=config)
    assert "has not ended" in failed.stderr
    assert not (tmp_path / "early" / "run").exists()
    longer = command(tmp_path / "longer", "--resume", "--set", "train.steps=3", "--workers", "1", config=config)
    assert longer.returncode == 0, longer.stderr


def test_sensor_of_a_seed_that_ended_early_is_its_last_one(tmp_path):
    from qep_tn.commands.train import _end_of

    H = qt.Hamiltonian(qt.qubits(2), {"g": [X(0), X(1)]})
    loss = np.array([[1.0, 0.5, np.nan], [1.0, 0.9, 0.8]])
    g = np.arange(12.0).reshape(2, 3, 2)
    run = RunFolder.create(tmp_path / "run")
    run.save(
        xr.Dataset(
            {"loss": (("seed", "step"), loss), "g": (("seed", "step", "coupling"), g)},
            attrs={"task": "train", "trained": ["g"], "operators_g": ["X(4)", "X(5)"]},
        ), [], {"step": 3},
    )  # fmt: skip
    run.write_summary({"task": "train", "best_seed": 0})
    run.close()
    assert _end_of(str(tmp_path / "run"), H)["g"].values.tolist() == [2.0, 3.0]
    with pytest.raises(ValueError, match=r"g of .* has other operators"):
        _end_of(str(tmp_path / "run"), qt.Hamiltonian(qt.qubits(2), {"g": [X(0), Z(1)]}))


@pytest.mark.parametrize("solver", [qt.FreeFermion(), qt.NumbaDMRG()], ids=["free_fermion", "numba"])
def test_solvers_that_know_no_images_of_their_states_train_too(solver):
    bonds, fields = -sum(Z(j) * Z(j + 1) for j in range(4)), -sum(X(j) for j in range(5))
    H = qt.Hamiltonian(qt.qubits(6), {"h": fields, "J": bonds, "s": [-X(5)], "c": [-Z(4) * Z(5)]})
    theta = {"h": 1.0, "J": 1.0, "s": np.array([0.7]), "c": np.array([0.9])}
    result = qt.train(
        H, theta, Samples({"h": [0.8, 1.3]}, [[0.3], [0.1]]), outputs=[Z(4) * Z(5)], train=["s", "c"], steps=2, batch=2,
        solver=solver, processes=1, progress=False,
    )  # fmt: skip
    assert result.converged
    assert np.isfinite(result.history["loss"]).all()


def test_clipped_gradients_count_for_no_more_than_the_bound():
    free, clipped = (trained(steps=1, clip=c, optimizer="plain").history for c in (None, 1e-3))
    assert not free["clipped"].any()
    assert clipped["clipped"].values.tolist() == [3, 3]
    assert clipped["gradient_norm"].max() <= 1e-3 * (1 + 1e-12)
    assert free["gradient_norm"].min() > 1e-2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('draw = "simplex"', 'draw = "circle"', "[data] draw: 'circle' names no function"),
        ('"ferromagnet", ', "", "[data] classes: there are points in the ferromagnet"),
        ("near = [0, 1]", "near = [0, 7]", "[sensor] phase_sensor: near has site 7"),
        ("near = [0, 1]", "couplings = ['Z(0) * Z(7)']", "[sensor] phase_sensor: couplings[0]: site 7 is out of range"),
        ("near = [0, 1]", "couplings = ['Z(0) * ']", "[sensor] 'Z(0) *', position 1"),
        ("near = [0, 1]", "couplings = []", "[sensor] couplings: must be some of the letters"),
        ('inputs = ["g_x", "g_zz", "g_zxz"]', 'inputs = ["g_x"]', "[data] inputs: missing"),
        ("batch = 2", 'outputs = ["Z(C)"]', "[train] outputs"),
        ("near = [0, 1]", "sensors = 25", "[sensor] sensors: must be a number of sensor qubits, 1 to 22"),
        ("batch = 2", "batch = 0", "[train] batch: must be a number of samples"),
    ],
)
def test_command_says_in_one_line_what_is_wrong(tmp_path, old, new, message):
    failed = command(tmp_path, config=CONFIG.replace(old, new))
    assert failed.returncode == 2
    assert message in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1


# --- what a hostile reader found


@pytest.mark.parametrize("scheme", ["symmetric", "one-sided"])
@pytest.mark.parametrize("pinning", [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize("observable", [X(3), Z(3), Z(3) * Z(5)], ids=str)
def test_error_of_one_level_is_honest_where_responses_are_weak_and_gaps_small(scheme, pinning, observable):
    """Exact states with a tolerance, in a ferromagnet that is pinned weakly, beside linear response."""
    parameters = {
        "h": [-X(j) for j in range(8)], "J": [-Z(j) * Z(j + 1) for j in range(7)], "z": [-Z(j) for j in range(8)]
    }  # fmt: skip
    H = qt.Hamiltonian(qt.qubits(8), parameters)
    theta = {"h": np.full(8, 0.3), "J": np.ones(7), "z": np.full(8, pinning)}
    exact, cheap = (
        qt.gradient(H, theta, qt.Expectation(observable), solver=EXACT, rtol=1e-2, scheme=s, error=e)
        for s, e in (("linear-response", "full"), (scheme, "cheap"))
    )
    difference = H.flatten(cheap.gradient) - H.flatten(exact.gradient)
    claimed = np.linalg.norm(H.flatten(cheap.error))
    norm = np.linalg.norm(H.flatten(exact.gradient))
    assert np.linalg.norm(difference) <= 1.5 * claimed + 1e-5 * norm
    assert claimed <= 0.1 * norm or pinning < 1e-3


@pytest.mark.parametrize("how", [{"error": "cheap"}, {"shots": qt.Shots(10**6, "gaussian")}], ids=["cheap", "shots"])
def test_given_nudge_that_moves_another_branch_below_finds_it_with_matrix_product_states_too(how):
    H = qt.Hamiltonian(
        qt.qubits(10), {"h": -sum(X(j) for j in range(10)), "z": -sum(Z(j) for j in range(10))},
        fixed=-sum(Z(j) * Z(j + 1) for j in range(9)),
    )  # fmt: skip
    found = [
        qt.gradient(H, {"h": 0.3, "z": 0.01}, qt.Expectation(Z(3) + Z(4)), solver=solver, beta=0.05, rtol=1e-2, **how)
        for solver in (EXACT, qt.NumbaDMRG())
    ]
    assert found[1].gradient["z"] == pytest.approx(found[0].gradient["z"], rel=0.05)
    assert abs(found[0].gradient["z"]) > 10


def test_no_ground_state_is_kept_if_none_is_asked_for():
    warm = WarmStarts(0)
    warm.add([1, 2], [np.zeros(1)] * 2)
    assert not warm.states
    assert trained(kept=0).history["warm"].values.tolist() == [0, 0, 0, 0]


def test_one_output_has_no_largest_one():
    H, _ = sensor()
    history = trained(outputs=[Z(1)], samples=Samples({n: [1.0, 2.0] for n in NAMES}, [[0.3], [-0.2]]), test=None,
                      H=H).history  # fmt: skip
    assert np.isnan(history["batch_accuracy"].values).all()


def test_coordinates_of_a_netcdf_file_are_inputs_too(tmp_path):
    import xarray as xr

    data = xr.Dataset({"g_zz": ("g_x", [0.5, 0.6]), "target_0": ("g_x", [1.0, 0.0])}, coords={"g_x": [1.0, 2.0]})
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    assert set(Samples.read(tmp_path / "a.nc").inputs) == {"g_x", "g_zz"}


@pytest.mark.parametrize("cut", [1, 3, 4, 5])
def test_training_that_is_extended_is_the_longer_one(tmp_path, cut):
    """Also where it ended with a test out of turn, and where tests end it."""
    settings = {"test_every": 2, "patience": 2, "rate": 1e-9}
    run = RunFolder.create(tmp_path / "run")
    trained(run, steps=cut, **settings)
    run.close()
    again = RunFolder.create(tmp_path / "run", resume=True)
    longer = trained(again, steps=7, **settings)
    again.close()
    whole = trained(steps=7, **settings)
    assert alike(longer.history, whole.history)
    assert longer.message == whole.message


def test_batch_without_a_gradient_that_counts_moves_nothing():
    """Among others a sample whose ground state is degenerate."""
    H, _ = sensor()
    samples = Samples({"g_x": [0.0, 1.0, 1.2], "g_zz": [0.0, 0.5, 0.3], "g_zxz": [0.0, -0.3, -0.4]}, np.eye(3))
    theta = {"sensor": np.zeros(15), "coupling": np.zeros(36)}
    theta["sensor"][:6] = 0.5
    history = trained(H=H, theta=theta, samples=samples, batch=1, steps=5, test=None).history
    empty = np.flatnonzero(history["left_out"].values)
    assert empty.size
    for step in empty[empty < 5]:
        assert np.array_equal(history["sensor"].values[step + 1], history["sensor"].values[step])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda rng, n: ({}, np.ones((n, 3))), "gave a tuple"),
        (lambda rng, n: TRIANGLE(rng, n + 1), "gave 4, and 3 were asked for"),
        (lambda rng: TRIANGLE(rng, 3), "failed: TypeError"),
        (None, "samples is a NoneType"),
    ],
)
def test_function_that_draws_something_else_is_refused(source, message):
    with pytest.raises(ValueError, match=message):
        trained(samples=source)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"outputs": [Z(20)]}, "site 20 is out of range"),
        ({"outputs": []}, "outputs is empty"),
        ({"outputs": ["Z(0)"]}, r"outputs\[0\] is 'Z\(0\)'"),
        ({"rtol": -3}, "rtol = -3"),
    ],
)
def test_answers_that_cannot_be_given_are_refused(settings, message):
    H, outputs = sensor()
    theta = {"sensor": np.zeros(15), "coupling": np.zeros(36)}
    inputs = {name: [1.0] for name in NAMES}
    with pytest.raises(ValueError, match=message):
        qt.answers(H, theta, inputs, **{"outputs": outputs, "processes": 1} | settings)


def test_refused_run_of_several_seeds_leaves_its_folder_to_the_mended_one(tmp_path):
    refused = command(tmp_path, "--set", "train.seeds=2", "--solver", "free-fermion", "--workers", "1")
    assert refused.returncode == 2
    assert not (tmp_path / "run").exists()
