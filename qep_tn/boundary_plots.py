"""Figures of traced boundaries: the curves in their plane, and what their points cost."""

from __future__ import annotations

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qep_tn import exact_phases, plots

PALETTE = (plots.BLUE, plots.VERMILION, plots.GREEN, "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito


def figures(history: xr.Dataset, model: str = "") -> dict[str, Figure]:
    """Every figure of a trace, by name."""
    return {"boundaries": boundaries(history, model), "progress": progress(history)}


def boundaries(history: xr.Dataset, model: str = "") -> Figure:
    """The curves with error bars, in their window.

    model: for "cluster_ising", the exact boundaries of the infinite chain are drawn beneath.
    """
    a, b = (str(name) for name in history.attrs["plane"])
    third = next((name for name in exact_phases.PARAMETERS if name not in (a, b)), "")
    known = model == "cluster_ising" and {a, b} < set(exact_phases.PARAMETERS) and history[third].ndim == 0
    fixed = {third: float(history[third])} if known else None
    curves = [history.isel(curve=n).isel(point=slice(int(history["points"][n]))) for n in range(history.sizes["curve"])]
    with matplotlib.rc_context(plots.STYLE):
        figure, (ax,) = plots.new_figure(2.9, 1)
        ax.set(xlim=history.attrs[f"window_{a}"], ylim=history.attrs[f"window_{b}"])
        ax.set(xlabel=plots.symbol(a), ylabel=plots.symbol(b))
        ax.xaxis.set_major_locator(MaxNLocator(6))
        if fixed is not None:
            plots.draw_boundaries(ax, (a, b), fixed)
        for number, curve in enumerate(curves):
            ax.errorbar(
                curve[a], curve[b], xerr=curve[f"{a}_error"], yerr=curve[f"{b}_error"], fmt="o", markersize=3,
                color=PALETTE[number % len(PALETTE)], linewidth=0.7, elinewidth=0.7, linestyle="-", zorder=3,
                label=f"ridges, $L = {history.attrs['length']}$" if number == 0 else None, clip_on=False,
            )  # fmt: skip
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2, columnspacing=1.2)
        if fixed is not None:
            figure.draw_without_rendering()
            plots.name_phases(ax, (a, b), fixed, [np.stack([curve[a], curve[b]], axis=1) for curve in curves])
    return figure


def progress(history: xr.Dataset) -> Figure:
    """Error, ground states, bond dimension and wall time of each point, along the curves."""
    a, b = (str(name) for name in history.attrs["plane"])
    error = np.hypot(history[f"{a}_error"], history[f"{b}_error"])
    quantities = [
        (error, "error", "log"),
        (history["ground_states"], "ground states", "linear"),
        (history["max_bond"], r"bond dim. $\chi$", "linear"),
        (history["seconds"], "time (s)", "linear"),
    ]
    if not history["max_bond"].any():  # states are not MPS
        del quantities[2]
    with matplotlib.rc_context(plots.STYLE):
        figure, panels = plots.new_figure(1.0 + 1.0 * len(quantities), len(quantities))
        for ax, (values, label, scale) in zip(panels, quantities, strict=True):
            for number in range(history.sizes["curve"]):
                color = PALETTE[number % len(PALETTE)]
                curve = values[number, : int(history["points"][number])]
                ax.plot(np.arange(len(curve)), curve, color=color, marker=".", markersize=3, label=f"curve {number}")
            ax.set_yscale(scale)
            if scale == "linear":
                ax.set_ylim(bottom=0)
            ax.set_ylabel(label)
        panels[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
        panels[-1].set_xlabel("point along the curve")
        if history.sizes["curve"]:
            figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
        figure.align_ylabels(panels)
    return figure
