"""The phases of the infinite cluster-Ising chain, exactly, for couplings of any sign.

H = -g_x sum X_j - g_zz sum Z_j Z_{j+1} - g_zxz sum Z_j X_{j+1} Z_{j+2} is quadratic in Majorana fermions with the
symbol m(k) = -g_x + g_zz e^{ik} + g_zxz e^{2ik}. The gap 2 min |m(k)| closes
    at k = 0 where g_x = g_zxz + g_zz,    at k = pi where g_x = g_zxz - g_zz,
    at a pair of momenta +-k where g_x = -g_zxz and |g_zz| < 2 |g_zxz|,
and between, the number of turns of m(k) about zero (0, 1 or 2) names the phase (Verresen, Moessner and Pollmann,
Phys. Rev. B 96, 165124 (2017)).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qep_tn.models.phases import ExactPhases

PARAMETERS = ("g_x", "g_zz", "g_zxz")
PHASES = ("paramagnet", "ferromagnet", "antiferromagnet", "cluster phase")


def phase(g_x: ArrayLike, g_zz: ArrayLike, g_zxz: ArrayLike) -> NDArray:
    """Index into PHASES at each point; the arguments broadcast. On a boundary, one of its two sides."""
    x, zz, zxz = np.broadcast_arrays(*(np.asarray(g, float) for g in (g_x, g_zz, g_zxz)))
    ordered = abs(zz) > abs(x - zxz)  # m(0) and m(pi) differ in sign: one turn
    return np.where(ordered, np.where(zz > 0, 1, 2), np.where(abs(x) > abs(zxz), 0, 3))


def boundaries(axes: tuple[str, str], fixed: Mapping[str, float], reach: float, points: int = 4001) -> list[NDArray]:
    """The phase boundaries in the plane of two couplings.

    axes: names of the two couplings; fixed: the value of the third.
    Returns curves, each (points, 2), out to `reach` on both axes; NaN where a curve is no boundary.
    """
    # each is a line c . (g_x, g_zz, g_zxz) = 0 in the space of all three couplings
    normals = {"k = 0": (1, -1, -1), "k = pi": (1, 1, -1), "a pair of momenta": (1, 0, 1)}
    curves = []
    for momenta, normal in normals.items():
        c = dict(zip(PARAMETERS, normal, strict=True))
        offset = sum(c[name] * value for name, value in fixed.items())
        along, solved = axes if c[axes[1]] else axes[::-1]
        free = np.linspace(-reach, reach, points)
        values: dict[str, Any] = {**fixed, along: free, solved: -(offset + c[along] * free) / c[solved]}
        curve = np.stack(np.broadcast_arrays(*(values[name] for name in axes)), axis=1).astype(float)
        if momenta == "a pair of momenta":
            curve[np.broadcast_to(abs(values["g_zz"]) > 2 * abs(values["g_zxz"]), points)] = np.nan
        curves.append(curve)
    return curves


CLUSTER_ISING = ExactPhases(PARAMETERS, PHASES, phase, boundaries)
