"""The first call on a fresh installation: all kernels of a gradient compiled at once, on two cores.

Compilation holds the GIL, so it is done by processes of their own, which leave machine code where the caller finds it.
They are given one kernel after another, inner ones first. Each kernel's machine code holds that of all that it calls,
and LLVM would optimize it again in each of them; so only the inner ones, where all time is spent when they run, are
optimized as far as can be.
"""

import contextlib
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding  # type: ignore[import-untyped]
from numba import types
from tqdm import tqdm

from qep_tn.kernels import (
    chain,
    charged_chain,
    charged_steps,
    charged_variance,
    effective,
    expectations,
    lanczos,
    orthogonal,
    plain_steps,
    plans,
    response,
    sweeps,
    variance,
)
from qep_tn.kernels.compilation import FOLDER, SETTINGS, compile_for
from qep_tn.kernels.packing import PackedMPS
from qep_tn.kernels.sectors import BlockPlan

try:
    import fcntl
except ImportError:  # Windows: several processes that start at once may then all compile
    fcntl = None  # type: ignore[assignment]

_INNER, _OUTER = 3, 1  # LLVM's levels of optimization
# Ctrl-C is for who started the process, and ends it; also while it imports.
_CHILD = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.path[:] = sys.argv[2:]; "
    "from qep_tn.kernels.first_call import serve; serve(sys.argv[1])"
)


def stages(entries: types.Type, charged: bool = False) -> list[list[tuple[Callable, tuple, int]]]:
    """Kernels, the types of their arguments and levels of optimization; each stage needs the ones before, and begins
    with what takes longest.

    entries: the type of all tensors. charged: whether those where a charge is conserved; the others come before.
    """
    whole, real = types.int64, types.float64
    numbers, wholes, table = entries[::1], whole[::1], whole[:, ::1]
    matrix, tensor = entries[:, ::1], entries[:, :, ::1]
    at_work, mpo = _chain_and_mpo(entries, charged)
    plain_mpo = _chain_and_mpo(entries, False)[1]
    mps = types.NamedTuple((numbers, wholes, wholes, wholes), PackedMPS)
    plan = types.NamedTuple((wholes, numbers, wholes, wholes, wholes, table, wholes), plans.ExpectationPlan)
    if charged:
        blocks = types.NamedTuple((table, table, numbers, table, table, table, wholes), BlockPlan)
        problem = types.NamedTuple((blocks, numbers, numbers), charged_steps.ChargedProblem)
    else:
        problem = types.NamedTuple((table, numbers, tensor, tensor), plain_steps.LocalProblem)
    steps: Any = charged_steps if charged else plain_steps
    split = (at_work, whole, tensor, matrix, real, real, whole)
    sweep = (at_work, mpo, real, whole, whole, real, real, real, whole)
    widen = (at_work, mpo, whole, numbers, whole, whole, real, real, whole, whole, real, real, whole)
    inner = [
        (lanczos.lowest_eigenvector, (problem, tensor, matrix, matrix, numbers, whole, real, real), _INNER),
        (steps.split_right, split, _INNER),
        (steps.split_left, split, _INNER),
        (steps.two_site_problem, (at_work, mpo, whole), _INNER),
        (steps.update_left, (at_work, mpo, whole, numbers), _INNER),
        (steps.update_right, (at_work, mpo, whole, numbers), _INNER),
        (steps.keep_bond, (at_work, whole, tensor, real, types.boolean), _INNER),
        (steps.move_centre_left, (at_work, whole), _INNER),
        (steps.move_centre_right, (at_work, whole), _INNER),
        (steps.two_site_tensor, (at_work, whole), _INNER),
    ]
    outer = [
        (response.widen_bonds, widen, _OUTER),
        (sweeps.two_site_sweep, sweep, _OUTER),
        (sweeps.one_site_pass, (at_work, mpo, whole, whole, whole, real, real), _OUTER),
        (response.cut_window, (at_work, mpo, whole, whole, whole, wholes), _OUTER),
        (sweeps.move_centre, (at_work, mpo, whole, whole), _OUTER),
        (sweeps.build_right, (at_work, mpo), _OUTER),
        (response.whole_state, (at_work, at_work, whole), _OUTER),
        (response.overlap, (at_work, at_work), _OUTER),
        (chain.packed_tensors, (at_work,), _OUTER),
    ]
    if charged:
        outer += [(charged_variance.expectation_in_blocks, (at_work, mpo), _OUTER)]
    else:
        inner += [
            (variance.residual_overlap, (plain_mpo, mps, real, plain_mpo, mps, real), _INNER),
            (expectations._sweep, (plan, mps, whole), _INNER),
            (variance.energy, (plain_mpo, mps, real), _INNER),
        ]
        outer += [(chain.placed, (mps, wholes, wholes), _OUTER)]
    return [inner, outer]


def stage_of_excited_states(entries: types.Type, charged: bool = False) -> list[tuple[Callable, tuple, int]]:
    """As a stage of `stages`, and after them: what excited states need besides."""
    whole, real = types.int64, types.float64
    numbers, table = entries[::1], whole[:, ::1]
    at_work, mpo = _chain_and_mpo(entries, charged)
    lower = types.NamedTuple((numbers, table, numbers, table, table), orthogonal.LowerStates)
    return [
        (orthogonal.project_lower, (lower, at_work, whole, entries[:, ::1]), _INNER),
        (orthogonal.load_overlaps, (lower, at_work), _OUTER),
        (
            orthogonal.orthogonal_sweep,
            (at_work, mpo, lower, real, real, whole, whole, real, real, real, whole),
            _OUTER,
        ),
    ]


def _chain_and_mpo(entries: types.Type, charged: bool) -> tuple[types.Type, types.Type]:
    """The types of a `Chain` and a `BlockMPO`, or of their charged kin."""
    whole = types.int64
    numbers, wholes, table = entries[::1], whole[::1], whole[:, ::1]
    at_work = (numbers, wholes, numbers, wholes, wholes, wholes, wholes)
    mpo = (table, numbers, wholes, wholes)
    if charged:
        return (
            types.NamedTuple((*at_work, *4 * (wholes,)), charged_chain.ChargedChain),
            types.NamedTuple((*mpo, wholes, wholes), charged_chain.ChargedMPO),
        )
    return types.NamedTuple(at_work, chain.Chain), types.NamedTuple(mpo, effective.BlockMPO)


@cache
def compile_for_excited_states(entries: str, charged: bool = False) -> None:
    """Compile what excited states of "float64" or "complex128" tensors need, if that was not done on this machine."""
    compile_kernels(entries, charged)
    if FOLDER is None or SETTINGS.DISABLE_JIT:
        return
    for kernel in stage_of_excited_states(getattr(types, entries), charged):
        compile_for(*kernel)


@cache
def compile_kernels(entries: str, charged: bool = False) -> None:
    """Compile the kernels of a gradient of "float64" or "complex128" tensors, if that was not done on this machine.

    charged: those, too, where a charge is conserved. Shows progress on stderr. Where several processes come at once,
    one works and the others wait for it. What cannot be compiled in advance is when it is called.
    """
    if FOLDER is None or SETTINGS.DISABLE_JIT:
        return
    if charged:
        compile_kernels(entries)
    processor = f"{llvmlite.binding.get_host_cpu_name()} {llvmlite.binding.get_host_cpu_features().flatten()}"
    kind = f"{entries}-charged" if charged else entries
    done = FOLDER / f"{kind}-{hashlib.sha256(processor.encode()).hexdigest()[:8]}"
    if done.exists():
        return
    with _one_at_a_time(FOLDER / "lock"):
        if not done.exists() and _compile_in_processes(kind):
            done.touch()


def kernels_of(kind: str) -> list[list[tuple[Callable, tuple, int]]]:
    """The stages of "float64", "complex128", or of these where a charge is conserved, "float64-charged"."""
    entries, _, charged = kind.partition("-")
    return stages(getattr(types, entries), bool(charged))


def serve(kind: str) -> None:
    """Compile the kernels whose numbers, "stage place", come on stdin, and echo each number when that is done."""
    kernels = kernels_of(kind)
    for line in sys.stdin:
        stage, place = map(int, line.split())
        compile_for(*kernels[stage][place])
        print(line, end="", flush=True)


def _compile_in_processes(kind: str) -> bool:
    """Whether all went well."""
    numbers = [[f"{n} {k}\n" for k in range(len(stage))] for n, stage in enumerate(kernels_of(kind))]
    count = min(2, os.cpu_count() or 1)
    bar = tqdm(
        total=sum(map(len, numbers)),
        desc=f"compiling kernels for {kind}, once on this machine",
        unit="kernel",
        file=sys.stderr,
    )
    with bar, ThreadPoolExecutor(count) as threads, contextlib.ExitStack() as running:

        def give(child: subprocess.Popen) -> bool:
            """Numbers of the stage to a process, one after another; whether it has done all of them."""
            assert child.stdin is not None
            assert child.stdout is not None
            while waiting:
                child.stdin.write(waiting.pop(0))
                child.stdin.flush()
                if not child.stdout.readline():
                    return False
                bar.update()
            return True

        try:
            children = [running.enter_context(_child(kind)) for _ in range(count)]
            for waiting in numbers:  # noqa: B007, which `give` takes from
                if not all(threads.map(give, children)):
                    return False
        except OSError:  # no process can be started, or one has ended
            return False
    return True


@contextlib.contextmanager
def _child(kind: str) -> Iterator[subprocess.Popen]:
    """A process that compiles, and ends with the context."""
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, kind, *sys.path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        with child:
            try:
                yield child
            finally:
                child.kill()
    except BrokenPipeError:  # it had ended before
        pass


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock; it ends with the process that holds it, however that ends."""
    with path.open("a") as file:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
