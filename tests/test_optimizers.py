"""Update rules against their papers, projections against brute force, and constraints from text."""

import itertools
import math
import os

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qep_tn.descent.feasible_set import Region, nearest_point
from qep_tn.descent.update_rules import UPDATES
from qep_tn.expressions.constraints import parse_constraint
from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import X, Z
from qep_tn.hamiltonians.sites import qubits
from qep_tn.runs.executors import in_order

NAMES = ("g_x", "g_zz", "g_zxz")
small = st.integers(-3, 3)


def textbook(rule, start, slope_at, rate, steps):
    """Kingma and Ba's algorithms 1 and 2 and plain descent, one coupling after the other. Returns every position."""
    path, m, v = [list(start)], [0.0] * len(start), [0.0] * len(start)
    for t in range(1, steps + 1):
        slope, theta = slope_at(path[-1]), []
        length = math.sqrt(sum(g * g for g in slope))
        for k, (x, g) in enumerate(zip(path[-1], slope, strict=True)):
            m[k] = 0.9 * m[k] + 0.1 * g
            if rule == "adam":
                v[k] = 0.999 * v[k] + 0.001 * g * g
                theta.append(x - rate * (m[k] / (1 - 0.9**t)) / (math.sqrt(v[k] / (1 - 0.999**t)) + 1e-8))
            elif rule == "adamax":
                v[k] = max(0.999 * v[k], abs(g))
                theta.append(x - rate / (1 - 0.9**t) * m[k] / v[k])
            else:
                theta.append(x - rate * g / (length if rule == "normalized" else 1))
        path.append(theta)
    return np.array(path)


@pytest.mark.parametrize("rule", UPDATES)
def test_update_is_that_of_the_textbook(rule, rng):
    matrix = rng.normal(size=(3, 3))
    position, memory = rng.normal(size=3), {}
    expected = textbook(rule, position, lambda x: (matrix @ np.sin(x)).tolist(), 0.05, 20)
    for theta in expected:
        np.testing.assert_allclose(position, theta, rtol=1e-12, atol=1e-12)
        position, memory = UPDATES[rule](position, matrix @ np.sin(position), 0.05, memory)


@pytest.mark.parametrize("rule", UPDATES)
def test_a_coupling_without_slope_stays(rule):
    position, memory = np.array([1.0, 2.0]), {}
    for _ in range(3):
        position, memory = UPDATES[rule](position, np.array([1.0, 0.0]), 0.1, memory)
    assert position[0] < 1.0
    assert position[1] == 2.0


def brute_force(point, equal, targets, more, least):
    """The nearest point among the projections onto every set of active inequalities."""
    best = None
    for count in range(len(point) + 1):
        for active in itertools.combinations(range(len(more)), count):
            rows = np.vstack([equal, more[list(active)]])
            values = np.concatenate([targets, least[list(active)]])
            x = point
            for _ in range(2):
                x = x + np.linalg.lstsq(rows, values - rows @ x, rcond=1e-12)[0] if len(rows) else x
            size = max(1.0, np.abs(point).max())
            if (
                np.abs(rows @ x - values).max(initial=0) > 1e-12 * size
                or (least - more @ x).max(initial=0) > 1e-14 * size
            ):
                continue
            if best is None or np.linalg.norm(x - point) < np.linalg.norm(best - point):
                best = x
    return best


@given(data=st.data(), size=st.integers(1, 4), equations=st.integers(0, 2), inequalities=st.integers(0, 6))
def test_projection_is_the_nearest_point_of_the_polytope(data, size, equations, inequalities):
    def integers(*shape):
        count = math.prod(shape)
        return np.array(data.draw(st.lists(small, min_size=count, max_size=count)), float).reshape(shape)

    inside = integers(size)
    equal, more = integers(equations, size), integers(inequalities, size)
    assume((np.abs(more).sum(axis=1) > 0).all())
    targets, least = equal @ inside, more @ inside - np.abs(integers(inequalities))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    point = inside + rng.normal(size=size) * 10.0 ** data.draw(st.integers(-3, 2))
    x = nearest_point(point, equal, targets, more, least)
    expected = brute_force(point, equal, targets, more, least)
    np.testing.assert_allclose(x, expected, atol=1e-12 * max(1.0, np.abs(point).max()))


def chain(**arrays):
    operators = {"g_x": sum(X(j) for j in range(4)), "g_zz": Z(0) * Z(1), "g_zxz": Z(0) * X(1) * Z(2)}
    return Hamiltonian(qubits(4), operators | arrays)


def region(theta, bounds=None, constraints=(), trained=NAMES, **arrays):
    H = chain(**arrays)
    mask = np.array([label.split("[")[0] in trained for label in H.labels])
    return Region.around(H, H.flatten(dict(zip(NAMES, theta, strict=True))), mask, bounds, constraints)


@pytest.mark.parametrize("start", [(2.0, 1.0, 1.0), (4.0, 0.0, 0.0), (2.0, 2.0, 0.0)])
def test_tangent_is_the_direction_in_which_the_projection_moves(start, rng):
    triangle = region(start, {"g_zz": (0.0, 3.0)}, ["g_x + g_zz + g_zxz = 4", "g_x >= 0", "g_zxz >= 0"])
    for _ in range(20):
        direction = rng.normal(size=3)
        step = 1e-4
        moved = (triangle.project(np.array(start) + step * direction) - start) / step
        np.testing.assert_allclose(triangle.tangent(np.array(start), direction), moved, atol=1e-10)


def test_parameters_that_are_not_trained_stay_and_count():
    held = region((2.0, 1.0, 1.0), None, ["g_x + g_zz <= 3"], trained=("g_x",))
    np.testing.assert_allclose(held.project(np.array([5.0, 1.0, 1.0])), [2.0, 1.0, 1.0])


def test_bounds_hold_for_every_coupling_of_an_array():
    bounded = region((np.array([1.0, 2.0]), 1.0, 1.0), {"g_x": (0.0, 3.0)}, g_x=[X(0), X(1)])
    np.testing.assert_array_equal(bounded.project(np.array([-1.0, 5.0, 7.0, 1.0])), [0.0, 3.0, 7.0, 1.0])


@pytest.mark.parametrize(
    ("text", "coefficients", "bound", "equality"),
    [
        ("g_x + g_zz + g_zxz = 4", {"g_x": 1, "g_zz": 1, "g_zxz": 1}, 4, True),
        ("g_x >= 0", {"g_x": 1}, 0, False),
        ("2*g_x - g_zz <= 1", {"g_x": -2, "g_zz": 1}, -1, False),
        ("3 == -(g_x - 2 * 4) / 2 + g_zz - 1", {"g_x": -0.5, "g_zz": 1}, 0, True),
        ("g_x >= g_x / 2 + g_zz", {"g_x": 0.5, "g_zz": -1}, 0, False),
    ],
)
def test_linear_constraints_are_read_as_written(text, coefficients, bound, equality):
    (constraint,) = parse_constraint(text, NAMES)
    sign = math.copysign(1, constraint.coefficients["g_x"] * coefficients["g_x"]) if equality else 1
    assert {name: sign * c for name, c in constraint.coefficients.items()} == coefficients
    assert sign * constraint.bound == bound
    assert constraint.equality == equality


def test_two_comparisons_are_two_constraints():
    low, high = parse_constraint("0 <= g_x <= 4", NAMES)
    assert (low.coefficients, low.bound) == ({"g_x": 1}, 0)
    assert (high.coefficients, high.bound) == ({"g_x": -1}, -4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not understood; write a linear equation"),
        ("g_x", "is not understood; write a linear equation"),
        ("g_x + = 3", "invalid syntax; write a linear equation"),
        ("g_x < 1", "compares by =, <= or >="),
        ("g_x * g_zz = 1", "multiplies parameters, which is not linear"),
        ("1 / g_x = 1", "only a number can divide"),
        ("g_x / 0 = 1", "division by zero"),
        ("2 * g_y = 1", "position 5: nothing is called 'g_y' here; did you mean g_x?"),
        ("h = 1", "nothing is called 'h' here; known are g_x, g_zz, g_zxz"),
        ("g_x - g_x = 0", "names no parameter"),
        ("__import__('os').getpid() = 1", "is not understood; write a linear equation"),
        ("X(0) = 1", "'X(0)' is not understood; write a linear equation"),
        ("abs(g_x) = 1", "has abs(...) or complex numbers; write a linear equation"),
        ("1j * g_x = 1", "has abs(...) or complex numbers; write a linear equation"),
        ("g_x = ", "is not understood; write a linear equation"),
        ("g_x ** 2 = 1", "'g_x ** 2' is not understood"),
        ("g_x = True", "'True' is not understood"),
        ("g_x = 1e999", "must be finite"),
        ("1e99 * 1e99 * 1e99 * 1e99 * g_x = 1", "must be finite"),
        ("(" * 500 + "g_x" + ")" * 500 + " = 1", "too many nested parentheses"),
        ("g_x = 1\n\0", "write a linear equation"),
    ],
)
def test_what_is_no_linear_constraint_is_refused_in_one_line(text, message):
    with pytest.raises(ValueError, match=r"^constraints: ") as caught:
        parse_constraint(text, NAMES)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("bounds", "constraints", "message"),
    [
        ({"g_y": (0, 1)}, (), "bounds has 'g_y', but the parameters are g_x, g_zz, g_zxz"),
        ({"g_x": (3, 1)}, (), "bounds: g_x has (3, 1); give a lowest and a larger highest value"),
        ({"g_x": 3}, (), "bounds: g_x has 3; give"),
        ({"g_x": (math.nan, 1)}, (), "bounds: g_x has (nan, 1); give"),
        ({"g_x": (3, 4)}, (), "theta violates g_x >= 3; it is 1 away from where a walk may start"),
        (None, ["g_x + g_zz = 4"], "theta violates g_x + g_zz = 4; it is 0.707 away"),
        (None, ["1 <= g_x <= 1"], "theta violates g_x <= 1; it is 1 away"),
        (None, ["g_x >= 3", "g_x <= 1"], "no values of the trained parameters meet bounds and constraints"),
        (None, ["g_x + g_zz = 4", "g_x + g_zz >= 5"], "no values of the trained parameters"),
        (None, "g_x = 2", "constraints is one string, 'g_x = 2'; give a list"),
    ],
)
def test_regions_that_make_no_sense_are_refused(bounds, constraints, message):
    with pytest.raises(ValueError, match=r".") as caught:
        region((2.0, 1.0, 1.0), bounds, constraints)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scale", ["1e-200", "1e-300", "1e99 * 1e99"])
def test_constraints_mean_the_same_at_every_scale(scale):
    texts = ["g_x + g_zz <= 3", f"{scale} * g_x + {scale} * g_zz <= 3 * {scale}"]
    plain, scaled = (region((1.0, 1.0, 1.0), None, [text]).project(np.array([4.0, 3.0, 1.0])) for text in texts)
    np.testing.assert_allclose(scaled, plain, rtol=1e-12)
    np.testing.assert_allclose(scaled, [2.0, 1.0, 1.0])


@pytest.mark.parametrize("text", ["1e-300 * g_x >= -1e99", "1e-300 * g_x + 1e-300 * g_zz >= -1e99"])
def test_constraints_out_of_range_are_refused(text):
    with pytest.raises(ValueError, match="has coefficients too small beside its bound"):
        region((1.0, 1.0, 1.0), None, [text])


def test_constraints_do_not_tie_arrays():
    with pytest.raises(ValueError, match="ties g_x, which has 2 couplings"):
        region((np.ones(2), 1.0, 1.0), None, ["g_x + g_zz = 2"], g_x=[X(0), X(1)])


def _known(operator):
    return os.getpid(), {X(0) * Z(1): "found"}.get(operator)


def _fails(number):
    raise ValueError(f"no {number}")


def test_work_in_processes_comes_back_in_order_and_operators_are_equal_there():
    operators = [X(0) * Z(1), Z(0), X(0) * Z(1)]
    assert len({hash(operator) for operator in operators}) == 2  # cached, and of no use in another process
    pids, found = zip(*in_order(_known, operators, processes=2), strict=True)
    assert found == ("found", None, "found")
    assert os.getpid() not in pids


@pytest.mark.parametrize("processes", [0, -1])
def test_no_process_is_refused(processes):
    with pytest.raises(ValueError, match=f"processes is {processes}; it must be at least 1"):
        list(in_order(_fails, [1, 2], processes=processes))


def test_what_a_process_raises_is_raised_here():
    with pytest.raises(ValueError, match="no 1"):
        list(in_order(_fails, [1, 2], processes=2))
