"""The published table of the supervised phase sensor, and what a batch costs: `python -m benchmarks.phase_sensor`.

A ring of eight cluster-Ising sites and two sensor qubits, 5000 batches of 10, rate 0.01, from N(0, 1), 200 test points,
means of the last five tests: with nudge 0.4 and 10 Gaussian shots as published (arXiv:2406.06482), and with exact
expectation values and beta "auto". `--seeds`, `--steps` and `--rows` choose less of it. Rows go into
benchmarks/results/phase_sensor.json one by one, and rows that are there are not taken again.
A row of ten seeds takes hours on two cores.

`--transfer RUN_DIR ...` asks sensors that `qep-tn train` has trained about chains of other lengths, as they are.
"""

import argparse
import tomllib
from itertools import cycle
from pathlib import Path
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

import qep_tn as qt
from benchmarks.machine import results_of, write_results
from qep_tn import Z
from qep_tn.figures.style import BLUE, GREEN, GREY, STYLE, VERMILION, new_figure
from qep_tn.runs.folder import load
from qep_tn.training.scores import accuracy, single_shot_accuracy

ASKED = 200  # points
LOOKS = (("o", BLUE), ("s", VERMILION), ("D", GREEN), ("^", GREY))
NAMES = ("g_x", "g_zz", "g_zxz")
CORNERS = tuple(tuple(4.0 * row) for row in np.eye(3))
# row -> (letters, soft bound, patches), and the published max-choice and single-shot accuracies
ROWS = {
    "X, Y, Z none": (("XYZ", False, False), ((0.958,), (0.872,))),
    "X, Y, Z 0.1": (("XYZ", True, False), ((0.945, 0.928, 0.934), (0.860, 0.848, 0.870))),
    "X, Z 0.1": (("XZ", True, False), ((0.932, 0.965, 0.947), (0.842, 0.867, 0.890))),
    "Z only": (("Z", True, False), ((0.618, 0.608, 0.600), (0.577, 0.569, 0.570))),
    "X, Y, Z patches": (("XYZ", True, True), ((0.943, 0.921, 0.933), (0.877, 0.853, 0.871))),
}
MODES = {"published": {"shots": qt.Shots(10, "gaussian"), "beta": 0.4}, "exact": {"beta": "auto"}}


def label(g_x, g_zz, g_zxz):
    """The published labels; g_zxz has the other sign there."""
    return np.where(g_zz >= 2, 1, np.where(2 * g_x < 4 - g_zz, 0, 2))


def triangle(patches=False):
    """Points of the triangle, or of three patches at its corners, of a side of a quarter."""
    return qt.Simplex(NAMES, 4.0, label, 3, (1.0, 1.0, -1.0), CORNERS if patches else (), 1.0 if patches else np.inf)


def sensor(L, letters, near, periodic):
    """The Hamiltonian and the three projectors."""
    H = qt.models.phase_sensor(qt.models.cluster_ising(L, periodic=periodic), near=near, couplings=letters)
    A, B = qt.models.sensor_sites(L, near=near)
    return H, [0.25 * (1 + a * Z(A)) * (1 + b * Z(B)) for a, b in ((1, 1), (1, -1), (-1, -1))]


def row(name, mode, seeds, steps):
    """One row of the table, by several seeds."""
    (letters, bound, patches), published = ROWS[name]
    H, outputs = sensor(8, letters, (0, 1), periodic=True)
    theta = {"sensor": np.zeros(15), "coupling": np.zeros(len(H.parameters["coupling"]))}
    began = perf_counter()
    result = qt.train(
        H, theta, triangle(patches), outputs=outputs, steps=steps, batch=10, rate=0.01, spread=1.0, seeds=seeds,
        penalty=[qt.SoftBound("coupling", 0.1, 0.02)] if bound else [], test=triangle()(np.random.default_rng(99), 200),
        test_every=max(1, steps // 50), solver=qt.ExactDiagonalization(), **MODES[mode],
    )  # fmt: skip
    seconds = perf_counter() - began
    history = result.history if seeds > 1 else result.history.expand_dims("seed")
    scores = {}
    for score in ("accuracy", "single_shot_accuracy"):
        values = history[score].values
        tests = np.array([v[np.isfinite(v)][-5:] for v in values]).mean(axis=1)
        scores[score] = {"mean": float(tests.mean()), "seeds": tests.round(4).tolist()}
    return {
        "row": name, "mode": mode, "seeds": seeds, "steps": steps, **scores, "published": published,
        "left_out": int(history["left_out"].sum()), "seconds": seconds,
        "seconds_per_batch": float(np.median(history["seconds"].values)),
    }  # fmt: skip


def transfer(folders, lengths):
    """Sensors that were trained, by `qep-tn train`, each asked about chains of several lengths as it is."""
    test, found = triangle()(np.random.default_rng(99), ASKED), []
    for folder in folders:
        history = load(folder)
        L = int(tomllib.loads((Path(folder) / "config.toml").read_text())["model"]["L"])
        trained = {name: history[name].values[-1] for name in ("sensor", "coupling")}
        for length in lengths:
            H, outputs = sensor(length, "XYZ", (length // 2 - 1, length // 2), periodic=False)
            given = qt.answers(H, trained, test.inputs, outputs=outputs, solver=qt.NumbaDMRG(threads=1))
            found.append({
                "trained_at": L, "asked_at": length, "accuracy": accuracy(given, test.targets),
                "single_shot_accuracy": single_shot_accuracy(given, test.targets),
            })  # fmt: skip
            print(found[-1], flush=True)
    return found


def draw(rows, file):
    """Accuracy of every sensor against the length of the chain that it is asked about."""
    with plt.rc_context(STYLE):
        figure, (ax,) = new_figure(2.6, 1)
        lengths = sorted({row["asked_at"] for row in rows})
        trained = sorted({row["trained_at"] for row in rows})
        for L, (marker, color) in zip(trained, cycle(LOOKS), strict=False):
            values = np.array([r["accuracy"] for r in rows if r["trained_at"] == L])
            error = np.sqrt(values * (1 - values) / ASKED)
            ax.errorbar(
                lengths, values, error, marker=marker, color=color, ms=4, capsize=2, label=f"learned on {L} sites"
            )
        ax.axhline(0.94, color="black", lw=0.6, ls="--")
        ax.text(lengths[0], 0.941, "published, 8 sites", fontsize=7, va="bottom")
        ax.set(xscale="log", xlabel="asked about chains of length $L$", ylabel="accuracy", ylim=(0.8, 1.0))
        ax.set_xticks(lengths, [str(L) for L in lengths])
        ax.legend(loc="lower right")
        figure.savefig(file, dpi=200)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--rows", nargs="*", default=list(ROWS))
    parser.add_argument("--modes", nargs="*", default=list(MODES))
    parser.add_argument("--transfer", nargs="+", metavar="RUN_DIR", help="trainings with their last sensors")
    parser.add_argument("--lengths", type=int, nargs="+", default=[8, 16, 32, 64, 128])
    chosen = parser.parse_args()
    kept = results_of("phase_sensor")
    rows, transfers = kept.get("rows", []), kept.get("transfer", [])
    if chosen.transfer:
        transfers = transfer(chosen.transfer, chosen.lengths)
        draw(transfers, Path(__file__).parent / "results" / "phase_sensor.png")
        write_results("phase_sensor", rows, transfer=transfers)
        return
    for mode in chosen.modes:
        for name in chosen.rows:
            if any(r["row"] == name and r["mode"] == mode and r["steps"] == chosen.steps for r in rows):
                continue
            rows.append(row(name, mode, chosen.seeds, chosen.steps))
            last = rows[-1]
            published = np.mean(last["published"][0]), np.mean(last["published"][1])
            print(
                f"{name}, {mode}: {last['accuracy']['mean']:.3f} ({published[0]:.3f} published), single shot "
                f"{last['single_shot_accuracy']['mean']:.3f} ({published[1]:.3f}); {last['seconds']:.0f} s",
                flush=True,
            )
            write_results("phase_sensor", rows, transfer=transfers)


if __name__ == "__main__":
    main()
