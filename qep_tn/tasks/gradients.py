"""Gradients of many problems, at a time as many as there are workers."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qep_tn.devices.on_device import refuse_device
from qep_tn.gradients.checks import Certify, Scheme
from qep_tn.gradients.gradient import DegenerateGroundStateWarning, gradient, silent_gradient
from qep_tn.gradients.losses import Expectation, Loss
from qep_tn.gradients.result import Gradient
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.measurement.shots import Shots, generator
from qep_tn.runs.executors import Shared, in_order
from qep_tn.solvers.protocol import Solver
from qep_tn.solvers.registry import default_solver
from qep_tn.states.ground_state import GroundState

Problem = tuple[Hamiltonian, Theta, Loss] | tuple[Hamiltonian, Theta, Loss, GroundState | None]


def gradients(
    problems: Iterable[Problem],
    *,
    solver: Solver | None = None,
    rtol: float = 1e-4,
    beta: float | Literal["auto"] = "auto",
    scheme: Scheme = "symmetric",
    certify: Certify = "cheap",
    shots: int | Shots | None = None,
    rng: int | np.random.Generator = 0,
    executor: Executor | None = None,
) -> list[Gradient]:
    """The gradient of every problem, in their order; to the last bit the same by any executor.

    problems: (H, theta, loss) or (H, theta, loss, start), as in `qep_tn.gradient`. Those that share one H object share
        what is built for it.
    solver, rtol, beta, scheme, certify, shots: as in `qep_tn.gradient`, for all of them.
    rng: a seed, or a numpy generator, of which every problem gets an independent one for its shots.
    executor: anything with `submit` as in `concurrent.futures`, such as a `ThreadPoolExecutor`, or `get_executor()` of
        a `dask.distributed.Client`. By default processes, one for each core, which are kept for the next call; a script
        needs `if __name__ == "__main__":` then.

    What a worker that dies leaves is done again, once.
    Warns as `qep_tn.gradient`. Raises ValueError as it does, or if a loss or the solver cannot be sent to processes,
    and RuntimeError if a worker dies again.
    """
    shared: dict[Hamiltonian, Shared[Hamiltonian]] = {}
    work = []
    random = generator(rng)
    for number, problem in enumerate(problems):
        if len(problem) not in (3, 4):
            raise ValueError(f"problem {number} has {len(problem)} parts; it must be (H, theta, loss) or with a start")
        H, theta, loss, *rest = problem
        refuse_device(H, "qt.gradients")
        start = rest[0] if rest else None
        chosen = default_solver(H) if solver is None else solver
        shared_h, measured = shared.setdefault(H, Shared(H)), (shots, random.spawn(1)[0])
        work.append(_Work(shared_h, theta, loss, start, chosen, (rtol, beta, scheme), certify, measured))
    if executor is None and len(work) > 1:
        _check_sendable(work)
    one = executor is None and len(work) == 1
    found = []
    for g in in_order(_gradient_of if one else _gradient_on_one_thread, work, executor):
        if g.status.concerns_branches:
            warnings.warn(g.message, DegenerateGroundStateWarning, stacklevel=2)
        found.append(g)
    return found


def response_matrix(
    H: Hamiltonian,
    theta: Theta,
    *,
    solver: Solver | None = None,
    rtol: float = 1e-4,
    beta: float | Literal["auto"] = "auto",
    scheme: Scheme = "symmetric",
    start: GroundState | None = None,
) -> NDArray:
    """chi[j, k] = d<A_j>/d theta_k for all couplings, (n, n), row by row from a nudge with A_j.

    Onsager reciprocity makes it symmetric; its asymmetry tests an implementation. Costs n gradients.
    """
    refuse_device(H, "qt.response_matrix")
    rows = []
    for operator in H.couplings:
        result = gradient(
            H, theta, Expectation(operator), solver=solver, rtol=rtol, beta=beta, scheme=scheme, start=start
        )
        start = result.free
        rows.append(H.flatten(result.gradient))
    return np.array(rows)


@dataclass(frozen=True)
class _Work:
    """A problem, and the settings (rtol, beta, scheme); measured: shots, and the generator they are drawn with."""

    shared: Shared[Hamiltonian]
    theta: Theta
    loss: Loss
    start: GroundState | None
    solver: Solver
    settings: tuple[float, float | Literal["auto"], Scheme]
    certify: Certify
    measured: tuple[int | Shots | None, np.random.Generator]


def _gradient_of(work: _Work) -> Gradient:
    shots, rng = work.measured
    problem = work.shared.value, work.theta, work.loss, work.solver
    return silent_gradient(*problem, *work.settings, work.start, work.certify, shots=shots, rng=rng)


def _gradient_on_one_thread(work: _Work) -> Gradient:
    """Where others work beside it, for there is a core for each."""
    return _gradient_of(replace(work, solver=work.solver.on_one_thread()))


def _check_sendable(work: Sequence[_Work]) -> None:
    try:
        pickle.dumps([(w.solver, w.loss) for w in work])
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"gradients are taken in processes, and a loss or the solver cannot be sent to one ({error}); define its "
            "functions at the top of a module, or give executor a ThreadPoolExecutor"
        ) from None
