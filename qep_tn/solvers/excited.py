"""Excited states of chains: the lowest state orthogonal to those below it, by compiled two-site sweeps.

Stoudenmire and White, Annu. Rev. Condens. Matter Phys. 3, 111 (2012), section 3.2. A
sweep that begins in the ground state and stays orthogonal to it grows an excitation as it goes. Each two-site problem
then holds that left of the two sites, on them and right of them, so that even a standing wave along the whole chain,
whose levels are 1/L^2 apart, takes but a few sweeps.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.mpo import energy_and_variance
from qep_tn.kernels import (
    BlockMPO,
    ChargedMPO,
    compile_for_excited_states,
    load_lower,
    orthogonal_sweep,
)
from qep_tn.solvers.chains import chain_of, state_of
from qep_tn.solvers.convergence import left_to_fall, variance_is_small
from qep_tn.solvers.product_starts import local_field_vectors, product_starts, rests_in_product_states
from qep_tn.solvers.sectors import configuration, conserved_by, in_sector, starts_in_sector
from qep_tn.states.ground_state import GroundState, SolveStatus
from qep_tn.states.mps import MPS

_HEIGHT = 2.0  # of the penalty on lower states, in norms of H or more: no level is further above the ground state
# Krylov vectors of a two-site problem, and the factor by which they must reduce its residual. Its levels are as close
# as the chain's: of 128 sites at (2.5, 1, 0.5), eight vectors leave 1e-7 after the sweep in which twenty leave 3e-12.
_LANCZOS = (20, 0.1)
_THOROUGH = (12, 1e-4)  # where an excitation is to emerge from noise: with less, nearly diagonal chains miss the lowest
# (cutoff, bond dimension) of the first sweeps, and the noise of the very first one from the ground state
_COARSE, _NOISE = ((1e-3, 8), (1e-4, 16), (1e-4, 16)), 1e-1
_COARSE_ERROR = 1e-4  # of the sum of all coefficients: what they leave of the energy, at most
_FIRST_CUTOFF, _STAGE_SWEEPS = 1e-5, 4  # of the stages, each ten times finer, from a coarse state to the final cutoff
_FINER = 1e3  # discarded weights, times the sum of all coefficients: what a ten times finer cutoff brings of the energy
# Ratio of changes: one sweep a stage, each change a hundredth of the one before, says that every stage has converged.
_FASTEST = 0.01
_SAME_ENERGY = 1e-9  # of the sum of all coefficients: energies after the first stage that need not differ
_KICK = ((1e-1, 1e-3), (1e-2, 1e-4), (1e-3, 1e-5), (1e-4, 0.0))  # (noise, cutoff) of sweeps out of a false minimum
_KICKS = 4
_LEAK = 1e4  # discarded weights that add up along a chain and over the sweeps
_LARGEST_VARIANCE = 1e3  # in units of the discarded weight times the coefficients squared; 2 to 100 was seen

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OrthogonalSearch:
    """Settings of a search for the lowest state that is orthogonal to given ones; as in `DMRGSettings`, and

    map: as `Solver.map`, for the first sweeps from several starts. sector: as in `NumbaDMRG`.
    """

    max_bond: int
    cutoff: float
    energy_tolerance: float
    max_sweeps: int
    seed: int
    map: Callable[..., list]
    sector: Mapping[str, float] | None = None

    def lowest(
        self, H: Hamiltonian, theta: Theta, below: Sequence[GroundState], start: GroundState | None = None
    ) -> GroundState:
        """The lowest state orthogonal to those below, the ground state first.

        Coarse sweeps begin in the ground state, and in `start`; or, without one, in the product state that local fields
        favour, which has the symmetry that a ground state may have broken, and in a random MPS; and, where sweeps rest
        in product states, also in the lowest of these. The lowest goes on through ever finer cutoffs.
        `converged` says that sweeps came to rest in an eigenstate of H (by the energy variance) that is orthogonal to
        those below and not lower in energy, each as far as the discarded weight allows.
        Raises ValueError for fewer than three sites, and for states below that are no MPS, or as many as there are.
        """
        self._check(H, below)
        coefficients = H.coefficients(theta)
        scale = float(np.abs(coefficients).sum()) or 1.0
        height = _HEIGHT * max(scale, float(np.abs(coefficients) @ H.product_norms))
        states = [state.mps for state in below]
        mpo: BlockMPO | ChargedMPO = H.mpo.fill_blocks(coefficients)
        conserved = None if self.sector is None else conserved_by(H, coefficients, self.sector)
        if conserved is not None:
            mpo, states = conserved.mpo, [in_sector(state, conserved) for state in states]
        dtype = np.result_type(mpo.values, *(state.packed.data for state in states))
        mpo = mpo._replace(values=mpo.values.astype(dtype, copy=False))
        compile_for_excited_states(str(dtype), conserved is not None)
        if conserved is None:
            starts, doubt = self._starts(H, theta, states[0], start, dtype)
        else:
            kind = complex if dtype.kind == "c" else float
            configurations, doubt = starts_in_sector(H, theta, coefficients, conserved, self.seed)
            starts = [states[0]]
            if start is not None and isinstance(start.state, MPS):
                starts.append(in_sector(start.state, conserved))
            starts += [in_sector(configuration(H.sites, c, kind), conserved) for c in configurations]

        def coarse(first: MPS) -> _Sweeps:
            sweeps = _Sweeps(self, mpo, scale, height, states, first)
            sweeps.coarse(_NOISE if first is starts[0] else 0.0)
            return sweeps

        best, *rivals = sorted(self.map(coarse, starts), key=lambda sweeps: sweeps.energy)
        best.converge(_FIRST_CUTOFF, _STAGE_SWEEPS)
        for rival in rivals:
            if rival.energy < best.energy + _COARSE_ERROR * scale and abs(rival.state.overlap(best.state)) ** 2 < 0.5:
                rival.converge(_FIRST_CUTOFF, _STAGE_SWEEPS)
                best = rival if rival.energy < best.energy - _SAME_ENERGY * scale else best
        best.through_stages(0.1 * _FIRST_CUTOFF)
        for kick in range(_KICKS + 1):
            state = best.state
            energy, variance = energy_and_variance(mpo, state.packed)
            discarded = max(best.truncation, self.cutoff**2)
            is_eigenstate = variance_is_small(coefficients, variance, discarded, _LARGEST_VARIANCE)
            if is_eigenstate or kick == _KICKS or best.count >= self.max_sweeps:
                break
            best.kick(kick)
        found = GroundState(
            energy, state, H.sites, variance, best.truncation, tuple(state.bond_dimensions), best.count,
            *((SolveStatus.LOWER_MAY_EXIST, doubt) if doubt else ()),
        )  # fmt: skip
        found = replace(found, sector=None if conserved is None else below[0].sector)
        if not best.converged:
            message = f"the energy still changed by {best.change:.1e} in sweep {best.count}; raise max_sweeps"
            return replace(found, status=SolveStatus.STILL_FALLING, message=f"{message} or energy_tolerance")
        figure = "" if is_eigenstate else f"an energy variance of {variance:.1e}"
        return self._judged(found, below, figure, scale)

    def _check(self, H: Hamiltonian, below: Sequence[GroundState]) -> None:
        if len(H.sites) < 3:
            raise ValueError("sweeps need a chain of at least 3 sites; use ExactDiagonalization")
        if not below or not all(isinstance(state.state, MPS) for state in below):
            kinds = ", ".join(type(state.state).__name__ for state in below) or "nothing"
            raise ValueError(f"an excited state is one above MPS, and below is {kinds}; give states of a DMRG solver")
        if len(below) >= (dimension := math.prod(site.dimension for site in H.sites)):
            raise ValueError(f"no state is above {len(below)} others: these sites have {dimension}")

    def _starts(
        self, H: Hamiltonian, theta: Theta, ground: MPS, start: GroundState | None, dtype: np.dtype
    ) -> tuple[list[MPS], str]:
        """States to begin with, and why there may be a lower one yet."""
        kind = complex if dtype.kind == "c" else float
        first, *others = ground.tensors
        excited = np.random.default_rng(self.seed).standard_normal(first.shape)
        starts = [MPS(ground.sites, (excited / np.linalg.norm(excited), *others))]
        if start is not None and isinstance(start.state, MPS):
            starts.append(start.state)
        else:
            starts.append(MPS.product(H.sites, local_field_vectors(H, theta, kind)))
            starts.append(MPS.random(H.sites, min(4, self.max_bond), self.seed, kind))
        coefficients = H.coefficients(theta)
        if not rests_in_product_states(H, coefficients):
            return starts, ""
        products = product_starts(H, coefficients, self.seed)
        return starts + products.states(H.sites, kind), products.doubt

    def _judged(self, found: GroundState, below: Sequence[GroundState], figure: str, scale: float) -> GroundState:
        """What was found, with its status; `figure` says why it is no eigenstate, if it is none."""
        leak = _LEAK * max(self.cutoff**2, *(state.truncation_error for state in (found, *below)))
        fidelity = max(found.fidelity(state) for state in below)
        depth = max(state.energy for state in below) - found.energy
        if not figure and fidelity > leak:
            figure = f"a fidelity of {fidelity:.1e} with a state below it"
        if not figure and depth > leak * scale:
            figure = f"an energy that is {depth:.1e} lower than that of a state below it"
        if not figure:
            return found
        message = f"the excited state has {figure}; raise max_bond, or try another seed"
        return replace(found, status=SolveStatus.NO_EIGENSTATE, message=message)


class _Sweeps:
    """Sweeps from one start: where they are, and what they have spent."""

    def __init__(
        self, search: OrthogonalSearch, mpo: BlockMPO | ChargedMPO, scale: float, height: float, below: list[MPS],
        start: MPS,
    ) -> None:  # fmt: skip
        self.search, self.mpo, self.scale, self.height, self.sites = search, mpo, scale, height, start.sites
        self.chain = chain_of(start, mpo, search.max_bond)
        self.lower = load_lower([state.packed for state in below], self.chain)
        self.energies: list[float] = []
        self.count, self.truncation, self.change, self.converged = 0, 0.0, np.inf, False

    @property
    def energy(self) -> float:
        """After the last sweep."""
        return self.energies[-1]

    @property
    def state(self) -> MPS:
        """After the last sweep."""
        return state_of(self.chain, self.sites)

    def sweep(
        self, cutoff: float, max_bond: int, noise: float = 0.0, seed: int = 0, lanczos: tuple[int, float] = _LANCZOS
    ) -> None:
        """One sweep to the right and back."""
        cutoff, max_bond = max(cutoff, self.search.cutoff), min(max_bond, self.search.max_bond)
        tolerance = 0.01 * cutoff * self.scale / len(self.sites)
        energy, self.truncation = orthogonal_sweep(
            self.chain, self.mpo, self.lower, self.height, cutoff, max_bond, lanczos[0], tolerance, lanczos[1],
            noise, seed,
        )  # fmt: skip
        self.energies.append(energy)
        self.count += 1
        log.debug("sweep %d at cutoff %.0e: energy %.12g, bond %d", self.count, cutoff, energy, self.chain.bonds.max())

    def coarse(self, noise: float) -> None:
        """A few cheap sweeps from a state far from converged, the first one with noise."""
        (cutoff, bond), *others = _COARSE
        self.sweep(cutoff, bond, noise, self.search.seed, _THOROUGH if noise > 0 else _LANCZOS)
        for cutoff, bond in others:
            self.sweep(cutoff, bond)

    def converge(self, cutoff: float, sweeps: int) -> None:
        """Sweep until the energy has no further to fall than the discarded weight, or the tolerance; before the final
        cutoff, until it falls by no more than it will in the next stage.
        """
        final = cutoff <= self.search.cutoff
        self.converged = False
        for _ in range(min(sweeps, self.search.max_sweeps - self.count)):
            self.sweep(cutoff, self.search.max_bond)
            discarded = max(self.truncation, max(cutoff, self.search.cutoff) ** 2)
            self.change = left_to_fall(self.energies, _FASTEST) if final else abs(self.energies[-1] - self.energies[-2])
            enough = discarded if final else _FINER * discarded
            if self.change <= max(self.search.energy_tolerance, enough) * self.scale:
                self.converged = final
                break

    def through_stages(self, cutoff: float) -> None:
        """Converge at ever finer cutoffs, from this one to the one in force."""
        while cutoff > 2 * self.search.cutoff:
            self.converge(cutoff, _STAGE_SWEEPS)
            cutoff *= 0.1
        self.converge(self.search.cutoff, self.search.max_sweeps)

    def kick(self, number: int) -> None:
        """Sweeps with noise, and convergence again."""
        room = 2 * int(self.chain.bonds.max()) + 8
        for n, (noise, cutoff) in enumerate(_KICK):
            self.sweep(cutoff, room, noise, self.search.seed + 10 * (number + 1) + n)
        self.converge(self.search.cutoff, self.search.max_sweeps)
