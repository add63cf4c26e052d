"""Samples of local levels from a matrix product state, each drawn from the exact distribution."""

import numpy as np

from qep_tn.kernels.compilation import compiled
from qep_tn.kernels.packing import PackedMPS, largest_tensor, site_tensor

_TOGETHER = 128  # shots in one product: their vectors and halves of bond 32 to 64 stay in a core's own cache


@compiled
def draw_levels(mps, uniforms):
    """Levels of all sites, site by site from their conditional probabilities (Ferris and Vidal, PRB 85, 165146, 2012).

    mps: a normalized right-canonical `PackedMPS`, centre on its first site: what is right of a site traces out.
    uniforms: (L, shots) independent numbers in [0, 1).
    Returns (shots, L) integers. All shots that go together make one product with each tensor, O(shots L χ² d).
    """
    sites, shots = uniforms.shape
    levels = np.empty((shots, sites), np.int64)
    most = min(_TOGETHER, shots)
    largest = largest_tensor(mps)
    vectors_buffer = np.empty(most * mps.bonds.max(), mps.data.dtype)
    halves_buffer = np.empty(most * largest, mps.data.dtype)
    chances = np.empty(mps.dims.max())
    for begin in range(0, shots, most):
        count = min(most, shots - begin)
        vectors_buffer[:count] = 1  # the left part of each shot's state, of norm 1: at first a bond of dimension 1
        for site in range(sites):
            tensor = site_tensor(mps, site)
            left, dim, right = tensor.shape
            vectors = vectors_buffer[: count * left].reshape(count, left)
            halves = halves_buffer[: count * dim * right].reshape(count, dim * right)
            np.dot(vectors, tensor.reshape(left, dim * right), halves)  # n [l], [l] p r -> n p r
            grown = vectors_buffer[: count * right].reshape(count, right)
            for n in range(count):
                total = 0.0
                for level in range(dim):
                    chance = 0.0
                    for k in range(level * right, (level + 1) * right):
                        chance += halves[n, k].real ** 2 + halves[n, k].imag ** 2
                    chances[level] = chance
                    total += chance
                aim = uniforms[site, begin + n] * total
                level = 0
                below = chances[0]
                while level < dim - 1 and aim >= below:
                    level += 1
                    below += chances[level]
                while chances[level] == 0 and level > 0:  # rounding at the upper end
                    level -= 1
                levels[begin + n, site] = level
                scale = 1 / np.sqrt(chances[level])
                for k in range(right):
                    grown[n, k] = halves[n, level * right + k] * scale
    return levels


def sample_levels(packed: PackedMPS, shots: int, rng: np.random.Generator, at_once: int = 2**14) -> np.ndarray:
    """Levels of all sites, (shots, L), of a normalized right-canonical MPS, centre on its first site.

    at_once: how many shots have their random numbers in memory.
    """
    parts = [
        draw_levels(packed, rng.random((len(packed.dims), min(at_once, shots - begin))))
        for begin in range(0, shots, at_once)
    ]
    return np.concatenate(parts)
