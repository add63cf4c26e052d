"""How right the gradients of long chains are, and how right their error bars: `python -m benchmarks.accuracy`.

Compares DMRG gradients with exact ones: the published 381-component gradient at L = 128 (if ../shared/reference is
there) and ten random non-uniform cluster-Ising chains of 100 to 140 sites in all gapped phases, from `FreeFermion`.
Prints a table and writes benchmarks/results/accuracy.json. About 10 minutes on one core.
"""

import argparse
import json
from pathlib import Path
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.machine import write_results
from qep_tn import X

SOLVERS = {kind.__name__: kind for kind in (qt.NumbaDMRG, qt.TenpyDMRG, qt.QuimbDMRG)}
RESULTS = Path(__file__).parent / "results" / "accuracy.json"
REFERENCE = Path(__file__).parents[2] / "shared" / "reference" / "cluster_ising_128_gradient.npz"
PHASES = {"paramagnet": (2.5, 1.0, 0.5), "ferromagnet": (1.0, 2.8, 0.2), "cluster": (0.5, 1.0, 2.5)}
NAMES = ("g_x", "g_zz", "g_zxz")


def random_chains(seed=2026, number=10):
    """(label, Hamiltonian, theta, loss) of random chains; couplings vary by 30 % around each phase's centre."""
    rng = np.random.default_rng(seed)
    for n in range(number):
        phase = list(PHASES)[n % 3]
        L = int(rng.integers(100, 141))
        H = qt.models.cluster_ising(L, local=True)
        theta = {
            name: scale * rng.uniform(0.7, 1.3, len(H.parameters[name]))
            for name, scale in zip(NAMES, PHASES[phase], strict=True)
        }
        left = L // 2 + int(rng.integers(-5, 5))
        yield f"{phase}, L = {L}", H, theta, qt.Expectation(X(left) * X(left + int(rng.integers(2, 7))))


def published():
    """The published gradient at L = 128, as (label, Hamiltonian, theta, loss, exact)."""
    data = np.load(REFERENCE)
    H = qt.models.cluster_ising(128, local=True)
    exact = np.concatenate([data[f"grad_{name}"] for name in NAMES])
    return "reference, L = 128", H, {name: data[name] for name in NAMES}, qt.Expectation(X(61) * X(66)), exact


def figures_of_merit(H, result, exact):
    """Relative error, and how the error bars compare with the true errors."""
    error, estimate = np.abs(H.flatten(result.gradient) - exact), H.flatten(result.error)
    return {
        "relative_error": float(np.linalg.norm(error) / np.linalg.norm(exact)),
        "estimated_relative_error": result.relative_error,
        "coverage": float(np.mean(estimate >= error)),
        "median_estimate_over_median_error": float(np.median(estimate) / np.median(error)),
        "trustworthy": result.trustworthy,
        "overlap": result.overlap,
        "max_bond": max(result.free.bond_dimensions),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--solvers", nargs="*", default=list(SOLVERS), help="the others' committed rows stay")
    chosen = parser.parse_args().solvers
    cases = [published()] if REFERENCE.exists() else []
    if not cases:
        print(f"skipped: the published gradient, {REFERENCE} is not there")
    for label, H, theta, loss in random_chains():
        exact = qt.gradient(H, theta, loss, solver=qt.FreeFermion())
        cases.append((label, H, theta, loss, H.flatten(exact.gradient)))
    rows = []
    print(f"{'chain':24} {'solver':10} {'rel. error':>10} {'estimate':>9} {'coverage':>9} ", end="")
    print(f"{'ratio':>6} {'bond':>5} {'s':>6}")
    for label, H, theta, loss, exact in cases:
        for solver in (SOLVERS[name]() for name in chosen):
            begin = perf_counter()
            result = qt.gradient(H, theta, loss, solver=solver)
            row = {"chain": label, "solver": type(solver).__name__, **figures_of_merit(H, result, exact)}
            row["seconds"] = perf_counter() - begin
            rows.append(row)
            print(
                f"{label:24} {row['solver']:10} {row['relative_error']:10.1e} {row['estimated_relative_error']:9.1e} "
                f"{row['coverage']:9.1%} {row['median_estimate_over_median_error']:6.1f} {row['max_bond']:5} "
                f"{row['seconds']:6.1f}{'' if row['trustworthy'] else '  NOT TRUSTWORTHY'}",
                flush=True,
            )
    kept = [row for row in json.loads(RESULTS.read_text())["rows"] if row["solver"] not in chosen]
    write_results("accuracy", kept + rows)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
