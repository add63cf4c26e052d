"""A chain whose bonds conserve a charge, and the charges of what it is made of."""

from typing import NamedTuple

import numpy as np

from qep_tn.kernels.block_splits import charges_between
from qep_tn.kernels.chain import Chain
from qep_tn.kernels.compilation import compiled, with_charges


@with_charges
class ChargedChain(NamedTuple):
    """As a `Chain`, its environments packed as `qep_tn.kernels.sectors` says; and

    labels: 1-D buffer; the charges of the indices of the bond left of site j begin at label_starts[j], ascending.
    levels: the charges of the basis states of all sites; those of site j begin at level_starts[j].
    """

    tensors: np.ndarray
    tensor_starts: np.ndarray
    environments: np.ndarray
    environment_starts: np.ndarray
    bonds: np.ndarray
    limits: np.ndarray
    dims: np.ndarray
    labels: np.ndarray
    label_starts: np.ndarray
    levels: np.ndarray
    level_starts: np.ndarray


class ChargedMPO(NamedTuple):
    """As a `BlockMPO`; and

    charges: by how much the operators so far change the charge, for the states of all bonds; those of the bond left of
        site j begin at charge_starts[j].
    """

    blocks: np.ndarray
    values: np.ndarray
    starts: np.ndarray
    bonds: np.ndarray
    charges: np.ndarray
    charge_starts: np.ndarray


def with_labels(chain: Chain, labels: np.ndarray, levels: np.ndarray) -> ChargedChain:
    """A chain without environments, with the charges of the indices of all its bonds, one bond after another."""
    label_starts = np.cumsum([0, *chain.limits])
    level_starts = np.cumsum([0, *chain.dims])
    room = np.zeros(label_starts[-1], np.int64)
    for start, some in zip(label_starts, np.split(labels, np.cumsum(chain.bonds)[:-1]), strict=False):
        room[start : start + some.size] = some
    return ChargedChain(*chain, room, label_starts, np.asarray(levels, np.int64), level_starts)


def all_labels(chain: ChargedChain) -> np.ndarray:
    """The charges of the indices of all bonds, one bond after another."""
    return np.concatenate([labels_of.py_func(chain, bond) for bond in range(chain.bonds.size)])


@compiled
def labels_of(chain, bond):
    """The charges of the indices of the bond left of a site, a view."""
    return chain.labels[chain.label_starts[bond] : chain.label_starts[bond] + chain.bonds[bond]]


@compiled
def levels_of(chain, site):
    """The charges of a site's basis states, a view."""
    return chain.levels[chain.level_starts[site] : chain.level_starts[site + 1]]


@compiled
def set_bond(chain, bond, labels):
    """The charges of a bond's indices, and with them its dimension."""
    chain.bonds[bond] = labels.size
    labels_of(chain, bond)[:] = labels


@compiled
def row_charges(chain, site):
    """The charges of (l, s) of a site."""
    return charges_between(labels_of(chain, site), levels_of(chain, site), 1)


@compiled
def column_charges(chain, site):
    """The charges left of (s, r) of a site."""
    return charges_between(labels_of(chain, site + 1), levels_of(chain, site), -1)


@compiled
def packed_environment(chain, mpo, bond):
    """The room of an environment, 1-D, a view."""
    start = chain.environment_starts[bond]
    return chain.environments[start : start + mpo.bonds[bond] * chain.bonds[bond] ** 2]


@compiled
def state_charges(mpo, bond):
    """The charges of the MPO's states on the bond left of a site, a view."""
    return mpo.charges[mpo.charge_starts[bond] : mpo.charge_starts[bond] + mpo.bonds[bond]]
