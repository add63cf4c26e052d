"""Images of a ground state under symmetries of what is not trained.

In an ordered phase such a symmetry turns a ground state into another one, and the trained couplings, which are few and
somewhere on the chain, decide which of them lies lower. Sweeps do not lead from one to the other: all sites would have
to turn at once. So the image of a start is a second start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import Product
from qep_tn.hamiltonians.sites import Sites

_HALF_TURNS = (np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [-1.0, 0.0]]), np.diag([1.0, -1.0]))
_BROKEN = 0.1  # expectation value of an operator that changes its sign: the state is not its own image


@dataclass(frozen=True, eq=False)
class HalfTurn:
    """A rotation of qubits by pi about one axis, which leaves what is not trained as it is.

    turns: a matrix for each site, None for those that stay. signs: of each of H's products, as it is turned.
    """

    turns: tuple[NDArray | None, ...]
    signs: NDArray

    def is_broken_by(self, values: NDArray) -> bool:
        """Whether a state with these expectation values of H's products is not its own image."""
        return bool((np.abs(values[self.signs < 0]) > _BROKEN).any())


def half_turns(H: Hamiltonian, trained: NDArray) -> list[HalfTurn]:
    """Those of all sites on which something acts that is not trained, if these are qubits.

    trained: mask over the couplings. Left out are those that change nothing.
    """
    kept = [H.fixed, *(coupling for coupling, moves in zip(H.couplings, trained, strict=True) if not moves)]
    turned = {site for operator in kept for site in operator.support}
    untrained = {product for operator in kept for product in operator.terms}
    if any(H.sites[site].dimension != 2 for site in turned):
        return []
    found = []
    for matrix in _HALF_TURNS:
        turns = tuple(matrix if site in turned else None for site in range(len(H.sites)))
        signs = np.array(list(_signs(H.sites, H.products, turns)))
        stays = all(sign == 1 for sign, product in zip(signs, H.products, strict=True) if product in untrained)
        if stays and signs.all() and (signs < 0).any():
            found.append(HalfTurn(turns, signs))
    return found


def _signs(sites: Sites, products: Sequence[Product], turns: Sequence[NDArray | None]) -> Iterator[int]:
    """Of each product as it is turned; 0 where it becomes another operator."""
    for product in products:
        sign = 1
        for site, names in product:
            turn, before = turns[site], sites[site].matrix(names)
            if turn is not None:
                after = turn @ before @ turn.T
                sign *= next((s for s in (1, -1) if np.allclose(after, s * before)), 0)
        yield sign
