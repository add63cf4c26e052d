"""Finished runs go on with more room: every row that was there stays, to the last bit, and new ones come."""

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import X, Z
from qep_tn.cli import main
from qep_tn.models import cluster_ising, transverse_field_ising
from qep_tn.ridges.points import STOPS
from qep_tn.runs.folder import RunFolder, load
from qep_tn.tasks.boundary import TraceStatus
from qep_tn.tasks.finite_size import ScalingStatus

ISING = transverse_field_ising(16)
WINDOW = {"h": (0.6, 1.4), "J": (0.8, 1.1)}
LARGER = {"h": (0.4, 1.8), "J": (0.6, 1.4)}
NEAR = {"h": 0.9, "J": 1.0}
EXPENSES = ("ground_states_search", "seconds")


def in_folder(path, task, **settings):
    """The result of a task whose run is in a folder, begun there or gone on with."""
    run = RunFolder.create(path, resume=path.exists())
    try:
        return task(run, **settings)
    finally:
        run.close()


def trace(run, window=WINDOW, start=NEAR, **settings):
    return qt.trace_boundary(
        ISING, {"h": 0.9, "J": 1.0}, ("h", "J"), window, observable=Z(7) * Z(8), start=start, run=run, progress=False,
        **{"step": 0.4, "search": 8, "solver": qt.FreeFermion()} | settings,
    )  # fmt: skip


def scan(run, top=1.0, rows=3, bottom=0.5, **settings):
    return qt.phase_diagram(
        cluster_ising(6), {"g_x": 1.0, "g_zz": 1.0, "g_zxz": 0.5}, ("g_x", "g_zz"),
        {"g_x": (0.5, 1.5), "g_zz": (bottom, top)}, shape=(4, rows), observables={"xx": X(1) * X(4)}, run=run,
        progress=False, **settings,
    )  # fmt: skip


def scaling(run, lengths=(8, 16), **settings):
    return qt.finite_size_scaling(
        transverse_field_ising, lengths, {"h": 0.9, "J": 1.0}, ("h", "J"), WINDOW,
        observable=lambda L: Z(L // 2 - 1) * Z(L // 2), start={"h": 0.9, "J": 1.0}, step=0.4, processes=1,
        solver=qt.FreeFermion(), run=run, progress=False, **settings,
    )  # fmt: skip


def stops(history):
    return [{STOPS[int(stop)] for stop in curve} for curve in history["stop"]]


def points(history):
    """All that is known of every point, as bytes, by curve and order."""
    names = [n for n, v in history.variables.items() if v.dims == ("curve", "point") and n not in EXPENSES]
    return {
        (curve, int(history["order"][curve, n])): [history[name][curve, n].values.tobytes() for name in names]
        for curve in range(history.sizes["curve"])
        for n in range(int(history["points"][curve]))
    }


def assert_grown(before, after):
    assert len(after) > len(before)
    assert {key: after[key] for key in before} == before


def test_a_curve_goes_on_with_more_points_as_if_it_had_not_stopped(tmp_path):
    before = in_folder(tmp_path / "run", trace, points=3)
    assert stops(before.history) == [{"point limit"}]
    after = in_folder(tmp_path / "run", trace, points=20)
    assert after.status is TraceStatus.TRACED
    assert stops(after.history) == [{"window edge"}]
    assert_grown(points(before.history), points(after.history))
    in_folder(tmp_path / "whole", trace, points=20)
    whole, grown = (load(tmp_path / name).drop_vars("seconds") for name in ("whole", "run"))
    for name in whole.variables:
        assert whole[name].values.tobytes() == grown[name].values.tobytes()


def test_curves_of_matrix_product_states_go_on_from_the_states_at_their_ends(tmp_path):
    chain = {"solver": qt.NumbaDMRG(), "step": 0.5}
    in_folder(tmp_path / "run", trace, points=3, **chain)
    in_folder(tmp_path / "run", trace, points=20, **chain)
    in_folder(tmp_path / "whole", trace, points=20, **chain)
    assert points(load(tmp_path / "run")) == points(load(tmp_path / "whole"))


@pytest.mark.parametrize("start", [{"h": 0.9, "J": 1.0}, None], ids=["start", "search"])
def test_curves_go_on_in_a_larger_window(tmp_path, start):
    before = in_folder(tmp_path / "run", trace, start=start)
    assert {"window edge"} in stops(before.history)
    after = in_folder(tmp_path / "run", trace, start=start, window=LARGER).history
    assert_grown(points(before.history), points(after))
    assert after.attrs["window_J"] == list(LARGER["J"])
    assert float(after["J"].min()) == pytest.approx(LARGER["J"][0], abs=0.02)
    assert after["ground_states_search"] > before.history["ground_states_search"] or start
    np.testing.assert_array_less(abs(after["h"] / after["J"] - 0.9).values[after["order"] != 0], 0.15)


def test_a_larger_window_is_searched_where_nothing_was_found(tmp_path):
    empty = in_folder(tmp_path / "run", trace, start=None, window={"h": (0.89, 0.91), "J": (0.99, 1.01)}, points=3)
    assert empty.status is TraceStatus.NOTHING_FOUND
    assert not empty.converged
    assert in_folder(tmp_path / "run", trace, start=None, window=LARGER, points=3).history.sizes["curve"] > 0


def test_a_finished_trace_with_the_same_room_stays_as_it_is(tmp_path):
    in_folder(tmp_path / "run", trace)
    before = {name: (tmp_path / "run" / name).read_bytes() for name in ("history.nc", "state.h5", "summary.json")}
    in_folder(tmp_path / "run", trace)
    assert before == {name: (tmp_path / "run" / name).read_bytes() for name in before}


@pytest.mark.parametrize(
    ("rows", "bottom", "top", "kept"),
    [(5, 0.5, 1.5, [0, 1, 2]), (5, 0.0, 1.0, [2, 3, 4]), (5, 0.5, 1.0, [0, 2, 4])],
    ids=["up", "down", "finer"],
)
def test_rows_of_a_scan_stay_in_a_larger_or_finer_grid(tmp_path, rows, bottom, top, kept):
    before = in_folder(tmp_path / "run", scan)
    after = in_folder(tmp_path / "run", scan, rows=rows, bottom=bottom, top=top)
    np.testing.assert_allclose(after["g_zz"], np.linspace(bottom, top, rows))
    cold = qt.ExactDiagonalization()
    for name in before.variables:
        same = after[name].isel(g_zz=kept) if "g_zz" in before[name].dims else after[name]
        assert same.values.tobytes() == before[name].values.tobytes(), name
    for i, j in [(1, 1), (2, rows - 1)]:
        place = {"g_x": float(after["g_x"][i]), "g_zz": float(after["g_zz"][j]), "g_zxz": 0.5}
        assert float(after["energy"][i, j]) == pytest.approx(cold.ground_state(cluster_ising(6), place).energy)
    assert np.isfinite(after["fidelity_susceptibility"]).all()


def test_a_scan_with_more_rows_above_is_as_one_that_had_them(tmp_path):
    in_folder(tmp_path / "run", scan, solver=qt.ExactDiagonalization())
    in_folder(tmp_path / "run", scan, solver=qt.ExactDiagonalization(), rows=5, top=1.5)
    in_folder(tmp_path / "whole", scan, solver=qt.ExactDiagonalization(), rows=5, top=1.5)
    assert (tmp_path / "run/history.nc").read_bytes() == (tmp_path / "whole/history.nc").read_bytes()


def test_more_lengths_leave_the_points_of_the_others(tmp_path):
    before = in_folder(tmp_path / "run", scaling).history
    chains = {L: (tmp_path / f"run/L-{L}/history.nc").read_bytes() for L in (8, 16)}
    after = in_folder(tmp_path / "run", scaling, lengths=(8, 12, 16))
    assert after.status is ScalingStatus.EXTRAPOLATED
    assert after.history["length"].values.tolist() == [8, 12, 16]
    for name in ("h", "h_error", "J", "width", "ground_states"):
        assert after.history[name].sel(length=[8, 16]).values.tobytes() == before[name].values.tobytes()
    assert {L: (tmp_path / f"run/L-{L}/history.nc").read_bytes() for L in chains} == chains
    in_folder(tmp_path / "whole", scaling, lengths=(8, 12, 16))
    assert (tmp_path / "run/history.nc").read_bytes() == (tmp_path / "whole/history.nc").read_bytes()


@pytest.mark.parametrize(
    ("task", "changed", "reason"),
    [
        (trace, {"points": 3}, "points was 200, and is 3: .*points that are found stay"),
        (
            trace,
            {"window": {"h": (0.6, 1.4), "J": (0.9, 1.5)}},
            "window was .*: .*points that are found must stay in it",
        ),
        (scan, {"top": 1.2}, "the grid along g_zz was 3 points from 0.5 to 1, and is 3 .*complete must be rows of it"),
        (scaling, {"lengths": (8, 16, 20)}, "the longest of lengths, on which every point is found, was 16, and is 20"),
        (scaling, {"lengths": (10, 16)}, r"lengths was \[8, 16\], and is \[10, 16\]: more may be added, but L = 8 is"),
        (scaling, {"points": 300}, "points was 200, and is 300"),
    ],
)
def test_what_would_change_the_rows_that_exist_is_refused_with_the_reason(tmp_path, task, changed, reason):
    path = tmp_path / "run"
    in_folder(path, task)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "run.log"}
    with pytest.raises(ValueError, match=reason) as refused:
        in_folder(path, task, **changed)
    assert "\n" not in str(refused.value)
    assert {file: file.read_bytes() for file in before} == before


SCANNED = """
[model]
name = "cluster_ising"
L = 6
[parameters]
g_x = 0.4
g_zz = 1.2
[boundary]
plane = ["g_x", "g_zz"]
window = { g_x = [0.0, 3.0], g_zz = [0.2, 1.5] }
points = 3
search = 8
scan = [3, 3]
"""


def test_a_scan_whose_grid_does_not_go_on_is_refused_before_its_trace_does(tmp_path, capsys):
    config, run = tmp_path / "scanned.toml", tmp_path / "run"
    config.write_text(SCANNED)
    command = ["boundary", str(config), "--out", str(run)]
    assert main(command) in (0, 3)
    before = {name: (run / name).read_bytes() for name in ("history.nc", "state.h5", "config.toml", "scan/history.nc")}
    wider = "boundary.window={ g_x = [0.0, 3.5], g_zz = [0.2, 1.5] }"
    assert main([*command, "--resume", "--set", wider]) == 2
    assert "grid along g_x was 3 points" in capsys.readouterr().err
    assert before == {name: (run / name).read_bytes() for name in before}
    assert main([*command, "--resume"]) in (0, 3)


def test_several_lengths_that_are_refused_leave_no_folder(tmp_path, capsys):
    config, run = tmp_path / "lengths.toml", tmp_path / "run"
    config.write_text(SCANNED.replace("g_x = 0.4", "g_x = 9.0").replace("scan = [3, 3]", "lengths = [4, 6]"))
    command = ["boundary", str(config), "--out", str(run)]
    assert main(command) == 2
    assert "outside the window" in capsys.readouterr().err
    assert not run.exists()
