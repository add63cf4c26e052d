"""Expectation values of an MPS: the compiled kernels against TeNPy and quimb, on one thread.

    python -m benchmarks.kernels

Prints a table and writes benchmarks/results/kernels.json. Each library is given the state in its own form
and its operators ready made; of several ways to ask, the fastest counts.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import quimb.tensor as qtn
import tenpy.linalg.np_conserved as npc
from tenpy.networks import mps as tenpy_mps
from tenpy.networks.site import SpinHalfSite
from threadpoolctl import threadpool_limits

from benchmarks.machine import write_results
from qep_tn.kernels import compile_products, correlations, evaluate, pack
from qep_tn.runs.machine import processor

LENGTH, BOND = 128, 32
X, Z = np.array([[0.0, 1], [1, 0]]), np.diag([1.0, -1])
LOCAL = [
    *[((j, X),) for j in range(LENGTH)],
    *[((j, Z), (j + 1, Z)) for j in range(LENGTH - 1)],
    *[((j, Z), (j + 1, X), (j + 2, Z)) for j in range(LENGTH - 2)],
]
QUIMB_FIRST_SITES = [16, 48, 80, 112]  # of the pairs timed in quimb: 252 of 8128, of the mean distance of all
TOLERANCE = 1e-12


def random_state(seed: int = 0) -> list[np.ndarray]:
    """A random real right-canonical MPS of qubits, bonds as large as the ends of the chain and BOND allow."""
    rng = np.random.default_rng(seed)
    bonds = [min(BOND, 2 ** min(j, LENGTH - j)) for j in range(LENGTH + 1)]
    tensors = []
    for left, right in pairwise(bonds):
        rows, _ = np.linalg.qr(rng.normal(size=(2 * right, left)))
        tensors.append(np.ascontiguousarray(rows.T).reshape(left, 2, right))
    return tensors


def measure(function: Callable[[], Any], runs: int) -> tuple[float, np.ndarray]:
    """Median seconds of several runs after a first one, and the values."""
    values = function()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), np.real(np.asarray(values))


def fastest(ways: dict[str, Callable[[], Any]], runs: int) -> tuple[float, np.ndarray, str]:
    """The fastest of several ways to get the same values: seconds, values, its name."""
    measured = {name: measure(function, runs) for name, function in ways.items()}
    name = min(measured, key=lambda name: measured[name][0])
    return *measured[name], name


def time_kernels(tensors: list[np.ndarray]) -> dict[str, tuple[float, np.ndarray]]:
    dims = [2] * LENGTH
    plan = compile_products(dims, LOCAL)
    return {
        "local": measure(lambda: evaluate(plan, pack(tensors)), 31),
        "local with plan": measure(lambda: evaluate(compile_products(dims, LOCAL), pack(tensors)), 31),
        "pairs": measure(lambda: correlations(pack(tensors), Z, Z), 15),
    }


def time_tenpy(tensors: list[np.ndarray]) -> dict[str, tuple[float, np.ndarray, str]]:
    site = SpinHalfSite(conserve=None)
    transposed = [tensor.transpose(1, 0, 2) for tensor in tensors]
    psi = tenpy_mps.MPS.from_Bflat([site] * LENGTH, transposed, form=None, unit_cell_width=LENGTH)
    psi.canonical_form()

    def product(*operators: npc.Array) -> npc.Array:
        whole = operators[0].replace_labels(["p", "p*"], ["p0", "p0*"])
        for k, operator in enumerate(operators[1:], 1):
            whole = npc.outer(whole, operator.replace_labels(["p", "p*"], [f"p{k}", f"p{k}*"]))
        return whole

    def ways(*names: str) -> dict[str, Callable[[], Any]]:
        whole, sites = product(*(site.get_op(name) for name in names)), range(LENGTH - len(names) + 1)
        return {
            "expectation_value": lambda: psi.expectation_value(whole, sites=sites),
            "expectation_value_multi_sites": lambda: [
                psi.expectation_value_multi_sites(list(names), first) for first in sites
            ],
        }

    parts = [
        fastest({"expectation_value": lambda: psi.expectation_value("Sigmax")}, 7),
        fastest(ways("Sigmaz", "Sigmaz"), 7),
        fastest(ways("Sigmaz", "Sigmax", "Sigmaz"), 7),
    ]
    seconds, values, names = zip(*parts, strict=True)
    seconds_pairs, pairs = measure(lambda: psi.correlation_function("Sigmaz", "Sigmaz", hermitian=True), 3)
    return {
        "local": (sum(seconds), np.concatenate(values), ", ".join(names)),
        "pairs": (seconds_pairs, pairs, "correlation_function, hermitian=True"),
    }


def time_quimb(tensors: list[np.ndarray]) -> dict[str, tuple[float, np.ndarray, str]]:
    psi = qtn.MatrixProductState([tensors[0][0], *tensors[1:-1], tensors[-1][..., 0]], shape="lpr")
    z_x_zz = {1: X, 2: np.kron(Z, Z), 3: np.kron(np.kron(Z, X), Z)}
    local = {tuple(site for site, _ in product): z_x_zz[len(product)] for product in LOCAL}
    pairs = {(i, j): z_x_zz[2] for i in QUIMB_FIRST_SITES for j in range(i + 1, LENGTH)}

    def ways(terms: Mapping[Any, np.ndarray]) -> dict[str, Callable[[], list[float]]]:
        options: dict[str, Any] = {"return_all": True, "normalized": False}

        def canonical() -> list[float]:
            info = {"cur_orthog": (0, 0)}
            values = psi.compute_local_expectation_canonical(terms, info=info, **options)
            return [values[sites] for sites in terms]  # it returns them in another order

        def environments() -> list[float]:
            values = psi.compute_local_expectation_via_envs(terms, **options)
            return [values[sites] for sites in terms]

        return {
            "compute_local_expectation_canonical": canonical,
            "compute_local_expectation_via_envs": environments,
        }

    seconds, values, name = fastest(ways(pairs), 1)
    share = len(pairs) / (LENGTH * (LENGTH - 1) / 2)
    return {
        "local": fastest(ways(local), 5),
        "pairs": (seconds / share, values, f"{name}, extrapolated from {len(pairs)} pairs"),
    }


def main() -> None:
    tensors = random_state()
    with threadpool_limits(1):
        ours, tenpy, quimb = time_kernels(tensors), time_tenpy(tensors), time_quimb(tensors)

    sampled = np.concatenate([ours["pairs"][1][i, i + 1 :] for i in QUIMB_FIRST_SITES])
    rows: list[dict[str, Any]] = []
    for work, what in [("local", "all <X>, <ZZ>, <ZXZ>"), ("pairs", "all pairs <Z_i Z_j>")]:
        seconds, values, *_ = ours[work]
        rows.append({"work": what, "library": "qep_tn", "seconds": seconds, "how": "pack, contract"})
        if work == "local":
            seconds_with_plan = ours["local with plan"][0]
            how = "plan, pack, contract"
            rows.append({"work": what, "library": "qep_tn", "seconds": seconds_with_plan, "how": how})
        for library, theirs in [("tenpy", tenpy), ("quimb", quimb)]:
            their_seconds, their_values, how = theirs[work]
            same = sampled if (library, work) == ("quimb", "pairs") else values
            rows.append(
                {
                    "work": what,
                    "library": library,
                    "seconds": their_seconds,
                    "how": how,
                    "times_slower": their_seconds / seconds,
                    "max_difference": float(np.abs(their_values - same).max()),
                }
            )

    write_results("kernels", rows, length=LENGTH, bond=BOND)
    print(f"MPS of {LENGTH} qubits, bond {BOND}, {processor()}, one thread\n")
    print(f"{'work':22}{'library':9}{'ms':>10}{'slower':>9}{'difference':>12}  how")
    for row in rows:
        slower = f"{row['times_slower']:.1f}x" if "times_slower" in row else ""
        difference = f"{row['max_difference']:.1e}" if "max_difference" in row else ""
        figures = f"{1e3 * row['seconds']:10.2f}{slower:>9}{difference:>12}"
        print(f"{row['work']:22}{row['library']:9}{figures}  {row['how']}")
    if any(row.get("max_difference", 0) > TOLERANCE for row in rows):
        raise SystemExit(f"the libraries differ by more than {TOLERANCE}")


if __name__ == "__main__":
    main()
