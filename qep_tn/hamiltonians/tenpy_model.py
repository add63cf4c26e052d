"""A Hamiltonian as a TeNPy model. Imported when first needed, for TeNPy takes a second to load."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import NDArray
from tenpy.models.lattice import TrivialLattice
from tenpy.models.model import MPOModel
from tenpy.networks.mpo import MPO as TenpyMPO  # noqa: N811
from tenpy.networks.site import Site as TenpySite


def tenpy_model(sites: list[TenpySite], tensors: Sequence[NDArray]) -> MPOModel:
    """An MPO as a TeNPy model with open boundaries, its local bases in our order.

    tensors: (left, right, out, in). sites: as `qep_tn.hamiltonians.tenpy_sites` makes them.
    """
    length = len(sites)
    turned = [w.transpose(2, 3, 0, 1) for w in tensors]  # -> p p* wL wR
    mpo = TenpyMPO.from_Wflat(
        sites, turned, IdL=[0] * length + [None], IdR=[None] + [1] * (length - 1) + [0], unit_cell_width=length
    )
    return MPOModel(TrivialLattice(sites, bc="open", bc_MPS="finite"), mpo)
