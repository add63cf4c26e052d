"""What the first excited state costs: `python -m benchmarks.excited`.

Cluster-Ising chains in all phases and at a transition: seconds for a cold ground state and for the state above it, and
their errors against free fermions; on the shorter chain also TeNPy's two-site DMRG orthogonal to the same ground state.
Best of several runs, in turn. Prints a table, writes benchmarks/results/excited.json. About three minutes on one core.
"""

import argparse
import warnings
from time import perf_counter

import numpy as np
from tenpy.algorithms.dmrg import TwoSiteDMRGEngine
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.machine import write_results

POINTS = {
    "paramagnet": (2.5, 1.0, 0.5),
    "nearer the transition": (1.2, 1.0, 0.0),
    "critical": (1.0, 1.0, 0.0),
    "ferromagnet": (1.0, 2.8, 0.2),
    "cluster": (0.5, 1.0, 2.5),
}
LENGTHS, WITH_TENPY = (24, 128), 24
RUNS = 5
SOLVER = qt.NumbaDMRG(threads=1)


def timed(work, *arguments):
    """Seconds, and what the work returns."""
    begin = perf_counter()
    result = work(*arguments)
    return perf_counter() - begin, result


def by_tenpy(H, theta, ground):
    """The energy of TeNPy's first excited state, from a random MPS."""
    shift = float(np.abs(H.coefficients(theta)).sum())  # what is projected out has the energy zero
    lowered = qt.Hamiltonian(H.sites, H.parameters, fixed=-shift - ground.energy)
    options = {
        "trunc_params": {"chi_max": SOLVER.max_bond, "svd_min": SOLVER.schmidt_cutoff},
        "lanczos_params": {"N_max": 20, "reortho": True},
        "mixer": True,
        "mixer_params": {"amplitude": 1e-4, "decay": 10.0, "disable_after": 5},
        "max_E_err": 1e-12,
        "max_sweeps": 60,
        "max_N_sites_per_ring": None,
    }
    psi = qt.MPS.random(H.sites, 4, seed=0).to_tenpy()
    engine = TwoSiteDMRGEngine(psi, lowered.to_tenpy(theta), options, orthogonal_to=[ground.mps.to_tenpy()])
    energy, _ = engine.run()
    return energy + shift + ground.energy


def measured(point, length, runs):
    """One row of the table."""
    H = qt.models.cluster_ising(length, local=False)
    theta = dict(zip(("g_x", "g_zz", "g_zxz"), POINTS[point], strict=True))
    ground_seconds, excited_seconds = [], []
    for _ in range(runs):
        seconds, ground = timed(SOLVER.ground_state, H, theta)
        ground_seconds.append(seconds)
        seconds, excited = timed(SOLVER.excited_state, H, theta, [ground])
        excited_seconds.append(seconds)
    exact = qt.FreeFermion().ground_state(H, theta)
    row = {
        "point": point, "parameters": POINTS[point], "length": length, "gap": exact.gap,
        "ground_seconds": min(ground_seconds), "seconds": min(excited_seconds),
        "ratio": min(excited_seconds) / min(ground_seconds),
        "ground_error": ground.energy - exact.energy, "error": excited.energy - exact.energy - exact.gap,
        "fidelity": excited.fidelity(ground), "energy_variance": excited.energy_variance, "sweeps": excited.sweeps,
        "bonds": [max(state.bond_dimensions) for state in (ground, excited)], "converged": excited.converged,
    }  # fmt: skip
    if length == WITH_TENPY:
        row["tenpy_seconds"], energy = timed(by_tenpy, H, theta, ground)
        row["tenpy_error"] = energy - exact.energy - exact.gap
    return row


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="of which the fastest counts")
    runs = parser.parse_args().runs
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        measured("critical", LENGTHS[0], 1)  # compiles
        rows = [measured(point, length, runs) for length in LENGTHS for point in POINTS]
    print(
        f"{'point':24}{'L':>4}{'gap':>12}{'ground':>9}{'excited':>9}{'ratio':>7}{'error':>10}{'TeNPy':>9}{'error':>10}"
    )
    for row in rows:
        tenpy = f"{row['tenpy_seconds']:8.1f}s{row['tenpy_error']:10.0e}" if "tenpy_seconds" in row else ""
        figures = f"{row['ground_seconds']:8.2f}s{row['seconds']:8.2f}s{row['ratio']:7.1f}{row['error']:10.0e}"
        print(f"{row['point']:24}{row['length']:4}{row['gap']:12.3e}{figures}{tenpy}")
    write_results("excited", rows, runs=runs)


if __name__ == "__main__":
    main()
