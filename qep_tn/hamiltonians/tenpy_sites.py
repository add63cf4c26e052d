"""The local bases of TeNPy's sites beside ours.

TeNPy sorts the states of a site by their charges, and its spins go up from m = -S where ours go down from S. The site's
own operators tell what its basis is.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray
from tenpy.linalg import np_conserved as npc
from tenpy.networks.site import GroupedSite
from tenpy.networks.site import Site as TenpySite

from qep_tn.hamiltonians.sites import Site, Sites
from qep_tn.hamiltonians.words import FERMIONIC, PARITY

_OUR_NAMES = {
    "Sigmax": "X", "Sigmay": "Y", "Sigmaz": "Z", "B": "Destroy", "Bd": "Create", "N": "Number", "JW": "F",
    "Ntot": "Number", "Nu": "NumberUp", "Nd": "NumberDown", "Cu": "CUp", "Cdu": "CdagUp", "Cdd": "CdagDown",
}  # fmt: skip
_ROUNDING = 1e-12  # the square roots in two libraries' raising operators differ by less


def tenpy_sites(sites: Sites) -> list[TenpySite]:
    """TeNPy sites without charges, their bases in our order, with our named operators; one object for equal sites."""
    made = {site: _own_copy(_tenpy_site(site)) for site in set(sites)}
    return [made[site] for site in sites]


@cache
def _tenpy_site(site: Site) -> TenpySite:
    strings = {"JW": site.matrix((PARITY,))} if PARITY in site.operators else {}
    made = TenpySite(npc.LegCharge.from_trivial(site.dimension), **strings)
    for name, matrix in site.operators.items():
        if name.isidentifier() and not hasattr(made, name):  # operators are attributes there: Id, JW, dim are taken
            made.add_op(name, matrix, need_JW=name in FERMIONIC)
    return made


def _own_copy(site: TenpySite) -> TenpySite:
    """A site that its owner may change. Making it anew, for every model, would take milliseconds."""
    copied = copy.copy(site)
    copied.opnames, copied.need_JW_string = set(site.opnames), set(site.need_JW_string)
    copied.hc_ops, copied.state_labels = dict(site.hc_ops), dict(site.state_labels)
    return copied


def basis_orders(theirs: list[TenpySite], ours: Sites) -> list[NDArray]:
    """For each site, which of TeNPy's basis states is our first, second, ...; ValueError if a site is another kind."""
    known: dict[tuple[int, Site], NDArray] = {}
    for j, pair in enumerate(zip(theirs, ours, strict=True)):
        if (id(pair[0]), pair[1]) not in known:
            try:
                known[id(pair[0]), pair[1]] = _basis_order(*pair)
            except ValueError as reason:
                raise ValueError(f"site {j} of the TeNPy state, {_kind(pair[0])}: {reason}") from None
    return [known[id(site), our] for site, our in zip(theirs, ours, strict=True)]


def _basis_order(theirs: TenpySite, ours: Site) -> NDArray:
    _refuse_other_kinds(theirs, ours)
    if theirs.opnames <= {"Id", "JW"}:
        return np.argsort(theirs.perm)  # in our order, but for what sorting its charges did
    shared = _shared_operators(theirs, ours)
    if len(shared) == len(ours.operators) and not _differing(shared, ours, slice(None)):
        return np.arange(ours.dimension)  # any other order that agrees too leaves every named operator as it is
    order = _order_of_diagonals(shared, ours)
    if name := _differing(shared, ours, order):
        raise ValueError(f"its {name} is not that of a {ours.name}; rename it, or give the site with this operator")
    return order


def _refuse_other_kinds(theirs: TenpySite, ours: Site) -> None:
    if isinstance(theirs, GroupedSite):
        raise ValueError("grouped sites have no counterpart; split them first, by psi.group_split()")
    if not np.allclose(theirs.JW.to_ndarray(), np.eye(theirs.dim)) and PARITY not in ours.operators:
        raise ValueError(
            "fermions are not qubits, their operators carry strings; give qep_tn.fermion() for a FermionSite, "
            "qep_tn.electron() for a SpinHalfFermionSite"
        )
    if theirs.dim != ours.dimension:
        raise ValueError(f"its dimension is {theirs.dim}, that of a {ours.name} {ours.dimension}; give sites to match")
    if "B" in theirs.opnames and "Destroy" not in ours.operators:
        raise ValueError(f"a boson is not a {ours.name}; give qep_tn.boson({theirs.dim - 1}) for it")


def _shared_operators(theirs: TenpySite, ours: Site) -> dict[str, NDArray]:
    """TeNPy's matrices of the operators that both have, by our names."""
    names = {our: name for name, our in _OUR_NAMES.items() if name in theirs.opnames}
    names |= {name: name for name in theirs.opnames}  # our own names first
    return {name: theirs.get_op(names[name]).to_ndarray() for name in ours.operators if name in names}


def _order_of_diagonals(shared: Mapping[str, NDArray], ours: Site) -> NDArray:
    """The order in which diagonal elements are ours, where these tell all basis states from each other."""
    diagonals = [(np.diagonal(matrix), np.diagonal(ours.operators[name])) for name, matrix in shared.items()]
    same = np.ones((ours.dimension, ours.dimension), bool)  # [our state, their state]
    for their, our in diagonals:
        same &= abs(our[:, None] - their[None, :]) < _ROUNDING
    if not (same.any(0).all() and same.any(1).all()):
        raise ValueError(
            f"the values of its {' and '.join(shared)} are not those of a {ours.name}; give a site with them"
        )
    if (same.sum(1) > 1).any():
        raise ValueError(
            f"no operator that it shares with a {ours.name} tells the order of its basis; add one, {_telling(ours)}"
        )
    return same.argmax(1)


def _differing(shared: Mapping[str, NDArray], ours: Site, order: NDArray | slice) -> str | None:
    """Name of an operator that in this order of TeNPy's basis is not ours; None if all are."""
    for name, matrix in shared.items():
        if not np.allclose(matrix[order][:, order], ours.operators[name], rtol=0, atol=_ROUNDING):
            return name
    return None


def _telling(ours: Site) -> str:
    diagonal = {name: np.diagonal(m) for name, m in ours.operators.items() if not (m - np.diag(np.diagonal(m))).any()}
    telling = [name for name, values in diagonal.items() if len(np.unique(values)) == ours.dimension]
    return "as site.add_op(" + " or ".join(map(repr, telling or ours.operators)) + ", ...)"


def _kind(site: TenpySite) -> str:
    return "a Site" if type(site) is TenpySite else " ".join(repr(site).split())
