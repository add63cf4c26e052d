"""The states behind a gradient: free and nudged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from qep_tn.gradients.losses import Loss
from qep_tn.gradients.operator_bases import operator_structure
from qep_tn.hamiltonians.charges import charged_terms, of_operator, with_state_charges
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.mpo import summed
from qep_tn.hamiltonians.operators import Operator, local_strength
from qep_tn.kernels import BlockMPO, ChargedMPO
from qep_tn.solvers.protocol import Solver
from qep_tn.states.ground_state import GroundState, expectations


@dataclass(frozen=True)
class Nudge:
    """H(theta) + beta * O as a Hamiltonian with one more parameter, where O is sum_m signal_m O_m at unit strength: so
    that beta is an energy, which does not depend on how near to its target a loss is.

    free, theta: the Hamiltonian without nudge, and its parameters.
    signal: the error signal, one number for each observable; not all zero.
    """

    free: Hamiltonian
    theta: Theta
    observables: tuple[Operator, ...]
    signal: NDArray

    @property
    def hamiltonian(self) -> Hamiltonian:
        """The Hamiltonian with the parameter "nudge"; built once for a Hamiltonian and its observables."""
        return _with_nudge(self.free, self.observables)

    @cached_property
    def strength(self) -> float:
        """Of sum_m signal_m O_m, on the site where it is largest."""
        return strength_of(self.signal, self.observables, self.free)

    @cached_property
    def direction(self) -> NDArray:
        """The error signal of unit strength."""
        return self.signal / self.strength

    @cached_property
    def perturbation(self) -> Operator:
        """O."""
        return sum((s * o for s, o in zip(self.direction, self.observables, strict=True)), Operator({}))

    @cached_property
    def energy_scale(self) -> float:
        """The largest coefficient of H(theta), its constant left out; 1 if there is none."""
        coefficients = zip(self.free.coefficients(self.theta), self.free.products, strict=True)
        return float(max((abs(c) for c, product in coefficients if product), default=0.0) or 1.0)

    def at(self, beta: float) -> Theta:
        """Its parameters at nudge strength beta."""
        return {**self.theta, "nudge": beta * self.direction}

    def mpo(self, beta: float) -> BlockMPO:
        """Of H(theta) + beta * O; the machine's states on bonds outside of O do not depend on beta."""
        terms = self.perturbation.terms
        nudge = operator_structure(self.free.sites, tuple(terms)).fill_blocks(beta * np.array(list(terms.values())))
        return summed([self.free.mpo.fill_blocks(self.free.coefficients(self.theta)), nudge])

    def charged_mpo(self, beta: float, names: tuple[str, ...]) -> ChargedMPO | None:
        """As `mpo`, in blocks of these charges; None if H or the nudge does not conserve them."""
        H, coefficients = self.free, self.free.coefficients(self.theta)
        terms = charged_terms(H.sites, H.products, names)
        nudge, strengths = of_operator(self.perturbation, H.sites, names)
        if len(terms.breaking(coefficients)) or len(nudge.breaking(strengths)):
            return None
        both = summed([terms.fill(coefficients), nudge.fill(beta * strengths)])
        return with_state_charges(both, terms.charges.levels)

    def with_signal(self, signal: NDArray) -> Nudge:
        """The nudge of another error signal; the same one if that is zero, and has no direction."""
        return replace(self, signal=signal) if strength_of(signal, self.observables, self.free) > 0 else self


def strength_of(signal: NDArray, observables: Sequence[Operator], H: Hamiltonian) -> float:
    """Of sum_m signal_m O_m, on the site where it is largest."""
    return local_strength(sum((s * o for s, o in zip(signal, observables, strict=True)), Operator({})), H.sites)


@lru_cache(maxsize=8)
def _with_nudge(free: Hamiltonian, observables: tuple[Operator, ...]) -> Hamiltonian:
    return free.with_parameter("nudge", observables)


class Noise(NamedTuple):
    """What limits a component of a gradient.

    rounding: in an expectation value of an operator of unit norm. faintest: component that can be told from zero,
    relative to the largest one times rtol. amplitude: that truncation leaves undetermined in the state; its
    interference with the response shows in a component as this times the root of the component.
    """

    rounding: float = 5e-15
    faintest: float = 3e-7
    amplitude: float = 0.0


@dataclass(frozen=True)
class Level:
    """Nudged states at one accuracy.

    beta: nudge strength, an energy. gradient: over the couplings, for an error signal of unit strength, as all that is
        of the gradient here. free: the free state.
    order: 2 for states at +beta and -beta, 1 for one at +beta, 0 for none.
    overlap: the smallest |<free|nudged>|^2. weight: of the response to the nudge in a nudged state.
    message: empty, or why a nudged state has not converged.
    settled: whether the gradient came to rest; if not, no finer manifold helps.
    last_change: of the gradient, in the last sweep; if it did not settle, in all since the one that changed it least.
    curvature: over the couplings, the gradient's bias over beta^order, as two nudges on a coarser manifold tell it.
    reach: how many sites beyond the nudge had room for the response. room: the sum of the bond dimensions there; 0 if
        they could not be larger, or are not what tells two levels apart.
    limited: whether a bond dimension is at its limit.
    assemble: makes the nudged ground states; not before they are asked for, for that can cost more than to find them.
    certify: computes the residual of the response, see `qep_tn.gradients.residual`; none for states without a manifold.
    noise: of the gradient's components. left_out: over the couplings, a bound on what the gradient leaves out.
    """

    beta: float
    gradient: NDArray
    free: GroundState
    order: int = 0
    overlap: float = 1.0
    weight: float = 0.0
    message: str = ""
    settled: bool = True
    assemble: Callable[[], tuple[GroundState, ...]] = tuple
    certify: Callable[[], float] = float
    noise: Noise = field(default_factory=Noise)
    last_change: NDArray | float = 0.0
    curvature: NDArray | None = None
    reach: int = 0
    room: int = 0
    limited: bool = False
    left_out: NDArray | float = 0.0

    @property
    def bias(self) -> NDArray:
        """Of the gradient, over the couplings, by its curvature; but not less than goes with the response's weight in
        the nudged states: between close levels the response saturates, and curvature at a stronger nudge says little.
        """
        by_curvature = 0.0 if self.curvature is None else np.abs(self.curvature) * self.beta**self.order
        by_weight = BIAS_OVER_WEIGHT * self.weight ** (self.order / 2) * np.abs(self.gradient)
        return np.maximum(by_curvature, by_weight)

    def tells_from(self, coarser: Level) -> bool:
        """Whether the difference to a coarser level tells what both leave out: not if the bonds have the same room."""
        return self.room == 0 or self.room > coarser.room

    @cached_property
    def nudged(self) -> tuple[GroundState, ...]:
        """The nudged states: at +beta, and at -beta if the scheme is symmetric."""
        return self.assemble()

    @cached_property
    def residual(self) -> float:
        """Of the response over the whole chain, relative to the nudge's own norm."""
        return self.certify()

    def __getstate__(self) -> dict[str, Any]:
        """What another process gets: nudged states and residual themselves, not how to make them."""
        made = {"nudged": self.nudged, "residual": self.residual}
        return self.__dict__ | made | {"assemble": tuple, "certify": float}

    @classmethod
    def of_states(
        cls, beta: float, gradient: NDArray, free: GroundState, nudged: Sequence[GroundState], message: str = "",
        certify: Callable[[], float] = float,
    ) -> Level:  # fmt: skip
        """The level of nudged states at hand."""
        overlap = min(state.fidelity(free) for state in nudged)
        message = message or next((state.message for state in nudged if not state.converged), "")
        other = nudged[-1] if len(nudged) == 2 else free
        weight = weight_between(nudged[0].fidelity(other), len(nudged))
        return cls(
            beta, gradient, free, len(nudged), overlap, weight, message, assemble=lambda: tuple(nudged), certify=certify
        )


class Manifold(Protocol):
    """Where free and nudged MPS are compared: the same bond dimensions for all of them.

    A gradient begins on a coarser manifold than it needs, and goes on to finer ones until the difference of the last
    two says that it has what it asks for.
    """

    @property
    def nudge(self) -> Nudge:
        """The nudge, with the error signal in force."""

    @property
    def limited(self) -> bool:
        """Whether a bond dimension is at its limit, so that no finer manifold can be had."""

    def level(self) -> Level:
        """Nudged states on this manifold."""

    def refined(self, level: Level, loss: Loss) -> Manifold:
        """A finer manifold, and a weaker nudge; `level` is this one's."""

    def second_values(self, fine: Level, coarse: Level) -> NDArray:
        """The observables' values without nudge, of another accuracy than those of the fine level's free state."""


def weight_between(fidelity: float, order: int) -> float:
    """The weight of the response in a nudged state, from the fidelity of those at +beta and -beta (order 2), or of that
    at +beta and one without nudge.
    """
    return max(1 - fidelity, 0.0) / order**2


# The bias of a nudge, over the weight of the response in the nudged state, is 1 to 12 in gapped and critical chains and
# 1.5 where a weakly coupled site responds: what is likely, and the largest
BIAS_OVER_WEIGHT, LARGEST_BIAS_OVER_WEIGHT = 3.0, 12.0
SAME_ENERGY = 1e-12  # of the sum of all coefficients: rounding in an energy
SHRINK = 3.0  # by how much the errors of two levels that are compared differ
COARSER_NUDGE = math.sqrt(
    2
)  # nudge of a coarse level over that of the fine one, where the nudge alone tells them apart


def coarser_bond(max_bond: int) -> int:
    """The bond dimension of the coarse manifold where the limit, not the cutoff, decides."""
    return max(1, min(max_bond - 1, math.ceil(0.7 * max_bond)))


def signs(scheme: str) -> tuple[int, ...]:
    """Of the nudges that a scheme needs."""
    return (1, -1) if scheme == "symmetric" else (1,)


def difference_quotient(values: Sequence[NDArray], free: NDArray, beta: float) -> NDArray:
    """The gradient from <A> in the nudged states: symmetric for two of them, one-sided for one."""
    plus, minus = values if len(values) == 2 else (values[0], free)
    return (plus - minus) / (len(values) * beta)


def exact_levels(
    solver: Solver, nudge: Nudge, scheme: str, strengths: Sequence[float], free: GroundState
) -> list[Level]:
    """A level for each strength of the nudge, by a solver without a manifold."""
    betas = [sign * strength for strength in strengths for sign in signs(scheme)]
    states = iter(solver.nudged_states(nudge.hamiltonian, nudge.at, betas, free))
    base = expectations(free.state, nudge.free.couplings)
    levels = []
    for strength in strengths:
        nudged = tuple(next(states) for _ in signs(scheme))
        values = [expectations(state.state, nudge.free.couplings) for state in nudged]
        levels.append(Level.of_states(strength, difference_quotient(values, base, strength), free, nudged))
    return levels


def resolution(beta: float, couplings: int) -> float:
    """Norm of the rounding noise in a gradient: about 1e-14 in every expectation value."""
    return 1e-14 * np.sqrt(couplings) / beta
