"""The points of traced boundaries, and the data set that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from qep_tn.ridges.line import Correction
from qep_tn.ridges.plane import Place, Plane

END = {-1: "first", 1: "last"}  # a curve's ends, by the direction in which they were reached
POINT_NUMBERS = 15  # that make a point


class Reason(Enum):
    """Why a curve ends. The order is that of the flags in history.nc, after "not finished"."""

    WINDOW_EDGE = "window edge"
    CLOSED_LOOP = "closed loop"
    MULTICRITICAL_POINT = "multicritical point"
    WEAK_RIDGE = "weak ridge"
    POINT_LIMIT = "point limit"


STOPS = ("not finished", *(reason.value for reason in Reason))


class Stop(NamedTuple):
    """The end of a curve, or what would end it: a reason to decide by, and a sentence to read."""

    reason: Reason
    message: str


class Point(NamedTuple):
    """One point of a boundary.

    curve, order: number of the curve, and the place on it: 0 for the point found first, then 1, 2, ... in one and
        -1, -2, ... in the other direction.
    place: values of the plane's two parameters. across: which of them was varied (0 or 1); the other one is exact.
    error, width, height: of the peak, see `qep_tn.ridges.peak.Peak`. normal: of the ridge, by the plane's parameters.
    reach: length of the step that comes next, as a share of the window.
    ground_states: that it took. max_bond: largest bond dimension. converged: whether all ground states are.
    """

    curve: int
    order: int
    place: Place
    across: int
    error: float
    width: float
    height: float
    normal: Place
    reach: float
    ground_states: int
    max_bond: int
    converged: bool
    seconds: float

    @classmethod
    def at(
        cls, place: Place, across: int, found: Correction, curve: int, order: int, reach: float, solves: int,
        seconds: float,
    ) -> Point:  # fmt: skip
        """The point that a correction found."""
        peak = found.peak
        assert peak is not None
        own, other = np.array(peak.normal) / (np.linalg.norm(peak.normal) or 1.0)
        normal = (float(own), float(other)) if across == 0 else (float(other), float(own))
        return cls(
            curve, order, place, across, peak.error, peak.width, peak.height, normal, reach, solves, found.max_bond,
            found.converged, seconds,
        )  # fmt: skip

    def numbers(self) -> list[float]:
        """All fields in a row."""
        return [float(x) for value in self for x in (value if isinstance(value, tuple) else (value,))]

    @classmethod
    def from_numbers(cls, row: Sequence[float]) -> Point:
        """The inverse of `numbers`."""
        curve, order, x, y, across, error, width, height, nx, ny, reach, solves, bond, converged, seconds = (
            float(value) for value in row
        )
        return cls(
            int(curve), int(order), (x, y), int(across), error, width, height, (nx, ny), reach, int(solves), int(bond),
            bool(converged), seconds,
        )  # fmt: skip


def taken_names(axes: tuple[str, str]) -> set[str]:
    """Names of variables and dimensions, which a parameter must not have."""
    figures = {"width", "height", "across", "order", "ground_states", "max_bond", "converged", "seconds", "points"}
    derived = {f"{name}_error" for name in axes} | {f"normal_{name}" for name in axes}
    return figures | derived | {"curve", "point", "end", "stop", "ground_states_search"}


def boundary_dataset(
    plane: Plane, points: Sequence[Point], ends: Sequence[Mapping[int, str]], searched: int
) -> xr.Dataset:
    """Dimensions `curve`, `point`: the points of each curve from one end to the other, NaN or 0 beyond the last.

    Variables: both parameters by name and `NAME_error` (zero for the one that was not varied), `width` and `height` of
    the response's peak, `normal_NAME`, `across`, `ground_states` and `seconds` of each point, `max_bond`, `converged`;
    for each curve `points` and `stop` (at its `end` "first" and "last"); `ground_states_search` in all; and the other
    parameters by name.
    """
    curves = [sorted((p for p in points if p.curve == n), key=lambda p: p.order) for n in range(len(ends))]
    longest = max((len(curve) for curve in curves), default=0)

    def column(values: Any, long_name: str, units: str, fill: Any = np.nan, **attributes: Any) -> tuple[Any, ...]:
        table = np.full((len(curves), longest), fill)
        for row, curve in zip(table, curves, strict=True):
            row[: len(curve)] = [values(point) for point in curve]
        return ("curve", "point"), table, {"long_name": long_name, "units": units, **attributes}

    response = "response" if plane.observable is not None else "-d2E/dg2"
    a, b = plane.axes
    variables: dict[str, Any] = {}
    for n, name in enumerate(plane.axes):
        variables[name] = column(lambda p, n=n: p.place[n], f"parameter {name} on the boundary", "energy")
        variables[f"{name}_error"] = column(
            lambda p, n=n: p.error if p.across == n else 0.0,
            f"error of {name}, at the other parameter's value; zero where the other one was varied", "energy",
        )  # fmt: skip
    for n, name in enumerate(plane.axes):
        long_name = f"component along {name} of the ridge's unit normal, estimated from the energy's second derivatives"
        variables[f"normal_{name}"] = column(lambda p, n=n: p.normal[n], long_name, "1")
    variables |= {
        "width": column(lambda p: p.width, f"width of the peak of the {response}; zero for a jump", "energy"),
        "height": column(lambda p: p.height, f"height of the peak of the {response}; of a jump, its size", "energy^-1"),
        "across": column(
            lambda p: p.across, "parameter that was varied to find the point", "1", np.int8(-1),
            flag_values=np.array([0, 1], np.int8), flag_meanings=f"{a} {b}",
        ),
        "order": column(lambda p: p.order, "place on the curve, counted from the point found first", "1", 0),
        "ground_states": column(lambda p: p.ground_states, "ground states that the point took", "1", 0),
        "max_bond": column(lambda p: p.max_bond, "largest bond dimension, 0 where states are not MPS", "1", 0),
        "converged": column(lambda p: p.converged, "whether all its ground states converged", "1", np.int8(-1)),
        "seconds": column(lambda p: p.seconds, "wall time of the point", "s"),
        "points": (
            "curve", np.array([len(c) for c in curves], int), {"long_name": "points of the curve", "units": "1"},
        ),
        "stop": (
            ("curve", "end"),
            np.array([[STOPS.index(e.get(d, STOPS[0])) for d in END] for e in ends], np.int8).reshape(len(ends), 2),
            {
                "long_name": "why the curve ends at its first and at its last point", "units": "1",
                "flag_values": np.arange(len(STOPS), dtype=np.int8),
                "flag_meanings": " ".join(stop.replace(" ", "_") for stop in STOPS),
            },
        ),
        "ground_states_search": ((), searched, {"long_name": "ground states of the search for curves", "units": "1"}),
    }  # fmt: skip
    for name, value in plane.theta.items():
        described = {"long_name": f"parameter {name}, the same at all points", "units": "energy"}
        variables[name] = (f"{name}_coupling" if np.ndim(value) else (), np.asarray(value, float), described)
    attributes = {
        "task": "boundary",
        "plane": list(plane.axes),
        "observable": "-d2E/dg2" if plane.observable is None else str(plane.observable),
        "length": len(plane.H.sites),
        **{f"window_{name}": list(limits) for name, limits in zip(plane.axes, plane.window, strict=True)},
    }
    coordinates = {"curve": np.arange(len(curves)), "point": np.arange(longest)}  # by which timing.nc is matched
    return xr.Dataset(variables, coords=coordinates, attrs=attributes)
