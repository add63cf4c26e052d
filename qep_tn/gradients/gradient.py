"""Quantum equilibrium propagation: gradients from a free and a nudged ground state.

The nudged ground state is that of H(theta) + beta * sum_m epsilon_m O_m, with the error signal epsilon_m = d loss /
d<O_m> taken in the free state. The difference of <A_k> between the phases, over beta, is d loss / d theta_k for all k
at once (C. C. Wanjura and F. Marquardt, Nat. Commun. 16 (2025), arXiv:2406.06482).

This file holds what a user calls; `qep_tn.gradients.nudge` says what nudged states are, `window` and `whole_chain` find
them, `error_bars` and `trust` say how right a gradient is.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qep_tn.devices.device import Device
from qep_tn.devices.on_device import OnDevice, on_device
from qep_tn.gradients.checks import Certify, Estimate, Scheme, check_problem, check_settings
from qep_tn.gradients.error_bars import error_estimate, error_of_one_level, nudge_below, signal_error
from qep_tn.gradients.examination import NOTHING, against_exact, by_other_states, small_enough
from qep_tn.gradients.losses import Loss, sizes
from qep_tn.gradients.measured import Experiment
from qep_tn.gradients.nudge import COARSER_NUDGE, SAME_ENERGY, Level, Manifold, Nudge, exact_levels, strength_of
from qep_tn.gradients.on_device import measured_on_device
from qep_tn.gradients.result import Gradient
from qep_tn.gradients.trust import Certificate, verdict
from qep_tn.gradients.whole_chain import SweptManifold, with_lowest_states
from qep_tn.gradients.window import WindowedManifold
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import expand
from qep_tn.measurement.shots import Shots, as_shots, generator
from qep_tn.solvers.exact import ExactDiagonalization
from qep_tn.solvers.protocol import Nudging, Solver
from qep_tn.solvers.registry import default_solver
from qep_tn.states.ground_state import GroundState, expectations

_SAME_LEVEL = 1e-10  # an exact gap below this many times the energy scale is a degeneracy
_NEGLIGIBLE = 1e-6  # of a gradient's natural size: no error need be smaller than rtol of that
_REFINEMENTS = 4
_ONE_LEVEL_TELLS = 3  # times the relative error asked for: beyond, two levels are compared after all
# where free and nudged MPS are compared, by how a solver nudges
_MANIFOLDS: dict[Nudging, Callable[..., Manifold]] = {
    Nudging.SWEPT: SweptManifold.around,
    Nudging.WINDOW: WindowedManifold,
}
_STRONG = 0.1  # of the nudge that grows the manifold, relative to the energy scale


class DegenerateGroundStateWarning(UserWarning):
    """The nudged state is not on the branch of the free state: the ground state is degenerate, or nearly so."""


def gradient(
    H: Hamiltonian | Device,
    theta: Theta,
    loss: Loss,
    *,
    solver: Solver | None = None,
    rtol: float = 1e-4,
    beta: float | Literal["auto"] = "auto",
    scheme: Scheme = "symmetric",
    start: GroundState | None = None,
    certify: Certify = "cheap",
    error: Estimate = "full",
    shots: int | Shots | None = None,
    rng: int | np.random.Generator = 0,
) -> Gradient:
    """D loss / d theta_k for every coupling of H, by quantum equilibrium propagation.

    H: a Hamiltonian; or a `qt.Device`, which prepares and measures free and nudged states, see
        `qep_tn.gradients.on_device`. rtol, start and rng are nothing to it, and shots a number.
    solver: any solver; by default exact diagonalization for small systems, `NumbaDMRG` beyond. `FreeFermion`
        returns its analytic derivative.
    rtol: the relative error asked for; sets nudge strength, Schmidt cutoff and convergence of DMRG solvers.
    beta: nudge strength, multiplies the error signal. "auto" takes one whose bias rtol allows by a wide margin.
    scheme: "symmetric", error O(beta^2); "one-sided", error O(beta) at two thirds of the cost; "linear-response",
        the limit beta -> 0 by `ExactDiagonalization`.
    start: a ground state at nearby parameters to start from; also a cold start is tried where the gradient from it
        cannot be trusted.
    certify: "cheap", by variance and by the residual of the response, a tenth of the work; "full", also by the gap to
        the first excited state and an independent start, or by exact diagonalization where that is no effort.
    error: "full", from two levels of accuracy that are compared; "cheap", from the finer one alone, for many gradients
        whose noise averages out: then it is the accuracy that the settings are made for, and the bias that the weight
        of the response tells, and two levels after all where it is far above rtol or not trusted. Solvers of whole
        chains, `TenpyDMRG` and `QuimbDMRG`, have the full one in any case.
    shots: measure instead of compute: shots of every circuit in the free and in each nudged state. The error signal
        follows from measured values. `Shots` has Gaussian noise and readout errors. beta="auto" is then the nudge whose
        bias and shot noise are least together; with a given one, nothing but the states themselves is computed.
    rng: a seed, or a numpy generator, for the shots; the same seed gives the same numbers.

    Warns with DegenerateGroundStateWarning if free and nudged state are different branches.
    Raises ValueError for input that does not fit together.
    """
    if not isinstance(H, Hamiltonian):
        (H, solver), shots = on_device(H, solver, shots), None
    result = silent_gradient(H, theta, loss, solver, rtol, beta, scheme, start, certify, shots, rng, error)
    doubtful = result.relative_error > _ONE_LEVEL_TELLS * rtol or result.status.concerns_states
    if error == "cheap" and shots is None and result.shots is None and beta == "auto" and doubtful:
        full = silent_gradient(H, theta, loss, solver, rtol, beta, scheme, result.free, certify)
        result = replace(full, ground_states=full.ground_states + result.ground_states)
    if result.status.concerns_branches:
        warnings.warn(result.message, DegenerateGroundStateWarning, stacklevel=2)
    return result


def silent_gradient(
    H: Hamiltonian, theta: Theta, loss: Loss, solver: Solver | None, rtol: float, beta: float | Literal["auto"],
    scheme: Scheme, start: GroundState | None, certify: Certify = "cheap", shots: int | Shots | None = None,
    rng: int | np.random.Generator = 0, error: Estimate = "full", wanted: NDArray | None = None,
) -> Gradient:  # fmt: skip
    """As `gradient`, without its warning: for whoever warns elsewhere. wanted: mask over the couplings to measure.

    Among nearly degenerate levels a warm start may end between them, where a cold one finds the lowest. So where the
    states speak against the gradient, it is taken again from a cold start, and that one counts if its state lies lower;
    not of one level, where who has many leaves this one out.
    A nudge that is given may be as strong as it likes, and speaks against nothing.
    """
    solver = default_solver(H) if solver is None else solver
    check_problem(H, theta, loss, solver, start)
    check_settings(solver, rtol, beta, scheme, certify, error, measured=shots is not None)
    if isinstance(solver, OnDevice):
        return measured_on_device(H, theta, loss, solver, rtol, beta, scheme)
    if shots is not None:
        experiment = partial(Experiment, H, theta, loss, shots=as_shots(shots), wanted=wanted)
        return _measured(H, theta, loss, solver, rtol, beta, scheme, start, certify, error, experiment, generator(rng))
    solver = solver.resolving(rtol, scheme, len(H.sites), auto=beta == "auto")
    cheap = error == "cheap"
    solver = solver.for_one_level(rtol) if cheap else solver
    result = _taken(H, theta, loss, solver, rtol, beta, scheme, start, cheap)
    if start is not None and not cheap and beta == "auto" and result.status.concerns_states:
        cold = _taken(H, theta, loss, solver, rtol, beta, scheme, None, cheap)
        resolved = max(solver.energy_error, SAME_ENERGY) * float(np.abs(H.coefficients(theta)).sum())
        chosen = cold if cold.free.energy < result.free.energy - resolved else result
        result = replace(chosen, ground_states=result.ground_states + cold.ground_states)
    return _fully_certified(result, H, theta, loss, solver) if certify == "full" else result


def _measured(
    H: Hamiltonian, theta: Theta, loss: Loss, solver: Solver, rtol: float, beta: float | Literal["auto"],
    scheme: Scheme, start: GroundState | None, certify: Certify, error: Estimate,
    experiment_with: Callable[..., Experiment], rng: np.random.Generator,
) -> Gradient:  # fmt: skip
    """The gradient from shots: with a given nudge by its states alone, else beside a computed one, for its bias."""
    # shots need no more than a weak nudge does
    resolving = solver.resolving(rtol, scheme, len(H.sites), auto=True).for_one_level(rtol)
    if beta == "auto":
        computed = silent_gradient(H, theta, loss, solver, rtol, beta, scheme, start, certify, error=error)
        vector, bars, curvature = H.flatten(computed.gradient), H.flatten(computed.error), computed.level.curvature
        experiment = experiment_with(resolving, scheme, computed.free).balanced(vector, curvature, rng)
        return experiment.told(computed, experiment.drawn(rng), experiment.bias(vector) + bars)
    free = resolving.ground_state(H, theta, start=start)
    experiment = experiment_with(resolving, scheme, free, beta=float(beta))
    drawn, zero = experiment.drawn(rng), np.zeros(len(H.couplings))
    values = expectations(free.state, loss.observables)
    states = _result(drawn.nudge, loss, rtol, zero, zero, drawn.level, values, 1)
    return experiment.told(states, drawn, None)


def _fully_certified(result: Gradient, H: Hamiltonian, theta: Theta, loss: Loss, solver: Solver) -> Gradient:
    """The same gradient, with a certificate by other means than its own."""
    if solver.nudging not in _MANIFOLDS:
        certificate = replace(result.certificate, full=True)
    elif small_enough(H):
        certificate = _beside_exact(result, H, theta, loss, solver)
    else:
        certificate = by_other_states(result.certificate, H, theta, solver, result.free)
    status, message = verdict(certificate)
    return replace(result, certificate=certificate, status=status, message=message)


def _beside_exact(result: Gradient, H: Hamiltonian, theta: Theta, loss: Loss, solver: Solver) -> Certificate:
    """The certificate with the exact limit of no nudge, which there is not where two levels are one to rounding."""
    rtol = result.certificate.rtol
    try:
        exact = silent_gradient(
            H, theta, loss, ExactDiagonalization(sector=solver.sector), rtol, "auto", "linear-response", None
        )
    except np.linalg.LinAlgError:
        return replace(result.certificate, full=True, degenerate=True)
    bars = [np.concatenate([np.ravel(e) for e in g.error.values()]) for g in (result, exact)]
    return against_exact(
        result.certificate,
        exact.certificate,
        difference=H.flatten(result.gradient) - H.flatten(exact.gradient),
        claimed=float(sum(np.linalg.norm(e) for e in bars)) + NOTHING * result.natural_size,
        above=result.free.energy - exact.free.energy,
    )


def _taken(
    H: Hamiltonian, theta: Theta, loss: Loss, solver: Solver, rtol: float, beta: float | Literal["auto"],
    scheme: Scheme, start: GroundState | None, cheap: bool,
) -> Gradient:  # fmt: skip
    """The gradient from one search for the free state."""
    free = solver.ground_state(H, theta, start=start)
    values = expectations(free.state, loss.observables)
    nudge = Nudge(H, theta, loss.observables, loss.error_signal(values))
    if not (math.isfinite(loss.value(values)) and np.isfinite(nudge.signal).all()):
        raise ValueError(f"the loss is {loss.value(values)} and its derivative {nudge.signal}; both must be finite")
    if nudge.strength == 0:
        zero = np.zeros(len(H.couplings))
        return _result(nudge, loss, rtol, zero, zero, Level(0.0, zero, free), values, 1)
    if solver.nudging is Nudging.ANALYTIC:
        return _analytic(solver, nudge, loss, rtol, free)
    if scheme == "linear-response":
        return _linear_response(solver, nudge, loss, rtol, free)

    relative = solver.nudge_strength(rtol, scheme, len(H.sites))
    strength = relative * nudge.energy_scale if beta == "auto" else float(beta) * nudge.strength
    if cheap and (solver.nudging is Nudging.WINDOW or (solver.nudging is Nudging.SOLVED and free.gap is not None)):
        only = _only_level(solver, nudge, scheme, strength, rtol, free, adapt=beta == "auto")
        error = error_of_one_level(H, only, rtol)
        return _result(nudge, loss, rtol, only.gradient, error, only, values, 1 + only.order)
    if solver.nudging in _MANIFOLDS:
        return _on_manifold(solver, nudge, loss, rtol, strength, scheme, free, adapt=beta == "auto")
    fine, coarse = exact_levels(solver, nudge, scheme, (strength, COARSER_NUDGE * strength), free)
    error = error_estimate(H, fine, coarse, rtol)
    error = error + signal_error(nudge, loss, values, fine)
    return _result(nudge, loss, rtol, fine.gradient, error, fine, values, 1 + 2 * fine.order)


def _only_level(
    solver: Any, nudge: Nudge, scheme: Scheme, beta: float, rtol: float, free: GroundState, adapt: bool
) -> Level:
    """Nudged states at one accuracy, that which is asked for."""
    if solver.nudging is Nudging.SOLVED:
        beta = max(beta, nudge_below(free.gap or 0.0, rtol, scheme)) if adapt else beta
        return exact_levels(solver, nudge, scheme, (beta,), free)[0]
    strong = _STRONG * nudge.energy_scale
    level = WindowedManifold(solver, nudge, scheme, beta, strong, rtol, free, adapt, rounds=2).only_level()
    return level if adapt else with_lowest_states(solver, nudge, scheme, level)


def _on_manifold(
    solver: Any, nudge: Nudge, loss: Loss, rtol: float, beta: float, scheme: str, free: GroundState, adapt: bool
) -> Gradient:
    """The gradient with MPS, refined until its relative error is below rtol or the bond dimension at its limit."""
    manifold: Manifold = _MANIFOLDS[solver.nudging](
        solver, nudge, scheme, beta, _STRONG * nudge.energy_scale, rtol, free, adapt
    )
    levels = [manifold.level()]
    solves = 1 + levels[0].order
    for _ in range(_REFINEMENTS if adapt else 1):
        manifold = manifold.refined(levels[-1], loss)
        fine = manifold.level()
        if not adapt:
            fine = with_lowest_states(solver, nudge, scheme, fine)
        solves += 1 + fine.order
        coarse = next(filter(fine.tells_from, reversed(levels)), levels[0])
        second = manifold.second_values(fine, coarse)
        error = error_estimate(nudge.free, fine, coarse, rtol) + signal_error(manifold.nudge, loss, second, fine)
        nudge = manifold.nudge
        if (
            np.linalg.norm(error) <= rtol * max(float(np.linalg.norm(fine.gradient)), _NEGLIGIBLE / nudge.energy_scale)
            or manifold.limited
            or not (fine.settled and fine.free.converged)
        ):
            break
        levels.append(fine)
    if solver.max_bond == 1:
        # no coarser manifold tells what a product state leaves out
        error = np.maximum(error, 1 / nudge.energy_scale)
    return _result(nudge, loss, rtol, fine.gradient, error, fine, second, solves)


def _analytic(solver: Any, nudge: Nudge, loss: Loss, rtol: float, free: GroundState) -> Gradient:
    products, matrix = expand(nudge.observables)
    weights = (nudge.direction @ matrix).real
    vector = solver.gradient_of_expectations(nudge.free, free, products, weights)
    # nearly degenerate modes amplify rounding: change the couplings by as much, and see
    rng = np.random.default_rng(solver.seed)
    couplings = nudge.free.flatten(nudge.theta)
    rounded = nudge.free.unflatten(couplings * (1 + 1e-15 * rng.choice([-1, 1], len(couplings))))
    other = solver.ground_state(nudge.free, rounded)
    second = solver.gradient_of_expectations(nudge.free, other, products, weights)
    rounding = 1e-15 * len(nudge.free.sites) * np.abs(vector).max()
    error = 4 * np.abs(vector - second) + rounding
    second_values = expectations(other.state, nudge.observables)
    level = Level(0.0, vector, free)
    return _result(nudge, loss, rtol, vector, error, level, second_values, 1, one_of_several=False)


def _linear_response(solver: Solver, nudge: Nudge, loss: Loss, rtol: float, free: GroundState) -> Gradient:
    H = nudge.free
    products, matrix = expand(H.couplings)
    responses, state_error = solver.perturbed_expectations(H, nudge.theta, free, nudge.perturbation, products)
    vector = np.asarray((matrix @ responses).real)
    values = expectations(free.state, nudge.observables)
    error = 2 * state_error * sizes(H.couplings)
    return _result(nudge, loss, rtol, vector, error, Level(0.0, vector, free), values, 2)


def _result(
    nudge: Nudge,
    loss: Loss,
    rtol: float,
    vector: NDArray,
    error: NDArray,
    level: Level,
    second: NDArray,
    solves: int,
    one_of_several: bool = True,
) -> Gradient:
    """Assemble the result from what an error signal of unit strength gives.

    second: the observables' values at another accuracy, for the error of the loss. one_of_several: whether it matters
    that a degenerate ground state is one of several.
    """
    H, free = nudge.free, level.free
    vector, error = nudge.strength * vector, nudge.strength * error
    values = expectations(free.state, nudge.observables)
    value, other = loss.value(values), loss.value(second)
    natural = nudge.strength / nudge.energy_scale
    norm = max(float(np.linalg.norm(vector)), _NEGLIGIBLE * natural)
    relative = float(np.linalg.norm(error)) / norm if norm > 0 else 0.0
    # beside a gradient of natural size, away from the loss's own optimum, one that vanishes is known well enough
    usual = strength_of(loss.natural_signal(values), nudge.observables, H) / nudge.energy_scale
    against = max(norm, 1e-4 * usual)
    messages = (free.message if not free.converged else "", level.message)
    certificate = Certificate(
        variance=free.energy_variance / max(float((np.abs(H.coefficients(nudge.theta)) ** 2).sum()), 1e-300),
        overlap=level.overlap,
        residual=level.residual,
        unconverged=next(filter(None, messages), ""),
        relative_error=float(np.linalg.norm(error)) / against if against > 0 else 0.0,
        rtol=rtol,
        gap=free.gap,
        nudge=level.beta,
        degenerate=one_of_several and free.gap is not None and free.gap <= _SAME_LEVEL * nudge.energy_scale,
    )
    status, message = verdict(certificate)
    return Gradient(
        value=value,
        value_error=max(abs(value - other), 1e-15 * max(1.0, abs(value))),
        gradient=H.unflatten(vector),
        error=H.unflatten(error),
        relative_error=relative,
        converged=relative <= rtol,
        status=status,
        message=message,
        certificate=certificate,
        free=free,
        beta=level.beta / (nudge.strength or 1.0),
        ground_states=solves,
        natural_size=natural,
        level=level,
    )
