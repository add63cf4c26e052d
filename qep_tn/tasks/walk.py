"""One walk through parameter space along the QEP gradient, saved at every step.

The gradient methods move from the newest row of the history by an update rule (`qep_tn.optimizers`), and then to the
nearest point that bounds and constraints allow; what they follow is the slope without its part that leads out of them.
L-BFGS-B chooses its points by itself, and every new one that it evaluates is a row. It has no state to save: in a
resumed run it starts again, and gets what the rows have recorded, without new ground states, up to a new point.
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
_SAME_LOSS = 2.2e-9  # relative: SciPy's own measure of convergence
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
    """By SciPy's L-BFGS-B over the trained couplings, until it ends, all evaluations are made or none can be.

    Since SciPy 1.15 it may call a point converged whose slope is far from zero (scipy issue 23161); begun again from
    there, without what it remembers, it goes on. It is believed where that gains nothing.
    """
    if record.stopped:
        return
    trained, region = walk.trained, walk.region
    known = record.evaluated()

    def loss_and_slope(values: NDArray) -> tuple[float, NDArray]:
        if (found := known.get(values.tobytes())) is not None:
            return found
        if len(record.history) > walk.steps:
            raise _StopError
        began = time.perf_counter()
        here = walk.position.copy()
        here[trained] = values
        point = _evaluate(walk, record, here)
        record.position = here
        record.add(here, point, time.perf_counter() - began)
        known[values.tobytes()] = point.gradient.value, point.slope[trained]
        if record.stopped:
            raise _StopError
        return known[values.tobytes()]

    bounds = None if region is None else list(zip(region.lower[trained], region.upper[trained], strict=True))
    unlimited = 10 * walk.steps + 100  # the number of rows ends it
    lowest, values = np.inf, walk.position[trained]
    try:
        while True:
            result = minimize(
                loss_and_slope, values, jac=True, method="L-BFGS-B", bounds=bounds,
                options={"maxfun": unlimited, "maxiter": unlimited, "ftol": _SAME_LOSS},
            )  # fmt: skip
            if not result.fun < lowest - _SAME_LOSS * max(abs(result.fun), 1.0):
                break
            lowest, values = float(result.fun), result.x
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

    def evaluated(self) -> dict[bytes, tuple[float, NDArray]]:
        """The loss and the slope over the trained couplings of every row, by the bytes of these couplings."""
        history, H, trained = self.history, self.walk.H, self.walk.trained
        known = {}
        for row in range(len(history)):
            theta, slope = (
                flattened(H, {name: history[f"{prefix}{name}"][row] for name in H.parameters})[trained]
                for prefix in ("", "gradient_")
            )
            known[theta.tobytes()] = float(history["loss"][row]), slope
        return known

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
    step, least = len(record.history), float(np.linalg.norm(error)) if walk.beta == "auto" else 0.0
    stopped = _reason_to_stop(g, float(np.linalg.norm(slope)), least, step, walk.beta)
    if walk.region is None or stopped:
        return _Point(g, slope, downhill, stopped, False)
    optimum = _optimum(walk.region, position, slope, downhill, least, step)
    return _Point(g, slope, downhill, optimum, bool(optimum))


def _reason_to_stop(g: Gradient, norm: float, error: float, step: int, beta: float | Literal["auto"]) -> str:
    """Why no step can be made along this gradient; empty if one can."""
    if not norm > error:
        return f"stopped at step {step}, its gradient cannot be told from zero: norm {norm:.2g}, error {error:.2g}"
    if beta == "auto" and not g.trustworthy:
        return f"stopped at step {step}, its gradient is not trustworthy: {g.message}"
    return ""


def _optimum(region: Region, position: NDArray, slope: NDArray, downhill: NDArray, error: float, step: int) -> str:
    """Which bounds and constraints leave no direction in which the loss falls; empty if there is one."""
    left = float(np.linalg.norm(downhill))
    if left > max(error, _NO_DIRECTION * float(np.linalg.norm(slope))):
        return ""
    return f"an optimum at step {step}, where the loss falls no further within {region.touched(position)}"


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
