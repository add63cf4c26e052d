"""qep-tn train: a training, its figures and its scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qep_tn.commands.run import NotConvergedError, Run
from qep_tn.configuration.data import outputs, samples, training_settings
from qep_tn.figures.run import plot_run
from qep_tn.runs.folder import load
from qep_tn.tasks.train import last_loss, train

_DISTURBED = 20  # test samples at which the sensor's disturbance is computed


def learn(run: Run, config: Path, work: Mapping[str, Any]) -> None:
    """Train. config: the file, for messages. work: who takes the samples of a batch, or several seeds."""
    try:
        operators = outputs(run.config, run.H)
        data, test = samples(run.config, run.H, len(operators))
        theta = run.theta | _begun_with(run)
    except ValueError as error:
        raise ValueError(f"{config}: {error}") from None
    result = train(
        run.H, theta, data, outputs=operators, test=test, solver=run.solver, run=run.folder,
        **training_settings(run.config), **work,
    )  # fmt: skip
    if test is not None and run.config.sensor is not None:
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
    """What another training came to, its best seed. Raises ValueError where that does not fit."""
    folder = run.config.train.begin_with
    if folder is None:
        return {}
    history = load(folder)
    if history.attrs.get("task") != "train":
        raise ValueError(f"[train] begin_with: {folder} is no training; name the folder of one")
    if "seed" in history.dims:
        losses = [last_loss(history.isel(seed=n)) for n in range(history.sizes["seed"])]
        history = history.isel(seed=int(np.nanargmin(losses)))
    last: dict[str, Any] = {name: history[name].values[-1] for name in np.atleast_1d(history.attrs["trained"])}
    for name, value in last.items():
        wanted = np.shape(run.theta.get(name, np.nan))
        if name not in run.theta or np.shape(value) != wanted:
            problem = f"has shape {np.shape(value)}, here {wanted}" if name in run.theta else "is no parameter here"
            raise ValueError(f"[train] begin_with: {name} of {folder} {problem}; take a training of the same sensor")
    return last
