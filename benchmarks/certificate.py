"""What the residual of the response tells: `python -m benchmarks.certificate`.

Random cases of `benchmarks.families`, 8 to 14 sites, against exact linear response: gradients as they are, and those of
a blind manifold, whose bonds do not hold O|psi> and whose response grows for one round only, with the certificate left
to find them out. Prints a table by family, writes benchmarks/results/certificate.json, and draws the residuals of right
and wrong gradients. About 5 minutes on one core.
"""

import argparse
import warnings
from pathlib import Path
from time import perf_counter
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.families import FAMILIES
from benchmarks.machine import write_results
from qep_tn.gradients import room
from qep_tn.gradients.trust import LARGEST_RESIDUAL

WRONG = 10  # errors beyond this many times the claim; below 1e-9 of a gradient's natural size nothing is wrong


def measured(family, seed, solver):
    """One case: the gradient's error, what it claims, and its residual, in units of the gradient's natural size."""
    rng = np.random.default_rng([seed, FAMILIES.index(family)])
    H, theta, observable = family(int(rng.integers(8, 15)), rng)
    loss = qt.Expectation(observable)
    exact = qt.gradient(H, theta, loss, solver=qt.ExactDiagonalization(), scheme="linear-response")
    rows = []
    for blind in (False, True):
        begin = perf_counter()
        result = blindly(H, theta, loss) if blind else qt.gradient(H, theta, loss, solver=solver)
        size = result.natural_size
        error = np.linalg.norm(H.flatten(result.gradient) - H.flatten(exact.gradient)) / size
        claim = np.linalg.norm(H.flatten(result.error)) / size
        rows.append(
            {
                "family": family.__name__, "seed": seed, "sites": len(H.sites), "blind": blind, "error": float(error),
                "claim": float(claim), "norm": float(np.linalg.norm(H.flatten(exact.gradient)) / size),
                "residual": result.residual, "trustworthy": result.trustworthy, "message": result.message,
                "wrong": bool(error > WRONG * claim + 1e-9), "seconds": perf_counter() - begin,
            }
        )  # fmt: skip
    return rows


def blindly(H, theta, loss):
    """The gradient on a manifold that cannot see distant products."""
    with (
        patch.object(room, "with_operator", lambda state, *_: state),
        patch.object(room, "_GROWN", np.inf),
    ):
        return qt.gradient(H, theta, loss, solver=qt.NumbaDMRG(threads=1))


def table(rows):
    """By family: cases, wrong and trusted, refused; and what the certificate makes of the blind manifold."""
    lines = [f"{'family':16s} cases  wrong, trusted  right, refused | blind: wrong  of these trusted"]
    for family in (*(f.__name__ for f in FAMILIES), "all"):
        mine = [r for r in rows if family in (r["family"], "all") and not r["blind"]]
        blind = [r for r in rows if family in (r["family"], "all") and r["blind"] and r["wrong"]]
        wrong = sum(r["wrong"] and r["trustworthy"] for r in mine)
        refused = sum(not r["wrong"] and not r["trustworthy"] for r in mine)
        trusted = sum(r["trustworthy"] for r in blind)
        lines.append(f"{family:16s} {len(mine):5d} {wrong:15d} {refused:15d} | {len(blind):12d} {trusted:17d}")
    return "\n".join(lines)


def draw(rows, path):
    """Residual against error, of right and of wrong gradients; the threshold."""
    figure, axes = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    groups = (
        (False, "as it is", "o", "tab:blue"),
        (True, "bonds without $O|\\psi\\rangle$", "x", "tab:red"),
    )
    for blind, label, marker, color in groups:
        chosen = [r for r in rows if r["blind"] == blind]
        x = np.maximum([r["residual"] for r in chosen], 1e-5)
        y = np.maximum([r["error"] for r in chosen], 1e-11)
        axes.plot(x, y, marker, color=color, ms=4, alpha=0.6, label=label, mec=color)
    axes.axvline(LARGEST_RESIDUAL, color="black", ls="--", lw=1)
    axes.annotate("not trusted", (LARGEST_RESIDUAL * 1.15, 2e-11), fontsize=8)
    axes.set(
        xscale="log", yscale="log", xlabel="residual of the response (left edge: $10^{-5}$ or less)",
        ylabel="error of the gradient / natural size",
    )  # fmt: skip
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    figure.savefig(path, dpi=200)


def main() -> None:
    """Measure, print, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=28, help="cases of each family")
    parser.add_argument("--first", type=int, default=1000, help="the first seed")
    parser.add_argument("--solver", default="NumbaDMRG", choices=["NumbaDMRG", "TenpyDMRG", "QuimbDMRG"])
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    solver = qt.NumbaDMRG(threads=1) if chosen.solver == "NumbaDMRG" else getattr(qt, chosen.solver)()
    with threadpool_limits(1):
        seeds = range(chosen.first, chosen.first + chosen.seeds)
        rows = [row for family in FAMILIES for seed in seeds for row in measured(family, seed, solver)]
    print(table(rows))
    for row in rows:
        if not row["blind"] and (row["wrong"] or not row["trustworthy"]):
            print({name: row[name] for name in ("family", "seed", "error", "claim", "norm", "residual", "message")})
    if chosen.solver == "NumbaDMRG":
        write_results("certificate", rows, largest_residual=LARGEST_RESIDUAL)
        draw(rows, Path(__file__).parent / "results" / "certificate.png")


if __name__ == "__main__":
    main()
