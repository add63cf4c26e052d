"""The ten-qubit chain of the published trainings; a configuration calls it "qep_tn.models.published:ten_qubits"."""

from __future__ import annotations

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import X, Z
from qep_tn.hamiltonians.sites import qubits
from qep_tn.models.chain import parameter


def ten_qubits() -> Hamiltonian:
    """H = -g_x sum_j X_j - g_zz sum_j Z_j Z_{j+1} - 0.5 sum_{j=1..7} Z_j X_{j+1} Z_{j+2} on an open chain, sites 0..9.

    What differs from `cluster_ising(10)`: the cluster term is fixed, and leaves out its first triple, j = 0.

    Source: Wanjura and Marquardt, Nat. Commun. 16 (2025), arXiv:2406.06482, and their code (ClaraWanjura/QuantumEP).
    """
    return Hamiltonian(
        qubits(10),
        {
            "g_x": parameter([-X(j) for j in range(10)], local=False),
            "g_zz": parameter([-Z(j) * Z(j + 1) for j in range(9)], local=False),
        },
        fixed=-0.5 * sum(Z(j) * X(j + 1) * Z(j + 2) for j in range(1, 8)),
    )
