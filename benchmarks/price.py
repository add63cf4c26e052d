"""What accuracy costs, and whether it is what was asked for: `python -m benchmarks.price`.

Gradients by NumbaDMRG at rtol = 1e-2, 1e-3 and 1e-4. First of 40 random cluster-Ising chains of 94 to 144 sites in
all phases and at criticality, couplings varied by 5 or 30 %, against free fermions: the error in units of rtol, how
many components lie within their bars, and how wide bars are among components larger than a millionth of the largest.
Then of a sensor: 64 cluster-Ising sites, two qubits in the middle coupled to the four nearest sites by all Pauli pairs,
87 couplings, at random points of the triangle g_x + g_zz + g_zxz = 4; cold, and from the nearest of 20 other points,
against the gradient at a hundredth of the rtol. Times are CPU seconds of one thread. Writes
benchmarks/results/price.json. About 10 minutes on one core.
"""

import argparse
from itertools import pairwise
from time import process_time

import numpy as np
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.machine import write_results
from qep_tn import X, Y, Z

NAMES = ("g_x", "g_zz", "g_zxz")
PHASES = {
    "paramagnet": (2.5, 1.0, 0.5), "ferromagnet": (1.0, 2.8, 0.2), "cluster": (0.5, 1.0, 2.5),
    "near-critical": (1.0, 0.5, 1.2), "critical": (1.0, 1.0, 0.0), "critical, three-site": (1.0, 1.0, 0.1),
}  # fmt: skip
RTOLS = (1e-2, 1e-3, 1e-4)
FAINT = 1e-6  # of the largest component
PAULIS = {"X": X, "Y": Y, "Z": Z}


def random_chain(seed):
    """(label, Hamiltonian, theta, loss)."""
    rng = np.random.default_rng(seed)
    label = list(PHASES)[seed % len(PHASES)]
    disorder = (0.05, 0.3)[seed // len(PHASES) % 2]
    length = int(rng.integers(94, 145))
    H = qt.models.cluster_ising(length, local=True)
    theta = {
        name: scale * rng.uniform(1 - disorder, 1 + disorder, len(H.parameters[name]))
        for name, scale in zip(NAMES, PHASES[label], strict=True)
    }
    left = length // 2 + int(rng.integers(-5, 5))
    loss = qt.Expectation(X(left) * X(left + int(rng.integers(2, 7))))
    return f"{label}, {disorder:.0%}, L = {length}", H, theta, loss


def chains(first, number):
    """A row for every chain and rtol."""
    rows = []
    for seed in range(first, first + number):
        label, H, theta, loss = random_chain(seed)
        exact = H.flatten(qt.gradient(H, theta, loss, solver=qt.FreeFermion()).gradient)
        for rtol in RTOLS:
            begin = process_time()
            g = qt.gradient(H, theta, loss, solver=qt.NumbaDMRG(threads=1), rtol=rtol)
            seconds = process_time() - begin
            error, bars = np.abs(H.flatten(g.gradient) - exact), H.flatten(g.error)
            told = np.abs(exact) > FAINT * np.abs(exact).max()
            norm = np.linalg.norm(exact)
            rows.append({
                "chain": label, "seed": seed, "rtol": rtol, "seconds": seconds,
                "error_over_rtol": float(np.linalg.norm(error) / norm / rtol),
                "claim_over_rtol": g.relative_error / rtol,
                "coverage": float(np.mean(error[told] <= bars[told])),
                "median_bar_over_median_error": float(np.median(bars[told]) / np.median(error[told])),
                "converged": g.converged, "trustworthy": g.trustworthy, "bond": max(g.free.bond_dimensions),
            })  # fmt: skip
    return rows


def sensor(sites, coupling, seed):
    """A cluster-Ising chain with two qubits in its middle: (Hamiltonian, its fixed theta, loss)."""
    rng = np.random.default_rng(seed)
    half = sites // 2
    place = [j if j < half else j + 2 for j in range(sites)]
    A, B = half, half + 1
    near = place[half - 2 : half + 2]
    parameters = {
        "g_x": -sum(X(j) for j in place),
        "g_zz": -sum(Z(a) * Z(b) for a, b in pairwise(place)),
        "g_zxz": -sum(Z(a) * X(b) * Z(c) for a, b, c in zip(place, place[1:], place[2:], strict=False)),
        "coupling": [PAULIS[a](s) * PAULIS[b](j) for s in (A, B) for j in near for a in PAULIS for b in PAULIS],
        "sensor": [
            *(PAULIS[a](s) for s in (A, B) for a in PAULIS),
            *(PAULIS[a](A) * PAULIS[b](B) for a in "XYZ" for b in "XY"),
        ],
    }
    H = qt.Hamiltonian(qt.qubits(sites + 2), parameters)
    fixed = {name: rng.normal(0, coupling, len(parameters[name])) for name in ("coupling", "sensor")}
    return H, fixed, qt.Expectation(0.25 * (1 - Z(A)) * (1 - Z(B)))


def sensors(number, seed=0):
    """A row for every point of the triangle."""
    H, fixed, loss = sensor(64, 0.1, seed)
    rng = np.random.default_rng(seed + 1)
    points = 4 * rng.dirichlet(np.ones(3), 20 + number)
    solver = qt.NumbaDMRG(threads=1)

    def taken(point, rtol, start=None):
        begin = process_time()
        g = qt.gradient(
            H, {**dict(zip(NAMES, point, strict=True)), **fixed}, loss, solver=solver, rtol=rtol, start=start
        )
        return g, process_time() - begin

    known = [taken(point, 1e-2)[0].free for point in points[:20]]
    rows = []
    for point in points[20:]:
        cold, seconds = taken(point, 1e-2)
        nearest = known[int(np.argmin(np.linalg.norm(points[:20] - point, axis=1)))]
        warm, warm_seconds = taken(point, 1e-2, nearest)
        reference = H.flatten(taken(point, 1e-4)[0].gradient)
        norm = np.linalg.norm(reference)
        rows.append({
            "point": point.tolist(), "seconds": seconds, "warm_seconds": warm_seconds,
            "error": float(np.linalg.norm(H.flatten(cold.gradient) - reference) / norm),
            "warm_error": float(np.linalg.norm(H.flatten(warm.gradient) - reference) / norm),
            "claim": cold.relative_error, "trustworthy": cold.trustworthy, "warm_trustworthy": warm.trustworthy,
            "bond": max(cold.free.bond_dimensions),
        })  # fmt: skip
    return rows


def table(rows):
    """By rtol."""
    lines = ["rtol   within rtol/30..rtol  above, converged  claim/rtol  coverage (median, least)  bar/error  CPU s"]
    for rtol in RTOLS:
        mine = [row for row in rows if row["rtol"] == rtol]
        error = np.array([row["error_over_rtol"] for row in mine])
        coverage = [row["coverage"] for row in mine]
        above = sum(e > 1 and row["converged"] for e, row in zip(error, mine, strict=True))
        lines.append(
            f"{rtol:.0e} {np.mean((error <= 1) & (error >= 1 / 30)):22.0%} {above:17d} "
            f"{np.median([row['claim_over_rtol'] for row in mine]):11.2f} "
            f"{np.median(coverage):14.1%} {min(coverage):8.1%} "
            f"{np.median([row['median_bar_over_median_error'] for row in mine]):10.1f} "
            f"{np.median([row['seconds'] for row in mine]):6.2f}"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=4000, help="seed of the first chain")
    parser.add_argument("--chains", type=int, default=40)
    parser.add_argument("--sensors", type=int, default=20)
    chosen = parser.parse_args()
    with threadpool_limits(1):
        qt.gradient(*random_chain(0)[1:], solver=qt.NumbaDMRG(threads=1), rtol=1e-2)  # compiles
        rows = chains(chosen.first, chosen.chains)
        print(table(rows), flush=True)
        measured = sensors(chosen.sensors)
    seconds, warm = ([row[name] for row in measured] for name in ("seconds", "warm_seconds"))
    errors = [row["error"] for row in measured] + [row["warm_error"] for row in measured]
    print(
        f"sensor, rtol = 1e-2: cold {np.median(seconds):.2f} s, at most {max(seconds):.2f} s; warm "
        f"{np.median(warm):.2f} s; largest error {max(errors):.1e}; "
        f"{np.mean([row['trustworthy'] and row['warm_trustworthy'] for row in measured]):.0%} trustworthy"
    )
    write_results("price", rows, sensors=measured)


if __name__ == "__main__":
    main()
