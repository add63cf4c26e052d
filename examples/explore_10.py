"""The published phase exploration on ten qubits, in Python: what explore_10.toml describes.

From the start, each step goes along the QEP gradient of |<X_0 X_4>|. The nudge of 0.1 is that of the publication:
strong enough to bias the gradient visibly, and the error bars say so. Free fermions give the exact values beside it.
"""

import argparse
import warnings
from collections.abc import Sequence

import qep_tn as qt
from qep_tn import X
from qep_tn.models.published import ten_qubits


def main(argv: Sequence[str] | None = None) -> None:
    """Take the walk, and print both ends of it beside the exact values."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--figure", help="where to draw the walk, such as walk.png")
    options = parser.parse_args(argv)

    H, objective = ten_qubits(), qt.Magnitude(X(0) * X(4))
    with warnings.catch_warnings():  # about the strong nudge
        warnings.simplefilter("ignore", qt.DegenerateGroundStateWarning)
        walk = qt.explore_phases(
            H, {"g_x": -0.1, "g_zz": 0.4}, objective, steps=options.steps, rate=0.1,
            solver=qt.ExactDiagonalization(), beta=0.1, scheme="one-sided", rtol=1e-4,
        )  # fmt: skip
    for name, row in (("first", walk.history.isel(step=0)), ("last", walk.history.isel(step=-1))):
        theta = {"g_x": float(row["g_x"]), "g_zz": float(row["g_zz"])}
        exact = qt.gradient(H, theta, objective, solver=qt.FreeFermion())
        print(f"{name} point: g_x = {theta['g_x']:.6f}, g_zz = {theta['g_zz']:.6f}")
        print(f"  |<X_0 X_4>|  {-row['loss']:9.6f}              exact {exact.value:9.6f}")
        for k in theta:  # the loss is minus what is maximized
            slope, error = -float(row[f"gradient_{k}"]), float(row[f"gradient_{k}_error"])
            print(f"  slope, {k:5} {slope:9.6f} +- {error:8.6f}  exact {exact.gradient[k]:9.6f}")
    if options.figure:
        from qep_tn.figures import walk as figures

        figures.walk(walk.history, ("g_x", "g_zz")).savefig(options.figure)


if __name__ == "__main__":
    main()
