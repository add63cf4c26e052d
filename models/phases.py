"""What is known exactly of a model's phases."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from numpy.typing import NDArray


class ExactPhases(NamedTuple):
    """The phases of an infinite chain.

    parameters: names of the couplings. names: of the phases.
    phase: couplings by name, broadcast -> index into names. boundaries: (axes, other couplings by name, reach)
    -> curves in the plane of two couplings, each (points, 2), NaN where a curve is no boundary.
    """

    parameters: tuple[str, ...]
    names: tuple[str, ...]
    phase: Callable[..., NDArray]
    boundaries: Callable[..., list[NDArray]]
