"""quimb's matrix product states and ours. Imported when first needed, for quimb takes a second to load."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import quimb.tensor as qtn
from numpy.typing import NDArray

from qep_tn.hamiltonians.sites import Sites


def quimb_mps(tensors: Sequence[NDArray]) -> qtn.MatrixProductState:
    """An MPS of (left, physical, right) tensors as quimb's."""
    turned = [a.transpose(0, 2, 1) for a in tensors]  # left physical right -> left right physical
    turned[0] = turned[0][0]
    turned[-1] = turned[-1][..., 0, :]
    return qtn.MatrixProductState(turned, shape="lrp")


def tensors_of_quimb(sites: Sites, psi: qtn.MatrixProductState) -> list[NDArray]:
    """The (left, physical, right) tensors of a quimb matrix product state with open boundaries, in any index order.

    Raises ValueError, in one line, for what has no counterpart.
    """
    _refuse_other_networks(sites, psi)
    psi = psi.fuse_multibonds()
    psi.ensure_bonds_exist()
    if psi.num_indices != 2 * psi.L - 1:  # bonds and physical indices of a chain
        raise ValueError("the quimb state has bonds beyond neighbours; apply gates with contract='swap+split'")
    psi.permute_arrays("lpr")
    tensors = [np.asarray(psi[j].data) for j in range(psi.L)]
    tensors[0] = tensors[0][None]
    tensors[-1] = tensors[-1][..., None]
    return tensors


def _refuse_other_networks(sites: Sites, psi: qtn.MatrixProductState) -> None:
    if not isinstance(psi, qtn.MatrixProductState):
        raise ValueError(f"from_quimb takes a quimb.tensor.MatrixProductState, not a {type(psi).__name__}")
    if psi.cyclic:
        raise ValueError("the quimb state is cyclic; only open chains convert, those with cyclic=False")
    if len(sites) != psi.L:
        raise ValueError(f"the quimb state has {psi.L} sites, the chain given for it {len(sites)}; give as many")
    if psi.num_tensors != psi.L or set(psi.outer_inds()) != set(psi.site_inds):
        raise ValueError("the quimb state has not one tensor for each site; contract gates, and number sites from 0")
    for j, site in enumerate(sites):
        if (dimension := psi.phys_dim(j)) != site.dimension:
            raise ValueError(
                f"site {j} of the quimb state has dimension {dimension}, a {site.name} {site.dimension}; "
                "give sites to match"
            )
