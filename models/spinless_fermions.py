"""Spinless fermions on a chain that hop and repel their neighbours: the t-V model."""

from __future__ import annotations

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import C, Cdag, Number, Operator
from qep_tn.hamiltonians.sites import fermions
from qep_tn.models.chain import check_length, parameter, windows


def spinless_fermions(L: int, local: bool = False, periodic: bool = False) -> Hamiltonian:
    """H = sum_j -t (Cdag_j C_{j+1} + h.c.) + V n_j n_{j+1} - mu sum_j n_j on L sites, n_j = Cdag_j C_j.

    A positive V repels. A ring is half filled at mu = V; an open chain too, with mu = V/2 on its two ends.
    local: one coupling a term: L - 1 bonds (L on a ring, bond j joins sites j and j + 1) and L chemical potentials.
    A ring closes with the fermions' own sign, so that momenta are 2 pi k / L for any number of particles.

    An open chain is the XXZ chain of `xxz` in other words, with the qubit state 0 for an empty site: n = 1/2 - Sz, and
    Cdag_j C_{j+1} + h.c. = 2 (Sx_j Sx_{j+1} + Sy_j Sy_{j+1}) (Jordan and Wigner, Z. Phys. 47, 631 (1928)):

        J_xy = -2 t,  J_z = V,  h_j = z_j V / 2 - mu_j,

    up to the constant V (L - 1) / 4 - sum_j mu_j / 2, where z_j is the number of neighbours of site j. So at half
    filling it is gapless for -2 t < V <= 2 t, with charge order beyond. A ring of N fermions is the ring of spins for
    odd N, and for even N one with a sign on the closing bond.

    Raises ValueError for fewer than two sites, three on a ring.
    """
    check_length("spinless_fermions", L, 2, periodic)
    bonds = windows(L, 2, periodic)
    return Hamiltonian(
        fermions(L),
        {
            "t": parameter([-hopping(i, j) for i, j in bonds], local),
            "V": parameter([Number(i) * Number(j) for i, j in bonds], local),
            "mu": parameter([-Number(j) for j in range(L)], local),
        },
    )


def hopping(i: int, j: int) -> Operator:
    """Cdag_i C_j + h.c."""
    return Cdag(i) * C(j) + Cdag(j) * C(i)
