"""What tensors of another library have to be to become a state of ours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qep_tn.mps import MPS
from qep_tn.sites import Sites


def normalized_state(sites: Sites, tensors: Sequence[NDArray]) -> MPS:
    """(left, physical, right) tensors of any gauge and norm as our MPS; ValueError if they are infinite or zero."""
    for j, tensor in enumerate(tensors):
        if not np.isfinite(tensor).all():
            raise ValueError(f"the tensor of site {j} has entries that are not finite; no state can be made of it")
    with np.errstate(invalid="ignore"):
        state = MPS.from_tensors(sites, tensors)
    if np.isnan(state.tensors[0]).any():  # 0/0
        raise ValueError("the state has norm 0; no state can be made of it")
    return state
