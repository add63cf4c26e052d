"""Sites: local Hilbert spaces and the one-site operators that have names on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.words import FERMIONIC, PARITY, Word

Sites = tuple["Site", ...]


# These multiply as soon as they meet (see `qep_tn.hamiltonians.operators`), so their names are taken.
_PAULI = {
    "X": np.array([[0.0, 1.0], [1.0, 0.0]]),
    "Y": np.array([[0.0, -1j], [1j, 0.0]]),
    "Z": np.diag([1.0, -1.0]),
}


@dataclass(frozen=True, eq=False)
class Site:
    """A local Hilbert space and its named operators. Sites with the same name and operators are equal.

    name: what messages and files call it.
    operators: name -> (dimension, dimension) matrix, rows are the outgoing index.
    """

    name: str
    operators: Mapping[str, NDArray] = field(repr=False)
    _content: tuple = field(init=False, repr=False)
    _hash: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shapes = {matrix.shape for matrix in self.operators.values()}
        if len(shapes) != 1 or len(shape := shapes.pop()) != 2 or shape[0] != shape[1]:
            raise ValueError(f"site {self.name!r}: its operators must be square matrices of one size")
        for name, pauli in _PAULI.items():
            if name in self.operators and not np.array_equal(self.operators[name], pauli):
                raise ValueError(f"site {self.name!r}: {name} is the Pauli matrix everywhere; choose another name")
        self._check_fermions()
        for matrix in self.operators.values():
            matrix.setflags(write=False)
        content = (self.name, *sorted((n, m.shape, m.dtype.str, m.tobytes()) for n, m in self.operators.items()))
        object.__setattr__(self, "operators", MappingProxyType(dict(self.operators)))
        object.__setattr__(self, "_content", content)
        object.__setattr__(self, "_hash", hash(content))

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Site) and self._content == other._content)

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[type[Site], tuple[str, dict[str, NDArray]]]:
        return Site, (self.name, dict(self.operators))

    def _check_fermions(self) -> None:
        """Raise ValueError unless the parity F is one, fermionic operators change it, and no others do."""
        fermionic = [name for name in self.operators if name in FERMIONIC]
        parity = self.operators.get(PARITY)
        if parity is None:
            if fermionic:
                raise ValueError(
                    f"site {self.name!r}: {fermionic[0]} is a fermionic operator everywhere; choose another name, or "
                    f"add the parity {PARITY} = (-1)^n"
                )
            return
        if not np.array_equal(parity, np.diag(np.diagonal(parity))) or set(np.diagonal(parity).tolist()) - {1, -1}:
            raise ValueError(f"site {self.name!r}: {PARITY} is the parity of fermions everywhere; choose another name")
        for name, matrix in self.operators.items():
            sign = -1 if name in fermionic else 1
            if not np.array_equal(parity @ matrix, sign * matrix @ parity):
                raise ValueError(
                    f"site {self.name!r}: {name} {'keeps' if name in fermionic else 'changes'} {PARITY}, which "
                    f"{', '.join(FERMIONIC)} change and no others; choose another name, or mend {PARITY}"
                )

    @property
    def dimension(self) -> int:
        """Dimension of the local Hilbert space."""
        return next(iter(self.operators.values())).shape[0]

    def matrix(self, names: Word) -> NDArray:
        """Matrix of a product of named operators, leftmost applied last; F is 1 without fermions. Read-only."""
        return _product(self, names)


@cache
def _product(site: Site, names: Word) -> NDArray:
    matrix = np.eye(site.dimension)
    for name in names:
        if name == PARITY and name not in site.operators:
            continue
        if name not in site.operators:
            raise ValueError(f"a {site.name} has no operator {name!r}; it has {', '.join(sorted(site.operators))}")
        matrix = matrix @ site.operators[name]
    matrix.setflags(write=False)
    return matrix


@cache
def diagonal_along(site: Site, names: Word) -> tuple[bool, bool, bool]:
    """Whether a product of named operators is diagonal in the site's basis, and in those of its Sx and Sy.

    To commute with Sx is to be diagonal with it, where its levels are not degenerate. Elsewhere there is one basis.
    """
    matrix = site.matrix(names)
    spins = [site.operators[name] for name in ("Sx", "Sy") if name in site.operators]
    spins = [spin for spin in spins if np.diff(np.linalg.eigvalsh(spin)).min() > 0.5]
    commutes = [bool(np.allclose(matrix @ spin, spin @ matrix)) for spin in spins]
    along_x, along_y = commutes if len(commutes) == 2 else (False, False)
    return bool(np.array_equal(matrix, np.diag(np.diag(matrix)))), along_x, along_y


@cache
def qubit() -> Site:
    """A qubit: Pauli X, Y, Z; Number = |1><1| = (1 - Z)/2; Sp = |0><1|, Sm = |1><0|; Sx, Sy, Sz = X/2, Y/2, Z/2."""
    x, y, z = (_PAULI[name] for name in "XYZ")
    raising = np.array([[0.0, 1.0], [0.0, 0.0]])
    return Site(
        "qubit",
        {
            "X": x, "Y": y, "Z": z, "Number": np.diag([0.0, 1.0]),
            "Sx": x / 2, "Sy": y / 2, "Sz": z / 2, "Sp": raising, "Sm": raising.T.copy(),
        },
    )  # fmt: skip


@cache
def spin(twice_s: int) -> Site:
    """A spin S = twice_s/2 with Sx, Sy, Sz, Sp, Sm (hbar = 1); basis ordered from m = S down to -S."""
    if twice_s < 1:
        raise ValueError(f"spin(twice_s={twice_s}): twice the spin must be a positive integer")
    s = twice_s / 2
    m = s - np.arange(twice_s + 1)
    raising = np.diag(np.sqrt(s * (s + 1) - m[1:] * (m[1:] + 1)), 1)
    sx, sy = (raising + raising.T) / 2, (raising - raising.T) / 2j
    return Site(f"spin-{twice_s}/2", {"Sx": sx, "Sy": sy, "Sz": np.diag(m), "Sp": raising, "Sm": raising.T.copy()})


@cache
def boson(cutoff: int) -> Site:
    """A bosonic mode with at most `cutoff` particles: Create, Destroy, Number."""
    if cutoff < 1:
        raise ValueError(f"boson(cutoff={cutoff}): at least one particle must fit")
    destroy = np.diag(np.sqrt(np.arange(1.0, cutoff + 1)), 1)
    number = np.diag(np.arange(cutoff + 1.0))
    return Site(f"boson<={cutoff}", {"Create": destroy.T.copy(), "Destroy": destroy, "Number": number})


@cache
def fermion() -> Site:
    """A mode of spinless fermions, empty or full: C, Cdag, Number, and the parity F."""
    destroy = np.array([[0.0, 1.0], [0.0, 0.0]])
    number = np.diag([0.0, 1.0])
    return Site("fermion", {"C": destroy, "Cdag": destroy.T.copy(), "Number": number, "F": np.diag([1.0, -1.0])})


@cache
def electron() -> Site:
    """A site of electrons: empty, up, down, and both, CdagUp CdagDown applied to an empty one.

    CUp, CdagUp, CDown, CdagDown; NumberUp, NumberDown, Number, and the parity F; Sx, Sy, Sz, Sp, Sm, the spin of a
    single electron (hbar = 1), zero where there is none or two.
    """
    destroy, mode = np.array([[0.0, 1.0], [0.0, 0.0]]), np.eye(2)
    # Kronecker products order states by (down, up), which is the order above; up comes first, so down passes its parity
    up, down = np.kron(mode, destroy), np.kron(destroy, np.diag([1.0, -1.0])) + 0.0
    n_up, n_down, raising = up.T @ up, down.T @ down, up.T @ down
    sx, sy, sz = (raising + raising.T) / 2, (raising - raising.T) / 2j, (n_up - n_down) / 2
    return Site(
        "spinful fermion",
        {
            "CUp": up, "CdagUp": up.T.copy(), "CDown": down, "CdagDown": down.T.copy(),
            "NumberUp": n_up, "NumberDown": n_down, "Number": n_up + n_down, "F": np.diag([1.0, -1.0, -1.0, 1.0]),
            "Sx": sx, "Sy": sy, "Sz": sz, "Sp": raising, "Sm": raising.T.copy(),
        },
    )  # fmt: skip


def qubits(length: int) -> Sites:
    """A chain of `length` qubits."""
    return (qubit(),) * _checked_length(length)


def spins(length: int, twice_s: int) -> Sites:
    """A chain of `length` spins S = twice_s/2."""
    return (spin(twice_s),) * _checked_length(length)


def bosons(length: int, cutoff: int) -> Sites:
    """A chain of `length` bosonic modes, each with at most `cutoff` particles."""
    return (boson(cutoff),) * _checked_length(length)


def fermions(length: int) -> Sites:
    """A chain of `length` modes of spinless fermions."""
    return (fermion(),) * _checked_length(length)


def electrons(length: int) -> Sites:
    """A chain of `length` sites of electrons, spin up and down."""
    return (electron(),) * _checked_length(length)


def _checked_length(length: int) -> int:
    if not isinstance(length, int | np.integer) or length < 1:
        raise ValueError(f"a chain needs a positive whole number of sites, not {length!r}")
    return int(length)


def real_factor(matrix: NDArray) -> tuple[complex, NDArray]:
    """(1, M), (1j, M / 1j) or (1, M) for a real, purely imaginary or complex matrix: products with an even number
    of Pauli Y stay real.
    """
    if not np.iscomplexobj(matrix):
        return 1, matrix
    if not matrix.imag.any():
        return 1, np.ascontiguousarray(matrix.real)
    if not matrix.real.any():
        return 1j, np.ascontiguousarray(matrix.imag)
    return 1, matrix
