"""A conserved charge for TeNPy: magnetization 2 S^z or particle number, where the Hamiltonian and the state have one.

Blocks of one charge make large bond dimensions several times faster. Nothing needs to be known of the sector: the
state brings it along, found without charges while its bonds were small.
"""

from __future__ import annotations

import itertools

import numpy as np
import tenpy
from numpy.typing import NDArray
from tenpy.linalg import np_conserved as npc
from tenpy.models.lattice import TrivialLattice
from tenpy.models.model import MPOModel
from tenpy.networks.mpo import MPOGraph
from tenpy.networks.site import Site as TenpySite
from tenpy.networks.terms import TermList

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.sites import Site, Sites
from qep_tn.hamiltonians.words import PARITY
from qep_tn.states.mps import MPS

_LEAK = 1e-5  # amplitude outside the sector that counts as not converged, rather than as another sector


def charges_of(site: Site) -> NDArray | None:
    """The charge of each basis state of a site: particle number, or else 2 S^z. None if it has neither."""
    name = _charge_name(site)
    if name is None:
        return None
    return np.rint((2 if name == "Sz" else 1) * np.diagonal(site.operators[name])).astype(int)


def _charge_name(site: Site) -> str | None:
    return next((name for name in ("Sz", "Number") if name in site.operators), None)


def charged_model(H: Hamiltonian, theta: Theta) -> MPOModel | None:
    """H(theta) as a TeNPy model that conserves the charge; None if H(theta) does not.

    Every factor is split into parts that change the charge by a definite amount. What does not conserve it has to
    cancel between terms, as in XX + YY.
    """
    charges = [q for site in H.sites if (q := charges_of(site)) is not None]
    if len(charges) < len(H.sites):
        return None
    names: dict[tuple[int, bytes], str] = {}
    operators: list[dict[str, NDArray]] = [{} for _ in H.sites]
    changes: dict[tuple[int, str], int] = {}
    terms: dict[tuple[tuple[str, int], ...], complex] = {}
    for product, coefficient in zip(H.products, H.coefficients(theta), strict=True):
        parts = []
        for site, factors in product:
            split = _by_charge(H.sites[site].matrix(factors), charges[site])
            for change, (_, matrix) in split.items():
                name = names.setdefault((site, matrix.tobytes()), f"O{len(operators[site])}")
                operators[site][name] = matrix
                changes[site, name] = change
            parts.append([(scale, (names[site, matrix.tobytes()], site)) for scale, matrix in split.values()])
        for choice in itertools.product(*parts):
            term = tuple(label for _, label in choice) or (("Id", 0),)
            terms[term] = terms.get(term, 0) + coefficient * np.prod([scale for scale, _ in choice])
    scale = max(map(abs, terms.values()), default=0.0)
    terms = {term: c for term, c in terms.items() if abs(c) > 1e-14 * scale}
    if any(sum(changes.get((site, name), 0) for name, site in term) for term in terms):
        return None
    sites = _charged_sites(H.sites, charges, operators)
    coefficients = np.array(list(terms.values()))
    strengths = coefficients.real if not coefficients.imag.any() else coefficients
    listed = TermList([list(term) for term in terms], strengths)
    graph = MPOGraph.from_term_list(listed, sites, "finite", unit_cell_width=len(sites))
    return MPOModel(TrivialLattice(sites, bc="open", bc_MPS="finite"), graph.build_MPO())


def charged_state(mps: MPS, sites: list[TenpySite]) -> tenpy.MPS | None:
    """An MPS with its bonds in eigenstates of the charge on their right; None if its charge is not definite."""
    tensors, values = mps.schmidt_form()
    schmidt = [np.ones(1), *values, np.ones(1)]
    flat = [site.leg.to_qflat()[:, 0] for site in sites]
    right = np.zeros((1, 1))  # charge operator right of the bond, in the bond's basis
    rotation, labels = np.ones((1, 1)), np.zeros(1, int)
    info = sites[0].leg.chinfo
    leg_right = npc.LegCharge.from_qflat(info, -labels[:, None])  # what flows in from the left is minus what is right
    rotated = []
    for j in range(len(sites) - 1, -1, -1):
        b = tensors[j]
        carried = np.tensordot(b, right, 1) + b * flat[j][:, None]  # l s [r], [r] r' -> l s r'
        right = np.tensordot(carried, b.conj(), ((1, 2), (1, 2)))  # l [s r], l' [s r] -> l l'
        weights = (schmidt[j] / schmidt[j].max()) ** 2
        # commuting, and charges are integers: eigenvectors of the sum are those of both
        levels, basis = np.linalg.eigh(right + 0.4 * np.diag(weights))
        charge = np.floor(levels + 0.2).astype(int)
        b = np.tensordot(basis.conj().T, np.tensordot(b, rotation, 1), 1)
        schmidt[j] = np.sqrt(np.maximum(schmidt[j] ** 2 @ np.abs(basis) ** 2, 1e-30))
        forbidden = charge[:, None, None] != flat[j][:, None] + labels
        if np.linalg.norm(schmidt[j][:, None, None] * np.where(forbidden, b, 0)) > _LEAK:
            return None
        leg_left = npc.LegCharge.from_qflat(info, -charge[:, None]).bunch()[1]  # ascending, so one block a charge
        legs = [leg_left, sites[j].leg, leg_right.conj()]
        rotated.append(npc.Array.from_ndarray(np.where(forbidden, 0, b), legs, labels=["vL", "p", "vR"]))
        rotation, labels, leg_right = basis, charge, leg_left
    psi = tenpy.MPS(sites, rotated[::-1], schmidt, form="B", unit_cell_width=len(sites))
    psi.canonical_form()
    return psi


def _by_charge(matrix: NDArray, charges: NDArray) -> dict[int, tuple[complex, NDArray]]:
    """A matrix as change of charge -> (scale, part); parts that are multiples of each other come out equal."""
    change = charges[:, None] - charges[None, :]
    result = {}
    for q in np.unique(change[matrix != 0]):
        part = np.where(change == q, matrix, 0)
        scale = part.ravel()[np.flatnonzero(part)[0]]
        result[int(q)] = (complex(scale), np.ascontiguousarray((part / scale).round(14) + 0.0))
    return {
        q: (scale, part.real.copy() if np.iscomplexobj(part) and not part.imag.any() else part)
        for q, (scale, part) in result.items()
    }


def _charged_sites(sites: Sites, charges: list, operators: list[dict[str, NDArray]]) -> list[TenpySite]:
    """TeNPy sites in our order, with the operators of the model and those that tell the order."""
    info = npc.ChargeInfo([1], ["charge"])
    return [
        TenpySite(npc.LegCharge.from_qflat(info, q[:, None]), sort_charge=False, **named, **_telling(site))
        for site, q, named in zip(sites, charges, operators, strict=True)
    ]


def _telling(site: Site) -> dict[str, NDArray]:
    """The charge, if it is diagonal; and of fermions the numbers of each spin, and the parity by TeNPy's name."""
    names = {name: name for name in (_charge_name(site), "NumberUp", "NumberDown") if name} | {PARITY: "JW"}
    found = {theirs: site.operators[ours] for ours, theirs in names.items() if ours in site.operators}
    return {
        name: matrix for name, matrix in found.items() if not np.count_nonzero(matrix - np.diag(np.diagonal(matrix)))
    }
