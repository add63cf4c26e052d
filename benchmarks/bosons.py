"""Bose-Hubbard at fixed filling, in its superfluid: `python -m benchmarks.bosons [--length L] [--bond D] [--tenpy]`.

N = L bosons, at most 4 a site, U/t = 3.3, open, one thread, cold: NumbaDMRG with sector={"N": L}, a gradient of all
t and U, and, with --tenpy, TeNPy with conserved N at the same bond dimension.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import qep_tn as qt
from benchmarks.machine import write_results
from qep_tn import Number

U = 3.3


def chain(length):
    """The model with a coupling a term, and its parameters."""
    H = qt.models.bose_hubbard(length, cutoff=4, local=True)
    return H, {"t": np.ones(length - 1), "U": np.full(length, U), "mu": np.zeros(length)}


def with_numba(length, bond):
    """Energy and its variance."""
    H, theta = chain(length)
    state = qt.NumbaDMRG(max_bond=bond, cutoff=1e-7, threads=1, sector={"N": length}).ground_state(H, theta)
    return state.energy, state.energy_variance


def gradient(length, bond):
    """Of the number fluctuations of a middle site by all couplings: error claimed, and whether it is trusted."""
    H, theta = chain(length)
    middle = Number(length // 2)
    solver = qt.NumbaDMRG(max_bond=bond, threads=1, sector={"N": length})
    g = qt.gradient(H, theta, qt.Expectation(middle * middle), solver=solver, rtol=1e-2)
    return float(g.relative_error), bool(g.trustworthy)


def with_tenpy(length, bond):
    """TeNPy's own model and two-site engine."""
    from tenpy.algorithms.dmrg import TwoSiteDMRGEngine
    from tenpy.models.hubbard import BoseHubbardChain
    from tenpy.networks.mps import MPS

    model = BoseHubbardChain({"L": length, "n_max": 4, "filling": 1.0, "t": 1.0, "U": U, "mu": 0.0, "bc_MPS": "finite"})
    psi = MPS.from_product_state(model.lat.mps_sites(), [1] * length, bc="finite")
    options = {
        "mixer": True,
        "mixer_params": {"amplitude": 1e-3, "decay": 2.0, "disable_after": 8},
        "trunc_params": {"chi_max": bond, "svd_min": 1e-7},
        "chi_list": {0: 16, 3: bond},
        "max_E_err": 1e-10,
        "max_sweeps": 20,
    }
    return float(TwoSiteDMRGEngine(psi, model, options).run()[0]), None


def timed(work, *arguments):
    begin = time.perf_counter()
    result = work(*arguments)
    return time.perf_counter() - begin, result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--bond", type=int, default=64)
    parser.add_argument("--tenpy", action="store_true")
    chosen = parser.parse_args()
    size = chosen.length, chosen.bond
    with_numba(8, 16), gradient(8, 16)  # compilation
    rows = []
    for name, work in {"NumbaDMRG": with_numba, **({"TeNPy": with_tenpy} if chosen.tenpy else {})}.items():
        seconds, (energy, variance) = timed(work, *size)
        rows.append({"library": name, "seconds": seconds, "energy": energy, "variance": variance})
        print(rows[-1], flush=True)
    seconds, (claimed, trusted) = timed(gradient, *size)
    rows.append(
        {"library": "NumbaDMRG, gradient", "seconds": seconds, "relative_error": claimed, "trustworthy": trusted}
    )
    print(rows[-1], flush=True)
    write_results("bosons", rows, length=chosen.length, bond=chosen.bond)


if __name__ == "__main__":
    main()
