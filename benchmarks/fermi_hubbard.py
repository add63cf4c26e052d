"""The half-filled Hubbard chain beside Lieb and Wu: `python -m benchmarks.fermi_hubbard`.

Ground energies of open chains by NumbaDMRG, at mu = U/2, which fills half of a chain of any length. E(L) = e L + a +
b/L through the lengths gives e, the energy per site of the infinite chain; its error is how far e moves without the
shortest chain, and does not hold what the bond leaves out, of which the variance tells. Lieb and Wu, Phys. Rev. Lett.
20, 1445 (1968):
e = -4 t int_0^inf dx J_0(x) J_1(x) / (x (1 + exp(x U / 2 t))).
Prints a table, writes benchmarks/results/fermi_hubbard.json.
"""

import argparse
from time import process_time

import numpy as np
from scipy.integrate import quad
from scipy.special import j0, j1
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.machine import write_results

REPULSIONS = (2.0, 4.0, 6.0, 8.0)  # U/t


def lieb_wu(U):
    """Energy per site of the infinite chain at half filling, t = 1."""
    return -4 * quad(lambda x: j0(x) * j1(x) / (x * (1 + np.exp(x * U / 2))), 0, 1400 / U, limit=1000)[0]


def solved(length, U, max_bond):
    """One chain; its energy without the chemical potential."""
    H = qt.models.fermi_hubbard(length)
    begin = process_time()
    state = qt.NumbaDMRG(max_bond=max_bond, threads=1).ground_state(H, {"t": 1.0, "U": U, "mu": U / 2, "h": 0.0})
    numbers = state.expectation([qt.Number(j) for j in range(length)])
    return {
        "U": U, "length": length, "energy": state.energy + U / 2 * length, "variance": state.energy_variance,
        "truncation": state.truncation_error, "bond": max(state.bond_dimensions), "converged": state.converged,
        "largest_doping": float(np.abs(numbers - 1).max()), "seconds": process_time() - begin,
    }  # fmt: skip


def bulk(lengths, energies):
    """Energy per site for L to infinity, by e L + a + b/L."""
    powers = np.array(lengths, float)[:, None] ** np.array([1, 0, -1])
    return float(np.linalg.lstsq(powers, np.array(energies), rcond=None)[0][0])


def shown(row):
    """A row in one line."""
    print({name: f"{v:.8g}" if isinstance(v, float) else v for name, v in row.items()}, flush=True)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 24, 32, 48])
    parser.add_argument("--max-bond", type=int, default=128)
    arguments = parser.parse_args()
    chains, limits = [], []
    with threadpool_limits(1):
        solved(4, 4.0, 8)  # compiles
        for U in REPULSIONS:
            rows = [solved(length, U, arguments.max_bond) for length in arguments.lengths]
            energies = [row["energy"] for row in rows]
            limit, exact = bulk(arguments.lengths, energies), lieb_wu(U)
            error = abs(limit - bulk(arguments.lengths[1:], energies[1:]))
            limits.append({"U": U, "limit": limit, "error": error, "lieb_wu": exact, "deviation": limit - exact})
            chains += rows
            for row in [*rows, limits[-1]]:
                shown(row)
            write_results("fermi_hubbard", limits, chains=chains, max_bond=arguments.max_bond)


if __name__ == "__main__":
    main()
