"""Several runs of one kind, as parts of one: each in a folder of its own, and their histories side by side."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import xarray as xr

from qep_tn.runs.folder import RunFolder


@contextmanager
def part_of_run(folder: Path, config_text: str) -> Iterator[RunFolder]:
    """The folder of a part, open for writing; it goes on from what is there."""
    resumes = (folder / "config.toml").exists()
    if not resumes:  # killed before it was made
        (folder / ".config.toml.new").unlink(missing_ok=True)
        with suppress(OSError):
            (folder / "figures").rmdir()
    run = RunFolder.create(folder, config_text, resume=resumes)
    warnings = logging.getLogger("py.warnings")
    warnings.addHandler(run.log)
    try:
        yield run
    finally:
        warnings.removeHandler(run.log)
        run.close()


def side_by_side(histories: Sequence[xr.Dataset], dimension: str) -> xr.Dataset:
    """Histories of dimension `step` along one more dimension, numbered; past an end there is NaN, and in what is true
    or false -1.
    """
    length = max(history.sizes["step"] for history in histories)
    together = xr.concat([_lengthened(history, length) for history in histories], dim=dimension, join="exact")
    numbers = np.arange(len(histories)), {"long_name": dimension, "units": "1"}
    return together.assign_coords({dimension: (dimension, *numbers)})


def refuse_unsendable(task: object, what: str, instead: str) -> None:
    """Raise ValueError for what cannot be sent to a process. what: and why it is sent. instead: needs no process."""
    try:
        pickle.dumps(task)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{what} cannot be sent to one ({error}); define its functions at the top of a module, or take {instead}"
        ) from None


def _lengthened(history: xr.Dataset, length: int) -> xr.Dataset:
    """A history of `length` rows, the new ones without values: NaN, and -1 in what is true or false."""
    flags = {str(name): np.int8(-1) for name, variable in history.items() if variable.dtype == bool}
    stepwise = [name for name in history if "step" in history[name].dims]
    numbers = {name: history[name].astype(np.int8 if name in flags else float) for name in stepwise}
    fill = {str(name): flags.get(str(name), np.nan) for name in history}
    steps = history["step"].copy(data=np.arange(history.sizes["step"]))
    whole = history.assign(numbers).assign_coords(step=steps).reindex(step=np.arange(length), fill_value=fill)
    for name in history.variables:
        whole[name].attrs |= history[name].attrs
    return whole
