"""Correlations of all pairs of sites of an MPS."""

from collections.abc import Sequence

import numpy as np

from qep_tn.kernels.compilation import compiled
from qep_tn.kernels.expectations import evaluate
from qep_tn.kernels.packing import PackedMPS, apply_to_bra, largest_tensor, pack, site_matrix, site_tensor
from qep_tn.kernels.plans import compile_products

OneSite = np.ndarray | Sequence[np.ndarray]
"""A matrix (out, in) for every site, or one for all."""


def correlations(packed: PackedMPS, a: OneSite, b: OneSite) -> np.ndarray:
    """⟨A_i B_j⟩ for all pairs of sites in a normalized right-canonical MPS, centre on site 0.

    Returns (L, L): real if the MPS and all matrices are, else complex. The diagonal is ⟨A_i B_i⟩.
    Operators in the left half are carried to the middle of the chain, those in the right half likewise from
    the right, and all pairs across meet there in one matrix product: L²/4 times O(χ³ d), half as much as
    carrying each operator to the far end. It is done twice where B is not the adjoint of A. Releases the GIL.
    """
    a, b = _at_all_sites(a, packed), _at_all_sites(b, packed)
    dtype = np.result_type(packed.data, *a, *b)
    packed = packed._replace(data=packed.data.astype(dtype, copy=False))

    products = [((site, a_site @ b_site),) for site, (a_site, b_site) in enumerate(zip(a, b, strict=True))]
    same_site = evaluate(compile_products(packed.dims.tolist(), products), packed)
    ordered = _ordered_pairs(packed, a, b)
    if all(np.array_equal(a_site, b_site.conj().T) for a_site, b_site in zip(a, b, strict=True)):
        swapped = ordered.conj()  # ⟨A_j A_i†⟩ is the conjugate of ⟨A_i A_j†⟩
    else:
        swapped = _ordered_pairs(packed, b, a)
    return ordered + swapped.T + np.diag(same_site)


def _at_all_sites(matrices: OneSite, packed: PackedMPS) -> list[np.ndarray]:
    if isinstance(matrices, np.ndarray) and matrices.ndim == 2:
        return [matrices] * len(packed.dims)
    return list(matrices)


def _ordered_pairs(packed: PackedMPS, first: list[np.ndarray], last: list[np.ndarray]) -> np.ndarray:
    """⟨first_i last_j⟩ for i < j, zero elsewhere, (L, L)."""
    length = len(packed.dims)
    middle = length // 2
    mirrored = _mirrored(packed)
    left_of, right_of = _environments(packed), _environments(mirrored)

    def flat(matrices: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([matrix.ravel() for matrix in matrices]).astype(packed.data.dtype, copy=False)

    left_pairs, left = _carry(packed, flat(first), flat(last), left_of, right_of, middle)
    first, last = last[::-1], first[::-1]
    right_pairs, right = _carry(mirrored, flat(first), flat(last), right_of, left_of, length - middle)
    pairs = np.zeros((length, length), packed.data.dtype)
    pairs[:middle, :middle] = left_pairs
    pairs[middle:, middle:] = right_pairs[::-1, ::-1].T  # a mirrored pair starts with its right end
    pairs[:middle, middle:] = left @ right[::-1].T  # i [(m* m)], [(m* m)] j -> i j
    return pairs


def _mirrored(packed: PackedMPS) -> PackedMPS:
    """The same state on the chain read from right to left."""
    return pack([site_tensor.py_func(packed, site).T for site in reversed(range(len(packed.dims)))])


@compiled
def _starts(sides):
    """Where flattened square matrices begin when they lie one after another, and where the last ends."""
    starts = np.zeros(sides.size + 1, np.int64)
    for k in range(sides.size):
        starts[k + 1] = starts[k] + sides[k] ** 2
    return starts


@compiled
def _environments(mps):
    """Bra and ket left of each bond, contracted to (bond*, bond), flattened, one after another. O(L χ³ d)."""
    starts = _starts(mps.bonds)
    environments = np.ones(starts[-1], mps.data.dtype)  # left of site 0 it is [[1]]
    half = np.empty(largest_tensor(mps), mps.data.dtype)
    bra = np.empty_like(half)
    for site in range(mps.dims.size):
        ket = site_tensor(mps, site)
        left, dim, right = ket.shape
        environment = environments[starts[site] : starts[site + 1]].reshape(left, left)
        target = environments[starts[site + 1] : starts[site + 2]].reshape(right, right)
        contracted = half[: ket.size].reshape(left, dim * right)
        np.dot(environment, ket.reshape(left, dim * right), contracted)  # l* [l], [l] p r -> l* p r
        conjugate = bra[: ket.size].reshape(left, dim, right)
        np.conj(ket, conjugate)
        # r* [(l* p)], [(l* p)] r -> r* r
        np.dot(conjugate.reshape(left * dim, right).T, contracted.reshape(left * dim, right), target)
    return environments


@compiled
def _carry(mps, first, last, left_of, right_of, sites):
    """Pairs of operators on the leftmost `sites` sites, and operators there carried to the bond after them.

    first, last: flattened matrices (out, in) of all sites, the left and the right one of a pair.
    left_of, right_of: `_environments` of the MPS and of its mirror image.
    Returns ⟨first_i last_j⟩ for i < j < sites, (sites, sites), and for each first_i all that is left of the
    bond, contracted, (sites, bond* · bond).
    """
    matrix_starts = _starts(mps.dims)
    starts = _starts(mps.bonds)
    strings = np.empty(sites * mps.bonds.max() ** 2, mps.data.dtype)
    carried = np.empty_like(strings)
    halves = np.empty(sites * largest_tensor(mps), mps.data.dtype)
    scratch = np.empty(largest_tensor(mps), mps.data.dtype)
    closing = np.empty_like(scratch)
    pairs = np.zeros((sites, sites), mps.data.dtype)

    for site in range(sites):
        ket = site_tensor(mps, site)
        left, dim, right = ket.shape
        block = left * left
        strings[site * block : (site + 1) * block] = left_of[starts[site] : starts[site + 1]]
        half = halves[: (site + 1) * ket.size].reshape((site + 1) * left, dim * right)
        string = strings[: (site + 1) * block].reshape((site + 1) * left, left)
        np.dot(string, ket.reshape(left, dim * right), half)  # i l* [l], [l] p r -> i l* p r
        half_of = half.reshape(site + 1, left * dim, right)

        bra = apply_to_bra(site_matrix(last, matrix_starts, site, dim), ket, scratch)
        closed = closing[: ket.size].reshape(left * dim, right)
        end = starts[-1] - starts[site + 1]  # the mirror image has this bond's environment before here
        environment = right_of[end - right * right : end].reshape(right, right)
        np.dot(bra, environment, closed)  # l* p [r*], [r*] r -> l* p r
        # i [(l* p r)], [(l* p r)] -> i
        pairs[:site, site] = np.dot(half.reshape(site + 1, ket.size)[:site], closing[: ket.size])

        carried_to = carried[: (site + 1) * right * right].reshape(site + 1, right, right)
        bra = apply_to_bra(site_matrix(first, matrix_starts, site, dim), ket, scratch)
        np.dot(bra.T, half_of[site], carried_to[site])  # r* [(l* p)], [(l* p)] r -> r* r
        conjugate = scratch[: ket.size].reshape(left, dim, right)
        np.conj(ket, conjugate)
        for i in range(site):
            np.dot(conjugate.reshape(left * dim, right).T, half_of[i], carried_to[i])  # as above
        strings, carried = carried, strings
    bond = mps.bonds[sites]
    return pairs, strings[: sites * bond * bond].reshape(sites, bond * bond)
