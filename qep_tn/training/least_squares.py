"""Least squares of few unknowns, by slopes that are cheap and responses that are not.

Steps are those of Levenberg and Marquardt: of Gauss and Newton where these are short and lower chi-square, damped where
they are not, most in the directions that data fix least.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SAME = 1e-9  # of the scale: a step that changes nothing
_SETTLED = 1e3  # times a step that is none: a last step that is shorter has converged
_LONGEST = 0.3  # of the scale: a step beyond which responses say nothing
_POOR = 0.5  # of the decrease that responses promised: with less they are taken anew
_TRIALS = 12  # of a step, ten times more damped from one to the next


@dataclass(frozen=True, eq=False)
class Place:
    """Where a fit stands.

    chi_square, slope: there, the slope over all couplings. scale: size of couplings. state: for a search to start from.
    """

    x: NDArray
    chi_square: float
    slope: NDArray
    scale: float
    state: Any


@dataclass(frozen=True, eq=False)
class Directions:
    """Combinations of couplings by how well data fix them.

    responses: of data to all couplings, weighted, (data, couplings). vectors: orthonormal directions, (number,
    couplings). singular: of the responses along them, so that one standard error along a direction is 1 / singular.
    fixed: mask, which directions data fix.
    """

    responses: NDArray
    vectors: NDArray
    singular: NDArray
    fixed: NDArray

    @classmethod
    def of(cls, responses: NDArray, basis: NDArray, faint: float, largest: float) -> Directions:
        """basis: in which the couplings may move, (couplings, number). faint: of the largest singular value, below
        which one is an error. largest: standard error from which on a direction counts as not fixed.
        """
        _, singular, rotation = np.linalg.svd(responses @ basis, full_matrices=True)
        singular = np.concatenate([singular, np.zeros(len(rotation) - len(singular))])
        top = max(float(singular.max(initial=0.0)), 1e-300)
        fixed = (singular > faint * top) & (singular * largest > 1)
        return cls(responses, rotation @ basis.T, singular, fixed)

    def step(self, slope: NDArray, damping: float = 0.0) -> NDArray:
        """In the directions that data fix. damping: in the unit of singular values squared; 0 is Gauss and Newton."""
        vectors = self.vectors[self.fixed]
        return np.asarray(-(vectors.T / (self.singular[self.fixed] ** 2 + damping)) @ (vectors @ slope) / 2)

    def in_errors(self, step: NDArray) -> NDArray:
        """Components of a step in the directions that data fix, in standard errors."""
        return np.asarray(self.vectors[self.fixed] @ step * self.singular[self.fixed])

    def promised(self, step: NDArray, slope: NDArray) -> float:
        """By how much chi-square falls, if responses stay as they are."""
        return -float(step @ slope) - float((self.in_errors(step) ** 2).sum())

    @property
    def least(self) -> float:
        """The smallest singular value of a direction that data fix, squared."""
        return float(self.singular[self.fixed].min(initial=np.inf)) ** 2 if self.fixed.any() else 1.0


def fitted(
    first: Place,
    evaluate: Callable[[NDArray, Any], Place],
    directions: Callable[[Place], Directions],
    moved: Callable[[NDArray, NDArray], NDArray],
    steps: int,
    still: float,
) -> tuple[Place, Directions, bool]:
    """The place of the least chi-square, the directions there, and whether the fit converged.

    evaluate: x and a state to start from -> place. directions: by responses, which cost much: taken at the first place,
    again where steps bring less than they promised, and at the last. moved: x, step -> x.
    still: a step that is shorter, in standard errors, is none.
    """
    place, there, fresh = first, directions(first), True
    damping, converged = 0.0, False
    for _ in range(steps):
        newton = there.step(place.slope)
        in_errors = float(np.abs(there.in_errors(newton)).max(initial=0.0))
        unmoved = in_errors <= still or float(np.abs(newton).max(initial=0.0)) <= _SAME * place.scale
        converged = unmoved or in_errors <= _SETTLED * still
        if unmoved:
            break
        trial, damping = _lower(place, there, evaluate, moved, damping, _SETTLED * still)
        if trial is None:
            if fresh or converged:
                break
            there, fresh, damping = directions(place), True, 0.0
            continue
        poor = place.chi_square - trial.chi_square < _POOR * there.promised(trial.x - place.x, place.slope)
        place, fresh = trial, False
        damping = damping / 10 if damping > there.least else 0.0
        if poor and not converged:
            there, fresh = directions(place), True
    return place, there if fresh else directions(place), converged


def _lower(
    place: Place, there: Directions, evaluate: Callable[[NDArray, Any], Place],
    moved: Callable[[NDArray, NDArray], NDArray], damping: float, settled: float,
) -> tuple[Place | None, float]:  # fmt: skip
    """A place of lower chi-square, and the damping that led there; None if there is none.

    settled: steps that are shorter, in standard errors, gain less than what an evaluation can tell.
    """
    for _ in range(_TRIALS):
        step = there.step(place.slope, damping)
        if np.abs(step).max(initial=0.0) <= _LONGEST * place.scale:
            trial = evaluate(moved(place.x, step), place.state)
            if trial.chi_square < place.chi_square:
                return trial, damping
            if np.abs(there.in_errors(step)).max(initial=0.0) <= settled:
                break
        damping = max(10 * damping, there.least)
    return None, damping
