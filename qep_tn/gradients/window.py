"""Free and nudged matrix product states by the compiled engine, at the price of the response.

The free state stays what it is. Around the nudge its bonds get room for the response; the nudged states are then swept
in a window that reaches as far as the response does, and share all that lies outside with the free state. In a gapped
phase the cost does not grow with the chain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from qep_tn.gradients.losses import Loss
from qep_tn.gradients.nudge import (
    BIAS_OVER_WEIGHT,
    LARGEST_BIAS_OVER_WEIGHT,
    SHRINK,
    Level,
    Noise,
    Nudge,
    coarser_bond,
    difference_quotient,
    resolution,
    signs,
    weight_between,
)
from qep_tn.gradients.residual import faintest_told, response_residual
from qep_tn.gradients.room import EDGE, FIRST_ROOM, FreeChain, Room, part_of
from qep_tn.hamiltonians.mpo import energy_and_variance
from qep_tn.kernels import (
    BlockMPO,
    Chain,
    ChargedChain,
    ChargedMPO,
    cut_window,
    evaluate,
    one_site_pass,
    overlap,
    packed_tensors,
    whole_state,
)
from qep_tn.solvers.numba_dmrg import NumbaDMRG
from qep_tn.states.ground_state import GroundState, SolveStatus, expectations
from qep_tn.states.mps import MPS, expectation_plan

_CYCLES, _PATIENCE = 20, 6
_VECTORS, _REDUCTION = 10, 1e-2
_ROUNDING = 1e-15  # in an expectation value
_OTHER_NUDGE = 2.0  # of the first manifold, over the one that counts: their difference is three times the latter's bias
_FINER_CUTOFFS = 3  # tried, one after another, for one that makes the free state finer
_FAINTEST_NUDGE = 1e-4  # over the strong one: rounding of 1e-15 in an expectation value is then 1e-10 of the response
_BIAS = 0.25  # of the relative error asked for: what remains of the nudge's bias
_FAINTEST_TOLD = 2e-9  # component, relative to the largest: of 128 sites, what is fainter is lost at any rtol
_UNDETERMINED = 4.0  # amplitude of the response that truncation leaves undetermined, in units of that share squared
_FAINT, _FAINTEST = 100, 1e-4  # times the strong nudge and the gradient: 10 for one of natural size; and least share


@dataclass
class Run:
    """A nudged state on its way: its window, where the centre is in it, and the strength of its nudge."""

    window: Chain | ChargedChain
    mpo: BlockMPO | ChargedMPO
    centre: int
    strength: float

    def cycle(self, tolerance: float) -> None:
        """Outwards to the right end, and back to the left one."""
        last = len(self.window.dims) - 1
        one_site_pass(self.window, self.mpo, self.centre, last, _VECTORS, tolerance, _REDUCTION)
        one_site_pass(self.window, self.mpo, last, 0, _VECTORS, tolerance, _REDUCTION)
        self.centre = 0


@dataclass(frozen=True)
class WindowedManifold:
    """The free state's bond dimensions, more around the nudge.

    beta: strength of the nudge. adapt: whether that is the most it may be, and what bias rtol allows decides.
    curvature: of the response, see `Level`; None for the first manifold, whose level measures it.
    strong: of the nudge that makes the room.
    rounds: of passes that make it, at most; a finer manifold has twice as many, so that what they leave undone shows.
    room: on either side of the nudge, sites to begin with.
    """

    solver: NumbaDMRG
    nudge: Nudge
    scheme: str
    beta: float
    strong: float
    rtol: float
    free: GroundState
    adapt: bool
    curvature: NDArray | None = None
    rounds: int = 1
    room: int = FIRST_ROOM

    @property
    def limited(self) -> bool:
        """Whether a bond dimension is at its limit."""
        return max(self._room.chain.bonds.max(), *self.free.bond_dimensions) >= self._max_bond

    def level(self) -> Level:
        """The level of this manifold; the first one's has two nudges, which differ by the bias of each."""
        if self.curvature is not None:
            return replace(self._level(self._room, self.beta), curvature=self.curvature)
        beta = max(min(self.beta, self._proportional), self._faintest) if self.adapt else self.beta
        other, level = (self._level(self._room, strength) for strength in (_OTHER_NUDGE * beta, beta))
        difference = (other.gradient - level.gradient) / (other.beta**level.order - level.beta**level.order)
        return replace(level, curvature=difference)

    def only_level(self) -> Level:
        """The level of a manifold that no other one follows: the weight of the response in the nudged states tells the
        bias, and where that is too large the nudge is weakened to what the weight says, once.
        """
        if not self.adapt:
            return self._level(self._room, self.beta)
        allowed = self.rtol / (2 * LARGEST_BIAS_OVER_WEIGHT)
        beta = max(min(self.beta, self._root(_BIAS / 4) * self._proportional), self._faintest)
        level = self._level(self._room, beta)
        bias = max(level.weight if level.order == 2 else math.sqrt(level.weight), 1e-300)
        if bias <= allowed:
            return level
        return self._level(self._room, max(beta * self._root(allowed / (2 * bias)), self._faintest))

    def refined(self, level: Level, loss: Loss) -> WindowedManifold:
        """A manifold whose cutoff is finer by `SHRINK`, more rounds, and the nudge whose bias is what may remain."""
        solver, free = self._finer_state()
        nudge = self.nudge.with_signal(loss.error_signal(expectations(free.state, self.nudge.observables)))
        return replace(
            self,
            solver=solver,
            nudge=nudge,
            beta=self._refined_beta(level) if self.adapt else self.beta * nudge.strength / self.nudge.strength,
            free=free,
            rounds=2 * self.rounds,
            room=level.reach,
            curvature=level.curvature,
        )

    def _finer_state(self) -> tuple[NumbaDMRG, GroundState]:
        """The free state at the next finer cutoff that does make it finer: Schmidt values come in groups."""
        solver, free = self.solver, self.free
        for _ in range(_FINER_CUTOFFS):
            solver = solver.with_finer_cutoff(SHRINK)
            free = solver.refined(self.nudge.free, self.nudge.theta, free)
            if free.energy_variance <= self.free.energy_variance / SHRINK:
                break
        return solver, free

    def _refined_beta(self, level: Level) -> float:
        """The nudge whose bias is a share of what the relative error may be."""
        bias = float(np.linalg.norm(level.bias))
        allowed = _BIAS * self.rtol * float(np.linalg.norm(level.gradient))
        return max(level.beta * float(np.clip(self._root(allowed / max(bias, 1e-300)), 0.1, 3.0)), self._faintest)

    @property
    def _faintest(self) -> float:
        """The weakest nudge: the response to a weaker one drowns in rounding."""
        return (_FAINTEST_NUDGE if self.scheme == "symmetric" else 0.1 * _FAINTEST_NUDGE) * self.strong

    def second_values(self, fine: Level, coarse: Level) -> NDArray:
        """<O_m> without nudge, extrapolated from the free states of two levels."""
        last, before = (expectations(level.free.state, self.nudge.observables) for level in (fine, coarse))
        return last + (last - before) / (SHRINK - 1)

    @property
    def _max_bond(self) -> int:
        """The largest bond dimension: of the first manifold less, or it would leave as much out as the next."""
        return coarser_bond(self.solver.max_bond) if self.rounds == 1 else self.solver.max_bond

    @cached_property
    def _proportional(self) -> float:
        """The strongest nudge in whose states the weight of the response makes no more bias than rtol."""
        return self._root(self.rtol / BIAS_OVER_WEIGHT) / max(self._room.response, 1e-300)

    def _root(self, bias: float) -> float:
        """The nudge, relative to another one, whose bias is this share of the other's."""
        return math.sqrt(bias) if self.scheme == "symmetric" else bias

    @cached_property
    def _chain(self) -> FreeChain:
        return FreeChain(
            self.nudge, self.free, self.solver.schmidt_cutoff, self._max_bond, self.strong, self.rounds, self.rtol
        )

    @cached_property
    def _room(self) -> Room:
        return self._chain.widened(self.room)

    def _level(self, room: Room, beta: float) -> Level:
        """Nudged states in a window, widened until the response has died at its edges."""
        length = len(self.nudge.free.sites)
        lowest, highest = self._chain.support
        reach = self._chain.window_reach(room)
        while True:
            first, last = max(room.first, lowest - reach), min(room.last, highest + reach)
            level, edge = self._level_in(room, first, last, beta)
            largest = float(np.abs(level.gradient).max(initial=0.0))
            whole = first == 0 and last == length - 1
            if whole or edge <= max(EDGE * self.rtol * largest, resolution(beta, 1)):
                return level
            reach = 2 * reach + 4
            if (first, last) == (room.first, room.last):
                room = self._chain.widened(reach)

    def _level_in(self, room: Room, first: int, last: int, beta: float) -> tuple[Level, float]:
        """Nudged states in the window first..last, and the largest derivative of a product at the window's edges."""
        H = self.nudge.free
        lowest, highest = self._chain.support
        strengths = [sign * beta for sign in signs(self.scheme)]
        nudged = len(strengths)
        if self.scheme == "one-sided":
            strengths.append(0.0)
        runs = [self._run(room, first, last, strength) for strength in strengths]
        inside, edges = products_inside(H.product_extents, first, last, len(H.sites), max(2, self._chain.range))
        plan, phases = expectation_plan(H.sites, H.products)
        tolerance = 1e-2 * self.rtol * beta

        def cycle(run: Run) -> NDArray:
            run.cycle(share * tolerance)
            return evaluate(plan, packed_tensors(run.window), first) * phases

        settled = False
        gradient, changes, message = np.full(len(H.couplings), np.inf), [np.inf], ""
        share = 1.0  # of the response that the gradient is, at most; local problems are solved as well as it needs
        for _ in range(_CYCLES):
            values = self.solver.map(cycle, runs)
            quotient = np.where(inside, difference_quotient(values[:nudged], values[-1], beta), 0.0)
            previous, gradient = gradient, np.asarray((H.coupling_matrix @ quotient).real)
            norm = float(np.linalg.norm(gradient))
            share = float(np.clip(_FAINT * self.strong * norm, _FAINTEST, 1))
            changes.append(float(np.linalg.norm(gradient - previous)) / norm if norm > 0 else 0.0)
            if changes[-1] <= min(changes):
                quietest, moved = (gradient, quotient), np.abs(gradient - previous) if norm > 0 else 0.0
            else:
                moved = np.maximum(moved, np.abs(gradient - quietest[0]))
            if changes[-1] <= max(0.1 * self.rtol, resolution(beta, len(gradient)) / norm if norm > 0 else 0.0):
                settled = True
                break
            # degenerate levels, of edge modes say, rotate for ever, and by different angles in the two nudged states:
            # the sweep that changed least is as near to rest as they come, and off by what comes after
            if len(changes) > _PATIENCE and changes[-1] > 0.5 * changes[-3]:
                break
        else:
            message = f"the gradient still changed by {min(changes):.1e} in {_CYCLES} sweeps of the nudged states"
        gradient, quotient = quietest
        free = self._run(room, first, last, 0.0).window
        same = min(abs(overlap(free, run.window)) ** 2 for run in runs[:nudged])
        apart = abs(overlap(runs[0].window, runs[-1].window)) ** 2
        edge = float(np.abs(quotient[edges]).max(initial=0.0))
        states = cache(lambda: tuple(self._assembled(run, first, message) for run in runs))

        def certify() -> float:
            told = min(faintest_told(self.nudge, self.free.mps), self.strong)
            if beta < told:
                return self._level(room, told).residual
            return response_residual(self.nudge, states()[:2], strengths[:2])

        level = Level(
            beta=beta,
            gradient=gradient,
            free=self.free,
            order=nudged,
            overlap=same,
            weight=weight_between(apart, nudged),
            message=message,
            settled=settled,
            noise=Noise(_ROUNDING, min(_FAINTEST_TOLD, 0.02 * self.rtol), _UNDETERMINED * self._chain.share**2),
            last_change=moved,
            assemble=lambda: states()[:nudged],
            certify=certify,
            reach=max(lowest - room.first, room.last - highest),
            room=room.size,
            limited=self.limited,
            left_out=np.asarray(abs(H.coupling_matrix) @ self._beyond(quotient, edge, first, last)),
        )
        return level, edge

    def _beyond(self, quotient: NDArray, edge: float, first: int, last: int) -> NDArray:
        """A bound on the derivatives of products outside the window, which decay on as they did within it."""
        extents = self.nudge.free.product_extents
        distance = np.maximum(np.maximum(first - extents[:, 0], extents[:, 1] - last), 0)
        largest = float(np.abs(quotient).max(initial=0.0))
        if largest == 0 or edge == 0:
            return np.zeros(len(distance))
        reach = min(self._chain.support[0] - first, last - self._chain.support[1])
        decay = max(math.log(largest / edge), 0.0) / max(reach, 1)
        return np.where(distance > 0, 3 * edge * np.exp(-decay * distance), 0.0)

    def _run(self, room: Room, first: int, last: int, strength: float) -> Run:
        mpo = part_of(self._chain.mpo(strength), first, last)
        bonds = room.chain.bonds[first - room.first : last - room.first + 2]
        window = cut_window(
            room.chain, mpo, first - room.first, last - room.first, room.centre - room.first, bonds
        )  # fmt: skip
        return Run(window, mpo, room.centre - first, strength)

    def _assembled(self, run: Run, first: int, message: str) -> GroundState:
        """The nudged state on the whole chain."""
        sites = self.nudge.free.sites
        state = MPS.from_packed(sites, packed_tensors(whole_state(self._chain.base, run.window, first)))
        energy, variance = energy_and_variance(self._chain.mpo(run.strength), state.packed)
        return GroundState(
            energy, state, sites, variance, self.free.truncation_error, tuple(state.bond_dimensions),
            status=SolveStatus.UNSETTLED if message else SolveStatus.CONVERGED, message=message or "converged",
        )  # fmt: skip


def products_inside(extents: NDArray, first: int, last: int, length: int, near: int) -> tuple[NDArray, NDArray]:
    """Which products lie inside a window, and which of these are `near` an edge that is not the chain's end.

    extents: (number of products, 2) first and last site of each.
    """
    inside = (extents[:, 0] >= first) & (extents[:, 1] <= last)
    edges = np.zeros_like(inside)
    if inside.any():
        if first > 0:
            edges |= inside & (extents[:, 0] <= extents[inside, 0].min() + near - 1)
        if last < length - 1:
            edges |= inside & (extents[:, 1] >= extents[inside, 1].max() - near + 1)
    return inside, edges
