"""One QEP gradient of every coupling of a 128-site cluster-Ising chain: NumbaDMRG, TeNPy, quimb, block2.

    python -m benchmarks.gradient

All on one thread, in one run, after compilation, from a cold start; median of the repetitions. Each library's own
solvers find the free and both nudged states as its users would write it, with the smallest bond dimension out of a
list that reaches a relative error of 1e-4 against free fermions; NumbaDMRG, error estimate included, with the largest
`rtol` out of a list that does. block2's gradient is not formed, so its bond is that which the accuracy needs elsewhere.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import qep_tn as qt
from benchmarks.machine import write_results
from qep_tn import X

L = 128
BETA = 1e-2
GAPPED = {"paramagnet": (2.5, 1.0, 0.5), "ferromagnet": (1.0, 2.8, 0.2), "cluster": (0.5, 1.0, 2.5)}
POINTS = {**GAPPED, "near-critical": (1.0, 0.5, 1.2)}
BONDS = (8, 12, 16, 24, 32, 48, 64)


def chain(point):
    """The chain, its parameters at a point, the loss, and the exact gradient."""
    H = qt.models.cluster_ising(L, local=True)
    theta = {n: np.full(L - k, g) for k, (n, g) in enumerate(zip(("g_x", "g_zz", "g_zxz"), point, strict=True))}
    loss = qt.Expectation(X(L // 2 - 2) * X(L // 2 + 2))
    return H, theta, loss, H.flatten(qt.gradient(H, theta, loss, solver=qt.FreeFermion()).gradient)


def with_tenpy(point, bond, beta):
    """TeNPy alone: two-site DMRG with a mixer, then one-site DMRG from the free state for both signs."""
    from tenpy.algorithms.dmrg import SingleSiteDMRGEngine, TwoSiteDMRGEngine
    from tenpy.models import CouplingMPOModel
    from tenpy.networks.mps import MPS
    from tenpy.networks.site import SpinHalfSite

    class ClusterIsing(CouplingMPOModel):
        default_lattice = "Chain"

        def init_sites(self, params):
            return SpinHalfSite(conserve=None)

        def init_terms(self, params):
            g_x, g_zz, g_zxz = point
            for j in range(L):
                self.add_onsite_term(-g_x, j, "Sigmax")
            for j in range(L - 1):
                self.add_coupling_term(-g_zz, j, j + 1, "Sigmaz", "Sigmaz")
            for j in range(L - 2):
                self.add_multi_coupling_term(-g_zxz, [j, j + 1, j + 2], ["Sigmaz", "Sigmax", "Sigmaz"], ["Id", "Id"])
            if params.get("nudge", 0.0):
                self.add_coupling_term(params["nudge"], L // 2 - 2, L // 2 + 2, "Sigmax", "Sigmax")

    def model(nudge):
        return ClusterIsing({"L": L, "bc_MPS": "finite", "nudge": nudge})

    psi = MPS.from_product_state(model(0.0).lat.mps_sites(), [[np.sqrt(0.5), np.sqrt(0.5)]] * L, bc="finite")
    truncation = {"trunc_params": {"chi_max": bond, "svd_min": 1e-7}}
    mixer = {"mixer": True, "mixer_params": {"amplitude": 1e-4, "decay": 2.0, "disable_after": 6}}
    TwoSiteDMRGEngine(psi, model(0.0), {**truncation, **mixer, "max_E_err": 1e-10, "max_sweeps": 40}).run()
    values = []
    one_site = {**truncation, "mixer": None, "max_E_err": 1e-11, "max_sweeps": 20}
    for sign in (1, -1):
        nudged = psi.copy()
        SingleSiteDMRGEngine(nudged, model(sign * beta), one_site).run()
        x = nudged.expectation_value("Sigmax")
        zz = nudged.expectation_value_multi_sites
        values.append(np.concatenate([
            -np.asarray(x).real,
            [-np.real(zz(["Sigmaz", "Sigmaz"], j)) for j in range(L - 1)],
            [-np.real(zz(["Sigmaz", "Sigmax", "Sigmaz"], j)) for j in range(L - 2)],
        ]))  # fmt: skip
    return (values[0] - values[1]) / (2 * beta)


def with_quimb(point, bond, beta):
    """quimb alone: DMRG2, then DMRG1 from the free state for both signs."""
    import quimb as qu
    import quimb.tensor as qtn

    H = qt.models.cluster_ising(L, local=True)
    loss = X(L // 2 - 2) * X(L // 2 + 2)
    nudged_hamiltonian = H.with_parameter("nudge", [loss])  # only to build quimb's MPO
    theta = {n: np.full(L - k, g) for k, (n, g) in enumerate(zip(("g_x", "g_zz", "g_zxz"), point, strict=True))}
    free = qtn.DMRG2(H.to_quimb(theta), bond_dims=[8, 16, bond], cutoffs=1e-10)
    free.solve(tol=1e-9, max_sweeps=30)
    x, z = qu.pauli("X"), qu.pauli("Z")
    values = []
    for sign in (1, -1):
        engine = qtn.DMRG1(
            nudged_hamiltonian.to_quimb({**theta, "nudge": np.array([sign * beta])}),
            bond_dims=bond,
            p0=free.state.copy(),
        )
        engine.opts.update(local_eig_tol=1e-10)
        engine.solve(tol=1e-12, max_sweeps=10, bond_dims=free.state.max_bond())
        values.append(local_values(engine.state, x, z))
    return (values[0] - values[1]) / (2 * beta)


def local_values(state, x, z):
    """<-X>, <-ZZ>, <-ZXZ> everywhere, by quimb's canonical local expectations."""
    terms = {(j,): -x for j in range(L)}
    info = {"cur_orthog": None}
    xs = state.compute_local_expectation(terms, return_all=True, method="canonical", info=info)
    pairs = {(j, j + 1): -(z & z) for j in range(L - 1)}
    zzs = state.compute_local_expectation(pairs, return_all=True, method="canonical", info=info)
    triples = {(j, j + 1, j + 2): -(z & x & z) for j in range(L - 2)}
    zxzs = state.compute_local_expectation(triples, return_all=True, method="canonical", info=info)
    return np.real([*xs.values(), *zzs.values(), *zxzs.values()])


def with_block2(point, bond, beta):
    """block2: free and both nudged solves (its local expectation values are not timed: the gradient is not formed)."""
    from pyblock2.driver.core import DMRGDriver, SymmetryTypes

    driver = DMRGDriver(scratch=tempfile.mkdtemp(), symm_type=SymmetryTypes.SAny, n_threads=1)
    driver.set_symmetry_groups("Z2")  # one sector holds everything: no symmetry is used
    sector = driver.bw.SX(0)
    driver.initialize_system(n_sites=L, vacuum=sector, target=sector, hamil_init=False)
    operators = {"": np.eye(2), "X": np.array([[0.0, 1.0], [1.0, 0.0]]), "Z": np.diag([1.0, -1.0])}
    driver.ghamil = driver.get_custom_hamiltonian([[(sector, 2)]] * L, [operators] * L)
    g_x, g_zz, g_zxz = point

    def mpo(nudge):
        b = driver.expr_builder()
        b.add_term("X", list(range(L)), -g_x)
        b.add_term("ZZ", [k for j in range(L - 1) for k in (j, j + 1)], -g_zz)
        b.add_term("ZXZ", [k for j in range(L - 2) for k in (j, j + 1, j + 2)], -g_zxz)
        if nudge:
            b.add_term("XX", [L // 2 - 2, L // 2 + 2], nudge)
        return driver.get_mpo(b.finalize(adjust_order=True), iprint=0)

    ket = driver.get_random_mps(tag="FREE", bond_dim=8, nroots=1)
    sweeps = {"bond_dims": [8, 16] + [bond] * 20, "noises": [1e-3, 1e-4, 1e-5, 1e-6, 0.0], "thrds": [1e-10] * 24}
    driver.dmrg(mpo(0.0), ket, n_sweeps=30, tol=1e-10, iprint=0, **sweeps)
    for n, sign in enumerate((1, -1)):
        nudged = driver.copy_mps(ket, tag=f"NUDGED{n}")
        driver.dmrg(
            mpo(sign * beta), nudged, n_sweeps=6, tol=1e-12, iprint=0, bond_dims=[bond], noises=[0.0], thrds=[1e-12]
        )


def with_numba(point, bond, beta):
    """NumbaDMRG: `qt.gradient`, its error estimate included; bond: (rtol, max_bond)."""
    H, theta, loss, _ = chain.cached[point]
    rtol, max_bond = bond
    return H.flatten(qt.gradient(H, theta, loss, solver=qt.NumbaDMRG(max_bond, threads=1), rtol=rtol).gradient)


def median_time(work: Callable, repetitions: int):
    """The median time of some calls, and the last one's result."""
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), result


def measure(name: str, work: Callable, point, exact, bonds, repetitions: int) -> dict:
    """Time and error of one library at the first bond dimension that reaches an error of 1e-4."""
    row: dict = {"library": name}
    for bond in bonds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seconds, gradient = median_time(lambda bond=bond: work(point, bond, BETA), repetitions)
        error = None if gradient is None else float(np.linalg.norm(gradient - exact) / np.linalg.norm(exact))
        row |= {"seconds": seconds, "max_bond": bond, "relative_error": error}
        print("   ", row, flush=True)
        if error is None or error <= 1e-4:
            break
    return row


def with_block2_if_installed(name: str, repetitions: int) -> list[dict]:
    """block2's row at a point, or none."""
    if importlib.util.find_spec("pyblock2") is None:
        print("    block2 is not installed: skipped")
        return []
    return [measure("block2", with_block2, POINTS[name], None, (32,) if name in GAPPED else (24,), repetitions)]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=1, help="of the libraries; NumbaDMRG takes five")
    parser.add_argument("--points", nargs="*", default=list(POINTS))
    args = parser.parse_args()
    chain.cached = {point: chain(point) for point in POINTS.values()}
    with_numba(POINTS["ferromagnet"], (1e-4, 128), BETA)  # compiles
    rows = []
    for name in args.points:
        point = POINTS[name]
        exact = chain.cached[point][3]
        print(name, point)
        bonds = {"gapped": (32, 64)}.get("gapped" if name in GAPPED else "", BONDS[1:])
        ours = measure("NumbaDMRG", with_numba, point, exact, ((1e-2, 64), (1e-3, 64), (1e-4, 64)), 5)
        for row in (
            ours,
            measure("TeNPy", with_tenpy, point, exact, bonds, args.repetitions),
            measure("quimb", with_quimb, point, exact, bonds, args.repetitions),
            *with_block2_if_installed(name, args.repetitions),
        ):
            rows.append({"point": name, "parameters": point, **row, "ratio": row["seconds"] / ours["seconds"]})
    print(f"{'point':15} {'library':10} {'bond':>12} {'seconds':>9} {'ratio':>7}  relative error")
    for r in rows:
        figures = f"{r['max_bond']!s:>12} {r['seconds']:9.3f} {r['ratio']:7.1f}  {r['relative_error']}"
        print(f"{r['point']:15} {r['library']:10} {figures}")
    write_results("gradient", rows, length=L, beta=BETA)
    draw(rows)


def draw(rows: list[dict]) -> None:
    """The figure: seconds for one gradient, library by library."""
    libraries = list(dict.fromkeys(row["library"] for row in rows))
    points = list(dict.fromkeys(row["point"] for row in rows))
    figure, axis = plt.subplots(figsize=(5, 2.8), layout="constrained")
    for n, library in enumerate(libraries):
        seconds = [next((r["seconds"] for r in rows if (r["library"], r["point"]) == (library, p)), 0) for p in points]
        axis.bar(np.arange(len(points)) + 0.2 * n - 0.3, seconds, 0.2, label=library)
    axis.set(yscale="log", ylabel="seconds for one gradient", title="$L = 128$, one thread", ylim=(0.05, 300))
    axis.set_xticks(range(len(points)), points)
    axis.legend(frameon=False, ncols=len(libraries), fontsize="small")
    figure.savefig(Path(__file__).parent / "results" / "gradient.png", dpi=200)


if __name__ == "__main__":
    main()
