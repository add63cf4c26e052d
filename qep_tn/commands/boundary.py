"""qep-tn boundary: a trace, and the scan behind it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qep_tn.commands.run import NotConvergedError, Run
from qep_tn.configuration import build
from qep_tn.devices.on_device import OnDevice
from qep_tn.figures.run import plot_run
from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.ridges.grid import SCAN, taken_names
from qep_tn.ridges.plane import checked_window
from qep_tn.runs.folder import RunFolder
from qep_tn.tasks.boundary import Boundary, boundary_plane, trace_boundary
from qep_tn.tasks.finite_size import Scaling, finite_size_scaling
from qep_tn.tasks.phase_diagram import phase_diagram
from qep_tn.tasks.report import boundary_table


def trace(run: Run, config: Path, work: Mapping[str, Any]) -> None:
    """Follow phase boundaries. config: the file, for messages. work: who does independent parts."""
    section = run.config.boundary
    if section.plane is None:
        raise ValueError(f"{config}: [boundary] plane: missing; give the names of two parameters")
    settings: dict[str, Any] = {
        "start": section.start, "step": section.step, "points": section.points, "search": section.search,
        "sharpness": section.sharpness, "solver": run.solver, "rtol": section.rtol, "run": run.folder,
    }  # fmt: skip
    plane = section.plane[0], section.plane[1]
    try:
        _check_device(run)
        boundary_plane(run.H, run.theta, plane, section.limits, run.observable, run.solver, section.rtol)
        _check_scan(run, plane)
    except ValueError as error:
        raise ValueError(f"{config}: [boundary] {error}") from None
    scan = None if section.scan is None else (section.scan[0], section.scan[1])
    begun = scan is not None and (run.folder.path / SCAN / "state.h5").exists()
    # first, so that a grid that does not go on is refused before the trace has gone on
    doubtful = _scan(run, plane, scan) if scan is not None and begun else 0
    trace = _traced(run, plane, settings, work)
    plot_run(run.folder.path)
    if scan is not None and not begun:
        doubtful = _scan(run, plane, scan)
        plot_run(run.folder.path)
    print(boundary_table(trace.history), f"{trace.message}; results in {run.folder.path}", sep="\n")
    if not trace.converged:
        raise NotConvergedError(trace.message)
    if doubtful:
        raise NotConvergedError(f"{doubtful} ground states of the scan did not converge; raise the solver's max_bond")


def _check_device(run: Run) -> None:
    """Raise ValueError for what a device does not give."""
    section = run.config.boundary
    if isinstance(run.solver, OnDevice):
        if section.lengths is not None:
            raise ValueError("lengths: a device has one length; leave lengths out, or [device]")
        if section.scan is not None:
            raise ValueError("scan: what is drawn needs states, which a device does not show; leave scan out")


def _check_scan(run: Run, plane: tuple[str, str]) -> None:
    """Raise ValueError for a scan of a variable that there is none of, or of parameters that cannot be recorded."""
    section = run.config.boundary
    if section.scan is None:
        return
    checked_window(run.H, run.theta, plane, section.limits, taken_names(("observable",)))
    if section.scan_variable == "observable":
        if run.observable is None:
            raise ValueError("scan_variable: 'observable', but there is none; give observable, or 'entropy'")
    elif not run.solver.has_overlaps:
        raise ValueError(f"scan_variable: {run.config.solver.name} has no {section.scan_variable}; take another solver")


def _scan(run: Run, plane: tuple[str, str], shape: tuple[int, int]) -> int:
    """The scan behind a trace, in a folder of its own within the run's. Returns how many points did not converge."""
    section = run.config.boundary
    path = run.folder.path / SCAN
    folder = RunFolder.create(path, run.folder.config_text, resume=(path / "config.toml").exists())
    observables = {} if run.observable is None else {"observable": run.observable}
    try:
        scan = phase_diagram(
            run.H, run.theta, plane, section.limits, shape=shape, observables=observables, solver=run.solver,
            rtol=section.rtol, run=folder,
        )  # fmt: skip
    finally:
        folder.close()
    return int((scan["converged"] == 0).sum())


def _traced(
    run: Run, plane: tuple[str, str], settings: Mapping[str, Any], work: Mapping[str, Any]
) -> Boundary | Scaling:
    """The boundaries of one chain, or of several lengths."""
    section = run.config.boundary
    if section.lengths is None:
        return trace_boundary(run.H, run.theta, plane, section.limits, observable=run.observable, **settings)
    text = section.observable

    def model(L: int) -> Hamiltonian:
        return build.hamiltonian(run.config, L)

    return finite_size_scaling(
        model, section.lengths, run.theta, plane, section.limits, exponent=section.exponent,
        observable=None if text is None else lambda L: build.observable(text, model(L), "boundary"), **settings,
        **work,
    )  # fmt: skip
