"""Hamiltonians that several tests solve, and what they are compared with."""

import numpy as np
from scipy.optimize import minimize_scalar

import qep_tn as qt
from qep_tn import X, Y, Z

# (g_x, g_zz, g_zxz) deep in each phase of the cluster-Ising chain, and near a transition
PHASES = {
    "paramagnet": (2.5, 1.0, 0.5),
    "ferromagnet": (1.0, 2.8, 0.2),
    "cluster": (0.5, 1.0, 2.5),
    "near-critical": (1.0, 0.5, 0.6),
}


def random_cluster_ising(phase, length, rng):
    """A cluster-Ising chain in a phase, couplings varied by 20 %: (Hamiltonian, theta)."""
    H = qt.models.cluster_ising(length, local=True)
    theta = {
        name: scale * rng.uniform(0.8, 1.2, len(H.parameters[name]))
        for name, scale in zip(("g_x", "g_zz", "g_zxz"), PHASES[phase], strict=True)
    }
    return H, theta


def random_three_body(length, rng):
    """Random three-body Pauli terms on any sites, complex ones included, and a field that breaks all symmetry."""
    kinds = (X, Y, Z)
    terms = []
    for _ in range(length):
        sites = rng.choice(length, 3, replace=False)
        product = 1.0
        for site in sites:
            product = product * kinds[rng.integers(3)](int(site))
        terms.append(product)
    field = sum(float(c) * kinds[j % 3](j) for j, c in enumerate(rng.uniform(0.5, 1.0, length)))
    H = qt.Hamiltonian(qt.qubits(length), {"J": terms, "h": field})
    return H, {"J": rng.normal(size=length), "h": 1.0}


def spin_one(length, rng):
    """A bilinear-biquadratic spin-1 chain with single-ion anisotropy."""
    dot = [qt.Sx(j) * qt.Sx(j + 1) + qt.Sy(j) * qt.Sy(j + 1) + qt.Sz(j) * qt.Sz(j + 1) for j in range(length - 1)]
    H = qt.Hamiltonian(
        qt.spins(length, 2),
        {"J": dot, "biquadratic": sum(d * d for d in dot), "h": sum(qt.Sz(j) for j in range(length))},
        fixed=0.4 * sum(qt.Sz(j) * qt.Sz(j) for j in range(length)),
    )
    return H, {"J": rng.uniform(0.8, 1.2, length - 1), "biquadratic": 0.2, "h": 0.3}


def random_long_range(length, rng):
    """Ising couplings between all pairs, and fields: (Hamiltonian, theta)."""
    pairs = [Z(i) * Z(j) for i in range(length) for j in range(i + 1, length)]
    H = qt.Hamiltonian(qt.qubits(length), {"J": pairs, "h": [X(j) for j in range(length)]})
    return H, {"J": rng.normal(size=len(pairs)) / length, "h": rng.uniform(0.5, 1.5, length)}


def dense_ground_energy(H, theta):
    return np.linalg.eigvalsh(H.to_sparse(theta).toarray())[0]


def figures_of_merit(H, result, exact):
    """A gradient's relative error, and how its error bars compare with the true errors."""
    error, estimate = np.abs(H.flatten(result.gradient) - exact), H.flatten(result.error)
    return {
        "relative_error": np.linalg.norm(error) / np.linalg.norm(exact),
        "coverage": np.mean(estimate >= error),
        "median_estimate_over_median_error": np.median(estimate) / np.median(error),
        "trustworthy": result.trustworthy,
    }


def exact_ridge(H, theta, name, observable, reach):
    """The value of a parameter, within `reach` of theta's, at which |d<observable>/d(parameter)| is largest."""

    def minus_response(x):
        g = qt.gradient(H, {**theta, name: x}, qt.Expectation(observable), solver=qt.FreeFermion())
        return -abs(g.gradient[name])

    bounds = (theta[name] - reach, theta[name] + reach)
    return minimize_scalar(minus_response, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x
