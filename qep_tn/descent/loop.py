"""Going down an objective step by step: evaluate, record, go on.

What a step does depends on nothing but the table's rows, the newest states, and what the method remembers; so a descent
that was saved at any step goes on to the same end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qep_tn.descent.objective import Evaluation, Objective
from qep_tn.descent.table import Table
from qep_tn.descent.update_rules import Memory
from qep_tn.hamiltonians.sites import Sites
from qep_tn.states.ground_state import GroundState
from qep_tn.states.saved import as_saved

logger = logging.getLogger("qep_tn")

_MEMORY = "optimizer_"  # before the names of the method's arrays in state.h5


class Ending(Enum):
    """How a descent ended."""

    STEPS_MADE = "all steps were made"
    OPTIMUM = "bounds and constraints leave no direction in which the loss falls"
    CONVERGED = "the optimizer's own measure of convergence is met"
    ENCLOSED = "the points enclose the steepest change"
    FLAT = "the gradient cannot be told from zero"
    UNTRUSTED = "a gradient is not trustworthy"
    INACCURATE = "all steps were made, but some gradients are not as they should be"
    LOST = "nothing is known to pull the points"
    FAILED = "the optimizer gave up"
    LIMIT = "no evaluations were left"

    @property
    def good(self) -> bool:
        """Whether the descent did what it was asked for."""
        return self in (Ending.STEPS_MADE, Ending.OPTIMUM, Ending.CONVERGED, Ending.ENCLOSED)


class Stop(NamedTuple):
    """How a descent ended, and a sentence."""

    ending: Ending
    message: str


class Method(Protocol):
    """How a descent goes on from what was found."""

    def adopts(self, descent: Descent, found: Evaluation) -> bool:
        """Whether the next evaluation starts from the states of this one."""

    def go_on(self, descent: Descent, found: Evaluation) -> Stop | None:
        """Set the descent's next position and memory, from its newest row; or say that it has ended, and how."""


class Descent:
    """A descent on its way; a `qep_tn.runs.loop.Stepwise` task.

    position: of the next evaluation. states: from which it starts. memory: of the method.
    stop: how it ended, None while it goes on. natural_size: of the first gradient; at an optimum the error signal may
    vanish, and with it the natural size there.
    """

    unit = "point"

    def __init__(
        self, objective: Objective, method: Method, position: NDArray, steps: int,
        starts: Sequence[GroundState | None] = (),
    ) -> None:  # fmt: skip
        self.objective, self.method, self.steps = objective, method, steps
        self.position, self.states, self.memory = position, tuple(starts), Memory()
        self.table = Table(objective.columns, objective.attributes)
        self.stop: Stop | None = None
        self.natural_size = 0.0

    @property
    def sites(self) -> Sites:
        """Of all ground states."""
        return self.objective.H.sites

    @property
    def rows(self) -> int:
        """How many evaluations there are."""
        return len(self.table)

    @property
    def total(self) -> int:
        """How many there will be at most."""
        return self.steps + 1

    @property
    def lowest(self) -> int:
        """The row of the lowest loss."""
        return int(np.argmin(self.table["loss"]))

    def advance(self) -> bool:
        """One evaluation, and the step from it."""
        if len(self.table) > self.steps or self.stop is not None:
            return False
        began = time.perf_counter()
        found = self.objective.evaluate(self.position, self.states)
        if not self.states or self.method.adopts(self, found):
            self.states = tuple(as_saved(state) for state in found.free)
        if not len(self.table):
            self.natural_size = found.gradients[0].natural_size
        self.table.add(self.objective.row(self.position, found), 0.0)
        logger.info("step %d: %s", len(self.table) - 1, self.objective.said(self.position, found))
        self.stop = self.method.go_on(self, found)
        self.table.row(-1)["seconds"] = time.perf_counter() - began
        return True

    def figures(self) -> dict[str, str]:
        """The last row's."""
        return {"loss": f"{self.table.row(-1)['loss']:.6g}"}

    def dataset(self) -> xr.Dataset:
        """All rows."""
        return self.table.dataset()

    def snapshot(self) -> tuple[Sequence[GroundState], dict[str, Any]]:
        """The states; and position, memory and ending."""
        ending, message = ("", "") if self.stop is None else (self.stop.ending.name, self.stop.message)
        extra = {
            "step": len(self.table), "position": self.position, "natural_size": self.natural_size, "ending": ending,
            "message": message,
        }  # fmt: skip
        states = [state for state in self.states if state is not None]
        extra |= self.objective.accuracy.solver.memory()
        return states, extra | {f"{_MEMORY}{name}": array for name, array in self.memory.items()}

    def restore(self, states: Sequence[GroundState], extra: Mapping[str, Any], run: Any) -> None:
        """Go back to a snapshot. Raises ValueError if it has more steps than there shall be."""
        made = int(extra["step"]) - 1
        if made > self.steps:
            raise ValueError(
                f"{run.path} has {made} steps, which stay, and steps is {self.steps}; give {made} or more, or another "
                f"folder with --out"
            )
        position = np.asarray(extra["position"])
        if position.shape != self.position.shape:
            raise KeyError("position")
        self.position, self.states = position, tuple(states)
        self.objective.accuracy.solver.remember(extra)
        self.natural_size = float(extra["natural_size"])
        self.stop = Stop(Ending[extra["ending"]], extra["message"]) if extra["ending"] else None
        self.memory = {n.removeprefix(_MEMORY): np.asarray(a) for n, a in extra.items() if n.startswith(_MEMORY)}
        self.table.fill(run.load_history(made + 1))
