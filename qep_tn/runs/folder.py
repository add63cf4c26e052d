"""A run's folder: config.toml, settings.json, history.nc, timing.nc, state.h5, summary.json, run.log and figures/.

Every file is written beside its old version and put in its place at once, history.nc and timing.nc before state.h5. A
run that is killed at any moment leaves them in step: state.h5 says how many rows count. Wall times stand in a file of
their own, so that a run that was killed and resumed ends with the same history.nc, bit for bit.
Files are data only; reading them never executes code.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import threading
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qep_tn.hamiltonians.sites import Sites
from qep_tn.runs.interrupts import interrupts_deferred
from qep_tn.runs.lock import lock, unlock
from qep_tn.runs.settings_check import check_fingerprint
from qep_tn.runs.state_file import read_states, write_states
from qep_tn.states.ground_state import GroundState

_DISTRIBUTIONS = ("qep_tn", "numpy", "scipy", "numba", "physics-tenpy", "quimb")

BEGUN_WITH = "begin_with.nc"  # what a training begins with, if it is from another run
_PARTS = ("start-*", "seed-*", "L-*", "scan")  # folders of runs that are parts of one

_open: Counter[int] = Counter()  # runs, by the thread that opened them

logger = logging.getLogger("qep_tn")


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run, open for writing.

    path: the folder.
    resumed: whether the run goes on from what the folder holds.
    config_text: the resolved configuration. That of a resumed run replaces config.toml when it first saves something:
        one that is refused leaves the folder as it was.
    """

    path: Path
    resumed: bool
    config_text: str
    log: _Log

    @classmethod
    def create(cls, path: str | Path, config_text: str = "", resume: bool = False) -> RunFolder:
        """Make the folder, or with `resume` open one, and start its run.log.

        config_text: the resolved configuration (TOML), written to config.toml.
        Raises ValueError if the folder cannot be written, is in use without `resume` or by another process, holds
        nothing to resume, or is one of another verb.
        """
        folder = Path(path)
        try:
            if resume and not (folder / "config.toml").exists():
                raise ValueError(f"{folder} holds no run to resume; leave out --resume, or name the run with --out")
            if not resume and folder.exists() and any(not _is_left_over(file) for file in folder.iterdir()):
                raise ValueError(f"{folder} is not empty; go on with --resume, or choose another folder with --out")
            if resume:
                _check_verb(folder, config_text)
            (folder / "figures").mkdir(parents=True, exist_ok=True)
            if not resume:
                _replace(folder / "config.toml", lambda temporary: temporary.write_text(config_text))
            handler = _Log(folder / "run.log")
        except BlockingIOError:
            problem = f"another process works in {folder}; wait for it, or choose another folder with --out"
            raise ValueError(problem) from None
        except OSError as error:
            raise ValueError(f"cannot write to {folder}: {error.strerror}; choose another folder with --out") from None
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.info("%s in %s", "resumed" if resume else "started", folder)
        return cls(folder, resume, config_text, handler)

    def close(self) -> None:
        """End run.log."""
        logger.removeHandler(self.log)
        self.log.close()
        unlock(Path(self.log.baseFilename))
        _open[self.log.thread] -= 1

    def leave_as_found(self) -> None:
        """Remove what a new run that was refused has written, so that the mended one can have its folder."""
        parts = [part for kind in _PARTS for part in sorted(self.path.glob(kind))]
        if self.resumed or any((path / "state.h5").exists() for path in (self.path, *parts)):
            return
        for path in (*parts, self.path):
            for name in ("config.toml", "settings.json", "run.log", BEGUN_WITH):
                (path / name).unlink(missing_ok=True)
                (path / f".{name}.new").unlink(missing_ok=True)  # other parts of the run were ended at any moment
            with suppress(OSError):  # what is not empty stays
                (path / "figures").rmdir()
                path.rmdir()

    def begin(self, made_with: Mapping[str, str]) -> None:
        """Keep the fingerprint of a task's settings in settings.json, or go on only if it is the one that is kept.

        config.toml is nothing to go by: a run that is begun from Python has what its caller writes there.
        Raises ValueError with the first setting that differs.
        """
        file = self.path / "settings.json"
        if self.resumed and file.exists():
            check_fingerprint(begun_with(self.path), made_with, str(self.path))
        elif self.resumed and (self.path / "state.h5").exists():
            raise ValueError(
                f"{self.path} does not say with which settings it was made, as runs of earlier versions; "
                f"choose another folder with --out"
            )
        else:
            text = json.dumps(made_with, indent=2) + "\n"
            _replace(file, lambda temporary: temporary.write_text(text))

    def save(self, history: xr.Dataset, states: Sequence[GroundState], extra: Mapping[str, ArrayLike | str]) -> None:
        """Replace history.nc, timing.nc (the variable "seconds" of the history) and state.h5.

        states: the newest converged states, those from which the next step starts.
        extra: what else the next step uses; `extra["step"]` is how many rows of the history are done.
        """
        with interrupts_deferred():  # HDF5's own code would swallow one
            (self.path / "summary.json").unlink(missing_ok=True)  # it is of fewer steps
            self._keep_configuration()
            if "seconds" in history:
                timing, history = history[["seconds"]], history.drop_vars("seconds")
                _replace(self.path / "timing.nc", lambda temporary: timing.to_netcdf(temporary, engine="h5netcdf"))
            _replace(self.path / "history.nc", lambda temporary: history.to_netcdf(temporary, engine="h5netcdf"))
            _replace(self.path / "state.h5", lambda temporary: write_states(temporary, states, extra))

    def load_states(self, sites: Sites) -> tuple[tuple[GroundState, ...], dict[str, Any]] | None:
        """The saved states and `extra`; None if this run starts from the beginning.

        Raises ValueError if state.h5 is damaged or of another model.
        """
        file = self.path / "state.h5"
        if not self.resumed or not file.exists():
            return None
        return read_states(file, sites)

    def load_history(self, step: int, dimension: str = "step") -> xr.Dataset:
        """The first `step` rows of history.nc and timing.nc. Raises ValueError if they are damaged or shorter."""
        history = _read_history(self.path)
        if history.sizes.get(dimension, 0) < step:
            raise ValueError(
                f"{self.path / 'history.nc'} has fewer than the {step} {dimension}s of state.h5; "
                f"start again with another --out"
            )
        return history.isel({dimension: slice(step)})

    def keep(self, name: str, data: xr.Dataset) -> None:
        """Write one more data set that belongs to the run."""
        with interrupts_deferred():
            _replace(self.path / name, lambda temporary: data.to_netcdf(temporary, engine="h5netcdf"))

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json: `summary`, the versions of the libraries, and the platform."""
        complete = {**summary, "versions": versions(), "platform": platform.platform()}
        text = json.dumps(complete, indent=2, default=_plain) + "\n"
        self._keep_configuration()
        _replace(self.path / "summary.json", lambda temporary: temporary.write_text(text))

    def _keep_configuration(self) -> None:
        """The one from which the folder's newest row is."""
        file = self.path / "config.toml"
        if file.read_text() != self.config_text:
            _replace(file, lambda temporary: temporary.write_text(self.config_text))


class _Log(logging.FileHandler):
    """run.log: what is said in the thread that opened it, or in one without a run of its own, as a solver's may be.

    While it is open no other process opens it: raises BlockingIOError.
    """

    def __init__(self, file: Path) -> None:
        lock(file)
        super().__init__(file)
        self.thread = threading.get_ident()
        _open[self.thread] += 1

    def filter(self, record: logging.LogRecord) -> bool | logging.LogRecord:
        speaker = record.thread or self.thread
        return (speaker == self.thread or not _open[speaker]) and super().filter(record)


def load(run_dir: str | Path) -> xr.Dataset:
    """The history of a run with its wall times, and the entries of its summary as attributes.

    Raises ValueError if the folder holds no history, or a file is damaged.
    """
    folder = Path(run_dir)
    history = _read_history(folder)
    file = folder / "summary.json"
    if file.exists():  # an unfinished run has none
        try:
            history.attrs |= json.loads(file.read_text())
        except (ValueError, TypeError):
            raise ValueError(f"{file} is not a summary of a run; delete it, and go on with --resume") from None
    return history


def kept(run_dir: str | Path, name: str) -> xr.Dataset | None:
    """A data set that was kept with `RunFolder.keep`; None if there is none. Raises ValueError if it is damaged."""
    file = Path(run_dir) / name
    return _read_dataset(file) if file.exists() else None


def versions() -> dict[str, str]:
    """Versions of this library and of those that it computes with, and of Python."""
    found = {"python": platform.python_version()}
    for distribution in _DISTRIBUTIONS:
        name = distribution.removeprefix("physics-")
        try:
            found[name] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def begun_with(folder: Path) -> dict[str, str]:
    """The fingerprint of the settings that a run was begun with; empty if there is none.

    Raises ValueError if it is damaged.
    """
    file = folder / "settings.json"
    try:
        return dict(json.loads(file.read_text())) if file.exists() else {}
    except (ValueError, TypeError):
        raise ValueError(f"{file} is damaged; start again with another folder, --out") from None


def _read_history(folder: Path) -> xr.Dataset:
    """history.nc and, where it is there, timing.nc."""
    file = folder / "history.nc"
    if not file.exists():
        raise ValueError(f"{file} does not exist; give the folder of a run")
    history = _read_dataset(file)
    timing = _read_dataset(folder / "timing.nc") if (folder / "timing.nc").exists() else xr.Dataset()
    return history.merge(timing, join="left") if timing else history


def _read_dataset(file: Path) -> xr.Dataset:
    try:
        return xr.load_dataset(file, engine="h5netcdf")
    except (OSError, KeyError, ValueError, RuntimeError):
        raise ValueError(f"{file} is damaged or not a history; start again with another folder, --out") from None


def _check_verb(folder: Path, config_text: str) -> None:
    """Raise ValueError if a folder's run is one of another verb; settings.json says the rest."""
    try:
        saved = tomllib.loads((folder / "config.toml").read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{folder / 'config.toml'} is damaged ({error}); start another run with --out") from None
    made_by, verb = (table.get("versions", {}).get("verb") for table in (saved, tomllib.loads(config_text)))
    if made_by != verb:
        raise ValueError(f"--resume of {verb}, but the run in {folder} is one of {made_by}; choose another --out")


def _is_left_over(file: Path) -> bool:
    """Whether a run that was killed before it wrote its config.toml may have left this."""
    return file.name in ("run.log", ".config.toml.new") or (file.name == "figures" and not any(file.iterdir()))


def _replace(file: Path, write: Callable[[Path], object]) -> None:
    """Write a file such that at every moment either the old or the new one is there, whole and on disk."""
    temporary = file.with_name(f".{file.name}.new")
    write(temporary)
    _to_disk(temporary)
    os.replace(temporary, file)
    _to_disk(file.parent)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain(value: Any) -> Any:
    """NumPy numbers and arrays, and anything else, as JSON has them."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
