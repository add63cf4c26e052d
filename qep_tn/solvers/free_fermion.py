"""Exact ground states of open cluster-Ising chains of any length, from free Majorana fermions.

H = -sum_j g_x[j] X_j - sum_j g_zz[j] Z_j Z_{j+1} - sum_j g_zxz[j] Z_j X_{j+1} Z_{j+2}, every coupling site-dependent.
With Majorana operators a_j, b_j (X_j = -i b_j a_j, Z_j Z_{j+1} = i b_j a_{j+1}, Z_j X_{j+1} Z_{j+2} = i b_j a_{j+2})
it is H = -sum_jk m_jk i b_j a_k, and with m = U S V^T the ground energy is -sum S and <i b_j a_k> = (U V^T)_jk
(Lieb, Schultz and Mattis, Ann. Phys. 16, 407 (1961); the three-site term: Suzuki, Prog. Theor. Phys. 46, 1337 (1971)).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonian import Hamiltonian, Theta
from qep_tn.operators import Product, expand
from qep_tn.solvers.protocol import GroundState

# X_j, Z_j Z_{j+1} and Z_j X_{j+1} Z_{j+2} by their factors: the offset k - j of the pair i b_j a_k, and its sign
_PAIRS = {("X",): (0, -1.0), ("Z", "Z"): (1, 1.0), ("Z", "X", "Z"): (2, 1.0)}

_B, _A = 0, 1  # the two kinds of Majorana operators, in the order in which strings are sorted


@dataclass(frozen=True, eq=False)
class MajoranaState:
    """The Gaussian ground state: its correlations <i b_j a_k>, and how they respond to the Hamiltonian.

    pairs: m = U S V^T, as (U, S, V^T), each (L, L) or (L,).
    """

    pairs: tuple[NDArray, NDArray, NDArray]

    @property
    def correlations(self) -> NDArray:
        """G[j, k] = <i b_j a_k>."""
        return self.pairs[0] @ self.pairs[2]

    def product_expectations(self, products: tuple[Product, ...]) -> NDArray:
        """Expectation of Pauli strings, each a determinant of correlations (Wick's theorem).

        Raises ValueError for a string that changes the fermion parity, such as Z(3) alone.
        """
        g = self.correlations
        values = []
        for product in products:
            sign, rows, columns = _majoranas(product)
            values.append(sign * np.linalg.det(g[np.ix_(rows, columns)]))
        return np.array(values, float)

    def derivative(self, product: Product) -> NDArray:
        """d<product>/dm, an (L, L) array, to first order in perturbation theory (exact)."""
        sign, rows, columns = _majoranas(product)
        u, s, vt = self.pairs
        outer = np.zeros((len(s), len(s)))
        if rows:
            outer[np.ix_(rows, columns)] = sign * _cofactors(self.correlations[np.ix_(rows, columns)])
        # G is the orthogonal polar factor of m: dG = U X V^T with X_ij = (D_ij - D_ji)/(s_i + s_j), D = U^T dm V
        k = u.T @ outer @ vt.T
        gaps = s[:, None] + s[None, :]
        response = np.divide(k - k.T, gaps, out=np.zeros_like(k), where=gaps > 1e-14 * s.max())
        return u @ response @ vt


@dataclass(frozen=True)
class FreeFermion:
    """Exact solver for open cluster-Ising chains of any length and with any couplings.

    `expectation` takes every operator of even fermion parity: X, ZZ, ZXZ, XX and all their products.
    seed: of the rounding-sized changes of the couplings that tell the errors of gradients.
    """

    seed: int = 0

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

    def gradient_of_expectations(
        self, H: Hamiltonian, state: MajoranaState, products: tuple[Product, ...], weights: NDArray
    ) -> NDArray:
        """d(sum_p weights[p] <products[p]>)/d theta_k for all couplings, analytic."""
        slots, _ = _family(H)
        by_m = np.zeros((len(H.sites),) * 2)
        for weight, product in zip(weights, products, strict=True):
            if product:
                by_m += weight * state.derivative(product)
        by_product = np.zeros(len(H.products))
        for p, (row, column, sign) in slots.items():
            by_product[p] = -sign * by_m[row, column]
        _, matrix = expand(H.couplings)
        return np.asarray((matrix @ by_product[: matrix.shape[1]]).real)


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


def _majoranas(product: Product) -> tuple[float, list[int], list[int]]:
    """Rows and columns with <Pauli string> = sign * det G[rows, columns].

    Returns (sign, rows, columns); the sign is zero where the numbers of a and b operators differ, for then the
    expectation vanishes. Jordan-Wigner: Z_j = (prod_{l<j} X_l) a_j and Y_j = (prod_{l<j} X_l) b_j.
    """
    phase: complex = 1
    kept: list[tuple[int, int]] = []  # b operators before a operators, sites ascending
    for operator, factor in _majorana_string(product):
        phase *= factor
        place = bisect_left(kept, operator)
        if place < len(kept) and kept[place] == operator:  # it squares to one
            phase *= (-1) ** (len(kept) - place - 1)
            kept.pop(place)
        else:
            phase *= (-1) ** (len(kept) - place)
            kept.insert(place, operator)
    if len(kept) % 2:
        text = " * ".join(f"{name}({site})" for site, names in product for name in names)
        raise ValueError(f"FreeFermion: {text} is odd in the fermions, only even operators have a value; use TenpyDMRG")
    rows, columns = ([site for kind, site in kept if kind == k] for k in (_B, _A))
    n = len(rows)
    if n != len(columns):
        return 0.0, [], []
    # b_1 .. b_n a_1 .. a_n = (-1)^(n(n-1)/2) prod b_i a_i, and <b_j a_k> = -i G_jk
    return (phase * (-1) ** (n * (n - 1) // 2) * (-1j) ** n).real, rows, columns


def _majorana_string(product: Product) -> Iterator[tuple[tuple[int, int], complex]]:
    """The Majorana operators of a Pauli string from left to right, as (kind, site), each with a factor."""
    for site, names in product:
        for name in names:
            if name not in ("X", "Y", "Z"):
                raise ValueError(f"FreeFermion measures Pauli strings, not {name}({site}); use TenpyDMRG")
            for flipped in range(site) if name != "X" else (site,):  # X = -i b a
                yield (_B, flipped), -1j
                yield (_A, flipped), 1
            if name != "X":
                yield (_A if name == "Z" else _B, site), 1


def _cofactors(matrix: NDArray) -> NDArray:
    """Derivative of det(M) by M, also where M is singular: by the SVD, det(U) det(V) U diag(prod of the others) V^T."""
    u, s, vt = np.linalg.svd(matrix)
    others = np.array([np.prod(np.delete(s, n)) for n in range(len(s))])
    return np.linalg.det(u) * np.linalg.det(vt) * (u * others) @ vt
