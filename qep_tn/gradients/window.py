"""Free and nudged matrix product states by the compiled engine, at the price of the response.

The free state stays what it is. Around the nudge its bonds get room for the response; the nudged states are then swept
in a window that reaches as far as the response does, and share all that lies outside with the free state. In a gapped
phase the cost does not grow with the chain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qep_tn.gradients.losses import Loss
from qep_tn.gradients.nudge import (
    COARSER_CUTOFF,
    COARSER_NUDGE,
    Level,
    Noise,
    Nudge,
    coarser_bond,
    difference_quotient,
    resolution,
    signs,
)
from qep_tn.gradients.operator_bases import with_operator
from qep_tn.gradients.residual import response_residual
from qep_tn.hamiltonians.mpo import energy_and_variance
from qep_tn.hamiltonians.operators import expand, local_strength
from qep_tn.kernels import (
    BlockMPO,
    Chain,
    compile_kernels,
    cut_window,
    evaluate,
    load_chain,
    move_centre,
    one_site_pass,
    overlap,
    packed_tensors,
    whole_state,
    widen_bonds,
)
from qep_tn.solvers.numba_dmrg import NumbaDMRG, bond_limits
from qep_tn.states.ground_state import GroundState, SolveStatus, expectations
from qep_tn.states.mps import MPS, expectation_plan

_CYCLES, _PATIENCE = 20, 6
_FIRST_ROOM = 48  # sites on either side of the nudge
_QUIET = 5.0  # a response below this times the cutoff needs no more room on the bonds
_EDGE = 1e-4  # the response at the window's edge, relative to the largest, in units of rtol
_LONG_RANGE = 12  # bonds that a product spans; the response then reaches everywhere
_WIDEN_VECTORS, _VECTORS, _REDUCTION = 4, 10, 1e-2
# A response is whole when its norms after two passes differ by less than this share: after the first two by 2e-5 in
# gapped chains, by up to 0.02 at criticality, and by 0.12 at the Majumdar-Ghosh point, where a pass brings it one dimer
# further. With 0.007, products of both ends of such a chain were 18 % wrong: their gradient is in what still grows
_GROWN = 7e-4
# Of the error bars: rounding in an expectation value, what truncation adds to it in units of the cutoff squared, the
# faintest component that can be told, and the amplitude that truncation leaves undetermined, in units of the cutoff.
# With them `python -m benchmarks.accuracy --solvers NumbaDMRG` finds at least 99.5 % of components within their bars
_ROUNDING, _TRUNCATED, _FAINTEST_TOLD, _UNDETERMINED = 1e-15, 0.1, 1.3e-5, 0.3
_FAINT, _FAINTEST = 100, 1e-4  # times the strong nudge and the gradient: 10 for one of natural size; and least share


class Room(NamedTuple):
    """A window of the free state whose bonds have room for the response.

    first: its first site on the whole chain. centre: its orthogonality centre, there too. reach: how many sites
    beyond the nudge the room reaches. cutoff, max_bond: of its bonds. rounds: see `WindowedManifold`.
    """

    chain: Chain
    first: int
    centre: int
    reach: int
    cutoff: float
    max_bond: int
    rounds: int

    @property
    def last(self) -> int:
        """Its last site on the whole chain."""
        return self.first + len(self.chain.dims) - 1


@dataclass
class Run:
    """A nudged state on its way: its window, where the centre is in it, and the strength of its nudge."""

    window: Chain
    mpo: BlockMPO
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

    beta, strong: strengths of the nudge, and of the one that makes the room.
    rounds: of passes that make it, at most; the coarser manifold has one, so that what they leave undone shows.
    """

    solver: NumbaDMRG
    nudge: Nudge
    scheme: str
    beta: float
    strong: float
    rtol: float
    free: GroundState
    rounds: int = 2

    @property
    def limited(self) -> bool:
        """Whether a bond dimension is at its limit."""
        return max(self._room.chain.bonds.max(), *self.free.bond_dimensions) >= self.solver.max_bond

    def fine(self) -> Level:
        """The level of this manifold."""
        return self._level(self._room, self.beta)

    def coarse(self) -> Level:
        """The level of a coarser manifold, at a stronger nudge."""
        limit = coarser_bond(self.solver.max_bond) if self.limited else self.solver.max_bond
        room = self._widened(COARSER_CUTOFF * self.solver.schmidt_cutoff, limit, _FIRST_ROOM, rounds=1)
        return self._level(room, COARSER_NUDGE * self.beta)

    def refined(self, level: Level, loss: Loss) -> WindowedManifold:
        """A manifold with a finer cutoff and more rounds, for half the nudge."""
        solver = self.solver.with_finer_cutoff(5.0)
        free = solver.ground_state(self.nudge.free, self.nudge.theta, start=self.free)
        signal = loss.error_signal(expectations(free.state, self.nudge.observables))
        return replace(
            self,
            solver=solver,
            nudge=replace(self.nudge, signal=signal),
            beta=self.beta / 2,
            free=free,
            rounds=2 * self.rounds,
        )

    def second_values(self, fine: Level, coarse: Level) -> NDArray:
        """<O_m> without nudge, extrapolated from the nudged states of two levels."""
        assert fine.observed is not None
        assert coarse.observed is not None
        ratio = (coarse.beta / fine.beta) ** fine.order
        return fine.observed - (coarse.observed - fine.observed) / (ratio - 1)

    @cached_property
    def _support(self) -> tuple[int, int]:
        """First and last site of the observables."""
        sites = [site for operator in self.nudge.observables for site in operator.support]
        return min(sites), max(sites)

    @cached_property
    def _range(self) -> int:
        """How many bonds the longest product of H and of its couplings spans."""
        extents = self.nudge.hamiltonian.product_extents[[bool(p) for p in self.nudge.hamiltonian.products]]
        return int((extents[:, 1] - extents[:, 0]).max(initial=1))

    def _mpo(self, beta: float) -> BlockMPO:
        hamiltonian = self.nudge.hamiltonian
        mpo = hamiltonian.mpo.fill_blocks(hamiltonian.coefficients(self.nudge.at(beta)))
        return mpo._replace(values=mpo.values.astype(self._dtype, copy=False))

    @cached_property
    def _dtype(self) -> np.dtype:
        hamiltonian = self.nudge.hamiltonian
        mpo = hamiltonian.mpo.fill_blocks(hamiltonian.coefficients(self.nudge.at(self.strong)))
        return np.result_type(mpo.values, self.free.mps.packed.data)

    @cached_property
    def _base(self) -> Chain:
        """The free state at work, its centre on the nudge's first site, bonds with room for O|psi>."""
        packed = with_operator(self.free.mps, self.nudge.perturbation, 0.0, self.solver.max_bond).packed
        packed = packed._replace(data=packed.data.astype(self._dtype, copy=False))
        mpo = self._mpo(0.0)
        compile_kernels(str(self._dtype))  # a nudge may be complex where H and its ground state are real
        chain = load_chain(packed, mpo, packed.bonds)
        move_centre(chain, mpo, 0, self._support[0])
        return chain

    @cached_property
    def _room(self) -> Room:
        return self._widened(self.solver.schmidt_cutoff, self.solver.max_bond, _FIRST_ROOM, self.rounds)

    def _widened(self, cutoff: float, max_bond: int, room: int, rounds: int) -> Room:
        """The free state with room for the response, in a window of at least `room` sites beyond the nudge.

        Outwards to the right, all the way to the left, until the response no longer grows, and back: bonds right of the
        nudge end with the response in their right bases, bonds left of it in their left ones, where it is local.
        """
        length = len(self.nudge.free.sites)
        lowest, highest = self._support
        strong = self._mpo(self.strong)
        tolerance = 0.1 * cutoff * self.strong * self._nudge_norm
        if self._range > _LONG_RANGE:
            room = length
        while True:
            first, last = max(0, lowest - room), min(length - 1, highest + room)
            bonds = self._base.bonds[first : last + 2]
            exact = bond_limits(self._base.dims, max_bond)[first : last + 2]
            limits = np.maximum(bonds, exact)
            limits[[0, -1]] = bonds[[0, -1]]
            mpo = part_of(strong, first, last)
            chain = cut_window(self._base, mpo, first, last, lowest, limits)
            quiet = (cutoff, max_bond, _WIDEN_VECTORS, tolerance, _QUIET * cutoff, max(3, self._range))
            back = (cutoff, max_bond, _WIDEN_VECTORS, tolerance, np.inf, 1)
            left, size, unknown = lowest - first, 0.0, np.empty(0, self._dtype)
            response = unknown
            for n in range(rounds):  # the first one's response is not worth carrying on
                before = size
                right, response, there = widen_bonds(
                    chain, mpo, left, response if n else unknown, highest - first, 1, *quiet
                )
                left, response, size = widen_bonds(
                    chain, mpo, right, response if n else unknown, lowest - first, -1, *quiet
                )
                if min(abs(size - there), abs(size - before)) <= _GROWN * size:
                    break
            centre, *_ = widen_bonds(chain, mpo, left, response if n else unknown, highest - first, 1, *back)
            reach = max(lowest - first - left, first + right - highest)
            result = Room(chain, first, first + centre, reach, cutoff, max_bond, rounds)
            cut_short = left == 0 < first or first + right == last < length - 1
            if (first == 0 and last == length - 1) or (not cut_short and self._window_reach(result) <= room):
                return result
            room = 2 * room

    def _window_reach(self, room: Room) -> int:
        """How far the nudged states differ from the free one, if the response decays on as within the room."""
        if self._range > _LONG_RANGE:
            return len(self.nudge.free.sites)
        decay = math.log(_EDGE * self.rtol) / min(math.log(_QUIET * room.cutoff), -1.0)
        return math.ceil(1.3 * decay * room.reach) + 4

    def _level(self, room: Room, beta: float) -> Level:
        """Nudged states in a window, widened until the response has died at its edges."""
        length = len(self.nudge.free.sites)
        lowest, highest = self._support
        reach = self._window_reach(room)
        while True:
            first, last = max(room.first, lowest - reach), min(room.last, highest + reach)
            level, edge = self._level_in(room, first, last, beta)
            largest = float(np.abs(level.gradient).max(initial=0.0))
            whole = first == 0 and last == length - 1
            if whole or edge <= max(_EDGE * self.rtol * largest, resolution(beta, 1)):
                return level
            reach = 2 * reach + 4
            if (first, last) == (room.first, room.last):
                room = self._widened(room.cutoff, room.max_bond, reach, room.rounds)

    def _level_in(self, room: Room, first: int, last: int, beta: float) -> tuple[Level, float]:
        """Nudged states in the window first..last, and the largest derivative of a product at the window's edges."""
        H = self.nudge.free
        strengths = [sign * beta for sign in signs(self.scheme)]
        nudged = len(strengths)
        if self.scheme == "one-sided":
            strengths.append(0.0)
        runs = [self._run(room, first, last, strength) for strength in strengths]
        inside, edges = products_inside(H.product_extents, first, last, len(H.sites), max(2, self._range))
        plan, phases = expectation_plan(H.sites, H.products)
        tolerance = 1e-2 * self.rtol * beta * self._nudge_norm

        def cycle(run: Run) -> NDArray:
            run.cycle(share * tolerance)
            return evaluate(plan, packed_tensors(run.window), first) * phases

        gradient, changes, message = np.full(len(H.couplings), np.inf), [np.inf], ""
        share = 1.0  # of the response that the gradient is, at most; local problems are solved as well as it needs
        for _ in range(_CYCLES):
            values = self.solver.map(cycle, runs)
            quotient = np.where(inside, difference_quotient(values[:nudged], values[-1], beta), 0.0)
            previous, gradient = gradient, np.asarray((H.coupling_matrix @ quotient).real)
            norm = float(np.linalg.norm(gradient))
            share = float(np.clip(_FAINT * self.strong * norm, _FAINTEST, 1))
            changes.append(float(np.linalg.norm(gradient - previous)) / norm if norm > 0 else 0.0)
            if changes[-1] <= max(0.1 * self.rtol, resolution(beta, len(gradient)) / norm if norm > 0 else 0.0):
                unsettled = np.zeros(len(gradient))
                break
            # degenerate levels, of edge modes say, rotate for ever, and by different angles in the two nudged states
            if len(changes) > _PATIENCE and changes[-1] > 0.5 * changes[-3]:
                unsettled = np.abs(gradient - previous)
                break
        else:
            unsettled = np.abs(gradient - previous)
            message = f"the gradient still changed by {changes[-1]:.1e} in sweep {_CYCLES} of the nudged states"
        free = self._run(room, first, last, 0.0).window
        same = min(abs(overlap(free, run.window)) ** 2 for run in runs[:nudged])
        edge = float(np.abs(quotient[edges]).max(initial=0.0))
        states = cache(lambda: tuple(self._assembled(run, first, message) for run in runs))
        level = Level(
            beta=beta,
            gradient=gradient,
            free=self.free,
            order=nudged,
            overlap=same,
            message=message,
            settled=not unsettled.any(),
            noise=Noise(_ROUNDING + _TRUNCATED * room.cutoff**2, _FAINTEST_TOLD, _UNDETERMINED * room.cutoff),
            assemble=lambda: states()[:nudged],
            certify=lambda: response_residual(self.nudge, states()[:2], strengths[:2]),
            left_out=np.asarray(abs(H.coupling_matrix) @ self._beyond(quotient, edge, first, last)) + 3 * unsettled,
            observed=np.mean([self._observed(run, first) for run in runs[:nudged]], axis=0),
        )
        return level, edge

    def _beyond(self, quotient: NDArray, edge: float, first: int, last: int) -> NDArray:
        """A bound on the derivatives of products outside the window, which decay on as they did within it."""
        extents = self.nudge.free.product_extents
        distance = np.maximum(np.maximum(first - extents[:, 0], extents[:, 1] - last), 0)
        largest = float(np.abs(quotient).max(initial=0.0))
        if largest == 0 or edge == 0:
            return np.zeros(len(distance))
        reach = min(self._support[0] - first, last - self._support[1])
        decay = max(math.log(largest / edge), 0.0) / max(reach, 1)
        return np.where(distance > 0, 3 * edge * np.exp(-decay * distance), 0.0)

    @cached_property
    def _nudge_norm(self) -> float:
        """Size of the nudge at beta = 1: the norms of its terms, added up at most over what acts on one site."""
        return local_strength(self.nudge.perturbation, self.nudge.free.sites)

    def _run(self, room: Room, first: int, last: int, strength: float) -> Run:
        mpo = part_of(self._mpo(strength), first, last)
        bonds = room.chain.bonds[first - room.first : last - room.first + 2]
        window = cut_window(
            room.chain, mpo, first - room.first, last - room.first, room.centre - room.first, bonds
        )  # fmt: skip
        return Run(window, mpo, room.centre - first, strength)

    def _observed(self, run: Run, first: int) -> NDArray:
        """<O_m> in a nudged state."""
        products, matrix = expand(self.nudge.observables)
        plan, phases = expectation_plan(self.nudge.free.sites, products)
        return np.asarray((matrix @ (evaluate(plan, packed_tensors(run.window), first) * phases)).real)

    def _assembled(self, run: Run, first: int, message: str) -> GroundState:
        """The nudged state on the whole chain."""
        sites = self.nudge.free.sites
        state = MPS.from_packed(sites, packed_tensors(whole_state(self._base, run.window, first)))
        energy, variance = energy_and_variance(self._mpo(run.strength), state.packed)
        return GroundState(
            energy, state, sites, variance, self.free.truncation_error, tuple(state.bond_dimensions),
            status=SolveStatus.UNSETTLED if message else SolveStatus.CONVERGED, message=message or "converged",
        )  # fmt: skip


def part_of(mpo: BlockMPO, first: int, last: int) -> BlockMPO:
    """The MPO of sites first..last, its outer bonds open."""
    return mpo._replace(starts=mpo.starts[first : last + 2], bonds=mpo.bonds[first : last + 2])


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
