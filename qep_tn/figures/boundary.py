"""Figures of traced boundaries: the curves in their plane, and what their points cost."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from qep_tn.figures import scan as scans
from qep_tn.figures import style
from qep_tn.figures.phases import draw_boundaries, fixed_couplings, name_phases
from qep_tn.models import PHASES

PALETTE = (style.BLUE, style.VERMILION, style.GREEN, "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito


def figures(history: xr.Dataset, model: str = "", scan: xr.DataArray | None = None) -> dict[str, Figure]:
    """Every figure of a trace, or of a finite-size scaling, by name."""
    if history.attrs["task"] == "finite_size":
        return {"boundaries": boundaries(history, model, scan), "scaling": scaling(history)}
    return {"boundaries": boundaries(history, model, scan), "progress": progress(history)}


def boundaries(history: xr.Dataset, model: str = "", scan: xr.DataArray | None = None) -> Figure:
    """The curves with error bars, in their window; of several lengths, all of them and their limit.

    model: of its exact phases, where they are known, the boundaries are drawn beneath.
    scan: values on a grid of the plane, drawn beneath as a pale colour map.
    """
    a, b = (str(name) for name in history.attrs["plane"])
    phases = PHASES.get(model)
    fixed = fixed_couplings(phases, (a, b), history)
    curves = _curves(history)
    with matplotlib.rc_context(style.STYLE):
        figure, (ax,) = style.new_figure(3.1, 1)
        ax.set(xlim=history.attrs[f"window_{a}"], ylim=history.attrs[f"window_{b}"])
        ax.set(xlabel=style.symbol(a), ylabel=style.symbol(b))
        ax.xaxis.set_major_locator(MaxNLocator(6))
        if scan is not None:
            scans.draw(ax, scan, pale=True)
        if phases is not None and fixed is not None:
            draw_boundaries(ax, phases, (a, b), fixed)
        for number, curve in enumerate(curves):
            color = PALETTE[number % len(PALETTE)]
            if "length" in history.dims:
                for k, length in enumerate(curve["length"].values):
                    shade = 0.25 + 0.5 * k / len(curve["length"])
                    chain = curve.isel(length=k)
                    label = f"$L = {length}$" if number == 0 else None
                    ax.plot(chain[a], chain[b], color=color, alpha=shade, linewidth=0.8, zorder=2, label=label)
            label = (
                r"$L \to \infty$, extrapolated"
                if "length" in history.dims
                else f"ridges, $L = {history.attrs['length']}$"
            )
            halo: Any = [] if scan is None else [withStroke(linewidth=2.2, foreground="white")]
            _draw_points(ax, curve, (a, b), color, label=label if number == 0 else None, path_effects=halo)
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2, columnspacing=1.2)
        if phases is not None and fixed is not None:
            figure.draw_without_rendering()
            name_phases(ax, phases, (a, b), fixed, [_path(curve, (a, b)) for curve in curves])
    return figure


def scaling(history: xr.Dataset) -> Figure:
    """How far the ridges of finite chains are from their limit, against 1/L: a few points of every curve."""
    a, b = (str(name) for name in history.attrs["plane"])
    inverse = 1 / history["length"].values
    with matplotlib.rc_context(style.STYLE):
        figure, (ax,) = style.new_figure(2.6, 1)
        for number, curve in enumerate(_curves(history)):
            color = PALETTE[number % len(PALETTE)]
            for point in np.unique(np.linspace(0, curve.sizes["point"] - 1, 4).astype(int)):
                station = curve.isel(point=point)
                name = (a, b)[int(station["across"])]
                limit, error = float(station[f"{name}_infinite"]), float(station[f"{name}_infinite_error"])
                off = station[name].values - limit
                label = f"curve {number}, {style.symbol(name)}" if point == 0 else None
                ax.errorbar(inverse, off, yerr=station[f"{name}_error"], fmt="o-", markersize=3, color=color,
                            linewidth=0.7, elinewidth=0.7, label=label)  # fmt: skip
                ax.errorbar([0], [0], yerr=[error], fmt="s", markersize=3, color=color, elinewidth=0.7)
                ax.plot([0, inverse[-1]], [0, off[-1]], color=color, linewidth=0.7, dashes=(3, 2))
        ax.axhline(0, color=style.GREY, linewidth=0.5, zorder=0)
        ax.set(xlabel="$1/L$", ylabel=r"ridge $-$ its limit", xlim=(-0.03 * inverse.max(), 1.05 * inverse.max()))
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=3, columnspacing=1.2)
    return figure


def _curves(history: xr.Dataset) -> list[xr.Dataset]:
    """Each curve, cut to its points."""
    return [history.isel(curve=n).isel(point=slice(int(history["points"][n]))) for n in range(history.sizes["curve"])]


def _path(curve: xr.Dataset, axes: tuple[str, str]) -> NDArray:
    """The points of a curve, of the longest chain if there are several, (points, 2)."""
    longest = curve.isel(length=-1) if "length" in curve.dims else curve
    path = np.stack([longest[name].values for name in axes], axis=1)
    return path[np.isfinite(path).all(axis=1)]


def _draw_points(ax: Axes, curve: xr.Dataset, axes: tuple[str, str], color: str, **options: Any) -> None:
    ending = "_infinite" if "length" in curve.dims else ""
    (x, dx), (y, dy) = ((curve[f"{n}{ending}"], curve[f"{n}{ending}_error"]) for n in axes)
    ax.errorbar(
        x, y, xerr=dx, yerr=dy, fmt="o-", markersize=3, color=color, linewidth=0.7, elinewidth=0.7, zorder=3,
        clip_on=False, **options,
    )  # fmt: skip


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
    with matplotlib.rc_context(style.STYLE):
        figure, panels = style.new_figure(1.0 + 1.0 * len(quantities), len(quantities))
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
