"""Explore a phase diagram: follow the QEP gradient of an observable through parameter space.

By default every step moves theta by a fixed length along the gradient of the objective (Wanjura and Marquardt,
arXiv:2406.06482, phase exploration): theta <- theta -+ rate * g / |g|, |g| over all trained couplings together.
`qep_tn.descent` takes one walk; this file checks what is asked for, and brings several walks together.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from qep_tn.descent.feasible_set import Bounds, Region
from qep_tn.descent.loop import Ending
from qep_tn.descent.objective import Accuracy
from qep_tn.descent.update_rules import OPTIMIZERS, Optimizer
from qep_tn.descent.walk import Walk, Walked
from qep_tn.devices.device import Device
from qep_tn.devices.on_device import OnDevice, on_device, one_process
from qep_tn.gradients.checks import Scheme
from qep_tn.gradients.losses import Loss
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.runs.executors import in_order
from qep_tn.runs.folder import RunFolder
from qep_tn.runs.loop import carry_through
from qep_tn.runs.settings_check import fingerprint, model_settings, solver_settings
from qep_tn.runs.several import part_of_run, refuse_unsendable, side_by_side
from qep_tn.solvers.protocol import Solver, settings_of
from qep_tn.solvers.registry import default_solver
from qep_tn.states.ground_state import GroundState

logger = logging.getLogger("qep_tn")


@dataclass(frozen=True)
class Exploration:
    """A walk through parameter space, or several.

    history: dimension `step`, one row for every theta of the walk, the last one after the last step. Of several walks:
        dimensions `start` and `step`; past a walk's end there is NaN, and in `trustworthy` -1, elsewhere 1 or 0.
    state: the free ground state at the last row, of the best walk; by "l-bfgs-b" at its lowest row.
    ending: whether all steps were made, an optimum was reached, or why it stopped early; of the best walk.
    message: the same as a sentence, or which gradients are not as they should be, and the remedy.
    best: the walk with the lowest last loss, by "l-bfgs-b" lowest loss, as a position along `start`.
    """

    history: xr.Dataset
    state: GroundState
    ending: Ending
    message: str
    best: int = 0

    @property
    def converged(self) -> bool:
        """Whether all steps were made ("l-bfgs-b" must converge) or an optimum was reached, along gradients that all
        are trustworthy and met `rtol`.
        """
        return self.ending.good


def explore_phases(
    H: Hamiltonian | Device,
    theta: Theta,
    objective: Loss,
    *,
    direction: Literal["maximize", "minimize"] = "maximize",
    train: Sequence[str] | None = None,
    steps: int = 40,
    rate: float = 0.1,
    optimizer: Optimizer = "normalized",
    bounds: Bounds | None = None,
    constraints: Sequence[str] = (),
    starts: int = 1,
    spread: float = 0.5,
    seed: int = 0,
    processes: int | None = None,
    executor: Executor | None = None,
    solver: Solver | None = None,
    rtol: float = 1e-2,
    beta: float | Literal["auto"] = "auto",
    scheme: Scheme = "symmetric",
    start: GroundState | None = None,
    shots: int | None = None,
    run: RunFolder | None = None,
    progress: bool = True,
) -> Exploration:
    """Walk from theta along the gradient of the objective, and if asked for from other starts as well.

    H: a Hamiltonian; or a `qt.Device`, whose gradients are measured: then rtol says nothing, no gradient stops the
        walk, and walks go one after the other in this process.
    objective: what to maximize or minimize; the recorded loss is -objective or objective.
    train: names of the parameters that move; all of them if None.
    steps: number of steps; "l-bfgs-b" evaluates the gradient at most `steps` times after the first.
    optimizer, rate: "normalized" makes steps of length `rate`, in units of energy; "plain" of `rate` times the
        gradient; "adam" and "adamax" of about `rate` in every coupling; "l-bfgs-b" has no rate.
    bounds: parameter name -> (lowest, highest), for each of its couplings.
    constraints: linear equations and inequalities of scalar parameters, such as "g_x + g_zz = 4" and "g_x >= g_zz".
        The walk goes to the nearest point that they allow; "l-bfgs-b" takes none that tie parameters together.
    starts, spread, seed: how many walks. The first starts at theta, the others at theta plus `spread` times normal
        random numbers from `seed`, moved to where bounds and constraints allow.
    processes: how many walks go on at a time, each on one core; one for each core if None.
    executor: takes the walks instead, see `qep_tn.gradients`; its workers need the run's files under the same names.
    solver, rtol, beta, scheme: as in `qep_tn.gradient`.
    start: where the search for the first ground state begins; later ones begin from the step before.
    shots: of a device, for every circuit; by default its own.
    run: where to save every step, or to go on from; without it nothing is written. Several walks have folders
        `start-0`, `start-1` and so on in it.

    With beta "auto" it stops where a gradient is not trustworthy or cannot be told from zero. A nudge strength that is
    given is taken as the rule of the walk, finite as it is: then it goes on, and only records `trustworthy`.
    Raises ValueError if settings do not make sense, or if theta does not meet bounds and constraints.
    """
    _check_starts(starts, spread)
    H, solver = on_device(H, solver, shots)
    if isinstance(solver, OnDevice):
        processes = one_process(processes, executor)
    walk = plan_walk(
        H, theta, objective, direction=direction, train=train, steps=steps, rate=rate, optimizer=optimizer,
        bounds=bounds, constraints=constraints, solver=solver, rtol=rtol, beta=beta, scheme=scheme, start=start,
    )  # fmt: skip
    settings: dict[str, Any] = {
        "direction": direction, "rate": rate, "optimizer": optimizer, "rtol": rtol, "beta": beta, "scheme": scheme,
        "bounds": {name: list(limits) for name, limits in sorted((bounds or {}).items())},
        "constraints": list(constraints),
    }  # fmt: skip
    names = [n for n in H.parameters if train is None or n in train]
    solver = walk.accuracy.solver
    made_with = {
        "task": "explore", **model_settings(H, theta), "objective": objective, "train": names, **settings,
        "starts": starts, "spread": spread, "seed": seed, "start": start, **solver_settings(solver),
    }  # fmt: skip
    if starts == 1:
        walked = [_follow(walk, run, made_with, progress)]
        result = Exploration(walked[0].history, walked[0].state, walked[0].ending, walked[0].message)
    else:
        if run is not None:
            run.begin(fingerprint(made_with))
        settings |= {"starts": starts, "spread": spread, "seed": seed}
        walked = _several(walk, _positions(walk, starts, spread, seed), run, made_with, processes, executor, progress)
        result = _together(walked)
    if run is not None:
        if starts > 1:
            run.save(result.history, [result.state], {"starts": starts, "best": result.best})
        run.write_summary(_summary(result, walked, settings, solver, names))
    return result


def plan_walk(
    H: Hamiltonian,
    theta: Theta,
    objective: Loss,
    *,
    direction: Literal["maximize", "minimize"] = "maximize",
    train: Sequence[str] | None = None,
    steps: int = 40,
    rate: float = 0.1,
    optimizer: Optimizer = "normalized",
    bounds: Bounds | None = None,
    constraints: Sequence[str] = (),
    solver: Solver | None = None,
    rtol: float = 1e-2,
    beta: float | Literal["auto"] = "auto",
    scheme: Scheme = "symmetric",
    start: GroundState | None = None,
) -> Walk:
    """The walk that settings, as in `explore_phases`, describe. Raises ValueError if they do not make sense."""
    trained = _trained(H, train)
    _check(direction, steps, rate, optimizer)
    position = H.flatten(theta)
    region = Region.around(H, position, trained, bounds, constraints)
    if region is not None and optimizer == "l-bfgs-b" and len(region.rows):
        raise ValueError("optimizer 'l-bfgs-b' takes bounds but no linear constraints; use 'adam' or 'normalized'")
    return Walk(
        H, position, trained, -objective if direction == "maximize" else objective, steps, rate, optimizer, region,
        Accuracy(default_solver(H) if solver is None else solver, rtol, beta, scheme), start,
    )  # fmt: skip


def _trained(H: Hamiltonian, train: Sequence[str] | None) -> NDArray:
    """Mask over all couplings: those that move."""
    names = tuple(H.parameters) if train is None else tuple(train)
    if unknown := [name for name in names if name not in H.parameters]:
        raise ValueError(f"train has {unknown[0]!r}, but the parameters are {', '.join(H.parameters)}")
    if not names:
        raise ValueError(f"train is empty; name at least one of {', '.join(H.parameters)}")
    return H.belonging_to(*names)


def _follow(walk: Walk, run: RunFolder | None, made_with: Mapping[str, Any], progress: bool = False) -> Walked:
    """Walk to the end, from the beginning or from what the run's folder holds."""
    descent = walk.descent()
    carry_through(descent, run, made_with, "explore", progress)
    walked = walk.outcome(descent)
    logger.info("%s", walked.message)
    return walked


def _check(direction: str, steps: int, rate: float, optimizer: str) -> None:
    if direction not in ("maximize", "minimize"):
        raise ValueError(f"direction is {direction!r}; it must be 'maximize' or 'minimize'")
    if steps < 0:
        raise ValueError(f"steps is {steps}; it must not be negative")
    if not 0 < rate < np.inf:
        raise ValueError(f"rate is {rate}; the length of a step must be positive and finite")
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer is {optimizer!r}; it must be one of {', '.join(OPTIMIZERS)}")


def _check_starts(starts: int, spread: float) -> None:
    if starts < 1:
        raise ValueError(f"starts is {starts}; it must be at least 1")
    if not 0 < spread < np.inf:
        raise ValueError(f"spread is {spread}; the distance between starts must be positive and finite")


def _positions(walk: Walk, starts: int, spread: float, seed: int) -> list[NDArray]:
    """Where the walks start: at the walk's own position, and around it. The first ones are the same for any number."""
    positions = [walk.position]
    for number in range(1, starts):
        position = walk.position.copy()
        rng = np.random.default_rng([seed, number])
        position[walk.trained] += spread * rng.standard_normal(np.count_nonzero(walk.trained))
        positions.append(position if walk.region is None else walk.region.project(position))
    return positions


@dataclass(frozen=True)
class _Start:
    """One of several walks.

    folder: its own folder, for a run with a folder. config_text, made_with: its configuration and settings, as if it
        were a run by itself.
    """

    walk: Walk
    folder: Path | None
    config_text: str
    made_with: Mapping[str, Any]


def _several(
    walk: Walk, positions: Sequence[NDArray], run: RunFolder | None, made_with: Mapping[str, Any],
    processes: int | None, executor: Executor | None, progress: bool,
) -> list[Walked]:  # fmt: skip
    """The walks from several positions, in processes."""
    text = "" if run is None else run.config_text
    tasks = [
        _Start(
            replace(walk, position=position),
            None if run is None else run.path.absolute() / f"start-{number}",
            text,
            {**made_with, "starts": 1, "theta": walk.H.unflatten(position)},
        )
        for number, position in enumerate(positions)
    ]
    if executor is None and processes != 1:
        refuse_unsendable(tasks[0], "several starts run in processes, and the objective or the solver", "starts = 1")
    walks = in_order(_walk_from, tasks, executor, processes)
    walked = []
    for number, done in enumerate(tqdm(
        walks, total=len(tasks), desc="explore", unit="walk", file=sys.stderr, disable=not progress, delay=0.5
    )):  # fmt: skip
        logger.info("start %d: %s", number, done.message)
        walked.append(done)
    return walked


def _walk_from(task: _Start) -> Walked:
    """One of several walks, in its folder. Goes on from what the folder holds."""
    if task.folder is None:
        return _follow(task.walk, None, task.made_with)
    with part_of_run(task.folder, task.config_text) as run:
        return _follow(task.walk, run, task.made_with)


def _together(walked: Sequence[Walked]) -> Exploration:
    """Several walks as one, with the best one's end."""
    last = [float(w.history["loss"][w.end]) for w in walked]
    best = int(np.argmin(last))
    whole = sum(w.converged for w in walked)
    message = f"of {len(walked)} walks start-{best} has the lowest loss, {whole} converged; {walked[best].message}"
    logger.info("%s", message)
    history = side_by_side([w.history for w in walked], "start")
    return Exploration(history, walked[best].state, walked[best].ending, message, best)


def _summary(
    result: Exploration, walked: Sequence[Walked], settings: dict[str, Any], solver: Solver, trained: list[str]
) -> dict[str, Any]:
    history = walked[result.best].history
    lowest = int(history["loss"].values.argmin())
    summary: dict[str, Any] = {
        "task": "explore",
        "trained": trained,
        "settings": settings,
        "solver": settings_of(solver),
        "converged": result.converged,
        "message": result.message,
        "steps": history.sizes["step"] - 1,
        "first_loss": float(history["loss"][0]),
        "last_loss": float(history["loss"][walked[result.best].end]),
        "lowest_loss": float(history["loss"][lowest]),
        "lowest_loss_step": lowest,
        "largest_relative_error": float(history["relative_error"].max()),
        "ground_states": sum(int(w.history["ground_states"][-1]) for w in walked),
        "seconds": sum(float(w.history["seconds"].sum()) for w in walked),
    }
    if len(walked) > 1:
        summary["best_start"] = result.best
        summary["walks"] = [
            {"last_loss": float(w.history["loss"][w.end]), "converged": w.converged, "message": w.message}
            for w in walked
        ]
    return summary
