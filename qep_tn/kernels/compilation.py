"""How a kernel is compiled, and where its machine code is kept: in a folder named by all that it depends on.

Numba's own cache looks at the file of the function alone. A kernel that calls functions of other files holds their
machine code too, and would go on with the old one after these change.
"""

import contextlib
import hashlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite  # type: ignore[import-untyped]
import numba
import numpy as np
from numba.extending import overload

SOURCES = Path(__file__).parent
SETTINGS: Any = numba.config
VERSIONS = (platform.python_version(), numba.__version__, llvmlite.__version__, np.__version__)


def digest(sources: Path, versions: tuple[str, ...]) -> str:
    """Of the names and contents of all Python files of a folder, and of versions; 16 hexadecimal digits."""
    hashed = hashlib.sha256(repr(versions).encode())
    for path in sorted(sources.glob("*.py")):
        content = path.read_bytes()
        hashed.update(f"{path.name} {len(content)} ".encode() + content)
    return hashed.hexdigest()[:16]


def usual_roots() -> list[Path]:
    """Where machine code may be kept, best first: in NUMBA_CACHE_DIR, if given; with the sources; with the user's
    caches.
    """
    installation = Path("qep_tn", hashlib.sha256(str(SOURCES).encode()).hexdigest()[:8])
    users = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # no absolute path without a home
    chosen = [Path(SETTINGS.CACHE_DIR) / installation] if SETTINGS.CACHE_DIR else []
    return [*chosen, SOURCES / "__pycache__", *([users / installation] if users.is_absolute() else [])]


def open_folder(roots: list[Path], name: str) -> Path | None:
    """The folder `name` in the first root that can be written, or None; made anew, it replaces older ones.

    Each Python environment has one, so that two of them that share the sources do not remove each other's. A process
    that still runs older sources only compiles again what it does not find: Numba takes a missing file for a miss, and
    makes the folder again before it writes.
    """
    environment = "kernels-" + hashlib.sha256(sys.prefix.encode()).hexdigest()[:8]
    for root in roots:
        folder = root / f"{environment}-{name}"
        try:
            root.mkdir(parents=True, exist_ok=True)
            is_new = not folder.exists()
            folder.mkdir(exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        if is_new:
            for other in root.glob(f"{environment}-*"):
                if other != folder:
                    shutil.rmtree(other, ignore_errors=True)
        return folder
    return None


FOLDER = open_folder(usual_roots(), digest(SOURCES, VERSIONS))


def compiled(kernel: Callable):
    """A kernel as machine code, which is kept in FOLDER; with the GIL released while it runs."""
    if FOLDER is None:
        return numba.njit(nogil=True)(kernel)
    with _numba_setting("CACHE_DIR", str(FOLDER)):  # read when a function is decorated, so no others are moved
        return numba.njit(cache=True, nogil=True)(kernel)


CHARGED: set[type] = set()


def with_charges(tuples: type) -> type:
    """Named tuples that carry the charges of what they hold."""
    CHARGED.add(tuples)
    return tuples


def chosen(plain: Callable, charged: Callable) -> Any:
    """A kernel that is `charged` where its first argument is a named tuple with charges, and `plain` elsewhere.

    Compiled code takes one of them by its types, and holds nothing of the other.
    """

    def either(first, *others):
        return (charged if type(first) in CHARGED else plain)(first, *others)

    @overload(either)
    def by_type(first, *others):
        kernel = charged if first.instance_class in CHARGED else plain

        def call(first, *others):
            return kernel(first, *others)

        return call

    return either


def compile_for(kernel: Any, signature: tuple, optimization: int) -> None:
    """Compile a kernel for these types, at one of LLVM's levels of optimization, 0 to 3, unless that was done.

    What it calls, and was compiled before, stays as optimized as it is.
    """
    with _numba_setting("OPT", type(SETTINGS.OPT)(optimization)):
        kernel.compile(signature)


@contextlib.contextmanager
def _numba_setting(name: str, value: object):
    usual = getattr(SETTINGS, name)
    setattr(SETTINGS, name, value)
    try:
        yield
    finally:
        setattr(SETTINGS, name, usual)
