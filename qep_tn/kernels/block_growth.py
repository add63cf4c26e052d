"""Environments one site further, and bonds split, where a charge is conserved: sector by sector."""

import numpy as np

from qep_tn.kernels.compilation import compiled
from qep_tn.kernels.sectors import left_layout, move_blocks, put, right_layout, size_of, tensor_layout


@compiled
def packed_rows(tensor, before, after, right, row, rows):
    """A dense tensor as one matrix ((l, s), r) for each right sector, one after another, and where each begins."""
    starts = np.zeros(rows.size + 1, np.int64)
    for b in range(rows.size):
        starts[b + 1] = starts[b] + rows[b] * size_of(after, b)
    packed = np.empty(starts[rows.size], tensor.dtype)
    for a in range(right.shape[0]):
        for s in range(right.shape[1]):
            b = right[a, s]
            if b >= 0:
                width, k = size_of(after, b), after.starts[b]
                for i in range(size_of(before, a)):
                    place = starts[b] + (row[a, s] + i) * width
                    packed[place : place + width] = tensor[before.starts[a] + i, s, k : k + width]
    return packed, starts


@compiled
def packed_columns(tensor, before, after, right, column, columns, starts):
    """A dense tensor as one matrix (l, (s, r)) for each left sector, one after another."""
    packed = np.empty(starts[columns.size], tensor.dtype)
    for a in range(right.shape[0]):
        for s in range(right.shape[1]):
            b = right[a, s]
            if b >= 0:
                width, k = size_of(after, b), after.starts[b]
                for i in range(size_of(before, a)):
                    place = starts[a] + i * columns[a] + column[a, s]
                    packed[place : place + width] = tensor[before.starts[a] + i, s, k : k + width]
    return packed


@compiled
def grow_left_blocks(blocks, values, before, levels, after, row_charges, column_charges, left, tensor, target, scratch):
    """The left environment after one more site; left, target: packed, 1-D. tensor: dense, left-canonical."""
    right, column, columns, starts, row, rows = tensor_layout(before, levels, after)
    bra, left_row, left_rows, left_starts = left_layout(before, row_charges)
    new_bra, new_row, _, new_starts = left_layout(after, column_charges)
    ket = packed_columns(tensor, before, after, right, column, columns, starts)
    size, states = starts[columns.size], column_charges.size
    contracted = np.empty(columns.size, np.int64)
    end = size
    scratch[:size] = ket
    for a in range(columns.size):
        contracted[a] = end
        if left_rows[a] > 0 and columns[a] > 0:  # (w l') [l], [l] (s r)
            inner, length = size_of(before, a), left_rows[a] * columns[a]
            np.dot(
                left[left_starts[a] : left_starts[a + 1]].reshape(left_rows[a], inner),
                ket[starts[a] : starts[a + 1]].reshape(inner, columns[a]),
                scratch[end : end + length].reshape(left_rows[a], columns[a]),
            )
            end += length
    source, opened = scratch[:end], scratch[end:]
    place = np.full((after.charges.size, states), -1)  # of ((l', s'), r) for each ket sector and state
    end = 0
    for b in range(after.charges.size):
        for v in range(1, states):
            if new_bra[b, v] >= 0:
                place[b, v] = end
                end += rows[new_bra[b, v]] * size_of(after, b)
    opened = opened[:end]
    opened[:] = 0
    moves, n = np.empty((values.size * columns.size, 6), np.int64), 0
    factors = np.empty(values.size * columns.size, values.dtype)
    for k in range(values.size):
        w, v, out, into = blocks[k, 0], blocks[k, 1], blocks[k, 2], blocks[k, 3]
        for a in range(columns.size):
            b, a_bra = right[a, into], bra[a, w]
            if v == 0 or b < 0 or a_bra < 0 or right[a_bra, out] < 0:
                continue
            begin = starts[a] if w == 0 else contracted[a] + left_row[a, w] * columns[a]
            width = size_of(after, b)
            to = place[b, v] + row[a_bra, out] * width
            put(moves, n, begin + column[a, into], columns[a], to, width, size_of(before, a_bra), width)
            factors[n] = values[k]
            n += 1
    move_blocks(moves[:n], factors[:n], source, opened)
    flat, flat_starts = packed_rows(tensor, before, after, right, row, rows)
    flat = np.conj(flat)
    for b in range(after.charges.size):
        width = size_of(after, b)
        for v in range(1, states):
            c = new_bra[b, v]
            if c < 0:
                continue
            height, begin = size_of(after, c), new_starts[b] + new_row[b, v] * width
            result = target[begin : begin + height * width].reshape(height, width)
            if rows[c] == 0:
                result[:] = 0
                continue
            product = opened[place[b, v] : place[b, v] + rows[c] * width].reshape(rows[c], width)
            # [l' s'] r', [l' s'] r -> r' r
            np.dot(flat[flat_starts[c] : flat_starts[c + 1]].reshape(rows[c], height).T, product, result)


@compiled
def grow_right_blocks(
    blocks, values, before, levels, after, row_charges, column_charges, end_of, tensor, target, scratch
):
    """The right environment after one more site; end_of, target: packed, 1-D. tensor: dense, right-canonical."""
    right, column, columns, starts, row, rows = tensor_layout(before, levels, after)
    old_row, _, old_starts = right_layout(after, column_charges)
    new_row, _, new_starts = right_layout(before, row_charges)
    flat, flat_starts = packed_rows(tensor, before, after, right, row, rows)
    last = column_charges.size - 1
    count = after.charges.size
    place = np.full((count, last + 1), -1)  # of ((l, s), r') for each ket sector and state
    width = np.zeros((count, last + 1), np.int64)
    end = flat.size
    scratch[:end] = flat
    for b in range(count):
        place[b, last], width[b, last] = flat_starts[b], size_of(after, b)
    for c in range(count):  # the bra's sector
        for v in range(last):
            if old_row[c, v] < 0:
                continue
            b = np.searchsorted(after.charges, after.charges[c] - column_charges[v])
            place[b, v], width[b, v] = end, size_of(after, c)
            if rows[b] > 0:  # (l s) [r], [r] r'
                inner, length = size_of(after, b), rows[b] * size_of(after, c)
                begin = old_starts[c] + old_row[c, v] * size_of(after, c)
                np.dot(
                    flat[flat_starts[b] : flat_starts[b + 1]].reshape(rows[b], inner),
                    end_of[begin : begin + inner * size_of(after, c)].reshape(inner, size_of(after, c)),
                    scratch[end : end + length].reshape(rows[b], size_of(after, c)),
                )
                end += length
    source, opened = scratch[:end], scratch[end:]
    states = row_charges.size
    to_place = np.full((before.charges.size, states), -1)  # of (l, (s', r')) for each bra sector and state
    end = 0
    for a in range(before.charges.size):
        for w in range(states - 1):
            if new_row[a, w] >= 0:
                ket = np.searchsorted(before.charges, before.charges[a] - row_charges[w])
                to_place[a, w] = end
                end += size_of(before, ket) * columns[a]
    opened = opened[:end]
    opened[:] = 0
    moves, factors = (
        np.empty((values.size * columns.size, 6), np.int64),
        np.empty(values.size * columns.size, values.dtype),
    )
    n = 0
    for k in range(values.size):
        w, v, out, into = blocks[k, 0], blocks[k, 1], blocks[k, 2], blocks[k, 3]
        if w == states - 1:
            continue
        for a_bra in range(columns.size):
            if to_place[a_bra, w] < 0 or right[a_bra, out] < 0:
                continue
            a = np.searchsorted(before.charges, before.charges[a_bra] - row_charges[w])
            b = right[a, into]
            if b < 0 or place[b, v] < 0:
                continue
            length = width[b, v]
            begin, to = place[b, v] + row[a, into] * length, to_place[a_bra, w] + column[a_bra, out]
            put(moves, n, begin, length, to, columns[a_bra], size_of(before, a), length)
            factors[n] = values[k]
            n += 1
    move_blocks(moves[:n], factors[:n], source, opened)
    bra = np.conj(packed_columns(tensor, before, after, right, column, columns, starts))
    for a in range(before.charges.size):
        high = size_of(before, a)
        for w in range(states - 1):
            if to_place[a, w] < 0:
                continue
            ket = np.searchsorted(before.charges, before.charges[a] - row_charges[w])
            inner, begin = size_of(before, ket), new_starts[a] + new_row[a, w] * high
            result = target[begin : begin + inner * high].reshape(inner, high)
            if columns[a] == 0:
                result[:] = 0
                continue
            product = opened[to_place[a, w] : to_place[a, w] + inner * columns[a]].reshape(inner, columns[a])
            # l [s' r'], l' [s' r'] -> l l'
            np.dot(product, bra[starts[a] : starts[a + 1]].reshape(high, columns[a]).T, result)
