"""Gradients by exact diagonalization, beside SciPy's and quimb's ground states: `python -m benchmarks.exact`.

Ten qubits with 87 couplings: eight sites of a cluster-Ising chain and two sensor qubits, each coupled to the four
nearest sites by all products of two Pauli operators, in random strengths; the loss is the probability to find both
sensors down. Kitaev strips of two rows, 16 and 18 qubits, in a field along (1, 1, 1), complex in any product basis.
One thread, after compilation; each system in a process of its own, so that its peak memory is its own. SciPy and quimb
find the ground state and the gap alone: their matrices are built by Kronecker products of every term (ours,
`Hamiltonian.to_sparse`) and by quimb's operator builder. Prints a table and writes benchmarks/results/exact.json.
"""

import argparse
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from scipy.sparse.linalg import eigsh
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.machine import write_results
from qep_tn import X, Y, Z

PAULI = (X, Y, Z)
WIDTH = 0.1  # of the random strengths
FIELD = 0.1


def sensors(periodic=True):
    """Eight chain sites and two sensor qubits, theta, and the loss."""
    rng = np.random.default_rng(0)
    sites, sensor_a, sensor_b = 8, 8, 9
    bonds = sites if periodic else sites - 1
    triples = sites if periodic else sites - 2
    pairs = [(sensor_a, j) for j in range(4)] + [(sensor_b, j) for j in range(4, 8)]
    parameters = {
        "g_x": -sum(X(j) for j in range(sites)),
        "g_zz": -sum(Z(j) * Z((j + 1) % sites) for j in range(bonds)),
        "g_zxz": -sum(Z(j) * X((j + 1) % sites) * Z((j + 2) % sites) for j in range(triples)),
        "coupling": [a(s) * b(j) for s, j in pairs for a in PAULI for b in PAULI],
        "field": [a(j) for j in (sensor_a, sensor_b, 0, 7) for a in PAULI],
    }
    theta = {"g_x": 1.0, "g_zz": 0.6, "g_zxz": 0.4}
    theta |= {name: WIDTH * rng.normal(size=len(parameters[name])) for name in ("coupling", "field")}
    H = qt.Hamiltonian(qt.qubits(sites + 2), parameters)
    return H, theta, qt.Expectation(0.25 * (1 - Z(sensor_a)) * (1 - Z(sensor_b)))


def kitaev_strip(rungs):
    """Two rows of sites, x and y bonds in turn along them, z bonds on the rungs; theta, and a loss at the centre."""
    along = [(2 * c + r, 2 * c + 2 + r, (c + r) % 2) for c in range(rungs - 1) for r in range(2)]
    parameters = {
        "J_x": [-X(i) * X(j) for i, j, kind in along if kind == 0],
        "J_y": [-Y(i) * Y(j) for i, j, kind in along if kind == 1],
        "J_z": [-Z(2 * c) * Z(2 * c + 1) for c in range(rungs)],
        "h": [-X(j) - Y(j) - Z(j) for j in range(2 * rungs)],
    }
    theta = {name: np.full(len(operators), FIELD if name == "h" else 1.0) for name, operators in parameters.items()}
    return qt.Hamiltonian(qt.qubits(2 * rungs), parameters), theta, qt.Expectation(Z(rungs - 1) * Z(rungs))


SYSTEMS = {
    "sensors, periodic": (sensors, True), "sensors, open": (sensors, False),
    "Kitaev strip 2 x 8": (kitaev_strip, 8), "Kitaev strip 2 x 9": (kitaev_strip, 9),
}  # fmt: skip


def by_gradient(H, theta, loss):
    """The whole symmetric gradient with its errors."""
    result = qt.gradient(H, theta, loss, solver=qt.ExactDiagonalization())
    return {
        "energy": result.free.energy, "gap": result.free.gap, "residual": float(np.sqrt(result.free.energy_variance)),
        "relative_error": result.relative_error,
    }  # fmt: skip


def by_linear_response(H, theta, loss):
    """The gradient in the limit of no nudge."""
    result = qt.gradient(H, theta, loss, solver=qt.ExactDiagonalization(), scheme="linear-response")
    return {"energy": result.free.energy, "relative_error": result.relative_error}


def by_ground_state(H, theta, loss):
    """The ground state and the gap, cold."""
    state = qt.ExactDiagonalization().ground_state(H, theta)
    return {"energy": state.energy, "gap": state.gap, "residual": float(np.sqrt(state.energy_variance))}


def two_lowest(matrix):
    """SciPy's ground state and gap."""
    energies, vectors = eigsh(matrix, k=2, which="SA", v0=np.random.default_rng(0).normal(size=matrix.shape[0]))
    lowest = int(np.argmin(energies))
    residual = matrix @ vectors[:, lowest] - energies[lowest] * vectors[:, lowest]
    return {
        "energy": float(energies[lowest]), "gap": float(np.ptp(energies)), "residual": float(np.linalg.norm(residual))
    }  # fmt: skip


def by_scipy(H, theta, loss):
    """The matrix by Kronecker products, and SciPy's ground state."""
    return two_lowest(H.to_sparse(theta))


def by_quimb(H, theta, loss):
    """The matrix by quimb's operator builder, and SciPy's ground state, which is quimb's default."""
    from quimb.operator import SparseOperatorBuilder

    builder = SparseOperatorBuilder()
    for product, coefficient in H.operator(theta).terms.items():
        builder.add_term(coefficient, *((name.lower(), site) for site, names in product for name in names))
    return two_lowest(builder.build_sparse_matrix())


METHODS = {
    "gradient": by_gradient, "linear response": by_linear_response, "ground state": by_ground_state,
    "ground state, SciPy": by_scipy, "ground state, quimb": by_quimb,
}  # fmt: skip


def measure(name, method, repetitions):
    """One row: the shortest and the median of some times, the first call's, and the peak memory of the process."""
    build, argument = SYSTEMS[name]
    H, theta, loss = build(argument)
    with threadpool_limits(1):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        times = []
        for _ in range(1 + repetitions):
            begin = time.perf_counter()
            found = METHODS[method](H, theta, loss)
            times.append(time.perf_counter() - begin)
    return {
        "system": name, "qubits": len(H.sites), "couplings": len(H.couplings), "method": method,
        "seconds": float(np.median(times[1:])), "shortest": min(times[1:]), "first": times[0],
        "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, **found,
    }  # fmt: skip


def main():
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--repetitions",
        type=int,
        default=15,
        help="of ten qubits; larger systems take three, SciPy and quimb there one",
    )
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS))
    given = parser.parse_args()
    by_gradient(*sensors())  # compiles
    rows = []
    print(f"{'system':20} {'method':20} {'seconds':>9} {'shortest':>9} {'MB':>6}  {'energy':>18} {'residual':>9}")
    for name in given.systems:
        for method in METHODS:
            repetitions = given.repetitions if name.startswith("sensors") else 1 if "," in method else 3
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                row = process.submit(measure, name, method, repetitions).result()
            rows.append(row)
            print(
                f"{name:20} {method:20} {row['seconds']:9.4f} {row['shortest']:9.4f} {row['megabytes']:6.0f}  "
                f"{row['energy']:18.12f} {row.get('residual', np.nan):9.1e}",
                flush=True,
            )
    write_results("exact", rows, width=WIDTH, field=FIELD)


if __name__ == "__main__":
    main()
