"""Shots of a matrix product state: ours beside TeNPy and quimb, on the same state in the same run.

    python -m benchmarks.sampling

A random state of bond dimension 32 on 128 qubits, measured in the Z basis. The libraries take shots one by one, so
what 10 000 of them take is extrapolated from 100. The deviations of all means of Z_j Z_j+1 from the exact ones, in
standard errors, are one on average if the distribution is right.
"""

import time

import numpy as np
import quimb
import tenpy
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.machine import write_results

LENGTH, BOND, SHOTS, SEED = 128, 32, 10_000, 1
FEWER = 100  # shots of the libraries


def timed(work):
    begun = time.perf_counter()
    levels = np.array(work())
    return levels, time.perf_counter() - begun


def ours(state, basis):
    qt.sample(state, basis, 10, 0)  # compiles
    return timed(lambda: qt.sample(state, basis, SHOTS, SEED))


def tenpy_shots(state):
    psi, rng = state.to_tenpy(), np.random.default_rng(SEED)
    psi.sample_measurements(rng=rng)
    return timed(lambda: [psi.sample_measurements(rng=rng)[0] for _ in range(FEWER)])


def quimb_shots(state):
    psi = state.to_quimb()
    next(iter(psi.sample(1, seed=SEED)))
    return timed(lambda: [configuration for configuration, _ in psi.sample(FEWER, seed=SEED)])


def main():
    threadpool_limits(1)
    state = qt.MPS.random(qt.qubits(LENGTH), BOND, SEED)
    exact = np.array([state.product_expectations((((j, ("Z",)), (j + 1, ("Z",))),))[0] for j in range(LENGTH - 1)])
    rows: list[dict] = []
    for library, basis, (levels, seconds) in (
        ("qep_tn", "Z", ours(state, "Z")),
        ("qep_tn", "Y", ours(state, "Y")),
        (f"TeNPy {tenpy.__version__}", "Z", tenpy_shots(state)),
        (f"quimb {quimb.__version__}", "Z", quimb_shots(state)),
    ):
        bits = 1 - 2 * levels
        off = ((bits[:, :-1] * bits[:, 1:]).mean(axis=0) - exact) * np.sqrt(len(levels))
        row = {
            "library": library,
            "basis": basis,
            "shots": len(levels),
            "seconds": round(seconds, 3),
            "seconds_for_all": round(seconds * SHOTS / len(levels), 3),
            "rms_error_in_standard_errors": round(float(off.std()), 2) if basis == "Z" else None,
        }
        rows.append(row)
        ratio = row["seconds_for_all"] / rows[0]["seconds_for_all"]
        print(f"{library}, basis {basis}: {row['seconds_for_all']} s for {SHOTS} shots, {ratio:.0f} times ours")
    write_results("sampling", rows, sites=LENGTH, bond=BOND, shots=SHOTS)


if __name__ == "__main__":
    main()
