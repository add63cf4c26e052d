"""Where an ion chain stops being a magnet, what ion_chain.toml describes, in Python; and every coupling's part in it.

Prints the field at which the middle's correlation changes fastest beside the transition as published for 128 ions, and
there the gradient with respect to all pairs, which also has the slope along the exponent of their fall-off. With
--figure FILE, a map of that gradient.
"""

import argparse

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm

import qep_tn as qt
from qep_tn import X
from qep_tn.figures.style import BLUE, STYLE, new_figure


def main() -> None:
    """Find the transition, then take one gradient."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ions", type=int, default=50)
    parser.add_argument("--figure", help="where to draw, such as ions.png")
    options = parser.parse_args()
    L = options.ions
    alpha, middle = 3.0, L // 2
    observable = X(middle - 1) * X(middle)
    found = qt.optimize_sensitivity(
        qt.models.ion_chain(L, alpha), {"J": -1.0}, observable, scan="B", points=(-1.6, -1.1), train=[], steps=20,
        rate=0.1, closest=0.02, progress=False,
    )  # fmt: skip
    print(f"steepest at B = {found.boundary:.4f} +- {found.boundary_error:.4f}; published for 128 ions: -1.3822")

    pairs = L * (L - 1) // 2
    theta = {"J": np.full(pairs, -1.0), "B": np.full(L, found.boundary)}
    H = qt.models.ion_chain(L, alpha, local=True)  # an amplitude for each pair, a field for each ion
    g = qt.gradient(H, theta, qt.Expectation(observable), rtol=1e-3)
    slope = qt.models.ion_chain_alpha_gradient(theta["J"], g.gradient["J"])
    print(f"gradient of {pairs + L} couplings: relative error {g.relative_error:.0e}, trustworthy: {g.trustworthy}")
    print(f"<X X> in the middle is {g.value:.5f}, and changes by {slope:.4f} with alpha")
    if options.figure:
        draw(g, L, options.figure)


def draw(g, L, path):
    """The gradient with respect to the coupling of ions i and j, a map, and to the field on each."""
    pairs = np.zeros((L, L))
    pairs[np.triu_indices(L, 1)] = g.gradient["J"]
    pairs += pairs.T
    largest = np.abs(pairs).max()
    with matplotlib.rc_context(STYLE):
        figure, (above, below) = new_figure(4.8, 2)
        image = above.imshow(np.abs(pairs), norm=LogNorm(1e-5 * largest, largest), origin="lower", aspect="auto")
        above.set_ylabel("ion $j$")
        figure.colorbar(image, location="top", label=r"$|d\langle X X\rangle / dJ_{ij}|$")
        below.errorbar(np.arange(L), g.gradient["B"], g.error["B"], fmt=".-", color=BLUE, linewidth=0.8)
        below.set(xlabel="ion $i$", ylabel=r"$d\langle X X\rangle / dB_i$")
        figure.savefig(path, dpi=300)


if __name__ == "__main__":
    main()
