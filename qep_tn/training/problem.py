"""What is trained, and the two pieces of work that training consists of: the gradient of a sample, and an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qep_tn.gradients.checks import Scheme
from qep_tn.gradients.gradient import silent_gradient
from qep_tn.gradients.losses import CrossEntropy, Loss, MeanSquaredError
from qep_tn.gradients.nudge import SAME_ENERGY
from qep_tn.gradients.result import Gradient
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator
from qep_tn.measurement.shots import Shots
from qep_tn.runs.executors import Shared
from qep_tn.solvers.protocol import Nudging, Solver
from qep_tn.states.ground_state import GroundState, expectations
from qep_tn.states.saved import as_saved
from qep_tn.training.images import HalfTurn, half_turns

LossName = Literal["squared", "cross-entropy"]
LOSSES: Mapping[str, Callable[[Sequence[Operator], NDArray], Loss]] = {
    "squared": MeanSquaredError,
    "cross-entropy": CrossEntropy,
}


@dataclass(frozen=True)
class Problem:
    """Outputs of a ground state that shall be as their targets.

    theta: every parameter; inputs take the place of what is here. trained: mask over all couplings.
    loss: of one sample, by name.
    """

    H: Hamiltonian
    theta: Theta
    trained: NDArray
    outputs: tuple[Operator, ...]
    loss: LossName
    solver: Solver
    rtol: float
    scheme: Scheme
    shots: Shots | None = None

    def at(self, position: NDArray, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters: couplings by position, and the inputs of a sample."""
        return {**self.H.unflatten(position), **inputs}

    def loss_for(self, target: NDArray) -> Loss:
        """The loss of a sample."""
        return LOSSES[self.loss](self.outputs, target)

    @cached_property
    def trained_names(self) -> list[str]:
        """The parameters that move."""
        return [name for name in self.H.parameters if self.trained[self.H.belonging_to(name)].any()]

    @property
    def measured(self) -> bool:
        """Whether a device answers."""
        return self.solver.nudging is Nudging.MEASURED

    @property
    def for_gradients(self) -> Solver:
        """The solver as gradients of one level have it, which tells what their energies are worth."""
        return self.for_answers.for_one_level(self.rtol)

    @cached_property
    def half_turns(self) -> list[HalfTurn]:
        """Symmetries of what is not trained, by which a search may be on a wrong branch; of MPS alone."""
        swept = self.solver.nudging in (Nudging.SWEPT, Nudging.WINDOW)
        return half_turns(self.H, self.trained) if swept else []

    @cached_property
    def for_answers(self) -> Solver:
        """The solver, as accurate as the gradients need it."""
        return self.solver.resolving(self.rtol, self.scheme, len(self.H.sites), auto=True)


class SampleWork(NamedTuple):
    """A sample's gradient to take.

    start: where the search begins. checked: whether a cold search is made beside it. seed: of its shots.
    """

    shared: Shared[Problem]
    theta: dict[str, Any]
    target: NDArray
    start: GroundState | None
    checked: bool
    beta: float | Literal["auto"]
    seed: tuple[int, ...]


class SampleGradient(NamedTuple):
    """The gradient of a sample, as much of it as training uses.

    slope: over all couplings. outputs: expectation values, exact even where gradients are measured, unless by a device.
    values: of all products of the Hamiltonian in the free state, which is where later searches may begin.
    lower: whether a cold search found a lower state than the one from the start. deviation: relative, of the gradient
    from that of the cold search; NaN if there was none.
    """

    loss: float
    slope: NDArray
    outputs: NDArray
    free: GroundState
    values: NDArray
    trustworthy: bool
    message: str
    relative_error: float
    beta: float
    max_bond: int
    ground_states: int
    lower: bool
    deviation: float


def sample_gradient(work: SampleWork) -> SampleGradient:
    """The gradient of a sample; with a check also from a cold start, which counts if its state lies lower."""
    problem = work.shared.value
    start, solves = _on_the_lowest_branch(problem, work)
    g = _gradient(problem, work, start)
    lower, deviation, solves = False, np.nan, solves + g.ground_states
    if work.checked and work.start is not None:
        cold = _gradient(problem, work, None)
        solves += cold.ground_states
        scale = float(np.abs(problem.H.coefficients(work.theta)).sum())
        resolved = max(problem.for_gradients.energy_error, SAME_ENERGY) * scale
        lower = cold.free.energy < g.free.energy - resolved
        slopes = [np.where(problem.trained, problem.H.flatten(each.gradient), 0.0) for each in (g, cold)]
        norm = float(np.linalg.norm(slopes[1]))
        deviation = float(np.linalg.norm(slopes[0] - slopes[1])) / norm if norm > 0 else 0.0
        g = cold if lower else g
    return SampleGradient(
        loss=g.value,
        slope=problem.H.flatten(g.gradient),
        outputs=expectations(g.free.state, problem.outputs),
        free=as_saved(g.free),
        values=np.empty(0) if problem.measured else g.free.state.product_expectations(problem.H.products),
        trustworthy=g.trustworthy,
        message=g.message,
        relative_error=g.relative_error,
        beta=g.beta,
        max_bond=max(g.free.bond_dimensions, default=0),
        ground_states=solves,
        lower=lower,
        deviation=deviation,
    )


def _on_the_lowest_branch(problem: Problem, work: SampleWork) -> tuple[GroundState | None, int]:
    """Of the start and its images that which leads to the lowest energy, and the number of searches that this took."""
    if work.start is None or not problem.half_turns:
        return work.start, 0
    starts = [work.start]
    values = work.start.state.product_expectations(problem.H.products)
    for turn in problem.half_turns:
        if turn.is_broken_by(values):
            starts.append(replace(work.start, state=work.start.state.turned(turn.turns)))
    if len(starts) == 1:
        return work.start, 0
    solver = problem.for_gradients.on_one_thread()
    energies = [solver.ground_state(problem.H, work.theta, start=start).energy for start in starts]
    return starts[int(np.argmin(energies))], len(starts)


def _gradient(problem: Problem, work: SampleWork, start: GroundState | None) -> Gradient:
    """From one level of accuracy."""
    return silent_gradient(
        problem.H, work.theta, problem.loss_for(work.target), problem.solver.on_one_thread(), problem.rtol, work.beta,
        problem.scheme, start, shots=problem.shots, rng=np.random.default_rng(work.seed),
        error="cheap", wanted=problem.trained,
    )  # fmt: skip


class AnswerWork(NamedTuple):
    """A ground state whose outputs are asked for."""

    shared: Shared[Problem]
    theta: dict[str, Any]


class Answer(NamedTuple):
    """The outputs of a ground state, and whether its search converged."""

    outputs: NDArray
    converged: bool


def answer(work: AnswerWork) -> Answer:
    """The outputs of a ground state, from a cold search."""
    problem = work.shared.value
    found = problem.for_answers.on_one_thread().observed(problem.H, work.theta, problem.outputs)
    return Answer(found.values, found.state.converged)
