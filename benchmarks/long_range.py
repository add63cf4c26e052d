"""What long ranges cost: `python -m benchmarks.long_range`.

Chains of ions, sum_{i<j} J |i - j|^-alpha X_i X_j + h sum_j Z_j, and atoms in Rydberg states, all pairs: the bond
dimension of the Hamiltonian as a finite-state machine and compressed, and seconds of processor time for the ground
state and for a gradient from none, rtol 1e-4, with every pair's coupling as a parameter and with one amplitude.
`--against FOLDER` measures another checkout too. Prints a table, writes benchmarks/results/long_range.json.
"""

import argparse
import json
import os
import subprocess
import sys
from time import process_time

import numpy as np
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.machine import write_results
from qep_tn import X, Z

ALPHAS, LENGTHS, ATOMS = (0.5, 1.5, 3.0), (50, 100), 51
COUPLING, RADIUS, DETUNING = 0.4, 1.2, 0.8  # of ions, over the field; blockade radius and detuning of atoms
RUNS = 3
SOLVER = qt.NumbaDMRG(threads=1)


def pairs(length):
    """All pairs of sites, and their distances."""
    i, j = np.triu_indices(length, 1)
    return list(zip(i.tolist(), j.tolist(), strict=True)), (j - i).astype(float)


def with_pairs(length, products, strengths, rest, separate):
    """A Hamiltonian whose pairs have a coupling each, or one amplitude, and theta."""
    if separate:
        return qt.Hamiltonian(qt.qubits(length), {"J": products, "h": rest}), {"J": strengths, "h": np.ones(length)}
    amplitude = sum((s * p for s, p in zip(strengths.tolist(), products, strict=True)), 0 * products[0])
    return qt.Hamiltonian(qt.qubits(length), {"J": amplitude, "h": rest}), {"J": 1.0, "h": np.ones(length)}


def ions(length, alpha, separate):
    """Ions in a transverse field."""
    among, distances = pairs(length)
    products = [X(i) * X(j) for i, j in among]
    return with_pairs(length, products, COUPLING * distances**-alpha, [Z(j) for j in range(length)], separate)


def atoms(length, separate):
    """Atoms that are driven to a Rydberg state, C6 / r^6 between all pairs of excited ones."""

    def excited(j):
        return 0.5 * (1 + Z(j))

    among, distances = pairs(length)
    products = [excited(i) * excited(j) for i, j in among]
    drive = [0.5 * X(j) - DETUNING * excited(j) for j in range(length)]
    return with_pairs(length, products, (RADIUS / distances) ** 6, drive, separate)


def machine_bonds(H, theta):
    """The largest bond of H's matrix product operator, as it is filled and as the sweeps take it."""
    coefficients = H.coefficients(theta)
    return max(H.mpo.fill(coefficients).bond_dimensions), int(H.mpo.fill_blocks(coefficients).bonds.max())


def timed(work, *arguments, **options):
    """Seconds of processor time, and what the work returns."""
    begin = process_time()
    result = work(*arguments, **options)
    return process_time() - begin, result


def measured(name, H, theta, loss, runs):
    """One row of the table."""
    ground_seconds, gradient_seconds = [], []
    H.mpo.fill_blocks(H.coefficients(theta))
    for _ in range(runs):
        seconds, state = timed(SOLVER.ground_state, H, theta)
        ground_seconds.append(seconds)
        seconds, g = timed(qt.gradient, H, theta, loss, solver=SOLVER, rtol=1e-4)
        gradient_seconds.append(seconds)
    machine, compressed = machine_bonds(H, theta)
    gradient = np.concatenate([np.ravel(g.gradient[name]) for name in theta])
    error = np.concatenate([np.ravel(g.error[name]) for name in theta])
    return {
        "case": name, "couplings": len(H.couplings), "machine_bond": machine, "bond": compressed,
        "ground_seconds": min(ground_seconds), "gradient_seconds": min(gradient_seconds), "energy": state.energy,
        "state_bond": max(state.bond_dimensions), "value": g.value, "norm": float(np.linalg.norm(gradient)),
        "relative_error": float(np.linalg.norm(error) / np.linalg.norm(gradient)), "trustworthy": g.trustworthy,
    }  # fmt: skip


def rows_of(runs, only, longest):
    """All rows, printed as they come."""
    cases = [
        (f"ions {length}, alpha {alpha}", lambda s, n=length, a=alpha: ions(n, a, s), length)
        for length in LENGTHS for alpha in ALPHAS if longest or (length, alpha) != (100, 0.5)
    ]  # fmt: skip
    cases.append((f"atoms {ATOMS}", lambda s: atoms(ATOMS, s), ATOMS))
    measured("compiles", *ions(26, 0.5, True), qt.Expectation(X(13) * X(14)), 1)
    rows = []
    for name, build, length in cases:
        for separate in (True, False):
            label = f"{name}, {'all pairs' if separate else 'one amplitude'}"
            if only in label:
                factor = X if name.startswith("ions") else Z
                loss = qt.Expectation(factor(length // 2) * factor(length // 2 + 1))
                row = measured(label, *build(separate), loss, runs)
                rows.append(row)
                print(
                    f"{label:36}{row['machine_bond']:5}{row['bond']:5}{row['state_bond']:5}{row['ground_seconds']:9.2f}s"
                    f"{row['gradient_seconds']:9.2f}s{row['relative_error']:9.0e}  {row['trustworthy']}",
                    file=sys.stderr, flush=True,
                )  # fmt: skip
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="of which the fastest counts")
    parser.add_argument("--only", default="", help="cases whose name holds this; nothing is written")
    parser.add_argument("--all", action="store_true", help="also 100 ions with alpha 0.5, which take minutes")
    parser.add_argument("--against", help="a checkout to measure too, in a process of its own")
    parser.add_argument("--rows", action="store_true", help="print the rows as JSON, and write nothing")
    given = parser.parse_args()
    print(f"{'':36}{'MPO':>5}{'':5}{'MPS':>5}{'ground':>10}{'gradient':>10}{'error':>9}  trust", file=sys.stderr)
    with threadpool_limits(1):
        rows = rows_of(given.runs, given.only, given.all)
    before = []
    if given.against:
        command = [sys.executable, __file__, "--rows", "--runs", str(given.runs), "--only", given.only]
        command += ["--all"] if given.all else []
        there = {**os.environ, "PYTHONPATH": given.against}
        before = json.loads(subprocess.run(command, env=there, check=True, stdout=subprocess.PIPE).stdout)
    if given.rows:
        print(json.dumps(rows))
    elif not given.only:
        write_results("long_range", rows, runs=given.runs, before=before)


if __name__ == "__main__":
    main()
