"""Bonds that hold O|psi> beside |psi>: where the response to a nudge by O begins, however far its sites are apart.

A two-site problem sees a product of distant operators through their expectation values alone, and where these vanish,
as on product states and singlets, not at all. O|psi> is a matrix product state at hand; in bases that hold it, every
two-site problem on the way between the sites has matrix elements of the whole product.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.mpo import ParametricMPO
from qep_tn.hamiltonians.operators import Operator, Product
from qep_tn.hamiltonians.sites import Sites
from qep_tn.states.mps import MPS

_TOLD = 1e-7  # amplitudes above it are told from rounding, which leaves 1e-16 in a density matrix's eigenvalues


def with_operator(state: MPS, operator: Operator, weight: float, max_bond: int) -> MPS:
    """|psi> + weight O|psi>, normalised, on bonds whose right bases hold both.

    Between O's first and last site, each bond's right basis is that of psi and, orthogonal to it, the dominant part of
    O|psi>, up to `max_bond` in all: whatever double precision tells from psi, for a faint part of O may meet a small
    gap and dominate the response. With weight 0 the state stays psi, right-canonical.
    """
    terms = {product: c for product, c in operator.terms.items() if product}
    if not terms:
        return state
    first, last = min(p[0][0] for p in terms), max(p[-1][0] for p in terms)
    mpo = operator_structure(state.sites, tuple(terms)).fill(np.array(list(terms.values()))).tensors[first : last + 1]
    done = 0 if last == len(state.sites) - 1 else 1
    mpo[0] = mpo[0][:1]  # a machine in the state "todo" on the left,
    mpo[-1] = mpo[-1][:, done : done + 1]  # and "done" on the right
    # a b s [p], l [p] r -> a l s b r: the tensors of O|psi>
    applied = [np.einsum("absp,lpr->alsbr", w, b) for w, b in zip(mpo, state.tensors[first : last + 1], strict=True)]
    grams = _left_grams(state.tensors[:first], applied)
    tensors = list(state.tensors)
    side = state.tensors[last].shape[2]
    inside = np.eye(side)  # the vectors of O|psi> right of the bond, in the bond's new basis
    known = side  # how many vectors of that basis are psi's own
    for site in range(last, first - 1, -1):
        own = tensors[site]
        width = inside.shape[1]
        padded = np.zeros((*own.shape[:2], width), np.result_type(own, inside))
        padded[:, :, :known] = own
        a, left, dim, b, right = applied[site - first].shape
        # (a l) s [b r], [b r] r' -> (a l) s r'
        vectors = (applied[site - first].reshape(a * left * dim, b * right) @ inside).reshape(a * left, dim * width)
        if site == first:
            tensors[site] = padded + weight * vectors.reshape(padded.shape)
            break
        rows = padded.reshape(left, dim * width)
        beyond = vectors - (vectors @ rows.conj().T) @ rows
        beyond -= (beyond @ rows.conj().T) @ rows
        weights, basis = np.linalg.eigh(beyond.T @ grams[site - first] @ beyond.conj())
        total = float(np.trace(grams[-1]).real)
        count = min(int((weights > _TOLD**2 * total).sum()), max(max_bond - left, 0))
        faint = basis[:, ::-1][:, :count].T  # orthogonal to psi's rows but for rounding, which counts in faint ones
        faint = np.linalg.qr((faint - (faint @ rows.conj().T) @ rows).T)[0].T
        rows = np.concatenate([rows, faint])
        tensors[site], inside, known = rows.reshape(-1, dim, width), vectors @ rows.conj().T, left
    return MPS.from_tensors(state.sites, tensors) if weight else MPS(state.sites, tuple(tensors))


def _left_grams(before: Sequence[NDArray], applied: Sequence[NDArray]) -> list[NDArray]:
    """Overlaps of what lies left of each bond in O|psi>, from the bond left of its first site on.

    before: the tensors of psi left of O, (left, physical, right). applied: (a, left, physical, b, right).
    Returns matrices [(a l), (a' l')] = <left part a' l'|left part a l>.
    """
    gram = np.ones((1, 1))
    for b in before:
        gram = np.tensordot(
            np.tensordot(gram, b.conj(), (1, 0)), b, ((0, 1), (0, 1))
        ).T  # [l] [l' s] r', [l s] r -> r r'
    grams = [gram]
    for tensor in applied:
        flat = tensor.reshape(-1, tensor.shape[2], tensor.shape[3] * tensor.shape[4])
        gram = np.tensordot(np.tensordot(gram, flat.conj(), (1, 0)), flat, ((0, 1), (0, 1))).T
        grams.append(gram)
    return grams


@lru_cache(maxsize=8)
def operator_structure(sites: Sites, products: tuple[Product, ...]) -> ParametricMPO:
    """The MPO of some products, built once."""
    return ParametricMPO(sites, products)
