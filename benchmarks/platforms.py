"""Models of platforms beside published numbers: `python -m benchmarks.platforms [part ...]`.

Parts: `ions` (critical fields of the long-range Ising chain; `calibration`: of the one of neighbours, which is exact),
`rydberg` (where Z2 order begins, from soft atoms to an infinite blockade), `kitaev` (levels, flux and sectors of the
published 8 x 2 strip), `bosons` (the Mott insulator's energy against its series), `dimers` (Majumdar and Ghosh at L =
128). Prints rows as they come, and puts the rows of the parts that ran into benchmarks/results/platforms.json.
"""

import argparse
import warnings
from time import process_time

import numpy as np
from scipy.optimize import minimize_scalar
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.machine import results_of, write_results
from qep_tn import Number, Sz
from qep_tn.models import kitaev_fluxes

SOLVER = qt.NumbaDMRG(threads=1)
EXACT = qt.ExactDiagonalization()

# alpha -> critical h of -sum r^-alpha X X - h sum Z, as used in published work at N = 128
CRITICAL_FIELDS = {6.0: 1.01, 3.0: 1.3822, 2.0: 2.3285}
ION_LENGTHS, ATOM_LENGTHS = (32, 64, 128), (27, 51, 101)
PXP = 0.655  # Delta/Omega of the Ising transition with an infinite blockade (Fendley, Sengupta and Sachdev 2004)
# Wanjura and Marquardt (2025), Kitaev_2x8_phaseExploration.ipynb: levels at J = 1, h = 0; and the flux at h = 0.1,
# (J_x, J_y, J_z) -> flux, from phase_diagram_magnetic_field_0p1.csv
PUBLISHED_LEVELS = (-13.44113247, -13.40033919, -12.79293178)
PUBLISHED_FLUX = {
    (0.1, 0.2, 0.7): 8.796755817853858794e-02, (0.15, 0.15, 0.7): 1.942833283103336528e-01,
    (0.2, 0.2, 0.6): 8.762269856540956248e-01, (0.25, 0.25, 0.5): 9.299675755069638505e-01,
    (0.3, 0.3, 0.4): 9.329340161800587783e-01, (0.4, 0.4, 0.2): 6.678503538483500090e-01,
    (0.25, 0.6, 0.15): 3.507305561009933098e-02,
}  # fmt: skip
FIELDS = ("J_x", "J_y", "J_z")


def steepest(H, theta, name, observable, within, tolerance=1e-3, solver=SOLVER):
    """Where |d<observable>/d(parameter)| is largest within two values of it, and the number of gradients."""
    count, start = 0, None

    def minus_response(value):
        nonlocal count, start
        at = {**theta, name: value}
        g = qt.gradient(H, at, qt.Expectation(observable), solver=solver, rtol=1e-3, start=start)
        count, start = count + 1, g.free
        return -abs(g.gradient[name])

    found = minimize_scalar(minus_response, bounds=within, method="bounded", options={"xatol": tolerance})
    return float(found.x), count


def ions():
    """Critical fields by the steepest magnetisation, -d^2 E / dh^2, and their limits."""
    for alpha, published in CRITICAL_FIELDS.items():
        begin, ridges = process_time(), []
        for L in ION_LENGTHS:
            H = qt.models.ion_chain(L, alpha)
            observable = H.parameters["B"]
            centre = ridges[-1] if ridges else 0.9 * published
            reach = 0.25 * published * 32 / L
            h, _ = steepest(H, {"J": -1.0}, "B", observable, (-centre - reach, -centre + reach))
            ridges.append(-h)
        limit, error = qt.extrapolate(ION_LENGTHS, ridges, np.full(3, 1e-3), 1.0)
        yield {
            "part": "ions", "alpha": alpha, "published": published,
            **{f"L = {L}": h for L, h in zip(ION_LENGTHS, ridges, strict=True)},
            "limit": limit, "limit_error": error, "deviation": limit / published - 1, "seconds": process_time() - begin,
        }  # fmt: skip


def calibration():
    """The same ridges and limit for the chain of neighbours alone, which is critical at h = 1, by free fermions."""
    ridges = []
    for L in ION_LENGTHS:
        H = qt.models.transverse_field_ising(L)
        h, _ = steepest(H, {"J": 1.0}, "h", H.parameters["h"], (0.85, 1.05), solver=qt.FreeFermion())
        ridges.append(h)
    limit, error = qt.extrapolate(ION_LENGTHS, ridges, np.full(3, 1e-3), 1.0)
    yield {
        "part": "calibration", "exact": 1.0, **{f"L = {L}": h for L, h in zip(ION_LENGTHS, ridges, strict=True)},
        "limit": limit, "limit_error": error,
    }  # fmt: skip


def onset(L, radius, cutoff=None):
    """Delta/Omega at which the middle's staggered density responds most."""
    H = qt.models.rydberg_array(L, cutoff=cutoff)
    middle = L // 2
    observable = Number(middle) - 0.5 * (Number(middle - 1) + Number(middle + 1))
    within = (0.4, 1.6) if cutoff is None else (0.3, 1.2)
    return steepest(H, {"Omega": 1.0, "C6": radius**6}, "Delta", observable, within, 2e-4)[0]


def rydberg():
    """Where Z2 order begins: all pairs interacting at several R_b/a; and neighbours alone, strongly."""
    for radius in (1.2, 1.35, 1.5, 1.65):
        begin = process_time()
        yield {
            "part": "rydberg", "interacting": "all pairs", "R_b/a": radius, "atoms": 51, "onset": onset(51, radius),
            "seconds": process_time() - begin,
        }  # fmt: skip
    begin, radius = process_time(), 2.0
    onsets = [onset(L, radius, cutoff=1.0) for L in ATOM_LENGTHS]
    limit, error = qt.extrapolate(ATOM_LENGTHS, onsets, np.full(3, 3e-4), 1.0)
    yield {
        "part": "rydberg", "interacting": "neighbours", "R_b/a": radius, "published": PXP,
        **{f"L = {L}": delta for L, delta in zip(ATOM_LENGTHS, onsets, strict=True)},
        "limit": limit, "limit_error": error, "deviation": limit / PXP - 1, "seconds": process_time() - begin,
    }  # fmt: skip


def kitaev():
    """The published strip: levels and flux; and the lowest level of flux sectors."""
    H, fluxes = qt.models.kitaev_ladder(8, periodic=True), kitaev_fluxes(8, periodic=True)
    even = {"J_x": 1.0, "J_y": 1.0, "J_z": 1.0, "h": 0.0}
    begin = process_time()
    state = EXACT.ground_state(H, even)
    levels = [state.energy, state.energy + state.gap]
    yield {
        "part": "kitaev", "what": "levels, J = 1, h = 0", "exact": levels, "published": PUBLISHED_LEVELS,
        "deviation": max(abs(a - b) for a, b in zip(levels, PUBLISHED_LEVELS, strict=False)),
        "NumbaDMRG": SOLVER.ground_state(H, even).energy, "seconds": process_time() - begin,
    }  # fmt: skip
    begin, ours = process_time(), {}
    for J in PUBLISHED_FLUX:
        theta = {**dict(zip(FIELDS, J, strict=True)), "h": 0.1}
        ours[J] = float(EXACT.ground_state(H, theta).expectation([fluxes[1]])[0])
    yield {
        "part": "kitaev", "what": "flux at h = 0.1", "points": len(ours),
        "deviation": max(abs(ours[J] - flux) for J, flux in PUBLISHED_FLUX.items()), "seconds": process_time() - begin,
    }  # fmt: skip
    squares = kitaev_fluxes(8, periodic=True, plaquette="square")
    for flipped in ((), (0,), (0, 1), (0, 2), (0, 3), (0, 4), tuple(range(8))):
        weights = [-20.0 if n not in flipped else 20.0 for n in range(8)]
        sector = H.with_parameter("fluxes", squares)
        lowest = EXACT.ground_state(sector, {**even, "fluxes": np.array(weights)})
        signs = np.rint(lowest.expectation(squares))
        yield {
            "part": "kitaev", "what": f"lowest level with squares {list(flipped)} flipped",
            "energy": lowest.energy + 160.0, "signs": [int(s) for s in signs],
        }  # fmt: skip


def bosons():
    """Energy a site in the bulk of the Mott insulator, against the series of Damski and Zakrzewski (2006)."""
    for x in (0.05, 0.1):
        begin = process_time()
        energies = [
            SOLVER.with_cutoff(1e-8).ground_state(
                qt.models.bose_hubbard(L, cutoff=5), {"t": x, "U": 1.0, "mu": 0.4}
            ).energy + 0.4 * L
            for L in (32, 34)
        ]  # fmt: skip
        # Phys. Rev. A 74, 043609, eq. 8, to order 10
        y = x**2
        series = 4 * y * (-1 + y + 68 / 9 * y**2 - 1267 / 81 * y**3 + 44171 / 1458 * y**4)
        bulk = (energies[1] - energies[0]) / 2
        yield {
            "part": "bosons", "t/U": x, "bulk_energy": bulk, "series": series, "deviation": bulk - series,
            "seconds": process_time() - begin,
        }  # fmt: skip


def dimers():
    """Majumdar and Ghosh: the energy is -3/8 L, singlets stand on (2 k, 2 k + 1)."""
    begin = process_time()
    state = SOLVER.ground_state(qt.models.j1_j2_chain(128), {"J_1": 1.0, "J_2": 0.5})
    inside, between = map(float, state.expectation([Sz(64) * Sz(65), Sz(65) * Sz(66)]))
    yield {
        "part": "dimers", "L": 128, "energy": state.energy, "deviation": state.energy + 48.0,
        "<Sz Sz> in a dimer": inside, "between dimers": between, "seconds": process_time() - begin,
    }  # fmt: skip


PARTS = {
    "dimers": dimers, "bosons": bosons, "kitaev": kitaev, "rydberg": rydberg,
    "calibration": calibration, "ions": ions,
}  # fmt: skip


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none is named")
    chosen = parser.parse_args().parts or list(PARTS)
    if unknown := [part for part in chosen if part not in PARTS]:
        parser.error(f"no part {unknown[0]}; there are {', '.join(PARTS)}")
    warnings.simplefilter("ignore", qt.DegenerateGroundStateWarning)
    with threadpool_limits(1):
        SOLVER.ground_state(qt.models.ion_chain(6), {"J": 1.0, "B": 1.0})  # compiles
        for part in chosen:
            rows = []
            for row in PARTS[part]():
                print(row, flush=True)
                rows.append(row)
            others = [row for row in results_of("platforms").get("rows", []) if row["part"] != part]
            write_results("platforms", others + rows)


if __name__ == "__main__":
    main()
