"""Hamiltonians with named parameters: H(theta) = fixed + sum_k theta_k A_k."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from qep_tn.hamiltonians.action import Action, SectorAction, SectorBasis, Structure, build_structure, real_and_imaginary
from qep_tn.hamiltonians.mpo import ParametricMPO
from qep_tn.hamiltonians.operators import Operator, Product, expand, product_norm
from qep_tn.hamiltonians.sites import Sites, diagonal_along
from qep_tn.kernels import MeanField, sort_factors

if TYPE_CHECKING:
    import quimb.tensor
    import tenpy

Theta = Mapping[str, ArrayLike]


class Hamiltonian:
    """A Hamiltonian H(theta) = fixed + sum_k theta_k A_k on a set of sites. Immutable.

    sites: one `Site` each, in chain order.
    parameters: name -> Operator (a scalar parameter) or a sequence of Operators (an array parameter with one
        coupling for each). The values come with every call, as `theta`: name -> float or array.
    fixed: the part without parameters.

    Raises ValueError if an operator is not Hermitian, leaves the chain or names what its site does not have.
    """

    def __init__(
        self,
        sites: Sites,
        parameters: Mapping[str, Operator | Sequence[Operator]],
        fixed: Operator | float = 0.0,
    ) -> None:
        self.sites = tuple(sites)
        self.fixed = _operator(fixed, "the fixed part")
        checked: dict[str, Operator | tuple[Operator, ...]] = {}
        for name, value in parameters.items():
            checked[name] = (
                tuple(_operator(a, f"parameter {name!r}") for a in value)
                if isinstance(value, Sequence)
                else _operator(value, f"parameter {name!r}")
            )
            if checked[name] == ():
                raise ValueError(f"parameter {name!r} has no operators; give it one or more, or leave it out")
        self.parameters = MappingProxyType(checked)
        self.fixed.check(self.sites, "the fixed part")
        for label, operator in zip(self.labels, self.couplings, strict=True):
            operator.check(self.sites, f"parameter {label}")

    def __reduce__(self) -> tuple[type[Hamiltonian], tuple[Sites, dict[str, Operator | Sequence[Operator]], Operator]]:
        return Hamiltonian, (self.sites, dict(self.parameters), self.fixed)

    def __repr__(self) -> str:
        names = ", ".join(f"{n}[{len(v)}]" if isinstance(v, tuple) else n for n, v in self.parameters.items())
        return f"Hamiltonian({len(self.sites)} sites, parameters {names})"

    @cached_property
    def couplings(self) -> tuple[Operator, ...]:
        """The operators A_k of all couplings, array parameters flattened, in the order of `parameters`."""
        return tuple(a for v in self.parameters.values() for a in (v if isinstance(v, tuple) else (v,)))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """A name for each coupling: `g_zz`, or `g_x[17]` for an entry of an array parameter."""
        return tuple(
            label
            for name, value in self.parameters.items()
            for label in ([f"{name}[{i}]" for i in range(len(value))] if isinstance(value, tuple) else [name])
        )

    @cached_property
    def _expansion(self) -> tuple[tuple[Product, ...], sparse.csr_array, NDArray]:
        products, matrix = expand((*self.couplings, self.fixed))
        return products, matrix[:-1], matrix[[-1]].toarray()[0]

    @property
    def products(self) -> tuple[Product, ...]:
        """The distinct products of one-site operators that occur in H."""
        return self._expansion[0]

    @property
    def coupling_matrix(self) -> sparse.csr_array:
        """Coefficient of each of `products` in each of `couplings`, (number of couplings, number of products)."""
        return self._expansion[1]

    @cached_property
    def _from_couplings(self) -> sparse.csr_array:
        return self.coupling_matrix.T.tocsr()

    @cached_property
    def product_extents(self) -> NDArray:
        """First and last site of each of `products`, (number of products, 2); the identity has (0, L - 1)."""
        whole = ((0, ()), (len(self.sites) - 1, ()))
        return np.array([((p or whole)[0][0], (p or whole)[-1][0]) for p in self.products]).reshape(-1, 2)

    @cached_property
    def factor_counts(self) -> NDArray:
        """On how many sites each of `products` acts."""
        return np.array([len(product) for product in self.products])

    @cached_property
    def product_norms(self) -> NDArray:
        """The norm of each of `products`: the largest magnitude of its eigenvalues, or more."""
        return np.array([product_norm(product, self.sites) for product in self.products])

    @cached_property
    def diagonal_products(self) -> NDArray:
        """Which of `products` are diagonal in the basis that the sites are given in, and in the eigenbases of Sx and
        Sy where sites are spins; (3, number of products), boolean.
        """
        along = []
        for product in self.products:
            flags = (True, True, True)
            for site, names in product:
                z, x, y = diagonal_along(self.sites[site], names)
                flags = flags[0] and z, flags[1] and x, flags[2] and y
            along.append(flags)
        return np.array(along, bool).reshape(-1, 3).T

    def coefficients(self, theta: Theta) -> NDArray:
        """Coefficient of each of `products` in H(theta)."""
        return self._from_couplings @ self.flatten(theta) + self._expansion[2]

    def flatten(self, theta: Theta) -> NDArray:
        """Theta as one vector with an entry for each coupling. Raises ValueError where it does not fit."""
        if unknown := [name for name in theta if name not in self.parameters]:
            raise ValueError(f"theta has no use for {unknown[0]!r}; the parameters are {', '.join(self.parameters)}")
        parts: list[NDArray] = [np.empty(0)]
        for name, value in self.parameters.items():
            if name not in theta:
                raise ValueError(f"theta lacks parameter {name!r}")
            given = _real_array(name, theta[name])
            if isinstance(value, tuple) and given.shape != (len(value),):
                raise ValueError(
                    f"parameter {name!r} has {len(value)} couplings but theta[{name!r}] has shape {given.shape}"
                )
            if not isinstance(value, tuple) and given.shape != ():
                raise ValueError(f"parameter {name!r} is a scalar but theta[{name!r}] has shape {given.shape}")
            parts.append(given.reshape(-1))
        return np.concatenate(parts)

    def unflatten(self, vector: NDArray) -> dict[str, Any]:
        """The inverse of `flatten`: a vector over couplings as name -> float or array."""
        result: dict[str, Any] = {}
        position = 0
        for name, value in self.parameters.items():
            if isinstance(value, tuple):
                result[name] = np.array(vector[position : position + len(value)])
                position += len(value)
            else:
                result[name] = float(vector[position])
                position += 1
        return result

    def belonging_to(self, *names: str) -> NDArray:
        """Mask over all couplings: those of the parameters of these names."""
        sizes = {name: len(a) if isinstance(a, tuple) else 1 for name, a in self.parameters.items()}
        return np.concatenate([np.full(size, name in names) for name, size in sizes.items()])

    def operator(self, theta: Theta) -> Operator:
        """H(theta) as one Operator."""
        return Operator(dict(zip(self.products, self.coefficients(theta), strict=True)))

    def with_parameter(self, name: str, operators: Sequence[Operator]) -> Hamiltonian:
        """The same Hamiltonian with one more array parameter."""
        if name in self.parameters:
            raise ValueError(f"the Hamiltonian has a parameter {name!r} already; rename it")
        return Hamiltonian(self.sites, {**self.parameters, name: tuple(operators)}, self.fixed)

    def first_sites(self, n: int, theta: Theta) -> tuple[Hamiltonian, dict[str, Any]]:
        """The block of sites 0..n-1, and what is left of theta: the products that act within it.

        Couplings that keep a product keep their parameter's name; those of an array move up to the places of others.
        Raises ValueError if none does.
        """
        values = self.unflatten(self.flatten(theta))
        parameters: dict[str, Operator | Sequence[Operator]] = {}
        kept: dict[str, Any] = {}
        for name, operators in self.parameters.items():
            if isinstance(operators, tuple):
                cut = [_within(operator, n) for operator in operators]
                acting = [k for k, operator in enumerate(cut) if operator.support]
                if acting:
                    parameters[name], kept[name] = [cut[k] for k in acting], values[name][acting]
            elif (operator := _within(operators, n)).support:
                parameters[name], kept[name] = operator, values[name]
        if not parameters:
            raise ValueError(f"no coupling acts within the first {n} sites")
        return Hamiltonian(self.sites[:n], parameters, _within(self.fixed, n)), kept

    @cached_property
    def mpo(self) -> ParametricMPO:
        """The matrix product operator of H, its structure built once; `mpo.fill(H.coefficients(theta))`."""
        return ParametricMPO(self.sites, self.products)

    @cached_property
    def mean_field(self) -> MeanField:
        """The one-site factors of H's products, for searches among product states."""
        numbered = sorted({factor for product in self.products for factor in product})
        matrices = [self.sites[site].matrix(names).astype(complex).ravel() for site, names in numbered]
        return sort_factors([site.dimension for site in self.sites], numbered, matrices, self.products)

    @cached_property
    def coefficient_parts(self) -> NDArray:
        """Whether the coefficient of each of `products` may have a real part, and an imaginary one, (2, number)."""
        _, matrix, fixed = self._expansion
        parts = (matrix.real, fixed.real), (matrix.imag, fixed.imag)
        return np.array([(abs(of_couplings).sum(axis=0) + abs(alone)) > 0 for of_couplings, alone in parts])

    @cached_property
    def _product_parts(self) -> NDArray:
        """Whether the matrix of each of `products` has a real part, and an imaginary one, (2, number)."""
        return np.array([real_and_imaginary(self.sites, p) for p in self.products], bool).reshape(-1, 2).T

    @cached_property
    def _structures(self) -> dict[object, Structure]:
        """The structure of H, real or complex, on the whole Hilbert space or in a sector."""
        return {}

    def action(self, theta: Theta, basis: SectorBasis | None = None) -> Action:
        """What H(theta) does to vectors of the whole Hilbert space, site 0 the most significant, or of a sector."""
        coefficients = self.coefficients(theta)
        has_real, has_imaginary = self._product_parts
        is_complex = bool(((coefficients.real != 0) & has_imaginary | (coefficients.imag != 0) & has_real).any())
        key = is_complex, None if basis is None else tuple(basis.sector.items())
        if key not in self._structures:
            self._structures[key] = build_structure(
                self.sites, self.products, self.coefficient_parts, is_complex, basis
            )
        identity = np.array([not product for product in self.products], bool)
        constant = float(coefficients[identity].real.sum())
        coefficients = np.where(identity, 0, coefficients)
        apply, norm = self._structures[key].fill(coefficients), float(np.abs(coefficients) @ self.product_norms)
        dimension = math.prod(site.dimension for site in self.sites)
        if basis is None:
            return Action(apply, dimension, is_complex, constant, norm)
        return SectorAction(apply, len(basis.places), is_complex, constant, norm, basis, dimension)

    def to_sparse(self, theta: Theta) -> sparse.csr_array:
        """H(theta) as a sparse matrix, site 0 the most significant. Real where H is real."""
        return sparse_matrix(self.operator(theta), self.sites)

    def to_tenpy(self, theta: Theta) -> tenpy.models.model.MPOModel:
        """H(theta) as a TeNPy model with open boundaries, no charges, its local basis in our order."""
        from qep_tn.hamiltonians.tenpy_model import tenpy_model
        from qep_tn.hamiltonians.tenpy_sites import tenpy_sites

        return tenpy_model(tenpy_sites(self.sites), self.mpo.fill(self.coefficients(theta)).tensors)

    def to_quimb(self, theta: Theta) -> quimb.tensor.MatrixProductOperator:
        """H(theta) as a quimb matrix product operator with open boundaries."""
        from qep_tn.hamiltonians.quimb_mpo import quimb_mpo

        return quimb_mpo(self.mpo.fill(self.coefficients(theta)).tensors)


def sparse_matrix(operator: Operator, sites: Sites) -> sparse.csr_array:
    """An operator as a sparse matrix on all sites, site 0 the most significant. Real where it is real."""
    dimension = int(np.prod([site.dimension for site in sites]))
    total = sparse.csr_array((dimension, dimension))
    for product, coefficient in operator.terms.items():
        total = total + coefficient * _sparse_product(product, sites)
    if np.iscomplexobj(total.data) and not total.data.imag.any():
        total = total.real
    return total


@lru_cache(maxsize=64)
def _sparse_product(product: Product, sites: Sites) -> sparse.csr_array:
    matrix = sparse.eye_array(1, format="csr")
    position = 0
    for site, names in product:
        gap = int(np.prod([s.dimension for s in sites[position:site]]))
        matrix = sparse.kron(sparse.kron(matrix, sparse.eye_array(gap)), sites[site].matrix(names), format="csr")
        position = site + 1
    return sparse.kron(matrix, sparse.eye_array(int(np.prod([s.dimension for s in sites[position:]]))), format="csr")


def _within(operator: Operator, n: int) -> Operator:
    """The products that act on none but the first n sites."""
    return Operator({product: c for product, c in operator.terms.items() if not product or product[-1][0] < n})


def _operator(value: Any, where: str) -> Operator:
    if isinstance(value, Operator):
        return value
    if isinstance(value, int | float):
        return Operator({(): value})
    raise ValueError(f"{where} must be an Operator or a sequence of Operators, not {type(value).__name__}")


def _real_array(name: str, value: ArrayLike) -> NDArray:
    try:
        array = np.asarray(value)
        if np.iscomplexobj(array) and array.imag.any():
            raise TypeError
        array = array.real.astype(float)
    except (TypeError, ValueError):
        raise ValueError(f"theta[{name!r}] must be real numbers, not {value!r}") from None
    if not np.isfinite(array).all():
        where = "" if array.ndim == 0 else f", first at index {int(np.argmin(np.isfinite(array)))}"
        raise ValueError(f"theta[{name!r}] has values that are not finite{where}")
    return array
