"""TeNPy at work: its engines. Imported when first needed, for TeNPy takes a second to load."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tenpy
from tenpy.algorithms.dmrg import SingleSiteDMRGEngine, TwoSiteDMRGEngine
from tenpy.models.model import MPOModel
from tenpy.tools.optimization import temporary_level

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.tenpy_model import tenpy_model
from qep_tn.hamiltonians.tenpy_sites import tenpy_sites
from qep_tn.solvers.tenpy_charges import charged_model, charged_state
from qep_tn.states.convert_tenpy import tenpy_mps, tensors_of
from qep_tn.states.mps import MPS

__all__ = ["SingleSiteDMRGEngine", "TenpySweeper", "TwoSiteDMRGEngine"]

# Measured on Heisenberg chains: as fast at bond dimension 64, 1.7 times at 128; and a sweep may double what it begins
# with.
CHARGES_HELP_FROM = 56

# Options of every engine. Small local spaces are diagonalized in full, where Lanczos would run out of directions. Our
# chain is one unit cell to TeNPy, which would take it for a cylinder's ring.
_OPTIONS: dict[str, Any] = {"max_N_for_ED": 32, "max_N_sites_per_ring": None}


class TenpySweeper:
    """A TeNPy engine that sweeps when asked to; with a conserved charge as soon as the bonds are large enough for it to
    help, if all terms of H and the state have one.
    """

    def __init__(self, engine: type, H: Hamiltonian, theta: Theta, start: MPS, options: dict[str, Any]) -> None:
        self.H, self.theta = H, theta
        self.engine_class, self.options = engine, {**_OPTIONS, **options}
        self.may_have_charge = True
        with _quiet():
            sites = tenpy_sites(H.sites)
            if not self._conserve_charge(start):
                network = tenpy_model(sites, H.mpo.fill(H.coefficients(theta)).tensors)
                self._set_up(network, tenpy_mps(*start.schmidt_form(), sites))

    def _set_up(self, network: MPOModel, psi: tenpy.MPS) -> None:
        self.psi = psi
        self.engine = self.engine_class(psi, network, copy.deepcopy(self.options))
        if "mixer" in self.options:
            self.engine.mixer_activate()

    def _conserve_charge(self, state: MPS) -> bool:
        """Go on from a state with its charge conserved; whether that helps and is possible."""
        if not self.may_have_charge or max(state.bond_dimensions) < CHARGES_HELP_FROM:
            return False
        network = charged_model(self.H, self.theta)
        psi = None if network is None else charged_state(state, network.lat.mps_sites())
        self.may_have_charge = network is not None and psi is None  # else there is none, or it has
        if network is None or psi is None:
            return False
        self._set_up(network, psi)
        return True

    def sweep(self) -> tuple[float, float]:
        """One sweep to the right and back."""
        with _quiet(), temporary_level("skip_arg_checks"):
            if self.may_have_charge and max(self.psi.chi) >= CHARGES_HELP_FROM:
                self._conserve_charge(self.state())
            self.engine.sweep()
        return float(self.engine.update_stats["E_total"][-1]), float(max(self.engine.trunc_err_list))

    def state(self) -> MPS:
        """The state as it stands."""
        return MPS.from_tensors(self.H.sites, tensors_of(self.psi))


@contextmanager
def _quiet() -> Iterator[None]:
    """TeNPy warns that our chain is one large unit cell, which is what we mean."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
