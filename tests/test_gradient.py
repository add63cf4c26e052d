"""The identities that a QEP gradient obeys."""

import warnings

import numpy as np
import pytest
from chains import figures_of_merit, random_cluster_ising, random_three_body, spin_one
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import qep_tn as qt
from qep_tn import X, Z

SOLVERS = [qt.ExactDiagonalization(), qt.NumbaDMRG(), qt.TenpyDMRG(), qt.QuimbDMRG()]


def name_of(solver):
    return type(solver).__name__


def finite_difference(H, theta, loss, solver, step, couplings, start=None):
    """Central difference of the loss in some couplings, each solve warm-started from `start`."""
    vector, slopes = H.flatten(theta), []
    for k in couplings:
        values = []
        for sign in (1, -1):
            moved = vector.copy()
            moved[k] += sign * step
            state = solver.ground_state(H, H.unflatten(moved), start=start)
            values.append(loss.value(state.expectation(loss.observables)))
        slopes.append((values[0] - values[1]) / (2 * step))
    return np.array(slopes)


def assert_right_on_a_random_hamiltonian(solvers, seed, length):
    H, theta = random_three_body(length, np.random.default_rng(seed))
    loss = qt.Expectation(X(2) * Z(5) + 0.5 * qt.Y(4))
    exact = qt.ExactDiagonalization().ground_state(H, theta)
    assume(exact.gap > 1e-2)  # components are as large as 1/gap, and so are their errors
    expected = H.flatten(qt.gradient(H, theta, loss, solver=SOLVERS[0], scheme="linear-response").gradient)
    for solver in solvers:
        result = qt.gradient(H, theta, loss, solver=solver, rtol=1e-7)
        assert result.free.energy == pytest.approx(exact.energy, abs=1e-8)
        assert result.trustworthy
        np.testing.assert_allclose(H.flatten(result.gradient), expected, atol=1e-6)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**6), st.integers(7, 10))
def test_gradients_are_exact_on_random_three_body_hamiltonians(seed, length):
    assert_right_on_a_random_hamiltonian(SOLVERS[:2], seed, length)


@pytest.mark.parametrize("solver", SOLVERS[2:], ids=name_of)
def test_gradients_by_a_library_are_exact_on_a_random_three_body_hamiltonian(solver):
    assert_right_on_a_random_hamiltonian([solver], 20, 7)


@pytest.mark.slow
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**6), st.integers(8, 10))
def test_gradients_by_libraries_are_exact_on_random_three_body_hamiltonians(seed, length):
    assert_right_on_a_random_hamiltonian(SOLVERS[2:], seed, length)


@pytest.mark.parametrize(
    "loss",
    [
        qt.Expectation(X(2) * X(4)),
        qt.Magnitude(-Z(1) * Z(3)),
        -2 * qt.Expectation(X(3)),
        qt.MeanSquaredError([X(1), Z(2) * Z(5)], [0.2, 0.9]),
        qt.FunctionLoss([X(0), X(4)], lambda v: v[0] * np.sin(v[1]), lambda v: [np.sin(v[1]), v[0] * np.cos(v[1])]),
    ],
)
@pytest.mark.parametrize("scheme", ["symmetric", "one-sided", "linear-response"])
def test_gradient_of_every_loss_equals_its_finite_difference(loss, scheme, rng):
    H, theta = random_three_body(7, rng)
    solver = qt.ExactDiagonalization()
    result = qt.gradient(H, theta, loss, solver=solver, scheme=scheme)
    expected = finite_difference(H, theta, loss, solver, 1e-4, range(8))
    # the finite difference is good to 1e-7 or so; a one-sided nudge has a bias of the order of beta
    tolerance = {"symmetric": 1e-6, "one-sided": 1e-3, "linear-response": 1e-6}[scheme]
    np.testing.assert_allclose(H.flatten(result.gradient), expected, atol=tolerance * np.abs(expected).max())
    assert result.value == pytest.approx(loss.value(result.free.expectation(loss.observables)), abs=1e-12)


@pytest.mark.parametrize(
    "solver",
    [
        qt.NumbaDMRG(max_bond=4),
        pytest.param(qt.QuimbDMRG(max_bond=4), marks=pytest.mark.slow),  # half a minute each
        pytest.param(qt.TenpyDMRG(max_bond=4), marks=pytest.mark.slow),
    ],
    ids=name_of,
)
def test_gradient_equals_finite_difference_at_fixed_bond_dimension(solver, rng):
    H, theta = random_cluster_ising("near-critical", 16, rng)
    loss = qt.Expectation(X(6) * X(10))
    free = solver.ground_state(H, theta)
    assert free.truncation_error > 1e-6  # truncation is severe
    result = qt.gradient(H, theta, loss, solver=solver, start=free)
    assert max(result.free.bond_dimensions) == 4
    couplings = [6, 16 + 7, 31 + 6]
    expected = finite_difference(H, theta, loss, solver, 1e-3, couplings, start=result.free)
    ours, exact = (
        H.flatten(qt.gradient(H, theta, loss, solver=s, start=free).gradient)[couplings]
        for s in (solver, qt.FreeFermion())
    )
    assert np.linalg.norm(ours - expected) < 0.01 * np.linalg.norm(expected)
    assert np.linalg.norm(exact - expected) > 0.01 * np.linalg.norm(expected)  # it is the truncated problem's own


@pytest.mark.parametrize("solver", SOLVERS, ids=name_of)
def test_response_matrix_is_symmetric(solver, rng):
    H, theta = random_three_body(4, rng)
    response = qt.response_matrix(H, theta, solver=solver, rtol=1e-6)
    assert np.abs(response).max() > 0.1
    np.testing.assert_allclose(response, response.T, atol=1e-6)
    assert np.linalg.eigvalsh(response).max() < 1e-6  # the ground energy is concave in the couplings


def test_spin_one_gradient_equals_exact(rng):
    H, theta = spin_one(5, rng)
    loss = qt.Expectation(qt.Sz(1) * qt.Sz(3))
    expected = H.flatten(qt.gradient(H, theta, loss, solver=SOLVERS[0], scheme="linear-response").gradient)
    for solver in SOLVERS:
        found = qt.gradient(H, theta, loss, solver=solver, rtol=1e-6)
        np.testing.assert_allclose(H.flatten(found.gradient), expected, atol=1e-6)


@pytest.mark.parametrize(
    "solver",
    [qt.NumbaDMRG(), *(pytest.param(s, marks=pytest.mark.slow) for s in SOLVERS[2:])],  # those a minute each
    ids=name_of,
)
def test_published_gradient_at_128_sites(solver, reference):
    data = np.load(reference / "cluster_ising_128_gradient.npz")
    H = qt.models.cluster_ising(128, local=True)
    theta = {name: data[name] for name in H.parameters}
    exact = H.flatten({name: data[f"grad_{name}"] for name in H.parameters})
    figures = figures_of_merit(H, qt.gradient(H, theta, qt.Expectation(X(61) * X(66)), solver=solver), exact)
    assert figures["relative_error"] <= 1e-4
    assert figures["trustworthy"]
    assert figures["coverage"] >= 0.9
    assert figures["median_estimate_over_median_error"] <= 20


@pytest.mark.parametrize("solver", SOLVERS[2:], ids=name_of)
def test_error_bars_by_a_library_hold(solver, rng):
    H, theta = random_cluster_ising("paramagnet", 20, rng)
    loss = qt.Expectation(X(8) * X(12))
    exact = H.flatten(qt.gradient(H, theta, loss, solver=qt.FreeFermion()).gradient)
    figures = figures_of_merit(H, qt.gradient(H, theta, loss, solver=solver), exact)
    assert figures["relative_error"] <= 1e-4
    assert figures["trustworthy"]
    assert figures["coverage"] >= 0.9


@pytest.mark.parametrize("phase", ["ferromagnet", "cluster"])
def test_error_bars_of_degenerate_phases_hold(phase, rng):
    # two or four ground states, none of which a bulk observable tells apart: nothing to warn of
    H, theta = random_cluster_ising(phase, 24, rng)
    loss = qt.Expectation(X(10) * X(14))
    exact = H.flatten(qt.gradient(H, theta, loss, solver=qt.FreeFermion()).gradient)
    with warnings.catch_warnings():
        warnings.simplefilter("error", qt.DegenerateGroundStateWarning)
        figures = figures_of_merit(H, qt.gradient(H, theta, loss, solver=qt.QuimbDMRG()), exact)
    assert figures["trustworthy"]
    assert figures["relative_error"] <= 1e-4
    assert figures["coverage"] >= 0.9


def test_a_response_that_the_free_states_manifold_lacks_is_found():
    # the free ground state is a product state; its response to Z Z flips pairs, which no product state can follow
    H = qt.Hamiltonian(
        qt.qubits(10),
        {"h": [-X(j) for j in range(10)], "J": [-Z(j) * Z(j + 1) for j in range(9)]},
    )
    theta = {"h": np.linspace(1, 2, 10), "J": np.zeros(9)}
    result = qt.gradient(H, theta, qt.Expectation(Z(4) * Z(5)), solver=qt.TenpyDMRG())
    # second-order perturbation theory: d<ZZ>/dJ = 2/(E_flip) with E_flip = 2 (h_4 + h_5)
    expected = np.zeros(9)
    expected[4] = 1 / (theta["h"][4] + theta["h"][5])
    np.testing.assert_allclose(result.gradient["J"], expected, atol=1e-6)


def test_uniform_gradient_is_the_sum_of_local_ones(rng):
    theta = {"g_x": 1.2, "g_zz": 0.4, "g_zxz": 0.3}
    loss, solver = qt.Expectation(X(2) * X(5)), qt.TenpyDMRG()
    uniform = qt.gradient(qt.models.cluster_ising(8), theta, loss, solver=solver).gradient
    H = qt.models.cluster_ising(8, local=True)
    local_theta = {name: np.full(len(H.parameters[name]), value) for name, value in theta.items()}
    local = qt.gradient(H, local_theta, loss, solver=solver).gradient
    for name in theta:
        assert uniform[name] == pytest.approx(local[name].sum(), abs=1e-7)


def test_a_nudge_that_splits_a_degeneracy_is_flagged():
    # two ferromagnetic ground states, told apart by Z: any nudge by Z selects one
    H = qt.models.transverse_field_ising(8)
    with pytest.warns(qt.DegenerateGroundStateWarning, match="degenerate"):
        result = qt.gradient(H, {"J": 1.0, "h": 0.02}, qt.Expectation(Z(3)), solver=qt.ExactDiagonalization())
    assert not result.trustworthy
    assert result.overlap < 0.7


def test_an_error_signal_of_zero_gives_a_gradient_of_zero(rng):
    H, theta = random_three_body(5, rng)
    target = qt.ExactDiagonalization().ground_state(H, theta).expectation(X(2))
    result = qt.gradient(H, theta, qt.MeanSquaredError([X(2)], [target]), solver=qt.ExactDiagonalization())
    assert np.abs(H.flatten(result.gradient)).max() < 1e-9


def test_looser_rtol_costs_less_bond_dimension_and_keeps_its_promise(rng):
    H, theta = random_cluster_ising("near-critical", 14, rng)
    loss = qt.Expectation(X(5) * X(9))
    exact = H.flatten(qt.gradient(H, theta, loss, solver=qt.FreeFermion()).gradient)
    bonds = []
    for rtol in (1e-2, 1e-4):
        result = qt.gradient(H, theta, loss, solver=qt.QuimbDMRG(), rtol=rtol)
        error = np.linalg.norm(H.flatten(result.gradient) - exact) / np.linalg.norm(exact)
        assert error <= result.relative_error <= rtol
        assert result.converged
        bonds.append(max(result.free.bond_dimensions))
    assert bonds[0] < bonds[1]


def test_an_error_out_of_reach_is_reported(rng):
    H, theta = random_cluster_ising("near-critical", 14, rng)
    result = qt.gradient(H, theta, qt.Expectation(X(5) * X(9)), solver=qt.QuimbDMRG(max_bond=4))
    assert not result.converged
    assert result.relative_error > 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": qt.Expectation(1j * X(0))}, "not Hermitian"),
        ({"loss": qt.Expectation(X(9))}, "site 9 is out of range"),
        ({"loss": X(0)}, "must be a Loss"),
        ({"rtol": 0.0}, "rtol = 0.0"),
        ({"beta": -1.0}, "beta = -1.0"),
        ({"scheme": "two-sided"}, "choose 'symmetric'"),
        ({"scheme": "linear-response", "solver": qt.TenpyDMRG()}, "needs ExactDiagonalization"),
        ({"theta": {"J": np.ones(4), "h": 1.0}}, "has 5 couplings"),
    ],
)
def test_wrong_input_is_named_at_once(change, message, rng):
    H, theta = random_three_body(5, rng)
    arguments = {"theta": theta, "loss": qt.Expectation(X(0)), "solver": qt.ExactDiagonalization()} | change
    with pytest.raises(ValueError, match=message):
        qt.gradient(H, **arguments)


def test_a_start_of_another_size_is_refused(rng):
    H, theta = random_three_body(5, rng)
    other = qt.ExactDiagonalization().ground_state(*random_three_body(6, rng))
    with pytest.raises(ValueError, match="start has 6 sites"):
        qt.gradient(H, theta, qt.Expectation(X(0)), solver=qt.ExactDiagonalization(), start=other)


@pytest.mark.parametrize("kind", [qt.NumbaDMRG, qt.QuimbDMRG])
@pytest.mark.parametrize("max_bond", [1, 2, 3])
def test_tiny_bond_dimensions_own_up_to_their_error(max_bond, kind, rng):
    H, theta = random_cluster_ising("near-critical", 10, rng)
    loss = qt.Expectation(X(4) * X(6))
    exact = H.flatten(qt.gradient(H, theta, loss, solver=qt.FreeFermion()).gradient)
    result = qt.gradient(H, theta, loss, solver=kind(max_bond=max_bond))
    true = np.linalg.norm(H.flatten(result.gradient) - exact) / np.linalg.norm(exact)
    assert not result.converged
    assert result.relative_error >= true


@pytest.mark.parametrize("solver", [qt.NumbaDMRG(), qt.QuimbDMRG()], ids=name_of)
def test_the_error_of_the_error_signal_counts_near_a_target(solver, rng):
    H, theta = random_cluster_ising("paramagnet", 10, rng)
    value = qt.FreeFermion().ground_state(H, theta).expectation(X(4) * X(7))
    loss = qt.MeanSquaredError([X(4) * X(7)], [value + 1e-8])
    exact = H.flatten(qt.gradient(H, theta, loss, solver=qt.FreeFermion()).gradient)
    result = qt.gradient(H, theta, loss, solver=solver, rtol=1e-2)
    assert np.linalg.norm(H.flatten(result.gradient) - exact) <= result.relative_error * np.linalg.norm(exact)


def test_at_a_kink_the_error_is_as_large_as_the_gradient():
    H = qt.models.transverse_field_ising(6)
    result = qt.gradient(H, {"J": 0.3, "h": 1.0}, qt.Magnitude(Z(3)), solver=qt.ExactDiagonalization())
    # <Z> is zero by symmetry; its sign is rounding noise
    assert (np.abs(H.flatten(result.gradient)) <= H.flatten(result.error)).all()
    assert not result.converged


def test_a_loss_that_is_not_finite_is_refused(rng):
    H, theta = random_three_body(5, rng)
    loss = qt.FunctionLoss([X(0)], lambda v: np.nan, lambda v: [1.0])
    with pytest.raises(ValueError, match="must be finite"):
        qt.gradient(H, theta, loss, solver=qt.ExactDiagonalization())


@pytest.mark.parametrize("length", [12, pytest.param(24, marks=pytest.mark.slow)])
def test_cold_dmrg_finds_the_phase_that_a_weak_field_selects(length):
    H = qt.Hamiltonian(
        qt.qubits(length),
        {"g": -sum(X(j) for j in range(length)), "h": -sum(Z(j) for j in range(length))},
        fixed=-sum(Z(j) * Z(j + 1) for j in range(length - 1)),
    )
    for h in (0.05, -0.05):
        for solver in (qt.TenpyDMRG(seed=1), qt.QuimbDMRG()):
            assert np.sign(h) * solver.ground_state(H, {"g": 0.2, "h": h}).expectation(Z(length // 2)) > 0.9


def test_a_thousand_sites_can_be_started():
    state = qt.MPS.random(qt.qubits(1000), 4, seed=0)
    assert state.overlap(state) == pytest.approx(1)


@pytest.mark.parametrize("scheme", ["symmetric", "one-sided"])
def test_a_given_nudge_is_taken_as_it_is(scheme, rng):
    H, theta = random_three_body(7, rng)
    loss = qt.Expectation(X(2) * Z(5))
    exact, compiled = (
        qt.gradient(H, theta, loss, solver=solver, beta=0.05, scheme=scheme)
        for solver in (qt.ExactDiagonalization(), qt.NumbaDMRG())
    )
    np.testing.assert_allclose(H.flatten(compiled.gradient), H.flatten(exact.gradient), atol=1e-6)


def test_a_product_state_does_not_claim_a_gradient(rng):
    H, theta = random_three_body(7, np.random.default_rng(8))
    result = qt.gradient(H, theta, qt.Expectation(Z(0)), solver=qt.NumbaDMRG(max_bond=1))
    assert not result.trustworthy


def test_a_response_that_vanishes_has_finite_bars():
    H = qt.Hamiltonian(
        qt.qubits(8), {"g_x": [-X(j) for j in range(8)], "g_zz": -sum(Z(j) * Z(j + 1) for j in range(7))}
    )
    result = qt.gradient(H, {"g_x": np.ones(8), "g_zz": 0.0}, qt.Expectation(X(3)), solver=qt.NumbaDMRG())
    assert result.trustworthy
    assert np.abs(H.flatten(result.gradient)).max() < 1e-9
    assert np.linalg.norm(H.flatten(result.error)) < 1e-4 * result.natural_size
