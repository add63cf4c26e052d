"""All phase boundaries of a 128-site chain, in Python: what boundary_128.toml describes.

A point of a boundary is where <Z_63 X_64 Z_65> responds most to the field g_x; from two lines of ground states the
ridges of that response are found, and then followed to the window's edges. Their error bars hold for the finite chain:
free fermions give its exact ridge at every point. The boundaries of the infinite chain are a distance of order 1/L off.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar

import qep_tn as qt
from qep_tn import X, Z
from qep_tn.tasks.report import boundary_table


def main(argv: Sequence[str] | None = None) -> None:
    """Trace the boundaries; print their points, and how far these are from the exact ridges and lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--step", type=float, default=1 / 16, help="between points, as a share of the window")
    parser.add_argument("--figure", help="where to draw the boundaries, such as boundaries.png")
    options = parser.parse_args(argv)

    L = options.length
    H = qt.models.cluster_ising(L)  # H = -g_x sum X - g_zz sum ZZ - g_zxz sum ZXZ
    observable = Z(L // 2 - 1) * X(L // 2) * Z(L // 2 + 1)
    trace = qt.trace_boundary(
        H, {"g_x": 0.4, "g_zz": 1.2, "g_zxz": 1.0}, ("g_x", "g_zz"), {"g_x": (0.0, 3.2), "g_zz": (0.1, 2.0)},
        observable=observable, step=options.step,
    )  # fmt: skip
    print(boundary_table(trace.history), trace.message, sep="\n")

    points = trace.history.stack(n=("curve", "point"), create_index=False)
    points = points.isel(n=np.isfinite(points["g_x"].values))
    off = [distance_to_ridge(H, observable, points.isel(n=n)) for n in range(points.sizes["n"])]
    errors = np.maximum(points["g_x_error"], points["g_zz_error"]).values  # one of the two is varied
    print(f"exact ridges of this chain: {np.mean(off <= errors):.0%} of {len(off)} points within their error bars")
    g_x, g_zz = points["g_x"].values, points["g_zz"].values
    to_lines = np.minimum(abs(g_x - g_zz - 1), abs(g_x + g_zz - 1)) / np.sqrt(2)
    print(f"boundaries of the infinite chain, g_x = g_zz + 1 and g_zz = 1 - g_x: at most {to_lines.max():.4f} away")
    if options.figure:
        from qep_tn.figures import boundary

        boundary.boundaries(trace.history, "cluster_ising").savefig(options.figure)


def distance_to_ridge(H, observable, point):
    """How far a point is from where the exact response of the same chain is largest, along the varied parameter."""
    theta = {name: float(point[name]) for name in H.parameters}
    name = ("g_x", "g_zz")[int(point["across"])]

    def minus_response(g):
        exact = qt.gradient(H, {**theta, name: g}, qt.Expectation(observable), solver=qt.FreeFermion())
        return -abs(exact.gradient[name])

    reach = 0.3 * float(point["width"])
    ridge = minimize_scalar(minus_response, bounds=(theta[name] - reach, theta[name] + reach), method="bounded")
    return abs(ridge.x - theta[name])


if __name__ == "__main__":
    main()
