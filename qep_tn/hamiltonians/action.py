"""What H(theta) does to vectors of the whole Hilbert space; its structure is built once, its coefficients are refilled.

Vectors are float64 arrays: for a complex H, complex amplitudes seen as pairs of real and imaginary part
(`numpy.ndarray.view`), so that one real algorithm serves both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from qep_tn.hamiltonians.operators import Product
from qep_tn.hamiltonians.sites import Sites, real_factor
from qep_tn.kernels import SplitOperator, apply_halves, apply_sparse

Map = Callable[[NDArray], NDArray]

# Up to here a sparse matrix is faster (`python -m benchmarks.exact`), and its structure takes some MB.
_SMALL = 2**12
_COLUMNS = 128  # real entries of a vector that the right half spans, at least: rows long enough to vectorise


@dataclass(frozen=True)
class Action:
    """What H(theta) does to vectors, its constant apart.

    apply: H - constant, on float64 vectors of `dimension` entries, twice as many where H is complex.
    norm: of H - constant, or more: its products' norms added up.
    """

    apply: Map
    dimension: int
    is_complex: bool
    constant: float
    norm: float

    def __call__(self, vector: NDArray) -> NDArray:
        """H - constant applied to a state."""
        if np.iscomplexobj(vector) and not self.is_complex:
            return self(vector.real) + 1j * self(vector.imag)
        return self.amplitudes(self.apply(self.floats(vector)))

    def floats(self, vector: NDArray) -> NDArray:
        """A state as `apply` takes it; of a complex one a real H takes the larger of real and imaginary part."""
        if self.is_complex:
            return np.ascontiguousarray(vector, complex).view(float)
        if np.iscomplexobj(vector):
            vector = max(vector.real, vector.imag, key=np.linalg.norm)
        return np.ascontiguousarray(vector)

    def directions(self, floats: NDArray) -> NDArray:
        """A state's vector, and that of i times the state where amplitudes are complex, (1 or 2, size)."""
        return np.array([floats, (1j * floats.view(complex)).view(float)] if self.is_complex else [floats])

    def amplitudes(self, floats: NDArray) -> NDArray:
        """The inverse of `floats`."""
        return floats.view(complex) if self.is_complex else floats


@dataclass(frozen=True, eq=False)
class SectorBasis:
    """The basis states of a sector: its charges by name, and where these states are among all."""

    sector: Mapping[str, float]
    places: NDArray


@dataclass(frozen=True)
class SectorAction(Action):
    """An action within a sector: `dimension` and `apply` are those of the basis states in it.

    States are given and returned on all `full` basis states.
    """

    basis: SectorBasis
    full: int

    def floats(self, vector: NDArray) -> NDArray:
        """As `Action.floats`, of what a state has in the sector."""
        return super().floats(vector[self.basis.places] if len(vector) == self.full else vector)

    def amplitudes(self, floats: NDArray) -> NDArray:
        """The inverse of `floats`."""
        inside = super().amplitudes(floats)
        state = np.zeros(self.full, inside.dtype)
        state[self.basis.places] = inside
        return state


class Structure(Protocol):
    """The structure of sum_p c_p P_p, with P_p products of one-site operators."""

    def fill(self, coefficients: NDArray) -> Map:
        """What the operator with these coefficients does to a vector."""


def build_structure(
    sites: Sites, products: Sequence[Product], parts: NDArray, is_complex: bool, basis: SectorBasis | None = None
) -> Structure:
    """The structure that is faster for these sites, or that of what stays within a sector.

    parts: whether the coefficient of each product may have a real part, and an imaginary one, (2, number of products).
    is_complex: whether the operator's matrix is; if not, its imaginary part is left out.
    """
    if basis is not None or math.prod(site.dimension for site in sites) <= _SMALL:
        return SparsePattern.build(sites, products, is_complex, basis)
    return Halves.build(sites, products, parts, is_complex)


@dataclass(frozen=True)
class SparsePattern:
    """One sparse matrix: its entries are linear in the coefficients.

    starts, columns: of its rows, in CSR form. entries: (twice the number of entries, number of products), of which real
    and imaginary parts stand in turn.
    """

    starts: NDArray
    columns: NDArray
    entries: sparse.csr_array
    is_complex: bool

    @classmethod
    def build(
        cls, sites: Sites, products: Sequence[Product], is_complex: bool, basis: SectorBasis | None = None
    ) -> SparsePattern:
        """The pattern of some products, the union of theirs; of a sector, what they do within it."""
        dimension = math.prod(site.dimension for site in sites)
        numbers = None
        if basis is not None:
            numbers = np.full(dimension, -1)
            dimension = len(basis.places)
            numbers[basis.places] = np.arange(dimension)
        matrices = [(p, _among(numbers, _entries(sites, product, 0, len(sites)))) for p, product in enumerate(products)]
        (starts,), columns, entries = _linear_patterns([matrices], len(products), dimension)
        real, imaginary = entries.real.tocoo(), entries.imag.tocoo()
        values = np.concatenate([real.data, imaginary.data])
        rows = np.concatenate([2 * real.row, 2 * imaginary.row + 1])
        slots = np.concatenate([real.col, imaginary.col])
        pairs = sparse.csr_array((values, (rows, slots)), shape=(2 * len(columns), len(products)))
        pairs.eliminate_zeros()
        return cls(starts.astype(np.uint32), columns.astype(np.uint32), pairs, is_complex)

    def fill(self, coefficients: NDArray) -> Map:
        """The matrix's product with a vector."""
        values = (self.entries @ coefficients.real).view(complex)
        if coefficients.imag.any():
            values = values + 1j * (self.entries @ coefficients.imag).view(complex)
        if not self.is_complex:
            values = values.real.copy()
        return lambda x: apply_sparse(self.starts, self.columns, values, x.view(values.dtype)).view(float)


@dataclass(frozen=True)
class Halves:
    """The chain cut in two, sum_b A_b x B_b: one A_b for each distinct factor B_b on the right half.

    What acts on the right half alone is one dense matrix; A_b and this are linear in the coefficients, of which real
    and imaginary parts count as two. Imaginary units act on the right half, which holds the pairs of real and
    imaginary parts. Takes little memory beside the vectors: no matrix is larger than a half.
    """

    split: SplitOperator  # without values of A_b, and without the dense matrix
    entries: sparse.csr_array  # of all A_b, (number of entries, 2 * number of products)
    dense: sparse.csr_array  # (columns^2, 2 * number of products)

    @classmethod
    def build(cls, sites: Sites, products: Sequence[Product], parts: NDArray, is_complex: bool) -> Halves:
        """Cut the chain, and sort products by what they do on the right half."""
        per_amplitude = 2 if is_complex else 1
        as_real = _as_pairs if is_complex else np.real
        cut = _place_of_cut(sites, per_amplitude)
        rows, dimension = (math.prod(site.dimension for site in half) for half in (sites[:cut], sites[cut:]))
        size = per_amplitude * dimension
        rights: dict[object, tuple[int, NDArray]] = {(): (0, np.eye(size))}
        lefts: list[list[tuple[int, _Entries]]] = [[]]
        dense: list[tuple[int, NDArray]] = []
        for p, product in enumerate(products):
            left = _entries(sites, product, 0, cut)
            right = _dense(_entries(sites, product, cut, len(sites)), dimension)
            right_factors = tuple(factor for factor in product if factor[0] >= cut)
            # c A x B = (Re c Re A - Im c Im A) x B + (Re c Im A + Im c Re A) x iB
            for values, units, slot in (
                (left.values.real, 0, p), (-left.values.imag, 0, p + len(products)),
                (left.values.imag, 1, p), (left.values.real, 1, p + len(products)),
            ):  # fmt: skip
                matrix = as_real(1j**units * right)
                if not (parts.reshape(-1)[slot] and values.any() and matrix.any()):
                    continue
                if len(right_factors) == len(product):
                    dense.append((slot, matrix.T))
                    continue
                key = (right_factors, units) if right_factors or units else ()
                kind, _ = rights.setdefault(key, (len(lefts), matrix))
                if kind == len(lefts):
                    lefts.append([])
                lefts[kind].append((slot, left._replace(values=values)))
        starts, columns, entries = _linear_patterns(lefts, 2 * len(products), rows)
        slices = [_slices(matrix) for _, matrix in rights.values()]
        split = SplitOperator(
            starts, columns, np.empty(0), np.cumsum([0] + [len(places) for places, _ in slices]),
            np.concatenate([places for places, _ in slices]), np.concatenate([values for _, values in slices]),
            np.empty((0, 0)),
        )  # fmt: skip
        return cls(split, entries, _as_columns(dense, size**2, 2 * len(products)))

    def fill(self, coefficients: NDArray) -> Map:
        """The product with a vector, matrix-free."""
        parts = np.concatenate([coefficients.real, coefficients.imag])
        dense = self.dense @ parts
        size = math.isqrt(len(dense))
        split = self.split._replace(values=self.entries @ parts, dense=dense.reshape(size, size))
        return lambda x: apply_halves(split, x)


def real_and_imaginary(sites: Sites, product: Product) -> tuple[bool, bool]:
    """Whether a product's matrix has a real part, and whether it has an imaginary one."""
    phases = [real_factor(sites[site].matrix(names)) for site, names in product]
    if any(np.iscomplexobj(matrix) for _, matrix in phases):
        return True, True
    imaginary = sum(phase == 1j for phase, _ in phases) % 2 == 1
    return not imaginary, imaginary


def _place_of_cut(sites: Sites, per_amplitude: int) -> int:
    """The first site of the right half."""
    columns, cut = per_amplitude, len(sites)
    while cut > 1 and columns < _COLUMNS:
        cut -= 1
        columns *= sites[cut].dimension
    return cut


class _Entries(NamedTuple):
    """A sparse matrix."""

    rows: NDArray
    columns: NDArray
    values: NDArray


def _entries(sites: Sites, product: Product, first: int, end: int) -> _Entries:
    """What a product is on some of the sites, the identity where it has no factor."""
    factors, found = dict(product), _Entries(np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1))
    stride = 1
    for site in range(end - 1, first - 1, -1):
        matrix = sites[site].matrix(factors.get(site, ()))
        rows, columns = np.nonzero(matrix)
        found = _Entries(
            np.add.outer(stride * rows, found.rows).reshape(-1),
            np.add.outer(stride * columns, found.columns).reshape(-1),
            np.multiply.outer(matrix[rows, columns], found.values).reshape(-1),
        )
        stride *= sites[site].dimension
    return found


def _among(numbers: NDArray | None, entries: _Entries) -> _Entries:
    """What is left on the basis states with a number, -1 for those that have none; all if there are no numbers."""
    if numbers is None:
        return entries
    rows, columns = numbers[entries.rows], numbers[entries.columns]
    kept = (rows >= 0) & (columns >= 0)
    return _Entries(rows[kept], columns[kept], entries.values[kept])


def _dense(entries: _Entries, size: int) -> NDArray:
    matrix = np.zeros((size, size), entries.values.dtype)
    matrix[entries.rows, entries.columns] = entries.values
    return matrix


def _as_pairs(matrix: NDArray) -> NDArray:
    """A complex matrix as it acts on pairs of real and imaginary part."""
    return np.kron(matrix.real, np.eye(2)) + np.kron(matrix.imag, np.array([[0.0, -1.0], [1.0, 0.0]]))


def _slices(matrix: NDArray) -> tuple[NDArray, NDArray]:
    """Column and value of the first entry of every row, of the second, ...; zeros where a row has no more."""
    width = int((matrix != 0).sum(axis=1).max())
    order = np.argsort(matrix == 0, axis=1, kind="stable")[:, :width]
    return order.T.astype(np.int32), np.take_along_axis(matrix, order, axis=1).T.copy()


def _linear_patterns(
    groups: Sequence[Sequence[tuple[int, _Entries]]], slots: int, rows: int
) -> tuple[NDArray, NDArray, sparse.csr_array]:
    """Square sparse matrices that are each a sum of some with a coefficient: slot, matrix.

    Returns where their rows begin, (number of groups, rows + 1), the columns of all entries, and the entries as
    a matrix, (number of entries, slots), that acts on the coefficients.
    """
    starts, columns, parts, offset = [], [], [sparse.csr_array((0, slots))], 0
    for group in groups:
        nothing = np.empty(0, np.int64)
        places = np.concatenate([nothing, *(rows * matrix.rows + matrix.columns for _, matrix in group)])
        slot_of = np.concatenate([nothing, *(np.full(len(matrix.rows), slot) for slot, matrix in group)])
        values = np.concatenate([np.empty(0), *(matrix.values for _, matrix in group)])
        distinct, position = np.unique(places, return_inverse=True)
        starts.append(offset + np.searchsorted(distinct, rows * np.arange(rows + 1)))
        columns.append((distinct % rows).astype(np.int32))
        parts.append(sparse.csr_array((values, (position, slot_of)), shape=(len(distinct), slots)))
        offset += len(distinct)
    return np.array(starts, np.int32), np.concatenate(columns), sparse.vstack(parts, format="csr")


def _as_columns(terms: Sequence[tuple[int, NDArray]], rows: int, columns: int) -> sparse.csr_array:
    """The matrix with these arrays, flattened, as columns of some number; those of one number are added."""
    nothing = np.empty(0, np.int64)
    flat = [(slot, array.reshape(-1)) for slot, array in terms]
    places = [(np.flatnonzero(array), slot) for slot, array in flat]
    values = np.concatenate([np.empty(0), *(array[array != 0] for _, array in flat)])
    rows_of = np.concatenate([nothing, *(place for place, _ in places)])
    columns_of = np.concatenate([nothing, *(np.full(len(place), slot) for place, slot in places)])
    return sparse.csr_array((values, (rows_of, columns_of)), shape=(rows, columns))
