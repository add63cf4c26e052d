"""An MPS as flat arrays, the form in which compiled code takes it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from qep_tn.kernels.compilation import compiled


class PackedMPS(NamedTuple):
    """The site tensors of an open-boundary MPS, one after another in one buffer.

    data: (sum of all sizes,) float64 or complex128; each tensor (left, physical, right) in C order.
    offsets: (L + 1,) where in `data` each site's tensor starts, and the end.
    bonds: (L + 1,) dimension of the bond left of each site, and of the last; the first and last are 1, but in a window.
    dims: (L,) physical dimensions.
    """

    data: np.ndarray
    offsets: np.ndarray
    bonds: np.ndarray
    dims: np.ndarray


def pack(tensors: Sequence[np.ndarray]) -> PackedMPS:
    """Copy site tensors (left, physical, right), all float64 or all complex128, into one buffer."""
    sizes = [tensor.size for tensor in tensors]
    return PackedMPS(
        data=np.concatenate([tensor.ravel() for tensor in tensors]),
        offsets=np.cumsum([0, *sizes]),
        bonds=np.array([1, *(tensor.shape[2] for tensor in tensors)]),
        dims=np.array([tensor.shape[1] for tensor in tensors]),
    )


@compiled
def site_tensor(mps, site):
    """The tensor (left, physical, right) of one site of a `PackedMPS`, a view."""
    tensor = mps.data[mps.offsets[site] : mps.offsets[site + 1]]
    return tensor.reshape(mps.bonds[site], mps.dims[site], mps.bonds[site + 1])


@compiled
def largest_tensor(mps):
    """Number of entries of the largest site tensor of a `PackedMPS`."""
    size = 0
    for site in range(mps.dims.size):
        size = max(size, mps.offsets[site + 1] - mps.offsets[site])
    return size


@compiled
def site_matrix(matrices, offsets, index, dim):
    """One (out, in) matrix out of a buffer of flattened one-site operators, a view."""
    return matrices[offsets[index] : offsets[index + 1]].reshape(dim, dim)


@compiled
def apply_to_bra(matrix, tensor, buffer):
    """The bra tensor of one site with a one-site operator absorbed; identity and Pauli zeros cost nothing.

    matrix: (out, in). tensor: (left, physical, right), of the ket.
    buffer: 1-D scratch of at least the tensor's size; holds the result.
    Returns (left * in, right), so that both of its uses are one product with ket tensors. O(χ² d²).
    """
    left, dim, right = tensor.shape
    bra = buffer[: tensor.size].reshape(left, dim, right)
    for i in range(left):
        for t in range(dim):
            row = bra[i, t]
            row[:] = 0
            for s in range(dim):  # bra[l t r] = sum_s conj(A[l s r]) O[s t]
                weight = matrix[s, t]
                if weight != 0:
                    for k in range(right):
                        row[k] += weight * np.conj(tensor[i, s, k])
    return bra.reshape(left * dim, right)
