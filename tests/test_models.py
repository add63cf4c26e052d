"""Models against Hamiltonians built by hand from Kronecker products, and against exact laws."""

from functools import reduce

import numpy as np
import pytest

from qep_tn.models import MODELS, cluster_ising, transverse_field_ising, xxz, xxz_staggered

X, Y, Z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
L = 6
CHAINS = ("cluster_ising", "transverse_field_ising", "xxz", "xxz_staggered")  # tests/test_platforms.py has the others


def place(matrices):
    """A product of one-site matrices, {site: matrix}, on the chain; site 0 is the most significant."""
    return reduce(np.kron, [matrices.get(j, np.eye(2)) for j in range(L)])


def terms(periodic):
    """Every model's terms, one a coupling, in the order in which an array parameter has them."""
    fields = [(j,) for j in range(L)]
    bonds = [(j, (j + 1) % L) for j in range(L if periodic else L - 1)]
    triples = [(j, (j + 1) % L, (j + 2) % L) for j in range(L if periodic else L - 2)]
    return {
        "cluster_ising": {
            "g_x": [-place({j: X}) for (j,) in fields],
            "g_zz": [-place({i: Z, j: Z}) for i, j in bonds],
            "g_zxz": [-place({i: Z, j: X, k: Z}) for i, j, k in triples],
        },
        "transverse_field_ising": {
            "J": [-place({i: Z, j: Z}) for i, j in bonds],
            "h": [-place({j: X}) for (j,) in fields],
        },
        "xxz": {
            "J_xy": [(place({i: X, j: X}) + place({i: Y, j: Y})) / 4 for i, j in bonds],
            "J_z": [place({i: Z, j: Z}) / 4 for i, j in bonds],
            "h": [-place({j: Z}) / 2 for (j,) in fields],
        },
        "xxz_staggered": {
            "J_xy": [(place({i: X, j: X}) + place({i: Y, j: Y})) / 4 for i, j in bonds],
            "J_z": [place({i: Z, j: Z}) / 4 for i, j in bonds],
            "h": [-((-1) ** j) * place({j: Z}) / (2 if periodic or 0 < j < L - 1 else 4) for (j,) in fields],
        },
    }


def ground_energy(H, theta):
    return np.linalg.eigvalsh(H.to_sparse(theta).toarray())[0]


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("model", terms(periodic=False))
def test_each_coupling_multiplies_its_own_term(model, periodic):
    expected = terms(periodic)[model]
    H = MODELS[model](L, local=True, periodic=periodic)
    rng = np.random.default_rng(1)
    theta = {name: rng.normal(size=len(matrices)) for name, matrices in expected.items()}
    by_hand = sum(g * A for name, matrices in expected.items() for g, A in zip(theta[name], matrices, strict=True))
    np.testing.assert_allclose(H.to_sparse(theta).toarray(), by_hand, atol=1e-14)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("model", terms(periodic=False))
def test_a_uniform_coupling_multiplies_the_sum_of_its_terms(model, periodic):
    expected = terms(periodic)[model]
    theta = {name: 0.3 + n for n, name in enumerate(expected)}
    by_hand = sum(theta[name] * sum(matrices) for name, matrices in expected.items())
    matrix = MODELS[model](L, periodic=periodic).to_sparse(theta).toarray()
    np.testing.assert_allclose(matrix, by_hand, atol=1e-14)


def test_cluster_ising_without_cluster_term_is_the_transverse_field_ising_chain():
    a = cluster_ising(6).to_sparse({"g_x": 0.7, "g_zz": 1.3, "g_zxz": 0.0})
    b = transverse_field_ising(6).to_sparse({"h": 0.7, "J": 1.3})
    assert abs(a - b).max() == 0


def test_critical_ising_ring_has_pfeutys_energy():
    # E_0 = -2 / sin(pi / 2L) at h = J = 1 (Pfeuty 1970, summed over the momenta of an even ring)
    H = transverse_field_ising(8, periodic=True)
    assert ground_energy(H, {"J": 1.0, "h": 1.0}) == pytest.approx(-2 / np.sin(np.pi / 16), abs=1e-12)


def test_pure_cluster_chain_has_all_stabilizers_satisfied_and_two_free_edge_spins():
    energies = np.linalg.eigvalsh(cluster_ising(6).to_sparse({"g_x": 0.0, "g_zz": 0.0, "g_zxz": 1.0}).toarray())
    np.testing.assert_allclose(energies[:4], -4, atol=1e-12)  # L - 2 stabilizers; the edges make it fourfold
    assert energies[4] == pytest.approx(-2, abs=1e-12)


def test_two_heisenberg_spins_form_a_singlet():
    assert ground_energy(xxz(2), {"J_xy": 1.0, "J_z": 1.0, "h": 0.0}) == pytest.approx(-0.75, abs=1e-14)


def test_xxz_field_favours_the_qubit_state_0():
    H = xxz(3)
    vector = np.linalg.eigh(H.to_sparse({"J_xy": 0.1, "J_z": 0.1, "h": 5.0}).toarray())[1][:, 0]
    assert abs(vector[0]) == pytest.approx(1)


def test_staggered_field_on_a_ring_needs_an_even_number_of_sites():
    with pytest.raises(ValueError, match="needs an even number of sites"):
        xxz_staggered(5, periodic=True)


def test_polarised_states_of_the_staggered_chain_are_ground_states_up_to_the_exact_boundary():
    for h in (0.3, 1.1):
        edge = -np.hypot(1.0, h)
        polarised = [
            xxz_staggered(7).to_sparse({"J_xy": 1.0, "J_z": edge + d, "h": h})[0, 0].real for d in (-0.01, 0.01)
        ]
        lowest = [ground_energy(xxz_staggered(7), {"J_xy": 1.0, "J_z": edge + d, "h": h}) for d in (-0.01, 0.01)]
        assert polarised[0] == pytest.approx(lowest[0], abs=1e-12)
        assert polarised[1] > lowest[1] + 1e-3


@pytest.mark.parametrize("model", CHAINS)
@pytest.mark.parametrize("length", [0, 1, -3, 2.0, "8", True])
def test_impossible_lengths_are_refused_in_one_line(model, length):
    with pytest.raises(ValueError, match=rf"^{model}\(L=.*\): an open chain of this model needs .* or more$"):
        MODELS[model](length)


@pytest.mark.parametrize("model", CHAINS)
def test_a_ring_needs_three_sites(model):
    with pytest.raises(ValueError, match="a ring of this model needs a whole number of sites, 3 or more"):
        MODELS[model](2, periodic=True)
    MODELS[model](4, periodic=True)
