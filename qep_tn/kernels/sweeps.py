"""DMRG sweeps on a `Chain`: two-site, where bonds adapt, and one-site, at fixed bonds."""

import numpy as np

from qep_tn.kernels.chain import Chain, placed, room_of_two_sites, scratch_size, tensor_of
from qep_tn.kernels.charged_chain import ChargedChain, ChargedMPO, with_labels
from qep_tn.kernels.compilation import compiled
from qep_tn.kernels.effective import BlockMPO
from qep_tn.kernels.lanczos import lowest_eigenvector
from qep_tn.kernels.packing import PackedMPS
from qep_tn.kernels.steps import (
    keep_bond,
    move_centre_left,
    move_centre_right,
    one_site_problem,
    set_vector,
    split_left,
    split_right,
    two_site_problem,
    two_site_tensor,
    update_left,
    update_right,
    vector_of,
)


def load_chain(
    packed: PackedMPS,
    mpo: BlockMPO | ChargedMPO,
    limits: np.ndarray,
    charges: tuple[np.ndarray, np.ndarray] | None = None,
) -> Chain | ChargedChain:
    """A chain from a right-canonical MPS with its centre on site 0; builds all right environments.

    charges: of the indices of all its bonds, and of all basis states, if a charge is conserved.
    """
    chain = placed(packed, mpo.bonds, limits)
    if charges is not None:
        chain = with_labels(chain, *charges)
    build_right(chain, mpo)
    return chain


@compiled
def build_right(chain, mpo):
    """All right environments of a chain whose centre is on site 0."""
    scratch = np.empty(scratch_size(chain, mpo, 1), chain.tensors.dtype)
    for site in range(chain.dims.size - 1, 0, -1):
        update_right(chain, mpo, site, scratch)


@compiled
def two_site_sweep(chain, mpo, cutoff, max_bond, vectors, tolerance, reduction, noise, seed):
    """One sweep to the right and back; centre on site 0 before and after.

    cutoff: Schmidt values below it are discarded. max_bond: most that are kept, within the chain's limits.
    vectors, tolerance, reduction: of `lowest_eigenvector`. noise: norm of a random vector that is added to each
        two-site tensor before it is split; 0 for none. seed: of the random numbers.
    Returns the energy before and after, the largest discarded weight, and the largest residual of a two-site tensor
    before it was optimised.
    """
    length = chain.dims.size
    scratch, krylov = room_of_two_sites(chain, mpo, vectors)
    if noise > 0:
        np.random.seed(seed)
    initial, energy, discarded, residual = 0.0, 0.0, 0.0, 0.0
    for step in range(2 * length - 3):
        rightwards = step < length - 2
        site = step if rightwards else 2 * length - 4 - step
        theta = two_site_tensor(chain, site)
        problem = two_site_problem(chain, mpo, site)
        before, energy, first = lowest_eigenvector(
            problem, theta, krylov[:0], krylov, scratch, vectors, tolerance, reduction
        )
        residual = max(residual, first)
        if step == 0:
            initial = before
        if noise > 0:
            add_noise(problem, theta, noise)
        limit = min(max_bond, chain.limits[site + 1])
        kept = -1.0 if noise > 0 else keep_bond(chain, site, theta, cutoff, rightwards)
        none = theta.reshape(theta.shape[0], theta.size // theta.shape[0])  # a matrix, as the response's: compiled once
        if kept < 0 and rightwards:
            kept = split_right(chain, site, theta, none, 0.0, cutoff, limit)
        elif kept < 0:
            kept = split_left(chain, site, theta, none, 0.0, cutoff, limit)
        discarded = max(discarded, kept)
        if rightwards:
            update_left(chain, mpo, site, scratch)
        else:
            update_right(chain, mpo, site + 1, scratch)
    return initial, energy, discarded, residual


@compiled
def one_site_pass(chain, mpo, centre, end, vectors, tolerance, reduction):
    """Optimise every site from the centre to `end`, which becomes the centre.

    Returns the energy.
    """
    scratch = np.empty(scratch_size(chain, mpo, 1), chain.tensors.dtype)
    largest = 0
    for site in range(min(centre, end), max(centre, end) + 1):
        largest = max(largest, chain.bonds[site] * chain.dims[site] * chain.bonds[site + 1])
    krylov = np.empty((vectors + 1, largest), chain.tensors.dtype)
    direction = 1 if end >= centre else -1
    energy = 0.0
    for site in range(centre, end + direction, direction):
        problem = one_site_problem(chain, mpo, site)
        _, energy, _ = lowest_eigenvector(
            problem, tensor_of(chain, site), krylov[:0], krylov, scratch, vectors, tolerance, reduction
        )
        if site != end:
            shift_centre(chain, mpo, site, direction, scratch)
    return energy


@compiled
def shift_centre(chain, mpo, site, direction, scratch):
    """Move the centre from `site` to its neighbour, and update the environment between them."""
    if direction > 0:
        move_centre_right(chain, site)
        update_left(chain, mpo, site, scratch)
    else:
        move_centre_left(chain, site)
        update_right(chain, mpo, site, scratch)


@compiled
def move_centre(chain, mpo, centre, end):
    """Move the centre from `centre` to `end`, and update the environments between them."""
    scratch = np.empty(scratch_size(chain, mpo, 1), chain.tensors.dtype)
    direction = 1 if end >= centre else -1
    for site in range(centre, end, direction):
        shift_centre(chain, mpo, site, direction, scratch)


@compiled
def add_noise(problem, tensor, strength):
    """Add a real random vector whose norm is about `strength` to a problem's tensor; the sum is normalised."""
    vector = vector_of(problem, tensor)
    scale = strength / np.sqrt(vector.size)
    for k in range(vector.size):
        vector[k] += scale * np.random.standard_normal()
    vector /= np.sqrt(np.vdot(vector, vector).real)
    set_vector(problem, tensor, vector)
