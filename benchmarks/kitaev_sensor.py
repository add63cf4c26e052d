"""The published sensor beside Kitaev's strip, beside published numbers: `python -m benchmarks.kitaev_sensor [RUN_DIR]`.

RUN_DIR is the folder of `qep-tn train examples/kitaev_sensor.toml`, which may still be on its way: its last sensor is
asked, as it is, about the 18 published test points, the published grid over the triangle, and random points, as many of
A as of B, that training has not seen. Wanjura and Marquardt, Nat. Commun. 16 (2025), arXiv:2406.06482, the folder
SupervisedQEP/KitaevPhaseSensor of their repository, have the task and the numbers. Tells of misjudged points which
coupling is the largest there, and how far its boundary is, J_a = 1/2.
Without a folder the sensor is one that was trained in mean field, two qubits that see the exact bond energies of the
free strip, in seconds; and then it is asked beside the strip itself, all 18 qubits.
Prints rows as they come, writes benchmarks/results/kitaev_sensor.json and docs/figures/kitaev_sensor.png; `--draw`
draws again from the file.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.kitaev import plane
from benchmarks.machine import results_of, write_results
from qep_tn import X, Y, Z
from qep_tn.descent.update_rules import adam
from qep_tn.figures.style import GREEN, GREY, STYLE, VERMILION, new_figure
from qep_tn.runs.folder import load
from qep_tn.training.scores import accuracy, single_shot_accuracy

NAMES = ("J_x", "J_y", "J_z")
PUBLISHED = {
    "published points": {"accuracy": 17 / 18, "single_shot": 0.867, "batches": 800, "seconds_per_batch": [152, 328]},
    "published grid": {"accuracy": 0.9138, "single_shot": 0.8543},
}
RATE = qt.Decay(0.005, 0.0005, 250)
SIXTH, RANDOM, GRID, WINDOW = 1 / 6, 200, 0.05, 50
# six of them do not sum to 1 there either
OF_B = [
    (0.4, 0.4, 0.2), (0.2, 0.4, 0.4), (0.4, 0.2, 0.4), (0.3, 0.3, 0.4), (0.4, 0.3, 0.3), (0.3, 0.4, 0.3),
    (0.375, 0.375, 0.25), (0.25, 0.375, 0.375), (0.375, 0.25, 0.375),
]  # fmt: skip
OF_A = [
    (0.1, 0.1, 0.8), (0.1, 0.3, 0.6), (0.3, 0.1, 0.6), (5 * SIXTH - 0.1, 0.1, 0.1), (0.534, 2 * SIXTH - 0.034, 0.1),
    (0.6, 0.1, 0.3), (0.034, 5 * SIXTH - 0.034, 0.1), (2 * SIXTH - 0.1, 0.6, 0.1), (0.1, 0.6, 0.3),
]  # fmt: skip


def sensor():
    """The Hamiltonian and the outputs, as examples/kitaev_sensor.toml has them."""
    strip = qt.models.kitaev_ladder(8, periodic=True)
    H = qt.models.phase_sensor(strip, near=(1,), couplings=[Z(0) * Z(1), X(0) * X(4), Y(4) * Y(8)])
    A, _ = qt.models.sensor_sites(16, near=(1,))
    return H, [0.5 * (1 + Z(A)), 0.5 * (1 - Z(A))]


def free_bonds(J, change=1e-5):
    """Energies of one bond of each kind of the strip without a sensor, (n, 3), from the free fermions of its sector."""

    def energy(J):
        x, y, z = (J[:, [k]] for k in range(3))
        k = np.pi * (np.arange(4) + 0.5) / 4
        real, imaginary = (x + y) * np.cos(k), abs((x - y) * np.sin(k))
        return -sum(np.hypot(real, imaginary + sign * z).sum(axis=1) for sign in (1, -1))

    return np.stack([(energy(J + change * e) - energy(J - change * e)) / (16 * change) for e in np.eye(3)], axis=1)


def mean_field(batches=300, batch=6, spread=0.05, clip=4.0):
    """A sensor from the settings of the example, whose bonds do not know of it."""
    paulis = [np.array(p) for p in ([[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]])]
    singles = [np.kron(p, np.eye(2)) for p in paulis] + [np.kron(np.eye(2), p) for p in paulis]
    own = np.array(singles + [np.kron(p, q) for p in paulis for q in paulis])
    Q, answer = np.array(singles), (np.eye(4) + singles[2]) / 2
    theta, memory = spread * np.random.default_rng([0, 3]).standard_normal(33), {}
    for step in range(batches):
        samples = qt.Simplex(NAMES, 1.0, qt.models.honeycomb_phase, 2, balanced=True)(
            np.random.default_rng([0, 0, step]), batch
        )
        bonds = free_bonds(np.stack([samples.inputs[name] for name in NAMES], axis=1))
        H = np.tensordot(theta[:15], own, 1) + np.einsum("nk,kq,qab->nab", bonds, theta[15:].reshape(3, 6), Q)
        energies, states = np.linalg.eigh(H)
        ground, above = states[:, :, 0], states[:, :, 1:]
        chance = np.einsum("na,ab,nb->n", ground.conj(), answer, ground).real
        mixing = np.einsum("na,ab,nbe->ne", ground.conj(), answer, above) / (energies[:, :1] - energies[:, 1:])
        slopes = 2 * np.einsum("ne,nbe,kba,na->nk", mixing, above.conj(), [*own, *Q], ground).real
        slopes = np.hstack([slopes[:, :15], (bonds[:, :, None] * slopes[:, None, 15:]).reshape(batch, 18)])
        slopes *= 4 * (chance - samples.targets[:, 0])[:, None]
        slopes *= np.minimum(1, clip / np.linalg.norm(slopes, axis=1))[:, None]
        theta, memory = adam(theta, slopes.mean(axis=0), RATE.at(step), memory)
    return {"sensor": theta[:15], "coupling": theta[15:]}


def asked_points():
    """What is asked -> points, (n, 3), and labels: 0 for A, 1 for B."""
    steps = round(1 / GRID)
    grid = [(i, j, steps - i - j) for i in range(steps + 1) for j in range(steps + 1 - i)]
    triangle = qt.Simplex(NAMES, 1.0, qt.models.honeycomb_phase, 2, balanced=True)
    drawn = triangle(np.random.default_rng([0, 7]), RANDOM)
    random = np.stack([drawn.inputs[name] for name in NAMES], axis=1)
    grid = np.array(grid)
    tops = np.where(2 * grid.max(axis=1) >= steps, 0, 1)  # published: what is on a boundary counts as A
    yield "published points", np.array(OF_B + OF_A), np.repeat([1, 0], 9)
    yield "published grid", grid / steps, tops
    yield "random points", random, drawn.targets.argmax(axis=1)


def row(taught, what, J, labels, trained):
    """What a sensor answers to points of one sort."""
    H, outputs = sensor()
    inputs = dict(zip(NAMES, J.T, strict=True))
    given = qt.answers(H, trained, inputs, outputs=outputs, solver=qt.NumbaDMRG(threads=1), rtol=0.03, processes=1)
    return scored(taught, what, J, labels, given)


def scored(taught, what, J, labels, given):
    """Scores with standard errors, and which points are misjudged."""
    targets = np.eye(2)[labels]
    right, single = accuracy(given, targets), single_shot_accuracy(given, targets)
    chances = (given * targets).sum(axis=1)
    wrong = given.argmax(axis=1) != labels
    distance = np.round(abs(J.max(axis=1) - 0.5), 9)
    near = {
        f"largest coupling {name}": [int((wrong & (J.argmax(axis=1) == k)).sum()), int((J.argmax(axis=1) == k).sum())]
        for k, name in enumerate(NAMES)
    }
    away = {
        f"{low} to {high} from a boundary": [int((wrong & inside).sum()), int(inside.sum())]
        for low, high in ((0, 0.05), (0.05, 0.1), (0.1, 0.2), (0.2, 0.5))
        for inside in [(distance >= low) & (distance < high + (high == 0.5))]
    }
    return {
        "taught": taught, "asked": what, "points": len(J), "accuracy": right,
        "accuracy_error": float(np.sqrt(right * (1 - right) / len(J))),
        "single_shot": single, "single_shot_error": float(chances.std() / np.sqrt(len(J))),
        "published": PUBLISHED.get(what), "misjudged": near | away,
        "J": J.round(6).tolist(), "answer_A": given[:, 0].round(6).tolist(), "label": labels.tolist(),
    }  # fmt: skip


def training_of(folder):
    """How the training went: settings, seconds, and running means over the batches, whose points are new each time."""
    history = load(folder)
    kernel = np.ones(WINDOW) / WINDOW
    batches, size = history.sizes["step"], 6
    curve = np.convolve(history["batch_accuracy"].values, kernel, "valid")
    return {
        "batches": batches, "batch": size, "window": WINDOW,
        "seconds_per_batch": {
            "median": float(np.median(history["seconds"])), "mean": float(history["seconds"].mean()),
            "most": float(history["seconds"].max()),
        },
        "left_out": int(history["left_out"].sum()), "ground_states": int(history["ground_states"][-1]),
        "checked": int(history["checked"].sum()), "lower": int(history["lower"].sum()),
        "accuracy": curve.round(4).tolist(),
        "loss": np.convolve(history["loss"].values, kernel, "valid").round(4).tolist(),
    }, {name: history[name].values[-1] for name in ("sensor", "coupling")}  # fmt: skip


def figure(training, rows):
    """Accuracy and loss over the batches; and answers over the triangle with the boundaries."""
    with plt.rc_context(STYLE):
        drawn, _ = new_figure(2.6, 1)
        drawn.clear()
        drawn.set_size_inches(7.0, 2.9)
        left, right = drawn.subplots(1, 2, width_ratios=(1.1, 1))
        steps = np.arange(len(training["accuracy"])) + training["window"] / 2
        left.plot(steps, training["accuracy"], color=VERMILION, label="accuracy")
        left.plot(steps, training["loss"], color=GREY, label="loss")
        last = next(r for r in rows if r["asked"] == "published grid")
        left.errorbar(training["batches"], last["accuracy"], last["accuracy_error"], fmt="o", color=VERMILION, ms=3.5)
        left.errorbar(
            training["batches"], last["single_shot"], last["single_shot_error"], fmt="s", color=GREEN, ms=3.5,
            label="single shot, published grid",
        )  # fmt: skip
        left.axhline(17 / 18, color="black", lw=0.6, ls="--")
        left.text(steps[0], 0.95, "published, 18 points", fontsize=7, va="bottom")
        left.set(xlabel=f"batch, means over {training['window']}", ylabel="accuracy, loss", ylim=(0, 1.05))
        left.legend(loc="lower left", bbox_to_anchor=(0.0, 0.12))
        corners = np.eye(3)
        right.plot(*plane([*corners, corners[0]]).T, color="black", lw=0.8)
        middles = (1 - corners) / 2
        right.plot(*plane([*middles, middles[0]]).T, color="black", lw=0.8)
        shown = next(r for r in rows if r["asked"] == "published grid")
        places, answer = plane(shown["J"]), np.array(shown["answer_A"])
        points = right.scatter(*places.T, c=answer, cmap="RdBu", vmin=0, vmax=1, s=15, linewidths=0, zorder=3)
        wrong = (answer < 0.5) != (np.array(shown["label"]) == 1)
        right.scatter(
            *places[wrong].T, s=34, facecolors="none", edgecolors="black", linewidths=0.8, zorder=4,
            label=f"misjudged, {wrong.sum()} of {len(wrong)}",
        )  # fmt: skip
        for name, (x, y), down in zip("xyz", plane(corners), (-0.07, -0.07, 0.05), strict=True):
            right.text(x, y + down, f"$J_{name} = 1$", ha="center", va="center")
        right.set(aspect="equal", xlim=(-0.12, 1.12), ylim=(-0.12, 0.97))
        right.set_axis_off()
        right.legend(loc="upper left", bbox_to_anchor=(-0.12, 1.02), handletextpad=0.1)
        drawn.colorbar(points, ax=right, pad=0.02, shrink=0.8).set_label("probability of answer A")
        drawn.savefig(Path(__file__).parents[1] / "docs" / "figures" / "kitaev_sensor.png", dpi=200)


def main():
    """Ask, print, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", metavar="RUN_DIR")
    parser.add_argument("--draw", action="store_true", help="from the file of results alone")
    options = parser.parse_args()
    kept = results_of("kitaev_sensor")
    rows, training, sensors = kept.get("rows", []), kept.get("training"), kept.get("sensors", {})
    if not options.draw:
        taught = "by QEP" if options.run else "in mean field"
        if options.run:
            training, trained = training_of(options.run)
            print({name: value for name, value in training.items() if name not in ("accuracy", "loss")}, flush=True)
        else:
            trained = mean_field()
        rows = [each for each in rows if each["taught"] != taught]
        sensors |= {taught: {name: value.tolist() for name, value in trained.items()}}
        with threadpool_limits(1):
            for what, J, labels in asked_points():
                rows.append(row(taught, what, J, labels, {**trained, "h": 0.0}))
                told = {n: v for n, v in rows[-1].items() if n not in ("J", "answer_A", "label")}
                print({n: f"{v:.4g}" if isinstance(v, float) else v for n, v in told.items()}, flush=True)
                write_results("kitaev_sensor", rows, training=training, sensors=sensors)
    if training is not None:
        figure(training, [each for each in rows if each["taught"] == "by QEP"])


if __name__ == "__main__":
    main()
