"""What a descent lowers, and its slope by quantum equilibrium propagation: at one theta, of a pair, or over a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from qep_tn.descent.table import Column, flattened, gradient_columns, gradient_row
from qep_tn.gradients.checks import Scheme
from qep_tn.gradients.gradient import gradient
from qep_tn.gradients.losses import Loss
from qep_tn.gradients.result import Gradient
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.solvers.protocol import Nudging, Solver
from qep_tn.states.ground_state import GroundState


@dataclass(frozen=True)
class Accuracy:
    """How gradients are taken; see `qep_tn.gradient`."""

    solver: Solver
    rtol: float
    beta: float | Literal["auto"]
    scheme: Scheme

    @property
    def auto(self) -> bool:
        """Whether the nudge is chosen for accuracy; one that is given is the rule of the descent, finite as it is, and
        so are the shots of a device.
        """
        return self.beta == "auto" and not self.measured

    @property
    def measured(self) -> bool:
        """Whether a device measures gradients, with as many shots as it has: there is no accuracy to miss."""
        return self.solver.nudging is Nudging.MEASURED

    def gradient(self, H: Hamiltonian, theta: Theta, loss: Loss, start: GroundState | None) -> Gradient:
        """A gradient."""
        return gradient(
            H, theta, loss, solver=self.solver, rtol=self.rtol, beta=self.beta, scheme=self.scheme, start=start
        )


@dataclass(frozen=True)
class Evaluation:
    """An objective at a position.

    slope, error: over what the position has, zero for what does not move. gradients: that it was made of.
    """

    value: float
    slope: NDArray
    error: NDArray
    gradients: tuple[Gradient, ...]

    @cached_property
    def norm(self) -> float:
        """Of the slope."""
        return float(np.linalg.norm(self.slope))

    @cached_property
    def norm_error(self) -> float:
        """Norm of the slope's error."""
        return float(np.linalg.norm(self.error))

    @property
    def untrusted(self) -> Gradient | None:
        """The first gradient that is not trustworthy."""
        return next((g for g in self.gradients if not g.trustworthy), None)

    @property
    def free(self) -> tuple[GroundState, ...]:
        """The free states, from which a next evaluation may start."""
        return tuple(g.free for g in self.gradients)


class Objective(Protocol):
    """A function of a position, its slope there, and how both are recorded."""

    @property
    def H(self) -> Hamiltonian:  # noqa: N802
        """Whose ground states it takes."""

    @property
    def accuracy(self) -> Accuracy:
        """Of its gradients."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """Of its table."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Of the data set."""

    def evaluate(self, position: NDArray, starts: Sequence[GroundState | None]) -> Evaluation:
        """Value and slope. starts: one ground state or none for each gradient; empty for none at all."""

    def row(self, position: NDArray, found: Evaluation) -> dict[str, Any]:
        """What the table keeps of it."""

    def said(self, position: NDArray, found: Evaluation) -> str:
        """What run.log says of it."""


@dataclass(frozen=True)
class Batch:
    """The mean of losses of ground states, one or several, that share what is trained.

    samples: (inputs, loss) for each ground state; inputs: parameter name -> value, in place of the position's.
    A position is all couplings; trained: mask over them, those that move.
    """

    H: Hamiltonian
    samples: Sequence[tuple[Mapping[str, Any], Loss]]
    trained: NDArray
    accuracy: Accuracy

    @cached_property
    def columns(self) -> Mapping[str, Column]:
        """Those of a gradient."""
        return gradient_columns(self.H)

    @property
    def attributes(self) -> Mapping[str, Any]:
        """How many samples, if there are several."""
        return {"samples": len(self.samples)} if len(self.samples) > 1 else {}

    def evaluate(self, position: NDArray, starts: Sequence[GroundState | None]) -> Evaluation:
        """The mean loss and its gradient, zero where not trained; errors add up, for they may share a bias."""
        theta = self.H.unflatten(position)
        gradients = tuple(
            self.accuracy.gradient(self.H, {**theta, **inputs}, loss, start)
            for (inputs, loss), start in zip(self.samples, starts or [None] * len(self.samples), strict=True)
        )
        slopes, errors = (
            np.mean([np.where(self.trained, flattened(self.H, values), 0.0) for values in parts], axis=0)
            for parts in ([g.gradient for g in gradients], [g.error for g in gradients])
        )
        return Evaluation(float(np.mean([g.value for g in gradients])), slopes, errors, gradients)

    def row(self, position: NDArray, found: Evaluation) -> dict[str, Any]:
        """That of the gradients."""
        return gradient_row(self.H, self.H.unflatten(position), found.gradients, self.trained)

    def said(self, position: NDArray, found: Evaluation) -> str:
        """The mean loss, and the least accuracy."""
        worst = max(g.relative_error for g in found.gradients)
        return f"loss {found.value:.8g}, relative error {worst:.1e}"
