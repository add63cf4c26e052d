"""Boundaries of chains of several lengths side by side, and the limit of infinitely many sites.

Ridges of finite chains lie off the boundary by a L^(-1/nu) + b L^(-2/nu) + ..., and nu = 1 at Ising and at first-order
transitions with free ends (Fisher and Barber, Phys. Rev. Lett. 28, 1516 (1972)).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq


def extrapolate(lengths: ArrayLike, values: ArrayLike, errors: ArrayLike, exponent: float) -> tuple[float, float]:
    """The limit L to infinity of values + a L^(-exponent) + b L^(-2 exponent), and its error.

    lengths, values, errors: (n,) with n >= 2; with two lengths b is zero. Weights are 1/errors^2. The error holds those
    of the values, by how much the limit changes if the last order and the shortest chain are left out, and by how much
    if the three longest chains approach it with the one power that fits them (`shift_exponent`). Where the
    three longest chains do not come closer with a power near the exponent, as where corrections oscillate, it is not
    less than the whole shift from the longest chain to the limit.
    """
    order = np.argsort(lengths)
    L, y, e = (np.asarray(a, float)[order] for a in (lengths, values, errors))
    e = np.maximum(e, 1e-12 * np.abs(y).max() + 1e-300)
    limit, scatter = _fit(L, y, e, exponent, min(3, len(L)))
    coarser, _ = _fit(L[1:], y[1:], e[1:], exponent, min(2, len(L) - 1))
    error = float(np.hypot(scatter, limit - coarser))
    power = shift_exponent(L, y)
    if np.isfinite(power):  # were it one power, and that one
        ratio = (L[-1] / L[-2]) ** power
        error = float(np.hypot(error, limit - (ratio * y[-1] - y[-2]) / (ratio - 1)))
    regular = np.abs(np.diff(y)).max() < 3 * e.max() or 0.8 < power / exponent < 1.8
    return limit, error if regular else max(error, abs(limit - float(y[-1])))


def _fit(lengths: NDArray, values: NDArray, errors: NDArray, exponent: float, terms: int) -> tuple[float, float]:
    """Weighted least squares with this many powers, the constant first; the constant and its error."""
    powers = lengths[:, None] ** (-exponent * np.arange(terms)) / errors[:, None]
    inverse = np.linalg.pinv(powers)
    return float(inverse[0] @ (values / errors)), float(np.linalg.norm(inverse[0]))


def shift_exponent(lengths: NDArray, values: NDArray) -> float:
    """P of values = limit + a L^(-p) for the three longest chains; nan where no p between 0.1 and 10 fits."""
    L, y = lengths[-3:], values[-3:]
    if len(L) < 3 or not np.isfinite(y).all() or (y[0] - y[1]) * (y[1] - y[2]) <= 0:
        return np.nan
    ratio = (y[0] - y[1]) / (y[1] - y[2])

    def mismatch(p: float) -> float:
        powers = (L / L[0]) ** -p
        return float((powers[0] - powers[1]) / (powers[1] - powers[2]) - ratio)

    if mismatch(0.1) * mismatch(10.0) > 0:
        return np.nan
    return float(brentq(mismatch, 0.1, 10.0))


def side_by_side(
    axes: tuple[str, str], sizes: Sequence[int], histories: Sequence[xr.Dataset], exponent: float
) -> xr.Dataset:
    """All lengths side by side, and their extrapolation."""
    longest = histories[-1]
    names = [name for axis in axes for name in (axis, f"{axis}_error")] + [
        "width",
        "ground_states",
        "max_bond",
        "converged",
    ]
    shape = (*longest["order"].shape, len(sizes))
    columns = {
        n: np.zeros(shape, longest[n].dtype) if longest[n].dtype.kind == "i" else np.full(shape, np.nan) for n in names
    }
    for k, history in enumerate(histories):
        for curve in range(shape[0]):
            place = {int(o): n for n, o in enumerate(longest["order"][curve].values[: int(longest["points"][curve])])}
            for n in range(int(history["points"][curve])):
                target = place[int(history["order"][curve, n])]
                for name in names:
                    columns[name][curve, target, k] = history[name][curve, n]
    dimensions = ("curve", "point", "length")
    combined = xr.Dataset(
        {name: (dimensions, values, longest[name].attrs) for name, values in columns.items()},
        coords={"length": ("length", np.array(sizes), {"long_name": "number of sites", "units": "1"})},
        attrs={**longest.attrs, "task": "finite_size", "length": int(sizes[-1]), "exponent": exponent},
    )
    kept = [name for name in longest.data_vars if "curve" not in longest[name].dims]
    combined = combined.merge(longest[["across", "points", "stop", "order", *kept]])
    combined["ground_states_search"] += sum(int(history["ground_states_search"]) for history in histories[:-1])
    return combined.assign(_limits(axes, np.array(sizes), combined, exponent))


def _limits(axes: tuple[str, str], sizes: NDArray, combined: xr.Dataset, exponent: float) -> dict[str, Any]:
    shape = combined["across"].shape
    limits = {f"{axis}_infinite{end}": np.full(shape, np.nan) for axis in axes for end in ("", "_error")}
    powers = np.full(shape, np.nan)
    for curve, point in np.argwhere(combined["across"].values >= 0):
        across = int(combined["across"][curve, point])
        varied, fixed = axes[across], axes[1 - across]
        values, errors = (combined[name][curve, point].values for name in (varied, f"{varied}_error"))
        there = np.isfinite(values)
        if there.sum() < 2:
            continue
        limit, error = extrapolate(sizes[there], values[there], errors[there], exponent)
        limits[f"{varied}_infinite"][curve, point], limits[f"{varied}_infinite_error"][curve, point] = limit, error
        limits[f"{fixed}_infinite"][curve, point] = combined[fixed][curve, point, -1]
        limits[f"{fixed}_infinite_error"][curve, point] = 0.0
        powers[curve, point] = shift_exponent(sizes[there], values[there])
    described: dict[str, Any] = {
        name: (("curve", "point"), values, {"long_name": f"{name.replace('_', ' ')}, extrapolated", "units": "energy"})
        for name, values in limits.items()
    }
    long_name = "power of L with which the three longest chains approach their limit"
    return described | {"shift_exponent": (("curve", "point"), powers, {"long_name": long_name, "units": "1"})}
