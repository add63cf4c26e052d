"""Every solver against exact diagonalization and free fermions."""

import itertools

import numpy as np
import pytest
from chains import (
    PHASES,
    dense_ground_energy,
    random_cluster_ising,
    random_long_range,
    random_three_body,
    spin_one,
)  # fmt: skip

import qep_tn as qt
from qep_tn import X, Y, Z
from qep_tn.hamiltonians.hamiltonian import sparse_matrix

DMRG = [qt.NumbaDMRG(), qt.TenpyDMRG(), qt.QuimbDMRG()]
FAMILIES = {
    **{name: lambda rng, name=name: random_cluster_ising(name, 8, rng) for name in PHASES},
    "three-body": lambda rng: random_three_body(8, rng),
    "long-range": lambda rng: random_long_range(8, rng),
    "spin-1": lambda rng: spin_one(5, rng),
}


def name_of(solver):
    return type(solver).__name__


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("solver", [qt.ExactDiagonalization(), *DMRG], ids=name_of)
def test_ground_energy_and_observables_are_exact_on_small_chains(solver, family, rng):
    H, theta = FAMILIES[family](rng)
    energies, vectors = np.linalg.eigh(H.to_sparse(theta).toarray())
    state = solver.ground_state(H, theta)
    assert state.converged
    assert state.energy == pytest.approx(energies[0], abs=1e-9)
    assert abs(state.energy_variance) < 1e-9
    if energies[1] - energies[0] > 1e-3:  # else the ground state is not one vector
        values = [np.vdot(vectors[:, 0], sparse_matrix(a, H.sites) @ vectors[:, 0]).real for a in H.couplings]
        # an energy to 1e-11 above a gap of 1e-3 leaves 1e-4 in amplitude at worst; usually far less
        np.testing.assert_allclose(state.expectation(H.couplings), values, atol=1e-6)


@pytest.mark.parametrize("phase", PHASES)
def test_free_fermions_equal_exact_diagonalization(phase, rng):
    H, theta = random_cluster_ising(phase, 8, rng)
    theta = {name: value * rng.choice([-1, 1], len(value)) for name, value in theta.items()}  # negative couplings too
    exact, free = qt.ExactDiagonalization().ground_state(H, theta), qt.FreeFermion().ground_state(H, theta)
    assert free.energy == pytest.approx(exact.energy, abs=1e-11)
    assert free.gap == pytest.approx(exact.gap, abs=1e-11)
    if exact.gap > 1e-6:
        operators = [X(1) * X(5), Z(2) * Z(6), Y(2) * Y(3), Y(1) * Z(2) * Y(4) * Z(7), Z(0) * Z(1) * X(4), 2 + X(3)]
        np.testing.assert_allclose(free.expectation(operators), exact.expectation(operators), atol=1e-9)


@pytest.mark.parametrize("phase", PHASES)
def test_free_fermion_gradient_equals_its_finite_difference(phase, rng):
    H, theta = random_cluster_ising(phase, 30, rng)
    solver, loss, vector = qt.FreeFermion(), qt.Expectation(X(12) * X(16) - 0.4 * Z(11) * Z(17)), H.flatten(theta)
    gradient = H.flatten(qt.gradient(H, theta, loss, solver=solver).gradient)
    step = 1e-5
    for k in rng.choice(len(vector), 12, replace=False):
        shift = step * np.eye(len(vector))[k]
        plus, minus = (
            solver.ground_state(H, H.unflatten(vector + s * shift)).expectation(loss.operator) for s in (1, -1)
        )
        # central difference: rounding 1e-15/step, bias step^2
        assert gradient[k] == pytest.approx((plus - minus) / (2 * step), abs=1e-9)


@pytest.mark.parametrize(
    ("solver", "length"),
    [
        (qt.NumbaDMRG(), 100),
        (qt.QuimbDMRG(), 50),
        (qt.TenpyDMRG(), 30),
        pytest.param(qt.QuimbDMRG(), 100, marks=pytest.mark.slow),
        pytest.param(qt.TenpyDMRG(), 100, marks=pytest.mark.slow),
    ],
)
def test_dmrg_energies_equal_free_fermions_on_long_chains(solver, length, rng):
    H, theta = random_cluster_ising("paramagnet", length, rng)
    exact = qt.FreeFermion().ground_state(H, theta)
    state = solver.ground_state(H, theta)
    assert -1e-10 < state.energy - exact.energy < 1e-9
    assert state.energy_variance < 1e-8
    assert 0 <= state.truncation_error < 1e-12
    values = exact.expectation(H.couplings)
    np.testing.assert_allclose(state.expectation(H.couplings), values, atol=1e-6)


@pytest.mark.parametrize("solver", DMRG, ids=name_of)
def test_the_pure_cluster_chain_is_found_from_a_cold_start(solver):
    # no two-site update of a product state gains energy from a three-site term
    H = qt.models.cluster_ising(24)
    state = solver.ground_state(H, {"g_x": 0.0, "g_zz": 0.0, "g_zxz": 1.0})
    assert state.energy == pytest.approx(-22, abs=1e-9)


@pytest.mark.parametrize("solver", [qt.ExactDiagonalization(), *DMRG], ids=name_of)
def test_warm_start_arrives_where_a_cold_start_does(solver, rng):
    H, theta = random_three_body(6, rng)
    start = solver.ground_state(H, theta)
    theta["J"] = theta["J"] + 0.05 * rng.normal(size=6)
    warm, cold = solver.ground_state(H, theta, start=start), solver.ground_state(H, theta)
    assert warm.energy == pytest.approx(cold.energy, abs=1e-10)


def test_a_solver_starts_from_the_state_of_another(rng):
    H, theta = random_cluster_ising("paramagnet", 12, rng)
    tenpy = qt.TenpyDMRG().ground_state(H, theta)
    quimb = qt.QuimbDMRG().ground_state(H, theta, start=tenpy)
    assert quimb.sweeps < qt.QuimbDMRG().ground_state(H, theta).sweeps
    assert quimb.energy == pytest.approx(tenpy.energy, abs=1e-9)  # both cut Schmidt values below 1e-7


@pytest.mark.parametrize(
    "solver", [kind(max_bond=3) for kind in (qt.NumbaDMRG, qt.TenpyDMRG, qt.QuimbDMRG)], ids=name_of
)
def test_a_bond_limit_is_kept_and_leaves_a_variational_energy(solver, rng):
    H, theta = random_cluster_ising("near-critical", 12, rng)
    exact = qt.FreeFermion().ground_state(H, theta).energy
    state = solver.ground_state(H, theta)
    assert max(state.bond_dimensions) == 3
    assert state.energy > exact
    assert state.truncation_error > 1e-8
    assert state.energy_variance > 1e-4


def test_too_few_sweeps_are_reported():
    H = qt.models.cluster_ising(16)
    state = qt.TenpyDMRG(max_sweeps=5).ground_state(H, {"g_x": 1.0, "g_zz": 0.5, "g_zxz": 0.6})
    assert not state.converged
    assert "raise max_sweeps" in state.message


def test_seeds_make_runs_repeatable(rng):
    H, theta = random_cluster_ising("paramagnet", 8, rng)
    first, second = (qt.TenpyDMRG(seed=5).ground_state(H, theta) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first.state.tensors, second.state.tensors, strict=True))


def test_exact_diagonalization_reports_the_gap(rng):
    H, theta = random_three_body(7, rng)
    energies = np.linalg.eigvalsh(H.to_sparse(theta).toarray())
    assert qt.ExactDiagonalization().ground_state(H, theta).gap == pytest.approx(energies[1] - energies[0], abs=1e-10)


def test_hypothetical_product_states_need_bond_dimension_one():
    H = qt.Hamiltonian(qt.qubits(8), {"h": -sum(X(j) for j in range(8))})
    state = qt.TenpyDMRG().ground_state(H, {"h": 1.0})
    assert state.energy == pytest.approx(-8, abs=1e-10)
    assert dense_ground_energy(H, {"h": 1.0}) == pytest.approx(-8, abs=1e-10)
    assert set(state.bond_dimensions) == {1}


@pytest.mark.parametrize(
    ("operators", "message"),
    [
        (Z(2), "has Z\\(2\\); use TenpyDMRG"),
        (X(0) * X(1), "has X\\(0\\) \\* X\\(1\\)"),
        (Z(0) * Z(2), "has Z\\(0\\) \\* Z\\(2\\)"),
    ],
)
def test_free_fermions_refuse_what_is_not_a_cluster_ising_chain(operators, message):
    H = qt.Hamiltonian(qt.qubits(4), {"g": operators})
    with pytest.raises(ValueError, match=message):
        qt.FreeFermion().ground_state(H, {"g": 1.0})


def test_free_fermions_refuse_odd_observables():
    state = qt.FreeFermion().ground_state(qt.models.cluster_ising(6), {"g_x": 1.0, "g_zz": 0.5, "g_zxz": 0.3})
    with pytest.raises(ValueError, match="odd in the fermions"):
        state.expectation(Z(2))


def test_exact_diagonalization_refuses_large_systems():
    with pytest.raises(ValueError, match="20 qubits"):
        qt.ExactDiagonalization().ground_state(qt.models.cluster_ising(30), {"g_x": 1.0, "g_zz": 0.5, "g_zxz": 0.3})


def test_settings_are_checked():
    for wrong in ({"max_bond": 0}, {"cutoff": 2.0}, {"max_sweeps": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            qt.TenpyDMRG(**wrong)


def test_pauli_strings_of_free_fermions_obey_the_pauli_algebra(rng):
    H, theta = random_cluster_ising("near-critical", 6, rng)
    free, exact = qt.FreeFermion().ground_state(H, theta), qt.ExactDiagonalization().ground_state(H, theta)
    for kinds in itertools.product((X, Y, Z), repeat=2):
        operator = kinds[0](1) * kinds[1](4)
        if (kinds[0] is X) == (kinds[1] is X):  # even fermion parity
            assert free.expectation(operator) == pytest.approx(exact.expectation(operator), abs=1e-9)


@pytest.mark.parametrize("length", [3, 5, 6])
def test_all_to_all_heisenberg_chains_of_a_few_sites_are_exact(length):
    # the machine is widest in the middle of a chain: buffers must hold it
    pairs = [k(i) * k(j) for k in (X, Y, Z) for i in range(length) for j in range(i + 1, length)]
    H = qt.Hamiltonian(qt.qubits(length), {"J": pairs, "h": sum(Z(j) for j in range(length))})
    theta = {"J": np.linspace(0.5, 1.5, len(pairs)), "h": 0.3}
    assert qt.NumbaDMRG().ground_state(H, theta).energy == pytest.approx(dense_ground_energy(H, theta), abs=1e-9)


@pytest.mark.parametrize("unit", [1e-8, 1e6])
def test_the_unit_of_energy_does_not_matter(unit, rng):
    H, theta = random_cluster_ising("near-critical", 8, rng)
    theta = {name: unit * value for name, value in theta.items()}
    energy = qt.NumbaDMRG().ground_state(H, theta).energy
    assert energy == pytest.approx(qt.FreeFermion().ground_state(H, theta).energy, rel=1e-9)
