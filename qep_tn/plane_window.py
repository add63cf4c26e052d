"""A plane of two scalar parameters and a window in it, as a user gives them, checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from qep_tn.hamiltonian import Hamiltonian, Theta
from qep_tn.operators import Operator

Window = Mapping[str, tuple[float, float]]


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
