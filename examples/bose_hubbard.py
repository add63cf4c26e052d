"""Bosons in the Mott insulator: the bulk's energy a site from two chains, beside its published series in t/U.

E/(U L) = 4 x (-1 + x + 68/9 x^2 - 1267/81 x^3 + 44171/1458 x^4), x = (t/U)^2, and terms of order (t/U)^12: Damski and
Zakrzewski, Phys. Rev. A 74, 043609 (2006). And how the numbers of two neighbours depend on every coupling, as
bose_hubbard.toml has it. With --figure FILE both are drawn.
"""

import argparse

import matplotlib
import numpy as np

import qep_tn as qt
from qep_tn import Number
from qep_tn.figures.style import BLUE, GREEN, GREY, STYLE, VERMILION, symbol


def main() -> None:
    """Compare energies, then take one gradient."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=50)
    parser.add_argument("--figure", help="where to draw, such as bosons.png")
    options = parser.parse_args()
    L = options.sites
    solver = qt.NumbaDMRG(cutoff=1e-8)
    hoppings, energies = (0.05, 0.075, 0.1, 0.125, 0.15), []
    for t in hoppings:
        theta = {"t": t, "U": 1.0, "mu": 0.4}
        shorter, longer = (
            solver.ground_state(qt.models.bose_hubbard(n, cutoff=5), theta).energy + 0.4 * n for n in (L - 2, L)
        )
        energies.append((longer - shorter) / 2)
        print(f"t/U = {t}: energy a site {energies[-1]:.9f}, series {series(t):.9f}")

    H = qt.models.bose_hubbard(L, local=True)
    theta = {"t": np.full(L - 1, 0.05), "U": np.ones(L), "mu": np.full(L, 0.4)}
    g = qt.gradient(H, theta, qt.Expectation(Number(L // 2 - 1) * Number(L // 2)), solver=qt.NumbaDMRG(), rtol=1e-3)
    print(f"<n n> in the middle {g.value:.6f}; by the tunnelling between the two {g.gradient['t'][L // 2 - 1]:.5f}")
    print(f"gradient of {len(H.couplings)} couplings: error {g.relative_error:.0e}, trustworthy: {g.trustworthy}")
    if options.figure:
        draw(hoppings, energies, g, options.figure)


def draw(hoppings, energies, g, path):
    """Energies beside their series, and the gradient's components by place."""
    with matplotlib.rc_context(STYLE):
        figure = matplotlib.figure.Figure(figsize=(3.4, 4.2), layout="constrained")
        above, below = figure.subplots(2, 1)
        fine = np.linspace(0.04, 0.16, 100)
        above.plot(fine, series(fine), color=GREY, label="series")
        above.plot(hoppings, energies, "o", ms=4, mfc="none", color=BLUE, label="from two chains")
        above.set(xlabel="$t/U$", ylabel="energy a site, in $U$")
        above.legend()
        for name, color in (("t", BLUE), ("U", VERMILION), ("mu", GREEN)):
            values = g.gradient[name]
            from_middle = np.arange(len(values)) + (name == "t") / 2 - (len(g.gradient["U"]) - 1) / 2
            below.semilogy(from_middle, np.abs(values), ".-", linewidth=0.8, color=color, label=symbol(name))
        below.set(xlabel="distance from the middle", ylabel=r"$|d\langle n n\rangle / d\theta_j|$")
        below.set(xlim=(-6.5, 6.5), ylim=(1e-8, 10))
        below.legend()
        figure.savefig(path, dpi=300)


def series(t):
    """The published energy a site of the infinite chain, U = 1."""
    x = np.square(t)
    return 4 * x * (-1 + x + 68 / 9 * x**2 - 1267 / 81 * x**3 + 44171 / 1458 * x**4)


if __name__ == "__main__":
    main()
