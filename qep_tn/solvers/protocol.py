"""What every solver returns, and the one verb that it answers to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, Protocol, overload, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonian import Hamiltonian, Theta
from qep_tn.operators import Operator, Product, expand
from qep_tn.sites import Sites


class State(Protocol):
    """A many-body state: `MPS`, `StateVector` or `MajoranaState`."""

    def product_expectations(self, products: tuple[Product, ...]) -> NDArray:
        """Expectation value of each product of one-site operators."""


@runtime_checkable
class PureState(State, Protocol):
    """A state that is kept as a vector of amplitudes: `MPS` or `StateVector`."""

    def overlap(self, other: Any) -> complex:
        """<other|self>."""


@dataclass(frozen=True)
class GroundState:
    """A ground state, and how far to trust it.

    energy: in the Hamiltonian's own unit.
    energy_variance: <H^2> - <H>^2; zero for an exact eigenstate.
    truncation_error: largest discarded Schmidt weight of one update in the last two-site sweep; zero if exact.
    bond_dimensions: of the bonds between sites; empty if the state is not an MPS.
    converged, message: whether the solver met its tolerance; if not, what happened and the remedy.
    gap: to the next level, where the solver knows it.
    """

    energy: float
    state: State = field(repr=False)
    sites: Sites = field(repr=False)
    energy_variance: float
    truncation_error: float = 0.0
    bond_dimensions: tuple[int, ...] = field(default=(), repr=False)
    sweeps: int = 0
    converged: bool = True
    message: str = "converged"
    gap: float | None = None

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
        if not isinstance(self.state, PureState) or type(self.state) is not type(other.state):
            kinds = f"{type(self.state).__name__} and {type(other.state).__name__}"
            raise ValueError(f"no fidelity of {kinds}; compare two states of one DMRG or exact solver")
        return abs(self.state.overlap(other.state)) ** 2


def expectations(state: State, operators: Sequence[Operator]) -> NDArray:
    """Real expectation values of operators that are known to be Hermitian."""
    products, matrix = expand(operators)
    return np.asarray((matrix @ state.product_expectations(products)).real, float)


def settings_of(solver: Solver) -> dict[str, Any]:
    """A solver's name and settings, for a summary."""
    return {"name": type(solver).__name__, **(asdict(solver) if is_dataclass(solver) else {})}


@runtime_checkable
class Solver(Protocol):
    """A frozen settings object with one verb."""

    def ground_state(self, H: Hamiltonian, theta: Theta, start: GroundState | None = None) -> GroundState:
        """The ground state of H(theta). `start`, of the same sites, is where the search begins.

        Raises ValueError if the solver cannot take the Hamiltonian.
        """
