"""The half-filled Hubbard chain, without a configuration file, beside the exact infinite chain (about a minute).

    python examples/fermi_hubbard.py

Ground states of open chains of 40 and 56 sites at U/t = 8: what 16 more sites bring is the energy of a site within, and
the double occupancy in the middle is how that changes with U. Lieb and Wu, Phys. Rev. Lett. 20, 1445 (1968):
e = -4 t int_0^inf dx J_0(x) J_1(x) / (x (1 + exp(x U / 2 t))).
"""

import argparse

import numpy as np
from scipy.integrate import quad
from scipy.special import j0, j1

import qep_tn as qt
from qep_tn import NumberDown, NumberUp

U = 8.0  # in units of t


def lieb_wu(U):
    """Energy per site of the infinite chain, t = 1."""
    return -4 * quad(lambda x: j0(x) * j1(x) / (x * (1 + np.exp(x * U / 2))), 0, 1400 / U, limit=1000)[0]


def solved(length):
    """The ground state at half filling, and its energy without the chemical potential."""
    H = qt.models.fermi_hubbard(length)
    state = qt.NumbaDMRG(max_bond=64).ground_state(H, {"t": 1.0, "U": U, "mu": U / 2, "h": 0.0})
    return state, state.energy + U / 2 * length


def main(shorter=40, longer=56):
    """Print energy and double occupancy, beside the exact ones."""
    (_, first), (state, second) = solved(shorter), solved(longer)
    energy = (second - first) / (longer - shorter)
    middle = range(longer // 2 - 4, longer // 2 + 4)  # of even and odd bonds as many
    doubled = np.mean(state.expectation([NumberUp(j) * NumberDown(j) for j in middle]))
    slope = (lieb_wu(U + 0.01) - lieb_wu(U - 0.01)) / 0.02
    print(f"energy of a site:  {energy:.5f}, exact {lieb_wu(U):.5f}")
    print(f"double occupancy:  {doubled:.5f}, exact {slope:.5f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sites", type=int, nargs=2, default=[40, 56])
    main(*parser.parse_args().sites)
