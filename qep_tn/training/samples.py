"""What a training learns from: parameters of the system, and what its ground state should then be told as."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

TARGET = "target_"  # before the number of an output, the name of a column of targets


@dataclass(frozen=True)
class Samples:
    """Inputs with the outputs that they should have.

    inputs: parameter name -> values, (n,) for a scalar parameter and (n, couplings) for an array parameter.
    targets: (n, outputs), what the outputs' expectation values should be.
    Raises ValueError where lengths differ or a value is not finite, with its place.
    """

    inputs: Mapping[str, NDArray]
    targets: NDArray

    def __init__(self, inputs: Mapping[str, ArrayLike], targets: ArrayLike) -> None:
        arrays = {name: _finite(name, values) for name, values in inputs.items()}
        if not arrays:
            raise ValueError("Samples: no inputs; give values of one parameter or more")
        wanted = _finite("targets", targets)
        if wanted.ndim != 2 or not wanted.size:
            raise ValueError(f"Samples: targets has shape {wanted.shape}; it must be (samples, outputs), one or more")
        for name, values in arrays.items():
            if values.ndim not in (1, 2) or len(values) != len(wanted):
                raise ValueError(
                    f"Samples: {name} has shape {values.shape} and targets {wanted.shape}; give one value, or one row "
                    f"of couplings, for each of {len(wanted)} samples"
                )
        object.__setattr__(self, "inputs", arrays)
        object.__setattr__(self, "targets", wanted)

    @classmethod
    def labelled(cls, inputs: Mapping[str, ArrayLike], labels: ArrayLike, outputs: int) -> Samples:
        """Samples whose target is 1 for the output of their label, 0, 1, ..., and 0 for the others."""
        numbers = np.asarray(labels)
        if numbers.ndim != 1 or not (
            np.issubdtype(numbers.dtype, np.integer) and np.isin(numbers, range(outputs)).all()
        ):
            raise ValueError(f"Samples: labels must be whole numbers 0 to {outputs - 1}, one for each sample")
        return cls(inputs, np.eye(outputs)[numbers])

    @classmethod
    def read(cls, file: str | Path) -> Samples:
        """Samples of a table: CSV with a heading, or netCDF with one dimension.

        Columns target_0, target_1, ... are the targets, all others inputs by parameter name. In netCDF an input of an
        array parameter may have a second dimension.
        Raises ValueError with the row and the column of what is no number.
        """
        path = Path(file)
        columns = _from_csv(path) if path.suffix == ".csv" else _from_netcdf(path)
        targets = sorted((name for name in columns if name.startswith(TARGET)), key=lambda name: (len(name), name))
        if targets != [f"{TARGET}{n}" for n in range(len(targets))] or not targets:
            raise ValueError(f"{path}: columns {TARGET}0, {TARGET}1, ... are missing, one for each output")
        inputs = {name: values for name, values in columns.items() if name not in targets}
        try:
            return cls(inputs, np.stack([columns[name] for name in targets], axis=1))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, chosen: Any) -> Samples:
        """Some of them, by indices or a slice."""
        return Samples({name: values[chosen] for name, values in self.inputs.items()}, self.targets[chosen])

    def theta(self, number: int) -> dict[str, Any]:
        """The inputs of one sample, by parameter name."""
        return {name: values[number] for name, values in self.inputs.items()}


# As many samples as are asked for, drawn with a random generator
Source = Callable[[np.random.Generator, int], Samples]


def drawn(source: Source, rng: np.random.Generator, number: int, like: Samples | None = None) -> Samples:
    """What a source draws. like: other samples, whose inputs and number of outputs it must have.

    Raises ValueError for a function that fails, or draws something else than so many samples.
    """
    try:
        found = source(rng, number)
    except Exception as error:
        first = (str(error).splitlines() or ["no message"])[0]
        raise ValueError(f"samples: the function that draws them failed: {type(error).__name__}: {first}") from error
    if not isinstance(found, Samples):
        raise ValueError(f"samples: the function that draws them gave a {type(found).__name__}; return qt.Samples(...)")
    if len(found) != number:
        raise ValueError(f"samples: the function that draws them gave {len(found)}, and {number} were asked for")
    if like is not None:
        shapes = [
            ({name: v.shape[1:] for name, v in each.inputs.items()}, each.targets.shape[1]) for each in (found, like)
        ]
        if shapes[0] != shapes[1]:
            raise ValueError("samples: the function that draws them gives other inputs or targets than it first did")
    return found


@dataclass(frozen=True)
class Simplex:
    """Draws points of couplings that are not negative and sum to `total`, uniformly; or around given points.

    names: of the couplings. label: inputs by name, broadcast -> label of each point. outputs: how many labels.
    signs: what a coupling of the simplex is multiplied by to be the model's.
    centres: points, each a value for each name; if there are any, what is drawn is as near one of them as `radius`,
        largest difference of a coupling.
    balanced: as many points of every label instead of uniformly: point n has the label n modulo `outputs`.
    """

    names: tuple[str, ...]
    total: float
    label: Callable[..., NDArray]
    outputs: int
    signs: tuple[float, ...] = ()
    centres: tuple[tuple[float, ...], ...] = ()
    radius: float = np.inf
    balanced: bool = False

    def __call__(self, rng: np.random.Generator, number: int) -> Samples:
        """Draw so many. Raises ValueError if a point in a thousand or fewer is near a centre, or has a wanted label."""
        points: NDArray = np.empty((0, len(self.names)))
        chosen: NDArray = np.empty(0, int)
        drawings = 0
        while len(chosen) < number:
            drawn = self.total * rng.dirichlet(np.ones(len(self.names)), 4 * number + 16)
            points = np.concatenate([points, drawn[self._within(drawn)]])
            chosen = self._chosen(points, number)
            drawings += 1
            if drawings >= 250 > len(points):
                raise ValueError(f"Simplex: hardly a point is within {self.radius:g} of a centre; raise radius")
            if drawings >= 250 and self.balanced and len(chosen) < number:
                raise ValueError("Simplex: hardly a point has one of the labels; leave balanced out")
        inputs = self._inputs(points[chosen])
        return Samples.labelled(inputs, np.asarray(self.label(**inputs)), self.outputs)

    def _inputs(self, points: NDArray) -> dict[str, NDArray]:
        signs = np.array(self.signs or np.ones(len(self.names)))
        return dict(zip(self.names, (points * signs).T, strict=True))

    def _chosen(self, points: NDArray, number: int) -> NDArray:
        """The first so many points, or the first of every label in turn, as far as there are such."""
        if not self.balanced:
            return np.arange(min(number, len(points)))
        labels = np.asarray(self.label(**self._inputs(points)))
        places = [np.flatnonzero(labels == n) for n in range(self.outputs)]
        turns = (divmod(n, self.outputs) for n in range(number))
        return np.array([places[label][nth] for nth, label in turns if nth < len(places[label])], int)

    def _within(self, points: NDArray) -> NDArray:
        if not self.centres:
            return np.ones(len(points), bool)
        distances = np.abs(points[:, None, :] - np.array(self.centres)).max(axis=2)
        return np.asarray((distances <= self.radius).any(axis=1))


def _finite(name: str, values: ArrayLike) -> NDArray:
    try:
        array = np.asarray(values, float)
    except (TypeError, ValueError):
        raise ValueError(f"Samples: {name} must be real numbers, as many for each sample") from None
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise ValueError(f"Samples: {name} is not finite in sample {row}")
    return array


def _from_csv(path: Path) -> dict[str, NDArray]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as opened:
            lines = list(csv.reader(opened))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); give a CSV or netCDF file") from None
    rows = [(number, line) for number, line in enumerate(lines, 1) if line]
    if len(rows) < 2:
        raise ValueError(f"{path}: has no samples; give a heading and one row or more")
    heading = [name.strip() for name in rows[0][1]]
    if len(set(heading)) < len(heading):
        raise ValueError(f"{path}: a name occurs twice in the heading, {', '.join(heading)}")
    values = [_numbers(path, number, row, heading) for number, row in rows[1:]]
    return dict(zip(heading, np.array(values).T, strict=True))


def _numbers(path: Path, number: int, row: Sequence[str], heading: Sequence[str]) -> list[float]:
    if len(row) != len(heading):
        raise ValueError(f"{path}, line {number}: has {len(row)} values for {len(heading)} columns")
    values = []
    for name, text in zip(heading, row, strict=True):
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise ValueError(f"{path}, line {number}: {name} is {text.strip()!r}; it must be a finite number")
        values.append(value)
    return values


def _from_netcdf(path: Path) -> dict[str, NDArray]:
    try:
        with xr.load_dataset(path, engine="h5netcdf") as data:
            columns = {str(name): variable for name, variable in data.variables.items()}
    except (OSError, ValueError, KeyError, RuntimeError):
        raise ValueError(f"{path}: cannot be read; give a CSV file (its name ends in .csv) or a netCDF file") from None
    along = {variable.dims[:1] for variable in columns.values()}
    if len(along) != 1:
        raise ValueError(f"{path}: variables have no first dimension in common, that of the samples")
    return {name: variable.values for name, variable in columns.items()}
