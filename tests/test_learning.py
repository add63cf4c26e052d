"""Hamiltonian learning: couplings from expectation values, their bars, and what data do not fix."""

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import X, Y, Z

L = 5
EXACT, GAUSSIAN = qt.ExactDiagonalization(), qt.FreeFermion()
H = qt.Hamiltonian(qt.qubits(L), {"g_x": [-X(j) for j in range(L)], "g_zz": [-Z(j) * Z(j + 1) for j in range(L - 1)]})
THETA = {"g_x": np.full(L, 1.0), "g_zz": np.full(L - 1, 0.8)}
TRUE = {"g_x": np.array([1.1, 0.9, 1.05, 1.2, 0.95]), "g_zz": np.array([0.8, 0.7, 0.9, 0.75])}
OFFSETS = {name: TRUE[name] - THETA[name] for name in THETA}
NOTHING = {name: 0 * value for name, value in THETA.items()}
SETTINGS = [THETA, {**THETA, "g_x": THETA["g_x"] + 0.5}, {**THETA, "g_x": THETA["g_x"] - 0.3}]
# neighbours' correlations beside the couplings' own operators, which say little about a slowly varying energy scale
OPERATORS = [*H.couplings, *(X(j) * X(j + 1) for j in range(L - 1)), *(Y(j) * Y(j + 1) for j in range(L - 1))]


def off(found, true):
    return np.abs(H.flatten(found) - H.flatten(true)).max()


def exact_data(theta, operators=OPERATORS, errors=1e-3):
    values = EXACT.ground_state(H, theta).expectation(operators)
    return qt.Measurements(operators, values, None if errors is None else np.full(len(operators), errors))


@pytest.mark.parametrize("solver", [EXACT, GAUSSIAN])
@pytest.mark.parametrize("errors", [1e-6, None])
def test_exact_data_give_the_couplings_back(solver, errors):
    learned = qt.learn_hamiltonian(H, THETA, exact_data(TRUE, errors=errors), known="g_zz[0]", solver=solver)
    assert learned.converged, learned.message
    assert off(learned.theta, TRUE) < 1e-6
    assert learned.chi_square < 1e-3  # errors of 1e-9 in the values
    assert learned.theta["g_zz"][0] == THETA["g_zz"][0]
    assert learned.error["g_zz"][0] == 0
    assert not learned.unidentified


def test_by_matrix_product_states():
    """Chi-square's slope has the accuracy of a gradient, 1e-4 of what it sums over: so have the couplings, in bars."""
    learned = qt.learn_hamiltonian(
        H, THETA, exact_data(TRUE, errors=1e-2), known="g_zz[0]", solver=qt.NumbaDMRG(), steps=8
    )
    bars = np.concatenate([learned.error[name] for name in THETA])[:-4]
    assert np.abs(learned.theta["g_x"] - TRUE["g_x"]).max() < 0.05 * bars.max()


def test_the_scale_of_energy_is_never_fixed_and_must_be_known():
    data = exact_data(TRUE, errors=1e-6)
    with pytest.raises(ValueError, match="nothing sets the scale of energy"):
        qt.learn_hamiltonian(H, THETA, data)
    by_norm = qt.learn_hamiltonian(H, THETA, data, known="norm")
    vector, true = H.flatten(by_norm.theta), H.flatten(TRUE)
    assert np.linalg.norm(vector) == pytest.approx(np.linalg.norm(H.flatten(THETA)))
    np.testing.assert_allclose(vector / np.linalg.norm(vector), true / np.linalg.norm(true), atol=1e-6)


def test_a_fixed_part_or_known_changes_set_the_scale():
    fixed = qt.Hamiltonian(H.sites, {"g_x": H.parameters["g_x"]}, -0.8 * sum(Z(j) * Z(j + 1) for j in range(L - 1)))
    values = EXACT.ground_state(fixed, {"g_x": TRUE["g_x"]}).expectation(list(fixed.couplings))
    learned = qt.learn_hamiltonian(
        fixed, {"g_x": THETA["g_x"]}, qt.Measurements(fixed.couplings, values, np.full(L, 1e-3))
    )
    np.testing.assert_allclose(learned.theta["g_x"], TRUE["g_x"], atol=1e-6)

    data = []
    for setting in SETTINGS:
        shifted = {name: setting[name] + OFFSETS[name] for name in THETA}
        values = EXACT.ground_state(H, shifted).expectation(list(H.couplings))
        data.append(qt.Measurements(H.couplings, values, np.full(len(values), 1e-3), applied=setting))
    assert off(qt.learn_hamiltonian(H, NOTHING, data).theta, OFFSETS) < 1e-6


def test_directions_that_data_do_not_fix_are_found():
    """Two sites have one ground state for each b / (a + d), whatever is measured, and one of a single site has none."""
    pair = qt.Hamiltonian(qt.qubits(3), {"a": -X(0), "b": -Z(0) * Z(1), "c": -Z(2), "d": -X(1)})
    operators = [*pair.couplings, X(0) * X(1)]
    values = EXACT.ground_state(pair, {"a": 1.0, "b": 0.6, "c": 0.5, "d": 0.8}).expectation(operators)
    data = qt.Measurements(operators, values, np.full(5, 1e-6))
    learned = qt.learn_hamiltonian(pair, {"a": 1.0, "b": 0.5, "c": 0.5, "d": 0.9}, data, known="a")
    assert learned.theta["b"] / (1 + learned.theta["d"]) == pytest.approx(0.6 / 1.8, abs=1e-6)
    assert learned.error == {"a": 0.0, "b": np.inf, "c": np.inf, "d": np.inf}
    loose = np.array([pair.flatten(vector) for vector in learned.unidentified])
    for vector in (np.array([0, 0, 1, 0]), np.array([0, 1 / 3, 0, 1]) / np.hypot(1 / 3, 1)):
        assert np.linalg.norm(loose @ vector) == pytest.approx(1, abs=1e-6)
    assert len(loose) == 2
    assert "do not fix 2 combinations of couplings" in learned.message


def fits(shots, count):
    """Offsets of a device from shots at three settings of its controls: distances from the truth, bars, chi-square."""
    H3 = qt.Hamiltonian(qt.qubits(3), {"g_x": [-X(j) for j in range(3)], "g_zz": [-Z(0) * Z(1), -Z(1) * Z(2)]})
    believed, hidden = {"g_x": np.ones(3), "g_zz": np.full(2, 0.8)}, {"g_x": OFFSETS["g_x"][:3], "g_zz": [0.1, -0.05]}
    settings = [believed, *({**believed, "g_x": believed["g_x"] + change} for change in (0.5, -0.4))]
    true = H3.flatten(hidden)
    found = []
    for seed in range(count):
        device = qt.SimulatedDevice(H3, hidden, solver=EXACT, shots=shots, seed=seed)
        data = [qt.Measurements.on(device, setting, H3.couplings, offsets=True) for setting in settings]
        learned = qt.learn_hamiltonian(H3, hidden, data, solver=GAUSSIAN)
        bars = np.concatenate([learned.error[name] for name in hidden])
        found.append((H3.flatten(learned.theta) - true, bars, learned.chi_square))
    return [np.array(part) for part in zip(*found, strict=True)]


def test_bars_cover_and_errors_fall_with_the_root_of_the_shots():
    few, many = fits(10_000, 10), fits(1_000_000, 10)
    size = [np.sqrt(np.mean(distance**2)) for distance, _, _ in (few, many)]
    assert np.log(size[0] / size[1]) / np.log(100) == pytest.approx(0.5, abs=0.1)  # of 50 distances each
    inside = [np.abs(distance) <= bars for distance, bars, _ in (few, many)]
    assert 0.85 <= np.mean(inside) <= 1  # of 100, not independent of one another
    assert np.mean(many[2]) == pytest.approx(10, abs=4)  # degrees: 15 data, 5 offsets


def test_bars_follow_a_covariance_of_the_data():
    """With data that are all off together, bars are those of linear error propagation."""
    data = exact_data(TRUE)
    covariance = 1e-12 * (0.5 * np.eye(len(OPERATORS)) + 0.5)
    together = qt.learn_hamiltonian(H, TRUE, qt.Measurements(OPERATORS, data.values, covariance), known="g_zz[0]")
    responses = np.array([H.flatten(qt.gradient(H, TRUE, qt.Expectation(a), solver=EXACT).gradient) for a in OPERATORS])
    moving = np.delete(np.arange(len(H.couplings)), L)
    carried = np.linalg.pinv(responses[:, moving])
    bars = 1.96 * np.sqrt(np.diag(carried @ covariance @ carried.T))
    np.testing.assert_allclose(np.concatenate([together.error[name] for name in THETA])[moving], bars, rtol=1e-4)


def noisy(rng, size, errors=None, count=40):
    """Fits of two couplings to three values of two qubits with noise of a size: distances, bars."""
    two = qt.Hamiltonian(qt.qubits(2), {"g": [-X(0), -X(1)]}, fixed=-Z(0) * Z(1) - 0.5 * Z(0))
    true, operators = {"g": np.array([0.9, 0.7])}, [X(0), X(1), Z(1)]
    values, found = EXACT.ground_state(two, true).expectation(operators), []
    for _ in range(count):
        data = qt.Measurements(operators, values + size * rng.normal(size=3), errors)
        learned = qt.learn_hamiltonian(two, true, data, solver=EXACT)
        found.append((learned.theta["g"] - true["g"], learned.error["g"]))
    return [np.array(part) for part in zip(*found, strict=True)]


def test_bars_of_few_data_whose_errors_nobody_knows_are_students(rng):
    """One degree of freedom: 12.7 estimated standard errors hold 95 %, 1.96 would hold 70 %."""
    distances, bars = noisy(rng, 1e-4)
    inside = (np.abs(distances) <= bars).mean()
    assert inside >= 0.85  # of 40 fits; 0.95 expected, and 0.70 has a chance of one in ten


def test_an_improbable_chi_square_is_said():
    """A field that the model does not have; and correlated errors, that scatter chi-square more, are no such case."""
    wrong = H.with_parameter("z", [Z(j) for j in range(L)])
    values = EXACT.ground_state(wrong, {**TRUE, "z": np.full(L, 0.3)}).expectation(OPERATORS)
    data = qt.Measurements(OPERATORS, values, np.full(len(OPERATORS), 1e-3))
    assert "the model is wrong, or errors are larger" in qt.learn_hamiltonian(H, TRUE, data, known="g_zz[0]").message
    right = exact_data(TRUE)
    together = 1e-3 * 0.95**0.5  # all values off by two standard errors of what they share
    covariance = 1e-6 * (0.05 * np.eye(len(OPERATORS)) + 0.95)
    shifted = right.values + 2 * together
    assert np.sum((shifted - right.values) ** 2) / 1e-6 > 3 * len(OPERATORS)
    fit = qt.learn_hamiltonian(H, TRUE, qt.Measurements(OPERATORS, shifted, covariance), known="g_zz[0]")
    assert "wrong" not in fit.message


def test_a_temperature_sets_the_scale_of_energy():
    hot = qt.FullDiagonalization(temperature=0.6)
    values = hot.ground_state(H, TRUE).expectation(OPERATORS)
    learned = qt.learn_hamiltonian(H, THETA, qt.Measurements(OPERATORS, values), solver=hot)
    assert off(learned.theta, TRUE) < 1e-6


def test_batches_give_the_covariance_of_one_circuits_outcomes():
    """<X0>, <X1> and <X0 + X1> come from the same shots."""
    device = qt.SimulatedDevice(H, OFFSETS, solver=EXACT, shots=40_000)
    data = qt.Measurements.on(device, THETA, [X(0), X(1), X(0) + X(1)], batches=40)
    sizes = np.sqrt(np.diag(data.errors))
    assert sizes[2] ** 2 == pytest.approx(np.ones(2) @ data.errors[:2, :2] @ np.ones(2), rel=0.3)
    assert data.errors[0, 2] / sizes[0] / sizes[2] > 0.5
    assert device.measured == 40


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: qt.Measurements([X(0)], [0.5, 0.5]), "a finite one each"),
        (lambda: qt.Measurements([X(0)], [0.5], [0.0]), "positive standard error"),
        (lambda: qt.learn_hamiltonian(H, THETA, []), "at least one"),
        (lambda: qt.Measurements(["X(0)"], [0.5]), "'X\\(0\\)' is no operator"),
        (lambda: qt.Measurements([X(0), X(0)], [0.5, 0.5]), "an operator is there twice"),
        (lambda: qt.Measurements([X(0)], [0.5j]), "expectation values are real"),
        (lambda: qt.Measurements([X(0), X(1)], [0.5, 0.5], [[1.0, 0.9], [0.0, 1.0]]), "no covariance"),
        (lambda: qt.Measurements([X(0), X(1)], [0.5, 0.5], [[1.0, 2.0], [2.0, 1.0]]), "no covariance"),
        (lambda: qt.learn_hamiltonian(H, THETA, exact_data(TRUE), steps=3.5), "steps = 3.5: a whole number"),
        (
            lambda: qt.learn_hamiltonian(H, THETA, [exact_data(TRUE), exact_data(TRUE, errors=None)]),
            "give errors to all measurements, or to none",
        ),
        (lambda: qt.learn_hamiltonian(H, THETA, exact_data(TRUE), known="g_y"), "known has 'g_y'"),
        (lambda: qt.learn_hamiltonian(H, THETA, exact_data(TRUE), known=["g_x", "g_zz"]), "known has all couplings"),
        (lambda: qt.learn_hamiltonian(H, THETA, qt.Measurements([X(9)], [0.5]), known="norm"), "a measured operator"),
        (lambda: qt.learn_hamiltonian(H, THETA, qt.Measurements([X(0)], [1.0], applied={"h": 1.0})), "applied has 'h'"),
        (lambda: qt.learn_hamiltonian(qt.SimulatedDevice(H), THETA, exact_data(TRUE)), "takes no device"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)
