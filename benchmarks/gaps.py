"""Gaps across sectors: `python -m benchmarks.gaps [haldane] ["mott 20"] ["mott 8"] [heisenberg]`.

haldane: spin-1 Heisenberg chains with spins 1/2 at both ends, which bind the edge spins; the gap is the energy of
S^z = 1 less that of S^z = 0, extrapolated in 1/L^2. Published: 0.41047924(4) J (Ueda and Kusakabe, Phys. Rev. B 84,
054446 (2011)). mott: the charge gap E(N + 1) + E(N - 1) - 2 E(N) of open Bose-Hubbard chains at N = L and U/t = 20
and 8, extrapolated in 1/L^2, beside the strong-coupling expansion (Elstner and Monien, Phys. Rev. B 59, 12184 (1999));
with it mu+ = E(N + 1) - E(N) and mu- = E(N) - E(N - 1), the boundaries of the Mott lobe, published 0.80324(2) U and
0.08987(2) U at t/U = 0.05 (`python -m benchmarks.mott_lobe` has the whole lobe). heisenberg: the energy of the open
chain of 200 sites, published -353.766222278 J/4. About twelve minutes of half a core.
"""

from __future__ import annotations

import sys
import time

import numpy as np

import qep_tn as qt
from benchmarks.machine import results_of, write_results
from qep_tn import Sx, Sy, Sz


def lowest(H, theta, sector, **settings):
    """Energy, its variance and seconds."""
    begin = time.perf_counter()
    state = qt.NumbaDMRG(threads=1, sector=sector, **settings).ground_state(H, theta)
    return state.energy, state.energy_variance, time.perf_counter() - begin, max(state.bond_dimensions)


def in_the_limit(lengths, gaps):
    """The limit of a gap, quadratic in 1/L^2, from the longest three; and its distance from the linear one of two."""
    x = 1 / np.array(lengths, float) ** 2
    limits = [float(np.polyfit(x[-n:], gaps[-n:], n - 1)[n - 1]) for n in (3, 2)]
    return limits[0], abs(limits[0] - limits[1])


def haldane(lengths=(32, 48, 64, 96)):
    """The gap of spin-1 chains of so many spins 1, and two spins 1/2."""
    rows = []
    for length in lengths:
        sites = (qt.qubit(), *qt.spins(length, 2), qt.qubit())
        bonds = sum(Sx(j) * Sx(j + 1) + Sy(j) * Sy(j + 1) + Sz(j) * Sz(j + 1) for j in range(length + 1))
        H = qt.Hamiltonian(sites, {"J": bonds})
        found = [lowest(H, {"J": 1.0}, {"Sz": m}, max_bond=200, cutoff=1e-7) for m in (0, 1)]
        rows.append(row_of("haldane", length, found[1][0] - found[0][0], found))
    return rows


def mott(U, lengths=(16, 24, 32, 48)):
    """The charge gap at U/t, and the chemical potentials that bound the lobe, in units of U."""
    rows = []
    for length in lengths:
        H = qt.models.bose_hubbard(length, cutoff=4)
        theta = {"t": 1.0, "U": U, "mu": 0.0}
        found = [lowest(H, theta, {"N": length + n}, max_bond=128, cutoff=1e-7) for n in (-1, 0, 1)]
        fewer, filled, more = (energy / U for energy, *_ in found)
        bounds = {"mu_plus": more - filled, "mu_minus": filled - fewer}
        rows.append(row_of(f"mott {U:g}", length, more + fewer - 2 * filled, found, **bounds))
    return rows


def row_of(name, length, gap, found, **more):
    row = {
        "what": name,
        "L": length,
        "gap": gap,
        **more,
        "largest_variance": max(f[1] for f in found),
        "seconds": sum(f[2] for f in found),
        "max_bond": max(f[3] for f in found),
    }
    print(row, flush=True)
    return row


def strong_coupling(x):
    """The charge gap over U of the infinite chain at filling 1, to sixth order in x = t/U (Elstner and Monien 1999)."""
    return 1 - 6 * x + 5 * x**2 + 6 * x**3 + 287 / 20 * x**4 + 5821 / 50 * x**5 - 602243 / 1000 * x**6


def heisenberg():
    """The open chain of 200 sites."""
    H = qt.models.xxz(200)
    energy, variance, seconds, bond = lowest(
        H, {"J_xy": 1.0, "J_z": 1.0, "h": 0.0}, {"Sz": 0}, max_bond=256, cutoff=1e-9
    )
    row = {"what": "heisenberg", "L": 200, "energy_over_quarter_J": 4 * energy, "published": -353.766222278}
    row |= {"variance": variance, "seconds": seconds, "max_bond": bond}
    print(row, flush=True)
    return [row]


PARTS = {
    "haldane": haldane,
    "mott 20": lambda: mott(20),
    "mott 8": lambda: mott(8),
    "heisenberg": heisenberg,
}


def main() -> None:
    chosen = sys.argv[1:] or list(PARTS)
    rows = [row for row in results_of("gaps").get("rows", []) if row["what"] not in chosen]
    for name in chosen:
        found = PARTS[name]()
        if "gap" in found[0]:
            lengths = [r["L"] for r in found]
            limits = {"what": name}
            for key in ("gap", "mu_plus", "mu_minus"):
                if key in found[0]:
                    limit, error = in_the_limit(lengths, [r[key] for r in found])
                    prefix = "" if key == "gap" else f"{key}_"
                    limits |= {f"{prefix}limit": limit, f"{prefix}error": error}
            if name.startswith("mott"):
                limits["strong_coupling"] = strong_coupling(1 / float(name.split()[1]))
            found.append(limits)
            print(limits, flush=True)
        rows += found
        write_results("gaps", rows)


if __name__ == "__main__":
    main()
