"""Devices: gradients and tasks that see nothing but what was measured, beside the Hamiltonian that is hidden."""

import re
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import X, Y, Z
from qep_tn.runs.folder import RunFolder

L = 6
EXACT = qt.ExactDiagonalization()
H = qt.Hamiltonian(
    qt.qubits(L), {"g_x": [-X(j) for j in range(L)], "g_zz": -sum(Z(j) * Z(j + 1) for j in range(L - 1))}
)
THETA = {"g_x": np.full(L, 1.2), "g_zz": 0.6}
HIDDEN = qt.Hidden.disorder(H, 0.1, seed=1)
LOSS = qt.MeanSquaredError([X(2) * X(4), Z(1) * Z(2)], [0.2, 0.7])


def simulated(seed=0, hidden=HIDDEN, **settings):
    return qt.SimulatedDevice(H, hidden, solver=EXACT, **{"shots": 400, "seed": seed, **settings})


def true_gradient(device, theta=THETA, loss=LOSS):
    return H.flatten(qt.gradient(*device.truth(theta), loss, solver=EXACT).gradient)


def kron(*names):
    """A product of Pauli matrices, one for each site."""
    pauli = {"1": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}
    matrix = np.eye(1)
    for name in names:
        matrix = np.kron(matrix, pauli[name])
    return matrix


def test_what_is_measured_belongs_to_the_hidden_hamiltonian_and_its_nudge():
    """Two qubits: scales, offsets and what nobody knows of, written as Kronecker products."""
    H2 = qt.Hamiltonian(qt.qubits(2), {"g": [-X(0), -X(1)], "j": -Z(0) * Z(1)})
    hidden = qt.Hidden(scale={"g": [1.1, 0.9]}, offset={"j": 0.2}, extra=0.3 * Y(0) * Y(1))
    device = qt.SimulatedDevice(H2, hidden, solver=EXACT, seed=2)
    matrix = (
        -1.1 * 0.8 * kron("X", "1") - 0.9 * 0.7 * kron("1", "X") - (0.5 + 0.2) * kron("Z", "Z")
        + 0.3 * kron("Y", "Y") + 0.4 * kron("Z", "1") - 0.1 * kron("Z", "Z")
    )  # fmt: skip
    ground = np.linalg.eigh(matrix)[1][:, 0]
    observables = [X(0), X(0) * X(1), Z(0), 2 * Z(0) * Z(1) + X(1)]
    matrices = [kron("X", "1"), kron("X", "X"), kron("Z", "1"), 2 * kron("Z", "Z") + kron("1", "X")]
    exact = np.array([(ground.conj() @ m @ ground).real for m in matrices])
    nudge = 0.4 * Z(0) - 0.1 * Z(0) * Z(1)
    values, errors = device.measure({"g": [0.8, 0.7], "j": 0.5}, nudge, observables, 100_000)
    assert (errors < 0.01).all()
    assert (np.abs(values - exact) < 4 * errors).all()


def test_an_operator_is_there_besides_and_a_mapping_has_offsets():
    extra, offsets = simulated(hidden=0.1 * Y(0) * Y(1)), simulated(hidden={"g_zz": 0.2})
    assert extra.truth(THETA)[0].fixed == 0.1 * Y(0) * Y(1)
    assert offsets.truth(THETA)[1]["g_zz"] == pytest.approx(0.8)


def test_readout_errors_shrink_what_is_measured():
    """P(flip) = 0.1 on every qubit takes 0.8 of <X> and 0.64 of <XX>."""
    plain, faulty = simulated(), simulated(readout=[[0.9, 0.1], [0.1, 0.9]])
    operators = [X(2), X(2) * X(3)]
    exact, _ = plain.measure(THETA, qt.Operator({}), operators, 200_000)
    read, _ = faulty.measure(THETA, qt.Operator({}), operators, 200_000)
    assert read / exact == pytest.approx([0.8, 0.64], abs=0.01)


def test_controls_drift_as_a_random_walk():
    device = simulated(drift=0.01)
    steps = []
    for _ in range(400):
        before = device.truth(THETA)[1]["g_zz"]
        device.measured += 1
        steps.append(device.truth(THETA)[1]["g_zz"] - before)
    assert np.std(steps) == pytest.approx(0.01, rel=0.15)
    gone = device.truth(THETA)[1]["g_x"]
    device.measured = 0
    assert device.truth(THETA)[1]["g_zz"] == pytest.approx(H.flatten(THETA)[-1])
    device.measured = 400
    np.testing.assert_array_equal(device.truth(THETA)[1]["g_x"], gone)


@pytest.mark.parametrize("scheme", ["symmetric", "one-sided"])
@pytest.mark.parametrize("beta", ["auto", 0.05])
def test_bars_hold_the_hidden_gradient(scheme, beta):
    """At least 95 of 100: a bias that is measured makes bars wider. With a nudge of 0.05 there is hardly any."""
    exact = true_gradient(simulated())
    inside = []
    for seed in range(25):
        g = qt.gradient(simulated(seed), THETA, LOSS, scheme=scheme, beta=beta)
        assert g.trustworthy
        inside.append(np.abs(H.flatten(g.gradient) - exact) <= H.flatten(g.error))
    assert np.mean(inside) >= 0.93  # 175 components, not independent
    assert (g.shots.bias is None) == (beta != "auto")


def test_more_shots_lower_the_nudge_and_the_error():
    few, many = (qt.gradient(simulated(shots=shots), THETA, LOSS) for shots in (200, 200_000))
    assert many.beta < few.beta
    assert many.relative_error < few.relative_error / 3
    assert np.linalg.norm(H.flatten(many.gradient) - true_gradient(simulated())) < np.linalg.norm(H.flatten(many.error))


def test_free_and_nudged_phases_hold_what_was_measured_and_no_more():
    g = qt.gradient(simulated(), THETA, LOSS, beta=0.2)
    measured = g.free.expectation(LOSS.observables)
    assert g.value == pytest.approx(LOSS.value(measured))
    plus, minus = (H.flatten(THETA) * 0 + state.expectation(H.couplings) for state in g.nudged)
    np.testing.assert_allclose((plus - minus) / (2 * g.beta), H.flatten(g.gradient))
    assert np.isnan(g.free.energy)
    with pytest.raises(ValueError, match="was not measured"):
        g.free.expectation(Y(0))
    assert "not looked at: energy variance, residual, overlap" in str(g.certificate)


class Precise:
    """A device without shot noise: exact values, and errors of zero."""

    sites, parameters = H.sites, dict(H.parameters)

    def measure(self, theta, nudge, observables, shots):
        if nudge.terms:
            state = EXACT.ground_state(H.with_parameter("nudge", [nudge]), {**theta, "nudge": [1.0]})
        else:
            state = EXACT.ground_state(H, theta)
        return state.expectation(observables), np.zeros(len(observables))


def test_a_device_without_noise_is_trusted():
    g = qt.gradient(Precise(), THETA, LOSS, shots=100)
    exact = H.flatten(qt.gradient(H, THETA, LOSS, solver=EXACT).gradient)
    assert np.linalg.norm(H.flatten(g.gradient) - exact) < 1e-2 * np.linalg.norm(exact)
    assert g.trustworthy


@pytest.mark.parametrize("scheme", ["symmetric", "one-sided"])
def test_the_bias_that_is_claimed_is_that_of_the_nudge(scheme):
    """Without noise, as far as the next order of the nudge allows."""
    exact = H.flatten(qt.gradient(H, THETA, LOSS, solver=EXACT).gradient)
    g = qt.gradient(Precise(), THETA, LOSS, shots=100, scheme=scheme)
    off = np.linalg.norm(H.flatten(g.gradient) - exact)
    assert np.linalg.norm(H.flatten(g.shots.bias)) == pytest.approx(off, rel=0.1)


def test_a_degenerate_ground_state_is_not_trusted():
    """Without a field both magnetizations have one energy: the answer jumps with the sign of any nudge."""
    pair = qt.Hamiltonian(qt.qubits(2), {"j": -Z(0) * Z(1), "h": -Z(0)})
    g = qt.gradient(qt.SimulatedDevice(pair, solver=EXACT), {"j": 1.0, "h": 0.0}, qt.Expectation(Z(0)))
    assert not g.trustworthy
    assert "degenerate" in g.message


class Lab:
    """All that a device needs; its shots are given with every call."""

    def __init__(self):
        self.inside = simulated()
        self.sites, self.parameters = H.sites, dict(H.parameters)
        self.calls = []

    def measure(self, theta, nudge, observables, shots):
        self.calls.append((theta, nudge, shots))
        return self.inside.measure(theta, nudge, observables, shots)


def labelled(**members):
    """A lab that says something else of itself."""
    lab = Lab()
    for name, value in members.items():
        setattr(lab, name, value)
    return lab


def test_any_object_with_three_members_is_a_device():
    lab = Lab()
    assert isinstance(lab, qt.Device)
    g = qt.gradient(lab, THETA, qt.Expectation(X(2)), shots=300, beta=0.25)
    assert [shots for _, _, shots in lab.calls] == [300] * 3
    assert [nudge for _, nudge, _ in lab.calls] == [qt.Operator({}), 0.25 * X(2), -0.25 * X(2)]
    assert g.gradient["g_x"].shape == (L,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: qt.gradient(Lab(), THETA, LOSS), "nobody says how many shots"),
        (lambda: qt.gradient(simulated(), THETA, LOSS, solver=EXACT), "leave solver out"),
        (lambda: qt.gradient(simulated(), THETA, LOSS, shots=1), "at least 2"),
        (lambda: qt.gradient(simulated(), THETA, LOSS, certify="full"), "does not show"),
        (lambda: qt.gradient(simulated(), THETA, LOSS, scheme="linear-response"), "linear-response"),
        (lambda: qt.gradient(simulated(), {"g_x": 1.0, "g_zz": 1.0}, LOSS), "has shape"),
        (lambda: qt.gradient("device", THETA, LOSS), "give a Hamiltonian, or a device"),
        (lambda: qt.gradients([(simulated(), THETA, LOSS)]), "takes no device"),
        (lambda: qt.response_matrix(simulated(), THETA), "takes no device"),
        (lambda: qt.explore_phases(simulated(), THETA, LOSS, processes=2), "by one process"),
        (lambda: simulated(hidden=qt.Hidden(scale={"g_x": [1.0, 2.0]})), "give one number, or shape"),
        (lambda: simulated(hidden=qt.Hidden(offset={"h": 1.0})), "the parameters are g_x, g_zz"),
        (lambda: simulated(hidden=3), "give qt.Hidden"),
        (lambda: simulated(drift=-1.0), "must not be negative"),
        (lambda: simulated(seed=None), "seed is None; it must be a whole number"),
        (lambda: qt.gradient(Lab, THETA, LOSS, shots=300), "H is the class Lab; give"),
        (lambda: qt.gradient(labelled(parameters=[X(0)]), THETA, LOSS, shots=300), "a dictionary of operators by name"),
        (lambda: qt.gradient(labelled(sites=4), THETA, LOSS, shots=300), "sites must be as those of a Hamiltonian"),
        (lambda: simulated(readout=[[1.0, 0.1], [0.1, 0.9]]), "add up to 1"),
    ],
)  # fmt: skip
def test_what_a_device_cannot_do_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "answer",
    [
        (np.zeros(3), np.zeros(2)),
        (np.zeros(2), np.array([0.1, -0.1])),
        5,
        (np.full(2, np.nan), np.ones(2)),
        (np.full(2, 1j), np.ones(2)),
    ],
)
def test_answers_that_are_none_are_refused(answer):
    lab = Lab()
    lab.measure = lambda *asked: answer
    with pytest.raises(ValueError, match=r"Lab\.measure returns"):
        qt.gradient(lab, THETA, LOSS, shots=100)


def explored(device, steps, run=None):
    return qt.explore_phases(
        device, THETA, LOSS, direction="minimize", steps=steps, rate=0.05, beta=0.4, run=run, progress=False
    )


def test_exploring_through_a_device_lowers_the_hidden_loss():
    device = simulated(drift=1e-4)
    walk = explored(device, 12)
    assert walk.converged, walk.message
    first, last = (
        qt.gradient(*device.truth({n: walk.history[n].values[k] for n in THETA}), LOSS, solver=EXACT).value
        for k in (0, -1)
    )
    assert last < 0.5 * first


def test_a_walk_through_a_device_resumes_to_the_last_bit(tmp_path):
    whole = explored(simulated(drift=1e-4), 6)
    with closing(RunFolder.create(tmp_path / "run")) as run:
        explored(simulated(drift=1e-4), 3, run)
    with closing(RunFolder.create(tmp_path / "run", resume=True)) as run:
        rest = explored(simulated(drift=1e-4), 6, run)
    for name in ("loss", "g_x", "g_zz", "gradient_g_x_error"):
        np.testing.assert_array_equal(rest.history[name], whole.history[name])
    with (
        pytest.raises(ValueError, match="other settings"),
        closing(RunFolder.create(tmp_path / "run", resume=True)) as run,
    ):
        explored(simulated(drift=1e-4, seed=7), 6, run)


def test_several_walks_through_one_device():
    walks = qt.explore_phases(simulated(), THETA, LOSS, starts=2, steps=2, beta=0.4, progress=False)
    assert walks.history.sizes["start"] == 2


def test_sensitivity_of_a_device_encloses_the_hidden_steepest_point():
    scalar = qt.models.transverse_field_ising(L)
    names = list(scalar.parameters)
    device = qt.SimulatedDevice(scalar, qt.Hidden.disorder(scalar, 0.1, seed=3), solver=EXACT, shots=20_000)
    theta = dict.fromkeys(names, 1.0)
    found = qt.optimize_sensitivity(
        device, theta, X(2) * X(3), scan=names[0], points=(0.4, 1.8), train=[], steps=8, beta=0.2, progress=False
    )
    true, _ = device.truth(theta)
    grid = np.linspace(0.3, 1.9, 81)
    values = [EXACT.ground_state(true, {**theta, names[0]: g}).expectation(X(2) * X(3)) for g in grid]
    steepest = grid[np.abs(np.gradient(values, grid)).argmax()]
    assert abs(found.boundary - steepest) <= max(found.boundary_error, 0.1)


class NoisyFreeFermions:
    """A disordered chain of free fermions with Gaussian noise: fast where it is long."""

    def __init__(self, length, seed):
        self.inside = qt.models.cluster_ising(length)
        self.true = qt.Hidden.disorder(self.inside, 0.1, seed=3).hamiltonian(self.inside)
        self.sites, self.parameters, self.rng = self.inside.sites, self.inside.parameters, np.random.default_rng(seed)

    def expectation(self, theta, operators):
        return qt.FreeFermion().ground_state(self.true, theta).expectation(list(operators))

    def measure(self, theta, nudge, observables, shots):
        errors = np.array([np.sqrt(len(operator.terms) / shots) for operator in observables])
        noise = errors * self.rng.standard_normal(len(errors))
        return self.expectation(theta, observables) + noise, errors


def test_the_boundary_of_a_device_holds_the_hidden_ridge_within_its_bars():
    device, theta = NoisyFreeFermions(48, 0), {"g_x": 1.5, "g_zz": 0.8, "g_zxz": 1.0}
    found = qt.trace_boundary(
        device, theta, ("g_x", "g_zz"), {"g_x": (0.9, 3.0), "g_zz": (0.4, 1.6)}, start={"g_x": 1.8, "g_zz": 0.85},
        step=1 / 6, points=6, shots=4000, progress=False,
    )  # fmt: skip
    rows, inside = found.history.isel(curve=0), []
    for n in range(int(rows["points"])):
        name, other = (("g_x", "g_zz"), ("g_zz", "g_x"))[int(rows["across"].values[n])]
        place, fixed, error, width = (float(rows[k].values[n]) for k in (name, other, f"{name}_error", "width"))
        assert error < 0.5 * width
        line = np.arange(place - width, place + width, 0.02 * width)
        own = [device.expectation({**theta, name: x, other: fixed}, [device.parameters[name]])[0] for x in line]
        inside.append(abs(place - line[np.abs(np.gradient(own, line)).argmax()]) <= error)
    assert len(inside) >= 5
    assert np.mean(inside) >= 0.8


class Mortal(qt.SimulatedDevice):
    """A device that stops answering after a number of measurements."""

    life = np.inf

    def measure(self, *asked):
        if self.measured >= self.life:
            raise InterruptedError
        return super().measure(*asked)


def test_a_trace_on_a_device_that_was_cut_short_ends_where_a_whole_one_does(tmp_path):
    scalar, SHOTS = qt.models.cluster_ising(8), qt.Shots(50_000, "gaussian")

    def traced(folder, life=np.inf, resume=False):
        device = Mortal(scalar, qt.Hidden.disorder(scalar, 0.1, seed=5), solver=EXACT, shots=SHOTS, drift=1e-5)
        device.life = life
        with closing(RunFolder.create(tmp_path / folder, resume=resume)) as run:
            return qt.trace_boundary(
                device, {"g_x": 0.8, "g_zz": 0.8, "g_zxz": 0.0}, ("g_x", "g_zz"),
                {"g_x": (0.2, 2.0), "g_zz": (0.6, 1.2)}, start={"g_x": 0.75, "g_zz": 0.9}, step=1 / 6, points=3,
                sharpness=40.0, run=run, progress=False,
            ), device.measured  # fmt: skip

    whole, measured = traced("whole")
    assert whole.history["points"].sum() >= 2
    with pytest.raises(InterruptedError):
        traced("cut", life=measured // 2)
    rest, _ = traced("cut", resume=True)
    np.testing.assert_array_equal(rest.history["g_x"], whole.history["g_x"])


def test_training_through_a_device_resumes_to_the_last_bit(tmp_path):
    samples = qt.Samples({"g_zz": np.array([0.3, 0.5, 0.9, 1.2])}, np.array([[0.9], [0.8], [0.4], [0.2]]))

    def trained(steps, run=None):
        return qt.train(
            simulated(), {"g_x": np.full(L, 1.0)}, samples, outputs=[X(2) * X(3)], train=["g_x"], steps=steps, batch=2,
            rate=0.05, beta=0.3, test=samples, test_every=2, run=run, progress=False,
        )  # fmt: skip

    whole = trained(4)
    with closing(RunFolder.create(tmp_path / "run")) as run:
        trained(2, run)
    with closing(RunFolder.create(tmp_path / "run", resume=True)) as run:
        rest = trained(4, run)
    np.testing.assert_array_equal(rest.history["g_x"], whole.history["g_x"])
    assert np.isfinite(whole.history["test_loss"].values[-1])
    assert whole.predict({"g_zz": np.array([0.4, 0.6])}).shape == (2, 1)


def test_the_page_of_devices_runs_as_it_stands():
    """Its blocks in order, but that the lab's function comes before the lab that calls it."""
    page = (Path(__file__).parents[1] / "docs" / "devices.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)
    offsets, bars = names["learned"].theta["g_x"], names["learned"].error["g_x"]
    assert names["learned"].converged
    assert np.abs(offsets - 0.1).max() < 3 * bars.max()
    assert names["walk"].history["loss"].values[-1] < names["walk"].history["loss"].values[0]
