"""Times and errors of solvers against the number of sites."""

from __future__ import annotations

from itertools import cycle

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from qep_tn.figures import style

_LOOKS = [("o", style.BLUE), ("s", style.VERMILION), ("^", style.GREEN), ("D", style.GREY), ("v", "#CC79A7")]


def figures(history: xr.Dataset) -> dict[str, Figure]:
    """Seconds of a gradient, cold and warm, and its error, against the number of sites."""
    if not np.isfinite(history["gradient_seconds"].values).any():
        return {}
    with matplotlib.rc_context(style.STYLE):
        figure, (times, errors) = style.new_figure(4.2, 2)
        powers = history.attrs.get("powers", {})
        lengths = sorted(set(map(int, history["L"].values)))
        for solver, (marker, color) in zip(dict.fromkeys(map(str, history["solver"].values)), cycle(_LOOKS)):
            rows = history.isel(step=np.flatnonzero(history["solver"].values == solver))
            L, trusted = rows["L"].values, rows["trustworthy"].values.astype(bool)
            power = powers.get(f"{solver} gradient")
            told = "" if power is None else rf", $\propto L^{{{_rounded(power)}}}$"
            times.plot(L, rows["gradient_seconds"], marker=marker, color=color, ms=4, label=solver + told)
            times.plot(L, rows["warm_gradient_seconds"], marker=marker, color=color, ms=4, mfc="white", ls=":")
            errors.plot(L[trusted], rows["gradient_error"].values[trusted], marker=marker, color=color, ms=4)
            errors.plot(L[~trusted], rows["gradient_error"].values[~trusted], "x", color=color, ms=4)
        times.plot([], [], color="black", marker="o", mfc="white", ls=":", ms=4, label="from a state near by")
        times.set(yscale="log", ylabel="gradient (s)")
        figure.legend(loc="outside upper center", fontsize=7)
        errors.axhline(float(history.attrs["rtol"]), color="black", lw=0.6, ls="--")
        errors.text(lengths[0], float(history.attrs["rtol"]), "asked for", fontsize=7, va="top")
        known = np.isfinite(history["gradient_seconds"].values)
        at, own = (history[name].values[known] for name in ("L", "reference_error"))
        if (own > 0).any():
            errors.plot(at, own, color="black", lw=0.6, ls=":", label="of the reference itself")
            errors.legend(loc="lower right", fontsize=7)
        errors.set(xscale="log", yscale="log", xlabel="number of sites $L$", ylabel="relative error")
        errors.set_xticks(lengths)
        errors.xaxis.set_major_formatter(ScalarFormatter())
        errors.xaxis.set_minor_formatter(NullFormatter())
    return {"scaling": figure}


def _rounded(power: dict[str, float]) -> str:
    exponent, error = float(power["exponent"]), power["error"]
    known = error is not None and np.isfinite(error)
    return rf"{exponent:.2f}\pm{float(error):.2f}" if known else f"{exponent:.2f}"
