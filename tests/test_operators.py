"""The algebra of operators."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qep_tn import Create, Destroy, Number, Operator, Sm, Sp, X, Y, Z, bosons, qubits, spins
from qep_tn.hamiltonians.hamiltonian import sparse_matrix
from qep_tn.hamiltonians.operators import expand, is_hermitian, local_strength

SITES = qubits(3)
paulis = st.builds(lambda kind, site: kind(site), st.sampled_from([X, Y, Z]), st.integers(0, 2))
numbers = st.builds(lambda re, im: (re + 1j * im) / 4, st.integers(-8, 8), st.integers(-8, 8) | st.just(0))


@st.composite
def operators(draw):
    """Sums of up to three products of up to four Pauli matrices."""
    total = draw(numbers) * X(0)
    for _ in range(draw(st.integers(0, 3))):
        product = draw(paulis)
        for _ in range(draw(st.integers(0, 3))):
            product = product * draw(paulis)
        total = total + draw(numbers) * product
    return total


def dense(operator, sites=SITES):
    return sparse_matrix(operator, sites).toarray()


@given(operators(), operators())
def test_sum_and_product_of_operators_are_those_of_their_matrices(a, b):
    np.testing.assert_allclose(dense(a + b), dense(a) + dense(b), atol=1e-12)
    np.testing.assert_allclose(dense(a * b), dense(a) @ dense(b), atol=1e-10)
    np.testing.assert_allclose(dense(2 - a), 2 * np.eye(8) - dense(a), atol=1e-12)


@given(operators())
def test_hermiticity_is_that_of_the_matrix(a):
    matrix = dense(a)
    assert is_hermitian(a, SITES) == np.allclose(matrix, matrix.conj().T, atol=1e-13 * (1 + np.abs(matrix).max()))


def test_pauli_matrices_on_one_site_multiply_at_once():
    assert X(0) * Y(0) == 1j * Z(0)
    assert Z(1) * Z(1) == Operator({(): 1.0})
    assert X(0) * Z(1) == Z(1) * X(0)
    assert X(2) * Y(2) * Z(2) == 1j * Operator({(): 1})


def test_terms_that_cancel_vanish():
    assert not (X(0) * Z(3) - Z(3) * X(0)).terms


def test_sum_starts_from_pythons_zero_and_numpy_scalars_multiply():
    assert sum(Z(j) for j in range(2)) == Z(0) + Z(1)
    assert np.float64(2) * X(0) == 2 * X(0)


@pytest.mark.parametrize(
    ("operator", "sites", "hermitian"),
    [
        (Sp(0) * Sm(1) + Sm(0) * Sp(1), qubits(2), True),
        (Sp(0) * Sm(1), qubits(2), False),
        (2 * Number(0) + Z(0), qubits(1), True),
        (1j * Sp(0) - 1j * Sm(0), spins(1, 2), True),
        (Create(0) + Destroy(0), bosons(1, 3), True),
        (Create(0) * Destroy(0) - Number(0), bosons(1, 3), True),
        (1j * X(0), qubits(1), False),
    ],
)
def test_hermiticity_of_operators_that_are_not_so_factor_by_factor(operator, sites, hermitian):
    assert is_hermitian(operator, sites) == hermitian


def test_spin_matrices_obey_the_angular_momentum_algebra():
    for twice_s in (1, 2, 3):
        site = spins(1, twice_s)[0]
        sx, sy, sz = (site.operators[name] for name in ("Sx", "Sy", "Sz"))
        np.testing.assert_allclose(sx @ sy - sy @ sx, 1j * sz, atol=1e-14)
        s = twice_s / 2
        np.testing.assert_allclose(sx @ sx + sy @ sy + sz @ sz, s * (s + 1) * np.eye(twice_s + 1), atol=1e-13)


def test_expansion_recombines_to_the_operators():
    a, b = X(0) + 2 * Z(1), 3 * Z(1) - Y(2)
    products, matrix = expand([a, b])
    assert [Operator(dict(zip(products, row, strict=True))) for row in matrix.toarray()] == [a, b]


def test_local_strength_bounds_what_acts_on_one_site():
    assert local_strength(2 * X(0) * X(1) - 3 * Z(1), SITES) == pytest.approx(5.0)


def test_operators_name_what_is_wrong_with_them():
    with pytest.raises(ValueError, match=r"site 7 is out of range, the chain has sites 0\.\.2"):
        X(7).check(SITES, "here")
    with pytest.raises(ValueError, match="a spin-2/2 has no operator 'X'"):
        X(0).check(spins(2, 2), "here")
    with pytest.raises(ValueError, match="is not Hermitian"):
        (1j * X(0)).check(SITES, "here")
    with pytest.raises(ValueError, match="finite"):
        (float("nan") * X(0)).check(SITES, "here")
