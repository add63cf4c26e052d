"""Figures of a training: learning curves, answers over the triangle of inputs, learned couplings, confusion."""

from __future__ import annotations

import re
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from qep_tn.figures.style import BLUE, COLUMN_WIDTH, GREEN, GREY, STYLE, VERMILION, new_figure, symbol
from qep_tn.models import PHASES
from qep_tn.training.scores import confusion as confusion_counts

_COLORS = (BLUE, VERMILION, GREEN, "#CC79A7")  # one for each output
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])  # of the triangle
_FINE = 600  # points a side, for phase boundaries
_FACTOR = re.compile(r"([XYZ])\((\d+)\)")


def figures(history: xr.Dataset, model: str = "", disturbed: xr.Dataset | None = None) -> dict[str, Figure]:
    """Every figure of a training, by name; of several seeds the answers are those of the best one.

    disturbed: see `qep_tn.training.disturbance`.
    """
    drawn = {"learning": learning(history)} if history.sizes["step"] > 1 else {}
    if disturbed is not None:
        drawn["disturbance"] = disturbance(disturbed)
    best = _best(history)
    if "test_output" in best:
        drawn["confusion"] = confusion(best)
        if (names := _triangle_of(best)) and best.sizes["output"] <= len(_COLORS):
            drawn["answers"] = answers(best, names, model)
    if matrix := _as_matrix(best):
        drawn["couplings"] = couplings(*matrix)
    return drawn


def learning(history: xr.Dataset) -> Figure:
    """Loss of the batches, and accuracies of the tests, against the step; of several seeds mean and spread."""
    several = "seed" in history.dims
    tested = [name for name in ("accuracy", "single_shot_accuracy") if np.isfinite(history[name].values).any()]
    with matplotlib.rc_context(STYLE):
        figure, panels = new_figure(3.4 if tested else 2.0, 2 if tested else 1)
        steps = history["step"].values
        losses = np.atleast_2d(history["loss"].values)
        _band(panels[0], steps, _smoothed(losses), "batches, with penalty", GREY)
        if np.isfinite(history["test_loss"].values).any():
            _band(panels[0], *_at_tests(history, "test_loss"), "test", BLUE)
        for name in tested:
            label, color = ("largest output", VERMILION) if name == "accuracy" else ("single shot", GREEN)
            _band(panels[1], *_at_tests(history, name), label, color)
            lowest = float(np.nanmin(history[name].values))
            panels[1].set(ylabel="accuracy", ylim=(min(0, 1.05 * lowest, panels[1].get_ylim()[0]), 1.02))
        panels[0].set(ylabel="loss")
        panels[0].set_ylim(bottom=min(0, panels[0].get_ylim()[0]))
        for ax in panels:
            ax.legend(loc="lower center", bbox_to_anchor=(0.5, 0.99), ncols=2, columnspacing=1.2, borderpad=0.1)
        if several:
            panels[-1].text(0.98, 0.05, f"{history.sizes['seed']} seeds, all within the bands", ha="right",
                            transform=panels[-1].transAxes, fontsize=8)  # fmt: skip
        panels[-1].set_xlabel("step")
        panels[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
        figure.align_ylabels(panels)
    return figure


def answers(history: xr.Dataset, names: tuple[str, str, str], model: str = "") -> Figure:
    """The newest test's outputs over the triangle of three inputs: each sample in the mixture of its outputs' colours.

    Misjudged samples are marked; of a model with exact phases the boundaries are drawn.
    """
    inputs = np.array([history[f"test_{name}"].values for name in names])
    total = float(np.abs(inputs).sum(axis=0).mean())
    outputs, targets = history["test_output"].values, history["test_target"].values
    with matplotlib.rc_context(STYLE):
        figure, ax = _square(3.1)
        ax.fill(*_CORNERS.T, facecolor="none", edgecolor="black", linewidth=0.8, zorder=1)
        signs = np.where(inputs.sum(axis=1) < 0, -1.0, 1.0)
        if model in PHASES and set(PHASES[model].parameters) == set(names):
            _draw_phases(ax, model, names, total, signs)
        places = np.abs(inputs).T / total @ _CORNERS
        ax.scatter(places[:, 0], places[:, 1], c=_mixed(outputs), s=13, linewidths=0, zorder=3)
        wrong = outputs.argmax(axis=1) != targets.argmax(axis=1)
        ax.scatter(
            places[wrong, 0], places[wrong, 1], s=30, facecolors="none", edgecolors="black", linewidths=0.8, zorder=4,
            label=f"misjudged, {wrong.sum()} of {len(wrong)}",
        )  # fmt: skip
        for number in range(outputs.shape[1]):
            ax.scatter([], [], color=_COLORS[number], s=13, label=f"output {number}")
        for name, sign, (x, y), down in zip(names, signs, _CORNERS, (-0.07, -0.07, 0.04), strict=True):
            text = f"${'-' if sign < 0 else ''}{symbol(name).strip('$')} = {total:g}$"
            ax.text(x, y + down, text, ha="center", va="center")
        ax.set_axis_off()
        ax.set(xlim=(-0.12, 1.12), ylim=(-0.12, 0.95), aspect="equal")
        ax.legend(loc="upper left", bbox_to_anchor=(-0.08, 1.0), handletextpad=0.1)
    return figure


def couplings(values: NDArray, rows: list[str], columns: list[str]) -> Figure:
    """Learned couplings between system and sensor as a matrix."""
    limit = float(np.abs(values).max()) or 1.0
    with matplotlib.rc_context(STYLE):
        figure, ax = _square(0.9 + 2.2 * len(rows) / max(len(rows), len(columns)))
        image = ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set_xticks(range(len(columns)), columns, fontsize=7)
        ax.set_yticks(range(len(rows)), rows, fontsize=7)
        ax.tick_params(length=0)
        ax.set(xlabel="sensor", ylabel="system")
        bar = figure.colorbar(image, ax=ax, pad=0.03)
        bar.set_label("coupling")
        bar.outline.set_linewidth(0.6)
    return figure


def disturbance(changes: xr.Dataset) -> Figure:
    """How much the sensor changes local expectation values of the system, against the distance from it."""
    distances, sizes = changes["distance"].values, np.abs(changes["change"].values)
    places = np.unique(distances)
    with matplotlib.rc_context(STYLE):
        figure, (ax,) = new_figure(2.3, 1)
        everywhere = np.broadcast_to(distances, sizes.shape).ravel()
        ax.plot(everywhere, sizes.ravel(), ".", color=GREY, markersize=1.5, zorder=1, label="each sample and product")
        means = [sizes[:, distances == place].mean() for place in places]
        ax.plot(places, means, color=VERMILION, marker="o", markersize=3, label="mean")
        ax.set_yscale("symlog", linthresh=max(1e-4 * float(sizes.max()), 1e-12))
        ax.set(xlabel="sites from the sensor", ylabel="change of expectation values")
        ax.set_ylim(bottom=0)
        ax.legend(loc="upper right")
    return figure


def confusion(history: xr.Dataset) -> Figure:
    """How often which output was the largest for which target, of the newest test."""
    outputs, targets = history["test_output"].values, history["test_target"].values
    count, counts = targets.shape[1], confusion_counts(outputs, targets)
    with matplotlib.rc_context(STYLE):
        figure, ax = _square(2.6)
        ax.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
        for (row, column), number in np.ndenumerate(counts):
            shade = "white" if number > 0.6 * counts[row].sum() else "black"
            ax.text(column, row, str(number), ha="center", va="center", color=shade)
        ax.set(xlabel="largest output", ylabel="target", xticks=range(count), yticks=range(count))
        ax.tick_params(length=0)
    return figure


def _band(ax: Axes, steps: NDArray, values: NDArray, label: str, color: str) -> None:
    """The mean over seeds as a line, and from the least to the largest as a band."""
    ax.plot(steps, np.nanmean(values, axis=0), color=color, label=label)
    if len(values) > 1:
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        ax.fill_between(steps, low, high, color=color, alpha=0.25, linewidth=0)


def _at_tests(history: xr.Dataset, name: str) -> tuple[NDArray, NDArray]:
    """Steps at which a seed was tested, and a variable there, (seeds, tests)."""
    values = np.atleast_2d(history[name].values)
    tested = np.isfinite(values).any(axis=0)
    return history["step"].values[tested], values[:, tested]


def _smoothed(losses: NDArray) -> NDArray:
    """Running means over a fiftieth of the steps; a single batch says little."""
    width = max(1, losses.shape[1] // 50)
    kernel = np.ones(width)
    known = np.isfinite(losses)
    sums = [np.convolve(np.where(k, row, 0.0), kernel, "same") for row, k in zip(losses, known, strict=True)]
    counts = [np.convolve(k.astype(float), kernel, "same") for k in known]
    return np.array(sums) / np.maximum(np.array(counts), 1)


def _best(history: xr.Dataset) -> xr.Dataset:
    if "seed" not in history.dims:
        return history
    return history.isel(seed=int(history.attrs.get("best_seed", 0)))


def _triangle_of(history: xr.Dataset) -> tuple[str, str, str] | None:
    """The three scalar inputs, if their magnitudes have one sum."""
    names = [str(n).removeprefix("test_") for n in history if str(n).startswith("test_")]
    names = [n for n in names if history[f"test_{n}"].dims == ("sample",)]
    if len(names) != 3:
        return None
    sums = sum(np.abs(history[f"test_{name}"].values) for name in names)
    return (names[0], names[1], names[2]) if np.ptp(sums) <= 1e-6 * np.max(sums) else None


def _draw_phases(ax: Axes, model: str, names: tuple[str, str, str], total: float, signs: NDArray) -> None:
    first, second = np.meshgrid(np.linspace(0, 1, _FINE), np.linspace(0, 1, _FINE))
    weights = np.stack([first, second, 1 - first - second])
    x, y = np.tensordot(_CORNERS.T, weights, axes=1)
    phases, within = PHASES[model], weights[2] >= 0
    found = phases.phase(**dict(zip(names, total * weights * signs[:, None, None], strict=True)))
    for number in np.unique(found[within]):
        inside = within & (found == number)
        grid: Any = np.ma.array(found == number, float, mask=~within)
        ax.contour(x, y, grid, levels=[0.5], colors="black", linewidths=0.7, zorder=2)
        middle = x[inside].mean(), y[inside].mean()
        ax.text(*middle, phases.names[number], ha="center", va="center", color=GREY, zorder=2)


def _mixed(outputs: NDArray) -> NDArray:
    """The mixture of the outputs' colours, (samples, 3)."""
    weights = np.clip(outputs, 0, None)
    weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    return np.asarray(weights @ np.array([to_rgb(color) for color in _COLORS[: outputs.shape[1]]]))


def _as_matrix(history: xr.Dataset) -> tuple[NDArray, list[str], list[str]] | None:
    """The last couplings between system and sensor, with labels, if each is a product of two Pauli matrices."""
    texts: Any = history.attrs.get("operators_coupling")
    if texts is None or "coupling" not in history:
        return None
    factors = [_FACTOR.findall(str(text)) for text in np.atleast_1d(texts)]
    sensors = {int(site) for text in np.atleast_1d(history.attrs.get("operators_sensor", ())) for _, site in
               _FACTOR.findall(str(text))}  # fmt: skip
    if any(len(pair) != 2 or sum(int(site) in sensors for _, site in pair) != 1 for pair in factors):
        return None
    ordered = [sorted(pair, key=lambda factor: int(factor[1]) in sensors) for pair in factors]
    labels = [[f"${letter}_{{{site}}}$" for letter, site in pair] for pair in ordered]
    rows, columns = (list(dict.fromkeys(pair[k] for pair in labels)) for k in (0, 1))
    matrix = np.full((len(rows), len(columns)), np.nan)
    last = history["coupling"].dropna("step").values[-1]
    for (row, column), value in zip(labels, last, strict=True):
        matrix[rows.index(row), columns.index(column)] = value
    return np.nan_to_num(matrix), rows, columns


def _square(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(COLUMN_WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()
