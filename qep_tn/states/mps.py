"""Matrix product states: a list of tensors, known to be right-canonical, and its ways in and out of other libraries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.operators import Product
from qep_tn.hamiltonians.sites import Sites, real_factor
from qep_tn.kernels import ExpectationPlan, PackedMPS, compile_products, correlations, evaluate, pack, sample_levels

if TYPE_CHECKING:
    import quimb.tensor
    import tenpy


@dataclass(frozen=True, eq=False)
class BondCharges:
    """Conserved charges of an MPS, as integers.

    labels: of the indices of all L + 1 bonds, one bond after another, each ascending; what lies left of the bond has
        this charge. levels: of the basis states of all sites.
    """

    labels: NDArray
    levels: NDArray

    @property
    def arrays(self) -> tuple[NDArray, NDArray]:
        """As the kernels take them."""
        return self.labels, self.levels

    @property
    def total(self) -> int:
        """Of the whole chain."""
        return int(self.labels[-1] - self.labels[0])


@dataclass(frozen=True, eq=False)
class MPS:
    """A normalised matrix product state with open boundaries, right-canonical, orthogonality centre on site 0.

    tensors: one (left, physical, right) array for each site, all real or all complex; the outer bonds have
        dimension 1. `MPS.from_tensors` brings any tensors into this form.
    charges: of its bonds, where they are known to be definite.
    """

    sites: Sites
    tensors: tuple[NDArray, ...]
    charges: BondCharges | None = None
    has_overlaps: ClassVar[bool] = True

    @classmethod
    def from_tensors(cls, sites: Sites, tensors: Sequence[NDArray]) -> MPS:
        """Normalise and right-canonicalise tensors of any gauge. Bond dimensions stay, unless redundant."""
        dtype = np.result_type(float, *tensors)
        right_canonical: list[NDArray] = []
        carried = np.eye(1, dtype=dtype)
        for tensor in reversed(tensors):
            merged = np.tensordot(tensor.astype(dtype), carried, 1)  # l s [r], [r] c -> l s c
            left, physical, right = merged.shape
            q, r = np.linalg.qr(merged.reshape(left, physical * right).conj().T)
            right_canonical.append(np.ascontiguousarray(q.conj().T).reshape(-1, physical, right))
            carried = r.conj().T / np.linalg.norm(r)  # the norm would overflow on long chains
        phase = carried[0, 0] / abs(carried[0, 0])
        right_canonical[-1] = right_canonical[-1] * phase
        return cls(tuple(sites), tuple(reversed(right_canonical)))

    @classmethod
    def from_packed(cls, sites: Sites, packed: PackedMPS, charges: BondCharges | None = None) -> MPS:
        """An MPS from a buffer of tensors that are right-canonical and normalised."""
        shapes = zip(packed.bonds[:-1].tolist(), packed.dims.tolist(), packed.bonds[1:].tolist(), strict=True)
        parts = np.split(packed.data, packed.offsets[1:-1])
        return cls(tuple(sites), tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)), charges)

    @classmethod
    def random(cls, sites: Sites, bond: int, seed: int, dtype: type = float) -> MPS:
        """A random MPS of at most the given bond dimension."""
        rng = np.random.default_rng(seed)
        dimensions = [1] * (len(sites) + 1)
        for j, site in enumerate(sites[:-1]):
            dimensions[j + 1] = min(bond, dimensions[j] * site.dimension)
        for j in range(len(sites) - 1, 0, -1):
            dimensions[j] = min(dimensions[j], dimensions[j + 1] * sites[j].dimension)
        shapes = [(dimensions[j], site.dimension, dimensions[j + 1]) for j, site in enumerate(sites)]
        tensors: list[NDArray] = [np.empty(0)] * len(sites)
        for shape in sorted(set(shapes)):  # one decomposition for all sites of a shape
            left, physical, right = shape
            alike = [j for j, other in enumerate(shapes) if other == shape]
            matrices: NDArray = rng.standard_normal((len(alike), physical * right, left)).astype(dtype)
            if dtype is complex:
                matrices += 1j * rng.standard_normal(matrices.shape)
            isometries = np.linalg.qr(matrices)[0].conj().transpose(0, 2, 1)
            for j, isometry in zip(alike, isometries, strict=True):
                tensors[j] = isometry.reshape(shape)
        return cls(tuple(sites), tuple(tensors))

    @classmethod
    def product(cls, sites: Sites, vectors: Sequence[NDArray]) -> MPS:
        """A product state, one vector a site."""
        parts = [np.asarray(v) for v in vectors]
        dtype = np.result_type(float, *parts)
        return cls(tuple(sites), tuple((v / np.linalg.norm(v)).astype(dtype)[None, :, None] for v in parts))

    @property
    def bond_dimensions(self) -> list[int]:
        """Dimension of the bonds between sites, length L - 1."""
        return [tensor.shape[2] for tensor in self.tensors[:-1]]

    @cached_property
    def packed(self) -> PackedMPS:
        """The tensors in one buffer, as the compiled kernels take them."""
        return pack(self.tensors)

    def product_expectations(self, products: tuple[Product, ...]) -> NDArray:
        """Expectation of each product of one-site operators, by one pass of the compiled kernels."""
        plan, phases = expectation_plan(self.sites, products)
        return evaluate(plan, self.packed) * phases

    def correlations(self, first: str, second: str) -> NDArray:
        """All pairs <A_i B_j> of two one-site operators by name, (L, L)."""
        a, b = ([site.matrix((name,)) for site in self.sites] for name in (first, second))
        return correlations(self.packed, a, b)

    def sample(self, bases: Sequence[NDArray | None], shots: int, rng: np.random.Generator) -> NDArray:
        """Levels of every site in independent measurements, (shots, L); by the compiled kernels.

        bases: one (level, physical) matrix a site, its rows the bras <level|; None for the site's own basis.
        """
        return sample_levels(pack(self.turned(bases).tensors), shots, rng)

    def turned(self, turns: Sequence[NDArray | None]) -> MPS:
        """Each site turned by a unitary (new, physical), None for those that stay."""
        tensors = [b if u is None else np.einsum("ns,lsr->lnr", u, b) for u, b in zip(turns, self.tensors, strict=True)]
        dtype = np.result_type(float, *tensors)
        return MPS(self.sites, tuple(np.ascontiguousarray(b, dtype) for b in tensors))

    def overlap(self, other: MPS) -> complex:
        """<other|self>."""
        left = np.ones((1, 1))
        for bra, ket in zip(other.tensors, self.tensors, strict=True):
            left = np.tensordot(bra.conj(), np.tensordot(left, ket, 1), ((0, 1), (0, 1)))  # [l s] r', [l] [s] r
        return complex(left[0, 0])

    def schmidt_form(self) -> tuple[list[NDArray], list[NDArray]]:
        """Right-canonical tensors whose bonds carry the Schmidt basis, and the Schmidt values.

        Returns (tensors, values); values[j] belongs to the bond right of site j, descending, length L - 1.
        """
        left_canonical, carried = [], np.eye(1)
        for tensor in self.tensors:
            merged = np.tensordot(carried, tensor, 1)  # c [l], [l] s r -> c s r
            left, physical, right = merged.shape
            q, carried = np.linalg.qr(merged.reshape(left * physical, right))
            left_canonical.append(q.reshape(left, physical, -1))
        tensors, values = [], []
        for tensor in reversed(left_canonical):
            merged = np.tensordot(tensor, carried, 1)  # l s [r], [r] c -> l s c
            left, physical, right = merged.shape
            u, s, v = np.linalg.svd(merged.reshape(left, physical * right), full_matrices=False)
            tensors.append(v.reshape(-1, physical, right))
            values.append(s)
            carried = u * s
        tensors[-1] = tensors[-1] * carried[0, 0]
        return tensors[::-1], values[-2::-1]

    def plus(self, other: MPS, weight: float) -> MPS:
        """The normalised sum self + weight * other; bond dimensions add up."""
        tensors: list[NDArray] = []
        for site, (a, b) in enumerate(zip(self.tensors, other.tensors, strict=True)):
            rows, columns = a.shape[0], a.shape[2]  # of the upper left block; the outer bonds are shared
            left, right = (rows if site > 0 else 0), (columns if site < len(self.tensors) - 1 else 0)
            merged = np.zeros((left + b.shape[0], a.shape[1], right + b.shape[2]), np.result_type(a, b))
            merged[:rows, :, :columns] += a
            merged[left:, :, right:] += b * weight if site == 0 else b
            tensors.append(merged)
        return MPS.from_tensors(self.sites, tensors)

    def truncated(self, cutoff: float, max_bond: int) -> MPS:
        """The state with the Schmidt values below `cutoff`, and all beyond `max_bond`, discarded on every bond."""
        tensors, values = self.schmidt_form()
        kept = [max(1, min(max_bond, int((s >= cutoff).sum()))) for s in values]
        left, right = [1, *kept], [*kept, 1]
        return MPS.from_tensors(self.sites, [t[:a, :, :b] for t, a, b in zip(tensors, left, right, strict=True)])

    def entanglement_entropy(self) -> NDArray:
        """Von Neumann entropy (natural logarithm) of each of the L - 1 bonds."""
        squared = [s[s > 1e-16] ** 2 for s in self.schmidt_form()[1]]
        return np.array([-(p * np.log(p)).sum() for p in squared])

    def middle_entropy(self) -> float:
        """Von Neumann entropy (natural logarithm) of the L // 2 sites on the left."""
        middle = len(self.sites) // 2
        return float(self.entanglement_entropy()[middle - 1]) if middle else 0.0

    def arrays(self) -> dict[str, NDArray]:
        """All tensors in one buffer, the L + 1 bond dimensions, and charges, if there are any."""
        charges = {} if self.charges is None else {"labels": self.charges.labels, "levels": self.charges.levels}
        return {"data": self.packed.data, "bonds": self.packed.bonds, **charges}

    @classmethod
    def from_arrays(cls, sites: Sites, arrays: Mapping[str, NDArray]) -> MPS:
        """The inverse of `arrays`. Raises ValueError if they do not fit the sites."""
        data, bonds = arrays["data"], arrays["bonds"]
        if (
            bonds.dtype.kind != "i"
            or bonds.shape != (len(sites) + 1,)
            or bonds.min() < 1
            or (bonds[0], bonds[-1]) != (1, 1)
        ):
            raise ValueError("its bonds are not those of a chain of these sites")
        shapes = [
            (left, site.dimension, right)
            for left, site, right in zip(bonds[:-1].tolist(), sites, bonds[1:].tolist(), strict=True)
        ]
        ends = np.cumsum([np.prod(shape) for shape in shapes])
        if data.dtype.kind not in "fc" or data.shape != (ends[-1],):
            raise ValueError("its tensors are not those of a chain of these sites")
        parts = np.split(data, ends[:-1])
        charges = BondCharges(arrays["labels"], arrays["levels"]) if "labels" in arrays else None
        levels = sum(site.dimension for site in sites)
        if charges is not None and (charges.labels.shape, charges.levels.shape) != ((bonds.sum(),), (levels,)):
            raise ValueError("its charges are not those of its bonds")
        return cls(tuple(sites), tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)), charges)

    def to_dense(self) -> NDArray:
        """The state vector, site 0 the most significant. For tests on small chains."""
        vector = np.ones((1, 1))
        for tensor in self.tensors:
            vector = np.tensordot(vector, tensor, 1).reshape(-1, tensor.shape[2])  # a [l], [l] s r -> (a s) r
        return vector[:, 0]

    def to_tenpy(self) -> tenpy.MPS:
        """The state as a TeNPy MPS without charges, canonical, with its Schmidt values.

        Its sites have our operators by our names: `psi.expectation_value("Z")`. Fermionic ones bring their strings:
        `psi.correlation_function("Cdag", "C")`.
        """
        from qep_tn.hamiltonians.tenpy_sites import tenpy_sites
        from qep_tn.states.convert_tenpy import tenpy_mps

        return tenpy_mps(*self.schmidt_form(), tenpy_sites(self.sites))

    @classmethod
    def from_tenpy(cls, sites: Sites, psi: tenpy.MPS) -> MPS:
        """A finite TeNPy MPS, with or without charges, normalised.

        sites: its sites as ours: a SpinHalfSite is a qubit or `spin(1)`, a SpinSite `spin(2 S)` (S = 1/2 a qubit too),
            a BosonSite `boson(Nmax)`, a FermionSite `fermion()`, a SpinHalfFermionSite `electron()`; any other Site is
            what has its operators by name, and one without operators is taken to be in our order. The order of each
            local basis is found from the operators that both have.

        Raises ValueError for what has no counterpart: infinite, segment and purified states, fermions as qubits,
        bosons as qubits (hard-core ones too: `boson(1)`), grouped sites, clocks of more than two states, no norm.
        """
        from qep_tn.states.convert_tenpy import tensors_in_our_bases

        return cls._normalized(sites, tensors_in_our_bases(sites, psi))

    def to_quimb(self) -> quimb.tensor.MatrixProductState:
        """The state as a quimb matrix product state, its local bases in our order."""
        from qep_tn.states.convert_quimb import quimb_mps

        return quimb_mps(self.tensors)

    @classmethod
    def from_quimb(cls, sites: Sites, psi: quimb.tensor.MatrixProductState) -> MPS:
        """A quimb matrix product state with open boundaries, normalised.

        quimb knows no local operators: its bases are taken to be in our order, |0> first, spins from m = S down.
        Raises ValueError if it is cyclic, of another length or local dimension, no MPS, or zero.
        """
        from qep_tn.states.convert_quimb import tensors_of_quimb

        return cls._normalized(sites, tensors_of_quimb(sites, psi))

    @classmethod
    def _normalized(cls, sites: Sites, tensors: Sequence[NDArray]) -> MPS:
        """Tensors of another library, of any gauge and norm; ValueError if they are infinite or zero."""
        for j, tensor in enumerate(tensors):
            if not np.isfinite(tensor).all():
                raise ValueError(f"the tensor of site {j} has entries that are not finite; no state can be made of it")
        with np.errstate(invalid="ignore"):
            state = cls.from_tensors(sites, tensors)
        if np.isnan(state.tensors[0]).any():  # 0/0
            raise ValueError("the state has norm 0; no state can be made of it")
        return state


@lru_cache(maxsize=32)
def expectation_plan(sites: Sites, products: tuple[Product, ...]) -> tuple[ExpectationPlan, NDArray]:
    """The compiled plan for some products, and the phases taken out of their imaginary factors."""
    factors = [[(site, *real_factor(sites[site].matrix(names))) for site, names in product] for product in products]
    plan = compile_products(
        [site.dimension for site in sites], [tuple((site, m) for site, _, m in product) for product in factors]
    )
    phases = np.array([np.prod([phase for _, phase, _ in product]) for product in factors], complex)
    return plan, phases if phases.imag.any() else phases.real.copy()
