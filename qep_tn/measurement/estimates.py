"""Expectation values from shots, and what is known of their errors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.operators import Operator
from qep_tn.hamiltonians.sites import Sites
from qep_tn.measurement.circuits import circuits
from qep_tn.measurement.sampling import draw
from qep_tn.measurement.shots import Shots
from qep_tn.states.ground_state import State, expectations

_PSEUDO_SHOTS = 2


class Estimate(NamedTuple):
    """Measured expectation values of some operators, and the covariance of their noise.

    values: (number of operators,). covariance: (number, number), or its diagonal alone, (number,).
    """

    values: NDArray
    covariance: NDArray

    @property
    def variances(self) -> NDArray:
        """Of each value, its standard error squared."""
        return np.diag(self.covariance) if self.covariance.ndim == 2 else self.covariance


def measure(
    state: State, sites: Sites, operators: tuple[Operator, ...], shots: Shots, rng: np.random.Generator,
    correlated: bool = False,
) -> Estimate:  # fmt: skip
    """Expectation values of Hermitian operators from shots of one state.

    correlated: whether the whole covariance is wanted, not its diagonal alone.

    Standard errors are estimated from the shots themselves, with two shots more that nobody took, one standard
    deviation of the maximally mixed state to either side of its mean: where all shots agree, the error is not zero
    (Agresti and Caffo, Am. Stat. 54, 280, 2000, for Pauli products). Gaussian noise has exactly the error stated.
    Raises ValueError for an operator that no product basis measures, unless the noise is Gaussian.
    """
    if shots.kind == "gaussian":
        return _with_gaussian_noise(state, operators, shots, rng, correlated)
    plan = circuits(sites, operators)
    values, covariance = plan.constants.copy(), np.zeros((len(operators),) * (2 if correlated else 1))
    for circuit in plan:
        told = circuit.told(shots.read(draw(state, sites, circuit.basis, shots.count, rng), sites, rng))
        values += told.mean(axis=0)
        covariance += _of_the_mean(told, circuit.centre, circuit.spread, correlated)
    return Estimate(values, covariance)


def _of_the_mean(told: NDArray, centre: NDArray, spread: NDArray, correlated: bool) -> NDArray:
    """Covariance of the mean of what each shot tells, (shots, operators), or its diagonal.

    centre, spread: mean and variance in the maximally mixed state, (operators,).
    """
    count = len(told)
    shifted = told - centre
    mean = shifted.sum(axis=0) / (count + _PSEUDO_SHOTS)
    variance = ((shifted**2).sum(axis=0) + _PSEUDO_SHOTS * spread) / (count + _PSEUDO_SHOTS) - mean**2
    if not correlated:
        return variance / count
    deviations = told - told.mean(axis=0)
    covariance = deviations.T @ deviations
    sizes = np.sqrt(np.diag(covariance))
    ratio = np.divide(np.sqrt(variance), sizes, out=np.zeros_like(sizes), where=sizes > 0)
    covariance *= np.outer(ratio, ratio)
    np.fill_diagonal(covariance, variance)
    return covariance / count


def _with_gaussian_noise(
    state: State, operators: tuple[Operator, ...], shots: Shots, rng: np.random.Generator, correlated: bool
) -> Estimate:
    values, squares = expectations(state, (*operators, *_squares(operators))).reshape(2, -1)
    variances = np.maximum(squares - values**2, 0) / shots.count
    noise = rng.standard_normal(len(values)) * np.sqrt(variances)
    return Estimate(values + noise, np.diag(variances) if correlated else variances)


@lru_cache(maxsize=16)
def _squares(operators: tuple[Operator, ...]) -> Sequence[Operator]:
    return tuple(operator * operator for operator in operators)
