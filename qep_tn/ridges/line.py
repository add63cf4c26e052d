"""The corrector: ground states along one line of a plane of parameters, moved until the ridge lies among them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from qep_tn.hamiltonians.operators import Operator
from qep_tn.ridges.measured_peak import MEASURED_SAMPLES, fit_measured_peak
from qep_tn.ridges.peak import SAMPLES, Peak, Sample, find_peak, rising_towards
from qep_tn.ridges.plane import Plane
from qep_tn.states.ground_state import GroundState
from qep_tn.states.saved import as_saved

_MOVES = 6  # of the samples along a line, by one or two spacings each
_ZOOMS = 6  # changes of the spacing
_REACH = SAMPLES // 2
_NEAR = 0.5  # spacings that the peak may be off the middle sample
_NEAR_MEASURED = 1.5  # of the nine samples of a device
_RESOLVED = 0.5  # largest error of a peak that counts as one, in widths
_NARROW = 3.0  # energy scales over L: transitions are wider, but near multicritical points
_FINEST = 1e-3  # spacing, as a share of the window, below which a jump is one

Branches = tuple[GroundState | None, GroundState | None]


@dataclass
class Correction:
    """Where the ridge crosses a line, and what it took.

    peak: None if there is none within reach; `message` says what was seen.
    branches: ground states below and above the peak.
    max_bond: the largest bond dimension of the samples. converged: whether all ground states are.
    """

    peak: Peak | None
    branches: Branches
    ground_states: int
    max_bond: int = 0
    converged: bool = True
    message: str = ""


@dataclass
class Line:
    """A line of the plane, and the ground states that it took so far."""

    plane: Plane
    across: int
    fixed: float
    ground_states: int = 0
    samples: dict[int, Sample] = field(default_factory=dict)

    def sample(self, position: float, start: GroundState | None) -> Sample:
        """The ground state at a point of the line."""
        plane = self.plane
        place = (position, self.fixed) if self.across == 0 else (self.fixed, position)
        own, other = (plane.H.parameters[plane.axes[n]] for n in (self.across, 1 - self.across))
        assert isinstance(own, Operator)
        assert isinstance(other, Operator)
        operators = (plane.measured(self.across), own, other)
        found = plane.solver.observed(plane.H, plane.at(place), operators, start=start)
        value, across, along = (float(x) for x in found.values)
        state = as_saved(found.state)
        return Sample(position, value, state.energy, across, along, state, float(found.errors[0]))

    def scan(self, positions: np.ndarray) -> list[Sample]:
        """Samples at ascending positions, from both ends towards the middle, each from the one before."""
        half = len(positions) // 2
        low, high = self._chains((positions[:half], positions[half:][::-1]), (None, None))
        return low + high[::-1]

    def correct(self, centre: float, spacing: float, branches: Branches) -> Correction:
        """Find the peak near `centre`, with samples at a spacing that fits its width.

        branches: ground states from which samples below and above the centre start: where the transition is of first
            order, they stay on the two sides.
        """
        if self.plane.by_device:
            return self._correct_measured(centre, spacing)
        side = float(self.plane.sides[self.across])
        best: tuple[Peak, list[Sample]] | None = None
        for _ in range(_ZOOMS):
            samples = self._around_peak(centre, spacing, branches)
            branches = samples[0].state, samples[-1].state
            peak = self._peak(samples)
            wanted = self.plane.spacing * peak.width if peak else 0.0
            if peak is None:
                return self._at_best(best, samples, "the response has no maximum within reach")
            if peak.jump and spacing <= _FINEST * side and peak.error < spacing:
                return self._correction(peak, samples)
            if not peak.jump:
                resolved = peak.error <= _RESOLVED * peak.width
                if spacing <= 1.6 * wanted and not resolved:
                    return self._at_best(best, samples, "the samples' errors hide the peak; lower rtol")
                best = (peak, samples) if resolved else None
                if best and 0.6 * wanted <= spacing <= 1.6 * wanted:
                    return self._correction(*best)
            centre = peak.position
            finer = max(spacing / 4, _FINEST * side)
            spacing = finer if peak.jump else float(np.clip(wanted, spacing / 8, 4 * spacing))
        return self._at_best(best, samples, "the response has no maximum of a definite width")

    def _correct_measured(self, centre: float, spacing: float) -> Correction:
        """As `correct`, on a device: samples moved, and their spacing, until the peak is in their middle."""
        for _ in range(_ZOOMS):
            places = centre + spacing * (np.arange(MEASURED_SAMPLES) - MEASURED_SAMPLES // 2)
            low, high = self._chains((places[:_REACH], places[_REACH:]), (None, None))  # no state starts another
            samples = low + high
            peak = fit_measured_peak(samples)
            if peak is None:
                centre, spacing = centre + 2 * rising_towards(samples) * spacing, 1.3 * spacing
                continue
            wanted, off = self.plane.spacing * peak.width, abs(peak.position - centre) / spacing
            if off <= _NEAR_MEASURED and 0.6 * wanted <= spacing <= 1.6 * wanted:
                if peak.error <= _RESOLVED * peak.width:
                    return self._correction(peak, samples)
                return self._correction(None, samples, "shot noise hides the peak; take more shots")
            centre, spacing = peak.position, float(np.clip(wanted, spacing / 3, 3 * spacing))
        return self._correction(None, samples, "the response has no maximum within reach")

    def _at_best(self, best: tuple[Peak, list[Sample]] | None, samples: list[Sample], message: str) -> Correction:
        """The peak as it was resolved before, at the cost of all samples; or why there is none."""
        return self._correction(*best) if best else self._correction(None, samples, message)

    def _around_peak(self, centre: float, spacing: float, branches: Branches) -> list[Sample]:
        """Five samples, moved along the line until the peak lies in their middle, or nowhere."""
        self.samples = {}
        middle = 0
        for _ in range(_MOVES):
            window = range(middle - _REACH, middle + _REACH + 1)
            self._fill(window, centre, spacing, branches)
            samples = [self.samples[k] for k in window]
            peak = self._peak(samples)
            if peak is None:
                middle += 2 * rising_towards(samples)
                continue
            off = (peak.position - centre) / spacing - middle
            if abs(off) <= _NEAR or peak.jump:
                break
            middle += int(np.clip(round(off), -2, 2))
        return samples

    def _peak(self, samples: list[Sample]) -> Peak | None:
        place = (samples[_REACH].position, self.fixed) if self.across == 0 else (self.fixed, samples[_REACH].position)
        narrow = _NARROW * self.plane.energy_scale(place) / len(self.plane.H.sites)
        return find_peak(samples, self.plane.noise(self.across), narrow, self.plane.energy_noise(place))

    def _fill(self, window: range, centre: float, spacing: float, branches: Branches) -> None:
        """Add the samples that a window lacks; those below the ones that are there start from the lowest of them."""
        there = sorted(self.samples)
        if there:
            low = [k for k in reversed(window) if k < there[0]]
            high = [k for k in window if k > there[-1]]
            branches = self.samples[there[0]].state, self.samples[there[-1]].state
        else:
            split = len(window) // 2 + 1
            low, high = list(window[:split]), list(window[split:])[::-1]
        found = self._chains(
            tuple(np.array([centre + k * spacing for k in chain]) for chain in (low, high)), branches
        )  # fmt: skip
        for chain, samples in zip((low, high), found, strict=True):
            self.samples.update(zip(chain, samples, strict=True))

    def _chains(self, positions: tuple[np.ndarray, ...], starts: Branches) -> list[list[Sample]]:
        """Samples along two independent chains of positions, each from the one before it in its chain."""

        def chain(places: np.ndarray, start: GroundState | None) -> list[Sample]:
            samples: list[Sample] = []
            for position in places:
                samples.append(self.sample(float(position), start))
                start = samples[-1].state
            return samples

        self.ground_states += sum(len(places) for places in positions)
        return self.plane.solver.map(chain, list(positions), list(starts))

    def _correction(self, peak: Peak | None, samples: list[Sample], message: str = "") -> Correction:
        states = [sample.state for sample in samples]
        doubtful = next((state.message for state in states if not state.converged), "")
        return Correction(
            peak,
            (states[0], states[-1]),
            self.ground_states,
            max(max(state.bond_dimensions, default=0) for state in states),
            not doubtful,
            message or doubtful,
        )
