"""What Kitaev strips cost: `python -m benchmarks.kitaev`.

Two rows of a honeycomb lattice in a field, H = -sum J_a s^a s^a - h sum (X + Y + Z), X X and Y Y in turn along the rows
and Z Z on the rungs, sites column by column: seconds of processor time for the ground state at bond 64 and for the
gradient from it, rtol 1e-2. Prints a table, writes benchmarks/results/kitaev.json.
"""

import argparse
from time import process_time

import numpy as np
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.machine import write_results
from qep_tn import X, Y, Z

COLUMNS, FIELD, BOND = (8, 50), 0.1, 64


def strip(columns):
    """The strip, every bond and field a coupling, and theta."""
    along = [(2 * c + row, (X, Y)[(c + row) % 2]) for c in range(columns - 1) for row in range(2)]
    legs = [-s(j) * s(j + 2) for j, s in along]
    rungs = [-Z(2 * c) * Z(2 * c + 1) for c in range(columns)]
    fields = [-(X(j) + Y(j) + Z(j)) for j in range(2 * columns)]
    H = qt.Hamiltonian(qt.qubits(2 * columns), {"legs": legs, "rungs": rungs, "h": fields})
    return H, {"legs": np.ones(len(legs)), "rungs": np.ones(columns), "h": np.full(2 * columns, FIELD)}


def measured(columns, max_bond):
    """One row of the table."""
    H, theta = strip(columns)
    solver = qt.NumbaDMRG(max_bond=max_bond, threads=1)
    middle = 2 * (columns // 2)
    begin = process_time()
    state = solver.ground_state(H, theta)
    ground = process_time() - begin
    g = qt.gradient(H, theta, qt.Expectation(Z(middle) * Z(middle + 1)), solver=solver, rtol=1e-2, start=state)
    return {
        "columns": columns, "ground_seconds": ground, "gradient_seconds": process_time() - begin - ground,
        "energy": state.energy, "sweeps": state.sweeps, "bond": max(state.bond_dimensions),
        "converged": state.converged, "relative_error": g.relative_error, "trustworthy": g.trustworthy,
    }  # fmt: skip


def main() -> None:
    """Measure, print, write."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with threadpool_limits(1):
        measured(3, 8)  # compiles
        rows = []
        for columns in COLUMNS:
            rows.append(measured(columns, BOND))
            print({name: f"{v:.4g}" if isinstance(v, float) else v for name, v in rows[-1].items()}, flush=True)
    write_results("kitaev", rows, field=FIELD, max_bond=BOND)


if __name__ == "__main__":
    main()
