"""Pairs of many sites: their compressed operator is the Hamiltonian, and ground states and gradients are the same."""

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import Create, Destroy, X, Y, Z
from qep_tn.gradients.nudge import Nudge
from qep_tn.hamiltonians import mpo
from qep_tn.hamiltonians.pair_couplings import PairCouplings, edges_of, independent_rows
from qep_tn.kernels import BlockMPO
from qep_tn.kernels.effective import merged_blocks

PAULI = (X, Y, Z)
LAWS = {
    "power 0.5": lambda r: r**-0.5, "power 1.5": lambda r: r**-1.5, "power 3": lambda r: r**-3.0,
    "power 6": lambda r: r**-6.0, "exponential": lambda r: np.exp(-r / 3), "zero": lambda r: 0 * r,
}  # fmt: skip


@pytest.fixture
def compressed(monkeypatch):
    """Pairs are compressed however few they are."""
    monkeypatch.setattr(mpo, "_MANY_OPEN", 0)


def pairs(length):
    return [(i, j) for i in range(length) for j in range(i + 1, length)]


def distances(length):
    return np.array([j - i for i, j in pairs(length)], float)


def dense(blocks: BlockMPO, dims):
    """The operator of a machine as a matrix."""
    total = {0: np.eye(1)}
    for site, dim in enumerate(dims):
        grown = {}
        for n in range(blocks.starts[site], blocks.starts[site + 1]):
            row, column, out, into = blocks.blocks[n]
            if row in total:
                entry = np.zeros((dim, dim), complex)
                entry[out, into] = blocks.values[n]
                grown[column] = grown.get(column, 0) + np.kron(total[row], entry)
        total = grown
    return total.get(0, np.zeros((np.prod(dims), np.prod(dims))))


def check(H, theta):
    """The compressed operator against Kronecker products."""
    assert H.mpo._pairs is not None
    filled = H.mpo.fill_blocks(H.coefficients(theta))
    expected = H.to_sparse(theta).toarray()
    np.testing.assert_allclose(dense(filled, [site.dimension for site in H.sites]), expected, atol=1e-12)
    return filled


def ions(length, alpha, strength=0.4):
    """Ions in a transverse field, all pairs: (Hamiltonian, theta)."""
    H = qt.Hamiltonian(
        qt.qubits(length), {"J": [X(i) * X(j) for i, j in pairs(length)], "h": [Z(j) for j in range(length)]}
    )
    return H, {"J": strength * distances(length) ** -alpha, "h": np.ones(length)}


@pytest.mark.parametrize("length", [2, 3, 9])
@pytest.mark.parametrize("law", LAWS)
def test_pairs_whose_couplings_follow_a_law_are_the_kronecker_products(law, length, compressed):
    exchange = [X(i) * X(j) + Y(i) * Y(j) for i, j in pairs(length)]
    filled = check(qt.Hamiltonian(qt.qubits(length), {"J": exchange}), {"J": LAWS[law](distances(length))})
    if law == "exponential":
        assert filled.bonds.max() == 4
    if law == "zero":
        assert filled.bonds.max() == 2


@pytest.mark.parametrize("length", [2, 5, 10])
def test_random_pairs_beside_fields_neighbours_and_three_body_terms_are_the_kronecker_products(length, compressed, rng):
    kinds = rng.integers(3, size=(len(pairs(length)), 2))
    parameters = {
        "J": [PAULI[a](i) * PAULI[b](j) for (i, j), (a, b) in zip(pairs(length), kinds, strict=True)],
        "g": sum(Z(j) * Z(j + 1) for j in range(length - 1)), "h": [Y(j) for j in range(length)],
    }  # fmt: skip
    theta = {"J": rng.normal(size=len(parameters["J"])), "g": 0.7, "h": rng.normal(size=length)}
    if length > 2:
        parameters["three"] = [Z(j) * X(j + 1) * Y(j + 2) for j in range(length - 2)]
        theta["three"] = rng.normal(size=length - 2)
    check(qt.Hamiltonian(qt.qubits(length), parameters, fixed=0.3), theta)


def test_complex_hopping_of_bosons_between_all_sites_is_the_kronecker_product(compressed, rng):
    length = 4
    there = [Create(i) * Destroy(j) + Create(j) * Destroy(i) for i, j in pairs(length)]
    turned = [1j * (Create(i) * Destroy(j)) - 1j * (Create(j) * Destroy(i)) for i, j in pairs(length)]
    H = qt.Hamiltonian(qt.bosons(length, 2), {"t": there, "phase": turned})
    check(H, {"t": rng.normal(size=6), "phase": rng.normal(size=6)})


def test_one_distant_pair_takes_one_state(compressed):
    filled = check(qt.Hamiltonian(qt.qubits(8), {"c": X(1) * Y(6)}, fixed=Z(3)), {"c": 0.4})
    assert list(filled.bonds) == [1, 2, 3, 3, 3, 3, 3, 2, 1]


def test_refilled_couplings_change_the_states_and_the_operator(compressed, rng):
    H, theta = ions(7, 1.5)
    check(H, theta)
    check(H, {**theta, "J": rng.normal(size=21)})
    check(H, theta)


@pytest.mark.parametrize("length", [30, 100])
@pytest.mark.parametrize("law", LAWS)
def test_couplings_of_long_chains_change_by_rounding(law, length):
    H, theta = ions(length, 1)
    J = LAWS[law](distances(length))
    (group,) = PairCouplings.build(H.sites, H.products, [n for n, p in enumerate(H.products) if len(p) == 2]).groups
    matrix = group.coefficient_matrix(H.coefficients({**theta, "J": J}))
    combined, found = np.zeros((0, length - 1)), np.zeros_like(matrix)  # which rows a state holds, with what weights
    for site, edges in enumerate(edges_of(matrix, group, length)):
        grown = np.zeros((edges.ahead, length - 1))
        for start, end, _, value in zip(*edges[:4], strict=True):
            row = combined[start] if start >= 0 else np.eye(length - 1)[site]
            if end >= 0:
                grown[end] += value * row
            else:
                found[:, site - 1] += value * row
        combined = grown
    assert np.abs(found - matrix).max() <= 1e-13 * np.abs(matrix).max()


def test_bonds_of_power_laws_hardly_grow_with_the_chain():
    for length, most in ((50, 15), (100, 18)):
        for alpha in (0.5, 1.5, 3.0, 6.0):
            H, theta = ions(length, alpha)
            assert H.mpo.fill_blocks(H.coefficients(theta)).bonds.max() <= most


def test_rows_that_combine_from_others_do_so_within_rounding(rng):
    matrix = rng.normal(size=(8, 3)) @ rng.normal(size=(3, 12))
    chosen, weights = independent_rows(matrix, 1e-13)
    assert len(chosen) == 3
    np.testing.assert_allclose(weights @ matrix[chosen], matrix, atol=1e-12)
    np.testing.assert_array_equal(weights[chosen], np.eye(3))


def test_a_nudge_of_any_strength_leaves_the_machine_outside_of_it_as_it_is(compressed):
    H, theta = ions(8, 1.5)
    nudge = Nudge(H, theta, (X(3) * X(5), Z(4)), np.array([0.3, -0.2]))
    machines = [nudge.mpo(beta) for beta in (-0.1, 0.0, 0.1)]
    for beta, machine in zip((-0.1, 0.0, 0.1), machines, strict=True):
        expected = nudge.hamiltonian.to_sparse(nudge.at(beta)).toarray()
        np.testing.assert_allclose(dense(machine, [2] * 8), expected, atol=1e-12)
        for site in (0, 1, 2, 6, 7):
            mine, other = (
                (m.bonds[site : site + 2], m.blocks[m.starts[site] : m.starts[site + 1]])
                for m in (machine, machines[1])
            )
            for a, b in zip(mine, other, strict=True):
                np.testing.assert_array_equal(a, b)


def test_two_sites_merged_are_the_product_of_both(compressed, rng):
    H, theta = ions(9, 1.5)
    machine = H.mpo.fill_blocks(H.coefficients({**theta, "J": rng.normal(size=36)}))

    def tensor(blocks, values, rows, columns, dim):
        total = np.zeros((rows, columns, dim, dim))
        np.add.at(total, tuple(blocks.T), values)
        return total

    for site in range(8):
        parts = [slice(machine.starts[j], machine.starts[j + 1]) for j in (site, site + 1)]
        rows, between, columns = machine.bonds[site : site + 3]
        first = tensor(machine.blocks[parts[0]], machine.values[parts[0]], rows, between, 2)
        second = tensor(machine.blocks[parts[1]], machine.values[parts[1]], between, columns, 2)
        expected = np.einsum("absp,bctq->acstpq", first, second).reshape(rows, columns, 4, 4)
        blocks, values = merged_blocks(machine, site, 2)
        assert len(np.unique(blocks, axis=0)) == len(blocks)
        np.testing.assert_allclose(tensor(blocks, values, rows, columns, 4), expected, atol=1e-14)


def test_ground_state_and_gradients_of_all_pairs_are_those_of_the_whole_machine(monkeypatch):
    loss, solver = qt.Expectation(X(14) * X(16)), qt.NumbaDMRG(cutoff=1e-8)
    results = []
    for many in (0, 10**6):
        monkeypatch.setattr(mpo, "_MANY_OPEN", many)
        H, theta = ions(30, 3, strength=0.2)
        state = solver.ground_state(H, theta)
        results.append((state.energy, qt.gradient(H, theta, loss, solver=solver, rtol=1e-6, start=state)))
    (energy, g), (other, expected) = results
    assert energy == pytest.approx(other, abs=1e-10)
    assert g.trustworthy
    np.testing.assert_allclose(g.gradient["J"], expected.gradient["J"], atol=1e-8)
    np.testing.assert_allclose(g.gradient["h"], expected.gradient["h"], atol=1e-8)
