"""What Kitaev strips cost, and the published walk through their phases: `python -m benchmarks.kitaev [part ...]`.

`costs`: two rows of a honeycomb lattice in a field, H = -sum J_a s^a s^a - h sum (X + Y + Z), X X and Y Y in turn along
the rows and Z Z on the rungs, sites column by column: seconds of processor time for the ground state at bond 64 and for
the gradient from it, rtol 1e-2.
`walks`: the phase exploration of Wanjura and Marquardt, Nat. Commun. 16 (2025), on 8 x 2 periodic, h = 0.1: from their
starts, J_z = 1 - J_x - J_y, 40 steps of 0.01 along the gradient of |flux| by J_x and J_y; once by `qt.explore_phases`
with the exact response, once by their rule, one nudge of 0.01 to one side, in SciPy alone. `--starts` says how many.
`long`: the walk of examples/kitaev_50x2.toml, along the projected gradient, 10 steps of 0.03 on 50 x 2 qubits.
`figure`: all walks over the flux of 8 x 2, docs/figures/kitaev.png.
Prints rows as they come, and puts those of the parts that ran into benchmarks/results/kitaev.json.
"""

import argparse
from functools import partial, reduce
from pathlib import Path
from time import process_time

import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse
from scipy.sparse.linalg import eigsh
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.machine import results_of, write_results
from qep_tn import X, Y, Z
from qep_tn.figures.style import BLUE, GREEN, GREY, STYLE, VERMILION, new_figure

COLUMNS, FIELD, BOND = (8, 50), 0.1, 64
STEPS, RATE, NUDGE = 40, 0.01, 0.01
EXACT = qt.ExactDiagonalization()


def _from_plane(x, y):
    """(J_x, J_y) of a point of the triangle in the plane, as the published notebook has it."""
    J_z = 2 / np.sqrt(3) * y
    return 1 - J_z - (x - J_z / 2), x - J_z / 2


# (J_x, J_y), in an order of ours: the first three come from three sides of the triangle
STARTS = [
    (1 / 6, 1 / 6), (0.15, 0.3), _from_plane(0.65, 0.4), (2 / 3, 1 / 6), (0.4, 0.6 - 0.36 / np.sqrt(3)),
    (0.3, 0.7 - 0.36 / np.sqrt(3)), _from_plane(0.75, 0.4), _from_plane(0.35, 0.55), _from_plane(0.35, 0.45),
]  # fmt: skip


def strip(columns):
    """The strip, every bond and field a coupling, and theta."""
    along = [(2 * c + row, (X, Y)[(c + row) % 2]) for c in range(columns - 1) for row in range(2)]
    legs = [-s(j) * s(j + 2) for j, s in along]
    rungs = [-Z(2 * c) * Z(2 * c + 1) for c in range(columns)]
    fields = [-(X(j) + Y(j) + Z(j)) for j in range(2 * columns)]
    H = qt.Hamiltonian(qt.qubits(2 * columns), {"legs": legs, "rungs": rungs, "h": fields})
    return H, {"legs": np.ones(len(legs)), "rungs": np.ones(columns), "h": np.full(2 * columns, FIELD)}


def measured(columns, max_bond):
    """One row of the table."""
    H, theta = strip(columns)
    solver = qt.NumbaDMRG(max_bond=max_bond, threads=1)
    middle = 2 * (columns // 2)
    begin = process_time()
    state = solver.ground_state(H, theta)
    ground = process_time() - begin
    g = qt.gradient(H, theta, qt.Expectation(Z(middle) * Z(middle + 1)), solver=solver, rtol=1e-2, start=state)
    return {
        "columns": columns, "ground_seconds": ground, "gradient_seconds": process_time() - begin - ground,
        "energy": state.energy, "sweeps": state.sweeps, "bond": max(state.bond_dimensions),
        "converged": state.converged, "relative_error": g.relative_error, "trustworthy": g.trustworthy,
    }  # fmt: skip


def walk(start):
    """J_x, J_y and the flux at every step, (steps + 1, 3), by this package."""
    ladder, flux = qt.models.kitaev_ladder(8, periodic=True), qt.models.kitaev_fluxes(8, periodic=True)[1]
    P = ladder.parameters
    fixed = P["J_z"] + FIELD * P["h"]
    H = qt.Hamiltonian(ladder.sites, {"J_x": P["J_x"] - P["J_z"], "J_y": P["J_y"] - P["J_z"]}, fixed)
    taken = qt.explore_phases(
        H, dict(zip(("J_x", "J_y"), start, strict=True)), qt.Magnitude(flux), steps=STEPS, rate=RATE, solver=EXACT,
        scheme="linear-response", progress=False,
    )  # fmt: skip
    return np.stack([taken.history[name].values for name in ("J_x", "J_y", "loss")], axis=1) * [1, 1, -1], taken.message


def published_terms():
    """X X, Y Y, Z Z, field and flux on the published sites, jx + 8 jy, by Kronecker products."""
    paulis = {"X": [[0, 1], [1, 0]], "Y": [[0, -1j], [1j, 0]], "Z": [[1, 0], [0, -1]]}

    def product(**letters):  # sites by letter: X=(0, 1)
        at = {site: paulis[letter] for letter, sites in letters.items() for site in sites}
        matrices = (sparse.csr_array(at.get(site, np.eye(2))) for site in range(16))
        return reduce(partial(sparse.kron, format="csr"), matrices)  # its own choice of format keeps zeros

    even = [(c, row) for c in range(8) for row in range(2) if (c + row) % 2 == 0]
    odd = [(c, row) for c in range(8) for row in range(2) if (c + row) % 2]
    x = sum(product(X=(c + 8 * row, (c + 1) % 8 + 8 * row)) for c, row in even)
    y = sum(product(Y=(c + 8 * row, (c + 1) % 8 + 8 * row)) for c, row in odd)
    z = sum(product(Z=(c, c + 8)) for c in range(8))
    field = sum(product(**{letter: (site,)}) for site in range(16) for letter in "XYZ")
    return x, y, z, field, product(X=(1, 11), Y=(9, 3), Z=(10, 2))


def published_walk(start):
    """The same by the published rule: both gradients from states at nudges 0 and 0.01, normalized."""
    x, y, z, field, flux = published_terms()
    slopes, J, rows, vector = (x - z, y - z), np.array(start), [], None

    def ground(nudge, guess):
        H = J[0] * slopes[0] + J[1] * slopes[1] + z + FIELD * field + nudge * flux
        return eigsh(H, k=1, which="SA", v0=guess)[1][:, 0]

    def mean(operator, state):
        return float(np.vdot(state, operator @ state).real)

    for _ in range(STEPS + 1):
        vector = ground(0.0, vector)
        rows.append((*J, abs(mean(flux, vector))))
        nudged = ground(NUDGE, vector)
        slope = np.sign(mean(flux, vector)) * np.array([mean(s, nudged) - mean(s, vector) for s in slopes])
        J = J + RATE * slope / np.linalg.norm(slope)
    return np.array(rows)


def walks(count):
    """Rows of the walks, ours and by the published rule, and how far they are from one another."""
    for number, start in enumerate(STARTS[:count]):
        begin = process_time()
        ours, message = walk(start)
        middle = process_time()
        rule = published_walk(start)
        steps = min(len(ours), len(rule))
        apart = np.linalg.norm(ours[:steps, :2] - rule[:steps, :2], axis=1)
        best = int(rule[:, 2].argmax())
        yield {
            "part": "walks", "start": number, "ours": ours.round(6).tolist(), "rule": rule.round(6).tolist(),
            "message": message, "largest_distance": float(apart.max()),
            "largest_distance_on_the_way_up": float(apart[: best + 1].max()), "steps_up": best,
            "flux": float(ours[:, 2].max()), "flux_by_rule": float(rule[:, 2].max()),
            "seconds": middle - begin, "seconds_by_rule": process_time() - middle,
        }  # fmt: skip


def long_walk(rungs=50, steps=10):
    """The row of the walk on a long open strip."""
    H, flux = qt.models.kitaev_ladder(rungs), qt.models.kitaev_fluxes(rungs)[rungs // 2 - 1]
    begin = process_time()
    taken = qt.explore_phases(
        H, {"J_x": 0.17, "J_y": 0.2, "J_z": 0.63, "h": FIELD}, qt.Magnitude(flux), train=["J_x", "J_y", "J_z"],
        constraints=["J_x + J_y + J_z = 1"], steps=steps, rate=0.03, solver=qt.NumbaDMRG(threads=1), progress=False,
    )  # fmt: skip
    walked = np.stack([taken.history[name].values for name in ("J_x", "J_y", "loss")], axis=1) * [1, 1, -1]
    return {
        "part": "long", "rungs": rungs, "ours": walked.round(6).tolist(), "message": taken.message,
        "flux": float(walked[:, 2].max()), "seconds": process_time() - begin,
    }  # fmt: skip


def flux_over_triangle(parts=9, edge=0.04):
    """The flux at h = 0.1 inside of the triangle, (points, 4): J_x, J_y, J_z, flux."""
    H, flux = qt.models.kitaev_ladder(8, periodic=True), qt.models.kitaev_fluxes(8, periodic=True)[1]
    corners = [(i, j, parts - i - j) for i in range(parts + 1) for j in range(parts + 1 - i)]
    points, state = [], None
    for J in edge + (1 - 3 * edge) * np.array(corners) / parts:
        theta = {**dict(zip(("J_x", "J_y", "J_z"), J, strict=True)), "h": FIELD}
        state = EXACT.ground_state(H, theta, start=state)
        points.append([*J, float(state.expectation([flux])[0])])
    return np.array(points).round(6).tolist()


def plane(J):
    """Points of the triangle in the plane, J_z on top, (n, 2)."""
    J = np.asarray(J)
    return np.stack([J[:, 1] + J[:, 2] / 2, np.sqrt(3) / 2 * J[:, 2]], axis=1)


def figure(rows, background):
    """The walks over the flux, with the honeycomb lattice's boundaries."""
    with plt.rc_context(STYLE):
        drawn, (ax,) = new_figure(3.0, 1)
        field = np.array(background)
        image = ax.tricontourf(*plane(field[:, :3]).T, np.abs(field[:, 3]), levels=np.linspace(0, 1, 21), cmap="Greys")
        corners = np.eye(3)
        ax.plot(*plane([*corners, corners[0]]).T, color="black", lw=0.8)
        middles = (1 - corners) / 2
        ax.plot(*plane([*middles, middles[0]]).T, color=GREY, lw=0.8, ls="--")
        for row in rows:
            for name, color, style in (("rule", VERMILION, "-"), ("ours", BLUE, ":")):
                if name in row:
                    J = np.array(row[name])
                    places = plane(np.column_stack([J[:, :2], 1 - J[:, 0] - J[:, 1]]))
                    long = row["part"] == "long"
                    ax.plot(*places.T, color=GREEN if long else color, ls="-" if long else style, lw=1.4)
            ax.plot(*places[0], "o", color=GREEN if long else BLUE, ms=3)
        ax.plot([], [], color=VERMILION, label="published rule")
        ax.plot([], [], color=BLUE, ls=":", label="ours")
        ax.plot([], [], color=GREEN, label="50 x 2")
        for name, (x, y), down in zip("xyz", plane(corners), (-0.06, -0.06, 0.03), strict=True):
            ax.text(x, y + down, f"$J_{name} = 1$", ha="center", va="center")
        ax.set(aspect="equal", xlim=(-0.1, 1.1), ylim=(-0.1, 1.05))
        ax.set_axis_off()
        ax.legend(loc="upper left", bbox_to_anchor=(-0.12, 1.06))
        bar = drawn.colorbar(image, ax=ax, pad=0.02, shrink=0.8)
        bar.set_label("flux of a hexagon")
        drawn.savefig(Path(__file__).parents[1] / "docs" / "figures" / "kitaev.png", dpi=200)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "parts", nargs="*", default=["costs", "walks", "long", "figure"], help="costs, walks, long, figure"
    )
    parser.add_argument("--starts", type=int, default=len(STARTS), help="how many of the nine walks")
    options = parser.parse_args()
    kept = results_of("kitaev")
    rows, background = kept.get("rows", []), kept.get("flux", [])
    with threadpool_limits(1):
        if "costs" in options.parts:
            measured(3, 8)  # compiles
            rows = [row for row in rows if "columns" not in row]
            for columns in COLUMNS:
                rows.append(measured(columns, BOND))
                print({name: f"{v:.4g}" if isinstance(v, float) else v for name, v in rows[-1].items()}, flush=True)
        if "walks" in options.parts:
            rows = [row for row in rows if row.get("part") != "walks"]
            for row in walks(options.starts):
                rows.append(row)
                print({name: v for name, v in row.items() if name not in ("ours", "rule")}, flush=True)
                write_results("kitaev", rows, field=FIELD, max_bond=BOND, flux=background)
        if "long" in options.parts:
            rows = [row for row in rows if row.get("part") != "long"] + [long_walk()]
            print({name: v for name, v in rows[-1].items() if name != "ours"}, flush=True)
        if "figure" in options.parts:
            background = background or flux_over_triangle()
            figure([row for row in rows if "part" in row], background)
    write_results("kitaev", rows, field=FIELD, max_bond=BOND, flux=background)


if __name__ == "__main__":
    main()
