"""Losses: functions of expectation values, and their derivatives (the error signals)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qep_tn.hamiltonians.operators import Operator

_IMPROBABLE = 1e-6  # a probability that is taken for this one if it is smaller, for its logarithm has no end


def sizes(operators: Sequence[Operator]) -> NDArray:
    """Of operators, as (M,) array: the sums of their coefficients' magnitudes, which bound their expectation values."""
    return np.array([sum(abs(c) for c in operator.terms.values()) for operator in operators])


class Loss:
    """A function of the expectation values of some observables.

    observables: the operators O_m.
    Minus a loss, and a number times a loss, are losses.
    """

    observables: tuple[Operator, ...]

    def value(self, expectations: NDArray) -> float:
        """The loss at some expectation values, one for each observable."""
        raise NotImplementedError

    def error_signal(self, expectations: NDArray) -> NDArray:
        """Its derivative with respect to each expectation value."""
        raise NotImplementedError

    def natural_signal(self, expectations: NDArray) -> NDArray:
        """Magnitudes of its derivatives where it is not at its optimum, as (M,) array: what a gradient that vanishes
        there is compared with. By default those that they have.
        """
        return np.abs(self.error_signal(expectations))

    def __mul__(self, factor: float) -> Loss:
        return Scaled(self, float(factor))

    __rmul__ = __mul__

    def __neg__(self) -> Loss:
        return Scaled(self, -1.0)


@dataclass(frozen=True)
class Scaled(Loss):
    """A number times a loss."""

    loss: Loss
    factor: float

    @property
    def observables(self) -> tuple[Operator, ...]:  # type: ignore[override]
        """Those of the loss."""
        return self.loss.observables

    def value(self, expectations: NDArray) -> float:
        """The factor times the loss."""
        return self.factor * self.loss.value(expectations)

    def error_signal(self, expectations: NDArray) -> NDArray:
        """The factor times the loss's derivative."""
        return self.factor * self.loss.error_signal(expectations)

    def natural_signal(self, expectations: NDArray) -> NDArray:
        """The magnitude of the factor times the loss's own."""
        return abs(self.factor) * self.loss.natural_signal(expectations)


@dataclass(frozen=True)
class Expectation(Loss):
    """The expectation value of one operator."""

    operator: Operator

    @property
    def observables(self) -> tuple[Operator, ...]:  # type: ignore[override]
        """The one operator."""
        return (self.operator,)

    def value(self, expectations: NDArray) -> float:
        """The expectation value itself."""
        return float(expectations[0])

    def error_signal(self, expectations: NDArray) -> NDArray:
        """One."""
        return np.ones(1)


@dataclass(frozen=True)
class Magnitude(Loss):
    """The absolute value of an operator's expectation value. Its derivative at zero is taken as zero."""

    operator: Operator

    @property
    def observables(self) -> tuple[Operator, ...]:  # type: ignore[override]
        """The one operator."""
        return (self.operator,)

    def value(self, expectations: NDArray) -> float:
        """abs(<O>)."""
        return float(abs(expectations[0]))

    def error_signal(self, expectations: NDArray) -> NDArray:
        """The sign of <O>."""
        return np.sign(expectations[:1])


class _OfTargets(Loss):
    """A loss that compares expectation values with targets, one for each. Raises ValueError for others."""

    def __init__(self, operators: Sequence[Operator], targets: ArrayLike) -> None:
        kind = type(self).__name__
        self.observables = tuple(operators)
        self.targets = np.asarray(targets, float)
        if self.targets.shape != (len(self.observables),):
            raise ValueError(f"{kind}: {len(self.observables)} operators but targets of shape {self.targets.shape}")
        if not np.isfinite(self.targets).all():
            raise ValueError(f"{kind}: targets must be finite")


class MeanSquaredError(_OfTargets):
    """The sum over observables of squared differences between expectation value and target."""

    def value(self, expectations: NDArray) -> float:
        """sum_m (<O_m> - target_m)^2."""
        return float(((expectations - self.targets) ** 2).sum())

    def error_signal(self, expectations: NDArray) -> NDArray:
        """2 (<O_m> - target_m)."""
        return 2 * (expectations - self.targets)

    def natural_signal(self, expectations: NDArray) -> NDArray:
        """That of values which miss their targets by the size of their operators, or by more if they do."""
        return np.maximum(np.abs(self.error_signal(expectations)), 2 * sizes(self.observables))


class CrossEntropy(_OfTargets):
    """-sum_m target_m log <P_m>, of projectors P_m on outcomes and the probabilities that they should have."""

    def __init__(self, operators: Sequence[Operator], targets: ArrayLike) -> None:
        super().__init__(operators, targets)
        if not ((self.targets >= 0).all() and abs(self.targets.sum() - 1) <= 1e-6):
            raise ValueError(f"CrossEntropy: targets are {self.targets}; they must be probabilities, which sum to one")

    def value(self, expectations: NDArray) -> float:
        """-sum_m target_m log <P_m>."""
        return float(-(self.targets * np.log(self._probabilities(expectations))).sum())

    def error_signal(self, expectations: NDArray) -> NDArray:
        """-target_m / <P_m>."""
        return -self.targets / self._probabilities(expectations)

    @staticmethod
    def _probabilities(expectations: NDArray) -> NDArray:
        """Rounding may leave a probability below zero, and shots one at zero."""
        return np.maximum(expectations, _IMPROBABLE)


class FunctionLoss(Loss):
    """Any differentiable function of expectation values.

    function: (M,) array of expectation values -> float.
    derivative: (M,) array of expectation values -> (M,) array.
    """

    def __init__(
        self,
        operators: Sequence[Operator],
        function: Callable[[NDArray], float],
        derivative: Callable[[NDArray], ArrayLike],
    ) -> None:
        self.observables = tuple(operators)
        self.function = function
        self.derivative = derivative

    def value(self, expectations: NDArray) -> float:
        """The function."""
        return float(self.function(expectations))

    def error_signal(self, expectations: NDArray) -> NDArray:
        """The derivative. Raises ValueError if it has the wrong shape."""
        signal = np.asarray(self.derivative(expectations), float)
        if signal.shape != (len(self.observables),):
            raise ValueError(
                f"FunctionLoss: {len(self.observables)} operators but a derivative of shape {signal.shape}"
            )
        return signal
