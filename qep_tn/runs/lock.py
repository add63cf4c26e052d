"""One process at a time in a run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

try:
    import fcntl
except ImportError:  # Windows has other locks
    fcntl = None  # type: ignore[assignment]

_held: dict[Path, TextIO] = {}  # by this process, until it unlocks them, or ends, however that is


def lock(file: Path) -> None:
    """Hold a file, which this process may hold already. Raises BlockingIOError if another one does."""
    place = file.resolve()
    if fcntl is None or place in _held:
        return
    handle = file.open("a")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise
    except OSError:  # a file system without locks
        pass
    _held[place] = handle


def unlock(file: Path) -> None:
    """Let go of a file."""
    if handle := _held.pop(file.resolve(), None):
        handle.close()
