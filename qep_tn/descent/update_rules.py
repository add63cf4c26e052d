"""How a walk goes on from a gradient: update rules of gradient descent.

Each is a pure function of the position, the slope there, the rate, and what it remembers of the updates before: named
arrays, none before the first one. L-BFGS-B has no such rule; `qep_tn.descent.walk` leaves it to SciPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Optimizer = Literal["normalized", "plain", "adam", "adamax", "l-bfgs-b"]
OPTIMIZERS: tuple[str, ...] = get_args(Optimizer)

Memory = dict[str, NDArray]
Update = Callable[[NDArray, NDArray, float, Memory], tuple[NDArray, Memory]]

# Kingma and Ba's defaults: how slowly the mean slope and the mean square are forgotten; what is added to a divisor
_FORGET_MEAN, _FORGET_SQUARE, _SMALL = 0.9, 0.999, 1e-8


def normalized(position: NDArray, slope: NDArray, rate: float, memory: Memory) -> tuple[NDArray, Memory]:
    """A step of length `rate` against the slope, which is not zero."""
    return position - rate * slope / float(np.linalg.norm(slope)), memory


def plain(position: NDArray, slope: NDArray, rate: float, memory: Memory) -> tuple[NDArray, Memory]:
    """A step of `rate` times the slope."""
    return position - rate * slope, memory


def adam(position: NDArray, slope: NDArray, rate: float, memory: Memory) -> tuple[NDArray, Memory]:
    """Adam: the mean slope over the root of the mean square (Kingma and Ba, arXiv:1412.6980, algorithm 1)."""
    updates = memory.get("updates", np.array(0)) + 1
    mean = _FORGET_MEAN * memory.get("mean", 0.0) + (1 - _FORGET_MEAN) * slope
    square = _FORGET_SQUARE * memory.get("square", 0.0) + (1 - _FORGET_SQUARE) * slope**2
    corrected = np.sqrt(square / (1 - _FORGET_SQUARE**updates))
    step = rate * mean / (1 - _FORGET_MEAN**updates) / (corrected + _SMALL)
    return position - step, {"updates": np.asarray(updates), "mean": mean, "square": square}


def adamax(position: NDArray, slope: NDArray, rate: float, memory: Memory) -> tuple[NDArray, Memory]:
    """AdaMax: the mean slope over its largest recent size (Kingma and Ba, arXiv:1412.6980, algorithm 2).

    A coupling whose slope was always zero stays where it is.
    """
    updates = memory.get("updates", np.array(0)) + 1
    mean = _FORGET_MEAN * memory.get("mean", 0.0) + (1 - _FORGET_MEAN) * slope
    largest = np.maximum(_FORGET_SQUARE * memory.get("largest", 0.0), np.abs(slope))
    direction = np.divide(mean, largest, out=np.zeros_like(mean), where=largest > 0)
    step = rate / (1 - _FORGET_MEAN**updates) * direction
    return position - step, {"updates": np.asarray(updates), "mean": mean, "largest": largest}


UPDATES: dict[str, Update] = {"normalized": normalized, "plain": plain, "adam": adam, "adamax": adamax}
