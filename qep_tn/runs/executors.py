"""Independent pieces of work: in processes of their own, one for each core, or by any executor, as a cluster's."""

from __future__ import annotations

import importlib.util
import logging
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cached_property, lru_cache, partial
from typing import Any, Generic, TypeVar

from threadpoolctl import ThreadpoolController, threadpool_limits
from tqdm import tqdm

Argument = TypeVar("Argument")
Result = TypeVar("Result")

_PATIENCE = 5  # seconds for a scheduler to answer


class Shared(Generic[Result]):
    """What many pieces of work have in common: every worker unpacks it once, and keeps what it builds for it."""

    def __init__(self, value: Result) -> None:
        self.value = value

    @cached_property
    def _content(self) -> bytes:
        return pickle.dumps(self.value)

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return _received, (self._content,)


@lru_cache(maxsize=8)
def _received(content: bytes) -> Shared[Any]:
    return Shared(pickle.loads(content))


def in_order(
    function: Callable[[Argument], Result],
    arguments: Sequence[Argument],
    executor: Executor | None = None,
    processes: int | None = None,
) -> Iterator[Result]:
    """function(argument) for every argument, in their order, each as soon as it and those before it are there.

    function, arguments, results: are pickled, unless the work is done in this process; a function is sent by its name.
    executor: anything with `submit` as in `concurrent.futures`, such as `Client.get_executor()` of dask.distributed. By
        default processes, which are kept for the next call.
    processes: how many, if there is no executor; by default one for each core. With one, or one argument, the work is
        done in this process.

    All work is done with one BLAS thread, so that results do not depend on where; beside an executor, which may be of
    threads, this process has one until the iterator ends or is closed. What a function raises is raised here. Then, at
    Ctrl-C, and when the iterator is closed, the processes end; of an executor, what has not begun is cancelled. Work
    that is lost with a worker is done again, once.
    Raises ValueError if processes is less than 1, or given beside an executor, and RuntimeError if a worker dies again,
    or the executor takes no more work.
    """
    if processes is not None and processes < 1:
        raise ValueError(f"processes is {processes}; it must be at least 1")
    if processes is not None and executor is not None:
        raise ValueError(f"processes is {processes}, but an executor has its own; give one of the two")
    if executor is not None:
        return _submitted(function, arguments, executor)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = processes or cores
    return _here(function, arguments) if min(count, len(arguments)) <= 1 else _in_processes(function, arguments, count)


def _here(function: Callable[[Argument], Result], arguments: Sequence[Argument]) -> Iterator[Result]:
    libraries = ThreadpoolController()  # to find them takes milliseconds
    for argument in arguments:
        with libraries.limit(limits=1):  # not while it waits for the caller, who may not come back
            result = function(argument)
        yield result


def _submitted(
    function: Callable[[Argument], Result], arguments: Sequence[Argument], executor: Executor
) -> Iterator[Result]:
    """By an executor that somebody else made, and keeps."""
    work = partial(_on_one_thread, function)
    waiting: list[Future[Result]] = []
    with threadpool_limits(1):  # and the former number again, if it is threads of this process that work
        try:
            waiting += (_submit(executor, work, argument) for argument in arguments)
            for argument in arguments:
                try:
                    result = waiting[0].result()
                except Exception as error:
                    if not _is_loss(error):
                        raise
                    result = _again(work, argument, executor)
                del waiting[0]  # a cluster forgets a result when nobody has its future
                yield result
        finally:
            for future in waiting:
                future.cancel()


def _on_one_thread(function: Callable[[Argument], Result], argument: Argument) -> Result:
    threadpool_limits(1)
    return function(argument)


def _submit(executor: Executor, work: Callable[[Argument], Result], argument: Argument) -> Future[Result]:
    """Raises RuntimeError for an executor that takes no more work, as one of Python's own does when a process died."""
    try:
        return executor.submit(work, argument)
    except BrokenExecutor as error:
        raise RuntimeError(
            f"a worker of the executor died, and {type(executor).__name__} takes no more work then; make a new one, or "
            f"leave executor out, and those that die are replaced ({_in_one_line(error)})"
        ) from None


def _again(work: Callable[[Argument], Result], argument: Argument, executor: Executor) -> Result:
    """What was lost. Raises RuntimeError if it is lost again."""
    try:
        return _submit(executor, work, argument).result()
    except Exception as error:
        if not _is_loss(error):
            raise
        raise RuntimeError(f"work was lost with the executor's worker, twice; {_in_one_line(error)}") from None


def _in_one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _is_loss(error: Exception) -> bool:
    """Whether it is an executor's error rather than the function's: those of Dask have no class of their own."""
    return isinstance(error, BrokenExecutor | CancelledError) or type(error).__module__.startswith("distributed.")


class _Pool(ProcessPoolExecutor):
    """Processes that leave Ctrl-C to this one, and end with it."""

    def __init__(self, count: int) -> None:
        super().__init__(count, multiprocessing.get_context("spawn"), _prepare_worker)
        self.count = count

    def send(self, function: Callable[[Argument], Result], arguments: Sequence[Argument]) -> list[Future[Result]]:
        with _ctrl_c_ignored():  # by the workers, from their first moment
            return [self.submit(function, argument) for argument in arguments]

    def end(self) -> None:
        """At once, whatever they do."""
        for worker in list((self._processes or {}).values()):
            worker.terminate()
        self.shutdown(cancel_futures=True)


_kept: list[_Pool] = []  # none or one
_one_at_a_time = threading.RLock()


def _pool_of(count: int) -> _Pool:
    """The pool that is kept, if it has as many processes, or another one, which is kept instead."""
    with _one_at_a_time:
        if _kept and _kept[0].count != count:
            _kept.pop().shutdown(wait=False)
        if not _kept:
            _kept.append(_Pool(count))
        return _kept[0]


def _forget(pool: _Pool | None) -> None:
    with _one_at_a_time:
        if pool in _kept:
            _kept.remove(pool)
    if pool is not None:
        pool.end()


def _in_processes(
    function: Callable[[Argument], Result], arguments: Sequence[Argument], count: int
) -> Iterator[Result]:
    pool: _Pool | None = None
    died = False
    futures: dict[int, Future[Result]] = {}
    unsent: Sequence[int] = range(len(arguments))
    position = 0
    try:
        while position < len(arguments):
            try:
                with _one_at_a_time:  # a pool that another thread replaces does what it has, but takes nothing new
                    if unsent:
                        pool = _pool_of(count)
                        futures |= zip(unsent, pool.send(function, [arguments[n] for n in unsent]), strict=True)
                        unsent = ()
                result = futures[position].result()
            except (BrokenProcessPool, CancelledError):
                if died:
                    raise RuntimeError(
                        "a process of several died: memory ran out, or a script starts them outside of "
                        "'if __name__ == \"__main__\":', which it needs"
                    ) from None
                died = True
                _forget(pool)  # and by now every future says whether it has a result
                futures = {n: future for n, future in futures.items() if not _is_lost(future)}
                unsent = [n for n in range(position, len(arguments)) if n not in futures]
                continue
            del futures[position]
            position += 1
            yield result
    except BaseException:  # GeneratorExit too: nobody waits for the rest
        _forget(pool)
        raise


def _is_lost(future: Future) -> bool:
    return future.cancelled() or isinstance(future.exception(), BrokenProcessPool)


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """The executor of a Dask cluster whose scheduler is at this address, such as "tcp://10.0.0.1:8786".

    Its workers need this package, and the same files under the same names.
    Raises ValueError if dask.distributed is not installed, or no scheduler answers within seconds.
    """
    if importlib.util.find_spec("distributed") is None:
        raise ValueError("a scheduler needs dask.distributed; install the extra: pip install -e '.[cluster]'")
    from distributed import Client

    log = logging.getLogger("distributed")
    level = log.level
    log.setLevel(logging.CRITICAL)  # what it has to say of an address is in the error
    try:
        client = Client(address, timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"no Dask scheduler answers at {address!r} ({reason}); give one as tcp://HOST:8786") from None
    finally:
        log.setLevel(level)
    with client:
        yield client.get_executor(pure=False)


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


@contextmanager
def work_by(workers: int | None, scheduler: str | None) -> Iterator[dict[str, Any]]:
    """Who does independent work, as keywords of a task."""
    if scheduler is None:
        yield {"processes": workers}
        return
    if workers is not None:
        raise ValueError(f"--workers {workers} and --scheduler {scheduler}: the cluster has its own workers; give one")
    with cluster(scheduler) as executor:
        yield {"executor": executor}
