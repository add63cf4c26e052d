"""The published trainings of ten qubits, step by step beside ours: `python -m benchmarks.published`.

Reads ../shared/reference (see its README for how the runs were made), follows both runs with exact diagonalization
and with TeNPy, and prints the largest deviation over the first 30 steps. The runs use a one-sided nudge of 0.1.
"""

from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import qep_tn as qt
from qep_tn import X
from qep_tn.models.published import ten_qubits

REFERENCE = Path(__file__).parents[2] / "shared" / "reference"
OBSERVABLE = X(0) * X(4)


def nudged_expectation(H, theta, solver, start):
    """The gradient of <X_0 X_4>, nudged by H - 0.1 X_0 X_4 as published."""
    return qt.gradient(
        H, theta, -qt.Expectation(OBSERVABLE), solver=solver, beta=0.1, scheme="one-sided", rtol=1e-4, start=start
    )


def exploration(solver, steps):
    """(g_x, g_zz) before each step and after the last, (steps + 1, 2)."""
    H, theta, start = ten_qubits(), np.array([-0.1, 0.4]), None
    path = [theta]
    for _ in range(steps):
        result = nudged_expectation(H, dict(zip(("g_x", "g_zz"), theta, strict=True)), solver, start)
        ascent = -np.sign(-result.value) * np.array([result.gradient["g_x"], result.gradient["g_zz"]])
        theta, start = theta + 0.1 * ascent / np.linalg.norm(ascent), result.free
        path.append(theta)
    return np.array(path)


def sensitivity(solver, steps):
    """(g_x_1, g_x_2, g_zz) before each step and after the last, (steps + 1, 3)."""
    result = qt.optimize_sensitivity(
        ten_qubits(), {"g_zz": -1.5}, OBSERVABLE, scan="g_x", points=(-0.2, -1.5), steps=steps,
        solver=solver, rtol=1e-4, beta=0.1, scheme="one-sided", closest=1e-6, progress=False,
    )  # fmt: skip
    return np.stack([result.history[name] for name in ("g_x_1", "g_x_2", "g_zz")], axis=1)


def published_paths():
    """The published paths of both runs, (101, 2) and (101, 3)."""
    explored = np.loadtxt(REFERENCE / "phase_exploration_run1" / "theta.csv", delimiter=",")
    folder = REFERENCE / "sensitivity_run1"
    columns = [np.loadtxt(folder / f"{name}.csv", delimiter=",") for name in ("g_x_1", "g_x_2", "g_zz")]
    return explored, np.stack(columns, axis=1)


def main():
    explored, sensed = published_paths()
    print(f"{'run':20} {'solver':22} {'largest deviation over 30 steps':>32}")
    for solver in (qt.ExactDiagonalization(), qt.NumbaDMRG(), qt.TenpyDMRG(), qt.QuimbDMRG()):
        for name, run, published in (
            ("phase exploration", exploration, explored),
            ("sensitivity", sensitivity, sensed),
        ):
            deviation = np.abs(run(solver, 30) - published[:31]).max()
            print(f"{name:20} {type(solver).__name__:22} {deviation:32.1e}", flush=True)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
