"""What a device is worth: `python -m benchmarks.devices PART`, training, learning or boundary.

Ising chains of 64 qubits with a field and a bond control for each site and pair, every one of them 10 % off.
training: six correlations are brought to their targets in 100 steps through the device, with 500 shots, and in as many
computed steps of the wrong model, whose controls are then transferred; the true loss of both, for five devices.
learning: hidden offsets from three settings of the controls, at several numbers of shots: typical distance from the
truth, bars, coverage.
boundary: a cluster-Ising chain with one control for each sort of term, and disorder of 10 % in every one of them; its
boundary from 2000 shots with Gaussian noise, beside the ridge of the hidden Hamiltonian and that of the wrong model,
both by free fermions. Again with every control 10 % off as a whole, which does not average out over the chain.
Prints a table, writes benchmarks/results/devices_PART.json row by row, goes on after the rows that are there, and draws
benchmarks/results/devices_PART.png.
"""

import argparse
from dataclasses import replace
from time import process_time

import numpy as np

import qep_tn as qt
from benchmarks.devices_figures import draw
from benchmarks.machine import results_of, write_results
from qep_tn import X, Z

L, DISORDER, SHOTS, STEPS, RATE, BETA = 64, 0.1, 500, 100, 0.03, 0.5
SOLVER = qt.NumbaDMRG()
BELIEVED = qt.Hamiltonian(
    qt.qubits(L), {"g_x": [-X(j) for j in range(L)], "g_zz": [-Z(j) * Z(j + 1) for j in range(L - 1)]}
)
THETA = {"g_x": np.full(L, 1.5), "g_zz": np.full(L - 1, 1.0)}
CORRELATIONS = [*(Z(j) * Z(j + 3) for j in (8, 24, 40)), *(X(j) * X(j + 2) for j in (16, 32, 48))]
LOSS = qt.MeanSquaredError(CORRELATIONS, np.full(6, 0.5))
CHANGES = (0.0, 0.5, -0.4)  # of all fields, in the settings that offsets are learned from
SHOTS_TO_LEARN = (1000, 10_000, 100_000)
SHOTS_TO_TRACE = 2000
STARTS = (1.8, 1.5, 2.1, 1.2, 2.4)  # fields, one after the other until there is a boundary near
HIDDEN = "disorder", "disorder and scales"


def device_of(seed, shots=SHOTS):
    """A device, and what it hides."""
    rng = np.random.default_rng([seed, 64])
    hidden = {name: DISORDER * value * rng.standard_normal(len(value)) for name, value in THETA.items()}
    return qt.SimulatedDevice(BELIEVED, hidden, solver=SOLVER, shots=shots, seed=seed), hidden


def walked(H, **how):
    """Controls before each step."""
    walk = qt.explore_phases(
        H, THETA, LOSS, direction="minimize", optimizer="adam", rate=RATE, steps=STEPS, progress=False, **how
    )
    return [{name: walk.history[name].values[n] for name in THETA} for n in range(walk.history.sizes["step"])]


def true_losses(device, controls):
    """Of every tenth step and the last one."""
    losses = []
    for n in range(0, STEPS + 1, 10):
        H, couplings = device.truth(controls[min(n, len(controls) - 1)])
        losses.append(LOSS.value(SOLVER.ground_state(H, couplings).expectation(LOSS.observables)))
    return losses


def training(seeds):
    """Rows of the first part; the wrong model is the same for all devices."""
    transferred = walked(BELIEVED, solver=SOLVER)
    rows = results_of("devices_training").get("rows", [])
    for seed in range(len(rows), seeds):
        device, _ = device_of(seed)
        began = process_time()
        through = walked(device, beta=BETA)
        seconds = process_time() - began
        rows.append(
            {
                "seed": seed, "through_device": true_losses(device, through), "seconds": seconds,
                "transferred": true_losses(device, transferred), "measurements": device.measured,
            }
        )  # fmt: skip
        row = rows[-1]
        print(
            f"device {seed}: loss {row['through_device'][0]:.4f}, after {STEPS} steps through it "
            f"{row['through_device'][-1]:.4f}, transferred {row['transferred'][-1]:.4f}, {seconds:.0f} s", flush=True,
        )  # fmt: skip
        write_results(
            "devices_training", rows, length=L, disorder=DISORDER, shots=SHOTS, steps=STEPS, rate=RATE, beta=BETA
        )
    of_training(rows)
    draw("training", rows)


def of_training(rows):
    """Say the losses at the end, and by what factor they are lower through the device, with geometric means."""
    through, transferred = (np.array([row[k][-1] for row in rows]) for k in ("through_device", "transferred"))
    factor, error = mean_and_error(np.log(transferred / through))
    print(
        f"{len(rows)} devices: median loss {np.median(through):.4f} through the device, {np.median(transferred):.4f} "
        f"transferred; lower in {np.sum(through < transferred)}, by a factor of {np.exp(factor):.1f} "
        f"({np.exp(factor - error):.1f} to {np.exp(factor + error):.1f})"
    )


def learned_by(seed, shots):
    """One row of the second part."""
    nothing = {name: 0 * value for name, value in THETA.items()}
    device, hidden = device_of(seed, shots)
    settings = [{**THETA, "g_x": THETA["g_x"] + change} for change in CHANGES]
    data = [qt.Measurements.on(device, s, BELIEVED.couplings, offsets=True) for s in settings]
    began = process_time()
    learned = qt.learn_hamiltonian(BELIEVED, nothing, data, solver=qt.FreeFermion())
    distance = BELIEVED.flatten(learned.theta) - BELIEVED.flatten(hidden)
    bars = np.concatenate([learned.error[name] for name in hidden])
    return {
        "shots": shots, "seed": seed, "distance": float(np.sqrt(np.mean(distance**2))),
        "standard_error": float(np.sqrt(np.mean(bars**2)) / 1.96),
        "within_bars": float(np.mean(np.abs(distance) <= bars)), "chi_square": learned.chi_square,
        "degrees": learned.degrees, "unidentified": len(learned.unidentified),
        "converged": learned.converged, "seconds": process_time() - began,
    }  # fmt: skip


def learning(seeds):
    """Rows of the second part: all numbers of shots of one device after the other."""
    rows = results_of("devices_learning").get("rows", [])
    done = {(row["seed"], row["shots"]) for row in rows}
    for seed, shots in ((seed, shots) for seed in range(seeds) for shots in SHOTS_TO_LEARN):
        if (seed, shots) in done:
            continue
        rows.append(learned_by(seed, shots))
        row = rows[-1]
        print(
            f"{shots:7} shots, device {seed}: distance {row['distance']:.4f}, standard error "
            f"{row['standard_error']:.4f}, within bars {row['within_bars']:.3f}, chi-square "
            f"{row['chi_square']:.0f} for {row['degrees']}, {row['seconds']:.0f} s", flush=True,
        )  # fmt: skip
        write_results("devices_learning", rows, length=L, disorder=DISORDER, changes=list(CHANGES))
    of_learning(rows)
    draw("learning", rows)


def mean_and_error(values):
    """Of independent devices."""
    return np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan


def slopes(rows):
    """Of the distance against shots, both as logarithms: the fit of each device."""
    found = []
    for seed in sorted({row["seed"] for row in rows}):
        own = [row for row in rows if row["seed"] == seed]
        found.append(np.polyfit(np.log([r["shots"] for r in own]), np.log([r["distance"] for r in own]), 1)[0])
    return found


def of_learning(rows):
    """Say the coverage and the slope. Offsets of one device are correlated: errors are those of its mean."""
    for shots in SHOTS_TO_LEARN:
        own = [row for row in rows if row["shots"] == shots]
        cover, distance, chi = (mean_and_error([r[k] for r in own]) for k in ("within_bars", "distance", "chi_square"))
        print(
            f"{shots:7} shots, {len(own)} devices of {2 * L - 1} offsets: within bars {cover[0]:.3f} +- "
            f"{cover[1]:.3f}, distance {distance[0]:.4f} +- {distance[1]:.4f}, chi-square {chi[0]:.0f} +- "
            f"{chi[1]:.0f} for {own[0]['degrees']}"
        )
    print("all: within bars {:.3f} +- {:.3f}".format(*mean_and_error(
        [np.mean([r["within_bars"] for r in rows if r["seed"] == seed]) for seed in {r["seed"] for r in rows}]
    )))  # fmt: skip
    print("slope {:.3f} +- {:.3f}".format(*mean_and_error(slopes(rows))))


def ridge(H, theta, name, near, width):
    """Where the response of a parameter's own operator is largest, by free fermions."""
    line = np.arange(near - 2 * width, near + 2 * width, 0.02 * width)
    own = [qt.FreeFermion().ground_state(H, {**theta, name: x}).expectation(H.parameters[name]) for x in line]
    return float(line[2:-2][np.abs(np.gradient(own, line))[2:-2].argmax()])


def traced(seed, hides):
    """Rows of one device in the third part, one for each point of its boundary. hides: one of HIDDEN."""
    theta = {"g_x": 1.5, "g_zz": 0.8, "g_zxz": 1.0}
    believed = qt.models.cluster_ising(L)
    scales = 1 + DISORDER * np.random.default_rng([seed, 3]).standard_normal(3) * (hides == HIDDEN[1])
    hidden = replace(
        qt.Hidden.disorder(believed, DISORDER, seed), scale=dict(zip(believed.parameters, scales, strict=True))
    )
    device = qt.SimulatedDevice(
        believed, hidden, solver=qt.FreeFermion(),
        shots=qt.Shots(SHOTS_TO_TRACE, "gaussian"), seed=seed,
    )  # fmt: skip
    for field in STARTS:
        found = qt.trace_boundary(
            device, theta, ("g_x", "g_zz"), {"g_x": (0.9, 3.0), "g_zz": (0.4, 1.6)},
            start={"g_x": field, "g_zz": 0.85}, step=1 / 8, points=10, progress=False,
        )  # fmt: skip
        if found.history["points"].sum() > 0:
            break
    for curve in range(found.history.sizes["curve"]):
        table = found.history.isel(curve=curve)
        for n in range(int(table["points"])):
            name, other = (("g_x", "g_zz"), ("g_zz", "g_x"))[int(table["across"].values[n])]
            place, fixed, error, width = (float(table[k].values[n]) for k in (name, other, f"{name}_error", "width"))
            at = {**theta, other: fixed}
            factor = dict(zip(believed.parameters, scales, strict=True))
            true, there = device.truth(at)
            ridges = [
                ridge(true, there, name, place * factor[name], width * factor[name]) / factor[name],
                ridge(believed, at, name, place, width),
            ]
            yield {
                "seed": seed, "hides": hides, "across": name, "place": place, "fixed": fixed, "error": error,
                "width": width, "true": ridges[0], "wrong_model": ridges[1],
            }  # fmt: skip


def boundary(seeds):
    """Rows of the third part."""
    rows = results_of("devices_boundary").get("rows", [])
    done = {(row["seed"], row["hides"]) for row in rows}
    for hides, seed in ((hides, seed) for hides in HIDDEN for seed in range(seeds)):
        if (seed, hides) in done:
            continue
        began = process_time()
        rows += traced(seed, hides)
        print(f"device {seed}, {hides}: {process_time() - began:.0f} s", flush=True)
        write_results("devices_boundary", rows, length=L, disorder=DISORDER, shots=SHOTS_TO_TRACE)
    of_boundary(rows)
    draw("boundary", rows)


def of_boundary(rows):
    """Say how many points are within their bars of the true ridge, and how many of the wrong model's would be."""
    for hides in HIDDEN:
        own = [row for row in rows if row["hides"] == hides]
        seeds, error = np.array([row["seed"] for row in own]), np.array([row["error"] for row in own])
        for name, place in (("traced", "place"), ("wrong model", "wrong_model")):
            off = np.array([abs(row[place] - row["true"]) for row in own])
            share = mean_and_error([(off <= error)[seeds == seed].mean() for seed in set(seeds)])
            print(
                f"{hides}, {name}: of {len(own)} points {np.mean(off <= error):.3f} within the bars of the trace (mean "
                f"of {len(set(seeds))} devices {share[0]:.3f} +- {share[1]:.3f}); median distance from the true ridge "
                f"{np.median(off):.4f}, median bar {np.median(error):.4f}"
            )


def main() -> None:
    """The parts by name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("training", "learning", "boundary"))
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    {"training": training, "learning": learning, "boundary": boundary}[given.part](given.seeds)


if __name__ == "__main__":
    main()
