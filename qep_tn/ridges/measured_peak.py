"""The ridge of a response that a device measures: a step with a smooth background, fitted to samples with shot noise.

A polynomial through few samples follows their noise. So more of them are taken, farther apart, and fitted by
a + b t + c t^2 + s tanh((t - t_0) / w), whose steepest point is the peak. Without noise, beside exact peaks of
disordered cluster-Ising chains of 64 sites, t_0 of 9 samples at 0.7 widths is at most 0.05 of a width off, with arctan
in the place of tanh too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from qep_tn.ridges.peak import COVERED, Peak, Sample

MEASURED_SAMPLES = 9
_SHAPE = 0.1  # of the width: what the form of the step may be off by
_NARROWEST, _WIDEST = 0.2, 6.0  # of the step, in spacings, that samples can tell


def fit_measured_peak(samples: list[Sample]) -> Peak | None:
    """The peak among equally spaced samples; None if the fit has none between the second and the last but one.

    Its error holds 1.96 standard errors, by the samples' own, and what the form of the step may be off by.
    """
    values, errors = (np.array([getattr(sample, name) for sample in samples]) for name in ("value", "error"))
    places = np.arange(len(samples)) - (len(samples) - 1) / 2
    spacing = samples[1].position - samples[0].position
    height = max(float(np.ptp(values)), 1e-300)
    weights = 1 / np.maximum(errors, 1e-9 * height)

    def step(p: NDArray) -> NDArray:
        a, b, c, s, middle, width = p
        return np.asarray(a + b * places + c * places**2 + s * np.tanh((places - middle) / width))

    rise = (values[-1] - values[0]) / 2
    lowest = np.array([-np.inf] * 4 + [places[0], _NARROWEST])
    fits = [
        least_squares(
            lambda p: (step(p) - values) * weights, [values.mean(), 0, 0, rise, middle, width],
            bounds=(lowest, [np.inf] * 4 + [places[-1], _WIDEST]), x_scale=[height, height, height, height, 1, 1],
        )
        for middle in (-1.5, 0.0, 1.5) for width in (0.7, 1.5)
    ]  # fmt: skip
    best = min(fits, key=lambda fit: float(fit.cost))
    _, b, c, s, middle, width = best.x
    fine = np.linspace(places[1], places[-2], 601)
    response = b + 2 * c * fine + s / width / np.cosh((fine - middle) / width) ** 2
    response = response * np.sign(s)
    top = int(response.argmax())
    if not 0 < top < len(fine) - 1 or response[top] <= 0:
        return None
    bend = -float(np.gradient(np.gradient(response, fine), fine)[top])
    if bend <= 0:
        return None
    reach = float(np.sqrt(2 * response[top] / bend))
    scatter = float(np.sqrt(np.linalg.pinv(best.jac.T @ best.jac)[4, 4]))
    return Peak(
        position=float(samples[0].position + spacing * (fine[top] - places[0])),
        error=float(spacing * (COVERED * scatter + _SHAPE * reach)),
        height=float(response[top] / spacing),
        width=float(spacing * reach),
        normal=_normal(samples, places, float(fine[top])),
    )


def _normal(samples: list[Sample], places: NDArray, top: float) -> tuple[float, float]:
    """Of the ridge, by the energy's second derivatives, from cubics through what the samples measure."""
    across, along = (
        float(np.polyval(np.polyder(np.polyfit(places, [getattr(sample, name) for sample in samples], 3)), top))
        for name in ("across", "along")
    )
    return across, along
