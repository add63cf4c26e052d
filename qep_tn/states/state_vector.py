"""A state as one vector of amplitudes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.operators import Product
from qep_tn.hamiltonians.sites import Sites


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
        """<bra|product|self> of each product of one-site operators."""
        bra = bra.conj()
        values = np.array([bra @ self._applied(product) for product in products])
        return values.real.copy() if np.iscomplexobj(values) and not values.imag.any() else values

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
