"""Whether a gradient is to be trusted, and why not: its certificate, and the verdict that follows from it alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

SAME_BRANCH = 0.7  # least |<psi_0|psi_beta>|^2; between two degenerate states it is 1/2 or 0
# Largest residual of a response that is trusted: `python -m benchmarks.certificate` has those of right and wrong ones.
# What a response leaves out changes a gradient by its square, so it may be as large as the root of what is asked for:
# critical chains of 140 sites leave 0.032 at rtol 1e-4, where a tenth of rtol is their error.
LARGEST_RESIDUAL, _RESIDUAL_OVER_ROOT, _AT_MOST = 0.02, 4.0, 0.3
_RIGHT = 5.0  # distance to an exact gradient, in units of the errors of both, that lets the claim stand


class Trust(Enum):
    """What speaks against a gradient, if anything does."""

    TRUSTWORTHY = "nothing"
    DEGENERATE = "the ground state is degenerate"
    OTHER_BRANCH = "the nudged state is not on the free state's branch"
    NOT_CONVERGED = "a state did not converge"
    LOWER_STATE = "an independent search found a lower state"
    RESIDUAL = "the bonds do not hold the response"
    LARGE_ERROR = "the estimated error is not small"
    NOT_EXACT = "exact diagonalization finds another gradient"

    @property
    def concerns_branches(self) -> bool:
        """Whether free and nudged state may be different states altogether."""
        return self in (Trust.DEGENERATE, Trust.OTHER_BRANCH)

    @property
    def concerns_states(self) -> bool:
        """Whether other ground states might do better."""
        return self in (Trust.OTHER_BRANCH, Trust.NOT_CONVERGED, Trust.RESIDUAL, Trust.LOWER_STATE)


@dataclass(frozen=True)
class Certificate:
    """What was computed besides a gradient to certify it, in part always, in part if a full certificate was asked for.

    Of a device, which shows no states, variance, overlap and residual are NaN, and relative_error is the nudge's bias
    alone, as measured (that of the shots, where nothing tells the bias).

    variance: energy variance of the free state, over the sum of all coefficients squared.
    overlap: the smallest |<free|nudged>|^2.
    residual: of the response over the whole chain, see `qep_tn.gradients.residual`; zero where no manifold limits it.
    unconverged: why a state that the certificate rests upon did not converge; empty if all did.
    relative_error, rtol: the error claimed, over the gradient's norm or what counts as such, and what was asked for.
    gap: to the first excited state, or what bounds it from above; None where nothing was looked for. nudge: the
        nudge's size, in the same unit of energy.
    degenerate: whether the ground state is known to be.
    full: whether what follows was asked for.
    lower: how far below the free state's energy an independent search ended, or lies the exact one; None where neither
        was made.
    exact_distance: norm of the difference to the gradient by exact diagonalization, over that of both claimed errors;
        None where the system is too large, or the gradient exact itself.
    """

    variance: float
    overlap: float
    residual: float
    unconverged: str
    relative_error: float
    rtol: float
    gap: float | None
    nudge: float
    degenerate: bool
    full: bool = False
    lower: float | None = None
    exact_distance: float | None = None

    def __str__(self) -> str:
        """In one line, with what was not looked at."""
        known = {
            "energy variance": self.variance, "residual": self.residual, "overlap": self.overlap, "gap": self.gap,
            "lower start": self.lower, "distance to exact": self.exact_distance,
        }  # fmt: skip
        told = {name: value for name, value in known.items() if value is not None and not math.isnan(value)}
        parts, missing = [f"{name} {value:.2g}" for name, value in told.items()], [n for n in known if n not in told]
        return ", ".join(parts) + (f"; not looked at: {', '.join(missing)}" if missing else "")


class Verdict(NamedTuple):
    """A status, and the sentence that says why and what to do about it."""

    status: Trust
    message: str


def verdict(c: Certificate) -> Verdict:
    """Whether to trust a gradient with this certificate.

    An exact gradient, where there is one, decides whether the state is the right one and the response whole.
    """
    if c.degenerate:
        return Verdict(
            Trust.DEGENERATE,
            "the ground state is degenerate, and the solver chose one of several; break the degeneracy",
        )
    doubt = _without_exact(c) if c.exact_distance is None else _against_exact(c.exact_distance)
    if doubt is not None:
        return doubt
    if not c.relative_error <= max(c.rtol, 0.1):
        return Verdict(
            Trust.LARGE_ERROR,
            f"the estimated error is {c.relative_error:.1g} of the gradient; raise max_bond, or leave beta to 'auto'",
        )
    return Verdict(Trust.TRUSTWORTHY, "trustworthy")


def _against_exact(distance: float) -> Verdict | None:
    if distance <= _RIGHT:
        return None
    return Verdict(
        Trust.NOT_EXACT, f"the gradient by exact diagonalization is {distance:.1g} times the claimed error away"
    )


def _without_exact(c: Certificate) -> Verdict | None:
    if c.lower:
        return Verdict(
            Trust.LOWER_STATE,
            f"an independent search found an energy lower by {c.lower:.1g}; start from there, or try other seeds",
        )
    if c.full and c.gap is not None and c.gap < c.nudge:
        return Verdict(
            Trust.DEGENERATE,
            f"the gap is {c.gap:.1g}, less than the nudge of {c.nudge:.1g}: the gradient is that of one of two nearly "
            "degenerate states; break the degeneracy, or choose a smaller rtol",
        )
    if c.overlap < SAME_BRANCH:
        return Verdict(
            Trust.OTHER_BRANCH,
            f"the nudged state is not on the free state's branch (overlap {c.overlap:.2f}): the ground state is "
            "degenerate or nearly so; break the degeneracy, or nudge with a smaller beta",
        )
    if c.unconverged:
        return Verdict(Trust.NOT_CONVERGED, f"a state did not converge: {c.unconverged}")
    if c.residual > max(LARGEST_RESIDUAL, min(_RESIDUAL_OVER_ROOT * c.rtol**0.5, _AT_MOST)):
        return Verdict(
            Trust.RESIDUAL,
            f"the response leaves a residual of {c.residual:.1g} of the nudge over the whole chain: the bonds do "
            "not hold it; raise max_bond, or choose a smaller rtol",
        )
    return None
