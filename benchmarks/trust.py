"""Whether what a gradient says of itself is so: `python -m benchmarks.trust`.

Cases of `benchmarks.hard_cases`, 8 to 12 sites, at bond dimensions 4, 8 and 128 and relative errors 1e-2 and 1e-4,
against dense algebra that shares nothing with the package: matrices from Kronecker products, and first-order
perturbation theory as a sum over all states. A degenerate level has no gradient, unless all its states have the same
one and no coupling parts them. Prints a table by family, and writes it with what is trusted and wrong to
benchmarks/results/trust.json. About 20 minutes on one core; a run that was broken off goes on.
"""

import argparse
import json
import warnings
from functools import cache, reduce
from pathlib import Path
from tempfile import gettempdir
from time import perf_counter

import numpy as np
import scipy.sparse as sp
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse.linalg import eigsh
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.hard_cases import DEVELOPED, HELD_OUT
from benchmarks.machine import write_results
from qep_tn.gradients.gradient import _fully_certified

BONDS, RTOLS = (4, 8, 128), (1e-2, 1e-4)
SITES = (8, 9, 10, 10, 9, 8, 10, 9, 8, 10, 9, 10, 11, 12)  # of one case after another
TIMES_CLAIM = 10  # an error beyond this many times the claim, and beyond rtol, is wrong
NEGLIGIBLE = 1e-6  # of a gradient's natural size: no gradient counts for less
TOO_HIGH = 1e-6  # of the sum of all coefficients: an energy above the ground state's
ONE_LEVEL = 1e-13  # of it, rounding: where two are one, no gradient is defined unless all their states agree
LISTED = ("trusted and wrong", "converged too high")  # failures that are written one by one
IN_FULL = 1024  # largest dimension whose whole spectrum is computed


@cache
def one_site(name, dimension):
    """Pauli and spin matrices."""
    spin = (dimension - 1) / 2
    m = spin - np.arange(dimension)
    up = np.diag(np.sqrt(spin * (spin + 1) - m[1:] * (m[1:] + 1)), 1)
    spins = {"x": (up + up.T) / 2, "y": (up - up.T) / 2j, "z": np.diag(m)}
    return 2 * spins[name.lower()] if len(name) == 1 else spins[name[1]]


def matrix(operator, dimensions):
    """Of an operator, by Kronecker products."""
    total = sp.csr_matrix((np.prod(dimensions),) * 2, dtype=complex)
    for product, coefficient in operator.terms.items():
        factors = [sp.identity(d, format="csr") for d in dimensions]
        for site, names in product:
            factors[site] = sp.csr_matrix(reduce(np.matmul, (one_site(n, dimensions[site]) for n in names)))
        total = total + coefficient * reduce(lambda a, b: sp.kron(a, b, "csr"), factors)
    return total


class Exact:
    """Ground states and gradients of a case; `gradient` is None where it does not exist."""

    def __init__(self, H, theta, loss):
        dimensions = [site.dimension for site in H.sites]
        self.couplings = [matrix(a, dimensions) for a in H.couplings]
        observables = [matrix(o, dimensions) for o in loss.observables]
        values = H.flatten(theta)
        total = sum((v * a for v, a in zip(values, self.couplings, strict=True)), matrix(H.fixed, dimensions))
        total = total if abs(total.imag).max() > 0 else total.real
        self.scale = float(np.abs(H.coefficients(theta)).sum())
        energies, vectors = self._levels(total)
        self.energy = float(energies[0])
        level = energies < self.energy + ONE_LEVEL * self.scale
        self.degeneracy, self.gap = int(level.sum()), float(energies[~level][0] - self.energy)
        ground = vectors[:, level]
        expectations = np.array([np.vdot(ground[:, 0], o @ ground[:, 0]).real for o in observables])
        signal = loss.error_signal(expectations)
        nudge = sum(s * o for s, o in zip(signal, observables, strict=True))
        self.gradient = None
        if all(_is_a_number(ground.conj().T @ (a @ ground)) for a in (*self.couplings, *observables)):
            applied = nudge @ ground
            response = self._resolvent(total, energies, vectors, applied - ground @ (ground.conj().T @ applied))
            effects = [ground.conj().T @ (a @ response) for a in self.couplings]
            effects = [e + e.conj().T for e in effects]
            if all(_is_a_number(e) for e in effects):
                self.gradient = np.array([np.trace(e).real / len(e) for e in effects])

    def _levels(self, total):
        if total.shape[0] <= IN_FULL:
            return np.linalg.eigh(total.toarray())
        rng = np.random.default_rng(0)
        energies, vectors = eigsh(total, k=8, which="SA", ncv=80, v0=rng.normal(size=total.shape[0]), tol=1e-13)
        order = np.argsort(energies)
        return energies[order], np.linalg.qr(vectors[:, order])[0]

    def _resolvent(self, total, energies, vectors, right):
        """-Q (H - E)^-1 Q right, where Q leaves out the ground states."""
        many = self.degeneracy
        if len(energies) == total.shape[0]:
            coefficients = vectors[:, many:].conj().T @ right
            return vectors[:, many:] @ (coefficients / (self.energy - energies[many:])[:, None])
        ground = vectors[:, :many]
        shifted = total.toarray() - self.energy * np.eye(total.shape[0]) + self.scale * ground @ ground.conj().T
        return -cho_solve(cho_factor(shifted, overwrite_a=True), right)


def _is_a_number(block):
    """Whether a matrix is a multiple of one."""
    return np.abs(block - np.trace(block) / len(block) * np.eye(len(block))).max() < 1e-8


def measured(family, number, settings, full):
    """All gradients of one case at these (bond dimension, rtol)."""
    rng = np.random.default_rng([number, 4711, *map(ord, family.__name__)])
    H, theta, loss = family(SITES[number % len(SITES)], rng)
    exact = Exact(H, theta, loss)
    for bond, rtol in settings:
        begin = perf_counter()
        solver = qt.NumbaDMRG(max_bond=bond, threads=1)
        found = qt.gradient(H, theta, loss, solver=solver, rtol=rtol)
        seconds = perf_counter() - begin
        row = {
            "family": family.__name__, "number": number, "sites": len(H.sites), "bond": bond, "rtol": rtol,
            "gap": exact.gap, "degeneracy": exact.degeneracy, "nudge": found.certificate.nudge,
            "too_high": (found.free.energy - exact.energy) / exact.scale, "converged": found.free.converged,
            "truncated": max(found.free.bond_dimensions) >= bond, "truncation": found.free.truncation_error,
            "trusted": found.trustworthy, "status": found.status.name, "residual": found.residual,
            "overlap": found.overlap, "claim": found.relative_error, "seconds": seconds,
        }  # fmt: skip
        if full:
            row["full"] = _fully_certified(found, H, theta, loss, solver).status.name
        if exact.gradient is None:
            yield row | {"error": None, "norm": None, "right": False, "wrong": False}
            continue
        norm = max(float(np.linalg.norm(exact.gradient)), NEGLIGIBLE * found.natural_size, 1e-300)
        error = float(np.linalg.norm(H.flatten(found.gradient) - exact.gradient))
        claim = float(np.linalg.norm(H.flatten(found.error)))
        yield row | {
            "error": error / norm, "norm": norm / max(found.natural_size, 1e-300), "right": error <= rtol * norm,
            "wrong": error > max(TIMES_CLAIM * claim, rtol * norm),
        }  # fmt: skip


def failures(row, certify):
    """What is amiss with a row: names of columns."""
    trusted = row["status" if certify == "cheap" else "full"] == "TRUSTWORTHY"
    names = {
        "trusted and wrong": trusted and row["wrong"],
        "trusted without one": trusted and row["error"] is None,
        "converged too high": row["converged"] and not row["truncated"] and row["too_high"] > TOO_HIGH,
        "too high, bonds at limit": row["converged"] and row["truncated"] and row["too_high"] > TOO_HIGH,
        "right, refused": row["right"] and not trusted,
    }  # fmt: skip
    return [name for name, is_so in names.items() if is_so]


def summary(rows, certify):
    """One line of the table, as numbers by name."""
    said = [row["status" if certify == "cheap" else "full"] == "TRUSTWORTHY" for row in rows]
    amiss = [name for row in rows for name in failures(row, certify)]
    right = sum(row["right"] for row in rows)
    return {
        "cases": len(rows), "trusted": sum(said), "trusted and wrong": amiss.count("trusted and wrong"),
        "without one": sum(row["error"] is None for row in rows),
        "trusted without one": amiss.count("trusted without one"),
        "converged too high": amiss.count("converged too high"),
        "too high, bonds at limit": amiss.count("too high, bonds at limit"), "right": right,
        "right, refused": amiss.count("right, refused"),
    }  # fmt: skip


def table(rows):
    """The table by family, and for all of each half; for both certificates where they were asked for."""
    lines = []
    for certify in ("cheap", "full") if any("full" in row for row in rows) else ("cheap",):
        for families in (DEVELOPED, HELD_OUT):
            names = [f.__name__ for f in families if any(row["family"] == f.__name__ for row in rows)]
            groups = {name: [row for row in rows if row["family"] == name] for name in names}
            groups["all"] = [row for name in names for row in groups[name]]
            half = "developed on" if families is DEVELOPED else "held out"
            for name, group in groups.items():
                if group:
                    lines.append({"certify": certify, "half": half, "family": name} | summary(group, certify))
    return lines


def printed(lines):
    """The table as text."""
    columns = (
        "cases", "trusted", "trusted and wrong", "trusted without one", "converged too high",
        "too high, bonds at limit", "right, refused",
    )  # fmt: skip
    head = f"{'certify':8}{'half':14}{'family':22}" + "".join(f"{name:>25}" for name in columns)
    rows = [
        f"{line['certify']:8}{line['half']:14}{line['family']:22}"
        + "".join(f"{line[name]:25}" for name in columns)
        + f" ({100 * line['right, refused'] / max(line['right'], 1):.0f} %)"
        for line in lines
    ]
    return "\n".join([head, *rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=14, help="of each family; each is taken at six settings")
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--half", choices=["developed", "held-out", "both"], default="both")
    parser.add_argument("--families", nargs="*", help="only these")
    parser.add_argument("--cheap", action="store_true", help="leave full certificates out")
    parser.add_argument(
        "--rows", type=Path, default=Path(gettempdir()) / "qep_tn_trust.jsonl", help="what is done so far"
    )
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/trust.json")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    halves = {"developed": DEVELOPED, "held-out": HELD_OUT, "both": DEVELOPED + HELD_OUT}
    families = [f for f in halves[given.half] if not given.families or f.__name__ in given.families]
    rows = [json.loads(line) for line in given.rows.read_text().splitlines()] if given.rows.exists() else []
    done = {(row["family"], row["number"], row["bond"], row["rtol"]) for row in rows}
    with threadpool_limits(1), given.rows.open("a") as file:
        for number in range(given.first, given.first + given.cases):
            for family in families:
                settings = [(bond, rtol) for bond in BONDS for rtol in RTOLS]
                left = [s for s in settings if (family.__name__, number, *s) not in done]
                for row in measured(family, number, left, not given.cheap) if left else ():
                    rows.append(row)
                    file.write(json.dumps(row, default=float) + "\n")
                    file.flush()
    lines = table(rows)
    print(printed(lines))
    if given.write:
        certified = ("cheap", "full") if any("full" in row for row in rows) else ("cheap",)
        bad = [row for row in rows if any(set(failures(row, c)) & set(LISTED) for c in certified)]
        write_results("trust", lines, bonds=BONDS, rtols=RTOLS, failures=bad)


if __name__ == "__main__":
    main()
