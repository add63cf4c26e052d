"""What every solver returns: a ground state, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any, ClassVar, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.operators import Operator, Product, expand
from qep_tn.hamiltonians.sites import Sites
from qep_tn.states.measured_state import MeasuredState
from qep_tn.states.mps import MPS


class State(Protocol):
    """A many-body state: `MPS`, `StateVector` or `MajoranaState`.

    has_overlaps: whether it is kept as amplitudes, which have overlaps and an entropy.
    """

    has_overlaps: ClassVar[bool]

    def product_expectations(self, products: tuple[Product, ...]) -> NDArray:
        """Expectation value of each product of one-site operators."""

    def sample(self, bases: Sequence[NDArray | None], shots: int, rng: np.random.Generator) -> NDArray:
        """Levels of every site in independent measurements, (shots, L) integers.

        bases: one (level, physical) matrix a site, its rows the bras <level|; None for the site's own basis.
        Raises ValueError if the state has no amplitudes.
        """

    def turned(self, turns: Sequence[NDArray | None]) -> Any:
        """The state with each site turned by a unitary, None for those that stay. Raises ValueError if it cannot be."""

    def overlap(self, other: Any) -> complex:
        """<other|self>. Raises ValueError if the state has none."""

    def middle_entropy(self) -> float:
        """Von Neumann entropy (natural logarithm) of the L // 2 sites on the left; NaN if the state has none."""

    def arrays(self) -> dict[str, NDArray]:
        """The arrays that make it, by name, as a file keeps them; `from_arrays` is the inverse."""


class SolveStatus(Enum):
    """How a search for a ground state ended."""

    CONVERGED = "converged"
    STILL_FALLING = "its energy still changed in the last sweep"
    LOWER_MAY_EXIST = "independent starts disagree"
    UNSETTLED = "the gradient still changed in the last sweep of the nudged states"
    UNFINISHED = "sweeps go on"
    NO_EIGENSTATE = "what was found is not the excited state that was sought"


@dataclass(frozen=True)
class GroundState:
    """A ground state, and how far to trust it.

    energy: in the Hamiltonian's own unit.
    energy_variance: <H^2> - <H>^2; zero for an exact eigenstate.
    truncation_error: largest discarded Schmidt weight of one update in the last two-site sweep; zero if exact.
    bond_dimensions: of the bonds between sites; empty if the state is not an MPS.
    status, message: whether the solver met its tolerance; if not, what happened and the remedy.
    gap: to the next level, where the solver knows it.
    sector: the conserved charges that it was searched with, by name; None where there were none.
    """

    energy: float
    state: State = field(repr=False)
    sites: Sites = field(repr=False)
    energy_variance: float
    truncation_error: float = 0.0
    bond_dimensions: tuple[int, ...] = field(default=(), repr=False)
    sweeps: int = 0
    status: SolveStatus = SolveStatus.CONVERGED
    message: str = "converged"
    gap: float | None = None
    sector: Mapping[str, float] | None = None

    @property
    def converged(self) -> bool:
        """Whether the solver met its tolerance."""
        return self.status is SolveStatus.CONVERGED

    @property
    def mps(self) -> MPS:
        """The state, known to be an MPS."""
        assert isinstance(self.state, MPS)
        return self.state

    @overload
    def expectation(self, operators: Operator) -> float: ...
    @overload
    def expectation(self, operators: Sequence[Operator]) -> NDArray: ...
    def expectation(self, operators: Operator | Sequence[Operator]) -> float | NDArray:
        """Expectation value of one Hermitian operator, or an array for a sequence of them.

        Raises ValueError for an operator that is not Hermitian or does not fit the sites.
        """
        sequence = (operators,) if isinstance(operators, Operator) else tuple(operators)
        for operator in sequence:
            operator.check(self.sites, "expectation")
        values = expectations(self.state, sequence)
        return float(values[0]) if isinstance(operators, Operator) else values

    def fidelity(self, other: GroundState) -> float:
        """|<other|self>|^2. Raises ValueError for states of different kinds, or Gaussian ones."""
        if not self.state.has_overlaps or type(self.state) is not type(other.state):
            kinds = f"{type(self.state).__name__} and {type(other.state).__name__}"
            raise ValueError(f"no fidelity of {kinds}; compare two states of one DMRG or exact solver")
        return abs(self.state.overlap(other.state)) ** 2


def expectations(state: State, operators: Sequence[Operator]) -> NDArray:
    """Real expectation values of operators that are known to be Hermitian."""
    if isinstance(state, MeasuredState):
        return state.values_of(operators)
    products, matrix = _expanded(tuple(operators))
    return np.asarray((matrix @ state.product_expectations(products)).real, float)


_expanded = lru_cache(maxsize=32)(expand)
