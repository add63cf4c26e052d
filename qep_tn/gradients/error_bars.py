"""An error for every component of a gradient, from nudged states at two levels of accuracy."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from qep_tn.gradients.losses import Loss, sizes
from qep_tn.gradients.nudge import LARGEST_BIAS_OVER_WEIGHT, Level, Nudge, strength_of
from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.states.ground_state import expectations

_MARGIN = 1.3  # of bars over what bias and truncation are estimated to be
_LEAST_RATIO, _LARGEST_RATIO = 0.1, 0.7  # of the truncation of two levels that are compared


def error_estimate(H: Hamiltonian, fine: Level, coarse: Level, rtol: float) -> NDArray:
    """An error for each component of the fine level's gradient, from its difference to the coarse level's.

    The difference is scaled to the fine level's nudge bias, which is of second order in beta if symmetric and of first
    if one-sided; truncation errors differ by about a factor of two between the levels. Single components may agree by
    chance, above all where there is only noise; so no error is smaller than four times the median difference of the
    25 couplings around it, nor than rounding in <A_k>, nor than what truncation leaves of couplings far from the
    observable, whose response both levels truncate alike.
    """
    if fine.curvature is not None:
        return error_of_truncation_and_bias(H, fine, coarse)
    difference = np.abs(fine.gradient - coarse.gradient) / abs((coarse.beta / fine.beta) ** fine.order - 1)
    rounding = fine.noise.rounding * np.sqrt(sizes(H.couplings)) / fine.beta
    components = np.abs(fine.gradient)
    largest = components.max(initial=0.0)
    faint = np.maximum(fine.noise.faintest * rtol * largest, fine.noise.amplitude * np.sqrt(components * largest))
    return np.max([difference, 4 * _typical(H, difference), rounding, faint], axis=0) + fine.left_out


def error_of_truncation_and_bias(H: Hamiltonian, fine: Level, coarse: Level) -> NDArray:
    """An error for each component of the fine level's gradient, where the curvature of the response is known.

    The nudge's bias is that of its level. What is left of the difference to the coarse level is the coarse one's
    truncation; the fine one's is smaller as the energy variance is, for both are of the order of the discarded weight.
    Single components may agree by chance, so none counts for less than the median of the 25 couplings around it.
    """
    assert fine.curvature is not None
    at_same_nudge = coarse.gradient + fine.curvature * (fine.beta**fine.order - coarse.beta**fine.order)
    difference = np.abs(fine.gradient - at_same_nudge)
    truncation = np.maximum(difference, _typical(H, difference)) * _remaining(fine, coarse)
    return _MARGIN * (fine.bias + truncation) + _of_one_level(H, fine)


def error_of_one_level(H: Hamiltonian, level: Level, rtol: float) -> NDArray:
    """An error for each component of a gradient that no other one is compared with.

    Of the nudge's bias the weight of the response in the nudged states tells how large it is beside the gradient; large
    components and the mean one share it alike. Of the truncation of MPS nothing does, and it is taken for half of rtol,
    more than it was at the cutoff where most gradients end. Of exact states the gap tells more: how large the bias is
    where a weak response belongs to a level that the nudge, of a spectrum of width 2, moves beside the free one; and
    the residuals over the gap bound what is missing, and so its share in the difference of expectation values.
    """
    bias = LARGEST_BIAS_OVER_WEIGHT * math.sqrt(level.weight) ** level.order
    mean = float(np.sqrt(np.mean(level.gradient**2))) if level.gradient.size else 0.0
    shared = np.hypot(level.gradient, mean) / math.sqrt(2)
    if level.free.bond_dimensions:
        return (bias + rtol / 2) * shared + _of_one_level(H, level)
    states, gap = level.nudged if level.order == 2 else (*level.nudged, level.free), level.free.gap or math.inf
    bias = max(bias, (2 * level.beta / gap) ** level.order)
    missing = sum(math.sqrt(state.energy_variance) for state in states) / gap
    return bias * shared + 2 * missing * sizes(H.couplings) / (level.order * level.beta) + _of_one_level(H, level)


def _of_one_level(H: Hamiltonian, level: Level) -> NDArray:
    """What a level itself tells of its components' errors, besides bias and truncation."""
    rounding = level.noise.rounding * np.sqrt(sizes(H.couplings)) / level.beta
    components = np.abs(level.gradient)
    largest = components.max(initial=0.0)
    faint = level.noise.amplitude * np.sqrt(components * largest) + level.noise.faintest * largest
    return np.asarray(faint + level.last_change + rounding + level.left_out)


def nudge_below(gap: float, rtol: float, scheme: str) -> float:
    """The nudge whose bias is rtol if the response is as large as it can be, the nudge over the gap."""
    bias = rtol / LARGEST_BIAS_OVER_WEIGHT
    return gap * (math.sqrt(bias) if scheme == "symmetric" else bias)


def _remaining(fine: Level, coarse: Level) -> float:
    """What of the difference of two levels is left of the fine one's truncation; most where a limit of the bonds tells
    them apart.
    """
    if fine.limited:
        return _LARGEST_RATIO / (1 - _LARGEST_RATIO)
    ratio = fine.free.energy_variance / max(coarse.free.energy_variance, 1e-300)
    ratio = min(max(ratio, _LEAST_RATIO), _LARGEST_RATIO)
    return ratio / (1 - ratio)


def _typical(H: Hamiltonian, difference: NDArray) -> NDArray:
    """The median of the 25 couplings around each; itself for one that has no place on the chain."""
    typical, along = difference.copy(), _along(H)
    if len(along):
        typical[along] = median_filter(difference[along], size=min(25, len(along)), mode="nearest")
    return typical


def signal_error(nudge: Nudge, loss: Loss, second: NDArray, level: Level) -> NDArray:
    """What the uncertainty of the free state's expectation values, through the error signal, does to each component.

    second: the same values at another accuracy. A limit of the bonds leaves both the same, so what all bonds discard
    counts too: it changes a value by its weight times the operator's size. This matters near a target, where the signal
    vanishes, and at a kink, where it changes sign. What makes the signal longer or shorter does the same to the
    gradient; what turns it asks for a response that no nudge has shown, and counts as a natural one, or as the largest
    of those that are known.
    """
    values = expectations(level.free.state, nudge.observables)
    discarded = len(level.free.bond_dimensions) * level.free.truncation_error
    uncertainty = np.abs(values - second) + (1e-12 + discarded) * sizes(nudge.observables)
    known = np.abs(level.gradient)
    unknown = max(float(known.max(initial=0.0)), 1 / nudge.energy_scale)
    signals = [loss.error_signal(values + shift * uncertainty) for shift in (-1, 0, 1)]
    change = np.max([np.abs(signal - nudge.signal) for signal in signals], axis=0)
    unit = np.abs(nudge.signal) / np.linalg.norm(nudge.signal)
    along = float(change @ unit) / float(np.linalg.norm(nudge.signal))
    turned = strength_of(change * np.sqrt(1 - np.minimum(unit, 1) ** 2), nudge.observables, nudge.free)
    return known * along + unknown * turned / nudge.strength


@lru_cache(maxsize=8)
def _along(H: Hamiltonian) -> NDArray:
    """The couplings of a few sites, in their order along the chain."""
    supports = [a.support or (0,) for a in H.couplings]
    centres = np.array([sum(support) / len(support) for support in supports])
    extents = np.array([support[-1] - support[0] for support in supports])
    confined = np.flatnonzero(extents <= 8)  # a coupling of the whole chain has no neighbours
    return confined[np.argsort(centres[confined], kind="stable")]
