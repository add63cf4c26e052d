"""What DMRG by any library has in common: settings, cold and warm starts, when to stop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, Self

import numpy as np

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.mpo import energy_and_variance
from qep_tn.solvers.convergence import left_to_fall, status_of, variance_is_small
from qep_tn.solvers.excited import OrthogonalSearch
from qep_tn.solvers.product_starts import (
    ProductStarts,
    local_field_vectors,
    product_starts,
    rests_in_product_states,
)
from qep_tn.solvers.protocol import Nudging, Solver
from qep_tn.states.ground_state import GroundState, SolveStatus
from qep_tn.states.mps import MPS

_KICKS = (0.3, 0.1, 0.03)
_RESCUES = (0.1, 0.1, 0.1)  # kicks for sweeps that come to rest, or creep, where the energy variance is too large
_PATIENCE = 15  # sweeps before a kick
_COLD_CUTOFF = 1e-4
_COLD_BOND = 12  # of the first sweeps, whose state is needlessly entangled
_SAME_ENERGY = 1e-6  # of the sum of all coefficients, after the first sweeps: as good as the same minimum
# Of the stage between these and the cutoff in force, and its sweeps: on a Heisenberg chain of 100 sites they leave 5e-7
# of its energy of 44, at bonds up to 74.
_STAGE_CUTOFF, _STAGE_SWEEPS = 1e-5, 2
_PRODUCTS = 3  # product states of lowest energy that a cold start sweeps: each takes as long as any other start


class Sweeper(Protocol):
    """A library's engine, at rest between two sweeps."""

    def sweep(self) -> tuple[float, float]:
        """One sweep to the right and back. Returns the energy and the largest discarded Schmidt weight."""

    def state(self) -> MPS:
        """The state as it stands."""


@dataclass(frozen=True)
class DMRGSettings(Solver):
    """Settings of a DMRG solver.

    max_bond: largest bond dimension.
    cutoff: Schmidt values below it are discarded. None follows the `rtol` of a gradient, and is 1e-7 elsewhere.
    energy_tolerance: a solve has converged when a sweep changes the energy by less than this, or the discarded
        weight, times the sum of the magnitudes of all coefficients of H; 1e-13 is a few times the rounding error.
    max_sweeps: of a ground-state search, two-site and one-site sweeps together.
    seed: of the random MPS that a cold search starts from.
    """

    max_bond: int = 128
    cutoff: float | None = None
    energy_tolerance: float = 1e-13
    max_sweeps: int = 60
    seed: int = 0
    has_excited_states: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.max_bond, int) or self.max_bond < 1:
            raise ValueError(f"max_bond = {self.max_bond}: a bond dimension is a whole number, at least 1")
        if self.cutoff is not None and not 0 < self.cutoff < 1:
            raise ValueError(f"cutoff = {self.cutoff}: a Schmidt value lies between 0 and 1")
        if not isinstance(self.max_sweeps, int) or self.max_sweeps <= len(_KICKS) + 1:
            raise ValueError(f"max_sweeps = {self.max_sweeps}: at least {len(_KICKS) + 2} sweeps are needed")

    @property
    def schmidt_cutoff(self) -> float:
        """The cutoff in force."""
        return 1e-7 if self.cutoff is None else self.cutoff

    @property
    def local_tolerance(self) -> float:
        """How far, in amplitude, the eigenvectors of local problems may be off. A gradient of relative error rtol has
        a cutoff of rtol/1000 and a nudge of rtol/2, so the response shows to 1 % of rtol with rtol^2 / 200.
        """
        return float(np.clip(5e3 * self.schmidt_cutoff**2, 1e-12, 1e-5))

    def excited_state(
        self, H: Hamiltonian, theta: Theta, below: Sequence[GroundState], start: GroundState | None = None
    ) -> GroundState:
        """The lowest state orthogonal to those `below`, by compiled sweeps, whichever library found these."""
        search = OrthogonalSearch(
            self.max_bond, self.schmidt_cutoff, self.energy_tolerance, self.max_sweeps, self.seed, self.map
        )
        return search.lowest(H, theta, below, start)

    def with_cutoff(self, cutoff: float) -> Self:
        """The same settings with this cutoff, unless the user chose one."""
        return self if self.cutoff is not None else replace(self, cutoff=cutoff)

    def resolving(self, rtol: float, scheme: str, length: int, auto: bool) -> Self:
        """The same settings with the cutoff that a gradient of this relative error needs."""
        return self.with_cutoff(self.cutoff_for(rtol, scheme, length) if auto else 1e-3 * rtol)

    @property
    def expectation_error(self) -> float:
        """Measured, up to 0.05 of the Schmidt cutoff."""
        return 0.05 * self.schmidt_cutoff

    @property
    def energy_error(self) -> float:
        """Measured, up to 15 times the cutoff squared."""
        return 15 * self.schmidt_cutoff**2

    def with_seed(self, seed: int) -> Self:
        """The same settings, with independent random starts."""
        return replace(self, seed=self.seed + seed)

    def with_finer_cutoff(self, factor: float) -> Self:
        """The same settings with a cutoff smaller by a factor."""
        return replace(self, cutoff=self.schmidt_cutoff / factor)

    def nudge_strength(self, rtol: float, scheme: str, length: int) -> float:
        """Of a nudge, relative to the energy scale. Nudged states that are swept in step from one state resolve tiny
        nudges, whose bias is negligible.
        """
        return float(np.clip(0.3 * rtol, 3e-5, 1e-2))

    def cutoff_for(self, rtol: float, scheme: str, length: int) -> float:
        """The cutoff that a gradient of this relative error needs."""
        return 1e-3 * rtol


class LibraryDMRG(DMRGSettings):
    """DMRG by a library that sweeps when asked to."""

    nudging: ClassVar[Nudging] = Nudging.SWEPT

    def _two_site(
        self, H: Hamiltonian, theta: Theta, start: MPS, cutoff: float, max_bond: int, mixed: bool = False
    ) -> Sweeper:
        """Two-site sweeps; `mixed` by the library's own way out of local minima, if it has one."""
        raise NotImplementedError

    def _one_site(self, H: Hamiltonian, theta: Theta, start: MPS) -> Sweeper:
        raise NotImplementedError

    def ground_state(self, H: Hamiltonian, theta: Theta, start: GroundState | None = None) -> GroundState:
        """Two-site sweeps until the energy settles to within truncation, with a kick by a random MPS and more sweeps as
        long as the energy variance says that this is not an eigenstate; then, if the bond dimension is at its limit,
        one-site sweeps to the variational minimum there. `start` is used if its state is an MPS; it also chooses
        the branch: across a first-order transition a warm start may stay in the phase that it comes from.

        Raises ValueError for a chain of fewer than three sites.
        """
        if len(H.sites) < 3:
            raise ValueError(f"{type(self).__name__} needs a chain of at least 3 sites; use ExactDiagonalization")
        coefficients = H.coefficients(theta)
        mpo = H.mpo.fill_blocks(coefficients)
        scale = float(np.abs(coefficients).sum()) or 1.0
        rests = rests_in_product_states(H, coefficients)
        products = product_starts(H, coefficients, self.seed) if rests else None
        if start is not None and isinstance(start.state, MPS):
            state, sweeps = start.state, 0
            if products is not None and products.energies[0] < energy_and_variance(mpo, state.packed)[0]:
                state = products.states(H.sites, self._dtype(H, theta))[0]  # the start's own minimum is a false one
        else:
            state, sweeps = self._cold_start(H, theta, scale, products), len(_KICKS)
            state, sweeps = self._through_stage(H, theta, state, sweeps)

        for kick in (*_RESCUES, None):
            sweeper = self._two_site(H, theta, state, self.schmidt_cutoff, self.max_bond)
            patience = self.max_sweeps if kick is None else min(self.max_sweeps, sweeps + _PATIENCE)
            energies: list[float] = []
            change, truncation = np.inf, 0.0
            while change > (tolerance := max(self.energy_tolerance, truncation) * scale) and sweeps < patience:
                energy, truncation = sweeper.sweep()
                energies.append(energy)
                change, sweeps = left_to_fall(energies), sweeps + 1
            state = sweeper.state()
            _, variance = energy_and_variance(mpo, state.packed)
            small = variance_is_small(coefficients, variance, max(truncation, self.schmidt_cutoff**2))
            if (small and change <= tolerance) or sweeps >= self.max_sweeps:
                break
            # exact zeros among the Schmidt values: the sweeps are confined to a sector that no single update leaves
            if kick is not None and not small and truncation < 1e-4 * self.schmidt_cutoff**2:
                state = state.plus(MPS.random(H.sites, 4, self.seed + sweeps, self._dtype(H, theta)), kick)

        if truncation > 10 * self.schmidt_cutoff**2:
            sweeper = self._one_site(H, theta, state)
            # far below what truncation leaves of the energy, sweeps would go on for ever
            tolerance, change, energies = max(self.energy_tolerance, 1e-2 * truncation) * scale, np.inf, []
            while change > tolerance and sweeps < self.max_sweeps:
                energies.append(sweeper.sweep()[0])
                change, sweeps = left_to_fall(energies), sweeps + 1
        doubt = "" if products is None else products.doubt
        converged = change <= tolerance
        message = (doubt or "converged") if converged else (
            f"the energy still changed by {change:.1e} in sweep {sweeps}; raise max_sweeps or energy_tolerance"
        )  # fmt: skip
        return self._result(H, theta, sweeper.state(), truncation, sweeps, status_of(converged, doubt), message)

    def _cold_start(self, H: Hamiltonian, theta: Theta, scale: float, products: ProductStarts | None) -> MPS:
        """The best of several starts: the product state that the local fields favour, and a random MPS, or two if the
        first does not lead to the same energy; and, where sweeps rest in product states, the lowest of these, which
        are not kicked.

        Sweeps with a coarse cutoff, for an unconverged state is needlessly entangled; kicked by ever weaker random MPS
        in between, out of the local minima of Hamiltonians with hidden symmetries.
        """
        dtype = self._dtype(H, theta)
        seeds = range(self.seed, self.seed + 3 * (1 + len(_KICKS)), 1 + len(_KICKS))
        states = [MPS.random(H.sites, min(4, self.max_bond), seed, dtype) for seed in seeds]
        states[0] = MPS.product(H.sites, local_field_vectors(H, theta, dtype))
        best = states[0]
        energies: list[float] = []
        lowest_products = products.states(H.sites, dtype)[:_PRODUCTS] if products is not None else []
        starts = [*zip(states, seeds, strict=True), *((state, None) for state in lowest_products)]
        for number, (state, seed) in enumerate(starts):
            if number == 2 and abs(energies[0] - energies[1]) <= _SAME_ENERGY * scale:
                continue
            for n, kick in enumerate(_KICKS):
                kicked = state if seed is None else state.plus(MPS.random(H.sites, 4, seed + n + 1, dtype), kick)
                sweeper = self._two_site(
                    H, theta, kicked, max(self.schmidt_cutoff, _COLD_CUTOFF), min(self.max_bond, _COLD_BOND), mixed=True
                )
                energy, _ = sweeper.sweep()
                state = sweeper.state()
            if not energies or energy < min(energies) - 1e-9 * abs(energy):
                best = state
            energies.append(energy)
        return best

    def _through_stage(self, H: Hamiltonian, theta: Theta, state: MPS, sweeps: int) -> tuple[MPS, int]:
        """The state, and the sweeps so far, after sweeps at a cutoff between the cold start's and the one in force."""
        if self.schmidt_cutoff > 0.5 * _STAGE_CUTOFF:
            return state, sweeps
        sweeper = self._two_site(H, theta, state, _STAGE_CUTOFF, self.max_bond)
        count = min(_STAGE_SWEEPS, self.max_sweeps - sweeps - 2)  # two are needed to see the energy change
        for _ in range(count):
            sweeper.sweep()
        return sweeper.state(), sweeps + count

    @staticmethod
    def _dtype(H: Hamiltonian, theta: Theta) -> type:
        return complex if np.iscomplexobj(H.mpo.fill_blocks(H.coefficients(theta)).values) else float

    def grow(self, H: Hamiltonian, theta: Theta, start: GroundState) -> GroundState:
        """One two-site sweep from `start`."""
        sweeper = self._two_site(H, theta, start.mps, self.schmidt_cutoff, self.max_bond)
        _, truncation = sweeper.sweep()
        return self._result(H, theta, sweeper.state(), truncation, 1, SolveStatus.UNFINISHED, "one sweep only")

    def sweeps(self, H: Hamiltonian, theta: Theta, start: GroundState) -> Iterator[GroundState]:
        """One-site sweeps at the bond dimensions of `start`, without end; yields after each."""
        sweeper = self._one_site(H, theta, start.mps)
        count = 0
        while True:
            sweeper.sweep()
            count += 1
            yield self._result(
                H, theta, sweeper.state(), start.truncation_error, count, SolveStatus.UNFINISHED, "sweeping"
            )

    def _result(
        self,
        H: Hamiltonian,
        theta: Theta,
        state: MPS,
        truncation: float,
        sweeps: int,
        status: SolveStatus,
        message: str,
    ) -> GroundState:
        energy, variance = energy_and_variance(H.mpo.fill_blocks(H.coefficients(theta)), state.packed)
        return GroundState(
            energy, state, H.sites, variance, truncation, tuple(state.bond_dimensions), sweeps, status, message
        )
