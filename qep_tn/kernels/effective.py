"""The effective Hamiltonian of one or two sites of an MPS, from sparse MPO blocks and environments.

Every MPO here is a finite-state machine whose first state, "todo", has the identity to its left in a canonical MPS, and
whose last, "done", has it to its right; so these two environments are never multiplied with.
"""

from typing import NamedTuple

import numpy as np

from qep_tn.kernels.compilation import compiled


class BlockMPO(NamedTuple):
    """The entries of an MPO that can differ from zero.

    blocks: (n, 4) row, column, out, in of each entry; the rows and columns number the machine's states, "todo" first
        and "done" last.
    values: (n,) float64 or complex128.
    starts: (L + 1,) which entries belong to which site.
    bonds: (L + 1,) number of states at the bond left of each site, and right of the last.
    """

    blocks: np.ndarray
    values: np.ndarray
    starts: np.ndarray
    bonds: np.ndarray


@compiled
def merged_blocks(mpo, site, dim):
    """The entries for two neighbouring sites as one of dimension dim_left * dim; `dim` is that of site + 1."""
    first, middle, last = mpo.starts[site], mpo.starts[site + 1], mpo.starts[site + 2]
    count = 0
    for m in range(first, middle):
        for n in range(middle, last):
            count += mpo.blocks[m, 1] == mpo.blocks[n, 0]
    blocks = np.empty((count, 4), np.int64)
    values = np.empty(count, mpo.values.dtype)
    count = 0
    for m in range(first, middle):
        for n in range(middle, last):
            if mpo.blocks[m, 1] == mpo.blocks[n, 0]:
                value = mpo.values[m] * mpo.values[n]
                if value != 0:
                    blocks[count, 0], blocks[count, 1] = mpo.blocks[m, 0], mpo.blocks[n, 1]
                    blocks[count, 2] = mpo.blocks[m, 2] * dim + mpo.blocks[n, 2]
                    blocks[count, 3] = mpo.blocks[m, 3] * dim + mpo.blocks[n, 3]
                    values[count] = value
                    count += 1
    return blocks[:count], values[:count]


@compiled
def apply_effective(blocks, values, left, right, x, y, scratch):
    """Y = H_eff x; x and y are (left, physical, right).

    left: (row, bra, ket). right: (column, ket, bra). scratch: 1-D, (rows + columns) times x.size.
    """
    rows, columns = left.shape[0], right.shape[0]
    bond_left, dim, bond_right = x.shape
    size = x.size
    contracted = scratch[: (rows - 1) * size].reshape(rows - 1, bond_left, dim, bond_right)
    if rows > 1:  # [a l'] [l], [l] s r -> a l' s r
        stacked = left[1:].reshape((rows - 1) * bond_left, bond_left)
        target = scratch[: (rows - 1) * size].reshape((rows - 1) * bond_left, dim * bond_right)
        np.dot(stacked, x.reshape(bond_left, dim * bond_right), target)
    open_size = (columns - 1) * size
    opened = scratch[(rows - 1) * size : (rows - 1) * size + open_size]
    opened[:] = 0
    by_column = opened.reshape(bond_left, dim, columns - 1, bond_right)
    closed = scratch[(rows - 1) * size + open_size : rows * size + open_size].reshape(bond_left, dim, bond_right)
    closed[:] = 0
    for i in range(bond_left):
        for n in range(blocks.shape[0]):
            a, b, out, into = blocks[n, 0], blocks[n, 1], blocks[n, 2], blocks[n, 3]
            source = x[i, into] if a == 0 else contracted[a - 1, i, into]
            target_row = closed[i, out] if b == columns - 1 else by_column[i, out, b]
            value = values[n]
            for k in range(bond_right):
                target_row[k] += value * source[k]
    if columns > 1:  # l' s' [b r], [b r] r' -> l' s' r'
        matrix = opened.reshape(bond_left * dim, (columns - 1) * bond_right)
        stacked = right[: columns - 1].reshape((columns - 1) * bond_right, bond_right)
        np.dot(matrix, stacked, y.reshape(bond_left * dim, bond_right))
        y += closed
    else:
        y[:] = closed


@compiled
def grow_left(blocks, values, left, tensor, target, scratch):
    """The left environment after one more site: left (row, bra, ket), left-canonical tensor (l, s, r), target
    (column, bra, ket).
    """
    rows, columns = left.shape[0], target.shape[0]
    bond_left, dim, bond_right = tensor.shape
    size = tensor.size
    contracted = scratch[: (rows - 1) * size].reshape(rows - 1, bond_left, dim, bond_right)
    if rows > 1:  # [a l'] [l], [l] s r -> a l' s r
        stacked = left[1:].reshape((rows - 1) * bond_left, bond_left)
        flat = scratch[: (rows - 1) * size].reshape((rows - 1) * bond_left, dim * bond_right)
        np.dot(stacked, tensor.reshape(bond_left, dim * bond_right), flat)
    opened = scratch[(rows - 1) * size : (rows - 1 + columns) * size].reshape(columns, bond_left, dim, bond_right)
    opened[:] = 0
    for n in range(blocks.shape[0]):
        a, b, out, into = blocks[n, 0], blocks[n, 1], blocks[n, 2], blocks[n, 3]
        if b > 0:
            value = values[n]
            for i in range(bond_left):
                source = tensor[i, into] if a == 0 else contracted[a - 1, i, into]
                row = opened[b, i, out]
                for k in range(bond_right):
                    row[k] += value * source[k]
    bra = np.conj(tensor).reshape(bond_left * dim, bond_right)
    for b in range(1, columns):  # [l' s'] r', [l' s'] r -> r' r
        np.dot(bra.T, opened[b].reshape(bond_left * dim, bond_right), target[b])


@compiled
def grow_right(blocks, values, right, tensor, target, scratch):
    """The right environment after one more site: right (column, ket, bra), right-canonical tensor (l, s, r), target
    (row, ket, bra).
    """
    rows, columns = target.shape[0], right.shape[0]
    bond_left, dim, bond_right = tensor.shape
    size = tensor.size
    contracted = scratch[: (columns - 1) * size].reshape(columns - 1, bond_left, dim, bond_right)
    for b in range(columns - 1):  # l s [r], [r] r' -> l s r'
        flat = scratch[b * size : (b + 1) * size].reshape(bond_left * dim, bond_right)
        np.dot(tensor.reshape(bond_left * dim, bond_right), right[b], flat)
    opened = scratch[(columns - 1) * size : (columns - 1 + rows) * size].reshape(rows, bond_left, dim, bond_right)
    opened[:] = 0
    for n in range(blocks.shape[0]):
        a, b, out, into = blocks[n, 0], blocks[n, 1], blocks[n, 2], blocks[n, 3]
        if a < rows - 1:
            value = values[n]
            for i in range(bond_left):
                source = tensor[i, into] if b == columns - 1 else contracted[b, i, into]
                row = opened[a, i, out]
                for k in range(bond_right):
                    row[k] += value * source[k]
    bra = np.conj(tensor).reshape(bond_left, dim * bond_right)
    for a in range(rows - 1):  # l [s' r'], l' [s' r'] -> l l'
        np.dot(opened[a].reshape(bond_left, dim * bond_right), bra.T, target[a])
