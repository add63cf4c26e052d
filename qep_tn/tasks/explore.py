"""Explore a phase diagram: follow the QEP gradient of an observable through parameter space.

Every step moves theta by a fixed length along the gradient of the objective (Wanjura and Marquardt,
arXiv:2406.06482, phase exploration): theta <- theta -+ rate * g / |g|, |g| over all trained couplings together.
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

from qep_tn.hamiltonian import Hamiltonian, Theta
from qep_tn.history import History, flattened
from qep_tn.losses import Loss
from qep_tn.propagation import Gradient, Scheme, gradient
from qep_tn.results import RunFolder
from qep_tn.solvers.choice import default_solver
from qep_tn.solvers.protocol import GroundState, Solver, settings_of
from qep_tn.state_file import as_saved

logger = logging.getLogger("qep_tn")


@dataclass(frozen=True)
class Exploration:
    """A walk through parameter space.

    history: dimension `step`, one row for every theta of the walk, the last one after the last step.
    state: the free ground state at the last row.
    converged: whether all steps were made, along gradients that all are trustworthy and met `rtol`.
    message: why it stopped early, or which gradients are not as they should be, and the remedy.
    """

    history: xr.Dataset
    state: GroundState
    converged: bool
    message: str


def explore_phases(
    H: Hamiltonian,
    theta: Theta,
    objective: Loss,
    *,
    direction: Literal["maximize", "minimize"] = "maximize",
    train: Sequence[str] | None = None,
    steps: int = 40,
    rate: float = 0.1,
    solver: Solver | None = None,
    rtol: float = 1e-2,
    beta: float | Literal["auto"] = "auto",
    scheme: Scheme = "symmetric",
    start: GroundState | None = None,
    run: RunFolder | None = None,
    progress: bool = True,
) -> Exploration:
    """Walk from theta along the gradient of the objective, in steps of one length.

    objective: what to maximize or minimize; the recorded loss is -objective or objective.
    train: names of the parameters that move; all of them if None.
    steps, rate: number and length of the steps, the length in units of energy.
    solver, rtol, beta, scheme: as in `qep_tn.gradient`.
    start: where the search for the first ground state begins; later ones begin from the step before.
    run: where to save every step, or to go on from; without it nothing is written.

    With beta "auto" it stops where a gradient is not trustworthy or cannot be told from zero. A nudge strength that is
    given is taken as the rule of the walk, finite as it is: then it goes on, and only records `trustworthy`.
    Raises ValueError if theta, train, steps, rate or direction do not make sense.
    """
    position = H.flatten(theta)
    trained = _trained(H, train)
    _check(direction, steps, rate)
    solver = default_solver(H) if solver is None else solver
    loss = -objective if direction == "maximize" else objective

    history, state, stopped = History(H), start, ""
    if run is not None and (saved := run.load_states(H.sites)) is not None:
        (state,), extra = saved
        if extra.keys() != {"step", "theta", "stopped"} or np.shape(extra["theta"]) != position.shape:
            raise ValueError(f"{run.path} holds no walk of this model to resume; choose another folder with --out")
        position, stopped = extra["theta"], extra["stopped"]
        history = History(H, run.load_history(int(extra["step"])))

    with tqdm(
        total=steps + 1,
        initial=len(history),
        desc="explore",
        unit="point",
        file=sys.stderr,
        disable=not progress,
        delay=0.5,  # a model that the solver refuses is refused before
    ) as bar:
        while len(history) <= steps and not stopped:
            began = time.perf_counter()
            here = H.unflatten(position)
            g = gradient(H, here, loss, solver=solver, rtol=rtol, beta=beta, scheme=scheme, start=state)
            state = as_saved(g.free)
            slope, error = (np.where(trained, flattened(H, values), 0.0) for values in (g.gradient, g.error))
            norm = float(np.linalg.norm(slope))
            stopped = _reason_to_stop(g, norm, float(np.linalg.norm(error)), len(history), beta)
            if not stopped:
                position = position - rate * slope / norm
            history.add(here, g, trained, time.perf_counter() - began)
            if run is not None:
                run.save(history.dataset(), [state], {"step": len(history), "theta": position, "stopped": stopped})
            logger.info("point %d: loss %.8g, relative error %.1e", len(history) - 1, g.value, g.relative_error)
            bar.set_postfix(loss=f"{g.value:.6g}", relative_error=f"{g.relative_error:.0e}", refresh=False)
            bar.update()

    assert state is not None
    message = stopped or _complaint(history, rtol)
    result = Exploration(history.dataset(), state, not message, message or f"{len(history) - 1} steps made")
    logger.info("%s", result.message)
    if run is not None:
        settings = {"direction": direction, "rate": rate, "rtol": rtol, "beta": beta, "scheme": scheme}
        run.write_summary(_summary(result, settings, solver, [n for n in H.parameters if train is None or n in train]))
    return result


def _trained(H: Hamiltonian, train: Sequence[str] | None) -> NDArray:
    """Mask over all couplings: those that move."""
    names = tuple(H.parameters) if train is None else tuple(train)
    if unknown := [name for name in names if name not in H.parameters]:
        raise ValueError(f"train has {unknown[0]!r}, but the parameters are {', '.join(H.parameters)}")
    if not names:
        raise ValueError(f"train is empty; name at least one of {', '.join(H.parameters)}")
    sizes = {name: len(a) if isinstance(a, tuple) else 1 for name, a in H.parameters.items()}
    return np.concatenate([np.full(size, name in names) for name, size in sizes.items()])


def _check(direction: str, steps: int, rate: float) -> None:
    if direction not in ("maximize", "minimize"):
        raise ValueError(f"direction is {direction!r}; it must be 'maximize' or 'minimize'")
    if steps < 0:
        raise ValueError(f"steps is {steps}; it must not be negative")
    if not 0 < rate < np.inf:
        raise ValueError(f"rate is {rate}; the length of a step must be positive and finite")


def _reason_to_stop(g: Gradient, norm: float, error: float, step: int, beta: float | Literal["auto"]) -> str:
    """Why no step can be made along this gradient; empty if one can."""
    if not norm > (error if beta == "auto" else 0.0):
        return f"stopped at step {step}, its gradient cannot be told from zero: norm {norm:.2g}, error {error:.2g}"
    if beta == "auto" and not g.trustworthy:
        return f"stopped at step {step}, its gradient is not trustworthy: {g.message}"
    return ""


def _complaint(history: History, rtol: float) -> str:
    """Which gradients of a complete walk are not as they should be; empty if all are."""
    doubtful = np.flatnonzero(~history["trustworthy"])
    if doubtful.size:
        return (
            f"{doubtful.size} of {len(history)} gradients are not trustworthy, the first at step {doubtful[0]}; "
            f"leave beta to 'auto', or make it smaller"
        )
    errors = history["relative_error"]
    if missed := np.count_nonzero(~(errors <= rtol)):
        return (
            f"{missed} of {len(history)} gradients missed rtol = {rtol:g}, the worst with "
            f"{errors.max():.1e} at step {errors.argmax()}; raise rtol or max_bond, or leave beta to 'auto'"
        )
    return ""


def _summary(result: Exploration, settings: dict[str, Any], solver: Solver, trained: list[str]) -> dict[str, Any]:
    history = result.history
    best = int(history["loss"].values.argmin())
    return {
        "task": "explore",
        "trained": trained,
        "settings": settings,
        "solver": settings_of(solver),
        "converged": result.converged,
        "message": result.message,
        "steps": history.sizes["step"] - 1,
        "first_loss": float(history["loss"][0]),
        "last_loss": float(history["loss"][-1]),
        "lowest_loss": float(history["loss"][best]),
        "lowest_loss_step": best,
        "largest_relative_error": float(history["relative_error"].max()),
        "ground_states": int(history["ground_states"][-1]),
        "seconds": float(history["seconds"].sum()),
    }
