"""Figures of a run, at the width of one column of a two-column paper, redrawn from its folder alone.

`walk` shows two trained parameters moving through the phase diagram, `progress` the loss, the gradient and the
cost of every step. Each is written as PDF (vector) and PNG (300 dpi) to figures/.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, minimum_filter
from scipy.ndimage import label as label_regions

from qep_tn import exact_phases, results

COLUMN_WIDTH = 3.4  # inches

# Okabe and Ito's palette, told apart with every kind of colour vision
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
GREY = "#808080"
# viridis without its yellow end, which fades on white
_LOSS_COLORS = ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0, 0.93, 256)))

STYLE: Any = {
    "font.family": "STIXGeneral", "mathtext.fontset": "stix", "font.size": 9, "axes.labelsize": 9,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8, "legend.frameon": False,
    "axes.linewidth": 0.6, "lines.linewidth": 1.0, "xtick.direction": "in", "ytick.direction": "in",
    "xtick.top": True, "ytick.right": True, "xtick.major.width": 0.6, "ytick.major.width": 0.6, "pdf.fonttype": 42,
}  # fmt: skip

_PHASE_NAME: dict[str, Any] = {
    "ha": "center", "va": "center", "fontsize": 8, "style": "italic", "color": "#404040", "zorder": 1,
}  # fmt: skip
_CELLS = 240  # of the grid, on each axis, on which room for the phases' names is sought

_GREEK = re.compile("alpha|beta|gamma|[dD]elta|epsilon|kappa|lambda|mu|[oO]mega|phi|theta")


def plot_run(run_dir: str | Path) -> list[Path]:
    """Redraw every figure of a run from its history and configuration. Returns the files written.

    Raises ValueError if the folder holds no history, or a damaged one.
    """
    folder = Path(run_dir)
    history = results.load(folder)
    task, model = history.attrs.get("task"), _model_name(folder)
    if task in ("boundary", "finite_size"):
        from qep_tn import boundary_plots, scan_plots

        variable = str(_section(folder, "boundary").get("scan_variable", "entropy"))
        figures = boundary_plots.figures(history, model, scan_plots.behind_trace(folder, variable))
    elif task == "phase_diagram":
        from qep_tn import scan_plots

        figures = scan_plots.figures(history)
    elif task == "sensitivity":
        from qep_tn import sensitivity_plots

        figures = sensitivity_plots.figures(history, model)
    else:
        figures = _walk_figures(history, model)
    written = []
    (folder / "figures").mkdir(exist_ok=True)
    for name, figure in sorted(figures.items()):
        for suffix, options in ((".pdf", {"metadata": {"CreationDate": None}}), (".png", {"dpi": 300})):
            file = folder / "figures" / f"{name}{suffix}"
            with matplotlib.rc_context(STYLE):
                figure.savefig(file, **options)
            written.append(file)
    return written


def _walk_figures(history: xr.Dataset, model: str) -> dict[str, Figure]:
    moved = [str(name) for name in history.attrs.get("trained", _moved(history))]
    figures = {"progress": progress(history)}
    if len(moved) == 2 and all(history[name].dims in (("step",), ("start", "step")) for name in moved):
        figures["walk"] = walk(history, (moved[0], moved[1]), model=model)
    return figures


def walk(history: xr.Dataset, axes: tuple[str, str], model: str = "") -> Figure:
    """The walk of two scalar parameters, or several walks, coloured by the loss. The best walk's ends are the larger.

    axes: names of the parameters on the horizontal and the vertical axis.
    model: for "cluster_ising", the phases of the infinite chain are drawn beneath.
    """
    walks = _walks(history)
    paths = [np.stack([each[name].values for name in axes], axis=1) for each in walks]
    path, losses = np.concatenate(paths), np.concatenate([each["loss"].values for each in walks])
    with matplotlib.rc_context(STYLE):
        figure, (ax,) = new_figure(2.9, 1)
        limits = limits_around(path)
        ax.set(xlim=limits[0], ylim=limits[1], xlabel=symbol(axes[0]), ylabel=symbol(axes[1]))
        ax.xaxis.set_major_locator(MaxNLocator(6))
        known = model == "cluster_ising" and set(axes) < set(exact_phases.PARAMETERS)
        fixed = _third(history, axes) if known else None
        if fixed is not None:
            draw_boundaries(ax, axes, fixed)
        for each in paths:
            ax.plot(*each.T, color=GREY, linewidth=0.7, zorder=2)
        points = ax.scatter(path[:, 0], path[:, 1], c=losses, cmap=_LOSS_COLORS, s=11, linewidths=0, zorder=3)
        for number, each in enumerate(paths):
            size, labels = (5.5, ("start", "end")) if number == 0 else (3.5, (None, None))
            ends: dict[str, Any] = {"markeredgecolor": "black", "markersize": size, "zorder": 4}
            ax.plot(*each[0], "o", color="white", label=labels[0], **ends)
            ax.plot(*each[-1], "s", color=VERMILION, label=labels[1], **ends)
        doubtful = path[np.concatenate([each["trustworthy"].values == 0 for each in walks])]
        if len(doubtful):
            ax.plot(*doubtful.T, "x", color="black", markersize=7, label="not trustworthy", linestyle="", zorder=5)
        bar = figure.colorbar(points, ax=ax, pad=0.02, aspect=28)
        bar.set_label("loss")
        bar.outline.set_linewidth(0.6)
        figure.legend(
            *ax.get_legend_handles_labels(), loc="outside upper center", ncols=4, columnspacing=1.2, handletextpad=0.3
        )
        if fixed is not None:
            figure.draw_without_rendering()
            name_phases(ax, axes, fixed, paths)
    return figure


def progress(history: xr.Dataset, objective: str = "loss") -> Figure:
    """Objective and gradient norm with their error bands, bond dimension and wall time, against the step.

    objective: the variable of the first panel. Of several walks the best is drawn so, and the others as thin lines.
    """
    quantities = [
        (objective, objective, BLUE),
        ("gradient_norm", r"$\|\nabla_{\!\theta}\,\ell\|$", VERMILION),
        ("max_bond", r"bond dim. $\chi$", GREEN),
        ("seconds", "step time (s)", "black"),
    ]
    best, *others = _walks(history)
    if not best["max_bond"].any():  # states are not MPS
        del quantities[2]
    steps = best["step"].values
    with matplotlib.rc_context(STYLE):
        figure, panels = new_figure(1.0 + 1.0 * len(quantities), len(quantities))
        for ax, (name, label, color) in zip(panels, quantities, strict=True):
            values = best[name].values
            for other in others:
                ax.plot(other["step"], other[name], color=GREY, linewidth=0.5, zorder=1)
            ax.plot(steps, values, color=color, marker=".", markersize=3)
            if f"{name}_error" in best:
                width = best[f"{name}_error"].values
                width = np.where(np.isfinite(width), width, np.nan)
                ax.fill_between(steps, values - width, values + width, color=color, alpha=0.25, linewidth=0)
            if name != objective:
                top = ax.get_ylim()[1]
                ax.set_ylim(-0.06 * top, 1.05 * top)
            ax.set_ylabel(label)
            ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
            ax.margins(x=0.02)
        panels[-1].xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
        panels[-1].set_xlabel("step")
        figure.align_ylabels(panels)
    return figure


def symbol(name: str) -> str:
    """A parameter's name as mathematics: g_zz becomes g with subscript zz."""
    base, _, index = name.partition("_")
    base = f"\\{base}" if _GREEK.fullmatch(base) else base if len(base) == 1 else rf"\mathrm{{{base}}}"
    return f"${base}_{{{index.replace('_', ',')}}}$" if index else f"${base}$"


def new_figure(height: float, panels: int) -> tuple[Figure, list[Axes]]:
    """A figure of one column's width, its panels one above the other; height in inches."""
    figure = Figure(figsize=(COLUMN_WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(panels, 1, sharex=True, squeeze=False)
    return figure, list(grid[:, 0])


def _walks(history: xr.Dataset) -> list[xr.Dataset]:
    """The walks of a history, each with dimension `step` and its own rows only; first the one that ends lowest."""
    if "start" not in history.dims:
        return [history]
    walks = [history.isel(start=number) for number in range(history.sizes["start"])]
    walks = [each.isel(step=np.isfinite(each["loss"].values)) for each in walks]
    best = min(range(len(walks)), key=lambda number: float(walks[number]["loss"][-1]))
    return [walks[best], *walks[:best], *walks[best + 1 :]]


def limits_around(path: NDArray) -> NDArray:
    """Axis limits, (2, 2), around a walk, with a margin of a sixth.

    Neither side is shorter than 0.7 of the other, nor than a tenth of the largest coupling.
    """
    low, high = path.min(axis=0), path.max(axis=0)
    span = np.maximum(high - low, 0.1 * np.abs(path).max() or 0.1)
    span = np.maximum(span, 0.7 * span.max()) * 4 / 3
    return np.stack([(low + high - span) / 2, (low + high + span) / 2], axis=1)


def _third(history: xr.Dataset, axes: tuple[str, str]) -> dict[str, float] | None:
    """The cluster-Ising coupling that is not on an axis; None unless it is one number all along."""
    name = next(name for name in exact_phases.PARAMETERS if name not in axes)
    values = history[name].values[np.isfinite(history[name].values)]
    uniform = np.ptp(values) <= 1e-12 * np.abs(values).max()
    return {name: float(values.flat[0])} if uniform else None


def draw_boundaries(ax: Axes, axes: tuple[str, str], fixed: Mapping[str, float]) -> None:
    """The exact phase boundaries of the infinite cluster-Ising chain, dashed."""
    curves = exact_phases.boundaries(axes, fixed, reach=float(np.abs([ax.get_xlim(), ax.get_ylim()]).max()))
    for curve, label in zip(curves, (r"boundaries, $L \to \infty$", None, None), strict=True):
        ax.plot(*curve.T, color="black", linewidth=0.8, dashes=(4, 2), zorder=1, label=label)


def name_phases(ax: Axes, axes: tuple[str, str], fixed: Mapping[str, float], paths: Sequence[NDArray]) -> None:
    """Each phase's name, where there is most room: clear of its boundaries and of all paths. Needs a laid out figure.

    paths: each (points, 2).
    """
    limits = np.array([ax.get_xlim(), ax.get_ylim()])
    ticks = [np.linspace(low, high, _CELLS) for low, high in limits]
    grid = np.meshgrid(ticks[0], ticks[1], indexing="ij")
    phases = exact_phases.phase(**dict(zip(axes, grid, strict=True)), **fixed)
    walked = np.zeros_like(phases, bool)
    for path in paths:
        densely = np.array([np.interp(np.arange(0, len(path), 0.02), np.arange(len(path)), p) for p in path.T]).T
        cells = ((densely - limits[:, 0]) / np.ptp(limits, axis=1) * (_CELLS - 1)).round().astype(int)
        walked[tuple(np.clip(cells, 0, _CELLS - 1).T)] = True
    for number, name in enumerate(exact_phases.PHASES):
        text = ax.text(0, 0, name, **_PHASE_NAME)
        box = np.array(text.get_window_extent().padded(3).size) / ax.bbox.size * _CELLS
        text.remove()
        regions, count = label_regions(phases == number)
        for region in range(1, count + 1):
            free = np.pad((regions == region) & ~walked, 1)
            fits = minimum_filter(free, size=box.astype(int) + 1, mode="constant")
            room = np.where(fits, distance_transform_edt(free), 0)[1:-1, 1:-1]
            if room.any():
                best = np.unravel_index(room.argmax(), room.shape)
                ax.text(grid[0][best], grid[1][best], name, **_PHASE_NAME)


def _moved(history: xr.Dataset) -> list[str]:
    """Parameters that change along the history; those trained, if no summary says which."""
    parameters = [str(name) for name in history if f"gradient_{name}_error" in history]
    best, *_ = _walks(history)
    return [name for name in parameters if np.ptp(best[name].values, axis=0).any()]


def _model_name(folder: Path) -> str:
    return str(_section(folder, "model").get("name", ""))


def _section(folder: Path, name: str) -> Mapping[str, Any]:
    """A section of the run's configuration; empty if there is none."""
    file = folder / "config.toml"
    if not file.exists():
        return {}
    try:
        section: Mapping[str, Any] = tomllib.loads(file.read_text()).get(name, {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise ValueError(f"{file} is not valid TOML; restore it from the run's configuration") from None
    return section
