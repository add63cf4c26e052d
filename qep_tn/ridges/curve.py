"""Where a trace of phase boundaries stands, and how it goes on.

A predictor extrapolates the ridge by its last three points, the corrector finds it there. The outermost points of every
curve keep the ground states on their two sides, from which the next one starts.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from qep_tn.hamiltonians.sites import Sites
from qep_tn.ridges.extension import check_points_grow, check_window_grows
from qep_tn.ridges.line import Branches, Correction, Line
from qep_tn.ridges.peak import Peak
from qep_tn.ridges.plane import Place, Plane
from qep_tn.ridges.points import POINT_NUMBERS, Point, Reason, Stop, boundary_dataset
from qep_tn.ridges.predictor import in_plane, line_across, predict, tangent, turned, width_along
from qep_tn.states.ground_state import GroundState

logger = logging.getLogger("qep_tn")

_SMALLEST = 1 / 32  # of the largest step: below it the ridge counts as lost
_ON_CURVE = 0.75  # in widths: a point that is nearer to another curve belongs to it
_MISS = 0.3  # in widths: how far off a prediction may be for the step to stay as it is
_PASSING = (Reason.WINDOW_EDGE, Reason.POINT_LIMIT)  # ends from which a curve goes on, given more room


class Candidate(NamedTuple):
    """Where a line that was searched has a maximum: a point, the parameter that varies, and the samples' spacing."""

    place: Place
    across: int
    spacing: float
    branches: Branches


@dataclass
class Trace:
    """How far a trace is: a `qep_tn.runs.loop.Stepwise` whose steps are points, and candidates that led to none.

    starts, centre, cells: where to look for curves, see `_find_candidates`.
    points: in the order in which they were found. ends: of each curve, forwards and backwards.
    sides: of each curve the ground states on the two sides of its last point forwards and backwards, as long as it may
    go on there. begun: whether the candidates are known. searched: ground states that led to no point.
    reopened: ends for which there is more room than when they were reached.
    """

    plane: Plane
    starts: Sequence[Place]
    centre: Place
    cells: int
    step: float
    most_points: int
    sharpness: float
    points: list[Point] = field(default_factory=list)
    ends: list[dict[int, Stop]] = field(default_factory=list)
    sides: list[dict[int, Branches]] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    begun: bool = False
    searched: int = 0
    reopened: tuple[Reason, ...] = ()

    unit = "point"
    total = None  # nobody knows

    @property
    def sites(self) -> Sites:
        """Of the chain."""
        return self.plane.H.sites

    @property
    def rows(self) -> int:
        """How many points are found."""
        return len(self.points)

    @property
    def curves(self) -> int:
        """How many curves have been found."""
        return len(self.ends)

    def figures(self) -> dict[str, str]:
        """What the progress bar shows."""
        return {"curve": str(self.curves)}

    def advance(self) -> bool:
        """Find where to begin, or the next point, or settle that there is none in this direction; False if all is done.

        Depends on nothing but this state, so that it can be saved and restored.
        """
        if self.reopened:
            self._reopen()
            return True
        if not self.begun:
            self._find_candidates()
            return True
        curve = next((n for n, ends in enumerate(self.ends) if len(ends) < 2), None)
        if curve is not None:
            self._extend(curve, -1 if 1 in self.ends[curve] else 1)
            return True
        if self.candidates:
            self._begin(self.candidates.pop(0))
            return True
        return False

    def _find_candidates(self) -> None:
        """Points from which to look for a ridge: those given, or the maxima along two lines through the centre."""
        self.begun = True
        if self.starts:
            spacing = self.plane.sides / 32
            self.candidates = [
                Candidate(p, across, float(spacing[across]), (None, None)) for p in self.starts for across in (0, 1)
            ]
            return
        for across in (0, 1):
            low, high = self.plane.window[across]
            line = Line(self.plane, across, self.centre[1 - across])
            samples = line.scan(np.linspace(low, high, self.cells))
            self.searched += line.ground_states
            changes = np.abs(np.diff([sample.value for sample in samples]))
            beside = np.concatenate([[0.0], changes, [0.0]])
            for n in range(len(changes)):
                if changes[n] >= max(beside[n], beside[n + 2], 3 * self.plane.noise(across)):
                    middle = (samples[n].position + samples[n + 1].position) / 2
                    place = (middle, self.centre[1]) if across == 0 else (self.centre[0], middle)
                    branches = samples[n].state, samples[n + 1].state
                    self.candidates.append(Candidate(place, across, (high - low) / (2 * self.cells), branches))

    def _reopen(self) -> None:
        """Let curves go on where they ended for want of room; in a larger window, search the lines' whole length."""
        for ends in self.ends:
            for direction in [d for d, stop in ends.items() if stop.reason in self.reopened]:
                del ends[direction]
        if Reason.WINDOW_EDGE in self.reopened and not self.starts:
            self.begun = False
        self.reopened = ()

    def _begin(self, candidate: Candidate) -> None:
        """Start a curve from a candidate, unless there is no ridge, or one that has been followed."""
        began = time.perf_counter()
        place, across, spacing, branches = candidate
        solves = 0
        for _ in range(2):  # the second time, where the ridge runs along the line, on the other line
            line = Line(self.plane, across, place[1 - across])
            found = line.correct(place[across], spacing, branches)
            solves += found.ground_states
            problem = self._problem(found, place)
            if found.peak is None or problem:
                logger.info("no boundary near %s: %s", self.plane.named(place), problem.message if problem else "")
                self.searched += solves
                return
            place = (found.peak.position, place[1]) if across == 0 else (place[0], found.peak.position)
            if not self.plane.contains(place) or self._curve_at(place, across, found.peak.width) is not None:
                self.searched += solves
                return
            wanted = line_across(tangent(in_plane(found.peak.normal, across), self.plane.sides), 0)
            if wanted == across:
                break
            n = found.peak.normal
            slope = abs(n[0] / (n[1] or 1.0))
            spacing = self.plane.spacing * found.peak.width * slope or float(self.plane.sides[wanted]) / 1000
            across, branches = wanted, turned(found.branches, n)
        self._add(Point.at(place, across, found, self.curves, 0, self.step / 4, solves, time.perf_counter() - began))
        self.ends.append({})
        self.sides.append({1: found.branches, -1: found.branches})

    def _extend(self, curve: int, direction: int) -> None:
        """The next point of a curve, or the end of this direction."""
        began = time.perf_counter()
        known = self._ordered(curve)[::direction]
        last = known[-1]
        branches = self.sides[curve][direction]
        reach, solves = last.reach, 0
        while True:
            if len(known) >= self.most_points:
                stop = Stop(Reason.POINT_LIMIT, f"it has {len(known)} points; go on with more")
                return self._end(curve, direction, stop)
            target, ahead = predict(self.plane, known, direction, reach)
            if self._at_edge(last, target):
                return self._end(curve, direction, Stop(Reason.WINDOW_EDGE, f"at {self.plane.named(last.place)}"))
            across = line_across(ahead, last.across)
            sides = branches if across == last.across else turned(branches, last.normal)
            found = Line(self.plane, across, target[1 - across]).correct(
                target[across], self._spacing(last, across), sides
            )  # fmt: skip
            solves += found.ground_states
            problem = self._problem(found, target)
            if found.peak is not None and not problem:
                place = (found.peak.position, target[1]) if across == 0 else (target[0], found.peak.position)
                problem = self._departure(found.peak, place, last, target, across, reach)
                if not problem and self.plane.contains(place, found.peak.error):
                    break
                if not problem:  # the ridge leaves the window on the way
                    reach *= 0.9 * self.plane.share_inside(last.place, place)
                    if reach <= _SMALLEST * self.step:
                        self.searched += solves
                        stop = Stop(Reason.WINDOW_EDGE, f"after {self.plane.named(last.place)}")
                        return self._end(curve, direction, stop)
                    continue
            assert problem is not None
            if reach <= _SMALLEST * self.step:
                self.searched += solves
                stop = Stop(problem.reason, f"after {self.plane.named(last.place)}: {problem.message}")
                return self._end(curve, direction, stop)
            reach = max(reach / 2, _SMALLEST * self.step)
        assert found.peak is not None
        other = self._curve_at(place, across, found.peak.width, curve)
        if other is not None:
            self.searched += solves
            return self._end(curve, direction, Stop(Reason.MULTICRITICAL_POINT, f"it meets curve {other}"))
        reach = self._next_reach(reach, abs(found.peak.position - target[across]), found, across)
        seconds = time.perf_counter() - began
        self._add(Point.at(place, across, found, curve, last.order + direction, reach, solves, seconds))
        self.sides[curve][direction] = found.branches
        away = max(self.plane.distance(point.place, known[0].place) for point in known)
        chord = self.plane.distance(place, last.place)
        if away > 1.25 * self.step and self.plane.distance(place, known[0].place) < 0.75 * chord:
            for end in (direction, -direction):
                self._end(curve, end, Stop(Reason.CLOSED_LOOP, "it has come back to its first point"))
        return None

    def _add(self, point: Point) -> None:
        self.points.append(point)
        logger.info(
            "curve %d point %d: %s +- %.1e, width %.3g, %d ground states",
            point.curve, point.order, self.plane.named(point.place), point.error, point.width, point.ground_states,
        )  # fmt: skip

    def _end(self, curve: int, direction: int, stop: Stop) -> None:
        self.ends[curve][direction] = stop
        if stop.reason not in _PASSING:
            self.sides[curve][direction] = (None, None)
        logger.info("curve %d ends at %s: %s", curve, stop.reason.value, stop.message)

    def _ordered(self, curve: int) -> list[Point]:
        return sorted((p for p in self.points if p.curve == curve), key=lambda p: p.order)

    def _at_edge(self, last: Point, target: Place) -> bool:
        """Whether a curve whose next point would be the target is at the window's edge."""
        near = self.plane.distance(last.place, target) <= 0.5 * _SMALLEST * self.step
        return near or not self.plane.contains(last.place)

    def _spacing(self, last: Point, across: int) -> float:
        """Of the samples, from the width of the peak at the last point."""
        return self.plane.spacing * width_along(last, across) or float(self.plane.sides[across]) / 1000

    def _next_reach(self, reach: float, miss: float, found: Correction, across: int) -> float:
        assert found.peak is not None
        tolerated = _MISS * (found.peak.width or 0.01 * float(self.plane.sides[across]))
        grown = reach * float(np.clip(np.sqrt(tolerated / max(miss, 1e-12)), 0.5, 1.6))
        return float(np.clip(grown, _SMALLEST * self.step, self.step))

    def _problem(self, found: Correction, place: Place) -> Stop | None:
        """Why a correction on the line through a place is no point of a boundary; None if it is one."""
        if found.peak is None:
            return Stop(Reason.MULTICRITICAL_POINT, found.message)
        if found.peak.width > self.sharpness * self.plane.energy_scale(place) / len(self.sites):
            text = f"the ridge is too weak to be a transition: its width is {found.peak.width:.2g}"
            return Stop(Reason.WEAK_RIDGE, text)
        return None

    def _departure(
        self, peak: Peak, place: Place, last: Point, target: Place, across: int, reach: float
    ) -> Stop | None:
        """Why a peak is not that of the same curve; None if it is."""
        expected = width_along(last, across)
        factor = 2.5 if across == last.across else 5.0  # a width on another line is estimated from the normal
        if expected and peak.width and not 1 / factor < peak.width / expected < factor:
            text = f"the ridge's width goes from {expected:.2g} to {peak.width:.2g}"
            return Stop(Reason.MULTICRITICAL_POINT, text)
        drift = abs(peak.position - target[across])
        if drift > peak.width + reach * float(self.plane.sides[across]) / 2:
            text = f"the ridge is {drift:.2g} away from where it was expected"
            return Stop(Reason.MULTICRITICAL_POINT, text)
        ahead, moved = ((np.array(p) - last.place) / self.plane.sides for p in (target, place))
        if ahead @ moved <= 0:
            return Stop(Reason.MULTICRITICAL_POINT, "the ridge turns back")
        return None

    def _curve_at(self, place: Place, across: int, width: float, own: int | None = None) -> int | None:
        """The number of another curve that is nearer, along the line, than a peak is wide; None if there is none.

        own: the curve at work, which is none of them.
        """
        least = 1e-3 * float(self.plane.sides[across])
        for curve in range(self.curves):
            if curve == own:
                continue
            ordered = self._ordered(curve)
            closed = any(stop.reason is Reason.CLOSED_LOOP for stop in self.ends[curve].values())
            for a, b in pairwise([*ordered, ordered[0]] if closed else ordered):
                fixed = (a.place[1 - across], b.place[1 - across])
                if not min(fixed) <= place[1 - across] <= max(fixed):
                    continue
                share = (place[1 - across] - fixed[0]) / (fixed[1] - fixed[0] or 1.0)
                there = a.place[across] + share * (b.place[across] - a.place[across])
                if abs(there - place[across]) < _ON_CURVE * max(width, a.width, b.width, least):
                    return curve
        return None

    def dataset(self) -> xr.Dataset:
        """All points so far."""
        ends = [{d: stop.reason.value for d, stop in curve.items()} for curve in self.ends]
        return boundary_dataset(self.plane, self.points, ends, self.searched)

    def snapshot(self) -> tuple[list[GroundState], dict[str, Any]]:
        """What `restore` needs: ground states, and numbers and texts."""
        pairs = [*(sides[d] for sides in self.sides for d in (1, -1)), *(c.branches for c in self.candidates)]
        states = [state for pair in pairs for state in pair if state is not None]
        ends = [{str(d): (stop.reason.name, stop.message) for d, stop in ends.items()} for ends in self.ends]
        return states, {
            "step": len(self.points),
            "points": np.array([point.numbers() for point in self.points]).reshape(len(self.points), POINT_NUMBERS),
            "candidates": np.array([[*c.place, c.across, c.spacing] for c in self.candidates]).reshape(-1, 4),
            "there": np.array([[state is not None for state in pair] for pair in pairs], bool).reshape(-1, 2),
            "ends": json.dumps(ends),
            "counts": np.array([self.begun, self.searched, self.most_points]),
            "window": np.array(self.plane.window),
            **self.plane.solver.memory(),
        }

    def restore(self, states: Sequence[GroundState], extra: Mapping[str, Any], run: Any) -> None:
        """Go back to a snapshot, and on from it where there are more points or a larger window now.

        run: a run folder. Raises ValueError, with the reason, for fewer points, or a window that leaves some out.
        """
        window = tuple((float(low), float(high)) for low, high in extra["window"])
        begun, searched, most_points = (int(n) for n in extra["counts"])
        check_window_grows(run.path, window, self.plane.window)
        check_points_grow(run.path, most_points, self.most_points)
        remaining = iter(states)
        pairs: list[Branches] = [
            (next(remaining) if low else None, next(remaining) if high else None) for low, high in extra["there"]
        ]
        self.ends = [
            {int(d): Stop(Reason[name], message) for d, (name, message) in ends.items()}
            for ends in json.loads(extra["ends"])
        ]
        self.sides = [dict(zip((1, -1), pairs[2 * n : 2 * n + 2], strict=True)) for n in range(self.curves)]
        self.candidates = [
            Candidate((float(x), float(y)), int(across), float(spacing), pair)
            for (x, y, across, spacing), pair in zip(extra["candidates"], pairs[2 * self.curves :], strict=True)
        ]
        self.points = [Point.from_numbers(row) for row in extra["points"]]
        self.begun, self.searched = bool(begun), searched
        self.plane.solver.remember(extra)
        if window != self.plane.window:
            self._rescale(window)
            self.reopened = _PASSING
        elif most_points != self.most_points:
            self.reopened = (Reason.POINT_LIMIT,)

    def _rescale(self, window: tuple[Place, ...]) -> None:
        """Steps ahead as shares of a window that has grown: none is longer than it was."""
        grown = np.array([high - low for low, high in window]) / self.plane.sides
        self.points = [point._replace(reach=point.reach * float(grown.min())) for point in self.points]
