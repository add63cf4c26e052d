"""Heisenberg antiferromagnets on a ladder, and on the zigzag ladder, which is the J1-J2 chain."""

from __future__ import annotations

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import Operator, Sx, Sy, Sz
from qep_tn.hamiltonians.sites import qubits
from qep_tn.models import lattice
from qep_tn.models.chain import check_length, parameter, windows


def heisenberg_ladder(rungs: int, local: bool = False, periodic: bool = False) -> Hamiltonian:
    """H = J_leg sum S_(c,row) . S_(c+1,row) + J_rung sum_c S_(c,0) . S_(c,1), spins 1/2 on 2 x `rungs` qubits.

    S = sigma/2 (hbar = 1); positive couplings are antiferromagnetic. Site (c, row) is number 2 c + row of H, or on a
    ring where `lattice.ladder(rungs, periodic=True).sites` says.
    local: one coupling a bond, legs by column and then row.

    Gapped for any J_rung other than 0: singlets on the rungs where J_rung > 0, energy -3/4 J_rung a rung to first order
    in J_leg, a Haldane chain where J_rung < 0 (Dagotto and Rice, Science 271, 618 (1996)). J/k_B is about 13 K on the
    rungs and 3.6 K on the legs of (C5H12N)2CuBr4 (Klanjsek et al., Phys. Rev. Lett. 101, 137207 (2008)).
    Left out: ring exchange, couplings between ladders.
    Raises ValueError for fewer than two rungs, three on a ring.
    """
    try:
        places = lattice.ladder(rungs, periodic)
    except ValueError as error:
        raise ValueError(f"heisenberg_ladder: {error}") from None
    return Hamiltonian(
        qubits(2 * rungs),
        {f"J_{kind}": parameter([_dot(i, j) for i, j in places.bonds[kind]], local) for kind in ("leg", "rung")},
    )


def j1_j2_chain(L: int, local: bool = False) -> Hamiltonian:
    """H = J_1 sum_j S_j . S_{j+1} + J_2 sum_j S_j . S_{j+2} on an open chain of L spins 1/2, S = sigma/2.

    The zigzag ladder: J_2 along its legs, J_1 between them. At J_2 = J_1/2 > 0 and even L the ground state is a product
    of singlets on (0, 1), (2, 3), ... with the energy -3/8 J_1 L (Majumdar and Ghosh, J. Math. Phys. 10, 1388 (1969));
    dimers melt at J_2/J_1 = 0.2411 (Okamoto and Nomura, Phys. Lett. A 169, 433 (1992)).
    local: one coupling a bond, L - 1 and L - 2 of them. Raises ValueError for fewer than three sites.
    """
    check_length("j1_j2_chain", L, 3, periodic=False)
    return Hamiltonian(
        qubits(L),
        {
            "J_1": parameter([_dot(i, j) for i, j in windows(L, 2, periodic=False)], local),
            "J_2": parameter([_dot(i, k) for i, _, k in windows(L, 3, periodic=False)], local),
        },
    )


def _dot(i: int, j: int) -> Operator:
    return Sx(i) * Sx(j) + Sy(i) * Sy(j) + Sz(i) * Sz(j)
