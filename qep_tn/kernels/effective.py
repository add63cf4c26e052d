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
        and "done" last. On each site the entries of one row stand together.
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
    begin, end = np.zeros(mpo.bonds[site + 1], np.int64), np.zeros(mpo.bonds[site + 1], np.int64)
    for n in range(middle, last):
        state = mpo.blocks[n, 0]
        if end[state] == 0:
            begin[state] = n
        end[state] = n + 1
    most, side = 0, 0
    for m in range(first, middle):
        state = mpo.blocks[m, 1]
        most += end[state] - begin[state]
        side = max(side, dim * (1 + max(mpo.blocks[m, 2], mpo.blocks[m, 3])))
    blocks = np.empty((most, 4), np.int64)
    values = np.empty(most, mpo.values.dtype)
    place = np.full(mpo.bonds[site + 2] * side * side, -1)  # of an entry of the present row, by column, out and in
    count, row_begin, row = 0, 0, -1
    for m in range(first, middle):
        if mpo.blocks[m, 0] != row:
            for k in range(row_begin, count):
                place[(blocks[k, 1] * side + blocks[k, 2]) * side + blocks[k, 3]] = -1
            row_begin, row = count, mpo.blocks[m, 0]
        state = mpo.blocks[m, 1]
        for n in range(begin[state], end[state]):
            value = mpo.values[m] * mpo.values[n]
            if value != 0:
                column = mpo.blocks[n, 1]
                out = mpo.blocks[m, 2] * dim + mpo.blocks[n, 2]
                into = mpo.blocks[m, 3] * dim + mpo.blocks[n, 3]
                key = (column * side + out) * side + into
                if place[key] < 0:
                    place[key] = count
                    blocks[count, 0], blocks[count, 1], blocks[count, 2], blocks[count, 3] = row, column, out, into
                    values[count] = value
                    count += 1
                else:
                    values[place[key]] += value
    return blocks[:count], values[:count]


@compiled
def add_entries(values, sources, targets, strides, source, target, count, stride, length):
    """target[targets[n] + i * strides[n] + k] += values[n] * source[sources[n] + i * stride + k], for all n, i < count,
    k < length.
    """
    for i in range(count):
        for n in range(values.size):
            value = values[n]
            begin, place = sources[n] + i * stride, targets[n] + i * strides[n]
            row, target_row = source[begin : begin + length], target[place : place + length]
            for k in range(length):
                target_row[k] += value * row[k]


@compiled
def apply_effective(blocks, values, left, right, x, y, scratch):
    """Y = H_eff x; x and y are (left, physical, right).

    left: (row, bra, ket). right: (column, ket, bra). scratch: 1-D, (rows + columns) times x.size.
    """
    rows, columns = left.shape[0], right.shape[0]
    bond_left, dim, bond_right = x.shape
    size = x.size
    source, target = scratch[: rows * size], scratch[rows * size : (rows + columns) * size]
    source[:size] = x.reshape(size)
    if rows > 1:  # [a l'] [l], [l] s r -> a l' s r
        stacked = left[1:].reshape((rows - 1) * bond_left, bond_left)
        contracted = source[size:].reshape((rows - 1) * bond_left, dim * bond_right)
        np.dot(stacked, x.reshape(bond_left, dim * bond_right), contracted)
    open_size = (columns - 1) * size
    opened, closed = target[:open_size], target[open_size:]  # l' s' b r without, and l' s' r of the state "done"
    target[:] = 0
    sources, targets = np.empty(values.size, np.int64), np.empty(values.size, np.int64)
    strides = np.empty(values.size, np.int64)
    for n in range(values.size):
        a, b, out, into = blocks[n, 0], blocks[n, 1], blocks[n, 2], blocks[n, 3]
        sources[n] = a * size + into * bond_right
        if b == columns - 1:
            targets[n] = open_size + out * bond_right
            strides[n] = dim * bond_right
        else:
            targets[n] = (out * (columns - 1) + b) * bond_right
            strides[n] = dim * (columns - 1) * bond_right
    add_entries(values, sources, targets, strides, source, target, bond_left, dim * bond_right, bond_right)
    if columns > 1:  # l' s' [b r], [b r] r' -> l' s' r'
        matrix = opened.reshape(bond_left * dim, (columns - 1) * bond_right)
        stacked = right[: columns - 1].reshape((columns - 1) * bond_right, bond_right)
        np.dot(matrix, stacked, y.reshape(bond_left * dim, bond_right))
        y += closed.reshape(x.shape)
    else:
        y[:] = closed.reshape(x.shape)


@compiled
def grow_left(blocks, values, left, tensor, target, scratch):
    """The left environment after one more site: left (row, bra, ket), left-canonical tensor (l, s, r), target
    (column, bra, ket).
    """
    rows, columns = left.shape[0], target.shape[0]
    bond_left, dim, bond_right = tensor.shape
    size = tensor.size
    contracted, opened = scratch[: rows * size], scratch[rows * size : (rows + columns) * size]
    contracted[:size] = tensor.reshape(size)
    if rows > 1:  # [a l'] [l], [l] s r -> a l' s r
        stacked = left[1:].reshape((rows - 1) * bond_left, bond_left)
        flat = contracted[size:].reshape((rows - 1) * bond_left, dim * bond_right)
        np.dot(stacked, tensor.reshape(bond_left, dim * bond_right), flat)
    sources, targets = np.empty(values.size, np.int64), np.empty(values.size, np.int64)
    for n in range(values.size):
        sources[n] = blocks[n, 0] * size + blocks[n, 3] * bond_right
        targets[n] = blocks[n, 1] * size + blocks[n, 2] * bond_right
    opened[:] = 0
    strides = np.full(values.size, dim * bond_right)
    add_entries(values, sources, targets, strides, contracted, opened, bond_left, dim * bond_right, bond_right)
    bra = np.conj(tensor).reshape(bond_left * dim, bond_right)
    by_column = opened.reshape(columns, bond_left * dim, bond_right)
    for b in range(1, columns):  # [l' s'] r', [l' s'] r -> r' r
        np.dot(bra.T, by_column[b], target[b])


@compiled
def grow_right(blocks, values, right, tensor, target, scratch):
    """The right environment after one more site: right (column, ket, bra), right-canonical tensor (l, s, r), target
    (row, ket, bra).
    """
    rows, columns = target.shape[0], right.shape[0]
    bond_left, dim, bond_right = tensor.shape
    size = tensor.size
    contracted, opened = scratch[: columns * size], scratch[columns * size : (columns + rows) * size]
    contracted[(columns - 1) * size :] = tensor.reshape(size)
    for b in range(columns - 1):  # l s [r], [r] r' -> l s r'
        flat = contracted[b * size : (b + 1) * size].reshape(bond_left * dim, bond_right)
        np.dot(tensor.reshape(bond_left * dim, bond_right), right[b], flat)
    sources, targets = np.empty(values.size, np.int64), np.empty(values.size, np.int64)
    for n in range(values.size):
        sources[n] = blocks[n, 1] * size + blocks[n, 3] * bond_right
        targets[n] = blocks[n, 0] * size + blocks[n, 2] * bond_right
    opened[:] = 0
    strides = np.full(values.size, dim * bond_right)
    add_entries(values, sources, targets, strides, contracted, opened, bond_left, dim * bond_right, bond_right)
    bra = np.conj(tensor).reshape(bond_left, dim * bond_right)
    by_row = opened.reshape(rows, bond_left, dim * bond_right)
    for a in range(rows - 1):  # l [s' r'], l' [s' r'] -> l l'
        np.dot(by_row[a], bra.T, target[a])
