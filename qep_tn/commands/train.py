"""qep-tn train: a training, its figures and its scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qep_tn.commands.run import NotConvergedError, Run
from qep_tn.configuration.data import outputs, samples, training_settings
from qep_tn.figures.run import plot_run
from qep_tn.tasks.train import train

_DISTURBED = 20  # test samples at which the sensor's disturbance is computed


def learn(run: Run, config: Path, work: Mapping[str, Any]) -> None:
    """Train. config: the file, for messages. work: who takes the samples of a batch, or several seeds."""
    try:
        operators = outputs(run.config, run.H)
        data, test = samples(run.config, run.H, len(operators))
    except ValueError as error:
        raise ValueError(f"{config}: {error}") from None
    result = train(
        run.H, run.theta, data, outputs=operators, test=test, solver=run.solver, run=run.folder,
        **training_settings(run.config), **work,
    )  # fmt: skip
    if test is not None and run.config.sensor is not None:
        few = test[: min(len(test), _DISTURBED)]
        run.folder.keep("disturbance.nc", result.disturbance(few, **work))
    plot_run(run.folder.path)
    history = result.history if "seed" not in result.history.dims else result.history.isel(seed=result.best)
    tested = history[["test_loss", "accuracy", "single_shot_accuracy"]].dropna("step")
    scores = ""
    if tested.sizes["step"]:
        values = {str(name): float(tested[name][-1]) for name in tested}
        spread = np.sqrt(values["accuracy"] * (1 - values["accuracy"]) / history.sizes["sample"])
        scores = (
            f"; test: accuracy {values['accuracy']:.3f} +- {spread:.3f}, single shot "
            f"{values['single_shot_accuracy']:.3f}, loss {values['test_loss']:.4g}"
        )
    print(f"{result.message}{scores}; results in {run.folder.path}")
    if not result.converged:
        raise NotConvergedError(result.message)
