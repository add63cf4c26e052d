"""quimb at work: its DMRG, operators and states. Imported when first needed, for quimb takes a second to load."""

from __future__ import annotations

import warnings

import numpy as np
import quimb.tensor as qtn
from quimb.tensor import DMRG1, DMRG2

from qep_tn.hamiltonian import Hamiltonian, Theta
from qep_tn.mps import MPS
from qep_tn.sites import Sites
from qep_tn.solvers.conversion import normalized_state

__all__ = ["DMRG1", "DMRG2", "QuimbSweeper", "from_quimb", "matrix_product_operator", "to_quimb"]


class _Largest(dict):
    """Receives the truncation error (root of the discarded weight) of each of quimb's splits, and keeps the largest."""

    error = 0.0

    def __setitem__(self, key: str, value: float | None) -> None:
        super().__setitem__(key, value)
        if value is not None:  # quimb announces the key with None
            self.error = max(self.error, float(value))


class QuimbSweeper:
    """A quimb DMRG object that sweeps when asked to."""

    def __init__(
        self,
        algorithm: type[qtn.DMRG],
        H: Hamiltonian,
        theta: Theta,
        start: MPS,
        max_bond: int,
        cutoff: float,
        tolerance: float,
    ) -> None:
        self.sites = H.sites
        self.discarded = _Largest()
        self.compression = {
            "max_bond": max_bond, "cutoff": cutoff, "cutoff_mode": "abs", "method": "svd", "info": self.discarded,
        }  # fmt: skip
        # quimb's DMRG joins the ket to the operator's upper, outgoing, indices: it minimizes <psi|H^T|psi>
        transposed = matrix_product_operator(H, theta, shape="lrdu")
        self.dmrg = algorithm(transposed, bond_dims=max_bond, cutoffs=1e-9, p0=to_quimb(start))
        # ARPACK's tolerance is relative to the energy, which is larger than the gap by the number of sites
        self.dmrg.opts.update(local_eig_tol=tolerance / len(H.sites), local_eig_ncv=10)

    def sweep(self) -> tuple[float, float]:
        """One sweep to the right and back."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.dmrg.sweep("R", canonize=True, **self.compression)
            self.discarded.error = 0.0
            energy = self.dmrg.sweep("L", canonize=False, **self.compression)
        return float(np.real(energy)), self.discarded.error**2

    def state(self) -> MPS:
        """The state as it stands."""
        return from_quimb(self.sites, self.dmrg.state)


def matrix_product_operator(H: Hamiltonian, theta: Theta, shape: str = "lrud") -> qtn.MatrixProductOperator:
    """H(theta) as a quimb matrix product operator with open boundaries; with shape "lrdu" its transpose."""
    tensors = list(H.mpo.fill(H.coefficients(theta)).tensors)  # left right out in
    if len(tensors) > 1:
        tensors[0], tensors[-1] = tensors[0][0], tensors[-1][:, 0]
    return qtn.MatrixProductOperator(tensors, shape=shape)


def to_quimb(mps: MPS) -> qtn.MatrixProductState:
    """An MPS as quimb's."""
    tensors = [a.transpose(0, 2, 1) for a in mps.tensors]  # left physical right -> left right physical
    tensors[0] = tensors[0][0]
    tensors[-1] = tensors[-1][..., 0, :]
    return qtn.MatrixProductState(tensors, shape="lrp")


def from_quimb(sites: Sites, psi: qtn.MatrixProductState) -> MPS:
    """A quimb matrix product state with open boundaries as ours, whatever the order of its indices.

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
    return normalized_state(sites, tensors)


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
