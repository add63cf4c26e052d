"""The lowest eigenvector of an effective Hamiltonian."""

import numpy as np

from qep_tn.kernels.compilation import compiled
from qep_tn.kernels.steps import apply_problem, set_vector, vector_of


@compiled
def lowest_eigenvector(problem, x, lifted, krylov, scratch, vectors, tolerance, reduction):
    """Improve x, normalised, towards the lowest eigenvector of H_eff by Lanczos iteration; x is overwritten.

    problem: of one or two sites, see `qep_tn.kernels.steps`. x: (left, physical, right).
    lifted: (any number, size) vectors v of the problem; v v^H is added to H_eff for each.
    krylov: (more than `vectors`, at least x.size) room for the Krylov vectors.
    vectors: most Krylov vectors. Stops when the residual's norm is below `tolerance`, or below `reduction` times the
        first one.
    Returns the energy before and after, and the norm of the first residual, (H_eff - E) x. Each Krylov vector is
    orthogonalised twice against all others: otherwise copies of converged eigenvalues appear, and energies below the
    true one.
    """
    vector = vector_of(problem, x)
    size = vector.size
    basis = krylov.reshape(-1)[: (vectors + 1) * size].reshape(vectors + 1, size)
    diagonal, below = np.empty(vectors), np.empty(vectors)
    coefficients = np.ones(vectors)
    basis[0] = vector
    energy, first_residual, count = 0.0, 0.0, 0
    for k in range(min(vectors, size)):
        new = basis[k + 1]
        apply_problem(problem, basis[k], new, x.shape, scratch)
        for n in range(lifted.shape[0]):
            new += np.vdot(lifted[n], basis[k]) * lifted[n]
        diagonal[k] = np.vdot(basis[k], new).real
        for _ in range(2):
            overlaps = np.conj(np.dot(basis[: k + 1], np.conj(new)))
            new -= np.dot(overlaps, basis[: k + 1])
        below[k] = np.sqrt(np.vdot(new, new).real)
        count = k + 1
        if k == 0:
            first_residual = below[0]
            energy = diagonal[0]
        else:
            energy = lowest_of_tridiagonal(diagonal, below, count, coefficients)
        residual = below[k] * abs(coefficients[k])
        if residual <= tolerance or residual <= reduction * first_residual or below[k] < 1e-14 * abs(energy):
            break
        new /= below[k]
    if count > 1:
        vector[:] = 0
        for k in range(count):
            vector += coefficients[k] * basis[k]
        vector /= np.sqrt(np.vdot(vector, vector).real)
        set_vector(problem, x, vector)
    return diagonal[0], energy, first_residual


@compiled
def lowest_of_tridiagonal(diagonal, below, count, vector):
    """Lowest eigenvalue of a symmetric tridiagonal matrix; its eigenvector, first entry positive, goes into vector.

    Bisection on the sign of the pivots, then inverse iteration just below the eigenvalue, where all pivots are
    positive and elimination is stable.
    """
    low, high = diagonal[0], diagonal[0]
    for k in range(count):
        radius = (below[k - 1] if k > 0 else 0.0) + (below[k] if k < count - 1 else 0.0)
        low, high = min(low, diagonal[k] - radius), min(high, diagonal[k])
    width = high - low
    low -= 1e-14 * (abs(low) + width)
    for _ in range(100):
        middle = 0.5 * (low + high)
        if middle <= low or middle >= high:
            break
        pivot, positive = diagonal[0] - middle, True
        for k in range(1, count):
            if pivot <= 0:
                positive = False
                break
            pivot = diagonal[k] - middle - below[k - 1] ** 2 / pivot
        if positive and pivot > 0:
            low = middle
        else:
            high = middle
    shift = low - 1e-15 * (abs(low) + width)
    pivots = np.empty(count)
    pivots[0] = diagonal[0] - shift
    for k in range(1, count):
        pivots[k] = diagonal[k] - shift - below[k - 1] ** 2 / max(pivots[k - 1], 1e-300)
    vector[:count] = 0
    vector[0] = 1
    for _ in range(3):
        for k in range(1, count):
            vector[k] -= below[k - 1] / max(pivots[k - 1], 1e-300) * vector[k - 1]
        vector[count - 1] /= max(pivots[count - 1], 1e-300)
        for k in range(count - 2, -1, -1):
            vector[k] = (vector[k] - below[k] * vector[k + 1]) / max(pivots[k], 1e-300)
        norm = 0.0
        for k in range(count):
            norm += vector[k] ** 2
        vector[:count] /= np.sqrt(norm)
    if vector[0] < 0:
        vector[:count] *= -1
    return 0.5 * (low + high)
