"""The tracer: where a trace of phase boundaries stands, and how it goes on.

A predictor extrapolates the ridge by its last three points, the corrector finds it there. Every point keeps the ground
states on its two sides, from which the next one starts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qep_tn.ridges.line import Branches, Correction, Line
from qep_tn.ridges.peak import Peak
from qep_tn.ridges.plane import Place, Plane
from qep_tn.ridges.points import POINT_NUMBERS, Point, boundary_dataset
from qep_tn.states.ground_state import GroundState

logger = logging.getLogger("qep_tn")

_WEAK = "the ridge is too weak to be a transition"
_SMALLEST = 1 / 32  # of the largest step: below it the ridge counts as lost
_TURN = 2.0  # the corrector's line changes where the ridge runs this much more along it than across
_ON_CURVE = 0.75  # in widths: a point that is nearer to another curve belongs to it
_MISS = 0.3  # in widths: how far off a prediction may be for the step to stay as it is


class Candidate(NamedTuple):
    """Where a line that was searched has a maximum: a point, the parameter that varies, and the samples' spacing."""

    place: Place
    across: int
    spacing: float
    branches: Branches


class Stop(NamedTuple):
    """Why a curve ends: a key of `boundary_history.END`, and a sentence."""

    reason: str
    message: str


@dataclass
class Trace:
    """How far a trace is. Every `advance` depends on nothing but this state, so that it can be saved and restored.

    points: in the order in which they were found. ends: of each curve, forwards and backwards.
    begun: whether the candidates are known. searched: ground states that led to no point.
    newest, seed: ground states on the two sides of the last point, and of the first one of its curve.
    """

    plane: Plane
    step: float
    most_points: int
    sharpness: float
    points: list[Point] = field(default_factory=list)
    ends: list[dict[int, Stop]] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    begun: bool = False
    searched: int = 0
    newest: Branches = (None, None)
    seed: Branches = (None, None)

    @property
    def curves(self) -> int:
        """How many curves have been found."""
        return len(self.ends)

    @property
    def converged(self) -> bool:
        """Whether there is a point, and every ground state of every point converged."""
        return bool(self.points) and all(point.converged for point in self.points)

    @property
    def message(self) -> str:
        """What was found, or why nothing was."""
        if not self.points:
            return (
                "no boundary found: no response along the searched lines has a maximum that is sharp enough; "
                "search through another point, widen the window, or give a start"
            )
        doubtful = sum(not point.converged for point in self.points)
        total = self.searched + sum(point.ground_states for point in self.points)
        text = f"{self.curves} curve{'s' * (self.curves > 1)}, {len(self.points)} points, {total} ground states"
        jumps = len({point.curve for point in self.points if point.width == 0})
        if jumps:
            text += f"; {jumps} of jumps: transitions of first order, or level crossings of this finite chain"
        return text + (
            f"; {doubtful} points rest on ground states that did not converge: raise max_bond" * bool(doubtful)
        )

    def find_candidates(self, starts: list[Place], centre: Place, cells: int) -> None:
        """Points from which to look for a ridge: those given, or the maxima along two lines through the centre."""
        self.begun = True
        if starts:
            spacing = self.plane.sides / 32
            self.candidates = [
                Candidate(p, across, float(spacing[across]), (None, None)) for p in starts for across in (0, 1)
            ]
            return
        for across in (0, 1):
            low, high = self.plane.window[across]
            line = Line(self.plane, across, centre[1 - across])
            samples = line.scan(np.linspace(low, high, cells))
            self.searched += line.ground_states
            changes = np.abs(np.diff([sample.value for sample in samples]))
            beside = np.concatenate([[0.0], changes, [0.0]])
            for n in range(len(changes)):
                if changes[n] >= max(beside[n], beside[n + 2], 3 * self.plane.noise(across)):
                    middle = (samples[n].position + samples[n + 1].position) / 2
                    place = (middle, centre[1]) if across == 0 else (centre[0], middle)
                    branches = samples[n].state, samples[n + 1].state
                    self.candidates.append(Candidate(place, across, (high - low) / (2 * cells), branches))

    def advance(self) -> bool:
        """Find the next point, or settle that there is none in this direction; False when all is done."""
        if self.ends and len(self.ends[-1]) < 2:
            direction = 1 if 1 not in self.ends[-1] else -1
            self._extend(direction)
            return True
        while self.candidates:
            if self._begin(self.candidates.pop(0)):
                return True
        return False

    def _begin(self, candidate: Candidate) -> bool:
        """Start a curve from a candidate; False if there is no ridge, or one that has been followed."""
        began = time.perf_counter()
        place, across, spacing, branches = candidate
        solves = 0
        for _ in range(2):  # the second time, where the ridge runs along the line, on the other line
            line = Line(self.plane, across, place[1 - across])
            found = line.correct(place[across], spacing, branches)
            solves += found.ground_states
            problem = self._problem(found, place)
            if found.peak is None or problem:
                logger.info("no boundary near %s: %s", self._named(place), problem)
                self.searched += solves
                return False
            place = (found.peak.position, place[1]) if across == 0 else (place[0], found.peak.position)
            if not self._inside(place) or self._curve_at(place, across, found.peak.width) is not None:
                self.searched += solves
                return False
            wanted = self._line_across(_tangent(_in_plane(found.peak.normal, across), self.plane.sides), 0)
            if wanted == across:
                break
            n = found.peak.normal
            turned = abs(n[0] / (n[1] or 1.0))
            spacing = self.plane.spacing * found.peak.width * turned or float(self.plane.sides[wanted]) / 1000
            across, branches = wanted, _turned(found.branches, n)
        self._add(Point.at(place, across, found, self.curves, 0, self.step / 4, solves, time.perf_counter() - began))
        self.ends.append({})
        self.newest = self.seed = found.branches
        return True

    def _extend(self, direction: int) -> None:
        """The next point of the last curve, or the end of this direction."""
        began = time.perf_counter()
        known = self._ordered(self.curves - 1)[::direction]
        last = known[-1]
        branches = self.newest if last.order else self.seed
        reach, solves = last.reach, 0
        while True:
            if len(known) >= self.most_points:
                return self._end(direction, Stop("point limit", f"it has {len(known)} points; begin again with more"))
            target, tangent = self._predict(known, direction, reach)
            stop = self._at_edge(last, target)
            if stop:
                return self._end(direction, stop)
            across = self._line_across(tangent, last.across)
            sides = branches if across == last.across else _turned(branches, last.normal)
            found = Line(self.plane, across, target[1 - across]).correct(
                target[across], self._spacing(last, across), sides
            )  # fmt: skip
            solves += found.ground_states
            problem = self._problem(found, target)
            if found.peak is not None and not problem:
                place = (found.peak.position, target[1]) if across == 0 else (target[0], found.peak.position)
                problem = self._departure(found.peak, place, last, target, across, reach)
                if not problem and self._inside(place, found.peak.error):
                    break
                if not problem:  # the ridge leaves the window on the way
                    reach *= 0.9 * self._share_inside(last.place, place)
                    if reach <= _SMALLEST * self.step:
                        self.searched += solves
                        return self._end(direction, Stop("window edge", f"after {self._named(last.place)}"))
                    continue
            if reach <= _SMALLEST * self.step:
                self.searched += solves
                reason = "weak ridge" if problem.startswith(_WEAK) else "multicritical point"
                return self._end(direction, Stop(reason, f"after {self._named(last.place)}: {problem}"))
            reach = max(reach / 2, _SMALLEST * self.step)
        assert found.peak is not None
        other = self._curve_at(place, across, found.peak.width)
        if other is not None:
            self.searched += solves
            return self._end(direction, Stop("multicritical point", f"it meets curve {other}"))
        reach = self._next_reach(reach, abs(found.peak.position - target[across]), found, across)
        seconds = time.perf_counter() - began
        self._add(Point.at(place, across, found, self.curves - 1, last.order + direction, reach, solves, seconds))
        self.newest = found.branches
        away = max(self._distance(point.place, known[0].place) for point in known)
        chord = self._distance(place, last.place)
        if away > 1.25 * self.step and self._distance(place, known[0].place) < 0.75 * chord:
            self._end(direction, Stop("closed loop", "it has come back to its first point"))
            self._end(-direction, Stop("closed loop", "it has come back to its first point"))
        return None

    def _add(self, point: Point) -> None:
        self.points.append(point)
        logger.info(
            "curve %d point %d: %s +- %.1e, width %.3g, %d ground states",
            point.curve, point.order, self._named(point.place), point.error, point.width, point.ground_states,
        )  # fmt: skip

    def _end(self, direction: int, stop: Stop) -> None:
        self.ends[-1][direction] = stop
        logger.info("curve %d ends at %s: %s", self.curves - 1, stop.reason, stop.message)

    def _ordered(self, curve: int) -> list[Point]:
        return sorted((p for p in self.points if p.curve == curve), key=lambda p: p.order)

    def _predict(self, known: list[Point], direction: int, reach: float) -> tuple[Place, NDArray]:
        """A point `reach` ahead, in the window if the ridge leaves it on the way, and the direction there (scaled)."""
        scaled = np.array([point.place for point in known]) / self.plane.sides
        if len(scaled) == 1:
            tangent = direction * _tangent(known[0].normal, self.plane.sides)
            ahead = scaled[-1] + reach * tangent
        else:
            chords = np.linalg.norm(np.diff(scaled[-3:], axis=0), axis=1)
            along = np.concatenate([[0.0], np.cumsum(chords)])
            order = len(along) - 1
            ahead = np.array(
                [np.polynomial.Polynomial.fit(along, c, order)(along[-1] + reach) for c in scaled[-3:].T]
            )  # fmt: skip
            tangent = (ahead - scaled[-1]) / np.linalg.norm(ahead - scaled[-1])
        low, high = (np.array([w[n] for w in self.plane.window]) / self.plane.sides for n in (0, 1))
        move = ahead - scaled[-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(move > 0, (high - scaled[-1]) / move, np.where(move < 0, (low - scaled[-1]) / move, np.inf))
        target = (scaled[-1] + min(1.0, max(0.0, float(room.min()))) * move) * self.plane.sides
        for n, edge in enumerate(room):  # onto the edge, to the last bit
            if edge == room.min() <= 1:
                target[n] = self.plane.window[n][int(move[n] > 0)]
        return (float(target[0]), float(target[1])), tangent

    def _at_edge(self, last: Point, target: Place) -> Stop | None:
        """The end of a curve whose last point is at the window's edge."""
        if self._inside(last.place) and self._distance(last.place, target) > 0.5 * _SMALLEST * self.step:
            return None
        return Stop("window edge", f"at {self._named(last.place)}")

    def _line_across(self, tangent: NDArray, now: int) -> int:
        """Along which parameter to look for the ridge: the one that is in use, unless the ridge runs along it."""
        return 1 - now if abs(tangent[now]) > _TURN * abs(tangent[1 - now]) else now

    def _width(self, last: Point, across: int) -> float:
        """Of the peak at the last point, on a line along this parameter."""
        turned = abs(last.normal[last.across] / (last.normal[across] or 1.0)) if across != last.across else 1.0
        return last.width * turned

    def _spacing(self, last: Point, across: int) -> float:
        """Of the samples, from the width of the peak at the last point."""
        return self.plane.spacing * self._width(last, across) or float(self.plane.sides[across]) / 1000

    def _next_reach(self, reach: float, miss: float, found: Correction, across: int) -> float:
        assert found.peak is not None
        tolerated = _MISS * (found.peak.width or 0.01 * float(self.plane.sides[across]))
        grown = reach * float(np.clip(np.sqrt(tolerated / max(miss, 1e-12)), 0.5, 1.6))
        return float(np.clip(grown, _SMALLEST * self.step, self.step))

    def _problem(self, found: Correction, place: Place) -> str:
        """Why a correction on the line through a place is no point of a boundary; empty if it is one."""
        if found.peak is None:
            return found.message
        if found.peak.width > self.sharpness * self.plane.energy_scale(place) / len(self.plane.H.sites):
            return f"{_WEAK}: its width is {found.peak.width:.2g}"
        return ""

    def _departure(self, peak: Peak, place: Place, last: Point, target: Place, across: int, reach: float) -> str:
        """Why a peak is not that of the same curve; empty if it is."""
        expected = self._width(last, across)
        factor = 2.5 if across == last.across else 5.0  # a width on another line is estimated from the normal
        if expected and peak.width and not 1 / factor < peak.width / expected < factor:
            return f"the ridge's width goes from {expected:.2g} to {peak.width:.2g}"
        drift = abs(peak.position - target[across])
        if drift > peak.width + reach * float(self.plane.sides[across]) / 2:
            return f"the ridge is {drift:.2g} away from where it was expected"
        ahead, moved = ((np.array(p) - last.place) / self.plane.sides for p in (target, place))
        if ahead @ moved <= 0:
            return "the ridge turns back"
        return ""

    def _curve_at(self, place: Place, across: int, width: float) -> int | None:
        """The number of another curve that is nearer, along the line, than a peak is wide; None if there is none."""
        least = 1e-3 * float(self.plane.sides[across])
        for curve in range(self.curves):
            if curve == self.curves - 1 and len(self.ends[-1]) < 2:
                continue  # that is the curve at work
            ordered = self._ordered(curve)
            closed = any(stop.reason == "closed loop" for stop in self.ends[curve].values())
            for a, b in pairwise([*ordered, ordered[0]] if closed else ordered):
                fixed = (a.place[1 - across], b.place[1 - across])
                if not min(fixed) <= place[1 - across] <= max(fixed):
                    continue
                share = (place[1 - across] - fixed[0]) / (fixed[1] - fixed[0] or 1.0)
                there = a.place[across] + share * (b.place[across] - a.place[across])
                if abs(there - place[across]) < _ON_CURVE * max(width, a.width, b.width, least):
                    return curve
        return None

    def _inside(self, place: Place, error: float = 0.0) -> bool:
        """Whether a point is in the window, to within its error."""
        return all(low - error <= x <= high + error for x, (low, high) in zip(place, self.plane.window, strict=True))

    def _share_inside(self, inside: Place, outside: Place) -> float:
        """Of the way from a point in the window to one outside, how much is inside."""
        shares = [1.0]
        for a, b, (low, high) in zip(inside, outside, self.plane.window, strict=True):
            if not low <= b <= high:
                shares.append(((low if b < low else high) - a) / (b - a))
        return min(shares)

    def _distance(self, a: Place, b: Place) -> float:
        """As a share of the window."""
        return float(np.linalg.norm((np.array(a) - np.array(b)) / self.plane.sides))

    def _named(self, place: Place) -> str:
        return ", ".join(f"{name} = {x:.6g}" for name, x in zip(self.plane.axes, place, strict=True))

    def dataset(self) -> xr.Dataset:
        """All points so far."""
        ends = [{d: stop.reason for d, stop in curve.items()} for curve in self.ends]
        return boundary_dataset(self.plane, self.points, ends, self.searched)

    def snapshot(self) -> tuple[list[GroundState], dict[str, Any]]:
        """What `restore` needs: ground states, and numbers and texts."""
        pairs = [self.newest, self.seed, *(c.branches for c in self.candidates)]
        there = np.array([[state is not None for state in pair] for pair in pairs])
        states = [state for pair in pairs for state in pair if state is not None]
        stops = [f"{n}|{d}|{s.reason}|{s.message}" for n, ends in enumerate(self.ends) for d, s in ends.items()]
        return states, {
            "step": len(self.points),
            "points": np.array([point.numbers() for point in self.points]).reshape(len(self.points), POINT_NUMBERS),
            "candidates": np.array([[*c.place, c.across, c.spacing] for c in self.candidates]).reshape(-1, 4),
            "there": there,
            "ends": "\n".join(stops),
            "counts": np.array([self.begun, self.searched, self.curves]),
        }

    def restore(self, states: Sequence[GroundState], extra: Mapping[str, Any], where: str) -> None:
        """Go back to a snapshot. Raises ValueError if it is not one."""
        if extra.keys() != {"step", "points", "candidates", "there", "ends", "counts"}:
            raise ValueError(f"{where} holds no trace of this model to resume; choose another folder with --out")
        remaining = iter(states)
        pairs: list[Branches] = [
            (next(remaining) if low else None, next(remaining) if high else None) for low, high in extra["there"]
        ]
        self.newest, self.seed = pairs[:2]
        self.candidates = [
            Candidate((float(x), float(y)), int(across), float(spacing), pair)
            for (x, y, across, spacing), pair in zip(extra["candidates"], pairs[2:], strict=True)
        ]
        self.points = [Point.from_numbers(row) for row in extra["points"]]
        begun, self.searched, curves = (int(n) for n in extra["counts"])
        self.begun = bool(begun)
        self.ends = [{} for _ in range(curves)]
        for text in extra["ends"].splitlines():
            curve, direction, reason, message = text.split("|", 3)
            self.ends[int(curve)][int(direction)] = Stop(reason, message)


def _in_plane(normal: Place, across: int) -> Place:
    """A normal by (across, along) as components of the plane's first and second parameter."""
    return normal if across == 0 else (normal[1], normal[0])


def _turned(branches: Branches, normal: Place) -> Branches:
    """The states below and above the ridge on a line along one parameter, as they lie on a line along the other."""
    return branches if normal[0] * normal[1] >= 0 else (branches[1], branches[0])


def _tangent(normal: Place, sides: NDArray) -> NDArray:
    """The direction along a ridge with this normal, scaled by the window's sides, of unit length."""
    tangent = np.array([-normal[1], normal[0]]) / sides
    return np.asarray(tangent / np.linalg.norm(tangent))
