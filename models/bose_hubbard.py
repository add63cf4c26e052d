"""Bosons in an optical lattice."""

from __future__ import annotations

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import Create, Destroy, Number
from qep_tn.hamiltonians.sites import bosons
from qep_tn.models import lattice
from qep_tn.models.chain import check_length, parameter


def bose_hubbard(L: int, cutoff: int = 4, local: bool = False, periodic: bool = False) -> Hamiltonian:
    """H = -t sum_j (b+_j b_{j+1} + b+_{j+1} b_j) + U/2 sum_j n_j (n_j - 1) - mu sum_j n_j, at most `cutoff` a site.

    local: one coupling a term: L - 1 of t (L on a ring, entry j joins sites j and j + 1), and L each of U and mu, by
        site; a trap is mu_j = mu - (trap/2) (j - (L - 1)/2)^2.
    A ring is folded (see `lattice.chain`): its site j is number `lattice.chain(L, periodic=True).sites[j]` of H.

    Energies in units of U or of the recoil energy h^2 / 2 m lambda^2, h 3.2 kHz for 87Rb in light of 852 nm; U/t from
    1 to above 20 (Greiner et al., Nature 415, 39 (2002); Bloch, Dalibard and Zwerger, Rev. Mod. Phys. 80, 885 (2008)).
    The Mott insulator of one a site ends at t/U = 0.305(1) (Ejima, Fehske and Gebhard, EPL 93, 30002 (2011)).
    Left out: higher bands, hops beyond neighbours. A cutoff of 4 to 6 is enough at densities near one where U > t.
    Raises ValueError for fewer than two sites, three on a ring, and for a cutoff below one.
    """
    check_length("bose_hubbard", L, 2, periodic)
    if isinstance(cutoff, bool) or not isinstance(cutoff, int) or cutoff < 1:
        raise ValueError(f"bose_hubbard: cutoff is {cutoff!r}; it is the most bosons on a site, a whole number from 1")
    places = lattice.chain(L, periodic)
    numbers = [Number(int(j)) for j in places.sites]
    hops = [-(Create(i) * Destroy(j) + Destroy(i) * Create(j)) for i, j in places.bonds["chain"]]
    return Hamiltonian(
        bosons(L, cutoff),
        {
            "t": parameter(hops, local),
            "U": parameter([0.5 * (n * n - n) for n in numbers], local),
            "mu": parameter([-n for n in numbers], local),
        },
    )
