"""Ground states by DMRG from TeNPy (Hauschild et al., SciPost Phys. Codebases 41 (2024))."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tenpy
from tenpy.algorithms.dmrg import SingleSiteDMRGEngine, TwoSiteDMRGEngine
from tenpy.linalg import np_conserved as npc
from tenpy.models.lattice import TrivialLattice
from tenpy.models.model import MPOModel
from tenpy.networks.mpo import MPO as TenpyMPO  # noqa: N811
from tenpy.networks.site import Site as TenpySite

from qep_tn.hamiltonian import Hamiltonian, Theta
from qep_tn.mps import MPS
from qep_tn.sites import Sites
from qep_tn.solvers.dmrg import DMRGSettings, Sweeper

# Options of every engine. Small local spaces are diagonalized in full, where Lanczos would run out of directions. Our
# chain is one unit cell to TeNPy, which would take it for a cylinder's ring.
_OPTIONS: dict[str, Any] = {"max_N_for_ED": 32, "max_N_sites_per_ring": None}
# The environment changes with every two-site update, so few Lanczos steps are enough.
_TWO_SITE: dict[str, Any] = {"lanczos_params": {"N_max": 5, "P_tol": 1e-16, "reortho": True}}
# Without a mixer, two-site updates can stay in a product state for ever.
_COLD: dict[str, Any] = {"mixer": True, "mixer_params": {"amplitude": 1e-4, "decay": 10.0, "disable_after": 2}}


@dataclass(frozen=True)
class TenpyDMRG(DMRGSettings):
    """DMRG by TeNPy: two-site with a mixer from a cold start, one-site at fixed bond dimensions.

    Fields as in `DMRGSettings`.
    """

    def _two_site(self, H: Hamiltonian, theta: Theta, start: MPS, cutoff: float, cold: bool) -> Sweeper:
        truncation = {"trunc_params": {"chi_max": self.max_bond, "svd_min": cutoff, "trunc_cut": None}}
        return _TenpySweeper(TwoSiteDMRGEngine, H, theta, start, _TWO_SITE | truncation | (_COLD if cold else {}))

    def _one_site(self, H: Hamiltonian, theta: Theta, start: MPS) -> Sweeper:
        options = {
            "trunc_params": {"chi_max": max(start.bond_dimensions), "svd_min": None, "trunc_cut": None},
            # P_tol bounds the squared amplitude
            "lanczos_params": {"N_max": 14, "P_tol": self.local_tolerance**2, "reortho": True},
        }
        return _TenpySweeper(SingleSiteDMRGEngine, H, theta, start, options)


class _TenpySweeper:
    """A TeNPy engine that sweeps when asked to."""

    def __init__(self, engine: type, H: Hamiltonian, theta: Theta, start: MPS, options: dict[str, Any]) -> None:
        self.sites = H.sites
        with _quiet():
            network = model(H, theta)
            self.psi = to_tenpy(start, network.lat.mps_sites())
            self.engine = engine(self.psi, network, copy.deepcopy({**_OPTIONS, **options}))
            if "mixer" in options:
                self.engine.mixer_activate()

    def sweep(self) -> tuple[float, float]:
        with _quiet():
            self.engine.sweep()
        return float(self.engine.update_stats["E_total"][-1]), float(max(self.engine.trunc_err_list))

    def state(self) -> MPS:
        return from_tenpy(self.sites, self.psi)


def model(H: Hamiltonian, theta: Theta, sites: list[TenpySite] | None = None) -> MPOModel:
    """H(theta) as a TeNPy model with open boundaries, its local bases in our order."""
    sites = _tenpy_sites(H.sites) if sites is None else sites
    length = len(sites)
    tensors = [w.transpose(2, 3, 0, 1) for w in H.mpo.fill(H.coefficients(theta)).tensors]  # -> p p* wL wR
    mpo = TenpyMPO.from_Wflat(
        sites, tensors, IdL=[0] * length + [None], IdR=[None] + [1] * (length - 1) + [0], unit_cell_width=length
    )
    return MPOModel(TrivialLattice(sites, bc="open", bc_MPS="finite"), mpo)


def to_tenpy(mps: MPS, sites: list[TenpySite] | None = None) -> tenpy.MPS:
    """An MPS as TeNPy's, in its B form with Schmidt values."""
    tensors, values = mps.schmidt_form()
    return tenpy.MPS.from_Bflat(
        _tenpy_sites(mps.sites) if sites is None else sites,
        [b.transpose(1, 0, 2) for b in tensors],  # left physical right -> p vL vR
        [np.ones(1), *values, np.ones(1)],
        form="B",
        unit_cell_width=len(mps.sites),
    )


def from_tenpy(sites: Sites, psi: tenpy.MPS) -> MPS:
    """A TeNPy MPS with open boundaries as ours."""
    tensors = [psi.get_B(j, form="B").transpose(["vL", "p", "vR"]).to_ndarray() for j in range(psi.L)]
    return MPS.from_tensors(sites, tensors)


def _tenpy_sites(sites: Sites) -> list[TenpySite]:
    made = {site: TenpySite(npc.LegCharge.from_trivial(site.dimension)) for site in set(sites)}
    return [made[site] for site in sites]


@contextmanager
def _quiet() -> Iterator[None]:
    """TeNPy warns that our chain is one large unit cell, which is what we mean."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
