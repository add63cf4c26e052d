"""DMRG sweeps on a `Chain`: two-site, where bonds adapt, and one-site, at fixed bonds."""

import numpy as np

from qep_tn.kernels.chain import (
    environment_of,
    move_centre_left,
    move_centre_right,
    room_of_two_sites,
    scratch_size,
    tensor_of,
    update_left,
    update_right,
)
from qep_tn.kernels.compilation import compiled
from qep_tn.kernels.effective import merged_blocks
from qep_tn.kernels.lanczos import lowest_eigenvector

_SQUARES_RESOLVE = 3e-8  # Schmidt values above it are the roots of a density matrix's eigenvalues, in double precision


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
        blocks, values = merged_blocks(mpo, site, chain.dims[site + 1])
        left, right = environment_of(chain, mpo, site), environment_of(chain, mpo, site + 2)
        before, energy, first = lowest_eigenvector(
            blocks, values, left, right, theta, krylov[:0], krylov, scratch, vectors, tolerance, reduction
        )  # fmt: skip
        residual = max(residual, first)
        if step == 0:
            initial = before
        if noise > 0:
            add_noise(theta.reshape(theta.size), noise)
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
        blocks = mpo.blocks[mpo.starts[site] : mpo.starts[site + 1]]
        values = mpo.values[mpo.starts[site] : mpo.starts[site + 1]]
        left, right = environment_of(chain, mpo, site), environment_of(chain, mpo, site + 1)
        _, energy, _ = lowest_eigenvector(
            blocks, values, left, right, tensor_of(chain, site), krylov[:0], krylov, scratch, vectors, tolerance,
            reduction,
        )  # fmt: skip
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
def two_site_tensor(chain, site):
    """The tensors of `site` and its right neighbour contracted: (left, physical * physical, right), a copy."""
    first, second = tensor_of(chain, site), tensor_of(chain, site + 1)
    left, dim, middle = first.shape
    _, dim_right, right = second.shape
    # l s [m], [m] t r -> l s t r
    theta = np.dot(first.reshape(left * dim, middle), second.reshape(middle, dim_right * right))
    return theta.reshape(left, dim * dim_right, right)


@compiled
def add_noise(vector, strength):
    """Add a real random vector whose norm is about `strength`; the sum is normalised."""
    scale = strength / np.sqrt(vector.size)
    for k in range(vector.size):
        vector[k] += scale * np.random.standard_normal()
    vector /= np.sqrt(np.vdot(vector, vector).real)


@compiled
def keep_bond(chain, site, theta, cutoff, rightwards):
    """Split the two-site tensor of the centre in a basis as large as before, if no vector beyond it would be kept.

    The bond's basis on the side that the centre goes to is orthonormal; what theta has beyond it is tested by its
    largest singular value. Where that is below the cutoff, a QR decomposition does what a singular value decomposition
    would, many times faster. Returns the discarded weight, or -1 where the basis must grow and nothing was changed.
    """
    left, _, right = theta.shape
    dim, dim_right = chain.dims[site], chain.dims[site + 1]
    bond = chain.bonds[site + 1]
    matrix = theta.reshape(left * dim, dim_right * right)
    if bond > min(left * dim, dim_right * right):
        return -1.0
    if rightwards:
        known = tensor_of(chain, site + 1).reshape(bond, dim_right * right)
        within = np.dot(matrix, np.conj(known).T)  # l s [t r], m [t r] -> l s m
        beyond = matrix - np.dot(within, known)
    else:
        known = tensor_of(chain, site).reshape(left * dim, bond)
        within = np.dot(np.conj(known).T, matrix)  # [l s] m, [l s] t r -> m t r
        beyond = matrix - np.dot(known, within)
    if largest_singular_value(beyond) > cutoff:
        return -1.0
    tall = within if rightwards else np.conj(within).T.copy()
    basis = np.ascontiguousarray(np.linalg.qr(tall)[0])
    adjoint = np.conj(basis).T.copy()
    centre = np.dot(adjoint, matrix) if rightwards else np.dot(matrix, basis)
    flat = centre.reshape(centre.size)
    squared = np.vdot(flat, flat).real
    centre /= np.sqrt(squared)
    first, second = (basis, centre) if rightwards else (centre, adjoint)
    tensor_of(chain, site)[:] = first.reshape(left, dim, bond)
    tensor_of(chain, site + 1)[:] = second.reshape(bond, dim_right, right)
    return max(0.0, 1 - squared)


@compiled
def largest_singular_value(matrix):
    """By a few power iterations from the longest row: not more than it is, and hardly less."""
    longest, largest = 0, -1.0
    for k in range(matrix.shape[0]):
        norm = np.vdot(matrix[k], matrix[k]).real
        if norm > largest:
            longest, largest = k, norm
    adjoint = np.conj(matrix).T
    vector = adjoint[:, longest].copy()
    value = 0.0
    for _ in range(4):
        norm = np.sqrt(np.vdot(vector, vector).real)
        if norm == 0:
            return 0.0
        vector /= norm
        image = np.dot(matrix, vector)
        value = np.sqrt(np.vdot(image, image).real)
        vector = np.dot(adjoint, image)
    return value


@compiled
def kept_basis(gram, cutoff, max_bond):
    """The dominant eigenvectors of a density matrix, as rows (kept, dimension).

    cutoff: roots of eigenvalues, relative to the trace's, below it are discarded.
    """
    weights, vectors = np.linalg.eigh(gram)
    dimension = weights.size
    total = 0.0
    for k in range(dimension):
        total += max(weights[k], 0.0)
    kept = 0
    while kept < min(max_bond, dimension) and weights[dimension - 1 - kept] > cutoff**2 * total:
        kept += 1
    kept = max(kept, 1)
    rows = np.empty((kept, dimension), gram.dtype)
    for k in range(kept):
        rows[k] = vectors[:, dimension - 1 - k]
    return rows


@compiled
def singular_basis(matrix, cutoff, max_bond):
    """The dominant left singular vectors of a matrix, as rows (kept, dimension)."""
    u, s, _ = np.linalg.svd(matrix, False)
    total = np.sqrt((s**2).sum())
    kept = 0
    while kept < min(max_bond, s.size) and s[kept] > cutoff * total:
        kept += 1
    kept = max(kept, 1)
    rows = np.empty((kept, u.shape[0]), u.dtype)
    for k in range(kept):
        rows[k] = u[:, k]
    return rows


@compiled
def split_right(chain, site, theta, other, weight, cutoff, max_bond):
    """Split the two-site tensor of the centre; `site + 1` becomes the centre.

    The basis of the bond holds the dominant Schmidt vectors of theta and, with this weight, of `other`, one or more
    tensors side by side; weight 0 for theta's alone. Returns the discarded weight of theta.
    """
    left, _, right = theta.shape
    dim, dim_right = chain.dims[site], chain.dims[site + 1]
    matrix = theta.reshape(left * dim, dim_right * right)
    if cutoff < _SQUARES_RESOLVE and weight == 0:
        rows = singular_basis(matrix, cutoff, max_bond)
    else:
        gram = np.dot(matrix, np.conj(matrix).T)
        if weight > 0:
            second = other.reshape(left * dim, other.size // (left * dim))
            gram += weight**2 * np.dot(second, np.conj(second).T)
        rows = kept_basis(gram, cutoff, max_bond)
    kept = rows.shape[0]
    centre = np.dot(np.conj(rows), matrix)  # new [l s], [l s] t r -> new t r
    flat = centre.reshape(centre.size)
    squared = np.vdot(flat, flat).real
    chain.bonds[site + 1] = kept
    tensor_of(chain, site)[:] = rows.T.copy().reshape(left, dim, kept)
    tensor_of(chain, site + 1)[:] = (centre / np.sqrt(squared)).reshape(kept, dim_right, right)
    return max(0.0, 1 - squared)


@compiled
def split_left(chain, site, theta, other, weight, cutoff, max_bond):
    """The mirror image of `split_right`: `site` becomes the centre."""
    left, _, right = theta.shape
    dim, dim_right = chain.dims[site], chain.dims[site + 1]
    matrix = theta.reshape(left * dim, dim_right * right)
    if cutoff < _SQUARES_RESOLVE and weight == 0:
        rows = singular_basis(matrix.T, cutoff, max_bond)
    else:
        gram = np.dot(matrix.T, np.conj(matrix))
        if weight > 0:
            second = other.reshape(other.size // (dim_right * right), dim_right * right)
            gram += weight**2 * np.dot(second.T, np.conj(second))
        rows = kept_basis(gram, cutoff, max_bond)
    kept = rows.shape[0]
    centre = np.dot(matrix, np.conj(rows).T)  # l s [t r], new [t r] -> l s new
    flat = centre.reshape(centre.size)
    squared = np.vdot(flat, flat).real
    chain.bonds[site + 1] = kept
    tensor_of(chain, site)[:] = (centre / np.sqrt(squared)).reshape(left, dim, kept)
    tensor_of(chain, site + 1)[:] = rows.reshape(kept, dim_right, right)
    return max(0.0, 1 - squared)
