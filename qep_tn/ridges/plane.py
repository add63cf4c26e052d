"""A plane of two scalar parameters, the window in it that is of interest, and what is measured there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator
from qep_tn.solvers.protocol import Nudging, Solver

# The Schmidt cutoff of ground states whose peaks are wanted to rtol of their width, over rtol: measured at L = 128,
# 1e-4 moves a point by less than 0.005 of the width
CUTOFF = 1e-2
_MEASURED = 0.7  # spacing of samples with shot noise, in widths

Place = tuple[float, float]
Window = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Plane:
    """Two scalar parameters, the window of interest, and what is measured.

    theta: the values of all other parameters. axes, window: names, and (low, high) of each.
    observable: None stands for the operator of the parameter along which the response is taken, with a minus sign.
    rtol: accuracy asked of a point, as a share of the width of the response's peak.
    """

    H: Hamiltonian
    theta: Mapping[str, Any]
    axes: tuple[str, str]
    window: tuple[Place, Place]
    observable: Operator | None
    solver: Solver
    rtol: float

    @property
    def sides(self) -> np.ndarray:
        """Lengths of the window's sides."""
        return np.array([high - low for low, high in self.window])

    @property
    def spacing(self) -> float:
        """Of the samples, as a share of the peak's width; the fit's error goes as its square. Those of a device are
        farther apart, see `qep_tn.ridges.measured_peak`.
        """
        return _MEASURED if self.by_device else 1.5 * float(np.sqrt(self.rtol))

    @property
    def by_device(self) -> bool:
        """Whether ground states are measured, with shot noise."""
        return self.solver.nudging is Nudging.MEASURED

    def at(self, place: Place) -> dict[str, Any]:
        """All parameters."""
        return {**self.theta, **dict(zip(self.axes, place, strict=True))}

    def contains(self, place: Place, error: float = 0.0) -> bool:
        """Whether a point is in the window, to within its error."""
        return all(low - error <= x <= high + error for x, (low, high) in zip(place, self.window, strict=True))

    def share_inside(self, inside: Place, outside: Place) -> float:
        """Of the way from a point in the window to one outside, how much is inside."""
        shares = [1.0]
        for a, b, (low, high) in zip(inside, outside, self.window, strict=True):
            if not low <= b <= high:
                shares.append(((low if b < low else high) - a) / (b - a))
        return min(shares)

    def distance(self, a: Place, b: Place) -> float:
        """As a share of the window."""
        return float(np.linalg.norm((np.array(a) - np.array(b)) / self.sides))

    def named(self, place: Place) -> str:
        """A point as a text."""
        return ", ".join(f"{name} = {x:.6g}" for name, x in zip(self.axes, place, strict=True))

    def measured(self, across: int) -> Operator:
        """The observable."""
        own = self.H.parameters[self.axes[across]]
        assert isinstance(own, Operator)
        return -own if self.observable is None else self.observable

    def noise(self, across: int) -> float:
        """Error of an expectation value, as far as it differs between neighbouring samples; for sums of terms more with
        the root of their number.
        """
        size = float(np.linalg.norm([abs(c) for c in self.measured(across).terms.values()]))
        return size * self.solver.expectation_error

    def energy_noise(self, place: Place) -> float:
        """Error of a ground state's energy."""
        return self.solver.energy_error * float(np.abs(self.H.coefficients(self.at(place))).sum())

    def energy_scale(self, place: Place) -> float:
        """The largest coefficient of a product of operators in H, its constant left out."""
        coefficients = np.abs(self.H.coefficients(self.at(place)))
        return float(max((c for c, product in zip(coefficients, self.H.products, strict=True) if product), default=1.0))


def checked_window(
    H: Hamiltonian, theta: Theta, axes: tuple[str, str], window: Window, taken: Collection[str]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """(low, high) of the window along both axes.

    taken: names in history.nc that no parameter may have.
    Raises ValueError for parameters that are not scalars of H, for a window that makes no sense, and for a name that
    is taken.
    """
    H.flatten(theta)
    scalars = [name for name, value in H.parameters.items() if isinstance(value, Operator)]
    if len(axes) != 2 or axes[0] == axes[1]:
        raise ValueError(
            f"plane = {list(axes)}: name two different parameters; the scalar ones are {', '.join(scalars)}"
        )
    for name in axes:
        if name not in scalars:
            raise ValueError(
                f"plane has {name!r}, which is no scalar parameter; these are {', '.join(scalars) or 'none'}"
            )
        if name not in window:
            raise ValueError(f"window lacks {name!r}; give {name} = [low, high]")
    if unknown := next((name for name in window if name not in axes), None):
        raise ValueError(f"window has {unknown!r}, which is not in the plane {list(axes)}")
    for name, limits in window.items():
        if len(limits) != 2 or not np.isfinite(limits).all() or not limits[0] < limits[1]:
            raise ValueError(f"window: {name} = {list(limits)}; give two finite numbers, the lower one first")
    if clash := next((name for name in H.parameters if name in taken or "/" in name), None):
        raise ValueError(f"parameter {clash!r} cannot be recorded: the name is taken in history.nc; rename it")
    first, second = ((float(window[name][0]), float(window[name][1])) for name in axes)
    return first, second
