"""The figures of every point of a scanned plane, and the data set that they make."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

SCAN = "scan"  # the subfolder of a trace's run with the scan that is drawn behind it

# name: (what it is, units, type)
FIGURES: dict[str, tuple[str, str, type]] = {
    "energy": ("ground energy", "energy", float),
    "entropy": ("von Neumann entropy of the middle bond, natural logarithm", "1", float),
    "max_bond": ("largest bond dimension, 0 where states are not MPS", "1", int),
    "converged": ("whether the ground state converged", "1", np.int8),
    "seconds": ("wall time of the point", "s", float),
}
GAP_FIGURES: dict[str, tuple[str, str, type]] = {
    "gap": ("energy of the second state above the ground state", "energy", float),
    "gap_converged": ("whether the second state converged", "1", np.int8),
}
SUSCEPTIBILITY = "fidelity_susceptibility"


def taken_names(observables: Collection[str]) -> set[str]:
    """Names of variables, which a parameter must not have."""
    return {*FIGURES, *GAP_FIGURES, SUSCEPTIBILITY, *observables}


def figure_names(observables: Collection[str], gap: bool) -> tuple[str, ...]:
    """The figures of a point, in order."""
    return (*FIGURES, *(GAP_FIGURES if gap else ()), *observables)


def scan_dataset(
    ticks: Mapping[str, NDArray],
    theta: Mapping[str, Any],
    figures: Mapping[str, NDArray],
    pairs: NDArray,
    length: int,
) -> xr.Dataset:
    """The rows of a scan that are done, on the grid of two parameters.

    ticks: values of both parameters. theta: the other parameters. figures: name -> (first, rows done) array.
    pairs: fidelity susceptibility of neighbours along the first parameter, (first - 1, rows done).
    """
    axes = list(ticks)
    rows = pairs.shape[1]
    described = {**FIGURES, **GAP_FIGURES}
    variables: dict[str, Any] = {}
    for name, table in figures.items():
        long_name, units, kind = described.get(name, (f"ground-state expectation of {name}", "1", float))
        variables[name] = (axes, table.astype(kind), {"long_name": long_name, "units": units})
    variables[SUSCEPTIBILITY] = (
        axes,
        _at_points(pairs),
        {"long_name": f"fidelity susceptibility along {axes[0]}", "units": "energy^-2"},
    )
    for name, value in theta.items():
        same = {"long_name": f"parameter {name}, the same at all points", "units": "energy"}
        variables[name] = (f"{name}_coupling" if np.ndim(value) else (), np.asarray(value, float), same)
    coordinates = {
        name: (name, values[: rows if name == axes[1] else None], {"long_name": f"parameter {name}", "units": "energy"})
        for name, values in ticks.items()
    }
    return xr.Dataset(variables, coordinates, {"task": "phase_diagram", "plane": axes, "length": length})


def _at_points(pairs: NDArray) -> NDArray:
    """Means of the two pairs that each point belongs to; at the ends there is one."""
    return (np.concatenate([pairs[:1], pairs]) + np.concatenate([pairs, pairs[-1:]])) / 2


def serpentine(shape: Sequence[int], first_row: int = 0) -> list[tuple[int, int]]:
    """Grid points (along the first axis, row), row by row, every other row backwards."""
    columns = range(shape[0])
    return [(i, row) for row in range(first_row, shape[1]) for i in (reversed(columns) if row % 2 else columns)]
