"""Ground states that were found before, and which of them a new search had best begin from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qep_tn.states.ground_state import GroundState


class WarmStarts:
    """The newest ground states, with the expectation values of all products of the Hamiltonian.

    These give the energy of every state at any new couplings for a scalar product each; the state of the lowest one is
    the start. What it is above the ground state bounds, over the gap, the weight that the search has to remove: so
    this is the distance that counts, whatever changes, inputs or trained couplings.

    capacity: how many states are kept; the oldest go first.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.states: list[GroundState] = []
        self.values: NDArray = np.empty((0, 0))  # (states, products)

    def nearest(self, coefficients: NDArray) -> int | None:
        """The state that has the lowest energy for these coefficients of the products; None if there is no state."""
        if not self.states:
            return None
        return int(np.argmin((self.values @ coefficients).real))

    def add(self, states: Sequence[GroundState], values: Sequence[NDArray] | NDArray) -> None:
        """Keep more states. values: of each the expectation values of all products."""
        if not len(states):
            return
        both = np.concatenate([self.values, values]) if self.states else np.array(values)
        oldest = max(0, len(both) - self.capacity)
        self.states, self.values = [*self.states, *states][oldest:], both[oldest:]

    def drop(self, numbers: set[int]) -> None:
        """Forget some."""
        if not numbers:
            return
        kept = [n for n in range(len(self.states)) if n not in numbers]
        self.states, self.values = [self.states[n] for n in kept], self.values[kept]
