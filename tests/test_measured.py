"""Measured gradients: unbiased at their own nudge, with bars that cover, at a nudge that balances bias and noise."""

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import Number, X, Y, Z
from qep_tn.gradients.measured import Experiment, half_widths

EXACT = qt.ExactDiagonalization()


def cluster_ising():
    H = qt.models.cluster_ising(8, local=True)
    theta = {n: np.full(len(v), g) for (n, v), g in zip(H.parameters.items(), (1.2, 0.5, 0.7), strict=True)}
    return H, theta, qt.Expectation(X(2) * X(5))


def heisenberg():
    """A complex chain of ten sites, with scalar couplings, and a quadratic loss."""
    L = 10
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
    return H, theta, qt.MeanSquaredError([Z(3), Z(4) * Z(6)], [0.3, -0.5])


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
    exact = device.level(device.exact_nudge).gradient
    found, noise = draws(device, 300, rng)
    off = np.abs(found.mean(axis=0) - exact) / (found.std(axis=0) / np.sqrt(len(found)))
    assert np.mean(off < 3) >= 0.95  # 99 % of components in the long run; these have 27 of them
    assert np.mean(np.abs(found - exact) <= half_widths(noise, None)) == pytest.approx(0.95, abs=0.02)
