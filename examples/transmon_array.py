"""Photons in a row of transmons: a Mott insulator, and what frequency adds the next photon.

    python examples/transmon_array.py --figure photons.png

Eight transmons held such an insulator in a lab (Ma et al., Nature 566, 51 (2019)); here are fifty, with a typical
anharmonicity and coupling. Photons that are put in one by one are in the highest state of their number, the ground
state of -H.
The first photon beyond one a transmon meets another, which lowers its frequency by the insulator's gap. Its series in
coupling over anharmonicity is published: Elstner and Monien, Phys. Rev. B 59, 12184 (1999).
"""

import argparse

import numpy as np

import qep_tn as qt

FREQUENCY, ANHARMONICITY, COUPLING = 5.0, -0.25, 0.00625  # GHz
BEYOND = 3  # photons more and less than transmons


def series(x):
    """The gap over the anharmonicity of the infinite row at one photon a transmon, x the coupling over it."""
    return 1 - 6 * x + 5 * x**2 + 6 * x**3 + 287 / 20 * x**4 + 5821 / 50 * x**5 - 602243 / 1000 * x**6


def frequencies(L):
    """Photon numbers from L - BEYOND to L + BEYOND, and the frequency in GHz that adds the last of them."""
    H = qt.models.transmon_array(L, levels=4)
    theta = {"frequency": -FREQUENCY, "anharmonicity": -ANHARMONICITY, "coupling": -COUPLING}
    photons = np.arange(L - BEYOND - 1, L + BEYOND + 1)
    highest = []
    for number in photons:
        solver = qt.NumbaDMRG(max_bond=48, cutoff=1e-6, sector={"N": int(number)})
        # photons that hop more are found in one go; what hardly hops is found from them
        mobile = solver.ground_state(H, {**theta, "coupling": -5 * COUPLING})
        highest.append(-solver.ground_state(H, theta, start=mobile).energy)
    return photons[1:], np.diff(highest)


def draw(photons, added, path):
    """The frequency of each photon."""
    import matplotlib

    from qep_tn.figures.style import BLUE, STYLE, new_figure

    with matplotlib.rc_context(STYLE):
        figure, (axes,) = new_figure(2.4, 1)
        axes.plot(photons, added, "o", ms=4, color=BLUE)
        axes.set(xlabel="number of photons", ylabel="frequency of the last one (GHz)")
        figure.savefig(path, dpi=300)


def main(L=50, figure=None):
    """Print the frequency of each photon, and the gap beside its series."""
    photons, added = frequencies(L)
    for number, frequency in zip(photons, added, strict=True):
        print(f"photon {number}: {frequency:.6f} GHz")
    gap, published = added[BEYOND] - added[BEYOND + 1], -ANHARMONICITY * series(COUPLING / -ANHARMONICITY)
    print(
        f"gap at {L} photons: {1e3 * gap:.3f} MHz; of an infinite row, by the published series: {1e3 * published:.3f}"
    )
    if figure:
        draw(photons, added, figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--transmons", type=int, default=50)
    parser.add_argument("--figure", help="where to draw the frequencies, such as photons.png")
    options = parser.parse_args()
    main(options.transmons, options.figure)
