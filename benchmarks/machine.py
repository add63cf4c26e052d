"""What a benchmark's results are worth: where, when and with which versions they were measured."""

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PACKAGES = ["qep_tn", "numpy", "scipy", "numba", "physics-tenpy", "quimb"]
_RESULTS = Path(__file__).parent / "results"


def cpu_model() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def results_of(name: str) -> dict[str, Any]:
    """What stands in benchmarks/results/NAME.json; empty if there is no such file."""
    path = _RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def write_results(name: str, rows: list[dict[str, Any]], **setting: Any) -> None:
    """Write benchmarks/results/NAME.json: the rows, the setting, and the machine."""
    report = {
        **setting,
        "threads": 1,
        "cpu": cpu_model(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | {package: version(package) for package in _PACKAGES},
        "rows": rows,
    }
    path = _RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")
