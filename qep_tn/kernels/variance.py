"""Energy and energy variance of an MPS."""

import numba
import numpy as np

from qep_tn.kernels.packing import largest_tensor, site_tensor


@numba.njit(cache=True, nogil=True)
def moments(mpo, mps, shift):
    """<H - shift> and <(H - shift)^2> of a right-canonical PackedMPS, normalised, centre on site 0.

    An equal share of the shift is taken off on every site, which keeps partial sums, and with them the rounding error,
    small. O(L w^2 D^2 d (D + d)).
    """
    length = mps.dims.size
    states = mpo.bonds.max()
    side = mps.bonds.max()
    size = largest_tensor(mps)
    dtype = mps.data.dtype
    once, once_grown = np.zeros(states * side**2, dtype), np.zeros(states * side**2, dtype)
    twice, twice_grown = np.zeros((states * side) ** 2, dtype), np.zeros((states * side) ** 2, dtype)
    contracted, applied = np.empty(states**2 * size, dtype), np.empty(states**2 * size, dtype)
    once[0], twice[0] = 1, 1
    for site in range(length - 1, -1, -1):
        ket = site_tensor(mps, site)
        left, dim, right = ket.shape
        rows, columns = mpo.bonds[site], mpo.bonds[site + 1]
        first, last = mpo.starts[site], mpo.starts[site + 1]
        bra = np.conj(ket).reshape(left, dim * right)
        flat_ket = ket.reshape(left * dim, right)

        # the environments of H: column, ket, bra
        half = contracted[: columns * ket.size].reshape(columns, left, dim, right)
        for b in range(columns):  # l s [r], [r] r' -> l s r'
            environment = once[b * right**2 : (b + 1) * right**2].reshape(right, right)
            np.dot(flat_ket, environment, half[b].reshape(left * dim, right))
        operated = applied[: rows * ket.size].reshape(rows, left, dim, right)
        operated[:] = 0
        for n in range(first, last):
            add_rows(
                mpo.values[n], half[mpo.blocks[n, 1]], mpo.blocks[n, 3], operated[mpo.blocks[n, 0]], mpo.blocks[n, 2]
            )
        for s in range(dim):  # the machine's first row and last column hold the one-site terms
            add_rows(-shift / length, half[columns - 1], s, operated[0], s)
        for a in range(rows):  # l [s' r'], l' [s' r'] -> l l'
            target = once_grown[a * left**2 : (a + 1) * left**2].reshape(left, left)
            np.dot(operated[a].reshape(left, dim * right), bra.T, target)

        # the environments of H^2: inner column, outer column, ket, bra
        pairs = contracted[: columns**2 * ket.size].reshape(columns, columns, left, dim, right)
        for b in range(columns):
            for c in range(columns):
                start = (b * columns + c) * right**2
                environment = twice[start : start + right**2].reshape(right, right)
                np.dot(flat_ket, environment, pairs[b, c].reshape(left * dim, right))
        inner = applied[: rows * columns * ket.size].reshape(rows, columns, left, dim, right)
        inner[:] = 0
        for c in range(columns):
            for n in range(first, last):
                a, b, out, into = mpo.blocks[n, 0], mpo.blocks[n, 1], mpo.blocks[n, 2], mpo.blocks[n, 3]
                add_rows(mpo.values[n], pairs[b, c], into, inner[a, c], out)
            for s in range(dim):
                add_rows(-shift / length, pairs[columns - 1, c], s, inner[0, c], s)
        outer = contracted[: rows**2 * ket.size].reshape(rows, rows, left, dim, right)
        outer[:] = 0
        for a in range(rows):
            for n in range(first, last):
                b, c, out, into = mpo.blocks[n, 0], mpo.blocks[n, 1], mpo.blocks[n, 2], mpo.blocks[n, 3]
                add_rows(mpo.values[n], inner[a, c], into, outer[a, b], out)
            for s in range(dim):
                add_rows(-shift / length, inner[a, columns - 1], s, outer[a, 0], s)
            for b in range(rows):
                start = (a * rows + b) * left**2
                target = twice_grown[start : start + left**2].reshape(left, left)
                np.dot(outer[a, b].reshape(left, dim * right), bra.T, target)
        once, once_grown = once_grown, once
        twice, twice_grown = twice_grown, twice
    return once[0].real, twice[0].real


@numba.njit(cache=True, nogil=True)
def add_rows(value, source, into, target, out):
    """target[:, out] += value * source[:, into]."""
    for i in range(source.shape[0]):
        for k in range(source.shape[2]):
            target[i, out, k] += value * source[i, into, k]
