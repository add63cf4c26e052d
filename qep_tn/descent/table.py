"""The table of a stepwise task: one row for every step, with long names and units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qep_tn.gradients.result import Gradient
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta


class Column(NamedTuple):
    """What a variable is; "energy" among units is the Hamiltonian's own.

    coupling: name of its second dimension, where a row has one value for each coupling of an array parameter.
    """

    long_name: str
    units: str
    coupling: str = ""


_FIGURES = {
    "loss": Column("loss", "1"),
    "loss_error": Column("estimated error of the loss", "1"),
    "gradient_norm": Column("norm of the loss gradient over the trained parameters", "energy^-1"),
    "gradient_norm_error": Column("norm of the estimated gradient error over the trained parameters", "energy^-1"),
    "relative_error": Column("estimated relative error of the gradient over all parameters", "1"),
    "overlap": Column("overlap |<free|nudged>|^2 of the ground states", "1"),
    "beta": Column("nudge strength", "energy"),
    "max_bond": Column("largest bond dimension of the free state, 0 where it is not an MPS", "1"),
    "ground_states": Column("ground states solved for so far", "1"),
    "trustworthy": Column("whether free and nudged states are of one branch", "1"),
    "seconds": Column("wall time of the step", "s"),
}


class Table:
    """Rows of a stepwise task, and the data set of dimension `step` that they make.

    columns: name -> what it is, in the order in which they are written; `attributes` of the data set.
    """

    def __init__(self, columns: Mapping[str, Column], attributes: Mapping[str, Any] | None = None) -> None:
        self._columns, self._attributes = columns, dict(attributes or {})
        self._rows: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, name: str) -> NDArray:
        """Every row of one variable."""
        return np.array([row[name] for row in self._rows])

    def row(self, number: int) -> dict[str, Any]:
        """One row; negative numbers count from the end."""
        return self._rows[number]

    def add(self, row: Mapping[str, Any], seconds: float) -> None:
        """Append a row; its "ground_states" are those of the step, and add up."""
        solved = self._rows[-1]["ground_states"] if self._rows else 0
        self._rows.append({**row, "ground_states": solved + row["ground_states"], "seconds": seconds})

    def fill(self, recorded: xr.Dataset) -> None:
        """Go back to the rows of a data set."""
        names = [str(name) for name in recorded.data_vars]
        values = [recorded[name].values for name in names]
        self._rows = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]

    def dataset(self) -> xr.Dataset:
        """All rows."""
        variables = {
            name: (
                ("step", c.coupling) if c.coupling else ("step",),
                self[name],
                {"long_name": c.long_name, "units": c.units},
            )
            for name, c in self._columns.items()
        }
        steps = ("step", np.arange(len(self)), {"long_name": "step", "units": "1"})
        return xr.Dataset(variables, coords={"step": steps}, attrs=self._attributes)


def gradient_columns(H: Hamiltonian) -> dict[str, Column]:
    """The columns of a table of gradients: row n holds theta before step n, with the loss and the gradient there.

    Raises ValueError for a parameter whose name is taken.
    """
    taken = {"start", "step", *_FIGURES}
    taken |= {f"gradient_{n}{suffix}" for n in H.parameters for suffix in ("", "_error")}
    refuse_taken_names(H, taken)
    columns = dict(_FIGURES)
    for name, value in H.parameters.items():
        coupling = f"{name}_coupling" if isinstance(value, tuple) else ""
        columns[name] = Column(f"parameter {name} before the step", "energy", coupling)
        columns[f"gradient_{name}"] = Column(f"derivative of the loss by {name}", "energy^-1", coupling)
        columns[f"gradient_{name}_error"] = Column(f"estimated error of gradient_{name}", "energy^-1", coupling)
    return columns


def gradient_row(H: Hamiltonian, theta: Theta, gradients: Sequence[Gradient], trained: NDArray) -> dict[str, Any]:
    """One gradient as a row, or the mean of several, of the other figures the worst: errors may share a bias.

    trained: mask over all couplings.
    """
    slope = np.mean([flattened(H, g.gradient) for g in gradients], axis=0)
    error = np.mean([flattened(H, g.error) for g in gradients], axis=0)
    row: dict[str, Any] = {}
    for name in H.parameters:
        row[name] = theta[name]
        row[f"gradient_{name}"] = H.unflatten(slope)[name]
        row[f"gradient_{name}_error"] = H.unflatten(error)[name]
    return row | {
        "loss": np.mean([g.value for g in gradients]),
        "loss_error": np.mean([g.value_error for g in gradients]),
        "gradient_norm": np.linalg.norm(slope[trained]),
        "gradient_norm_error": np.linalg.norm(error[trained]),
        "relative_error": max(g.relative_error for g in gradients),
        "overlap": min(g.overlap for g in gradients),
        "beta": max(g.beta for g in gradients),
        "max_bond": max((b for g in gradients for b in g.free.bond_dimensions), default=0),
        "ground_states": sum(g.ground_states for g in gradients),
        "trustworthy": all(g.trustworthy for g in gradients),
    }


def refuse_taken_names(H: Hamiltonian, taken: set[str]) -> None:
    """Raise ValueError for a parameter whose name history.nc uses for something else."""
    if clash := next((n for n in H.parameters if n in taken or "/" in n), None):
        raise ValueError(f"parameter {clash!r} cannot be recorded: the name is taken in history.nc; rename it")


def flattened(H: Hamiltonian, values: Mapping[str, Any]) -> NDArray:
    """Values by parameter name as one vector with an entry for each coupling."""
    return np.concatenate([np.ravel(values[name]) for name in H.parameters])
