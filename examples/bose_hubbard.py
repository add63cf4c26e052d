"""Bosons in the Mott insulator: the bulk's energy a site from two chains, beside its published series in t/U.

E/(U L) = 4 x (-1 + x + 68/9 x^2 - 1267/81 x^3 + 44171/1458 x^4), x = (t/U)^2: Damski and Zakrzewski, Phys. Rev. A 74,
043609 (2006). And how the numbers of two neighbours depend on every coupling, as bose_hubbard.toml has it.
"""

import argparse

import numpy as np

import qep_tn as qt
from qep_tn import Number


def main() -> None:
    """Compare energies, then take one gradient."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=50)
    L = parser.parse_args().sites
    solver = qt.NumbaDMRG(cutoff=1e-8)
    for t in (0.05, 0.1):
        theta = {"t": t, "U": 1.0, "mu": 0.4}
        shorter, longer = (
            solver.ground_state(qt.models.bose_hubbard(n, cutoff=5), theta).energy + 0.4 * n for n in (L - 2, L)
        )
        x = t**2
        series = 4 * x * (-1 + x + 68 / 9 * x**2 - 1267 / 81 * x**3 + 44171 / 1458 * x**4)
        print(f"t/U = {t}: energy a site {(longer - shorter) / 2:.9f}, series {series:.9f}")

    H = qt.models.bose_hubbard(L, local=True)
    theta = {"t": np.full(L - 1, 0.05), "U": np.ones(L), "mu": np.full(L, 0.4)}
    g = qt.gradient(H, theta, qt.Expectation(Number(L // 2 - 1) * Number(L // 2)), solver=qt.NumbaDMRG(), rtol=1e-3)
    print(f"<n n> in the middle {g.value:.6f}; by the tunnelling between the two {g.gradient['t'][L // 2 - 1]:.5f}")
    print(f"gradient of {len(H.couplings)} couplings: error {g.relative_error:.0e}, trustworthy: {g.trustworthy}")


if __name__ == "__main__":
    main()
