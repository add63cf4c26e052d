"""Gradients of a device: free and nudged phases are prepared and measured there, and nothing is computed.

The free phase gives the loss and its error signal, nudged phases at +beta and -beta the couplings' expectation values,
whose difference quotient is the gradient. Its bias cannot be computed, for the Hamiltonian is not known; so the nudge
is measured at two strengths. With g(beta) = g + c beta^p, p = 2 if symmetric and 1 if one-sided, the bias at beta is
(g(2 beta) - g(beta)) / (2^p - 1), and the shot noise of that is 0.4 of the gradient's own (0.9 of it if one-sided,
where both strengths share the free phase).
The nudge begins at the energy scale of the controls, where noise is least, and is halved until the bias is less than
the noise over the root of p: there their squares add up to least, as in `qep_tn.gradients.measured`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qep_tn.devices.on_device import OnDevice
from qep_tn.gradients.losses import Loss
from qep_tn.gradients.measured import Measured, half_widths, signal_spreads, value_error_of
from qep_tn.gradients.nudge import Level, Nudge, difference_quotient, signs
from qep_tn.gradients.result import Gradient
from qep_tn.gradients.trust import Certificate, Trust
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.measurement.estimates import Estimate
from qep_tn.measurement.shots import Shots
from qep_tn.solvers.protocol import Observed
from qep_tn.states.ground_state import GroundState

_STRONGEST = 1.0  # of a nudge, relative to the energy scale of the controls: a stronger one measures another device
_HALVINGS = 8  # of the nudge: at 1/256 of the energy scale, shots in thousands tell no difference
# What two strong nudges may understate the bias by: a response that saturates as that of two levels, 1 / sqrt(1 + x^2)
# at x gaps, is at one gap farther off by this than its difference to that at two says, over 2^p - 1; by p
_SATURATED = {1: 1.13, 2: 3.4}
_NEGLIGIBLE = 1e-6  # of a gradient's natural size: what a relative error is at least relative to
_SMALL_BIAS = 1e-3  # of the gradient: a device that is more precise than that need not be nudged more weakly


@dataclass(frozen=True)
class _Nudged:
    """A gradient from one strength of the nudge.

    strength: an energy. variances: of shot noise, over the couplings. of_base: standard errors of what the free phase
        brings to it, which is the same for all strengths; none if symmetric.
    """

    strength: float
    gradient: NDArray
    variances: NDArray
    of_base: NDArray
    states: tuple[GroundState, ...]


def measured_on_device(
    H: Hamiltonian, theta: Theta, loss: Loss, solver: OnDevice, rtol: float, beta: float | Literal["auto"], scheme: str
) -> Gradient:
    """The gradient of a loss with respect to every control of a device.

    H: the controls, with the operators that they are believed to multiply. solver: the device in a solver's place.
    beta: "auto" as this file says, in 4 to 18 nudged phases; with a given one, nothing tells the bias, and errors are
        those of shots alone.

    Errors of observables, and of couplings, count as independent of one another, for a device gives no covariances.
    The free state holds the loss's observables as measured, nudged ones the couplings.
    """
    free, values, errors = solver.observed(H, theta, loss.observables)
    nudge = Nudge(H, theta, loss.observables, np.asarray(loss.error_signal(values), float))
    value, order = float(loss.value(values)), len(signs(scheme))
    if not (math.isfinite(value) and np.isfinite(nudge.signal).all()):
        raise ValueError(f"the loss is {value} and its derivative {nudge.signal}; both must be finite")
    outputs = Estimate(values, np.diag(errors**2))
    spread = np.array(list(signal_spreads(loss, outputs)))
    levels: list[_Nudged] = []
    bias: NDArray | None = None
    balanced = True
    if nudge.strength == 0:
        unknown = Nudge(H, theta, loss.observables, np.sqrt((spread**2).sum(axis=0)))
        slope = np.zeros(len(H.couplings))
        noise = np.full(len(slope), unknown.strength / nudge.energy_scale)
    else:
        base = solver.observed(H, theta, H.couplings) if order == 1 else None
        strength = _STRONGEST * nudge.energy_scale if beta == "auto" else float(beta) * nudge.strength
        levels.append(_nudged(solver, nudge, scheme, strength, base))
        if beta == "auto":
            balanced = False
            while not balanced and len(levels) <= _HALVINGS:
                levels.append(_nudged(solver, nudge, scheme, levels[-1].strength / 2, base))
                doubt = _SATURATED[order] if len(levels) == 2 else 1.0
                bias, balanced = _bias(levels[-2], levels[-1], order, doubt)
        slope, variances = levels[-1].gradient, levels[-1].variances
        share = float((spread**2).sum() / (nudge.signal**2).sum())
        noise = np.sqrt(variances + share * np.maximum(slope**2 - variances, 0))  # of what is not noise, the signal's

    natural = nudge.strength / nudge.energy_scale
    norm = max(float(np.linalg.norm(slope)), _NEGLIGIBLE * natural) or 1.0
    half = half_widths(noise, bias)
    relative = float(np.linalg.norm(half)) / norm
    strength = levels[-1].strength if levels else 0.0
    level = Level(
        strength, slope, free, order if levels else 0, np.nan, assemble=lambda: levels[-1].states if levels else ()
    )
    certificate = Certificate(
        variance=np.nan, overlap=np.nan, residual=np.nan, unconverged="",
        relative_error=relative if bias is None else float(np.linalg.norm(bias)) / norm, rtol=rtol, gap=None,
        nudge=strength, degenerate=False,
    )  # fmt: skip
    told = "trustworthy, as far as shots tell; a device shows no states"
    phases = 1 + order * len(levels) + (order == 1 and bool(levels))
    return Gradient(
        value=value,
        value_error=value_error_of(loss, outputs),
        gradient=H.unflatten(slope),
        error=H.unflatten(half),
        relative_error=relative,
        converged=relative <= rtol,
        status=Trust.TRUSTWORTHY if balanced else Trust.LARGE_ERROR,
        message=told if balanced else _unbalanced(strength, certificate.relative_error),
        certificate=certificate,
        free=free,
        beta=strength / (nudge.strength or 1.0),
        ground_states=phases,
        natural_size=natural,
        level=level,
        shots=Measured(
            shots=Shots(solver.shots), circuits=None, total=None, noise=H.unflatten(noise),
            bias=None if bias is None else H.unflatten(bias), grouping="circuits are the device's own",
        ),
    )  # fmt: skip


def _nudged(solver: OnDevice, nudge: Nudge, scheme: str, strength: float, base: Observed | None) -> _Nudged:
    """base: the free phase's couplings, for a one-sided nudge."""
    H, beta = nudge.free, strength / nudge.strength
    phases = [
        solver.observed(H, nudge.theta, H.couplings, nudge=sign * strength * nudge.perturbation)
        for sign in signs(scheme)
    ]
    last = phases[-1] if base is None else base
    slope = difference_quotient([phase.values for phase in phases], last.values, beta)
    variances = (phases[0].errors ** 2 + last.errors**2) / (len(phases) * beta) ** 2
    of_base = np.zeros(len(slope)) if base is None else base.errors / beta
    return _Nudged(strength, slope, variances, of_base, tuple(phase.state for phase in phases))


def _bias(stronger: _Nudged, weaker: _Nudged, order: int, doubt: float) -> tuple[NDArray, bool]:
    """Of the weaker nudge, over the couplings; and whether it is no more than shot noise, or a trifle.

    What shots make of the difference is taken off, for it would add up over many couplings. doubt: by how much the
    bias may be larger than the difference says.
    """
    times = (2**order - 1) / doubt
    difference = (stronger.gradient - weaker.gradient) / times
    by_shots = (stronger.variances + weaker.variances - 2 * stronger.of_base * weaker.of_base) / times**2
    squared = max(float((difference**2).sum() - by_shots.sum()), 0.0)
    enough = float(weaker.variances.sum()) / order + (_SMALL_BIAS * float(np.linalg.norm(weaker.gradient))) ** 2
    return np.sqrt(np.maximum(difference**2 - by_shots, 0.0)), squared <= enough


def _unbalanced(strength: float, relative: float) -> str:
    return (
        f"at a nudge of {strength:.2g}, the weakest that is tried, its bias is {relative:.1g} of the gradient and "
        "still more than the shot noise: the ground state may be nearly degenerate; break the degeneracy, or give beta"
    )
