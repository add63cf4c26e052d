"""The one verb that every solver answers to, and what a solver says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from enum import Enum
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator, Product
from qep_tn.states.ground_state import GroundState, expectations

T = TypeVar("T")


class Nudging(Enum):
    """How nudged states are had, and compared with the free one."""

    SOLVED = "each is a ground state of its own, exact"
    ANALYTIC = "the solver knows the derivative itself, `Solver.gradient_of_expectations`"
    SWEPT = "MPS that are swept in step, over the whole chain"
    WINDOW = "MPS that differ from the free one in a window around the nudge"
    MEASURED = "they are prepared on a device, and measured"


class Observed(NamedTuple):
    """A ground state, expectation values of some operators in it, and their standard errors, zero if computed."""

    state: GroundState
    values: NDArray
    errors: NDArray


class Solver:
    """A frozen settings object with one verb, `ground_state`. A new solver needs nothing but that.

    What follows the verb has defaults for an exact solver of small systems; others say here what they can do.

    sector: conserved charges that a search keeps to, of a solver that can.
    nudging: see `Nudging`. linear_response: whether a gradient may be had in the limit of no nudge.
    has_overlaps: whether its states have overlaps and an entropy. has_excited_states: whether `excited_state` is there.
    """

    sector: Mapping[str, float] | None = None
    nudging: ClassVar[Nudging] = Nudging.SOLVED
    linear_response: ClassVar[bool] = False
    has_overlaps: ClassVar[bool] = True
    has_excited_states: ClassVar[bool] = False

    def ground_state(self, H: Hamiltonian, theta: Theta, start: GroundState | None = None) -> GroundState:
        """The ground state of H(theta). `start`, of the same sites, is where the search begins.

        Raises ValueError if the solver cannot take the Hamiltonian.
        """
        raise NotImplementedError

    def observed(
        self, H: Hamiltonian, theta: Theta, operators: Sequence[Operator], start: GroundState | None = None
    ) -> Observed:
        """The ground state of H(theta) with expectation values of some Hermitian operators."""
        state = self.ground_state(H, theta, start=start)
        return Observed(state, expectations(state.state, operators), np.zeros(len(operators)))

    def nudged_states(
        self, H: Hamiltonian, at: Callable[[float], Theta], strengths: Sequence[float], free: GroundState
    ) -> list[GroundState]:
        """The ground states of H(at(s)) for each strength s of a nudge, where `free` is that of H(at(0)); if `nudging`
        is SOLVED.
        """
        return [self.ground_state(H, at(strength), start=free) for strength in strengths]

    def excited_state(
        self, H: Hamiltonian, theta: Theta, below: Sequence[GroundState], start: GroundState | None = None
    ) -> GroundState:
        """The lowest eigenstate of H(theta) orthogonal to those `below`, the ground state first; if
        `has_excited_states`. `start`, of the same sites, is where the search begins.

        Raises ValueError for states below that the solver cannot take, or where there is none above.
        """
        raise NotImplementedError

    def gap_above(self, H: Hamiltonian, theta: Theta, ground: GroundState) -> tuple[float, bool]:
        """The gap above a ground state, and whether both levels converged; NaN where the solver cannot tell."""
        if ground.gap is not None:
            return ground.gap, ground.converged
        if not self.has_excited_states:
            return np.nan, False
        second = self.excited_state(H, theta, [ground])
        return second.energy - ground.energy, second.converged and ground.converged

    def nudge_strength(self, rtol: float, scheme: str, length: int) -> float:
        """Of a nudge, relative to the energy scale: where rounding (1e-14 over the strength) and bias (its square, or
        the strength itself if one-sided) meet.
        """
        return 3e-5 if scheme == "symmetric" else 1e-6

    def resolving(self, rtol: float, scheme: str, length: int, auto: bool) -> Self:
        """The same settings for gradients of this relative error; `auto` unless the nudge strength is given."""
        return self

    def for_one_level(self, rtol: float) -> Self:
        """The same settings for a gradient of this relative error that nothing is compared with."""
        return self

    def with_cutoff(self, cutoff: float) -> Self:
        """The same settings with this Schmidt cutoff, unless the user chose one, or there is none."""
        return self

    def with_seed(self, seed: int) -> Self:
        """The same settings, with independent random starts where there are any."""
        return self

    def on_one_thread(self) -> Self:
        """The same settings, and results, on one core."""
        return self

    @property
    def expectation_error(self) -> float:
        """Of an expectation value, as far as it differs between neighbouring points, for an operator of unit norm."""
        return 1e-12

    @property
    def energy_error(self) -> float:
        """Of a ground energy, relative to the sum of the magnitudes of all coefficients."""
        return 0.0

    def settings(self) -> dict[str, Any]:
        """What it was made with, by name."""
        return asdict(self) if is_dataclass(self) else {}

    def memory(self) -> dict[str, Any]:
        """What a run saves, so that it goes on as it would have; nothing, where states depend on settings alone."""
        return {}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Go back to a `memory`."""

    def map(self, work: Callable[..., T], *arguments: Sequence) -> list[T]:
        """`work` done for each set of arguments, several at a time where the solver can."""
        return [work(*a) for a in zip(*arguments, strict=True)]

    def perturbed_expectations(
        self, H: Hamiltonian, theta: Theta, free: GroundState, perturbation: Operator, products: tuple[Product, ...]
    ) -> tuple[NDArray, float]:
        """d<product>/d beta at beta = 0 in the ground state of H(theta) + beta * perturbation, and an error of the
        state's derivative; if `linear_response`.
        """
        raise NotImplementedError

    def gradient_of_expectations(
        self, H: Hamiltonian, free: GroundState, products: tuple[Product, ...], weights: NDArray
    ) -> NDArray:
        """d(sum_p weights[p] <products[p]>)/d theta_k for all couplings; if `nudging` is ANALYTIC."""
        raise NotImplementedError


def refuse_others(solver: object) -> None:
    """Raise ValueError for what is no solver."""
    if not isinstance(solver, Solver):
        raise ValueError(f"solver is a {type(solver).__name__}; give a subclass of qep_tn.Solver, such as NumbaDMRG()")


def settings_of(solver: Solver) -> dict[str, Any]:
    """A solver's name and settings, for a summary."""
    return {"name": type(solver).__name__, **solver.settings()}
