"""Losses of distant operators and states of low entanglement: right, or not trusted; and what certifies a gradient."""

from dataclasses import replace

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import X, Y, Z
from qep_tn.gradients import room
from qep_tn.gradients.error_bars import signal_error
from qep_tn.gradients.nudge import Level, Nudge
from qep_tn.gradients.operator_bases import with_operator
from qep_tn.gradients.residual import response_residual
from qep_tn.gradients.whole_chain import with_lowest_states
from qep_tn.hamiltonians.hamiltonian import sparse_matrix
from qep_tn.hamiltonians.mpo import of_one_type
from qep_tn.hamiltonians.sites import qubit, spin
from qep_tn.kernels import residual_overlap
from qep_tn.states.mps import MPS

SOLVERS = [qt.NumbaDMRG(), qt.QuimbDMRG(), pytest.param(qt.TenpyDMRG(), marks=pytest.mark.slow)]
ALL = pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: type(solver).__name__)


def dot(i, j):
    return 0.25 * (X(i) * X(j) + Y(i) * Y(j) + Z(i) * Z(j))


def error_of(result, H, theta, observable):
    """Distance to the exact gradient, and its norm."""
    exact = qt.gradient(
        H, theta, qt.Expectation(observable), solver=qt.ExactDiagonalization(), scheme="linear-response"
    )
    exact = H.flatten(exact.gradient)
    return np.linalg.norm(H.flatten(result.gradient) - exact), np.linalg.norm(exact)


def distant_pair(length, g):
    """A paramagnet, and two distant spins' coupling that is zero."""
    return qt.Hamiltonian(
        qt.qubits(length),
        {"c": -Z(10) * Z(30), "g": -sum(Z(j) * Z(j + 1) for j in range(length - 1))},
        fixed=-sum(X(j) for j in range(length)),
    ), {"c": 0.0, "g": g}


def test_two_distant_spins_respond_to_their_coupling_as_perturbation_theory_says():
    # each flip costs 2, so d<ZZ>/dc = 2 / 4; neighbours change it in second order of g
    for g, tolerance in ((0.0, 5e-5), (0.1, 0.03)):  # half of what rtol asks for
        H, theta = distant_pair(60, g)
        result = qt.gradient(H, theta, qt.Expectation(Z(10) * Z(30)), solver=qt.NumbaDMRG())
        assert result.trustworthy
        assert result.gradient["c"] == pytest.approx(0.5, abs=tolerance)


def test_a_distant_response_equals_its_finite_difference():
    H, theta = distant_pair(60, 0.5)
    solver = qt.NumbaDMRG()
    result = qt.gradient(H, theta, qt.Expectation(Z(10) * Z(30)), solver=solver)
    # small enough for the difference's error, of third order; coupled states hold the product
    step = 0.02
    values = [solver.ground_state(H, {**theta, "c": s * step}).expectation(Z(10) * Z(30)) for s in (1, -1)]
    assert result.trustworthy
    assert result.gradient["c"] == pytest.approx((values[0] - values[1]) / (2 * step), rel=2e-3)


@ALL
def test_products_across_singlet_pairs(solver):
    length = 12 if isinstance(solver, qt.NumbaDMRG) else 8  # the libraries take their time
    H = qt.Hamiltonian(
        qt.qubits(length),
        {"J": [dot(j, j + 1) for j in range(length - 1)], "c": [Z(0) * Z(j) for j in range(1, length)]},
    )
    theta = {"J": (np.arange(length - 1) + 1) % 2, "c": np.zeros(length - 1)}
    result = qt.gradient(H, theta, qt.Expectation(Z(0) * Z(4)), solver=solver)
    error, norm = error_of(result, H, theta, Z(0) * Z(4))
    assert norm == pytest.approx(np.sqrt(2), abs=1e-3)
    assert error <= 1e-3 * norm
    assert result.trustworthy


def majumdar_ghosh(length):
    return qt.Hamiltonian(
        qt.qubits(length),
        {"J1": sum(dot(j, j + 1) for j in range(length - 1)), "J2": sum(dot(j, j + 2) for j in range(length - 2))},
    ), {"J1": 1.0, "J2": 0.5}


@ALL
def test_the_majumdar_ghosh_point_where_every_other_bond_has_dimension_one(solver):
    length = 14 if isinstance(solver, qt.NumbaDMRG) else 10
    H, theta = majumdar_ghosh(length)
    observable = Z(length // 2) * Z(length // 2 + 1)
    result = qt.gradient(H, theta, qt.Expectation(observable), solver=solver)
    error, norm = error_of(result, H, theta, observable)
    assert error <= 1e-4 * norm
    assert error <= 10 * np.linalg.norm(H.flatten(result.error))
    assert result.trustworthy


def test_a_long_majumdar_ghosh_chain_against_its_finite_difference():
    H, theta = majumdar_ghosh(40)
    solver = qt.NumbaDMRG()
    result = qt.gradient(H, theta, qt.Expectation(Z(19) * Z(20)), solver=solver)
    step = 1e-3  # the error of a symmetric difference is of its square
    values = [solver.ground_state(H, {**theta, "J2": 0.5 + s * step}).expectation(Z(19) * Z(20)) for s in (1, -1)]
    assert result.trustworthy
    assert result.gradient["J2"] == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-3)


def product_state(rng):
    length = 11
    H = qt.Hamiltonian(
        qt.qubits(length),
        {"h": [-X(j) for j in range(length)], "c": [Z(0) * Z(j) for j in range(1, length)], "four": Z(0) * Y(3) * Y(6)},
    )
    return H, {"h": rng.uniform(0.8, 1.3, length), "c": np.zeros(length - 1), "four": 0.0}


def aklt(rng):
    spins = (qt.Sx, qt.Sy, qt.Sz)
    pair = [sum((s(j) * s(j + 1) for s in spins[1:]), spins[0](j) * spins[0](j + 1)) for j in range(6)]
    bulk = [p + (1 / 3) * p * p for p in pair[1:-1]]
    H = qt.Hamiltonian(
        (qubit(), *([spin(2)] * 5), qubit()),
        {"J": bulk, "ends": [pair[0], pair[-1]], "z": [qt.Sz(0) * qt.Sz(j) for j in range(1, 7)]},
    )
    return H, {"J": rng.uniform(0.9, 1.1, 4), "ends": np.ones(2), "z": np.zeros(6)}


def cluster_state(rng):
    length = 10
    stabilizers = [X(0) * Z(1), *(Z(j) * X(j + 1) * Z(j + 2) for j in range(length - 2)), Z(length - 2) * X(length - 1)]
    H = qt.Hamiltonian(
        qt.qubits(length), {"g": [-s for s in stabilizers], "z": [Z(2) * Z(j) for j in range(length) if j != 2]}
    )
    return H, {"g": rng.uniform(0.8, 1.2, length), "z": np.zeros(length - 1)}


def xxz(rng):
    length = 10
    H = qt.Hamiltonian(
        qt.qubits(length),
        {
            "xy": sum(X(j) * X(j + 1) + Y(j) * Y(j + 1) for j in range(length - 1)),
            "zz": [Z(j) * Z(j + 1) for j in range(length - 1)],
            "z": [Z(1) * Z(j) for j in range(length) if j != 1],
        },
    )
    return H, {"xy": 1.0, "zz": rng.uniform(0.2, 0.8, length - 1), "z": np.zeros(length - 1)}


CASES = [
    (product_state, Z(1) * Z(9)),
    (product_state, Z(0) * Y(4) * Z(10)),
    (product_state, Z(0) * Y(3) * Y(6) * Z(10)),
    (aklt, qt.Sz(0) * qt.Sz(4)),
    (aklt, qt.Sx(1) * qt.Sx(5)),
    (cluster_state, Z(0) * Z(2) * Z(7) * Z(9)),
    (cluster_state, Z(3) * X(4) * Z(5) * Z(8)),
    (xxz, Z(0) * Z(9)),
    (xxz, X(1) * X(4) * Z(6) * Z(8)),
]


@pytest.mark.parametrize(("chain", "observable"), CASES, ids=lambda case: getattr(case, "__name__", None))
def test_distant_products_of_two_to_four_operators_equal_linear_response(chain, observable, rng):
    H, theta = chain(rng)
    result = qt.gradient(H, theta, qt.Expectation(observable), solver=qt.NumbaDMRG())
    error, norm = error_of(result, H, theta, observable)
    # a thousandth of the norm; or rtol, of what a gradient that is not zero by symmetry would have
    assert error <= 1e-3 * max(norm, 0.1 * result.natural_size)
    assert error <= 10 * np.linalg.norm(H.flatten(result.error))
    assert result.trustworthy


def test_a_manifold_that_cannot_see_the_nudge_is_found_out(monkeypatch):
    monkeypatch.setattr(room, "with_operator", lambda state, *_: state)
    H, theta = distant_pair(40, 0.0)
    result = qt.gradient(H, theta, qt.Expectation(Z(10) * Z(30)), solver=qt.NumbaDMRG())
    assert abs(result.gradient["c"]) < 0.1  # exact: 0.5
    assert result.residual == pytest.approx(1, abs=0.1)
    assert not result.trustworthy
    assert "residual" in result.message


def ising(length=10):
    H = qt.Hamiltonian(
        qt.qubits(length),
        {"h": [-X(j) for j in range(length)], "J": [-Z(j) * Z(j + 1) for j in range(length - 1)]},
    )
    return H, {"h": np.full(length, 1.3), "J": np.full(length - 1, 0.7)}


@ALL
@pytest.mark.parametrize("rtol", [1e-2, 1e-4])
def test_the_gradient_of_a_loss_at_its_target_is_zero_and_trusted(solver, rtol):
    H, theta = ising()
    observables = [X(3), Z(4) * Z(5)]
    targets = qt.ExactDiagonalization().ground_state(H, theta).expectation(observables)
    result = qt.gradient(H, theta, 3 * qt.MeanSquaredError(observables, targets), solver=solver, rtol=rtol)
    # what truncation leaves of the values, and their error with it
    assert np.linalg.norm(H.flatten(result.gradient)) <= np.linalg.norm(H.flatten(result.error)) < 1e-5 * rtol
    assert result.trustworthy
    assert result.residual < 0.01


@ALL
@pytest.mark.parametrize("nudge", [{"beta": 1e-8}, {"rtol": 1e-6, "scheme": "one-sided"}], ids=["faint", "one-sided"])
def test_a_residual_below_rounding_is_told_by_a_stronger_nudge(solver, nudge, monkeypatch):
    H, theta = ising()
    result = qt.gradient(H, theta, qt.Expectation(X(3)), solver=solver, **nudge)
    error, norm = error_of(result, H, theta, X(3))
    assert error < 1e-5 * norm
    assert result.trustworthy
    assert result.residual <= 0.01
    if isinstance(solver, qt.NumbaDMRG):
        monkeypatch.setattr(room, "with_operator", lambda state, *_: state)
        H, theta = distant_pair(40, 0.0)
        result = qt.gradient(H, theta, qt.Expectation(Z(10) * Z(30)), solver=solver, **nudge)
        assert result.residual == pytest.approx(1, abs=0.1)
        assert not result.trustworthy


def test_an_uncertain_signal_leaves_the_gradient_as_uncertain_where_two_outputs_cancel():
    """Of one output, the response is known; of two, only their sum with these signals."""
    H, theta = ising()
    state = qt.ExactDiagonalization().ground_state(H, theta)
    for observables in ((X(3),), (X(3), X(6))):
        values, off = state.expectation(observables), 1e-6 * np.array([1, -1])[: len(observables)]
        nudge = Nudge(H, theta, observables, 2 * off)
        level = Level(1e-3, np.full(len(H.couplings), 1e-3), state)
        error = signal_error(nudge, qt.MeanSquaredError(observables, values - off), values + 1e-8, level)
        alone = 1e-8 / 1e-6 * level.gradient
        if len(observables) == 1:
            np.testing.assert_allclose(error, alone, rtol=1e-3)
        else:
            assert (error >= 0.5e-2 / nudge.energy_scale).all()


def test_values_that_the_bonds_do_not_hold_make_a_gradient_near_the_target_uncertain(rng):
    H = qt.models.cluster_ising(9, local=True)
    theta = {name: rng.uniform(0.9, 1.1, len(operators)) for name, operators in H.parameters.items()}
    observables = [X(4), Z(2) * Z(3)]
    targets = qt.ExactDiagonalization().ground_state(H, theta).expectation(observables)
    for bond in (4, 8):
        result = qt.gradient(H, theta, qt.MeanSquaredError(observables, targets), solver=qt.NumbaDMRG(max_bond=bond))
        # the exact one is zero
        assert np.linalg.norm(H.flatten(result.gradient)) <= 10 * np.linalg.norm(H.flatten(result.error))


@pytest.mark.parametrize("field", [1e-5, 3e-4])
def test_between_levels_closer_than_the_first_nudge_the_bias_is_that_of_the_last(field):
    """Where the first nudges mix two levels all the way, their difference tells no curvature."""
    H = qt.Hamiltonian(
        qt.qubits(8),
        {"h": [-X(j) for j in range(8)], "J": [-Z(j) * Z(j + 1) for j in range(7)], "p": -Z(0)},
    )
    theta = {"h": np.full(8, 0.4), "J": np.ones(7), "p": field}
    assert qt.ExactDiagonalization().ground_state(H, theta).gap < 2e-3
    result = qt.gradient(H, theta, qt.Expectation(Z(5)), solver=qt.NumbaDMRG())
    error, norm = error_of(result, H, theta, Z(5))
    assert error <= 5 * np.linalg.norm(H.flatten(result.error))
    assert error <= 2e-3 * norm
    assert result.trustworthy


def test_a_nudged_state_that_lies_lower_takes_nothing_else_from_its_level():
    H, theta = ising(8)
    solver = qt.NumbaDMRG()
    free = solver.ground_state(H, theta)
    nudge = Nudge(H, theta, (X(3),), np.ones(1))
    excited = solver.excited_state(
        nudge.hamiltonian, nudge.at(0.1), [solver.ground_state(nudge.hamiltonian, nudge.at(0.1))]
    )
    bound = np.full(len(H.couplings), 0.3)
    level = Level(
        0.1, np.zeros(len(H.couplings)), free, order=1, overlap=0.0, settled=False, last_change=bound, left_out=bound,
        assemble=lambda: (excited,), limited=True,
    )  # fmt: skip
    lowest = with_lowest_states(solver, nudge, "one-sided", level)
    assert lowest.nudged[0].energy < excited.energy - 0.1
    assert lowest.overlap > 0.9
    assert 0 < lowest.residual < 1e-3
    assert (lowest.settled, lowest.limited) == (False, True)
    np.testing.assert_array_equal(lowest.left_out, bound)
    np.testing.assert_array_equal(lowest.last_change, bound)


def test_the_residual_is_that_of_dense_vectors_and_of_one_nudged_state_alike(rng):
    length = 9
    H = qt.Hamiltonian(
        qt.qubits(length),
        {
            "J": [X(j) * X(j + 1) + Y(j) * Y(j + 1) + 0.3 * X(j) * Y(j + 1) for j in range(length - 1)],
            "h": [Z(j) + 0.5 * Y(j) for j in range(length)],
        },
    )
    theta = {"J": rng.uniform(0.5, 1.5, length - 1), "h": rng.uniform(0.2, 0.6, length)}
    observable = Z(2) * Z(6)
    # bonds too small for the state, so that there is a residual
    solver, loss = qt.NumbaDMRG(max_bond=5), qt.Expectation(observable)
    result = qt.gradient(H, theta, loss, solver=solver)
    matrix = sparse_matrix(observable, H.sites)
    residuals = []
    for sign, state in zip((1, -1), result.nudged, strict=True):
        psi = state.state.to_dense()
        applied = H.to_sparse(theta) @ psi + sign * result.beta * (matrix @ psi)
        residuals.append((applied - np.vdot(psi, applied) * psi, psi))
    (r_plus, plus), (r_minus, minus) = residuals
    phase = np.vdot(minus, plus)
    difference = r_plus - phase / abs(phase) * r_minus
    spread = np.linalg.norm(matrix @ plus - np.vdot(plus, matrix @ plus) * plus)
    assert result.residual == pytest.approx(np.linalg.norm(difference) / (2 * result.beta * spread), rel=1e-3)
    # the phase of either state is anybody's choice
    strengths = (result.beta, -result.beta)
    turned = replace(
        result.nudged[1].state,
        tensors=tuple(t * np.exp(0.7j * (n == 0)) for n, t in enumerate(result.nudged[1].state.tensors)),
    )
    states = (result.nudged[0], replace(result.nudged[1], state=turned))
    nudge = Nudge(H, theta, (observable,), np.ones(1))
    assert response_residual(nudge, states, strengths) == pytest.approx(result.residual, rel=1e-6)
    one_sided = qt.gradient(H, theta, loss, solver=solver, scheme="one-sided")
    assert one_sided.residual == pytest.approx(result.residual, rel=0.1)


@pytest.mark.parametrize("dtype", [float, complex])
def test_residual_overlaps_are_those_of_dense_algebra(dtype, rng):
    sites = (qubit(), spin(2), qubit(), qubit(), spin(2), qubit())
    operators = [qt.Sx(j) * qt.Sz(j + 1) + 0.3 * qt.Sz(j) * qt.Sx((j + 3) % 6) for j in range(5)]
    operators += [qt.Sy(0) * qt.Sx(5)] if dtype is complex else []
    H = qt.Hamiltonian(sites, {"J": operators})
    thetas = [{"J": rng.normal(size=len(operators))} for _ in range(2)]
    states = [MPS.random(sites, bond, seed, dtype) for bond, seed in ((5, 1), (3, 2))]
    filled = [H.mpo.fill_blocks(H.coefficients(theta)) for theta in thetas]
    bra_mpo, bra, ket = of_one_type(filled[0], *(state.packed for state in states))
    ket_mpo, _ = of_one_type(filled[1], bra)
    value = residual_overlap(bra_mpo, bra, 0.7, ket_mpo, ket, -0.4)
    bra_vector, ket_vector = (
        H.to_sparse(theta) @ state.to_dense() - shift * state.to_dense()
        for theta, state, shift in zip(thetas, states, (0.7, -0.4), strict=True)
    )
    assert value == pytest.approx(np.vdot(bra_vector, ket_vector), abs=1e-12)


OPERATORS = [
    Z(1) * Z(5),
    X(0) + Z(2) * Y(6) * Z(8) + 3,
    sum(Z(j) * X(j + 1) for j in range(8)),
    2 * X(4),
    Y(0) * Y(8),
    X(8),
]


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_bonds_hold_the_operator_applied_to_the_state(operator, dtype):
    state = MPS.random(qt.qubits(9), 5, 1, dtype)
    psi = state.to_dense()
    applied = sparse_matrix(operator - operator.terms.get((), 0), state.sites) @ psi
    room = with_operator(state, operator, 0.0, 1000)
    np.testing.assert_allclose(room.to_dense(), psi, atol=1e-12)
    for tensor in room.tensors:
        rows = tensor.reshape(len(tensor), -1)
        np.testing.assert_allclose(rows @ rows.conj().T, np.eye(len(rows)), atol=1e-12)
    mixed = with_operator(state, operator, 0.3, 1000).to_dense()
    expected = psi + 0.3 * applied
    assert abs(np.vdot(mixed, expected)) == pytest.approx(np.linalg.norm(expected), abs=1e-10)
    assert len(with_operator(state, operator, 0.0, 6).tensors[4]) <= 6
