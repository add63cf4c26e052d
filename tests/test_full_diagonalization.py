"""Gradients in excited and thermal states, against finite differences of dense matrices."""

import numpy as np
import pytest
from chains import random_three_body

import qep_tn as qt
from qep_tn import C, Cdag, Number, X, Y, Z
from qep_tn.hamiltonians.hamiltonian import sparse_matrix
from qep_tn.states.saved import as_saved

OBSERVABLES = [X(1) * Z(3), 0.5 * Y(2) + Z(0), Z(1) * Z(4)]
LOSS = qt.MeanSquaredError(OBSERVABLES, [0.4, -0.2, 0.1])


def level_values(level):
    """Expectation values in an eigenstate, from a dense matrix."""

    def values(matrix, observables):
        vector = np.linalg.eigh(matrix)[1][:, level]
        return [np.vdot(vector, o @ vector).real for o in observables]

    return values


def thermal_values(temperature):
    """Expectation values in the Gibbs state, exp(-H/T) summed as a power of its root."""

    def values(matrix, observables):
        lowest = np.linalg.eigvalsh(matrix)[0]
        step = (matrix - lowest * np.eye(len(matrix))) / temperature / 2**12
        weight = np.eye(len(matrix)) - step + step @ step / 2 - step @ step @ step / 6 + step @ step @ step @ step / 24
        for _ in range(12):
            weight = weight @ weight
        return [np.trace(weight @ o).real / np.trace(weight).real for o in observables]

    return values


def finite_difference(H, theta, loss, values):
    observables = [sparse_matrix(o, H.sites).toarray() for o in loss.observables]
    matrices = [sparse_matrix(a, H.sites).toarray() for a in H.couplings]
    total = H.to_sparse(theta).toarray()
    step, slopes = 1e-4, []
    for matrix in matrices:  # of fourth order
        moved = [loss.value(np.array(values(total + k * step * matrix, observables))) for k in (2, 1, -1, -2)]
        slopes.append((-moved[0] + 8 * moved[1] - 8 * moved[2] + moved[3]) / (12 * step))
    return np.array(slopes)


CASES = [(qt.FullDiagonalization(level=n), level_values(n)) for n in (0, 2, 7)]
CASES += [(qt.FullDiagonalization(temperature=t), thermal_values(t)) for t in (0.2, 1.5)]


@pytest.mark.parametrize(
    ("solver", "values"), CASES, ids=lambda case: repr(case) if isinstance(case, qt.Solver) else ""
)
def test_gradients_equal_finite_differences(solver, values, rng):
    H, theta = random_three_body(5, rng)
    g = qt.gradient(H, theta, LOSS, solver=solver)
    matrices = [sparse_matrix(o, H.sites).toarray() for o in OBSERVABLES]
    exact = np.array(values(H.to_sparse(theta).toarray(), matrices))
    np.testing.assert_allclose(g.free.expectation(OBSERVABLES), exact, atol=1e-10)
    expected = finite_difference(H, theta, LOSS, values)
    np.testing.assert_allclose(H.flatten(g.gradient), expected, atol=1e-7 * np.abs(expected).max())
    assert g.trustworthy
    assert g.converged


def test_the_limit_of_no_temperature_is_the_ground_state(rng):
    H, theta = random_three_body(6, rng)
    exact = qt.ExactDiagonalization().ground_state(H, theta)
    cold = qt.FullDiagonalization(temperature=exact.gap / 40)  # exp(-40) = 4e-18
    loss = qt.Expectation(X(1) * Z(3))
    ground, single, gibbs = (
        qt.gradient(H, theta, loss, solver=solver, scheme="linear-response")
        for solver in (qt.ExactDiagonalization(), qt.FullDiagonalization(), cold)
    )
    assert gibbs.free.energy == pytest.approx(exact.energy, abs=1e-10)
    np.testing.assert_allclose(H.flatten(gibbs.gradient), H.flatten(ground.gradient), atol=1e-9)
    np.testing.assert_allclose(H.flatten(single.gradient), H.flatten(ground.gradient), atol=1e-9)


@pytest.mark.parametrize("temperature", [1e-4, 1e-10, 1e-100])
def test_cold_gibbs_states_lose_no_digits(temperature, rng):
    H, theta = random_three_body(5, rng)
    cold, ground = (
        qt.gradient(H, theta, LOSS, solver=s)
        for s in (qt.FullDiagonalization(temperature=temperature), qt.FullDiagonalization())
    )
    assert np.abs(H.flatten(ground.gradient)).max() > 1e-3
    np.testing.assert_allclose(H.flatten(cold.gradient), H.flatten(ground.gradient), atol=1e-13)


def test_a_degenerate_spectrum_has_thermal_gradients(rng):
    H = qt.models.xxz(5, local=True)  # without a field every level is a multiplet
    theta = {"J_xy": np.full(4, 1.0), "J_z": np.full(4, 1.0), "h": np.zeros(5)}
    loss = qt.Expectation(qt.Sz(1) * qt.Sz(2))
    g = qt.gradient(H, theta, loss, solver=qt.FullDiagonalization(temperature=0.4))
    expected = finite_difference(H, theta, loss, thermal_values(0.4))
    np.testing.assert_allclose(H.flatten(g.gradient), expected, atol=1e-8)
    with pytest.raises(ValueError, match=r"level 1 is degenerate, at energy .*; break the degeneracy"):
        qt.FullDiagonalization(level=1).ground_state(H, theta)


def test_free_fermions_have_the_fermi_distribution(rng):
    H, temperature = qt.models.spinless_fermions(6, local=True), 0.7
    t, mu = rng.normal(size=5), rng.normal(size=6)
    state = qt.FullDiagonalization(temperature=temperature).ground_state(H, {"t": t, "V": np.zeros(5), "mu": mu})
    energies, modes = np.linalg.eigh(-np.diag(t, 1) - np.diag(t, -1) - np.diag(mu))
    filling = (modes / (1 + np.exp(energies / temperature))) @ modes.T
    pairs = [(i, j) for i in range(6) for j in range(6)]
    values = state.expectation([(Cdag(i) * C(j) + Cdag(j) * C(i)) / 2 for i, j in pairs])
    np.testing.assert_allclose(values, filling.ravel(), atol=1e-12)
    levels = qt.sample(state, "N", 4000, rng=0)
    np.testing.assert_allclose(levels.mean(axis=0), np.diagonal(filling), atol=0.04)  # five standard errors
    assert state.expectation(Number(2)) == pytest.approx(filling[2, 2], abs=1e-12)


def test_response_is_reciprocal_in_a_gibbs_state(rng):
    H, theta = random_three_body(5, rng)
    matrix = qt.response_matrix(H, theta, solver=qt.FullDiagonalization(temperature=0.5))
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-10)


def test_a_thermal_state_is_saved_and_turned(rng):
    H, theta = random_three_body(4, rng)
    state = qt.FullDiagonalization(temperature=0.5).ground_state(H, theta)
    np.testing.assert_array_equal(as_saved(state).expectation(H.couplings), state.expectation(H.couplings))
    flip = np.array([[0.0, 1.0], [1.0, 0.0]])
    turned = state.state.turned([flip, None, None, None]).product_expectations((((0, ("Z",)),),))
    assert turned[0] == pytest.approx(-state.expectation(Z(0)), abs=1e-12)


def in_a_sector(values, places):
    """The same function of matrices, of what they have on some basis states."""
    return lambda matrix, observables: values(
        matrix[np.ix_(places, places)], [o[np.ix_(places, places)] for o in observables]
    )


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        ({"level": 0}, level_values(0)), ({"level": 3}, level_values(3)), ({"temperature": 0.4}, thermal_values(0.4)),
    ],
)  # fmt: skip
def test_levels_and_canonical_ensembles_of_a_sector(settings, values, rng):
    """Four bosons on four sites, of which the grand canonical ensemble has 27 times as many states."""
    H = qt.models.bose_hubbard(4, cutoff=3, local=True)
    theta = {"t": rng.normal(1, 0.3, 3), "U": rng.normal(2, 0.3, 4), "mu": rng.normal(0, 0.3, 4)}
    places = [n for n, levels in enumerate(np.ndindex(4, 4, 4, 4)) if sum(levels) == 4]
    loss = qt.MeanSquaredError([Number(1) * Number(1), Number(0) * Number(3)], [1.2, 0.4])
    solver = qt.FullDiagonalization(**settings, sector={"N": 4})
    g = qt.gradient(H, theta, loss, solver=solver)
    expected = finite_difference(H, theta, loss, in_a_sector(values, places))
    np.testing.assert_allclose(H.flatten(g.gradient), expected, atol=1e-7 * np.abs(expected).max())
    assert g.free.sector == {"Number": 4.0}
    assert sum(g.free.expectation([Number(j) for j in range(4)])) == pytest.approx(4, abs=1e-12)
    kept = as_saved(g.free)
    np.testing.assert_array_equal(kept.expectation(H.couplings), g.free.expectation(H.couplings))


def test_a_multiplet_has_gradients_in_a_sector():
    """Of a Heisenberg chain the triplet above the ground state: the same in both of its sectors."""
    H = qt.models.xxz(6, local=True)
    theta = {"J_xy": np.linspace(0.8, 1.2, 5), "J_z": np.linspace(0.8, 1.2, 5), "h": np.zeros(6)}
    loss = qt.Expectation(sum(s(2) * s(3) for s in (qt.Sx, qt.Sy, qt.Sz)))
    first, second = (
        qt.gradient(H, theta, loss, solver=qt.FullDiagonalization(level=level, sector={"Sz": m}))
        for level, m in ((1, 0), (0, 1))
    )
    exact = qt.gradient(H, theta, loss, solver=qt.ExactDiagonalization(sector={"Sz": 1}))
    assert first.value == pytest.approx(second.value, abs=1e-10)
    changes = [g.gradient["J_xy"] + g.gradient["J_z"] for g in (first, second, exact)]  # of symmetric exchange
    np.testing.assert_allclose(changes[0], changes[1], atol=1e-9)
    np.testing.assert_allclose(changes[2], changes[1], atol=1e-4)


def test_a_loss_that_leaves_the_sector_is_refused():
    H, theta = qt.models.xxz(4), {"J_xy": 1.0, "J_z": 0.5, "h": 0.1}
    with pytest.raises(ValueError, match="the loss has an operator that leaves it"):
        qt.gradient(H, theta, qt.Expectation(X(1)), solver=qt.FullDiagonalization(level=1, sector={"Sz": 0}))
    with pytest.raises(ValueError, match=r"level = 6: the sector has levels 0\.\.5"):
        qt.FullDiagonalization(level=6, sector={"Sz": 0}).ground_state(H, theta)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"level": -1}, "level = -1: a whole number"),
        ({"temperature": -0.1}, "temperature = -0.1: a number, 0 or positive"),
        ({"level": 1, "temperature": 0.1}, "choose a level or a temperature"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(settings, message):
    with pytest.raises(ValueError, match=message):
        qt.FullDiagonalization(**settings)


def test_what_is_too_large_or_not_there_is_refused_in_one_line():
    H = qt.models.cluster_ising(13)
    with pytest.raises(ValueError, match="takes dimensions up to 4096"):
        qt.FullDiagonalization().ground_state(H, {"g_x": 1.0, "g_zz": 1.0, "g_zxz": 0.0})
    with pytest.raises(ValueError, match=r"level = 8: these sites have levels 0\.\.7"):
        qt.FullDiagonalization(level=8).ground_state(
            qt.models.cluster_ising(3), {"g_x": 1.0, "g_zz": 0.5, "g_zxz": 0.1}
        )
    small, theta = qt.models.cluster_ising(3), {"g_x": 1.0, "g_zz": 0.5, "g_zxz": 0.1}
    hot = qt.FullDiagonalization(temperature=1.0)
    with pytest.raises(ValueError, match="shots are taken in nudged states"):
        qt.gradient(small, theta, qt.Expectation(X(0)), solver=hot, shots=10)
