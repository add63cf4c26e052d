"""Conserved charges for TeNPy, where the Hamiltonian and the state have them.

Blocks make large bond dimensions several times faster. Nothing needs to be known of the sector: the
state brings it along, found without charges while its bonds were small.
"""

from __future__ import annotations

import numpy as np
import tenpy
from numpy.typing import NDArray
from tenpy.linalg import np_conserved as npc
from tenpy.models.lattice import TrivialLattice
from tenpy.models.model import MPOModel
from tenpy.networks.mpo import MPOGraph
from tenpy.networks.site import Site as TenpySite
from tenpy.networks.terms import TermList

from qep_tn.hamiltonians.charges import charged_terms, conserved
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.sites import Site
from qep_tn.hamiltonians.words import PARITY
from qep_tn.states.charges import charged_form
from qep_tn.states.mps import MPS

_ROUNDING = 1e-14  # of the largest coefficient, in one that cancels


def charged_model(H: Hamiltonian, theta: Theta) -> MPOModel | None:
    """H(theta) as a TeNPy model that conserves its charges, all as one integer; None if it has none."""
    coefficients = H.coefficients(theta)
    names = conserved(H.sites, H.products, coefficients)
    if not names:
        return None
    terms = charged_terms(H.sites, H.products, names)
    strengths = terms.matrix @ coefficients
    kept = np.flatnonzero((terms.changes == 0) & (np.abs(strengths) > _ROUNDING * np.abs(strengths).max(initial=0.0)))
    chosen = strengths[kept].real if not strengths[kept].imag.any() else strengths[kept]
    listed = [[(part, site) for site, (part,) in terms.terms[n]] or [("Id", 0)] for n in kept]
    info = npc.ChargeInfo([1], ["charge"])
    sites = []
    for own, parts, levels in zip(H.sites, terms.sites, terms.charges.levels, strict=True):
        named = {name: matrix for name, matrix in parts.operators.items() if name != "Id"}
        leg = npc.LegCharge.from_qflat(info, levels[:, None])
        sites.append(TenpySite(leg, sort_charge=False, **named, **_telling(own)))
    graph = MPOGraph.from_term_list(TermList(listed, chosen), sites, "finite", unit_cell_width=len(sites))
    return MPOModel(TrivialLattice(sites, bc="open", bc_MPS="finite"), graph.build_MPO())


def charged_state(mps: MPS, sites: list[TenpySite]) -> tenpy.MPS | None:
    """An MPS with bonds of definite charge, for sites that have one; None if its own is not definite."""
    charged = charged_form(mps, [site.leg.to_qflat()[:, 0] for site in sites])
    if charged is None or charged.charges is None:
        return None
    info = sites[0].leg.chinfo
    bonds = [1, *charged.bond_dimensions, 1]
    labels = np.split(charged.charges.labels, np.cumsum(bonds)[:-1])
    legs = [npc.LegCharge.from_qflat(info, own[:, None]).bunch()[1] for own in labels]  # ascending: a block a charge
    tensors = [
        npc.Array.from_ndarray(b, [left, site.leg, right.conj()], labels=["vL", "p", "vR"])
        for b, site, left, right in zip(charged.tensors, sites, legs[:-1], legs[1:], strict=True)
    ]
    psi = tenpy.MPS(sites, tensors, [np.full(d, d**-0.5) for d in bonds], form="B", unit_cell_width=len(sites))
    psi.canonical_form()
    return psi


def _telling(site: Site) -> dict[str, NDArray]:
    """The charge, if it is diagonal; and of fermions the numbers of each spin, and the parity by TeNPy's name."""
    first = next((name for name in ("Sz", "Number") if name in site.operators), None)
    names = {name: name for name in (first, "NumberUp", "NumberDown") if name} | {PARITY: "JW"}
    found = {theirs: site.operators[ours] for ours, theirs in names.items() if ours in site.operators}
    return {
        name: matrix for name, matrix in found.items() if not np.count_nonzero(matrix - np.diag(np.diagonal(matrix)))
    }
