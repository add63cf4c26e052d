"""Whether the settings of a training make sense."""

from __future__ import annotations

from numbers import Real

import numpy as np

from qep_tn.descent.update_rules import UPDATES
from qep_tn.training.schedule import Decay

_OPTIMIZERS = tuple(UPDATES)


def check_plan(
    optimizer: str, rate: float | Decay, batch: int, steps: int, test_every: int, patience: int | None, kept: int,
    checked: float, seeds: int, spread: float, clip: float | None,
) -> None:  # fmt: skip
    """Raise ValueError for settings that a training cannot have."""
    if optimizer not in _OPTIMIZERS:
        raise ValueError(f"optimizer is {optimizer!r}; for random batches it must be one of {', '.join(_OPTIMIZERS)}")
    if not isinstance(rate, Decay) and not (isinstance(rate, Real) and 0 < rate < np.inf):
        raise ValueError(f"rate is {rate!r}; it must be positive and finite, or a qt.Decay")
    for name, value, least in (
        ("batch", batch, 1),
        ("steps", steps, 0),
        ("test_every", test_every, 1),
        ("kept", kept, 0),
        ("seeds", seeds, 1),
    ):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{name} is {value!r}; it must be a whole number, {least} or more")
    if patience is not None and patience < 1:
        raise ValueError(f"patience is {patience}; it must be 1 or more, or None")
    if not (isinstance(checked, Real) and 0 <= checked <= 1):
        raise ValueError(f"checked is {checked!r}; it is a share of the samples, 0 to 1")
    if clip is not None and not (isinstance(clip, Real) and 0 < clip < np.inf):
        raise ValueError(f"clip is {clip!r}; it must be positive and finite, or None")
    if not 0 <= spread < np.inf:
        raise ValueError(f"spread is {spread}; it must not be negative")
