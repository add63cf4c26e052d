"""TeNPy at work: its engines, models and states. Imported when first needed, for TeNPy takes a second to load."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tenpy
from numpy.typing import NDArray
from tenpy.algorithms.dmrg import SingleSiteDMRGEngine, TwoSiteDMRGEngine
from tenpy.models.lattice import TrivialLattice
from tenpy.models.model import MPOModel
from tenpy.networks.mpo import MPO as TenpyMPO  # noqa: N811
from tenpy.networks.purification_mps import PurificationMPS
from tenpy.networks.site import Site as TenpySite

from qep_tn.hamiltonian import Hamiltonian, Theta
from qep_tn.mps import MPS
from qep_tn.sites import Sites
from qep_tn.solvers.conversion import normalized_state
from qep_tn.solvers.tenpy_charges import charged_model, charged_state
from qep_tn.solvers.tenpy_sites import basis_orders, tenpy_sites

__all__ = ["SingleSiteDMRGEngine", "TenpySweeper", "TwoSiteDMRGEngine", "from_tenpy", "model", "to_tenpy"]

CHARGES_HELP_FROM = 64  # measured on XXZ chains: 1.4 times as fast at this bond dimension, 3 times at twice as many

_SMALLEST_NORM = 1e-14  # TeNPy leaves a norm of rounding errors where two equal states are subtracted

# Options of every engine. Small local spaces are diagonalized in full, where Lanczos would run out of directions. Our
# chain is one unit cell to TeNPy, which would take it for a cylinder's ring.
_OPTIONS: dict[str, Any] = {"max_N_for_ED": 32, "max_N_sites_per_ring": None}


class TenpySweeper:
    """A TeNPy engine that sweeps when asked to; with a conserved charge as soon as the bonds are large enough for it to
    help, if all terms of H and the state have one.

    below: a state to stay orthogonal to, then without a charge. TeNPy gives it the energy zero, so that H has to be
    lowered by `shift` until the energy that is sought is negative.
    """

    def __init__(
        self, engine: type, H: Hamiltonian, theta: Theta, start: MPS, options: dict[str, Any], below: MPS | None = None,
        shift: float = 0.0,
    ) -> None:  # fmt: skip
        self.H, self.theta = H, theta
        self.engine_class, self.options = engine, {**_OPTIONS, **options}
        self.may_have_charge = below is None
        with _quiet():
            network = model(H, theta, shift=shift)
            sites = network.lat.mps_sites()
            self.orthogonal_to = None if below is None else [to_tenpy(below, sites)]
            self._set_up(network, to_tenpy(start, sites))

    def _set_up(self, network: MPOModel, psi: tenpy.MPS) -> None:
        self.psi = psi
        self.engine = self.engine_class(
            psi, network, copy.deepcopy(self.options), orthogonal_to=self.orthogonal_to
        )  # fmt: skip
        if "mixer" in self.options:
            self.engine.mixer_activate()

    def _conserve_charge(self) -> None:
        network = charged_model(self.H, self.theta)
        self.may_have_charge = network is not None
        if network is not None and (psi := charged_state(self.state(), network.lat.mps_sites())) is not None:
            self._set_up(network, psi)
            self.may_have_charge = False  # it has

    def sweep(self) -> tuple[float, float]:
        """One sweep to the right and back."""
        with _quiet():
            if self.may_have_charge and max(self.psi.chi) >= CHARGES_HELP_FROM:
                self._conserve_charge()
            self.engine.sweep()
        return float(self.engine.update_stats["E_total"][-1]), float(max(self.engine.trunc_err_list))

    def state(self) -> MPS:
        """The state as it stands."""
        return MPS.from_tensors(self.H.sites, _tensors(self.psi))


def model(H: Hamiltonian, theta: Theta, sites: list[TenpySite] | None = None, shift: float = 0.0) -> MPOModel:
    """H(theta) - shift as a TeNPy model with open boundaries, its local bases in our order."""
    sites = tenpy_sites(H.sites) if sites is None else sites
    length = len(sites)
    tensors = [w.transpose(2, 3, 0, 1) for w in H.mpo.fill(H.coefficients(theta)).tensors]  # -> p p* wL wR
    tensors[0][:, :, 0, 0 if length == 1 else 1] -= shift * np.eye(len(tensors[0]))
    mpo = TenpyMPO.from_Wflat(
        sites, tensors, IdL=[0] * length + [None], IdR=[None] + [1] * (length - 1) + [0], unit_cell_width=length
    )
    return MPOModel(TrivialLattice(sites, bc="open", bc_MPS="finite"), mpo)


def to_tenpy(mps: MPS, sites: list[TenpySite] | None = None) -> tenpy.MPS:
    """An MPS as TeNPy's, in its B form with Schmidt values."""
    tensors, values = mps.schmidt_form()
    return tenpy.MPS.from_Bflat(
        tenpy_sites(mps.sites) if sites is None else sites,
        [b.transpose(1, 0, 2) for b in tensors],  # left physical right -> p vL vR
        [np.ones(1), *values, np.ones(1)],
        form="B",
        unit_cell_width=len(mps.sites),
    )


def from_tenpy(sites: Sites, psi: tenpy.MPS) -> MPS:
    """A TeNPy MPS with open boundaries as ours, its local bases brought into our order.

    Raises ValueError, in one line, for what has no counterpart.
    """
    _refuse_other_states(sites, psi)
    orders = basis_orders(psi.sites, sites)
    return normalized_state(sites, [b[:, order] for b, order in zip(_tensors(psi), orders, strict=True)])


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


def _tensors(psi: tenpy.MPS) -> list[NDArray]:
    """The (left, physical, right) tensors whose product is the state, as TeNPy orders the local bases."""
    form = None if None in psi.form else "B"  # without a canonical form, TeNPy's Schmidt values mean nothing
    return [psi.get_B(j, form).transpose(["vL", "p", "vR"]).to_ndarray() for j in range(psi.L)]


@contextmanager
def _quiet() -> Iterator[None]:
    """TeNPy warns that our chain is one large unit cell, which is what we mean."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
