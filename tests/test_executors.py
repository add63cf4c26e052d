"""The same numbers whoever computes them, and what happens to those who die at work."""

import os
import pickle
import signal
import threading
import time
import warnings
from concurrent.futures import CancelledError, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import qep_tn as qt
from qep_tn import X, Z
from qep_tn.cli import main
from qep_tn.runs import executors
from qep_tn.runs.executors import in_order

CHAIN = qt.models.cluster_ising(16)
THETAS = [{"g_x": g, "g_zz": 1.0, "g_zxz": 0.5} for g in (2.0, 2.5, 3.0)]
LOSS = qt.Expectation(X(5) * X(9))
SMALL = qt.Hamiltonian(qt.qubits(3), {"g": [-X(j) for j in range(3)]}, -Z(0) * Z(1) - Z(1) * Z(2))


def problems():
    """Of two Hamiltonians, with and without a start."""
    start = qt.NumbaDMRG(max_bond=32).ground_state(CHAIN, THETAS[0])
    chains = [(CHAIN, theta, LOSS, start if n == 1 else None) for n, theta in enumerate(THETAS)]
    other = qt.models.transverse_field_ising(16)
    return [*chains, (other, {"J": 0.5, "h": 1.0}, qt.Magnitude(Z(3) * Z(8)))]


def content(g):
    """Every number of a gradient, in bytes."""
    states = [g.free, *g.nudged]
    arrays = [array for state in states for array in state.state.arrays().values()]
    numbers = [g.value, g.value_error, *g.gradient.values(), *g.error.values(), g.relative_error, g.beta, g.overlap]
    energies = [state.energy for state in states]
    return [np.asarray(a).tobytes() for a in (*numbers, *energies, g.residual, g.natural_size, *arrays)]


def results(executor):
    return [content(g) for g in qt.gradients(problems(), solver=qt.NumbaDMRG(max_bond=32), executor=executor)]


@pytest.fixture(scope="module")
def alone():
    """Each gradient by itself, in this process."""
    found = []
    for H, theta, loss, *start in problems():
        begin = start[0] if start else None
        found.append(content(qt.gradient(H, theta, loss, solver=qt.NumbaDMRG(max_bond=32), start=begin)))
    assert len({part[0] for part in found}) == len(found)
    return found


def test_gradients_by_processes_are_the_same_and_the_pool_is_kept(alone):
    assert results(None) == alone
    (pool,) = executors._kept
    assert results(None) == alone
    assert executors._kept == [pool]


@pytest.mark.parametrize("threads", [1, 3])
def test_gradients_by_threads_are_the_same(alone, threads):
    with ThreadPoolExecutor(threads) as pool:
        assert results(pool) == alone


def test_gradients_by_a_cluster_are_the_same(alone):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert results(client.get_executor()) == alone


SOLVERS = {
    qt.ExactDiagonalization(): CHAIN.sites[:8], qt.FreeFermion(): CHAIN.sites, qt.NumbaDMRG(max_bond=16): CHAIN.sites,
    qt.TenpyDMRG(max_bond=16): CHAIN.sites[:8], qt.QuimbDMRG(max_bond=16): CHAIN.sites[:8],
}  # fmt: skip


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: type(solver).__name__)
def test_gradient_pickles(solver):
    H = qt.models.cluster_ising(len(SOLVERS[solver]))
    loss = qt.Expectation(X(2) * X(5))
    g = qt.gradient(H, THETAS[1], loss, solver=solver, rtol=1e-2)
    there = pickle.loads(pickle.dumps(g))
    assert content(there) == content(g)
    assert there.status is g.status
    assert there.free.sites == H.sites
    qt.gradient(H, THETAS[0], loss, solver=solver, rtol=1e-2, start=there.free)


def test_warnings_of_workers_come_out_here_once():
    degenerate = (SMALL, {"g": np.full(3, 1e-9)}, qt.Expectation(Z(0)))
    with ThreadPoolExecutor(2) as pool:
        for executor in (None, pool):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                found = qt.gradients([degenerate, (SMALL, {"g": np.ones(3)}, LOSS_OF_SMALL)], executor=executor)
            assert [w.category for w in caught] == [qt.DegenerateGroundStateWarning]
            assert caught[0].filename == __file__
            assert [g.trustworthy for g in found] == [False, True]


LOSS_OF_SMALL = qt.Expectation(X(1))


def test_problem_with_too_few_parts_is_refused():
    with pytest.raises(ValueError, match="problem 1 has 2 parts"):
        qt.gradients([(SMALL, {"g": np.ones(3)}, LOSS_OF_SMALL), (SMALL, {"g": np.ones(3)})])


def test_loss_that_cannot_be_sent_is_refused():
    loss = qt.FunctionLoss([X(1)], lambda values: values[0], lambda values: np.ones(1))
    with pytest.raises(ValueError, match="cannot be sent to one") as refused:
        qt.gradients([(SMALL, {"g": np.ones(3)}, loss)] * 2)
    assert "\n" not in str(refused.value)


def test_no_problems_have_no_gradients():
    assert qt.gradients([]) == []


def _dies(folder, times, number):
    """Kills its process at number 1, the first `times` times; returns the number and how often it was begun."""
    (folder / f"{number}-{time.monotonic_ns()}").touch()
    begun = len(list(folder.glob(f"{number}-*")))
    if number == 1 and begun <= times:
        time.sleep(0.5)  # while the others are done
        os.kill(os.getpid(), signal.SIGKILL)
    return number, begun


def test_work_of_a_worker_that_dies_is_done_again(tmp_path):
    found = list(in_order(partial(_dies, tmp_path, 1), range(4), processes=2))
    assert [number for number, _ in found] == [0, 1, 2, 3]
    assert found[1] == (1, 2)
    assert found[0] == (0, 1)  # what had a result is not


def test_worker_that_dies_twice_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="a process of several died: memory ran out") as error:
        list(in_order(partial(_dies, tmp_path, 2), range(3), processes=2))
    assert "\n" not in str(error.value)
    assert list(in_order(abs, [-1, -2], processes=2)) == [1, 2]  # and the next call has workers again


def test_worker_killed_between_calls_is_replaced():
    assert list(in_order(abs, [-1, -2], processes=2)) == [1, 2]
    for pid in list(executors._kept[0]._processes):
        os.kill(pid, signal.SIGKILL)
    assert list(in_order(abs, [-3, -4], processes=2)) == [3, 4]


def test_iterator_that_is_closed_ends_its_workers():
    iterator = in_order(time.sleep, [0, 60, 60], processes=2)
    next(iterator)
    workers = list(executors._kept[0]._processes.values())
    iterator.close()
    assert not executors._kept
    assert not any(worker.is_alive() for worker in workers)


def test_broken_executor_says_at_once_that_it_takes_no_more_work(tmp_path):
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        for _ in range(2):  # it breaks, and is broken
            with pytest.raises(RuntimeError, match="ProcessPoolExecutor takes no more work then; make a new") as error:
                list(in_order(partial(_dies, tmp_path, 1), [1], pool))
            assert "\n" not in str(error.value)
    assert len(list(tmp_path.iterdir())) == 1


class _Loses(ThreadPoolExecutor):
    """Whose workers are lost before they begin, but others come."""

    def submit(self, function, *arguments):
        return super().submit(_is_lost)


def _is_lost():
    raise CancelledError


def test_work_that_an_executor_loses_twice_is_an_error_in_one_line():
    with _Loses(1) as pool, pytest.raises(RuntimeError, match="lost with the executor's worker, twice") as error:
        list(in_order(abs, [1], pool))
    assert "\n" not in str(error.value)


def _blas_threads(_=None):
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.mark.parametrize("workers", [0, 2])
def test_one_blas_thread_while_work_goes_on_and_the_former_number_afterwards(workers):
    with threadpool_limits(2), ThreadPoolExecutor(2) as pool:
        before = _blas_threads()
        iterator = in_order(_blas_threads, range(3), *((pool,) if workers else (None, 1)))
        assert set(next(iterator)) == {1}
        if workers:
            iterator.close()
        assert _blas_threads() == before  # here nothing works until the next one is asked for


def test_thread_that_wants_another_number_of_processes_closes_no_pool_before_it_has_its_work(monkeypatch):
    send = executors._Pool.send

    def interrupted(pool, *work):
        other.start()
        other.join(0.2)
        return send(pool, *work)

    other = threading.Thread(target=executors._pool_of, args=(3,))
    monkeypatch.setattr(executors._Pool, "send", interrupted)
    assert list(in_order(abs, [-1, -2], processes=2)) == [1, 2]
    other.join()
    assert executors._kept[0].count == 3


def _fails(number):
    raise ValueError(f"no {number}")


def test_what_an_executor_raises_is_raised_here():
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="no 1"):
        list(in_order(_fails, [1, 2], pool))


def test_processes_beside_an_executor_are_refused():
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="give one of the two"):
        in_order(abs, [1], pool, 2)


def wrong(capsys, *options):
    """What the command line says of them."""
    assert main(["explore", "absent.toml", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_scheduler_that_does_not_answer_is_a_wrong_input(capsys):
    pytest.importorskip("distributed")
    began = time.monotonic()
    assert "no Dask scheduler answers at 'tcp://127.0.0.1:9'" in wrong(capsys, "--scheduler", "tcp://127.0.0.1:9")
    assert time.monotonic() - began < 30  # five seconds, and the import


def test_scheduler_without_the_extra_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setattr(executors, "importlib", SimpleNamespace(util=SimpleNamespace(find_spec=lambda _: None)))
    assert "pip install -e '.[cluster]'" in wrong(capsys, "--scheduler", "tcp://127.0.0.1:9")


def test_workers_are_at_least_one_and_not_beside_a_scheduler(capsys):
    assert "--workers" in wrong(capsys, "--workers", "0")
    assert "give one" in wrong(capsys, "--workers", "2", "--scheduler", "tcp://127.0.0.1:9")
