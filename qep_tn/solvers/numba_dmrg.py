"""Ground states by this project's own compiled DMRG."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.kernels import BlockMPO, compile_kernels
from qep_tn.solvers.convergence import status_of, variance_is_small
from qep_tn.solvers.dmrg import DMRGSettings
from qep_tn.solvers.excited import OrthogonalSearch
from qep_tn.solvers.product_starts import (
    local_field_vectors,
    product_starts,
    reach_of_correlations,
    rests_in_product_states,
)
from qep_tn.solvers.protocol import Nudging, T
from qep_tn.solvers.sectors import (
    Conserved,
    configuration,
    conserved_by,
    next_sectors,
    starts_in_sector,
)
from qep_tn.solvers.sweep_search import (
    COARSE_ERROR,
    FIRST_CUTOFF,
    SAME_ENERGY,
    SPREAD,
    STAGE_SWEEPS,
    Search,
    lowest_of,
)
from qep_tn.states.charges import charged_form
from qep_tn.states.ground_state import GroundState, SolveStatus
from qep_tn.states.mps import MPS

_KICKS = 4
# Of the cutoff that a gradient begins with, over the root of the relative error asked for: truncation changes gradients
# to second order
_CUTOFF_OVER_ROOT = 1e-2
_LARGEST_VARIANCE = 1e3  # in units of the discarded weight times the coefficients squared; 20 to 300 is usual
_MORE_STARTS = 3
_FAR = (
    0.1  # of the sum of all coefficients: a warm start whose energy is higher by more knows nothing of the ground state
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NumbaDMRG(DMRGSettings):
    """Compiled DMRG: two-site sweeps through ever finer cutoffs, one-site at a limited bond dimension.

    Fields as in `DMRGSettings`, and
    threads: how many threads take independent work, such as the two signs of a nudge; 1 or 2. Results do not depend
        on it.
    sector: which charges a search keeps to, by the names of operators whose sum over all sites they are, such as
        {"Sz": 0} or {"N": 32}. None searches all; what H conserves then only makes blocks.
    """

    threads: int = 2
    sector: Mapping[str, float] | None = field(default=None, hash=False)
    nudging: ClassVar[Nudging] = Nudging.WINDOW

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threads not in (1, 2):
            raise ValueError(f"threads = {self.threads}: NumbaDMRG works on 1 or 2 threads")

    def nudge_strength(self, rtol: float, scheme: str, length: int) -> float:
        """Of a first nudge, relative to the energy scale, at most: its bias is about 0.2 times its square, or its half
        if one-sided, where the gap is not small against that scale.
        """
        return float(np.clip(np.sqrt(rtol) if scheme == "symmetric" else rtol, 3e-5, 0.1))

    def cutoff_for(self, rtol: float, scheme: str, length: int) -> float:
        """The cutoff that a gradient of this relative error begins with."""
        return float(max(_CUTOFF_OVER_ROOT * math.sqrt(rtol), 1e-8))

    def for_one_level(self, rtol: float) -> Self:
        """With the cutoff after one refinement, which is where most gradients end."""
        return self.with_finer_cutoff(3.0)

    def on_one_thread(self) -> Self:
        """The same settings, and results, on one core."""
        return replace(self, threads=1)

    def ground_state(self, H: Hamiltonian, theta: Theta, start: GroundState | None = None) -> GroundState:
        """Two-site sweeps until what the energy still has to fall, extrapolated from its last changes, is less than
        truncation leaves; kicks by noise as long as the energy variance says that this is not an eigenstate; then, if
        the bond dimension is at its limit, one-site sweeps. `start` is used if its state is an MPS; it also chooses
        the branch: across a first-order transition a warm start may stay in the phase that it comes from.

        Raises ValueError for a chain of fewer than three sites.
        """
        if len(H.sites) < 3:
            raise ValueError("NumbaDMRG needs a chain of at least 3 sites; use ExactDiagonalization")
        coefficients = H.coefficients(theta)
        conserved = conserved_by(H, coefficients, self.sector)
        if self.sector is not None and conserved is not None:
            return self._in_sector(H, theta, coefficients, conserved, start)
        mpo = H.mpo.fill_blocks(coefficients)
        warm = start.state.tensors[:1] if start is not None and isinstance(start.state, MPS) else ()
        compile_kernels(str(np.result_type(mpo.values, *warm)))
        scale = float(np.abs(coefficients).sum()) or 1.0
        products, doubt = self._from_products(H, coefficients, mpo, scale)
        if start is not None and isinstance(start.state, MPS):
            search = self._search_from(mpo, scale, start.state, conserved)
            search.converge(self.schmidt_cutoff, self.max_sweeps)
            # sweeps never leave an eigenstate, whichever it is; nor, but by rounding, its sector of a symmetry
            if search.began_in_eigenstate or search.energies[0] - search.energy > _FAR * scale:
                cold = self._cold_start(H, theta, mpo, scale, products, conserved)
                search = cold if cold.energy < search.energy - 1e-12 * scale else search
            elif (rival := lowest_of(search, products)) is not search:
                rival.through_stages(0.1 * FIRST_CUTOFF, conserved)
                search = rival
            else:
                search = self._outside(H, theta, mpo, scale, search, conserved)
        else:
            search = self._cold_start(H, theta, mpo, scale, products, conserved)
        return self._settled(H, coefficients, search, doubt, conserved)

    def refined(self, H: Hamiltonian, theta: Theta, state: GroundState) -> GroundState:
        """A ground state that these settings have found at a coarser cutoff, at the one in force."""
        coefficients = H.coefficients(theta)
        scale = float(np.abs(coefficients).sum()) or 1.0
        conserved = conserved_by(H, coefficients, self.sector)
        search = self._search_from(H.mpo.fill_blocks(coefficients), scale, state.mps, conserved)
        search.converge(self.schmidt_cutoff, self.max_sweeps)
        doubt = state.message if state.status is SolveStatus.LOWER_MAY_EXIST else ""
        return self._settled(H, coefficients, search, doubt, conserved)

    def _search_from(self, mpo: BlockMPO, scale: float, state: MPS, conserved: Conserved | None) -> Search:
        """A search from a state, in blocks if that has them, or if they pay."""
        if conserved is not None and state.charges is not None and conserved.fit(state.charges):
            return Search(self, conserved.mpo, scale, state)
        search = Search(self, mpo, scale, state)
        search.in_blocks(conserved)
        return search

    def _in_sector(
        self, H: Hamiltonian, theta: Theta, coefficients: NDArray, conserved: Conserved, start: GroundState | None
    ) -> GroundState:
        """The lowest state of the sector: from `start`, if that is in it, or from configurations with noise, of which
        sweeps see no more than the sector; then on as in `ground_state`.
        """
        scale = float(np.abs(coefficients).sum()) or 1.0
        levels = conserved.charges.levels
        warm = None
        if start is not None and isinstance(start.state, MPS):
            state = charged_form(start.state, levels)
            if state is not None and state.charges is not None and state.charges.total == conserved.total:
                warm = Search(self, conserved.mpo, scale, state)
                warm.converge(self.schmidt_cutoff, self.max_sweeps)
                if not warm.began_in_eigenstate and warm.energies[0] - warm.energy <= _FAR * scale:
                    return self._settled(H, coefficients, warm, "", conserved)
            else:
                log.info("the start is not in the sector; the search begins anew")
        kind = complex if np.iscomplexobj(conserved.mpo.values) else float
        configurations, doubt = starts_in_sector(H, theta, coefficients, conserved, self.seed)
        states = [charged_form(configuration(H.sites, c, kind), levels) for c in configurations]
        compile_kernels(np.dtype(kind).name, charged=True)

        def coarse(state: MPS, seed: int | None) -> Search:
            search = Search(self, conserved.mpo, scale, state)
            search.coarse(seed, SPREAD)
            return search

        known = [state for state in states if state is not None]
        seeds: list[int | None] = [self.seed + 100 * n for n in range(len(known))]
        found = self.map(coarse, [*known, *known], [*seeds, *len(known) * [None]])
        best = min(found, key=lambda search: search.energy)
        best.converge(max(FIRST_CUTOFF, self.schmidt_cutoff), STAGE_SWEEPS)
        best = lowest_of(best, found)
        best.through_stages(0.1 * FIRST_CUTOFF)
        if warm is not None and warm.energy <= best.energy:
            best = warm
        return self._settled(H, coefficients, best, doubt, conserved)

    def _outside(
        self, H: Hamiltonian, theta: Theta, mpo: BlockMPO, scale: float, search: Search, conserved: Conserved | None
    ) -> Search:
        """The search, or one from another sector that ends lower: sweeps from a warm start never leave its own.

        Tried are the sectors one step of a charge away, and the product state that local fields favour, again from
        whatever was lower, as long as one is.
        """
        if conserved is None:
            return search
        kind = complex if np.iscomplexobj(mpo.values) else float

        def coarse(state: MPS) -> Search:
            rival = Search(self, mpo, scale, state)
            rival.coarse(self.seed)
            return rival

        for _ in range(2 * len(H.sites)):
            state = charged_form(search.state, conserved.charges.levels)
            starts = [MPS.product(H.sites, local_field_vectors(H, theta, kind))]
            if state is not None and state.charges is not None:
                starts += [configuration(H.sites, c, kind) for c in next_sectors(conserved, state.charges.total)]
            lower = lowest_of(search, self.map(coarse, starts))
            if lower is search:
                break
            lower.through_stages(0.1 * FIRST_CUTOFF, conserved)
            search = lower
        return search

    def _settled(
        self, H: Hamiltonian, coefficients: NDArray, search: Search, doubt: str, conserved: Conserved | None
    ) -> GroundState:
        """A search's state, kicked as long as its energy variance is too large, and polished at the largest bond."""
        for kick in range(_KICKS + 1):
            truncation = max(search.truncation, self.schmidt_cutoff**2)
            energy, variance = search.energy_and_variance()
            if (
                variance_is_small(coefficients, variance, truncation, _LARGEST_VARIANCE)
                or search.sweeps >= self.max_sweeps
            ):
                break
            if kick < _KICKS:
                log.debug("energy variance %.1e is too large: kick %d", variance, kick + 1)
                search.kick(kick)
        if search.truncation > 10 * self.schmidt_cutoff**2:
            search.polish()
            energy, variance = search.energy_and_variance()
        message = (doubt or "converged") if search.converged else (
            f"the energy still has {search.change:.1e} to fall after sweep {search.sweeps}; "
            "raise max_sweeps or energy_tolerance"
        )  # fmt: skip
        state = search.state
        return GroundState(
            energy, state, H.sites, variance, search.truncation, tuple(state.bond_dimensions), search.sweeps,
            status_of(search.converged, doubt), message, sector=_sector_of(state, conserved),
        )  # fmt: skip

    def _cold_start(
        self, H: Hamiltonian, theta: Theta, mpo: BlockMPO, scale: float, products: list[Search],
        conserved: Conserved | None,
    ) -> Search:  # fmt: skip
        """The best of several starts, converged.

        One is the product state that the local fields favour; from there correlations grow coherently, without
        domain walls. Another is a random MPS; where it finds a lower energy, local fields mislead, and more are tried.
        Noise breaks symmetries, and sweeps then hardly ever leave a superposition of two nearly degenerate levels; so
        the product state is also taken without noise. Where that makes no difference, the less entangled state wins.
        products: searches from the best product states, which compete.
        """
        dtype = complex if np.iscomplexobj(mpo.values) else float

        def coarse(state: MPS, seed: int | None) -> Search:
            search = Search(self, mpo, scale, state)
            search.coarse(seed)
            return search

        def random(seed: int) -> MPS:
            return MPS.random(H.sites, min(4, self.max_bond), seed, dtype)

        product = MPS.product(H.sites, local_field_vectors(H, theta, dtype))
        states, seeds = [product, random(self.seed), product], [self.seed, self.seed + 1, None]
        grown, scattered, symmetric = self.map(coarse, states, seeds)
        found = [grown, scattered]
        if scattered.energy < grown.energy - 1e-6 * scale:
            more = [self.seed + 100 * (n + 1) for n in range(_MORE_STARTS)]
            found += self.map(coarse, [random(seed) for seed in more], more)
        best = min(found + products, key=lambda search: search.energy)
        best.converge(max(FIRST_CUTOFF, self.schmidt_cutoff), STAGE_SWEEPS)
        if symmetric.energy < best.energy + COARSE_ERROR * scale:
            symmetric.converge(max(FIRST_CUTOFF, self.schmidt_cutoff), STAGE_SWEEPS)
            if symmetric.energy < best.energy - 10 * FIRST_CUTOFF**2 * scale:
                best = symmetric
        best = lowest_of(best, products)
        best.through_stages(0.1 * FIRST_CUTOFF, conserved)
        return best

    def _from_products(
        self, H: Hamiltonian, coefficients: NDArray, mpo: BlockMPO, scale: float
    ) -> tuple[list[Search], str]:
        """Coarse searches from the best product states, where sweeps alone would rest in any; and why there may be a
        lower one yet.

        What correlations lower the energy of the first by tells which others they may take below it.
        """
        if not rests_in_product_states(H, coefficients):
            return [], ""
        products = product_starts(H, coefficients, self.seed)

        def coarse(state: MPS) -> Search:
            search = Search(self, mpo, scale, state)
            search.coarse(None)  # noise would take it elsewhere
            return search

        first, *others = products.states(H.sites, complex if np.iscomplexobj(mpo.values) else float)
        found = [coarse(first)]
        reach = reach_of_correlations(products.energies, found[0].energy, SAME_ENERGY * scale)
        return found + self.map(coarse, others[: reach - 1]), products.doubt

    def excited_state(
        self, H: Hamiltonian, theta: Theta, below: Sequence[GroundState], start: GroundState | None = None
    ) -> GroundState:
        """The lowest state orthogonal to those `below`; in the sector, if there is one."""
        search = OrthogonalSearch(
            self.max_bond, self.schmidt_cutoff, self.energy_tolerance, self.max_sweeps, self.seed, self.map, self.sector
        )
        return search.lowest(H, theta, below, start)

    def map(self, work: Callable[..., T], *arguments: Sequence) -> list[T]:
        """`work` done for each set of arguments, on two threads if the settings have them."""
        if self.threads == 1 or len(arguments[0]) < 2:
            return [work(*a) for a in zip(*arguments, strict=True)]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(work, *arguments))


def _sector_of(state: MPS, conserved: Conserved | None) -> dict[str, float] | None:
    """The charges of a state, by name, where its bonds have them."""
    if state.charges is None or conserved is None:
        return None
    return conserved.charges.sector(state.charges.total)
