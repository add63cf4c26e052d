"""A state as one vector of amplitudes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.operators import Operator, Product
from qep_tn.hamiltonians.sites import Sites

_LARGEST_MATRIX = 64  # dimension of a reduced matrix; of larger products each is applied to the state by itself
_SHARED_MATRIX = 16  # up to which products on different sites share one: its cost is that of the transposition


@dataclass(frozen=True, eq=False)
class StateVector:
    """A normalised state as one vector, site 0 the most significant."""

    sites: Sites
    vector: NDArray
    has_overlaps: ClassVar[bool] = True

    def product_expectations(self, products: tuple[Product, ...]) -> NDArray:
        """Expectation of each product of one-site operators."""
        return self.matrix_elements(self.vector, products)

    def matrix_elements(self, bra: NDArray, products: tuple[Product, ...]) -> NDArray:
        """<bra|product|self> of each product of one-site operators.

        All products on the same few sites come from one reduced transition matrix of these.
        """
        dimensions = [site.dimension for site in self.sites]
        bra_tensor, ket_tensor = bra.conj().reshape(dimensions), self.vector.reshape(dimensions)
        values = np.zeros(len(products), complex)
        for group in _groups(self.sites, products):
            if group.matrices is None:
                values[group.members] = [bra_tensor.reshape(-1) @ self._applied(products[k]) for k in group.members]
                continue
            size = math.prod(dimensions[j] for j in group.order[: group.sites])
            bra_rows = bra_tensor.transpose(group.order).reshape(size, -1)
            ket_rows = ket_tensor.transpose(group.order).reshape(size, -1)
            values[group.members] = group.matrices @ (bra_rows @ ket_rows.T).reshape(-1)  # [bra ket], [bra ket]
        return values if values.imag.any() else values.real.copy()

    def sample(self, bases: Sequence[NDArray | None], shots: int, rng: np.random.Generator) -> NDArray:
        """Levels of every site in independent measurements, (shots, L).

        bases: one (level, physical) matrix a site, its rows the bras <level|; None for the site's own basis.
        """
        dimensions, vector = [site.dimension for site in self.sites], self.turned(bases).vector
        cumulative = np.cumsum(vector.real**2 + vector.imag**2)
        drawn = np.searchsorted(cumulative, rng.random(shots) * cumulative[-1], side="right")
        return np.stack(np.unravel_index(np.minimum(drawn, vector.size - 1), dimensions), axis=1)

    def turned(self, turns: Sequence[NDArray | None]) -> StateVector:
        """Each site turned by a unitary (new, physical), None for those that stay."""
        dimensions, vector = [site.dimension for site in self.sites], self.vector
        for site, turn in enumerate(turns):
            if turn is not None:
                shaped = vector.reshape(math.prod(dimensions[:site]), dimensions[site], -1)
                vector = np.matmul(turn, shaped).reshape(-1)  # n [s], l [s] r -> l n r
        return StateVector(self.sites, vector)

    def applied(self, operator: Operator) -> NDArray:
        """Amplitudes of operator|self>."""
        return sum((c * self._applied(product) for product, c in operator.terms.items()), np.zeros(len(self.vector)))

    def overlap(self, other: StateVector) -> complex:
        """<other|self>."""
        return complex(np.vdot(other.vector, self.vector))

    def middle_entropy(self) -> float:
        """Von Neumann entropy (natural logarithm) of the L // 2 sites on the left."""
        left = int(np.prod([site.dimension for site in self.sites[: len(self.sites) // 2]]))
        squared = np.linalg.svd(self.vector.reshape(left, -1), compute_uv=False) ** 2
        squared = squared[squared > 1e-32]
        return float(-(squared * np.log(squared)).sum())

    def arrays(self) -> dict[str, NDArray]:
        """The vector."""
        return {"vector": self.vector}

    @classmethod
    def from_arrays(cls, sites: Sites, arrays: Mapping[str, NDArray]) -> StateVector:
        """The inverse of `arrays`. Raises ValueError if it does not fit the sites."""
        vector = arrays["vector"]
        if vector.dtype.kind not in "fc" or vector.shape != (int(np.prod([site.dimension for site in sites])),):
            raise ValueError("its vector is not one of these sites")
        return cls(tuple(sites), vector)

    def _applied(self, product: Product) -> NDArray:
        tensor = self.vector
        dimensions = [site.dimension for site in self.sites]
        for site, names in product:
            shaped = tensor.reshape(int(np.prod(dimensions[:site])), dimensions[site], -1)
            tensor = np.matmul(self.sites[site].matrix(names), shaped)  # out [in], l [in] r -> l out r
        return tensor.reshape(-1)


class _Group(NamedTuple):
    """Products whose sites are all among a few.

    members: which products. sites: how many. order: of all sites, these first.
    matrices: (number of members, bra * ket), on these sites; None for products of which each is applied by itself.
    """

    members: list[int]
    sites: int
    order: tuple[int, ...]
    matrices: NDArray | None


@lru_cache(maxsize=16)
def _groups(sites: Sites, products: tuple[Product, ...]) -> list[_Group]:
    """Products by their sites; they share a group as long as it is small."""

    def dimension(support: Iterable[int]) -> int:
        return math.prod(sites[j].dimension for j in support)

    gathered: dict[frozenset[int], list[int]] = {}
    large = []
    for k in sorted(range(len(products)), key=lambda k: (-len(products[k]), products[k])):
        support = frozenset(site for site, _ in products[k])
        if dimension(support) > _LARGEST_MATRIX:
            large.append(k)
            continue
        joined = {s: s | support for s in gathered}
        fitting = [s for s, both in joined.items() if both == s or dimension(both) <= _SHARED_MATRIX]
        home = min(fitting, key=lambda s: len(joined[s]) - len(s), default=support)
        gathered[home | support] = [*gathered.pop(home, []), k]
    groups = [_Group(large, 0, (), None)] if large else []
    for joint, members in gathered.items():
        ordered = sorted(joint)
        matrices = []
        for k in members:
            factors = dict(products[k])
            matrix: NDArray = np.eye(1)
            for j in ordered:
                matrix = np.kron(matrix, sites[j].matrix(factors.get(j, ())))
            matrices.append(matrix.reshape(-1))
        order = (*ordered, *(j for j in range(len(sites)) if j not in joint))
        groups.append(_Group(members, len(ordered), order, np.array(matrices)))
    return groups
