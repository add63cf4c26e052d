"""The spin-1/2 XXZ chain in a longitudinal field, uniform or staggered."""

from __future__ import annotations

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import Operator, Sx, Sy, Sz
from qep_tn.hamiltonians.sites import qubits
from qep_tn.models.chain import check_length, parameter, windows


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
    return _xxz(L, local, periodic, [-Sz(j) for j in range(L)])


def xxz_staggered(L: int, local: bool = False, periodic: bool = False) -> Hamiltonian:
    """H = sum_j J_xy (Sx_j Sx_{j+1} + Sy_j Sy_{j+1}) + J_z Sz_j Sz_{j+1} - h (-1)^j (Sz_j - Sz_{j+1}) / 2.

    As `xxz`, in a staggered field: every bond carries half of it, so that the field is h (-1)^j inside the chain, and
    half as large at its ends. A ring needs an even number of sites.

    A bond has the levels J_z/4, twice, and -J_z/4 +- sqrt(J_xy^2 + h^2)/2. So where J_z < -sqrt(J_xy^2 + h^2), the two
    polarised states minimize the energy of every bond at once, and are the ground states, for any L; at equality a
    product state does so too. Phase diagram: Alcaraz and Malvezzi, J. Phys. A 28, 1521 (1995).
    Raises ValueError for fewer than two sites; on a ring, for fewer than four or an odd number.
    """
    check_length("xxz_staggered", L, 2, periodic)
    if periodic and L % 2:
        raise ValueError(f"xxz_staggered(L={L}): a staggered field on a ring needs an even number of sites")
    ends = () if periodic else (0, L - 1)
    fields = [(-((-1) ** j) * (0.5 if j in ends else 1.0)) * Sz(j) for j in range(L)]
    return _xxz(L, local, periodic, fields)


def _xxz(L: int, local: bool, periodic: bool, fields: list[Operator]) -> Hamiltonian:
    bonds = windows(L, 2, periodic)
    return Hamiltonian(
        qubits(L),
        {
            "J_xy": parameter([Sx(i) * Sx(j) + Sy(i) * Sy(j) for i, j in bonds], local),
            "J_z": parameter([Sz(i) * Sz(j) for i, j in bonds], local),
            "h": parameter(fields, local),
        },
    )
