"""Matrix product operators of Hamiltonians: a finite-state machine, and pairs of many sites compressed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.machine import MPO, Machine
from qep_tn.hamiltonians.operators import Product
from qep_tn.hamiltonians.pair_couplings import PairCouplings
from qep_tn.hamiltonians.sites import Sites
from qep_tn.kernels import (
    BlockMPO,
    ChargedMPO,
    PackedMPS,
    energy,
    expectation_in_blocks,
    placed,
    residual_overlap,
    with_labels,
)

_MANY_OPEN = 12  # pairs that span a bond, from which on their compression is worth its time


@dataclass(frozen=True)
class ParametricMPO:
    """The MPO of sum_p c_p P_p for any c, with P_p products of one-site operators."""

    sites: Sites
    products: tuple[Product, ...]

    def fill(self, coefficients: NDArray) -> MPO:
        """The MPO with these coefficients, one for each product, not compressed; real if everything in it is."""
        return self._machine.fill(coefficients)

    def fill_blocks(self, coefficients: NDArray) -> BlockMPO:
        """The MPO with these coefficients as the compiled kernels take it, only what can differ from zero.

        Where more than a few pairs span a bond they are compressed, see `qep_tn.hamiltonians.pair_couplings`; so the
        states of the machine depend on the coefficients.
        """
        if self._pairs is None:
            return self._machine.fill_blocks(coefficients)
        key = coefficients.tobytes()
        filled = self._last.get(key)  # a gradient asks for the same ones many times
        if filled is None:
            alone, machine = self._others
            filled = summed([machine.fill_blocks(coefficients[alone]), *self._pairs.machines(coefficients)])
            self._last.clear()
            self._last[key] = filled
        return filled

    @cached_property
    def _last(self) -> dict[bytes, BlockMPO]:
        return {}

    @cached_property
    def _machine(self) -> Machine:
        return Machine.build(self.sites, self.products)

    @cached_property
    def _pairs(self) -> PairCouplings | None:
        slots = [slot for slot, product in enumerate(self.products) if len(product) == 2]
        if open_pairs(self.products, slots, len(self.sites)) <= _MANY_OPEN:
            return None
        return PairCouplings.build(self.sites, self.products, slots)

    @cached_property
    def _others(self) -> tuple[NDArray, Machine]:
        """Which products are no pairs, and their machine."""
        alone = np.array([slot for slot, product in enumerate(self.products) if len(product) != 2], int)
        return alone, Machine.build(self.sites, [self.products[slot] for slot in alone])


def open_pairs(products: Sequence[Product], slots: Sequence[int], length: int) -> int:
    """States that a machine has for these pairs on the bond where it has most."""
    last: dict[tuple[int, object], int] = {}  # bond to which a pair's first operator, with its site, is remembered,
    first: dict[tuple[int, object], int] = {}  # and from which its last one is
    for slot in slots:
        left, right = products[slot]
        switch = min(max(length // 2, left[0]), right[0])
        last[left] = max(last.get(left, 0), switch)
        first[right] = min(first.get(right, length), switch + 1)
    change = np.zeros(length + 2, int)
    for (site, _), bond in last.items():
        change[site + 1] += 1
        change[bond + 1] -= 1
    for (site, _), bond in first.items():
        change[bond] += 1
        change[site + 1] -= 1
    return int(np.cumsum(change).max())


def summed(machines: Sequence[BlockMPO]) -> BlockMPO:
    """The sum of operators: machines that share the states "todo" and "done", whose identities the first has."""
    bonds = np.array([machine.bonds for machine in machines])
    length = bonds.shape[1] - 1
    inner = np.maximum(bonds - 2, 0)
    offsets = np.cumsum(inner, axis=0) - inner
    total = bonds[0] + inner[1:].sum(axis=0)
    parts = []
    for n, machine in enumerate(machines):
        sites = np.repeat(np.arange(length), np.diff(machine.starts))
        states, todo, done = [], [], []
        for side in range(2):  # states left of the site, and right of it
            state, bond = machine.blocks[:, side], sites + side
            todo.append((state == 0) & (bond < length))
            done.append((state == bonds[n, bond] - 1) & (bond > 0))
            states.append(np.select([todo[side], done[side]], [0, total[bond] - 1], state + offsets[n, bond]))
        own = ~(todo[0] & todo[1]) & ~(done[0] & done[1]) if n else np.full(len(sites), True)
        parts.append([array[own] for array in (sites, *states, *machine.blocks[:, 2:].T, machine.values)])
    sites, left, right, out, into, values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.lexsort((into, out, right, left, sites))
    blocks = np.stack([left, right, out, into], axis=1)[order]
    return BlockMPO(blocks, values[order], np.searchsorted(sites[order], np.arange(length + 1)), total)


def energy_and_variance(mpo: BlockMPO | ChargedMPO, packed: PackedMPS) -> tuple[float, float]:
    """<H> and <(H - <H>)^2> of a normalised right-canonical MPS, centre on site 0."""
    mpo, packed = of_one_type(mpo, packed)
    mean = energy(mpo, packed, 0.0)
    remainder = energy(mpo, packed, mean)  # what rounding in the first sum left
    return mean + remainder, residual_overlap(mpo, packed, mean, mpo, packed, mean).real - remainder**2


def energy_and_variance_in_blocks(
    mpo: ChargedMPO, packed: PackedMPS, charges: tuple[NDArray, NDArray]
) -> tuple[float, float]:
    """As `energy_and_variance`, sector by sector: the variance is the expectation value of (H - <H>)^2 as an MPO.

    charges: of the indices of the state's bonds, and of all basis states.
    """
    nothing = np.zeros_like(packed.bonds)
    chain = with_labels(placed(packed, nothing, packed.bonds), *charges)
    mean = expectation_in_blocks(chain, mpo)
    shifted = less_constant(mpo, mean)
    remainder = expectation_in_blocks(chain, shifted)
    return mean + remainder, expectation_in_blocks(chain, squared(shifted)) - remainder**2


def less_constant(mpo: ChargedMPO, constant: float) -> ChargedMPO:
    """The MPO of H - constant, an equal share of it on every site."""
    length = len(mpo.bonds) - 1
    blocks, values, starts = [], [], [0]
    for site in range(length):
        inside = slice(mpo.starts[site], mpo.starts[site + 1])
        dim = int(mpo.blocks[inside, 2:].max()) + 1
        level = np.arange(dim)
        share = np.stack([0 * level, 0 * level + mpo.bonds[site + 1] - 1, level, level], axis=1)
        blocks += [mpo.blocks[inside], share]
        values += [mpo.values[inside], np.full(dim, -constant / length, mpo.values.dtype)]
        starts.append(starts[-1] + len(mpo.values[inside]) + dim)
    return mpo._replace(blocks=np.concatenate(blocks), values=np.concatenate(values), starts=np.array(starts))


def squared(mpo: ChargedMPO) -> ChargedMPO:
    """The MPO of the operator's square."""
    blocks, values, starts, charges = [], [], [0], []
    for site in range(len(mpo.bonds) - 1):
        inside = slice(mpo.starts[site], mpo.starts[site + 1])
        entries, factors = mpo.blocks[inside], mpo.values[inside]
        n, m = np.nonzero(entries[:, None, 3] == entries[None, :, 2])
        row, column = (entries[n, k] * mpo.bonds[site + k] + entries[m, k] for k in range(2))
        blocks.append(np.stack([row, column, entries[n, 2], entries[m, 3]], axis=1))
        values.append(factors[n] * factors[m])
        starts.append(starts[-1] + len(n))
    for start, bond in zip(mpo.charge_starts, mpo.bonds, strict=True):
        own = mpo.charges[start : start + bond]
        charges.append((own[:, None] + own[None, :]).ravel())
    bonds = mpo.bonds**2
    return ChargedMPO(
        np.concatenate(blocks), np.concatenate(values), np.array(starts), bonds, np.concatenate(charges),
        np.cumsum(bonds) - bonds,
    )  # fmt: skip


def of_one_type(mpo: BlockMPO | ChargedMPO, *states: PackedMPS) -> tuple[Any, ...]:
    """An MPO and some states, all real or all complex, as the kernels of dense states want them."""
    mpo = BlockMPO(*mpo[:4])
    dtype = np.result_type(mpo.values, *(packed.data for packed in states))
    changed = (packed._replace(data=packed.data.astype(dtype, copy=False)) for packed in states)
    return mpo._replace(values=mpo.values.astype(dtype, copy=False)), *changed
