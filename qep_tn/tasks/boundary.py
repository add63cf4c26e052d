"""Trace phase boundaries: follow ridges of the QEP response through a plane of two parameters.

A predictor goes along the ridge (`qep_tn.ridges.curve`), a corrector moves across it to where the response is largest
(`qep_tn.ridges.line`). The response is d<O>/dg of an observable O, or without one -d^2E/dg^2, that of the parameter's
own operator to itself.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import xarray as xr

from qep_tn.devices.device import Device
from qep_tn.devices.on_device import OnDevice, on_device
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator
from qep_tn.ridges.curve import Trace
from qep_tn.ridges.plane import CUTOFF, Place, Plane, Window, checked_window
from qep_tn.ridges.points import END, taken_names
from qep_tn.runs.folder import RunFolder
from qep_tn.runs.loop import carry_through
from qep_tn.runs.settings_check import model_settings, solver_settings
from qep_tn.solvers.protocol import Solver, settings_of
from qep_tn.solvers.registry import default_solver

logger = logging.getLogger("qep_tn")

MOST_POINTS = 200  # of one curve: twelve lengths of the window in the default steps


class TraceStatus(Enum):
    """What became of a trace."""

    TRACED = "every ground state of every point converged"
    DOUBTFUL = "points rest on ground states that did not converge"
    NOTHING_FOUND = "no boundary crosses the searched lines, or passes the starts"


@dataclass(frozen=True)
class Boundary:
    """Traced boundaries.

    history: dimensions `curve` and `point`, see `qep_tn.ridges.points.boundary_dataset`.
    status, message: whether every ground state of every point converged, and what was found.
    """

    history: xr.Dataset
    status: TraceStatus
    message: str

    @property
    def converged(self) -> bool:
        """Whether there is a point, and every ground state of every point converged."""
        return self.status is TraceStatus.TRACED


def trace_boundary(
    H: Hamiltonian | Device,
    theta: Theta,
    plane: tuple[str, str],
    window: Window,
    *,
    observable: Operator | None = None,
    start: Mapping[str, float] | Sequence[Mapping[str, float]] | None = None,
    step: float = 1 / 16,
    points: int = MOST_POINTS,
    search: int = 32,
    sharpness: float = 14.0,
    solver: Solver | None = None,
    rtol: float = 1e-2,
    shots: int | None = None,
    run: RunFolder | None = None,
    progress: bool = True,
) -> Boundary:
    """Follow every phase boundary that is found from theta through the plane of two scalar parameters.

    H: a Hamiltonian; or a `qt.Device`, whose ground states are measured. Then rtol says nothing,
        nine samples that are 0.7 of the peak's width apart make a point, and its error holds shot noise. A peak is
        found where its observable changes along it by many standard errors: as that of a sum over the chain, which is
        what None takes. Transitions of first order are not.
    plane, window: names of the two parameters, and (low, high) of each. A point is the maximum of the response along
        the first of them, at a fixed value of the second; where a boundary runs nearly along the first, it is the
        other way round.
    observable: whose response; None for -d^2E/dg^2, g the parameter along which the maximum is taken. Where a curve
        turns from one to the other parameter, so does that response, and its ridge steps aside by the order of 1/L.
    start: a point near a boundary, as from `optimize_sensitivity`, or several. None searches two lines through the
        window that cross at theta, in `search` ground states each.
    step: largest distance of neighbouring points, as a share of the window. points: most points of one curve.
    sharpness: a ridge wider than this many energy scales (the largest coupling there) over L is no transition of a
        chain of this length. Cluster-Ising transitions have 4 to 11.
    rtol: accuracy of a point, in widths of its peak; sets the samples' spacing and the Schmidt cutoff.
    shots: of a device, for every circuit; by default its own.
    run: where to save every point, or to go on from, also with more points or a larger window: then ends at the point
        limit or at the window's edge go on, and lines without a given start are searched again. All points stay.

    Raises ValueError for parameters that are not scalars of H, and for a window or start that makes no sense.
    """
    H, solver = on_device(H, solver, shots)
    plane_ = boundary_plane(H, theta, plane, window, observable, solver, rtol)
    starts = _starts(plane_, start)
    for name, value in {"step": step, "sharpness": sharpness}.items():
        if not 0 < value < np.inf:
            raise ValueError(f"{name} = {value}: must be positive and finite")
    if points < 3 or search < 8:
        raise ValueError(f"points = {points}, search = {search}: at least 3 points a curve, and 8 samples a line")
    values = H.unflatten(H.flatten(theta))
    centre = (values[plane[0]], values[plane[1]])
    if not starts and (
        out := next((n for n, limits in window.items() if not limits[0] <= values[n] <= limits[1]), None)
    ):
        raise ValueError(
            f"the search for boundaries starts at {out} = {values[out]:.6g}, outside the window {list(window[out])}; "
            f"move it, or give a start"
        )
    trace = Trace(plane_, starts, centre, search, step, points, sharpness)
    settings = {
        "task": "boundary", **plane_settings(plane_), "theta": values, "start": starts or None, "step": step,
        "search": search, "sharpness": sharpness,
    }  # fmt: skip
    carry_through(trace, run, settings, "boundary", progress)
    result = Boundary(trace.dataset(), *_judged(trace))
    logger.info("%s", result.message)
    if run is not None:
        run.write_summary(_summary(result, trace, solver or default_solver(H)))
    return result


def boundary_plane(
    H: Hamiltonian, theta: Theta, axes: tuple[str, str], window: Window, observable: Operator | None,
    solver: Solver | None, rtol: float,
) -> Plane:  # fmt: skip
    """The plane of a trace, checked; arguments as in `trace_boundary`, which also says what is raised."""
    limits = checked_window(H, theta, axes, window, taken_names(axes))
    if observable is not None:
        observable.check(H.sites, "the observable of the boundary")
    if not 0 < rtol < 1:
        raise ValueError(f"rtol = {rtol}: an accuracy in widths of the peak lies between 0 and 1")
    others = {name: value for name, value in theta.items() if name not in axes}
    solver = (solver or default_solver(H)).with_cutoff(CUTOFF * rtol)
    return Plane(H, others, axes, limits, observable, solver, rtol)


def plane_settings(plane: Plane) -> dict[str, Any]:
    """What decides the ground states on a plane and what is made of them, for a fingerprint; the window may grow."""
    return {
        "plane": plane.axes, "observable": plane.observable, "rtol": plane.rtol,
        **model_settings(plane.H, plane.theta), **solver_settings(plane.solver),
    }  # fmt: skip


def _starts(plane: Plane, start: Mapping[str, float] | Sequence[Mapping[str, float]] | None) -> list[Place]:
    """The given points. Raises ValueError if one is not in the window."""
    given = [] if start is None else [start] if isinstance(start, Mapping) else list(start)
    places = []
    for point in given:
        if set(point) != set(plane.axes):
            raise ValueError(f"start = {dict(point)}: give a value of {plane.axes[0]} and of {plane.axes[1]}")
        place = (float(point[plane.axes[0]]), float(point[plane.axes[1]]))
        if not all(low <= x <= high for x, (low, high) in zip(place, plane.window, strict=True)):
            raise ValueError(f"start = {dict(point)} is outside the window; move it, or widen the window")
        places.append(place)
    return places


def _judged(trace: Trace) -> tuple[TraceStatus, str]:
    """What was found, or why nothing was."""
    if not trace.points:
        where, remedy = (
            ("at the starts", "start nearer to one")
            if trace.starts
            else ("along the searched lines", "search through another point, widen the window, or give a start")
        )
        shots = ", or take more shots" if isinstance(trace.plane.solver, OnDevice) else ""
        return TraceStatus.NOTHING_FOUND, (
            f"no boundary found: no response {where} has a maximum that is sharp enough; {remedy}{shots}"
        )
    total = trace.searched + sum(point.ground_states for point in trace.points)
    text = f"{trace.curves} curve{'s' * (trace.curves > 1)}, {len(trace.points)} points, {total} ground states"
    jumps = len({point.curve for point in trace.points if point.width == 0})
    if jumps:
        text += f"; {jumps} of jumps: transitions of first order, or level crossings of this finite chain"
    doubtful = sum(not point.converged for point in trace.points)
    if doubtful:
        text += f"; {doubtful} points rest on ground states that did not converge: raise max_bond"
    return TraceStatus.DOUBTFUL if doubtful else TraceStatus.TRACED, text


def _summary(result: Boundary, trace: Trace, solver: Solver) -> dict[str, Any]:
    plane = trace.plane
    return {
        "task": "boundary",
        "plane": list(plane.axes),
        "window": {name: list(limits) for name, limits in zip(plane.axes, plane.window, strict=True)},
        "observable": result.history.attrs["observable"],
        "rtol": plane.rtol,
        "solver": settings_of(solver),
        "converged": result.converged,
        "status": result.status.name.lower(),
        "message": result.message,
        "curves": [
            {
                "points": sum(p.curve == n for p in trace.points),
                "ends": {END[d]: f"{stop.reason.value}: {stop.message}" for d, stop in sorted(ends.items())},
            }
            for n, ends in enumerate(trace.ends)
        ],
        "ground_states": int(result.history["ground_states"].sum()) + trace.searched,
        "ground_states_search": trace.searched,
        "seconds": float(np.nansum(result.history["seconds"])),
    }
