"""What a benchmark's results are worth: where, when and with which versions they were measured."""

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from qep_tn.runs.machine import processor

_PACKAGES = ["qep_tn", "numpy", "scipy", "numba", "physics-tenpy", "quimb"]
_RESULTS = Path(__file__).parent / "results"


def results_of(name: str) -> dict[str, Any]:
    """What stands in benchmarks/results/NAME.json; empty if there is no such file."""
    path = _RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def write_results(name: str, rows: list[dict[str, Any]], **setting: Any) -> None:
    """Write benchmarks/results/NAME.json: the rows, the setting, and the machine."""
    report = {
        **setting,
        "threads": 1,
        "cpu": processor(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | {package: version(package) for package in _PACKAGES},
        "rows": rows,
    }
    path = _RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")
