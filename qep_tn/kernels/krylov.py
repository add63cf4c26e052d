"""What an iteration on vectors of the whole Hilbert space is made of."""

import numpy as np

from qep_tn.kernels.compilation import compiled

_CHUNK = 1024  # entries of a vector that stay in the first cache while several others are subtracted


@compiled
def apply_sparse(starts, columns, values, x):
    """A sparse matrix in CSR form times a vector; all indices unsigned, of which Numba knows that none is negative."""
    y = np.zeros(starts.size - 1, values.dtype)
    for row in range(y.size):
        total = y[row]
        for k in range(starts[row], starts[row + 1]):
            total += values[k] * x[columns[k]]
        y[row] = total
    return y


@compiled
def next_lanczos_vector(new, last, before, below, away, out):
    """From new = H last, overwritten, to the next Lanczos vector, which goes into `out`.

    before, below: the vector before the last, and their matrix element; zero for the first step.
    away: (number, size) vectors to stay orthogonal to.
    Returns <last|H|last> and <out|H|last>; if that is zero, nothing goes into `out`.
    """
    mean = np.dot(last, new)
    if below != 0:
        mean -= below * np.dot(last, before)
    overlaps = np.zeros(away.shape[0])
    for first in range(0, new.size, _CHUNK):
        end = min(first + _CHUNK, new.size)
        rest = new[first:end]
        if below != 0:
            _subtract(rest, below, before[first:end])
        _subtract(rest, mean, last[first:end])
        for k in range(away.shape[0]):
            overlaps[k] += np.dot(away[k, first:end], rest)
    square = 0.0
    for first in range(0, new.size, _CHUNK):
        end = min(first + _CHUNK, new.size)
        rest = new[first:end]
        for k in range(away.shape[0]):
            _subtract(rest, overlaps[k], away[k, first:end])
        square += np.dot(rest, rest)
    length = np.sqrt(square)
    if length > 0:
        for n in range(new.size):
            out[n] = new[n] / length
    return mean, length


@compiled
def _subtract(y, factor, x):
    for n in range(y.size):
        y[n] -= factor * x[n]
