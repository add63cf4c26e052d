"""Ground states by this project's own compiled DMRG."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.mpo import energy_and_variance
from qep_tn.kernels import (
    BlockMPO,
    Chain,
    ChargedChain,
    ChargedMPO,
    all_labels,
    bond_limits,
    compile_kernels,
    load_chain,
    one_site_pass,
    packed_tensors,
    two_site_sweep,
)
from qep_tn.solvers.convergence import left_to_fall, status_of, variance_is_small
from qep_tn.solvers.dmrg import DMRGSettings
from qep_tn.solvers.product_starts import (
    local_field_vectors,
    product_starts,
    reach_of_correlations,
    rests_in_product_states,
)
from qep_tn.solvers.protocol import Nudging, T
from qep_tn.solvers.sectors import Conserved, conserved_by, state_in_sector
from qep_tn.states.charges import charged_form
from qep_tn.states.ground_state import GroundState, SolveStatus
from qep_tn.states.mps import MPS, BondCharges

# Krylov vectors of a two-site update, and the factor by which they must reduce its residual: the environment changes
# with every update, so little is enough,
_LANCZOS = (4, 1e-2)
_ROUGH = (3, 1e-2)  # the first sweeps end where they do with 4 vectors; with 2, between levels that are 1e-5 apart
_THOROUGH = (20, 1e-5)  # but not between nearly degenerate levels
# (noise, cutoff, bond dimension) of the sweeps from an unconverged state, which is needlessly entangled
_COARSE = ((1e-2, 1e-3, 8), (1e-2, 1e-3, 8), (0.0, 1e-4, 12))
_SPREAD = ((3e-1, 1e-3, 16), (1e-1, 1e-3, 16), *_COARSE)  # from a configuration, which no one chose for its energy
_KICK = ((1e-1, 1e-3), (1e-2, 1e-4), (1e-3, 1e-5), (1e-4, 0.0))  # (noise, cutoff) of sweeps out of a false minimum
_KICKS = 4
# Of the cutoff that a gradient begins with, over the root of the relative error asked for: truncation changes gradients
# to second order
_CUTOFF_OVER_ROOT = 1e-2
_LARGEST_VARIANCE = 1e3  # in units of the discarded weight times the coefficients squared; 20 to 300 is usual
_MORE_STARTS = 3
_FAR = (
    0.1  # of the sum of all coefficients: a warm start whose energy is higher by more knows nothing of the ground state
)
_FIRST_CUTOFF, _STAGE_SWEEPS = 1e-5, 8  # of the stages, each ten times finer, from a coarse state to the final cutoff
_COARSE_ERROR = 1e-4  # of the sum of all coefficients: what coarse sweeps leave of the energy, at most
_SAME_ENERGY = 1e-9  # of it: energies after the first stage that need not differ
_PATIENCE = 12
_BLOCKS_PAY = 32  # bond dimension from which on sweeps in blocks of a conserved charge are faster

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
    sector: Mapping[str, float] | None = None
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
            return self._in_sector(H, coefficients, conserved, start)
        mpo = H.mpo.fill_blocks(coefficients)
        warm = start.state.tensors[:1] if start is not None and isinstance(start.state, MPS) else ()
        compile_kernels(str(np.result_type(mpo.values, *warm)))
        scale = float(np.abs(coefficients).sum()) or 1.0
        products, doubt = self._from_products(H, coefficients, mpo, scale)
        if start is not None and isinstance(start.state, MPS):
            search = _Search(self, mpo, scale, start.state)
            search.in_blocks(conserved)
            search.converge(self.schmidt_cutoff, self.max_sweeps)
            # sweeps never leave an eigenstate, whichever it is; nor, but by rounding, its sector of a symmetry
            if search.began_in_eigenstate or search.energies[0] - search.energy > _FAR * scale:
                cold = self._cold_start(H, theta, mpo, scale, products, conserved)
                search = cold if cold.energy < search.energy - 1e-12 * scale else search
            elif (rival := lowest_of(search, products)) is not search:
                rival.through_stages(0.1 * _FIRST_CUTOFF, conserved)
                search = rival
        else:
            search = self._cold_start(H, theta, mpo, scale, products, conserved)
        return self._settled(H, coefficients, search, doubt, conserved)

    def refined(self, H: Hamiltonian, theta: Theta, state: GroundState) -> GroundState:
        """A ground state that these settings have found at a coarser cutoff, at the one in force."""
        coefficients = H.coefficients(theta)
        search = _Search(self, H.mpo.fill_blocks(coefficients), float(np.abs(coefficients).sum()) or 1.0, state.mps)
        conserved = conserved_by(H, coefficients, self.sector)
        search.in_blocks(conserved)
        search.converge(self.schmidt_cutoff, self.max_sweeps)
        doubt = state.message if state.status is SolveStatus.LOWER_MAY_EXIST else ""
        return self._settled(H, coefficients, search, doubt, conserved)

    def _in_sector(
        self, H: Hamiltonian, coefficients: NDArray, conserved: Conserved, start: GroundState | None
    ) -> GroundState:
        """The lowest state of the sector: from `start`, if that is in it, or from an even configuration with noise, of
        which sweeps see no more than the sector; then on as in `ground_state`.
        """
        scale = float(np.abs(coefficients).sum()) or 1.0
        if start is not None and isinstance(start.state, MPS):
            warm = charged_form(start.state, conserved.charges.levels)
            if warm is not None and warm.charges is not None and warm.charges.total == conserved.total:
                search = _Search(self, conserved.mpo, scale, warm)
                search.converge(self.schmidt_cutoff, self.max_sweeps)
                if not search.began_in_eigenstate and search.energies[0] - search.energy <= _FAR * scale:
                    return self._settled(H, coefficients, search, "", conserved)
            else:
                log.info("the start is not in the sector; the search begins anew")
        kind = complex if np.iscomplexobj(conserved.mpo.values) else float
        even = charged_form(state_in_sector(H.sites, conserved, kind), conserved.charges.levels)
        assert even is not None
        compile_kernels(np.dtype(kind).name, charged=True)

        def coarse(seed: int | None) -> _Search:
            search = _Search(self, conserved.mpo, scale, even)
            search.coarse(seed, _SPREAD)
            return search

        found = self.map(coarse, [self.seed, self.seed + 100, None])
        best = min(found, key=lambda search: search.energy)
        best.converge(max(_FIRST_CUTOFF, self.schmidt_cutoff), _STAGE_SWEEPS)
        best = lowest_of(best, found)
        best.through_stages(0.1 * _FIRST_CUTOFF)
        return self._settled(H, coefficients, best, "", conserved)

    def _settled(
        self, H: Hamiltonian, coefficients: NDArray, search: _Search, doubt: str, conserved: Conserved | None
    ) -> GroundState:
        """A search's state, kicked as long as its energy variance is too large, and polished at the largest bond."""
        mpo = search.mpo
        for kick in range(_KICKS + 1):
            truncation = max(search.truncation, self.schmidt_cutoff**2)
            energy, variance = energy_and_variance(mpo, packed_tensors(search.chain))
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
            energy, variance = energy_and_variance(mpo, packed_tensors(search.chain))
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
        self, H: Hamiltonian, theta: Theta, mpo: BlockMPO, scale: float, products: list[_Search],
        conserved: Conserved | None,
    ) -> _Search:  # fmt: skip
        """The best of several starts, converged.

        One is the product state that the local fields favour; from there correlations grow coherently, without
        domain walls. Another is a random MPS; where it finds a lower energy, local fields mislead, and more are tried.
        Noise breaks symmetries, and sweeps then hardly ever leave a superposition of two nearly degenerate levels; so
        the product state is also taken without noise. Where that makes no difference, the less entangled state wins.
        products: searches from the best product states, which compete.
        """
        dtype = complex if np.iscomplexobj(mpo.values) else float

        def coarse(state: MPS, seed: int | None) -> _Search:
            search = _Search(self, mpo, scale, state)
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
        best.converge(max(_FIRST_CUTOFF, self.schmidt_cutoff), _STAGE_SWEEPS)
        if symmetric.energy < best.energy + _COARSE_ERROR * scale:
            symmetric.converge(max(_FIRST_CUTOFF, self.schmidt_cutoff), _STAGE_SWEEPS)
            if symmetric.energy < best.energy - 10 * _FIRST_CUTOFF**2 * scale:
                best = symmetric
        best = lowest_of(best, products)
        best.through_stages(0.1 * _FIRST_CUTOFF, conserved)
        return best

    def _from_products(
        self, H: Hamiltonian, coefficients: NDArray, mpo: BlockMPO, scale: float
    ) -> tuple[list[_Search], str]:
        """Coarse searches from the best product states, where sweeps alone would rest in any; and why there may be a
        lower one yet.

        What correlations lower the energy of the first by tells which others they may take below it.
        """
        if not rests_in_product_states(H, coefficients):
            return [], ""
        products = product_starts(H, coefficients, self.seed)

        def coarse(state: MPS) -> _Search:
            search = _Search(self, mpo, scale, state)
            search.coarse(None)  # noise would take it elsewhere
            return search

        first, *others = products.states(H.sites, complex if np.iscomplexobj(mpo.values) else float)
        found = [coarse(first)]
        reach = reach_of_correlations(products.energies, found[0].energy, _SAME_ENERGY * scale)
        return found + self.map(coarse, others[: reach - 1]), products.doubt

    def map(self, work: Callable[..., T], *arguments: Sequence) -> list[T]:
        """`work` done for each set of arguments, on two threads if the settings have them."""
        if self.threads == 1 or len(arguments[0]) < 2:
            return [work(*a) for a in zip(*arguments, strict=True)]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(work, *arguments))


class _Search:
    """One search for a ground state: where it stands, and what it has spent."""

    def __init__(self, settings: NumbaDMRG, mpo: BlockMPO | ChargedMPO, scale: float, state: MPS) -> None:
        self.settings, self.scale, self.sites = settings, scale, state.sites
        self.unit = scale / len(state.tensors)  # of energy, for what happens on one site
        self._load(mpo, state)
        self.energies: list[float] = []
        self.sweeps, self.truncation, self.change, self.converged = 0, 0.0, np.inf, False
        self.began_in_eigenstate = False
        self.slow = 0  # sweeps in a row that hardly brought the energy nearer to where it falls

    def _load(self, mpo: BlockMPO | ChargedMPO, state: MPS) -> None:
        packed = state.packed
        dtype = np.result_type(packed.data, mpo.values)
        packed = packed._replace(data=packed.data.astype(dtype, copy=False))
        self.mpo = mpo._replace(values=mpo.values.astype(dtype, copy=False))
        limits = np.maximum(bond_limits(packed.dims, self.settings.max_bond), packed.bonds)
        charges = None
        if isinstance(mpo, ChargedMPO) and state.charges is not None:
            compile_kernels(str(dtype), charged=True)
            charges = state.charges.labels, state.charges.levels
        self.chain: Chain | ChargedChain = load_chain(packed, self.mpo, limits, charges)

    def in_blocks(self, conserved: Conserved | None) -> None:
        """Go on in blocks of conserved charges, if there are any, the state's are definite, and bonds are large."""
        if conserved is None or isinstance(self.chain, ChargedChain) or self.chain.bonds.max() < _BLOCKS_PAY:
            return
        state = charged_form(self.state, conserved.charges.levels)
        if state is not None and state.charges is not None:
            log.debug("in blocks of %s", conserved.charges.sector(state.charges.total))
            self._load(conserved.mpo, state)

    @property
    def energy(self) -> float:
        """After the last sweep."""
        return self.energies[-1]

    @property
    def state(self) -> MPS:
        """After the last sweep."""
        charges = None
        if isinstance(self.chain, ChargedChain):
            charges = BondCharges(all_labels(self.chain), self.chain.levels)
        return MPS.from_packed(self.sites, packed_tensors(self.chain), charges)

    def sweep(
        self, cutoff: float, max_bond: int, noise: float = 0.0, seed: int = 0, local: tuple[int, float] | None = None
    ) -> None:
        """One two-site sweep; `local`, of its Lanczos iterations, if not those of a sweep that converges."""
        vectors, reduction = local or (_LANCZOS if self.slow < 2 else _THOROUGH)
        before, energy, self.truncation, residual = two_site_sweep(
            self.chain, self.mpo, cutoff, min(max_bond, self.settings.max_bond), vectors, 0.01 * cutoff * self.unit,
            reduction,
            noise, seed,
        )  # fmt: skip
        if not self.energies:
            self.energies.append(before)
            self.began_in_eigenstate = residual < 0.1 * cutoff * self.unit
        self.energies.append(energy)
        self.sweeps += 1

    def coarse(self, seed: int | None, stages: tuple[tuple[float, float, int], ...] = _COARSE) -> None:
        """A few cheap sweeps from a state far from converged, with noise unless the seed is None."""
        for n, (noise, cutoff, bond) in enumerate(stages):
            cutoff = max(cutoff, self.settings.schmidt_cutoff)
            if seed is None:
                self.sweep(cutoff, bond, local=_ROUGH)
            else:
                self.sweep(cutoff, bond, noise, seed + n, _ROUGH)

    def converge(self, cutoff: float, sweeps: int) -> None:
        """Sweep until the energy has no further to fall than the tolerance, or the discarded weight; or until sweeps
        end, or too many in a row were of little use.
        """
        final = cutoff <= self.settings.schmidt_cutoff
        self.converged = False
        for _ in range(min(sweeps, self.settings.max_sweeps - self.sweeps)):
            self.sweep(cutoff, self.settings.max_bond)
            discarded = max(self.truncation, cutoff**2)
            tolerance = max(self.settings.energy_tolerance, discarded if final else 100 * discarded) * self.scale
            self.change = left_to_fall(self.energies)
            self.slow = self.slow + 1 if slowly_falling(self.energies) else 0
            if self.change <= tolerance:
                self.converged = final
                break
            if final and self.slow >= _PATIENCE:
                break

    def through_stages(self, cutoff: float, conserved: Conserved | None = None) -> None:
        """Converge at ever finer cutoffs, from this one to the one in force."""
        while cutoff > 2 * self.settings.schmidt_cutoff:
            self.in_blocks(conserved)
            self.converge(cutoff, _STAGE_SWEEPS)
            cutoff *= 0.1
        self.in_blocks(conserved)
        self.converge(self.settings.schmidt_cutoff, self.settings.max_sweeps)

    def kick(self, number: int) -> None:
        """Sweeps with noise, and convergence again."""
        room = 2 * int(self.chain.bonds.max()) + 8
        for n, (noise, cutoff) in enumerate(_KICK):
            seed = self.settings.seed + 10 * (number + 1) + n
            self.sweep(max(cutoff, self.settings.schmidt_cutoff), room, noise, seed)
        # no coarser stage again: it would cut what no single update brings back
        self.converge(self.settings.schmidt_cutoff, self.settings.max_sweeps)

    def polish(self) -> None:
        """One-site sweeps to the variational minimum at the bond dimensions there are."""
        last = len(self.chain.dims) - 1
        energies: list[float] = []
        tolerance = max(self.settings.energy_tolerance, 1e-2 * self.truncation) * self.scale
        self.converged = False
        while self.sweeps < self.settings.max_sweeps and not self.converged:
            local = (8, self.settings.local_tolerance * self.unit, 1e-2)
            one_site_pass(self.chain, self.mpo, 0, last, *local)
            energy = one_site_pass(self.chain, self.mpo, last, 0, *local)
            energies.append(energy)
            self.sweeps += 1
            self.change = left_to_fall(energies)
            self.converged = self.change <= tolerance


def lowest_of(search: _Search, rivals: list[_Search]) -> _Search:
    """The lowest of a search and of coarse ones, these converged at the first cutoff.

    Left out are those too high, or on their way to where the search is already.
    """
    best = search
    for rival in rivals:
        if rival is search or rival.energy > search.energy + _COARSE_ERROR * search.scale:
            continue
        if abs(rival.state.overlap(search.state)) ** 2 > 0.5:
            continue
        rival.converge(max(_FIRST_CUTOFF, rival.settings.schmidt_cutoff), _STAGE_SWEEPS)
        if rival.energy < best.energy - _SAME_ENERGY * search.scale:
            best = rival
    return best


def _sector_of(state: MPS, conserved: Conserved | None) -> dict[str, float] | None:
    """The charges of a state, by name, where its bonds have them."""
    if state.charges is None or conserved is None:
        return None
    return conserved.charges.sector(state.charges.total)


def slowly_falling(energies: list[float]) -> bool:
    """Whether the last sweep changed the energy by more than half as much as the one before."""
    return len(energies) > 2 and abs(energies[-1] - energies[-2]) > 0.5 * abs(energies[-2] - energies[-3])
