"""A ground state as a file, state.h5: its arrays and figures, and what else a task needs to go on from it.

HDF5 with one dataset for each array, no pickled objects: reading a file never executes code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from qep_tn.mps import MPS
from qep_tn.sites import Sites
from qep_tn.solvers.exact import StateVector
from qep_tn.solvers.free_fermion import MajoranaState
from qep_tn.solvers.protocol import GroundState, State

_FORMAT = "qep_tn state, version 1"
_FIGURES = ("energy", "energy_variance", "truncation_error", "sweeps", "converged")


def write_state(file: Path, state: GroundState, extra: Mapping[str, ArrayLike | str]) -> None:
    """Write a ground state and named arrays or texts."""
    kind, arrays = _arrays(state.state)
    with h5py.File(file, "w") as h5:
        h5.attrs["format"], h5.attrs["kind"] = _FORMAT, kind
        h5.attrs["bond_dimensions"] = np.array(state.bond_dimensions, int)
        for name in (*_FIGURES, "message"):
            h5.attrs[name] = getattr(state, name)
        if state.gap is not None:
            h5.attrs["gap"] = state.gap
        for group, content in (("state", arrays), ("extra", extra)):
            h5.create_group(group)
            for name, value in content.items():
                h5[group][name] = value


def read_state(file: Path, sites: Sites) -> tuple[GroundState, dict[str, Any]]:
    """A state.h5 as (state, extra). Raises ValueError if it is damaged or does not fit the sites."""
    try:
        kind, arrays, figures, extra = _read(file)
    except Exception:  # h5py raises whatever the damaged bytes lead it to
        raise ValueError(
            f"{file} is damaged, cut short, or no state of qep_tn; delete it to start from the beginning, "
            f"or choose another folder with --out"
        ) from None
    shapes = {name: array.shape for name, array in arrays.items() if array.dtype.kind in "fc"}
    if shapes != _expected_shapes(kind, arrays, sites):
        raise ValueError(f"{file} does not hold a state of these {len(sites)} sites; choose another folder with --out")
    return GroundState(state=_state(kind, arrays, sites), sites=sites, **figures), extra


def as_saved(state: GroundState) -> GroundState:
    """The state as it would come back from state.h5: equal to the last bit, and laid out alike in memory.

    A run that goes on from it ends where one ends that was resumed.
    """
    kind, arrays = _arrays(state.state)
    return replace(state, state=_state(kind, {name: np.array(a, order="C") for name, a in arrays.items()}, state.sites))


def _read(file: Path) -> tuple[str, dict[str, NDArray], dict[str, Any], dict[str, Any]]:
    """The kind of a state, its arrays, its figures and `extra`."""
    with h5py.File(file, "r") as h5:
        if h5.attrs["format"] != _FORMAT:
            raise KeyError("format")
        figures: dict[str, Any] = {name: h5.attrs[name].item() for name in _FIGURES}
        figures["message"] = str(h5.attrs["message"])
        figures["bond_dimensions"] = tuple(h5.attrs["bond_dimensions"].tolist())
        figures["gap"] = float(h5.attrs["gap"]) if "gap" in h5.attrs else None
        arrays = {str(name): dataset[()] for name, dataset in h5["state"].items()}
        extra = {str(name): _from_hdf5(dataset) for name, dataset in h5["extra"].items()}
        return str(h5.attrs["kind"]), arrays, figures, extra


def _arrays(state: State) -> tuple[str, dict[str, NDArray]]:
    """A state as its kind and named arrays."""
    if isinstance(state, MPS):
        return "MPS", {f"tensor_{j:04d}": tensor for j, tensor in enumerate(state.tensors)}
    if isinstance(state, MajoranaState):
        return "MajoranaState", dict(zip(("u", "s", "vt"), state.pairs, strict=True))
    if isinstance(state, StateVector):
        return "StateVector", {"vector": state.vector}
    raise TypeError(f"no file format for a {type(state).__name__}")


def _state(kind: str, arrays: Mapping[str, NDArray], sites: Sites) -> State:
    if kind == "MPS":
        return MPS(sites, tuple(arrays[name] for name in sorted(arrays)))
    if kind == "MajoranaState":
        return MajoranaState((arrays["u"], arrays["s"], arrays["vt"]))
    return StateVector(sites, arrays["vector"])


def _expected_shapes(kind: str, arrays: Mapping[str, NDArray], sites: Sites) -> dict[str, tuple[int, ...]]:
    """The shapes that the arrays of a state on these sites have; a bond dimension is that of the tensor to its left."""
    length = len(sites)
    if kind == "MajoranaState":
        return {"u": (length, length), "s": (length,), "vt": (length, length)}
    if kind == "StateVector":
        return {"vector": (int(np.prod([site.dimension for site in sites])),)}
    if len(arrays) != length:
        return {}
    bonds = [1, *(array.shape[-1] for _, array in sorted(arrays.items())[:-1]), 1]
    return {f"tensor_{j:04d}": (bonds[j], site.dimension, bonds[j + 1]) for j, site in enumerate(sites)}


def _from_hdf5(dataset: h5py.Dataset) -> NDArray | str:
    value: NDArray | bytes = dataset[()]
    return value.decode() if isinstance(value, bytes) else value
