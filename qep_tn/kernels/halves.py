"""An operator on the whole space, applied to a vector in two halves: a sum of (left matrix) x (right matrix)."""

from typing import NamedTuple

import numpy as np

from qep_tn.kernels.compilation import compiled


class SplitOperator(NamedTuple):
    """sum_b A_b x B_b + 1 x D on vectors of shape (rows, columns), all real; B_0 is the identity.

    starts: (number of A_b, rows + 1) where the entries of each row of each A_b begin, and the end.
    entries, values: column and value of every entry of the A_b.
    slices: (number of B_b + 1,) where in what follows each B_b begins, and the end.
    right_entries, right_values: (number of slices, columns) column and value of an entry of every row of a B_b; as
        many slices as its rows have entries.
    dense: (columns, columns) the transpose of D.
    """

    starts: np.ndarray
    entries: np.ndarray
    values: np.ndarray
    slices: np.ndarray
    right_entries: np.ndarray
    right_values: np.ndarray
    dense: np.ndarray


def apply_halves(operator: SplitOperator, x: np.ndarray) -> np.ndarray:
    """The operator applied to a vector, (rows * columns,)."""
    x = x.reshape(-1, len(operator.dense))
    y = x @ operator.dense
    _add_rows(operator, x, y)
    return y.reshape(-1)


@compiled
def _add_rows(operator, x, y):
    """Add sum_b (A_b x B_b) x to y, both (rows, columns). Sums run along the columns, so that they vectorise."""
    starts, slices = operator.starts, operator.slices
    scratch = np.empty(x.shape[1])
    for row in range(x.shape[0]):
        out = y[row]
        _combine(operator.entries, operator.values, starts[0, row], starts[0, row + 1], x, out)
        for kind in range(1, starts.shape[0]):
            if starts[kind, row] == starts[kind, row + 1]:
                continue
            scratch[:] = 0
            _combine(operator.entries, operator.values, starts[kind, row], starts[kind, row + 1], x, scratch)
            for k in range(slices[kind], slices[kind + 1]):
                places, values = operator.right_entries[k], operator.right_values[k]
                for n in range(out.size):
                    out[n] += values[n] * scratch[places[n]]


@compiled
def _combine(entries, values, first, end, x, out):
    """Add values[k] x[entries[k]] from k = first on. Four at a time: `out` is loaded and stored a quarter as often."""
    k = first
    while k + 4 <= end:
        a, b, c, d = x[entries[k]], x[entries[k + 1]], x[entries[k + 2]], x[entries[k + 3]]
        p, q, r, s = values[k], values[k + 1], values[k + 2], values[k + 3]
        for n in range(out.size):
            out[n] += (p * a[n] + q * b[n]) + (r * c[n] + s * d[n])
        k += 4
    while k < end:
        a, p = x[entries[k]], values[k]
        for n in range(out.size):
            out[n] += p * a[n]
        k += 1
