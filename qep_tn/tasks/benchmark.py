"""How long solvers take on a user's own model, and how wrong they are, against the number of sites."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qep_tn.descent.table import Column, Table, flattened
from qep_tn.gradients.checks import Scheme, check_problem, check_settings
from qep_tn.gradients.gradient import silent_gradient
from qep_tn.gradients.losses import Loss
from qep_tn.gradients.result import Gradient
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.sites import Sites
from qep_tn.runs.executors import in_order
from qep_tn.runs.folder import RunFolder
from qep_tn.runs.loop import carry_through
from qep_tn.runs.machine import peak_memory, processor
from qep_tn.runs.settings_check import check_fingerprint, fingerprint, model_settings, solver_settings
from qep_tn.solvers.exact import ExactDiagonalization
from qep_tn.solvers.free_fermion import FreeFermion
from qep_tn.solvers.numba_dmrg import NumbaDMRG
from qep_tn.solvers.protocol import Solver, settings_of
from qep_tn.solvers.quimb_dmrg import QuimbDMRG
from qep_tn.solvers.registry import refuse_other_states
from qep_tn.solvers.tenpy_dmrg import TenpyDMRG
from qep_tn.states.ground_state import GroundState, expectations

logger = logging.getLogger("qep_tn")

MEASURED = ("ground_state", "expectation", "gradient", "warm_gradient")  # `NAME_seconds` in the history
_STEEPEST = 3.0  # power of the number of sites with which a time is taken to grow, before two lengths tell it
_WARM_STEP = 0.01  # relative, of theta from the state that a warm gradient begins with, up and down in turn
_FAINT = 1e-6  # of a gradient's natural size: norm below which an error is relative to that
_REFERENCE_DIMENSION = 2**12  # that exact diagonalization takes in seconds
_FINER = 30.0  # rtol over that of the finest run, where there is no exact reference
_FINEST = 1e-6

_COLUMNS = {
    "solver": Column("solver", "1"),
    "L": Column("number of sites", "1"),
    "couplings": Column("number of couplings", "1"),
    "ground_state_seconds": Column("a ground state from a cold start", "s"),
    "expectation_seconds": Column("expectation values of all couplings' operators", "s"),
    "gradient_seconds": Column("a gradient from a cold start, its ground states included", "s"),
    "warm_gradient_seconds": Column("a gradient from the ground state at couplings that differ by one per cent", "s"),
    "repeats": Column("measurements, of which the medians stand here", "1"),
    "memory": Column("resident memory of the process at most", "MB"),
    "max_bond": Column("largest bond dimension of the free state, 0 where it is not an MPS", "1"),
    "energy": Column("ground energy", "energy"),
    "energy_error": Column("difference to the reference's ground energy", "energy"),
    "gradient_error": Column("deviation from the reference's gradient, relative", "1"),
    "claimed_error": Column("estimated relative error of the gradient", "1"),
    "trustworthy": Column("whether nothing speaks against the gradient", "1"),
    "reference": Column("where errors are taken against", "1"),
    "reference_error": Column("estimated relative error of the reference's own gradient", "1"),
    "note": Column("why it was left out", "1"),
    "ground_states": Column("ground states solved for so far", "1"),
    "seconds": Column("wall time of the step, with compilation and the reference", "s"),
}
_NUMBERS = tuple(name for name in _COLUMNS if name not in ("solver", "reference", "note"))


class ScalingProblem(NamedTuple):
    """What is solved at one length."""

    H: Hamiltonian
    theta: Theta
    loss: Loss


class Power(NamedTuple):
    """Seconds that grow as a power of the number of sites: its exponent and standard error, NaN of two lengths."""

    exponent: float
    error: float
    lengths: int


@dataclass(frozen=True)
class Benchmark:
    """Times and errors of solvers at several lengths.

    history: dimension `step`, a row for each solver at each length; see `history.nc` in docs/configuration.md.
    powers: (solver, one of `MEASURED`) -> how it grows.
    """

    history: xr.Dataset
    powers: Mapping[tuple[str, str], Power]

    @property
    def left_out(self) -> list[str]:
        """What was not measured, and why."""
        rows = zip(*(self.history[name].values for name in ("solver", "L", "note")), strict=True)
        return [f"{solver} at L = {L}: {note}" for solver, L, note in rows if note]


def benchmark(
    problem: Callable[[int], ScalingProblem | tuple[Hamiltonian, Theta, Loss]],
    lengths: Sequence[int],
    *,
    solvers: Sequence[Solver] | None = None,
    rtol: float = 1e-2,
    repeat: int = 3,
    limit: float = 120.0,
    run: RunFolder | None = None,
    progress: bool = True,
) -> Benchmark:
    """Time solvers side by side on chains of several lengths: ground state, expectation values, gradients.

    problem: number of sites -> Hamiltonian, its parameters, and a loss.
    solvers: `NumbaDMRG`, `TenpyDMRG` and `QuimbDMRG` if None; each works on one thread, after compilation.
    rtol: of the gradients. repeat: how often each is measured, of which the medians count.
    limit: seconds that a solver may take at one length. It is measured less often where it would take more, at least
        once, and left out at lengths where once would be more, as far as shorter ones tell; of one length, by its cube.
    run: where to save every measurement, or to go on from, also with more lengths after the others.

    Errors are against free fermions where the model is one, exact diagonalization where it is small, or else the finest
    run: `NumbaDMRG` at a thirtieth of rtol. Raises ValueError for settings that do not make sense.
    """
    if solvers is None:
        solvers = (NumbaDMRG(), TenpyDMRG(), QuimbDMRG())
    _check(lengths, solvers, rtol, repeat, limit)
    problems = {L: ScalingProblem(*problem(L)) for L in lengths}
    for H, theta, loss in problems.values():
        check_problem(H, theta, loss, solvers[0], None)
    task = _Measurements(problems, [solver.on_one_thread() for solver in solvers], rtol, repeat, limit)
    settings = {
        "task": "benchmark", "rtol": rtol, "repeat": repeat,
        **{f"{name} of {type(s).__name__}": v for s in solvers for name, v in solver_settings(s).items()},
    }  # fmt: skip
    carry_through(task, run, settings, "benchmark", progress)
    result = Benchmark(task.dataset(), powers_of(task.dataset()))
    if run is not None:
        run.write_summary(_summary(result, solvers, rtol))
    return result


def powers_of(history: xr.Dataset) -> dict[tuple[str, str], Power]:
    """How the seconds of every solver grow with the number of sites: least squares of their logarithms."""
    found = {}
    for solver in dict.fromkeys(map(str, history["solver"].values)):
        rows = history.isel(step=np.flatnonzero(history["solver"].values == solver))
        for name in MEASURED:
            seconds = rows[f"{name}_seconds"].values
            known = np.isfinite(seconds)
            if known.sum() >= 2:
                found[solver, name] = _power(np.log(rows["L"].values[known]), np.log(seconds[known]))
    return found


def _power(x: NDArray, y: NDArray) -> Power:
    shifted = x - x.mean()
    square = float(shifted @ shifted)
    exponent = float(shifted @ y) / square
    left = y - y.mean() - exponent * shifted
    free = len(x) - 2
    return Power(exponent, math.sqrt(float(left @ left) / free / square) if free > 0 else math.nan, len(x))


class _Measurements:
    """Every solver at every length, the shortest first; a `qep_tn.runs.loop.Stepwise` task."""

    unit = "measurement"

    def __init__(
        self, problems: Mapping[int, ScalingProblem], solvers: Sequence[Solver], rtol: float, repeat: int, limit: float
    ) -> None:
        self.problems, self.rtol, self.repeat, self.limit = problems, rtol, repeat, limit
        self.cases = [(L, solver) for L in problems for solver in solvers]
        self.table = Table(_COLUMNS, {"task": "benchmark", "rtol": rtol})
        self._compiled: set[str] = set()
        self._reference: tuple[int, _Reference] | None = None

    @property
    def sites(self) -> Sites:
        """Of the first chain: no state is kept."""
        return next(iter(self.problems.values())).H.sites

    @property
    def rows(self) -> int:
        """How many measurements are done."""
        return len(self.table)

    @property
    def total(self) -> int:
        """How many there will be."""
        return len(self.cases)

    def advance(self) -> bool:
        """The next solver, or length."""
        if self.rows >= self.total:
            return False
        L, solver = self.cases[self.rows]
        name = type(solver).__name__
        began = time.perf_counter()
        row: dict[str, Any] = dict.fromkeys(_NUMBERS, np.nan) | {
            "solver": name, "L": L, "couplings": len(self.problems[L].H.couplings), "repeats": 0, "max_bond": 0,
            "trustworthy": False, "reference": "", "note": self._refusal(name, L), "ground_states": 0,
        }  # fmt: skip
        if not row["note"]:
            try:
                row |= next(iter(in_order(self._measured, [(L, solver)], processes=1)))
            except (ValueError, np.linalg.LinAlgError) as error:  # what this solver cannot take
                row["note"] = str(error)
        self.table.add(row, time.perf_counter() - began)
        logger.info("%s at L = %d: %s", name, L, row["note"] or f"gradient {row['gradient_seconds']:.3g} s")
        return True

    def _refusal(self, name: str, L: int) -> str:
        """Why there is no time for a solver at a length; empty if there is."""
        rows = [row for row in map(self.table.row, range(self.rows)) if row["solver"] == name]
        known = [(row["L"], sum(row[f"{m}_seconds"] for m in MEASURED)) for row in rows if not row["note"]]
        if not known:
            return ""
        (last, seconds), power = known[-1], _STEEPEST
        if len(known) > 1:
            before, faster = known[-2]
            power = max(0.0, math.log(seconds / faster) / math.log(last / before))
        expected = seconds * (L / last) ** power
        return f"time: about {expected:.0f} s, more than limit = {self.limit:g} s" if expected > self.limit else ""

    def _measured(self, case: tuple[int, Solver]) -> dict[str, Any]:
        L, solver = case
        problem, name = self.problems[L], type(solver).__name__
        if name not in self._compiled:
            _once(problem, solver, self.rtol)
            self._compiled.add(name)
        began, found = time.perf_counter(), []
        with peak_memory() as memory:
            for n in range(self.repeat):
                if n and (time.perf_counter() - began) * (n + 1) / n > self.limit:
                    break
                found.append(_once(problem, solver, self.rtol))
        reference, last = self._reference_at(L), found[-1]
        size = max(float(np.linalg.norm(reference.gradient)), _FAINT * last.gradient.natural_size)
        deviation = np.linalg.norm(flattened(problem.H, last.gradient.gradient) - reference.gradient)
        return {
            **{f"{m}_seconds": float(np.median([each.seconds[m] for each in found])) for m in MEASURED},
            "repeats": len(found),
            "memory": memory.megabytes,
            "max_bond": max(last.gradient.free.bond_dimensions, default=0),
            "energy": last.gradient.free.energy,
            "energy_error": last.gradient.free.energy - reference.energy,
            "gradient_error": 0.0 if size == 0 else float(deviation / size),
            "claimed_error": last.gradient.relative_error,
            "trustworthy": last.gradient.trustworthy,
            "reference": reference.name,
            "reference_error": reference.error,
            "ground_states": sum(each.gradient.ground_states for each in found),
        }

    def _reference_at(self, L: int) -> _Reference:
        if self._reference is None or self._reference[0] != L:
            unknown = _Reference("none", np.nan, np.full(len(self.problems[L].H.couplings), np.nan), np.nan)
            self._reference = L, next(_references(self.problems[L], self.rtol), unknown)
        return self._reference[1]

    def figures(self) -> dict[str, str]:
        """The last measurement."""
        row = self.table.row(-1)
        return {row["solver"]: f"L = {row['L']}, {row['gradient_seconds']:.3g} s"}

    def dataset(self) -> xr.Dataset:
        """All rows."""
        return self.table.dataset()

    def snapshot(self) -> tuple[Sequence[GroundState], dict[str, Any]]:
        """How many rows there are: all else is in them."""
        measured = [L for L in self.problems if any(self.table.row(n)["L"] == L for n in range(self.rows))]
        made_of = json.dumps({L: _fingerprint(self.problems[L]) for L in measured})
        return (), {"step": self.rows, "measurements": self.rows, "made_of": made_of}

    def restore(self, states: Sequence[GroundState], extra: Mapping[str, Any], run: RunFolder) -> None:
        """Go back to the rows of a run. Raises ValueError if they are not the first of those that there shall be."""
        rows = int(extra["measurements"])
        recorded = run.load_history(rows)
        there = list(zip(map(int, recorded["L"].values), map(str, recorded["solver"].values), strict=True))
        wanted = [(L, type(solver).__name__) for L, solver in self.cases]
        if there != wanted[:rows]:
            raise ValueError(
                f"{run.path} has measured {there[-1][1]} at L = {there[-1][0]}, and lengths and solvers do not begin "
                "as there; longer chains may be added at the end, or take another folder with --out"
            )
        for L, before in json.loads(str(extra["made_of"])).items():
            check_fingerprint(before, _fingerprint(self.problems[int(L)]), f"L = {L} in {run.path}")
        self.table.fill(recorded[[name for name in recorded.data_vars if "step" in recorded[name].dims]])


def _fingerprint(problem: ScalingProblem) -> dict[str, str]:
    return fingerprint({**model_settings(problem.H, problem.theta), "loss": problem.loss})


class _Once(NamedTuple):
    """Seconds of each of `MEASURED`, and the cold gradient."""

    seconds: Mapping[str, float]
    gradient: Gradient


class _Reference(NamedTuple):
    """What errors are taken against."""

    name: str
    energy: float
    gradient: NDArray
    error: float


def _once(problem: ScalingProblem, solver: Solver, rtol: float) -> _Once:
    H, theta, loss = problem
    tuned = solver.resolving(rtol, "symmetric", len(H.sites), auto=True)
    given = H.flatten(theta)
    near = H.unflatten(given * (1 + _WARM_STEP * (-1.0) ** np.arange(len(given))))  # all alike would scale H alone
    times = [time.perf_counter()]
    free = tuned.ground_state(H, theta)
    times.append(time.perf_counter())
    expectations(free.state, H.couplings)
    times.append(time.perf_counter())
    cold = silent_gradient(H, theta, loss, solver, rtol, "auto", "symmetric", None)
    times.append(time.perf_counter())
    silent_gradient(H, near, loss, solver, rtol, "auto", "symmetric", cold.free)
    times.append(time.perf_counter())
    return _Once(dict(zip(MEASURED, map(float, np.diff(times)), strict=True)), cold)


def _references(problem: ScalingProblem, rtol: float) -> Iterator[_Reference]:
    """What errors can be taken against, the best first."""
    H, theta, loss = problem
    finest = max(rtol / _FINER, _FINEST)
    candidates: list[tuple[str, Solver, Scheme]] = [("free fermions", FreeFermion(), "symmetric")]
    if math.prod(site.dimension for site in H.sites) <= _REFERENCE_DIMENSION:
        candidates.append(("exact diagonalization", ExactDiagonalization(), "linear-response"))
    candidates.append((f"NumbaDMRG, rtol {finest:.1g}", NumbaDMRG(threads=1), "symmetric"))
    for name, solver, scheme in candidates:
        try:
            g = silent_gradient(H, theta, loss, solver, finest, "auto", scheme, None)
        except (ValueError, np.linalg.LinAlgError):  # it cannot take this model, or this loss
            continue
        name = name if g.trustworthy else f"{name} (not trusted)"
        yield _Reference(name, g.free.energy, flattened(H, g.gradient), g.relative_error)


def _check(lengths: Sequence[int], solvers: Sequence[Solver], rtol: float, repeat: int, limit: float) -> None:
    whole = all(isinstance(L, int | np.integer) and not isinstance(L, bool) and L >= 1 for L in lengths)
    if not lengths or not whole or list(lengths) != sorted(set(lengths)):
        raise ValueError(f"lengths = {list(lengths)}: give different numbers of sites, the shortest first")
    names = [type(solver).__name__ for solver in solvers]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"solvers are {', '.join(names) or 'none'}; give one or more, of different kinds")
    for solver in solvers:
        refuse_other_states(solver, "benchmark compares with")
        check_settings(solver, rtol, "auto", "symmetric", "cheap", "full", measured=False)
    if isinstance(repeat, bool) or not isinstance(repeat, int | np.integer) or repeat < 1:
        raise ValueError(f"repeat is {repeat!r}; it must be a whole number, 1 or more")
    if not limit > 0:
        raise ValueError(f"limit is {limit!r}; it must be a number of seconds, more than 0")


def _summary(result: Benchmark, solvers: Sequence[Solver], rtol: float) -> dict[str, Any]:
    return {
        "task": "benchmark",
        "rtol": rtol,
        "solvers": [settings_of(solver) for solver in solvers],
        "processor": processor(),
        "left_out": result.left_out,
        "powers": {
            f"{solver} {name}": {"exponent": power.exponent, "error": power.error, "lengths": power.lengths}
            for (solver, name), power in result.powers.items()
        },
        "seconds": float(result.history["seconds"].sum()),
    }
