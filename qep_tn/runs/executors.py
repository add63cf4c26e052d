"""Independent pieces of work in processes of their own, one for each core."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from threadpoolctl import threadpool_limits
from tqdm import tqdm

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def map_in_processes(
    function: Callable[[Argument], Result], arguments: Sequence[Argument], processes: int | None = None
) -> Iterator[Result]:
    """function(argument) for every argument, in their order, each as soon as it and those before it are there.

    function, arguments, results: are pickled; a function is sent by its name.
    processes: how many run at a time, each with one BLAS thread; by default one for each core. With one process, or one
        argument, the work is done in this process.

    What a function raises is raised here. Then, at Ctrl-C, and when the iterator is closed, the other processes end.
    Raises ValueError if processes is less than 1, and RuntimeError if a process dies.
    """
    if processes is not None and processes < 1:
        raise ValueError(f"processes is {processes}; it must be at least 1")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = min(processes or cores, len(arguments))
    if count <= 1:
        with threadpool_limits(1):
            yield from map(function, arguments)
        return
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _prepare_worker)
    try:
        with _ctrl_c_ignored():  # by the workers, from their first moment
            futures = [pool.submit(function, argument) for argument in arguments]
        for future in futures:
            yield future.result()
        pool.shutdown()
    except BrokenProcessPool:
        raise RuntimeError(
            "a process of several died: memory ran out, or a script starts them outside of "
            "'if __name__ == \"__main__\":', which it needs"
        ) from None
    finally:
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        pool.shutdown(cancel_futures=True)


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _prepare_worker() -> None:
    """Leave Ctrl-C and standard error to the parent, compute with one thread, and end when the parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.captureWarnings(True)
    threadpool_limits(1)
    tqdm.set_lock(threading.RLock())  # its own is a semaphore, which a process that is terminated leaves behind
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
