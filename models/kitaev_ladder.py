"""Kitaev's honeycomb model on a strip of two rows, in a field."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import Operator, X, Y, Z
from qep_tn.hamiltonians.sites import qubits
from qep_tn.models import lattice
from qep_tn.models.chain import parameter

ALONG = X, Y  # the letter of the bond from column c to c + 1 in a row is that of (c + row) % 2


def kitaev_ladder(rungs: int, local: bool = False, periodic: bool = False) -> Hamiltonian:
    """H = J_x sum X X + J_y sum Y Y + J_z sum Z Z + h sum_j (X_j + Y_j + Z_j) on 2 x `rungs` qubits, Pauli matrices.

    Bonds along the two rows are X X and Y Y in turn, from (c, row) to (c + 1, row) X X where c + row is even; every
    rung is Z Z. This is the honeycomb lattice of two rows that is periodic across them. Site (c, row) is number
    2 c + row of H; periodic along the rows, they are folded: see `lattice.ladder`, whose `sites` say where.
    local: one coupling a bond, by column and then row, and one h a site, in all three directions.

    Signs are as published: J > 0 is antiferromagnetic, and the field enters with a plus. J sets the unit of energy.
    At h = 0 the fluxes of `kitaev_fluxes` are conserved, the rest is free fermions (Kitaev, Ann. Phys. 321, 2 (2006));
    of Kitaev materials, such as alpha-RuCl3, the model leaves out Heisenberg and off-diagonal exchange. The phase
    exploration on 8 x 2, h = 0.1: Wanjura and Marquardt, Nat. Commun. 16 (2025), arXiv:2406.06482.
    Raises ValueError for fewer than two rungs; periodic ones need an even number, four or more.
    """
    strip = _strip("kitaev_ladder", rungs, periodic)
    bonds: dict[str, list[Operator]] = {"J_x": [], "J_y": []}
    for n, (i, j) in enumerate(strip.bonds["leg"]):
        kind = sum(divmod(n, 2)) % 2
        bonds["J_x" if kind == 0 else "J_y"].append(ALONG[kind](i) * ALONG[kind](j))
    bonds["J_z"] = [Z(i) * Z(j) for i, j in strip.bonds["rung"]]
    bonds["h"] = [X(j) + Y(j) + Z(j) for j in strip.sites.ravel().tolist()]
    return Hamiltonian(qubits(2 * rungs), {name: parameter(terms, local) for name, terms in bonds.items()})


def kitaev_fluxes(
    rungs: int, periodic: bool = False, plaquette: Literal["square", "hexagon"] = "hexagon"
) -> list[Operator]:
    """The plaquette fluxes of `kitaev_ladder`, in the order of their first column; they square to one.

    "square": between rungs c and c + 1, P P along row 0 and Q Q along row 1, the letters of the bonds that leave it.
    "hexagon": the honeycomb's plaquettes, from rung c to c + 2: products of two squares beside each other; that of
        c = 1 is X_(1,0) Z_(2,0) Y_(3,0) Y_(1,1) Z_(2,1) X_(3,1), which the published exploration measures.
    They commute with H at h = 0. Raises ValueError as `kitaev_ladder`, and for hexagons on fewer than three rungs.
    """
    strip = _strip("kitaev_fluxes", rungs, periodic)
    if plaquette not in ("square", "hexagon"):
        raise ValueError(f'kitaev_fluxes: plaquette is {plaquette!r}; it is "square" or "hexagon"')
    squares = []
    for c in range(rungs if periodic else rungs - 1):
        (a, b), (p, q) = strip.sites[[c, (c + 1) % rungs]].tolist()
        upper, lower = ALONG[(c + 1) % 2], ALONG[c % 2]
        squares.append(upper(a) * upper(p) * lower(b) * lower(q))
    if plaquette == "square":
        return squares
    if len(squares) < 2:
        raise ValueError(f"kitaev_fluxes(rungs={rungs}): a hexagon spans three rungs")
    following = [*squares[1:], squares[0]] if periodic else squares[1:]
    return [first * second for first, second in zip(squares, following, strict=False)]


def honeycomb_phase(J_x: ArrayLike, J_y: ArrayLike, J_z: ArrayLike) -> NDArray:
    """Index of the honeycomb lattice's phase at h = 0: 0 where one coupling exceeds the sum of the others, else 1.

    0 is gapped, with Abelian anyons (A_x, A_y, A_z); 1 is B, gapless, and with non-Abelian ones where a field opens a
    gap (Kitaev, Ann. Phys. 321, 2 (2006)). Arguments broadcast; magnitudes count.
    A strip of two rows knows less: in the sector of its ground state, all squares of `kitaev_fluxes` alike, fermions of
    momentum k along it have the energies 2 sqrt((J_x + J_y)^2 cos^2 k + (|(J_x - J_y) sin k| +- J_z)^2), whose gap
    closes at |J_x - J_y| = J_z alone, and not at J_z = J_x + J_y.
    """
    x, y, z = np.broadcast_arrays(*(np.abs(np.asarray(J, float)) for J in (J_x, J_y, J_z)))
    return np.where(2 * np.maximum(np.maximum(x, y), z) > x + y + z, 0, 1)


def _strip(model: str, rungs: int, periodic: bool) -> lattice.Lattice:
    if periodic and (not isinstance(rungs, int) or rungs < 4 or rungs % 2):
        raise ValueError(f"{model}(rungs={rungs!r}): a periodic strip needs an even number of rungs, 4 or more")
    try:
        return lattice.ladder(rungs, periodic)
    except ValueError as error:
        raise ValueError(f"{model}: {error}") from None
