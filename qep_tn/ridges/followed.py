"""The boundaries of one chain followed on a shorter one: the ridge is looked for on the lines of the same points."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from qep_tn.hamiltonians.sites import Sites
from qep_tn.ridges.line import Branches, Line
from qep_tn.ridges.plane import Plane
from qep_tn.ridges.points import POINT_NUMBERS, Point, boundary_dataset
from qep_tn.states.ground_state import GroundState

logger = logging.getLogger("qep_tn")


@dataclass
class Followed:
    """How far boundaries are followed: a `qep_tn.runs.loop.Stepwise` whose steps are curves.

    plane: of the shorter chain. longest: the boundaries of the longest one, see `boundary_dataset`.
    stretch: of a peak's width, from the longest chain to this one.
    points: so far. rows: curves that are done. lost: ground states of lines without a ridge.
    """

    plane: Plane
    longest: xr.Dataset
    stretch: float
    points: list[Point] = field(default_factory=list)
    rows: int = 0
    lost: int = 0

    unit = "curve"

    @property
    def sites(self) -> Sites:
        """Of the shorter chain."""
        return self.plane.H.sites

    @property
    def total(self) -> int:
        """How many curves there are."""
        return int(self.longest.sizes["curve"])

    def figures(self) -> dict[str, str]:
        """What the progress bar shows: nothing but the curves."""
        return {}

    def settings(self) -> dict[str, Any]:
        """What decides the points, besides the plane: those that are followed."""
        followed = [*self.plane.axes, "across", "width", "order", "points"]
        return {
            "stretch": self.stretch,
            "the longest chain's boundary": [self.longest[name].values for name in followed],
        }

    def advance(self) -> bool:
        """Follow the next curve, from where the longest chain's was found first to both ends; False after the last."""
        if self.rows == self.total:
            return False
        axes, curve = self.plane.axes, self.rows
        known = self.longest.isel(curve=curve).isel(point=slice(int(self.longest["points"][curve])))
        order = known["order"].values.astype(int)
        seed = int(np.flatnonzero(order == 0)[0])
        middle: tuple[Branches, float] = ((None, None), 0.0)
        for indices in (range(seed, len(order)), range(seed - 1, -1, -1)):
            branches, shift = middle
            for n in indices:
                station = known.isel(point=n)
                across = int(station["across"])
                place = (float(station[axes[0]]), float(station[axes[1]]))
                width = self.stretch * float(station["width"])
                spacing = self.plane.spacing * width or float(self.plane.sides[across]) / 32  # a jump may be anywhere
                line = Line(self.plane, across, place[1 - across])
                found = line.correct(place[across] + shift, spacing, branches)
                if found.peak is None:
                    self.lost += found.ground_states
                    logger.info("L = %d: no ridge at %s = %.6g: %s", len(self.sites), axes[1 - across],
                                place[1 - across], found.message)  # fmt: skip
                    continue
                branches, shift = found.branches, found.peak.position - place[across]
                if n == seed:
                    middle = branches, shift
                there = (found.peak.position, place[1]) if across == 0 else (place[0], found.peak.position)
                point = Point.at(there, across, found, curve, int(order[n]), 0.0, found.ground_states, 0.0)
                self.points.append(point)
        self.rows += 1
        return True

    def dataset(self) -> xr.Dataset:
        """The points in the places of the longest chain's."""
        ends: list[Mapping[int, str]] = [{} for _ in range(self.total)]
        merged = _merged(self.points)
        lost = self.lost + sum(point.ground_states for point in merged)
        return boundary_dataset(self.plane, [point for point in self.points if point not in merged], ends, lost)

    def snapshot(self) -> tuple[list[GroundState], dict[str, Any]]:
        """What `restore` needs: numbers alone, for every curve begins cold."""
        table = np.array([point.numbers() for point in self.points]).reshape(len(self.points), POINT_NUMBERS)
        return [], {"step": self.rows, "points": table, "lost": self.lost}

    def restore(self, states: Sequence[GroundState], extra: Mapping[str, Any], run: Any) -> None:
        """Go back to a snapshot."""
        self.points = [Point.from_numbers(row) for row in extra["points"]]
        self.rows, self.lost = int(extra["step"]), int(extra["lost"])


def _merged(points: Sequence[Point]) -> set[Point]:
    """Points of two curves on one peak: where boundaries are near each other, short chains do not tell them apart."""
    merged: set[Point] = set()
    for point in points:
        rivals = [p for p in points if p.curve != point.curve and p.across == point.across]
        along = 1 - point.across
        for curve in {p.curve for p in rivals}:
            near = sorted(
                (p for p in rivals if p.curve == curve), key=lambda p: abs(p.place[along] - point.place[along])
            )[:2]  # fmt: skip
            spread = max((abs(a.place[along] - point.place[along]) for a in near), default=np.inf)
            step = abs(near[0].place[along] - near[-1].place[along]) or np.inf
            if spread <= step and any(abs(p.place[p.across] - point.place[p.across]) < 0.5 * point.width for p in near):
                merged.add(point)
    return merged
