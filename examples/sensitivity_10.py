"""What sensitivity_10.toml describes, in Python; prints where the observable changes fastest, and the exact place."""

import argparse

import numpy as np

import qep_tn as qt
from qep_tn import X


def main() -> None:
    """Run it, and print where the observable changes fastest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    steps = parser.parse_args().steps
    H, observable = qt.models.cluster_ising(10), X(0) * X(4)
    result = qt.optimize_sensitivity(
        H, {"g_zz": -1.5, "g_zxz": 0.5}, observable, scan="g_x", points=(-0.2, -1.5), train=["g_zz"], steps=steps,
        rate=0.1, closest=1e-6, rtol=1e-4, beta=0.1, scheme="one-sided",
    )  # fmt: skip
    here = {"g_zz": float(result.history["g_zz"][-1]), "g_zxz": 0.5}
    print(result.message)
    print(f"steepest at g_x = {result.boundary:.4f} +- {result.boundary_error:.4f} where g_zz = {here['g_zz']:.4f}")
    print(f"exact:        g_x = {exact(H, here, observable, np.linspace(-1.5, -0.05, 1001)):.4f}")


def exact(H: qt.Hamiltonian, theta: dict[str, float], observable: qt.Operator, fields: np.ndarray) -> float:
    """The field at which the observable changes fastest, from free fermions."""
    slopes = [
        qt.gradient(H, {**theta, "g_x": g}, qt.Expectation(observable), solver=qt.FreeFermion()).gradient["g_x"]
        for g in fields
    ]
    return float(fields[np.argmax(np.abs(slopes))])


if __name__ == "__main__":
    main()
