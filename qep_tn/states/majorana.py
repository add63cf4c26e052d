"""Gaussian ground states of free Majorana fermions, by their correlations.

With Majorana operators a_j, b_j: X_j = -i b_j a_j, Z_j Z_{j+1} = i b_j a_{j+1}, Z_j X_{j+1} Z_{j+2} = i b_j a_{j+2}.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.operators import Product
from qep_tn.hamiltonians.sites import Sites

_B, _A = 0, 1  # the two kinds of Majorana operators, in the order in which strings are sorted


@dataclass(frozen=True, eq=False)
class MajoranaState:
    """A Gaussian eigenstate: its correlations <i b_j a_k>, and how they respond to the Hamiltonian.

    pairs: m = U S V^T, as (U, S, V^T), each (L, L) or (L,); S is negative for modes that are filled, and U likewise.
    """

    pairs: tuple[NDArray, NDArray, NDArray]
    has_overlaps: ClassVar[bool] = False

    @property
    def correlations(self) -> NDArray:
        """G[j, k] = <i b_j a_k>."""
        return self.pairs[0] @ self.pairs[2]

    def product_expectations(self, products: tuple[Product, ...]) -> NDArray:
        """Expectation of Pauli strings, each a determinant of correlations (Wick's theorem).

        Raises ValueError for a string that changes the fermion parity, such as Z(3) alone.
        """
        g, values = self.correlations, np.zeros(len(products))
        strings = [_majoranas(product) for product in products]
        sizes = np.array([len(rows) for _, rows, _ in strings])
        for size in np.unique(sizes):  # determinants of one size together
            chosen = np.flatnonzero(sizes == size)
            signs, rows, columns = (np.array(part) for part in zip(*(strings[n] for n in chosen), strict=True))
            blocks = g[rows.astype(int)[:, :, None], columns.astype(int)[:, None, :]]
            values[chosen] = signs * np.linalg.det(blocks)
        return values

    def sample(self, bases: Sequence[NDArray | None], shots: int, rng: np.random.Generator) -> NDArray:
        """Raises ValueError: correlations are kept, not amplitudes."""
        raise ValueError("a Gaussian state of free fermions cannot be sampled; take NumbaDMRG or ExactDiagonalization")

    def turned(self, turns: Sequence[NDArray | None]) -> MajoranaState:
        """Raises ValueError: correlations are kept, not amplitudes."""
        raise ValueError("a Gaussian state of free fermions cannot be turned; take NumbaDMRG or ExactDiagonalization")

    def overlap(self, other: MajoranaState) -> complex:
        """Gaussian states are kept without their phase."""
        raise ValueError("a Gaussian state has no overlaps; take a DMRG or exact solver")

    def middle_entropy(self) -> float:
        """Not a number: it is not known here."""
        return np.nan

    def arrays(self) -> dict[str, NDArray]:
        """U, S and V^T."""
        return dict(zip(("u", "s", "vt"), self.pairs, strict=True))

    @classmethod
    def from_arrays(cls, sites: Sites, arrays: Mapping[str, NDArray]) -> MajoranaState:
        """The inverse of `arrays`. Raises ValueError if they do not fit the sites."""
        u, s, vt = (arrays[name] for name in ("u", "s", "vt"))
        length = len(sites)
        if any(a.dtype.kind != "f" for a in (u, s, vt)) or {u.shape, vt.shape, s.shape * 2} != {(length, length)}:
            raise ValueError("its correlations are not those of these sites")
        return cls((u, s, vt))

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
        response = np.divide(k - k.T, gaps, out=np.zeros_like(k), where=np.abs(gaps) > 1e-14 * np.abs(s).max())
        return u @ response @ vt


@lru_cache(maxsize=1 << 16)  # pairs of the terms of a few hundred sites, which every state is asked for
def _majoranas(product: Product) -> tuple[float, tuple[int, ...], tuple[int, ...]]:
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
    rows, columns = (tuple(site for kind, site in kept if kind == k) for k in (_B, _A))
    n = len(rows)
    if n != len(columns):
        return 0.0, (), ()
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
