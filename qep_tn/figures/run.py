"""All figures of a run, redrawn from its folder alone: as PDF (vector) and PNG (300 dpi), in figures/."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

from qep_tn.figures import benchmark, boundary, scan, sensitivity, training, walk
from qep_tn.figures.style import STYLE
from qep_tn.runs.folder import kept, load


def plot_run(run_dir: str | Path) -> list[Path]:
    """Redraw every figure of a run from its history and configuration. Returns the files written.

    Raises ValueError if the folder holds no history, or a damaged one.
    """
    folder = Path(run_dir)
    history = load(folder)
    task, model = history.attrs.get("task"), _model_name(folder)
    if task in ("boundary", "finite_size"):
        variable = str(_section(folder, "boundary").get("scan_variable", "entropy"))
        figures = boundary.figures(history, model, scan.behind_trace(folder, variable))
    elif task == "phase_diagram":
        figures = scan.figures(history)
    elif task == "sensitivity":
        figures = sensitivity.figures(history, model)
    elif task == "train":
        figures = training.figures(history, model, kept(folder, "disturbance.nc"))
    elif task == "benchmark":
        figures = benchmark.figures(history)
    else:
        figures = walk.figures(history, model)
    written = []
    (folder / "figures").mkdir(exist_ok=True)
    for name, figure in sorted(figures.items()):
        for suffix, options in ((".pdf", {"metadata": {"CreationDate": None}}), (".png", {"dpi": 300})):
            file = folder / "figures" / f"{name}{suffix}"
            with matplotlib.rc_context(STYLE):
                figure.savefig(file, **options)
            written.append(file)
    return written


def _model_name(folder: Path) -> str:
    return str(_section(folder, "model").get("name", ""))


def _section(folder: Path, name: str) -> Mapping[str, Any]:
    """A section of the run's configuration; empty if there is none."""
    file = folder / "config.toml"
    if not file.exists():
        return {}
    try:
        section: Mapping[str, Any] = tomllib.loads(file.read_text()).get(name, {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise ValueError(f"{file} is not valid TOML; restore it from the run's configuration") from None
    return section
