"""The published table of the supervised phase sensor, and what a batch costs: `python -m benchmarks.phase_sensor`.

A ring of eight cluster-Ising sites and two sensor qubits, 5000 batches of 10, rate 0.01, from N(0, 1), 200 test points,
means of the last five tests: with nudge 0.4 and 10 Gaussian shots as published (arXiv:2406.06482), and with exact
expectation values and beta "auto". `--seeds`, `--steps` and `--rows` choose less of it. Rows go into
benchmarks/results/phase_sensor.json one by one, and rows that are there are not taken again.
A row of ten seeds takes hours on two cores.

`--transfer` trains on 16 sites and on 64, and asks each sensor about both chains.
"""

import argparse
from time import perf_counter

import numpy as np

import qep_tn as qt
from benchmarks.machine import results_of, write_results
from qep_tn import Z

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


def transfer(steps):
    """Sensors trained at two lengths, each asked about both."""
    chains = {L: sensor(L, "XYZ", (L // 2 - 1, L // 2), periodic=False) for L in (16, 64)}
    test = triangle()(np.random.default_rng(99), 200)
    solver, found = qt.NumbaDMRG(threads=1), []
    for L, (H, outputs) in chains.items():
        rng = np.random.default_rng(1)
        theta = {name: rng.normal(0, 0.5, len(H.parameters[name])) for name in ("sensor", "coupling")}
        began = perf_counter()
        result = qt.train(
            H, theta, triangle(), outputs=outputs, steps=steps, batch=10, rate=qt.Decay(0.03, 0.005, steps),
            penalty=qt.SoftBound("coupling", 0.1, 0.02), solver=solver,
        )  # fmt: skip
        seconds = perf_counter() - began
        trained = {name: result.theta[name] for name in ("sensor", "coupling")}
        asked = {}
        for other, (there, outputs_there) in chains.items():
            given = qt.answers(there, trained, test.inputs, outputs=outputs_there, solver=solver)
            asked[other] = float(np.mean(given.argmax(axis=1) == test.targets.argmax(axis=1)))
        found.append({
            "trained_at": L, "accuracy_at": asked, "steps": steps, "seconds": seconds,
            "seconds_per_batch": float(np.median(result.history["seconds"].values[min(100, steps // 2):])),
        })  # fmt: skip
        print(found[-1], flush=True)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--rows", nargs="*", default=list(ROWS))
    parser.add_argument("--modes", nargs="*", default=list(MODES))
    parser.add_argument("--transfer", type=int, metavar="STEPS")
    chosen = parser.parse_args()
    kept = results_of("phase_sensor")
    rows, transfers = kept.get("rows", []), kept.get("transfer", [])
    if chosen.transfer:
        transfers = transfer(chosen.transfer)
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
