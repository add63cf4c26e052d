"""Two-site sweeps with a penalty on given states: excited states, from those below them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from qep_tn.kernels.chain import Chain, room_of_two_sites, tensor_of
from qep_tn.kernels.charged_chain import ChargedChain
from qep_tn.kernels.compilation import compiled
from qep_tn.kernels.lanczos import lowest_eigenvector
from qep_tn.kernels.packing import PackedMPS
from qep_tn.kernels.steps import (
    split_left,
    split_right,
    two_site_problem,
    two_site_tensor,
    update_left,
    update_right,
    vector_of,
)
from qep_tn.kernels.sweeps import add_noise


class LowerStates(NamedTuple):
    """Right-canonical MPS that a chain is kept away from, and what each of its bonds has in common with them.

    tensors: 1-D buffer; the tensor (left, physical, right) of site j of state n begins at tensor_starts[n, j].
    overlaps: 1-D buffer; that of the bond left of site j with state n begins at overlap_starts[n, j]: (chain's bond,
        state's bond), the chain conjugated, all to the left contracted where the chain's centre is to the right, and
        all to the right where it is to the left.
    bonds: (states, L + 1) dimensions of their bonds.
    """

    tensors: np.ndarray
    tensor_starts: np.ndarray
    overlaps: np.ndarray
    overlap_starts: np.ndarray
    bonds: np.ndarray


def load_lower(states: Sequence[PackedMPS], chain: Chain | ChargedChain) -> LowerStates:
    """Lower states, and their overlaps with a chain whose centre is on site 0."""
    dtype = chain.tensors.dtype
    firsts = np.cumsum([0, *(state.data.size for state in states[:-1])])
    bonds = np.array([state.bonds for state in states])
    ends = np.cumsum(bonds * chain.limits)
    lower = LowerStates(
        tensors=np.concatenate([state.data for state in states]).astype(dtype, copy=False),
        tensor_starts=np.array([first + state.offsets for first, state in zip(firsts, states, strict=True)]),
        overlaps=np.empty(ends[-1], dtype),
        overlap_starts=np.concatenate([[0], ends[:-1]]).reshape(bonds.shape),
        bonds=bonds,
    )
    load_overlaps(lower, chain)
    return lower


@compiled
def lower_tensor(lower, chain, state, site):
    """The tensor (left, physical, right) of a site of a lower state, a view."""
    left, dim, right = lower.bonds[state, site], chain.dims[site], lower.bonds[state, site + 1]
    start = lower.tensor_starts[state, site]
    return lower.tensors[start : start + left * dim * right].reshape(left, dim, right)


@compiled
def overlap_of(lower, chain, state, bond):
    """What a bond has in common with a lower state, (chain's bond, state's bond), a view."""
    rows, columns = chain.bonds[bond], lower.bonds[state, bond]
    start = lower.overlap_starts[state, bond]
    return lower.overlaps[start : start + rows * columns].reshape(rows, columns)


@compiled
def load_overlaps(lower, chain):
    """All overlaps of a chain whose centre is on site 0."""
    for state in range(lower.bonds.shape[0]):
        overlap_of(lower, chain, state, 0)[:] = 1
        overlap_of(lower, chain, state, chain.dims.size)[:] = 1
    for site in range(chain.dims.size - 1, 0, -1):
        update_right_overlaps(lower, chain, site)


@compiled
def update_left_overlaps(lower, chain, site):
    """The overlaps right of `site`, whose tensor is left-canonical."""
    bra = np.conj(tensor_of(chain, site))
    left, dim, right = bra.shape
    for state in range(lower.bonds.shape[0]):
        ket = lower_tensor(lower, chain, state, site)
        rows, columns = ket.shape[0], ket.shape[2]
        # l [m], [m] s n -> l s n; [l s] r, [l s] n -> r n
        half = np.dot(overlap_of(lower, chain, state, site), ket.reshape(rows, dim * columns))
        target = overlap_of(lower, chain, state, site + 1)
        np.dot(bra.reshape(left * dim, right).T, half.reshape(left * dim, columns), target)


@compiled
def update_right_overlaps(lower, chain, site):
    """The overlaps left of `site`, whose tensor is right-canonical."""
    bra = np.conj(tensor_of(chain, site))
    left, dim, right = bra.shape
    for state in range(lower.bonds.shape[0]):
        ket = lower_tensor(lower, chain, state, site)
        rows, columns = ket.shape[0], ket.shape[2]
        # m s [n], r [n] -> m s r; l [s r], m [s r] -> l m
        half = np.dot(ket.reshape(rows * dim, columns), overlap_of(lower, chain, state, site + 1).T)
        target = overlap_of(lower, chain, state, site)
        np.dot(bra.reshape(left, dim * right), half.reshape(rows, dim * right).T, target)


@compiled
def project_lower(lower, chain, site, projected):
    """The lower states in the space of the two-site tensor of the centre: (lower states, size of the tensor)."""
    for state in range(lower.bonds.shape[0]):
        first, second = lower_tensor(lower, chain, state, site), lower_tensor(lower, chain, state, site + 1)
        rows, middle, columns = first.shape[0], first.shape[2], second.shape[2]
        # l [m], [m] s k -> l s k; k t [n], r [n] -> k t r; l s [k], [k] t r -> l s t r
        a = np.dot(overlap_of(lower, chain, state, site), first.reshape(rows, first.size // rows))
        b = np.dot(second.reshape(second.size // columns, columns), overlap_of(lower, chain, state, site + 2).T)
        product = np.dot(a.reshape(a.size // middle, middle), b.reshape(middle, b.size // middle))
        projected[state] = product.reshape(product.size)


@compiled
def side_by_side(vectors, rows):
    """Flattened matrices of so many rows, as one matrix."""
    columns = vectors.shape[1] // rows
    matrix = np.empty((rows, vectors.shape[0] * columns), vectors.dtype)
    for k in range(vectors.shape[0]):
        matrix[:, k * columns : (k + 1) * columns] = vectors[k].reshape(rows, columns)
    return matrix


@compiled
def orthogonal_sweep(chain, mpo, lower, height, cutoff, max_bond, vectors, tolerance, reduction, noise, seed):
    """One two-site sweep to the right and back for H + height * (projectors on the lower states).

    Otherwise as `two_site_sweep`, but for the noise. It comes before a two-site problem is solved, and the lower
    states, with this weight, take part in the bonds' bases: so an excitation is found where another one is lower, far
    from it.
    Returns the energy and the largest discarded weight.
    """
    length, states = chain.dims.size, lower.bonds.shape[0]
    scratch, krylov = room_of_two_sites(chain, mpo, vectors)
    if noise > 0:
        np.random.seed(seed)
    energy, discarded = 0.0, 0.0
    for step in range(2 * length - 3):
        rightwards = step < length - 2
        site = step if rightwards else 2 * length - 4 - step
        theta = two_site_tensor(chain, site)
        flat = theta.reshape(theta.size)
        lifted = np.empty((states, theta.size), theta.dtype)
        project_lower(lower, chain, site, lifted)
        lifted *= np.sqrt(height)
        problem = two_site_problem(chain, mpo, site)
        if noise > 0:
            add_noise(problem, theta, noise)
        for n in range(states):  # what truncation left of them, or little of it where they are hardly there
            lift = np.vdot(lifted[n], lifted[n]).real + 0.5 * height / length
            flat -= np.vdot(lifted[n], flat) / lift * lifted[n]
        flat /= np.sqrt(np.vdot(flat, flat).real)
        lifts = np.empty((states, vector_of(problem, theta).size), theta.dtype)
        for n in range(states):
            lifts[n] = vector_of(problem, lifted[n].reshape(theta.shape))
        _, energy, _ = lowest_eigenvector(problem, theta, lifts, krylov, scratch, vectors, tolerance, reduction)
        limit = min(max_bond, chain.limits[site + 1])
        weight = noise / np.sqrt(height)
        if rightwards:
            other = side_by_side(lifted, theta.shape[0] * chain.dims[site])
            discarded = max(discarded, split_right(chain, site, theta, other, weight, cutoff, limit))
            update_left(chain, mpo, site, scratch)
            update_left_overlaps(lower, chain, site)
        else:
            discarded = max(discarded, split_left(chain, site, theta, lifted, weight, cutoff, limit))
            update_right(chain, mpo, site + 1, scratch)
            update_right_overlaps(lower, chain, site + 1)
    return energy, discarded
