"""quimb at work: its DMRG. Imported when first needed, for quimb takes a second to load."""

from __future__ import annotations

import warnings

import numpy as np
import quimb.tensor as qtn
from quimb.tensor import DMRG1, DMRG2

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.quimb_mpo import quimb_mpo
from qep_tn.states.convert_quimb import quimb_mps
from qep_tn.states.mps import MPS

__all__ = ["DMRG1", "DMRG2", "QuimbSweeper"]


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
        transposed = quimb_mpo(H.mpo.fill(H.coefficients(theta)).tensors, shape="lrdu")
        self.dmrg = algorithm(transposed, bond_dims=max_bond, cutoffs=1e-9, p0=quimb_mps(start.tensors))
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
        return MPS.from_quimb(self.sites, self.dmrg.state)
