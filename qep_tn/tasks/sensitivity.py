"""Optimise sensitivity: two points of one scanned parameter between which an observable changes fastest.

`qep_tn.descent.pair` says what is lowered and how the points close in (Wanjura and Marquardt, arXiv:2406.06482).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from qep_tn.descent.loop import Descent, Ending, Stop
from qep_tn.descent.objective import Accuracy
from qep_tn.descent.pair import NO_PAIR, ClosingIn, Pair, enclosing
from qep_tn.devices.device import Device
from qep_tn.devices.on_device import on_device
from qep_tn.gradients.checks import Scheme
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator
from qep_tn.runs.folder import RunFolder
from qep_tn.runs.loop import carry_through
from qep_tn.runs.settings_check import model_settings, solver_settings
from qep_tn.solvers.protocol import Solver, settings_of
from qep_tn.solvers.registry import default_solver
from qep_tn.states.ground_state import GroundState

_LAST = 5  # steps over which the middle's motion counts as still going on

logger = logging.getLogger("qep_tn")


@dataclass(frozen=True)
class Sensitivity:
    """A pair of points on its way.

    history: dimension `step`, one row for every pair: the two values of the scanned parameter (`NAME_1`, `NAME_2`), all
        other parameters, `sensitivity`, `loss` (minus it), their errors, the loss's gradient by all that moves, and
        whether the pair `encloses` a steepest point.
    boundary, boundary_error: where the observable changes fastest along the scanned parameter. If the points met or
        came to rest: the middle of the last pair known to enclose a steepest point, and half its distance. Else the
        middle of the last pair, and half its distance plus how far the middle still moved over the last five steps
        plus how far from it the pair's gradient suggests the steepest point; infinite if it suggests none.
    states: the free ground states at the last pair.
    ending, message: how it ended, and a sentence.
    """

    history: xr.Dataset
    boundary: float
    boundary_error: float
    states: tuple[GroundState, GroundState]
    ending: Ending
    message: str

    @property
    def converged(self) -> bool:
        """Whether all gradients are trustworthy, and a steepest point was found: by points that met or came to rest
        about it, or to a finite error.
        """
        return self.ending.good


def optimize_sensitivity(
    H: Hamiltonian | Device,
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
    shots: int | None = None,
    run: RunFolder | None = None,
    progress: bool = True,
) -> Sensitivity:
    """Move two points of a scalar parameter, and what they share, to the largest |O_1 - O_2| / |g1 - g2|.

    H: a Hamiltonian; or a `qt.Device`, whose gradients are measured, with rtol saying nothing.
    theta: parameters; the value of `scan` in it is not used. scan, points: the scanned parameter and its two first
        values. train: the shared scalar parameters that move; all others stay; all scalars if None.
    steps, rate: number and length of the steps, in units of energy. Where a step would make the points meet, the walk
        goes back to the last pair known to enclose a steepest point, and closes in by steps of at most a third of the
        points' distance.
    closest: the distance at which the points count as met, and the search ends.
    solver, rtol, beta, scheme: as in `qep_tn.gradient`.
    shots: of a device, for every circuit; by default its own.
    run: where to save every step, or to go on from; without it nothing is written.

    With beta "auto" it stops where a gradient is not trustworthy or cannot be told from zero; a nudge strength that is
    given is taken as it is. It also stops where the observable changes no more between the points than it is uncertain.
    Raises ValueError for parameters that are not scalars of H, points that coincide, and an observable that has the
    same value in every state.
    """
    H, solver = on_device(H, solver, shots)
    shared = _check(H, observable, scan, points, train, steps, rate, closest)
    solver = default_solver(H) if solver is None else solver
    others = {name: value for name, value in theta.items() if name != scan}
    pair = Pair(H, others, observable, scan, tuple(shared), Accuracy(solver, rtol, beta, scheme))
    position = np.array([*points, *(float(np.asarray(theta[name])) for name in shared)])
    descent = Descent(pair, ClosingIn(pair.moving, rate, closest), position, steps, (None, None))
    settings = {"rate": rate, "closest": closest, "rtol": rtol, "beta": beta, "scheme": scheme}
    made_with = {
        "task": "sensitivity", "scan": scan, **model_settings(H, others), "points": points, "train": shared,
        "observable": observable, **settings, **solver_settings(solver),
    }  # fmt: skip
    carry_through(descent, run, made_with, "sensitivity", progress)
    result = _result(descent, pair.moving)
    logger.info("%s: %s = %.8g +- %.2g", result.message, scan, result.boundary, result.boundary_error)
    if run is not None:
        run.write_summary(_summary(result, settings, solver, scan, shared))
    return result


def _check(
    H: Hamiltonian, observable: Operator, scan: str, points: tuple[float, float], train: Sequence[str] | None,
    steps: int, rate: float, closest: float,
) -> list[str]:  # fmt: skip
    scalars = [name for name, value in H.parameters.items() if not isinstance(value, tuple)]
    shared = [name for name in scalars if name != scan] if train is None else [n for n in train if n != scan]
    for name in (scan, *shared):
        if name not in scalars:
            raise ValueError(
                f"{name!r} is not a scalar parameter of the Hamiltonian; these are: {', '.join(scalars) or 'none'}"
            )
    if not isinstance(observable, Operator):
        raise ValueError(f"observable is {observable!r}; it must be an Operator such as X(3)")
    if not any(observable.terms):  # the empty product is the identity
        raise ValueError(
            f"observable {observable}: measures nothing, it has the same value in every state; name an operator, "
            f"such as X(0)"
        )
    if not 0 < closest < np.inf:
        raise ValueError(f"closest = {closest}: the distance at which points have met is positive and finite")
    if len(points) != 2 or not np.isfinite(points).all() or abs(points[0] - points[1]) < closest:
        raise ValueError(f"points = {points}: two finite values of {scan!r}, at least {closest} apart")
    if steps < 0 or not 0 < rate < np.inf:
        raise ValueError(f"steps = {steps}, rate = {rate}: steps must not be negative, and their length positive")
    return shared


def _result(descent: Descent, moving: Sequence[str]) -> Sensitivity:
    table = descent.table
    rows = [table.row(n) for n in range(len(table))]
    first, second = descent.states
    assert first is not None
    assert second is not None
    ending, message = descent.stop or Stop(Ending.STEPS_MADE, "")
    pair = enclosing(table)
    middles = [(row[moving[0]] + row[moving[1]]) / 2 for row in rows]
    further = 0.0
    if pair is None or ending is not Ending.ENCLOSED:
        pair = len(rows) - 1
        drift, offset = float(np.ptp(middles[-_LAST - 1 :])), _offset(rows[-1], moving)
        further = drift + offset
        where = f"the steepest change is about {offset:.2g} from it; take more or shorter steps"
        message = message or (
            f"{pair} steps made, and the points still move, their middle by {drift:.2g} over the last "
            f"{min(_LAST, pair)}; {where if np.isfinite(offset) else NO_PAIR}"
        )
    half = abs(rows[pair][moving[0]] - rows[pair][moving[1]]) / 2
    error = float(half + further)
    doubtful = sum(not row["trustworthy"] for row in rows)
    if ending.good and doubtful:
        ending = Ending.INACCURATE
        message += f"; {doubtful} of {len(rows)} pairs of gradients are not trustworthy; leave beta to 'auto'"
    elif ending.good and not np.isfinite(error):
        ending = Ending.LOST
    return Sensitivity(descent.dataset(), float(middles[pair]), error, (first, second), ending, message)


def _offset(row: Mapping[str, Any], moving: Sequence[str]) -> float:
    """How far the steepest point is from the middle of a pair, if dO/dg is a parabola about it; infinite if it is none.

    With dO/dg = a - c (g - g_0)^2, m = g_0 - (g1 + g2)/2 and h = (g2 - g1)/2, the gradient pulls g1 and g2 inward by
    p_1 and p_2 = c h / 3 +- c m, so that m = h (p_1 - p_2) / (3 (p_1 + p_2)).
    """
    distance = row[moving[0]] - row[moving[1]]
    first, second = row[f"gradient_{moving[0]}"], -row[f"gradient_{moving[1]}"]
    inward = np.sign(distance) * (first + second)
    return float(abs(distance * (first - second) / inward) / 6) if inward > 0 else float("inf")


def _summary(
    result: Sensitivity, settings: dict[str, Any], solver: Solver, scan: str, shared: list[str]
) -> dict[str, Any]:
    history = result.history
    return {
        "task": "sensitivity",
        "scan": scan,
        "trained": shared,
        "settings": settings,
        "solver": settings_of(solver),
        "converged": result.converged,
        "message": result.message,
        "boundary": result.boundary,
        "boundary_error": result.boundary_error if np.isfinite(result.boundary_error) else None,
        "steps": history.sizes["step"] - 1,
        "sensitivity": float(history["sensitivity"][-1]),
        "sensitivity_error": float(history["sensitivity_error"][-1]),
        "ground_states": int(history["ground_states"][-1]),
        "seconds": float(history["seconds"].sum()),
    }
