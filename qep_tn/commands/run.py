"""A run as the verbs of the command line have it: what a configuration describes, checked, and its open folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:  # what takes long to import is imported when it is needed: help and mistakes answer at once
    from qep_tn.configuration.keys import Config
    from qep_tn.hamiltonians.hamiltonian import Hamiltonian
    from qep_tn.hamiltonians.operators import Operator
    from qep_tn.runs.folder import RunFolder
    from qep_tn.solvers.protocol import Solver

logger = logging.getLogger("qep_tn")

COMPARING = ("verify", "benchmark")  # verbs that compare solvers, on the model whether there is a device or not


@dataclass(frozen=True)
class Run:
    """What a verb works with: all of it checked, nothing of it computed yet.

    loss: of a section with an objective. observable: of a section with an observable.
    H, solver: the model and who solves it; or a device's controls, and the device in a solver's place.
    """

    config: Config
    H: Hamiltonian
    theta: dict[str, Any]
    loss: Any
    observable: Operator | None
    solver: Solver
    folder: RunFolder


@contextmanager
def opened(
    verb: str, file: Path, overrides: list[str] | None, solver: str | None, out: Path | None, resume: bool
) -> Iterator[Run]:
    """Build what a configuration describes, open the run's folder, and close it whatever happens in between."""
    from qep_tn.configuration import build, device
    from qep_tn.configuration.toml_file import load, to_toml

    config = load(file, overrides or (), solver)
    try:
        chosen: Solver
        on_device = config.device is not None and verb not in COMPARING
        if on_device:
            H, chosen = device.prepared(config, with_sensor=verb == "train")
        else:
            H = build.hamiltonian(config, config.length_for(verb), with_sensor=verb == "train")
            chosen = build.solver(config, H)
        theta = build.theta(config, H, shortened=verb == "verify")
        section = getattr(config, verb)
        objective, text = (getattr(section, key, None) for key in ("objective", "observable"))
        loss = None if objective is None else build.loss(objective, H, verb)
        observable = None if text is None else build.observable(text, H, verb)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    from qep_tn.runs.folder import RunFolder, versions
    from qep_tn.runs.interrupts import insistent_ctrl_c

    path = out or Path("runs") / f"{file.stem}-{verb}"
    with foreign_files(path):
        folder = RunFolder.create(path, to_toml(config, {"verb": verb, **versions()}), resume)
    warnings = logging.getLogger("py.warnings")
    warnings.addHandler(folder.log)
    auto = " (auto)" if config.solver.name == "auto" else ""
    by = "every solver" if auto and verb == "verify" else f"{chosen!r}{'' if on_device else auto}"
    logger.info("%s of %r by %s", verb, H, by)
    try:
        with insistent_ctrl_c(), threadpool_limits(1):  # with one thread a run repeats to the last bit
            yield Run(config, H, theta, loss, observable, chosen, folder)
    except KeyboardInterrupt:
        logger.info("interrupted")
        raise InterruptedRunError(folder.path) from None
    except np.linalg.LinAlgError as error:  # a ValueError, but not about the input
        raise NotConvergedError(f"linear algebra failed: {error}; lower max_bond, or take another solver") from error
    except ValueError:
        logger.exception("refused")
        folder.leave_as_found()
        raise
    finally:
        warnings.removeHandler(folder.log)
        folder.close()


def begin(run: Run, task: str, **settings: Any) -> None:
    """Keep the settings of a verb of one step, or refuse to go on with others."""
    from qep_tn.runs.settings_check import fingerprint, model_settings, solver_settings

    made_with = {"task": task, **settings, **model_settings(run.H, run.theta), **solver_settings(run.solver)}
    run.folder.begin(fingerprint(made_with))


class InterruptedRunError(Exception):
    """Ctrl-C in a run; says which folder."""


class NotConvergedError(Exception):
    """The run is over, and its result is not to be trusted; says why."""


@contextmanager
def foreign_files(folder: Path) -> Iterator[None]:
    """Say in one line that a folder's files are well formed but not those of a run."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        kind = type(error).__name__
        raise ValueError(f"{folder} does not hold the files of a run ({kind}); name another folder") from error
