"""How the cost of a gradient by NumbaDMRG grows: with the chain, the couplings, the bond dimension.

    python -m benchmarks.scaling

One thread, after compilation, median of three. The nudged phase is both levels of both signs, its room included; the
matrix product column is the two-site effective Hamiltonian's share of this machine's own peak.
"""

from __future__ import annotations

import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import qep_tn as qt
from benchmarks.machine import write_results
from qep_tn import X
from qep_tn.gradients.nudge import Nudge
from qep_tn.gradients.window import WindowedManifold
from qep_tn.kernels.effective import apply_effective, merged_blocks
from qep_tn.states.ground_state import expectations

GAPPED, CRITICAL = (2.5, 1.0, 0.5), (1.0, 1.0, 0.0)
LENGTHS = (32, 64, 128, 256, 512, 1024)
BONDS = (16, 32, 64, 128)
RTOL = 1e-4


def chain(length, point, local=True):
    """A cluster-Ising chain, its parameters, and a loss at its centre."""
    H = qt.models.cluster_ising(length, local=local)
    names = ("g_x", "g_zz", "g_zxz")
    theta = {n: np.full(length - k, g) if local else g for k, (n, g) in enumerate(zip(names, point, strict=True))}
    return H, theta, qt.Expectation(X(length // 2 - 2) * X(length // 2 + 2))


def phases(length, point, local=True, max_bond=128, rtol=RTOL):
    """Seconds for the cold free state, the nudged states of the fine level, and a whole gradient."""
    H, theta, loss = chain(length, point, local)
    solver = qt.NumbaDMRG(threads=1, max_bond=max_bond)
    tuned = solver.with_cutoff(solver.cutoff_for(rtol, "symmetric", length))
    free_times, nudged_times, whole_times = [], [], []
    for _ in range(3):
        start = time.perf_counter()
        free = tuned.ground_state(H, theta)
        middle = time.perf_counter()
        nudge = Nudge(H, theta, loss.observables, loss.error_signal(expectations(free.state, loss.observables)))
        strength = tuned.nudge_strength(rtol, "symmetric", length) * max(point) / 2  # the nudge acts on two sites
        WindowedManifold(tuned, nudge, "symmetric", strength, 0.1 * max(point), rtol, free).fine()
        nudged_times.append(time.perf_counter() - middle)
        free_times.append(middle - start)
        start = time.perf_counter()
        result = qt.gradient(H, theta, loss, solver=solver, rtol=rtol)
        whole_times.append(time.perf_counter() - start)
    return {
        "length": length,
        "couplings": len(H.couplings),
        "bond": max(free.bond_dimensions),
        "free": float(np.median(free_times)),
        "nudged": float(np.median(nudged_times)),
        "gradient": float(np.median(whole_times)),
        "relative_error_estimate": result.relative_error,
    }


def matrix_products(bond):
    """GFLOP/s of a two-site effective Hamiltonian of the cluster-Ising chain, of GEMM alone, and BLAS's share."""
    H, theta, _ = chain(16, GAPPED)
    mpo = H.mpo.fill_blocks(H.coefficients(theta))
    blocks, values = merged_blocks(mpo, 7, 2)
    rows, columns = int(mpo.bonds[7]), int(mpo.bonds[9])
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(rows, bond, bond)), rng.normal(size=(columns, bond, bond))
    x = rng.normal(size=(bond, 4, bond))
    y, scratch = np.empty_like(x), np.empty((rows + columns) * x.size)
    flops = 2 * (rows - 1 + columns - 1) * bond * bond * 4 * bond
    whole = best(lambda: apply_effective(blocks, values, left, right, x, y, scratch))
    a, b, out = left[1:].reshape(-1, bond), x.reshape(bond, 4 * bond), np.empty(((rows - 1) * bond, 4 * bond))
    c, d = rng.normal(size=(4 * bond, (columns - 1) * bond)), right[:-1].reshape(-1, bond)
    result = np.empty((4 * bond, bond))
    products = best(lambda: (np.dot(a, b, out), np.dot(c, d, result)))
    square = rng.normal(size=(1024, 1024))
    peak = 2 * 1024**3 / best(lambda: np.dot(square, square), 5)
    return {"bond": bond, "gflops": flops / whole / 1e9, "peak": peak / 1e9, "blas_share": min(1.0, products / whole)}


def best(work, repetitions=30):
    """The shortest of some times."""
    work()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def table(title, rows):
    """Print rows as a table."""
    print(title)
    print("  ".join(f"{name:>12}" for name in rows[0]))
    for row in rows:
        print("  ".join(f"{value:12.4g}" if isinstance(value, float) else f"{value!s:>12}" for value in row.values()))


def main() -> None:
    """Measure, print, write and draw."""
    phases(32, GAPPED)  # compiles
    lengths = [phases(length, GAPPED) for length in LENGTHS]
    table("chain length, gapped (2.5, 1, 0.5)", lengths)
    couplings = [phases(128, GAPPED, local) for local in (False, True)]
    table("number of couplings, L = 128", couplings)
    bonds = [phases(128, CRITICAL, max_bond=bond) for bond in BONDS]
    table("bond dimension at most 16 ... 128, critical (1, 1, 0), L = 128", bonds)
    products = [matrix_products(bond) for bond in (64, 128)]
    table("two-site effective Hamiltonian", products)
    write_results("scaling", lengths, couplings=couplings, bonds=bonds, products=products, rtol=RTOL)
    draw(lengths, bonds)


def draw(lengths, bonds) -> None:
    """The figure: seconds against the chain's length, and against the bond dimension."""
    figure, axes = plt.subplots(1, 2, figsize=(7, 2.8), layout="constrained")
    for axis, ticks, rows in ((axes[0], LENGTHS, lengths), (axes[1], BONDS, bonds)):
        for name, marker in (("gradient", "o"), ("free", "s"), ("nudged", "^")):
            axis.loglog(ticks, [row[name] for row in rows], marker=marker, label=name)
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
        axis.yaxis.set_major_formatter("{x:g}")
    axes[0].set(xlabel="chain length $L$", ylabel="seconds", title="gapped")
    axes[1].set(xlabel=r"bond dimension $\chi$ at most", title="critical, $L = 128$", ylim=(0.2, 10))
    axes[0].legend(frameon=False)
    figure.savefig(Path(__file__).parent / "results" / "scaling.png", dpi=200)


if __name__ == "__main__":
    main()
