"""Hamiltonians, and their forms: sparse matrix, matrix product operator, TeNPy's and quimb's."""

from functools import reduce

import numpy as np
import pytest
from chains import random_cluster_ising, random_long_range, random_three_body, spin_one
from tenpy.networks.mpo import MPOGraph
from tenpy.networks.site import SpinHalfSite
from tenpy.networks.terms import TermList

import qep_tn as qt
from qep_tn import X, Y, Z
from qep_tn.hamiltonians.mpo import energy_and_variance
from qep_tn.states.mps import MPS

FAMILIES = [
    lambda rng: random_cluster_ising("cluster", 7, rng),
    lambda rng: random_three_body(7, rng),
    lambda rng: random_long_range(8, rng),
    lambda rng: spin_one(4, rng),
]


def dense_mpo(tensors):
    """An MPO with legs (left, right, out, in) as a matrix."""
    total = np.ones((1, 1, 1))  # right out in
    for w in tensors:
        total = np.einsum("aij,abkl->bikjl", total, w)
        total = total.reshape(w.shape[1], total.shape[1] * total.shape[2], -1)
    return total[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_form_of_a_hamiltonian_is_the_same_matrix(family, rng):
    H, theta = family(rng)
    expected = H.to_sparse(theta).toarray()
    assert np.allclose(expected, expected.conj().T)
    np.testing.assert_allclose(dense_mpo(H.mpo.fill(H.coefficients(theta)).tensors), expected, atol=1e-12)
    np.testing.assert_allclose(H.to_quimb(theta).to_dense(), expected, atol=1e-12)
    tenpy_tensors = [
        H.to_tenpy(theta).H_MPO.get_W(j).transpose(["wL", "wR", "p", "p*"]).to_ndarray() for j in range(len(H.sites))
    ]
    np.testing.assert_allclose(dense_mpo(tenpy_tensors), expected, atol=1e-12)


def test_sparse_matrix_is_the_kronecker_product():
    x, y, z, one = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1]), np.eye(2)
    H = qt.Hamiltonian(qt.qubits(4), {"a": X(3) * Y(0), "b": [Z(1), Z(1) * X(2)]}, fixed=0.5)
    expected = 2 * reduce(np.kron, [y, one, one, x]) + 3 * reduce(np.kron, [one, z, one, one])
    expected = expected - reduce(np.kron, [one, z, x, one]) + 0.5 * np.eye(16)
    np.testing.assert_allclose(H.to_sparse({"a": 2, "b": [3, -1]}).toarray(), expected)


def test_refilling_an_mpo_equals_building_it_anew(rng):
    H, theta = random_three_body(6, rng)
    H.mpo.fill(H.coefficients(theta))
    other = {"J": rng.normal(size=6), "h": -0.3}
    np.testing.assert_allclose(
        dense_mpo(H.mpo.fill(H.coefficients(other)).tensors), H.to_sparse(other).toarray(), atol=1e-12
    )


@pytest.mark.parametrize(
    "family", [lambda rng: random_cluster_ising("cluster", 12, rng), lambda rng: random_long_range(12, rng)]
)
def test_mpo_bonds_are_no_larger_than_those_of_tenpy(family, rng):
    H, theta = family(rng)
    names = {"X": "Sigmax", "Y": "Sigmay", "Z": "Sigmaz"}
    terms = [[(names[ops[0]], site) for site, ops in product] for product in H.products]
    site = SpinHalfSite(conserve=None)
    graph = MPOGraph.from_term_list(TermList(terms, H.coefficients(theta)), [site] * 12, "finite", unit_cell_width=12)
    theirs = graph.build_MPO().chi[1:-1]
    assert all(a <= b for a, b in zip(H.mpo.fill(H.coefficients(theta)).bond_dimensions, theirs, strict=True))


def test_energy_and_variance_of_a_random_state_are_those_of_dense_algebra(rng):
    H, theta = random_three_body(7, rng)
    state = MPS.random(H.sites, 5, seed=3, dtype=complex)
    matrix, vector = H.to_sparse(theta).toarray(), state.to_dense()
    energy = np.vdot(vector, matrix @ vector).real
    variance = np.vdot(matrix @ vector, matrix @ vector).real - energy**2
    np.testing.assert_allclose(
        energy_and_variance(H.mpo.fill_blocks(H.coefficients(theta)), state.packed), (energy, variance), rtol=1e-11
    )


def test_theta_survives_flattening(rng):
    H, theta = random_cluster_ising("cluster", 6, rng)
    again = H.unflatten(H.flatten(theta))
    assert all(np.array_equal(again[name], theta[name]) for name in theta)


@pytest.mark.parametrize(
    ("theta", "message"),
    [
        ({"a": [1, 2, 3], "b": 1}, r"parameter 'a' has 2 couplings but theta\['a'\] has shape \(3,\)"),
        ({"a": [1, 2], "b": [1, 2]}, r"parameter 'b' is a scalar but theta\['b'\] has shape \(2,\)"),
        ({"a": [1, 2]}, "theta lacks parameter 'b'"),
        ({"a": [1, 2], "b": 1, "c": 2}, "theta has no use for 'c'; the parameters are a, b"),
        ({"a": [1, np.nan], "b": 1}, r"theta\['a'\] has values that are not finite, first at index 1"),
        ({"a": [1, 2], "b": "high"}, "must be real numbers"),
        ({"a": [1, 2], "b": 1j}, "must be real numbers"),
    ],
)
def test_a_wrong_theta_is_named(theta, message):
    H = qt.Hamiltonian(qt.qubits(2), {"a": [X(0), X(1)], "b": Z(0)})
    with pytest.raises(ValueError, match=message):
        H.flatten(theta)


def test_a_wrong_operator_is_named():
    with pytest.raises(ValueError, match=r"parameter a\[1\]: .* is not Hermitian"):
        qt.Hamiltonian(qt.qubits(2), {"a": [X(0), 1j * X(1)]})
    with pytest.raises(ValueError, match="parameter b: site 5 is out of range"):
        qt.Hamiltonian(qt.qubits(2), {"b": X(5)})
    with pytest.raises(ValueError, match="parameter 'b' must be an Operator"):
        qt.Hamiltonian(qt.qubits(2), {"b": "X(0)"})


def test_the_first_sites_have_the_terms_that_act_within_them(rng):
    H, theta = random_cluster_ising("cluster", 9, rng)
    block, kept = H.first_sites(5, theta)
    assert len(block.sites) == 5
    assert list(block.parameters) == list(H.parameters)
    within = {p: c for p, c in H.operator(theta).terms.items() if all(site < 5 for site, _ in p)}
    assert block.operator(kept) == qt.Operator(within)
    whole, all_kept = H.first_sites(9, theta)
    assert whole.operator(all_kept) == H.operator(theta)


def test_couplings_beyond_the_first_sites_are_left_out_with_their_values():
    H = qt.Hamiltonian(
        qt.qubits(4), {"ring": [Z(3) * Z(0), Z(0) * Z(1), Z(1) * Z(2)], "far": X(3), "h": X(0) + X(3)}, X(2)
    )
    block, kept = H.first_sites(2, {"ring": [1, 2, 3], "far": 4, "h": 5})
    assert dict(block.parameters) == {"ring": (Z(0) * Z(1),), "h": X(0)}
    np.testing.assert_array_equal(kept["ring"], [2])
    assert kept["h"] == 5
    assert not block.fixed.terms
    with pytest.raises(ValueError, match="no coupling acts within the first 1 sites"):
        qt.Hamiltonian(qt.qubits(2), {"J": Z(0) * Z(1)}).first_sites(1, {"J": 1.0})
