"""Exact phases of a model beneath a figure: their boundaries, and their names where there is room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, minimum_filter
from scipy.ndimage import label as label_regions

from qep_tn.models.phases import ExactPhases

_PHASE_NAME: dict[str, Any] = {
    "ha": "center", "va": "center", "fontsize": 8, "style": "italic", "color": "#404040", "zorder": 1,
}  # fmt: skip
_CELLS = 240  # of the grid, on each axis, on which room for the phases' names is sought


def fixed_couplings(phases: ExactPhases | None, axes: tuple[str, str], history: xr.Dataset) -> dict[str, float] | None:
    """The couplings that are not on an axis; None unless each is one number all along, and the phases are known."""
    if phases is None or not set(axes) < set(phases.parameters):
        return None
    fixed = {}
    for name in phases.parameters:
        if name not in axes:
            if name not in history:
                return None
            values = history[name].values[np.isfinite(history[name].values)]
            if np.ptp(values) > 1e-12 * np.abs(values).max():
                return None
            fixed[name] = float(values.flat[0])
    return fixed


def draw_boundaries(ax: Axes, phases: ExactPhases, axes: tuple[str, str], fixed: Mapping[str, float]) -> None:
    """The exact phase boundaries of the infinite chain, dashed."""
    curves = phases.boundaries(axes, fixed, reach=float(np.abs([ax.get_xlim(), ax.get_ylim()]).max()))
    for number, curve in enumerate(curves):
        label = None if number else r"boundaries, $L \to \infty$"
        ax.plot(*curve.T, color="black", linewidth=0.8, dashes=(4, 2), zorder=1, label=label)


def name_phases(
    ax: Axes, phases: ExactPhases, axes: tuple[str, str], fixed: Mapping[str, float], paths: Sequence[NDArray]
) -> None:
    """Each phase's name, where there is most room: clear of its boundaries and of all paths. Needs a laid out figure.

    paths: each (points, 2).
    """
    limits = np.array([ax.get_xlim(), ax.get_ylim()])
    ticks = [np.linspace(low, high, _CELLS) for low, high in limits]
    grid = np.meshgrid(ticks[0], ticks[1], indexing="ij")
    there = phases.phase(**dict(zip(axes, grid, strict=True)), **fixed)
    walked = np.zeros_like(there, bool)
    for path in paths:
        densely = np.array([np.interp(np.arange(0, len(path), 0.02), np.arange(len(path)), p) for p in path.T]).T
        cells = ((densely - limits[:, 0]) / np.ptp(limits, axis=1) * (_CELLS - 1)).round().astype(int)
        walked[tuple(np.clip(cells, 0, _CELLS - 1).T)] = True
    for number, name in enumerate(phases.names):
        text = ax.text(0, 0, name, **_PHASE_NAME)
        box = np.array(text.get_window_extent().padded(3).size) / ax.bbox.size * _CELLS
        text.remove()
        regions, count = label_regions(there == number)
        for region in range(1, count + 1):
            free = np.pad((regions == region) & ~walked, 1)
            fits = minimum_filter(free, size=box.astype(int) + 1, mode="constant")
            room = np.where(fits, distance_transform_edt(free), 0)[1:-1, 1:-1]
            if room.any():
                best = np.unravel_index(room.argmax(), room.shape)
                ax.text(grid[0][best], grid[1][best], name, **_PHASE_NAME)
