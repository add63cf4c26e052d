"""The Mott lobe of one boson a site on a chain, and its tip: `python -m benchmarks.mott_lobe [boundaries] [tip]`.

boundaries: mu+ = E(N + 1) - E(N) and mu- = E(N) - E(N - 1) of open chains, N = L, at most 5 bosons a site, in units of
U. Limits are quadratic in 1/L through the three longest chains; their bars are the distance to the form that a gap well
above zero has, quadratic in 1/L^2. At t/U = 0.05, where the latter holds, its own limits stand beside 0.80324(2) and
0.08987(2), as published (`python -m benchmarks.gaps "mott 20"`).

tip: the gap closes as exp(-c / sqrt(1 - t/t_c)), too slowly for boundaries to cross where they should. Two estimators
that need no closed gap:
  flow: the number fluctuations of the middle of a chain, F(L) of L/4 sites, grow as K/pi^2 ln L, and
K = pi^2 (F(2L) - F(L)) / ln 2 flows, by Kosterlitz's equations, along curves ln(K/2) + 2/K - y^2 = zeta,
dK / d ln L = 2 K^2 (zeta - ln(K/2) - 2/K); at the transition zeta = 1 and K falls to 2. From two successive K follows
zeta, which is smooth in U, and U_c is where it is 1. This is how Thamm et al. (see benchmarks/bosons.py) find
t/U_c = 0.3053(2), there with rings. Open ends pin the density near them and so lower fluctuations, the more the wider
the window, to first order in y, which the flow does not hold. The bar adds up the distance to the same from chains half
as long, and the larger one to those from windows of L/2 and L/8 sites.
  gap: L gap (1 + 1/(2 ln L + C)) is the same for all L at t_c (Carrasquilla, Manmana and Rigol, Phys. Rev. A 87, 043606
(2013): 0.3050(1)); C and t_c follow from three lengths. The bar is the distance to chains half as long; what open ends
add, of relative order 1/L, it does not hold.
Published in others' ways: 0.305(1) (Ejima, Fehske and Gebhard 2011), 0.3048(3) (Rams, Czarnik and Cincio, Phys. Rev. X
8, 041033 (2018)).
Writes results/mott_lobe.json and results/mott_lobe.png. About 25 minutes on two cores that others use too.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq

import qep_tn as qt
from benchmarks.bosons import central_fluctuations
from benchmarks.machine import results_of, write_results
from qep_tn.figures.style import BLUE, COLUMN_WIDTH, GREEN, GREY, STYLE, VERMILION

HOPS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.28, 0.305, 0.33)  # t/U of the boundaries
LENGTHS, LONGEST, NEAR_TIP = (16, 32, 64), 128, 0.28  # the longest chain where t/U is as large as that
REPULSIONS, CHAINS, BOND = (3.25, 3.35), (16, 32, 64, 128), 160  # U/t of the flow
SHARES, QUARTER = (2, 4, 8), 4  # windows are chains divided by these; the one that counts
PUBLISHED_TIP, PUBLISHED_TIP_ERROR = 0.305, 0.001
PUBLISHED_BOUNDARIES = {0.05: (0.80324, 0.08987)}
FIGURE = Path(__file__).parent / "results" / "mott_lobe.png"


def in_the_limit(lengths, values):
    """Limit of infinite length, and its bar: quadratic in 1/L, and how far the form quadratic in 1/L^2 is from it."""
    x = 1 / np.array(lengths[-3:], float)
    limit, without_odd = (float(np.polyfit(x**power, values[-3:], 2)[2]) for power in (1, 2))
    return limit, abs(limit - without_odd)


def boundaries():
    """Rows of mu+ and mu- of each chain, from state to state down the lobe, and their limits."""
    rows = []
    for length in (*LENGTHS, LONGEST):
        H, states = qt.models.bose_hubbard(length, cutoff=5), {}
        for hop in reversed([hop for hop in HOPS if length < LONGEST or hop >= NEAR_TIP]):
            begin, theta = time.perf_counter(), {"t": hop, "U": 1.0, "mu": 0.0}
            for n in (length - 1, length, length + 1):
                solver = qt.NumbaDMRG(max_bond=96, cutoff=1e-7, threads=1, sector={"N": n})
                states[n] = solver.ground_state(H, theta, start=states.get(n))
            fewer, filled, more = (state.energy for state in states.values())
            rows.append({
                "part": "boundaries", "t/U": hop, "limit": False, "L": length, "mu_plus": more - filled,
                "mu_minus": filled - fewer, "gap": more + fewer - 2 * filled,
                "largest_variance": max(state.energy_variance for state in states.values()),
                "largest_bond": max(max(state.bond_dimensions) for state in states.values()),
                "converged": all(state.converged for state in states.values()),
                "seconds": time.perf_counter() - begin,
            })  # fmt: skip
            yield rows[-1]
    for hop in HOPS:
        chains = [row for row in rows if row["t/U"] == hop]
        limits = {"part": "boundaries", "t/U": hop, "limit": True}
        for name in ("mu_plus", "mu_minus", "gap"):
            limits[name], limits[f"{name}_error"] = in_the_limit(
                [row["L"] for row in chains], [row[name] for row in chains]
            )
        yield limits


def invariant(before, after, ratio):
    """zeta of the curve on which K flows from `before` to `after` while the length grows by a ratio."""

    def height(K):
        return np.log(K / 2) + 2 / K

    def too_long(zeta):
        return quad(lambda K: 1 / (2 * K**2 * (height(K) - zeta)), after, before, limit=200)[0] - np.log(ratio)

    highest = height(max(after, 2.0))  # of curves that pass between the two
    return brentq(too_long, -5.0, highest - 1e-9)


def root(parameters, values, order):
    """Where the polynomial through values is zero, nearest to the middle of the parameters."""
    roots = np.roots(np.polyfit(parameters, values, order))
    roots = roots[np.abs(roots.imag) < 1e-9].real
    return float(roots[np.argmin(np.abs(roots - np.median(parameters)))])


def by_flow():
    """Rows of fluctuations, of K and zeta, and the tip."""
    invariants = {}
    for U in REPULSIONS:
        found = []
        for length in CHAINS:
            begin = time.perf_counter()
            solver = qt.NumbaDMRG(max_bond=BOND, cutoff=1e-9, threads=1, sector={"N": length})
            state = solver.ground_state(qt.models.bose_hubbard(length, cutoff=6), {"t": 1.0, "U": U, "mu": 0.0})
            found.append([central_fluctuations(state, length // share) for share in SHARES])
            yield {
                "part": "tip", "U/t": U, "L": length, "fluctuations": dict(zip(SHARES, found[-1], strict=True)),
                "variance": state.energy_variance, "truncation": state.truncation_error,
                "seconds": time.perf_counter() - begin,
            }  # fmt: skip
        K = np.pi**2 * np.diff(found, axis=0).T / np.log(2)
        invariants[U] = [[invariant(a, b, 2) for a, b in pairwise(of_share)] for of_share in K]
        yield {
            "part": "tip", "U/t": U, "K": dict(zip(SHARES, K.tolist(), strict=True)),
            "zeta": dict(zip(SHARES, invariants[U], strict=True)),
        }  # fmt: skip
    tips = {}
    for n, share in enumerate(SHARES):
        columns = np.array([invariants[U][n] for U in REPULSIONS]).T
        tips[share] = [1 / root(REPULSIONS, column - 1, 1) for column in columns]
    shorter, tip = tips[QUARTER]
    error = abs(tip - shorter) + max(abs(of_share[-1] - tip) for of_share in tips.values())
    yield {
        "part": "tip", "estimator": "flow", "tips by window and lengths": tips, "tip": tip, "error": error,
        "published": PUBLISHED_TIP, "deviation": tip - PUBLISHED_TIP,
    }  # fmt: skip


def by_gap():
    """The tip by the gaps of the boundaries, in results/mott_lobe.json."""
    rows = [row for row in results_of("mott_lobe")["rows"] if row["part"] == "boundaries" and not row["limit"]]
    hops = [hop for hop in HOPS if hop >= NEAR_TIP]
    gaps = {(row["t/U"], row["L"]): row["gap"] for row in rows}

    def crossing(C, first, second):
        scaled = [np.array([L * gaps[hop, L] * (1 + 1 / (2 * np.log(L) + C)) for hop in hops]) for L in (first, second)]
        return root(hops, scaled[0] / scaled[1] - 1, 2)

    tips = []
    for a, b, c in zip(CHAINS, CHAINS[1:], CHAINS[2:], strict=False):
        C = brentq(lambda C, a=a, b=b, c=c: crossing(C, a, b) - crossing(C, b, c), -3.0, 20.0)
        tips.append(crossing(C, b, c))
    yield {
        "part": "tip", "estimator": "gap", "tips by lengths": tips, "tip": tips[-1], "error": abs(tips[-1] - tips[-2]),
        "published": PUBLISHED_TIP, "deviation": tips[-1] - PUBLISHED_TIP,
    }  # fmt: skip


def tip():
    """Both estimators."""
    yield from by_flow()
    yield from by_gap()


def draw(rows):
    """The lobe: boundaries of each length, limits with bars, and the tip."""
    of_lobe = [row for row in rows if row["part"] == "boundaries"]
    with matplotlib.rc_context(STYLE):
        figure = matplotlib.figure.Figure(figsize=(COLUMN_WIDTH, 2.8), layout="constrained")
        axes = figure.subplots()
        shades = dict(zip((*LENGTHS, LONGEST), ("#C0C0C0", "#A0A0A0", "#808080", "#505050"), strict=True))
        for length, shade in shades.items():
            chain = [row for row in of_lobe if row.get("L") == length]
            hops = [row["t/U"] for row in chain]
            for name, label in (("mu_plus", f"$L = {length}$"), ("mu_minus", None)):
                axes.plot(hops, [row[name] for row in chain], color=shade, lw=0.8, label=label)
        limits = [row for row in of_lobe if row["limit"]]
        for name, label in (("mu_plus", r"$L\to\infty$"), ("mu_minus", None)):
            axes.errorbar(
                [row["t/U"] for row in limits], [row[name] for row in limits], [row[f"{name}_error"] for row in limits],
                fmt="o", ms=2, lw=0.8, capsize=2, color=BLUE, label=label,
            )  # fmt: skip
        for hop, published in PUBLISHED_BOUNDARIES.items():
            axes.plot([hop] * 2, published, "s", mfc="none", ms=7, mew=0.8, color=VERMILION, label="published")
        heights = (0, 0.25)
        axes.fill_betweenx(
            heights, *[PUBLISHED_TIP + sign * PUBLISHED_TIP_ERROR for sign in (-1, 1)], color=VERMILION, lw=0
        )
        for row in rows:
            if row.get("estimator") == "flow":
                tip, error = row["tip"], row["error"]
                axes.fill_betweenx(heights, tip - error, tip + error, color=GREEN, alpha=0.25, lw=0)
                axes.plot([tip] * 2, heights, color=GREEN, ls="--", label="tip, by the flow of $K$")
        axes.text(0.055, 0.33, "Mott insulator\n$n = 1$", fontsize=8, color=GREY)
        axes.set(xlabel="$t/U$", ylabel=r"$\mu/U$", xlim=(0, 0.36), ylim=(0, 1))
        axes.legend(loc="upper right", ncols=2, columnspacing=1.0, handlelength=1.5)
        figure.savefig(FIGURE, dpi=300)


PARTS = {"boundaries": boundaries, "tip": tip}


def main() -> None:
    """Measure, print, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", help="boundaries, tip; both if none is named")
    for part in parser.parse_args().parts or PARTS:
        rows = []
        for row in PARTS[part]():
            print(row, flush=True)
            rows.append(row)
            others = [row for row in results_of("mott_lobe").get("rows", []) if row["part"] != part]
            write_results("mott_lobe", others + rows)
    draw(results_of("mott_lobe")["rows"])


if __name__ == "__main__":
    main()
