"""Traced phase boundaries at L = 128: right to within their errors? And how many ground states do they take?

Run with: python -m benchmarks.boundary
Writes benchmarks/results/boundary.json.

Accuracy: every point against the exact ridge (the maximum of the analytic free-fermion response on the same line) and
against the boundary of the infinite chain; and the extrapolation from L = 32, 64 and 128.
Cost: a curve of about 50 points, beside a 100 x 100 scan of the same window, and beside golden-section search, point by
point, to the same error.
"""

from __future__ import annotations

import argparse
import warnings
from time import perf_counter
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import minimize_scalar
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.machine import write_results
from qep_tn import X, Z

PLANE = ("g_x", "g_zz")
# name -> sign of the cluster term, where the search starts, window, exact lines g_x(g_zz) of the infinite chain
DIAGRAMS: dict[str, dict[str, Any]] = {
    "g_zxz = 1": {
        "theta": {"g_x": 0.4, "g_zz": 1.2, "g_zxz": 1.0},
        "window": {"g_x": (0.0, 3.2), "g_zz": (0.1, 2.0)},
        "lines": {"g_zz + 1": lambda z: z + 1, "1 - g_zz": lambda z: 1 - z},
    },
    "g_zxz = -1": {
        "theta": {"g_x": 0.5, "g_zz": 0.8, "g_zxz": -1.0},
        "window": {"g_x": (0.0, 1.5), "g_zz": (0.1, 2.0)},
        "lines": {"g_zz - 1": lambda z: z - 1, "1": lambda z: 1 + 0 * z},
    },
}


def cluster_term(L: int) -> qt.Operator:
    return Z(L // 2 - 1) * X(L // 2) * Z(L // 2 + 1)


def exact_ridge(H: qt.Hamiltonian, theta: dict[str, float], name: str, observable: qt.Operator, reach: float) -> float:
    """The maximum of |d<observable>/d(parameter)| within `reach` of theta, from the analytic derivative."""

    def minus_response(x: float) -> float:
        g = qt.gradient(H, {**theta, name: x}, qt.Expectation(observable), solver=qt.FreeFermion())
        return -abs(g.gradient[name])

    bounds = (theta[name] - reach, theta[name] + reach)
    return float(minimize_scalar(minus_response, bounds=bounds, method="bounded", options={"xatol": 1e-7}).x)


def points_of(history: xr.Dataset) -> list[xr.Dataset]:
    return [
        history.isel(curve=curve, point=point)
        for curve in range(history.sizes["curve"])
        for point in range(int(history["points"][curve]))
    ]


def accuracy(name: str, L: int, observable: qt.Operator | None) -> list[dict[str, Any]]:
    """One row a curve: how far its points are from the exact ridge and from the infinite chain's boundary."""
    diagram = DIAGRAMS[name]
    H = qt.models.cluster_ising(L)
    began = perf_counter()
    trace = qt.trace_boundary(
        H, diagram["theta"], PLANE, diagram["window"], observable=observable, solver=qt.NumbaDMRG(), progress=False
    )
    seconds = perf_counter() - began
    rows = []
    for curve in range(trace.history.sizes["curve"]):
        points = points_of(trace.history.isel(curve=[curve]))
        off, errors, distances = [], [], {line: [] for line in diagram["lines"]}
        for point in points:
            varied = PLANE[int(point["across"])]
            place = {**diagram["theta"], **{axis: float(point[axis]) for axis in PLANE}}
            measured = -H.parameters[varied] if observable is None else observable
            exact = exact_ridge(H, place, varied, measured, 0.3 * float(point["width"]))
            off.append(abs(place[varied] - exact))
            errors.append(float(point[f"{varied}_error"]))
            for line, function in diagram["lines"].items():
                distances[line].append(abs(place["g_x"] - function(place["g_zz"])))
        line = min(distances, key=lambda n: np.median(distances[n]))
        rows.append(
            {
                "diagram": name, "L": L, "observable": "energy" if observable is None else str(observable),
                "line": f"g_x = {line}", "points": len(points),
                "within_own_error": float(np.mean(np.array(off) <= errors)),
                "median_error_bar": float(np.median(errors)), "median_off_ridge": float(np.median(off)),
                "largest_off_ridge": float(np.max(off)), "largest_off_line": float(np.max(distances[line])),
                "five_over_L": 5 / L, "ground_states": int(trace.history["ground_states"][curve].sum()),
                "seconds_of_all_curves": seconds,
            }
        )  # fmt: skip
    return rows


def extrapolation(name: str) -> list[dict[str, Any]]:
    """One row a curve: how far the limit from L = 32, 64, 128 is from the infinite chain's boundary."""
    diagram = DIAGRAMS[name]
    scaling = qt.finite_size_scaling(
        qt.models.cluster_ising, [32, 64, 128], diagram["theta"], PLANE, diagram["window"], observable=cluster_term,
        solver=qt.NumbaDMRG(), progress=False,
    )  # fmt: skip
    rows = []
    for curve in range(scaling.history.sizes["curve"]):
        history = scaling.history.isel(curve=curve).isel(point=slice(int(scaling.history["points"][curve])))
        x, z, *errors = (history[f"{n}_infinite{end}"].values for end in ("", "_error") for n in PLANE)
        error = np.max(errors, axis=0)  # one of the two is zero
        there = np.isfinite(x)
        off = {line: abs(x - function(z))[there] for line, function in diagram["lines"].items()}
        line = min(off, key=lambda n: np.median(off[n]))
        all_lengths = np.isfinite(history["g_x"].values[there]).all(axis=1)
        scale = np.maximum(np.maximum(np.abs(x), np.abs(z)), 1.0)[there]
        rows.append(
            {
                "diagram": name, "line": f"g_x = {line}", "points": int(there.sum()), "of": int(history.sizes["point"]),
                "on_three_lengths": int(all_lengths.sum()),
                "largest_relative": float((off[line] / scale)[all_lengths].max()),
                "median_relative": float(np.median((off[line] / scale)[all_lengths])),
                "within_half_a_percent": float(np.mean((off[line] / scale)[all_lengths] <= 5e-3)),
                "within_own_error": float(np.mean(off[line] <= error[there])),
            }
        )  # fmt: skip
    return rows


def ising_and_xxz() -> dict[str, Any]:
    """The Ising chain's h / J from L = 32, 64, 128, exactly 1; and the XXZ chain's J_z = -sqrt(J_xy^2 + h^2), any L."""
    scaling = qt.finite_size_scaling(
        qt.models.transverse_field_ising, [32, 64, 128], {"h": 1.0, "J": 1.0}, ("h", "J"),
        {"h": (0.4, 2.2), "J": (0.5, 2.0)}, observable=lambda L: Z(L // 2) * Z(L // 2 + 1), start={"h": 0.99, "J": 1.0},
        solver=qt.NumbaDMRG(), progress=False,
    )  # fmt: skip
    points = points_of(scaling.history)
    ratio = np.array([float(p["h_infinite"]) / float(p["J_infinite"]) for p in points])
    errors = np.array([float(p["h_infinite_error"]) / float(p["J_infinite"]) for p in points])
    began = perf_counter()
    trace = qt.trace_boundary(
        qt.models.xxz_staggered(32), {"J_xy": 1.0, "J_z": -1.3, "h": 0.8}, ("J_z", "h"),
        {"J_z": (-2.0, -1.02), "h": (0.3, 1.6)}, start={"J_z": -1.28, "h": 0.8}, step=1 / 8, solver=qt.NumbaDMRG(),
        progress=False,
    )  # fmt: skip
    off = [abs(float(p["J_z"]) + np.hypot(1.0, float(p["h"]))) for p in points_of(trace.history)]
    bars = [float(p["J_z_error"]) for p in points_of(trace.history)]
    return {
        "transverse_field_ising": {
            "points": len(points), "largest_relative": float(abs(ratio - 1).max()),
            "within_own_error": float(np.mean(abs(ratio - 1) <= errors)),
        },
        "xxz_staggered_32": {
            "points": len(off), "largest_off": max(off), "within_own_error": float(np.mean(np.array(off) <= bars)),
            "median_error_bar": float(np.median(bars)), "seconds": perf_counter() - began,
        },
    }  # fmt: skip


def cost(L: int) -> dict[str, Any]:
    """Ground states of one curve of about 50 points, with and without the search, and of golden-section search."""
    H, theta, window = qt.models.cluster_ising(L), DIAGRAMS["g_zxz = 1"]["theta"], DIAGRAMS["g_zxz = 1"]["window"]
    began = perf_counter()
    trace = qt.trace_boundary(
        H, theta, PLANE, window, observable=cluster_term(L), step=1 / 40, start={"g_x": 2.2, "g_zz": 1.2},
        solver=qt.NumbaDMRG(), progress=False,
    )  # fmt: skip
    seconds = perf_counter() - began
    points = points_of(trace.history)
    golden = sum(_golden_section(H, theta, point, window["g_x"]) for point in points)
    states = int(trace.history["ground_states"].sum()) + int(trace.history["ground_states_search"])
    searched = 64 + states  # had the curve been searched for, on two lines of 32 points
    return {
        "points": len(points), "ground_states": states, "with_search": searched, "per_point": states / len(points),
        "scan": 10_000, "scan_over_trace": 10_000 / searched, "golden_section": golden,
        "golden_section_over_trace": golden / states, "seconds": seconds, "L": L,
    }  # fmt: skip


def _golden_section(H: qt.Hamiltonian, theta: dict[str, float], point: xr.Dataset, window: tuple[float, float]) -> int:
    """Ground states, two a response, until the interval around the maximum is as small as the point's error bars.

    Given the half of the window in which there is one ridge only.
    """
    count = 0
    observable, z, error = cluster_term(len(H.sites)), float(point["g_zz"]), float(point["g_x_error"])

    def minus_response(x: float) -> float:
        nonlocal count
        count += 2
        low, high = (
            qt.FreeFermion().ground_state(H, {**theta, "g_zz": z, "g_x": x + s * error}).expectation(observable)
            for s in (-1, 1)
        )
        return -abs(high - low)

    half = (window[0] + window[1]) / 2
    a, b = (half, window[1]) if float(point["g_x"]) > half else (window[0], half)
    share = (np.sqrt(5) - 1) / 2
    c, d = b - share * (b - a), a + share * (b - a)
    at_c, at_d = minus_response(c), minus_response(d)
    while b - a > 2 * error:
        if at_c < at_d:
            b, d, at_d = d, c, at_c
            c = b - share * (b - a)
            at_c = minus_response(c)
        else:
            a, c, at_c = c, d, at_d
            d = a + share * (b - a)
            at_d = minus_response(d)
    return count


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=128)
    options = parser.parse_args(arguments)
    L = options.length
    accurate: list[dict[str, Any]] = []
    extrapolated: list[dict[str, Any]] = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", qt.DegenerateGroundStateWarning)
        for name in DIAGRAMS:
            without = [None] if "-" not in name else []  # takes minutes where the cluster term is reversed
            for observable in (cluster_term(L), X(L // 2 - 2) * X(L // 2 + 2), *without):
                for row in accuracy(name, L, observable):
                    accurate.append(row)
                    print({k: v if isinstance(v, str) else round(v, 5) for k, v in row.items()}, flush=True)
        spent = cost(L)
        print(spent, flush=True)
        others = ising_and_xxz()
        print(others, flush=True)
        for name in DIAGRAMS:
            for row in extrapolation(name):
                extrapolated.append(row)
                print(row, flush=True)
    write_results("boundary", accurate, extrapolation=extrapolated, cost=spent, other_models=others)


if __name__ == "__main__":
    main()
