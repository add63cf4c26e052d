"""Steps along the gradient of a walk: update rules within bounds and constraints, and L-BFGS-B.

The gradient methods move from the newest row by an update rule, and then to the nearest point that bounds and
constraints allow; what they follow is the slope without its part that leads out of them. L-BFGS-B chooses its points
by itself, and every new one that it asks for is a row; among them are points that its line searches reject, so its walk
has ended at the lowest row. It has nothing to remember: to find where it goes next, it begins again, and gets what the
rows have recorded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from qep_tn.descent.feasible_set import Region
from qep_tn.descent.loop import Descent, Ending, Stop
from qep_tn.descent.objective import Evaluation
from qep_tn.descent.table import flattened
from qep_tn.descent.update_rules import Update
from qep_tn.gradients.trust import Trust

_NO_DIRECTION = 1e-12  # of the slope that the constraints leave, relative to all of it: rounding
_SAME_LOSS = 2.2e-9  # relative: SciPy's own measure of convergence


@dataclass(frozen=True)
class AlongGradient:
    """By an update rule. region: where a walk may go; None is everywhere."""

    update: Update
    rate: float
    region: Region | None

    def adopts(self, descent: Descent, found: Evaluation) -> bool:
        """The newest states are always the next ones' start."""
        return True

    def go_on(self, descent: Descent, found: Evaluation) -> Stop | None:
        """By the update rule, and into the region; unless the slope vanishes within its error, the gradient is not
        trustworthy, or this is an optimum of the region.
        """
        step, error = descent.rows - 1, least_error(descent, found)
        if not found.norm > error:
            return Stop(
                Ending.FLAT,
                f"stopped at step {step}, its gradient cannot be told from zero: norm {found.norm:.2g}, "
                f"error {error:.2g}",
            )
        if stop := distrusted(descent, found):
            return stop
        here, region = descent.position, self.region
        downhill = found.slope if region is None else -region.tangent(here, -found.slope)
        if region is not None and (optimum := optimum_within(region, here, found.slope, downhill, error, step)):
            return Stop(Ending.OPTIMUM, optimum)
        there, descent.memory = self.update(here, downhill, self.rate, descent.memory)
        descent.position = there if region is None else region.project(there)
        return None


@dataclass(frozen=True)
class LBFGSB:
    """By SciPy's L-BFGS-B over the trained couplings.

    At the points that it tries, nothing but a gradient that is not trustworthy stops it: whether it has come to an
    optimum is a question for the point where it ends. Since SciPy 1.15 it may call a point converged whose slope is far
    from zero (scipy issue 23161); begun again from the lowest row, without what it remembers, it goes on. It is
    believed where that gains nothing.
    start: (couplings,) where the walk begins. trained: mask over them.
    """

    start: NDArray
    trained: NDArray
    region: Region | None

    def adopts(self, descent: Descent, found: Evaluation) -> bool:
        """The states of the lowest row are the next ones' start."""
        return not descent.rows or found.value < descent.table["loss"][descent.lowest]

    def go_on(self, descent: Descent, found: Evaluation) -> Stop | None:
        """To where it wants to know the loss next; unless the gradient is not trustworthy, but for one that is only
        small, as near an optimum.
        """
        small = least_error(descent, found) <= descent.objective.accuracy.rtol * descent.natural_size
        g = found.untrusted
        if not (g is not None and g.status is Trust.LARGE_ERROR and small) and (stop := distrusted(descent, found)):
            return stop
        known = self._recorded(descent)
        visited: dict[bytes, float] = {}

        def loss_and_slope(values: NDArray) -> tuple[float, NDArray]:
            if (key := values.tobytes()) not in known:
                raise _UnknownError(values.copy())
            visited[key] = known[key][0]
            return known[key]

        region, trained = self.region, self.trained
        bounds = None if region is None else list(zip(region.lower[trained], region.upper[trained], strict=True))
        unlimited = 10 * descent.steps + 100  # the number of rows ends it
        lowest, values = np.inf, self.start[trained]
        try:
            while True:
                result = minimize(
                    loss_and_slope, values, jac=True, method="L-BFGS-B", bounds=bounds,
                    options={"maxfun": unlimited, "maxiter": unlimited, "ftol": _SAME_LOSS},
                )  # fmt: skip
                best = min(visited, key=visited.__getitem__)
                if not visited[best] < lowest - _SAME_LOSS * max(abs(visited[best]), 1.0):
                    break
                lowest, values = visited[best], np.frombuffer(best).copy()
        except _UnknownError as unknown:
            there = self.start.copy()
            there[trained] = unknown.values
            descent.position = there
            return None
        said = " ".join(str(result.message).split()).rstrip(": ").lower()
        return self._verdict(descent, said, result.success)

    def _recorded(self, descent: Descent) -> dict[bytes, tuple[float, NDArray]]:
        """The loss and the slope over the trained couplings of every row, by the bytes of these couplings."""
        rows = range(descent.rows)
        return {
            _couplings(descent, row, "")[self.trained].tobytes(): (
                float(descent.table.row(row)["loss"]),
                _couplings(descent, row, "gradient_")[self.trained],
            )
            for row in rows
        }

    def _verdict(self, descent: Descent, said: str, success: bool) -> Stop:
        """Whether it ended at an optimum: as its lowest row shows, where the loss may be flat to its error.

        said: the last words of SciPy. success: whether they mean convergence.
        """
        row, region, evaluations, accuracy = descent.lowest, self.region, descent.rows, descent.objective.accuracy
        position = _couplings(descent, row, "")
        slope = np.where(self.trained, _couplings(descent, row, "gradient_"), 0.0)
        error = float(descent.table.row(row)["gradient_norm_error"]) if accuracy.auto else 0.0
        downhill = slope if region is None else -region.tangent(position, -slope)
        # where the slope is flat, it is its error, and not the region, that leaves nothing
        within = "" if region is None else optimum_within(region, position, slope, downhill, error, row)
        if within and float(np.linalg.norm(slope)) > error:
            return Stop(Ending.OPTIMUM, within)
        left = float(np.linalg.norm(downhill))
        if left <= error and not error <= accuracy.rtol * descent.natural_size:
            return Stop(
                Ending.FLAT,
                f"l-bfgs-b stopped after {evaluations} evaluations: the gradient at step {row} cannot be told from "
                f"zero: norm {left:.2g}, error {error:.2g}; lower rtol, or raise max_bond",
            )
        if success:
            return Stop(Ending.CONVERGED, f"l-bfgs-b converged after {evaluations} evaluations: {said}")
        if left <= error:
            return Stop(
                Ending.CONVERGED,
                f"l-bfgs-b converged after {evaluations} evaluations: at step {row} the loss is flat to within the "
                f"error of its gradient, {error:.2g}",
            )
        return Stop(
            Ending.FAILED, f"l-bfgs-b stopped after {evaluations} evaluations: {said}; lower rtol, or take 'adam'"
        )


class _UnknownError(Exception):
    """L-BFGS-B asks for a point that no row has."""

    def __init__(self, values: NDArray) -> None:
        self.values = values


def least_error(descent: Descent, found: Evaluation) -> float:
    """Norm of the slope's error; zero where the nudge is given, and so the rule of the walk."""
    return found.norm_error if descent.objective.accuracy.auto else 0.0


def distrusted(descent: Descent, found: Evaluation) -> Stop | None:
    """That a gradient is not trustworthy, where that counts."""
    g = found.untrusted
    if g is None or not descent.objective.accuracy.auto:
        return None
    return Stop(Ending.UNTRUSTED, f"stopped at step {descent.rows - 1}, its gradient is not trustworthy: {g.message}")


def optimum_within(
    region: Region, position: NDArray, slope: NDArray, downhill: NDArray, error: float, step: int
) -> str:
    """Which bounds and constraints leave no direction in which the loss falls; empty if there is one."""
    left = float(np.linalg.norm(downhill))
    if left > max(error, _NO_DIRECTION * float(np.linalg.norm(slope))):
        return ""
    return f"an optimum at step {step}, where the loss falls no further within {region.touched(position)}"


def _couplings(descent: Descent, row: int, prefix: str) -> NDArray:
    """All couplings of a row, or their derivatives."""
    H, recorded = descent.objective.H, descent.table.row(row)
    return flattened(H, {name: recorded[f"{prefix}{name}"] for name in H.parameters})
