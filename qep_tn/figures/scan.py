"""Colour maps of a scanned plane, alone or pale beneath curves."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from qep_tn.figures import style
from qep_tn.ridges.grid import SCAN, SUSCEPTIBILITY
from qep_tn.runs.folder import load

_COLORS = matplotlib.colormaps["cividis"]  # told apart with every kind of colour vision
_PALE = ListedColormap(1 - 0.45 * (1 - _COLORS(np.linspace(0, 1, 256))))  # more than half way to white
_DECADES = 1e-3  # of its maximum, down to which the fidelity susceptibility is drawn, on a logarithmic scale
_LABELS = {
    "energy": "energy $E_0$",
    "entropy": "entropy $S_{L/2}$",
    SUSCEPTIBILITY: r"fidelity susceptibility $\chi_F$",
    "gap": r"gap $\Delta$",
    "observable": r"observable $\langle O \rangle$",
    "max_bond": r"bond dimension $\chi$",
}


def figures(scan: xr.Dataset) -> dict[str, Figure]:
    """A map of every variable that has values, by name."""
    left_out = {"converged", "gap_converged", "seconds"}
    names = [str(name) for name, values in scan.items() if values.ndim == 2 and values.notnull().any()]
    return {name: _map(scan[name]) for name in names if name not in left_out}


def behind_trace(folder: Path, variable: str) -> xr.DataArray | None:
    """What a trace's scan has of a variable, from its subfolder; None where there is not enough yet to draw."""
    if not (folder / SCAN / "history.nc").exists():
        return None
    scan = load(folder / SCAN)
    values = scan.get(variable)
    if values is None or values.ndim != 2 or min(values.shape) < 2:
        return None
    return values


def draw(ax: Axes, values: xr.DataArray, pale: bool) -> None:
    """The values on their grid with a colour bar; the rows are its first dimension, along the horizontal axis."""
    a, b = (str(name) for name in values.dims)
    figure = ax.get_figure()
    assert isinstance(figure, Figure)
    table = np.ma.masked_invalid(values.values.T)
    norm = None
    if values.name == SUSCEPTIBILITY and table.count() and table.max() > 0:
        norm = LogNorm(max(table.min(), _DECADES * table.max()), table.max(), clip=True)
    mesh = ax.pcolormesh(
        _edges(values[a].values), _edges(values[b].values), table, norm=norm, cmap=_PALE if pale else _COLORS,
        rasterized=True, zorder=0, linewidth=0,
    )  # fmt: skip
    bar = figure.colorbar(mesh, ax=ax, pad=0.02, aspect=28)
    bar.set_label(_LABELS.get(str(values.name), str(values.name)))
    bar.outline.set_linewidth(0.6)


def _map(values: xr.DataArray) -> Figure:
    a, b = (str(name) for name in values.dims)
    with matplotlib.rc_context(style.STYLE):
        figure, (ax,) = style.new_figure(2.6, 1)
        draw(ax, values, pale=False)
        ax.set(xlabel=style.symbol(a), ylabel=style.symbol(b))
        ax.xaxis.set_major_locator(MaxNLocator(6))
    return figure


def _edges(ticks: NDArray) -> NDArray:
    """Edges of the cells whose centres are evenly spaced ticks."""
    half = (ticks[1] - ticks[0]) / 2 if len(ticks) > 1 else 0.5
    return np.append(ticks - half, ticks[-1] + half)
