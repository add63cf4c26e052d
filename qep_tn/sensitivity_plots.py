"""Figures of a pair of points that closes in on the steepest change of an observable."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qep_tn import exact_phases, plots


def figures(history: xr.Dataset, model: str = "") -> dict[str, Figure]:
    """Every figure of a sensitivity run, by name; `walk` where exactly one shared parameter moves."""
    scan = str(history.attrs["scan"])
    drawn = {"progress": plots.progress(history, "sensitivity"), "pair": pair(history, scan)}
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
    with matplotlib.rc_context(plots.STYLE):
        figure, (ax,) = plots.new_figure(2.4, 1)
        ax.fill_between(steps, first, second, color=plots.GREY, alpha=0.25, linewidth=0)
        ax.plot(steps, first, color=plots.BLUE, label="point 1")
        ax.plot(steps, second, color=plots.VERMILION, label="point 2")
        ax.plot(steps, middle, color="black", dashes=(3, 2), linewidth=0.8, label="middle")
        ax.plot(steps[encloses], middle[encloses], ".", color="black", markersize=4, label="encloses")
        ax.set(xlabel="step", ylabel=plots.symbol(scan))
        ax.margins(x=0.02)
        ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
        figure.legend(
            *ax.get_legend_handles_labels(), loc="outside upper center", ncols=4, columnspacing=1.0, handlelength=1.5
        )
    return figure


def walk(history: xr.Dataset, scan: str, shared: str, model: str = "") -> Figure:
    """Both points' paths in the plane of the scanned and the shared parameter.

    model: for "cluster_ising", the phases of the infinite chain are drawn beneath.
    """
    axes = (scan, shared)
    paths = [np.stack([history[f"{scan}_{n}"].values, history[shared].values], axis=1) for n in (1, 2)]
    third = next((name for name in exact_phases.PARAMETERS if name not in axes), "")
    known = model == "cluster_ising" and set(axes) < set(exact_phases.PARAMETERS) and third in history
    fixed = {third: float(history[third][0])} if known else None
    with matplotlib.rc_context(plots.STYLE):
        figure, (ax,) = plots.new_figure(2.9, 1)
        limits = plots.limits_around(np.concatenate(paths))
        ax.set(xlim=limits[0], ylim=limits[1], xlabel=plots.symbol(scan), ylabel=plots.symbol(shared))
        ax.xaxis.set_major_locator(MaxNLocator(6))
        if fixed is not None:
            plots.draw_boundaries(ax, axes, fixed)
        for number, (path, color) in enumerate(zip(paths, (plots.BLUE, plots.VERMILION), strict=True), 1):
            ends: dict[str, Any] = {"markeredgecolor": "black", "markersize": 5.5, "zorder": 4}
            ax.plot(*path.T, ".-", color=color, markersize=3, linewidth=0.7, label=f"point {number}", zorder=3)
            ax.plot(*path[0], "o", color="white", label="start" if number == 1 else None, **ends)
            ax.plot(*path[-1], "s", color=color, **ends)
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2, columnspacing=1.2)
        if fixed is not None:
            figure.draw_without_rendering()
            plots.name_phases(ax, axes, fixed, paths)
    return figure
