"""Where, along a line of one parameter, an observable changes fastest: the ridge of its response.

Ground states at equally spaced points of the line are nudged states of one another: raising the parameter g by beta is
a nudge with its own operator A, and by Onsager reciprocity the change of any <O> over beta is the response d<O>/dg that
a nudge with O would read off <A>. So a handful of ground states gives the response of every observable along the line,
and no net change between two of them can be missed, however narrow: their difference is the response's integral.

A continuous transition of a finite chain is a smooth peak of the response, and lies where the polynomial through the
samples is steepest. A first-order transition, or a level crossing, is a jump, and lies where the energies of its two
branches cross; their tangents, dE/dg = <A>, say where.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qep_tn.states.ground_state import GroundState

SAMPLES = 5  # of one fit, a polynomial of fourth order

_JUMP = 0.75  # least share of the whole change that happens between two neighbouring samples, if it is a jump
COVERED = 1.96  # standard errors of a normal distribution that hold 95 %
_FOURTH = 3.0  # bound on the response's fourth order at its peak, in units of its height and width
_BETWEEN = np.arange(SAMPLES) - (SAMPLES - 1) / 2  # positions of the samples, in units of their spacing
_COEFFICIENTS = np.linalg.inv(np.vander(_BETWEEN, increasing=True))  # of the polynomial, from the samples


class Sample(NamedTuple):
    """A ground state on the line.

    position: the parameter. value: <O>. energy; across, along: its derivatives by the parameter and by the other
    parameter of the plane (Hellmann and Feynman: <A>, <B>). Of a device the energy is not known, NaN; error: the
    standard error of the value.
    """

    position: float
    value: float
    energy: float
    across: float
    along: float
    state: GroundState
    error: float = 0.0


@dataclass(frozen=True)
class Peak:
    """Where the response is largest on a line.

    position, error: of the parameter. height: |d<O>/dg| there; of a jump, |jump of <O>|.
    width: at this distance a parabola of the peak's curvature has fallen to zero; zero for a jump.
    normal: components of the ridge's normal along the line's own and along the other parameter, up to a factor.
    """

    position: float
    error: float
    height: float
    width: float
    normal: tuple[float, float]

    @property
    def jump(self) -> bool:
        """Whether the transition is of first order, or a level crossing."""
        return self.width == 0


def find_peak(samples: list[Sample], noise: float, narrow: float = 0.0, energy_noise: float = 0.0) -> Peak | None:
    """The peak of the response among five equally spaced samples, or within half a spacing of them; None if none.

    noise: error of each <O>, at peaks wider than `narrow`; at narrower ones it grows as the width falls: a state's
        error is that of its energy over the gap, and the gap at a ridge goes with its width.
    energy_noise: error of each energy.

    Where samples are measured, the position's error holds 1.96 standard errors of what shots make of it.
    """
    shots = COVERED * float(np.sqrt(np.mean([sample.error**2 for sample in samples])))
    changes = np.abs(np.diff([sample.value for sample in samples]))
    steepest = int(changes.argmax())
    if changes[steepest] > max(_JUMP * changes.sum(), 10 * (noise + shots)):
        return _jump(samples, steepest, energy_noise)
    return _smooth_peak(samples, noise, narrow, shots)


def _smooth_peak(samples: list[Sample], noise: float, narrow: float, shots: float) -> Peak | None:
    """The steepest point of the polynomial of fourth order through the samples.

    Its error is what the next two orders of the response, h (1 - x^2/w^2 + a x^3/w^3 + k x^4/w^4), change: at a
    distance of t spacings d from the middle sample, k w (d/w)^3 |2 t^3 - 3 t| and an even term of the next order. For
    peaks of cluster-Ising chains, which are logarithms rounded by the chain's length, k is 1 to 2. Near multicritical
    points it can be large; then the cubic fit differs much, and a quarter of that is the error. To this comes what the
    samples' own errors make of the position.
    """
    spacing = samples[1].position - samples[0].position
    polynomial = np.polynomial.Polynomial(_COEFFICIENTS @ [sample.value for sample in samples])
    slope, curvature, third = (polynomial.deriv(n) for n in (1, 2, 3))
    summits = [
        t.real
        for t in curvature.roots()
        if abs(t.imag) < 1e-9 and abs(t.real) <= SAMPLES / 2 and slope(t.real) * third(t.real) < 0
    ]
    if not summits:
        return None
    summit = float(max(summits, key=lambda t: abs(slope(t))))
    height, bend = abs(float(slope(summit))), abs(float(third(summit)))
    width = float(np.sqrt(2 * height / bend))  # in units of the spacing, like all here
    powers = np.array([0, 0, 2, 6 * summit, 12 * summit**2])  # of the curvature's coefficients
    uncertain = noise * max(1.0, narrow / (width * spacing)) + shots
    scatter = uncertain * float(np.linalg.norm(powers @ _COEFFICIENTS)) / bend
    orders = _FOURTH * (abs(2 * summit**3 - 3 * summit) / width**2 + 1 / width**3)
    cubic = _steepest_of_cubic(samples)
    orders = max(orders, 0.25 * abs(summit - cubic) if np.isfinite(cubic) else 0.5)
    return Peak(
        position=_centre(samples) + spacing * summit,
        error=spacing * (orders + scatter),
        height=height / spacing,
        width=spacing * width,
        normal=_normal(samples, summit),
    )


def _steepest_of_cubic(samples: list[Sample]) -> float:
    """The steepest point of the cubic that fits the samples best, in units of their spacing; nan if it has none."""
    third, second, first, _ = np.polyfit(_BETWEEN, [sample.value for sample in samples], 3)
    summit = -second / (3 * third) if third else np.nan
    return float(summit) if (first + second * summit) * third < 0 else np.nan


def _normal(samples: list[Sample], summit: float) -> tuple[float, float]:
    """The row (d<A>/dg, d<B>/dg) of the energy's Hessian, whose singular part is n n^T, n the ridge's normal."""
    values = [[sample.across for sample in samples], [sample.along for sample in samples]]
    powers = np.array([0, 1, 2 * summit, 3 * summit**2, 4 * summit**3])
    across, along = (float(powers @ _COEFFICIENTS @ row) for row in values)
    return across, along


def _jump(samples: list[Sample], left: int, energy_noise: float) -> Peak | None:
    """Where the energies of two branches cross, the one up to `left` and the one from the next sample on.

    Their tangents cross there, but for the curvature of both, whose effect is the error; so each branch needs two
    samples, or else the error is a spacing. The branches' slopes also give the direction of the line on which they
    cross, as Clausius and Clapeyron found it.
    """
    a, b = samples[left], samples[left + 1]
    spacing = b.position - a.position
    kink = a.across - b.across
    normal = (b.across - a.across, b.along - a.along)
    if np.isnan(a.energy):  # a device's: the jump is between the two samples
        middle = (a.position + b.position) / 2
        return Peak(middle, float(spacing) / 2, abs(b.value - a.value), 0.0, normal)
    if kink <= 0:  # the energy of a ground state is concave; this is no crossing
        return None
    crossing = (b.energy - a.energy + a.across * a.position - b.across * b.position) / kink
    bends = [
        (samples[n + 1].across - samples[n].across) / spacing for n in range(SAMPLES - 1) if n != left
    ]  # second derivatives of the energy, beside the jump
    bend = float(np.abs(bends).max())
    reach = max(abs(crossing - a.position), abs(b.position - crossing))
    known = 0 < left < SAMPLES - 2
    return Peak(
        position=float(crossing),
        error=(float(bend * reach**2) + 2 * energy_noise + 1e-12 * abs(a.energy)) / kink if known else spacing,
        height=abs(b.value - a.value),
        width=0.0,
        normal=normal,
    )


def _centre(samples: list[Sample]) -> float:
    return (samples[0].position + samples[-1].position) / 2


def rising_towards(samples: list[Sample]) -> int:
    """+1 or -1: on which side the observable changes faster."""
    changes: NDArray = np.abs(np.diff([sample.value for sample in samples]))
    return 1 if changes[-1] > changes[0] else -1
