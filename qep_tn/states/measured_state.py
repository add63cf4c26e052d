"""What is known of a state on a device: expectation values that were measured, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.operators import Operator, Product, shortened
from qep_tn.hamiltonians.sites import Sites


@dataclass(frozen=True, eq=False)
class MeasuredState:
    """Measured expectation values of some operators.

    values, errors: (number of operators,), and the standard error of each.
    """

    operators: tuple[Operator, ...]
    values: NDArray
    errors: NDArray
    has_overlaps: ClassVar[bool] = False

    @cached_property
    def _places(self) -> dict[Operator, int]:
        return {operator: n for n, operator in enumerate(self.operators)}

    def values_of(self, operators: Sequence[Operator]) -> NDArray:
        """Of operators that were measured, their values. Raises ValueError for another one."""
        if unknown := next((a for a in operators if a not in self._places), None):
            raise ValueError(f"{shortened(unknown)} was not measured in this state; measure it on the device")
        return self.values[[self._places[a] for a in operators]]

    def product_expectations(self, products: tuple[Product, ...]) -> NDArray:
        """Of products that were measured by themselves. Raises ValueError for another one."""
        return self.values_of([Operator({product: 1.0}) for product in products])

    def sample(self, bases: Sequence[NDArray | None], shots: int, rng: np.random.Generator) -> NDArray:
        """Raises ValueError: outcomes are the device's."""
        raise ValueError("a measured state cannot be sampled; measure on the device")

    def turned(self, turns: Sequence[NDArray | None]) -> MeasuredState:
        """Raises ValueError: there are no amplitudes."""
        raise ValueError("a measured state cannot be turned; its amplitudes are not known")

    def overlap(self, other: MeasuredState) -> complex:
        """Raises ValueError: there are no amplitudes."""
        raise ValueError("a measured state has no overlaps; its amplitudes are not known")

    def middle_entropy(self) -> float:
        """Not known."""
        return np.nan

    def arrays(self) -> dict[str, NDArray]:
        """Operators as a text of their terms, values and errors."""
        terms = [
            [
                [[[j, list(names)] for j, names in product], complex(c).real, complex(c).imag]
                for product, c in a.terms.items()
            ]
            for a in self.operators
        ]
        text = np.frombuffer(json.dumps(terms).encode(), np.uint8)
        return {"measured_operators": text, "values": self.values, "errors": self.errors}

    @classmethod
    def from_arrays(cls, sites: Sites, arrays: Mapping[str, NDArray]) -> MeasuredState:
        """The inverse of `arrays`. Raises ValueError for operators of other sites."""
        operators = tuple(
            Operator({
                tuple((int(j), tuple(names)) for j, names in product): complex(real, imaginary)
                for product, real, imaginary in terms
            })
            for terms in json.loads(bytes(arrays["measured_operators"]))
        )  # fmt: skip
        for operator in operators:
            operator.check(sites, "a measured operator")
        return cls(operators, np.asarray(arrays["values"]), np.asarray(arrays["errors"]))
