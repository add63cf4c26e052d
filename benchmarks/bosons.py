"""Chains of one boson a site in the compiled engine: `python -m benchmarks.bosons [speed] [fluctuations]`.

speed: N = L bosons, at most 4 a site, U/t = 3.3, open, one thread, cold: NumbaDMRG with sector={"N": L}, a gradient of
all t and U, and, with --tenpy, TeNPy with conserved N at the same bond dimension (--length, --bond).

fluctuations: <(N_l - <N_l>)^2> of the l sites in the middle of an open chain, N = L, at most 6 bosons a site, U/t =
3.275, where the Mott lobe ends: 6 sites beside exact diagonalization, 64 and 128 at growing bond dimensions. What the
last step of the bond changes is the bar. Published for 128 sites, in a run of 19.5 minutes: Thamm, Radhakrishnan,
Barghathi, Herdman, Biswas, Rosenow and Del Maestro, "Berezinskii-Kosterlitz-Thouless renormalization group flow at a
quantum phase transition", data/obc/DMRG/sigma2_centerLR_L128_N128_nmax06_t+1.000_... of
github.com/DelMaestroGroup/papers-code-BKTFlowBoseHubbard. About nine minutes of half a core.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import qep_tn as qt
from benchmarks.machine import results_of, write_results
from qep_tn import Number

U = 3.3
CRITICAL_U = 3.275
PUBLISHED = {1: 0.409149037493, 8: 0.874525493637, 16: 1.019393325158, 32: 1.146544105709, 64: 1.207906920466}


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


def speed(options):
    """One ground state by each library, and one gradient."""
    size = options.length, options.bond
    with_numba(8, 16), gradient(8, 16)  # compilation
    common = {"part": "speed", "length": options.length, "bond": options.bond}
    for name, work in {"NumbaDMRG": with_numba, **({"TeNPy": with_tenpy} if options.tenpy else {})}.items():
        seconds, (energy, variance) = timed(work, *size)
        yield common | {"library": name, "seconds": seconds, "energy": energy, "variance": variance}
    seconds, (claimed, trusted) = timed(gradient, *size)
    yield common | {
        "library": "NumbaDMRG, gradient", "seconds": seconds, "relative_error": claimed, "trustworthy": trusted,
    }  # fmt: skip


def central_fluctuations(state, window):
    """<(N_l - <N_l>)^2> of the `window` sites in the middle: the sum over their connected density correlations."""
    first = (len(state.sites) - window) // 2
    sites = range(first, first + window)
    pairs = state.expectation([Number(i) * Number(j) for i in sites for j in sites if i <= j])
    rows, columns = np.triu_indices(window)
    numbers = state.expectation([Number(j) for j in sites])
    connected = pairs - numbers[rows] * numbers[columns]
    return float(np.where(rows == columns, 1, 2) @ connected)


def critical_chain(length, solver):
    """The ground state at U/t = 3.275, and seconds."""
    H = qt.models.bose_hubbard(length, cutoff=6)
    seconds, state = timed(solver.ground_state, H, {"t": 1.0, "U": CRITICAL_U, "mu": 0.0})
    return state, seconds


def fluctuations(_):
    """Number fluctuations at the critical point, by bond dimension."""
    windows, sector = (2, 4), {"N": 6}
    compiled, _ = critical_chain(6, qt.NumbaDMRG(max_bond=128, cutoff=1e-9, threads=1, sector=sector))
    exact, _ = critical_chain(6, qt.ExactDiagonalization(sector=sector))
    yield {
        "part": "fluctuations", "length": 6, "energy_error": compiled.energy - exact.energy,
        "error": {n: central_fluctuations(compiled, n) - central_fluctuations(exact, n) for n in windows},
    }  # fmt: skip
    for length, bonds in ((64, (96, 160)), (128, (96, 160, 256))):
        coarser = None
        for bond in bonds:
            state, seconds = critical_chain(
                length, qt.NumbaDMRG(max_bond=bond, cutoff=1e-9, threads=1, sector={"N": length})
            )
            own, values = timed(lambda found: {n: central_fluctuations(found, n) for n in PUBLISHED}, state)
            row = {
                "part": "fluctuations", "length": length, "bond": bond, "seconds": seconds, "seconds_of_pairs": own,
                "energy": state.energy, "variance": state.energy_variance, "truncation": state.truncation_error,
                "converged": state.converged, "fluctuations": values,
            }  # fmt: skip
            if coarser:
                row["bar"] = {n: abs(values[n] - coarser[n]) for n in values}
            if length == 128:
                row["deviation"] = {n: values[n] - PUBLISHED[n] for n in values}
            coarser = values
            yield row


PARTS = {"speed": speed, "fluctuations": fluctuations}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", help="speed, fluctuations; both if none is named")
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--bond", type=int, default=64)
    parser.add_argument("--tenpy", action="store_true")
    options = parser.parse_args()
    for part in options.parts or PARTS:
        rows = []
        for row in PARTS[part](options):
            print(row, flush=True)
            rows.append(row)
            others = [row for row in results_of("bosons").get("rows", []) if row["part"] != part]
            write_results("bosons", others + rows)


if __name__ == "__main__":
    main()
