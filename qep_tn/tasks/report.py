"""What the command line says about results: tables for people, summaries for programs."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import xarray as xr

from qep_tn.descent.table import flattened
from qep_tn.gradients.result import Gradient
from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.solvers.protocol import Solver, settings_of
from qep_tn.tasks.benchmark import MEASURED, Benchmark
from qep_tn.tasks.verify import Verification

TABLE_ROWS = 20


def gradient_table(H: Hamiltonian, g: Gradient, seconds: float) -> str:
    """The largest components with their errors, and how far to trust them."""
    values, errors = flattened(H, g.gradient), flattened(H, g.error)
    order = np.argsort(-np.abs(values), kind="stable")[:TABLE_ROWS]
    width = max(len("coupling"), *(len(H.labels[k]) for k in order))
    lines = [f"{'coupling':{width}}  {'gradient':>15}  {'error':>8}"]
    lines += [f"{H.labels[k]:{width}}  {values[k]:15.8g}  {errors[k]:8.1e}" for k in order]
    if len(values) > TABLE_ROWS:
        lines.append(f"... and {len(values) - TABLE_ROWS} smaller ones, all in history.nc")
    by_device = g.shots is not None and g.shots.circuits is None  # which shows no states
    lines += [
        f"value           {g.value:.10g} +- {g.value_error:.1e}",
        f"relative error  {g.relative_error:.1e}",
        *([f"nudge           {g.beta:.3g}"] if by_device else []),
        *([f"overlap         {g.overlap:.6f}"] if g.nudged and not by_device else []),
        f"trustworthy     {'yes' if g.trustworthy else 'no'}: {g.message}",
    ]
    if not by_device:
        lines.append(f"bond dimension  {max(g.free.bond_dimensions, default=0) or 'none, the solver is exact'}")
    lines.append(f"time            {seconds:.1f} s, {g.ground_states} ground states")
    if g.free.sector is not None:
        lines.insert(-1, f"sector          {', '.join(f'{name} = {value:g}' for name, value in g.free.sector.items())}")
    return "\n".join(lines)


def gradient_summary(g: Gradient, solver: Solver, seconds: float) -> dict[str, Any]:
    """The figures of a gradient, without its components."""
    return {
        "task": "gradient",
        "solver": settings_of(solver),
        "value": g.value,
        "value_error": g.value_error,
        "relative_error": g.relative_error,
        "trustworthy": g.trustworthy,
        "converged": g.converged,
        "message": g.message,
        "overlap": _known(g.overlap),
        "beta": g.beta,
        "energy": _known(g.free.energy),
        "sector": None if g.free.sector is None else dict(g.free.sector),
        "energy_variance": _known(g.free.energy_variance),
        "max_bond": max(g.free.bond_dimensions, default=0),
        "ground_states": g.ground_states,
        "seconds": seconds,
    }


def _known(value: float) -> float | None:
    """A figure, or None where nobody knows it, as of a device, which JSON has no number for."""
    return None if math.isnan(value) else value


def boundary_table(history: xr.Dataset) -> str:
    """The points of every curve with their errors, their limits if there are several lengths, and the curve's ends."""
    a, b = history.attrs["plane"]
    scaled = "length" in history.dims
    ending = "_infinite" if scaled else ""
    stops = history["stop"].attrs["flag_meanings"].split()
    lines = []
    for number in range(history.sizes["curve"]):
        curve = history.isel(curve=number)
        first, last = (stops[int(stop)].replace("_", " ") for stop in curve["stop"])
        columns = [f"{name:>12} {'error':>9}" for name in (a, b)] + ["ground states"]
        lines += [
            f"curve {number}{', L to infinity' * scaled}: {int(curve['points'])} points; its ends: {first}, {last}",
            " ".join(columns),
        ]
        for n in range(int(curve["points"])):
            point = curve.isel(point=n)
            values = [(float(point[f"{name}{ending}"]), float(point[f"{name}{ending}_error"])) for name in (a, b)]
            shown = [f"{value:12.6f} {_error(error)}" for value, error in values]
            lines.append(" ".join([*shown, f"{int(point['ground_states'].sum()):13}"]))
    return "\n".join(lines)


def _error(value: float) -> str:
    return f"{value:9.1e}" if value else f"{'set':>9}"


def verification_summary(verification: Verification) -> dict[str, Any]:
    """All comparisons, and what was left out of them; a number that could not be had is null."""
    rows = [
        {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(row).items()}
        | {"verdict": row.verdict}
        for row in verification.rows
    ]
    return {
        "task": "verify",
        "passed": verification.passed,
        "notes": list(verification.notes),
        "left_out": list(verification.left_out),
        "rows": rows,
    }


def benchmark_table(result: Benchmark) -> str:
    """A line for each solver at each length, how their times grow, and what was left out."""
    lines: list[tuple[str, ...]] = [(
        "L", "solver", "ground (s)", "values (s)", "gradient (s)", "warm (s)", "bond", "MB", "dE", "error", "claimed",
        "against",
    )]  # fmt: skip
    rows = result.history
    for n in range(rows.sizes["step"]):
        row = {str(name): rows[name].values[n] for name in rows.data_vars}
        if row["note"]:
            continue
        doubt = "" if row["trustworthy"] else " (not trusted)"
        lines.append((
            str(int(row["L"])), str(row["solver"]), *(f"{row[f'{name}_seconds']:.3g}" for name in MEASURED),
            str(int(row["max_bond"])), f"{row['memory']:.0f}", f"{row['energy_error']:.1e}",
            f"{row['gradient_error']:.1e}", f"{row['claimed_error']:.1e}{doubt}", str(row["reference"]),
        ))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    powers = [
        f"{solver}: {name.replace('_', ' ')} grows as L^({power.exponent:.2f} +- {power.error:.2f})"
        for (solver, name), power in result.powers.items()
        if power.lengths > 2
    ]
    return "\n".join([text[0], "-" * len(text[0]), *text[1:], *powers, *(f"left out: {o}" for o in result.left_out)])
