"""Measured gradients: unbiased at their own nudge, with bars that cover, at a nudge that balances bias and noise."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import Create, Destroy, Number, X, Y, Z
from qep_tn.gradients.measured import Experiment, half_widths

EXACT = qt.ExactDiagonalization()


def cluster_ising():
    H = qt.models.cluster_ising(8, local=True)
    theta = {n: np.full(len(v), g) for (n, v), g in zip(H.parameters.items(), (1.2, 0.5, 0.7), strict=True)}
    return H, theta, qt.Expectation(X(2) * X(5))


def heisenberg():
    """A complex chain of eight sites, with scalar couplings, and a quadratic loss."""
    L = 8
    H = qt.Hamiltonian(
        qt.qubits(L),
        {
            "j": [sum(P(i) * P(i + 1) for P in (X, Y, Z)) for i in range(L - 1)],
            "d": [X(i) * Y(i + 1) - Y(i) * X(i + 1) for i in range(L - 1)],
            "h": sum((-1) ** i * Z(i) for i in range(L)),
            "b": [X(i) for i in range(L)],
        },
    )
    theta = {"j": np.linspace(0.8, 1.2, L - 1), "d": np.full(L - 1, 0.3), "h": 0.6, "b": np.full(L, 0.4)}
    return H, theta, qt.MeanSquaredError([Z(2), Z(3) * Z(5)], [0.3, -0.5])


def rydberg():
    L = 9
    H = qt.Hamiltonian(
        qt.qubits(L),
        {"omega": [0.5 * X(i) for i in range(L)], "delta": [-Number(i) for i in range(L)]},
        fixed=sum(2.0 / (j - i) ** 6 * Number(i) * Number(j) for i in range(L) for j in range(i + 1, L)),
    )
    return H, {"omega": np.full(L, 1.0), "delta": np.linspace(0.5, 1.0, L)}, qt.Expectation(Number(4) * Number(6))


CASES = pytest.mark.parametrize("case", [cluster_ising, heisenberg, rydberg])


def experiment(case, shots, beta=0.3, scheme="symmetric"):
    H, theta, loss = case()
    return Experiment(H, theta, loss, EXACT, scheme, EXACT.ground_state(H, theta), shots, beta)


def draws(experiment, count, rng):
    drawn = [experiment.drawn(rng) for _ in range(count)]
    return np.array([d.gradient for d in drawn]), np.array([d.noise for d in drawn])


@CASES
@pytest.mark.parametrize("scheme", ["symmetric", "one-sided"])
def test_measured_gradients_have_the_mean_of_the_nudge_and_bars_that_cover(case, scheme, rng):
    device = experiment(case, qt.Shots(100), scheme=scheme)
    nudge = device.exact_nudge
    exact = nudge.strength * device.level(nudge).gradient
    found, noise = draws(device, 300, rng)
    off = np.abs(found.mean(axis=0) - exact) / (found.std(axis=0) / np.sqrt(len(found)))
    assert np.mean(off < 3) >= 0.95  # 99 % of components in the long run; these have 27 of them
    assert np.mean(np.abs(found - exact) <= half_widths(noise, None)) == pytest.approx(0.95, abs=0.02)


@CASES
def test_bars_at_the_balanced_nudge_cover_the_exact_gradient(case, rng):
    for shots in (qt.Shots(100), qt.Shots(10_000, "gaussian")):
        device = experiment(case, shots)
        exact = qt.gradient(device.H, device.theta, device.loss, solver=EXACT)
        vector = device.H.flatten(exact.gradient)
        device = device.balanced(vector, None, rng)
        found, noise = draws(device, 150, rng)
        widths = half_widths(noise, device.bias(vector))
        assert np.mean(np.abs(found - vector) <= widths) == pytest.approx(0.95, abs=0.02)


def test_bars_hold_95_of_100_at_any_share_of_bias(rng):
    noise = rng.standard_normal(40_000)
    for bias in (0.0, 0.3, 1.0, 3.0, 100.0):
        width = half_widths(np.ones(1), np.array([bias]))[0]
        assert np.mean(np.abs(bias + noise) <= width) == pytest.approx(0.95, abs=0.005)
    assert half_widths(np.zeros(1), np.array([0.2])) == pytest.approx(0.2)


@pytest.mark.parametrize(("scheme", "power"), [("symmetric", -1 / 6), ("one-sided", -1 / 4)])
def test_the_best_nudge_and_its_error_fall_with_the_shots_as_theory_says(scheme, power):
    H, theta, loss = cluster_ising()
    few, many = (
        qt.gradient(H, theta, loss, solver=EXACT, scheme=scheme, shots=qt.Shots(count, "gaussian"))
        for count in (10**6, 10**10)
    )
    assert many.beta / few.beta == pytest.approx(1e4**power, rel=1e-3)
    order = 2 if scheme == "symmetric" else 1
    assert np.log(norm(many.shots.noise) / norm(few.shots.noise)) / np.log(1e4) == pytest.approx(
        -order / (2 * order + 2), abs=0.02
    )
    # at the least sum of squares, bias is noise over the root of its order
    assert norm(many.shots.bias) == pytest.approx(norm(many.shots.noise) / np.sqrt(order), rel=0.1)


def norm(parts):
    return np.linalg.norm(np.concatenate([np.ravel(part) for part in parts.values()]))


def test_the_balanced_nudge_is_better_than_others(rng):
    """Of the exact mean square error, bias and noise together, at a third and at three times the nudge."""
    device = experiment(cluster_ising, qt.Shots(100_000, "gaussian"))
    vector = device.H.flatten(qt.gradient(device.H, device.theta, device.loss, solver=EXACT).gradient)
    best = device.balanced(vector, None, rng)

    def error(at):
        drawn = at.drawn(rng)
        return np.hypot(np.linalg.norm(drawn.noise), np.linalg.norm(at.bias(vector)))

    others = [experiment(cluster_ising, device.shots, beta=factor * best.beta) for factor in (1 / 3, 3)]
    assert error(best) < 0.6 * min(error(other) for other in others)


def test_a_seed_decides_the_numbers_whatever_the_executor():
    H, theta, loss = cluster_ising()
    first, second = (qt.gradient(H, theta, loss, solver=EXACT, shots=20, rng=3, beta=0.3) for _ in range(2))
    assert first.gradient["g_x"].tolist() == second.gradient["g_x"].tolist()
    assert first.gradient["g_x"].tolist() != qt.gradient(H, theta, loss, shots=20, beta=0.3).gradient["g_x"].tolist()
    problems = [(H, theta, loss)] * 3
    with ThreadPoolExecutor(2) as threads:
        pooled, alone = (
            qt.gradients(problems, solver=EXACT, beta=0.3, shots=20, rng=5, executor=e) for e in (threads, None)
        )
    assert [g.gradient["g_x"].tolist() for g in pooled] == [g.gradient["g_x"].tolist() for g in alone]
    assert alone[0].value != alone[1].value


solved: list[str] = []


class Counting(qt.ExactDiagonalization):
    """Counts ground states."""

    def ground_state(self, H, theta, start=None):
        solved.append("free" if "nudge" not in H.parameters else "nudged")
        return super().ground_state(H, theta, start)

    def nudged_states(self, H, at, strengths, free):
        solved.extend(["nudged"] * len(strengths))
        return super().nudged_states(H, at, strengths, free)


def test_a_given_nudge_takes_its_own_states_and_no_others():
    H, theta, loss = cluster_ising()
    solved.clear()
    g = qt.gradient(H, theta, loss, solver=Counting(), beta=1e-3, shots=qt.Shots(10, "gaussian"))
    assert solved == ["free", "nudged", "nudged"]
    assert g.ground_states == 3
    assert g.shots.bias is None
    assert g.trustworthy
    assert not g.converged
    assert g.relative_error > 1


def test_a_constant_is_measured_by_nothing():
    H = qt.Hamiltonian(qt.qubits(3), {"x": [-X(j) for j in range(3)], "one": Z(0) * Z(0)}, fixed=-Z(0) * Z(1))
    g = qt.gradient(H, {"x": [1.0, 1.0, 1.0], "one": 2.0}, qt.Expectation(X(0)), beta=0.1, shots=10)
    assert g.gradient["one"] == g.error["one"] == 0
    constant = qt.gradient(H, {"x": [1.0, 1.0, 1.0], "one": 2.0}, qt.Expectation(X(0) * X(0)), beta=0.1, shots=10)
    assert constant.value == 1
    assert constant.shots.circuits == (0, 1)


def test_what_shots_were_taken_is_told():
    H, theta, loss = cluster_ising()
    g = qt.gradient(H, theta, loss, solver=EXACT, beta=0.3, shots=50)
    assert g.shots.circuits == (1, 3)
    assert g.shots.total == 50 * (1 + 2 * 3)
    assert str(g.shots).splitlines()[0] == "free phase"
    assert len(str(g.shots).splitlines()) == 6
    one_sided = qt.gradient(H, theta, loss, solver=EXACT, beta=0.3, shots=50, scheme="one-sided")
    assert one_sided.shots.total == 50 * (1 + 2 * 3)
    assert g.error["g_x"] == pytest.approx(1.96 * g.shots.noise["g_x"])
    gaussian = qt.gradient(H, theta, loss, solver=EXACT, beta=0.3, shots=qt.Shots(50, "gaussian"))
    assert gaussian.shots.total == 50 * (1 + 2 * len(H.couplings))


def test_readout_errors_shrink_a_gradient_as_they_shrink_its_operators():
    H, theta, loss = cluster_ising()
    flip = 0.1
    readout = [[1 - flip, flip], [flip, 1 - flip]]
    exact = qt.gradient(H, theta, loss, solver=EXACT, beta=0.3)
    read = qt.gradient(H, theta, loss, solver=EXACT, beta=0.3, shots=qt.Shots(100_000, readout=readout))
    for name, factors in (("g_x", 1), ("g_zz", 2), ("g_zxz", 3)):
        off = read.gradient[name] - (1 - 2 * flip) ** factors * exact.gradient[name]
        assert (np.abs(off) < 2 * read.error[name]).all()
    assert abs(read.value - (1 - 2 * flip) ** 2 * exact.value) < 2 * read.value_error


def test_the_error_signal_follows_from_measured_values():
    """Near its target a quadratic loss gets its nudge from noise, and its bars say so."""
    H, theta, _ = cluster_ising()
    value = qt.gradient(H, theta, qt.Expectation(X(2)), solver=EXACT).value
    loss = qt.MeanSquaredError([X(2)], [value])
    assert norm(qt.gradient(H, theta, loss, solver=EXACT).gradient) < 1e-9
    for beta in (0.3, "auto"):
        g = qt.gradient(H, theta, loss, solver=EXACT, beta=beta, shots=200, rng=1)
        assert g.value > 0
        assert g.value_error > 0.3 * g.value
        bars = np.concatenate([np.abs(g.gradient[n]) / g.error[n] for n in g.gradient])
        assert np.mean(bars < 1) > 0.8


def test_matrix_product_states_are_measured_as_state_vectors_are():
    H, theta, loss = cluster_ising()
    exact = qt.gradient(H, theta, loss, solver=EXACT, beta=0.3)
    g = qt.gradient(H, theta, loss, solver=qt.NumbaDMRG(), beta=0.3, shots=20_000)
    off = np.concatenate([(g.gradient[n] - exact.gradient[n]) / g.shots.noise[n] for n in g.gradient])
    assert np.abs(off).max() < 4.5
    assert g.trustworthy
    assert 0 < g.residual < 0.1


def test_what_cannot_be_measured_is_refused_in_one_line():
    H, theta, loss = cluster_ising()
    with pytest.raises(ValueError, match="FreeFermion has none; take NumbaDMRG"):
        qt.gradient(H, theta, loss, solver=qt.FreeFermion(), shots=10)
    with pytest.raises(ValueError, match="'linear-response' has none"):
        qt.gradient(H, theta, loss, solver=EXACT, scheme="linear-response", shots=10)
    with pytest.raises(ValueError, match="with a given beta compute none"):
        qt.gradient(H, theta, loss, solver=EXACT, shots=10, beta=0.1, certify="full")
    with pytest.raises(ValueError, match="rng = 'x'"):
        qt.gradient(H, theta, loss, solver=EXACT, shots=10, rng="x")
    with pytest.raises(ValueError, match="shots = 0"):
        qt.gradient(H, theta, loss, solver=EXACT, shots=0)
    hopping = [Create(i) * Destroy(i + 1) + Create(i + 1) * Destroy(i) for i in range(2)]
    bosons = qt.Hamiltonian(qt.bosons(3, 2), {"t": hopping, "mu": [-Number(i) for i in range(3)]}, fixed=Number(1))
    values = {"t": [-1.0, -0.8], "mu": [0.3, 0.4, 0.5]}
    with pytest.raises(ValueError, match=r"Create\(0\) \* Destroy\(1\).* cannot be measured"):
        qt.gradient(bosons, values, qt.Expectation(Number(0)), beta=0.1, shots=10)
    g = qt.gradient(bosons, values, qt.Expectation(Number(0)), beta=0.1, shots=qt.Shots(10, "gaussian"))
    assert np.isfinite(g.error["t"]).all()
