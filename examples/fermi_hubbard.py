"""The half-filled Hubbard chain, without a configuration file, beside the exact infinite chain (about a minute).

    python examples/fermi_hubbard.py --figure hubbard.png

Ground states of open chains of 24 and 40 sites, as many electrons of each spin as half fills them: what 16 more sites
bring is the energy of a site within, and the double occupancy in the middle is how that changes with U. Exactly
e = -4 t int_0^inf dx J_0(x) J_1(x) / (x (1 + exp(x U / 2 t))): Lieb and Wu, Phys. Rev. Lett. 20, 1445 (1968).
"""

import argparse

import numpy as np
from scipy.integrate import quad
from scipy.special import j0, j1

import qep_tn as qt
from qep_tn import NumberDown, NumberUp

REPULSIONS = (1.0, 2.0, 4.0, 8.0, 12.0)  # U/t


def lieb_wu(U):
    """Energy per site of the infinite chain, t = 1."""
    return -4 * quad(lambda x: j0(x) * j1(x) / (x * (1 + np.exp(x * U / 2))), 0, 1400 / U, limit=1000)[0]


def double_occupancy(U):
    """Of the infinite chain: the energy's slope."""
    return (lieb_wu(U + 0.01) - lieb_wu(U - 0.01)) / 0.02


def solved(length, U):
    """The ground state at half filling."""
    half = {"NumberUp": length // 2, "NumberDown": length // 2}
    solver = qt.NumbaDMRG(max_bond=96, cutoff=1e-6, sector=half)
    return solver.ground_state(qt.models.fermi_hubbard(length), {"t": 1.0, "U": U, "mu": 0.0, "h": 0.0})


def draw(rows, path):
    """Energy and double occupancy against U/t: the infinite chain's as lines, those of open chains as points."""
    import matplotlib

    from qep_tn.figures.style import BLUE, GREY, STYLE, new_figure

    found, U = np.array(rows), np.linspace(0.5, 1.04 * REPULSIONS[-1], 100)
    with matplotlib.rc_context(STYLE):
        figure, panels = new_figure(3.6, 2)
        exact = (lieb_wu, double_occupancy)
        names = (r"energy per site $e/t$", r"double occupancy $\langle n_\uparrow n_\downarrow\rangle$")
        for axes, function, column, name in zip(panels, exact, (1, 2), names, strict=True):
            axes.plot(U, [function(u) for u in U], color=GREY, label="infinite chain, Lieb and Wu")
            axes.plot(found[:, 0], found[:, column], "o", ms=4, mfc="none", color=BLUE, label="from open chains")
            axes.set_ylabel(name)
        panels[0].legend(loc="lower right")
        panels[1].set_xlabel("$U/t$")
        figure.savefig(path, dpi=300)


def main(shorter=24, longer=40, figure=None):
    """Print energies and double occupancies beside the exact ones, and draw them."""
    rows = []
    for U in REPULSIONS:
        first, second = solved(shorter, U), solved(longer, U)
        energy = (second.energy - first.energy) / (longer - shorter)
        middle = range(longer // 2 - 4, longer // 2 + 4)  # of even and odd bonds as many
        doubled = np.mean(second.expectation([NumberUp(j) * NumberDown(j) for j in middle]))
        rows.append((U, energy, doubled))
        print(
            f"U/t = {U:<4g} energy of a site {energy:.5f}, exact {lieb_wu(U):.5f}; "
            f"double occupancy {doubled:.5f}, exact {double_occupancy(U):.5f}",
            flush=True,
        )
    if figure:
        draw(rows, figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sites", type=int, nargs=2, default=[24, 40], metavar=("SHORTER", "LONGER"))
    parser.add_argument("--figure", help="where to draw energies and double occupancies, such as hubbard.png")
    options = parser.parse_args()
    main(*options.sites, options.figure)
