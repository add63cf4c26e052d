"""Training, batch by batch: gradients of samples, their mean, a step; now and then a test.

What a step does depends on nothing but its number, the position, what the optimizer remembers and the ground states
that are kept; so a training that was saved at any step goes on to the same end, by any number of workers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qep_tn.descent.feasible_set import Region
from qep_tn.descent.table import Column, Table, refuse_taken_names
from qep_tn.descent.update_rules import Memory, Update
from qep_tn.hamiltonians.sites import Sites
from qep_tn.runs.executors import Shared
from qep_tn.runs.interrupts import interrupts_deferred
from qep_tn.states.ground_state import GroundState
from qep_tn.training.penalty import SoftBound
from qep_tn.training.problem import (
    Answer,
    AnswerWork,
    Problem,
    SampleGradient,
    SampleWork,
    answer,
    sample_gradient,
)
from qep_tn.training.samples import TARGET, Samples, Source, drawn
from qep_tn.training.schedule import Decay, value_at
from qep_tn.training.scores import Scores, accuracy, single_shot_accuracy
from qep_tn.training.warm_starts import WarmStarts

logger = logging.getLogger("qep_tn")

# function, arguments -> results, in their order: here, in processes, or by an executor
InOrder = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]

_MEMORY, _WARM, _OUTPUT = "optimizer_", "warm_values", "test_outputs"  # names in state.h5
_TESTED = ("test_loss", "test_unsettled", "accuracy", "single_shot_accuracy")
_HOPELESS = 10  # batches in a row without a gradient that counts
_CHECKS, _SHOTS = 1, 2  # streams of random numbers beside that of the batches, 0

_FIGURES = {
    "loss": Column("mean loss of the batch, with the penalty", "1"),
    "penalty": Column("penalty", "1"),
    "batch_accuracy": Column("how often the largest output is right, in the batch", "1"),
    "test_loss": Column("mean loss of the test samples, NaN where there was no test", "1"),
    "test_unsettled": Column("test samples whose ground state's search did not converge", "1"),
    "accuracy": Column("how often the largest output is right, of the test samples", "1"),
    "single_shot_accuracy": Column("mean probability of the right outcome, of the test samples", "1"),
    "gradient_norm": Column("norm of the loss gradient over the trained parameters", "energy^-1"),
    "relative_error": Column("largest estimated relative error of a sample's gradient", "1"),
    "left_out": Column("samples whose gradient is not trustworthy, and does not count", "1"),
    "clipped": Column("samples whose gradient is longer than counts", "1"),
    "warm": Column("samples whose ground state was searched from one that was kept", "1"),
    "checked": Column("samples that were also searched cold", "1"),
    "lower": Column("samples where the cold search found a lower state", "1"),
    "deviation": Column("largest relative deviation from the gradient of a cold search", "1"),
    "rate": Column("rate of the step", "1"),
    "beta": Column("largest nudge strength", "energy"),
    "max_bond": Column("largest bond dimension of the free states, 0 where they are not MPS", "1"),
    "ground_states": Column("ground states solved for so far", "1"),
    "seconds": Column("wall time of the step", "s"),
}


class TrainingEnd(Enum):
    """How a training ended."""

    STEPS_MADE = "all steps were made"
    NO_BETTER = "tests got no better"
    UNTRUSTED = "no gradient of many batches in a row is trustworthy"

    @property
    def good(self) -> bool:
        """Whether it did what it was asked for."""
        return self is not TrainingEnd.UNTRUSTED


@dataclass(frozen=True)
class Plan:
    """How a training goes; see `qep_tn.train` for what its settings mean.

    samples: all of them, or where they are drawn. like: some of them, which say what all must have.
    region: where the position may go; None is everywhere.
    """

    samples: Samples | Source
    like: Samples
    update: Update
    rate: float | Decay
    beta: float | Decay | Literal["auto"]
    batch: int
    steps: int
    test: Samples | None
    test_every: int
    patience: int | None
    penalties: tuple[SoftBound, ...]
    region: Region | None
    kept: int
    checked: float
    seed: int
    clip: float = np.inf

    def batch_of(self, step: int) -> Samples:
        """The samples of a step: drawn, or the next ones of all in random order, each once in an epoch."""
        if not isinstance(self.samples, Samples):
            return drawn(self.samples, np.random.default_rng([self.seed, 0, step]), self.batch, self.like)
        count = len(self.samples)
        places = range(step * self.batch, (step + 1) * self.batch)
        orders = {
            epoch: np.random.default_rng([self.seed, 0, epoch]).permutation(count)
            for epoch in range(places[0] // count, places[-1] // count + 1)
        }
        return self.samples[np.array([orders[place // count][place % count] for place in places])]

    def beta_at(self, step: int) -> float | Literal["auto"]:
        """The nudge strength of a step."""
        return "auto" if self.beta == "auto" else value_at(self.beta, step)


class Training:
    """A training on its way; a `qep_tn.runs.loop.Stepwise` task. Row n holds the position before step n."""

    unit = "batch"

    def __init__(self, problem: Problem, plan: Plan, position: NDArray, in_order: InOrder) -> None:
        self.problem, self.plan, self.position, self._in_order = problem, plan, position, in_order
        self.memory, self.warm = Memory(), WarmStarts(plan.kept)
        self.table = Table(columns(problem), {"task": "train", "trained": problem.trained_names})
        self.end: tuple[TrainingEnd, str] | None = None
        self.outputs: NDArray | None = None
        self._shared = Shared(problem)

    @property
    def sites(self) -> Sites:
        """Of all ground states."""
        return self.problem.H.sites

    @property
    def rows(self) -> int:
        """How many batches are done."""
        return len(self.table)

    @property
    def total(self) -> int:
        """How many there will be at most."""
        return self.plan.steps + 1

    def advance(self) -> bool:
        """A batch, a test if it is time for one, and the step."""
        if self.rows > self.plan.steps or self.end is not None:
            return False
        began, step, H = time.perf_counter(), self.rows, self.problem.H
        batch = self.plan.batch_of(step)
        found, starts = self._gradients(batch, step)
        counted = [g for g in found if g.trustworthy or self.plan.beta != "auto"]
        slopes = np.array([g.slope for g in counted]).reshape(-1, len(H.couplings)) * self.problem.trained
        lengths = np.linalg.norm(slopes, axis=1)
        shortened = slopes * (np.minimum(1, self.plan.clip / np.maximum(lengths, 1e-300)))[:, None]
        mean = shortened.mean(axis=0) if counted else np.zeros(len(H.couplings))
        bounds = [penalty.value_and_slope(H, self.position) for penalty in self.plan.penalties]
        slope = np.where(self.problem.trained, mean + sum(s for _, s in bounds), 0.0)
        scores, outputs = self._tested(step)
        rate = value_at(self.plan.rate, step)
        row = self._row(found, counted, batch, slope, float(sum(value for value, _ in bounds)), scores) | {
            "rate": rate, "warm": sum(start is not None for start in starts),
            "clipped": int((lengths > self.plan.clip).sum()),
        }  # fmt: skip
        there, memory = self._moved(slope, rate) if counted else (self.position, self.memory)
        with interrupts_deferred():  # a step counts whole, or not at all
            self.table.add(row, time.perf_counter() - began)
            self.position, self.memory = there, memory
            self.outputs = self.outputs if outputs is None else outputs
            self._keep(found, starts)
            self.end = self._ended(found)
            logger.info("step %d: loss %.6g%s", step, row["loss"], "" if scores is None else f", test {scores}")
        return True

    def _gradients(self, batch: Samples, step: int) -> tuple[list[SampleGradient], list[int | None]]:
        """The gradient of every sample, and which ground state that is kept it began with."""
        H, beta = self.problem.H, self.plan.beta_at(step)
        checked = np.random.default_rng([self.plan.seed, _CHECKS, step]).random(len(batch)) < self.plan.checked
        thetas = [self.problem.at(self.position, batch.theta(n)) for n in range(len(batch))]
        starts = [self.warm.nearest(H.coefficients(theta)) for theta in thetas]
        work = [
            SampleWork(
                self._shared, theta, batch.targets[n], None if start is None else self.warm.states[start],
                bool(checked[n]), beta, (self.plan.seed, _SHOTS, step, n),
            )
            for n, (theta, start) in enumerate(zip(thetas, starts, strict=True))
        ]  # fmt: skip
        return list(self._in_order(sample_gradient, work)), starts

    def _moved(self, slope: NDArray, rate: float) -> tuple[NDArray, Memory]:
        if not slope.any():
            return self.position, self.memory
        there, memory = self.plan.update(self.position, slope, rate, self.memory)
        there = np.where(self.problem.trained, there, self.position)
        return there if self.plan.region is None else self.plan.region.project(there), memory

    def _keep(self, found: Sequence[SampleGradient], starts: Sequence[int | None]) -> None:
        """The ground states as starts for later, without those that led to states that are not the lowest."""
        self.warm.drop({s for s, g in zip(starts, found, strict=True) if s is not None and g.lower})
        good = [g for g in found if g.trustworthy]
        self.warm.add([g.free for g in good], [g.values for g in good])

    def _tested(self, step: int) -> tuple[Scores | None, NDArray | None]:
        """Scores and outputs of the test samples, every so many steps and at the last one."""
        test, last = self.plan.test, step == self.plan.steps
        if test is None or (step % self.plan.test_every and not last):
            return None, None
        return scored(self.problem, test, self._answers(test))

    def _answers(self, samples: Samples) -> list[Answer]:
        work = [AnswerWork(self._shared, self.problem.at(self.position, samples.theta(n))) for n in range(len(samples))]
        return list(self._in_order(answer, work))

    def _row(
        self, found: Sequence[SampleGradient], counted: Sequence[SampleGradient], batch: Samples, slope: NDArray,
        penalty: float, scores: Scores | None,
    ) -> dict[str, Any]:  # fmt: skip
        H = self.problem.H
        names, values, slopes = self.problem.trained_names, H.unflatten(self.position), H.unflatten(slope)
        deviations = [g.deviation for g in found if np.isfinite(g.deviation)]
        tested = Scores(*[np.nan] * len(Scores._fields)) if scores is None else scores
        return {
            **{name: values[name] for name in names},
            **{f"gradient_{name}": slopes[name] for name in names},
            "loss": float(np.mean([g.loss for g in found])) + penalty,
            "penalty": penalty,
            "batch_accuracy": accuracy(np.array([g.outputs for g in found]), batch.targets),
            "test_loss": tested.loss,
            "test_unsettled": tested.unsettled,
            "accuracy": tested.accuracy,
            "single_shot_accuracy": tested.single_shot_accuracy,
            "gradient_norm": float(np.linalg.norm(slope)),
            "relative_error": max(g.relative_error for g in found),
            "left_out": len(found) - len(counted),
            "checked": len(deviations),
            "lower": sum(g.lower for g in found),
            "deviation": max(deviations, default=np.nan),
            "beta": max(g.beta for g in found),
            "max_bond": max(g.max_bond for g in found),
            "ground_states": sum(g.ground_states for g in found),
        }

    def _ended(self, found: Sequence[SampleGradient]) -> tuple[TrainingEnd, str] | None:
        step, patience = self.rows - 1, self.plan.patience
        newest = (self.table.row(-n)["left_out"] for n in range(1, _HOPELESS + 1))
        if self.rows >= _HOPELESS and all(left_out == self.plan.batch for left_out in newest):
            reason = f"no gradient of {_HOPELESS} batches in a row is trustworthy: {found[0].message}"
            return TrainingEnd.UNTRUSTED, f"stopped at step {step}, {reason}"
        if patience is not None and self.plan.test is not None and step % self.plan.test_every == 0:
            losses = self.table["test_loss"][:: self.plan.test_every]  # without the one at the end, which may move
            if len(losses) - 1 - int(np.argmin(losses)) >= patience:
                return TrainingEnd.NO_BETTER, f"stopped at step {step}, {patience} tests in a row were no better"
        return None

    def figures(self) -> dict[str, str]:
        """The last row's loss, and the newest accuracy."""
        shown = {"loss": f"{self.table.row(-1)['loss']:.4g}"}
        rows = (self.table.row(-n) for n in range(1, self.rows + 1))
        newest = next((row for row in rows if np.isfinite(row["test_loss"])), None) if self.plan.test else None
        if newest is None:
            return shown
        accuracy = newest["accuracy"]
        return shown | {"test": f"{newest['test_loss']:.4g}" if np.isnan(accuracy) else f"{accuracy:.3f} right"}

    def dataset(self) -> xr.Dataset:
        """All rows, the test samples and what the newest test's outputs were."""
        data, test = self.table.dataset(), self.plan.test
        data.attrs |= {
            "outputs": [str(o) for o in self.problem.outputs],
            **{f"operators_{name}": _operators(self.problem, name) for name in self.problem.trained_names},
        }
        if test is None or self.outputs is None:
            return data
        for name, values in test.inputs.items():
            dims = ("sample", f"{name}_coupling")[: values.ndim]
            data[f"test_{name}"] = dims, values, {"long_name": f"{name} of the test samples", "units": "energy"}
        data["test_target"] = ("sample", "output"), test.targets, {"long_name": "targets", "units": "1"}
        data["test_output"] = ("sample", "output"), self.outputs, {"long_name": "newest test's outputs", "units": "1"}
        return data

    def snapshot(self) -> tuple[Sequence[GroundState], dict[str, Any]]:
        """The ground states that are kept; and position, memory and ending."""
        ending, message = ("", "") if self.end is None else (self.end[0].name, self.end[1])
        extra: dict[str, Any] = {
            "step": self.rows, "training_position": self.position, "ending": ending, "message": message,
            _WARM: self.warm.values, **self.problem.solver.memory(),
        }  # fmt: skip
        if self.outputs is not None:
            extra[_OUTPUT] = self.outputs
        return self.warm.states, extra | {f"{_MEMORY}{name}": array for name, array in self.memory.items()}

    def restore(self, states: Sequence[GroundState], extra: Mapping[str, Any], run: Any) -> None:
        """Go back to a snapshot. Raises ValueError if it has more steps than there shall be."""
        rows = int(extra["step"])
        if rows - 1 > self.plan.steps:
            raise ValueError(
                f"{run.path} has {rows - 1} steps, which stay, and steps is {self.plan.steps}; give {rows - 1} or "
                f"more, or another folder with --out"
            )
        self.position = np.asarray(extra["training_position"])
        self.warm.add(states, np.asarray(extra[_WARM]))
        self.outputs = np.asarray(extra[_OUTPUT]) if _OUTPUT in extra else None
        self.end = (TrainingEnd[extra["ending"]], extra["message"]) if extra["ending"] else None
        self.problem.solver.remember(extra)
        self.memory = {n.removeprefix(_MEMORY): np.asarray(a) for n, a in extra.items() if n.startswith(_MEMORY)}
        recorded = run.load_history(rows)
        self.table.fill(recorded[[name for name in recorded.data_vars if "step" in recorded[name].dims]])
        if (rows - 1) % self.plan.test_every and rows - 1 < self.plan.steps:  # it was the end, where there is a test
            self.table.row(-1).update(dict.fromkeys(_TESTED, np.nan))


def columns(problem: Problem) -> dict[str, Column]:
    """Of a training's table. Raises ValueError for a parameter whose name is taken."""
    H = problem.H
    taken = {"start", "seed", "step", "sample", "output", f"{TARGET}0", "test_target", "test_output", *_FIGURES}
    refuse_taken_names(H, taken | {f"{before}_{name}" for name in H.parameters for before in ("gradient", "test")})
    found = {}
    for name in problem.trained_names:
        coupling = f"{name}_coupling" if isinstance(H.parameters[name], tuple) else ""
        found[name] = Column(f"parameter {name} before the step", "energy", coupling)
        found[f"gradient_{name}"] = Column(f"derivative of the loss by {name}", "energy^-1", coupling)
    return found | _FIGURES


def scored(problem: Problem, samples: Samples, answers: Sequence[Answer]) -> tuple[Scores, NDArray]:
    """Scores of answers, and their outputs, (samples, outputs)."""
    outputs = np.array([a.outputs for a in answers])
    losses = [problem.loss_for(t).value(o) for t, o in zip(samples.targets, outputs, strict=True)]
    right = accuracy(outputs, samples.targets), single_shot_accuracy(outputs, samples.targets)
    return Scores(float(np.mean(losses)), sum(not a.converged for a in answers), *right), outputs


def _operators(problem: Problem, name: str) -> list[str]:
    value = problem.H.parameters[name]
    return [str(a) for a in (value if isinstance(value, tuple) else (value,))]
