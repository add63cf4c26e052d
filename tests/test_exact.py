"""Exact diagonalization and what it is made of, against dense matrices by Kronecker products."""

from functools import reduce

import numpy as np
import pytest
from chains import random_cluster_ising, random_long_range, random_three_body, spin_one

import qep_tn as qt
from qep_tn import Create, Destroy, Number, Sm, Sp, Sx, Sy, Sz, X, Y, Z
from qep_tn.gradients.nudge import Nudge
from qep_tn.gradients.trust import Trust
from qep_tn.hamiltonians.action import Action, Halves, SparsePattern
from qep_tn.hamiltonians.operators import Operator
from qep_tn.hamiltonians.sites import boson, qubit, spin
from qep_tn.solvers import exact
from qep_tn.solvers.lanczos import lowest_eigenpair, lowest_level
from qep_tn.solvers.protocol import Solver
from qep_tn.solvers.sectors import basis_in
from qep_tn.states.ground_state import GroundState
from qep_tn.states.state_vector import StateVector

EXACT = qt.ExactDiagonalization()


def dense(operator, sites):
    """The matrix of an operator, product by product, factor by factor."""
    total = np.zeros((1, 1), complex)
    for product, coefficient in operator.terms.items():
        factors = dict(product)
        parts = [
            reduce(np.matmul, [site.operators[name] for name in factors.get(j, ())], np.eye(site.dimension))
            for j, site in enumerate(sites)
        ]
        total = total + coefficient * reduce(np.kron, parts)
    return total * np.eye(np.prod([site.dimension for site in sites])) if len(total) == 1 else total


def mixed_sites(rng):
    """Bosons, spins and qubits on one chain, hopping with complex phases, and a constant."""
    sites = (boson(3), qubit(), spin(2), boson(2), qubit(), spin(3))
    terms = []
    for i, j in ((0, 3), (3, 0)):
        phase = np.exp(1j * (0.7 if i < j else -0.7))
        terms.append(phase * Create(i) * Destroy(j))
    hop = terms[0] + terms[1]
    flips = [(0.3 + 0.2j) * Sp(2) * Sm(5) + (0.3 - 0.2j) * Sm(2) * Sp(5), Sx(2) * Y(1) + Sy(5) * X(4) * Number(0)]
    fields = [Number(0), Number(3) * Number(3), Z(1) + 0.5 * Sz(2), Sx(5), X(4), X(1) * (Create(0) + Destroy(0))]
    H = qt.Hamiltonian(sites, {"t": hop, "f": flips, "h": fields}, fixed=3.0 + 0.2 * Sz(2) * Sz(5))
    return H, {"t": rng.normal(), "f": rng.normal(size=2), "h": rng.normal(size=6)}


def all_pauli_pairs(rng):
    """Every product of two Pauli operators on 8 qubits, in random strengths."""
    pairs = [a(i) * b(j) for i in range(8) for j in range(i) for a in (X, Y, Z) for b in (X, Y, Z)]
    fields = [a(j) for j in range(8) for a in (X, Y, Z)]
    H = qt.Hamiltonian(qt.qubits(8), {"J": pairs, "h": fields}, fixed=-1.5)
    return H, {"J": rng.normal(size=len(pairs)), "h": rng.normal(size=len(fields))}


def long_strings(rng):
    """Products over the whole chain."""
    strings = [reduce(lambda a, b: a * b, [p(j) for j in range(9)]) for p in (X, Y, Z)]
    H = qt.Hamiltonian(qt.qubits(9), {"s": strings, "h": [X(j) + 0.5 * Z(j) for j in range(9)]})
    return H, {"s": rng.normal(size=3), "h": rng.normal(size=9)}


FAMILIES = {
    "cluster": lambda rng: random_cluster_ising("near-critical", 8, rng),
    "three-body": lambda rng: random_three_body(8, rng),
    "long-range": lambda rng: random_long_range(9, rng),
    "spin-1": lambda rng: spin_one(5, rng),
    "mixed": mixed_sites,
    "Pauli pairs": all_pauli_pairs,
    "strings": long_strings,
    "one site": lambda rng: (qt.Hamiltonian(qt.qubits(1), {"h": [X(0), Y(0)]}, fixed=2.0), {"h": rng.normal(size=2)}),
    "two sites": lambda rng: (
        qt.Hamiltonian((qubit(), boson(4)), {"g": X(0) * (Create(1) + Destroy(1)), "w": Number(1)}),
        {"g": 0.4, "w": 1.0},
    ),
    "nothing": lambda rng: (qt.Hamiltonian(qt.qubits(7), {"h": X(0)}), {"h": 0.0}),
}


def built(structure, H, is_complex):
    """The structure of a Hamiltonian, of either kind."""
    parts = (H.coefficient_parts,) if structure is Halves else ()
    return structure.build(H.sites, H.products, *parts, is_complex)


@pytest.mark.parametrize("twist", [0.0, 0.7], ids=["real", "complex"])
def test_the_action_in_a_sector_is_its_block(twist, rng):
    """Bosons in magnetic fields, whose hops have phases; of two sectors in turn, and at two theta."""
    phase = np.exp(1j * twist)
    hops = [phase * Create(j) * Destroy(j + 1) + np.conj(phase) * Create(j + 1) * Destroy(j) for j in range(3)]
    H = qt.Hamiltonian(
        [boson(2)] * 4,
        {"t": hops, "mu": [Number(j) * Number(j) for j in range(4)]},
        fixed=Number(0) + 1.5,
    )
    totals = np.array([sum(levels) for levels in np.ndindex(3, 3, 3, 3)])
    for n in (3, 4, 3):
        theta = {"t": rng.normal(size=3), "mu": rng.normal(size=4)}
        inside = totals == n
        action = H.action(theta, basis_in(H, H.coefficients(theta), {"N": n}))
        matrix = dense(H.operator(theta), H.sites)
        assert action.is_complex == bool(matrix.imag.any())
        state = rng.normal(size=81) + 1j * rng.normal(size=81)
        got = action(state)[inside] + action.constant * state[inside]
        np.testing.assert_allclose(got, matrix[np.ix_(inside, inside)] @ state[inside], atol=1e-13)


@pytest.mark.parametrize("structure", [SparsePattern, Halves])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_action_is_the_matrix(family, structure, rng):
    H, theta = FAMILIES[family](rng)
    matrix, action = dense(H.operator(theta), H.sites), H.action(theta)
    assert action.is_complex == bool(matrix.imag.any())
    apply = built(structure, H, action.is_complex).fill(H.coefficients(theta))
    action = Action(apply, action.dimension, action.is_complex, 0.0, action.norm)
    for state in rng.normal(size=(2, action.dimension)) + 1j * rng.normal(size=(2, action.dimension)):
        np.testing.assert_allclose(action(state), matrix @ state, atol=1e-14 * (1 + np.abs(matrix).sum(axis=1).max()))


@pytest.mark.parametrize("structure", [SparsePattern, Halves])
def test_the_structure_of_a_complex_hamiltonian_serves_every_theta(structure, rng):
    H, theta = mixed_sites(rng)
    once = built(structure, H, True)
    for _ in range(3):
        theta = H.unflatten(rng.normal(size=len(H.couplings)))
        state = rng.normal(size=len(matrix := dense(H.operator(theta), H.sites))).astype(complex)
        applied = once.fill(H.coefficients(theta))(state.view(float)).view(complex)
        np.testing.assert_allclose(applied, matrix @ state, atol=1e-12)


def test_couplings_of_y_that_vanish_leave_a_real_problem():
    H = qt.Hamiltonian(qt.qubits(7), {"x": sum(X(j) * X(j + 1) for j in range(6)), "y": Y(2), "z": [Z(3), Z(4)]})
    real = EXACT.ground_state(H, {"x": 0.7, "y": 0.0, "z": [1.0, 0.4]})
    assert real.state.vector.dtype == float
    complex_start = EXACT.ground_state(H, {"x": 0.7, "y": 0.3, "z": [1.0, 0.4]})
    assert complex_start.state.vector.dtype == complex
    again = EXACT.ground_state(H, {"x": 0.7, "y": 0.0, "z": [1.0, 0.4]}, start=complex_start)
    assert again.state.vector.dtype == float
    assert again.energy == pytest.approx(real.energy, rel=1e-13)


@pytest.mark.parametrize("size", ["small", "halves"])
@pytest.mark.parametrize("family", FAMILIES)
def test_ground_state_and_gap_are_those_of_the_full_spectrum(family, size, rng, monkeypatch):
    if size == "halves":
        monkeypatch.setattr("qep_tn.hamiltonians.action._SMALL", 0)
    H, theta = FAMILIES[family](rng)
    matrix = dense(H.operator(theta), H.sites)
    energies, vectors = np.linalg.eigh(matrix)
    norm = np.abs(energies).max() or 1.0
    found = EXACT.ground_state(H, theta)
    assert found.energy == pytest.approx(energies[0], abs=1e-13 * norm)
    assert found.gap == pytest.approx(energies[1] - energies[0], abs=1e-11 * norm)
    residual = matrix @ found.state.vector - found.energy * found.state.vector
    assert np.linalg.norm(residual) < 1e-14 * norm
    assert found.energy_variance == pytest.approx(0, abs=(1e-14 * norm) ** 2)
    if energies[1] - energies[0] > 1e-6:
        assert abs(np.vdot(vectors[:, 0], found.state.vector)) == pytest.approx(1, abs=1e-12)


def nearly_degenerate(kind, rng):
    """Chains whose lowest levels are one, or almost."""
    if kind == "glass":  # a level and its mirror image, of a diagonal matrix
        H, theta = random_long_range(9, rng)
        return H, theta | {"h": np.zeros(9)}
    if kind == "free spins":  # sixteenfold
        return qt.Hamiltonian(qt.qubits(9), {"J": [X(j) * Z(j + 1) for j in range(5)]}), {"J": rng.normal(size=5)}
    if kind == "multiplet":  # nearly sixteenfold
        H = qt.Hamiltonian(qt.qubits(9), {"J": [X(j) * Z(j + 1) for j in range(5)], "h": [Z(j) for j in range(9)]})
        return H, {"J": 1 + rng.random(5), "h": 1e-6 * rng.normal(size=9)}
    H = qt.models.transverse_field_ising(9)  # "tunnelling" between two ferromagnets
    return H, {"J": 1.0, "h": {"tunnelling": 0.2, "weak tunnelling": 0.05, "none": 0.0}[kind]}


@pytest.mark.parametrize("kind", ["glass", "free spins", "multiplet", "tunnelling", "weak tunnelling", "none"])
def test_nearly_degenerate_levels_are_told_apart(kind, rng):
    H, theta = nearly_degenerate(kind, rng)
    energies = np.linalg.eigvalsh(dense(H.operator(theta), H.sites))
    found = EXACT.ground_state(H, theta)
    assert found.energy == pytest.approx(energies[0], rel=1e-12)
    assert found.gap == pytest.approx(energies[1] - energies[0], abs=1e-11)
    if energies[1] - energies[0] < 1e-13:
        with pytest.warns(qt.DegenerateGroundStateWarning):
            assert not qt.gradient(H, theta, qt.Expectation(Z(2)), solver=EXACT).trustworthy


def test_a_start_in_another_invariant_subspace_does_not_hide_the_ground_state(rng):
    H = qt.Hamiltonian(
        qt.qubits(8), {"J": [X(j) * X(j + 1) + Y(j) * Y(j + 1) for j in range(7)], "h": sum(map(Z, range(8)))}
    )
    theta = {"J": rng.uniform(0.5, 1.5, 7), "h": 0.4}
    energies, vectors = np.linalg.eigh(dense(H.operator(theta), H.sites).real)
    up = np.zeros(256)
    up[0] = 1  # fully polarised: an eigenstate
    mean = up + np.eye(256)[1]  # no eigenstate, of two values of the conserved magnetization
    for vector in (up, mean, vectors[:, 1], vectors[:, 17], vectors[:, 0] + 1e-9 * vectors[:, 3]):
        start = GroundState(0.0, StateVector(H.sites, vector / np.linalg.norm(vector)), H.sites, 0.0)
        found = EXACT.ground_state(H, theta, start=start)
        assert found.energy == pytest.approx(energies[0], rel=1e-13)
        assert found.gap == pytest.approx(energies[1] - energies[0], abs=1e-11)


@pytest.mark.parametrize("family", ["three-body", "mixed", "spin-1", "cluster"])
def test_nudged_states_are_ground_states(family, rng):
    H, theta = FAMILIES[family](rng)
    nudged = H.with_parameter(
        "nudge", [Y(1) * H.couplings[0] + H.couplings[0] * Y(1) if family == "mixed" else H.couplings[-1]]
    )
    at = lambda s: {**theta, "nudge": np.array([s])}  # noqa: E731
    free = EXACT.ground_state(H, theta)
    # of the last ones the norm is not small against the gap
    strengths = [s * free.gap for s in (1e-5, -1e-5, 1.4e-5, -1.4e-5, 3.0, -3.0)]
    for strength, state in zip(strengths, EXACT.nudged_states(nudged, at, strengths, free), strict=True):
        matrix = dense(nudged.operator(at(strength)), H.sites)
        energies, vectors = np.linalg.eigh(matrix)
        norm = np.abs(energies).max()
        assert state.energy == pytest.approx(energies[0], abs=1e-13 * norm)
        if energies[1] - energies[0] > 1e-3:
            assert abs(np.vdot(vectors[:, 0], state.state.vector)) == pytest.approx(1, abs=1e-12)
        assert np.linalg.norm(matrix @ state.state.vector - state.energy * state.state.vector) < 1e-14 * norm


def test_a_nudge_across_a_level_crossing_finds_the_other_branch():
    H = qt.Hamiltonian(qt.qubits(7), {"J": -sum(Z(j) * Z(j + 1) for j in range(6)), "h": Z(0)})
    theta = {"J": 1.0, "h": 1e-3}
    nudged = H.with_parameter("nudge", [Z(6)])
    at = lambda s: {**theta, "nudge": np.array([s])}  # noqa: E731
    free = EXACT.ground_state(H, theta)
    kept, crossed = EXACT.nudged_states(nudged, at, [1e-4, -1e-2], free)
    assert kept.fidelity(free) == pytest.approx(1)
    assert crossed.fidelity(free) == pytest.approx(0, abs=1e-12)


def test_other_solvers_nudge_one_state_after_another(rng):
    class Plain(Solver):
        def ground_state(self, H, theta, start=None):
            return EXACT.ground_state(H, theta)

    H, theta = FAMILIES["three-body"](rng)
    loss = qt.Expectation(H.couplings[0])
    ours, theirs = (H.flatten(qt.gradient(H, theta, loss, solver=s).gradient) for s in (EXACT, Plain()))
    np.testing.assert_allclose(ours, theirs, atol=1e-8 * np.abs(ours).max())


@pytest.mark.parametrize("family", ["three-body", "mixed", "long-range"])
def test_linear_response_is_the_sum_over_states(family, rng):
    H, theta = FAMILIES[family](rng)
    energies, vectors = np.linalg.eigh(dense(H.operator(theta), H.sites))
    perturbation = H.couplings[0] + 0.3 * H.couplings[-1]
    free = EXACT.ground_state(H, theta)
    found, error = EXACT.perturbed_expectations(H, theta, free, perturbation, H.products)
    nudge = vectors.conj().T @ dense(perturbation, H.sites) @ vectors[:, 0]
    response = vectors[:, 1:] @ (nudge[1:] / (energies[0] - energies[1:]))
    psi = vectors[:, 0]
    for value, product in zip(found, H.products, strict=True):
        matrix = dense(Operator({product: 1.0}), H.sites)
        expected = np.vdot(response, matrix @ psi) + np.vdot(psi, matrix @ response)
        assert value == pytest.approx(
            expected, abs=1e-12 * (1 + np.linalg.norm(response)) * max(1, np.abs(matrix).max())
        )
    assert error < 1e-11 * (1 + np.linalg.norm(response))


@pytest.mark.parametrize("family", ["mixed", "Pauli pairs", "strings", "one site"])
def test_expectation_values_are_those_of_dense_matrices(family, rng):
    H, _ = FAMILIES[family](rng)
    products = (*H.products, ((0, ("X" if "X" in H.sites[0].operators else "Create",)),), ())
    dimension = int(np.prod([site.dimension for site in H.sites]))
    ket, bra = rng.normal(size=(2, dimension)) + 1j * rng.normal(size=(2, dimension))
    for other in (ket, bra, ket.real.copy()):
        found = StateVector(H.sites, ket).matrix_elements(other, products)
        expected = [np.vdot(other, dense(Operator({p: 1.0}), H.sites) @ ket) for p in products]
        np.testing.assert_allclose(found, expected, atol=1e-12 * np.linalg.norm(ket) * np.linalg.norm(other))


@pytest.mark.parametrize("room", [12, 600])
@pytest.mark.parametrize("distance", [1.0, 1e-5, 1e-9, 1e-13])
def test_lanczos_reaches_rounding_from_near_and_far(distance, room, rng):
    H, theta = random_three_body(9, rng)
    action = H.action(theta)
    energies, vectors = np.linalg.eigh(dense(H.operator(theta), H.sites))
    start = vectors[:, 0] + distance * rng.normal(size=512) / np.sqrt(512)
    start = action.floats(start)
    pair = lowest_eigenpair(action, start, 2000, np.empty((room, start.size)))
    assert pair.converged
    assert pair.energy == pytest.approx(energies[0], abs=1e-13 * pair.norm)
    assert pair.residual < 1e-14 * np.abs(energies).max()
    above, settled = lowest_level(action, action.floats(rng.normal(size=512)), pair.vector, 2000)
    assert settled
    assert above == pytest.approx(energies[1], abs=1e-12 * np.abs(energies).max())


def test_a_search_that_runs_out_of_steps_is_taken_up_by_another_method(rng, monkeypatch):
    monkeypatch.setattr(exact, "_STEPS", 8)
    H, theta = FAMILIES["mixed"](rng)
    energies = np.linalg.eigvalsh(dense(H.operator(theta), H.sites))
    found = EXACT.ground_state(H, theta)
    assert found.energy == pytest.approx(energies[0], abs=1e-12)
    assert found.gap == pytest.approx(energies[1] - energies[0], abs=1e-11)


def test_a_large_constant_costs_no_digits(rng):
    H, theta = random_three_body(8, rng)
    shifted = qt.Hamiltonian(H.sites, H.parameters, fixed=H.fixed + 1e6)
    low, high = EXACT.ground_state(H, theta), EXACT.ground_state(shifted, theta)
    assert high.energy - 1e6 == pytest.approx(low.energy, abs=1e-9)
    assert high.gap == pytest.approx(low.gap, abs=1e-12)
    assert high.energy_variance < 1e-26


def test_a_hamiltonian_without_any_coupling_has_zero_energy_and_a_degenerate_ground_state():
    H = qt.Hamiltonian(qt.qubits(8), {"h": [-X(j) for j in range(8)]})
    theta = {"h": np.zeros(8)}
    assert qt.ExactDiagonalization().ground_state(H, theta).energy == 0
    with pytest.warns(qt.DegenerateGroundStateWarning):
        assert not qt.gradient(H, theta, qt.Expectation(X(2)), solver=qt.ExactDiagonalization()).trustworthy


def test_linear_response_of_one_of_two_degenerate_states_is_not_trusted():
    # a field that parts them by less than energies are resolved, so that conjugate gradients still have an answer
    H = qt.Hamiltonian(qt.qubits(8), {"J": -sum(Z(j) * Z(j + 1) for j in range(7)), "p": -Z(0)})
    with pytest.warns(qt.DegenerateGroundStateWarning):
        result = qt.gradient(
            H, {"J": 1.0, "p": 1e-12}, qt.Expectation(Z(4)), solver=qt.ExactDiagonalization(), scheme="linear-response"
        )
    assert result.status is Trust.DEGENERATE


@pytest.mark.parametrize("seed", [0, 130, 133])
def test_gap_that_proves_nudged_states_lowest_is_no_band_above_the_level(seed):
    """Of these starts two have little of the first level, a flipped magnet; the Ritz vector rests on the band above."""
    ring = qt.Hamiltonian(
        qt.qubits(10),
        {
            "J": -sum(Z(i) * Z((i + 1) % 10) for i in range(10)),
            "x": -sum(X(j) for j in range(10)),
            "z": -sum(Z(j) for j in range(10)),
        },
    )
    theta = {"J": 1.0, "x": 0.05, "z": 0.05}
    exact, solver = qt.ExactDiagonalization(), qt.ExactDiagonalization(seed=seed, tolerance=1e-4)
    free = solver.ground_state(ring, theta)
    assert free.gap == pytest.approx(exact.ground_state(ring, theta).gap, rel=0.1)
    nudge = Nudge(ring, theta, (Z(0),), np.array([1.0]))
    (nudged,) = solver.nudged_states(nudge.hamiltonian, nudge.at, [0.6], free)
    assert nudged.energy == pytest.approx(exact.ground_state(nudge.hamiltonian, nudge.at(0.6)).energy, abs=1e-6)
