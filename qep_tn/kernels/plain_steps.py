"""The steps of a sweep where no charge is conserved: dense tensors and environments."""

from typing import NamedTuple

import numpy as np

from qep_tn.kernels.chain import empty_chain, environment_of, tensor_of
from qep_tn.kernels.compilation import compiled
from qep_tn.kernels.effective import apply_effective, grow_left, grow_right, merged_blocks

SQUARES_RESOLVE = 3e-8  # Schmidt values above it are the roots of a density matrix's eigenvalues, in double precision


class LocalProblem(NamedTuple):
    """An effective Hamiltonian: MPO entries, and the environments on both sides."""

    blocks: np.ndarray
    values: np.ndarray
    left: np.ndarray
    right: np.ndarray


@compiled
def update_left(chain, mpo, site, scratch):
    """The left environment right of `site`, whose tensor is left-canonical."""
    blocks = mpo.blocks[mpo.starts[site] : mpo.starts[site + 1]]
    values = mpo.values[mpo.starts[site] : mpo.starts[site + 1]]
    target = environment_of(chain, mpo, site + 1)
    grow_left(blocks, values, environment_of(chain, mpo, site), tensor_of(chain, site), target, scratch)


@compiled
def update_right(chain, mpo, site, scratch):
    """The right environment left of `site`, whose tensor is right-canonical."""
    blocks = mpo.blocks[mpo.starts[site] : mpo.starts[site + 1]]
    values = mpo.values[mpo.starts[site] : mpo.starts[site + 1]]
    target = environment_of(chain, mpo, site)
    grow_right(blocks, values, environment_of(chain, mpo, site + 1), tensor_of(chain, site), target, scratch)


@compiled
def move_centre_right(chain, site):
    """QR of the tensor of `site`, the centre; the next site becomes the centre. Redundant bond dimensions go."""
    tensor = tensor_of(chain, site)
    left, dim, right = tensor.shape
    q, r = np.linalg.qr(tensor.reshape(left * dim, right))
    following = tensor_of(chain, site + 1)
    columns = following.shape[1] * following.shape[2]
    carried = np.dot(r, following.reshape(right, columns))  # new [r], [r] s c -> new s c
    chain.bonds[site + 1] = q.shape[1]
    tensor_of(chain, site)[:] = np.ascontiguousarray(q).reshape(left, dim, q.shape[1])
    tensor_of(chain, site + 1)[:] = carried.reshape(q.shape[1], following.shape[1], following.shape[2])


@compiled
def move_centre_left(chain, site):
    """The mirror image of `move_centre_right`: LQ of the centre, `site`; the site before it becomes the centre."""
    tensor = tensor_of(chain, site)
    left, dim, right = tensor.shape
    q, r = np.linalg.qr(np.conj(tensor).reshape(left, dim * right).T)  # l [s r] -> (s r) new, new l
    before = tensor_of(chain, site - 1)
    rows = before.shape[0] * before.shape[1]
    carried = np.dot(before.reshape(rows, left), np.conj(r).T)  # c s [l], [l] new -> c s new
    chain.bonds[site] = q.shape[1]
    target = tensor_of(chain, site).reshape(q.shape[1], dim * right)
    for k in range(q.shape[1]):
        for n in range(q.shape[0]):
            target[k, n] = np.conj(q[n, k])
    tensor_of(chain, site - 1)[:] = carried.reshape(before.shape[0], before.shape[1], q.shape[1])


@compiled
def one_site_problem(chain, mpo, site):
    """That of the tensor of one site."""
    blocks = mpo.blocks[mpo.starts[site] : mpo.starts[site + 1]]
    values = mpo.values[mpo.starts[site] : mpo.starts[site + 1]]
    return LocalProblem(blocks, values, environment_of(chain, mpo, site), environment_of(chain, mpo, site + 1))


@compiled
def two_site_problem(chain, mpo, site):
    """That of the tensor of a site and its right neighbour."""
    blocks, values = merged_blocks(mpo, site, chain.dims[site + 1])
    return LocalProblem(blocks, values, environment_of(chain, mpo, site), environment_of(chain, mpo, site + 2))


@compiled
def vector_of(problem, tensor):
    """A tensor of the problem as a vector; a view."""
    return tensor.reshape(tensor.size)


@compiled
def set_vector(problem, tensor, vector):
    """A vector of the problem into its tensor, of which it is a view."""


@compiled
def apply_problem(problem, x, y, shape, scratch):
    """Y = H_eff x, both vectors of the problem. shape: of its tensor. scratch: 1-D."""
    apply_effective(
        problem.blocks, problem.values, problem.left, problem.right, x.reshape(shape), y.reshape(shape), scratch
    )


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
    if cutoff < SQUARES_RESOLVE and weight == 0:
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
    if cutoff < SQUARES_RESOLVE and weight == 0:
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


@compiled
def empty_window(chain, first, last, limits, operator_bonds):
    """A chain of the sites first..last of another one, with its bonds, and nothing in its buffers."""
    window = empty_chain(chain.dims[first : last + 1].copy(), limits.copy(), operator_bonds, chain.tensors)
    window.bonds[:] = chain.bonds[first : last + 2]
    return window


@compiled
def empty_whole(chain, window, first):
    """A chain with the bonds of a window where that is, `first` its first site, and nothing in its buffers."""
    limits = chain.bonds.copy()
    limits[first : first + window.bonds.size] = window.bonds
    return empty_chain(chain.dims, limits, np.zeros_like(limits), chain.tensors)
