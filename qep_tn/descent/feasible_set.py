"""Where a walk may go: bounds on couplings and linear constraints between parameters, as a convex polytope."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import null_space
from scipy.optimize import nnls

from qep_tn.expressions.constraints import LinearConstraint, parse_constraint
from qep_tn.hamiltonians.hamiltonian import Hamiltonian

Bounds = Mapping[str, Sequence[float]]

ON_BOUNDARY = 1e-10  # a point this near, relative to the couplings, lies on a bound or a constraint
_SHOWN = 4  # bounds and constraints in a message


@dataclass(frozen=True)
class Region:
    """The couplings x with lower <= x <= upper, rows @ x = targets where `equal`, and rows @ x >= targets elsewhere.

    lower, upper: (n,), infinite where there is no bound; equal for couplings that are not trained.
    rows: (m, n), each of norm 1. targets, equal: (m,).
    labels: n names of couplings. texts: m constraints as they were written.
    """

    lower: NDArray
    upper: NDArray
    rows: NDArray
    targets: NDArray
    equal: NDArray
    labels: tuple[str, ...]
    texts: tuple[str, ...]

    @classmethod
    def around(
        cls, H: Hamiltonian, start: NDArray, trained: NDArray, bounds: Bounds | None, constraints: Sequence[str]
    ) -> Region | None:
        """The region that bounds and constraints leave to the trained couplings; None if there are none.

        start: all couplings; those that are not trained stay. trained: mask over couplings.
        Raises ValueError if bounds or constraints do not make sense, or `start` does not meet them.
        """
        if isinstance(constraints, str):
            raise ValueError(f"constraints is one string, {constraints!r}; give a list of them")
        lower, upper = np.full(len(start), -np.inf), np.full(len(start), np.inf)
        for name, limits in (bounds or {}).items():
            low, high = _checked(H, name, limits)
            couplings = H.belonging_to(name)
            lower[couplings], upper[couplings] = low, high
        several: list[LinearConstraint] = []
        for constraint in (c for text in constraints for c in parse_constraint(text, tuple(H.parameters))):
            if len(constraint.coefficients) > 1 or constraint.equality:
                several.append(constraint)
                continue
            ((name, factor),) = constraint.coefficients.items()
            side, limit = (lower, np.maximum) if factor > 0 else (upper, np.minimum)
            couplings = H.belonging_to(name)
            side[couplings] = limit(side[couplings], _finite(constraint.bound / factor, constraint))
        if not (bounds or constraints):
            return None
        rows, targets = np.zeros((len(several), len(start))), np.zeros(len(several))
        for n, constraint in enumerate(several):
            largest = max(map(abs, constraint.coefficients.values()))  # first: squares overflow, or vanish
            for name, factor in constraint.coefficients.items():
                rows[n, _scalar(H, name, constraint)] = factor / largest
            targets[n] = _finite(constraint.bound / largest, constraint)
        sizes = np.linalg.norm(rows, axis=1)
        region = cls(
            lower, upper, rows / sizes[:, None], targets / sizes,
            np.array([c.equality for c in several], bool), H.labels, tuple(c.text for c in several),
        )  # fmt: skip
        return region._holding(start, trained)

    def project(self, point: NDArray) -> NDArray:
        """The nearest point of the region, to rounding."""
        nearest = np.clip(point, self.lower, self.upper)
        tied = self._tied
        if tied.any():
            rows, targets = self.rows[:, tied], self.targets - self.rows[:, ~tied] @ nearest[~tied]
            box, limits = _box(self.lower[tied], self.upper[tied])
            more, least = np.vstack([rows[~self.equal], box]), np.concatenate([targets[~self.equal], limits])
            nearest[tied] = nearest_point(point[tied], rows[self.equal], targets[self.equal], more, least)
        return np.clip(nearest, self.lower, self.upper)

    def tangent(self, position: NDArray, direction: NDArray) -> NDArray:
        """The nearest direction that does not leave the region from a position in it; zero where none is left."""
        near = _near(position)
        touching = self.equal | (np.abs(self._slack(position)) <= near)
        cone = Region(
            np.where(position <= self.lower + near, 0.0, -np.inf), np.where(position >= self.upper - near, 0.0, np.inf),
            self.rows[touching], np.zeros(np.count_nonzero(touching)), self.equal[touching], self.labels,
            tuple(text for text, touches in zip(self.texts, touching, strict=True) if touches),
        )  # fmt: skip
        return cone.project(direction)

    def touched(self, position: NDArray) -> str:
        """The bounds and constraints on which a position lies, as text."""
        near, moving = _near(position), self.lower < self.upper
        low, high = moving & (position <= self.lower + near), moving & (position >= self.upper - near)
        return _listed(self._described(np.abs(self._slack(position)) <= near, low, high))

    def _holding(self, start: NDArray, trained: NDArray) -> Region:
        """The region with the couplings that are not trained kept where they are, once `start` is found to be in it."""
        near = _near(start)
        slack = self._slack(start)
        wrong = (slack < -near) | (self.equal & (slack > near))
        violated = _listed(self._described(wrong, start < self.lower - near, start > self.upper + near))
        held = Region(
            np.where(trained, self.lower, start), np.where(trained, self.upper, start),
            self.rows, self.targets, self.equal, self.labels, self.texts,
        )  # fmt: skip
        if not violated:
            return held
        nearest = held.project(start)
        slack = self._slack(nearest)
        if (
            max(np.max(-slack, initial=0), np.max(slack[self.equal], initial=0)) > near
            or (nearest < self.lower - near).any()
            or (nearest > self.upper + near).any()
        ):
            raise ValueError(
                f"no values of the trained parameters meet bounds and constraints; theta violates {violated}; relax it"
            )
        distance = float(np.linalg.norm(nearest - start))
        raise ValueError(
            f"theta violates {violated}; it is {distance:.3g} away from where a walk may start; move it there"
        )

    @property
    def _tied(self) -> NDArray:
        """Mask over couplings: those that move, and that a constraint ties to others."""
        return (self.rows != 0).any(axis=0) & (self.lower < self.upper)

    def _slack(self, position: NDArray) -> NDArray:
        return self.rows @ position - self.targets

    def _described(self, rows: NDArray, low: NDArray, high: NDArray) -> Iterator[str]:
        """The constraints, lower and upper bounds that masks choose."""
        yield from (self.texts[row] for row in np.flatnonzero(rows))
        yield from (f"{self.labels[k]} >= {self.lower[k]:g}" for k in np.flatnonzero(low))
        yield from (f"{self.labels[k]} <= {self.upper[k]:g}" for k in np.flatnonzero(high))


def nearest_point(point: NDArray, equal: NDArray, targets: NDArray, more: NDArray, least: NDArray) -> NDArray:
    """The Euclidean projection of a point onto {x : equal @ x = targets, more @ x >= least}, which is not empty.

    Non-negative least squares on the dual (Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23: least
    distance programming) tells which inequalities are active; the projection onto those as equations is exact
    to rounding.
    """
    foot = point + _shortest(equal, targets - equal @ point)
    along = null_space(equal) if len(equal) else np.eye(len(point))
    normals, missing = more @ along, least - more @ foot
    sizes = np.linalg.norm(normals, axis=1)
    tight = np.flatnonzero(sizes > 1e-12 * np.linalg.norm(more, axis=1))  # the others the equations decide
    rounding = 1e-14 * max(1.0, float(np.abs(point).max()))  # opposite inequalities exclude each other by no more
    normals, missing = normals[tight] / sizes[tight, None], missing[tight] / sizes[tight] - rounding
    farthest = missing.max(initial=0.0)
    if farthest == 0:
        return foot
    unit = np.zeros(len(along.T) + 1)
    unit[-1] = 1.0
    columns = np.vstack([normals.T, missing / farthest])
    dual, _ = nnls(columns / np.linalg.norm(columns, axis=0), unit)
    active = tight[dual > 0]
    rows, goals = np.vstack([equal, more[active]]), np.concatenate([targets, least[active]])
    nearest = point
    for _ in range(2):  # once is the solution, twice takes away its rounding
        nearest = nearest + _shortest(rows, goals - rows @ nearest)
    return nearest


def _near(position: NDArray) -> float:
    """How far from a bound or a constraint a position still counts as on it."""
    return ON_BOUNDARY * max(1.0, float(np.abs(position).max()))


def _shortest(rows: NDArray, values: NDArray) -> NDArray:
    """The shortest x with rows @ x = values."""
    return np.linalg.lstsq(rows, values, rcond=1e-12)[0] if len(rows) else np.zeros(rows.shape[1])


def _box(lower: NDArray, upper: NDArray) -> tuple[NDArray, NDArray]:
    """Finite bounds as inequalities rows @ x >= limits."""
    unit = np.eye(len(lower))
    low, high = np.isfinite(lower), np.isfinite(upper)
    return np.vstack([unit[low], -unit[high]]), np.concatenate([lower[low], -upper[high]])


def _checked(H: Hamiltonian, name: str, limits: Sequence[float]) -> tuple[float, float]:
    if name not in H.parameters:
        raise ValueError(f"bounds has {name!r}, but the parameters are {', '.join(H.parameters)}")
    pair = tuple(limits) if isinstance(limits, Sequence | np.ndarray) and not isinstance(limits, str) else ()
    if len(pair) != 2 or not all(isinstance(limit, Real) for limit in pair) or not pair[0] < pair[1]:
        raise ValueError(f"bounds: {name} has {limits!r}; give a lowest and a larger highest value, such as [0.0, 4.0]")
    return float(pair[0]), float(pair[1])


def _scalar(H: Hamiltonian, name: str, constraint: LinearConstraint) -> int:
    couplings = np.flatnonzero(H.belonging_to(name))
    if isinstance(H.parameters[name], tuple):
        raise ValueError(
            f"constraints: {constraint.text!r} ties {name}, which has {len(couplings)} couplings; "
            f"it takes parameters of one coupling; give {name} bounds instead"
        )
    return int(couplings[0])


def _finite(bound: float, constraint: LinearConstraint) -> float:
    """The bound of a constraint divided by its coefficient. Raises ValueError if that is too large a number."""
    if not np.isfinite(bound):
        raise ValueError(
            f"constraints: {constraint.text!r} has coefficients too small beside its bound; write it with others"
        )
    return bound


def _listed(texts: Iterator[str]) -> str:
    listed = list(texts)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
