"""What a measurement of time and memory has to say of its machine."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_OWN = Path("/proc/self")


@dataclass
class Memory:
    """Resident memory of this process at most, in MB; NaN until it is known."""

    megabytes: float = float("nan")


@contextmanager
def peak_memory() -> Iterator[Memory]:
    """What this process has resident at most meanwhile; where the system cannot forget its record, since it began."""
    with suppress(OSError):
        (_OWN / "clear_refs").write_text("5")  # Linux: the record begins anew
    memory = Memory()
    try:
        yield memory
    finally:
        memory.megabytes = _record()


def _record() -> float:
    status = _OWN / "status"
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        if "VmHWM" in fields:
            return int(fields["VmHWM"].split()[0]) / 1024
    if resource is None:
        return float("nan")
    record = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return record / 2**20 if sys.platform == "darwin" else record / 1024


def processor() -> str:
    """The processor's name."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
