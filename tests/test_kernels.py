"""Expectation values from the compiled kernels against dense contraction, TeNPy and quimb."""

from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
import quimb.tensor as qtn
from hypothesis import given, settings
from hypothesis import strategies as st
from tenpy.networks import mps as tenpy_mps
from tenpy.networks.site import SpinHalfSite

from qep_tn.kernels import compile_products, correlations, evaluate, pack

TOLERANCE = 1e-12  # operators have spectral norm 1, so values are at most 1; some rounding for each of ≤ 100 sites
X, Y, Z = np.array([[0.0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1.0, -1])


def random_matrix(rng, rows, columns, is_complex):
    matrix = rng.normal(size=(rows, columns))
    return matrix + 1j * rng.normal(size=matrix.shape) if is_complex else matrix


def random_right_canonical(rng, dims, max_bond, is_complex=False):
    """Site tensors (left, physical, right) whose rows over (physical, right) are orthonormal; norm 1."""
    tensors, right = [], 1
    for site in reversed(range(len(dims))):
        left = 1 if site == 0 else rng.integers(1, min(max_bond, dims[site] * right) + 1)
        rows, _ = np.linalg.qr(random_matrix(rng, dims[site] * right, left, is_complex))
        tensors.append(rows.T.reshape(left, dims[site], right))
        right = left
    return tensors[::-1]


def random_qubits(length, bond, is_complex=False, seed=0):
    """As above, with the largest bonds that a chain of qubits allows up to `bond`."""
    rng = np.random.default_rng(seed)
    bonds = [min(bond, 2 ** min(j, length - j, 30)) for j in range(length + 1)]
    tensors = []
    for left, right in pairwise(bonds):
        rows, _ = np.linalg.qr(random_matrix(rng, 2 * right, left, is_complex))
        tensors.append(rows.T.reshape(left, 2, right))
    return tensors


def random_operator(rng, dim, is_complex):
    matrix = random_matrix(rng, dim, dim, is_complex)
    return matrix / np.linalg.norm(matrix, 2)


def dense_expectation(tensors, product):
    """⟨ψ|product|ψ⟩ with the full state vector."""
    psi = reduce(lambda left, right: np.tensordot(left, right, (-1, 0)), tensors)[0, ..., 0]
    changed = psi
    for site, matrix in product:
        changed = np.moveaxis(np.tensordot(matrix, changed, (1, site)), 0, site)
    return np.vdot(psi, changed)


def expectations(tensors, products):
    packed = pack(tensors)
    return evaluate(compile_products(packed.dims, products), packed)


@st.composite
def small_states(draw):
    """A generator, physical dimensions and a random state on them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dims = draw(st.lists(st.sampled_from([2, 3]), min_size=1, max_size=7))
    return rng, dims, random_right_canonical(rng, dims, draw(st.integers(1, 9)), draw(st.booleans()))


@st.composite
def products_on_small_states(draw):
    """A state and products out of few operators on up to five sites; the empty one, and equal ones."""
    rng, dims, tensors = draw(small_states())
    is_complex = draw(st.booleans())
    pool = {dim: [np.eye(dim), *(random_operator(rng, dim, is_complex) for _ in range(2))] for dim in (2, 3)}
    products = [()]
    for _ in range(draw(st.integers(0, 10))):
        first = draw(st.integers(0, len(dims) - 1))
        sites = draw(st.sets(st.integers(first, min(first + 4, len(dims) - 1))))
        products.append(tuple((site, pool[dims[site]][draw(st.integers(0, 2))]) for site in sorted(sites)))
    return tensors, products + products[:2]


@settings(deadline=None, max_examples=100)
@given(products_on_small_states())
def test_expectations_equal_those_of_the_dense_state_vector(case):
    tensors, products = case
    dense = [dense_expectation(tensors, product) for product in products]
    np.testing.assert_allclose(expectations(tensors, products), dense, rtol=0, atol=TOLERANCE)


@settings(deadline=None, max_examples=15)
@given(small_states(), st.sampled_from(["unrelated", "adjoint", "equal"]), st.booleans())
def test_correlations_equal_those_of_the_dense_state_vector(state, relation, is_complex):
    rng, dims, tensors = state
    a = [random_operator(rng, dim, is_complex) for dim in dims]
    b = {
        "unrelated": [random_operator(rng, dim, is_complex) for dim in dims],
        "adjoint": [matrix.conj().T for matrix in a],
        "equal": a,
    }[relation]

    def product(i, j):
        return ((i, a[i] @ b[i]),) if i == j else ((i, a[i]), (j, b[j]))

    sites = range(len(dims))
    dense = [[dense_expectation(tensors, product(i, j)) for j in sites] for i in sites]
    np.testing.assert_allclose(correlations(pack(tensors), a, b), dense, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("is_complex", [False, True])
def test_correlations_of_one_matrix_are_the_products_of_all_pairs(is_complex):
    tensors = random_qubits(31, 12, is_complex)
    pairs = [((i, Y), (j, Y)) for i in range(31) for j in range(i + 1, 31)]
    matrix = correlations(pack(tensors), Y, Y)
    upper = matrix[np.triu_indices(31, 1)]
    np.testing.assert_allclose(upper, expectations(tensors, pairs), rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(matrix, matrix.T, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(np.diag(matrix), 1, rtol=0, atol=TOLERANCE)


def test_pauli_strings_on_a_product_state_are_products_of_cosines():
    """Spins along angles in the xz plane: ⟨Z⟩ = cos, ⟨X⟩ = sin, at any distance."""
    angles = np.linspace(0.1, 3, 100)
    tensors = [np.array([np.cos(angle / 2), np.sin(angle / 2)]).reshape(1, 2, 1) for angle in angles]
    values = expectations(tensors, [((3, Z), (90, X)), ((3, Z), (40, Z), (99, X)), ((50, X),)])
    cos, sin = np.cos(angles), np.sin(angles)
    exact = [cos[3] * sin[90], cos[3] * cos[40] * sin[99], sin[50]]
    np.testing.assert_allclose(values, exact, rtol=0, atol=TOLERANCE)


def test_values_are_real_exactly_if_state_and_operators_are():
    real, complex_ = random_qubits(6, 4), random_qubits(6, 4, is_complex=True)
    products = [((1, X), (4, Z))]
    assert expectations(real, products).dtype == np.float64
    assert expectations(real, [((1, Y), (4, Y))]).dtype == np.complex128
    assert expectations(complex_, products).dtype == np.complex128
    assert correlations(pack(real), X, Z).dtype == np.float64
    assert correlations(pack(complex_), X, Z).dtype == np.complex128


def test_sites_right_of_the_last_factor_do_not_matter():
    tensors = random_qubits(12, 8)
    products = [((2, X),), ((3, Z), (6, Z))]
    expected = expectations(tensors, products)
    tensors[7:] = [np.full_like(tensor, np.nan) for tensor in tensors[7:]]
    np.testing.assert_array_equal(expectations(tensors, products), expected)


def test_products_that_begin_alike_share_environments():
    """Left of site j: the density matrix and one string for each earlier Z, whatever follows it."""
    length = 10
    pairs = [((i, Z), (j, last)) for i in range(length) for j in range(i + 1, length) for last in (Z, X)]
    copies = [tuple((site, matrix.astype(complex).conj()) for site, matrix in product) for product in pairs]
    plan = compile_products([2] * length, pairs + copies)
    np.testing.assert_array_equal(plan.nodes[:-1], np.arange(length - 1) + 1)
    assert plan.nodes[-1] == length - 1  # nothing begins at the last site
    np.testing.assert_array_equal(plan.values[: len(pairs)], plan.values[len(pairs) :])


def test_a_plan_for_other_sites_is_refused():
    plan = compile_products([2, 3, 2], [((0, X),)])
    with pytest.raises(ValueError, match="physical dimensions"):
        evaluate(plan, pack(random_qubits(3, 2)))


def test_states_evaluated_in_threads_do_not_disturb_each_other():
    states = [pack(random_qubits(24, 16, seed=seed)) for seed in range(8)]
    plan = compile_products([2] * 24, [((j, Z), (j + 5, X)) for j in range(19)])
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda state: evaluate(plan, state), states))
    np.testing.assert_array_equal(together, [evaluate(plan, state) for state in states])


@pytest.mark.parametrize("is_complex", [False, True])
def test_expectations_and_correlations_equal_tenpys(is_complex):
    length = 24
    tensors = random_qubits(length, 12, is_complex)
    site = SpinHalfSite(conserve=None)
    transposed = [tensor.transpose(1, 0, 2) for tensor in tensors]
    psi = tenpy_mps.MPS.from_Bflat([site] * length, transposed, form=None, unit_cell_width=length)
    psi.canonical_form()
    packed = pack(tensors)

    single = expectations(tensors, [((j, X),) for j in range(length)])
    np.testing.assert_allclose(single, psi.expectation_value("Sigmax"), rtol=0, atol=TOLERANCE)
    triple = expectations(tensors, [((j, Z), (j + 1, X), (j + 2, Z)) for j in range(length - 2)])
    theirs = [psi.expectation_value_multi_sites(["Sigmaz", "Sigmax", "Sigmaz"], j) for j in range(length - 2)]
    np.testing.assert_allclose(triple, theirs, rtol=0, atol=TOLERANCE)
    raising = np.array([[0.0, 1], [0, 0]])
    for a, b, names in [
        (Z, Z, ("Sigmaz", "Sigmaz")),
        (raising, X, ("Sp", "Sigmax")),
        (raising, raising.T, ("Sp", "Sm")),
    ]:
        theirs = psi.correlation_function(*names)
        np.testing.assert_allclose(correlations(packed, a, b), theirs, rtol=0, atol=TOLERANCE)


def test_expectations_equal_quimbs():
    tensors = random_qubits(20, 8, is_complex=True)
    products = [((j, Z), (j + 3, Y)) for j in range(17)]
    psi = qtn.MatrixProductState([tensors[0][0], *tensors[1:-1], tensors[-1][..., 0]], shape="lpr")
    theirs = psi.compute_local_expectation(
        {(j, j + 3): np.kron(Z, Y) for j in range(17)}, return_all=True, method="envs"
    )
    np.testing.assert_allclose(expectations(tensors, products), list(theirs.values()), rtol=0, atol=TOLERANCE)
