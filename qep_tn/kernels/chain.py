"""An MPS at work in DMRG: tensors and environments in buffers with room for the bonds to grow."""

from typing import NamedTuple

import numpy as np

from qep_tn.kernels.compilation import compiled
from qep_tn.kernels.packing import PackedMPS


class Chain(NamedTuple):
    """An MPS with orthogonality centre anywhere, and one environment for each bond.

    Left of the centre all tensors are left-canonical and the environments are left ones (row, bra, ket); right of it
    they are right-canonical and right ones (column, ket, bra). The chain may be a window cut out of a longer one: its
    outer bonds then have any dimension.

    tensors: 1-D buffer; the tensor (left, physical, right) of site j begins at tensor_starts[j].
    environments: 1-D buffer; that of the bond left of site j begins at environment_starts[j].
    bonds: (L + 1,) present dimension of each bond. limits: (L + 1,) the largest there is room for.
    dims: (L,) physical dimensions.
    """

    tensors: np.ndarray
    tensor_starts: np.ndarray
    environments: np.ndarray
    environment_starts: np.ndarray
    bonds: np.ndarray
    limits: np.ndarray
    dims: np.ndarray


def bond_limits(dims: np.ndarray, max_bond: int) -> np.ndarray:
    """The largest bond dimension that an exact state of these sites needs, or max_bond, on each of L + 1 bonds."""
    limits = np.full(len(dims) + 1, max_bond, np.int64)
    for side in (range(len(dims)), range(len(dims), 0, -1)):
        size = 1
        for bond in side:
            limits[bond] = min(limits[bond], size)
            if size > max_bond:
                break
            size *= dims[bond] if side.step > 0 else dims[bond - 1]
    return limits


@compiled
def empty_chain(dims, limits, operator_bonds, like):
    """A chain with room for bonds up to `limits`; memory is taken only where it is written. `like` gives the dtype."""
    length = dims.size
    tensor_starts, environment_starts = np.zeros(length + 1, np.int64), np.zeros(length + 2, np.int64)
    for site in range(length):
        tensor_starts[site + 1] = tensor_starts[site] + limits[site] * dims[site] * limits[site + 1]
    for bond in range(length + 1):
        environment_starts[bond + 1] = environment_starts[bond] + operator_bonds[bond] * limits[bond] ** 2
    tensors = np.empty(tensor_starts[length], like.dtype)
    environments = np.empty(environment_starts[length + 1], like.dtype)
    return Chain(tensors, tensor_starts, environments, environment_starts, limits.copy(), limits, dims)


@compiled
def tensor_of(chain, site):
    """The tensor (left, physical, right) of a site, a view."""
    left, dim, right = chain.bonds[site], chain.dims[site], chain.bonds[site + 1]
    start = chain.tensor_starts[site]
    return chain.tensors[start : start + left * dim * right].reshape(left, dim, right)


@compiled
def environment_of(chain, mpo, bond):
    """The environment (state, bond, bond) of the bond left of a site, a view."""
    side, states = chain.bonds[bond], mpo.bonds[bond]
    start = chain.environment_starts[bond]
    return chain.environments[start : start + states * side * side].reshape(states, side, side)


@compiled
def scratch_size(chain, mpo, sites):
    """What `apply_effective` and `grow_*` need at most on up to this many neighbouring sites, within the limits."""
    largest = 0
    for count in range(1, sites + 1):
        for site in range(chain.dims.size - count + 1):
            size = chain.limits[site] * chain.limits[site + count]
            for j in range(count):
                size *= chain.dims[site + j]
            largest = max(largest, size * (mpo.bonds[site] + mpo.bonds[site + count] + 1))
    return largest


@compiled
def room_of_two_sites(chain, mpo, vectors):
    """For a two-site problem at any bond: the scratch that `apply_effective` and `grow_*` need, and Krylov vectors."""
    largest = 0
    for site in range(chain.dims.size - 1):
        size = chain.limits[site] * chain.dims[site] * chain.dims[site + 1] * chain.limits[site + 2]
        largest = max(largest, size)
    dtype = chain.tensors.dtype
    return np.empty(scratch_size(chain, mpo, 2), dtype), np.empty((vectors + 1, largest), dtype)


@compiled
def placed(packed, operator_bonds, limits):
    """A chain from a right-canonical PackedMPS with its centre on site 0; without environments, but at its ends."""
    chain = empty_chain(packed.dims, limits, operator_bonds, packed.data)
    length = packed.dims.size
    chain.bonds[:] = packed.bonds
    for site in range(length):
        size = packed.offsets[site + 1] - packed.offsets[site]
        start = chain.tensor_starts[site]
        chain.tensors[start : start + size] = packed.data[packed.offsets[site] : packed.offsets[site + 1]]
    for bond in (0, length):
        start = chain.environment_starts[bond]
        chain.environments[start : start + operator_bonds[bond]] = 1
    return chain


@compiled
def packed_tensors(chain):
    """The tensors one after another without gaps, as a PackedMPS; a copy."""
    length = chain.dims.size
    offsets = np.zeros(length + 1, np.int64)
    for site in range(length):
        offsets[site + 1] = offsets[site] + chain.bonds[site] * chain.dims[site] * chain.bonds[site + 1]
    data = np.empty(offsets[length], chain.tensors.dtype)
    for site in range(length):
        start, size = chain.tensor_starts[site], offsets[site + 1] - offsets[site]
        data[offsets[site] : offsets[site + 1]] = chain.tensors[start : start + size]
    return PackedMPS(data, offsets, chain.bonds.copy(), chain.dims)
