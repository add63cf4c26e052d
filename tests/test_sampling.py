"""Outcomes of measurements follow the state's own distribution; operators that one product basis measures share it."""

import itertools

import numpy as np
import pytest
from scipy.stats import chisquare

import qep_tn as qt
from qep_tn import Create, Destroy, Number, Sm, Sp, Sx, Sz, X, Y, Z
from qep_tn.measurement.circuits import circuits
from qep_tn.measurement.estimates import measure
from qep_tn.states.ground_state import expectations
from qep_tn.states.state_vector import StateVector

TURNS = {
    "X": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
    "Y": np.array([[1, -1j], [1, 1j]]) / np.sqrt(2),
    "Z": np.eye(2),
}


def vector_of(mps):
    return StateVector(mps.sites, mps.to_dense())


def probabilities(vector, basis):
    turn = np.ones((1, 1))
    for letter in basis:
        turn = np.kron(turn, TURNS[letter])
    return np.abs(turn @ vector) ** 2


def same_distribution(levels, expected):
    """The p-value of Pearson's test, rare outcomes taken together."""
    counts = np.bincount(levels @ 2 ** np.arange(levels.shape[1])[::-1], minlength=len(expected))
    order = np.argsort(expected)
    bins = np.minimum(np.cumsum(expected[order]) * len(levels) // 10, len(expected) - 1).astype(int)
    observed, wanted = (np.bincount(bins, values[order]) for values in (counts, expected * len(levels)))
    some = wanted > 0
    return chisquare(observed[some], wanted[some] * observed[some].sum() / wanted[some].sum()).pvalue


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("basis", ["ZZZZZZZZ", "XXXXXXXX", "YYYYYYYY", "XYZXYZXY"])
def test_outcomes_follow_the_exact_distribution(dtype, basis):
    psi = qt.MPS.random(qt.qubits(8), 6, 3, dtype)
    expected = probabilities(psi.to_dense(), basis)
    for state in (psi, vector_of(psi)):
        levels = qt.sample(state, basis, 20_000, 5)
        assert levels.shape == (20_000, 8)
        assert same_distribution(levels, expected) > 1e-3


def test_a_wrong_distribution_is_told():
    psi = qt.MPS.random(qt.qubits(8), 6, 3, complex)
    levels = qt.sample(psi, "Y", 20_000, 5)
    assert same_distribution(levels, probabilities(psi.to_dense(), "X" * 8)) < 1e-6


@pytest.mark.parametrize(("letter", "sign"), list(itertools.product("XYZ", (1, -1))))
def test_level_0_is_the_eigenvalue_plus_one(letter, sign):
    bras = TURNS[letter]
    psi = qt.MPS.product(qt.qubits(3), [bras[0 if sign > 0 else 1].conj()] * 3)
    assert (qt.sample(psi, letter, 20, 0) == (0 if sign > 0 else 1)).all()


def test_spins_and_bosons_are_found_in_their_levels():
    n = qt.MPS.product(qt.bosons(4, 3), [np.eye(4)[k] for k in (3, 0, 2, 1)])
    assert (qt.sample(n, "N", 5, 0) == [3, 0, 2, 1]).all()
    spins = qt.spins(2, 2)
    ground = qt.ExactDiagonalization().ground_state(qt.Hamiltonian(spins, {"b": Sx(0) - Sz(1)}), {"b": 1.0})
    assert (qt.sample(ground, "XZ", 5, 0) == [2, 0]).all()


def test_a_seed_decides_the_outcomes():
    psi = qt.MPS.random(qt.qubits(20), 8, 1)
    assert np.array_equal(qt.sample(psi, "X", 50, 7), qt.sample(psi, ["X"] * 20, 50, np.random.default_rng(7)))
    assert not np.array_equal(qt.sample(psi, "X", 50, 7), qt.sample(psi, "X", 50, 8))


def test_long_chains_have_the_correlations_of_the_state(rng):
    psi = qt.MPS.random(qt.qubits(60), 12, 2)
    bits = 1.0 - 2 * qt.sample(psi, "Z", 20_000, 3)
    exact = psi.correlations("Z", "Z")
    assert np.abs(bits.T @ bits / len(bits) - exact).max() < 5 / np.sqrt(len(bits))  # 1770 pairs, below 5 sigma


def test_what_cannot_be_sampled_is_refused_in_one_line():
    H = qt.models.cluster_ising(6)
    free = qt.FreeFermion().ground_state(H, {"g_x": 1.0, "g_zz": 0.5, "g_zxz": 0.2})
    with pytest.raises(ValueError, match="free fermions cannot be sampled"):
        qt.sample(free, "Z", 10, 0)
    psi = qt.MPS.random(qt.qubits(4), 2, 1)
    with pytest.raises(ValueError, match="5 letters for 4 sites"):
        qt.sample(psi, "XXXXX", 10, 0)
    with pytest.raises(ValueError, match="not measured in the basis 'Q'; it has Z, X, Y"):
        qt.sample(psi, "Q", 10, 0)
    with pytest.raises(ValueError, match=r"it has Z$"):
        qt.sample(qt.MPS.product(qt.bosons(1, 2), [np.eye(3)[0]]), "X", 10, 0)
    with pytest.raises(ValueError, match="shots = 0"):
        qt.sample(psi, "Z", 0, 0)


@pytest.mark.parametrize("L", [4, 8, 33])
def test_known_sets_take_the_fewest_circuits(L):
    qubits = qt.qubits(L)
    x = tuple(X(j) for j in range(L))
    zz = tuple(Z(j) * Z(j + 1) for j in range(L - 1))
    zxz = tuple(Z(j) * X(j + 1) * Z(j + 2) for j in range(L - 2))
    assert len(circuits(qubits, x)) == 1
    assert len(circuits(qubits, x + zz)) == 2
    assert len(circuits(qubits, x + zz + zxz)) == 3  # X_j, Z_j Z_j+1 and Z X Z contradict one another
    heisenberg = tuple(P(j) * P(j + 1) for P in (X, Y, Z) for j in range(L - 1))
    assert len(circuits(qubits, heisenberg)) == 3
    assert len(circuits(qubits, tuple(-sum(o) for o in (x, zz, zxz)))) == 3  # in sums as well


def test_all_pauli_products_of_pairs_take_nine_circuits():
    """All 9 products of every pair: an orthogonal array has 9 circuits up to 4 qubits."""
    for n in (2, 3, 4):
        pairs = itertools.combinations(range(n), 2)
        products = tuple(P(i) * Q(j) for i, j in pairs for P in (X, Y, Z) for Q in (X, Y, Z))
        assert len(circuits(qt.qubits(n), products)) == 9


def test_the_grouping_is_printed():
    text = str(circuits(qt.qubits(3), (X(0), X(1), Z(0) * Z(1))))
    assert sorted(text.splitlines()) == ["XXZ  2 products", "ZZZ  1 products"]


def test_all_operators_with_product_bases_are_estimated(rng):
    """Means of many estimates are the expectation values, of sums, ladder operators, spins and bosons."""
    cases = [
        (qt.qubits(4), [Sp(0) * Sm(1) + Sm(0) * Sp(1), 2 + Y(0) * Z(2) * X(3), Number(1) * Number(2) - 0.3 * Z(3)]),
        (qt.spins(3, 2), [Sp(0) * Sm(1) + Sm(0) * Sp(1), Sz(0) * Sz(0), Sx(1) * Sz(2)]),
        (qt.bosons(3, 2), [Number(0) * Number(1), Number(2) * Number(2)]),
    ]
    for sites, operators in cases:
        psi = qt.MPS.random(sites, 4, 8, complex)
        found = measure(psi, sites, tuple(operators), qt.Shots(100_000), rng)
        exact = expectations(psi, operators)
        assert (np.abs(found.values - exact) < 4 * np.sqrt(found.variances)).all()


def test_standard_errors_are_those_of_repeated_estimates(rng):
    psi = vector_of(qt.MPS.random(qt.qubits(4), 4, 8))
    operators = (Z(0), Z(0) * Z(1), X(2) + 0.5 * Z(3), -sum(X(j) for j in range(4)))
    draws = [measure(psi, psi.sites, operators, qt.Shots(100), rng, correlated=True) for _ in range(400)]
    seen = np.cov([d.values for d in draws], rowvar=False)
    told = np.mean([d.covariance for d in draws], axis=0)
    scale = np.sqrt(np.outer(np.diag(seen), np.diag(seen)))
    assert (np.abs(seen - told) < 0.25 * scale).all()  # 400 draws tell a variance to 7 %


def test_shots_that_all_agree_do_not_tell_a_value_exactly(rng):
    psi = qt.MPS.product(qt.qubits(1), [np.array([1.0, 0.1])])
    found = measure(psi, psi.sites, (Z(0),), qt.Shots(10), rng)
    assert found.variances[0] > 0


def test_readout_errors_bias_outcomes_as_their_matrix_says(rng):
    psi = qt.MPS.product(qt.qubits(2), [np.array([1.0, 0.0]), np.array([0.0, 1.0])])
    readout = np.array([[0.9, 0.3], [0.1, 0.7]])
    found = measure(psi, psi.sites, (Z(0), Z(1), Z(0) * Z(1)), qt.Shots(40_000, readout=readout), rng)
    assert np.allclose(found.values, [0.8, -0.4, -0.32], atol=0.02)
    each = np.array([np.eye(2), readout])
    found = measure(psi, psi.sites, (Z(0), Z(1)), qt.Shots(40_000, readout=each), rng)
    assert found.values[0] == 1
    assert found.values[1] == pytest.approx(-0.4, abs=0.02)


def test_shots_are_refused_where_they_make_no_sense(rng):
    for count in (1, 2.5, True, -3):
        with pytest.raises(ValueError, match="shots ="):
            qt.Shots(count)
    with pytest.raises(ValueError, match="kind = 'poisson'"):
        qt.Shots(10, kind="poisson")
    with pytest.raises(ValueError, match="every column must add up to 1"):
        qt.Shots(10, readout=[[0.9, 0.1], [0.2, 0.8]])
    with pytest.raises(ValueError, match="shape"):
        qt.Shots(10, readout=[1, 0])
    with pytest.raises(ValueError, match="projective"):
        qt.Shots(10, kind="gaussian", readout=np.eye(2))
    bosons = qt.MPS.product(qt.bosons(2, 2), [np.eye(3)[1]] * 2)
    with pytest.raises(ValueError, match="those of qubits"):
        measure(bosons, bosons.sites, (Number(0),), qt.Shots(10, readout=np.eye(2)), rng)
    hopping = Create(0) * Destroy(1) + Create(1) * Destroy(0)
    with pytest.raises(ValueError, match=r"Create\(0\) \* Destroy\(1\).* cannot be measured.*gaussian"):
        measure(bosons, bosons.sites, (hopping,), qt.Shots(10), rng)
    assert np.isfinite(measure(bosons, bosons.sites, (hopping,), qt.Shots(10, "gaussian"), rng).values).all()
