"""Ground states as a file, state.h5: their arrays and figures, and what else a task needs to go on from them.

HDF5 with one dataset for each array, no pickled objects: reading a file never executes code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

_FORMAT = "qep_tn state, version 2"
_FIGURES = ("energy", "energy_variance", "truncation_error", "sweeps", "converged")


def write_states(file: Path, states: Sequence[GroundState], extra: Mapping[str, ArrayLike | str]) -> None:
    """Write ground states, and named arrays or texts."""
    with h5py.File(file, "w") as h5:
        h5.attrs["format"] = _FORMAT
        for n, state in enumerate(states):
            group = h5.create_group(f"state_{n:04d}")
            kind, arrays = arrays_of(state.state)
            group.attrs["kind"] = kind
            group.attrs["bond_dimensions"] = np.array(state.bond_dimensions, int)
            for name in (*_FIGURES, "message"):
                group.attrs[name] = getattr(state, name)
            if state.gap is not None:
                group.attrs["gap"] = state.gap
            for name, array in arrays.items():
                group[name] = array
        h5.create_group("extra")
        for name, entry in extra.items():
            h5["extra"][name] = entry


def read_states(file: Path, sites: Sites) -> tuple[tuple[GroundState, ...], dict[str, Any]]:
    """A state.h5 as (states, extra). Raises ValueError if it is damaged or does not fit the sites."""
    try:
        read, extra = _read(file)
    except Exception:  # h5py raises whatever the damaged bytes lead it to
        raise ValueError(
            f"{file} is damaged, cut short, or no state of qep_tn; delete it to start from the beginning, "
            f"or choose another folder with --out"
        ) from None
    states = []
    for kind, arrays, figures in read:
        shapes = {
            name: array.shape for name, array in arrays.items() if (array.dtype.kind in "fc") != (name == "bonds")
        }
        if shapes != _expected_shapes(kind, arrays, sites):
            raise ValueError(
                f"{file} does not hold a state of these {len(sites)} sites; choose another folder with --out"
            )
        states.append(GroundState(state=_state(kind, arrays, sites), sites=sites, **figures))
    return tuple(states), extra


def as_saved(state: GroundState) -> GroundState:
    """The state as it would come back from state.h5: equal to the last bit, and laid out alike in memory.

    A run that goes on from it ends where one ends that was resumed.
    """
    return on_sites(state, state.sites)


def on_sites(state: GroundState, sites: Sites) -> GroundState:
    """The state on sites that equal its own, such as those of another process."""
    kind, arrays = arrays_of(state.state)
    ordered = {name: np.array(a, order="C") for name, a in arrays.items()}
    return replace(state, state=_state(kind, ordered, sites), sites=sites)


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
            figures["bond_dimensions"] = tuple(group.attrs["bond_dimensions"].tolist())
            figures["gap"] = float(group.attrs["gap"]) if "gap" in group.attrs else None
            arrays = {str(part): dataset[()] for part, dataset in group.items()}
            states.append((str(group.attrs["kind"]), arrays, figures))
        return states, {str(name): _from_hdf5(dataset) for name, dataset in h5["extra"].items()}


def arrays_of(state: State) -> tuple[str, dict[str, NDArray]]:
    """A state as its kind and named arrays."""
    if isinstance(state, MPS):
        return "MPS", {"data": state.packed.data, "bonds": state.packed.bonds}
    if isinstance(state, MajoranaState):
        return "MajoranaState", dict(zip(("u", "s", "vt"), state.pairs, strict=True))
    if isinstance(state, StateVector):
        return "StateVector", {"vector": state.vector}
    raise TypeError(f"no file format for a {type(state).__name__}")


def _state(kind: str, arrays: Mapping[str, NDArray], sites: Sites) -> State:
    if kind == "MPS":
        bonds, dims = arrays["bonds"], [site.dimension for site in sites]
        shapes = list(zip(bonds[:-1].tolist(), dims, bonds[1:].tolist(), strict=True))
        parts = np.split(arrays["data"], np.cumsum([np.prod(shape) for shape in shapes])[:-1])
        return MPS(sites, tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)))
    if kind == "MajoranaState":
        return MajoranaState((arrays["u"], arrays["s"], arrays["vt"]))
    return StateVector(sites, arrays["vector"])


def _expected_shapes(kind: str, arrays: Mapping[str, NDArray], sites: Sites) -> dict[str, tuple[int, ...]]:
    """The shapes that the arrays of a state on these sites have."""
    length = len(sites)
    if kind == "MajoranaState":
        return {"u": (length, length), "s": (length,), "vt": (length, length)}
    if kind == "StateVector":
        return {"vector": (int(np.prod([site.dimension for site in sites])),)}
    bonds = np.asarray(arrays.get("bonds", ()))
    if bonds.shape != (length + 1,) or bonds.min() < 1 or bonds[0] != 1 or bonds[-1] != 1:
        return {}
    products = zip(bonds[:-1].tolist(), [site.dimension for site in sites], bonds[1:].tolist(), strict=True)
    size = sum(left * dimension * right for left, dimension, right in products)
    return {"data": (size,), "bonds": (length + 1,)}


def _from_hdf5(dataset: h5py.Dataset) -> NDArray | str:
    value: NDArray | bytes = dataset[()]
    return value.decode() if isinstance(value, bytes) else value
