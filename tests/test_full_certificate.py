"""Full certificates: what a gradient does not know of itself, told by other means."""

import numpy as np
import pytest
from chains import random_cluster_ising

import qep_tn as qt
from qep_tn import X, Z
from qep_tn.gradients.trust import Trust, verdict


def weakly_pinned(length, pinning):
    """A ferromagnet whose two branches only a pinning field at one end tells apart."""
    H = qt.Hamiltonian(
        qt.qubits(length),
        {
            "h": -sum(X(j) for j in range(length)),
            "J": -sum(Z(j) * Z(j + 1) for j in range(length - 1)),
            "p": -Z(0),
        },
    )
    return H, {"h": 0.2, "J": 1.0, "p": pinning}


def test_a_level_closer_than_the_nudge_is_found_by_the_exact_gradient():
    H, theta = weakly_pinned(12, 1e-7)
    loss = qt.Expectation(Z(6))
    assert qt.gradient(H, theta, loss, solver=qt.NumbaDMRG()).trustworthy  # which is why there are full certificates
    result = qt.gradient(H, theta, loss, solver=qt.NumbaDMRG(), certify="full")
    assert not result.trustworthy
    assert result.certificate.full
    assert result.certificate.gap == pytest.approx(qt.ExactDiagonalization().ground_state(H, theta).gap, rel=1e-3)


def test_a_right_gradient_of_a_small_system_is_certified_against_the_exact_one(rng):
    H, theta = random_cluster_ising("paramagnet", 10, rng)
    result = qt.gradient(H, theta, qt.Expectation(X(4) * X(6)), solver=qt.NumbaDMRG(), certify="full")
    assert result.trustworthy
    assert 0 <= result.certificate.exact_distance < 2
    assert "distance to exact" in str(result.certificate)


def test_a_long_chain_is_certified_by_its_gap_and_an_independent_start(rng):
    H, theta = random_cluster_ising("paramagnet", 24, rng)
    loss = qt.Expectation(X(11) * X(13))
    result = qt.gradient(H, theta, loss, solver=qt.NumbaDMRG(), certify="full")
    assert result.trustworthy
    assert result.certificate.exact_distance is None
    assert result.certificate.lower == 0
    assert result.certificate.gap == pytest.approx(qt.FreeFermion().ground_state(H, theta).gap, rel=1e-3)


def test_a_gap_below_the_nudge_is_refused_on_a_long_chain():
    H, theta = weakly_pinned(14, 1e-7)
    result = qt.gradient(H, theta, qt.Expectation(Z(6)), solver=qt.NumbaDMRG(), certify="full")
    assert result.certificate.exact_distance is None
    assert result.status is Trust.DEGENERATE


def test_the_verdict_follows_from_the_certificate_alone(rng):
    H, theta = random_cluster_ising("cluster", 16, rng)
    loss = qt.Expectation(X(8))
    for solver, certify in ((qt.NumbaDMRG(), "cheap"), (qt.ExactDiagonalization(), "full"), (qt.FreeFermion(), "full")):
        result = qt.gradient(H, theta, loss, solver=solver, certify=certify)
        assert verdict(result.certificate) == (result.status, result.message)
        assert result.certificate.full == (certify == "full")


def test_another_certificate_than_the_two_is_refused(rng):
    H, theta = random_cluster_ising("cluster", 6, rng)
    with pytest.raises(ValueError, match="choose 'cheap' or 'full'"):
        qt.gradient(H, theta, qt.Expectation(X(2)), certify="complete")


def test_many_gradients_are_certified_as_one(rng):
    H, theta = random_cluster_ising("paramagnet", 8, rng)
    (result,) = qt.gradients([(H, theta, qt.Expectation(X(3)))], solver=qt.NumbaDMRG(threads=1), certify="full")
    assert result.certificate.full
    assert np.isfinite(result.certificate.exact_distance)
