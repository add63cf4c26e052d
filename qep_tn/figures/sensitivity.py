"""Figures of a pair of points that closes in on the steepest change of an observable."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qep_tn.figures import style
from qep_tn.figures import walk as walks
from qep_tn.figures.phases import draw_boundaries, fixed_couplings, name_phases
from qep_tn.models import PHASES


def figures(history: xr.Dataset, model: str = "") -> dict[str, Figure]:
    """Every figure of a sensitivity run, by name; `walk` where exactly one shared parameter moves."""
    scan = str(history.attrs["scan"])
    drawn = {"progress": walks.progress(history, "sensitivity"), "pair": pair(history, scan)}
    moving = [str(name) for name in history if f"gradient_{name}_error" in history]
    shared = [name for name in moving if name not in (f"{scan}_1", f"{scan}_2")]
    if len(shared) == 1:
        drawn["walk"] = walk(history, scan, shared[0], model)
    return drawn


def pair(history: xr.Dataset, scan: str) -> Figure:
    """The two points, the interval between and its middle, against the step; dots where it is known to enclose."""
    steps = history["step"].values
    first, second = (history[f"{scan}_{n}"].values for n in (1, 2))
    encloses = history["encloses"].values.astype(bool)
    middle = (first + second) / 2
    with matplotlib.rc_context(style.STYLE):
        figure, (ax,) = style.new_figure(2.4, 1)
        ax.fill_between(steps, first, second, color=style.GREY, alpha=0.25, linewidth=0)
        ax.plot(steps, first, color=style.BLUE, label="point 1")
        ax.plot(steps, second, color=style.VERMILION, label="point 2")
        ax.plot(steps, middle, color="black", dashes=(3, 2), linewidth=0.8, label="middle")
        ax.plot(steps[encloses], middle[encloses], ".", color="black", markersize=4, label="encloses")
        ax.set(xlabel="step", ylabel=style.symbol(scan))
        ax.margins(x=0.02)
        ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
        figure.legend(
            *ax.get_legend_handles_labels(), loc="outside upper center", ncols=4, columnspacing=1.0, handlelength=1.5
        )
    return figure


def walk(history: xr.Dataset, scan: str, shared: str, model: str = "") -> Figure:
    """Both points' paths in the plane of the scanned and the shared parameter.

    model: of its exact phases, where they are known, the boundaries are drawn beneath.
    """
    axes = (scan, shared)
    paths = [np.stack([history[f"{scan}_{n}"].values, history[shared].values], axis=1) for n in (1, 2)]
    phases = PHASES.get(model)
    fixed = fixed_couplings(phases, axes, history)
    with matplotlib.rc_context(style.STYLE):
        figure, (ax,) = style.new_figure(2.9, 1)
        limits = style.limits_around(np.concatenate(paths))
        ax.set(xlim=limits[0], ylim=limits[1], xlabel=style.symbol(scan), ylabel=style.symbol(shared))
        ax.xaxis.set_major_locator(MaxNLocator(6))
        if phases is not None and fixed is not None:
            draw_boundaries(ax, phases, axes, fixed)
        for number, (path, color) in enumerate(zip(paths, (style.BLUE, style.VERMILION), strict=True), 1):
            ends: dict[str, Any] = {"markeredgecolor": "black", "markersize": 5.5, "zorder": 4}
            ax.plot(*path.T, ".-", color=color, markersize=3, linewidth=0.7, label=f"point {number}", zorder=3)
            ax.plot(*path[0], "o", color="white", label="start" if number == 1 else None, **ends)
            ax.plot(*path[-1], "s", color=color, **ends)
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2, columnspacing=1.2)
        if phases is not None and fixed is not None:
            figure.draw_without_rendering()
            name_phases(ax, phases, axes, fixed, paths)
    return figure
