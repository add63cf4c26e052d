"""Supervised training: couplings such that measurements of ground states give the right answers.

Every sample is a set of parameters and the outputs that the ground state there should have; every step follows the
mean QEP gradient of a batch (Wanjura and Marquardt, arXiv:2406.06482, supervised learning). `qep_tn.training` takes the
steps; this file checks what is asked for, and brings several seeds together.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from qep_tn.descent.feasible_set import Bounds, Region
from qep_tn.descent.update_rules import UPDATES, Optimizer
from qep_tn.devices.device import Device
from qep_tn.devices.on_device import OnDevice, on_device, one_process
from qep_tn.gradients.checks import Scheme, check_settings
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator
from qep_tn.measurement.shots import Shots, as_shots
from qep_tn.runs.executors import in_order
from qep_tn.runs.folder import RunFolder
from qep_tn.runs.loop import carry_through
from qep_tn.runs.settings_check import fingerprint, model_settings, solver_settings
from qep_tn.runs.several import part_of_run, refuse_unsendable, side_by_side
from qep_tn.solvers.protocol import Solver, settings_of
from qep_tn.solvers.registry import default_solver
from qep_tn.tasks.answers import answers, check_outputs
from qep_tn.training.checks import check_plan
from qep_tn.training.disturbance import disturbance
from qep_tn.training.loop import Plan, Training, TrainingEnd
from qep_tn.training.penalty import SoftBound
from qep_tn.training.problem import LOSSES, LossName, Problem
from qep_tn.training.samples import Samples, Source, drawn
from qep_tn.training.schedule import Decay, value_at

logger = logging.getLogger("qep_tn")


@dataclass(frozen=True)
class Trained:
    """A training that is over, or the best of several.

    theta: all parameters after the last step; those of inputs as the first sample has them.
    history: dimension `step`, one row for every batch, the last one after the last step; of several seeds dimensions
        `seed` and `step`. The newest test's outputs have the dimension `sample`.
    ending, message: how it ended, and a sentence. best: of several seeds the one with the lowest test loss, or batch
        loss if nothing is tested.
    """

    theta: dict[str, Any]
    history: xr.Dataset
    ending: TrainingEnd
    message: str
    problem: Problem = field(repr=False)
    best: int = 0

    @property
    def converged(self) -> bool:
        """Whether it made its steps, or tests got no better."""
        return self.ending.good

    def predict(
        self, inputs: Mapping[str, ArrayLike], executor: Executor | None = None, processes: int | None = None
    ) -> NDArray:
        """The outputs' expectation values for other inputs, (n, outputs); ground states are searched cold."""
        p = self.problem
        return answers(
            p.H, self.theta, inputs, outputs=p.outputs, solver=p.solver, rtol=p.rtol, executor=executor,
            processes=processes,
        )  # fmt: skip

    def disturbance(
        self, samples: Samples, coupling: str = "coupling", executor: Executor | None = None,
        processes: int | None = None,
    ) -> xr.Dataset:  # fmt: skip
        """How much the system changes by its coupling to the sensor, see `qep_tn.training.disturbance`."""
        work = partial(in_order, executor=executor, processes=processes)
        if coupling not in self.problem.H.parameters:
            raise ValueError(f"coupling is {coupling!r}; the parameters are {', '.join(self.problem.H.parameters)}")
        start = {**self.theta, **samples.theta(0)}
        return disturbance(self.problem, self.problem.H.flatten(start), samples, coupling, work)


def train(
    H: Hamiltonian | Device,
    theta: Theta,
    samples: Samples | Source,
    *,
    outputs: Sequence[Operator],
    loss: LossName = "squared",
    train: Sequence[str] | None = None,
    optimizer: Optimizer = "adam",
    rate: float | Decay = 0.01,
    batch: int = 10,
    steps: int = 1000,
    test: Samples | None = None,
    test_every: int = 50,
    patience: int | None = None,
    penalty: SoftBound | Sequence[SoftBound] = (),
    bounds: Bounds | None = None,
    clip: float | None = None,
    shots: int | Shots | None = None,
    beta: float | Decay | Literal["auto"] = "auto",
    scheme: Scheme = "symmetric",
    solver: Solver | None = None,
    rtol: float = 1e-2,
    kept: int = 64,
    checked: float = 0.02,
    seeds: int = 1,
    spread: float = 0.0,
    seed: int = 0,
    executor: Executor | None = None,
    processes: int | None = None,
    run: RunFolder | None = None,
    progress: bool = True,
) -> Trained:
    """Train couplings of H so that the outputs of its ground states are as their targets.

    H: a Hamiltonian; or a `qt.Device`, which measures gradients and tests, one after the other in this process.
    theta: every parameter, where training starts; parameters of the inputs may be left out.
    samples: inputs and targets, taken in batches in random order; or a function of a random generator and a number
        that draws as many, see `qep_tn.Samples`.
    outputs: operators, such as projectors on outcomes of the sensor, one for each target.
    loss: of one sample. "squared", the sum over outputs of (output - target)^2; "cross-entropy", of probabilities.
    train: names of the parameters that move; all but the inputs if None.
    optimizer, rate: as in `explore_phases`, but for "l-bfgs-b"; the rate may be a `qep_tn.Decay`.
    batch, steps: samples in a batch, and how many steps are made.
    test, test_every, patience: samples to test with, every so many steps and at the end; and after how many tests in a
        row without a lower loss it stops; never if None.
    penalty, bounds: soft bounds, and the lowest and highest value of parameters by name.
    clip: largest norm of a sample's gradient, over what is trained; longer ones, as of a state with another close
        above it, count as if they were that long.
    shots: None for exact expectation values; otherwise as in `qep_tn.gradient`. Tests are exact in any case. Of a
        device a number, for tests too; by default its own.
    beta, scheme, solver, rtol: as in `qep_tn.gradient`. With beta "auto" a gradient that is not trustworthy does not
        count; one that is given, or a `qep_tn.Decay`, is the rule of the training, finite as it is.
    kept: how many ground states are kept for searches to begin with. checked: the share of samples whose ground state
        is also searched cold; the history says how many of them were lower.
    seeds, spread, seed: how many trainings, each with random numbers of its own: for batches, and for the start, theta
        plus `spread` times normal random numbers in what is trained.
    executor, processes: take the samples of a batch, or several seeds, at a time; as in `explore_phases`.
    run: where to save every step, or to go on from; several seeds have folders `seed-0`, `seed-1` and so on in it.

    Raises ValueError for settings that do not make sense, before anything is computed.
    """
    check_plan(optimizer, rate, batch, steps, test_every, patience, kept, checked, seeds, spread, clip)
    if not (isinstance(samples, Samples) or callable(samples)):
        raise ValueError(f"samples is a {type(samples).__name__}; give qt.Samples, or a function that draws them")
    like = samples if isinstance(samples, Samples) else drawn(samples, np.random.default_rng([seed, 0, 0]), batch)
    if isinstance(solver, OnDevice) or not isinstance(H, Hamiltonian):
        (H, solver), shots, kept = on_device(H, solver, shots), None, 0
        processes = one_process(processes, executor)
        if loss == "cross-entropy":
            raise ValueError("a measured probability may be zero, whose logarithm has no end; take loss 'squared'")
    measured = None if shots is None else as_shots(shots)
    if measured is not None and loss == "cross-entropy":
        raise ValueError("shots: a measured probability may be zero, whose logarithm has no end; take loss 'squared'")
    problem = _problem(H, theta, like, outputs, loss, train, measured, scheme, solver, rtol)
    first = beta if beta == "auto" else value_at(beta, 0)
    check_settings(problem.solver, rtol, first, scheme, "cheap", "cheap", measured=measured is not None)
    penalties = (penalty,) if isinstance(penalty, SoftBound) else tuple(penalty)
    for name in (p.parameter for p in penalties):
        if name not in H.parameters:
            raise ValueError(f"penalty has {name!r}, but the parameters are {', '.join(H.parameters)}")
    if test is not None:
        if not isinstance(test, Samples):
            raise ValueError(f"test is a {type(test).__name__}; give qt.Samples, or None")
        _check_samples(problem, test, "test")
    position = H.flatten(problem.theta)
    plan = Plan(
        samples=samples, like=like, update=UPDATES[optimizer], rate=rate, beta=beta, batch=batch, steps=steps,
        test=test, test_every=test_every, patience=patience, penalties=penalties,
        region=Region.around(H, position, problem.trained, bounds, ()), kept=kept, checked=checked, seed=seed,
        clip=np.inf if clip is None else clip,
    )  # fmt: skip
    settled = {name: value for name, value in problem.theta.items() if name not in like.inputs}
    made_with = {
        "task": "train", **model_settings(H, settled), "samples": samples, "outputs": list(outputs),
        "loss": loss, "train": problem.trained_names,
        "optimizer": optimizer, "rate": rate, "batch": batch, "test": test, "test_every": test_every,
        "patience": patience, "penalty": list(penalties), "bounds": {n: list(b) for n, b in (bounds or {}).items()},
        "shots": measured, "beta": beta, "scheme": scheme, "rtol": rtol, "kept": kept, "checked": checked, "clip": clip,
        "seeds": seeds, "spread": spread, "seed": seed, **solver_settings(problem.solver),
    }  # fmt: skip
    parts = [
        _Seed(problem, replace(plan, seed=seed + n), _start(plan, problem, position, spread, seed + n), made_with)
        for n in range(seeds)
    ]
    if seeds == 1:
        taken = [_trained(parts[0], partial(in_order, executor=executor, processes=processes), run, progress)]
    else:
        taken = _several(parts, run, executor, processes, progress)
    result = _together(taken)
    if run is not None:
        if seeds > 1:
            run.save(result.history, [], {"seeds": seeds, "best": result.best})
        run.write_summary(_summary(result, taken, made_with))
    return result


@dataclass(frozen=True)
class _Seed:
    """One of several trainings. folder: its own, for a run with a folder."""

    problem: Problem
    plan: Plan
    position: NDArray
    made_with: Mapping[str, Any]
    folder: Path | None = None
    config_text: str = ""


def _trained(part: _Seed, work: Any, run: RunFolder | None, progress: bool = False) -> Trained:
    """Train to the end, from the beginning or from what the run's folder holds."""
    training = Training(part.problem, part.plan, part.position, work)
    made_with = {**part.made_with, "seed": part.plan.seed}
    carry_through(training, run, made_with, "train", progress)
    history = training.dataset()
    ending, message = training.end or (TrainingEnd.STEPS_MADE, f"{training.rows - 1} steps made")
    if left_out := int(history["left_out"].sum()):
        message += f"; {left_out} gradients of samples were not trustworthy and did not count"
    if unsettled := int(np.nan_to_num(history["test_unsettled"].values[-1])):
        message += f"; {unsettled} test samples' searches did not converge"
    logger.info("%s", message)
    last = {str(n): history[n].values[-1] for n in history.attrs["trained"]}
    return Trained({**part.problem.theta, **last}, history, ending, message, part.problem)


def _several(
    parts: Sequence[_Seed], run: RunFolder | None, executor: Executor | None, processes: int | None, progress: bool
) -> list[Trained]:
    """Trainings of several seeds, in processes."""
    if run is not None:
        run.begin(fingerprint(parts[0].made_with))
        parts = [
            replace(part, folder=run.path.absolute() / f"seed-{n}", config_text=run.config_text)
            for n, part in enumerate(parts)
        ]
    if executor is None and processes != 1:
        refuse_unsendable(parts[0], "several seeds run in processes, and the samples or the solver", "seeds = 1")
    found = in_order(_trained_alone, parts, executor, processes)
    bar = tqdm(found, total=len(parts), desc="train", unit="seed", file=sys.stderr, disable=not progress, delay=0.5)
    taken = []
    for number, trained in enumerate(bar):
        logger.info("seed %d: %s", number, trained.message)
        taken.append(trained)
    return taken


def _trained_alone(part: _Seed) -> Trained:
    """One of several, in its folder and in one process."""
    work = partial(in_order, processes=1)
    if part.folder is None:
        return _trained(part, work, None)
    with part_of_run(part.folder, part.config_text) as run:
        return _trained(part, work, run)


def _together(taken: Sequence[Trained]) -> Trained:
    """Several trainings as one, with the best one's end."""
    if len(taken) == 1:
        return taken[0]
    lowest = [_last_loss(each.history) for each in taken]
    best = int(np.nanargmin(lowest))
    return replace(
        taken[best], history=side_by_side([each.history for each in taken], "seed"), best=best,
        message=f"of {len(taken)} seeds number {best} ends lowest; {taken[best].message}",
    )  # fmt: skip


def _last_loss(history: xr.Dataset) -> float:
    tested = history["test_loss"].values
    losses = tested if np.isfinite(tested).any() else history["loss"].values
    return float(losses[np.isfinite(losses)][-1])


def _start(plan: Plan, problem: Problem, position: NDArray, spread: float, seed: int) -> NDArray:
    """Where a seed's training starts."""
    start = position.copy()
    start[problem.trained] += spread * np.random.default_rng([seed, 3]).standard_normal(int(problem.trained.sum()))
    return start if plan.region is None else plan.region.project(start)


def _problem(
    H: Hamiltonian, theta: Theta, samples: Samples, outputs: Sequence[Operator], loss: LossName,
    train: Sequence[str] | None, shots: Shots | None, scheme: Scheme, solver: Solver | None, rtol: float,
) -> Problem:  # fmt: skip
    """What is trained. Raises ValueError where Hamiltonian, samples and outputs do not fit together."""
    if loss not in LOSSES:
        raise ValueError(f"loss is {loss!r}; it must be one of {', '.join(LOSSES)}")
    check_outputs(H, outputs)
    names = [n for n in H.parameters if n not in samples.inputs] if train is None else list(train)
    for name in names:
        if name not in H.parameters:
            raise ValueError(f"train has {name!r}, but the parameters are {', '.join(H.parameters)}")
        if name in samples.inputs:
            raise ValueError(f"train has {name!r}, which is an input of the samples; leave it out of one of the two")
    if not names:
        raise ValueError(f"nothing is trained; name at least one of {', '.join(H.parameters)}")
    if unknown := next((n for n in samples.inputs if n not in H.parameters), None):
        raise ValueError(f"samples have an input {unknown!r}, but the parameters are {', '.join(H.parameters)}")
    start = {**theta, **samples.theta(0)}
    H.flatten(start)
    problem = Problem(
        H, start, H.belonging_to(*names), tuple(outputs), loss, default_solver(H) if solver is None else solver, rtol,
        scheme, shots,
    )  # fmt: skip
    _check_samples(problem, samples, "samples")
    return problem


def _check_samples(problem: Problem, samples: Samples, what: str) -> None:
    if samples.targets.shape[1] != len(problem.outputs):
        raise ValueError(
            f"{what} has {samples.targets.shape[1]} targets for {len(problem.outputs)} outputs; give one for each"
        )
    for name, values in samples.inputs.items():
        if name not in problem.H.parameters:
            raise ValueError(f"{what} has an input {name!r}, but the parameters are {', '.join(problem.H.parameters)}")
        if problem.H.belonging_to(name)[problem.trained].any():
            raise ValueError(f"{what} has an input {name!r}, which is trained; leave it out of one of the two")
        wanted = problem.H.parameters[name]
        shape = (len(wanted),) if isinstance(wanted, tuple) else ()
        if values.shape[1:] != shape:
            raise ValueError(f"{what}: {name} has shape {values.shape}, which must be ({len(samples)}, *{shape})")
    if problem.loss == "cross-entropy":
        sums = samples.targets.sum(axis=1)
        wrong = np.flatnonzero((np.abs(sums - 1) > 1e-6) | (samples.targets < 0).any(axis=1))
        if wrong.size:
            raise ValueError(
                f"{what}: targets of sample {wrong[0]} are {samples.targets[wrong[0]].tolist()}; loss 'cross-entropy' "
                f"takes probabilities, which sum to one; mend them or take 'squared'"
            )


def _summary(result: Trained, taken: Sequence[Trained], made_with: Mapping[str, Any]) -> dict[str, Any]:
    history = taken[result.best].history
    tests = {
        name: float(values[np.isfinite(values)][-1]) if np.isfinite(values).any() else None
        for name in ("test_loss", "accuracy", "single_shot_accuracy")
        for values in [history[name].values]
    }
    return {
        "task": "train",
        "trained": made_with["train"],
        "settings": {
            name: made_with[name]
            for name in ("loss", "optimizer", "batch", "scheme", "rtol", "seeds", "spread", "seed", "kept", "checked")
        },
        "solver": settings_of(result.problem.solver),
        "converged": result.converged,
        "message": result.message,
        "best_seed": result.best,
        "steps": history.sizes["step"] - 1,
        "last_loss": float(history["loss"][-1]),
        **tests,
        "left_out": sum(int(t.history["left_out"].sum()) for t in taken),
        "checked": sum(int(t.history["checked"].sum()) for t in taken),
        "lower": sum(int(t.history["lower"].sum()) for t in taken),
        "ground_states": sum(int(t.history["ground_states"][-1]) for t in taken),
        "seconds": sum(float(t.history["seconds"].sum()) for t in taken),
    }
