"""The boundary of Z2 order of 51 Rydberg atoms, what rydberg_51.toml describes, in Python.

Prints the detuning at which order sets in along the way from soft to hard atoms. An infinite blockade of neighbours
alone has it at Delta/Omega = 0.655 (Fendley, Sengupta and Sachdev, Phys. Rev. B 69, 075106 (2004)); atoms two apart
also repel each other, by C6/64, which Delta has to pay for as well. With --figure FILE the boundary is drawn.
"""

import argparse

import numpy as np

import qep_tn as qt
from qep_tn.figures.boundary import boundaries


def main() -> None:
    """Trace the boundary; print its points."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--atoms", type=int, default=51, help="an odd number: both ends are excited then")
    parser.add_argument("--step", type=float, default=0.2, help="between points, as a share of the window")
    parser.add_argument("--figure", help="where to draw, such as atoms.png")
    options = parser.parse_args()
    L = options.atoms
    trace = qt.trace_boundary(
        qt.models.rydberg_array(L), {"Omega": 1.0, "Delta": 1.0, "C6": 8.0}, ("Delta", "C6"),
        {"Delta": (0.5, 2.0), "C6": (4.0, 20.0)}, observable=qt.models.density_wave(L, 2),
        start={"Delta": 1.0, "C6": 8.0}, step=options.step, progress=False,
    )  # fmt: skip
    print(trace.message)
    curve = trace.history.isel(curve=0)
    for n in np.flatnonzero(np.isfinite(curve["Delta"].values)):
        delta, error, C6 = (float(curve[name][n]) for name in ("Delta", "Delta_error", "C6"))
        radius = qt.models.blockade_radius(C6, 1.0)
        print(f"R_b/a = {radius:.3f}: ordered above Delta/Omega = {delta:.3f} +- {error:.3f}, 2 C6/64 = {C6 / 32:.3f}")
    if options.figure:
        boundaries(trace.history).savefig(options.figure, dpi=300)


if __name__ == "__main__":
    main()
