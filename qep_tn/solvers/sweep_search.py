"""One search for a ground state by compiled sweeps: where it stands, and how it goes on."""

from __future__ import annotations

import logging

import numpy as np

from qep_tn.hamiltonians.mpo import energy_and_variance, energy_and_variance_in_blocks
from qep_tn.kernels import (
    BlockMPO,
    ChargedChain,
    ChargedMPO,
    all_labels,
    compile_kernels,
    one_site_pass,
    packed_tensors,
    two_site_sweep,
)
from qep_tn.solvers.chains import chain_of, state_of
from qep_tn.solvers.convergence import left_to_fall
from qep_tn.solvers.dmrg import DMRGSettings
from qep_tn.solvers.sectors import Conserved
from qep_tn.states.charges import charged_form
from qep_tn.states.mps import MPS

# Krylov vectors of a two-site update, and the factor by which they must reduce its residual: the environment changes
# with every update, so little is enough,
_LANCZOS = (4, 1e-2)
_ROUGH = (3, 1e-2)  # the first sweeps end where they do with 4 vectors; with 2, between levels that are 1e-5 apart
_THOROUGH = (20, 1e-5)  # but not between nearly degenerate levels
# (noise, cutoff, bond dimension) of the sweeps from an unconverged state, which is needlessly entangled
_COARSE = ((1e-2, 1e-3, 8), (1e-2, 1e-3, 8), (0.0, 1e-4, 12))
SPREAD = ((3e-1, 1e-3, 16), (1e-1, 1e-3, 16), *_COARSE)  # from a configuration, which no one chose for its energy
_KICK = ((1e-1, 1e-3), (1e-2, 1e-4), (1e-3, 1e-5), (1e-4, 0.0))  # (noise, cutoff) of sweeps out of a false minimum
FIRST_CUTOFF, STAGE_SWEEPS = 1e-5, 8  # of the stages, each ten times finer, from a coarse state to the final cutoff
COARSE_ERROR = 1e-4  # of the sum of all coefficients: what coarse sweeps leave of the energy, at most
SAME_ENERGY = 1e-9  # of it: energies after the first stage that need not differ
_PATIENCE = 12
_BLOCKS_PAY = 32  # bond dimension from which on sweeps in blocks of a conserved charge are faster

log = logging.getLogger(__name__)


class Search:
    """One search for a ground state: where it stands, and what it has spent."""

    def __init__(self, settings: DMRGSettings, mpo: BlockMPO | ChargedMPO, scale: float, state: MPS) -> None:
        self.settings, self.scale, self.sites = settings, scale, state.sites
        self.unit = scale / len(state.tensors)  # of energy, for what happens on one site
        self._load(mpo, state)
        self.energies: list[float] = []
        self.sweeps, self.truncation, self.change, self.converged = 0, 0.0, np.inf, False
        self.began_in_eigenstate = False
        self.slow = 0  # sweeps in a row that hardly brought the energy nearer to where it falls

    def _load(self, mpo: BlockMPO | ChargedMPO, state: MPS) -> None:
        dtype = np.result_type(state.packed.data, mpo.values)
        self.mpo = mpo._replace(values=mpo.values.astype(dtype, copy=False))
        if isinstance(mpo, ChargedMPO):
            compile_kernels(str(dtype), charged=True)
        self.chain = chain_of(state, self.mpo, self.settings.max_bond)

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
        return state_of(self.chain, self.sites)

    def energy_and_variance(self) -> tuple[float, float]:
        """Of the state after the last sweep."""
        if isinstance(self.mpo, ChargedMPO) and isinstance(self.chain, ChargedChain):
            charges = all_labels(self.chain), self.chain.levels
            return energy_and_variance_in_blocks(self.mpo, packed_tensors(self.chain), charges)
        return energy_and_variance(self.mpo, packed_tensors(self.chain))

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
            self.converge(cutoff, STAGE_SWEEPS)
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


def lowest_of(search: Search, rivals: list[Search]) -> Search:
    """The lowest of a search and of coarse ones, these converged at the first cutoff.

    Left out are those too high, or on their way to where the search is already.
    """
    best = search
    for rival in rivals:
        if rival is search or rival.energy > search.energy + COARSE_ERROR * search.scale:
            continue
        if abs(rival.state.overlap(search.state)) ** 2 > 0.5:
            continue
        rival.converge(max(FIRST_CUTOFF, rival.settings.schmidt_cutoff), STAGE_SWEEPS)
        if rival.energy < best.energy - SAME_ENERGY * search.scale:
            best = rival
    return best


def slowly_falling(energies: list[float]) -> bool:
    """Whether the last sweep changed the energy by more than half as much as the one before."""
    return len(energies) > 2 and abs(energies[-1] - energies[-2]) > 0.5 * abs(energies[-2] - energies[-3])
