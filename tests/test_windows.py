"""Nudged states in windows: as right as those of the whole chain, wherever the nudge is."""

import numpy as np
import pytest
from chains import random_cluster_ising

import qep_tn as qt
from qep_tn import X, Z

LENGTH = 160
LOSSES = {
    "bulk": qt.Expectation(X(80) * X(84)),
    "left end": qt.Expectation(X(0)),
    "right end": qt.Expectation(Z(LENGTH - 2) * Z(LENGTH - 1)),
    "two places": qt.MeanSquaredError([X(20), X(140) * X(141)], [0.3, 0.9]),
}


@pytest.mark.parametrize("phase", ["paramagnet", "cluster"])
@pytest.mark.parametrize("place", LOSSES)
def test_gradients_of_long_chains_equal_free_fermions_wherever_the_nudge_is(place, phase, rng):
    H, theta = random_cluster_ising(phase, LENGTH, rng)
    exact = H.flatten(qt.gradient(H, theta, LOSSES[place], solver=qt.FreeFermion()).gradient)
    result = qt.gradient(H, theta, LOSSES[place], solver=qt.NumbaDMRG())
    error = np.abs(H.flatten(result.gradient) - exact)
    assert result.trustworthy
    assert np.linalg.norm(error) <= 1e-4 * np.linalg.norm(exact)
    assert np.mean(error <= H.flatten(result.error)) >= 0.9


def test_nudged_states_of_a_window_are_those_of_the_whole_chain(rng):
    H, theta = random_cluster_ising("paramagnet", LENGTH, rng)
    result = qt.gradient(H, theta, LOSSES["bulk"], solver=qt.NumbaDMRG(), rtol=1e-7)
    for sign, state in zip((1, -1), result.nudged, strict=True):
        nudged = H.with_parameter("nudge", [X(80) * X(84)])
        whole = qt.NumbaDMRG().ground_state(nudged, {**theta, "nudge": np.array([sign * result.beta])})
        assert state.energy == pytest.approx(whole.energy, abs=1e-8)
        assert state.fidelity(whole) == pytest.approx(1, abs=1e-8)
    # the difference quotient of their expectation values is the gradient
    plus, minus = (state.expectation(H.couplings) for state in result.nudged)
    np.testing.assert_allclose((plus - minus) / (2 * result.beta), H.flatten(result.gradient), atol=1e-9)


def test_the_number_of_threads_does_not_change_a_bit(rng):
    H, theta = random_cluster_ising("paramagnet", 40, rng)
    one, two = (qt.gradient(H, theta, qt.Expectation(X(20)), solver=qt.NumbaDMRG(threads=n)) for n in (1, 2))
    assert np.array_equal(H.flatten(one.gradient), H.flatten(two.gradient))
    assert np.array_equal(H.flatten(one.error), H.flatten(two.error))


def test_degenerate_edge_modes_inside_the_window_do_not_spoil_the_gradient(rng):
    # of 40 sites the window holds both ends, where four degenerate levels rotate at will: the gradient does not settle
    # to rtol, differently from machine to machine, and says so; its error is the one that it claims (docs/method.md)
    H, theta = random_cluster_ising("cluster", 40, rng)
    exact = H.flatten(qt.gradient(H, theta, qt.Expectation(X(20)), solver=qt.FreeFermion()).gradient)
    result = qt.gradient(H, theta, qt.Expectation(X(20)), solver=qt.NumbaDMRG())
    error = np.linalg.norm(H.flatten(result.gradient) - exact) / np.linalg.norm(exact)
    assert result.trustworthy
    assert error <= 1e-3
    assert error <= result.relative_error
