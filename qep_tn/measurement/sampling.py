"""Outcomes of measurements on a state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.sites import Sites
from qep_tn.measurement.bases import basis_of
from qep_tn.measurement.shots import generator
from qep_tn.states.ground_state import GroundState, State
from qep_tn.states.mps import MPS
from qep_tn.states.state_vector import StateVector


def sample(
    state: GroundState | MPS | StateVector, basis: str | Sequence[str], shots: int, rng: int | np.random.Generator
) -> NDArray:
    """Outcomes of independent measurements of all sites, drawn from the state's exact distribution.

    basis: one letter for each site, "XXZ" or ["X", "X", "Z"], or one for all; X, Y or Z for qubits and spins, Z or N
        for bosons, the particle number.
    rng: a seed, or a numpy generator; the same seed gives the same outcomes.

    Returns (shots, L) integers, the level that each site was found in: of a qubit 0 for the eigenvalue +1 of its Pauli
    operator and 1 for -1; of a spin 0 for m = S, and down from there; of a bosonic mode its number of particles.
    Matrix product states by Ferris and Vidal, PRB 85, 165146 (2012), O(shots L χ² d).
    Raises ValueError for a basis that does not fit the sites, or the Gaussian state of a `FreeFermion` solver.
    """
    if isinstance(shots, bool) or not isinstance(shots, int | np.integer) or shots < 1:
        raise ValueError(f"shots = {shots!r}: a positive whole number")
    kept: State = state.state if isinstance(state, GroundState) else state
    letters = tuple(basis) * (len(state.sites) if len(basis) == 1 else 1)
    if len(letters) != len(state.sites):
        raise ValueError(f"the basis has {len(letters)} letters for {len(state.sites)} sites; give one each, or one")
    return draw(kept, state.sites, letters, int(shots), generator(rng))


def draw(state: State, sites: Sites, letters: Sequence[str], shots: int, rng: np.random.Generator) -> NDArray:
    """As `sample`, of a state whose basis is known to have a letter for every site."""
    return state.sample([basis_of(site, letter) for site, letter in zip(sites, letters, strict=True)], shots, rng)
