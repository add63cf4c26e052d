"""Whether a gradient is to be trusted, and why not."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from qep_tn.gradients.nudge import Level

_SAME_BRANCH = 0.7  # least |<psi_0|psi_beta>|^2; between two degenerate states it is 1/2 or 0
# Largest residual of a response that is trusted: `python -m benchmarks.certificate` has those of right and wrong ones
LARGEST_RESIDUAL = 0.02


class Trust(Enum):
    """What speaks against a gradient, if anything does."""

    TRUSTWORTHY = "nothing"
    DEGENERATE = "the ground state is degenerate"
    OTHER_BRANCH = "the nudged state is not on the free state's branch"
    NOT_CONVERGED = "a ground state did not converge"
    RESIDUAL = "the bonds do not hold the response"
    LARGE_ERROR = "the estimated error is not small"

    @property
    def concerns_branches(self) -> bool:
        """Whether free and nudged state may be different states altogether."""
        return self in (Trust.DEGENERATE, Trust.OTHER_BRANCH)

    @property
    def concerns_states(self) -> bool:
        """Whether other ground states might do better."""
        return self in (Trust.OTHER_BRANCH, Trust.NOT_CONVERGED, Trust.RESIDUAL)


class Verdict(NamedTuple):
    """A status, and the sentence that says why and what to do about it."""

    status: Trust
    message: str


def verdict(level: Level, relative_error: float, rtol: float, degenerate: bool) -> Verdict:
    """Whether to trust a level's gradient.

    relative_error: against its norm, or what counts as its norm. degenerate: whether the ground state is known to be.
    """
    if degenerate and level.order:
        return Verdict(
            Trust.DEGENERATE,
            "the ground state is degenerate, and the solver chose one of several; break the degeneracy",
        )
    if level.overlap < _SAME_BRANCH:
        return Verdict(
            Trust.OTHER_BRANCH,
            f"the nudged state is not on the free state's branch (overlap {level.overlap:.2f}): the ground state is "
            "degenerate or nearly so; break the degeneracy, or nudge with a smaller beta",
        )
    for message in (level.free.message if not level.free.converged else "", level.message):
        if message:
            return Verdict(Trust.NOT_CONVERGED, f"a ground state did not converge: {message}")
    if level.residual > max(LARGEST_RESIDUAL, 3 * rtol**0.5):
        return Verdict(
            Trust.RESIDUAL,
            f"the response leaves a residual of {level.residual:.1g} of the nudge over the whole chain: the bonds do "
            "not hold it; raise max_bond, or choose a smaller rtol",
        )
    if not relative_error <= max(rtol, 0.1):
        return Verdict(
            Trust.LARGE_ERROR,
            f"the estimated error is {relative_error:.1g} of the gradient; raise max_bond, or leave beta to 'auto'",
        )
    return Verdict(Trust.TRUSTWORTHY, "trustworthy")
