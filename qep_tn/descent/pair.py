"""Two points of one scanned parameter that close in on where an observable changes fastest.

The points (g1, g2) and the parameters that they share descend the loss -|O_1 - O_2| / |g1 - g2|, where O_i is the
observable in the ground state at g_i, by steps of one length (Wanjura and Marquardt, arXiv:2406.06482). Where the pair
comes to rest, it encloses the place where the ground state changes most: a sensor's working point, or a phase boundary.

By the mean value theorem |dO/dg| is somewhere between the points as large as the sensitivity. Where it is smaller at
both of them, its maximum lies between them: the sensitivity then grows as either point moves towards the other. A
pair whose gradient says so by more than its error is known to enclose a steepest point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qep_tn.descent.loop import Descent, Ending, Stop
from qep_tn.descent.objective import Accuracy, Evaluation
from qep_tn.descent.table import Column, Table, refuse_taken_names
from qep_tn.gradients.losses import Expectation
from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import Operator
from qep_tn.states.ground_state import GroundState

NO_PAIR = "no pair of points is known to enclose a steepest point; begin on both sides of it, or lower rtol"

# a step that closes in, over the distance of the points: they cannot cross, and overshooting keeps between them what
# they enclose
_CLOSING = 1 / 3
_ROUNDING = 16 * np.finfo(float).eps  # of an expectation value, per sum of the operator's |coefficients|

_FIGURES = {
    "sensitivity": Column("sensitivity |O_1 - O_2| / |g_1 - g_2|", "energy^-1"),
    "sensitivity_error": Column("estimated error of the sensitivity", "energy^-1"),
    "loss": Column("loss, minus the sensitivity", "energy^-1"),
    "loss_error": Column("estimated error of the loss", "energy^-1"),
    "gradient_norm": Column("norm of the loss gradient over all that moves", "energy^-2"),
    "gradient_norm_error": Column("norm of the estimated gradient error over all that moves", "energy^-2"),
    "encloses": Column("whether the points are known to enclose a steepest point of the observable", "1"),
    "beta": Column("larger nudge strength of the two points", "energy"),
    "max_bond": Column("largest bond dimension of the free states, 0 where they are not MPS", "1"),
    "ground_states": Column("ground states solved for so far", "1"),
    "trustworthy": Column("whether free and nudged states are of one branch at both points", "1"),
}


@dataclass(frozen=True)
class Pair:
    """The loss -|O_1 - O_2| / |g1 - g2|. A position is (g1, g2, shared parameters).

    theta: all other parameters. scan: the scanned parameter. shared: names of the shared scalars that move.
    """

    H: Hamiltonian
    theta: Mapping[str, Any]
    observable: Operator
    scan: str
    shared: tuple[str, ...]
    accuracy: Accuracy

    @property
    def moving(self) -> tuple[str, ...]:
        """Names of a position's entries, as the table has them."""
        return (f"{self.scan}_1", f"{self.scan}_2", *self.shared)

    @cached_property
    def columns(self) -> Mapping[str, Column]:
        """Raises ValueError for a parameter whose name is taken."""
        scan, moving = self.scan, self.moving
        slopes = [f"gradient_{name}" for name in moving]
        refuse_taken_names(
            self.H, {"step", "seconds", *_FIGURES, *moving[:2], *slopes, *(f"{slope}_error" for slope in slopes)}
        )
        columns = {
            name: Column(f"parameter {scan} at point {name[-1]} before the step", "energy") for name in moving[:2]
        }
        columns |= {f"gradient_{name}": Column(f"derivative of the loss by {name}", "energy^-2") for name in moving}
        columns |= {
            f"gradient_{name}_error": Column(f"estimated error of gradient_{name}", "energy^-2") for name in moving
        }
        columns |= _FIGURES
        for name, value in self.H.parameters.items():
            if name != scan:
                coupling = f"{name}_coupling" if isinstance(value, tuple) else ""
                columns[name] = Column(f"parameter {name} before the step", "energy", coupling)
        return columns | {"seconds": Column("wall time of the step", "s")}

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What figures need."""
        return {"task": "sensitivity", "scan": self.scan, "observable": str(self.observable)}

    def evaluate(self, position: NDArray, starts: Sequence[GroundState | None]) -> Evaluation:
        """The loss and its gradient over (g1, g2, shared parameters)."""
        raised = -Expectation(self.observable)  # a one-sided nudge raises the observable, as in the published runs
        here = {**self.theta, **dict(zip(self.shared, position[2:], strict=True))}
        first, second = (
            self.accuracy.gradient(self.H, {**here, self.scan: g}, raised, start)
            for g, start in zip(position[:2], starts or (None, None), strict=True)
        )
        difference, distance = second.value - first.value, position[0] - position[1]  # a gradient's value is -<O>
        value = -abs(difference / distance)
        by_value = self._value_error(position, first.value_error, second.value_error) / abs(distance)
        factor = np.sign(difference) / abs(distance)
        # d loss / d g1 = (factor * d<-O>/dg1) - loss / (g1 - g2), and the other way round for g2
        slope = [
            factor * first.gradient[self.scan] - value / distance,
            value / distance - factor * second.gradient[self.scan],
            *(factor * (first.gradient[name] - second.gradient[name]) for name in self.shared),
        ]
        error = [
            abs(factor) * first.error[self.scan] + by_value,
            abs(factor) * second.error[self.scan] + by_value,
            *(abs(factor) * (first.error[name] + second.error[name]) for name in self.shared),
        ]
        return Evaluation(value, np.array(slope), np.array(error), (first, second))

    def row(self, position: NDArray, found: Evaluation) -> dict[str, Any]:
        """The pair, its sensitivity, and whether it encloses a steepest point."""
        first, second = found.gradients
        value_error = self._value_error(position, first.value_error, second.value_error)
        inward = np.sign(position[0] - position[1]) * np.array([found.slope[0], -found.slope[1]])
        row: dict[str, Any] = dict(zip(self.moving, position, strict=True))
        row |= {f"gradient_{name}": float(part) for name, part in zip(self.moving, found.slope, strict=True)}
        row |= {f"gradient_{name}_error": float(part) for name, part in zip(self.moving, found.error, strict=True)}
        row |= {name: self.theta[name] for name in self.H.parameters if name not in (self.scan, *self.shared)}
        return row | {
            "sensitivity": float(-found.value),
            "sensitivity_error": float(value_error),
            "loss": float(found.value),
            "loss_error": float(value_error),
            "gradient_norm": found.norm,
            "gradient_norm_error": found.norm_error,
            "encloses": bool((inward > found.error[:2]).all()),
            "beta": max(first.beta, second.beta),
            "max_bond": max((*first.free.bond_dimensions, *second.free.bond_dimensions), default=0),
            "ground_states": first.ground_states + second.ground_states,
            "trustworthy": found.untrusted is None,
        }

    def said(self, position: NDArray, found: Evaluation) -> str:
        """Both values of the scanned parameter, and the sensitivity."""
        return f"{self.scan} = {position[0]:.8g} and {position[1]:.8g}, sensitivity {-found.value:.8g}"

    def _value_error(self, position: NDArray, first: float, second: float) -> float:
        rounding = _ROUNDING * sum(abs(c) for c in self.observable.terms.values())
        return float(np.hypot(max(first, rounding), max(second, rounding)) / abs(position[0] - position[1]))


@dataclass(frozen=True)
class ClosingIn:
    """Steps of one length against the slope. Where a step would make the points meet, the walk goes back to the last
    pair known to enclose a steepest point, and closes in by steps of at most a third of the points' distance.

    moving: names of the position's entries. rate: length of a step. closest: distance at which points have met.
    """

    moving: tuple[str, ...]
    rate: float
    closest: float

    def adopts(self, descent: Descent, found: Evaluation) -> bool:
        """The newest states are always the next ones' start."""
        return True

    def go_on(self, descent: Descent, found: Evaluation) -> Stop | None:
        """To the next pair; unless the points have met, or nothing can be said to pull them."""
        return self._at_rest(descent, found) or self._closed_in(descent)

    def _at_rest(self, descent: Descent, found: Evaluation) -> Stop | None:
        """Why no step can be made from the last pair."""
        table, auto = descent.table, descent.objective.accuracy.auto
        step, row = len(table) - 1, table.row(-1)
        if auto and (g := found.untrusted) is not None:
            return Stop(Ending.UNTRUSTED, f"stopped at step {step}, a gradient is not trustworthy: {g.message}")
        if row["sensitivity"] <= row["sensitivity_error"]:
            return Stop(
                Ending.LOST,
                f"stopped at step {step}, the observable changes no more between the points than its error; "
                "take another",
            )
        if row["gradient_norm"] > (row["gradient_norm_error"] if auto else 0.0):
            return None
        if (pair := enclosing(table)) is not None:
            return Stop(
                Ending.ENCLOSED,
                f"the points came to rest at step {step}; those of step {pair} enclose the steepest change",
            )
        return Stop(Ending.LOST, f"stopped at step {step}, nothing is known to pull the points: {NO_PAIR}")

    def _closed_in(self, descent: Descent) -> Stop | None:
        """The next pair; or that the points have met."""
        position, closing = self._step(descent.table, bool(descent.memory.get("closing", False)))
        descent.position, descent.memory = position, {"closing": np.array(closing)}
        if not (closing and abs(position[0] - position[1]) < self.closest):
            return None
        step, pair = len(descent.table) - 1, enclosing(descent.table)
        if pair is None:
            return Stop(Ending.LOST, f"stopped, the points met at step {step}: {NO_PAIR}")
        return Stop(Ending.ENCLOSED, f"the points met at step {step}; those of step {pair} enclose the steepest change")

    def _step(self, table: Table, closing: bool) -> tuple[NDArray, bool]:
        """The position after a step, and whether the points are closing in."""
        row = table.row(-1)
        if not closing:
            position = self._moved(row, self.rate)
            if abs(position[0] - position[1]) >= self.closest and (position[0] - position[1]) * self._distance(row) > 0:
                return position, False
            if (pair := enclosing(table)) is not None:
                row = table.row(pair)
        return self._moved(row, min(self.rate, _CLOSING * abs(self._distance(row)))), True

    def _moved(self, row: Mapping[str, Any], length: float) -> NDArray:
        slope = np.array([row[f"gradient_{name}"] for name in self.moving])
        return np.asarray(np.array([row[name] for name in self.moving]) - length * slope / row["gradient_norm"])

    def _distance(self, row: Mapping[str, Any]) -> float:
        return float(row[self.moving[0]] - row[self.moving[1]])


def enclosing(table: Table) -> int | None:
    """The last step whose points are known to enclose a steepest point."""
    return next((n for n in reversed(range(len(table))) if table.row(n)["encloses"]), None)
