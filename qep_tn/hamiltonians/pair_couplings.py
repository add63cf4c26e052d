"""Products of two one-site operators as a matrix product operator whose bonds are the ranks of their coefficients.

At each cut of the chain the couplings sum_{i < cut <= j} J_ij A_i B_j are a matrix J, and its rank, not the number of
open products, bounds the operator's bond: 9 to 16 for powers of the distance on chains of 100 sites, 1 for exponentials
(Crosswhite, Doherty, Vidal, Phys. Rev. B 78, 035116 (2008)). Rows of J that combine from others, to rounding, leave the
finite-state machine, and their operators go on in the states of the others. Such an interpolation (Cheng, Gimbutas,
Martinsson, Rokhlin, SIAM J. Sci. Comput. 26, 1389 (2005)) keeps the machine sparse, where singular vectors would fill
it. The identities that all products share are no part of J, so all its entries are couplings (Hubig, McCulloch,
Schollwoeck, Phys. Rev. B 95, 035129 (2017)).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import qr, solve_triangular

from qep_tn.hamiltonians.operators import Product
from qep_tn.hamiltonians.sites import Sites, real_factor
from qep_tn.kernels import BlockMPO

# What is left of a row that others replace, over the largest coefficient. Coefficients then change by at most 2e-13
# of the largest: powers and waves of the distance, at random places too, graded, sparse, with noise at that level
_ROUNDING = 1e-13
_TODO, _DONE = -1, -2  # states beside those that are rows or columns of J
_IDENTITY = -1  # the matrix on an edge between two of these


class Group(NamedTuple):
    """Products whose coefficients make one matrix J: those that share operators, on either side.

    rows, columns: (number, 2) site and matrix of each operator that comes first in a product, or last; by site.
    slots: (number of products,) which products. places: row and column of each in J. phases: what its coefficient is
        times there.
    """

    rows: NDArray
    columns: NDArray
    slots: NDArray
    places: tuple[NDArray, NDArray]
    phases: NDArray

    def coefficient_matrix(self, coefficients: NDArray) -> NDArray:
        """J, (rows, columns); real if it can be."""
        entries = coefficients[self.slots] * self.phases
        if np.iscomplexobj(entries) and not entries.imag.any():
            entries = entries.real
        J = np.zeros((len(self.rows), len(self.columns)), entries.dtype)
        J[self.places] = entries
        return J


class Edges(NamedTuple):
    """A machine's edges on one site: from which state to which, with which matrix, times what.

    ahead: number of states that are rows or columns of J on the bond to which the edges lead.
    """

    start: NDArray
    end: NDArray
    matrix: NDArray
    value: NDArray
    ahead: int

    @classmethod
    def between(cls, parts: Sequence[tuple[NDArray, NDArray, ArrayLike, NDArray]], ahead: int) -> Edges:
        """Every part from some states to others: these, matrices that broadcast to (states, others), and values."""
        columns: list[list[NDArray]] = [[], [], [], []]
        for sources, targets, matrices, values in parts:
            i, j = np.nonzero(values)
            flat = sources[i], targets[j], np.broadcast_to(matrices, values.shape)[i, j], values[i, j]
            for column, array in zip(columns, flat, strict=True):
                column.append(array)
        start, end, matrix, value = map(np.concatenate, columns)
        return cls(start, end, matrix, value, ahead)

    def mirrored(self, ahead: int) -> Edges:
        """Those of the chain read from the other end."""
        end, start = (np.where(state < 0, _TODO + _DONE - state, state) for state in (self.start, self.end))
        return Edges(start, end, self.matrix, self.value, ahead)


@dataclass(frozen=True)
class PairCouplings:
    """Products of two one-site operators each.

    matrices: (out, in) of all operators, the identities first.
    """

    sites: Sites
    groups: tuple[Group, ...]
    matrices: tuple[NDArray, ...]

    @classmethod
    def build(cls, sites: Sites, products: Sequence[Product], slots: Sequence[int]) -> PairCouplings:
        """Of the products in these slots, of two factors each."""
        matrices = [np.eye(dim) for dim in sorted({site.dimension for site in sites})]
        phases: list[complex] = [1] * len(matrices)
        numbers: dict[tuple[int, tuple[str, ...]], int] = {}
        for slot in slots:
            for site, names in products[slot]:
                if (site, names) not in numbers:
                    numbers[site, names] = len(matrices)
                    phase, matrix = real_factor(sites[site].matrix(names))
                    matrices.append(matrix)
                    phases.append(phase)
        ends = np.array([(numbers[products[slot][0]], numbers[products[slot][1]]) for slot in slots])
        operators = np.array([(0, 0)] * (len(matrices) - len(numbers)) + [(s, n) for (s, _), n in numbers.items()])
        groups = []
        for members in _connected([(products[slot][0][1], products[slot][1][1]) for slot in slots]):
            sides, places = [], []
            for side in range(2):
                found, inverse = np.unique(ends[members, side], return_inverse=True)
                by_site = np.argsort(operators[found, 0], kind="stable")
                sides.append(operators[found[by_site]])
                places.append(np.argsort(by_site)[inverse])
            factors = np.array(phases)[ends[members]].prod(axis=1)
            groups.append(Group(sides[0], sides[1], np.array(slots)[members], (places[0], places[1]), factors))
        return cls(tuple(sites), tuple(groups), tuple(matrices))

    def machines(self, coefficients: NDArray) -> Iterator[BlockMPO]:
        """One for each group, without the identities of "todo" and "done", which all machines share."""
        for group in self.groups:
            yield self._blocks(list(edges_of(group.coefficient_matrix(coefficients), group, len(self.sites))))

    def _blocks(self, edges: Sequence[Edges]) -> BlockMPO:
        length = len(edges)
        bonds = np.array([1, *(at_site.ahead + 2 for at_site in edges[:-1]), 1])
        sites = np.repeat(np.arange(length), [len(at_site.value) for at_site in edges])
        start, end, matrix, value = (np.concatenate([at_site[n] for at_site in edges]) for n in range(4))
        matrix = np.where(matrix == _IDENTITY, self._identities[sites], matrix)
        start = np.where(start == _TODO, 0, start + 1)
        end = np.where(end == _DONE, bonds[sites + 1] - 1, end + 1)
        firsts, out, into, entries = self._entries
        counts = np.diff(firsts)[matrix]
        edge = np.repeat(np.arange(len(matrix)), counts)
        entry = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + firsts[matrix[edge]]
        blocks = np.stack([start[edge], end[edge], out[entry], into[entry]], axis=1)
        starts = np.searchsorted(sites[edge], np.arange(length + 1))
        return BlockMPO(blocks, value[edge] * entries[entry], starts, bonds)

    @cached_property
    def _identities(self) -> NDArray:
        """The number of each site's identity."""
        dims = [site.dimension for site in self.sites]
        return np.searchsorted(sorted(set(dims)), dims)

    @cached_property
    def _entries(self) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Where each matrix begins among the entries of all that are not zero; and these: out, in, value."""
        places = [np.nonzero(matrix) for matrix in self.matrices]
        firsts = np.cumsum([0, *(len(out) for out, _ in places)])
        values = [matrix[place] for matrix, place in zip(self.matrices, places, strict=True)]
        out, into = (np.concatenate([place[side] for place in places]) for side in range(2))
        return firsts, out, into, np.concatenate(values)


def _connected(pairs: Sequence[tuple[object, object]]) -> list[NDArray]:
    """Pairs of a left and a right name in groups that share none: the indices of each group's."""
    root: dict[object, object] = {}

    def find(node: object) -> object:
        while root.setdefault(node, node) != node:
            node = root[node]
        return node

    for left, right in dict.fromkeys(pairs):
        root[find((0, left))] = find((1, right))
    members: dict[object, list[int]] = {}
    for k, (left, _) in enumerate(pairs):
        members.setdefault(find((0, left)), []).append(k)
    return [np.array(group) for group in members.values()]


def edges_of(J: NDArray, group: Group, length: int) -> Iterator[Edges]:
    """The machine of one coefficient matrix, site by site.

    Left of the middle its states are rows of J, right of it columns; on the middle site J's entries between them stand.
    """
    middle = length // 2
    smallest = _ROUNDING * float(np.abs(J).max(initial=0.0))
    left, rows = _half(J, group.rows, group.columns, range(middle), smallest)
    right, columns = _half(J.T, group.columns, group.rows, range(length - 1, middle, -1), smallest)
    opened, closed = (np.flatnonzero(operators[:, 0] == middle) for operators in (group.rows, group.columns))
    todo, done = np.full(len(opened), _TODO), np.full(len(closed), _DONE)
    from_rows, to_columns = np.arange(len(rows)), np.arange(len(columns))
    yield from left
    yield Edges.between(
        [
            (from_rows, to_columns, _IDENTITY, J[np.ix_(rows, columns)]),
            (from_rows, done, group.columns[closed, 1], J[np.ix_(rows, closed)]),
            (todo, to_columns, group.rows[opened, 1:], J[np.ix_(opened, columns)]),
        ],
        len(columns),
    )
    for k in reversed(range(len(right))):
        yield right[k].mirrored(right[k - 1].ahead if k else 0)


def _half(J: NDArray, rows: NDArray, columns: NDArray, sites: range, smallest: float) -> tuple[list[Edges], NDArray]:
    """Edges on these sites, from the chain's end inwards, and the rows of J that are states after the last.

    After each site only such rows go on as others do not combine to on the columns still ahead.
    """
    kept, edges = np.empty(0, int), []
    for site in sites:
        opened, closed = np.flatnonzero(rows[:, 0] == site), np.flatnonzero(columns[:, 0] == site)
        ahead = (columns[:, 0] - site) * sites.step > 0
        candidates = np.concatenate([kept, opened])
        chosen, weights = independent_rows(J[candidates][:, ahead], smallest)
        states = np.arange(len(kept))
        start = np.concatenate([states, np.full(len(opened), _TODO)])
        matrix = np.concatenate([np.full(len(kept), _IDENTITY), rows[opened, 1]])
        done = np.full(len(closed), _DONE)
        going_on = start, np.arange(len(chosen)), matrix[:, None], weights
        edges.append(
            Edges.between([going_on, (states, done, columns[closed, 1], J[np.ix_(kept, closed)])], len(chosen))
        )
        kept = candidates[chosen]
    return edges, kept


def independent_rows(matrix: NDArray, smallest: float) -> tuple[NDArray, NDArray]:
    """Rows of a matrix, and the weights (all rows, these rows) with which they combine to all, within `smallest`.

    By QR decomposition with pivoting. The weights of the rows chosen are 1 for themselves and 0 for others.
    """
    count, width = matrix.shape
    if count == 0 or width == 0:
        return np.empty(0, int), np.empty((count, 0))
    r, order = qr(matrix.T, mode="r", pivoting=True, check_finite=False)
    rank = int((np.abs(np.diagonal(r)) > smallest).sum())
    weights = np.zeros((count, rank), matrix.dtype)
    weights[order[:rank], np.arange(rank)] = 1
    if 0 < rank < count:
        weights[order[rank:]] = solve_triangular(r[:rank, :rank], r[:rank, rank:], check_finite=False).T
    by_place = np.argsort(order[:rank])
    return order[:rank][by_place], weights[:, by_place]
