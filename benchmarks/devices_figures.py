"""The figures of `python -m benchmarks.devices`, from the rows of its parts; each is also drawn again by itself:
`python -m benchmarks.devices_figures`.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FixedLocator, NullFormatter, PercentFormatter

from benchmarks.machine import results_of
from qep_tn.figures.style import BLUE, GREY, STYLE, VERMILION, new_figure, symbol

RESULTS = Path(__file__).parent / "results"


def training(rows):
    """True loss of every device, through it and by transfer; medians thick."""
    figure, (ax,) = new_figure(2.4, 1)
    for name, color, label in (
        ("transferred", VERMILION, "wrong model, transferred"),
        ("through_device", BLUE, "through the device"),
    ):
        losses = np.array([row[name] for row in rows])
        steps = 10 * np.arange(losses.shape[1])
        ax.semilogy(steps, losses.T, color=color, alpha=0.3, lw=0.6)
        ax.semilogy(steps, np.median(losses, axis=0), color=color, lw=1.4, label=label)
    ax.set(xlabel="step", ylabel="true loss of the device", xlim=(0, steps[-1]))
    ax.legend(loc="upper right")
    return figure


def learning(rows):
    """Above the distance from the hidden offsets against shots, below the coverage of bars; means over devices."""
    figure, (ax, below) = new_figure(3.4, 2)
    shots = np.array(sorted({row["shots"] for row in rows}))

    def of(name):
        return np.array([[row[name] for row in rows if row["shots"] == count] for count in shots])

    distance, cover = of("distance"), of("within_bars")
    ax.loglog(np.repeat(shots, distance.shape[1]), distance.ravel(), ".", color=GREY, ms=3, label="a device")
    ax.loglog(shots, distance.mean(axis=1), "o", color=BLUE, ms=4, label="mean")
    ax.loglog(
        shots, of("standard_error").mean(axis=1), "_", color=VERMILION, ms=12, mew=1.2, label="standard error, claimed"
    )
    guide = np.exp(np.mean(np.log(distance))) * (shots / np.exp(np.mean(np.log(shots)))) ** -0.5
    ax.loglog(shots, guide, color="black", lw=0.6, label=r"slope $-1/2$")
    ax.set(ylabel="distance of offsets")
    ax.yaxis.set_major_locator(FixedLocator([0.02, 0.05, 0.1, 0.2]))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.legend(loc="lower left")
    below.axhspan(0.92, 0.98, color=GREY, alpha=0.2, lw=0)
    below.axhline(0.95, color="black", lw=0.6)
    below.plot(np.repeat(shots, cover.shape[1]), cover.ravel(), ".", color=GREY, ms=3)
    below.errorbar(
        shots,
        cover.mean(axis=1),
        cover.std(axis=1, ddof=1) / np.sqrt(cover.shape[1]),
        fmt="o",
        color=BLUE,
        ms=4,
        capsize=2,
    )
    below.set(xlabel="shots of every circuit", ylabel="within 95 % bars", ylim=(0.84, 1.0))
    below.yaxis.set_major_formatter(PercentFormatter(1, 0))
    return figure


def boundary(rows):
    """The longest boundary in the plane, of a device with controls that are off as a whole; and how far all points of
    all devices, of both sorts, are from the true ridge, in their bars.
    """
    figure, axes = plt.subplots(3, 1, figsize=(3.4, 5.4), layout="constrained", height_ratios=(2, 1, 1))
    names = "g_x", "g_zz"

    def in_plane(row, place):
        at = {row["across"]: row[place], names[row["across"] == "g_x"]: row["fixed"]}
        return [at[name] for name in names]

    ax, sorts = axes[0], list(dict.fromkeys(row["hides"] for row in rows))
    last = [row for row in rows if row["hides"] == sorts[-1]]
    devices = ([row for row in last if row["seed"] == seed] for seed in {row["seed"] for row in last})
    own = max(devices, key=lambda own: np.ptp([in_plane(row, "true")[1] for row in own]))
    for place, style, color, label in (
        ("true", "-", "black", "hidden Hamiltonian"),
        ("wrong_model", "--", VERMILION, "wrong model"),
    ):
        # ridges along g_x and along g_zz differ by about 1 / L: they are not joined
        for across, line in (("g_x", style), ("g_zz", ".")):
            points = sorted(in_plane(row, place) for row in own if row["across"] == across)
            if points:
                ax.plot(*np.transpose(points), line, color=color, label=label if line == style else None)
    for n, row in enumerate(own):
        bar = {"xerr" if row["across"] == "g_x" else "yerr": row["error"]}
        label = None if n else "traced through the device"
        ax.errorbar(*in_plane(row, "place"), **bar, fmt="o", ms=3, color=BLUE, capsize=2, lw=0.8, label=label)
    ax.set(xlabel=symbol("g_x"), ylabel=symbol("g_zz"))
    ax.legend(loc="lower right")
    for below, hides in zip(axes[1:], sorts, strict=False):
        for place, color, label in (("wrong_model", VERMILION, "wrong model"), ("place", BLUE, "traced")):
            off = [(row[place] - row["true"]) / row["error"] for row in rows if row["hides"] == hides]
            below.hist(np.clip(off, -4.99, 4.99), np.linspace(-5, 5, 41), color=color, alpha=0.6, label=label)
        for limit in (-1, 1):
            below.axvline(limit, color="black", lw=0.6, ls=":")
        below.set(ylabel="points", xlim=(-5, 5))
        below.set_title(f"hidden: {hides}, 10 %", fontsize=8, loc="left", pad=3)
    axes[1].legend(loc="upper right")
    axes[-1].set(xlabel="distance from the true ridge, in bars of the trace")
    return figure


def draw(part, rows):
    """Write benchmarks/results/devices_PART.png."""
    with plt.rc_context(STYLE):
        {"training": training, "learning": learning, "boundary": boundary}[part](rows).savefig(
            RESULTS / f"devices_{part}.png", dpi=200
        )


def main():
    for part in ("training", "learning", "boundary"):
        if rows := results_of(f"devices_{part}").get("rows"):
            draw(part, rows)


if __name__ == "__main__":
    main()
