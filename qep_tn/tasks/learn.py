"""Hamiltonian learning: couplings of a model that has the expectation values which were measured.

The fit lowers chi-square, the sum of squared differences over their variances; its slope by all couplings is one QEP
gradient (Wanjura and Marquardt, arXiv:2406.06482). The responses d<O_m>/d theta_k, which are gradients too, give the
steps of Gauss and Newton, the bars, and the combinations of couplings that data do not fix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, null_space
from scipy.stats import chi2, t

from qep_tn.devices.on_device import refuse_device
from qep_tn.gradients.checks import check_settings
from qep_tn.gradients.gradient import silent_gradient
from qep_tn.gradients.losses import Expectation, FunctionLoss
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.solvers.protocol import Solver
from qep_tn.solvers.registry import default_solver
from qep_tn.states.ground_state import GroundState
from qep_tn.training.least_squares import Directions, Place, fitted
from qep_tn.training.measurements import Measurements

_IMPROBABLE = 1e-3  # chance of a chi-square, below which a fit says that something is wrong
_ROUNDING = 1e-7  # of the largest response: what exact solvers leave of one that vanishes
_EXACT = 1e-10  # error of an expectation value, below which a solver is exact
_STILL = 1e-5  # of a standard error: a step that nobody would see
_TAKES_PART = 1e-4  # component of a unit vector from which on a coupling takes part in a direction


@dataclass(frozen=True, eq=False)
class Learned:
    """Couplings that were learned, and how well data fix them.

    theta, error: in the structure of theta. Bars hold the true coupling in 95 of 100 fits if the model is right;
        infinite for couplings that take part in a direction that data do not fix, zero for known ones.
    covariance: (couplings, couplings), of what data fix.
    chi_square, degrees: at the end, and how many data there are more than directions that they fix; the first is about
        the second where the model is right and errors are known and independent. Each value counts by its own error,
        so errors that are correlated make the first scatter more; bars and `message` know of that.
    unidentified: combinations of couplings that data do not fix, as unit vectors in the structure of theta: along them
        theta is where the fit began.
    converged, message: whether the fit came to rest, and what is to be known of it, in a sentence: also that chi-square
        is improbable, so that bars do not hold.
    ground_states: solved for in all.
    """

    theta: dict[str, Any]
    error: dict[str, Any]
    covariance: NDArray = field(repr=False)
    chi_square: float
    degrees: int
    unidentified: tuple[dict[str, Any], ...]
    converged: bool
    message: str
    ground_states: int


def learn_hamiltonian(
    H: Hamiltonian,
    theta: Theta,
    data: Measurements | Sequence[Measurements],
    *,
    known: str | Sequence[str] = (),
    solver: Solver | None = None,
    rtol: float = 1e-4,
    steps: int = 30,
) -> Learned:
    """Fit couplings of H to measured expectation values of its ground state.

    H, theta: the model, and where the fit begins: near enough that the ground states are in one phase.
    data: of one ground state, or of several, at controls that differ by what each of them has `applied`.
    known: parameters by name, or single couplings by label such as "g_x[3]", that stay as theta has them; or "norm":
        the norm of all couplings does. Ground states do not change when all couplings grow in proportion, so data of
        one ground state never fix the scale of energy: something must be known, or H have a fixed part.
    solver, rtol: as in `qep_tn.gradient`.
    steps: most steps of Gauss and Newton. Each costs one gradient; responses, one for each operator, are taken at the
        first and the last, and where they have changed.

    Raises ValueError where data and model do not fit together, or nothing sets the scale of energy.
    """
    refuse_device(H, "qt.learn_hamiltonian, as the model,")
    chosen = default_solver(H) if solver is None else solver
    check_settings(chosen, rtol, "auto", "symmetric", "cheap", "cheap", measured=False)
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise ValueError(f"steps = {steps!r}: a whole number, at least 1")
    fit = _Fit(H, _as_data(H, data), chosen, rtol)
    x = H.flatten(theta)
    by_norm, moving = _moving(H, known, x)
    fit.refuse_unknown_scale(x, free=not by_norm and bool(moving.all()))

    def basis(at: NDArray) -> NDArray:
        return null_space(at[None]) if by_norm else np.eye(len(at))[:, moving]

    def directions(place: Place) -> Directions:
        largest = place.scale if fit.errors_known else np.inf
        return Directions.of(fit.responses(place), basis(place.x), fit.faint, largest)

    def moved(at: NDArray, step: NDArray) -> NDArray:
        there = at + step
        return there * (np.linalg.norm(x) / np.linalg.norm(there)) if by_norm else there

    place, there, converged = fitted(
        fit.evaluate(x, None), fit.evaluate, directions, moved, steps, _STILL if fit.errors_known else 0.0
    )
    return _learned(fit, place, there, converged)


@dataclass(eq=False)
class _Fit:
    """A model beside data."""

    H: Hamiltonian
    data: tuple[Measurements, ...]
    solver: Solver
    rtol: float
    ground_states: int = 0

    def __post_init__(self) -> None:
        self.shifts = [part.shift(self.H) for part in self.data]

    @property
    def errors_known(self) -> bool:
        """Whether chi-square has its unit."""
        return all(part.errors is not None for part in self.data)

    @property
    def weighted_covariance(self) -> NDArray:
        """Of all data, (data, data); those of different ground states are independent."""
        return block_diag(*(part.weighted_covariance for part in self.data))

    @property
    def faint(self) -> float:
        """Of the largest response, below which one is an error of the solver."""
        return _ROUNDING if self.solver.expectation_error <= _EXACT else self.rtol

    def refuse_unknown_scale(self, x: NDArray, free: bool) -> None:
        """Raise ValueError where all couplings are free to grow in proportion, and data cannot tell."""
        couplings = np.array([x + shift for shift in self.shifts])
        if getattr(self.solver, "temperature", 0.0):  # which sets it
            return
        if free and not any(self.H.fixed.terms.keys() - {()}) and np.linalg.matrix_rank(couplings) < 2:
            raise ValueError(
                "nothing sets the scale of energy: ground states stay as they are when all couplings grow in "
                f"proportion; name one that is known, such as known={self.H.labels[-1]!r}, or known='norm'"
            )

    def evaluate(self, x: NDArray, starts: tuple[GroundState, ...] | None) -> Place:
        """Chi-square and its slope, a QEP gradient for each ground state that was measured."""
        total, slope, states = 0.0, np.zeros(len(x)), []
        for n, (part, shift) in enumerate(zip(self.data, self.shifts, strict=True)):
            g = self._gradient(x + shift, _chi_square(part), starts[n] if starts else None)
            total, slope = total + g.value, slope + self.H.flatten(g.gradient)
            states.append(g.free)
        scale = max(float(np.abs(x + shift).max()) for shift in self.shifts)
        return Place(x, total, slope, scale, tuple(states))

    def responses(self, place: Place) -> NDArray:
        """Of all data by all couplings, weighted; (data, couplings)."""
        rows = []
        for part, shift, state in zip(self.data, self.shifts, place.state, strict=True):
            for operator, weight in zip(part.operators, part.weights, strict=True):
                g = self._gradient(place.x + shift, Expectation(operator), state)
                rows.append(weight * self.H.flatten(g.gradient))
        return np.array(rows)

    def _gradient(self, x: NDArray, loss: Any, start: GroundState | None) -> Any:
        """By linear response where the solver has it, else by a nudge."""
        scheme: Any = "linear-response" if self.solver.linear_response else "symmetric"
        theta = self.H.unflatten(x)
        g = silent_gradient(self.H, theta, loss, self.solver, self.rtol, "auto", scheme, start, error="cheap")
        self.ground_states += g.ground_states
        return g


def _chi_square(part: Measurements) -> FunctionLoss:
    values, weights = np.asarray(part.values), part.weights
    return FunctionLoss(
        part.operators,
        lambda found: float((((found - values) * weights) ** 2).sum()),
        lambda found: 2 * (found - values) * weights**2,
    )


def _learned(fit: _Fit, place: Place, there: Directions, converged: bool) -> Learned:
    """Bars by the responses: of what data fix, their weighted covariance carried over to the couplings."""
    H, vectors = fit.H, there.vectors
    fixed, count = vectors[there.fixed], sum(len(part.operators) for part in fit.data)
    degrees = count - len(fixed)
    carried = (fixed.T / there.singular[there.fixed] ** 2) @ fixed @ there.responses.T
    covariance, covered = carried @ fit.weighted_covariance @ carried.T, float(t.ppf(0.975, np.inf))
    if not fit.errors_known:
        covariance = covariance * (place.chi_square / degrees if degrees > 0 else np.nan)
        covered = float(t.ppf(0.975, degrees))
    loose = vectors[~there.fixed]
    error = covered * np.sqrt(np.diag(covariance))
    error[(np.abs(loose) > _TAKES_PART).any(axis=0)] = np.inf
    message = "converged" if converged else "the fit did not come to rest; take more steps, or begin nearer"
    if fit.errors_known and degrees > 0 and _chance(fit, place, there, carried) < _IMPROBABLE:
        message += (
            f"; chi-square is {place.chi_square:.3g} for {degrees} degrees of freedom: the model is wrong, or errors "
            "are larger than said, and bars do not hold"
        )
    if len(loose):
        message += (
            f"; data do not fix {len(loose)} combination{'s' * (len(loose) > 1)} of couplings: {_named(H, loose[0])}"
        )
    return Learned(
        theta=H.unflatten(place.x),
        error=H.unflatten(error),
        covariance=covariance,
        chi_square=place.chi_square,
        degrees=degrees,
        unidentified=tuple(H.unflatten(vector) for vector in loose),
        converged=converged,
        message=message,
        ground_states=fit.ground_states,
    )


def _chance(fit: _Fit, place: Place, there: Directions, carried: NDArray) -> float:
    """Of a chi-square as large as this, if the model is right.

    Residuals are (1 - responses carried) times the data's errors, so chi-square has the mean tr(C) and the variance
    2 tr(C^2) of their covariance C; a chi-square distribution with both, scaled (Satterthwaite, Biometrics Bull. 2, 110
    (1946)), is the exact one where errors are independent.
    """
    left = np.eye(len(there.responses)) - there.responses @ carried
    residual = left @ fit.weighted_covariance @ left.T
    mean, variance = float(np.trace(residual)), 2 * float((residual**2).sum())
    return float(chi2.sf(2 * place.chi_square * mean / variance, 2 * mean**2 / variance))


def _named(H: Hamiltonian, vector: NDArray) -> str:
    """A combination of couplings, by its largest components."""
    order = np.argsort(-np.abs(vector), kind="stable")[:3]
    text = " + ".join(f"{vector[k]:.2g} {H.labels[k]}" for k in order if abs(vector[k]) > _TAKES_PART)
    return text + (" ..." if np.count_nonzero(np.abs(vector) > _TAKES_PART) > len(order) else "")


def _as_data(H: Hamiltonian, data: Measurements | Sequence[Measurements]) -> tuple[Measurements, ...]:
    parts = (data,) if isinstance(data, Measurements) else tuple(data)
    if not parts or not all(isinstance(part, Measurements) for part in parts):
        raise ValueError("data must be qt.Measurements, or a sequence of them, at least one")
    if len({part.errors is None for part in parts}) > 1:
        raise ValueError("data have errors in part; give errors to all measurements, or to none")
    for part in parts:
        for operator in part.operators:
            operator.check(H.sites, "a measured operator")
    return parts


def _moving(H: Hamiltonian, known: str | Sequence[str], x: NDArray) -> tuple[bool, NDArray]:
    """Whether the norm is known, and a mask over couplings, those that are not."""
    names = [known] if isinstance(known, str) else list(known)
    moving = np.ones(len(x), bool)
    if names == ["norm"]:
        if not x.any():
            raise ValueError("known = 'norm': the couplings of theta are all zero, and have none")
        return True, moving
    for name in names:
        if name in H.parameters:
            moving &= ~H.belonging_to(name)
        elif name in H.labels:
            moving[H.labels.index(name)] = False
        else:
            raise ValueError(f"known has {name!r}, but the couplings are {', '.join(H.parameters)}, or {H.labels[0]!r}")
    if not moving.any():
        raise ValueError("known has all couplings; leave out those that shall be learned")
    return False, moving
