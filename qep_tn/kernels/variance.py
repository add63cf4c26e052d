"""Energy, energy variance and residuals of MPS over the whole chain."""

import numpy as np

from qep_tn.kernels.compilation import compiled
from qep_tn.kernels.packing import largest_tensor, site_tensor


@compiled
def energy(mpo, mps, shift):
    """<H - shift> of a right-canonical PackedMPS, normalised, centre on site 0. O(L w D^2 d (D + d)).

    An equal share of the shift is taken off on every site, which keeps partial sums, and with them the rounding error,
    small.
    """
    length = mps.dims.size
    states, side, size = mpo.bonds.max(), mps.bonds.max(), largest_tensor(mps)
    dtype = mps.data.dtype
    environment, grown = np.zeros(states * side**2, dtype), np.zeros(states * side**2, dtype)
    contracted, applied = np.empty(states * size, dtype), np.empty(states * size, dtype)
    environment[0] = 1
    for site in range(length - 1, -1, -1):
        ket = site_tensor(mps, site)
        left, dim, right = ket.shape
        rows, columns = mpo.bonds[site], mpo.bonds[site + 1]
        half = contracted[: columns * ket.size].reshape(columns, left, dim, right)
        for b in range(columns):  # l s [r], [r] r' -> l s r'
            block = environment[b * right**2 : (b + 1) * right**2].reshape(right, right)
            np.dot(ket.reshape(left * dim, right), block, half[b].reshape(left * dim, right))
        operated = applied[: rows * ket.size].reshape(rows, left, dim, right)
        operated[:] = 0
        for n in range(mpo.starts[site], mpo.starts[site + 1]):
            a, b, out, into = mpo.blocks[n, 0], mpo.blocks[n, 1], mpo.blocks[n, 2], mpo.blocks[n, 3]
            add_rows(mpo.values[n], half[b], into, operated[a], out)
        for s in range(dim):  # the machine's first row and last column hold the one-site terms
            add_rows(-shift / length, half[columns - 1], s, operated[0], s)
        bra = np.conj(ket).reshape(left, dim * right)
        for a in range(rows):  # l [s' r'], l' [s' r'] -> l l'
            target = grown[a * left**2 : (a + 1) * left**2].reshape(left, left)
            np.dot(operated[a].reshape(left, dim * right), bra.T, target)
        environment, grown = grown, environment
    return environment[0].real


@compiled
def residual_overlap(mpo_bra, bra, shift_bra, mpo, ket, shift):
    """<(H_bra - shift_bra) bra | (H - shift) ket> of two right-canonical PackedMPS of the same sites.

    With H twice, one state twice and its energy for shift, the energy variance. Shifts are shared out as in `energy`.
    O(L w^2 D^2 d (D + d)).
    """
    length = ket.dims.size
    states, states_bra = mpo.bonds.max(), mpo_bra.bonds.max()
    side, side_bra = ket.bonds.max(), bra.bonds.max()
    size = side * ket.dims.max() * side_bra
    dtype = ket.data.dtype
    # environments: outer column, of the bra's MPO, slowest; then ket, inner column, bra
    environment = np.zeros(states * states_bra * side * side_bra, dtype)
    grown = np.zeros(states * states_bra * side * side_bra, dtype)
    contracted, applied = np.empty(states * size, dtype), np.empty(states * states_bra * size, dtype)
    opened, closed = np.empty(states_bra * size, dtype), np.empty(states_bra * side * side_bra, dtype)
    environment[0] = 1
    for site in range(length - 1, -1, -1):
        lower, upper = site_tensor(ket, site), site_tensor(bra, site)
        left, dim, right = lower.shape
        left_bra, _, right_bra = upper.shape
        rows, columns = mpo.bonds[site], mpo.bonds[site + 1]
        rows_bra, columns_bra = mpo_bra.bonds[site], mpo_bra.bonds[site + 1]
        inner_size = left * dim * right_bra
        inner = applied[: rows * columns_bra * inner_size].reshape(rows, columns_bra, left, dim, right_bra)
        inner[:] = 0
        half = contracted[: columns * inner_size].reshape(left, dim, columns, right_bra)
        block = right * columns * right_bra
        for c in range(columns_bra):
            # l s [r], [r] b r' -> l s b r'
            flat = environment[c * block : (c + 1) * block].reshape(right, columns * right_bra)
            np.dot(lower.reshape(left * dim, right), flat, half.reshape(left * dim, columns * right_bra))
            for n in range(mpo.starts[site], mpo.starts[site + 1]):
                a, b, out, into = mpo.blocks[n, 0], mpo.blocks[n, 1], mpo.blocks[n, 2], mpo.blocks[n, 3]
                add_rows(mpo.values[n], half[:, :, b], into, inner[a, c], out)
            for s in range(dim):
                add_rows(-shift / length, half[:, :, columns - 1], s, inner[0, c], s)
        outer = opened[: rows_bra * inner_size].reshape(left, rows_bra, dim, right_bra)
        target = grown[: rows_bra * left * rows * left_bra].reshape(rows_bra, left, rows, left_bra)
        adjoint = np.conj(upper).reshape(left_bra, dim * right_bra).T
        for a in range(rows):
            outer[:] = 0
            for n in range(mpo_bra.starts[site], mpo_bra.starts[site + 1]):
                b, c = mpo_bra.blocks[n, 0], mpo_bra.blocks[n, 1]
                add_rows(mpo_bra.values[n], inner[a, c], mpo_bra.blocks[n, 3], outer[:, b], mpo_bra.blocks[n, 2])
            for s in range(dim):
                add_rows(-shift_bra / length, inner[a, columns_bra - 1], s, outer[:, 0], s)
            product = closed[: left * rows_bra * left_bra].reshape(left * rows_bra, left_bra)
            # (l b) [s' r'], [s' r'] l' -> (l b) l'
            np.dot(outer.reshape(left * rows_bra, dim * right_bra), adjoint, product)
            by_row = product.reshape(left, rows_bra, left_bra)
            for b in range(rows_bra):
                target[b, :, a] = by_row[:, b]
        environment, grown = grown, environment
    return environment[0]


@compiled
def add_rows(value, source, into, target, out):
    """target[:, out] += value * source[:, into]."""
    for i in range(source.shape[0]):
        for k in range(source.shape[2]):
            target[i, out, k] += value * source[i, into, k]
