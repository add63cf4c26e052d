"""Optimise sensitivity: two points of one scanned parameter between which an observable changes fastest.

The points (g1, g2) and the parameters that they share descend the loss -|O_1 - O_2| / |g1 - g2|, where O_i is the
observable in the ground state at g_i, by steps of one length (Wanjura and Marquardt, arXiv:2406.06482). Where the pair
comes to rest, it encloses the place where the ground state changes most: a sensor's working point, or a phase boundary.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from tqdm import tqdm

from qep_tn.hamiltonian import Hamiltonian, Theta
from qep_tn.losses import Expectation
from qep_tn.operators import Operator
from qep_tn.propagation import Gradient, Scheme, gradient
from qep_tn.solvers.choice import default_solver
from qep_tn.solvers.protocol import GroundState, Solver


@dataclass(frozen=True)
class Sensitivity:
    """A pair of points on its way.

    history: dimension `step`, one row for every pair, the last one after the last step: the two values of the scanned
        parameter (`NAME_1`, `NAME_2`), the shared parameters, `sensitivity` and its error, `ground_states` so far.
    boundary, boundary_error: the middle of the last pair, and half its distance: where the observable changes fastest,
        if the pair has come to rest.
    states: the free ground states at the last pair.
    converged, message: whether all steps were made along trustworthy gradients, and if not, what happened.
    """

    history: xr.Dataset
    boundary: float
    boundary_error: float
    states: tuple[GroundState, GroundState]
    converged: bool
    message: str


def optimize_sensitivity(
    H: Hamiltonian,
    theta: Theta,
    observable: Operator,
    *,
    scan: str,
    points: tuple[float, float],
    train: Sequence[str] | None = None,
    steps: int = 40,
    rate: float = 0.1,
    closest: float = 1e-3,
    solver: Solver | None = None,
    rtol: float = 1e-2,
    beta: float | Literal["auto"] = "auto",
    scheme: Scheme = "symmetric",
    progress: bool = True,
) -> Sensitivity:
    """Move two points of a scalar parameter, and what they share, to the largest |O_1 - O_2| / |g1 - g2|.

    theta: parameters; the value of `scan` in it is not used. scan, points: the scanned parameter and its two first
        values. train: the shared scalar parameters that move; all others stay; all scalars if None.
    steps, rate: number and length of the steps, in units of energy. closest: the distance at which the points count as
        met, and the search ends.
    solver, rtol, beta, scheme: as in `qep_tn.gradient`.

    With beta "auto" it stops where a gradient is not trustworthy; a nudge strength that is given is taken as it is.
    Raises ValueError for parameters that are not scalars of H, and for points that coincide.
    """
    shared = _check(H, scan, points, train, steps, rate, closest)
    solver = default_solver(H) if solver is None else solver
    position = np.array([*points, *(float(np.asarray(theta[name])) for name in shared)])
    raised = -Expectation(observable)  # a one-sided nudge raises the observable, as in the published runs
    starts: list[GroundState | None] = [None, None]
    rows: list[dict[str, float]] = []
    solves, stopped, doubtful = 0, "", 0
    for step in tqdm(range(steps + 1), desc="sensitivity", unit="point", file=sys.stderr, disable=not progress):
        here = {**theta, **dict(zip(shared, position[2:], strict=True))}
        pair = [
            gradient(
                H, {**here, scan: g}, raised, solver=solver, rtol=rtol, beta=beta, scheme=scheme,
                start=start,
            )
            for g, start in zip(position[:2], starts, strict=True)
        ]  # fmt: skip
        starts = [g.free for g in pair]
        solves += sum(g.ground_states for g in pair)
        value, error, slope = _loss(pair, position, scan, shared)
        rows.append(
            {f"{scan}_1": position[0], f"{scan}_2": position[1], **dict(zip(shared, position[2:], strict=True))}
            | {"sensitivity": -value, "sensitivity_error": error, "ground_states": solves}
        )
        untrusted = next((g.message for g in pair if not g.trustworthy), "")
        doubtful += bool(untrusted)
        norm = float(np.linalg.norm(slope))
        if untrusted and beta == "auto":
            stopped = f"stopped at step {step}: {untrusted}"
        elif norm == 0:
            stopped = f"stopped at step {step}: the observable is the same at both points, which gives no direction"
        elif step < steps:
            moved = position - rate * slope / norm
            if abs(moved[0] - moved[1]) < closest or (moved[0] - moved[1]) * (position[0] - position[1]) < 0:
                stopped = f"the points met at step {step}: the boundary lies between them; take smaller steps to go on"
            else:
                position = moved
        if stopped:
            break
    message = stopped or (f"{doubtful} of {len(rows)} pairs of gradients are not trustworthy" if doubtful else "")
    first, second = starts
    assert first is not None
    assert second is not None
    history = _history(rows, H, scan, observable)
    met = stopped.startswith("the points met")
    middle, half = float(position[:2].mean()), float(abs(position[0] - position[1]) / 2)
    return Sensitivity(history, middle, half, (first, second), met or not message, message or f"{steps} steps made")


def _loss(pair: list[Gradient], position: np.ndarray, scan: str, shared: list[str]) -> tuple[float, float, np.ndarray]:
    """-|O_1 - O_2| / |g1 - g2|, its error, and its gradient over (g1, g2, shared parameters)."""
    difference, distance = pair[1].value - pair[0].value, position[0] - position[1]  # value is -<O>
    slope = np.sign(difference) / abs(distance)
    closer = abs(difference) * np.sign(distance) / distance**2
    own = [slope * pair[0].gradient[scan] + closer, -slope * pair[1].gradient[scan] - closer]
    common = [slope * (pair[0].gradient[name] - pair[1].gradient[name]) for name in shared]
    error = float(np.hypot(pair[0].value_error, pair[1].value_error) / abs(distance))
    return -abs(difference) / abs(distance), error, np.array([*own, *common])


def _history(rows: list[dict[str, float]], H: Hamiltonian, scan: str, observable: Operator) -> xr.Dataset:
    data = {name: ("step", np.array([row[name] for row in rows])) for name in rows[0]}
    history = xr.Dataset(data, attrs={"task": "sensitivity", "scan": scan, "observable": str(observable)})
    for name in history.data_vars:
        parameter = name in H.parameters or name in (f"{scan}_1", f"{scan}_2")
        history[name].attrs["units"] = "energy" if parameter else "1" if name == "ground_states" else "energy^-1"
    return history


def _check(
    H: Hamiltonian, scan: str, points: tuple[float, float], train: Sequence[str] | None, steps: int, rate: float,
    closest: float,
) -> list[str]:  # fmt: skip
    scalars = [name for name, value in H.parameters.items() if not isinstance(value, tuple)]
    shared = [name for name in scalars if name != scan] if train is None else [n for n in train if n != scan]
    for name in (scan, *shared):
        if name not in scalars:
            known: Any = ", ".join(scalars) or "none"
            raise ValueError(f"{name!r} is not a scalar parameter of the Hamiltonian; these are: {known}")
    if len(points) != 2 or not np.isfinite(points).all() or abs(points[0] - points[1]) < closest:
        raise ValueError(f"points = {points}: two finite values of {scan!r}, at least {closest} apart")
    if steps < 0 or not 0 < rate < np.inf:
        raise ValueError(f"steps = {steps}, rate = {rate}: steps must not be negative, and their length positive")
    return shared
