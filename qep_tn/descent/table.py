"""The history of a stepwise task: theta, loss, gradient and their errors, one row for every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qep_tn.gradients.gradient import Gradient
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta

# name -> (long_name, units); "energy" is the Hamiltonian's own unit
_FIGURES = {
    "loss": ("loss", "1"),
    "loss_error": ("estimated error of the loss", "1"),
    "gradient_norm": ("norm of the loss gradient over the trained parameters", "energy^-1"),
    "gradient_norm_error": ("norm of the estimated gradient error over the trained parameters", "energy^-1"),
    "relative_error": ("estimated relative error of the gradient over all parameters", "1"),
    "overlap": ("overlap |<free|nudged>|^2 of the ground states", "1"),
    "beta": ("nudge strength", "energy"),
    "max_bond": ("largest bond dimension of the free state, 0 where it is not an MPS", "1"),
    "ground_states": ("ground states solved for so far", "1"),
    "trustworthy": ("whether free and nudged states are of one branch", "1"),
    "seconds": ("wall time of the step", "s"),
}


class History:
    """Rows of a stepwise task, and the data set that they make.

    Dimension `step`; an array parameter `g` has a second dimension `g_coupling`. Row n holds theta before step
    n, with the loss and the gradient there.
    """

    def __init__(self, H: Hamiltonian, recorded: xr.Dataset | None = None) -> None:
        taken = {"start", "step", *_FIGURES}
        taken |= {f"gradient_{n}{suffix}" for n in H.parameters for suffix in ("", "_error")}
        if clash := next((n for n in H.parameters if n in taken or "/" in n), None):
            raise ValueError(f"parameter {clash!r} cannot be recorded: the name is taken in history.nc; rename it")
        self._H = H
        self._columns: dict[str, list[Any]] = {}
        if recorded is not None:
            self._columns = {str(name): list(variable.values) for name, variable in recorded.data_vars.items()}

    def __len__(self) -> int:
        return len(self._columns.get("loss", ()))

    def __getitem__(self, name: str) -> NDArray:
        """Every row of one variable."""
        return np.array(self._columns[name])

    def add(self, theta: Theta, gradient: Gradient, trained: NDArray, seconds: float) -> None:
        """Record a step. `trained` is a mask over all couplings."""
        row: dict[str, Any] = {}
        for name in self._H.parameters:
            row[name] = theta[name]
            row[f"gradient_{name}"] = gradient.gradient[name]
            row[f"gradient_{name}_error"] = gradient.error[name]
        solved = self._columns["ground_states"][-1] if len(self) else 0
        row |= {
            "loss": gradient.value,
            "loss_error": gradient.value_error,
            "gradient_norm": np.linalg.norm(flattened(self._H, gradient.gradient)[trained]),
            "gradient_norm_error": np.linalg.norm(flattened(self._H, gradient.error)[trained]),
            "relative_error": gradient.relative_error,
            "overlap": gradient.overlap,
            "beta": gradient.beta,
            "max_bond": max(gradient.free.bond_dimensions, default=0),
            "ground_states": solved + gradient.ground_states,
            "trustworthy": gradient.trustworthy,
            "seconds": seconds,
        }
        for name, value in row.items():
            self._columns.setdefault(name, []).append(value)

    def dataset(self) -> xr.Dataset:
        """All rows, with long names and units."""
        descriptions = dict(_FIGURES)
        arrays = {name for name, value in self._H.parameters.items() if isinstance(value, tuple)}
        for name in self._H.parameters:
            descriptions[name] = (f"parameter {name} before the step", "energy")
            descriptions[f"gradient_{name}"] = (f"derivative of the loss by {name}", "energy^-1")
            descriptions[f"gradient_{name}_error"] = (f"estimated error of gradient_{name}", "energy^-1")
        variables = {}
        for name, (long_name, units) in descriptions.items():
            parameter = name.removeprefix("gradient_").removesuffix("_error")
            dimensions = ("step", f"{parameter}_coupling") if parameter in arrays else ("step",)
            variables[name] = (dimensions, self[name], {"long_name": long_name, "units": units})
        steps = ("step", np.arange(len(self)), {"long_name": "step", "units": "1"})
        return xr.Dataset(variables, coords={"step": steps})


def flattened(H: Hamiltonian, values: Mapping[str, Any]) -> NDArray:
    """Values by parameter name as one vector with an entry for each coupling."""
    return np.concatenate([np.ravel(values[name]) for name in H.parameters])
