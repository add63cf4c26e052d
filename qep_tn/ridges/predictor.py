"""The predictor: where a curve goes from its last points, and on which line to look for it there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qep_tn.ridges.line import Branches
from qep_tn.ridges.plane import Place, Plane
from qep_tn.ridges.points import Point

_TURN = 2.0  # the corrector's line changes where the ridge runs this much more along it than across


def predict(plane: Plane, known: Sequence[Point], direction: int, reach: float) -> tuple[Place, NDArray]:
    """A point `reach` ahead, in the window if the ridge leaves it on the way, and the direction there (scaled).

    known: the points of a curve in the order in which it is followed. direction: 1 or -1, of the first step.
    """
    scaled = np.array([point.place for point in known]) / plane.sides
    if len(scaled) == 1:
        along_ridge = direction * tangent(known[0].normal, plane.sides)
        ahead = scaled[-1] + reach * along_ridge
    else:
        chords = np.linalg.norm(np.diff(scaled[-3:], axis=0), axis=1)
        along = np.concatenate([[0.0], np.cumsum(chords)])
        order = len(along) - 1
        ahead = np.array([np.polynomial.Polynomial.fit(along, c, order)(along[-1] + reach) for c in scaled[-3:].T])
        along_ridge = (ahead - scaled[-1]) / np.linalg.norm(ahead - scaled[-1])
    low, high = (np.array([w[n] for w in plane.window]) / plane.sides for n in (0, 1))
    move = ahead - scaled[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(move > 0, (high - scaled[-1]) / move, np.where(move < 0, (low - scaled[-1]) / move, np.inf))
    target = (scaled[-1] + min(1.0, max(0.0, float(room.min()))) * move) * plane.sides
    for n, edge in enumerate(room):  # onto the edge, to the last bit
        if edge == room.min() <= 1:
            target[n] = plane.window[n][int(move[n] > 0)]
    return (float(target[0]), float(target[1])), along_ridge


def line_across(along_ridge: NDArray, now: int) -> int:
    """Along which parameter to look for the ridge: the one that is in use, unless the ridge runs along it."""
    return 1 - now if abs(along_ridge[now]) > _TURN * abs(along_ridge[1 - now]) else now


def width_along(last: Point, across: int) -> float:
    """Of the peak at the last point, on a line along this parameter."""
    turned_by = abs(last.normal[last.across] / (last.normal[across] or 1.0)) if across != last.across else 1.0
    return last.width * turned_by


def in_plane(normal: Place, across: int) -> Place:
    """A normal by (across, along) as components of the plane's first and second parameter."""
    return normal if across == 0 else (normal[1], normal[0])


def turned(branches: Branches, normal: Place) -> Branches:
    """The states below and above the ridge on a line along one parameter, as they lie on a line along the other."""
    return branches if normal[0] * normal[1] >= 0 else (branches[1], branches[0])


def tangent(normal: Place, sides: NDArray) -> NDArray:
    """The direction along a ridge with this normal, scaled by the window's sides, of unit length."""
    along_ridge = np.array([-normal[1], normal[0]]) / sides
    return np.asarray(along_ridge / np.linalg.norm(along_ridge))
