"""Measured gradients: free and nudged phases sampled as on a device, and what their shots leave unknown."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chndtrix

from qep_tn.gradients.losses import Loss
from qep_tn.gradients.nudge import Level, Nudge, difference_quotient, exact_levels
from qep_tn.gradients.trust import SAME_BRANCH, verdict
from qep_tn.gradients.whole_chain import residual_of, with_lowest_states
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator
from qep_tn.measurement.circuits import circuits
from qep_tn.measurement.estimates import Estimate, measure
from qep_tn.measurement.shots import Shots
from qep_tn.solvers.protocol import Nudging, Solver
from qep_tn.states.ground_state import GroundState, expectations

_COVERED = 1.96  # standard errors of a normal distribution that hold 95 %
_SURE = 0.95
_ALL_BIAS = 30.0  # standard errors of bias, from which on the noise to one side alone counts
_CURVED = 0.1  # of the nudge whose bias tells the curvature, relative to the energy scale
_STRONGEST = 1.0  # of a nudge, relative to the energy scale: a stronger one measures another Hamiltonian's ground state
_PILOT = 200  # shots that tell the noise in advance, at least


@dataclass(frozen=True, eq=False)
class Measured:
    """What shots a gradient took, and the parts of its error; printed, the circuits.

    shots: as asked for. circuits: in the free phase, and in each nudged state (and the free one once more if
        one-sided); with Gaussian noise as many as operators. total: shots in all. None of a device, which says neither.
    noise: name -> float or array, the structure of theta: standard error of each component.
    bias: likewise, of the nudge, by computed gradients, or as measured on a device; None where beta was given, and
        nothing tells it.
    grouping: a line for each circuit.
    """

    shots: Shots
    circuits: tuple[int, int] | None
    total: int | None
    noise: dict[str, Any]
    bias: dict[str, Any] | None
    grouping: str = field(repr=False)

    def __str__(self) -> str:
        return self.grouping


@dataclass(frozen=True, eq=False)
class Drawn:
    """One draw of all shots.

    value, value_error: the loss at the measured expectation values, and 1.96 standard errors of it.
    gradient, noise: over the couplings, and the standard error of each.
    level: of the nudged states, made with the error signal of `nudge`, which follows from the measured values.
    """

    value: float
    value_error: float
    gradient: NDArray
    noise: NDArray
    nudge: Nudge
    level: Level


@dataclass(frozen=True, eq=False)
class Experiment:
    """A free state, its nudge and how both are measured: solved once, and drawn as often as one likes.

    wanted: mask over the couplings, those that are measured, all if None; what is not has a gradient of zero.
    """

    H: Hamiltonian
    theta: Theta
    loss: Loss
    solver: Solver
    scheme: str
    free: GroundState
    shots: Shots
    beta: float = 0.0
    wanted: NDArray | None = None
    _levels: dict[bytes, Level] = field(default_factory=dict, repr=False)  # by error signal: a linear loss has one
    _solved: list[int] = field(default_factory=list, repr=False)  # nudged states, level by level, at any beta

    def drawn(self, rng: np.random.Generator) -> Drawn:
        """All shots of the free phase, the nudge that follows from them, and all shots of the nudged phase."""
        sites, couplings = self.H.sites, self.couplings
        outputs = measure(self.free.state, sites, self.loss.observables, self.shots, rng, correlated=True)
        nudge = self.nudge(outputs.values)
        value = float(self.loss.value(outputs.values))
        if not (math.isfinite(value) and np.isfinite(nudge.signal).all()):
            raise ValueError(f"the loss is {value} and its derivative {nudge.signal}; both must be finite")
        spread = np.array(list(signal_spreads(self.loss, outputs)))
        level = self.level(nudge)
        if level.order == 0:
            unknown = replace(nudge, signal=np.sqrt((spread**2).sum(axis=0)))
            noise = np.where(self.mask, unknown.strength / nudge.energy_scale, 0.0)
            return Drawn(value, value_error_of(self.loss, outputs), level.gradient, noise, nudge, level)
        states = level.nudged if level.order == 2 else (*level.nudged, self.free)
        phases = [measure(state.state, sites, couplings, self.shots, rng) for state in states]
        values = [phase.values for phase in phases]
        beta = level.beta / nudge.strength
        gradient = difference_quotient(values[: level.order], values[-1], beta)
        of_phases = sum(phase.variances for phase in phases) / (level.order * beta) ** 2
        share = float((spread**2).sum() / (nudge.signal**2).sum())
        known = np.maximum(gradient**2 - of_phases, 0)  # of the component squared, what is not noise
        slope, noise = np.zeros((2, len(self.mask)))
        slope[self.mask], noise[self.mask] = gradient, np.sqrt(of_phases + share * known)
        return Drawn(value, value_error_of(self.loss, outputs), slope, noise, nudge, level)

    @property
    def mask(self) -> NDArray:
        """Over the couplings, those that are measured."""
        return np.ones(len(self.H.couplings), bool) if self.wanted is None else self.wanted

    @property
    def couplings(self) -> tuple[Operator, ...]:
        """Those that are measured."""
        return tuple(compress(self.H.couplings, self.mask))

    def nudge(self, values: NDArray) -> Nudge:
        """The nudge whose error signal is that of these expectation values."""
        return Nudge(self.H, self.theta, self.loss.observables, np.asarray(self.loss.error_signal(values), float))

    def level(self, nudge: Nudge) -> Level:
        """The nudged states, and the gradient that their exact expectation values give; of order 0 without a nudge."""
        key = nudge.signal.tobytes()
        if key not in self._levels:
            if nudge.strength == 0:
                return Level(0.0, np.zeros(len(self.H.couplings)), self.free)
            self._levels.clear()
            level = exact_levels(self.solver, nudge, self.scheme, (self.beta * nudge.strength,), self.free)[0]
            if self.solver.nudging is not Nudging.SOLVED:  # sweeps, which stay on a branch, and may leave something out
                level = replace(level, certify=partial(residual_of, nudge, level.beta, self.free, level.nudged))
                level = with_lowest_states(self.solver, nudge, self.scheme, level)
            self._levels[key] = level
            self._solved.append(level.order)
        return self._levels[key]

    @property
    def exact_nudge(self) -> Nudge:
        """That of the free state's exact expectation values."""
        return self.nudge(expectations(self.free.state, self.loss.observables))

    @property
    def order(self) -> int:
        """Of the bias in beta."""
        return 2 if self.scheme == "symmetric" else 1

    def balanced(self, gradient: NDArray, curvature: NDArray | None, rng: np.random.Generator) -> Experiment:
        """The same experiment at the nudge where bias and noise are least together, in norm over the couplings.

        gradient: computed. curvature: of a `Level` of it; by a strong nudge, if None.

        Bias B beta^p and noise S / beta add up to least where beta^(2p + 2) = S^2 / p B^2: with M shots beta goes as
        M^(-1/6) and the error as M^(-1/3) if symmetric, p = 2; both as M^(-1/4) if one-sided, p = 1. It is halved where
        a nudged state would be on another branch than the free one.
        """
        nudge, order = self.exact_nudge, self.order
        if nudge.strength == 0:
            unit = replace(nudge, signal=np.ones(len(nudge.signal)))
            return replace(self, beta=_CURVED * unit.energy_scale / unit.strength)
        scale = nudge.energy_scale / nudge.strength
        if curvature is None:
            strong = replace(self, beta=_CURVED * scale, _levels={})
            curvature = (nudge.strength * strong.level(nudge).gradient - gradient) / strong.beta**order
        else:
            curvature = curvature * nudge.strength ** (order + 1)
        pilot = replace(self.shots, count=max(self.shots.count, _PILOT))
        variances = measure(self.free.state, self.H.sites, self.couplings, pilot, rng).variances
        noise = 2 * float(variances.sum()) * pilot.count / self.shots.count / order**2
        bias = max(float((curvature[self.mask] ** 2).sum()), 1e-300)
        best = (noise / (order * bias)) ** (1 / (2 * order + 2))
        balanced = replace(self, beta=min(best, _STRONGEST * scale), _levels={})
        while balanced.level(nudge).overlap < SAME_BRANCH:
            balanced = replace(balanced, beta=balanced.beta / 2, _levels={})
        return balanced

    def bias(self, gradient: NDArray) -> NDArray:
        """Of each component, by the nudged states' exact expectation values beside a computed gradient."""
        nudge = self.exact_nudge
        return np.where(self.mask, np.abs(nudge.strength * self.level(nudge).gradient - gradient), 0.0)

    def told(self, states: Any, drawn: Drawn, bias: NDArray | None) -> Any:
        """A `Gradient` of these states with what was measured in them; bias: over the couplings, if it is known."""
        error = half_widths(drawn.noise, bias)
        norm = max(float(np.linalg.norm(drawn.gradient)), 1e-6 * states.natural_size)
        relative = float(np.linalg.norm(error)) / norm if norm > 0 else 0.0
        certificate = replace(
            states.certificate,
            overlap=drawn.level.overlap,
            unconverged=states.certificate.unconverged or drawn.level.message,
        )
        status, message = verdict(certificate)
        return replace(
            states,
            value=drawn.value,
            value_error=drawn.value_error,
            gradient=self.H.unflatten(drawn.gradient),
            error=self.H.unflatten(error),
            relative_error=relative,
            converged=relative <= certificate.rtol,
            certificate=certificate,
            status=status,
            message=message,
            beta=drawn.level.beta / (drawn.nudge.strength or 1.0),
            ground_states=states.ground_states + sum(self._solved),
            level=drawn.level,
            shots=self.record(drawn, bias),
        )

    def record(self, drawn: Drawn, bias: NDArray | None) -> Measured:
        """What the shots were."""
        operators = self.loss.observables, self.couplings
        if self.shots.kind == "gaussian":
            numbers = len(operators[0]), len(operators[1])
            grouping = f"{numbers[0]} observables and {numbers[1]} couplings, each with Gaussian noise of its own"
        else:
            free, nudged = (circuits(self.H.sites, o) for o in operators)
            numbers = len(free), len(nudged)
            grouping = f"free phase\n{free}\nnudged phase\n{nudged}"
        phases = 2 if drawn.level.order else 0
        return Measured(
            shots=self.shots,
            circuits=numbers,
            total=self.shots.count * (numbers[0] + phases * numbers[1]),
            noise=self.H.unflatten(drawn.noise),
            bias=None if bias is None else self.H.unflatten(bias),
            grouping=grouping,
        )


def half_widths(noise: NDArray, bias: NDArray | None) -> NDArray:
    """Bars that hold the truth in 95 of 100 draws, for normal noise of these standard errors beside a bias.

    The quantile of |bias + noise| (Armstrong and Kolesár, Econometrica 86, 655, 2018, eq. 11): 1.96 standard errors
    without bias, bias + 1.64 of them where it is large.
    """
    if bias is None:
        return _COVERED * noise
    ratio = np.divide(bias, noise, out=np.full(np.shape(noise), np.inf), where=noise > 0)
    near = np.sqrt(chndtrix(_SURE, 1, np.minimum(ratio, _ALL_BIAS) ** 2)) * noise
    return np.where(ratio > _ALL_BIAS, bias + 1.645 * noise, near)


def _directions(estimate: Estimate) -> NDArray:
    """Shifts of the values by one standard error, independent of one another; (number, number of values)."""
    squared, vectors = np.linalg.eigh(estimate.covariance)
    return (np.sqrt(np.maximum(squared, 0)) * vectors).T


def signal_spreads(loss: Loss, outputs: Estimate) -> Iterator[NDArray]:
    """What each independent part of the noise in the observables does to the error signal."""
    for shift in _directions(outputs):
        yield (loss.error_signal(outputs.values + shift) - loss.error_signal(outputs.values - shift)) / 2


def value_error_of(loss: Loss, outputs: Estimate) -> float:
    """95 % of what the noise in the observables does to the loss; to second order too, which is all at a minimum."""
    value = loss.value(outputs.values)
    changes = [
        max(abs(loss.value(outputs.values + sign * _COVERED * shift) - value) for sign in (1, -1))
        for shift in _directions(outputs)
    ]
    return float(np.linalg.norm(changes))
