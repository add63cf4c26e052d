"""The half-filled Hubbard chain beside Lieb and Wu: `python -m benchmarks.fermi_hubbard`.

Ground energies of open chains with L/2 electrons of each spin by NumbaDMRG, at two bond dimensions. An energy falls
linearly with its variance <H^2> - <H>^2, so the two give that of an unlimited bond (Hubig, Haegeman and Schollwoeck,
Phys. Rev. B 97, 045125 (2018)); the whole step to it, from the larger bond, is the chain's bar. E(L) = e L + a + b/L
through the lengths gives e, the energy per site of the infinite chain. Its bar adds up

    truncation   the chains' bars, of whichever signs move e most, through the fit;
    form         how far e moves without the shortest chain, or, if that is more, without it and with b as it is known:
                 -pi v/24, v = 2 t I_1(2 pi t/U) / I_0(2 pi t/U) the spinons' velocity, one gapless mode between open
                 ends (Bloete, Cardy and Nightingale, Phys. Rev. Lett. 56, 742 (1986)). A marginal operator of the spins
                 gives b corrections that fall with powers of ln L alone (Affleck, Gepner, Schulz and Ziman, J. Phys. A
                 22, 511 (1989)), so that neither b is right on chains of 128 sites.

Lieb and Wu, Phys. Rev. Lett. 20, 1445 (1968):
e = -4 t int_0^inf dx J_0(x) J_1(x) / (x (1 + exp(x U / 2 t))).
Prints a table, writes benchmarks/results/fermi_hubbard.json. About five minutes of processor time.
"""

import argparse
from time import process_time

import numpy as np
from scipy.integrate import quad
from scipy.special import iv, j0, j1
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.machine import write_results

REPULSIONS = (8.0, 6.0, 4.0, 2.0)  # U/t


def lieb_wu(U):
    """Energy per site of the infinite chain at half filling, t = 1."""
    return -4 * quad(lambda x: j0(x) * j1(x) / (x * (1 + np.exp(x * U / 2))), 0, 1400 / U, limit=1000)[0]


def casimir(U):
    """b of E(L) = e L + a + b/L, t = 1."""
    return -np.pi / 24 * 2 * iv(1, 2 * np.pi / U) / iv(0, 2 * np.pi / U)


def solved(length, U, bonds):
    """One chain at two bond dimensions, the second from the first's state; its energy for an unlimited bond."""
    H, theta = qt.models.fermi_hubbard(length), {"t": 1.0, "U": U, "mu": 0.0, "h": 0.0}
    half = {"NumberUp": length // 2, "NumberDown": length // 2}
    begin, state, energies, variances = process_time(), None, [], []
    for bond in bonds:
        solver = qt.NumbaDMRG(max_bond=bond, cutoff=1e-8, threads=1, sector=half)
        state = solver.ground_state(H, theta, start=state)
        energies.append(state.energy)
        variances.append(state.energy_variance)
    reached, step = max(state.bond_dimensions), 0.0
    if reached > bonds[0]:  # else the cutoff is what limits both
        step = (energies[0] - energies[1]) / (variances[0] - variances[1]) * variances[1]
    return {
        "U": U, "length": length, "bonds": list(bonds), "energies": energies, "variances": variances,
        "energy": energies[1] - step, "bar": abs(step), "reached": reached,
        "converged": state.converged, "seconds": process_time() - begin,
    }  # fmt: skip


def bulk(chains, b=None):
    """e and b of e L + a + b/L, and how far the chains' bars move e at most; b is fitted unless it is given."""
    lengths, energies, bars = (np.array([chain[key] for chain in chains]) for key in ("length", "energy", "bar"))
    powers = lengths[:, None] ** np.array([1.0, 0.0, -1.0][: 3 if b is None else 2])
    inverse = np.linalg.pinv(powers)
    e, _, *rest = inverse @ (energies - (b or 0.0) / lengths)
    return float(e), float(rest[0] if rest else b), float(np.abs(inverse[0]) @ bars)


def limit(U, chains):
    """Energy per site of the infinite chain, its bar, and Lieb and Wu's."""
    e, b, truncation = bulk(chains)
    others = bulk(chains[1:])[0], bulk(chains[1:], casimir(U))[0]
    form, exact = max(abs(e - other) for other in others), lieb_wu(U)
    return {
        "U": U, "limit": e, "error": truncation + form, "truncation": truncation, "form": form, "lieb_wu": exact,
        "deviation": e - exact, "b": b, "b_in_theory": float(casimir(U)),
        "largest_bar": max(chain["bar"] for chain in chains), "seconds": sum(chain["seconds"] for chain in chains),
    }  # fmt: skip


def shown(row):
    """A row in one line."""
    print({name: f"{v:.8g}" if isinstance(v, float) else v for name, v in row.items()}, flush=True)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument("--bonds", type=int, nargs=2, default=[128, 224])
    arguments = parser.parse_args()
    chains, limits = [], []
    with threadpool_limits(1):
        for U in REPULSIONS:
            rows = []
            for length in arguments.lengths:
                rows.append(solved(length, U, arguments.bonds))
                shown(rows[-1])
                write_results("fermi_hubbard", limits, chains=chains + rows)
            chains += rows
            limits.append(limit(U, rows))
            shown(limits[-1])
            write_results("fermi_hubbard", limits, chains=chains)


if __name__ == "__main__":
    main()
