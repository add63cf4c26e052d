"""qep-tn train: a training, its figures and its scores."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from qep_tn.commands.run import NotConvergedError, Run
from qep_tn.configuration.data import outputs, samples, training_settings
from qep_tn.devices.on_device import OnDevice
from qep_tn.figures.run import plot_run
from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.runs.folder import BEGUN_WITH, kept, load
from qep_tn.tasks.train import train

_SITE = re.compile(r"\(\d+\)")
_DISTURBED = 20  # test samples at which the sensor's disturbance is computed


def learn(run: Run, config: Path, work: Mapping[str, Any]) -> None:
    """Train. config: the file, for messages. work: who takes the samples of a batch, or several seeds."""
    try:
        operators = outputs(run.config, run.H)
        data, test = samples(run.config, run.H, len(operators))
        theta = run.theta | _begun_with(run)
        settings = training_settings(run.config)
    except ValueError as error:
        raise ValueError(f"{config}: {error}") from None
    result = train(
        run.H, theta, data, outputs=operators, test=test, solver=run.solver, run=run.folder,
        **settings, **work,
    )  # fmt: skip
    if test is not None and run.config.sensor is not None and not isinstance(run.solver, OnDevice):
        few = test[: min(len(test), _DISTURBED)]
        run.folder.keep("disturbance.nc", result.disturbance(few, **work))
    plot_run(run.folder.path)
    history = result.history if "seed" not in result.history.dims else result.history.isel(seed=result.best)
    tested = np.flatnonzero(np.isfinite(history["test_loss"].values))
    scores = ""
    if tested.size:
        last = history.isel(step=tested[-1])
        right, single = float(last["accuracy"]), float(last["single_shot_accuracy"])
        scores = f"; test: loss {float(last['test_loss']):.4g}"
        if np.isfinite(right):
            scores += f", accuracy {right:.3f} +- {np.sqrt(right * (1 - right) / history.sizes['sample']):.3f}"
        if np.isfinite(single):
            scores += f", single shot {single:.3f}"
    print(f"{result.message}{scores}; results in {run.folder.path}")
    if not result.converged:
        raise NotConvergedError(result.message)


def _begun_with(run: Run) -> dict[str, Any]:
    """What another training came to, its best seed; kept in the run's folder, so that it goes on without the other.

    Raises ValueError where that does not fit.
    """
    folder = run.config.train.begin_with
    if folder is None:
        return {}
    taken = kept(run.folder.path, BEGUN_WITH) if run.folder.resumed else None
    if taken is None:
        taken = _end_of(folder, run.H)
        run.folder.keep(BEGUN_WITH, taken)
    return {str(name): values.values for name, values in taken.items()}


def _end_of(folder: str, H: Hamiltonian) -> xr.Dataset:
    """The sensor of a training. Raises ValueError if it has not ended, or is of another sensor than that of H."""
    history = load(folder)
    if history.attrs.get("task") != "train":
        raise ValueError(f"[train] begin_with: {folder} is no training; name the folder of one")
    if "best_seed" not in history.attrs:
        raise ValueError(f"[train] begin_with: the training in {folder} has not ended; go on with --resume there")
    if "seed" in history.dims:
        history = history.isel(seed=int(history.attrs["best_seed"]))
    end = int(np.flatnonzero(np.isfinite(history["loss"].values))[-1])  # seeds that ended early are filled with NaN
    names = [str(name) for name in np.atleast_1d(history.attrs["trained"])]
    for name in names:
        there, here = list(np.atleast_1d(history.attrs[f"operators_{name}"])), H.parameters.get(name, ())
        operators = [str(a) for a in (here if isinstance(here, tuple) else (here,))]
        if [_SITE.sub("", text) for text in there] != [_SITE.sub("", text) for text in operators]:
            raise ValueError(f"[train] begin_with: {name} of {folder} has other operators; take one of the same sensor")
    return xr.Dataset({name: history[name].isel(step=end, drop=True) for name in names})
