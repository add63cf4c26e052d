"""The steps of a sweep where a charge is conserved: sector by sector. What each does, `plain_steps` says."""

from typing import NamedTuple

import numpy as np

from qep_tn.kernels import plain_steps
from qep_tn.kernels.block_growth import grow_left_blocks, grow_right_blocks
from qep_tn.kernels.block_splits import orthogonal_by_sector, product_by_sector, split_by_sector
from qep_tn.kernels.chain import tensor_of
from qep_tn.kernels.charged_chain import (
    ChargedChain,
    column_charges,
    labels_of,
    levels_of,
    packed_environment,
    row_charges,
    set_bond,
    state_charges,
)
from qep_tn.kernels.compilation import compiled, with_charges
from qep_tn.kernels.effective import merged_blocks
from qep_tn.kernels.sectors import (
    BlockPlan,
    apply_blocks,
    packed_vector,
    plan_blocks,
    sectors_of,
    unpack_vector,
)


@with_charges
class ChargedProblem(NamedTuple):
    """An effective Hamiltonian: what to multiply with what, and the packed environments on both sides."""

    plan: BlockPlan
    left: np.ndarray
    right: np.ndarray


@compiled
def update_left(chain, mpo, site, scratch):
    """The left environment right of `site`."""
    blocks = mpo.blocks[mpo.starts[site] : mpo.starts[site + 1]]
    values = mpo.values[mpo.starts[site] : mpo.starts[site + 1]]
    before, after = sectors_of(labels_of(chain, site)), sectors_of(labels_of(chain, site + 1))
    left, target = packed_environment(chain, mpo, site), packed_environment(chain, mpo, site + 1)
    charges = state_charges(mpo, site), state_charges(mpo, site + 1)
    grow_left_blocks(
        blocks, values, before, levels_of(chain, site), after, charges[0], charges[1], left, tensor_of(chain, site),
        target, scratch,
    )  # fmt: skip


@compiled
def update_right(chain, mpo, site, scratch):
    """The right environment left of `site`."""
    blocks = mpo.blocks[mpo.starts[site] : mpo.starts[site + 1]]
    values = mpo.values[mpo.starts[site] : mpo.starts[site + 1]]
    before, after = sectors_of(labels_of(chain, site)), sectors_of(labels_of(chain, site + 1))
    right, target = packed_environment(chain, mpo, site + 1), packed_environment(chain, mpo, site)
    charges = state_charges(mpo, site), state_charges(mpo, site + 1)
    grow_right_blocks(
        blocks, values, before, levels_of(chain, site), after, charges[0], charges[1], right, tensor_of(chain, site),
        target, scratch,
    )  # fmt: skip


@compiled
def move_centre_right(chain, site):
    """QR of the centre, sector by sector."""
    tensor, following = tensor_of(chain, site), tensor_of(chain, site + 1)
    left, dim, right = tensor.shape
    columns = following.shape[1] * following.shape[2]
    charges = row_charges(chain, site)
    q, r, labels = orthogonal_by_sector(tensor.reshape(left * dim, right), charges, labels_of(chain, site + 1))
    carried = np.dot(r, following.reshape(right, columns))  # new [r], [r] s c -> new s c
    set_bond(chain, site + 1, labels)
    tensor_of(chain, site)[:] = q.reshape(left, dim, labels.size)
    tensor_of(chain, site + 1)[:] = carried.reshape(labels.size, following.shape[1], following.shape[2])


@compiled
def move_centre_left(chain, site):
    """LQ of the centre, sector by sector."""
    tensor, before = tensor_of(chain, site), tensor_of(chain, site - 1)
    left, dim, right = tensor.shape
    rows = before.shape[0] * before.shape[1]
    adjoint = np.conj(tensor).reshape(left, dim * right).T.copy()  # l [s r] -> (s r) new, new l
    q, r, labels = orthogonal_by_sector(adjoint, column_charges(chain, site), labels_of(chain, site))
    carried = np.dot(before.reshape(rows, left), np.conj(r).T)  # c s [l], [l] new -> c s new
    set_bond(chain, site, labels)
    tensor_of(chain, site)[:] = np.conj(q).T.copy().reshape(labels.size, dim, right)
    tensor_of(chain, site - 1)[:] = carried.reshape(before.shape[0], before.shape[1], labels.size)


@compiled
def one_site_problem(chain, mpo, site):
    """That of the tensor of one site."""
    blocks = mpo.blocks[mpo.starts[site] : mpo.starts[site + 1]]
    values = mpo.values[mpo.starts[site] : mpo.starts[site + 1]]
    return problem_between(chain, mpo, site, site + 1, blocks, values, levels_of(chain, site))


@compiled
def two_site_problem(chain, mpo, site):
    """That of the tensor of a site and its right neighbour."""
    blocks, values = merged_blocks(mpo, site, chain.dims[site + 1])
    first, second = levels_of(chain, site), levels_of(chain, site + 1)
    levels = np.empty(first.size * second.size, np.int64)
    for s in range(first.size):
        levels[s * second.size : (s + 1) * second.size] = first[s] + second
    return problem_between(chain, mpo, site, site + 2, blocks, values, levels)


@compiled
def problem_between(chain, mpo, first, last, blocks, values, levels):
    """That of what stands between two bonds, with the charges of its physical states."""
    before, after = sectors_of(labels_of(chain, first)), sectors_of(labels_of(chain, last))
    charges = state_charges(mpo, first), state_charges(mpo, last)
    plan = plan_blocks(blocks, values, before, levels, after, charges[0], charges[1])
    return ChargedProblem(plan, packed_environment(chain, mpo, first), packed_environment(chain, mpo, last))


@compiled
def vector_of(problem, tensor):
    """A tensor of the problem as a vector of what its charge allows; a copy."""
    return packed_vector(problem.plan, tensor)


@compiled
def set_vector(problem, tensor, vector):
    """A vector of the problem into its tensor."""
    unpack_vector(problem.plan, vector, tensor)


@compiled
def apply_problem(problem, x, y, shape, scratch):
    """Y = H_eff x, both vectors of the problem."""
    apply_blocks(problem.plan, problem.left, problem.right, x, y, scratch)


@compiled
def two_site_tensor(chain, site):
    """The tensors of `site` and its right neighbour contracted."""
    first, second = tensor_of(chain, site), tensor_of(chain, site + 1)
    left, dim, middle = first.shape
    _, dim_right, right = second.shape
    theta = product_by_sector(
        first.reshape(left * dim, middle), second.reshape(middle, dim_right * right), row_charges(chain, site),
        labels_of(chain, site + 1), column_charges(chain, site + 1),
    )  # fmt: skip
    return theta.reshape(left, dim * dim_right, right)


@compiled
def keep_bond(chain, site, theta, cutoff, rightwards):
    """Not tried: sectors are small, and each is split anew."""
    return -1.0


@compiled
def split_right(chain, site, theta, other, weight, cutoff, max_bond):
    """Split the two-site tensor; `site + 1` becomes the centre."""
    rows = theta.shape[0] * chain.dims[site]
    return split(chain, site, theta, other.reshape(rows, other.size // rows), weight, cutoff, max_bond, True)


@compiled
def split_left(chain, site, theta, other, weight, cutoff, max_bond):
    """Split the two-site tensor; `site` becomes the centre."""
    columns = theta.shape[2] * chain.dims[site + 1]
    return split(chain, site, theta, other.reshape(other.size // columns, columns), weight, cutoff, max_bond, False)


@compiled
def split(chain, site, theta, other, weight, cutoff, max_bond, rightwards):
    """As `split_right` or `split_left`; other: a matrix with the rows, or the columns, of theta's."""
    matrix = theta.reshape(theta.shape[0] * chain.dims[site], chain.dims[site + 1] * theta.shape[2])
    squares = cutoff >= plain_steps.SQUARES_RESOLVE or weight > 0
    rows, columns = row_charges(chain, site), column_charges(chain, site + 1)
    first, second, labels, squared = split_by_sector(
        matrix, other, other.size // matrix.size, rows, columns, weight, cutoff, max_bond, squares, rightwards
    )
    set_bond(chain, site + 1, labels)
    tensor_of(chain, site)[:] = first.reshape(chain.bonds[site], chain.dims[site], labels.size)
    tensor_of(chain, site + 1)[:] = second.reshape(labels.size, chain.dims[site + 1], chain.bonds[site + 2])
    return max(0.0, 1 - squared)


@compiled
def empty_window(chain, first, last, limits, operator_bonds):
    """A window with the bonds and charges of a chain, and nothing in its buffers."""
    window = plain_steps.empty_window(chain, first, last, limits, operator_bonds)
    levels = chain.levels[chain.level_starts[first] : chain.level_starts[last + 1]]
    charged = empty_charged(window, levels)
    for bond in range(window.bonds.size):
        labels_of(charged, bond)[:] = labels_of(chain, first + bond)
    return charged


@compiled
def empty_whole(chain, window, first):
    """A chain with the bonds and charges of a window where that is."""
    charged = empty_charged(plain_steps.empty_whole(chain, window, first), chain.levels)
    for bond in range(chain.bonds.size):
        if first <= bond < first + window.bonds.size:
            labels_of(charged, bond)[:] = labels_of(window, bond - first)
        else:
            labels_of(charged, bond)[:] = labels_of(chain, bond)
    return charged


@compiled
def empty_charged(chain, levels):
    """A chain with room for the charges of its bonds, and those of its levels."""
    length = chain.dims.size
    label_starts, level_starts = np.zeros(length + 2, np.int64), np.zeros(length + 1, np.int64)
    for bond in range(length + 1):
        label_starts[bond + 1] = label_starts[bond] + chain.limits[bond]
    for site in range(length):
        level_starts[site + 1] = level_starts[site] + chain.dims[site]
    return ChargedChain(
        chain.tensors, chain.tensor_starts, chain.environments, chain.environment_starts, chain.bonds, chain.limits,
        chain.dims, np.zeros(label_starts[-1], np.int64), label_starts, levels.copy(), level_starts,
    )  # fmt: skip
