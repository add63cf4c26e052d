"""A scan of a plane: ground states on a grid, row by row, their figures, and the data set that they make."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator
from qep_tn.hamiltonians.sites import Sites
from qep_tn.ridges.extension import refusal
from qep_tn.solvers.protocol import Solver
from qep_tn.states.ground_state import GroundState, expectations
from qep_tn.states.saved import as_saved

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

_Point = tuple[Hamiltonian, Theta, GroundState, Solver]
_ROUNDING = 1e-12  # of the largest tick: those of two windows differ by a few times 1e-16 where they are the same


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

    ticks: values of the first parameter, and of the second one in these rows. theta: the other parameters.
    figures: name -> (first, rows done) array.
    pairs: fidelity susceptibility of neighbours along the first parameter, (first - 1, rows done).
    """
    axes = list(ticks)
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
        name: (name, values, {"long_name": f"parameter {name}", "units": "energy"}) for name, values in ticks.items()
    }
    return xr.Dataset(variables, coordinates, {"task": "phase_diagram", "plane": axes, "length": length})


def _at_points(pairs: NDArray) -> NDArray:
    """Means of the two pairs that each point belongs to; at the ends there is one."""
    return (np.concatenate([pairs[:1], pairs]) + np.concatenate([pairs, pairs[-1:]])) / 2


@dataclass
class Scan:
    """How far a scan is: a `qep_tn.runs.loop.Stepwise` whose steps are rows along the first parameter.

    theta: the other parameters. ticks: values of both parameters.
    work: (function, arguments) -> results in order; it has the gaps of a row, which do not depend on one another.
    table: (figures, first, second), in the order of `figure_names`. pairs: fidelity susceptibility of neighbours
        along the first parameter, (first - 1, second). NaN where nothing is yet.
    done: rows that are complete. state: the newest ground state.
    """

    H: Hamiltonian
    theta: Mapping[str, Any]
    ticks: Mapping[str, NDArray]
    observables: Mapping[str, Operator]
    gap: bool
    solver: Solver
    work: Callable[[Callable, Sequence], Iterator]
    table: NDArray
    pairs: NDArray
    done: NDArray
    state: GroundState | None = None

    unit = "row"

    @classmethod
    def empty(
        cls, H: Hamiltonian, theta: Mapping[str, Any], ticks: Mapping[str, NDArray],
        observables: Mapping[str, Operator], gap: bool, solver: Solver, work: Callable[[Callable, Sequence], Iterator],
    ) -> Scan:  # fmt: skip
        """Before the first point."""
        first, second = (len(values) for values in ticks.values())
        figures = np.full((len(figure_names(observables, gap)), first, second), np.nan)
        pairs, done = np.full((first - 1, second), np.nan), np.zeros(second, bool)
        return cls(H, theta, ticks, observables, gap, solver, work, figures, pairs, done)

    @property
    def sites(self) -> Sites:
        """Of the chain."""
        return self.H.sites

    @property
    def rows(self) -> int:
        """How many rows are complete."""
        return int(self.done.sum())

    @property
    def total(self) -> int:
        """How many there will be."""
        return len(self.done)

    def figures(self) -> dict[str, str]:
        """What the progress bar shows: nothing but the rows."""
        return {}

    def advance(self) -> bool:
        """The lowest row that lacks, from where the last one ended, so every other row goes backwards."""
        if self.done.all():
            return False
        row = int(np.flatnonzero(~self.done)[0])
        xs = next(iter(self.ticks.values()))
        columns = range(len(xs))
        step = -1 if self.rows % 2 else 1
        found, points = [], []
        for n, column in enumerate(columns[::step]):
            before = self.state
            point, figures = self._solved(column, row)
            points.append(point)
            found.append(figures)
            if n > 0:
                assert before is not None
                assert self.state is not None
                self.pairs[min(column, column - step), row] = _susceptibility(before, self.state, xs[1] - xs[0])
        if self.gap:
            for figures, (gap, seconds) in zip(found, self.work(_gap_at, points), strict=True):
                figures |= {**dict(zip(GAP_FIGURES, gap, strict=True)), "seconds": figures["seconds"] + seconds}
        names = figure_names(self.observables, self.gap)
        self.table[:, columns[::step], row] = np.transpose([[figures[name] for name in names] for figures in found])
        self.done[row] = True
        return True

    def _solved(self, column: int, row: int) -> tuple[_Point, dict[str, Any]]:
        """A point, from the state at the last one, and its figures but the gap."""
        began = time.perf_counter()
        (first, xs), (second, ys) = self.ticks.items()
        theta = {**self.theta, first: float(xs[column]), second: float(ys[row])}
        self.state = as_saved(self.solver.ground_state(self.H, theta, start=self.state))
        measured = expectations(self.state.state, tuple(self.observables.values()))
        figures = {
            "energy": self.state.energy,
            "entropy": self.state.state.middle_entropy(),
            "max_bond": max(self.state.bond_dimensions, default=0),
            "converged": self.state.converged,
            **dict(zip(self.observables, measured, strict=True)),
        }
        figures["seconds"] = time.perf_counter() - began
        return (self.H, theta, self.state, self.solver), figures

    def dataset(self) -> xr.Dataset:
        """All complete rows."""
        (first, xs), (second, ys) = self.ticks.items()
        names = figure_names(self.observables, self.gap)
        figures = dict(zip(names, self.table[:, :, self.done], strict=True))
        ticks = {first: xs, second: ys[self.done]}
        return scan_dataset(ticks, self.theta, figures, self.pairs[:, self.done], len(self.sites))

    def snapshot(self) -> tuple[list[GroundState], dict[str, Any]]:
        """What `restore` needs: the newest state, and the figures of complete rows."""
        assert self.state is not None
        xs, ys = self.ticks.values()
        return [self.state], {
            "step": self.rows, "first": xs, "second": ys[self.done],
            "figures": self.table[:, :, self.done], "pairs": self.pairs[:, self.done],
        }  # fmt: skip

    def restore(self, states: Sequence[GroundState], extra: Mapping[str, Any], run: Any) -> None:
        """Go back to a snapshot, and on from it where the grid has more rows now.

        run: a run folder. Raises ValueError, with the reason, for a grid that the complete rows are not rows of.
        """
        (first, xs), (second, ys) = self.ticks.items()
        if not _same(extra["first"], xs):
            raise refusal(
                run.path, f"the grid along {first}", _span(extra["first"]), _span(xs), "rows along it are complete"
            )
        complete = extra["second"]
        places = np.abs(ys[:, None] - complete).argmin(axis=0)
        if not _same(complete, ys[places]):
            raise refusal(
                run.path, f"the grid along {second}", _span(complete), _span(ys),
                "rows that are complete must be rows of it, as in a larger window with the same spacing",
            )  # fmt: skip
        ys = ys.copy()
        ys[places] = complete  # to the last bit
        self.ticks = {first: extra["first"], second: ys}
        self.table[:, :, places], self.pairs[:, places] = extra["figures"], extra["pairs"]
        self.done[places] = True
        self.state = states[0]


def _gap_at(point: _Point) -> tuple[tuple[float, bool], float]:
    """The gap, whether it converged, and the seconds that it took."""
    began = time.perf_counter()
    H, theta, state, solver = point
    return solver.gap_above(H, theta, state), time.perf_counter() - began


def _same(one: NDArray, other: NDArray) -> bool:
    """Whether ticks are equal but for rounding."""
    return len(one) == len(other) and bool(np.abs(one - other).max() <= _ROUNDING * np.abs(one).max())


def _span(ticks: NDArray) -> str:
    return f"{len(ticks)} points from {ticks[0]:.6g} to {ticks[-1]:.6g}"


def _susceptibility(a: GroundState, b: GroundState, spacing: float) -> float:
    """-2 ln|<a|b>| / spacing^2: infinite for orthogonal states, NaN for Gaussian ones."""
    if not a.state.has_overlaps:
        return np.nan
    with np.errstate(divide="ignore"):
        return float(max(0.0, -np.log(a.fidelity(b))) / spacing**2)
