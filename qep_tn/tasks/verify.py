"""Verify solvers against exact diagonalization: one small system through every solver that can take it.

Compared are the ground energy, the expectation values of all coupling operators, the gradient of an objective,
and reciprocity: the response matrix chi_jk = d<A_j>/d theta_k must be symmetric (Onsager). What does not fit into the
time is left out, and said to be.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numba.core import event
from numpy.typing import NDArray
from tqdm import tqdm

from qep_tn.descent.table import flattened
from qep_tn.gradients.gradient import gradient
from qep_tn.gradients.losses import Expectation, Loss
from qep_tn.gradients.result import Gradient
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.solvers.exact import ExactDiagonalization
from qep_tn.solvers.protocol import Solver
from qep_tn.solvers.registry import SOLVERS, refuse_other_states, solver_called
from qep_tn.states.ground_state import GroundState

ENERGY_TOLERANCE = 1e-8  # in the Hamiltonian's unit
EXPECTATION_TOLERANCE = 1e-6  # an energy error dE leaves one of about sqrt(dE) in a state
GRADIENT_TOLERANCE = 1e-4  # relative; the default accuracy of `qep_tn.gradient`
RECIPROCITY_TOLERANCE = 1e-4  # relative, as each row of the response matrix is such a gradient
DISORDER = 0.2  # relative spread of the random couplings
LARGEST_DIMENSION = 2**10  # that exact diagonalization takes in a fraction of a second, for each of all its nudges
SECONDS = 50.0  # for all comparisons, without compilation: with imports and the last one's delay about a minute
DELAY = 1.0  # seconds before the progress bar is drawn: a model that the only solver refuses is refused before

QUANTITIES = ("energy", "expectation", "gradient", "reciprocity")


@dataclass(frozen=True)
class Row:
    """One comparison.

    couplings: which theta; solver: whose result; quantity: what is compared.
    error: against exact diagonalization, absolute for energy and expectation values, relative for the others.
    tolerance: of the error; NaN where nothing was compared, and `note` says why.
    """

    couplings: str
    solver: str
    quantity: str
    error: float
    tolerance: float
    note: str = ""

    @property
    def verdict(self) -> str:
        """ok, FAILED or skipped."""
        if np.isnan(self.tolerance):
            return "skipped"
        return "ok" if self.error <= self.tolerance else "FAILED"


@dataclass(frozen=True)
class Verification:
    """All comparisons of a model's solvers with exact diagonalization.

    notes: what was compared in place of what was asked for.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether something was compared and nothing failed. What was skipped does not count."""
        verdicts = {row.verdict for row in self.rows if not _with_itself(row)}
        return "ok" in verdicts and "FAILED" not in verdicts

    @property
    def left_out(self) -> tuple[str, ...]:
        """What was not compared, and why."""
        skipped = [row for row in self.rows if row.verdict == "skipped"]
        return tuple(f"{row.couplings} {row.solver} {row.quantity}: {row.note}" for row in skipped)

    def table(self) -> str:
        """One line for each comparison, and the notes."""
        lines = [("couplings", "solver", "quantity", "error", "tolerance", "verdict")]
        for row in self.rows:
            numbers = ("", "") if row.verdict == "skipped" else (f"{row.error:.1e}", f"{row.tolerance:.0e}")
            verdict = f"{row.verdict}: {row.note}" if row.note else row.verdict
            lines.append((row.couplings, row.solver, row.quantity, *numbers, verdict))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        left_out = [f"left out: {len(self.left_out)} comparisons, marked skipped"] if self.left_out else []
        return "\n".join([text[0], "-" * len(text[0]), *text[1:], *self.notes, *left_out])


def _with_itself(row: Row) -> bool:
    """Whether a row compares exact diagonalization's free ground state with itself."""
    return row.solver == ExactDiagonalization.__name__ and row.quantity in ("energy", "expectation")


def verify(
    H: Hamiltonian,
    theta: Theta,
    objective: Loss,
    *,
    solvers: Sequence[Solver] | None = None,
    seed: int = 0,
    whole: bool = False,
    strict: bool = False,
    seconds: float = SECONDS,
    progress: bool = False,
    notes: Sequence[str] = (),
) -> Verification:
    """Compare solvers with exact diagonalization, at theta and at random couplings around it.

    H: of it the first sites, up to dimension 2^10, unless it is to be the `whole`.
    objective: where its sites lie beyond them, the middle one of the block's couplings stands in.
    solvers: all that there are if None; exact diagonalization's own nudges are always checked.
    seed: of the solvers and of the random couplings; each of an array parameter's couplings is drawn on its own.
    seconds: for the comparisons, without compilation. First comes every solver at theta, then the random couplings,
        then reciprocity, over as many couplings as there is time for, the quickest solvers first.
    notes: what H and theta stand in for already.
    Raises ValueError if exact diagonalization cannot take the system, or, if `strict`, one of the solvers.
    """
    notes = list(notes)
    for solver in solvers or ():
        refuse_other_states(solver, "verify compares")
    if not whole and (n := _sites_that_fit(H)) < len(H.sites):
        block, theta = H.first_sites(n, theta)
        notes.append(
            f"{len(H.sites)} sites are too many for exact diagonalization: compared is the block of the first {n}, "
            f"{len(block.couplings)} of {len(H.couplings)} couplings"
        )
        H = block
        if max((site for a in objective.observables for site in a.support), default=0) >= n:
            middle = len(H.couplings) // 2
            objective = Expectation(H.couplings[middle])
            notes.append(f"the objective's sites lie beyond the block: the operator of {H.labels[middle]} stands in")
    if solvers is None:
        solvers = [solver_called(name, H, {"seed": seed}) for name in SOLVERS if name != "exact"]
    exact = ExactDiagonalization(seed=seed)
    given = H.flatten(theta)
    rng = np.random.default_rng(seed)
    random = given * (1 + DISORDER * rng.uniform(-1, 1, given.size))
    with (
        event.install_listener("numba:compile", compilation := event.TimingListener()),
        tqdm(
            desc="verify", unit="comparison", total=6 * (1 + len(solvers)), file=sys.stderr, disable=not progress,
            delay=DELAY,
        ) as bar,
    ):  # fmt: skip
        clock = _Clock(seconds, compilation, time.perf_counter())
        at_theta, at_random = (
            [_Comparison(name, solver, reference, strict, clock, bar) for solver in (exact, *solvers)]
            for name, reference in (
                (name, _Reference.of(exact, H, H.unflatten(vector), objective))
                for name, vector in (("given", given), ("random", random))
            )
        )
        for comparison in (*at_theta[1:], at_theta[0]):
            comparison.compare_states(expected=0.0)
        quickest = sorted(zip(at_theta, at_random, strict=True), key=lambda pair: pair[0].cost)
        for before, comparison in quickest:
            comparison.compare_states(expected=before.cost)
        order = rng.permutation(len(H.couplings))
        remaining = len(at_theta) + len(at_random)
        for comparison in (comparison for pair in quickest for comparison in pair):
            comparison.compare_reciprocity(order, clock.left / remaining)
            remaining -= 1
    return Verification(tuple(row for comparison in (*at_theta, *at_random) for row in comparison.rows), tuple(notes))


def _sites_that_fit(H: Hamiltonian) -> int:
    """How many of the first sites have a dimension up to LARGEST_DIMENSION, at least one."""
    dimensions = np.cumprod([float(site.dimension) for site in H.sites])
    return max(1, int(np.sum(dimensions <= LARGEST_DIMENSION)))


@dataclass(frozen=True)
class _Clock:
    """What is left of the seconds, those of Numba's compiler not counted: they come once on a machine."""

    seconds: float
    compilation: event.TimingListener
    began: float

    @property
    def elapsed(self) -> float:
        compiled = self.compilation.duration if self.compilation.done else 0.0
        return time.perf_counter() - self.began - compiled

    @property
    def left(self) -> float:
        return self.seconds - self.elapsed

    def refusal(self, expected: float) -> str:
        """Why there is no time for what takes so many seconds; empty if there is."""
        if expected <= self.left:
            return ""
        if self.left <= 0:
            return f"time, the {self.seconds:.0f} s are over"
        return f"time, it takes {expected:.1f} s and {self.left:.1f} of {self.seconds:.0f} s are left"


@dataclass(frozen=True)
class _Reference:
    """What exact diagonalization says at one theta; the gradient by linear response, None with the reason."""

    H: Hamiltonian
    theta: Theta
    objective: Loss
    state: GroundState
    gradient: NDArray | None
    reason: str

    @classmethod
    def of(cls, exact: Solver, H: Hamiltonian, theta: Theta, objective: Loss) -> _Reference:
        state = exact.ground_state(H, theta)
        try:
            response = gradient(H, theta, objective, solver=exact, scheme="linear-response", start=state)
        except np.linalg.LinAlgError as error:  # the ground state is degenerate
            return cls(H, theta, objective, state, None, str(error))
        vector = flattened(H, response.gradient) if response.trustworthy else None
        return cls(H, theta, objective, state, vector, response.message)


@dataclass
class _Comparison:
    """One solver at one theta.

    rows: what has been compared. cost: seconds that state and gradient took. nudged: those of the gradient alone;
    infinite without one, and then there is no reciprocity either.
    """

    couplings: str
    solver: Solver
    reference: _Reference
    strict: bool
    clock: _Clock
    bar: tqdm
    rows: list[Row] = field(default_factory=list)
    cost: float = 0.0
    nudged: float = math.inf
    state: GroundState | None = None

    def compare_states(self, expected: float) -> None:
        """Energy, expectation values and gradient, unless they are expected to take more seconds than there are."""
        reference = self.reference
        began = self.clock.elapsed
        if why := self.clock.refusal(expected):
            return self._leave_out(QUANTITIES, why)
        self._announce("ground state")
        try:
            self.state = self.solver.ground_state(reference.H, reference.theta)
        except ValueError as error:
            if self.strict:
                raise
            return self._leave_out(("all",), str(error))
        self._add("energy", abs(self.state.energy - reference.state.energy), ENERGY_TOLERANCE)
        values = (s.expectation(reference.H.couplings) for s in (self.state, reference.state))
        self._add("expectation", _largest(np.subtract(*values)), EXPECTATION_TOLERANCE)
        self.bar.update()
        solved = self.clock.elapsed
        self.cost = solved - began
        if reference.gradient is None:
            return self._leave_out(("gradient", "reciprocity"), f"no reference, {reference.reason}")
        if why := self.clock.refusal(self.cost):  # a nudged state takes about as long as a free one
            return self._leave_out(("gradient", "reciprocity"), why)
        self._announce("gradient")
        g = self._gradient(reference.objective)
        difference = np.linalg.norm(flattened(reference.H, g.gradient) - reference.gradient)
        self._add("gradient", float(difference / (np.linalg.norm(reference.gradient) or 1.0)), GRADIENT_TOLERANCE)
        self.bar.update()
        self.cost, self.nudged = self.clock.elapsed - began, self.clock.elapsed - solved
        return None

    def compare_reciprocity(self, order: NDArray, seconds: float) -> None:
        """The symmetry of the response matrix between the couplings that come first in an order, as many as there is
        time for.
        """
        self.bar.update()
        if math.isinf(self.nudged):
            return
        if self.nudged * min(2, len(order)) > seconds:
            left = f"{seconds:.1f} s are left for them" if seconds > 0 else f"the {self.clock.seconds:.0f} s are over"
            return self._leave_out(("reciprocity",), f"time, its gradients take {self.nudged:.1f} s each and {left}")
        self._announce("reciprocity")
        couplings = self.reference.H.couplings
        began = self.clock.elapsed
        rows: list[NDArray] = []
        for k in order:
            spent = self.clock.elapsed - began
            if len(rows) >= 2 and spent * (1 + 1 / len(rows)) > seconds:
                break
            rows.append(flattened(self.reference.H, self._gradient(Expectation(couplings[k])).gradient))
        chi = np.array(rows)
        among = chi[:, order[: len(rows)]]
        note = "" if len(rows) == len(order) else f"between {len(rows)} of {len(order)} couplings, for time"
        self._add("reciprocity", _largest(among - among.T) / (_largest(chi) or 1.0), RECIPROCITY_TOLERANCE, note)

    def _gradient(self, loss: Loss) -> Gradient:
        return gradient(self.reference.H, self.reference.theta, loss, solver=self.solver, start=self.state)

    def _announce(self, quantity: str) -> None:
        what = f"{type(self.solver).__name__}, {quantity}, {self.couplings} couplings"
        self.bar.set_postfix_str(what, refresh=self.clock.elapsed > DELAY)

    def _add(self, quantity: str, error: float, tolerance: float, note: str = "") -> None:
        self.rows.append(Row(self.couplings, type(self.solver).__name__, quantity, error, tolerance, note))

    def _leave_out(self, quantities: Iterable[str], why: str) -> None:
        for quantity in quantities:
            self._add(quantity, np.nan, np.nan, why)


def _largest(values: NDArray) -> float:
    return float(np.abs(values).max())
