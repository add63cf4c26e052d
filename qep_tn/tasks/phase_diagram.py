"""Scan a plane of two parameters: ground states on a grid, each started from its neighbour.

The fidelity susceptibility of two neighbours a distance d apart is -2 ln|<psi(g)|psi(g + d)>| / d^2. For d -> 0 it is
sum_n |<n|A|0>|^2 / (E_n - E_0)^2, A the operator of g, which is largest near transitions (Gu, Int. J. Mod. Phys. B 24,
4371 (2010)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from qep_tn.devices.on_device import refuse_device
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator
from qep_tn.ridges.grid import Scan, taken_names
from qep_tn.ridges.plane import CUTOFF, Window, checked_window
from qep_tn.runs.executors import in_order
from qep_tn.runs.folder import RunFolder
from qep_tn.runs.loop import carry_through
from qep_tn.runs.settings_check import model_settings, solver_settings
from qep_tn.solvers.protocol import Solver, settings_of
from qep_tn.solvers.registry import default_solver


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
    executor: Executor | None = None,
    run: RunFolder | None = None,
    progress: bool = True,
) -> xr.Dataset:
    """Energy, entanglement, fidelity susceptibility and observables of the ground states on a grid.

    plane, window: names of two scalar parameters, and (low, high) of each. shape: points along the first and the
        second, edges included. theta: all parameters; of the plane's two the values have no effect.
    observables: name -> operator.
    gap: also the gap. Where the solver does not know it, from an excited state at every point, which takes one to three
        times as long as the ground state.
    rtol: accuracy; Schmidt values below rtol / 100 are discarded unless the solver has a cutoff of its own.
    executor: takes the gaps, see `qep_tn.gradients`; each ground state needs its neighbour's. By default they are found
        in this process.
    run: where to save every row, or to go on from, also with a grid of more rows, in which all that were there are.

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
    refuse_device(H, "qt.phase_diagram")
    solver = default_solver(H) if solver is None else solver
    observables = dict(observables or {})
    limits = checked_window(H, theta, plane, window, taken_names(observables))
    _check(H, shape, observables, rtol)
    ticks = {name: np.linspace(*side, points) for name, side, points in zip(plane, limits, shape, strict=True)}
    others = {name: value for name, value in theta.items() if name not in plane}
    work = partial(in_order, executor=executor, processes=None if executor else 1)
    scan = Scan.empty(H, others, ticks, observables, gap, solver.with_cutoff(CUTOFF * rtol), work)
    settings = {
        "task": "phase_diagram", "plane": plane, "rtol": rtol, "gap": gap, "observables": observables,
        **model_settings(H, others), **solver_settings(scan.solver),
    }  # fmt: skip
    carry_through(scan, run, settings, "scan", progress)
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
