"""One gradient by every solver, beside the exact one: of ten sites by exact diagonalization, more by free fermions.

Every term of the chain has a coupling of its own, drawn at random; the gradient of <X_i X_j> has a component for each.
`qep-tn verify examples/compare_with_exact.toml` compares energies, expectation values and reciprocity as well.
"""

import argparse
import time
from collections.abc import Sequence

import numpy as np

import qep_tn as qt
from qep_tn import X


def main(argv: Sequence[str] | None = None) -> None:
    """Print, for each solver, how far its gradient is from the exact one, and how far its error bars say it may be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", type=int, default=10, help="sites of the chain for exact diagonalization")
    parser.add_argument("--length", type=int, default=32, help="sites of the longer chain")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)

    dmrg = [qt.NumbaDMRG(), qt.TenpyDMRG(), qt.QuimbDMRG()]
    # linear response is exact, and so without nudge; ExactDiagonalization() as usual takes two nudged states
    compare(options.short, options.seed, qt.ExactDiagonalization(), "linear-response",
            [qt.ExactDiagonalization(), qt.FreeFermion(), *dmrg])  # fmt: skip
    compare(options.length, options.seed, qt.FreeFermion(), "symmetric", dmrg)


def compare(L, seed, reference, scheme, solvers):
    """A table of solvers for one chain."""
    H = qt.models.cluster_ising(L, local=True)
    rng = np.random.default_rng(seed)
    middle = {"g_x": 2.5, "g_zz": 1.0, "g_zxz": 0.5}  # in the paramagnet
    theta = {name: g * rng.uniform(0.8, 1.2, len(H.parameters[name])) for name, g in middle.items()}
    objective = qt.Expectation(X(L // 2 - 2) * X(L // 2 + 2))
    exact = flat(qt.gradient(H, theta, objective, solver=reference, scheme=scheme).gradient)

    print(f"\nL = {L}, {len(exact)} couplings, beside {type(reference).__name__}, {scheme}")
    print(f"{'solver':22} {'relative error':>14} {'estimated':>10} {'within bars':>12} {'seconds':>8}")
    for solver in solvers:
        began = time.perf_counter()
        g = qt.gradient(H, theta, objective, solver=solver)
        seconds = time.perf_counter() - began
        off = abs(flat(g.gradient) - exact)
        within = np.mean(off <= flat(g.error) + 1e-12)
        print(f"{type(solver).__name__:22} {np.linalg.norm(off) / np.linalg.norm(exact):14.1e} "
              f"{g.relative_error:10.1e} {within:12.0%} {seconds:8.2f}", flush=True)  # fmt: skip


def flat(components):
    """All components in one array."""
    return np.concatenate([np.atleast_1d(values) for values in components.values()])


if __name__ == "__main__":
    main()
