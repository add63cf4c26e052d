"""Optimise sensitivity: two points of one scanned parameter between which an observable changes fastest.

The points (g1, g2) and the parameters that they share descend the loss -|O_1 - O_2| / |g1 - g2|, where O_i is the
observable in the ground state at g_i, by steps of one length (Wanjura and Marquardt, arXiv:2406.06482). Where the pair
comes to rest, it encloses the place where the ground state changes most: a sensor's working point, or a phase boundary.

By the mean value theorem |dO/dg| is somewhere between the points as large as the sensitivity. Where it is smaller at
both of them, its maximum lies between them: the sensitivity then grows as either point moves towards the other. A
pair whose gradient says so by more than its error is known to enclose a steepest point.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from qep_tn.gradients.gradient import Gradient, Scheme, gradient
from qep_tn.gradients.losses import Expectation
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator
from qep_tn.runs.folder import RunFolder
from qep_tn.runs.settings_check import fingerprint, model_settings, solver_settings
from qep_tn.solvers.protocol import Solver, settings_of
from qep_tn.solvers.registry import default_solver
from qep_tn.states.ground_state import GroundState
from qep_tn.states.saved import as_saved

# a step that closes in, over the distance of the points: they cannot cross, and overshooting keeps between them what
# they enclose
_CLOSING = 1 / 3
_ROUNDING = 16 * np.finfo(float).eps  # of an expectation value, per sum of the operator's |coefficients|
_LAST = 5  # steps over which the middle's motion counts as still going on
_NO_PAIR = "no pair of points is known to enclose a steepest point; begin on both sides of it, or lower rtol"

logger = logging.getLogger("qep_tn")

# name -> (long_name, units); "energy" is the Hamiltonian's own unit
_FIGURES = {
    "sensitivity": ("sensitivity |O_1 - O_2| / |g_1 - g_2|", "energy^-1"),
    "sensitivity_error": ("estimated error of the sensitivity", "energy^-1"),
    "loss": ("loss, minus the sensitivity", "energy^-1"),
    "loss_error": ("estimated error of the loss", "energy^-1"),
    "gradient_norm": ("norm of the loss gradient over all that moves", "energy^-2"),
    "gradient_norm_error": ("norm of the estimated gradient error over all that moves", "energy^-2"),
    "encloses": ("whether the points are known to enclose a steepest point of the observable", "1"),
    "beta": ("larger nudge strength of the two points", "energy"),
    "max_bond": ("largest bond dimension of the free states, 0 where they are not MPS", "1"),
    "ground_states": ("ground states solved for so far", "1"),
    "trustworthy": ("whether free and nudged states are of one branch at both points", "1"),
    "seconds": ("wall time of the step", "s"),
}


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
    converged, message: whether all gradients are trustworthy, and a steepest point was found: by points that met or
        came to rest about it, or to a finite error; and how it ended.
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
    run: RunFolder | None = None,
    progress: bool = True,
) -> Sensitivity:
    """Move two points of a scalar parameter, and what they share, to the largest |O_1 - O_2| / |g1 - g2|.

    theta: parameters; the value of `scan` in it is not used. scan, points: the scanned parameter and its two first
        values. train: the shared scalar parameters that move; all others stay; all scalars if None.
    steps, rate: number and length of the steps, in units of energy. Where a step would make the points meet, the walk
        goes back to the last pair known to enclose a steepest point, and closes in by steps of at most a third of the
        points' distance.
    closest: the distance at which the points count as met, and the search ends.
    solver, rtol, beta, scheme: as in `qep_tn.gradient`.
    run: where to save every step, or to go on from; without it nothing is written.

    With beta "auto" it stops where a gradient is not trustworthy or cannot be told from zero; a nudge strength that is
    given is taken as it is. It also stops where the observable changes no more between the points than it is uncertain.
    Raises ValueError for parameters that are not scalars of H, points that coincide, and an observable that has the
    same value in every state.
    """
    shared = _check(H, observable, scan, points, train, steps, rate, closest)
    solver = default_solver(H) if solver is None else solver
    moving = (f"{scan}_1", f"{scan}_2", *shared)
    position = np.array([*points, *(float(np.asarray(theta[name])) for name in shared)])
    rounding = _ROUNDING * sum(abs(c) for c in observable.terms.values())
    raised = -Expectation(observable)  # a one-sided nudge raises the observable, as in the published runs

    settings = {"rate": rate, "closest": closest, "rtol": rtol, "beta": beta, "scheme": scheme}
    if run is not None:
        others = {name: value for name, value in theta.items() if name != scan}
        run.begin(fingerprint({
            "task": "sensitivity", "scan": scan, **model_settings(H, others), "points": points, "train": shared,
            "observable": observable, **settings, **solver_settings(solver),
        }))  # fmt: skip
    rows: list[dict[str, Any]] = []
    states: list[GroundState | None] = [None, None]
    closing, stopped = False, ""
    if run is not None and (saved := run.load_states(H.sites)) is not None:
        found, extra = saved
        if extra.keys() != {"step", "position", "closing", "stopped"} or np.shape(extra["position"]) != position.shape:
            raise ValueError(f"{run.path} holds no pair of this model to resume; choose another folder with --out")
        states = [*found]
        position, closing, stopped = extra["position"], bool(extra["closing"]), extra["stopped"]
        rows = _rows(run.load_history(int(extra["step"])))

    with tqdm(
        total=steps + 1,
        initial=len(rows),
        desc="sensitivity",
        unit="point",
        file=sys.stderr,
        disable=not progress,
        delay=0.5,  # a model that the solver refuses is refused before
    ) as bar:
        while len(rows) <= steps and not stopped:
            began = time.perf_counter()
            here = {**theta, **dict(zip(shared, position[2:], strict=True))}
            first, second = (
                gradient(
                    H, {**here, scan: g}, raised, solver=solver, rtol=rtol, beta=beta, scheme=scheme, start=start
                )
                for g, start in zip(position[:2], states, strict=True)
            )  # fmt: skip
            states = [as_saved(first.free), as_saved(second.free)]
            row = _row(first, second, position, scan, shared, rounding) | {
                n: here[n] for n in H.parameters if n != scan
            }
            row["ground_states"] += rows[-1]["ground_states"] if rows else 0
            rows.append(row | {"seconds": time.perf_counter() - began})
            stopped = _reason_to_stop(first, second, rows, beta)
            if not stopped:
                position, closing = _step(rows, moving, rate, closest, closing)
                if closing and abs(position[0] - position[1]) < closest:
                    stopped = _met(rows)
            if run is not None:
                extra = {"step": len(rows), "position": position, "closing": closing, "stopped": stopped}
                run.save(_dataset(rows, H, scan, observable), [s for s in states if s is not None], extra)
            logger.info(
                "pair %d: %s = %.8g and %.8g, sensitivity %.8g",
                len(rows) - 1, scan, row[moving[0]], row[moving[1]], row["sensitivity"],
            )  # fmt: skip
            bar.set_postfix(sensitivity=f"{row['sensitivity']:.6g}", refresh=False)
            bar.update()

    result = _result(rows, _dataset(rows, H, scan, observable), states, stopped, moving)
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
    recorded = [f"{scan}_1", f"{scan}_2", *shared]
    taken = {
        "step",
        *_FIGURES,
        *recorded[:2],
        *(f"gradient_{n}{suffix}" for n in recorded for suffix in ("", "_error")),
    }
    if clash := next((n for n in H.parameters if n in taken or "/" in n), None):
        raise ValueError(f"parameter {clash!r} cannot be recorded: the name is taken in history.nc; rename it")
    return shared


def _row(
    first: Gradient, second: Gradient, position: NDArray, scan: str, shared: list[str], rounding: float
) -> dict[str, Any]:
    """The loss -|O_1 - O_2| / |g1 - g2| at a pair, its gradient over (g1, g2, shared parameters), and their errors.

    rounding: the least error of either O_i.
    """
    difference, distance = second.value - first.value, position[0] - position[1]  # a gradient's value is -<O>
    value = -abs(difference / distance)
    value_error = np.hypot(max(first.value_error, rounding), max(second.value_error, rounding)) / abs(distance)
    factor = np.sign(difference) / abs(distance)
    # d loss / d g1 = (factor * d<-O>/dg1) - loss / (g1 - g2), and the other way round for g2
    slope = {f"{scan}_1": factor * first.gradient[scan] - value / distance}
    slope[f"{scan}_2"] = value / distance - factor * second.gradient[scan]
    by_value = value_error / abs(distance)
    error = {f"{scan}_1": abs(factor) * first.error[scan] + by_value}
    error[f"{scan}_2"] = abs(factor) * second.error[scan] + by_value
    for name in shared:
        slope[name] = factor * (first.gradient[name] - second.gradient[name])
        error[name] = abs(factor) * (first.error[name] + second.error[name])
    inward = np.sign(distance) * np.array([slope[f"{scan}_1"], -slope[f"{scan}_2"]])
    row = {f"{scan}_1": position[0], f"{scan}_2": position[1]}
    row |= {f"gradient_{name}": float(part) for name, part in slope.items()}
    row |= {f"gradient_{name}_error": float(part) for name, part in error.items()}
    return row | {
        "sensitivity": float(-value),
        "sensitivity_error": float(value_error),
        "loss": float(value),
        "loss_error": float(value_error),
        "gradient_norm": float(np.linalg.norm([*slope.values()])),
        "gradient_norm_error": float(np.linalg.norm([*error.values()])),
        "encloses": bool((inward > [error[f"{scan}_1"], error[f"{scan}_2"]]).all()),
        "beta": max(first.beta, second.beta),
        "max_bond": max((*first.free.bond_dimensions, *second.free.bond_dimensions), default=0),
        "ground_states": first.ground_states + second.ground_states,
        "trustworthy": first.trustworthy and second.trustworthy,
    }


def _reason_to_stop(
    first: Gradient, second: Gradient, rows: list[dict[str, Any]], beta: float | Literal["auto"]
) -> str:
    """Why no step can be made from the last pair; empty if one can."""
    step, row = len(rows) - 1, rows[-1]
    untrusted = next((g.message for g in (first, second) if not g.trustworthy), "")
    if beta == "auto" and untrusted:
        return f"stopped at step {step}, a gradient is not trustworthy: {untrusted}"
    if row["sensitivity"] <= row["sensitivity_error"]:
        return f"stopped at step {step}, the observable changes no more between the points than its error; take another"
    if row["gradient_norm"] > (row["gradient_norm_error"] if beta == "auto" else 0.0):
        return ""
    if (pair := _enclosing(rows)) is not None:
        return f"the points came to rest at step {step}; those of step {pair} enclose the steepest change"
    return f"stopped at step {step}, nothing is known to pull the points: {_NO_PAIR}"


def _met(rows: list[dict[str, Any]]) -> str:
    step, pair = len(rows) - 1, _enclosing(rows)
    if pair is None:
        return f"stopped, the points met at step {step}: {_NO_PAIR}"
    return f"the points met at step {step}; those of step {pair} enclose the steepest change"


def _enclosing(rows: list[dict[str, Any]]) -> int | None:
    """The last step whose points are known to enclose a steepest point."""
    return next((n for n in reversed(range(len(rows))) if rows[n]["encloses"]), None)


def _step(
    rows: list[dict[str, Any]], moving: Sequence[str], rate: float, closest: float, closing: bool
) -> tuple[NDArray, bool]:
    """The position after a step, and whether the points are closing in."""

    def moved(row: dict[str, Any], length: float) -> NDArray:
        slope = np.array([row[f"gradient_{name}"] for name in moving])
        return np.array([row[name] for name in moving]) - length * slope / row["gradient_norm"]

    def distance(row: dict[str, Any]) -> float:
        return row[moving[0]] - row[moving[1]]

    row = rows[-1]
    if not closing:
        position = moved(row, rate)
        if abs(position[0] - position[1]) >= closest and (position[0] - position[1]) * distance(row) > 0:
            return position, False
        if (pair := _enclosing(rows)) is not None:
            row = rows[pair]
    return moved(row, min(rate, _CLOSING * abs(distance(row)))), True


def _result(
    rows: list[dict[str, Any]],
    history: xr.Dataset,
    states: list[GroundState | None],
    stopped: str,
    moving: Sequence[str],
) -> Sensitivity:
    first, second = states
    assert first is not None
    assert second is not None
    pair = _enclosing(rows)
    middles = [(row[moving[0]] + row[moving[1]]) / 2 for row in rows]
    message, further = stopped, 0.0
    if pair is None or not stopped.startswith("the points"):
        pair = len(rows) - 1
        drift, offset = float(np.ptp(middles[-_LAST - 1 :])), _offset(rows[-1], moving)
        further = drift + offset
        where = f"the steepest change is about {offset:.2g} from it; take more or shorter steps"
        message = stopped or (
            f"{pair} steps made, and the points still move, their middle by {drift:.2g} over the last "
            f"{min(_LAST, pair)}; {where if np.isfinite(offset) else _NO_PAIR}"
        )
    doubtful = sum(not row["trustworthy"] for row in rows)
    if doubtful and not stopped.startswith("stopped"):
        message += f"; {doubtful} of {len(rows)} pairs of gradients are not trustworthy; leave beta to 'auto'"
    half = abs(rows[pair][moving[0]] - rows[pair][moving[1]]) / 2
    error = float(half + further)
    converged = not doubtful and not stopped.startswith("stopped") and bool(np.isfinite(error))
    return Sensitivity(history, float(middles[pair]), error, (first, second), converged, message)


def _offset(row: dict[str, Any], moving: Sequence[str]) -> float:
    """How far the steepest point is from the middle of a pair, if dO/dg is a parabola about it; infinite if it is none.

    With dO/dg = a - c (g - g_0)^2, m = g_0 - (g1 + g2)/2 and h = (g2 - g1)/2, the gradient pulls g1 and g2 inward by
    p_1 and p_2 = c h / 3 +- c m, so that m = h (p_1 - p_2) / (3 (p_1 + p_2)).
    """
    distance = row[moving[0]] - row[moving[1]]
    first, second = row[f"gradient_{moving[0]}"], -row[f"gradient_{moving[1]}"]
    inward = np.sign(distance) * (first + second)
    return float(abs(distance * (first - second) / inward) / 6) if inward > 0 else float("inf")


def _dataset(rows: list[dict[str, Any]], H: Hamiltonian, scan: str, observable: Operator) -> xr.Dataset:
    """All rows, with long names and units."""
    variables = {}
    for name in rows[0]:
        parameter = name.removeprefix("gradient_").removesuffix("_error")
        if name in _FIGURES:
            long_name, units = _FIGURES[name]
        elif name == f"gradient_{parameter}":
            long_name, units = f"derivative of the loss by {parameter}", "energy^-2"
        elif name == f"gradient_{parameter}_error":
            long_name, units = f"estimated error of gradient_{parameter}", "energy^-2"
        else:
            long_name, units = f"parameter {name} before the step", "energy"
            if name in (f"{scan}_1", f"{scan}_2"):
                long_name = f"parameter {scan} at point {name[-1]} before the step"
        dimensions = ("step", f"{name}_coupling") if isinstance(H.parameters.get(name), tuple) else ("step",)
        values = np.array([row[name] for row in rows])
        variables[name] = (dimensions, values, {"long_name": long_name, "units": units})
    steps = ("step", np.arange(len(rows)), {"long_name": "step", "units": "1"})
    attributes = {"task": "sensitivity", "scan": scan, "observable": str(observable)}
    return xr.Dataset(variables, coords={"step": steps}, attrs=attributes)


def _rows(history: xr.Dataset) -> list[dict[str, Any]]:
    """The inverse of `_dataset`."""
    columns = {str(name): list(variable.values) for name, variable in history.data_vars.items()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


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
