"""How much a sensor disturbs the system that it measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qep_tn.hamiltonians.operators import Operator, Product
from qep_tn.runs.executors import Shared
from qep_tn.states.ground_state import expectations
from qep_tn.training.problem import Problem
from qep_tn.training.samples import Samples


class _Work(NamedTuple):
    shared: Shared[Problem]
    theta: dict[str, Any]
    products: tuple[Product, ...]


def disturbance(
    problem: Problem,
    position: NDArray,
    samples: Samples,
    coupling: str,
    in_order: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]],
) -> xr.Dataset:
    """Change of local expectation values of the system by its coupling to the sensor, against the distance from there.

    position: all couplings. coupling: the parameter that is zero where there is no sensor. What is compared are the
    products of operators of the parameters that are not trained, each by itself.
    Dimensions `sample` and `product`: `change`, the difference of expectation values with and without; `distance` of
    each product's nearest site from the nearest one that is coupled; `product_name`.
    """
    H = problem.H
    products = _products_of_the_system(problem)
    coupled = {site for a in _operators(problem, coupling) for site in a.support}
    distances = [min(abs(s - c) for s, _ in product for c in coupled) for product in products]
    shared = Shared(problem)
    without = {coupling: np.zeros_like(np.asarray(H.unflatten(position)[coupling]))}
    work = [
        _Work(shared, {**problem.at(position, samples.theta(n)), **other}, products)
        for n in range(len(samples))
        for other in ({}, without)
    ]
    values = np.array(list(in_order(_values, work))).reshape(len(samples), 2, len(products))
    names = [str(Operator({product: 1.0})) for product in products]
    return xr.Dataset({
        "change": (
            ("sample", "product"), values[:, 0] - values[:, 1], {"long_name": "change by the sensor", "units": "1"}
        ),
        "distance": ("product", distances, {"long_name": "sites from the nearest coupled one", "units": "1"}),
        "product_name": ("product", names),
    })  # fmt: skip


def _values(work: _Work) -> NDArray:
    problem = work.shared.value
    state = problem.for_answers.on_one_thread().ground_state(problem.H, work.theta).state
    return expectations(state, tuple(Operator({product: 1.0}) for product in work.products))


def _products_of_the_system(problem: Problem) -> tuple[Product, ...]:
    """Those of the couplings that are not trained, without the identity."""
    couplings = (a for a, moves in zip(problem.H.couplings, problem.trained, strict=True) if not moves)
    return tuple(dict.fromkeys(product for a in couplings for product in a.terms if product))


def _operators(problem: Problem, name: str) -> tuple[Operator, ...]:
    value = problem.H.parameters[name]
    return value if isinstance(value, tuple) else (value,)
