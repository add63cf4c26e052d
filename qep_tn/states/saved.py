"""Ground states as arrays: by name of their kind, and as a file gives them back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.sites import Sites
from qep_tn.states.ground_state import GroundState, State
from qep_tn.states.majorana import MajoranaState
from qep_tn.states.measured_state import MeasuredState
from qep_tn.states.mixture import Mixture
from qep_tn.states.mps import MPS
from qep_tn.states.state_vector import StateVector

_KINDS = {kind.__name__: kind for kind in (MPS, StateVector, MajoranaState, Mixture, MeasuredState)}


def kind_of(state: State) -> str:
    """The name of a state's kind."""
    return type(state).__name__


def state_from(kind: str, arrays: Mapping[str, NDArray], sites: Sites) -> State:
    """A state of this kind. Raises KeyError or ValueError if kind, arrays and sites do not fit together."""
    return _KINDS[kind].from_arrays(sites, arrays)


def as_saved(state: GroundState) -> GroundState:
    """The state as it would come back from a file: equal to the last bit, and laid out alike in memory.

    A run that goes on from it ends where one ends that was resumed.
    """
    ordered = {name: np.array(a, order="C") for name, a in state.state.arrays().items()}
    return replace(state, state=state_from(kind_of(state.state), ordered, state.sites))
