"""How a rate or a nudge changes in the course of a training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Decay:
    """From `first` to `last` by a constant factor a step, within `over` steps; `last` from then on."""

    first: float
    last: float
    over: int

    def __post_init__(self) -> None:
        if not (0 < self.first < np.inf and 0 < self.last < np.inf and self.over >= 1):
            raise ValueError(
                f"Decay({self.first}, {self.last}, {self.over}): both values must be positive, and over 1 or more"
            )

    def at(self, step: int) -> float:
        """The value at a step."""
        return float(self.first * (self.last / self.first) ** min(step / self.over, 1.0))


def value_at(schedule: float | Decay, step: int) -> float:
    """The value of a number or a schedule at a step."""
    return schedule.at(step) if isinstance(schedule, Decay) else float(schedule)
