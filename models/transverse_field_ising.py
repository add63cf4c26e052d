"""The transverse-field Ising chain."""

from __future__ import annotations

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import X, Z
from qep_tn.hamiltonians.sites import qubits
from qep_tn.models.chain import check_length, parameter, windows


def transverse_field_ising(L: int, local: bool = False, periodic: bool = False) -> Hamiltonian:
    """H = -J sum_j Z_j Z_{j+1} - h sum_j X_j on L qubits, Pauli matrices.

    J > 0 is ferromagnetic; the infinite chain is critical at h = J.
    local: one coupling a term: L - 1 bonds J (L on a ring, bond j joins sites j and j + 1) and L fields h.

    Model: Pfeuty, Ann. Phys. 57, 79 (1970).
    Raises ValueError for fewer than two sites, three on a ring.
    """
    check_length("transverse_field_ising", L, 2, periodic)
    return Hamiltonian(
        qubits(L),
        {
            "J": parameter([-Z(i) * Z(j) for i, j in windows(L, 2, periodic)], local),
            "h": parameter([-X(j) for j in range(L)], local),
        },
    )
