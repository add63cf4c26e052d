"""Full certificates: what a gradient does not know of itself, told by other means."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from chains import random_cluster_ising

import qep_tn as qt
from qep_tn import X, Y, Z
from qep_tn.gradients import examination, room
from qep_tn.gradients.trust import Trust, verdict
from qep_tn.states.ground_state import SolveStatus


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


def tilted_ferromagnet(length):
    """Its lowest excited state is a minimum of its own: the branch against the field."""
    H = qt.Hamiltonian(
        qt.qubits(length),
        {"J": -sum(Z(j) * Z(j + 1) for j in range(length - 1)), "h": [-X(j) for j in range(length)]},
        fixed=-0.02 * sum(Z(j) for j in range(length)),
    )
    return H, {"J": 1.0, "h": np.full(length, 0.3)}


@dataclass(frozen=True)
class Excited(qt.NumbaDMRG):
    """Takes the lowest excited state for the ground state, unless started from another seed than 0."""

    def ground_state(self, H, theta, start=None):
        ground = super().ground_state(H, theta, start)
        return self.excited_state(H, theta, [ground]) if self.seed == 0 else ground


@pytest.mark.parametrize(("length", "status"), [(13, Trust.LOWER_STATE), (12, Trust.NOT_EXACT)])
def test_an_excited_state_is_found_out_by_an_independent_start_or_the_exact_gradient(length, status):
    H, theta = tilted_ferromagnet(length)
    loss, solver = qt.Expectation(Z(3)), Excited(threads=1)
    assert qt.gradient(H, theta, loss, solver=solver).trustworthy  # an eigenstate, and its response, as it should be
    result = qt.gradient(H, theta, loss, solver=solver, certify="full")
    assert result.status is status
    depth = solver.excited_state(H, theta, [ground := qt.NumbaDMRG().ground_state(H, theta)]).energy - ground.energy
    assert result.certificate.lower == pytest.approx(depth, rel=1e-6)


@pytest.mark.parametrize("blind", [True, False], ids=["blind", "seeing"])
def test_an_exact_gradient_decides_whatever_else_speaks_for_or_against(blind, monkeypatch):
    H = qt.Hamiltonian(
        qt.qubits(8), {"c": [-Z(0) * Z(j) for j in (1, 7)], "h": [-X(j) for j in range(8)], "y": [Y(j) for j in (0, 7)]}
    )
    theta = {"c": np.zeros(2), "h": np.full(8, 1.0), "y": np.zeros(2)}
    if blind:
        monkeypatch.setattr(room, "with_operator", lambda state, *_: state)
    result = qt.gradient(H, theta, qt.Expectation(Z(0) * Z(7)), solver=qt.NumbaDMRG(), certify="full")
    assert result.status is (Trust.NOT_EXACT if blind else Trust.TRUSTWORTHY)
    # a residual is evidence by itself, and none beside an exact gradient
    for distance, status in ((1.0, Trust.TRUSTWORTHY), (1e3, Trust.NOT_EXACT), (None, Trust.RESIDUAL)):
        certificate = replace(result.certificate, residual=1.0, relative_error=1e-6, exact_distance=distance, lower=0.0)
        assert verdict(certificate).status is status


@dataclass(frozen=True)
class Hasty(qt.NumbaDMRG):
    """What it seeks from another seed than 0, or above the ground state, does not converge."""

    what: str = ""

    def ground_state(self, H, theta, start=None):
        return self.unless(super().ground_state(H, theta, start), self.what == "start" and self.seed != 0)

    def excited_state(self, H, theta, below, start=None):
        return self.unless(super().excited_state(H, theta, below, start), self.what == "gap")

    def unless(self, state, hasty):
        return replace(state, status=SolveStatus.STILL_FALLING, message="in haste") if hasty else state


@pytest.mark.parametrize("what", ["start", "gap"])
def test_a_full_certificate_rests_on_no_state_that_did_not_converge(what, monkeypatch, rng):
    monkeypatch.setattr(examination, "_EXACT_DIMENSION", 1)
    H, theta = random_cluster_ising("paramagnet", 8, rng)
    result = qt.gradient(H, theta, qt.Expectation(X(4)), solver=Hasty(what=what), certify="full")
    assert result.status is Trust.NOT_CONVERGED
    assert ("independent start" if what == "start" else "gap") in result.message
    # an excited state that has not converged bounds the gap from above all the same
    assert result.certificate.gap == pytest.approx(qt.FreeFermion().ground_state(H, theta).gap, rel=1e-3)
