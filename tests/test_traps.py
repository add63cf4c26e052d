"""Hamiltonians on which DMRG is known to get stuck: the ground energy all the same, and never below it."""

import numpy as np
import pytest
from chains import PHASES

import qep_tn as qt
from qep_tn import X, Y, Z

CASES = 25  # of each of eight kinds, the last one below


def ising(length, g_x, g_zz, g_zxz):
    """A cluster-Ising chain and its exact ground energy, by free fermions."""
    H = qt.models.cluster_ising(length, local=True)
    theta = {"g_x": g_x, "g_zz": g_zz, "g_zxz": g_zxz}
    return H, theta, qt.FreeFermion().ground_state(H, theta).energy


def exactly(H, theta):
    return H, theta, qt.ExactDiagonalization().ground_state(H, theta).energy


def pure_cluster_chain(rng):
    length = int(rng.integers(6, 60))
    H = qt.models.cluster_ising(length)
    g = float(rng.choice([-1, 1]) * rng.uniform(0.3, 3))
    return H, {"g_x": 0.0, "g_zz": 0.0, "g_zxz": g}, -(length - 2) * abs(g)


def commuting_three_body_terms(rng):
    length = int(rng.integers(6, 30))
    if rng.random() < 0.5:
        couplings = rng.normal(size=length - 2)
        return *ising(length, np.zeros(length), np.zeros(length - 1), couplings)[:2], -np.abs(couplings).sum()
    length = min(length, 11)
    kind = (X, Y, Z)[rng.integers(3)]
    H = qt.Hamiltonian(qt.qubits(length), {"J": [kind(j) * kind(j + 1) * kind(j + 2) for j in range(length - 2)]})
    return exactly(H, {"J": rng.normal(size=length - 2)})


def field_only(rng):
    length = int(rng.integers(4, 50))
    fields = rng.normal(size=(length, 3))
    terms = [sum(f * k(j) for f, k in zip(fields[j], (X, Y, Z), strict=True)) for j in range(length)]
    H = qt.Hamiltonian(qt.qubits(length), {"h": terms})
    return H, {"h": np.ones(length)}, -np.linalg.norm(fields, axis=1).sum()


def ferromagnet_at_a_tiny_field(rng):
    length, h = int(rng.integers(6, 60)), float(10 ** rng.uniform(-6, -2))
    sign = float(rng.choice([-1, 1]))
    bonds, field = -sum(Z(j) * Z(j + 1) for j in range(length - 1)), sum(Z(j) for j in range(length))
    if rng.random() < 0.5:
        H = qt.Hamiltonian(qt.qubits(length), {"J": bonds, "h": field})
        return H, {"J": 1.0, "h": sign * h}, -(length - 1) - h * length
    length = min(length, 11)
    return ising(length, np.full(length, sign * h), np.ones(length - 1), np.zeros(length - 2))


def heisenberg(length, second=0.0):
    def dot(i, j):
        return 0.25 * (X(i) * X(j) + Y(i) * Y(j) + Z(i) * Z(j))

    terms = sum(dot(j, j + 1) for j in range(length - 1))
    terms = terms + sum(second * dot(j, j + 2) for j in range(length - 2)) if second else terms
    return qt.Hamiltonian(qt.qubits(length), {"J": terms, "h": sum(0.5 * Z(j) for j in range(length))})


def majumdar_ghosh(rng):
    length, J = 2 * int(rng.integers(3, 20)), float(rng.uniform(0.5, 2))
    return heisenberg(length, 0.5), {"J": J, "h": 0.0}, -3 / 8 * length * J


def random_signs(rng):
    length = int(rng.integers(6, 12))
    signs = {name: rng.choice([-1.0, 1.0], length - k) for k, name in enumerate(("g_x", "g_zz", "g_zxz"))}
    if rng.random() < 0.5:
        phase = tuple(PHASES.values())[rng.integers(4)]
        return ising(40, *(rng.choice([-1.0, 1.0], 40 - k) * g for k, g in enumerate(phase)))
    H = qt.Hamiltonian(
        qt.qubits(length),
        {
            "J": [(X, Y, Z)[rng.integers(3)](j) * (X, Y, Z)[rng.integers(3)](j + 1) for j in range(length - 1)],
            "h": [0.3 * Z(j) for j in range(length)],
        },
    )
    return exactly(H, {"J": signs["g_zz"], "h": signs["g_x"]})


def two_decoupled_halves(rng):
    length = 2 * int(rng.integers(4, 20))
    couplings = [rng.uniform(0.2, 2, length - k) * rng.choice([-1, 1], length - k) for k in range(3)]
    half = length // 2
    couplings[1][half - 1] = 0
    couplings[2][half - 2 : half] = 0
    return ising(length, *couplings)


KINDS = [
    pure_cluster_chain, commuting_three_body_terms, field_only, ferromagnet_at_a_tiny_field, majumdar_ghosh,
    random_signs, two_decoupled_halves,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_ground_energy_is_found_from_a_cold_start(kind):
    rng = np.random.default_rng(KINDS.index(kind))
    for case in range(CASES):
        H, theta, exact = kind(rng)
        state = qt.NumbaDMRG().ground_state(H, theta)
        assert -1e-9 < state.energy - exact < 1e-8, (case, len(H.sites), theta)


def test_the_ground_energy_is_found_from_an_initial_state_that_is_another_eigenstate():
    rng = np.random.default_rng(99)
    for case in range(CASES):
        length = int(rng.integers(5, 12))
        H = heisenberg(length)
        # all spins up: the ground state in a strong field, an eigenstate without; no Lanczos step leaves it
        start = qt.NumbaDMRG().ground_state(H, {"J": 1.0, "h": -10.0})
        theta = {"J": float(rng.uniform(0.5, 2)), "h": float(rng.uniform(0, 0.1))}
        state = qt.NumbaDMRG().ground_state(H, theta, start=start)
        exact = qt.ExactDiagonalization().ground_state(H, theta).energy
        assert -1e-9 < state.energy - exact < 1e-8, (case, length, theta)
