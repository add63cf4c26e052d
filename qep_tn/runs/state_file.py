"""Ground states as a file, state.h5: their arrays and figures, and what else a task needs to go on from them.

HDF5 with one dataset for each array, no pickled objects: reading a file never executes code. Before it stands a hash of
it, for HDF5 itself may crash on damaged bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from qep_tn.hamiltonians.sites import Sites
from qep_tn.states.ground_state import GroundState, SolveStatus
from qep_tn.states.saved import kind_of, state_from

_FORMAT = "qep_tn state, version 3"
_BLOCK = 512  # bytes before the HDF5 part, the least that it allows; they begin with the hash
_FIGURES = ("energy", "energy_variance", "truncation_error", "sweeps")


def write_states(file: Path, states: Sequence[GroundState], extra: Mapping[str, ArrayLike | str]) -> None:
    """Write ground states, and named arrays or texts."""
    with h5py.File(file, "w", userblock_size=_BLOCK) as h5:
        h5.attrs["format"] = _FORMAT
        for n, state in enumerate(states):
            group = h5.create_group(f"state_{n:04d}")
            group.attrs["kind"] = kind_of(state.state)
            group.attrs["status"] = state.status.name
            group.attrs["bond_dimensions"] = np.array(state.bond_dimensions, int)
            for name in (*_FIGURES, "message"):
                group.attrs[name] = getattr(state, name)
            if state.gap is not None:
                group.attrs["gap"] = state.gap
            if state.sector is not None:
                group.attrs["sector"] = json.dumps(dict(state.sector))
            for name, array in state.state.arrays().items():
                group[name] = array
        h5.create_group("extra")
        for name, entry in extra.items():
            h5["extra"][name] = entry
    with file.open("r+b") as raw:
        raw.write(_hash(file))


def read_states(file: Path, sites: Sites) -> tuple[tuple[GroundState, ...], dict[str, Any]]:
    """A state.h5 as (states, extra). Raises ValueError if it is damaged or does not fit the sites."""
    try:
        with file.open("rb") as raw:
            if raw.read(32) != _hash(file):
                raise ValueError
        read, extra = _read(file)
    except Exception:  # h5py raises whatever the damaged bytes lead it to
        raise ValueError(
            f"{file} is damaged, cut short, or no state of qep_tn; delete it to start from the beginning, "
            f"or choose another folder with --out"
        ) from None
    try:
        return tuple(
            GroundState(state=state_from(kind, arrays, sites), sites=sites, **figures) for kind, arrays, figures in read
        ), extra
    except (KeyError, ValueError):
        raise ValueError(
            f"{file} does not hold a state of these {len(sites)} sites; choose another folder with --out"
        ) from None


def _read(file: Path) -> tuple[list[tuple[str, dict[str, NDArray], dict[str, Any]]], dict[str, Any]]:
    """The kind of every state, its arrays and its figures; and `extra`."""
    states = []
    with h5py.File(file, "r") as h5:
        if h5.attrs["format"] != _FORMAT:
            raise KeyError("format")
        for name in sorted(h5.keys() - {"extra"}):
            group = h5[name]
            figures: dict[str, Any] = {figure: group.attrs[figure].item() for figure in _FIGURES}
            figures["message"] = str(group.attrs["message"])
            figures["status"] = SolveStatus[group.attrs["status"]]
            figures["bond_dimensions"] = tuple(group.attrs["bond_dimensions"].tolist())
            figures["gap"] = float(group.attrs["gap"]) if "gap" in group.attrs else None
            figures["sector"] = json.loads(group.attrs["sector"]) if "sector" in group.attrs else None
            arrays = {str(part): dataset[()] for part, dataset in group.items()}
            states.append((str(group.attrs["kind"]), arrays, figures))
        return states, {str(name): _from_hdf5(dataset) for name, dataset in h5["extra"].items()}


def _hash(file: Path) -> bytes:
    """Of what follows the block."""
    with file.open("rb") as raw:
        raw.seek(_BLOCK)
        return hashlib.file_digest(raw, "sha256").digest()


def _from_hdf5(dataset: h5py.Dataset) -> NDArray | str:
    value: NDArray | bytes = dataset[()]
    return value.decode() if isinstance(value, bytes) else value
