"""Hamiltonians in which every product state is nearly an eigenstate: the ground energy all the same, or a warning."""

import numpy as np
import pytest
from scipy.linalg import eigh
from scipy.sparse.linalg import eigsh

import qep_tn as qt
from qep_tn import Create, Destroy, Number, X, Y, Z
from qep_tn.solvers import product_starts
from qep_tn.solvers.configurations import basis_of, lowest_configurations
from qep_tn.solvers.product_starts import rests_in_product_states

TOLERANCE = 1e-6  # relative


def glass(n, h, rng, pair=Z, field=X):
    J = [pair(i) * pair(j) for j in range(n) for i in range(j)]
    H = qt.Hamiltonian(qt.qubits(n), {"J": J, "h": sum(field(j) for j in range(n))})
    return H, {"J": rng.normal(size=len(J)), "h": h}


def number_partitioning(n, rng):
    a = rng.uniform(0.1, 1, n)
    H = qt.Hamiltonian(qt.qubits(n), {"w": [Z(i) * Z(j) for j in range(n) for i in range(j)]})
    return H, {"w": np.array([2 * a[i] * a[j] for j in range(n) for i in range(j)])}


def rydberg(n, rabi, rng):
    places = 0.9 * np.sqrt(n) * rng.uniform(size=(n, 2))
    blockade = sum(
        min(11 / np.linalg.norm(places[i] - places[j]) ** 6, 1e3) * Number(i) * Number(j)
        for j in range(n)
        for i in range(j)
    )
    H = qt.Hamiltonian(
        qt.qubits(n), {"rabi": sum(0.5 * X(j) for j in range(n))}, blockade - 2 * sum(Number(j) for j in range(n))
    )
    return H, {"rabi": rabi}


def frustrated_chain(n, h, rng):
    H = qt.Hamiltonian(
        qt.qubits(n),
        {
            "J": [Z(j) * Z(j + 1) for j in range(n - 1)],
            "K": [Z(j) * Z(j + 2) for j in range(n - 2)],
            "h": sum(X(j) for j in range(n)),
        },
    )
    return H, {"J": rng.normal(size=n - 1), "K": rng.normal(size=n - 2), "h": h}


def heisenberg_glass(n, rng):
    J = [sum(k(i) * k(j) for k in (X, Y, Z)) for j in range(n) for i in range(j)]
    return qt.Hamiltonian(qt.qubits(n), {"J": J}), {"J": rng.normal(size=len(J))}


def frozen_bosons(n, rng):
    hops = -sum(Create(j) * Destroy(j + 1) + Create(j + 1) * Destroy(j) for j in range(n - 1))
    repulsion = 0.5 * sum(Number(j) * Number(j) - Number(j) for j in range(n))
    H = qt.Hamiltonian(qt.bosons(n, 2), {"t": hops, "mu": [-Number(j) for j in range(n)]}, repulsion)
    return H, {"t": 0.01, "mu": rng.uniform(0, 2, n)}


def exact_energy(H, theta):
    """Without Lanczos where levels are so dense that it would not end."""
    matrix = H.to_sparse(theta)
    diagonal = matrix.diagonal().real
    if matrix.nnz <= len(diagonal) and np.count_nonzero(diagonal) == matrix.count_nonzero():
        return diagonal.min()
    if len(diagonal) <= 1024:
        return eigh(matrix.toarray(), eigvals_only=True, subset_by_index=[0, 0])[0]
    return eigsh(matrix, k=1, which="SA", v0=np.ones(len(diagonal)))[0][0]


KINDS = {
    "glass, h = 0": lambda rng: glass(13, 0.0, rng),
    "glass, h = 0.05": lambda rng: glass(13, 0.05, rng),
    "glass, h = 0.3": lambda rng: glass(13, 0.3, rng),
    "glass of XX": lambda rng: glass(9, 0.1, rng, X, Z),
    "glass of YY": lambda rng: glass(9, 0.1, rng, Y, X),
    "Heisenberg glass": lambda rng: heisenberg_glass(8, rng),
    "number partitioning": lambda rng: number_partitioning(11, rng),
    "Rydberg atoms": lambda rng: rydberg(9, 0.05, rng),
    "Rydberg atoms, strongly driven": lambda rng: rydberg(9, 1.0, rng),
    "frustrated chain": lambda rng: frustrated_chain(13, 0.0, rng),
    "frozen bosons": lambda rng: frozen_bosons(6, rng),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_ground_energy_is_found_and_converged(kind):
    rng = np.random.default_rng([31, list(KINDS).index(kind)])
    for case in range(5 if kind.startswith("glass, h") else 2):
        H, theta = KINDS[kind](rng)
        exact = exact_energy(H, theta)
        state = qt.NumbaDMRG().ground_state(H, theta)
        assert -1e-9 < (state.energy - exact) / abs(exact) < TOLERANCE, case
        assert state.converged, (case, state.message)


def test_a_warm_start_leaves_a_false_minimum(rng):
    H, theta = glass(12, 0.05, rng)
    exact = exact_energy(H, theta)
    vectors = [np.array([1.0, 0.0])] * 12
    trapped = qt.NumbaDMRG().ground_state(
        qt.Hamiltonian(H.sites, {"z": sum(Z(j) for j in range(12))}), {"z": -1.0}
    )  # all spins up
    np.testing.assert_allclose(abs(trapped.state.overlap(qt.MPS.product(H.sites, vectors))), 1, atol=1e-9)
    state = qt.NumbaDMRG().ground_state(H, theta, start=trapped)
    assert abs(state.energy - exact) < TOLERANCE * abs(exact)


def test_library_solvers_start_from_the_same_product_states(rng):
    H, theta = glass(8, 0.0, rng)
    exact = exact_energy(H, theta)
    assert abs(qt.QuimbDMRG().ground_state(H, theta).energy - exact) < TOLERANCE * abs(exact)


def test_a_best_product_state_that_hardly_any_anneal_finds_is_doubted(rng, monkeypatch):
    monkeypatch.setattr(product_starts, "fits_in_a_table", lambda *given: False)
    monkeypatch.setattr(product_starts, "_BATCHES", 2)
    H, theta = number_partitioning(12, rng)  # its low states have nothing in common
    state = qt.NumbaDMRG().ground_state(H, theta)
    assert not state.converged
    assert "independent starts disagree" in state.message
    assert "try other seeds" in state.message


def test_long_chains_are_solved_among_all_configurations(rng):
    """Against the transfer matrix of zero temperature."""
    H, theta = frustrated_chain(60, 0.0, rng)
    energies = np.zeros((2, 2))  # of the best beginnings that end in these two spins
    spins = np.array([1, -1])
    for j in range(59):
        energies = energies + theta["J"][j] * np.outer(spins, spins)
        if j < 58:
            next_but_one = theta["K"][j] * np.multiply.outer(spins, np.outer([1, 1], spins))
            energies = (energies[:, :, None] + next_but_one).min(axis=0)
    coefficients = H.coefficients(theta).astype(complex)
    start = np.tile(np.array([1, 0], complex), (60, 1))
    best = lowest_configurations(H, coefficients, basis_of(H, coefficients, start), 1)[0]
    found = np.real(qt.MPS.product(H.sites, list(best.real)).product_expectations(H.products) @ coefficients)
    np.testing.assert_allclose(found, energies.min(), rtol=1e-12)
    assert abs(qt.NumbaDMRG().ground_state(H, theta).energy - energies.min()) < 1e-9


def test_ordinary_chains_are_left_alone():
    """They get no further starts: cold searches cost what they did, and end in the same bits."""
    for couplings in ((2.5, 1.0, 0.5), (1.0, 2.8, 0.2), (0.5, 1.0, 2.5), (1.0, 1.0, 0.0)):
        H = qt.models.cluster_ising(128)
        theta = dict(zip(("g_x", "g_zz", "g_zxz"), couplings, strict=True))
        assert not rests_in_product_states(H, H.coefficients(theta))
