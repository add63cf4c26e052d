"""One walk through parameter space along the QEP gradient, saved at every step.

The gradient methods move from the newest row of the history by an update rule, and then to the nearest point that
bounds and constraints allow; what they follow is the slope without its part that leads out of them. L-BFGS-B chooses
its points by itself, and every new one that it evaluates is a row; among them are points that its line searches reject,
so the walk has ended at the lowest row. It has no state to save: in a resumed run it starts again, and gets what the
rows have recorded, without new ground states, up to a new point.
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

from qep_tn.descent.feasible_set import Region
from qep_tn.descent.table import History, flattened
from qep_tn.descent.update_rules import UPDATES, Memory, Optimizer
from qep_tn.gradients.gradient import Gradient, Scheme, gradient
from qep_tn.gradients.losses import Loss
from qep_tn.gradients.trust import Trust
from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.runs.folder import RunFolder
from qep_tn.solvers.protocol import Solver
from qep_tn.states.ground_state import GroundState
from qep_tn.states.saved import as_saved

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

    history: dimension `step`. end: the row where the walk has ended, the last one; of "l-bfgs-b" the lowest.
    state: the free ground state there. converged, message: as in `qep_tn.Exploration`.
    """

    history: xr.Dataset
    end: int
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
    by_scipy = walk.optimizer == "l-bfgs-b"
    whole = record.optimum or not (record.stopped or by_scipy)
    complaint = _complaint(record, walk) if whole else ""
    message = "; ".join(filter(None, (record.stopped, complaint))) or _done(walk, len(record.history))
    logger.info("%s", message)
    end = record.lowest if by_scipy else len(record.history) - 1
    return Walked(record.history.dataset(), end, record.state, whole and not complaint, message)


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

    At the points that it tries, nothing but a gradient that is not trustworthy stops it: whether it has come to an
    optimum is a question for the point where it ends. Since SciPy 1.15 it may call a point converged whose slope is far
    from zero (scipy issue 23161); begun again from the lowest row, without what it remembers, it goes on. It is
    believed where that gains nothing.
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
            found = float(record.history["loss"][record.lowest])
            if not found < lowest - _SAME_LOSS * max(abs(found), 1.0):
                break
            lowest, values = found, record.theta(record.lowest)[trained]
    except _StopError:
        return
    said = " ".join(str(result.message).split()).rstrip(": ").lower()
    record.stopped, record.optimum = _verdict(walk, record, said, result.success)


def _verdict(walk: Walk, record: _Record, said: str, success: bool) -> tuple[str, bool]:
    """How L-BFGS-B ended, and whether at an optimum: as its lowest row shows, where the loss may be flat to its error.

    said: the last words of SciPy. success: whether they mean convergence.
    """
    row, region, evaluations = record.lowest, walk.region, len(record.history)
    position, slope = record.theta(row), record.slope(row)
    error = record.slope_error(row) if walk.beta == "auto" else 0.0
    downhill = slope if region is None else -region.tangent(position, -slope)
    if region is not None and (optimum := _optimum(region, position, slope, downhill, error, row)):
        flat = float(np.linalg.norm(slope)) <= error  # then it is the error, and not the region, that leaves nothing
        if not flat:
            return optimum, True
    left = float(np.linalg.norm(downhill))
    if left <= error and not error <= walk.rtol * record.natural_size:
        return (
            f"l-bfgs-b stopped after {evaluations} evaluations: the gradient at step {row} cannot be told from zero: "
            f"norm {left:.2g}, error {error:.2g}; lower rtol, or raise max_bond"
        ), False
    if success:
        return f"l-bfgs-b converged after {evaluations} evaluations: {said}", True
    if left <= error:
        return (
            f"l-bfgs-b converged after {evaluations} evaluations: at step {row} the loss is flat to within the error "
            f"of its gradient, {error:.2g}"
        ), True
    return f"l-bfgs-b stopped after {evaluations} evaluations: {said}; lower rtol, or take 'adam'", False


class _Record:
    """The rows of a walk so far, and what its next step uses; saved with every row."""

    def __init__(self, walk: Walk, run: RunFolder | None) -> None:
        self.walk, self.run = walk, run
        self.history, self.state, self.position = History(walk.H), walk.start, walk.position
        self.memory: Memory = {}
        self.stopped, self.optimum = "", False
        self.natural_size = 0.0  # of the gradient where the walk begins; at an optimum the error signal may vanish
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

    @property
    def lowest(self) -> int:
        """The row of the lowest loss."""
        return int(np.argmin(self.history["loss"]))

    def theta(self, row: int) -> NDArray:
        """All couplings of a row."""
        return self._couplings(row, "")

    def slope(self, row: int) -> NDArray:
        """The slope at a row, zero where not trained."""
        return np.where(self.walk.trained, self._couplings(row, "gradient_"), 0.0)

    def slope_error(self, row: int) -> float:
        """The norm of the slope's error."""
        return float(self.history["gradient_norm_error"][row])

    def _couplings(self, row: int, prefix: str) -> NDArray:
        names = self.walk.H.parameters
        return flattened(self.walk.H, {n: self.history[f"{prefix}{n}"][row] for n in names})

    def evaluated(self) -> dict[bytes, tuple[float, NDArray]]:
        """The loss and the slope over the trained couplings of every row, by the bytes of these couplings."""
        trained = self.walk.trained
        return {
            self.theta(row)[trained].tobytes(): (float(self.history["loss"][row]), self.slope(row)[trained])
            for row in range(len(self.history))
        }

    def _extra(self) -> dict[str, Any]:
        figures = {
            "step": len(self.history), "theta": self.position, "stopped": self.stopped, "optimum": self.optimum,
            "natural_size": self.natural_size,
        }  # fmt: skip
        memory = {f"{_MEMORY}{name}": array for name, array in self.memory.items()}
        return figures | memory

    def _restore(self, run: RunFolder, states: tuple[GroundState, ...], extra: dict[str, Any]) -> None:
        memory = {name: array for name, array in extra.items() if name.startswith(_MEMORY)}
        if (
            extra.keys() - memory.keys() != {"step", "theta", "stopped", "optimum", "natural_size"}
            or np.shape(extra["theta"]) != self.position.shape
        ):
            raise ValueError(f"{run.path} holds no walk of this model to resume; choose another folder with --out")
        (self.state,) = states
        self.position, self.stopped, self.optimum = extra["theta"], extra["stopped"], bool(extra["optimum"])
        self.natural_size = float(extra["natural_size"])
        self.memory = {name.removeprefix(_MEMORY): np.asarray(array) for name, array in memory.items()}
        self.history = History(self.walk.H, run.load_history(int(extra["step"])))


def _evaluate(walk: Walk, record: _Record, position: NDArray) -> _Point:
    """The gradient at a position, from the record's state, which it replaces; for L-BFGS-B if the loss is lower."""
    H = walk.H
    g = gradient(
        H, H.unflatten(position), walk.loss, solver=walk.solver, rtol=walk.rtol, beta=walk.beta, scheme=walk.scheme,
        start=record.state,
    )  # fmt: skip
    by_scipy, history = walk.optimizer == "l-bfgs-b", record.history
    if not by_scipy or not len(history) or g.value < history["loss"][record.lowest]:
        record.state = as_saved(g.free)
    if not len(history):
        record.natural_size = g.natural_size
    slope, error = (np.where(walk.trained, flattened(H, values), 0.0) for values in (g.gradient, g.error))
    downhill = slope if walk.region is None else -walk.region.tangent(position, -slope)
    step, least = len(record.history), float(np.linalg.norm(error)) if walk.beta == "auto" else 0.0
    if by_scipy:
        known = g.status is Trust.LARGE_ERROR and least <= walk.rtol * record.natural_size
        return _Point(g, slope, downhill, "" if known else _distrusted(g, step, walk.beta), False)
    stopped = _reason_to_stop(g, float(np.linalg.norm(slope)), least, step, walk.beta)
    if walk.region is None or stopped:
        return _Point(g, slope, downhill, stopped, False)
    optimum = _optimum(walk.region, position, slope, downhill, least, step)
    return _Point(g, slope, downhill, optimum, bool(optimum))


def _reason_to_stop(g: Gradient, norm: float, error: float, step: int, beta: float | Literal["auto"]) -> str:
    """Why no step can be made along this gradient; empty if one can."""
    if not norm > error:
        return f"stopped at step {step}, its gradient cannot be told from zero: norm {norm:.2g}, error {error:.2g}"
    return _distrusted(g, step, beta)


def _distrusted(g: Gradient, step: int, beta: float | Literal["auto"]) -> str:
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


def _complaint(record: _Record, walk: Walk) -> str:
    """Which gradients of a complete walk are not as they should be; empty if all are.

    Those of L-BFGS-B need be no more accurate than rtol of the natural size of a gradient: near an optimum they vanish.
    """
    history, rtol = record.history, walk.rtol
    errors, trustworthy = history["relative_error"], history["trustworthy"]
    if walk.optimizer == "l-bfgs-b" and walk.beta == "auto":
        small = history["gradient_norm_error"] <= rtol * record.natural_size
        errors, trustworthy = np.where(small, 0.0, errors), trustworthy | small
    doubtful = np.flatnonzero(~trustworthy)
    if doubtful.size:
        return (
            f"{doubtful.size} of {len(history)} gradients are not trustworthy, the first at step {doubtful[0]}; "
            f"leave beta to 'auto', or make it smaller"
        )
    if missed := np.count_nonzero(~(errors <= rtol)):
        return (
            f"{missed} of {len(history)} gradients missed rtol = {rtol:g}, the worst with "
            f"{errors.max():.1e} at step {errors.argmax()}; raise rtol or max_bond, or leave beta to 'auto'"
        )
    return ""
