"""Figures of walks: two trained parameters in the phase diagram, and loss, gradient and cost of every step."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qep_tn.figures.phases import draw_boundaries, fixed_couplings, name_phases
from qep_tn.figures.style import BLUE, GREEN, GREY, STYLE, VERMILION, limits_around, new_figure, symbol
from qep_tn.models import PHASES

# viridis without its yellow end, which fades on white
_LOSS_COLORS = ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0, 0.93, 256)))


def figures(history: xr.Dataset, model: str = "") -> dict[str, Figure]:
    """Every figure of a walk, or of several, by name; `walk` where exactly two scalar parameters move."""
    moved = [str(name) for name in history.attrs.get("trained", _moved(history))]
    drawn = {"progress": progress(history)}
    if len(moved) == 2 and all(history[name].dims in (("step",), ("start", "step")) for name in moved):
        drawn["walk"] = walk(history, (moved[0], moved[1]), model=model)
    return drawn


def walk(history: xr.Dataset, axes: tuple[str, str], model: str = "") -> Figure:
    """The walk of two scalar parameters, or several walks, coloured by the loss. The best walk's ends are the larger.

    axes: names of the parameters on the horizontal and the vertical axis.
    model: of its exact phases, where they are known, the boundaries are drawn beneath.
    """
    walks = _walks(history)
    paths = [np.stack([each[name].values for name in axes], axis=1) for each in walks]
    path, losses = np.concatenate(paths), np.concatenate([each["loss"].values for each in walks])
    with matplotlib.rc_context(STYLE):
        figure, (ax,) = new_figure(2.9, 1)
        limits = limits_around(path)
        ax.set(xlim=limits[0], ylim=limits[1], xlabel=symbol(axes[0]), ylabel=symbol(axes[1]))
        ax.xaxis.set_major_locator(MaxNLocator(6))
        phases = PHASES.get(model)
        fixed = fixed_couplings(phases, axes, history)
        if phases is not None and fixed is not None:
            draw_boundaries(ax, phases, axes, fixed)
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
        if phases is not None and fixed is not None:
            figure.draw_without_rendering()
            name_phases(ax, phases, axes, fixed, paths)
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


def _walks(history: xr.Dataset) -> list[xr.Dataset]:
    """The walks of a history, each with dimension `step` and its own rows only; first the one that ends lowest."""
    if "start" not in history.dims:
        return [history]
    walks = [history.isel(start=number) for number in range(history.sizes["start"])]
    walks = [each.isel(step=np.isfinite(each["loss"].values)) for each in walks]
    best = min(range(len(walks)), key=lambda number: float(walks[number]["loss"][-1]))
    return [walks[best], *walks[:best], *walks[best + 1 :]]


def _moved(history: xr.Dataset) -> list[str]:
    """Parameters that change along the history; those trained, if no summary says which."""
    parameters = [str(name) for name in history if f"gradient_{name}_error" in history]
    best, *_ = _walks(history)
    return [name for name in parameters if np.ptp(best[name].values, axis=0).any()]
