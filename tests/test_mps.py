"""Matrix product states and their ways in and out of other libraries."""

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import MPS

SITES = (*qt.qubits(3), *qt.spins(2, 2), *qt.qubits(4))  # dimensions 2 and 3 mixed


@pytest.fixture(params=[float, complex])
def state(request):
    return MPS.random(SITES, 7, seed=1, dtype=request.param)


def test_random_states_are_normalized_and_right_canonical(state):
    assert state.overlap(state) == pytest.approx(1, abs=1e-13)
    for tensor in state.tensors:
        rows = tensor.reshape(tensor.shape[0], -1)
        np.testing.assert_allclose(rows @ rows.conj().T, np.eye(len(rows)), atol=1e-13)


def test_conversions_keep_the_state(state):
    for there_and_back in (MPS.from_tenpy(SITES, state.to_tenpy()), MPS.from_quimb(SITES, state.to_quimb())):
        assert abs(abs(there_and_back.overlap(state)) - 1) < 1e-12
        # not only the ray: the vector itself, up to its phase
        np.testing.assert_allclose(there_and_back.to_dense(), state.to_dense(), atol=1e-12)


def test_other_libraries_see_the_same_vector(state):
    np.testing.assert_allclose(state.to_quimb().to_dense()[:, 0], state.to_dense(), atol=1e-12)
    theirs = state.to_tenpy().get_theta(0, len(SITES)).to_ndarray().reshape(-1)
    np.testing.assert_allclose(theirs, state.to_dense(), atol=1e-12)


def test_schmidt_values_are_the_singular_values_of_the_vector(state):
    tensors, values = state.schmidt_form()
    vector = state.to_dense()
    np.testing.assert_allclose(abs(np.vdot(MPS(SITES, tuple(tensors)).to_dense(), vector)), 1, atol=1e-12)
    left = 1
    for site, schmidt in zip(SITES, values, strict=False):
        left *= site.dimension
        exact = np.linalg.svd(vector.reshape(left, -1), compute_uv=False)[: len(schmidt)]
        np.testing.assert_allclose(schmidt, exact, atol=1e-12)


def test_entropy_of_a_bell_pair_is_ln_2():
    bell = MPS.from_tensors(qt.qubits(2), [np.eye(2)[None], np.eye(2)[..., None]])
    assert bell.entanglement_entropy() == pytest.approx([np.log(2)])


def test_sums_of_states_are_sums_of_vectors(state):
    other = MPS.random(SITES, 3, seed=8, dtype=complex)
    expected = state.to_dense() + 0.3 * other.to_dense()
    total = state.plus(other, 0.3).to_dense()
    assert abs(np.vdot(total, expected)) == pytest.approx(np.linalg.norm(expected), abs=1e-12)


def test_truncation_discards_what_its_schmidt_values_say():
    state = MPS.random(qt.qubits(10), 16, seed=4)
    spectrum = state.schmidt_form()[1]
    truncated = state.truncated(0.0, 12)
    assert max(truncated.bond_dimensions) == 12
    discarded = sum((s[12:] ** 2).sum() for s in spectrum)
    infidelity = 1 - abs(truncated.overlap(state)) ** 2
    # the largest single bond's discarded weight bounds it from below, the sum of all from above
    assert max((s[12:] ** 2).sum() for s in spectrum) <= infidelity * (1 + 1e-9)
    assert infidelity <= 2 * discarded


def test_expectation_values_and_correlations_are_those_of_the_vector():
    state = MPS.random(qt.qubits(6), 8, seed=2, dtype=complex)
    ground = qt.GroundState(0.0, state, state.sites, 0.0)
    vector = state.to_dense()
    operators = [
        qt.Y(2),
        qt.X(0) * qt.Y(3) * qt.Z(5),
        0.5 + qt.Z(1) * qt.Z(4),
        qt.Sp(1) * qt.Sm(2) + qt.Sm(1) * qt.Sp(2),
    ]
    H = qt.Hamiltonian(state.sites, {"a": operators})
    for k, value in enumerate(ground.expectation(operators)):
        matrix = H.to_sparse({"a": np.eye(4)[k]})
        assert value == pytest.approx(np.vdot(vector, matrix @ vector).real, abs=1e-12)
    pairs = state.correlations("Z", "Y")
    assert pairs[1, 4] == pytest.approx(ground.expectation(qt.Z(1) * qt.Y(4)), abs=1e-12)
