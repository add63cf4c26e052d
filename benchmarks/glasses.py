"""How right ground energies of spin glasses are, and what `converged` is worth there: `python -m benchmarks.glasses`.

Glasses sum_{i<j} J_ij Z_i Z_j + h sum_j X_j, J normal: 100 of 13 spins at each of three fields, against exact
diagonalization, and ten of 40 spins, against the best product state of long annealing, which bounds the ground energy
from above. Prints a table and writes benchmarks/results/glasses.json. About 10 minutes on one core.
"""

import argparse
from time import perf_counter

import numpy as np
from scipy.sparse.linalg import eigsh
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.machine import write_results
from qep_tn import X, Z
from qep_tn.kernels import anneal
from qep_tn.solvers.product_starts import random_vectors, temperature_scale

FIELDS = (0.0, 0.05, 0.3)
TOLERANCE = 1e-6  # relative
LONG = (60, 1500)  # anneals, and sweeps of each: six times as long as the solver's longest


def glass(n, h, rng):
    """A Hamiltonian and its couplings."""
    pairs = [Z(i) * Z(j) for j in range(n) for i in range(j)]
    H = qt.Hamiltonian(qt.qubits(n), {"J": pairs, "h": sum(X(j) for j in range(n))})
    return H, {"J": rng.normal(size=len(pairs)), "h": h}


def exact_energy(H, theta):
    """The ground energy; the smallest entry of a diagonal H, whose degenerate levels a Lanczos search does not like."""
    matrix = H.to_sparse(theta)
    if theta["h"] == 0:
        return float(matrix.diagonal().min())
    start = np.ones(matrix.shape[0])
    return float(eigsh(matrix, k=1, which="SA", v0=start, tol=1e-12)[0][0])


def annealed_energy(H, theta):
    """The best product state of long anneals, from seeds that the solver does not use."""
    field, coefficients = H.mean_field, H.coefficients(theta).astype(complex)
    rng = np.random.default_rng(123456)
    number, sweeps = LONG
    temperatures = temperature_scale(field, coefficients) * np.geomspace(3, 0.01, sweeps)
    return min(
        anneal(field, coefficients, temperatures, rng.random((sweeps, len(H.sites))), random_vectors(field, rng))
        for _ in range(number)
    )


def solved(n, h, seed, reference):
    """One glass: the solver's energy beside the reference's."""
    H, theta = glass(n, h, np.random.default_rng([seed, n, round(1000 * h)]))
    bound = reference(H, theta)
    begin = perf_counter()
    state = qt.NumbaDMRG(threads=1).ground_state(H, theta)
    return {
        "spins": n, "h": h, "seed": seed, "energy": state.energy, "reference": bound,
        "too_high": (state.energy - bound) / abs(bound), "converged": state.converged, "sweeps": state.sweeps,
        "max_bond": max(state.bond_dimensions), "seconds": perf_counter() - begin,
    }  # fmt: skip


def summary(rows):
    """One line of the table."""
    wrong = np.array([row["too_high"] > TOLERANCE for row in rows])
    converged = np.array([row["converged"] for row in rows])
    seconds = [row["seconds"] for row in rows]
    counts = (len(rows), (wrong & converged).sum(), (wrong & ~converged).sum(), (~wrong & ~converged).sum())
    return (
        f"{rows[0]['spins']:5} {rows[0]['h']:5}"
        + "".join(f"{n:>18}" for n in counts)
        + (f"{np.median(seconds):9.2f} {max(seconds):7.2f}   {max(row['too_high'] for row in rows):.1e}")
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", type=int, default=100, help="glasses of 13 spins at each field")
    parser.add_argument("--large", type=int, default=10, help="glasses of 40 spins, fields in turn")
    parser.add_argument("--first", type=int, default=7000, help="first seed")
    given = parser.parse_args()
    solved(5, 0.1, 0, exact_energy)  # compiles
    rows = []
    titles = ("cases", "wrong, converged", "wrong, said so", "right, doubted")
    print(f"spins     h{''.join(f'{t:>18}' for t in titles)}   median   worst s   most too high")
    for h in FIELDS:
        small = [solved(13, h, given.first + n, exact_energy) for n in range(given.small)]
        rows += small
        if small:
            print(summary(small), flush=True)
    large = [solved(40, FIELDS[n % 3], given.first + n, annealed_energy) for n in range(given.large)]
    for h in FIELDS:
        if these := [row for row in large if row["h"] == h]:
            print(summary(these), flush=True)
    write_results("glasses", rows + large, tolerance=TOLERANCE, annealing={"anneals": LONG[0], "sweeps": LONG[1]})


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
