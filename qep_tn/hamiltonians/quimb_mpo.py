"""A Hamiltonian as a quimb operator. Imported when first needed, for quimb takes a second to load."""

from __future__ import annotations

from collections.abc import Sequence

import quimb.tensor as qtn
from numpy.typing import NDArray


def quimb_mpo(tensors: Sequence[NDArray], shape: str = "lrud") -> qtn.MatrixProductOperator:
    """An MPO of (left, right, out, in) tensors as quimb's, with open boundaries; with shape "lrdu" its transpose."""
    opened = list(tensors)
    if len(opened) > 1:
        opened[0], opened[-1] = opened[0][0], opened[-1][:, 0]
    return qtn.MatrixProductOperator(opened, shape=shape)
