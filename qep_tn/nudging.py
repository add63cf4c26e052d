"""The states behind a gradient: free and nudged, on one manifold, at two accuracies.

For matrix product states QEP is exact on a fixed manifold, so free and nudged phases are swept at the same bond
dimensions from the same state, in step: what one sweep leaves unconverged is common to all and drops out of the
difference. The manifold must hold the response too, and a product state's own manifold, say, does not; so a two-site
sweep under a strong nudge first gives it room.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonian import Hamiltonian, Theta
from qep_tn.mps import MPS
from qep_tn.operators import Operator
from qep_tn.solvers import DMRGSettings, GroundState, Solver
from qep_tn.solvers.protocol import expectations

_LARGEST_SWEEP_COUNT = 20


@dataclass(frozen=True)
class Nudge:
    """H(theta) + beta * sum_m signal_m O_m as a Hamiltonian with one more parameter.

    free, theta: the Hamiltonian without nudge, and its parameters.
    signal: the error signal, one number for each observable.
    """

    free: Hamiltonian
    theta: Theta
    observables: tuple[Operator, ...]
    signal: NDArray

    @property
    def hamiltonian(self) -> Hamiltonian:
        """The Hamiltonian with the parameter "nudge"; built once for a Hamiltonian and its observables."""
        return _with_nudge(self.free, self.observables)

    def at(self, beta: float) -> Theta:
        """Its parameters at nudge strength beta."""
        return {**self.theta, "nudge": beta * self.signal}


@lru_cache(maxsize=8)
def _with_nudge(free: Hamiltonian, observables: tuple[Operator, ...]) -> Hamiltonian:
    return free.with_parameter("nudge", observables)


@dataclass(frozen=True)
class Level:
    """Nudged states at one accuracy.

    beta: nudge strength. gradient: over the couplings. free: the free state on the same manifold.
    nudged: at +beta, and at -beta if the scheme is symmetric.
    message: empty, or why the sweeps have not converged.
    """

    beta: float
    gradient: NDArray
    free: GroundState
    nudged: tuple[GroundState, ...]
    message: str = ""

    @property
    def overlap(self) -> float:
        """The smallest |<free|nudged>|^2."""
        return min((state.fidelity(self.free) for state in self.nudged), default=1.0)


def signs(scheme: str) -> tuple[int, ...]:
    """Of the nudges that a scheme needs."""
    return (1, -1) if scheme == "symmetric" else (1,)


def difference_quotient(values: Sequence[NDArray], free: NDArray, beta: float) -> NDArray:
    """The gradient from <A> in the nudged states: symmetric for two of them, one-sided for one."""
    plus, minus = values if len(values) == 2 else (values[0], free)
    return (plus - minus) / (len(values) * beta)


def exact_level(solver: Solver, nudge: Nudge, scheme: str, beta: float, free: GroundState) -> Level:
    """Nudged states by a solver without a manifold."""
    nudged = tuple(solver.ground_state(nudge.hamiltonian, nudge.at(s * beta), start=free) for s in signs(scheme))
    values = [expectations(state.state, nudge.free.couplings) for state in nudged]
    base = expectations(free.state, nudge.free.couplings)
    return Level(beta, difference_quotient(values, base, beta), free, nudged)


def manifold_level(
    solver: DMRGSettings, nudge: Nudge, scheme: str, beta: float, start: GroundState, rtol: float, free: bool = True
) -> Level:
    """Nudged states at the bond dimensions of `start`, swept in step, the free state with them, until the gradient's
    change in one sweep falls below rtol/10 of its norm.

    free: False leaves the free state out if the scheme is symmetric and needs none; the level then has `start` for it.
    """
    strengths = (0, *signs(scheme)) if free or scheme != "symmetric" else signs(scheme)
    runs: list[Iterator[GroundState]] = [solver.sweeps(nudge.hamiltonian, nudge.at(s * beta), start) for s in strengths]
    couplings = nudge.free.couplings
    gradient, change = np.full(len(couplings), np.inf), np.inf
    for _ in range(_LARGEST_SWEEP_COUNT):
        states = [next(run) for run in runs]
        unnudged, nudged = (states[0], states[1:]) if strengths[0] == 0 else (start, states)
        base, *values = (expectations(state.state, couplings) for state in (unnudged, *nudged))
        previous, gradient = gradient, difference_quotient(values, base, beta)
        norm = float(np.linalg.norm(gradient))
        change = float(np.linalg.norm(gradient - previous)) / norm if norm > 0 else 0.0
        if change <= max(0.1 * rtol, _resolution(beta, len(gradient)) / norm if norm > 0 else 0.0):
            message = ""
            break
    else:
        message = f"the gradient still changed by {change:.1e} in sweep {_LARGEST_SWEEP_COUNT} of the nudged states"
    unnudged, *nudged = (replace(s, converged=not message, message=message or "converged") for s in (unnudged, *nudged))
    return Level(beta, gradient, unnudged, tuple(nudged), message)


def with_lowest_states(solver: DMRGSettings, nudge: Nudge, scheme: str, level: Level) -> Level:
    """The level with each nudged state replaced by a cold ground state if that lies lower: a given, finite nudge may
    move another branch below the free state's, and then the ground state is there.
    """
    nudged = []
    for sign, state in zip(signs(scheme), level.nudged, strict=True):
        cold = solver.ground_state(nudge.hamiltonian, nudge.at(sign * level.beta))
        nudged.append(cold if cold.energy < state.energy - 1e-7 * level.beta else state)
    base, *values = (expectations(state.state, nudge.free.couplings) for state in (level.free, *nudged))
    return replace(level, gradient=difference_quotient(values, base, level.beta), nudged=tuple(nudged))


def _resolution(beta: float, couplings: int) -> float:
    """Norm of the rounding noise in a gradient: about 1e-14 in every expectation value."""
    return 1e-14 * np.sqrt(couplings) / beta


def manifold_with_response(solver: DMRGSettings, nudge: Nudge, strong: float, free: GroundState) -> GroundState:
    """A state on a manifold that holds the response: `free` after a two-site sweep under a strong nudge.

    If the strong nudge tips the state over into another branch, weaker ones are tried.
    """
    for beta in (strong, 0.1 * strong, 0.01 * strong):
        grown = solver.grow(nudge.hamiltonian, nudge.at(beta), free)
        if grown.fidelity(free) > 0.5:
            return grown
    return free


def coarser(state: GroundState, cutoff: float, max_bond: int) -> GroundState:
    """The state with its Schmidt values below `cutoff` discarded, and its bond dimensions cut to `max_bond`."""
    assert isinstance(state.state, MPS)
    truncated = state.state.truncated(cutoff, max_bond)
    return replace(state, state=truncated, bond_dimensions=tuple(truncated.bond_dimensions))
