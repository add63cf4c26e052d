"""Sixteen gradients of a 64-site cluster-Ising chain by one worker and by two, and with a worker killed at work.

    python -m benchmarks.executors

Dask workers of one thread each, and the processes of `qt.gradients` beside this process alone; after compilation and
the workers' first gradients; one and two in turn, median of the repetitions. Every row's numbers are compared, to the
last bit, with those of this process. Needs the extra `cluster`, and two free cores.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

import numpy as np
from distributed import Client, LocalCluster
from threadpoolctl import threadpool_limits

import qep_tn as qt
from benchmarks.machine import write_results
from qep_tn import X
from qep_tn.runs.executors import in_order

L, COUNT = 64, 16
SOLVER = qt.NumbaDMRG(max_bond=64, threads=1)
WARM_UP = 4  # gradients, so that each worker has had one


def problems() -> list:
    """Towards the transition, where gradients take longer."""
    H = qt.models.cluster_ising(L, local=True)
    loss = qt.Expectation(X(L // 2 - 2) * X(L // 2 + 2))
    return [
        (H, {"g_x": np.full(L, g), "g_zz": np.full(L - 1, 1.0), "g_zxz": np.full(L - 2, 0.5)}, loss)
        for g in np.linspace(2.0, 2.6, COUNT)
    ]


def digest(found: list[qt.Gradient]) -> str:
    """Of values, gradients and errors, in bytes."""
    parts = [np.asarray(a) for g in found for a in (g.value, *g.gradient.values(), *g.error.values())]
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def by(executor: Executor | None) -> list[qt.Gradient]:
    """All gradients by an executor, or the kept processes."""
    return qt.gradients(problems(), solver=SOLVER, executor=executor)


def one_gradient(problem: tuple) -> qt.Gradient:
    """Of one problem, in whichever process this is."""
    H, theta, loss = problem
    return qt.gradient(H, theta, loss, solver=SOLVER)


def in_this_process() -> list[qt.Gradient]:
    """All gradients, one after the other."""
    return list(in_order(one_gradient, problems(), processes=1))


def timed(work: Callable[[], list[qt.Gradient]]) -> tuple[float, str]:
    """Seconds, and what came out."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, digest(found)


def with_a_worker_killed(work: Callable[[], list[qt.Gradient]], pids: Callable[[], list[int]], after: float):
    """Seconds and result, with one worker killed by SIGKILL after so many seconds."""
    killer = threading.Timer(after, lambda: os.kill(pids()[0], signal.SIGKILL))
    killer.start()
    try:
        return timed(work)
    finally:
        killer.join()


def compared(kind: str, one: Callable, two: Callable, pids: Callable[[], list[int]], repetitions: int, expected: str):
    """Rows for one worker, two, and two of which one is killed."""
    runs: dict[str, list] = {"one": [], "two": []}
    for _ in range(repetitions):
        for workers, work in (("one", one), ("two", two)):
            runs[workers].append(timed(work))
            print(f"    {kind}, {workers}: {runs[workers][-1][0]:.2f} s", flush=True)
    seconds = {workers: float(np.median([s for s, _ in found])) for workers, found in runs.items()}
    killed, result = with_a_worker_killed(two, pids, 0.4 * seconds["two"])
    return [
        {"executor": kind, "workers": workers, "seconds": s, "speedup": seconds["one"] / s, "same_numbers": same}
        for workers, s, same in (
            ("one", seconds["one"], all(r == expected for _, r in runs["one"])),
            ("two", seconds["two"], all(r == expected for _, r in runs["two"])),
            ("two, one killed", killed, result == expected),
        )
    ]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=3)
    args = parser.parse_args()
    with threadpool_limits(1):
        one_gradient(problems()[0])  # compiles
        _, expected = timed(in_this_process)
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            addresses = list(client.run(os.getpid))
            one, two = client.get_executor(pure=False, workers=addresses[:1]), client.get_executor(pure=False)
            for executor in (one, two):
                qt.gradients(problems()[:WARM_UP], solver=SOLVER, executor=executor)
            pid_of = client.run(os.getpid)
            rows = compared(
                "Dask", partial(by, one), partial(by, two), lambda: [pid_of[addresses[1]]], args.repetitions, expected
            )
        qt.gradients(problems()[:WARM_UP], solver=SOLVER)
        rows += compared(
            "processes", in_this_process, partial(by, None),
            lambda: [child.pid for child in multiprocessing.active_children()], args.repetitions, expected,
        )  # fmt: skip
    print(f"{'executor':10} {'workers':16} {'seconds':>8} {'speedup':>8}  same numbers")
    for r in rows:
        print(f"{r['executor']:10} {r['workers']:16} {r['seconds']:8.2f} {r['speedup']:8.2f}  {r['same_numbers']}")
    write_results("executors", rows, length=L, gradients=COUNT, repetitions=args.repetitions)


if __name__ == "__main__":
    main()
