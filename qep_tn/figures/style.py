"""How figures look: at the width of one column of a two-column paper, in colours told apart by everyone."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

COLUMN_WIDTH = 3.4  # inches

# Okabe and Ito's palette, told apart with every kind of colour vision
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
GREY = "#808080"
STYLE: Any = {
    "font.family": "STIXGeneral", "mathtext.fontset": "stix", "font.size": 9, "axes.labelsize": 9,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8, "legend.frameon": False,
    "axes.linewidth": 0.6, "lines.linewidth": 1.0, "xtick.direction": "in", "ytick.direction": "in",
    "xtick.top": True, "ytick.right": True, "xtick.major.width": 0.6, "ytick.major.width": 0.6, "pdf.fonttype": 42,
}  # fmt: skip

_GREEK = re.compile("alpha|beta|gamma|[dD]elta|epsilon|kappa|lambda|mu|[oO]mega|phi|theta")


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


def limits_around(path: NDArray) -> NDArray:
    """Axis limits, (2, 2), around a walk, with a margin of a sixth.

    Neither side is shorter than 0.7 of the other, nor than a tenth of the largest coupling.
    """
    low, high = path.min(axis=0), path.max(axis=0)
    span = np.maximum(high - low, 0.1 * np.abs(path).max() or 0.1)
    span = np.maximum(span, 0.7 * span.max()) * 4 / 3
    return np.stack([(low + high - span) / 2, (low + high + span) / 2], axis=1)
