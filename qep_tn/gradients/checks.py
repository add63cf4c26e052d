"""Whether what is asked of a gradient fits together."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, Literal

from qep_tn.gradients.losses import Loss
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator
from qep_tn.solvers.protocol import Nudging, Solver, refuse_others
from qep_tn.states.ground_state import GroundState

Scheme = Literal["symmetric", "one-sided", "linear-response"]
Certify = Literal["cheap", "full"]
Estimate = Literal["full", "cheap"]


def check_problem(H: Hamiltonian, theta: Theta, loss: Loss, solver: Solver, start: GroundState | None) -> None:
    """Raise ValueError for parts of a problem that do not fit together."""
    H.flatten(theta)
    refuse_others(solver)
    if not isinstance(loss, Loss):
        raise ValueError(f"loss must be a Loss such as Expectation(operator), not {type(loss).__name__}")
    if not H.couplings:
        raise ValueError("the Hamiltonian has no parameters, so there is nothing to differentiate by")
    for operator in loss.observables:
        if not isinstance(operator, Operator):
            raise ValueError(f"the loss's observable must be an Operator such as X(3), not {operator!r}")
        operator.check(H.sites, "the loss's observable")
    if start is not None and start.sites != H.sites:
        raise ValueError(f"start has {len(start.sites)} sites that differ from the Hamiltonian's {len(H.sites)}")


def check_settings(
    solver: Solver, rtol: float, beta: Any, scheme: str, certify: str, error: str, measured: bool
) -> None:
    """Raise ValueError for settings that a gradient cannot have. measured: whether it takes shots."""
    if not (isinstance(rtol, Real) and 0 < rtol < 1):
        raise ValueError(f"rtol = {rtol!r}: a relative error lies between 0 and 1")
    if beta != "auto" and not (isinstance(beta, Real) and math.isfinite(beta) and beta > 0):
        raise ValueError(f"beta = {beta!r}: a nudge strength is a positive number, or 'auto'")
    if scheme not in ("symmetric", "one-sided", "linear-response"):
        raise ValueError(f"scheme = {scheme!r}: choose 'symmetric', 'one-sided' or 'linear-response'")
    if scheme == "linear-response" and not solver.linear_response:
        asked = "a device" if solver.nudging is Nudging.MEASURED else type(solver).__name__
        raise ValueError(f"scheme 'linear-response' needs ExactDiagonalization, not {asked}")
    if certify not in ("cheap", "full"):
        raise ValueError(f"certify = {certify!r}: choose 'cheap' or 'full'")
    if error not in ("full", "cheap"):
        raise ValueError(f"error = {error!r}: choose 'full' or 'cheap'")
    if solver.nudging is Nudging.MEASURED and certify == "full":
        raise ValueError("certify='full' looks at states, which a device does not show; leave it out")
    if measured and certify == "full" and beta != "auto":
        raise ValueError("certify='full' is of computed gradients, and shots with a given beta compute none; omit beta")
    if measured and scheme == "linear-response":
        raise ValueError("shots are taken in nudged states, and scheme 'linear-response' has none; choose 'symmetric'")
    if measured and solver.nudging is Nudging.ANALYTIC:
        raise ValueError(
            f"shots are taken in nudged states, and {type(solver).__name__} has none; take NumbaDMRG or "
            "ExactDiagonalization"
        )
