"""What ground states answer: expectation values of outputs at some inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qep_tn.devices.device import Device
from qep_tn.devices.on_device import OnDevice, on_device, one_process
from qep_tn.gradients.checks import check_settings
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator
from qep_tn.runs.executors import Shared, in_order
from qep_tn.solvers.protocol import Solver
from qep_tn.solvers.registry import default_solver
from qep_tn.training.problem import AnswerWork, Problem, answer
from qep_tn.training.samples import Samples


def answers(
    H: Hamiltonian | Device,
    theta: Theta,
    inputs: Mapping[str, ArrayLike],
    *,
    outputs: Sequence[Operator],
    solver: Solver | None = None,
    rtol: float = 1e-2,
    executor: Executor | None = None,
    processes: int | None = None,
) -> NDArray:
    """The outputs' expectation values in the ground states at some inputs, (n, outputs), searched cold.

    theta: all parameters; inputs take the place of what is here. So couplings that were trained beside one system
    answer for another, larger one. The rest is as in `train`.
    Raises ValueError as `train` does.
    """
    H, solver = on_device(H, solver)
    if isinstance(solver, OnDevice):
        processes = one_process(processes, executor)
    length = len(np.atleast_1d(np.asarray(next(iter(inputs.values()), ()))))
    if not length:
        return np.zeros((0, len(outputs)))
    samples = Samples(inputs, np.zeros((length, max(len(outputs), 1))))
    if unknown := next((n for n in inputs if n not in H.parameters), None):
        raise ValueError(f"inputs have {unknown!r}, but the parameters are {', '.join(H.parameters)}")
    chosen = default_solver(H) if solver is None else solver
    start = {**theta, **samples.theta(0)}
    H.flatten(start)
    check_outputs(H, outputs)
    check_settings(chosen, rtol, "auto", "symmetric", "cheap", "cheap", measured=False)
    nothing = np.zeros(len(H.couplings), bool)
    problem = Problem(H, start, nothing, tuple(outputs), "squared", chosen, rtol, "symmetric")
    work = [AnswerWork(shared, {**start, **samples.theta(n)}) for shared in (Shared(problem),) for n in range(length)]
    found = in_order(answer, work, executor, processes)
    return np.array([a.outputs for a in found]).reshape(length, len(outputs))


def check_outputs(H: Hamiltonian, outputs: Sequence[Operator]) -> None:
    """Raise ValueError for outputs that are no Hermitian operators of the sites, or if there are none."""
    if not len(outputs):
        raise ValueError("outputs is empty; give an operator for each target, such as Z(3)")
    for number, operator in enumerate(outputs):
        if not isinstance(operator, Operator):
            raise ValueError(f"outputs[{number}] is {operator!r}; it must be an Operator such as Z(3)")
        operator.check(H.sites, f"outputs[{number}]")
