"""Pairs of points between which an observable changes fastest."""

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import X


def sensitivity_at(H, theta, points):
    values = [qt.ExactDiagonalization().ground_state(H, {**theta, "g_x": g}).expectation(X(2) * X(6)) for g in points]
    return abs(values[0] - values[1]) / abs(points[0] - points[1])


def test_each_step_raises_the_sensitivity_to_first_order():
    H, theta, points = qt.models.cluster_ising(9), {"g_x": 0.0, "g_zz": 0.7, "g_zxz": 0.4}, (0.4, 1.9)
    result = qt.optimize_sensitivity(
        H, theta, X(2) * X(6), scan="g_x", points=points, train=["g_zz"], steps=6, rate=0.02, progress=False
    )
    values = result.history["sensitivity"].values
    assert result.converged
    assert np.all(np.diff(values) > 0)
    assert values[0] == pytest.approx(sensitivity_at(H, theta, points), abs=1e-9)
    last = [float(result.history[name][-1]) for name in ("g_x_1", "g_x_2")]
    assert result.boundary == pytest.approx(np.mean(last))


@pytest.mark.filterwarnings("ignore::qep_tn.DegenerateGroundStateWarning")  # in the ferromagnet
def test_the_pair_encloses_the_transition_of_a_long_chain():
    length = 64
    H = qt.models.cluster_ising(length)
    middle = length // 2
    result = qt.optimize_sensitivity(
        H, {"g_zz": 1.0, "g_zxz": 0.0}, X(middle - 2) * X(middle + 2), scan="g_x", points=(0.6, 1.6), train=[],
        steps=12, rate=0.05, closest=0.1, progress=False,
    )  # fmt: skip
    # the steepest point of a local observable sits about 1/L below the boundary of the infinite chain, g_x = 1
    assert abs(result.boundary - 1.0) < max(result.boundary_error, 5 / length)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scan": "h"}, "'h' is not a scalar parameter"),
        ({"points": (1.0, 1.0)}, "at least 0.001 apart"),
        ({"train": ["g_y"]}, "'g_y' is not a scalar parameter"),
        ({"rate": 0.0}, "length positive"),
    ],
)
def test_bad_input_is_refused(wrong, message):
    arguments = {"scan": "g_x", "points": (0.5, 1.5)} | wrong
    with pytest.raises(ValueError, match=message):
        qt.optimize_sensitivity(
            qt.models.cluster_ising(8), {"g_zz": 1.0, "g_zxz": 0.0}, X(3), progress=False, **arguments
        )
