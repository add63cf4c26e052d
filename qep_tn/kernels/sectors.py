"""The effective Hamiltonian where a charge is conserved: blocks of definite charge, each multiplied on its own.

Every bond index, level of a site and state of the MPO has a charge, an integer (several charges are digits of one):
left of a bond, summed up. A tensor (l, s, r) differs from zero where q_l + q_s = q_r, an environment where
bra = ket + state.
Indices of a bond are sorted by charge, so those of one charge, a sector, stand together.

Site tensors stay dense, with zeros; what is multiplied over and over is packed. A tensor is packed row by row: for each
left sector a matrix (l, all (s, r) of the right charge). Environments are packed into the room that dense ones would
have, so that each sector takes one product of matrices:

    left:  for each ket sector (row, bra; ket), all rows but the first, "todo", which is the identity
    right: for each bra sector (column, ket; bra), all columns but the last, "done"
"""

from typing import NamedTuple

import numpy as np

from qep_tn.kernels.compilation import compiled


class Sectors(NamedTuple):
    """Runs of equal charge on a bond: their charges, ascending, and where they begin, and the end."""

    charges: np.ndarray
    starts: np.ndarray


class BlockPlan(NamedTuple):
    """What `apply_blocks` does, for one effective Hamiltonian; without entries where no charge is conserved.

    left: (n, 6) products of matrices with the left environment: where in it, rows, inner, where in the vector, columns,
        where to. moves, values: (n, 6) and (n,), what the MPO adds: from where, stride, to where, stride, rows, length.
    right: (n, 6) products with the right one: from where, rows, inner, where in it, columns, where to. closing: (n, 6)
        as moves, into the result. segments: (n, 7) of the dense tensor: left index, rows, physical index, right index,
        length, and where packed, stride. sizes: (3,) of the packed tensor, and of the buffers behind it.
    """

    left: np.ndarray
    moves: np.ndarray
    values: np.ndarray
    right: np.ndarray
    closing: np.ndarray
    segments: np.ndarray
    sizes: np.ndarray


@compiled
def sectors_of(labels):
    """The sectors of a bond from the charges of its indices."""
    count = 1
    for k in range(1, labels.size):
        if labels[k] != labels[k - 1]:
            count += 1
    charges, starts = np.empty(count, np.int64), np.empty(count + 1, np.int64)
    count = 0
    for k in range(labels.size):
        if k == 0 or labels[k] != labels[k - 1]:
            charges[count], starts[count] = labels[k], k
            count += 1
    starts[count] = labels.size
    return Sectors(charges, starts)


@compiled
def sector_with(sectors, charge):
    """The number of the sector of this charge, or -1."""
    place = np.searchsorted(sectors.charges, charge)
    return place if place < sectors.charges.size and sectors.charges[place] == charge else -1


@compiled
def size_of(sectors, number):
    """Dimension of a sector."""
    return sectors.starts[number + 1] - sectors.starts[number]


@compiled
def left_layout(sectors, charges):
    """How a left environment is packed: bra sector and first row of each (ket sector, state), -1 where there is none;
    rows of each ket sector, and where it begins.
    """
    count, states = sectors.charges.size, charges.size
    bra, row = np.full((count, states), -1), np.full((count, states), -1)
    rows, starts = np.zeros(count, np.int64), np.zeros(count + 1, np.int64)
    for a in range(count):
        bra[a, 0] = a
        for w in range(1, states):
            bra[a, w] = sector_with(sectors, sectors.charges[a] + charges[w])
            if bra[a, w] >= 0:
                row[a, w] = rows[a]
                rows[a] += size_of(sectors, bra[a, w])
        starts[a + 1] = starts[a] + rows[a] * size_of(sectors, a)
    return bra, row, rows, starts


@compiled
def right_layout(sectors, charges):
    """How a right environment is packed: first row of each (bra sector, state), -1 where there is none; rows of each
    bra sector, and where it begins.
    """
    count, states = sectors.charges.size, charges.size
    row = np.full((count, states), -1)
    rows, starts = np.zeros(count, np.int64), np.zeros(count + 1, np.int64)
    for b in range(count):
        for v in range(states - 1):
            ket = sector_with(sectors, sectors.charges[b] - charges[v])
            if ket >= 0:
                row[b, v] = rows[b]
                rows[b] += size_of(sectors, ket)
        starts[b + 1] = starts[b] + rows[b] * size_of(sectors, b)
    return row, rows, starts


@compiled
def tensor_layout(before, levels, after):
    """How a tensor is packed: the right sector of each (left sector, level), or -1; its first column; columns of each
    left sector, and where it begins; and, as rows (l, s) of each right sector: first row, and how many.
    """
    count, dim = before.charges.size, levels.size
    right, column, row = np.full((count, dim), -1), np.full((count, dim), -1), np.full((count, dim), -1)
    columns, starts = np.zeros(count, np.int64), np.zeros(count + 1, np.int64)
    rows = np.zeros(after.charges.size, np.int64)
    for a in range(count):
        for s in range(dim):
            b = sector_with(after, before.charges[a] + levels[s])
            if b >= 0:
                right[a, s], column[a, s], row[a, s] = b, columns[a], rows[b]
                columns[a] += size_of(after, b)
                rows[b] += size_of(before, a)
        starts[a + 1] = starts[a] + columns[a] * size_of(before, a)
    return right, column, columns, starts, row, rows


@compiled
def put(table, n, a, b, c, d, e, f):
    """Six numbers into a row of a table."""
    table[n, 0], table[n, 1], table[n, 2], table[n, 3], table[n, 4], table[n, 5] = a, b, c, d, e, f


@compiled
def no_plan(values):
    """For what conserves no charge."""
    none, wide = np.empty((0, 6), np.int64), np.empty((0, 7), np.int64)
    return BlockPlan(none, none, values[:0], none, none, wide, np.zeros(3, np.int64))


@compiled
def plan_blocks(blocks, values, before, levels, after, row_charges, column_charges):
    """The plan for MPO entries between two bonds, with the sectors of these and the charges of what stands between."""
    last = column_charges.size - 1
    bra, left_row, left_rows, left_starts = left_layout(before, row_charges)
    right_row, right_rows, right_starts = right_layout(after, column_charges)
    right, column, columns, starts, row, rows = tensor_layout(before, levels, after)
    count, dim = right.shape
    size = starts[count]

    left, contracted = np.empty((count, 6), np.int64), np.empty(count, np.int64)
    n, end = 0, size
    for a in range(count):
        contracted[a] = end
        if left_rows[a] > 0 and columns[a] > 0:
            put(left, n, left_starts[a], left_rows[a], size_of(before, a), starts[a], columns[a], end)
            end += left_rows[a] * columns[a]
            n += 1
    left = left[:n]
    behind = end

    products, opened = np.empty((after.charges.size, 6), np.int64), np.empty(after.charges.size, np.int64)
    n, end = 0, size  # the result stands before what is opened
    for b in range(after.charges.size):
        opened[b] = end
        end += rows[b] * right_rows[b]
    closed = np.empty(after.charges.size, np.int64)
    total = end
    for b in range(after.charges.size):
        closed[b] = total
        if rows[b] > 0 and right_rows[b] > 0:
            width = size_of(after, b)
            put(products, n, opened[b], rows[b], right_rows[b], right_starts[b], width, total)
            total += rows[b] * width
            n += 1
    products = products[:n]

    moves, factors = np.empty((values.size * count, 6), np.int64), np.empty(values.size * count, values.dtype)
    n = 0
    for k in range(values.size):
        w, v, out, into = blocks[k, 0], blocks[k, 1], blocks[k, 2], blocks[k, 3]
        for a in range(count):
            b, a_bra = right[a, into], bra[a, w]
            if b < 0 or a_bra < 0:
                continue
            b_bra = right[a_bra, out]
            if b_bra < 0:
                continue
            if w == 0:
                source = starts[a] + column[a, into]
            else:
                source = contracted[a] + left_row[a, w] * columns[a] + column[a, into]
            if v == last:
                target, stride = starts[a_bra] + column[a_bra, out], columns[a_bra]
            else:
                stride = right_rows[b_bra]
                target = opened[b_bra] + row[a_bra, out] * stride + right_row[b_bra, v]
            put(moves, n, source, columns[a], target, stride, size_of(before, a_bra), size_of(after, b))
            factors[n] = values[k]
            n += 1
    moves, factors = moves[:n], factors[:n]

    closing, segments = np.empty((count * dim, 6), np.int64), np.empty((count * dim, 7), np.int64)
    n, m = 0, 0
    for a in range(count):
        for s in range(dim):
            b = right[a, s]
            if b < 0:
                continue
            high, width, place = size_of(before, a), size_of(after, b), starts[a] + column[a, s]
            if right_rows[b] > 0:
                put(closing, n, closed[b] + row[a, s] * width, width, place, columns[a], high, width)
                n += 1
            put(segments, m, before.starts[a], high, s, after.starts[b], width, place)
            segments[m, 6] = columns[a]
            m += 1
    sizes = np.array([size, behind, total])
    return BlockPlan(left, moves, factors, products, closing[:n], segments[:m], sizes)


@compiled
def packed_vector(plan, tensor):
    """The entries of a dense tensor (l, s, r) that its charge allows, one after another."""
    vector = np.empty(plan.sizes[0], tensor.dtype)
    for n in range(plan.segments.shape[0]):
        i, rows, s, k, length, place, stride = plan.segments[n]
        for j in range(rows):
            vector[place + j * stride : place + j * stride + length] = tensor[i + j, s, k : k + length]
    return vector


@compiled
def unpack_vector(plan, vector, tensor):
    """The inverse of `packed_vector`; other entries of the tensor stay as they are."""
    for n in range(plan.segments.shape[0]):
        i, rows, s, k, length, place, stride = plan.segments[n]
        for j in range(rows):
            tensor[i + j, s, k : k + length] = vector[place + j * stride : place + j * stride + length]


@compiled
def apply_blocks(plan, left, right, x, y, scratch):
    """Y = H_eff x of packed tensors; left and right: packed environments, 1-D. scratch: 1-D."""
    size, behind, total = plan.sizes
    source, target = scratch[:behind], scratch[behind : behind + total]
    source[:size] = x
    for n in range(plan.left.shape[0]):  # (w l') [l], [l] (s r)
        begin, rows, inner, place, columns, end = plan.left[n]
        np.dot(
            left[begin : begin + rows * inner].reshape(rows, inner),
            x[place : place + inner * columns].reshape(inner, columns),
            source[end : end + rows * columns].reshape(rows, columns),
        )
    target[:] = 0
    move_blocks(plan.moves, plan.values, source, target)
    for n in range(plan.right.shape[0]):  # (l' s') [v r], [v r] r'
        place, rows, inner, begin, columns, end = plan.right[n]
        np.dot(
            target[place : place + rows * inner].reshape(rows, inner),
            right[begin : begin + inner * columns].reshape(inner, columns),
            target[end : end + rows * columns].reshape(rows, columns),
        )
    y[:] = target[:size]
    for n in range(plan.closing.shape[0]):
        begin, stride, place, step, rows, length = plan.closing[n]
        for i in range(rows):
            a, b = target[begin + i * stride : begin + i * stride + length], y[place + i * step :]
            for k in range(length):
                b[k] += a[k]


@compiled
def move_blocks(moves, values, source, target):
    """Target += value * source for each block of rows that a move names."""
    for n in range(values.size):
        begin, stride, place, step, rows, length = moves[n]
        value = values[n]
        for i in range(rows):
            a = source[begin + i * stride : begin + i * stride + length]
            b = target[place + i * step : place + i * step + length]
            for k in range(length):
                b[k] += value * a[k]
