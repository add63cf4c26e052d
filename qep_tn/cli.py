"""The command line, `qep-tn`: one verb a task, one TOML file a run.

Exit status: 0 done; 2 the input was wrong, and one line on stderr says what, where and the remedy; 3 it ran, but the
result did not converge or is not to be trusted; 130 interrupted, with everything up to the last step saved.
"""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from qep_tn.commands.run import InterruptedRunError, NotConvergedError, begin, foreign_files, opened
from qep_tn.runs.executors import work_by

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
        "--workers", metavar="N", min=1, help="Processes for independent parts; one for each core by default."
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
    except InterruptedRunError as error:
        again = shlex.join(["qep-tn", *given, *([] if "--resume" in given else ["--resume"])])
        return _failed(INTERRUPTED, f"interrupted; every finished step is in {error}; go on with: {again}")
    except NotConvergedError as error:
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
    with opened("gradient", config, overrides, solver, out, resume) as run:
        from qep_tn.descent.table import Table, gradient_columns, gradient_row
        from qep_tn.gradients.gradient import gradient as take_gradient
        from qep_tn.tasks.report import gradient_summary, gradient_table

        begin(run, "gradient", loss=run.loss, **run.config.gradient.keywords)
        table = Table(gradient_columns(run.H))
        began = time.perf_counter()
        g = take_gradient(run.H, run.theta, run.loss, solver=run.solver, **run.config.gradient.keywords)
        seconds = time.perf_counter() - began
        table.add(gradient_row(run.H, run.theta, [g], np.ones(len(run.H.couplings), bool)), seconds)
        run.folder.save(table.dataset(), [g.free], {"step": len(table)})
        run.folder.write_summary(gradient_summary(g, run.solver, seconds))
        print(gradient_table(run.H, g, seconds), f"results in {run.folder.path}", sep="\n")
        if not g.trustworthy:
            raise NotConvergedError(g.message)
        if not g.converged and g.shots is None:  # of a device, rtol says nothing
            missed = f"relative error {g.relative_error:.1e} is above rtol = {run.config.gradient.rtol:g}"
            raise NotConvergedError(f"{missed}; raise rtol or the solver's max_bond, or leave beta to 'auto'")


@app.command()
def explore(
    config: ConfigFile, overrides: Overrides = None, solver: SolverName = None, out: Out = None, resume: Resume = False,
    workers: Workers = None, scheduler: Scheduler = None,
) -> None:  # fmt: skip
    """Walk through the phase diagram along the gradient of an objective."""
    with work_by(workers, scheduler) as work, opened("explore", config, overrides, solver, out, resume) as run:
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
            raise NotConvergedError(walk.message)


@app.command()
def sensitivity(
    config: ConfigFile, overrides: Overrides = None, solver: SolverName = None, out: Out = None, resume: Resume = False
) -> None:
    """Two points of a parameter between which an observable changes fastest."""
    with opened("sensitivity", config, overrides, solver, out, resume) as run:
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
            raise NotConvergedError(result.message)


@app.command()
def train(
    config: ConfigFile, overrides: Overrides = None, solver: SolverName = None, out: Out = None, resume: Resume = False,
    workers: Workers = None, scheduler: Scheduler = None,
) -> None:  # fmt: skip
    """Train couplings until the outputs of ground states are right, as those of a phase sensor."""
    with work_by(workers, scheduler) as work, opened("train", config, overrides, solver, out, resume) as run:
        from qep_tn.commands.train import learn

        learn(run, config, work)


@app.command()
def boundary(
    config: ConfigFile, overrides: Overrides = None, solver: SolverName = None, out: Out = None, resume: Resume = False,
    workers: Workers = None, scheduler: Scheduler = None,
) -> None:  # fmt: skip
    """Follow phase boundaries through a plane of two parameters."""
    from qep_tn.commands.boundary import trace

    with work_by(workers, scheduler) as work, opened("boundary", config, overrides, solver, out, resume) as run:
        trace(run, config, work)


@app.command()
def verify(
    config: ConfigFile, overrides: Overrides = None, solver: SolverName = None, out: Out = None, resume: Resume = False
) -> None:
    """Every solver beside exact diagonalization on a short chain of the model, or the one that is named."""
    with opened("verify", config, overrides, solver, out, resume) as run:
        from qep_tn.solvers.registry import refuse_other_states
        from qep_tn.tasks import verify as task
        from qep_tn.tasks.report import verification_summary

        settings = run.config.solver
        refuse_other_states(settings, "verify compares")
        begin(run, "verify", loss=run.loss, auto=settings.name == "auto")
        solvers = None if settings.name == "auto" else (run.solver,)
        verification = task.verify(
            run.H, run.theta, run.loss, solvers=solvers, seed=settings.seed,
            whole=run.config.verify.L is not None, strict=solvers is not None, progress=True,
            notes=run.config.shortened,
        )  # fmt: skip
        run.folder.write_summary(verification_summary(verification))
        print(verification.table(), f"results in {run.folder.path}", sep="\n")
        if not verification.passed:
            raise NotConvergedError("verification failed: the table says what is FAILED, or why nothing was compared")


@app.command()
def benchmark(config: ConfigFile, overrides: Overrides = None, out: Out = None, resume: Resume = False) -> None:
    """Solvers side by side on the model at several lengths: times, memory, errors."""
    with opened("benchmark", config, overrides, None, out, resume) as run:
        from qep_tn.commands.benchmark import measure

        measure(run, config)


@app.command()
def plot(folder: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run's folder.")]) -> None:
    """Redraw the figures of a run from its folder."""
    from qep_tn.figures.run import plot_run

    with foreign_files(folder):
        for file in plot_run(folder):
            print(file)


def _failed(status: int, message: str) -> int:
    print("qep-tn:", " ".join(message.split()), file=sys.stderr)
    return status
