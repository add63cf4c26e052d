"""How good answers are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Scores(NamedTuple):
    """Of outputs beside their targets.

    loss: the mean. unsettled: how many searches for ground states did not converge. accuracy: how often the largest
    output is the right one; NaN for one output. single_shot_accuracy: the mean probability of the right outcome in one
    measurement, where outputs are projectors; NaN unless every target names one of them.
    """

    loss: float
    unsettled: float
    accuracy: float
    single_shot_accuracy: float


def accuracy(outputs: NDArray, targets: NDArray) -> float:
    """How often the largest output is the largest target; both (samples, outputs). NaN for a single output."""
    if targets.shape[1] == 1:
        return float("nan")
    return float(np.mean(outputs.argmax(axis=1) == targets.argmax(axis=1)))


def single_shot_accuracy(outputs: NDArray, targets: NDArray) -> float:
    """The mean of sum_m target_m output_m; both (samples, outputs). NaN unless each target is one and the rest zero."""
    if not (np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all()):
        return float("nan")
    return float(np.mean((outputs * targets).sum(axis=1)))


def confusion(outputs: NDArray, targets: NDArray) -> NDArray:
    """Counts, (largest target, largest output)."""
    counts = np.zeros((targets.shape[1],) * 2, int)
    np.add.at(counts, (targets.argmax(axis=1), outputs.argmax(axis=1)), 1)
    return counts
