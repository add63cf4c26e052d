"""The open Heisenberg chain, which conserves S^z: NumbaDMRG in a sector, block2 and TeNPy with S^z, side by side.

    python -m benchmarks.charges

One thread, in one run, after compilation, from a cold start; each library as its users would write it, to a change of
the energy of 1e-10. For each bond dimension: seconds, energy, its error against the lowest energy of the run, and for
NumbaDMRG the energy variance (included in its time) and the gradient of <Sz Sz> of the middle bond by all couplings.
`--bonds`, `--length` and `--libraries` choose less.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import numpy as np

import qep_tn as qt
from benchmarks.machine import write_results
from qep_tn import Sz

SWEEPS = 20


def with_numba(length, bond):
    """NumbaDMRG with sector={"Sz": 0}; energy, variance."""
    H = qt.models.xxz(length)
    solver = qt.NumbaDMRG(max_bond=bond, cutoff=1e-9, threads=1, sector={"Sz": 0})
    state = solver.ground_state(H, {"J_xy": 1.0, "J_z": 1.0, "h": 0.0})
    return state.energy, state.energy_variance


def with_numba_dense(length, bond):
    """NumbaDMRG without blocks."""
    from unittest import mock

    H = qt.models.xxz(length)
    solver = qt.NumbaDMRG(max_bond=bond, cutoff=1e-9, threads=1)
    with mock.patch("qep_tn.solvers.numba_dmrg.conserved_by", return_value=None):
        state = solver.ground_state(H, {"J_xy": 1.0, "J_z": 1.0, "h": 0.0})
    return state.energy, state.energy_variance


def with_block2(length, bond):
    """block2 with S^z."""
    from pyblock2.driver.core import DMRGDriver, SymmetryTypes

    driver = DMRGDriver(scratch=tempfile.mkdtemp(), symm_type=SymmetryTypes.SGB, n_threads=1)
    driver.initialize_system(n_sites=length, heis_twos=1, heis_twosz=0)
    terms = driver.expr_builder()
    neighbours = [k for j in range(length - 1) for k in (j, j + 1)]
    terms.add_term("PM", neighbours, 0.5)
    terms.add_term("MP", neighbours, 0.5)
    terms.add_term("ZZ", neighbours, 1.0)
    mpo = driver.get_mpo(terms.finalize(), iprint=0)
    ket = driver.get_random_mps(tag="KET", bond_dim=min(bond, 32), nroots=1)
    bonds = [min(bond, 32)] * 4 + [min(bond, 64)] * 4 + [bond] * 12
    noises = [1e-4] * 4 + [1e-5] * 4 + [0.0]
    energy = driver.dmrg(
        mpo, ket, n_sweeps=SWEEPS, bond_dims=bonds, noises=noises, thrds=[1e-8] * 8 + [1e-10] * 12, tol=1e-10, iprint=0
    )
    return float(energy), None


def with_tenpy(length, bond):
    """TeNPy with S^z, its mixer on for the first sweeps."""
    from tenpy.algorithms.dmrg import TwoSiteDMRGEngine
    from tenpy.models.xxz_chain import XXZChain
    from tenpy.networks.mps import MPS

    model = XXZChain({"L": length, "Jxx": 1.0, "Jz": 1.0, "hz": 0.0, "bc_MPS": "finite"})
    psi = MPS.from_product_state(model.lat.mps_sites(), ["up", "down"] * (length // 2), bc="finite")
    options = {
        "mixer": True,
        "mixer_params": {"amplitude": 1e-3, "decay": 2.0, "disable_after": 8},
        "trunc_params": {"chi_max": bond, "svd_min": 1e-9},
        "chi_list": {0: min(bond, 16), 3: min(bond, 64), 6: bond},
        "max_E_err": 1e-11,
        "max_sweeps": SWEEPS,
    }
    energy, _ = TwoSiteDMRGEngine(psi, model, options).run()
    return float(energy), None


LIBRARIES = {"NumbaDMRG": with_numba, "dense": with_numba_dense, "block2": with_block2, "TeNPy": with_tenpy}


def gradient_seconds(length, bond):
    """Of a gradient of all couplings, every bond its own, cold; seconds and relative error claimed."""
    H = qt.models.xxz(length, local=True)
    theta = {"J_xy": np.ones(length - 1), "J_z": np.ones(length - 1), "h": np.zeros(length)}
    solver = qt.NumbaDMRG(max_bond=bond, threads=1, sector={"Sz": 0})
    begin = time.perf_counter()
    g = qt.gradient(H, theta, qt.Expectation(Sz(length // 2 - 1) * Sz(length // 2)), solver=solver, rtol=1e-2)
    return time.perf_counter() - begin, float(g.relative_error), bool(g.trustworthy)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--length", type=int, default=100)
    parser.add_argument("--bonds", type=int, nargs="+", default=[64, 128, 200])
    parser.add_argument("--libraries", nargs="+", default=list(LIBRARIES))
    parser.add_argument("--repeat", type=int, default=1)
    chosen = parser.parse_args()
    for name in chosen.libraries:
        LIBRARIES[name](16, 16)  # compilation
    gradient_seconds(16, 16)
    rows = []
    for bond in chosen.bonds:
        for name in chosen.libraries:
            times = []
            for _ in range(chosen.repeat):
                begin = time.perf_counter()
                energy, variance = LIBRARIES[name](chosen.length, bond)
                times.append(time.perf_counter() - begin)
            row = {"library": name, "bond": bond, "seconds": float(np.median(times)), "energy": energy}
            row["variance"] = variance
            print(row, flush=True)
            rows.append(row)
        seconds, claimed, trusted = gradient_seconds(chosen.length, bond)
        rows.append({"library": "NumbaDMRG, gradient", "bond": bond, "seconds": seconds, "relative_error": claimed})
        rows[-1]["trustworthy"] = trusted
        print(rows[-1], flush=True)
    lowest = min(row["energy"] for row in rows if "energy" in row)
    for row in rows:
        if "energy" in row:
            row["energy_error"] = row["energy"] - lowest
    write_results("charges", rows, length=chosen.length)


if __name__ == "__main__":
    main()
