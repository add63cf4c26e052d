"""What to contract, and in which order, to get many product expectation values out of one sweep."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Product = Sequence[tuple[int, np.ndarray]]
"""One-site operators (site, matrix (out, in)), sorted by site, at most one a site; identity elsewhere."""


class ExpectationPlan(NamedTuple):
    """Products of one-site operators as a trie of environments, flattened site by site.

    A node at a bond stands for all that is left of it: bra, a string of operators and ket, contracted to a
    (bond, bond) matrix. Products that begin alike share nodes; the node of the empty string, the left density
    matrix, is shared by all that begin further right.

    dims: (L,) physical dimensions for which the plan holds.
    matrices: (sum of dim²,) the different one-site operators (out, in), flattened, one after another.
    matrix_offsets: (number of matrices + 1,) where each starts, and the end.
    nodes: (sites,) number of nodes at the bond left of each site, up to the last site that matters.
    step_offsets: (sites + 1,) which rows of `steps` belong to which site.
    steps: (number of steps, 4) each: matrix, node it acts on, node it makes at the next bond or -1, value it
        yields or -1. Sorted by site, then by matrix.
    values: (number of products,) which of the yielded values each product is. Value 0 is the empty product's.
    """

    dims: np.ndarray
    matrices: np.ndarray
    matrix_offsets: np.ndarray
    nodes: np.ndarray
    step_offsets: np.ndarray
    steps: np.ndarray
    values: np.ndarray


def compile_products(dims: Sequence[int], products: Sequence[Product]) -> ExpectationPlan:
    """Plan the evaluation of any number of products, of any range, with gaps, equal and empty ones included.

    dims: physical dimension of every site.
    Takes time proportional to the number of factors, and to the sites that each string with a gap waits.
    """
    dims = [int(dim) for dim in dims]
    matrices = _DistinctMatrices()
    identity = {dim: matrices.number(np.eye(dim)) for dim in set(dims)}

    # A string is named by (string before its last operator, that operator's site, its matrix); 0 is empty.
    strings: dict[tuple[int, int, int], int] = {}
    births = [0]  # the bond at which a string is complete
    reach = [-1]  # the last site at which it is needed
    yields: dict[tuple[int, int, int], int] = {}
    values = []
    for product in products:
        numbered = [(site, matrices.number(matrix)) for site, matrix in product]
        factors = [(site, matrix) for site, matrix in numbered if matrix != identity[dims[site]]]
        string, value = 0, 0
        for k, (site, matrix) in enumerate(factors):
            reach[string] = max(reach[string], site)
            name = (string, site, matrix)
            if k == len(factors) - 1:
                value = yields.setdefault(name, len(yields) + 1)
            elif name in strings:
                string = strings[name]
            else:
                string = strings[name] = len(births)
                births.append(site + 1)
                reach.append(-1)
        values.append(value)

    sites = max(reach) + 1
    nodes = [0] * sites
    node_of: list[list[int]] = []  # of each string, at every bond from its birth on
    rows: list[list[tuple[int, int, int, int]]] = [[] for _ in range(sites)]
    for birth, last in zip(births, reach, strict=True):
        numbers = nodes[birth : last + 1]
        nodes[birth : last + 1] = [number + 1 for number in numbers]
        node_of.append(numbers)
        for site in range(birth, last):
            rows[site].append((identity[dims[site]], numbers[site - birth], numbers[site + 1 - birth], -1))
    for (string, site, matrix), child in strings.items():
        rows[site].append((matrix, node_of[string][site - births[string]], node_of[child][0], -1))
    for (string, site, matrix), value in yields.items():
        rows[site].append((matrix, node_of[string][site - births[string]], -1, value))

    steps = [row for at_site in rows for row in sorted(at_site)]
    return ExpectationPlan(
        dims=np.array(dims),
        matrices=matrices.flattened(),
        matrix_offsets=np.cumsum([0, *(matrix.size for matrix in matrices.distinct)]),
        nodes=np.array(nodes, dtype=np.int64),
        step_offsets=np.cumsum([0, *(len(at_site) for at_site in rows)]),
        steps=np.array(steps, dtype=np.int64).reshape(-1, 4),
        values=np.array(values, dtype=np.int64),
    )


class _DistinctMatrices:
    """Numbers matrices; equal ones get the same number."""

    def __init__(self) -> None:
        self.distinct: list[np.ndarray] = []
        self._by_entries: dict[bytes, int] = {}
        # By id, which spares comparing entries; the objects are held, so that no other gets their id.
        self._by_object: dict[int, tuple[np.ndarray, int]] = {}

    def number(self, matrix: np.ndarray) -> int:
        if id(matrix) not in self._by_object:
            entries = np.asarray(matrix, dtype=complex) + 0.0  # turns -0.0 into 0.0
            number = self._by_entries.setdefault(entries.tobytes(), len(self.distinct))
            if number == len(self.distinct):
                self.distinct.append(entries)
            self._by_object[id(matrix)] = matrix, number
        return self._by_object[id(matrix)][1]

    def flattened(self) -> np.ndarray:
        """All entries in one buffer, float64 if none has an imaginary part."""
        entries = np.concatenate([matrix.ravel() for matrix in self.distinct])
        return entries if entries.imag.any() else entries.real.copy()
