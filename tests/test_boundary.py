"""Traced boundaries lie on the exact ridges, end where they should, and come back the same after a kill."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from chains import exact_ridge
from hypothesis import given
from hypothesis import strategies as st

import qep_tn as qt
from qep_tn import X, Z
from qep_tn.cli import main
from qep_tn.ridges.peak import Sample, find_peak
from qep_tn.ridges.points import STOPS
from qep_tn.runs.folder import RunFolder, load
from qep_tn.runs.state_file import read_states
from qep_tn.states.ground_state import GroundState
from qep_tn.states.state_vector import StateVector

WINDOW = {"g_x": (0.0, 3.2), "g_zz": (0.2, 2.0)}


def cluster_term(L):
    return Z(L // 2 - 1) * X(L // 2) * Z(L // 2 + 1)


def points_of(history):
    for curve in range(history.sizes["curve"]):
        for point in range(int(history["points"][curve])):
            yield history.isel(curve=curve, point=point)


def stops_of(history):
    return [{STOPS[int(stop)] for stop in curve} for curve in history["stop"]]


def assert_curves_are_sound(history):
    """Points are in the window, no two are the same, and no curve turns back on itself."""
    a, b = history.attrs["plane"]
    for number in range(history.sizes["curve"]):
        curve = history.isel(curve=number).isel(point=slice(int(history["points"][number])))
        for name in (a, b):
            low, high = history.attrs[f"window_{name}"]
            assert (curve[name] >= low - curve[f"{name}_error"]).all()
            assert (curve[name] <= high + curve[f"{name}_error"]).all()
        chords = np.diff(np.stack([curve[a], curve[b]], axis=1), axis=0)
        assert (np.linalg.norm(chords, axis=1) > 1e-6).all()
        assert ((chords[1:] * chords[:-1]).sum(axis=1) > 0).all()


# --- one line


def samples_of(function, centre, spacing, energy=lambda x: 0.0, slope=lambda x: 0.0):
    positions = centre + spacing * np.arange(-2, 3)
    return [Sample(x, function(x), energy(x), slope(x), 0.0, None) for x in positions]


@given(
    st.floats(-1, 1), st.floats(0.01, 0.5), st.floats(-0.5, 0.5), st.floats(-0.3, 0.3), st.sampled_from([1, -1]),
    st.integers(0, 1),
)  # fmt: skip
def test_peak_of_a_rounded_logarithm_is_found_to_within_its_error(place, size, off, tilt, sign, kind):
    """The response -log(x^2 + a^2) of an Ising transition, or a Lorentzian, with a slope that shifts its maximum."""

    def response(x):
        t = (x - place) / size
        return (4 - np.log(t**2 + 1) if kind else 3 / (t**2 + 1)) * (1 + 0.1 * tilt * t)

    fine = np.linspace(place - size, place + size, 200_001)
    exact = fine[np.argmax(response(fine))]
    width = size * (2.0 if kind else 1.0)
    spacing = 0.15 * width
    grid = np.linspace(place - 3 * width, place + 3 * width, 60_001)
    integral = np.concatenate([[0], np.cumsum((response(grid)[1:] + response(grid)[:-1]) / 2 * np.diff(grid))])

    found = find_peak(samples_of(lambda x: sign * np.interp(x, grid, integral), exact + off * spacing, spacing), 0.0)
    assert not found.jump
    assert abs(found.position - exact) < found.error + 2e-3 * width  # the numerical integral's own error
    assert found.width == pytest.approx(width, rel=0.3)


@given(st.floats(-0.4, 0.4), st.floats(0.5, 2), st.floats(-2, -0.5), st.floats(-0.3, 0), st.floats(-0.3, 0))
def test_jump_is_where_the_energies_of_two_branches_cross(crossing, left, right, bend_left, bend_right):
    def branch(slope, bend):
        return lambda x: slope * (x - crossing) + bend * (x - crossing) ** 2 / 2

    low, high = branch(left, bend_left), branch(right, bend_right)

    def energy(x):
        return min(low(x), high(x))

    def slope(x):
        lower = low(x) < high(x)
        return left + bend_left * (x - crossing) if lower else right + bend_right * (x - crossing)

    found = find_peak(samples_of(lambda x: -slope(x), 0.0, 0.5, energy, slope), 0.0)
    assert found.jump
    assert abs(found.position - crossing) <= found.error + 1e-9


# --- whole curves


@pytest.mark.parametrize(
    ("kind", "sign"), [("cluster term", 1.0), ("cluster term", -1.0), ("correlation", -1.0), ("energy", 1.0)]
)
def test_points_lie_on_the_exact_ridge_to_within_their_errors(sign, kind):
    L = 48
    H = qt.models.cluster_ising(L)
    observable = {"cluster term": cluster_term(L), "correlation": X(L // 2 - 2) * X(L // 2 + 2), "energy": None}[kind]
    theta = {"g_x": 0.4 if sign > 0 else 0.15, "g_zz": 1.0, "g_zxz": sign}
    window = WINDOW if sign > 0 else {"g_x": (0.0, 1.5), "g_zz": (0.2, 1.3)}
    trace = qt.trace_boundary(
        H, theta, ("g_x", "g_zz"), window, observable=observable, step=0.3, solver=qt.FreeFermion(), progress=False
    )
    assert trace.converged
    assert trace.history.sizes["curve"] == 2
    assert_curves_are_sound(trace.history)
    within = []
    for point in points_of(trace.history):
        name = ("g_x", "g_zz")[int(point["across"])]
        g_zz = float(point["g_zz"])
        place = {"g_x": float(point["g_x"]), "g_zz": g_zz, "g_zxz": sign}
        measured = -H.parameters[name] if observable is None else observable
        exact = exact_ridge(H, place, name, measured, 0.3 * float(point["width"]))
        within.append(abs(place[name] - exact) <= float(point[f"{name}_error"]))
        lines = [g_zz + 1, abs(1 - g_zz)] if sign > 0 else [1.0, g_zz - 1]
        assert min(abs(place["g_x"] - line) for line in lines) < 8 / L * max(1, g_zz)
    assert np.mean(within) >= 0.9


def test_compiled_dmrg_traces_the_same_ridge():
    L = 48
    H = qt.models.cluster_ising(L)
    trace = qt.trace_boundary(
        H, {"g_x": 1.5, "g_zz": 0.6, "g_zxz": 1.0}, ("g_x", "g_zz"), {"g_x": (1.0, 2.2), "g_zz": (0.4, 0.9)},
        observable=cluster_term(L), start={"g_x": 1.5, "g_zz": 0.6}, step=0.3, solver=qt.NumbaDMRG(), progress=False,
    )  # fmt: skip
    assert stops_of(trace.history) == [{"window edge"}]
    for point in points_of(trace.history):
        place = {"g_x": float(point["g_x"]), "g_zz": float(point["g_zz"]), "g_zxz": 1.0}
        exact = exact_ridge(H, place, "g_x", cluster_term(L), 0.3 * float(point["width"]))
        assert abs(place["g_x"] - exact) <= float(point["g_x_error"])
        assert float(point["g_x_error"]) < 0.05 * float(point["width"])
        assert int(point["max_bond"]) > 4


def test_line_of_level_crossings_is_exact():
    """The polarised states of the XXZ chain in a staggered field end at J_z = -sqrt(J_xy^2 + h^2), for any length."""
    H = qt.models.xxz_staggered(8)
    trace = qt.trace_boundary(
        H, {"J_xy": 1.0, "J_z": -1.3, "h": 0.8}, ("J_z", "h"), {"J_z": (-1.6, -1.05), "h": (0.5, 1.1)},
        start={"J_z": -1.28, "h": 0.8}, step=0.25, solver=qt.ExactDiagonalization(), progress=False,
    )  # fmt: skip
    assert trace.history.sizes["curve"] == 1
    for point in points_of(trace.history):
        assert float(point["width"]) == 0  # a jump
        exact = -np.hypot(1.0, float(point["h"]))
        assert abs(float(point["J_z"]) - exact) <= float(point["J_z_error"]) < 5e-4


def test_a_boundary_ends_at_a_multicritical_point():
    H = qt.models.cluster_ising(64)
    trace = qt.trace_boundary(
        H, {"g_x": 0.5, "g_zz": 0.8, "g_zxz": -1.0}, ("g_x", "g_zz"), {"g_x": (0.0, 1.5), "g_zz": (0.5, 2.3)},
        observable=cluster_term(64), start={"g_x": 0.3, "g_zz": 1.3}, step=0.1, solver=qt.FreeFermion(), progress=False,
    )  # fmt: skip
    assert stops_of(trace.history) == [{"window edge", "multicritical point"}]
    last = trace.history.isel(curve=0)
    highest = float(last["g_zz"].max())
    assert 1.7 < highest < 2.0  # in the infinite chain two lines meet at g_x = 1, g_zz = 2


def test_a_crossover_is_no_boundary():
    """Without a cluster term and at g_zz = 0 the chain is a paramagnet for every g_x > 0."""
    H = qt.models.cluster_ising(64)
    trace = qt.trace_boundary(
        H, {"g_x": 1.0, "g_zz": 0.1, "g_zxz": 0.0}, ("g_x", "g_zz"), {"g_x": (0.5, 2.0), "g_zz": (0.05, 0.3)},
        observable=X(32), solver=qt.FreeFermion(), progress=False,
    )  # fmt: skip
    assert trace.history.sizes["curve"] == 0
    assert not trace.converged
    assert "no boundary found" in trace.message


@dataclasses.dataclass
class Ring(qt.Solver):
    """A made-up solver: <Z_0> rises across a circle of radius 1 in the plane of the fields a and b on spins 1 and 2."""

    calls: int = 0

    def ground_state(self, H, theta, start=None):
        self.calls += 1
        a, b = theta["a"], theta["b"]
        r = np.hypot(a, b)
        step = np.tanh((r - 1) / 0.03)
        bloch = [0.9 * step, 0.5 * step * a / r, 0.5 * step * b / r]  # <Z> of the three spins
        angles = np.arccos(bloch) / 2
        spins = [np.array([np.cos(t), np.sin(t)]) for t in angles]
        vector = np.kron(np.kron(spins[0], spins[1]), spins[2])
        return GroundState(0.0, StateVector(H.sites, vector), H.sites, 0.0)


RING = qt.Hamiltonian(qt.qubits(3), {"a": Z(1), "b": Z(2)})


def trace_ring(run=None, solver=None, a=2.0, b=2.0, **settings):
    return qt.trace_boundary(
        RING, {"a": 0.8, "b": 0.7}, ("a", "b"), {"a": (-a, a), "b": (-b, b)}, observable=Z(0),
        start={"a": 0.71, "b": 0.71}, solver=solver or Ring(), run=run, progress=False, **settings,
    )  # fmt: skip


def test_a_closed_loop_is_followed_once():
    solver = Ring()
    trace = trace_ring(solver=solver)
    assert stops_of(trace.history) == [{"closed loop"}]
    curve = trace.history.isel(curve=0)
    radii = np.hypot(curve["a"], curve["b"])
    assert abs(radii - 1).max() < 4e-3  # along a line oblique to the circle the maximum is off by its width squared
    angles = np.unwrap(np.arctan2(curve["b"], curve["a"]))
    assert 1.8 * np.pi < abs(angles[-1] - angles[0]) < 2.1 * np.pi
    total = int(trace.history["ground_states"].sum()) + int(trace.history["ground_states_search"])
    assert solver.calls == total
    assert int(curve["ground_states"].median()) <= 8


def test_a_loop_is_closed_only_where_it_has_come_round():
    """Where the ridge bends, steps are much smaller than allowed: the first points are near each other, but no loop."""
    trace = trace_ring(step=0.3)
    assert stops_of(trace.history)[0] == {"closed loop"}
    curve = trace.history.isel(curve=0, point=slice(int(trace.history["points"][0])))
    angles = np.unwrap(np.arctan2(curve["b"], curve["a"]))
    assert abs(angles[-1] - angles[0]) > 1.8 * np.pi


@pytest.mark.parametrize(("a", "b"), [(1.5, 1.5), (3.0, 1.5), (1.6, 3.0)])
def test_a_closed_loop_is_followed_in_windows_of_any_shape(a, b):
    trace = trace_ring(a=a, b=b)
    assert stops_of(trace.history) == [{"closed loop"}]
    assert_curves_are_sound(trace.history)
    # where a line runs along the circle for a while, the maximum on it is off, by about the peak's width there
    assert abs(np.hypot(trace.history["a"], trace.history["b"]) - 1).max() < 0.1


@pytest.mark.parametrize("step", [0.15, 0.1, 1 / 16])
def test_a_line_that_leaves_the_window_ends_at_its_edges(step):
    H = qt.models.cluster_ising(40)
    trace = qt.trace_boundary(
        H, {"g_x": 1.36, "g_zz": 1.86, "g_zxz": 3.4}, ("g_zz", "g_zxz"), {"g_zz": (1.42, 4.32), "g_zxz": (1.39, 4.12)},
        step=step, solver=qt.FreeFermion(), progress=False,
    )  # fmt: skip
    assert stops_of(trace.history) == [{"window edge"}]
    assert_curves_are_sound(trace.history)
    off = trace.history["g_zxz"] - trace.history["g_zz"] - 1.36  # of the infinite chain's line
    assert abs(off).max() < 0.3  # ridges of -d2E/dg2 are off by 2.4 couplings over L


def test_a_ridge_in_the_first_cell_of_a_searched_line_is_found():
    H = qt.models.transverse_field_ising(48)
    trace = qt.trace_boundary(
        H, {"h": 1.5, "J": 1.0}, ("h", "J"), {"h": (0.95, 3.0), "J": (0.99, 1.3)}, observable=Z(24) * Z(25),
        solver=qt.FreeFermion(), progress=False,
    )  # fmt: skip
    assert trace.history.sizes["curve"] == 1


def test_a_boundary_does_not_depend_on_how_the_hamiltonian_is_written():
    """Couplings as a fixed part, and their deviations as parameters."""
    L = 32
    X_, ZZ = (qt.models.transverse_field_ising(L).parameters[name] for name in ("h", "J"))
    H = qt.Hamiltonian(qt.qubits(L), {"d": X_, "k": ZZ}, fixed=X_ + ZZ)
    trace = qt.trace_boundary(
        H, {"d": 0.1, "k": 0.0}, ("d", "k"), {"d": (-0.4, 0.4), "k": (-0.2, 0.2)}, start={"d": -0.05, "k": 0.0},
        observable=Z(16) * Z(17), solver=qt.FreeFermion(), progress=False,
    )  # fmt: skip
    assert trace.history.sizes["curve"] == 1


def test_a_loop_that_leaves_the_window_ends_at_its_edges():
    trace = trace_ring(a=0.9, b=0.9)
    assert stops_of(trace.history)[0] == {"window edge"}
    curve = trace.history.isel(curve=0)
    assert max(float(curve["a"].max()), float(curve["b"].max())) == pytest.approx(0.9, abs=0.02)


# --- saving


class KilledError(Exception):
    pass


@pytest.mark.parametrize("life", [7, 60])
def test_a_trace_that_was_cut_short_resumes_to_the_same_history(tmp_path, monkeypatch, life):
    solve = Ring.ground_state

    def mortal(self, H, theta, start=None):
        if self.calls >= life:
            raise KilledError
        return solve(self, H, theta, start)

    def attempt(folder, resume=False):
        run = RunFolder.create(tmp_path / folder, "", resume=resume)
        try:
            trace_ring(run, a=0.9, b=0.9)
        finally:
            run.close()

    attempt("whole")
    monkeypatch.setattr(Ring, "ground_state", mortal)
    with pytest.raises(KilledError):
        attempt("cut")
    monkeypatch.undo()
    attempt("cut", resume=True)
    whole, cut = ((tmp_path / name / "history.nc").read_bytes() for name in ("whole", "cut"))
    assert whole == cut


CONFIG = """
[model]
name = "cluster_ising"
L = 16
[parameters]
g_x = 1.4
g_zz = 0.6
g_zxz = 1.0
[boundary]
plane = ["g_x", "g_zz"]
window = { g_x = [0.9, 2.0], g_zz = [0.4, 0.8] }
observable = "Z(L // 2 - 1) * X(L // 2) * Z(L // 2 + 1)"
start = [{ g_x = 1.4, g_zz = 0.6 }]
step = 0.2
points = 4
"""


PROGRAM = [sys.executable, "-c", "import sys; from qep_tn.cli import main; sys.exit(main())", "boundary", "run.toml"]


def traced(tmp_path, out, *options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*PROGRAM, "--out", out, *options], cwd=tmp_path, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def assert_whole(folder):
    """No file is half-written: whatever has its final name can be read."""
    if (folder / "history.nc").exists():
        load(folder)
    if (folder / "state.h5").exists():
        read_states(folder / "state.h5", qt.qubits(16))


def test_a_killed_run_resumes_to_the_same_history(tmp_path, monkeypatch, capsys, blank):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text(CONFIG)
    # in this process, for another one takes seconds to start
    assert main(["boundary", "run.toml", "--out", "whole"]) == 0
    printed = capsys.readouterr().out
    saved = tmp_path / "cut" / "state.h5"
    with traced(tmp_path, "cut") as process:
        while process.poll() is None and not saved.exists():
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert_whole(tmp_path / "cut")
    assert main(["boundary", "run.toml", "--out", "cut", "--resume"]) == 0
    assert (tmp_path / "whole" / "history.nc").read_bytes() == (tmp_path / "cut" / "history.nc").read_bytes()
    assert {file.suffix for file in (tmp_path / "cut" / "figures").iterdir()} == {".pdf", ".png"}
    assert load(tmp_path / "cut")["g_x"].attrs["units"] == "energy"
    assert "g_zz" in printed


@pytest.mark.slow
def test_twenty_kills_at_random_moments_leave_the_history_the_same(tmp_path, rng):
    (tmp_path / "run.toml").write_text(CONFIG)
    began = time.monotonic()
    with traced(tmp_path, "whole") as process:
        process.communicate()
    duration = time.monotonic() - began
    whole = (tmp_path / "whole" / "history.nc").read_bytes()
    for kill in range(20):
        folder = tmp_path / f"cut-{kill}"
        with traced(tmp_path, folder.name) as process:
            time.sleep(rng.uniform(0.2, duration))
            process.send_signal(signal.SIGKILL)
        assert_whole(folder)
        if not (folder / "config.toml").exists():  # killed before it began
            continue
        with traced(tmp_path, folder.name, "--resume") as process:
            _, errors = process.communicate()
        assert process.returncode == 0, (kill, errors)
        assert (folder / "history.nc").read_bytes() == whole, kill


# --- several lengths


def test_extrapolation_recovers_the_limit_to_within_its_error(rng):
    within = []
    for _ in range(300):
        limit, a, b = rng.uniform(-2, 2, 3)
        lengths = np.array([32, 64, 128, 256][: rng.integers(3, 5)])
        errors = np.full(len(lengths), 1e-4)
        values = limit + a / lengths + b / lengths**2 + errors * rng.uniform(-1, 1, len(lengths))
        found, error = qt.extrapolate(lengths, values, errors, 1.0)
        within.append(abs(found - limit) <= error)
    assert np.mean(within) >= 0.9


@pytest.mark.parametrize("power", [0.6, 0.8, 0.85, 0.9, 0.95, 1.1, 1.3, 1.6])
def test_the_error_of_a_limit_holds_a_wrong_exponent_that_shows_in_the_shifts(power):
    lengths = np.array([32, 64, 128])
    found, error = qt.extrapolate(lengths, lengths**-power, [1e-7] * 3, 1.0)
    assert abs(found) <= error


def test_oscillating_corrections_are_not_extrapolated_with_confidence():
    values = [1.0, 1.1, 1.05]
    limit, error = qt.extrapolate([32, 64, 128], values, [1e-4] * 3, 1.0)
    assert error >= abs(limit - 1.05)


def test_transverse_field_ising_chain_is_critical_at_equal_couplings():
    scaling = qt.finite_size_scaling(
        qt.models.transverse_field_ising, [32, 64, 128], {"h": 1.0, "J": 1.0}, ("h", "J"),
        {"h": (0.5, 2.2), "J": (0.7, 1.5)}, start={"h": 0.97, "J": 1.0}, step=0.25, processes=1, rtol=3e-3,
        solver=qt.FreeFermion(), progress=False,
    )  # fmt: skip
    assert scaling.converged
    for point in points_of(scaling.history):
        ratio = float(point["h_infinite"]) / float(point["J_infinite"])
        assert abs(ratio - 1) < 2e-3
        assert abs(ratio - 1) < float(point["h_infinite_error"]) / float(point["J_infinite"])


# --- what is wrong with the input


class Unused(qt.Solver):
    """A solver that nothing is left to: what is wrong is said before."""

    def ground_state(self, H, theta, start=None):
        raise KilledError


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"plane": ("g_x", "g_x")}, "name two different parameters"),
        ({"plane": ("g_x", "g_y")}, "'g_y', which is no scalar parameter; these are g_x, g_zz, g_zxz"),
        ({"window": {"g_x": (0.0, 1.0)}}, "window lacks 'g_zz'"),
        ({"window": {"g_x": (1.0, 0.0), "g_zz": (0.0, 1.0)}}, "the lower one first"),
        ({"window": {"g_x": (0.0, 1.0), "g_zz": (0.0, 1.0), "g_y": (0, 1)}}, "'g_y', which is not in the plane"),
        ({"start": {"g_x": 5.0, "g_zz": 0.5}}, "outside the window"),
        ({"start": {"g_x": 0.5}}, "give a value of g_x and of g_zz"),
        ({"window": {"g_x": (1.5, 2.0), "g_zz": (0.5, 1.5)}}, "starts at g_x = 1, outside the window"),
        ({"step": 0.0}, "step = 0.0: must be positive"),
        ({"rtol": 2.0}, "lies between 0 and 1"),
        ({"observable": X(12)}, "the observable of the boundary"),
    ],
)
def test_bad_input_is_refused_before_any_ground_state(wrong, message):
    arguments = {"plane": ("g_x", "g_zz"), "window": WINDOW} | wrong
    with pytest.raises(ValueError, match=message):
        qt.trace_boundary(
            qt.models.cluster_ising(8), {"g_x": 1.0, "g_zz": 1.0, "g_zxz": 1.0}, solver=Unused(), progress=False,
            **arguments,
        )  # fmt: skip


def test_parameters_with_names_of_figures_are_refused():
    H = qt.Hamiltonian(qt.qubits(3), {"width": Z(1), "b": Z(2)})
    with pytest.raises(ValueError, match="parameter 'width' cannot be recorded"):
        qt.trace_boundary(H, {"width": 1.0, "b": 1.0}, ("width", "b"), {"width": (0, 1), "b": (0, 1)}, progress=False)
