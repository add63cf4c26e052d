"""Products of named one-site operators, and the rules by which names multiply: Pauli matrices, fermions.

A fermionic operator at site j is, by Jordan and Wigner, the product of the parity F = (-1)^n of all sites before j and
a matrix on j; where a site holds several modes, the parity of the earlier ones is in the later ones' matrices. Then
products multiply site by site, and what fermions demand follows from three rules for the names on one site: F F = 1,
F anticommutes with every fermionic operator, and so do operators of different modes.
"""

from __future__ import annotations

Word = tuple[str, ...]
# A product of one-site operators: ((site, (name, name, ...)), ...), sites ascending, one entry a site.
Product = tuple[tuple[int, Word], ...]

PARITY = "F"
# Operators that change the number of fermions by one, wherever they appear, and which of its site's modes they act on.
FERMIONIC = {"C": 0, "Cdag": 0, "CUp": 0, "CdagUp": 0, "CDown": 1, "CdagDown": 1}

_PAULI = {
    ("X", "X"): (1, None), ("Y", "Y"): (1, None), ("Z", "Z"): (1, None),
    ("X", "Y"): (1j, "Z"), ("Y", "Z"): (1j, "X"), ("Z", "X"): (1j, "Y"),
    ("Y", "X"): (-1j, "Z"), ("Z", "Y"): (-1j, "X"), ("X", "Z"): (-1j, "Y"),
}  # fmt: skip


def multiply(left: Product, right: Product) -> tuple[complex, Product]:
    """The product of two products, and its phase; 0 where a fermionic operator meets itself."""
    phase: complex = 1
    factors = dict(left)
    for site, names in right:
        if site in factors:
            factor, factors[site] = _joined(factors[site], names)
            phase *= factor
        else:
            factors[site] = names
    return phase, tuple(sorted((site, names) for site, names in factors.items() if names))


def with_string(name: str, site: int) -> Product:
    """The one-site operator of this name; a fermionic one with the parity of all sites before."""
    if name not in FERMIONIC:
        return ((site, (name,)),)
    return (*((before, (PARITY,)) for before in range(site)), (site, (name,)))


def is_odd(product: Product) -> bool:
    """Whether a product changes the number of fermions by an odd number."""
    return sum(_is_odd(names) for _, names in product) % 2 == 1


def as_written(product: Product) -> tuple[int, list[tuple[str, int]]]:
    """The sign and the (name, site) of a product of operators that bring their strings with them."""
    if not any(_is_odd(names) for _, names in product):
        return 1, [(name, site) for site, names in product for name in names]
    factors, odd_behind, sign = dict(product), False, 1
    written: list[tuple[str, int]] = []
    for site in range(product[-1][0], -1, -1):
        names = factors.get(site, ())
        is_odd_here = _is_odd(names)
        if odd_behind:  # their strings stand on this site, and are not written
            phase, names = _joined(names, (PARITY,))
            sign *= int(phase.real)
        written = [(name, site) for name in names] + written
        odd_behind ^= is_odd_here
    return sign, written


def _is_odd(names: Word) -> bool:
    return sum(name in FERMIONIC for name in names) % 2 == 1


def _joined(left: Word, right: Word) -> tuple[complex, Word]:
    """Names on one site, those of `right` after those of `left`, in the order that all equal words share: F first, of
    fermionic operators in a row those of the first mode before those of the second.
    """
    phase: complex = 1
    joined = list(left)
    for name in right:
        if name == PARITY:
            phase *= -1 if _is_odd(tuple(joined)) else 1
            joined = joined[1:] if joined[:1] == [PARITY] else [PARITY, *joined]
        elif joined and (joined[-1], name) in _PAULI:
            factor, result = _PAULI[joined.pop(), name]
            phase *= factor
            joined += [result] if result else []
        elif name in FERMIONIC:
            place = len(joined)
            while place > 0 and FERMIONIC.get(joined[place - 1], -1) > FERMIONIC[name]:
                place -= 1
                phase = -phase
            if place > 0 and joined[place - 1] == name:
                return 0, ()
            joined.insert(place, name)
        else:
            joined.append(name)
    return phase, tuple(joined)
