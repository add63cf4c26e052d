"""Finite-size scaling of phase boundaries: the same points on chains of several lengths, and for L to infinity.

The longest chain's boundaries are traced; on every shorter one the ridge is looked for on the lines of the same points,
so that a point of the boundary is compared with itself. Ridges of finite chains lie off the boundary by
a L^(-1/nu) + b L^(-2/nu) + ..., and nu = 1 at Ising and at first-order transitions with free ends (Fisher and Barber,
Phys. Rev. Lett. 28, 1516 (1972)).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from tqdm import tqdm

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator
from qep_tn.ridges.line import Branches, Line
from qep_tn.ridges.plane import Plane, Window
from qep_tn.ridges.points import Point, boundary_dataset
from qep_tn.runs.executors import map_in_processes
from qep_tn.runs.folder import RunFolder
from qep_tn.runs.settings_check import fingerprint
from qep_tn.solvers.protocol import Solver
from qep_tn.tasks.boundary import Boundary, boundary_plane, plane_settings, trace_boundary

logger = logging.getLogger("qep_tn")


@dataclass(frozen=True)
class Scaling:
    """Boundaries of chains of several lengths.

    history: dimensions `curve`, `point` and `length`, see `finite_size_scaling`.
    converged, message: whether every ground state converged and points were extrapolated.
    """

    history: xr.Dataset
    converged: bool
    message: str


def finite_size_scaling(
    model: Callable[[int], Hamiltonian],
    lengths: Sequence[int],
    theta: Theta,
    plane: tuple[str, str],
    window: Window,
    *,
    observable: Callable[[int], Operator] | None = None,
    exponent: float = 1.0,
    processes: int | None = None,
    solver: Solver | None = None,
    rtol: float = 1e-2,
    run: RunFolder | None = None,
    progress: bool = True,
    **settings: Any,
) -> Scaling:
    """Trace the boundaries of chains of several lengths, and extrapolate every point to L to infinity.

    model: number of sites -> Hamiltonian with scalar parameters, such as `qt.models.cluster_ising`.
    observable: number of sites -> observable; None for -d^2E/dg^2.
    exponent: 1/nu, of the leading shift L^(-1/nu).
    processes: how many lengths are worked on at a time, beside the longest; by default one for each core.
    theta, plane, window, solver, rtol, run, progress, and `settings`: as in `trace_boundary`.

    The data set has the parameters and `NAME_error` over (curve, point, length), NaN where a short chain has no ridge;
    `NAME_infinite` and `NAME_infinite_error`, the extrapolation; `shift_exponent`, the power with which the ridges of
    the three longest chains approach their limit, if it were one power; and `ground_states` and `max_bond`.

    Raises ValueError for fewer than two lengths, and as `trace_boundary`.
    """
    sizes = _lengths(lengths)
    if not 0 < exponent < np.inf:
        raise ValueError(f"exponent = {exponent}: 1/nu is a positive number")
    planes = {
        L: boundary_plane(model(L), theta, plane, window, None if observable is None else observable(L), solver, rtol)
        for L in sizes
    }
    longest = planes[sizes[-1]]
    if run is not None:
        run.begin(fingerprint(_settings(planes, exponent)))
    folders = {L: None if run is None else run.path / f"L-{L}" for L in sizes}
    text = "" if run is None else (run.path / "config.toml").read_text()
    traced = _trace(longest, theta, folders[sizes[-1]], text, solver, progress, settings)
    jobs = [_Job(planes[L], traced.history, sizes[-1] / L, folders[L], text) for L in sizes[-2::-1]]
    results = tqdm(
        map_in_processes(_follow, jobs, processes),
        total=len(jobs), desc="shorter chains", unit="chain", file=sys.stderr, disable=not progress,
    )  # fmt: skip
    histories = [traced.history, *results][::-1]
    history = _combined(longest, sizes, histories, exponent)
    result = _judged(history, traced, exponent)
    logger.info("%s", result.message)
    if run is not None:
        run.save(history, [], {"step": len(sizes)})
        run.write_summary(_summary(result, sizes, exponent))
    return result


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


def _settings(planes: Mapping[int, Plane], exponent: float) -> dict[str, Any]:
    """Those of all chains, so that none is touched if another one differs; a trace has more, and checks them itself."""
    *shorter, longest = planes
    return {
        "task": "finite_size", "lengths": list(planes), "exponent": exponent, **plane_settings(planes[longest]),
        **{f"{name} at L = {L}": value for L in shorter for name, value in plane_settings(planes[L]).items()},
    }  # fmt: skip


@dataclass(frozen=True)
class _Job:
    """One shorter chain: follow the longest chain's points on it."""

    plane: Plane
    longest: xr.Dataset
    stretch: float  # of a peak's width, from the longest chain to this one
    folder: Path | None
    config_text: str

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the points on this chain: besides its plane, the points that it is given."""
        followed = [*self.plane.axes, "across", "width", "order", "points"]
        return {
            "task": "finite_size, a shorter chain", **plane_settings(self.plane), "stretch": self.stretch,
            "the longest chain's boundary": [self.longest[name].values for name in followed],
        }  # fmt: skip


def _trace(
    plane: Plane, theta: Theta, folder: Path | None, text: str, solver: Solver | None, progress: bool, settings: Any
) -> Boundary:
    run = None if folder is None else RunFolder.create(folder, text, resume=(folder / "config.toml").exists())
    try:
        return trace_boundary(
            plane.H, theta, plane.axes, dict(zip(plane.axes, plane.window, strict=True)), observable=plane.observable,
            solver=solver, rtol=plane.rtol, run=run, progress=progress, **settings,
        )  # fmt: skip
    finally:
        if run is not None:
            run.close()


def _follow(job: _Job) -> xr.Dataset:
    """The longest chain's points on a shorter one, in a process of its own; saved curve by curve."""
    run = None
    if job.folder is not None:
        run = RunFolder.create(job.folder, job.config_text, resume=(job.folder / "config.toml").exists())
    try:
        if run is not None:
            run.begin(fingerprint(job.settings))
        points: list[Point] = []
        done, lost = 0, 0  # curves, and ground states of lines without a ridge
        if run is not None and (saved := run.load_states(job.plane.H.sites)) is not None:
            points = [Point.from_numbers(row) for row in saved[1]["points"]]
            done, lost = int(saved[1]["step"]), int(saved[1]["lost"])
        curves = job.longest.sizes["curve"]
        for curve in range(done, curves):
            found, in_vain = _follow_curve(job, curve)
            points, lost = points + found, lost + in_vain
            if run is not None:
                table = np.array([point.numbers() for point in points])
                run.save(_dataset(job, points, lost), [], {"step": curve + 1, "points": table, "lost": lost})
        return _dataset(job, points, lost)
    finally:
        if run is not None:
            run.close()


def _follow_curve(job: _Job, curve: int) -> tuple[list[Point], int]:
    """The points of one curve, from where the longest chain's was found first to both ends; ground states in vain."""
    axes = job.plane.axes
    known = job.longest.isel(curve=curve).isel(point=slice(int(job.longest["points"][curve])))
    order = known["order"].values.astype(int)
    seed = int(np.flatnonzero(order == 0)[0])
    points: list[Point] = []
    lost = 0
    middle: tuple[Branches, float] = ((None, None), 0.0)
    for indices in (range(seed, len(order)), range(seed - 1, -1, -1)):
        branches, shift = middle
        for n in indices:
            station = known.isel(point=n)
            across = int(station["across"])
            place = (float(station[axes[0]]), float(station[axes[1]]))
            width = job.stretch * float(station["width"])
            spacing = job.plane.spacing * width or float(job.plane.sides[across]) / 32  # a jump may be anywhere near
            line = Line(job.plane, across, place[1 - across])
            found = line.correct(place[across] + shift, spacing, branches)
            if found.peak is None:
                lost += found.ground_states
                logger.info("L = %d: no ridge at %s = %.6g: %s", len(job.plane.H.sites), axes[1 - across],
                            place[1 - across], found.message)  # fmt: skip
                continue
            branches, shift = found.branches, found.peak.position - place[across]
            if n == seed:
                middle = branches, shift
            there = (found.peak.position, place[1]) if across == 0 else (place[0], found.peak.position)
            points.append(Point.at(there, across, found, curve, int(order[n]), 0.0, found.ground_states, 0.0))
    return points, lost


def _merged(points: Sequence[Point]) -> set[Point]:
    """Points of two curves on one peak: where boundaries are near each other, short chains do not tell them apart."""
    merged: set[Point] = set()
    for point in points:
        rivals = [p for p in points if p.curve != point.curve and p.across == point.across]
        along = 1 - point.across
        for curve in {p.curve for p in rivals}:
            near = sorted(
                (p for p in rivals if p.curve == curve), key=lambda p: abs(p.place[along] - point.place[along])
            )[:2]  # fmt: skip
            spread = max((abs(a.place[along] - point.place[along]) for a in near), default=np.inf)
            step = abs(near[0].place[along] - near[-1].place[along]) or np.inf
            if spread <= step and any(abs(p.place[p.across] - point.place[p.across]) < 0.5 * point.width for p in near):
                merged.add(point)
    return merged


def _dataset(job: _Job, points: Sequence[Point], lost: int) -> xr.Dataset:
    """The points of a shorter chain in the places of the longest chain's."""
    ends: list[Mapping[int, str]] = [{} for _ in range(job.longest.sizes["curve"])]
    merged = _merged(points)
    lost += sum(point.ground_states for point in merged)
    return boundary_dataset(job.plane, [point for point in points if point not in merged], ends, lost)


def _combined(plane: Plane, sizes: Sequence[int], histories: Sequence[xr.Dataset], exponent: float) -> xr.Dataset:
    """All lengths side by side, and their extrapolation."""
    longest = histories[-1]
    names = [name for axis in plane.axes for name in (axis, f"{axis}_error")] + [
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
    return combined.assign(_limits(plane, np.array(sizes), combined, exponent))


def _limits(plane: Plane, sizes: NDArray, combined: xr.Dataset, exponent: float) -> dict[str, Any]:
    shape = combined["across"].shape
    limits = {f"{axis}_infinite{end}": np.full(shape, np.nan) for axis in plane.axes for end in ("", "_error")}
    powers = np.full(shape, np.nan)
    for curve, point in np.argwhere(combined["across"].values >= 0):
        across = int(combined["across"][curve, point])
        varied, fixed = plane.axes[across], plane.axes[1 - across]
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


def _judged(history: xr.Dataset, traced: Boundary, exponent: float) -> Scaling:
    axis = history.attrs["plane"][0]
    total = int(history["points"].sum())
    found = int(np.isfinite(history[f"{axis}_infinite"]).sum())
    solves = int(history["ground_states"].sum()) + int(history["ground_states_search"])
    lengths = ", ".join(str(int(L)) for L in history["length"])
    text = f"L = {lengths}: {found} of {total} points extrapolated, {solves} ground states"
    if not traced.converged:
        text += f"; {traced.message}"
    unsettled = int(((history["converged"] == 0) & (history["ground_states"] > 0)).sum())
    if unsettled:
        text += f"; {unsettled} points rest on ground states that did not converge: raise max_bond"
    return Scaling(history, traced.converged and not unsettled and found > 0, text)


def _summary(result: Scaling, sizes: Sequence[int], exponent: float) -> dict[str, Any]:
    history = result.history
    return {
        "task": "finite_size",
        "lengths": list(sizes),
        "exponent": exponent,
        "plane": list(history.attrs["plane"]),
        "observable": history.attrs["observable"],
        "converged": result.converged,
        "message": result.message,
        "ground_states": int(history["ground_states"].sum()) + int(history["ground_states_search"]),
    }


def _lengths(lengths: Sequence[int]) -> list[int]:
    sizes = sorted(set(lengths))
    if len(sizes) < 2 or len(sizes) != len(lengths):
        raise ValueError(f"lengths = {list(lengths)}: give two different numbers of sites or more")
    return sizes
