"""The spin-1/2 XXZ chain in a longitudinal field."""

from __future__ import annotations

from qep_tn.hamiltonian import Hamiltonian
from qep_tn.models.chain import check_length, parameter, windows
from qep_tn.operators import Sx, Sy, Sz
from qep_tn.sites import qubits


def xxz(L: int, local: bool = False, periodic: bool = False) -> Hamiltonian:
    """H = sum_j J_xy (Sx_j Sx_{j+1} + Sy_j Sy_{j+1}) + J_z Sz_j Sz_{j+1} - h sum_j Sz_j, spins 1/2 on L qubits.

    S = sigma/2 (hbar = 1) and Sz = +1/2 on the qubit state |0>. Positive couplings are antiferromagnetic:
    J_xy = J_z is the Heisenberg antiferromagnet; with J_xy > 0 and h = 0 the chain is critical for
    -J_xy < J_z <= J_xy. A positive field h favours |0>.
    local: one coupling a term: L - 1 bonds (L on a ring, bond j joins sites j and j + 1) and L fields.

    Convention: Giamarchi, Quantum Physics in One Dimension (Oxford, 2003), chapter 6.
    Raises ValueError for fewer than two sites, three on a ring.
    """
    check_length("xxz", L, 2, periodic)
    bonds = windows(L, 2, periodic)
    return Hamiltonian(
        qubits(L),
        {
            "J_xy": parameter([Sx(i) * Sx(j) + Sy(i) * Sy(j) for i, j in bonds], local),
            "J_z": parameter([Sz(i) * Sz(j) for i, j in bonds], local),
            "h": parameter([-Sz(j) for j in range(L)], local),
        },
    )
