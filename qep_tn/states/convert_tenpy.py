"""TeNPy's matrix product states and ours. Imported when first needed, for TeNPy takes a second to load."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tenpy
from numpy.typing import NDArray
from tenpy.networks.purification_mps import PurificationMPS
from tenpy.networks.site import Site as TenpySite

from qep_tn.hamiltonians.sites import Sites
from qep_tn.hamiltonians.tenpy_sites import basis_orders

_SMALLEST_NORM = 1e-14  # TeNPy leaves a norm of rounding errors where two equal states are subtracted


def tenpy_mps(tensors: Sequence[NDArray], schmidt: Sequence[NDArray], sites: list[TenpySite]) -> tenpy.MPS:
    """An MPS as TeNPy's, in its B form.

    tensors, schmidt: (left, physical, right) arrays and the Schmidt values between, as `MPS.schmidt_form` gives them.
    """
    return tenpy.MPS.from_Bflat(
        sites,
        [b.transpose(1, 0, 2) for b in tensors],  # left physical right -> p vL vR
        [np.ones(1), *schmidt, np.ones(1)],
        form="B",
        unit_cell_width=len(sites),
    )


def tensors_in_our_bases(sites: Sites, psi: tenpy.MPS) -> list[NDArray]:
    """The (left, physical, right) tensors of a finite TeNPy MPS, its local bases brought into our order.

    Raises ValueError, in one line, for what has no counterpart.
    """
    _refuse_other_states(sites, psi)
    orders = basis_orders(psi.sites, sites)
    return [b[:, order] for b, order in zip(tensors_of(psi), orders, strict=True)]


def tensors_of(psi: tenpy.MPS) -> list[NDArray]:
    """The (left, physical, right) tensors whose product is the state, as TeNPy orders the local bases."""
    form = None if None in psi.form else "B"  # without a canonical form, TeNPy's Schmidt values mean nothing
    return [psi.get_B(j, form).transpose(["vL", "p", "vR"]).to_ndarray() for j in range(psi.L)]


def _refuse_other_states(sites: Sites, psi: tenpy.MPS) -> None:
    if not isinstance(psi, tenpy.MPS):
        raise ValueError(f"from_tenpy takes a tenpy.MPS, not a {type(psi).__name__}")
    if isinstance(psi, PurificationMPS):
        raise ValueError("a PurificationMPS is a mixed state, with an ancilla on every site; only pure states convert")
    if psi.bc != "finite":
        raise ValueError(f"the TeNPy state is {psi.bc}; only finite chains convert, those with bc='finite'")
    if len(sites) != psi.L:
        raise ValueError(f"the TeNPy state has {psi.L} sites, the chain given for it {len(sites)}; give as many")
    if not _SMALLEST_NORM < psi.norm < np.inf:
        raise ValueError(
            f"the TeNPy state has norm {psi.norm:.2g}, so nothing is left of it; set psi.norm = 1 if there is"
        )
