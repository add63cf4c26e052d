"""Finite-size scaling of phase boundaries: the same points on chains of several lengths, and for L to infinity.

The longest chain's boundaries are traced; on every shorter one the ridge is looked for on the lines of the same points,
so that a point of the boundary is compared with itself, and extrapolated (`qep_tn.ridges.extrapolation`).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from tqdm import tqdm

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator
from qep_tn.ridges.extension import refusal
from qep_tn.ridges.extrapolation import side_by_side
from qep_tn.ridges.followed import Followed
from qep_tn.ridges.plane import Plane, Window
from qep_tn.runs.executors import in_order
from qep_tn.runs.folder import RunFolder, begun_with
from qep_tn.runs.loop import carry_through
from qep_tn.runs.settings_check import check_fingerprint, fingerprint
from qep_tn.solvers.protocol import Solver
from qep_tn.tasks.boundary import MOST_POINTS, Boundary, boundary_plane, plane_settings, trace_boundary

logger = logging.getLogger("qep_tn")


class ScalingStatus(Enum):
    """What became of a scaling."""

    EXTRAPOLATED = "every ground state converged, and points are extrapolated"
    DOUBTFUL = "points rest on ground states that did not converge"
    NO_LIMITS = "no point was found on two chains"


@dataclass(frozen=True)
class Scaling:
    """Boundaries of chains of several lengths.

    history: dimensions `curve`, `point` and `length`, see `finite_size_scaling`.
    status, message: whether every ground state converged and points were extrapolated.
    """

    history: xr.Dataset
    status: ScalingStatus
    message: str

    @property
    def converged(self) -> bool:
        """Whether every ground state converged and points were extrapolated."""
        return self.status is ScalingStatus.EXTRAPOLATED


def finite_size_scaling(
    model: Callable[[int], Hamiltonian],
    lengths: Sequence[int],
    theta: Theta,
    plane: tuple[str, str],
    window: Window,
    *,
    observable: Callable[[int], Operator] | None = None,
    exponent: float = 1.0,
    points: int = MOST_POINTS,
    processes: int | None = None,
    executor: Executor | None = None,
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
    executor: takes them instead, see `qep_tn.gradients`; its workers need the run's files under the same names.
    run: where to save every point, or to go on from, also with more lengths, but none longer: it would move every
        point.
    theta, plane, window, points, solver, rtol, progress, and `settings`: as in `trace_boundary`.

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
        run.begin(fingerprint(_settings(longest, exponent, points)))
        _check_chains(run.path, planes)
    folders = {L: None if run is None else run.path.absolute() / f"L-{L}" for L in sizes}
    text = "" if run is None else run.config_text
    traced = _trace(longest, theta, folders[sizes[-1]], text, solver, progress, {"points": points, **settings})
    jobs = [_Job(Followed(planes[L], traced.history, sizes[-1] / L), folders[L], text) for L in sizes[-2::-1]]
    results = tqdm(
        in_order(_follow, jobs, executor, processes),
        total=len(jobs), desc="shorter chains", unit="chain", file=sys.stderr, disable=not progress,
    )  # fmt: skip
    histories = [traced.history, *results][::-1]
    history = side_by_side(longest.axes, sizes, histories, exponent)
    result = _judged(history, traced)
    logger.info("%s", result.message)
    if run is not None:
        run.save(history, [], {"step": len(sizes)})
        run.write_summary(_summary(result, sizes, exponent))
    return result


def _settings(longest: Plane, exponent: float, points: int) -> dict[str, Any]:
    """Those of the run; chains check theirs."""
    return {
        "task": "finite_size",
        "the longest of lengths, on which every point is found,": len(longest.H.sites),
        "exponent": exponent, "points": points, "window": longest.window, **plane_settings(longest),
    }  # fmt: skip


def _check_chains(path: Path, planes: Mapping[int, Plane]) -> None:
    """Raise ValueError, before any chain is touched, if one that is there is not wanted any more, or is another one."""
    there = {int(folder.name.removeprefix("L-")): folder for folder in path.glob("L-*")}
    if missing := sorted(there.keys() - planes.keys()):
        raise refusal(path, "lengths", sorted(there), list(planes), f"more may be added, but L = {missing[0]} is there")
    for L in sorted(there.keys() - {max(planes)}):  # the longest chain is that of the run's own settings
        given = fingerprint(plane_settings(planes[L]))
        if begun := begun_with(there[L]):
            check_fingerprint({name: begun[name] for name in begun if name in given}, given, str(there[L]))


@dataclass(frozen=True)
class _Job:
    """One shorter chain: follow the longest chain's points on it."""

    followed: Followed
    folder: Path | None
    config_text: str


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
    followed, folder = job.followed, job.folder
    run = None
    if folder is not None:
        run = RunFolder.create(folder, job.config_text, resume=(folder / "config.toml").exists())
    plane = followed.plane
    settings = {
        "task": "finite_size, a shorter chain", **plane_settings(plane), "window": plane.window, **followed.settings(),
    }  # fmt: skip
    try:
        carry_through(followed, run, settings, f"L = {len(plane.H.sites)}", progress=False)
    finally:
        if run is not None:
            run.close()
    return followed.dataset()


def _judged(history: xr.Dataset, traced: Boundary) -> Scaling:
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
    if not found:
        return Scaling(history, ScalingStatus.NO_LIMITS, text)
    settled = traced.converged and not unsettled
    return Scaling(history, ScalingStatus.EXTRAPOLATED if settled else ScalingStatus.DOUBTFUL, text)


def _summary(result: Scaling, sizes: Sequence[int], exponent: float) -> dict[str, Any]:
    history = result.history
    return {
        "task": "finite_size",
        "lengths": list(sizes),
        "exponent": exponent,
        "plane": list(history.attrs["plane"]),
        "observable": history.attrs["observable"],
        "converged": result.converged,
        "status": result.status.name.lower(),
        "message": result.message,
        "ground_states": int(history["ground_states"].sum()) + int(history["ground_states_search"]),
    }


def _lengths(lengths: Sequence[int]) -> list[int]:
    sizes = sorted(set(lengths))
    if len(sizes) < 2 or len(sizes) != len(lengths):
        raise ValueError(f"lengths = {list(lengths)}: give two different numbers of sites or more")
    return sizes
