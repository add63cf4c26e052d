"""Electrons on a chain that hop, and repel each other on a site: the Fermi-Hubbard model."""

from __future__ import annotations

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import (
    CdagDown,
    CdagUp,
    CDown,
    CUp,
    Number,
    NumberDown,
    NumberUp,
    Operator,
    Sz,
)
from qep_tn.hamiltonians.sites import electrons
from qep_tn.models.chain import check_length, parameter, windows


def fermi_hubbard(L: int, local: bool = False, periodic: bool = False) -> Hamiltonian:
    """H = sum_j -t sum_s (Cdag_js C_{j+1,s} + h.c.) + U n_j,up n_j,down - mu n_j - h Sz_j on L sites of electrons.

    s is up or down, n_js = Cdag_js C_js, n_j = n_j,up + n_j,down, Sz_j = (n_j,up - n_j,down) / 2.
    A positive U repels. At mu = U/2 the ground state is half filled, one electron a site, for any U and L: exchange
    of particles and holes leaves H as it is. A positive field h favours spin up.
    local: one coupling a term: L - 1 bonds (L on a ring, bond j joins sites j and j + 1), and L of each of U, mu, h.
    A ring closes with the fermions' own sign, so that momenta are 2 pi k / L for any number of particles.

    The model of cold atoms in the lowest band of an optical lattice, whose depth and a Feshbach resonance set U/t
    (Esslinger, Annu. Rev. Condens. Matter Phys. 1, 129 (2010)); chains under a quantum gas microscope: Boll et al.,
    arXiv:1605.05661, Hilker et al., arXiv:1702.00642. The half-filled infinite chain has the energy per site
    -4 t int_0^inf dx J_0(x) J_1(x) / (x (1 + exp(x U / 2 t))), Lieb and Wu, Phys. Rev. Lett. 20, 1445 (1968).

    Raises ValueError for fewer than two sites, three on a ring.
    """
    check_length("fermi_hubbard", L, 2, periodic)
    bonds = windows(L, 2, periodic)
    return Hamiltonian(
        electrons(L),
        {
            "t": parameter([-hopping(i, j) for i, j in bonds], local),
            "U": parameter([NumberUp(j) * NumberDown(j) for j in range(L)], local),
            "mu": parameter([-Number(j) for j in range(L)], local),
            "h": parameter([-Sz(j) for j in range(L)], local),
        },
    )


def hopping(i: int, j: int) -> Operator:
    """sum_s Cdag_is C_js + h.c., of both spins."""
    up = CdagUp(i) * CUp(j) + CdagUp(j) * CUp(i)
    return up + CdagDown(i) * CDown(j) + CdagDown(j) * CDown(i)
