"""Free and nudged matrix product states by libraries that sweep the whole chain.

For matrix product states QEP is exact on a fixed manifold, so free and nudged phases are swept at the same bond
dimensions from the same state, in step: what one sweep leaves unconverged is common to all and drops out of the
difference. The manifold must hold the response too, and a product state's own manifold, say, does not; so two-site
sweeps under a strong nudge first give it room, from a state that holds O|psi>.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from qep_tn.gradients.losses import Loss
from qep_tn.gradients.nudge import (
    COARSER_NUDGE,
    SAME_ENERGY,
    Level,
    Nudge,
    coarser_bond,
    difference_quotient,
    resolution,
    signs,
)
from qep_tn.gradients.operator_bases import with_operator
from qep_tn.gradients.residual import faintest_told, response_residual
from qep_tn.solvers.dmrg import LibraryDMRG
from qep_tn.solvers.protocol import Solver
from qep_tn.states.ground_state import GroundState, SolveStatus, expectations

_LARGEST_SWEEP_COUNT = 20
_COARSER_CUTOFF = 2.5
_ADDED = 0.1  # amplitude of O|psi>, O of unit norm, in the state that the strong nudge's sweeps start from


@dataclass(frozen=True)
class SweptManifold:
    """The bond dimensions of one state that has room for the response.

    beta, strong: strengths of the nudge, and of the one that makes the room. first: the free state it came from.
    grown: the state after one sweep under the strong nudge, and after two; the coarser manifold takes the first, so
        that what sweeps leave undone shows.
    """

    solver: LibraryDMRG
    nudge: Nudge
    scheme: str
    beta: float
    strong: float
    rtol: float
    first: GroundState
    grown: tuple[GroundState, GroundState]
    coarser: bool = True

    @classmethod
    def around(
        cls,
        solver: LibraryDMRG,
        nudge: Nudge,
        scheme: str,
        beta: float,
        strong: float,
        rtol: float,
        free: GroundState,
        adapt: bool,
    ) -> SweptManifold:
        """The manifold around a free state."""
        return cls(solver, nudge, scheme, beta, strong, rtol, free, with_response(solver, nudge, strong, free))

    @property
    def limited(self) -> bool:
        """Whether a bond dimension is at its limit."""
        return max(self.grown[1].bond_dimensions) >= self.solver.max_bond

    def level(self) -> Level:
        """The level of this manifold, the free state swept with the nudged ones unless it is the coarser one."""
        if not self.coarser:
            return swept_level(self.solver, self.nudge, self.scheme, self.beta, self.grown[1], self.rtol)
        limit = coarser_bond(self.solver.max_bond) if self.limited else self.solver.max_bond
        start = coarser(self.grown[0], _COARSER_CUTOFF * self.solver.schmidt_cutoff, limit)
        return swept_level(
            self.solver, self.nudge, self.scheme, COARSER_NUDGE * self.beta, start, self.rtol, free=False
        )

    def refined(self, level: Level, loss: Loss) -> SweptManifold:
        """The manifold that this one is a coarser one of; beyond it, one with a finer cutoff, for half the nudge."""
        if self.coarser:
            return replace(self, coarser=False)
        solver = self.solver.with_finer_cutoff(5.0)
        signal = loss.error_signal(expectations(level.free.state, self.nudge.observables))
        nudge = self.nudge.with_signal(signal)
        grown = with_response(solver, nudge, self.strong, self.grown[1])
        return replace(self, solver=solver, nudge=nudge, beta=self.beta / 2, first=level.free, grown=grown)

    def second_values(self, fine: Level, coarse: Level) -> NDArray:
        """The observables' values in the free state before it was swept on this manifold."""
        return expectations(self.first.state, self.nudge.observables)


def swept_level(
    solver: LibraryDMRG, nudge: Nudge, scheme: str, beta: float, start: GroundState, rtol: float, free: bool = True
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
        if change <= max(0.1 * rtol, resolution(beta, len(gradient)) / norm if norm > 0 else 0.0):
            message = ""
            break
    else:
        message = f"the gradient still changed by {change:.1e} in sweep {_LARGEST_SWEEP_COUNT} of the nudged states"
    status = SolveStatus.UNSETTLED if message else SolveStatus.CONVERGED
    unnudged, *nudged = (replace(s, status=status, message=message or "converged") for s in (unnudged, *nudged))

    def certify() -> float:
        if beta < (told := faintest_told(nudge, unnudged.mps)):
            return swept_level(solver, nudge, scheme, told, start, rtol, free).residual
        return residual_of(nudge, beta, unnudged, nudged)

    return Level.of_states(beta, gradient, unnudged, nudged, message, certify)


def residual_of(nudge: Nudge, beta: float, free: GroundState, nudged: Sequence[GroundState]) -> float:
    """The residual of the response that one or two nudged states show."""
    first, second = (*nudged, free)[:2]
    return response_residual(nudge, (first, second), (beta, -beta if second is not free else 0.0))


def with_lowest_states(solver: Solver, nudge: Nudge, scheme: str, level: Level) -> Level:
    """The level with each nudged state replaced by a cold ground state if that lies lower: a given, finite nudge may
    move another branch below the free state's, and then the ground state is there.
    """
    rounding = SAME_ENERGY * float(np.abs(nudge.free.coefficients(nudge.theta)).sum())
    nudged = []
    for sign, state in zip(signs(scheme), level.nudged, strict=True):
        cold = solver.ground_state(nudge.hamiltonian, nudge.at(sign * level.beta))
        nudged.append(cold if cold.energy < state.energy - 1e-7 * level.beta - rounding else state)
    if all(new is old for new, old in zip(nudged, level.nudged, strict=True)):
        return level
    base, *values = (expectations(state.state, nudge.free.couplings) for state in (level.free, *nudged))
    found = Level.of_states(
        level.beta, difference_quotient(values, base, level.beta), level.free, nudged, level.message
    )
    return replace(
        level, gradient=found.gradient, overlap=found.overlap, weight=found.weight, message=found.message,
        assemble=found.assemble, certify=partial(residual_of, nudge, level.beta, level.free, nudged),
    )  # fmt: skip


def with_response(
    solver: LibraryDMRG, nudge: Nudge, strong: float, free: GroundState
) -> tuple[GroundState, GroundState]:
    """States on manifolds that hold the response: `free` after one and after two two-site sweeps under a strong nudge.

    If the strong nudge tips the state over into another branch, weaker ones are tried.
    """
    for factor in (1, 0.1, 0.01):
        start = with_operator(free.mps, nudge.perturbation, -_ADDED * factor, solver.max_bond)
        once = solver.grow(nudge.hamiltonian, nudge.at(factor * strong), replace(free, state=start))
        grown = solver.grow(nudge.hamiltonian, nudge.at(factor * strong), once)
        if grown.fidelity(free) > 0.5:
            return once, grown
    return free, free


def coarser(state: GroundState, cutoff: float, max_bond: int) -> GroundState:
    """The state with its Schmidt values below `cutoff` discarded, and its bond dimensions cut to `max_bond`."""
    truncated = state.mps.truncated(cutoff, max_bond)
    return replace(state, state=truncated, bond_dimensions=tuple(truncated.bond_dimensions))
