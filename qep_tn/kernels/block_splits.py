"""Bonds split and centres moved where a charge is conserved: each sector of a bond has its own singular vectors."""

import numpy as np

from qep_tn.kernels.compilation import compiled


@compiled
def charges_between(labels, levels, sign):
    """Charges of (index, level), the level running fastest: left of a site plus (1), or right of it minus (-1) its own;
    or, for -1, of (level, index).
    """
    both = np.empty(labels.size * levels.size, np.int64)
    for i in range(labels.size):
        for s in range(levels.size):
            if sign > 0:
                both[i * levels.size + s] = labels[i] + levels[s]
            else:
                both[s * labels.size + i] = labels[i] - levels[s]
    return both


@compiled
def entries_with(charges, charge):
    """Where an array of charges has this one."""
    count = 0
    for k in range(charges.size):
        count += charges[k] == charge
    places = np.empty(count, np.int64)
    count = 0
    for k in range(charges.size):
        if charges[k] == charge:
            places[count] = k
            count += 1
    return places


@compiled
def part_of_matrix(matrix, rows, columns, first_row, first_column):
    """Some rows and columns of a matrix, counted from a first one, as a matrix of their own."""
    part = np.empty((rows.size, columns.size), matrix.dtype)
    for i in range(rows.size):
        line = matrix[first_row + rows[i]]
        for k in range(columns.size):
            part[i, k] = line[first_column + columns[k]]
    return part


@compiled
def product_by_sector(first, second, row_charges, middle, column_charges):
    """A two-site tensor (l s, t r) from its two sites' (l s, m) and (m, t r), charges of l s, m and t r given."""
    product = np.zeros((first.shape[0], second.shape[1]), first.dtype)
    begin = 0
    while begin < middle.size:
        end = begin + 1
        while end < middle.size and middle[end] == middle[begin]:
            end += 1
        rows, columns = entries_with(row_charges, middle[begin]), entries_with(column_charges, middle[begin])
        inner = np.arange(end - begin)
        a = part_of_matrix(first, rows, inner, 0, begin)
        block = np.dot(a, part_of_matrix(second, inner, columns, begin, 0))
        for i in range(rows.size):
            for k in range(columns.size):
                product[rows[i], columns[k]] = block[i, k]
        begin = end
    return product


@compiled
def dominant_vectors(matrix, others, weight, squares):
    """Weights, ascending, and vectors as columns, of the density matrix of a sector's rows; of the matrix's singular
    values squared, if `squares` of them would not resolve them.

    others: (any number, rows, columns) matrices that take part with this weight.
    """
    if not squares:
        u, s, _ = np.linalg.svd(matrix, False)
        order = np.arange(s.size)[::-1]
        vectors = np.empty((matrix.shape[0], s.size), matrix.dtype)
        for k in range(s.size):
            vectors[:, k] = u[:, order[k]]
        return s[::-1].copy() ** 2, vectors
    gram = np.dot(matrix, np.conj(matrix).T)
    for n in range(others.shape[0]):
        gram += weight**2 * np.dot(others[n], np.conj(others[n]).T)
    weights, columns = np.linalg.eigh(gram)
    vectors = np.empty(gram.shape, gram.dtype)
    vectors[:] = columns
    return weights, vectors


@compiled
def split_by_sector(matrix, other, starts, row_charges, column_charges, weight, cutoff, max_bond, squares, rightwards):
    """Split the two-site tensor of the centre, as a matrix (l s, t r), with charges of its rows and columns given.

    other: as many matrices as `starts`, side by side (rightwards) or one above another. Where to: an orthonormal basis
    on the side that the centre leaves. Returns that basis and the centre, both as matrices, the charges of the bond
    between, and the norm squared of the centre, which is normalised.
    """
    sectors = np.unique(row_charges)
    count = sectors.size
    ends, sizes = np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64)
    bases = np.empty(row_charges.size**2 if rightwards else column_charges.size**2, matrix.dtype)
    weights = np.empty(max(row_charges.size, column_charges.size))
    for m in range(count):
        rows, columns = entries_with(row_charges, sectors[m]), entries_with(column_charges, sectors[m])
        ends[m + 1], sizes[m + 1] = ends[m], sizes[m]
        if rows.size == 0 or columns.size == 0:
            continue
        part = part_of_matrix(matrix, rows, columns, 0, 0)
        if not rightwards:
            part = part.T.copy()
        seconds = np.empty((starts if weight > 0 else 0, part.shape[0], part.shape[1]), matrix.dtype)
        for n in range(seconds.shape[0]):
            if rightwards:
                seconds[n] = part_of_matrix(other, rows, columns, 0, n * matrix.shape[1])
            else:
                seconds[n] = part_of_matrix(other, rows, columns, n * matrix.shape[0], 0).T
        some, vectors = dominant_vectors(part, seconds, weight, squares)
        ends[m + 1] += some.size
        weights[ends[m] : ends[m + 1]] = some
        sizes[m + 1] += vectors.size
        bases[sizes[m] : sizes[m + 1]] = vectors.reshape(vectors.size)
    weights = weights[: ends[count]]
    total = 0.0
    for k in range(weights.size):
        total += max(weights[k], 0.0)
    order = np.argsort(-weights)
    kept = 0
    while kept < min(max_bond, weights.size) and weights[order[kept]] > cutoff**2 * total:
        kept += 1
    kept = max(kept, 1)
    keeps = np.zeros(weights.size, np.bool_)
    keeps[order[:kept]] = True

    labels = np.empty(kept, np.int64)
    first, second = np.zeros((matrix.shape[0], kept), matrix.dtype), np.zeros((kept, matrix.shape[1]), matrix.dtype)
    squared, place = 0.0, 0
    for m in range(count):
        number = 0
        for k in range(ends[m], ends[m + 1]):
            number += keeps[k]
        if number == 0:
            continue
        rows, columns = entries_with(row_charges, sectors[m]), entries_with(column_charges, sectors[m])
        side = rows.size if rightwards else columns.size
        vectors = bases[sizes[m] : sizes[m + 1]].reshape(side, ends[m + 1] - ends[m])
        basis, column = np.empty((side, number), matrix.dtype), 0
        for k in range(ends[m + 1] - 1, ends[m] - 1, -1):  # the heaviest first
            if keeps[k]:
                basis[:, column] = vectors[:, k - ends[m]]
                column += 1
        part = part_of_matrix(matrix, rows, columns, 0, 0)
        labels[place : place + number] = sectors[m]
        # [l s] m, [l s] t r -> m t r; or l s [t r], m [t r] -> l s m
        centre = np.dot(np.conj(basis).T.copy(), part) if rightwards else np.dot(part, np.conj(basis))
        flat = centre.reshape(centre.size)
        squared += np.vdot(flat, flat).real
        a, b = (basis, centre) if rightwards else (centre, basis.T.copy())
        for k in range(number):
            for i in range(rows.size):
                first[rows[i], place + k] = a[i, k]
            for i in range(columns.size):
                second[place + k, columns[i]] = b[k, i]
        place += number
    if rightwards:
        second /= np.sqrt(squared)
    else:
        first /= np.sqrt(squared)
    return first, second, labels, squared


@compiled
def room_by_sector(row_charges, labels):
    """Charges of rows, ascending, and how many orthonormal columns each gets: those of the labels with it, as far as
    there are rows; what is left over goes to where most rows are free, as a dense decomposition would have it.
    """
    sectors = np.unique(row_charges)
    kept, free = np.zeros(sectors.size, np.int64), np.zeros(sectors.size, np.int64)
    for m in range(sectors.size):
        rows, columns = (row_charges == sectors[m]).sum(), (labels == sectors[m]).sum()
        kept[m] = min(rows, columns)
        free[m] = rows - kept[m]
    for _ in range(min(labels.size - kept.sum(), free.sum())):
        emptiest = np.argmax(free)
        kept[emptiest] += 1
        free[emptiest] -= 1
    return sectors, kept


@compiled
def orthogonal_by_sector(matrix, row_charges, labels):
    """QR of a matrix ((l, s), r) sector by sector: orthonormal columns, the other factor, and the bond's charges."""
    sectors, room = room_by_sector(row_charges, labels)
    total, kept = room.sum(), 0
    q = np.zeros((matrix.shape[0], total), matrix.dtype)
    r = np.zeros((total, labels.size), matrix.dtype)
    fresh = np.empty(total, np.int64)
    for m in range(sectors.size):
        count = room[m]
        if count == 0:
            continue
        rows, columns = entries_with(row_charges, sectors[m]), entries_with(labels, sectors[m])
        part = part_of_matrix(matrix, rows, columns, 0, 0)
        wide = part
        if count > columns.size:
            wide = np.zeros((rows.size, columns.size + rows.size), matrix.dtype)
            wide[:, : columns.size] = part
            for k in range(rows.size):
                wide[k, columns.size + k] = 1
        basis = np.ascontiguousarray(np.linalg.qr(wide)[0][:, :count])
        factor = np.dot(np.conj(basis).T.copy(), part) if columns.size > 0 else part[:count]
        for k in range(count):
            fresh[kept + k] = sectors[m]
            for i in range(rows.size):
                q[rows[i], kept + k] = basis[i, k]
            for i in range(columns.size):
                r[kept + k, columns[i]] = factor[k, i]
        kept += count
    return q, r, fresh
