"""Quantum equilibrium propagation: gradients from a free and a nudged ground state.

The nudged ground state is that of H(theta) + beta * sum_m epsilon_m O_m, with the error signal epsilon_m = d loss /
d<O_m> taken in the free state. The difference of <A_k> between the phases, over beta, is d loss / d theta_k for all k
at once (C. C. Wanjura and F. Marquardt, Nat. Commun. 16 (2025), arXiv:2406.06482).

This file holds what a user calls; `qep_tn.nudging` finds the nudged states.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from qep_tn.hamiltonian import Hamiltonian, Theta
from qep_tn.losses import Expectation, Loss
from qep_tn.nudging import (
    Level,
    Nudge,
    coarser,
    exact_level,
    manifold_level,
    manifold_with_response,
    with_lowest_states,
)
from qep_tn.operators import Operator, expand, local_strength
from qep_tn.solvers import (
    DMRGSettings,
    ExactDiagonalization,
    FreeFermion,
    GroundState,
    MajoranaState,
    Solver,
    StateVector,
)
from qep_tn.solvers.choice import default_solver
from qep_tn.solvers.protocol import expectations

Scheme = Literal["symmetric", "one-sided", "linear-response"]

_SAME_BRANCH = 0.7  # least |<psi_0|psi_beta>|^2; between two degenerate states it is 1/2 or 0
_SAME_LEVEL = 1e-10  # an exact gap below this many times the energy scale is a degeneracy
_COARSER = math.sqrt(2)  # nudge of the coarse level over that of the fine one: the symmetric bias doubles
_REFINEMENTS = 3
_STRONG = 0.1  # of the nudge that grows the manifold, relative to the energy scale


class DegenerateGroundStateWarning(UserWarning):
    """The nudged state is not on the branch of the free state: the ground state is degenerate, or nearly so."""


@dataclass(frozen=True)
class Gradient:
    """The gradient of a loss with respect to every coupling, and how far to trust it.

    value, value_error: the loss in the free ground state.
    gradient, error: name -> float or array, the structure of theta. `error` bounds the difference to the exact
        gradient for about nine components in ten or more: it holds the nudge's bias, truncation and convergence.
    relative_error: norm of all errors over norm of the gradient, or over a millionth of a gradient's natural size
        (observable times coupling operator over the energy scale) if it is smaller than that.
    converged: whether relative_error <= rtol.
    trustworthy, message: False if free and nudged state are different branches, a solve did not converge, or the
        error is not small against the gradient; the message says which, and the remedy.
    free, nudged: the ground states; nudged at +beta, and at -beta if the scheme is symmetric.
    beta: nudge strength, multiplies the error signal. overlap: the smaller |<free|nudged>|^2.
    ground_states: how many ground states it took.
    """

    value: float
    value_error: float
    gradient: dict[str, Any]
    error: dict[str, Any]
    relative_error: float
    converged: bool
    trustworthy: bool
    message: str
    free: GroundState = field(repr=False)
    nudged: tuple[GroundState, ...] = field(repr=False)
    beta: float
    overlap: float
    ground_states: int


def gradient(
    H: Hamiltonian,
    theta: Theta,
    loss: Loss,
    *,
    solver: Solver | None = None,
    rtol: float = 1e-4,
    beta: float | Literal["auto"] = "auto",
    scheme: Scheme = "symmetric",
    start: GroundState | None = None,
) -> Gradient:
    """D loss / d theta_k for every coupling of H, by quantum equilibrium propagation.

    solver: any solver; by default exact diagonalization for small systems, TeNPy's DMRG beyond. `FreeFermion`
        returns its analytic derivative.
    rtol: the relative error asked for; sets nudge strength, Schmidt cutoff and convergence of DMRG solvers.
    beta: nudge strength, multiplies the error signal. "auto" takes the strength at which rounding noise and nudge
        bias meet, or a larger one if rtol allows.
    scheme: "symmetric", error O(beta^2); "one-sided", error O(beta) at two thirds of the cost; "linear-response",
        the limit beta -> 0 by `ExactDiagonalization`.
    start: a ground state at nearby parameters to start from.

    Warns with DegenerateGroundStateWarning if free and nudged state are different branches.
    Raises ValueError for input that does not fit together.
    """
    solver = default_solver(H) if solver is None else solver
    _check(H, theta, loss, solver, rtol, beta, scheme, start)
    if isinstance(solver, DMRGSettings):
        solver = solver.with_cutoff(1e-3 * rtol)
    free = solver.ground_state(H, theta, start=start)
    values = expectations(free.state, loss.observables)
    nudge = Nudge(H, theta, loss.observables, loss.error_signal(values))
    if not (math.isfinite(loss.value(values)) and np.isfinite(nudge.signal).all()):
        raise ValueError(f"the loss is {loss.value(values)} and its derivative {nudge.signal}; both must be finite")
    if local_strength(_perturbation(nudge), H.sites) == 0:
        zero = np.zeros(len(H.couplings))
        return _result(nudge, loss, rtol, zero, zero, Level(0.0, zero, free, ()), free, 1)
    if isinstance(solver, FreeFermion):
        return _analytic(solver, nudge, loss, rtol, free)
    if scheme == "linear-response":
        assert isinstance(solver, ExactDiagonalization)
        return _linear_response(solver, nudge, loss, rtol, free)

    strength = _auto_beta(nudge, _auto_strength(solver, scheme, rtol)) if beta == "auto" else float(beta)
    if isinstance(solver, DMRGSettings):
        return _on_manifold(solver, nudge, loss, rtol, strength, scheme, free, adapt=beta == "auto")
    fine = exact_level(solver, nudge, scheme, strength, free)
    coarse = exact_level(solver, nudge, scheme, _COARSER * strength, free)
    error = error_estimate(H, fine, coarse, rtol)
    error = error + _signal_error(nudge, loss, free, fine)
    return _result(nudge, loss, rtol, fine.gradient, error, fine, free, 1 + 2 * len(fine.nudged))


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
    rows = []
    for operator in H.couplings:
        result = gradient(
            H, theta, Expectation(operator), solver=solver, rtol=rtol, beta=beta, scheme=scheme, start=start
        )
        start = result.free
        rows.append(H.flatten(result.gradient))
    return np.array(rows)


def error_estimate(H: Hamiltonian, fine: Level, coarse: Level, rtol: float) -> NDArray:
    """An error for each component of the fine level's gradient, from its difference to the coarse level's.

    The difference is scaled to the fine level's nudge bias, which is of second order in beta if symmetric and of first
    if one-sided; truncation errors differ by about a factor of two between the levels. Single components may agree by
    chance, above all where there is only noise; so no error is smaller than four times the median difference of the
    25 couplings around it, nor than rounding in <A_k>, nor than what truncation at this rtol leaves of couplings far
    from the observable.
    """
    order = len(fine.nudged)
    difference = np.abs(fine.gradient - coarse.gradient) / abs((coarse.beta / fine.beta) ** order - 1)
    centres = np.array([np.mean(a.support) if a.support else 0.0 for a in H.couplings])
    extents = np.array([a.support[-1] - a.support[0] if a.support else 0 for a in H.couplings])
    typical = difference.copy()
    confined = np.flatnonzero(extents <= 8)  # a coupling of the whole chain has no neighbours
    along = confined[np.argsort(centres[confined], kind="stable")]
    if len(along):
        typical[along] = median_filter(difference[along], size=min(25, len(along)), mode="nearest")
    sizes = np.array([sum(abs(c) for c in a.terms.values()) for a in H.couplings])
    rounding = 5e-15 * np.sqrt(sizes) / fine.beta
    unresolved = 3e-7 * rtol * np.abs(fine.gradient).max(initial=0.0)
    return np.max([difference, 4 * typical, rounding, np.full(len(rounding), unresolved)], axis=0)


def _auto_strength(solver: Solver, scheme: str, rtol: float) -> float:
    """Nudge strength in units of the energy scale, where rounding (1e-14 over the strength) and bias (its square, or
    the strength itself if one-sided) meet. On a manifold not smaller, for truncation would hide a weak response, and
    larger where rtol allows.
    """
    if isinstance(solver, DMRGSettings):
        return float(np.clip(0.3 * rtol, 3e-5, 1e-2))
    return 3e-5 if scheme == "symmetric" else 1e-6


def _auto_beta(nudge: Nudge, relative: float) -> float:
    """The beta that makes the nudge, where it is strongest, this large relative to the largest coefficient of H."""
    return relative * _energy_scale(nudge) / local_strength(_perturbation(nudge), nudge.free.sites)


def _energy_scale(nudge: Nudge) -> float:
    """The largest coefficient of H(theta), its constant left out; 1 if there is none."""
    coefficients = nudge.free.coefficients(nudge.theta)
    return float(max((abs(c) for c, p in zip(coefficients, nudge.free.products, strict=True) if p), default=0.0) or 1.0)


def _perturbation(nudge: Nudge) -> Operator:
    """sum_m signal_m O_m."""
    return sum((s * o for s, o in zip(nudge.signal, nudge.observables, strict=True)), Operator({}))


def _signal_error(nudge: Nudge, loss: Loss, free: GroundState, level: Level) -> NDArray:
    """What the uncertainty of the free state's expectation values, through the error signal, does to each component.

    Matters near a target, where the signal vanishes, and at a kink, where it changes sign.
    """
    values, second = (expectations(state.state, nudge.observables) for state in (level.free, free))
    sizes = np.array([sum(abs(c) for c in o.terms.values()) for o in nudge.observables])
    uncertainty = np.abs(values - second) + 1e-12 * sizes
    signals = [loss.error_signal(values + s * uncertainty) for s in (-1, 0, 1)]
    spread = max(float(np.linalg.norm(signal - nudge.signal)) for signal in signals)
    return np.abs(level.gradient) * spread / float(np.linalg.norm(nudge.signal))


def _on_manifold(
    solver: DMRGSettings,
    nudge: Nudge,
    loss: Loss,
    rtol: float,
    beta: float,
    scheme: str,
    free: GroundState,
    adapt: bool,
) -> Gradient:
    """The gradient with MPS, refined until its relative error is below rtol or the bond dimension at its limit."""
    strong = _auto_beta(nudge, _STRONG)
    grown = manifold_with_response(solver, nudge, strong, free)
    fine = manifold_level(solver, nudge, scheme, beta, grown, rtol)
    if not adapt:
        fine = with_lowest_states(solver, nudge, scheme, fine)
    limit = solver.max_bond
    if max(grown.bond_dimensions) >= solver.max_bond:
        limit = max(1, min(solver.max_bond - 1, math.ceil(0.7 * solver.max_bond)))
    coarse_start = coarser(grown, 2.5 * solver.schmidt_cutoff, limit)
    coarse = manifold_level(solver, nudge, scheme, _COARSER * beta, coarse_start, rtol, free=False)
    solves = 2 + 2 * len(fine.nudged)
    for _ in range(_REFINEMENTS if adapt else 0):
        error = error_estimate(nudge.free, fine, coarse, rtol) + _signal_error(nudge, loss, free, fine)
        if np.linalg.norm(error) <= rtol * np.linalg.norm(fine.gradient) or limit < solver.max_bond:
            break
        solver, beta, free = solver.with_finer_cutoff(5.0), beta / 2, fine.free
        nudge = replace(nudge, signal=loss.error_signal(expectations(free.state, nudge.observables)))
        grown = manifold_with_response(solver, nudge, strong, grown)
        limit = solver.max_bond if max(grown.bond_dimensions) < solver.max_bond else 0
        coarse, fine = fine, manifold_level(solver, nudge, scheme, beta, grown, rtol)
        solves += 1 + len(fine.nudged)
    error = error_estimate(nudge.free, fine, coarse, rtol) + _signal_error(nudge, loss, free, fine)
    if solver.max_bond == 1:
        error = np.maximum(error, np.abs(fine.gradient))  # no coarser manifold tells what a product state leaves out
    return _result(nudge, loss, rtol, fine.gradient, error, fine, free, solves)


def _analytic(solver: FreeFermion, nudge: Nudge, loss: Loss, rtol: float, free: GroundState) -> Gradient:
    assert isinstance(free.state, MajoranaState)
    products, matrix = expand(nudge.observables)
    weights = (nudge.signal @ matrix).real
    vector = solver.gradient_of_expectations(nudge.free, free.state, products, weights)
    # nearly degenerate modes amplify rounding: change the couplings by as much, and see
    rng = np.random.default_rng(solver.seed)
    couplings = nudge.free.flatten(nudge.theta)
    rounded = nudge.free.unflatten(couplings * (1 + 1e-15 * rng.choice([-1, 1], len(couplings))))
    other = solver.ground_state(nudge.free, rounded)
    assert isinstance(other.state, MajoranaState)
    second = solver.gradient_of_expectations(nudge.free, other.state, products, weights)
    rounding = 1e-15 * len(nudge.free.sites) * np.abs(vector).max()
    error = 4 * np.abs(vector - second) + rounding
    return _result(nudge, loss, rtol, vector, error, Level(0.0, vector, free, ()), other, 1)


def _linear_response(
    solver: ExactDiagonalization, nudge: Nudge, loss: Loss, rtol: float, free: GroundState
) -> Gradient:
    H = nudge.free
    products, matrix = expand(H.couplings)
    responses, state_error = solver.linear_response(H, nudge.theta, free, _perturbation(nudge), products)
    vector = np.asarray((matrix @ responses).real)
    sizes = np.array([sum(abs(c) for c in a.terms.values()) for a in H.couplings])
    return _result(nudge, loss, rtol, vector, 2 * state_error * sizes, Level(0.0, vector, free, ()), free, 2)


def _result(
    nudge: Nudge,
    loss: Loss,
    rtol: float,
    vector: NDArray,
    error: NDArray,
    level: Level,
    other: GroundState,
    solves: int,
) -> Gradient:
    """Assemble the result; `other` is a second, less accurate free state, for the error of the loss's value."""
    H, free = nudge.free, level.free
    value, second = (loss.value(expectations(s.state, nudge.observables)) for s in (free, other))
    natural = local_strength(_perturbation(nudge), H.sites) / _energy_scale(nudge)
    norm = max(float(np.linalg.norm(vector)), 1e-6 * natural)
    relative = float(np.linalg.norm(error)) / norm if norm > 0 else 0.0
    exact_gap = free.gap if isinstance(free.state, StateVector) else None
    degenerate = exact_gap is not None and exact_gap <= _SAME_LEVEL * _energy_scale(nudge)
    message = _distrust(level, other, relative, rtol, degenerate)
    if message.startswith(("the nudged state", "the ground state is degenerate")):
        warnings.warn(message, DegenerateGroundStateWarning, stacklevel=4)
    return Gradient(
        value=value,
        value_error=max(abs(value - second), 1e-15 * max(1.0, abs(value))),
        gradient=H.unflatten(vector),
        error=H.unflatten(error),
        relative_error=relative,
        converged=relative <= rtol,
        trustworthy=not message,
        message=message or "trustworthy",
        free=free,
        nudged=level.nudged,
        beta=level.beta,
        overlap=level.overlap,
        ground_states=solves,
    )


def _distrust(level: Level, first: GroundState, relative_error: float, rtol: float, degenerate: bool) -> str:
    """Why not to trust a gradient; empty if there is no reason."""
    if degenerate and level.nudged:
        return "the ground state is degenerate, and the solver chose one of several; break the degeneracy"
    if level.overlap < _SAME_BRANCH:
        return (
            f"the nudged state is not on the free state's branch (overlap {level.overlap:.2f}): the ground state is "
            "degenerate or nearly so; break the degeneracy, or nudge with a smaller beta"
        )
    for state in (first, level.free, *level.nudged):
        if not state.converged:
            return f"a ground state did not converge: {state.message}"
    if not relative_error <= max(rtol, 0.1):
        return f"the estimated error is {relative_error:.1g} of the gradient; raise max_bond, or leave beta to 'auto'"
    return ""


def _check(
    H: Hamiltonian, theta: Theta, loss: Loss, solver: Solver, rtol: float, beta: Any, scheme: str,
    start: GroundState | None,
) -> None:  # fmt: skip
    H.flatten(theta)
    if not isinstance(loss, Loss):
        raise ValueError(f"loss must be a Loss such as Expectation(operator), not {type(loss).__name__}")
    if not H.couplings:
        raise ValueError("the Hamiltonian has no parameters, so there is nothing to differentiate by")
    for operator in loss.observables:
        if not isinstance(operator, Operator):
            raise ValueError(f"the loss's observable must be an Operator such as X(3), not {operator!r}")
        operator.check(H.sites, "the loss's observable")
    if not (isinstance(rtol, Real) and 0 < rtol < 1):
        raise ValueError(f"rtol = {rtol!r}: a relative error lies between 0 and 1")
    if beta != "auto" and not (isinstance(beta, Real) and math.isfinite(beta) and beta > 0):
        raise ValueError(f"beta = {beta!r}: a nudge strength is a positive number, or 'auto'")
    if scheme not in ("symmetric", "one-sided", "linear-response"):
        raise ValueError(f"scheme = {scheme!r}: choose 'symmetric', 'one-sided' or 'linear-response'")
    if scheme == "linear-response" and not isinstance(solver, ExactDiagonalization | FreeFermion):
        raise ValueError(f"scheme 'linear-response' needs ExactDiagonalization, not {type(solver).__name__}")
    if start is not None and start.sites != H.sites:
        raise ValueError(f"start has {len(start.sites)} sites that differ from the Hamiltonian's {len(H.sites)}")
