"""Scan a plane of two parameters: ground states on a grid, each started from its neighbour.

The fidelity susceptibility of two neighbours a distance d apart is -2 ln|<psi(g)|psi(g + d)>| / d^2. For d -> 0 it is
sum_n |<n|A|0>|^2 / (E_n - E_0)^2, A the operator of g, which is largest near transitions (Gu, Int. J. Mod. Phys. B 24,
4371 (2010)).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator
from qep_tn.ridges.grid import GAP_FIGURES, figure_names, scan_dataset, serpentine, taken_names
from qep_tn.ridges.plane import CUTOFF, Window, checked_window
from qep_tn.runs.folder import RunFolder
from qep_tn.runs.settings_check import fingerprint, model_settings, solver_settings
from qep_tn.solvers.excited import gap_above
from qep_tn.solvers.protocol import Solver, settings_of
from qep_tn.solvers.registry import default_solver
from qep_tn.states.ground_state import GroundState, expectations
from qep_tn.states.saved import as_saved


def phase_diagram(
    H: Hamiltonian,
    theta: Theta,
    plane: tuple[str, str],
    window: Window,
    *,
    shape: tuple[int, int] = (24, 16),
    observables: Mapping[str, Operator] | None = None,
    gap: bool = False,
    solver: Solver | None = None,
    rtol: float = 1e-2,
    run: RunFolder | None = None,
    progress: bool = True,
) -> xr.Dataset:
    """Energy, entanglement, fidelity susceptibility and observables of the ground states on a grid.

    plane, window: names of two scalar parameters, and (low, high) of each. shape: points along the first and the
        second, edges included. theta: all parameters; of the plane's two the values have no effect.
    observables: name -> operator.
    gap: also the gap. Where the solver does not know it, a second DMRG at every point, which takes longer than the
        first.
    rtol: accuracy; Schmidt values below rtol / 100 are discarded unless the solver has a cutoff of its own.
    run: where to save every row, or to go on from.

    Returns a data set whose dimensions are the two parameters: `energy`; `entropy` of the middle bond;
    `fidelity_susceptibility` along the first parameter, the mean of the two pairs of neighbours; every observable by
    name; `max_bond`, `converged`, `seconds`; and with `gap` also `gap_converged`, without which a run has not converged
    either. NaN stands for what a solver does not
    have: Gaussian states have no entropy and no fidelity here.
    Rows go along the first parameter, forwards and backwards in turn. Across a transition of first order a state may
    stay in the phase that it comes from, and rows then differ in turn; among degenerate ground states, as of an
    ordered phase or of edge modes, the neighbour chooses, and the entropy may differ by ln 2 from that of another.

    Raises ValueError for parameters that are not scalars of H, a window or shape that makes no sense, and names that
    clash.
    """
    solver = default_solver(H) if solver is None else solver
    observables = dict(observables or {})
    limits = checked_window(H, theta, plane, window, taken_names(observables))
    _check(H, shape, observables, rtol)
    ticks = {name: np.linspace(*side, points) for name, side, points in zip(plane, limits, shape, strict=True)}
    others = {name: value for name, value in theta.items() if name not in plane}
    scan = _Scan.empty(H, others, ticks, observables, gap, solver.with_cutoff(CUTOFF * rtol))
    if run is not None:
        run.begin(fingerprint({
            "task": "phase_diagram", "plane": plane, "window": limits, "shape": shape, "rtol": rtol, "gap": gap,
            "observables": observables, **model_settings(H, others), **solver_settings(scan.solver),
        }))  # fmt: skip
    if run is not None and (saved := run.load_states(H.sites)) is not None:
        scan.restore(*saved, where=str(run.path))
    done = scan.rows * shape[0]
    with tqdm(
        desc="scan", unit="point", total=shape[0] * shape[1], initial=done, file=sys.stderr, disable=not progress
    ) as bar:
        for column, row in serpentine(shape, scan.rows):
            scan.add(column, row)
            bar.update()
            if run is not None and scan.rows > row:
                run.save(scan.dataset(), *scan.snapshot())
    result = scan.dataset()
    if run is not None:
        run.write_summary(_summary(result, shape, limits, rtol, solver))
    return result


def _check(H: Hamiltonian, shape: Sequence[int], observables: Mapping[str, Operator], rtol: float) -> None:
    if len(shape) != 2 or not all(isinstance(n, int | np.integer) and n >= 2 for n in shape):
        raise ValueError(f"shape = {list(shape)}: give two whole numbers of points, each at least 2")
    for name, operator in observables.items():
        if name in taken_names(()) or "/" in name:
            raise ValueError(f"observable {name!r} cannot be recorded: the name is taken in history.nc; rename it")
        operator.check(H.sites, f"the observable {name!r}")
    if not 0 < rtol < 1:
        raise ValueError(f"rtol = {rtol}: an accuracy lies between 0 and 1")


@dataclass
class _Scan:
    """How far a scan is. What comes next depends on nothing but this, so that it can be saved and restored.

    figures: (figures, first, second), in the order of `figure_names`. pairs: fidelity susceptibility of neighbours
        along the first parameter, (first - 1, second). NaN where nothing is yet.
    state: the newest ground state. rows: that are complete.
    """

    H: Hamiltonian
    theta: Mapping[str, Any]
    ticks: Mapping[str, NDArray]
    observables: Mapping[str, Operator]
    gap: bool
    solver: Solver
    figures: NDArray
    pairs: NDArray
    state: GroundState | None = None
    rows: int = 0

    @classmethod
    def empty(
        cls, H: Hamiltonian, theta: Mapping[str, Any], ticks: Mapping[str, NDArray],
        observables: Mapping[str, Operator], gap: bool, solver: Solver,
    ) -> _Scan:  # fmt: skip
        """Before the first point."""
        first, second = (len(values) for values in ticks.values())
        figures = np.full((len(figure_names(observables, gap)), first, second), np.nan)
        return cls(H, theta, ticks, observables, gap, solver, figures, np.full((first - 1, second), np.nan))

    def add(self, column: int, row: int) -> None:
        """The next point of the serpentine, from the state at the last one."""
        began = time.perf_counter()
        (first, xs), (second, ys) = self.ticks.items()
        theta = {**self.theta, first: float(xs[column]), second: float(ys[row])}
        before, self.state = self.state, as_saved(self.solver.ground_state(self.H, theta, start=self.state))
        backwards = row % 2
        columns = self.figures.shape[1]
        if column != (columns - 1 if backwards else 0):
            assert before is not None
            self.pairs[column if backwards else column - 1, row] = _susceptibility(before, self.state, xs[1] - xs[0])
        figures = {
            "energy": self.state.energy,
            "entropy": self.state.state.middle_entropy(),
            "max_bond": max(self.state.bond_dimensions, default=0),
            "converged": self.state.converged,
            **dict(
                zip(self.observables, expectations(self.state.state, tuple(self.observables.values())), strict=True)
            ),
            **(
                dict(zip(GAP_FIGURES, gap_above(self.H, theta, self.state, self.solver), strict=True))
                if self.gap
                else {}
            ),
        }
        figures["seconds"] = time.perf_counter() - began
        self.figures[:, column, row] = [figures[name] for name in figure_names(self.observables, self.gap)]
        if column == (0 if backwards else columns - 1):
            self.rows = row + 1

    def dataset(self) -> xr.Dataset:
        """All complete rows."""
        names = figure_names(self.observables, self.gap)
        figures = dict(zip(names, self.figures[:, :, : self.rows], strict=True))
        return scan_dataset(self.ticks, self.theta, figures, self.pairs[:, : self.rows], len(self.H.sites))

    def snapshot(self) -> tuple[list[GroundState], dict[str, Any]]:
        """What `restore` needs: the newest state, and the figures so far. After the last point of a row."""
        assert self.state is not None
        return [self.state], {"step": self.rows, "figures": self.figures, "pairs": self.pairs}

    def restore(self, states: Sequence[GroundState], extra: Mapping[str, Any], where: str) -> None:
        """Go back to a snapshot. Raises ValueError if it is not one of this scan."""
        shapes = {name: np.shape(extra.get(name, ())) for name in ("figures", "pairs")}
        if len(states) != 1 or shapes != {"figures": self.figures.shape, "pairs": self.pairs.shape}:
            raise ValueError(f"{where} holds no scan of this grid to resume; choose another folder with --out")
        self.state, self.rows = states[0], int(extra["step"])
        self.figures, self.pairs = extra["figures"], extra["pairs"]


def _susceptibility(a: GroundState, b: GroundState, spacing: float) -> float:
    """-2 ln|<a|b>| / spacing^2: infinite for orthogonal states, NaN for Gaussian ones."""
    if not a.state.has_overlaps:
        return np.nan
    with np.errstate(divide="ignore"):
        return float(max(0.0, -np.log(a.fidelity(b))) / spacing**2)


def _summary(
    result: xr.Dataset, shape: Sequence[int], limits: Sequence[tuple[float, float]], rtol: float, solver: Solver
) -> dict[str, Any]:
    converged = result["converged"] != 0
    if "gap_converged" in result:
        converged &= result["gap_converged"] != 0
    return {
        "task": "phase_diagram",
        "plane": result.attrs["plane"],
        "window": dict(zip(result.attrs["plane"], map(list, limits), strict=True)),
        "shape": list(shape),
        "rtol": rtol,
        "solver": settings_of(solver),
        "converged": bool(converged.all()),
        "not_converged": int((~converged).sum()),
        "seconds": float(result["seconds"].sum()),
    }
