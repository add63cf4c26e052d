"""Figures of a run, and the phase boundaries that they show against the gap of the infinite chain."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

import qep_tn as qt
from qep_tn.figures import style, walk
from qep_tn.figures.run import plot_run
from qep_tn.models.cluster_ising_phases import PARAMETERS, PHASES, boundaries, phase
from qep_tn.runs.folder import RunFolder

MOMENTA = np.linspace(-np.pi, np.pi, 20_001)
coupling = st.floats(-3, 3)


def symbol(g_x, g_zz, g_zxz):
    return -g_x + g_zz * np.exp(1j * MOMENTA) + g_zxz * np.exp(2j * MOMENTA)


@given(coupling, coupling, coupling)
def test_phase_is_the_number_of_turns_of_the_symbol(g_x, g_zz, g_zxz):
    m = symbol(g_x, g_zz, g_zxz)
    if abs(m).min() < 1e-2:
        return  # at a boundary; the grid of momenta cannot tell
    turns = round(np.ptp(np.unwrap(np.angle(m))[[0, -1]]) / (2 * np.pi))
    expected = ["paramagnet", "ferromagnet" if g_zz > 0 else "antiferromagnet", "cluster phase"][turns]
    assert PHASES[phase(g_x, g_zz, g_zxz)] == expected


@pytest.mark.parametrize("axes", [("g_x", "g_zz"), ("g_zz", "g_x"), ("g_x", "g_zxz"), ("g_zz", "g_zxz")])
@pytest.mark.parametrize("value", [0.5, -1.3])
def test_gap_closes_on_every_boundary_and_phases_change_only_there(axes, value):
    third = next(name for name in PARAMETERS if name not in axes)
    curves = boundaries(axes, {third: value}, reach=3.0, points=61)
    points = np.concatenate(curves)
    points = points[~np.isnan(points[:, 0])]
    gaps = [abs(symbol(**dict(zip(axes, point, strict=True)), **{third: value})).min() for point in points]
    assert max(gaps) < 1e-3  # the momenta are 3e-4 apart, and couplings up to 6
    ticks = np.linspace(-3, 3, 120)
    grid = np.meshgrid(ticks, ticks, indexing="ij")
    phases = phase(**dict(zip(axes, grid, strict=True)), **{third: value})
    dense = np.concatenate(boundaries(axes, {third: value}, reach=3.0))
    dense = dense[~np.isnan(dense[:, 0])]
    for i, j in zip(*np.nonzero(phases[1:] != phases[:-1]), strict=True):
        middle = np.array([(ticks[i] + ticks[i + 1]) / 2, ticks[j]])
        assert np.abs(dense - middle).max(axis=1).min() < 0.05  # the ticks' distance


def test_boundaries_are_those_of_the_positive_quadrant():
    assert PHASES[phase(1.5, 0.4, 1.0)] == "paramagnet"  # g_x > g_zz + g_zxz
    assert PHASES[phase(1.5, 0.6, 1.0)] == "ferromagnet"
    assert PHASES[phase(0.5, 0.4, 1.0)] == "cluster phase"  # g_zxz > g_x + g_zz


@pytest.fixture(params=[True, False], ids=["MPS", "exact"])
def run_dir(tmp_path, request):
    steps = np.arange(30)
    columns = {
        "g_x": 2.2 - 0.06 * steps, "g_zz": 0.5 + 0.06 * steps, "g_zxz": np.ones(30), "loss": -0.03 * steps,
        "loss_error": np.full(30, 0.02), "gradient_norm": 0.3 + 0.01 * steps, "gradient_norm_error": np.full(30, 0.05),
        "max_bond": np.full(30, 24 if request.param else 0), "seconds": np.full(30, 2.5), "trustworthy": steps < 29,
    }  # fmt: skip
    for name in PARAMETERS:
        columns |= {f"gradient_{name}": np.ones(30), f"gradient_{name}_error": np.ones(30)}
    xr.Dataset({name: ("step", c) for name, c in columns.items()}).assign_coords(step=steps).to_netcdf(
        tmp_path / "history.nc", engine="h5netcdf"
    )
    (tmp_path / "config.toml").write_text('[model]\nname = "cluster_ising"\n')
    (tmp_path / "summary.json").write_text(json.dumps({"trained": ["g_x", "g_zz"]}))
    return tmp_path


def test_every_figure_of_a_run_is_drawn_as_pdf_and_png(run_dir):
    files = plot_run(run_dir)
    assert [file.name for file in files] == ["progress.pdf", "progress.png", "walk.pdf", "walk.png"]
    for file in files:
        if file.suffix == ".png":
            height, width, _ = imread(file).shape
            assert width == round(300 * style.COLUMN_WIDTH)
            assert 600 < height < 1800
        else:
            assert file.read_bytes().startswith(b"%PDF")


def test_redrawing_gives_the_same_files(run_dir):
    first = [file.read_bytes() for file in plot_run(run_dir)]
    assert [file.read_bytes() for file in plot_run(run_dir)] == first


def test_several_walks_are_all_drawn(run_dir):
    whole = xr.load_dataset(run_dir / "history.nc", engine="h5netcdf")
    walks = [whole, (whole + 0.1).isel(step=slice(20)), whole - 0.1]
    walks = [each.astype(float).assign(trustworthy=each["trustworthy"] >= 1) for each in walks]
    together = xr.concat([each.reindex(step=whole["step"]) for each in walks], dim="start", join="exact")
    flags = together["trustworthy"].astype(float).fillna(-1).astype(np.int8)
    together.assign(trustworthy=flags).to_netcdf(run_dir / "history.nc", engine="h5netcdf")
    assert "walk.png" in [file.name for file in plot_run(run_dir)]
    history = xr.load_dataset(run_dir / "history.nc", engine="h5netcdf")
    ax = walk.walk(history, ("g_x", "g_zz"), model="cluster_ising").axes[0]
    assert len(ax.collections[0].get_offsets()) == 30 + 20 + 30
    loss = walk.progress(history).axes[0]
    drawn = {tuple(line.get_ydata()) for line in loss.lines}
    assert drawn == {tuple(each["loss"].values) for each in walks}


def test_walk_is_drawn_before_the_run_has_a_summary(run_dir):
    (run_dir / "summary.json").unlink()
    assert "walk.png" in [file.name for file in plot_run(run_dir)]


def test_no_text_of_the_walk_overlaps_the_path_or_other_text(run_dir):
    history = xr.load_dataset(run_dir / "history.nc", engine="h5netcdf")
    figure = walk.walk(history, ("g_x", "g_zz"), model="cluster_ising")
    figure.draw_without_rendering()
    ax = figure.axes[0]
    boxes = [text.get_window_extent() for text in ax.texts]
    assert {text.get_text() for text in ax.texts} == {"paramagnet", "ferromagnet"}
    path = ax.transData.transform(np.stack([history["g_x"], history["g_zz"]], axis=1))
    for i, box in enumerate(boxes):
        assert not any(box.contains(*point) for point in path)
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert ax.bbox.contains(box.x0, box.y0)
        assert ax.bbox.contains(box.x1, box.y1)


def test_phases_are_left_out_for_couplings_that_are_not_uniform(run_dir):
    history = xr.load_dataset(run_dir / "history.nc", engine="h5netcdf")
    history["g_zxz"] = ("step", "g_zxz_coupling"), np.random.default_rng(0).random((30, 4))
    assert not walk.walk(history, ("g_x", "g_zz"), model="cluster_ising").axes[0].texts


@pytest.mark.parametrize(
    ("name", "shown"),
    [("g_zz", "$g_{zz}$"), ("g", "$g$"), ("delta", r"$\delta$"), ("g_x_1", "$g_{x,1}$"), ("Jxy", r"$\mathrm{Jxy}$")],
)
def test_parameters_are_shown_as_mathematics(name, shown):
    assert style.symbol(name) == shown


def test_folder_without_history_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"history\.nc does not exist; give the folder of a run"):
        plot_run(tmp_path)


def test_a_sensitivity_run_has_figures_of_its_own(tmp_path):
    H, run = qt.models.cluster_ising(6), RunFolder.create(tmp_path)
    qt.optimize_sensitivity(
        H, {"g_zz": 1.0, "g_zxz": 0.5}, qt.X(1) * qt.X(4), scan="g_x", points=(0.5, 2.0), train=["g_zz"], steps=3,
        run=run, progress=False,
    )  # fmt: skip
    run.close()
    names = ["pair", "progress", "walk"]
    files = plot_run(tmp_path)
    assert [file.name for file in files] == [f"{name}.{suffix}" for name in names for suffix in ("pdf", "png")]
    assert {imread(file).shape[1] for file in files if file.suffix == ".png"} == {round(300 * style.COLUMN_WIDTH)}
