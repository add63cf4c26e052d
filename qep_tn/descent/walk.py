"""A walk through parameter space: what is asked for, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qep_tn.descent.feasible_set import Region
from qep_tn.descent.loop import Descent, Ending, Method
from qep_tn.descent.methods import LBFGSB, AlongGradient
from qep_tn.descent.objective import Accuracy, Batch
from qep_tn.descent.update_rules import UPDATES, Optimizer
from qep_tn.gradients.losses import Loss
from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.states.ground_state import GroundState


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
    accuracy: Accuracy
    start: GroundState | None

    def descent(self) -> Descent:
        """The walk before its first step. Raises ValueError for a parameter that cannot be recorded."""
        method: Method = (
            LBFGSB(self.position, self.trained, self.region)
            if self.optimizer == "l-bfgs-b"
            else AlongGradient(UPDATES[self.optimizer], self.rate, self.region)
        )
        objective = Batch(self.H, [({}, self.loss)], self.trained, self.accuracy)
        return Descent(objective, method, self.position, self.steps, (self.start,))

    def outcome(self, descent: Descent) -> Walked:
        """How the walk ended, with what is not as it should be."""
        by_scipy, rows = self.optimizer == "l-bfgs-b", descent.rows
        if descent.stop is not None:
            ending, message = descent.stop
        elif by_scipy:
            ending, message = Ending.LIMIT, f"{rows} evaluations made, before l-bfgs-b converged"
        else:
            ending, message = Ending.STEPS_MADE, f"{rows - 1} steps made"
        if ending.good and (complaint := self._complaint(descent)):
            message = complaint if ending is Ending.STEPS_MADE else f"{message}; {complaint}"
            ending = Ending.INACCURATE
        (state,) = descent.states
        assert state is not None
        return Walked(descent.dataset(), descent.lowest if by_scipy else rows - 1, state, ending, message)

    def _complaint(self, descent: Descent) -> str:
        """Which gradients of a complete walk are not as they should be; empty if all are.

        Those of L-BFGS-B need be no more accurate than rtol of the natural size of a gradient: near an optimum they
        vanish.
        """
        table, rtol = descent.table, self.accuracy.rtol
        errors, trustworthy = table["relative_error"], table["trustworthy"]
        if self.optimizer == "l-bfgs-b" and self.accuracy.auto:
            small = table["gradient_norm_error"] <= rtol * descent.natural_size
            errors, trustworthy = np.where(small, 0.0, errors), trustworthy | small
        doubtful = np.flatnonzero(~trustworthy)
        if doubtful.size:
            return (
                f"{doubtful.size} of {len(table)} gradients are not trustworthy, the first at step {doubtful[0]}; "
                f"leave beta to 'auto', or make it smaller"
            )
        if not self.accuracy.measured and (missed := np.count_nonzero(~(errors <= rtol))):
            return (
                f"{missed} of {len(table)} gradients missed rtol = {rtol:g}, the worst with "
                f"{errors.max():.1e} at step {errors.argmax()}; raise rtol or max_bond, or leave beta to 'auto'"
            )
        return ""


@dataclass(frozen=True)
class Walked:
    """A walk that is over.

    history: dimension `step`. end: the row where the walk has ended, the last one; of "l-bfgs-b" the lowest.
    state: the free ground state there. ending, message: how it ended, and a sentence.
    """

    history: xr.Dataset
    end: int
    state: GroundState
    ending: Ending
    message: str

    @property
    def converged(self) -> bool:
        """Whether the walk did what it was asked for, along gradients that are as they should be."""
        return self.ending.good
