"""The cluster-Ising chain, with paramagnetic, ferromagnetic and cluster (symmetry-protected) phases."""

from __future__ import annotations

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import X, Z
from qep_tn.hamiltonians.sites import qubits
from qep_tn.models.chain import check_length, parameter, windows


def cluster_ising(L: int, local: bool = False, periodic: bool = False) -> Hamiltonian:
    """H = -g_x sum_j X_j - g_zz sum_j Z_j Z_{j+1} - g_zxz sum_j Z_j X_{j+1} Z_{j+2} on L qubits, Pauli matrices.

    local: one coupling a term: L, L - 1 and L - 2 of them on the open chain, L each on a ring.
    Entry j of an array parameter belongs to the term whose first site is j.

    Model: Suzuki, Prog. Theor. Phys. 46, 1337 (1971); in quantum equilibrium propagation: Wanjura and Marquardt,
    arXiv:2406.06482. Raises ValueError for fewer than three sites.
    """
    check_length("cluster_ising", L, 3, periodic)
    return Hamiltonian(
        qubits(L),
        {
            "g_x": parameter([-X(j) for j in range(L)], local),
            "g_zz": parameter([-Z(i) * Z(j) for i, j in windows(L, 2, periodic)], local),
            "g_zxz": parameter([-Z(i) * X(j) * Z(k) for i, j, k in windows(L, 3, periodic)], local),
        },
    )
