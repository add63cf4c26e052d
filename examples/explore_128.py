"""A walk through the phase diagram of 128 sites, in Python: what explore_128.toml describes.

The QEP gradient of a correlation in the bulk leads from the cluster phase through the ferromagnet into the paramagnet.
Ground states come from compiled DMRG; at the end, free fermions say how right the last of them is.
"""

import argparse
from collections.abc import Sequence

import qep_tn as qt
from qep_tn import X


def main(argv: Sequence[str] | None = None) -> None:
    """Take the walk; print the phases on its way, and its last point beside the exact values."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--figure", help="where to draw the walk, such as walk.png")
    options = parser.parse_args(argv)

    L = options.length
    H = qt.models.cluster_ising(L)  # H = -g_x sum X - g_zz sum ZZ - g_zxz sum ZXZ
    objective = qt.Magnitude(X(L // 2 - 2) * X(L // 2 + 2))
    walk = qt.explore_phases(
        H, {"g_x": 0.1, "g_zz": 0.2, "g_zxz": 0.5}, objective, train=["g_x", "g_zz"], steps=options.steps, rate=0.15,
        solver=qt.NumbaDMRG(max_bond=48), rtol=0.02,
    )  # fmt: skip
    print(walk.message)
    infinite = qt.models.PHASES["cluster_ising"]
    phases = infinite.phase(*(walk.history[name] for name in infinite.parameters))
    names = [infinite.names[number] for number in phases]
    print("phases: " + ", ".join(name for n, name in enumerate(names) if n == 0 or name != names[n - 1]))

    last = walk.history.isel(step=-1)
    theta = {name: float(last[name]) for name in infinite.parameters}
    exact = qt.gradient(H, theta, objective, solver=qt.FreeFermion())
    print("last point: " + ", ".join(f"{name} = {value:.6f}" for name, value in theta.items()))
    print(f"  correlation  {-last['loss']:9.6f} +- {last['loss_error']:7.1e}  exact {exact.value:9.6f}")
    for k in ("g_x", "g_zz"):  # the loss is minus what is maximized
        slope, error = -float(last[f"gradient_{k}"]), float(last[f"gradient_{k}_error"])
        print(f"  slope, {k:5} {slope:9.6f} +- {error:7.1e}  exact {exact.gradient[k]:9.6f}")
    if options.figure:
        from qep_tn.figures import walk as figures

        figures.walk(walk.history, ("g_x", "g_zz"), model="cluster_ising").savefig(options.figure)


if __name__ == "__main__":
    main()
