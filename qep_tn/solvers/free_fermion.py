"""Exact ground states of open cluster-Ising chains of any length, from free Majorana fermions.

H = -sum_j g_x[j] X_j - sum_j g_zz[j] Z_j Z_{j+1} - sum_j g_zxz[j] Z_j X_{j+1} Z_{j+2}, every coupling site-dependent.
With Majorana operators a_j, b_j (X_j = -i b_j a_j, Z_j Z_{j+1} = i b_j a_{j+1}, Z_j X_{j+1} Z_{j+2} = i b_j a_{j+2})
it is H = -sum_jk m_jk i b_j a_k, and with m = U S V^T the ground energy is -sum S and <i b_j a_k> = (U V^T)_jk
(Lieb, Schultz and Mattis, Ann. Phys. 16, 407 (1961); the three-site term: Suzuki, Prog. Theor. Phys. 46, 1337 (1971)).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Product, expand
from qep_tn.solvers.protocol import Nudging, Solver
from qep_tn.states.ground_state import GroundState
from qep_tn.states.majorana import MajoranaState

# X_j, Z_j Z_{j+1} and Z_j X_{j+1} Z_{j+2} by their factors: the offset k - j of the pair i b_j a_k, and its sign
_PAIRS = {("X",): (0, -1.0), ("Z", "Z"): (1, 1.0), ("Z", "X", "Z"): (2, 1.0)}


@dataclass(frozen=True)
class FreeFermion(Solver):
    """Exact solver for open cluster-Ising chains of any length and with any couplings.

    `expectation` takes every operator of even fermion parity: X, ZZ, ZXZ, XX and all their products.
    seed: of the rounding-sized changes of the couplings that tell the errors of gradients.
    """

    seed: int = 0
    nudging: ClassVar[Nudging] = Nudging.ANALYTIC
    linear_response: ClassVar[bool] = True
    has_overlaps: ClassVar[bool] = False
    has_excited_states: ClassVar[bool] = True

    def ground_state(self, H: Hamiltonian, theta: Theta, start: GroundState | None = None) -> GroundState:
        """The exact ground state; `start` is not needed. `gap` is 2 min S, zero where modes are degenerate.

        Raises ValueError if H is not an open cluster-Ising chain.
        """
        slots, constant = _family(H)
        coefficients = H.coefficients(theta).real
        m = np.zeros((len(H.sites),) * 2)
        for p, (row, column, sign) in slots.items():
            m[row, column] -= sign * coefficients[p]
        u, s, vt = np.linalg.svd(m)
        energy = -s.sum() + (0.0 if constant is None else coefficients[constant])
        return GroundState(
            float(energy), MajoranaState((u, s, vt)), H.sites, energy_variance=0.0, gap=float(2 * s.min())
        )

    def excited_state(
        self, H: Hamiltonian, theta: Theta, below: Sequence[GroundState], start: GroundState | None = None
    ) -> GroundState:
        """The exact level after as many as are `below`: modes of energies 2 S are filled, by the next larger sum."""
        ground = self.ground_state(H, theta)
        assert isinstance(ground.state, MajoranaState)
        u, s, vt = ground.state.pairs
        filled = _next_sum(s[::-1], len(below))
        signs = np.ones(len(s))
        signs[[len(s) - 1 - mode for mode in filled]] = -1
        energy = ground.energy + float(s @ (1 - signs))
        return replace(ground, energy=energy, state=MajoranaState((u * signs, s * signs, vt)), gap=None)

    def gradient_of_expectations(
        self, H: Hamiltonian, free: GroundState, products: tuple[Product, ...], weights: NDArray
    ) -> NDArray:
        """d(sum_p weights[p] <products[p]>)/d theta_k for all couplings, analytic."""
        assert isinstance(free.state, MajoranaState)
        slots, _ = _family(H)
        by_m = np.zeros((len(H.sites),) * 2)
        for weight, product in zip(weights, products, strict=True):
            if product:
                by_m += weight * free.state.derivative(product)
        by_product = np.zeros(len(H.products))
        for p, (row, column, sign) in slots.items():
            by_product[p] = -sign * by_m[row, column]
        _, matrix = expand(H.couplings)
        return np.asarray((matrix @ by_product[: matrix.shape[1]]).real)


def _next_sum(terms: NDArray, number: int) -> tuple[int, ...]:
    """Which terms, ascending and none negative, make the sum after so many smaller ones; the empty sum is the first.

    Raises ValueError if there are no more.
    """
    sums: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for _ in range(number):
        total, chosen = heapq.heappop(sums)
        after = chosen[-1] + 1 if chosen else 0
        if after < len(terms):  # every other choice comes from one smaller: one more term, or the last one moved on
            heapq.heappush(sums, (total + terms[after], (*chosen, after)))
            if chosen:
                heapq.heappush(sums, (total + terms[after] - terms[after - 1], (*chosen[:-1], after)))
        if not sums:
            raise ValueError(f"no state is above {number} others: these sites have {2 ** len(terms)}")
    return sums[0][1]


@lru_cache(maxsize=16)
def _family(H: Hamiltonian) -> tuple[dict[int, tuple[int, int, float]], int | None]:
    """Where each product of H stands in m: index -> (row, column, sign); and the index of the constant."""
    if any(site.name != "qubit" for site in H.sites):
        raise ValueError("FreeFermion takes qubits only; use TenpyDMRG for other sites")
    slots, constant = {}, None
    for p, product in enumerate(H.products):
        if not product:
            constant = p
            continue
        names = tuple(name for _, factors in product for name in factors)
        first = product[0][0]
        adjacent = [site for site, _ in product] == list(range(first, first + len(product)))
        if names not in _PAIRS or not adjacent:
            text = " * ".join(f"{name}({site})" for site, factors in product for name in factors)
            raise ValueError(
                f"FreeFermion solves open cluster-Ising chains (X, ZZ and ZXZ on neighbouring sites) but the "
                f"Hamiltonian has {text}; use TenpyDMRG"
            )
        offset, sign = _PAIRS[names]
        slots[p] = (first, first + offset, sign)
    return slots, constant
