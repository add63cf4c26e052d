"""Phase boundaries for L to infinity from chains of 16, 32 and 64 sites, in Python: what finite_size.toml describes.

Every point of the longest chain's boundaries is found on the shorter ones too, and extrapolated in powers of 1/L.
"""

import argparse
from collections.abc import Sequence

import numpy as np

import qep_tn as qt
from qep_tn import X, Z


def main(argv: Sequence[str] | None = None) -> None:
    """Trace and extrapolate; print every point's limit beside the exact boundary of the infinite chain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--step", type=float, default=1 / 8, help="between points, as a share of the window")
    parser.add_argument("--processes", type=int, help="chains worked on at a time; one for each core by default")
    parser.add_argument("--figure", help="where to draw the boundaries, such as boundaries.png")
    options = parser.parse_args(argv)

    scaling = qt.finite_size_scaling(
        qt.models.cluster_ising,  # H = -g_x sum X - g_zz sum ZZ - g_zxz sum ZXZ, for any L
        options.lengths,
        {"g_x": 0.4, "g_zz": 1.2, "g_zxz": 1.0},
        ("g_x", "g_zz"),
        {"g_x": (0.0, 3.2), "g_zz": (0.4, 2.0)},
        observable=lambda L: Z(L // 2 - 1) * X(L // 2) * Z(L // 2 + 1),
        step=options.step,
        processes=options.processes,
    )
    print(scaling.message)
    print(f"{'g_x':>9} {'g_zz':>9} {'error':>8} {'off':>9}   varied, longest chain's own distance")
    within = []
    for curve in range(scaling.history.sizes["curve"]):
        for n in range(int(scaling.history["points"][curve])):
            point = scaling.history.isel(curve=curve, point=n)
            varied, fixed = ("g_x", "g_zz") if point["across"] == 0 else ("g_zz", "g_x")
            limit, error = float(point[f"{varied}_infinite"]), float(point[f"{varied}_infinite_error"])
            if not np.isfinite(limit):  # no ridge on a shorter chain
                continue
            there = float(point[f"{fixed}_infinite"])
            exact = np.array([1 - there, there + 1] if varied == "g_x" else [1 - there, there - 1])
            exact = exact[np.argmin(abs(exact - limit))]  # of the two boundaries, this point's
            longest = float(point[varied][-1]) - exact
            place = (limit, there) if varied == "g_x" else (there, limit)
            print(f"{place[0]:9.5f} {place[1]:9.5f} {error:8.5f} {limit - exact:9.5f}   {varied}, {longest:.5f}")
            within.append(abs(limit - exact) <= error)
    print(f"{np.mean(within):.0%} of {len(within)} limits within their error bars of the exact boundaries")
    if options.figure:
        from qep_tn.figures import boundary

        boundary.boundaries(scaling.history, "cluster_ising").savefig(options.figure)


if __name__ == "__main__":
    main()
