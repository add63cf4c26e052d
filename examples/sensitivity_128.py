"""What sensitivity_128.toml describes, in Python; prints the transition of the chain, and the exact place."""

import argparse

import numpy as np

import qep_tn as qt
from qep_tn import X


def main() -> None:
    """Run it, and print where the observable changes fastest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=128)
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    middle = arguments.sites // 2
    H, observable = qt.models.cluster_ising(arguments.sites), X(middle - 2) * X(middle + 2)
    theta = {"g_zz": 1.0, "g_zxz": 0.5}
    result = qt.optimize_sensitivity(
        H, theta, observable, scan="g_x", points=(1.2, 1.9), train=[], steps=arguments.steps, rate=0.1, closest=0.02,
        solver=qt.NumbaDMRG(max_bond=64),
    )  # fmt: skip
    print(result.message)
    print(f"steepest at g_x = {result.boundary:.4f} +- {result.boundary_error:.4f}")
    fields = np.linspace(1.3, 1.6, 301)
    print(f"exact:        g_x = {exact(H, theta, observable, fields):.4f}; of the infinite chain: 1.5")


def exact(H: qt.Hamiltonian, theta: dict[str, float], observable: qt.Operator, fields: np.ndarray) -> float:
    """The field at which the observable changes fastest, from free fermions."""
    slopes = [
        qt.gradient(H, {**theta, "g_x": g}, qt.Expectation(observable), solver=qt.FreeFermion()).gradient["g_x"]
        for g in fields
    ]
    return float(fields[np.argmax(np.abs(slopes))])


if __name__ == "__main__":
    main()
