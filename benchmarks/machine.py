"""What a benchmark's results are worth: where, when and with which versions they were measured."""

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PACKAGES = ["qep_tn", "numpy", "scipy", "numba", "physics-tenpy", "quimb"]


def cpu_model() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


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
    path = Path(__file__).parent / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")
