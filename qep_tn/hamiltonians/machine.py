"""Finite-state machines: matrix product operators whose structure is built once and whose coefficients are refilled.

A product of one-site operators runs through a finite-state machine: left of a switching site its state is the
prefix read so far, right of it the suffix still to come, and the coefficient sits on the switching site. Products
with a common prefix or suffix share states. Pivoting the switch at the chain's centre keeps the bond dimension of
all-to-all two-body terms at min(j, L - j) (Crosswhite and Bacon, Phys. Rev. A 78, 012356 (2008)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.operators import Product
from qep_tn.hamiltonians.sites import Sites, real_factor
from qep_tn.kernels import BlockMPO


@dataclass(frozen=True)
class MPO:
    """Matrix product operator; tensors[j] has legs (left, right, out, in), outer bonds of dimension 1."""

    tensors: list[NDArray]

    @property
    def bond_dimensions(self) -> list[int]:
        """Dimension of the bonds between sites."""
        return [w.shape[1] for w in self.tensors[:-1]]


@dataclass(frozen=True)
class Machine:
    """The structure of an MPO for sum_p c_p P_p, with P_p products of one-site operators.

    fill(c) writes the coefficients and nothing else: no loop over terms.
    """

    shapes: list[tuple[int, int, int, int]]
    template: NDArray  # all tensors, flattened and concatenated, with every coefficient zero
    positions: NDArray  # where in it the coefficients go,
    values: NDArray  # times what,
    slots: NDArray  # and which coefficient

    @classmethod
    def build(cls, sites: Sites, products: Sequence[Product]) -> Machine:
        """Build the finite-state machine for some products."""
        length = len(sites)
        # states on bond j (left of site j): "todo" before any factor, "done" after the last
        states: list[dict[object, int]] = [{"todo": 0, "done": 1} for _ in range(length + 1)]
        states[0], states[-1] = {"todo": 0}, {"done": 0}
        edges: dict[tuple[int, int, int], NDArray] = {}
        slots: list[tuple[int, int, int, int, NDArray, complex]] = []

        for slot, product in enumerate(products):
            factors = {site: real_factor(sites[site].matrix(names)) for site, names in product}
            phase = complex(np.prod([f for f, _ in factors.values()]))
            first, last = (product[0][0], product[-1][0]) if product else (0, 0)
            switch = min(max(length // 2, first), last)
            left: object = "todo"
            for site in range(first, last + 1):
                identity = np.eye(sites[site].dimension)
                matrix = factors[site][1] if site in factors else identity
                right: object = "done" if site == last else tuple(f for f in product if f[0] <= site)
                if site >= switch and site != last:
                    right = ("rest", *(f for f in product if f[0] > site))
                a = states[site].setdefault(left, len(states[site]))
                b = states[site + 1].setdefault(right, len(states[site + 1]))
                if site == switch:
                    slots.append((site, a, b, slot, matrix, phase))
                else:
                    edges[site, a, b] = matrix
                left = right
        for site in range(length):
            identity = np.eye(sites[site].dimension)
            if site < length - 1:
                edges[site, 0, 0] = identity
            if site > 0:
                edges[site, states[site]["done"], states[site + 1]["done"]] = identity
        return cls._flatten(sites, states, edges, slots)

    @classmethod
    def _flatten(cls, sites: Sites, states: list, edges: dict, slots: list) -> Machine:
        shapes = [(len(states[j]), len(states[j + 1]), site.dimension, site.dimension) for j, site in enumerate(sites)]
        offsets = np.concatenate([[0], np.cumsum([np.prod(s) for s in shapes])]).astype(int)
        is_complex = any(np.iscomplexobj(m) for m in edges.values())
        template = np.zeros(offsets[-1], complex if is_complex else float)

        def block(site: int, a: int, b: int) -> int:
            return int(offsets[site]) + (a * shapes[site][1] + b) * shapes[site][2] ** 2

        for (site, a, b), matrix in edges.items():
            start = block(site, a, b)
            template[start : start + matrix.size] = matrix.ravel()
        positions, values, owners = [np.empty(0, int)], [np.empty(0)], [np.empty(0, int)]
        for site, a, b, slot, matrix, phase in slots:
            (inside,) = np.nonzero(matrix.ravel())
            positions.append(block(site, a, b) + inside)
            values.append(matrix.ravel()[inside] * (phase.real if phase.imag == 0 else phase))
            owners.append(np.full(len(inside), slot))
        return cls(shapes, template, np.concatenate(positions), np.concatenate(values), np.concatenate(owners))

    def fill(self, coefficients: NDArray) -> MPO:
        """The MPO with these coefficients, one for each product; real if everything in it is."""
        sizes = np.cumsum([np.prod(shape) for shape in self.shapes])[:-1]
        parts = np.split(self._entries(coefficients), sizes)
        return MPO([part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)])

    def fill_blocks(self, coefficients: NDArray) -> BlockMPO:
        """The MPO with these coefficients as the compiled kernels take it, only what can differ from zero."""
        where, blocks, starts, bonds = self._block_structure
        return BlockMPO(blocks, self._entries(coefficients)[where], starts, bonds)

    def _entries(self, coefficients: NDArray) -> NDArray:
        entries = coefficients[self.slots] * self.values
        if np.iscomplexobj(entries) and not entries.imag.any():
            entries = entries.real
        data = self.template.astype(np.result_type(self.template, entries))
        np.add.at(data, self.positions, entries)
        return data

    @cached_property
    def _block_structure(self) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Where in the flattened tensors the blocks' values are; rows (row, column, out, in), each site's first row,
        and the bond dimensions, with the state "done" last.
        """
        (where,) = np.nonzero(self.template)
        where = np.union1d(where, self.positions)
        bounds = np.concatenate([[0], np.cumsum([np.prod(shape) for shape in self.shapes])]).astype(int)
        starts = np.searchsorted(where, bounds)
        bonds = np.array([1, *(shape[1] for shape in self.shapes)])
        parts = [np.empty((0, 4), int)]
        for site, shape in enumerate(self.shapes):
            rows = np.array(np.unravel_index(where[starts[site] : starts[site + 1]] - bounds[site], shape)).T
            rows[:, 0], rows[:, 1] = _done_last(rows[:, 0], shape[0]), _done_last(rows[:, 1], shape[1])
            parts.append(rows)
        return where, np.ascontiguousarray(np.concatenate(parts)), starts, bonds


def _done_last(states: NDArray, count: int) -> NDArray:
    """Machine states renumbered so that state 1, "done", comes last."""
    return states if count == 1 else np.where(states == 1, count - 1, np.where(states > 1, states - 1, states))
