"""What a gradient is: a value for every coupling, an error for each, and how far to trust them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qep_tn.gradients.measured import Measured
from qep_tn.gradients.nudge import Level
from qep_tn.gradients.trust import Certificate, Trust
from qep_tn.states.ground_state import GroundState


@dataclass(frozen=True)
class Gradient:
    """The gradient of a loss with respect to every coupling, and how far to trust it.

    value, value_error: the loss in the free ground state.
    gradient, error: name -> float or array, the structure of theta. `error` bounds the difference to the exact
        gradient for about nine components in ten or more: it holds the nudge's bias, truncation and convergence.
    relative_error: norm of all errors over norm of the gradient, or over a millionth of a gradient's natural size
        (observable times coupling operator over the energy scale) if it is smaller than that.
    converged: whether relative_error <= rtol.
    status, message: whether free and nudged state are different branches, a solve did not converge, the response leaves
        a residual, or the error is not small against the gradient; the message says which, and the remedy.
    certificate: what was computed besides, and all that the status is made from.
    free: the free ground state. level: what the nudged ones are made from.
    beta: nudge strength, multiplies the error signal.
    ground_states: how many ground states it took. natural_size: of a gradient, as above.
    shots: for a measured gradient, what its shots were and the parts of its error; otherwise None. `error` then holds
        shot noise and the nudge's bias together, so that 95 of 100 bars hold the exact component; the noise alone where
        beta was given. `value_error` is 1.96 standard errors, and `status` concerns the states, not the noise.
    """

    value: float
    value_error: float
    gradient: dict[str, Any]
    error: dict[str, Any]
    relative_error: float
    converged: bool
    status: Trust
    message: str
    certificate: Certificate
    free: GroundState = field(repr=False)
    beta: float
    ground_states: int
    natural_size: float
    level: Level = field(repr=False)
    shots: Measured | None = field(default=None, repr=False)

    @property
    def trustworthy(self) -> bool:
        """Whether nothing speaks against it."""
        return self.status is Trust.TRUSTWORTHY

    @property
    def nudged(self) -> tuple[GroundState, ...]:
        """The nudged ground states: at +beta, and at -beta if the scheme is symmetric."""
        return self.level.nudged

    @property
    def residual(self) -> float:
        """Of the response over the whole chain, see `Certificate`."""
        return self.certificate.residual

    @property
    def overlap(self) -> float:
        """The smaller |<free|nudged>|^2."""
        return self.certificate.overlap
