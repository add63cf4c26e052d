"""Error of a measured gradient against the nudge, for several numbers of shots, on 10 and on 64 sites.

    python -m benchmarks.shots

Each error is the root mean square, over draws of all shots, of the distance to the exact gradient, relative to its
norm. Beside it is theory: the bias of the nudge, by exact expectation values of the same nudged states, and shot noise
that goes as one over the nudge. The nudge that beta="auto" takes is marked. The exponents, of the best nudge and of its
error by the number of shots, are fitted to the minima of the measured curves.

Shots are projective up to 10^4; beyond, where one by one they would take too long, the noise is Gaussian.
Writes benchmarks/results/shots.json and docs/figures/shots.png. About 5 minutes on one core.
"""

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.machine import write_results
from qep_tn import X
from qep_tn.figures.style import STYLE, new_figure
from qep_tn.gradients.measured import Experiment

DRAWS = {10: 40, 64: 6}  # by length
COUPLINGS = 1.2, 0.5, 0.7
BETAS = np.geomspace(0.02, 1.6, 12)
SHOTS = tuple(10**power for power in range(2, 9))
ASYMPTOTIC = SHOTS[3:]  # with fewer, the best nudge is as strong as the couplings
PROJECTIVE, SEED = 10**4, 1
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "shots.png"


def curves(length, rng):
    """A row for each number of shots: measured errors and theory at all nudges, and the nudge of beta="auto"."""
    H = qt.models.cluster_ising(length, local=True)
    theta = {name: np.full(len(A), g) for (name, A), g in zip(H.parameters.items(), COUPLINGS, strict=True)}
    loss = qt.Expectation(X(length // 2 - 2) * X(length // 2 + 1))
    solver = qt.ExactDiagonalization() if length <= 12 else qt.NumbaDMRG(threads=1)
    computed = qt.gradient(H, theta, loss, solver=solver, rtol=1e-6)
    exact = H.flatten(computed.gradient)
    size = np.linalg.norm(exact)
    free = solver.resolving(1e-6, "symmetric", length, auto=True).ground_state(H, theta, start=computed.free)
    devices = [
        Experiment(
            H, theta, loss, solver.resolving(1e-6, "symmetric", length, True), "symmetric", free, qt.Shots(2), beta
        )
        for beta in BETAS
    ]
    bias = [np.linalg.norm(device.bias(exact)) / size for device in devices]
    rows = []
    for count in SHOTS:
        shots = qt.Shots(count, "projective" if count <= PROJECTIVE else "gaussian")
        errors, noise = [], []
        for device in devices:
            drawn = [replace(device, shots=shots).drawn(rng) for _ in range(DRAWS[length])]
            errors.append(np.sqrt(np.mean([((d.gradient - exact) ** 2).sum() for d in drawn])) / size)
            noise.append(np.sqrt(np.mean([(d.noise**2).sum() for d in drawn])) / size)
        strength = float(np.median(np.array(noise) * BETAS))  # of the noise at a nudge of one
        best = replace(devices[0], shots=shots).balanced(exact, computed.level.curvature, rng)
        rows.append(
            {
                "sites": length,
                "shots": count,
                "kind": shots.kind,
                "errors": np.round(errors, 9).tolist(),
                "bias": np.round(bias, 9).tolist(),
                "noise_of_unit_nudge": strength,
                "best_beta": best.beta,
                "error_at_best": float(
                    np.hypot(np.linalg.norm(best.bias(exact)) / size, strength / best.beta)
                ),
                "overlap_at_best": best.level(best.exact_nudge).overlap,
                "measured_minimum": minimum(BETAS, errors),
            }
        )  # fmt: skip
        print(length, count, {k: v for k, v in rows[-1].items() if k not in ("errors", "bias")}, flush=True)
    return rows


def minimum(betas, errors):
    """Nudge and error at a curve's minimum, by a parabola through the logarithms of five points; None at an end."""
    lowest = int(np.argmin(errors))
    if not 2 <= lowest <= len(betas) - 3:
        return None
    near = slice(lowest - 2, lowest + 3)
    a, b, c = np.polyfit(np.log(betas[near]), np.log(np.array(errors)[near]), 2)
    return [float(np.exp(-b / (2 * a))), float(np.exp(c - b**2 / (4 * a)))]


def exponents(rows):
    """Of the best nudge and of its error, by the number of shots: measured, and as beta="auto" has it."""
    rows = [row for row in rows if row["shots"] in ASYMPTOTIC]
    counts = np.log([row["shots"] for row in rows])
    told = {
        "measured beta": [row["measured_minimum"][0] for row in rows],
        "measured error": [row["measured_minimum"][1] for row in rows],
        "auto beta": [row["best_beta"] for row in rows],
        "auto error": [row["error_at_best"] for row in rows],
    }
    return {name: round(float(np.polyfit(counts, np.log(values), 1)[0]), 4) for name, values in told.items()}


def draw(rows):
    """Measured errors, theory and best nudges, one panel a length."""
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(SHOTS)))
    with matplotlib.rc_context(STYLE):
        figure, panels = new_figure(4.6, len(DRAWS))
        for axes, length in zip(panels, DRAWS, strict=True):
            for row, color in zip((r for r in rows if r["sites"] == length), colors, strict=True):
                power = int(np.log10(row["shots"]))
                theory = np.hypot(row["bias"], row["noise_of_unit_nudge"] / BETAS)
                axes.loglog(BETAS, row["errors"], "o", color=color, markersize=3, label=f"$10^{power}$")
                axes.loglog(BETAS, theory, "-", color=color)
                axes.loglog(row["best_beta"], row["error_at_best"], "*", color=color, markersize=9, mec="k", mew=0.5)
            axes.set_ylabel("relative error of the gradient")
            axes.set_title(f"{length} sites", fontsize=9)
        panels[0].legend(title="shots", loc="center left", bbox_to_anchor=(1, 0.5), handletextpad=0.1)
        panels[-1].set_xlabel(r"nudge $\beta$")
        figure.savefig(FIGURE, dpi=200)


def main():
    threadpool_limits(1)
    rng = np.random.default_rng(SEED)
    rows = [row for length in DRAWS for row in curves(length, rng)]
    fitted = {f"{length} sites": exponents([r for r in rows if r["sites"] == length]) for length in DRAWS}
    print(fitted, "theory: beta -1/6, error -1/3")
    write_results(
        "shots", rows, couplings=COUPLINGS, betas=BETAS.tolist(), draws=DRAWS, exponents=fitted,
        theory={"beta": -1 / 6, "error": -1 / 3},
    )  # fmt: skip
    draw(rows)


if __name__ == "__main__":
    main()
