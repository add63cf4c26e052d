"""Product states of low energy, by annealing one site at a time in the mean field of the others."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from qep_tn.kernels.compilation import compiled

_DESCENTS = 200  # sweeps at zero temperature at most; ten to thirty are usual
_SETTLED = 1e-13  # of the sum of all coefficients: what a sweep gains no more
_ROTATIONS = 30  # of Jacobi's sweeps at most; it converges quadratically, a qubit in one


class MeanField(NamedTuple):
    """Which one-site factors the products of a Hamiltonian have.

    dims: (L,) physical dimensions.
    matrices: (sum of dim²,) complex; the factors (out, in), flattened, one after another, sorted by site.
    matrix_offsets: (number of factors,) where each starts.
    site_factors: (L + 1,) which factors belong to which site.
    factors, product_starts: the factors of each product, one product after another, and where each starts.
    owners, factor_starts: the products of each factor, one factor after another, and where each starts.
    """

    dims: np.ndarray
    matrices: np.ndarray
    matrix_offsets: np.ndarray
    site_factors: np.ndarray
    factors: np.ndarray
    product_starts: np.ndarray
    owners: np.ndarray
    factor_starts: np.ndarray


def sort_factors(
    dims: Sequence[int],
    numbered: Sequence[tuple[int, Hashable]],
    matrices: Sequence[np.ndarray],
    products: Sequence[Sequence[tuple[int, Hashable]]],
) -> MeanField:
    """Arrange products of one-site factors (site, name).

    numbered: the different factors, sorted by site. matrices: of each, flattened, complex.
    """
    number = {factor: n for n, factor in enumerate(numbered)}
    factors = np.array([number[factor] for product in products for factor in product], np.int64)
    lengths = np.array([len(product) for product in products], np.int64)
    return MeanField(
        dims=np.array(dims, np.int64),
        matrices=np.concatenate([np.empty(0, complex), *matrices]),
        matrix_offsets=np.cumsum([0, *(matrix.size for matrix in matrices)])[:-1],
        site_factors=np.searchsorted([site for site, _ in numbered], np.arange(len(dims) + 1)),
        factors=factors,
        product_starts=np.concatenate([[0], np.cumsum(lengths)]),
        owners=np.repeat(np.arange(len(products)), lengths)[np.argsort(factors, kind="stable")],
        factor_starts=np.concatenate([[0], np.cumsum(np.bincount(factors, minlength=len(numbered)))]),
    )


@compiled
def anneal(field, coefficients, temperatures, chances, vectors):
    """Heat-bath sweeps, then descent to where no single site can lower the energy.

    With the other sites fixed, site j's energy is a Hermitian matrix; it takes the eigenvector of eigenvalue E with
    probability ~ exp(-E / T), at zero temperature the lowest. For a diagonal H this is Glauber dynamics of classical
    spins; in a transverse field the vectors tilt.
    coefficients: (number of products,) complex. temperatures: (sweeps,), positive.
    chances: (sweeps, L) random numbers in [0, 1).
    vectors: (L, largest dimension) complex, normalised; the product state, changed in place.
    Returns its energy. O(factors of all products) per sweep.
    """
    length = field.dims.size
    largest = field.dims.max()
    matrix, basis = np.empty((largest, largest), np.complex128), np.empty((largest, largest), np.complex128)
    expectations = np.empty(field.matrix_offsets.size, np.complex128)
    for site in range(length):
        measure(field, site, vectors, expectations)
    settled = _SETTLED * np.abs(coefficients).sum()
    for sweep in range(temperatures.size + _DESCENTS):
        gained = 0.0
        for site in range(length):
            dim = field.dims[site]
            site_energy(field, coefficients, site, expectations, matrix)
            before = 0.0
            for a in range(dim):
                for b in range(dim):
                    before += (np.conj(vectors[site, a]) * matrix[a, b] * vectors[site, b]).real
            diagonalize(matrix, dim, basis)
            lowest = 0
            for k in range(dim):
                if matrix[k, k].real < matrix[lowest, lowest].real:
                    lowest = k
            chosen = lowest
            if sweep < temperatures.size:
                chosen = heat_bath(matrix, dim, lowest, temperatures[sweep], chances[sweep, site])
            elif before - matrix[lowest, lowest].real <= settled:
                continue  # also a free site stays as it is
            gained += before - matrix[chosen, chosen].real
            vectors[site, :dim] = basis[:dim, chosen]
            measure(field, site, vectors, expectations)
        if sweep >= temperatures.size and gained <= settled:
            break
    energy = 0.0
    for product in range(coefficients.size):
        value = coefficients[product]
        for n in range(field.product_starts[product], field.product_starts[product + 1]):
            value *= expectations[field.factors[n]]
        energy += value.real
    return energy


@compiled
def measure(field, site, vectors, expectations):
    """Expectation of each factor on one site."""
    dim = field.dims[site]
    for factor in range(field.site_factors[site], field.site_factors[site + 1]):
        start = field.matrix_offsets[factor]
        value = 0j
        for a in range(dim):
            for b in range(dim):
                value += np.conj(vectors[site, a]) * field.matrices[start + a * dim + b] * vectors[site, b]
        expectations[factor] = value


@compiled
def site_energy(field, coefficients, site, expectations, matrix):
    """The energy of one site in the mean field of the others, (dim, dim), Hermitian."""
    dim = field.dims[site]
    matrix[:dim, :dim] = 0
    for factor in range(field.site_factors[site], field.site_factors[site + 1]):
        weight = 0j
        for m in range(field.factor_starts[factor], field.factor_starts[factor + 1]):
            product = field.owners[m]
            value = coefficients[product]
            for n in range(field.product_starts[product], field.product_starts[product + 1]):
                if field.factors[n] != factor:
                    value *= expectations[field.factors[n]]
            weight += value
        start = field.matrix_offsets[factor]
        for a in range(dim):
            for b in range(dim):
                term = weight * field.matrices[start + a * dim + b]
                matrix[a, b] += 0.5 * term
                matrix[b, a] += 0.5 * np.conj(term)


@compiled
def diagonalize(matrix, dim, basis):
    """Jacobi's rotations: eigenvalues to the diagonal of a Hermitian matrix, eigenvectors to the columns of basis."""
    size = 0.0
    for a in range(dim):
        for b in range(dim):
            size = max(size, abs(matrix[a, b]))
            basis[a, b] = 1.0 if a == b else 0.0
    for _ in range(_ROTATIONS):
        rotated = False
        for p in range(dim):
            for q in range(p + 1, dim):
                modulus = abs(matrix[p, q])
                if modulus <= 1e-15 * size:
                    continue
                rotated = True
                phase = np.conj(matrix[p, q]) / modulus  # takes the element to the real axis
                slope = (matrix[q, q].real - matrix[p, p].real) / (2 * modulus)
                t = (1.0 if slope >= 0 else -1.0) / (abs(slope) + np.sqrt(1 + slope**2))
                c = 1 / np.sqrt(1 + t**2)
                s = t * c
                for k in range(dim):
                    for array in (matrix, basis):
                        first, second = array[k, p], array[k, q] * phase
                        array[k, p], array[k, q] = c * first - s * second, s * first + c * second
                for k in range(dim):
                    first, second = matrix[p, k], matrix[q, k] * np.conj(phase)
                    matrix[p, k], matrix[q, k] = c * first - s * second, s * first + c * second
        if not rotated:
            break


@compiled
def heat_bath(matrix, dim, lowest, temperature, chance):
    """Which of the levels on the diagonal a random number in [0, 1) chooses at this temperature."""
    total = 0.0
    for k in range(dim):
        total += np.exp((matrix[lowest, lowest].real - matrix[k, k].real) / temperature)
    left = chance * total
    for k in range(dim):
        left -= np.exp((matrix[lowest, lowest].real - matrix[k, k].real) / temperature)
        if left < 0:
            return k
    return lowest
