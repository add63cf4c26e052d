"""The command line, `qep-tn`: one verb a task, one TOML file a run.

Exit status: 0 done; 2 the input was wrong, and one line on stderr says what, where and the remedy; 3 it ran, but the
result did not converge or is not to be trusted; 130 interrupted, with everything up to the last step saved.
"""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from threadpoolctl import threadpool_limits

from qep_tn.runs.executors import work_by

if TYPE_CHECKING:  # what takes long to import is imported when it is needed: help and mistakes answer at once
    from qep_tn.configuration.keys import Config
    from qep_tn.hamiltonians.hamiltonian import Hamiltonian
    from qep_tn.hamiltonians.operators import Operator
    from qep_tn.runs.folder import RunFolder
    from qep_tn.solvers.protocol import Solver
    from qep_tn.tasks.boundary import Boundary
    from qep_tn.tasks.finite_size import Scaling

DONE, WRONG_INPUT, NOT_CONVERGED, INTERRUPTED = 0, 2, 3, 130

logger = logging.getLogger("qep_tn")

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Equilibrium propagation with quantum many-body ground states.",
)

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The run, as a TOML file.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As in explore.steps=5.")]
SolverName = Annotated[str | None, typer.Option("--solver", help="auto, exact, free-fermion, numba, tenpy or quimb.")]
Out = Annotated[Path | None, typer.Option("--out", help="The run's folder; runs/CONFIG-VERB by default.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from what the folder holds.")]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", min=1, help="Processes for starts or lengths; one for each core by default."
    ),
]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster for them, as tcp://HOST:8786.")
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, sys.argv by default, and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    logging.captureWarnings(True)  # into run.log: stderr is for progress, and for the one line that says what is wrong
    try:
        status = app(given, standalone_mode=False, prog_name="qep-tn")
    except typer.TyperException as error:
        return _failed(WRONG_INPUT, f"{error.format_message()} Try qep-tn --help.")
    except KeyboardInterrupt:
        return _failed(INTERRUPTED, "interrupted before the run began; nothing was saved")
    except _InterruptedError as error:
        again = shlex.join(["qep-tn", *given, *([] if "--resume" in given else ["--resume"])])
        return _failed(INTERRUPTED, f"interrupted; every finished step is in {error}; go on with: {again}")
    except _NotConvergedError as error:
        return _failed(NOT_CONVERGED, str(error))
    except (ValueError, OSError) as error:
        return _failed(WRONG_INPUT, str(error))
    finally:
        logging.captureWarnings(False)
    if status == INTERRUPTED:
        return _failed(INTERRUPTED, "interrupted before the run began; nothing was saved")
    return int(status or DONE)


@app.command()
def gradient(
    config: ConfigFile, overrides: Overrides = None, solver: SolverName = None, out: Out = None, resume: Resume = False
) -> None:
    """Gradient of an objective with respect to every coupling."""
    with _run("gradient", config, overrides, solver, out, resume) as run:
        from qep_tn.descent.table import Table, gradient_columns, gradient_row
        from qep_tn.gradients.gradient import gradient as take_gradient
        from qep_tn.tasks.report import gradient_summary, gradient_table

        _begin(run, "gradient", loss=run.loss, **run.config.gradient.keywords)
        table = Table(gradient_columns(run.H))
        began = time.perf_counter()
        g = take_gradient(run.H, run.theta, run.loss, solver=run.solver, **run.config.gradient.keywords)
        seconds = time.perf_counter() - began
        table.add(gradient_row(run.H, run.theta, [g], np.ones(len(run.H.couplings), bool)), seconds)
        run.folder.save(table.dataset(), [g.free], {"step": len(table)})
        run.folder.write_summary(gradient_summary(g, run.solver, seconds))
        print(gradient_table(run.H, g, seconds), f"results in {run.folder.path}", sep="\n")
        if not g.trustworthy:
            raise _NotConvergedError(g.message)
        if not g.converged:
            missed = f"relative error {g.relative_error:.1e} is above rtol = {run.config.gradient.rtol:g}"
            raise _NotConvergedError(f"{missed}; raise rtol or the solver's max_bond, or leave beta to 'auto'")


@app.command()
def explore(
    config: ConfigFile, overrides: Overrides = None, solver: SolverName = None, out: Out = None, resume: Resume = False,
    workers: Workers = None, scheduler: Scheduler = None,
) -> None:  # fmt: skip
    """Walk through the phase diagram along the gradient of an objective."""
    with work_by(workers, scheduler) as work, _run("explore", config, overrides, solver, out, resume) as run:
        from qep_tn.figures.run import plot_run
        from qep_tn.tasks.explore import explore_phases, plan_walk

        section = run.config.explore
        settings: dict[str, Any] = {
            "direction": section.direction, "train": section.train, "steps": section.steps, "rate": section.rate,
            "optimizer": section.optimizer, "bounds": section.bounds, "constraints": section.constraints,
            "solver": run.solver, **section.keywords,
        }  # fmt: skip
        try:
            plan_walk(run.H, run.theta, run.loss, **settings)
        except ValueError as error:
            raise ValueError(f"{config}: [explore] {error}") from None
        walk = explore_phases(
            run.H, run.theta, run.loss, **settings, starts=section.starts, spread=section.spread,
            seed=run.config.solver.seed, run=run.folder, **work,
        )  # fmt: skip
        plot_run(run.folder.path)
        losses = walk.history["loss"].values if section.starts == 1 else walk.history["loss"].values[walk.best]
        first, last, lowest = losses[0], losses[np.isfinite(losses)][-1], np.nanmin(losses)
        print(
            f"{walk.message}; loss {first:.6g} at the first point, {last:.6g} at the last, {lowest:.6g} at the lowest; "
            f"results in {run.folder.path}"
        )
        if not walk.converged:
            raise _NotConvergedError(walk.message)


@app.command()
def sensitivity(
    config: ConfigFile, overrides: Overrides = None, solver: SolverName = None, out: Out = None, resume: Resume = False
) -> None:
    """Two points of a parameter between which an observable changes fastest."""
    with _run("sensitivity", config, overrides, solver, out, resume) as run:
        from qep_tn.configuration.build import scanned_points
        from qep_tn.figures.run import plot_run
        from qep_tn.tasks.sensitivity import optimize_sensitivity

        section = run.config.sensitivity
        try:
            scan, points = scanned_points(run.config, run.H)
        except ValueError as error:
            raise ValueError(f"{config}: {error}") from None
        assert run.observable is not None
        result = optimize_sensitivity(
            run.H, run.theta, run.observable, scan=scan, points=points, train=section.train, steps=section.steps,
            rate=section.rate, closest=section.closest, solver=run.solver, run=run.folder, **section.keywords,
        )  # fmt: skip
        plot_run(run.folder.path)
        print(
            f"{result.message}; steepest at {scan} = {result.boundary:.6g} +- {result.boundary_error:.1g}; "
            f"results in {run.folder.path}"
        )
        if not result.converged:
            raise _NotConvergedError(result.message)


@app.command()
def boundary(
    config: ConfigFile, overrides: Overrides = None, solver: SolverName = None, out: Out = None, resume: Resume = False,
    workers: Workers = None, scheduler: Scheduler = None,
) -> None:  # fmt: skip
    """Follow phase boundaries through a plane of two parameters."""
    with work_by(workers, scheduler) as work, _run("boundary", config, overrides, solver, out, resume) as run:
        from qep_tn.figures.run import plot_run
        from qep_tn.ridges.grid import SCAN
        from qep_tn.tasks.boundary import boundary_plane
        from qep_tn.tasks.report import boundary_table

        section = run.config.boundary
        if section.plane is None:
            raise ValueError(f"{config}: [boundary] plane: missing; give the names of two parameters")
        settings: dict[str, Any] = {
            "start": section.start, "step": section.step, "points": section.points, "search": section.search,
            "sharpness": section.sharpness, "solver": run.solver, "rtol": section.rtol, "run": run.folder,
        }  # fmt: skip
        plane = section.plane[0], section.plane[1]
        try:
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
            raise _NotConvergedError(trace.message)
        if doubtful:
            raise _NotConvergedError(
                f"{doubtful} ground states of the scan did not converge; raise the solver's max_bond"
            )


def _check_scan(run: _Run, plane: tuple[str, str]) -> None:
    """Raise ValueError for a scan of a variable that there is none of, or of parameters that cannot be recorded."""
    from qep_tn.ridges.grid import taken_names
    from qep_tn.ridges.plane import checked_window

    section = run.config.boundary
    if section.scan is None:
        return
    checked_window(run.H, run.theta, plane, section.limits, taken_names(("observable",)))
    if section.scan_variable == "observable":
        if run.observable is None:
            raise ValueError("scan_variable: 'observable', but there is none; give observable, or 'entropy'")
    elif not run.solver.has_overlaps:
        raise ValueError(f"scan_variable: {run.config.solver.name} has no {section.scan_variable}; take another solver")


def _scan(run: _Run, plane: tuple[str, str], shape: tuple[int, int]) -> int:
    """The scan behind a trace, in a folder of its own within the run's. Returns how many points did not converge."""
    from qep_tn.ridges.grid import SCAN
    from qep_tn.runs.folder import RunFolder
    from qep_tn.tasks.phase_diagram import phase_diagram

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
    run: _Run, plane: tuple[str, str], settings: Mapping[str, Any], work: Mapping[str, Any]
) -> Boundary | Scaling:
    """The boundaries of one chain, or of several lengths."""
    from qep_tn.configuration import build
    from qep_tn.tasks.boundary import trace_boundary
    from qep_tn.tasks.finite_size import finite_size_scaling

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


@app.command()
def verify(
    config: ConfigFile, overrides: Overrides = None, solver: SolverName = None, out: Out = None, resume: Resume = False
) -> None:
    """Every solver beside exact diagonalization on a short chain of the model, or the one that is named."""
    with _run("verify", config, overrides, solver, out, resume) as run:
        from qep_tn.tasks import verify as task
        from qep_tn.tasks.report import verification_summary

        settings = run.config.solver
        _begin(run, "verify", loss=run.loss, auto=settings.name == "auto")
        solvers = None if settings.name == "auto" else (run.solver,)
        verification = task.verify(
            run.H, run.theta, run.loss, solvers=solvers, seed=settings.seed,
            whole=run.config.verify.L is not None, strict=solvers is not None, progress=True,
            notes=run.config.shortened,
        )  # fmt: skip
        run.folder.write_summary(verification_summary(verification))
        print(verification.table(), f"results in {run.folder.path}", sep="\n")
        if not verification.passed:
            raise _NotConvergedError("verification failed: the table says what is FAILED, or why nothing was compared")


@app.command()
def plot(folder: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run's folder.")]) -> None:
    """Redraw the figures of a run from its folder."""
    from qep_tn.figures.run import plot_run

    with _foreign_files(folder):
        for file in plot_run(folder):
            print(file)


@contextmanager
def _foreign_files(folder: Path) -> Iterator[None]:
    """Say in one line that a folder's files are well formed but not those of a run."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        kind = type(error).__name__
        raise ValueError(f"{folder} does not hold the files of a run ({kind}); name another folder") from error


@dataclass(frozen=True)
class _Run:
    """What a verb works with: all of it checked, nothing of it computed yet.

    loss: of a section with an objective. observable: of a section with an observable.
    """

    config: Config
    H: Hamiltonian
    theta: dict[str, Any]
    loss: Any
    observable: Operator | None
    solver: Solver
    folder: RunFolder


@contextmanager
def _run(
    verb: str, file: Path, overrides: list[str] | None, solver: str | None, out: Path | None, resume: bool
) -> Iterator[_Run]:
    """Build what a configuration describes, open the run's folder, and close it whatever happens in between."""
    from qep_tn.configuration import build
    from qep_tn.configuration.toml_file import load, to_toml

    config = load(file, overrides or (), solver)
    try:
        H = build.hamiltonian(config, config.length_for(verb))
        theta = build.theta(config, H, shortened=verb == "verify")
        section = getattr(config, verb)
        objective, text = (getattr(section, key, None) for key in ("objective", "observable"))
        loss = None if objective is None else build.loss(objective, H, verb)
        observable = None if text is None else build.observable(text, H, verb)
        chosen = build.solver(config, H)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    from qep_tn.runs.folder import RunFolder, versions
    from qep_tn.runs.interrupts import insistent_ctrl_c

    path = out or Path("runs") / f"{file.stem}-{verb}"
    with _foreign_files(path):
        folder = RunFolder.create(path, to_toml(config, {"verb": verb, **versions()}), resume)
    warnings = logging.getLogger("py.warnings")
    warnings.addHandler(folder.log)
    auto = " (auto)" if config.solver.name == "auto" else ""
    logger.info("%s of %r by %s", verb, H, "every solver" if auto and verb == "verify" else f"{chosen!r}{auto}")
    try:
        with insistent_ctrl_c(), threadpool_limits(1):  # with one thread a run repeats to the last bit
            yield _Run(config, H, theta, loss, observable, chosen, folder)
    except KeyboardInterrupt:
        logger.info("interrupted")
        raise _InterruptedError(folder.path) from None
    except np.linalg.LinAlgError as error:  # a ValueError, but not about the input
        raise _NotConvergedError(f"linear algebra failed: {error}; lower max_bond, or take another solver") from error
    except ValueError:
        logger.exception("refused")
        folder.leave_as_found()
        raise
    finally:
        warnings.removeHandler(folder.log)
        folder.close()


def _begin(run: _Run, task: str, **settings: Any) -> None:
    """Keep the settings of a verb of one step, or refuse to go on with others."""
    from qep_tn.runs.settings_check import fingerprint, model_settings, solver_settings

    made_with = {"task": task, **settings, **model_settings(run.H, run.theta), **solver_settings(run.solver)}
    run.folder.begin(fingerprint(made_with))


class _InterruptedError(Exception):
    """Ctrl-C in a run; says which folder."""


class _NotConvergedError(Exception):
    """The run is over, and its result is not to be trusted; says why."""


def _failed(status: int, message: str) -> int:
    print("qep-tn:", " ".join(message.split()), file=sys.stderr)
    return status
