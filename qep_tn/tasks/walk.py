"""One walk through parameter space along the QEP gradient, saved at every step.

The gradient methods move from the newest row of the history by an update rule (`qep_tn.optimizers`), and then to the
nearest point that bounds and constraints allow; what they follow is the slope without its part that leads out of them.
L-BFGS-B chooses its points by itself, and every one that it evaluates is a row. It has no state to save: a resumed run
gives it the recorded rows again, without new ground states, until it asks for a new point.
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import minimize
from tqdm import tqdm

from qep_tn.hamiltonian import Hamiltonian
from qep_tn.history import History, flattened
from qep_tn.losses import Loss
from qep_tn.optimizers import UPDATES, Memory, Optimizer
from qep_tn.propagation import Gradient, Scheme, gradient
from qep_tn.region import Region
from qep_tn.results import RunFolder
from qep_tn.solvers.protocol import GroundState, Solver
from qep_tn.state_file import as_saved

logger = logging.getLogger("qep_tn")

_NO_DIRECTION = 1e-12  # of the slope that the constraints leave, relative to all of it: rounding
_MEMORY = "optimizer_"  # before the names of the optimizer's arrays in state.h5


@dataclass(frozen=True)
class Walk:
    """What a walk follows, and how: settings that are known to make sense.

    position: (couplings,) where it starts. trained: mask over couplings, those that move.
    loss: what falls along the walk. region: where it may go; None is everywhere.
    start: where the search for the first ground state begins. The rest is as in `qep_tn.explore_phases`.
    """

    H: Hamiltonian
    position: NDArray
    trained: NDArray
    loss: Loss
    steps: int
    rate: float
    optimizer: Optimizer
    region: Region | None
    solver: Solver
    rtol: float
    beta: float | Literal["auto"]
    scheme: Scheme
    start: GroundState | None


@dataclass(frozen=True)
class Walked:
    """A walk that is over.

    history: dimension `step`. state: the free ground state at the last row.
    converged, message: as in `qep_tn.Exploration`.
    """

    history: xr.Dataset
    state: GroundState
    converged: bool
    message: str


@dataclass(frozen=True)
class _Point:
    """The loss and its slope at a position.

    slope: (couplings,), zero where not trained. downhill: the slope without the part that leads out of the region.
    stopped: why no step can be made from here; empty if one can. optimum: whether that is because it is an optimum.
    """

    gradient: Gradient
    slope: NDArray
    downhill: NDArray
    stopped: str
    optimum: bool


class _StopError(Exception):
    """L-BFGS-B is to evaluate nothing more."""


def follow(walk: Walk, run: RunFolder | None = None, progress: bool = False) -> Walked:
    """Walk to the end, from the beginning or from what the run's folder holds.

    Raises ValueError if the folder holds something else, or if the solver refuses the Hamiltonian.
    """
    record = _Record(walk, run)
    with tqdm(
        total=walk.steps + 1,
        initial=len(record.history),
        desc="explore",
        unit="point",
        file=sys.stderr,
        disable=not progress,
        delay=0.5,  # a model that the solver refuses is refused before
    ) as bar:
        record.bar = bar
        if walk.optimizer == "l-bfgs-b":
            _minimize(walk, record)
        else:
            _descend(walk, record)
    assert record.state is not None
    whole = record.optimum or not record.stopped
    complaint = _complaint(record.history, walk.rtol) if whole else ""
    message = "; ".join(filter(None, (record.stopped, complaint))) or _done(walk, len(record.history))
    logger.info("%s", message)
    return Walked(record.history.dataset(), record.state, whole and not complaint, message)


def _descend(walk: Walk, record: _Record) -> None:
    """By a gradient method, until all steps are made or none can be."""
    update = UPDATES[walk.optimizer]
    while len(record.history) <= walk.steps and not record.stopped:
        began = time.perf_counter()
        here, memory = record.position, record.memory
        point = _evaluate(walk, record, here)
        if not point.stopped:
            there, memory = update(here, point.downhill, walk.rate, memory)
            record.position = there if walk.region is None else walk.region.project(there)
        record.memory = memory
        record.add(here, point, time.perf_counter() - began)


def _minimize(walk: Walk, record: _Record) -> None:
    """By SciPy's L-BFGS-B over the trained couplings, until it ends, all evaluations are made or none can be."""
    if record.stopped:
        return
    trained, rows = walk.trained, record.rows()

    def loss_and_slope(values: NDArray) -> tuple[float, NDArray]:
        here = walk.position.copy()
        here[trained] = values
        if (recorded := next(rows, None)) is not None:
            theta, loss, slope = recorded
            if not np.array_equal(theta, here):
                raise ValueError("l-bfgs-b does not come by the recorded points again; start another run with --out")
            return loss, slope[trained]
        if len(record.history) > walk.steps:
            raise _StopError
        began = time.perf_counter()
        point = _evaluate(walk, record, here)
        record.position = here
        record.add(here, point, time.perf_counter() - began)
        if record.stopped:
            raise _StopError
        return point.gradient.value, point.slope[trained]

    region = walk.region
    bounds = None if region is None else list(zip(region.lower[trained], region.upper[trained], strict=True))
    unlimited = 10 * walk.steps + 100  # the number of rows ends it
    try:
        result = minimize(
            loss_and_slope, walk.position[trained], jac=True, method="L-BFGS-B", bounds=bounds,
            options={"maxfun": unlimited, "maxiter": unlimited},
        )  # fmt: skip
    except _StopError:
        return
    said = " ".join(str(result.message).split()).rstrip(": ").lower()
    if result.success:
        record.stopped, record.optimum = f"l-bfgs-b converged after {len(record.history)} evaluations: {said}", True
    else:
        record.stopped = f"l-bfgs-b stopped after {len(record.history)} evaluations: {said}; lower rtol, or take 'adam'"


class _Record:
    """The rows of a walk so far, and what its next step uses; saved with every row."""

    def __init__(self, walk: Walk, run: RunFolder | None) -> None:
        self.walk, self.run = walk, run
        self.history, self.state, self.position = History(walk.H), walk.start, walk.position
        self.memory: Memory = {}
        self.stopped, self.optimum = "", False
        self.bar: Any = None
        if run is not None and (saved := run.load_states(walk.H.sites)) is not None:
            self._restore(run, *saved)

    def add(self, here: NDArray, point: _Point, seconds: float) -> None:
        """Record the point at `here`, after the position was moved on from it."""
        g = point.gradient
        self.stopped, self.optimum = point.stopped, point.optimum
        self.history.add(self.walk.H.unflatten(here), g, self.walk.trained, seconds)
        if self.run is not None:
            self.run.save(self.history.dataset(), [g.free if self.state is None else self.state], self._extra())
        logger.info("point %d: loss %.8g, relative error %.1e", len(self.history) - 1, g.value, g.relative_error)
        self.bar.set_postfix(loss=f"{g.value:.6g}", relative_error=f"{g.relative_error:.0e}", refresh=False)
        self.bar.update()

    def rows(self) -> Any:
        """Theta, loss and slope of every row there is now, one after the other."""
        history, H = self.history, self.walk.H
        for row in range(len(history)):
            theta, slope = (
                flattened(H, {name: history[f"{prefix}{name}"][row] for name in H.parameters})
                for prefix in ("", "gradient_")
            )
            yield theta, float(history["loss"][row]), np.where(self.walk.trained, slope, 0.0)

    def _extra(self) -> dict[str, Any]:
        figures = {"step": len(self.history), "theta": self.position, "stopped": self.stopped, "optimum": self.optimum}
        memory = {f"{_MEMORY}{name}": array for name, array in self.memory.items()}
        return {**figures, "optimizer": self.walk.optimizer, **memory}

    def _restore(self, run: RunFolder, states: tuple[GroundState, ...], extra: dict[str, Any]) -> None:
        memory = {name: array for name, array in extra.items() if name.startswith(_MEMORY)}
        if (
            extra.keys() - memory.keys() != {"step", "theta", "stopped", "optimum", "optimizer"}
            or np.shape(extra["theta"]) != self.position.shape
        ):
            raise ValueError(f"{run.path} holds no walk of this model to resume; choose another folder with --out")
        if extra["optimizer"] != self.walk.optimizer:
            raise ValueError(
                f"{run.path} holds a walk by {extra['optimizer']!r}, not by {self.walk.optimizer!r}; "
                f"restore the optimizer, or choose another folder with --out"
            )
        (self.state,) = states
        self.position, self.stopped, self.optimum = extra["theta"], extra["stopped"], bool(extra["optimum"])
        self.memory = {name.removeprefix(_MEMORY): np.asarray(array) for name, array in memory.items()}
        self.history = History(self.walk.H, run.load_history(int(extra["step"])))


def _evaluate(walk: Walk, record: _Record, position: NDArray) -> _Point:
    """The gradient at a position, from the record's newest state, which it replaces."""
    H = walk.H
    g = gradient(
        H, H.unflatten(position), walk.loss, solver=walk.solver, rtol=walk.rtol, beta=walk.beta, scheme=walk.scheme,
        start=record.state,
    )  # fmt: skip
    record.state = as_saved(g.free)
    slope, error = (np.where(walk.trained, flattened(H, values), 0.0) for values in (g.gradient, g.error))
    downhill = slope if walk.region is None else -walk.region.tangent(position, -slope)
    step, noise = len(record.history), float(np.linalg.norm(error))
    stopped = _reason_to_stop(g, slope, downhill, noise, step, walk.beta)
    if not stopped and np.linalg.norm(downhill) <= _NO_DIRECTION * np.linalg.norm(slope):
        assert walk.region is not None
        corner = walk.region.touched(position)
        return _Point(g, slope, downhill, f"at step {step}, no direction that the constraints leave lowers the loss "
                      f"further: {corner}", True)  # fmt: skip
    return _Point(g, slope, downhill, stopped, False)


def _reason_to_stop(
    g: Gradient, slope: NDArray, downhill: NDArray, error: float, step: int, beta: float | Literal["auto"]
) -> str:
    """Why no step can be made along this gradient; empty if one can, or if the constraints leave no direction.

    slope, downhill: as in `_Point`. error: norm of the slope's error.
    """
    norm, left = float(np.linalg.norm(slope)), float(np.linalg.norm(downhill))
    least = error if beta == "auto" else 0.0
    if not norm > least:
        return f"stopped at step {step}, its gradient cannot be told from zero: norm {norm:.2g}, error {error:.2g}"
    if beta == "auto" and not g.trustworthy:
        return f"stopped at step {step}, its gradient is not trustworthy: {g.message}"
    if not left > least and left > _NO_DIRECTION * norm:
        return (
            f"stopped at step {step}, its gradient along the constraints cannot be told from zero: "
            f"norm {left:.2g}, error {error:.2g}"
        )
    return ""


def _done(walk: Walk, rows: int) -> str:
    if walk.optimizer == "l-bfgs-b":
        return f"{rows} evaluations made, before l-bfgs-b converged"
    return f"{rows - 1} steps made"


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
